//! What the simulation (`conformance/simulation`) found in releases that people meddle with, a test each.

use serde_json::json;
use windlass_engine::{Input, Rejected, StepState};
use windlass_model::event::{Intervention, Operation, Outcome};
use windlass_model::expression::Expression;
use windlass_model::failure::FailureClass;
use windlass_model::fan_out::{Allowance, ForEach, Items};
use windlass_model::name::StepName;
use windlass_model::template::Template;
use windlass_model::time::Span;
use windlass_model::workflow::{
    ApprovalGate, Approver, Deadline, Gate, OnDeadline, OnFailure, PhaseRules, Threshold, Workflow,
};

use crate::world::{Does, Pins, World, actor, fails, workflow};

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

fn phased(mut workflow: Workflow, rules: PhaseRules) -> Workflow {
    workflow.phases = vec!["wave".parse().expect("a name")];
    for step in &mut workflow.steps {
        step.phase = Some(workflow.phases[0].clone());
    }
    workflow.phase_rules.insert(workflow.phases[0].clone(), rules);
    workflow
}

fn pauses_after(seconds: u64) -> Option<Deadline> {
    Some(Deadline { within: Span::seconds(seconds), then: OnDeadline::Pause })
}

/// No failure of its phase is tolerated.
fn strict() -> PhaseRules {
    let threshold = Threshold { failures_allowed: Allowance::NONE, rollback: false };
    PhaseRules { deadline: None, threshold: Some(threshold) }
}

#[test]
fn a_phase_that_is_overdue_leaves_the_deadline_of_the_release_as_it_is() {
    let rules = PhaseRules { deadline: pauses_after(10), threshold: None };
    let mut workflow = phased(workflow("a"), rules);
    workflow.deadline = Some(Deadline { within: Span::seconds(60), then: OnDeadline::Fail });
    let mut world = World::new(workflow, Pins::default(), &[("a", vec![Does::Hangs])]);
    world.run();
    assert_eq!(world.now, windlass_model::time::Timestamp(1_000_000) + Span::seconds(60));
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
}

#[test]
fn who_cancels_what_a_deadline_paused_has_canceled_it() {
    let mut workflow = workflow("a -> b");
    workflow.deadline = pauses_after(10);
    let mut world = World::new(workflow, Pins::default(), &[("a", vec![Does::Suspends(20)])]);
    world.run();
    assert!(world.release.pause().is_some());
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    assert_eq!(world.release.outcome(), Some(Outcome::Canceled));
}

#[test]
fn a_point_of_no_return_stays_passed_when_it_is_to_run_again_or_is_skipped() {
    let mut passed = workflow("a; b");
    passed.steps[0].pivot = true;
    let mut world = World::new(held(passed, 1), Pins::default(), &[]);
    world.run();
    world.intervene(Intervention::Pause).expect("accepted");
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    assert_eq!(*world.state("a"), StepState::Waiting);
    assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::PastPivot { .. })));

    let mut in_doubt = workflow("a; b");
    in_doubt.steps[0].pivot = true;
    in_doubt.steps[0].on_failure = OnFailure::Pause;
    let script = [("a", fails(FailureClass::TimedOut))];
    let mut world = World::new(held(in_doubt, 1), Pins::default(), &script);
    world.run();
    world.intervene(Intervention::Skip { step: name("a"), output: None }).expect("accepted");
    assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::PastPivot { .. })));
}

#[test]
fn a_point_of_no_return_that_came_to_nothing_is_not_passed_by_being_canceled() {
    let mut workflow = workflow("a -> b");
    workflow.steps[1].pivot = true;
    workflow.steps[1].retry.on = vec![FailureClass::Rejected];
    let mut world = World::new(workflow, Pins::default(), &[("b", fails(FailureClass::Rejected))]);
    while world.state("b").name() != "retrying" {
        assert!(world.turn());
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    assert_eq!(world.release.outcome(), Some(Outcome::Canceled));
    world.intervene(Intervention::Rollback).expect("nothing stands in the way");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn a_point_of_no_return_that_is_passed_while_the_release_fails_keeps_it_from_being_rolled_back() {
    let mut workflow = workflow("a -> b; a -> c");
    workflow.steps[1].pivot = true;
    workflow.steps[1].retry.on = vec![FailureClass::Rejected];
    workflow.steps[2].on_failure = OnFailure::Rollback;
    let script = [
        ("b", vec![Does::Fails(FailureClass::Rejected)]),
        ("c", vec![Does::Suspends(1), Does::Fails(FailureClass::Rejected)]),
    ];
    let mut world = World::new(workflow, Pins::default(), &script);
    world.run();
    assert_eq!(world.state("b").name(), "succeeded");
    assert_eq!(world.release.outcome(), Some(Outcome::Failed), "{}", world.story());
    assert!(!world.story().contains("rollback"), "{}", world.story());
}

#[test]
fn an_item_of_a_point_of_no_return_that_succeeded_makes_the_failure_of_another_pause() {
    let mut workflow = workflow("a");
    let step = &mut workflow.steps[0];
    step.pivot = true;
    step.on_failure = OnFailure::Rollback;
    step.for_each = Some(ForEach::of(Items::List(Template::Plain(json!([1, 2])))));
    let script = [("a.2", vec![Does::Suspends(1), Does::Fails(FailureClass::Rejected)])];
    let mut world = World::new(workflow, Pins::default(), &script);
    world.run();
    assert_eq!(world.state("a.1").name(), "succeeded");
    assert_eq!(world.state("a.2").name(), "paused");
}

#[test]
fn a_rejection_and_a_list_of_which_nothing_can_be_made_count_as_failures_of_their_phase() {
    let mut rejected = workflow("a -> b");
    rejected.steps[0].on_failure = OnFailure::Continue;
    let mut world = World::new(phased(held(rejected, 0), strict()), Pins::default(), &[]);
    world.run();
    world.vote("a", actor("ben", &[]), false).expect("accepted");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed), "{}", world.story());

    let mut reduced = workflow("a -> b");
    reduced.steps[0].on_failure = OnFailure::Continue;
    let mut for_each = ForEach::of(Items::List(Template::Plain(json!([1]))));
    for_each.reduce = Some(Template::parse(&json!("${{ outputs[0].nothing }}")).expect("a template"));
    reduced.steps[0].for_each = Some(for_each);
    let mut world = World::new(phased(reduced, strict()), Pins::default(), &[]);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed), "{}", world.story());
}

#[test]
fn what_failed_too_often_for_its_phase_runs_again_with_the_release() {
    let mut workflow = workflow("a; b");
    workflow.steps[0].on_failure = OnFailure::Continue;
    let script = [("a", vec![Does::Fails(FailureClass::Rejected)]), ("b", vec![Does::Suspends(5)])];
    let mut world = World::new(phased(workflow, strict()), Pins::default(), &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
    world.intervene(Intervention::RunAgain { step: name("b") }).expect("accepted");
    world.run();
    assert_eq!(world.state("a").name(), "succeeded");
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}

/// `a`, and `y` and `z` at the end.
fn with_last() -> Workflow {
    let mut workflow = workflow("a; y; z");
    for step in &mut workflow.steps[1..] {
        step.finally = true;
        step.on_failure = OnFailure::Pause;
    }
    workflow
}

#[test]
fn nothing_of_what_runs_last_starts_after_it_was_canceled() {
    let script = [("y", fails(FailureClass::Rejected)), ("z", vec![Does::Hangs]), ("z:cancel", vec![Does::Hangs])];
    let mut world = World::new(with_last(), Pins::default(), &script);
    while world.turn() {}
    assert_eq!(world.state("y").name(), "paused");
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    assert_eq!(world.release.waits(), []);
    let retry = Intervention::Retry { step: name("y") };
    assert!(matches!(world.intervene(retry), Err(Rejected::NotPaused { .. })));
}

#[test]
fn what_runs_last_and_was_too_slow_gets_no_other_attempt_after_it_was_canceled() {
    let mut workflow = with_last();
    workflow.steps[1].timeout = Some(Span::seconds(10));
    workflow.steps[1].retry.on = vec![FailureClass::TimedOut];
    let mut world = World::new(workflow, Pins::default(), &[("y", vec![Does::Hangs])]);
    while !world.release.calls().any(|it| it.operation == Operation::Cancel) {
        assert!(world.turn());
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.run();
    assert_eq!(world.state("y").name(), "canceled", "{}", world.story());
    assert_eq!(world.story().matches("run y").count(), 1, "{}", world.story());
}

#[test]
fn what_runs_last_does_not_run_with_a_release_that_runs_again() {
    let mut workflow = with_last();
    workflow.steps[1].delay = Some(Span::seconds(60));
    workflow.steps[2].needs = vec![name("y")];
    let script = [("a", vec![Does::Fails(FailureClass::Rejected), Does::Suspends(600)])];
    let mut world = World::new(workflow, Pins::default(), &script);
    while world.state("y").name() != "held" {
        assert!(world.turn());
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    assert_eq!(*world.state("y"), StepState::Waiting);
    // It is skipped when its turn has come, and what needs it does not run before that either.
    world.intervene(Intervention::Skip { step: name("y"), output: None }).expect("accepted");
    assert_eq!(*world.state("z"), StepState::Waiting);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    assert_eq!(world.state("y").name(), "skipped");
    assert!(world.story().contains("resume a\nrun z\n"), "{}", world.story());
}

#[test]
fn who_waits_for_what_runs_last_is_told_what_can_be_done() {
    let mut workflow = with_last();
    workflow.steps[1].with = Template::parse(&json!({ "count": "${{ 1 / 0 }}" })).expect("a template");
    let mut world = World::new(workflow, Pins::default(), &[]);
    world.run();
    let wait = world.release.waits().into_iter().next().expect("a wait");
    assert_eq!(wait.action, "skip w-1 --step y --reason …");
    world.intervene(Intervention::Skip { step: name("y"), output: None }).expect("accepted");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}
