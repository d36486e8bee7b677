//! Approvals.

use windlass_engine::Rejected;
use windlass_model::workflow::{ApprovalGate, Approver, Gate, Workflow};

use crate::world::{Pins, World, actor, workflow};

fn gated(gates: &[(&[Approver], u32)]) -> Workflow {
    let mut workflow = workflow("build -> deploy");
    workflow.steps[1].gates = gates
        .iter()
        .map(|(from, min)| {
            Gate::Approval(ApprovalGate { from: from.to_vec(), min: *min, requester_may_approve: false, message: None })
        })
        .collect();
    workflow
}

fn user(name: &str) -> Approver {
    Approver::User(name.to_owned())
}

fn group(name: &str) -> Approver {
    Approver::Group(name.to_owned())
}

fn held(workflow: Workflow) -> World {
    let mut world = World::new(workflow, Pins::default(), &[]);
    world.run();
    assert_eq!(world.state("deploy").name(), "held");
    world
}

#[test]
fn a_step_is_held_until_enough_of_the_right_people_approve() {
    let mut world = held(gated(&[(&[group("managers")], 2)]));
    let refused = world.vote("deploy", actor("eve", &["interns"]), true).expect_err("not eligible");
    assert_eq!(refused.to_string(), "eve may not approve step `deploy`: group:managers may");
    assert!(
        matches!(world.vote("deploy", actor("rita", &["managers"]), true), Err(Rejected::NotEligible { .. })),
        "the requester"
    );
    world.vote("deploy", actor("ana", &["managers"]), true).expect("accepted");
    assert!(matches!(world.vote("deploy", actor("ana", &["managers"]), true), Err(Rejected::AlreadyVoted { .. })));
    world.run();
    assert_eq!(world.state("deploy").name(), "held");
    assert_eq!(world.release.waits()[0].owner, "1 of group:managers");
    world.crash();
    world.vote("deploy", actor("ben", &["managers"]), true).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("succeeded"));
    assert!(matches!(world.vote("deploy", actor("ben", &["managers"]), true), Err(Rejected::NotHeld { .. })));
}

#[test]
fn every_gate_is_satisfied_by_people_of_its_own() {
    // Ana could stand for either gate; taking her for the first must not lock the second out.
    let mut world = held(gated(&[(&[user("ana"), user("ben")], 1), (&[user("ana")], 1)]));
    world.vote("deploy", actor("ana", &[]), true).expect("accepted");
    world.run();
    assert_eq!(world.state("deploy").name(), "held", "one person does not stand for both");
    world.vote("deploy", actor("ben", &[]), true).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("succeeded"));
}

#[test]
fn a_rejection_needs_a_reason_and_ends_the_release() {
    let mut world = held(gated(&[(&[user("ana")], 1)]));
    let without = windlass_engine::Input::Vote {
        step: "deploy".parse().expect("a name"),
        actor: actor("ana", &[]),
        approved: false,
        comment: String::new(),
    };
    assert_eq!(world.tell(without), Err(Rejected::NoReason));
    world.vote("deploy", actor("ana", &[]), false).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("failed"));
    let windlass_engine::StepState::Failed { error, .. } = world.state("deploy") else { panic!() };
    assert_eq!(error.message, "ana rejected it: because");
}
