//! Who may approve, and whether enough have.
//!
//! Every gate must be satisfied by itself, and one person counts once across them; votes are assigned
//! to gates by bipartite matching, anew on every vote, so that no greedy choice can block one.

use windlass_model::actor::Actor;
use windlass_model::workflow::{ApprovalGate, Approver, Gate, Step};

use crate::step::Vote;

/// The approval gates of a step.
pub(crate) fn gates(step: &Step) -> impl Iterator<Item = &ApprovalGate> {
    step.gates.iter().map(|gate| match gate {
        Gate::Approval(it) => it,
    })
}

/// Whether `actor` may answer `gate`.
pub(crate) fn is_eligible(gate: &ApprovalGate, actor: &Actor, requester: &Actor) -> bool {
    let named = gate.from.iter().any(|it| match it {
        Approver::User(name) => *name == actor.name,
        Approver::Group(name) => actor.groups.contains(name),
    });
    named && (gate.requester_may_approve || actor.name != requester.name)
}

/// How many people each gate still needs, in the order of the gates.
pub(crate) fn missing(step: &Step, votes: &[Vote], requester: &Actor) -> Vec<u32> {
    let gates: Vec<&ApprovalGate> = gates(step).collect();
    let voters: Vec<&Actor> = votes.iter().filter(|it| it.approved).map(|it| &it.actor).collect();
    let mut seats: Vec<Vec<usize>> = vec![Vec::new(); gates.len()];
    for voter in 0..voters.len() {
        let mut tried = vec![false; gates.len()];
        seat(voter, &gates, &voters, requester, &mut seats, &mut tried);
    }
    gates.iter().zip(&seats).map(|(gate, seats)| gate.min.saturating_sub(seats.len() as u32)).collect()
}

/// Finds `voter` a seat, moving others along where that helps (an augmenting path).
fn seat(
    voter: usize,
    gates: &[&ApprovalGate],
    voters: &[&Actor],
    requester: &Actor,
    seats: &mut [Vec<usize>],
    tried: &mut [bool],
) -> bool {
    for gate in 0..gates.len() {
        if tried[gate] || !is_eligible(gates[gate], voters[voter], requester) {
            continue;
        }
        tried[gate] = true;
        if seats[gate].len() < gates[gate].min as usize {
            seats[gate].push(voter);
            return true;
        }
        for place in 0..seats[gate].len() {
            let other = seats[gate][place];
            if seat(other, gates, voters, requester, seats, tried) {
                seats[gate].retain(|it| *it != other);
                seats[gate].push(voter);
                return true;
            }
        }
    }
    false
}

/// Who could still answer, for people: `group:release-managers`.
pub(crate) fn who(gate: &ApprovalGate) -> String {
    gate.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
