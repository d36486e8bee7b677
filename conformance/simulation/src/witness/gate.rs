//! Whether the votes that a gate asks for are there, by trying every way of counting them.

use windlass_model::actor::Actor;
use windlass_model::workflow::{ApprovalGate, Approver, Gate, Step};

/// Whether somebody may answer this rule.
fn may(rule: &ApprovalGate, actor: &Actor, requester: &Actor) -> bool {
    (rule.requester_may_approve || actor.name != requester.name)
        && rule.from.iter().any(|it| match it {
            Approver::User(name) => *name == actor.name,
            Approver::Group(group) => actor.groups.contains(group),
        })
}

fn rules(step: &Step) -> Vec<&ApprovalGate> {
    step.gates.iter().map(|Gate::Approval(rule)| rule).collect()
}

/// Whether somebody may answer any rule of this step.
pub(super) fn may_vote(step: &Step, actor: &Actor, requester: &Actor) -> bool {
    rules(step).into_iter().any(|it| may(it, actor, requester))
}

/// Whether these people satisfy every rule, each of them counted once.
pub(super) fn are_enough(step: &Step, voters: &[&Actor], requester: &Actor) -> bool {
    let rules = rules(step);
    let mut left: Vec<u32> = rules.iter().map(|it| it.min).collect();
    assign(&rules, &mut left, voters, requester)
}

fn assign(rules: &[&ApprovalGate], left: &mut [u32], voters: &[&Actor], requester: &Actor) -> bool {
    if left.iter().all(|it| *it == 0) {
        return true;
    }
    let Some((voter, others)) = voters.split_first() else { return false };
    for at in 0..rules.len() {
        if left[at] > 0 && may(rules[at], voter, requester) {
            left[at] -= 1;
            if assign(rules, left, others, requester) {
                return true;
            }
            left[at] += 1;
        }
    }
    assign(rules, left, others, requester)
}
