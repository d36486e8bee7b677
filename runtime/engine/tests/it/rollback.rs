//! What is rolled back, and in which order.

use expect_test::expect;
use windlass_engine::Rejected;
use windlass_model::event::Intervention;
use windlass_model::failure::FailureClass;
use windlass_model::workflow::{OnFailure, RollbackPart};

use crate::world::{Does, Pins, World, check, fails, workflow};

fn rolling_back(text: &str, failing: &str) -> windlass_model::workflow::Workflow {
    let mut workflow = workflow(text);
    for step in &mut workflow.steps {
        if step.name.as_str() == failing {
            step.on_failure = OnFailure::Rollback;
        }
    }
    workflow
}

#[test]
fn each_step_is_rolled_back_after_all_that_ran_after_it() {
    check(
        rolling_back("build -> left -> deploy; build -> right -> deploy; deploy -> verify -> announce", "verify"),
        &[("verify", fails(FailureClass::Rejected))],
        &expect![[r#"
            run build
            run left
            run right
            run deploy
            run verify: fails (rejected)
            rollback verify
            rollback deploy
            rollback left
            rollback right
            rollback build
            rolled back
        "#]],
    );
}

#[test]
fn a_rollback_waits_for_running_siblings_and_takes_them_in() {
    check(
        rolling_back("build -> canary -> announce; build -> audit", "audit"),
        &[("audit", fails(FailureClass::Rejected)), ("canary", vec![Does::Suspends(60)])],
        &expect![[r#"
            run build
            run canary: suspends
            run audit: fails (rejected)
            resume canary
            rollback canary
            rollback audit
            rollback build
            rolled back
        "#]],
    );
}

#[test]
fn steps_that_stay_are_passed_over() {
    let mut workflow = rolling_back("build -> change -> deploy", "deploy");
    workflow.steps[1].rollback = RollbackPart::Skip;
    check(
        workflow,
        &[("deploy", fails(FailureClass::Rejected))],
        &expect![[r#"
            run build
            run change
            run deploy: fails (rejected)
            rollback deploy
            rollback build
            rolled back
        "#]],
    );
}

#[test]
fn a_blocked_rollback_keeps_what_it_stands_on_and_waits_for_a_person() {
    let mut world = World::new(
        rolling_back("base -> left; base -> right; left -> end; right -> end", "end"),
        Pins::default(),
        &[("end", fails(FailureClass::Rejected)), ("left:rollback", fails(FailureClass::Rejected))],
    );
    world.run();
    expect![[r#"
        run base
        run left
        run right
        run end: fails (rejected)
        rollback end
        rollback left: fails (rejected)
        rollback right
        waits for left: its rollback failed: scripted (rejected): as scripted
    "#]]
    .assert_eq(&world.story());
    world.script.clear();
    world.intervene(Intervention::Retry { step: "left".parse().expect("a name") }).expect("accepted");
    world.run();
    assert!(world.story().ends_with("rollback left\nrollback base\nrolled back\n"), "{}", world.story());
}

#[test]
fn a_blocked_rollback_can_be_given_up() {
    let mut world = World::new(
        rolling_back("a -> b", "b"),
        Pins::default(),
        &[("b", fails(FailureClass::Rejected)), ("b:rollback", fails(FailureClass::Rejected))],
    );
    world.run();
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("partially rolled back"));
    assert_eq!(world.state("a").name(), "succeeded");
}

#[test]
fn a_release_that_succeeded_can_be_rolled_back_once() {
    let mut world = World::new(workflow("a -> b"), Pins::default(), &[]);
    world.run();
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    expect![[r#"
        run a
        run b
        succeeded
        rollback b
        rollback a
        rolled back
    "#]]
    .assert_eq(&world.story());
    assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::WrongState { .. })));
}

#[test]
fn canceling_with_rollback_stops_first() {
    let mut world = World::new(workflow("a -> b -> c"), Pins::default(), &[("b", vec![Does::Suspends(600)])]);
    while !world.is_suspended("b") {
        world.turn();
    }
    world.intervene(Intervention::Cancel { rollback: true }).expect("accepted");
    world.run();
    expect![[r#"
        run a
        run b: suspends
        cancel b
        rollback b
        rollback a
        rolled back
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn nobody_is_asked_for_what_nobody_can_answer_any_more() {
    let mut paused = rolling_back("a -> b -> c; a -> d -> e", "d");
    paused.steps.iter_mut().filter(|it| it.name.as_str() == "b").for_each(|it| it.on_failure = OnFailure::Pause);
    let script = [
        ("b", fails(FailureClass::Rejected)),
        ("d", vec![Does::Suspends(60), Does::Fails(FailureClass::Rejected)]),
        ("a:rollback", vec![Does::Suspends(60)]),
    ];
    let mut world = World::new(paused, Pins::default(), &script);
    let mut was_paused = false;
    while world.turn() {
        let asked = world.release.waits().iter().any(|it| it.step.as_ref().is_some_and(|it| it.as_str() == "b"));
        let is_running = *world.release.state() == windlass_engine::ReleaseState::Running;
        let is_paused = world.state("b").name() == "paused";
        was_paused |= is_paused && is_running;
        assert_eq!(asked, is_running && is_paused, "{}", world.story());
    }
    assert!(was_paused);
    assert_eq!(world.release.waits(), []);
    assert_eq!(world.release.outcome().map(|it| it.name()), Some("rolled back"));
}
