//! What the simulation (`conformance/simulation`) found in releases that people meddle with, a test each.

use serde_json::json;
use windlass_engine::{Input, Rejected};
use windlass_model::event::{Intervention, Operation};
use windlass_model::expression::Expression;
use windlass_model::failure::FailureClass;
use windlass_model::name::StepName;
use windlass_model::workflow::{ApprovalGate, Approver, Gate, OnFailure, Workflow};

use crate::world::{Does, Pins, World, fails, workflow};

fn name(step: &str) -> StepName {
    step.parse().expect("a name")
}

fn held(mut workflow: Workflow, step: usize) -> Workflow {
    workflow.steps[step].gates = vec![Gate::Approval(ApprovalGate {
        from: vec![Approver::User("ben".to_owned())],
        min: 1,
        requester_may_approve: false,
        message: None,
    })];
    workflow
}

#[test]
fn what_is_to_run_again_is_rolled_back_with_what_its_first_run_had() {
    let mut world = World::new(workflow("a; b"), Pins::default(), &[("b", vec![Does::Suspends(60)])]);
    world.turn();
    let call = world.release.calls().next().expect("a runs");
    let checkpoint = Input::CheckpointReached { call, name: "part".to_owned(), value: vec![1] };
    world.tell(checkpoint).expect("taken");
    while world.state("a").activity().is_some() {
        world.turn();
    }
    // Nothing new starts, so `a` waits when it is rolled back.
    world.intervene(Intervention::Pause).expect("accepted");
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.intervene(Intervention::Rollback).expect("accepted");
    while !world.release.calls().any(|it| it.operation == Operation::Rollback) {
        assert!(world.turn());
    }
    let id = world.release.calls().find(|it| world.release.name_of(it.step) == name("a")).expect("a is rolled back");
    let order = world.release.order(id).expect("an order");
    assert_eq!(*order.input, json!({}));
    assert_eq!(order.output.as_deref(), Some(&json!({ "step": "a" })));
    assert_eq!(world.release.step(id.step).checkpoints.len(), 1);
}

#[test]
fn a_rollback_gets_what_the_plugin_gave_whatever_a_person_says_that_it_gives() {
    let mut world = World::new(held(workflow("a -> b"), 1), Pins::default(), &[]);
    world.run();
    let output = json!({ "step": "other" });
    world.intervene(Intervention::ReplaceOutput { step: name("a"), output }).expect("accepted");
    world.intervene(Intervention::Rollback).expect("accepted");
    let id = world.release.calls().next().expect("a rollback");
    assert_eq!(world.release.order(id).and_then(|it| it.output).as_deref(), Some(&json!({ "step": "a" })));
}

#[test]
fn a_second_run_that_fails_and_is_tolerated_leaves_no_output_of_the_first() {
    let mut workflow = workflow("a -> b");
    workflow.steps[0].on_failure = OnFailure::Continue;
    workflow.steps[1].when = Some(Expression::parse("has(steps.a.output)").expect("an expression"));
    let mut world = World::new(held(workflow, 1), Pins::default(), &[]);
    world.run();
    assert_eq!(world.state("b").name(), "held");
    world.script.insert("a".to_owned(), fails(FailureClass::Rejected).into());
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.run();
    assert_eq!(world.state("a").name(), "failed");
    assert_eq!(world.state("b").name(), "skipped");
}

#[test]
fn a_rollback_that_was_given_up_is_not_settled_after_the_end() {
    let script = [("a:rollback", fails(FailureClass::Rejected))];
    let mut world = World::new(workflow("a"), Pins::default(), &script);
    world.run();
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    assert!(world.release.outcome().is_some());
    let settle = Intervention::SettleRollback { step: name("a"), done: true };
    assert!(matches!(world.intervene(settle), Err(Rejected::WrongState { .. })));
}

#[test]
fn a_release_that_ended_during_a_pause_is_over_and_not_paused() {
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", vec![Does::Suspends(5)])]);
    world.turn();
    world.turn();
    world.intervene(Intervention::Pause).expect("accepted");
    while world.release.outcome().is_none() {
        assert!(world.turn());
    }
    assert_eq!(world.release.pause(), None);
    assert_eq!(world.release.waits(), []);
    assert!(matches!(world.intervene(Intervention::Resume), Err(Rejected::WrongState { .. })));
}

#[test]
fn the_cancels_of_two_runs_have_different_ids() {
    let mut workflow = workflow("a");
    workflow.steps[0].timeout = Some(windlass_model::time::Span::seconds(10));
    let mut world = World::new(workflow, Pins::default(), &[("a", vec![Does::Hangs, Does::Hangs])]);
    let cancel = |world: &mut World| loop {
        if let Some(id) = world.release.calls().find(|it| it.operation == Operation::Cancel) {
            return id;
        }
        assert!(world.turn());
    };
    let first = cancel(&mut world);
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.run();
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    let second = cancel(&mut world);
    assert_ne!(first, second, "else an answer to the one would be taken for one to the other");
}
