//! What people may ask of a release.

use expect_test::expect;
use serde_json::json;
use windlass_engine::{CHECKPOINTS_MAX, Input, Rejected};
use windlass_model::digest::Digest;
use windlass_model::event::{Intervention, Outcome};
use windlass_model::failure::FailureClass;
use windlass_model::name::StepName;
use windlass_model::plan::{Pin, Runs};
use windlass_model::template::Template;
use windlass_model::workflow::{ApprovalGate, Approver, Gate, OnFailure, Workflow};

use crate::world::{Does, Pins, World, actor, fails, workflow};

fn name(step: &str) -> StepName {
    step.parse().expect("a name")
}

fn pausing(text: &str) -> Workflow {
    let mut workflow = workflow(text);
    for step in &mut workflow.steps {
        step.on_failure = OnFailure::Pause;
    }
    workflow
}

fn output(world: &World, step: &str) -> serde_json::Value {
    let index = world.plan.index_of(&name(step)).expect("a step");
    world.release.step(index).output.as_deref().cloned().unwrap_or_default()
}

#[test]
fn a_paused_step_can_be_skipped_and_what_needs_it_runs() {
    let script = [("b", fails(FailureClass::Rejected))];
    let mut world = World::new(pausing("a -> b -> c"), Pins::default(), &script);
    world.run();
    world.intervene(Intervention::Skip { step: name("b"), output: None }).expect("accepted");
    world.run();
    expect![[r#"
        run a
        run b: fails (rejected)
        waits for b: scripted (rejected): as scripted
        run c
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.state("b").name(), "skipped");
}

#[test]
fn what_uses_the_output_of_a_skipped_step_needs_one() {
    let mut workflow = pausing("a -> b");
    workflow.steps[1].with = Template::parse(&json!({ "of": "${{ steps.a.output.number }}" })).expect("a template");
    let mut world = World::new(workflow, Pins::default(), &[("a", fails(FailureClass::Rejected))]);
    world.run();
    let refused = world.intervene(Intervention::Skip { step: name("a"), output: None }).expect_err("refused");
    expect!["step `a` cannot be skipped without an output, for b uses a part of its output: say what it is to be (`--output JSON`)"]
        .assert_eq(&refused.to_string());
    world.intervene(Intervention::Skip { step: name("a"), output: Some(json!({ "number": 7 })) }).expect("accepted");
    world.run();
    let index = world.plan.index_of(&name("b")).expect("a step");
    assert_eq!(world.release.step(index).input.as_deref(), Some(&json!({ "of": 7 })));
    assert_eq!(world.story().lines().last(), Some("succeeded"));
}

#[test]
fn mandatory_running_and_ended_steps_are_not_skipped() {
    let mut workflow = pausing("a -> b");
    workflow.steps[0].mandatory = true;
    let mut world =
        World::new(workflow, Pins::default(), &[("a", fails(FailureClass::Rejected)), ("b", vec![Does::Hangs])]);
    world.run();
    let skip = |step: &str| Intervention::Skip { step: name(step), output: None };
    assert!(matches!(world.intervene(skip("a")), Err(Rejected::Mandatory { .. })));
    world.script.remove("a");
    world.intervene(Intervention::Retry { step: name("a") }).expect("accepted");
    while world.turn() {}
    assert!(matches!(world.intervene(skip("a")), Err(Rejected::NotSkippable { .. })));
    assert!(matches!(world.intervene(skip("b")), Err(Rejected::NotSkippable { .. })));
    assert!(matches!(world.intervene(skip("nowhere")), Err(Rejected::UnknownStep { .. })));
}

#[test]
fn a_step_that_waits_can_be_skipped_before_its_turn() {
    let mut world = World::new(workflow("a -> b -> c"), Pins::default(), &[("a", vec![Does::Suspends(5)])]);
    world.turn();
    world.turn();
    world.intervene(Intervention::Skip { step: name("b"), output: None }).expect("accepted");
    world.run();
    expect![[r#"
        run a: suspends
        resume a
        run c
        succeeded
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn an_output_can_be_replaced_for_what_comes_next() {
    let mut workflow = pausing("a -> b -> c");
    workflow.steps[2].with = Template::parse(&json!({ "of": "${{ steps.a.output.step }}" })).expect("a template");
    let mut world = World::new(workflow, Pins::default(), &[("b", fails(FailureClass::Rejected))]);
    world.run();
    let replace = |step: &str| Intervention::ReplaceOutput { step: name(step), output: json!({ "step": "other" }) };
    assert!(matches!(world.intervene(replace("b")), Err(Rejected::NoOutput { .. })));
    world.intervene(replace("a")).expect("accepted");
    world.intervene(Intervention::Skip { step: name("b"), output: None }).expect("accepted");
    world.run();
    assert_eq!(output(&world, "a"), json!({ "step": "other" }));
    let index = world.plan.index_of(&name("c")).expect("a step");
    assert_eq!(world.release.step(index).input.as_deref(), Some(&json!({ "of": "other" })));
    assert!(matches!(world.intervene(replace("a")), Err(Rejected::NoOutput { .. })), "the release has ended");
}

#[test]
fn a_pause_holds_what_is_new_and_nothing_else() {
    let mut world = World::new(workflow("a -> b; c"), Pins::default(), &[("a", vec![Does::Suspends(5)])]);
    world.turn();
    world.turn();
    world.intervene(Intervention::Pause).expect("accepted");
    assert!(matches!(world.intervene(Intervention::Pause), Err(Rejected::WrongState { .. })));
    world.run();
    assert_eq!(world.state("a").name(), "succeeded", "what ran goes on");
    assert_eq!(world.state("c").name(), "succeeded", "what had started goes on");
    assert_eq!(world.state("b").name(), "waiting", "nothing new starts");
    assert_eq!(world.story().lines().last(), Some("waits for ana paused it: because"));
    world.crash();
    assert!(world.release.pause().is_some());
    world.intervene(Intervention::Resume).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("succeeded"));
    assert!(matches!(world.intervene(Intervention::Resume), Err(Rejected::WrongState { .. })));
}

#[test]
fn a_pause_holds_the_next_attempt_and_an_approved_start() {
    let mut workflow = workflow("a; b");
    workflow.steps[1].gates = vec![Gate::Approval(ApprovalGate {
        from: vec![Approver::User("ben".to_owned())],
        min: 1,
        requester_may_approve: false,
        message: None,
    })];
    let mut world = World::new(workflow, Pins::default(), &[("a", vec![Does::Fails(FailureClass::Transient)])]);
    world.turn();
    world.turn();
    assert!(world.release.wake_at().is_some(), "another attempt is due");
    world.intervene(Intervention::Pause).expect("accepted");
    assert_eq!(world.release.wake_at(), None);
    world.vote("b", actor("ben", &[]), true).expect("counted");
    assert_eq!(world.state("b").name(), "held");
    world.run();
    world.intervene(Intervention::Resume).expect("accepted");
    world.run();
    expect![[r#"
        run a: fails (transient)
        waits for ana paused it: because; a: attempt 1 failed: scripted (transient): as scripted
        run b
        find a: nothing
        run a
        succeeded
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn a_pause_ends_with_the_forward_work_it_holds() {
    // A sibling fails the paused release: what is left to end, ends, other attempts included.
    let mut failing = workflow("a; b");
    failing.steps[0].on_failure = OnFailure::Pause;
    let script = [
        ("a", vec![Does::Fails(FailureClass::Transient)]),
        ("b", vec![Does::Suspends(1), Does::Fails(FailureClass::Rejected)]),
    ];
    let mut world = World::new(failing, Pins::default(), &script);
    for _ in 0..4 {
        world.turn();
    }
    world.intervene(Intervention::Pause).expect("accepted");
    world.run();
    assert_eq!(world.release.outcome().map(|it| it.name()), Some("failed"), "{}", world.story());
    assert!(world.release.pause().is_none());
}

#[test]
fn what_was_approved_during_a_pause_starts_however_the_pause_ends() {
    let mut gated = workflow("a; b");
    gated.steps[1].gates = vec![Gate::Approval(ApprovalGate {
        from: vec![Approver::User("ben".to_owned())],
        min: 1,
        requester_may_approve: false,
        message: None,
    })];
    let mut world =
        World::new(gated, Pins::default(), &[("a", vec![Does::Suspends(1), Does::Fails(FailureClass::Rejected)])]);
    world.turn();
    world.turn();
    world.intervene(Intervention::Pause).expect("accepted");
    world.vote("b", actor("ben", &[]), true).expect("counted");
    world.run();
    world.script.clear();
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("succeeded"), "{}", world.story());
}

#[test]
fn a_rollback_is_not_held_by_a_pause() {
    let mut world = World::new(pausing("a -> b"), Pins::default(), &[("b", fails(FailureClass::Rejected))]);
    world.run();
    world.intervene(Intervention::Pause).expect("accepted");
    assert!(matches!(
        world.intervene(Intervention::Retry { step: name("b") }),
        Err(Rejected::WrongState { state: "paused", .. })
    ));
    world.script.insert("a:rollback".to_owned(), [Does::Fails(FailureClass::Transient)].into());
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    assert!(
        world.story().ends_with("rollback b\nrollback a: fails (transient)\nrollback a\nrolled back\n"),
        "{}",
        world.story()
    );
}

#[test]
fn a_failed_release_goes_on_with_the_step_that_failed() {
    let mut world =
        World::new(workflow("a -> b -> c; a -> d"), Pins::default(), &[("b", fails(FailureClass::Rejected))]);
    world.run();
    world.script.clear();
    assert!(matches!(world.intervene(Intervention::RunAgain { step: name("c") }), Err(Rejected::HasNotRun { .. })));
    world.intervene(Intervention::RunAgain { step: name("b") }).expect("accepted");
    world.run();
    expect![[r#"
        run a
        run b: fails (rejected)
        run d
        failed
        run b
        run c
        succeeded
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn a_step_and_all_after_it_run_again_as_other_calls() {
    let mut world = World::new(pausing("a -> b -> c"), Pins::default(), &[("c", fails(FailureClass::Rejected))]);
    world.run();
    world.script.clear();
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.crash();
    world.run();
    assert!(world.story().ends_with("run a\nrun b\nrun c\nsucceeded\n"), "{}", world.story());
    let keys = &world.effects["a"];
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1], "the other side must not take the second for the first");
    let index = world.plan.index_of(&name("b")).expect("a step");
    assert_eq!(world.release.step(index).attempts, 2);
}

#[test]
fn of_an_earlier_run_is_known_what_its_work_came_to_and_not_what_was_so_before() {
    let mut world = World::new(pausing("a -> b"), Pins::default(), &[("b", fails(FailureClass::Rejected))]);
    let record = |world: &mut World, name: String, value: u8| {
        let call = world.release.calls().next().expect("a is called");
        world.tell(Input::CheckpointReached { call, name, value: vec![value] })
    };
    let key = |world: &World| {
        world.release.order(world.release.calls().next().expect("a call")).expect("one").idempotency_key
    };
    world.turn();
    let first = format!("job/{}", key(&world));
    record(&mut world, first.clone(), 1).expect("there is room");
    for number in 1..CHECKPOINTS_MAX {
        record(&mut world, format!("p{number}"), 1).expect("there is room");
    }
    world.run();
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.turn();
    let index = world.plan.index_of(&name("a")).expect("a step");
    let second = format!("job/{}", key(&world));
    assert_ne!(first, second);
    for number in 1..CHECKPOINTS_MAX {
        record(&mut world, format!("p{number}"), 2).expect("there is room again");
    }
    record(&mut world, second.clone(), 2).expect("there is room again");
    world.crash();
    let all = world.release.step(index).all_recorded();
    assert_eq!((all[first.as_str()], all[second.as_str()], all["p1"]), (&[1][..], &[2][..], &[2][..]));
    assert_eq!(all.len(), CHECKPOINTS_MAX + 1);
}

#[test]
fn what_ran_before_a_second_run_is_rolled_back_too() {
    let mut world = World::new(pausing("a -> b"), Pins::default(), &[("b", fails(FailureClass::Rejected))]);
    world.run();
    world.script.insert("a".to_owned(), fails(FailureClass::Rejected).into());
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.run();
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    // `b` waits for its second run; the effect of its first one, if there was one, is still there.
    assert!(world.story().ends_with("rollback b\nrollback a\nrolled back\n"), "{}", world.story());
}

#[test]
fn what_runs_does_not_run_again_at_the_same_time() {
    let mut world = World::new(workflow("a -> b"), Pins::default(), &[("b", vec![Does::Hangs])]);
    while world.turn() {}
    assert!(matches!(world.intervene(Intervention::RunAgain { step: name("a") }), Err(Rejected::StillRuns { .. })));
}

#[test]
fn a_canceled_release_goes_on_from_what_was_stopped() {
    let mut world =
        World::new(workflow("a -> b; c -> d"), Pins::default(), &[("a", vec![Does::Hangs]), ("c", vec![Does::Hangs])]);
    while world.turn() {}
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("canceled"));
    world.script.clear();
    world.intervene(Intervention::RunAgain { step: name("a") }).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("succeeded"));
    for step in ["a", "b", "c", "d"] {
        assert_eq!(world.state(step).name(), "succeeded", "{step}");
    }
}

#[test]
fn a_step_whose_input_had_no_value_runs_when_what_it_reads_is_corrected() {
    let mut wired = pausing("a -> b");
    wired.steps[1].with = Template::parse(&json!({ "url": "${{ steps.a.output.url }}" })).expect("a template");
    let mut world = World::new(wired, Pins::default(), &[]);
    world.run();
    world
        .intervene(Intervention::ReplaceOutput { step: name("a"), output: json!({ "url": "there" }) })
        .expect("accepted");
    world.intervene(Intervention::RunAgain { step: name("b") }).expect("accepted");
    world.run();
    assert!(world.story().ends_with("run b\nsucceeded\n"), "{}", world.story());
    let index = world.plan.index_of(&name("b")).expect("a step");
    assert_eq!(world.release.step(index).input.as_deref(), Some(&json!({ "url": "there" })));
}

#[test]
fn an_effect_of_an_earlier_run_is_rolled_back_though_the_second_had_no_input() {
    let mut wired = pausing("a -> b -> c");
    wired.steps[1].with = Template::parse(&json!({ "url": "${{ steps.a.output.step }}" })).expect("a template");
    let mut world = World::new(wired, Pins::default(), &[("c", fails(FailureClass::Rejected))]);
    world.run();
    world.intervene(Intervention::ReplaceOutput { step: name("a"), output: json!({}) }).expect("accepted");
    world.intervene(Intervention::RunAgain { step: name("b") }).expect("accepted");
    world.run();
    assert_eq!(world.state("b").name(), "paused");
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    assert!(world.story().ends_with("rollback c\nrollback b\nrollback a\nrolled back\n"), "{}", world.story());
}

#[test]
fn a_blocked_rollback_is_settled_by_hand() {
    for (done, end, parent) in [(true, "rolled back", "rolled_back"), (false, "partially rolled back", "rolled_back")] {
        let mut workflow = workflow("a -> b");
        workflow.steps[1].on_failure = OnFailure::Rollback;
        let script = [("b", fails(FailureClass::Rejected)), ("b:rollback", fails(FailureClass::Rejected))];
        let mut world = World::new(workflow, Pins::default(), &script);
        world.run();
        let settle = |step: &str| Intervention::SettleRollback { step: name(step), done };
        assert!(matches!(world.intervene(settle("a")), Err(Rejected::NotBlocked { .. })));
        world.intervene(settle("b")).expect("accepted");
        world.run();
        assert_eq!(world.story().lines().last(), Some(end));
        assert_eq!(world.state("a").name(), parent);
    }
}

#[test]
fn every_intervention_has_a_reason() {
    let mut world = World::new(workflow("a"), Pins::default(), &[]);
    let input =
        Input::Intervene { actor: actor("ana", &[]), reason: " ".to_owned(), intervention: Intervention::Pause };
    assert!(matches!(world.tell(input), Err(Rejected::NoReason)));
}

#[test]
fn a_step_goes_on_with_another_version_of_its_plugin_and_is_rolled_back_with_it() {
    let script = [("b", vec![Does::Fails(FailureClass::Invalid)])];
    let mut pausing = workflow("a -> b");
    pausing.steps[1].on_failure = OnFailure::Pause;
    let mut world = World::new(pausing, Pins { rollback: false, ..Pins::default() }, &script);
    world.run();
    let index = world.release.index_of(&name("b")).expect("a step");
    let other = Pin {
        runs: Runs::Component(Digest::of(b"p 2")),
        version: "2.0.0".parse().expect("a version"),
        rollback: true,
        ..world.release.pin(index).clone()
    };
    let with = || Intervention::RetryWith { step: name("b"), pin: Box::new(other.clone()) };
    world.intervene(with()).expect("it is paused");
    assert!(matches!(world.intervene(with()), Err(Rejected::NotPaused { .. })), "once it runs it is too late");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    world.crash();
    assert_eq!(world.release.pin(index), &other);
    assert_eq!(world.release.plan().pin(index).version.to_string(), "1.0.0", "the plan is as it was");
    world.intervene(Intervention::Rollback).expect("it succeeded");
    world.run();
    assert!(world.story().contains("rollback b\n") && !world.story().contains("rollback a"), "{}", world.story());
}
