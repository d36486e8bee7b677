//! Rehearsals of a rollback, its time against its objective, and a rollback that an open breaker starts.

use expect_test::expect;
use windlass_engine::{CallId, Input, RollbackRun, StepState};
use windlass_model::event::{HeldBy, Hold, Intervention, Outcome, SkipReason};
use windlass_model::failure::FailureClass;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::{RollbackRules, RollbackTrigger, Workflow};

use crate::world::{Does, Pins, World, fails, workflow};

fn with_rules(text: &str, objective: Option<u64>, triggers: &[RollbackTrigger]) -> Workflow {
    let mut workflow = workflow(text);
    let objective = objective.map(Span::seconds);
    workflow.rollback = Some(RollbackRules { objective, triggers: triggers.to_vec(), rehearsed_within: None });
    workflow
}

fn rollback(world: &World) -> RollbackRun {
    world.release.rollback().expect("there is one").clone()
}

#[test]
fn a_rehearsal_goes_forward_and_then_all_the_way_back() {
    let mut workflow = workflow("build -> deploy -> verify; tell");
    workflow.steps[3].finally = true;
    let mut world = World::rehearsal(workflow, &[]);
    world.run();
    expect![[r#"
        run build
        run deploy
        run verify
        rollback verify
        rollback deploy
        rollback build
        run tell
        rolled back
    "#]]
    .assert_eq(&world.story());
    assert_eq!(rollback(&world).trigger, "rehearsal");
    assert!(world.release.is_untold(), "who keeps what became of rehearsals is to be told");
    world.tell(Input::ParentTold).expect("told");
    assert!(!world.release.is_untold());
    world.intervene(Intervention::RunAgain { step: "build".parse().expect("a name") }).expect_err("it is over");
}

#[test]
fn a_rehearsal_ends_before_the_point_of_no_return() {
    let mut workflow = workflow("build -> switch -> clean; build -> docs; clean -> report; docs -> report");
    workflow.steps[1].pivot = true;
    let mut world = World::rehearsal(workflow, &[]);
    world.run();
    expect![[r#"
        run build
        run docs
        rollback docs
        rollback build
        rolled back
    "#]]
    .assert_eq(&world.story());
    for step in ["switch", "clean", "report"] {
        assert_eq!(*world.state(step), StepState::Skipped { reason: SkipReason::Rehearsal }, "{step}");
    }
}

#[test]
fn a_point_of_no_return_that_somebody_skips_leads_nowhere_in_a_rehearsal() {
    let mut workflow = workflow("build -> switch -> clean");
    workflow.steps[1].pivot = true;
    let mut world = World::rehearsal(workflow, &[]);
    world.intervene(Intervention::Skip { step: "switch".parse().expect("a name"), output: None }).expect("it may");
    world.run();
    expect![[r#"
        run build
        rollback build
        rolled back
    "#]]
    .assert_eq(&world.story());
    for step in ["switch", "clean"] {
        assert_eq!(*world.state(step), StepState::Skipped { reason: SkipReason::Rehearsal }, "{step}");
    }
}

#[test]
fn a_rehearsal_that_fails_ends_as_its_file_says() {
    let mut world = World::rehearsal(workflow("build -> deploy"), &[("deploy", fails(FailureClass::Invalid))]);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
    assert!(world.release.is_untold() && world.release.rollback().is_none());
}

#[test]
fn a_rollback_is_measured_against_its_objective() {
    for (objective, is_overdue) in [(100, false), (50, true)] {
        let script = [("deploy:rollback", vec![Does::Suspends(60)])];
        let mut world = World::new(with_rules("build -> deploy", Some(objective), &[]), Pins::default(), &script);
        world.run();
        world.intervene(Intervention::Rollback).expect("it succeeded");
        let began_at = world.now;
        world.run();
        assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
        let run = rollback(&world);
        assert_eq!((run.began_at, run.is_overdue), (began_at, is_overdue), "{run:?}");
        assert!(run.ended_at.expect("it is over").since(began_at) >= Span::seconds(60), "{run:?}");
        assert_eq!(run.trigger, "ana: because");
    }
}

#[test]
fn the_objective_stands_while_a_rollback_is_blocked_and_not_after_it() {
    let script = [("deploy:rollback", fails(FailureClass::Invalid))];
    let mut world = World::new(with_rules("build -> deploy", Some(50), &[]), Pins::default(), &script);
    world.run();
    world.intervene(Intervention::Rollback).expect("it succeeded");
    world.run();
    assert!(rollback(&world).is_overdue, "it waits for a person, and the time goes on");
    assert_eq!(world.release.wake_at(), None, "that is said once");
    world.intervene(Intervention::Cancel { rollback: false }).expect("given up");
    let run = rollback(&world);
    assert_eq!(run.ended_at, Some(world.now));
    assert_eq!(world.release.outcome(), Some(Outcome::PartiallyRolledBack));
}

fn call(world: &World, step: &str) -> CallId {
    let index = world.release.index_of(&step.parse().expect("a name")).expect("a step");
    let calls = world.release.calls().chain(world.release.held_calls().map(|(it, _)| it));
    calls.into_iter().find(|it| it.step == index).expect("it is to be called, or held")
}

fn hold(world: &mut World, step: &str, is_open: bool) {
    let hold = Hold {
        by: HeldBy::Breaker("connection:http/api".to_owned()),
        text: "5 failed in a row".to_owned(),
        owner: "whoever looks after `api`".to_owned(),
        until: Some(Timestamp(9_000_000)),
    };
    let call = call(world, step);
    world.tell(Input::CallHeld { call, hold, is_open }).expect("it can be held");
}

#[test]
fn an_open_breaker_starts_the_declared_rollback() {
    let workflow = with_rules("build -> deploy; build -> audit", None, &[RollbackTrigger::Breaker]);
    let script = [("audit", vec![Does::Suspends(1000)])];
    let mut world = World::new(workflow, Pins::default(), &script);
    // Nothing has begun: there is nothing to roll back, and it waits.
    hold(&mut world, "build", true);
    assert!(world.release.is_held());
    let first = call(&world, "build");
    world.tell(Input::CallLetThrough { call: first }).expect("let through");
    while !world.release.calls().any(|it| it == call_of(&world, "deploy")) {
        assert!(world.turn());
    }
    // Half-open: it waits for the probe of another.
    hold(&mut world, "deploy", false);
    assert!(world.release.is_held() && world.release.rollback().is_none());
    // The probe failed.
    hold(&mut world, "deploy", true);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
    let trigger = rollback(&world).trigger;
    assert_eq!(trigger, "connection:http/api: 5 failed in a row");
    let story = world.story();
    assert!(story.contains("cancel audit") && story.contains("rollback build"), "{story}");
    assert!(!story.contains("run deploy"), "{story}");
}

fn call_of(world: &World, step: &str) -> CallId {
    let index = world.release.index_of(&step.parse().expect("a name")).expect("a step");
    CallId { step: index, operation: windlass_model::event::Operation::Start, attempt: 1, call: 1 }
}

#[test]
fn an_open_breaker_only_holds_where_no_rollback_is_declared_or_there_is_no_way_back() {
    let plain = workflow("build -> deploy");
    let mut past = with_rules("build -> deploy", None, &[RollbackTrigger::Breaker]);
    past.steps[0].pivot = true;
    for workflow in [plain, past] {
        let mut world = World::new(workflow, Pins::default(), &[]);
        while !world.release.calls().any(|it| it == call_of(&world, "deploy")) {
            assert!(world.turn());
        }
        hold(&mut world, "deploy", true);
        assert!(world.release.is_held() && world.release.rollback().is_none());
    }
}
