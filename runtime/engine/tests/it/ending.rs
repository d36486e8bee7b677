//! Deadlines, thresholds, delays, points of no return, and what runs last.

use expect_test::expect;
use serde_json::json;
use windlass_engine::{Rejected, ReleaseState, StepState};
use windlass_model::event::{Intervention, Outcome};
use windlass_model::failure::FailureClass;
use windlass_model::fan_out::{Allowance, ForEach, Items};
use windlass_model::name::StepName;
use windlass_model::template::Template;
use windlass_model::time::Span;
use windlass_model::workflow::{Deadline, OnDeadline, OnFailure, OutputType, PhaseRules, Threshold, Workflow};

use crate::world::{Does, Pins, World, check, fails, workflow};

fn name(text: &str) -> StepName {
    text.parse().expect("a name")
}

/// `a -> b`, and `notify -> archive` at the end.
fn with_finally() -> Workflow {
    let mut workflow = workflow("a -> b; notify -> archive");
    workflow.steps[2].finally = true;
    workflow.steps[3].finally = true;
    let input = json!({"how": "${{ release.outcome }}", "b": "${{ steps.b.state }}"});
    workflow.steps[2].with = Template::parse(&input).expect("good");
    workflow
}

fn phased(text: &str, rules: PhaseRules) -> Workflow {
    let mut workflow = workflow(text);
    workflow.phases = vec!["wave".parse().expect("a name")];
    for step in &mut workflow.steps {
        step.phase = Some(workflow.phases[0].clone());
    }
    workflow.phase_rules.insert(workflow.phases[0].clone(), rules);
    workflow
}

#[test]
fn the_deadline_of_a_phase_that_is_over_is_forgotten() {
    let mut two = phased("a -> b", PhaseRules { deadline: deadline(100, OnDeadline::Fail), threshold: None });
    two.steps[1].phase = None;
    let waits = [("a", vec![Does::Suspends(50)]), ("b", vec![Does::Suspends(7_200)])];
    let mut world = World::new(two, Pins::default(), &waits);
    while !world.is_suspended("b") {
        assert!(world.turn(), "something can be done");
    }
    let wakes = world.release.wake_at().expect("it waits");
    assert!(wakes >= world.now + Span::seconds(7_200), "it wakes for its step only: {wakes} at {}", world.now);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn a_release_that_ended_badly_says_why_in_one_short_line() {
    let mut world =
        World::new(workflow("build -> deploy"), Pins::default(), &[("deploy", fails(FailureClass::Invalid))]);
    world.run();
    let headline = world.release.headline();
    assert!(headline.starts_with("failed: deploy: ") && headline.contains("invalid"), "{headline}");
    let mut world = World::new(workflow("build"), Pins::default(), &[]);
    world.run();
    assert_eq!(world.release.headline(), "succeeded");
    world.intervene(Intervention::Rollback).expect("it succeeded");
    world.run();
    let headline = world.release.headline();
    assert!(headline.starts_with("rolled back: ") && headline.len() > "rolled back: ".len(), "{headline}");
}

#[test]
fn what_runs_last_runs_however_the_release_ends() {
    for (script, outcome, how, b) in [
        (vec![], Outcome::Succeeded, "succeeded", "succeeded"),
        (vec![("a", fails(FailureClass::Invalid))], Outcome::Failed, "failed", "waiting"),
        (vec![("b", fails(FailureClass::Invalid))], Outcome::Failed, "failed", "failed"),
    ] {
        let mut world = World::new(with_finally(), Pins::default(), &script);
        world.run();
        assert_eq!(world.release.outcome(), Some(outcome));
        let notify = world.release.step(world.release.index_of(&name("notify")).expect("a step"));
        assert_eq!(notify.input.as_deref(), Some(&json!({"how": how, "b": b})));
        assert!(world.story().contains("run notify\nrun archive\n"), "{}", world.story());
    }
}

#[test]
fn it_runs_after_a_rollback_and_again_when_the_release_ends_again() {
    let mut world = World::new(with_finally(), Pins::default(), &[]);
    world.run();
    world.intervene(Intervention::Rollback).expect("it succeeded");
    world.run();
    expect![[r#"
        run a
        run b
        run notify
        run archive
        succeeded
        rollback b
        rollback a
        run notify
        run archive
        rolled back
    "#]]
    .assert_eq(&world.story());
    let notify = world.release.step(world.release.index_of(&name("notify")).expect("a step"));
    assert_eq!(notify.input.as_deref(), Some(&json!({"how": "rolled_back", "b": "rolled_back"})));
    assert_eq!(world.effects["notify"].len(), 2, "each is a call of its own for the other side");
}

#[test]
fn it_is_retried_and_skipped_like_others_and_a_failure_of_it_fails_a_success() {
    let mut pausing = with_finally();
    pausing.steps[2].on_failure = OnFailure::Pause;
    let script = [("notify", fails(FailureClass::Invalid))];
    let mut world = World::new(pausing, Pins::default(), &script);
    world.run();
    assert_eq!(world.release.state().name(), "finishing");
    world.intervene(Intervention::Retry { step: name("notify") }).expect("it is paused");
    world.run();
    world.intervene(Intervention::Skip { step: name("notify"), output: None }).expect("it is paused");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    let again = world.intervene(Intervention::RunAgain { step: name("notify") });
    assert!(matches!(again, Err(Rejected::RunsLast { .. })), "{again:?}");

    check(
        with_finally(),
        &[("notify", fails(FailureClass::Invalid))],
        &expect![[r#"
            run a
            run b
            run notify: fails (invalid)
            failed
        "#]],
    );
}

#[test]
fn who_has_had_enough_of_what_runs_last_cancels_it_and_the_outcome_stays() {
    let script = [("notify", vec![Does::Suspends(600)])];
    let mut world = World::new(with_finally(), Pins::default(), &script);
    while !world.is_suspended("notify") {
        assert!(world.turn());
    }
    let rollback = world.intervene(Intervention::Rollback);
    assert!(matches!(rollback, Err(Rejected::WrongState { .. })), "{rollback:?}");
    world.crash();
    world.intervene(Intervention::Cancel { rollback: false }).expect("it waits");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    assert_eq!(world.state("archive"), &StepState::Waiting);
}

#[test]
fn a_canceled_release_finishes_too() {
    let mut world = World::new(with_finally(), Pins::default(), &[("a", vec![Does::Suspends(600)])]);
    while !world.is_suspended("a") {
        assert!(world.turn());
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("it runs");
    world.run();
    assert_eq!(world.story(), "run a: suspends\ncancel a\nrun notify\nrun archive\ncanceled\n");
}

#[test]
fn a_delay_holds_a_step_and_costs_nothing() {
    let mut delayed = workflow("a -> b");
    delayed.steps[1].delay = Some(Span::seconds(3600));
    let mut world = World::new(delayed, Pins::default(), &[]);
    while world.state("b").name() != "held" {
        assert!(world.turn());
    }
    let began = world.now;
    assert_eq!(world.release.calls().count(), 0);
    assert_eq!(world.release.wake_at(), Some(began + Span::seconds(3600)));
    let waits = world.release.waits();
    assert_eq!(waits[0].text, "starts 1h after its turn has come");
    world.crash();
    world.run();
    assert_eq!(world.now, began + Span::seconds(3600));
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}

fn deadline(seconds: u64, then: OnDeadline) -> Option<Deadline> {
    Some(Deadline { within: Span::seconds(seconds), then })
}

#[test]
fn a_release_over_its_time_is_stopped_and_has_failed() {
    for (then, end) in [
        (OnDeadline::Fail, "cancel b\nfailed\n"),
        (OnDeadline::Rollback, "cancel b\nrollback b\nrollback a\nrolled back\n"),
    ] {
        let mut bounded = workflow("a -> b -> c");
        bounded.deadline = deadline(100, then);
        let mut world = World::new(bounded, Pins::default(), &[("b", vec![Does::Suspends(500)])]);
        world.run();
        assert_eq!(world.story(), format!("run a\nrun b: suspends\n{end}"));
        let headline = world.release.headline();
        assert!(headline.contains("its deadline of 1m40s"), "{headline}");
    }
}

#[test]
fn a_release_over_its_time_may_pause_and_runs_on_when_somebody_resumes_it() {
    let mut bounded = workflow("a -> b");
    bounded.deadline = deadline(100, OnDeadline::Pause);
    let mut world = World::new(bounded, Pins::default(), &[("a", vec![Does::Suspends(500)])]);
    world.run();
    world.intervene(Intervention::Resume).expect("it is paused");
    world.run();
    expect![[r#"
        run a: suspends
        resume a
        waits for the deadline paused it: the release took longer than its deadline of 1m40s
        run b
        succeeded
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn past_a_point_of_no_return_a_deadline_asks_a_person_instead_of_rolling_back() {
    let mut bounded = workflow("a -> b -> c");
    bounded.steps[0].pivot = true;
    bounded.deadline = deadline(100, OnDeadline::Rollback);
    let mut world = World::new(bounded, Pins::default(), &[("b", vec![Does::Suspends(500)])]);
    world.run();
    assert_eq!((world.release.outcome(), world.release.rollback()), (None, None), "{}", world.story());
    world.intervene(Intervention::Resume).expect("it is paused");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    assert!(!world.story().contains("cancel") && !world.story().contains("rollback"), "{}", world.story());
}

#[test]
fn a_phase_has_its_own_time_from_its_first_step_on() {
    let mut slow = phased("b -> c", PhaseRules { deadline: deadline(100, OnDeadline::Fail), threshold: None });
    slow.steps.extend(workflow("a").steps);
    slow.phases.insert(0, "early".parse().expect("a name"));
    slow.steps[2].phase = Some(slow.phases[0].clone());
    let script = |b| [("a", vec![Does::Suspends(500)]), ("b", vec![Does::Suspends(b)])];
    let mut world = World::new(slow.clone(), Pins::default(), &script(90));
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    let mut world = World::new(slow, Pins::default(), &script(110));
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed), "{}", world.story());
    world.intervene(Intervention::RunAgain { step: name("b") }).expect("it failed");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "its time begins anew: {}", world.story());
}

#[test]
fn one_failure_too_many_stops_the_phase() {
    let threshold = |rollback| PhaseRules {
        deadline: None,
        threshold: Some(Threshold { failures_allowed: Allowance::Count(1), rollback }),
    };
    let script = [("a", fails(FailureClass::Invalid)), ("b", fails(FailureClass::Invalid))];
    for (rollback, end) in [(false, "failed\n"), (true, "rollback b\nrollback a\nrolled back\n")] {
        let mut tolerant = phased("a -> b -> c", threshold(rollback));
        tolerant.steps.iter_mut().for_each(|it| it.on_failure = OnFailure::Continue);
        let mut world = World::new(tolerant.clone(), Pins::default(), &script);
        world.run();
        assert_eq!(world.story(), format!("run a: fails (invalid)\nrun b: fails (invalid)\n{end}"));
        let mut world = World::new(tolerant, Pins::default(), &script[..1]);
        world.run();
        assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    }
}

#[test]
fn a_part_of_a_phase_that_may_fail_is_counted_over_its_steps_and_their_items() {
    let threshold = Threshold { failures_allowed: Allowance::Percent(40), rollback: false };
    let mut waves = phased("a -> test -> c", PhaseRules { deadline: None, threshold: Some(threshold) });
    let list = Template::parse(&json!(["w", "x", "y", "z"])).expect("a template");
    let for_each = ForEach { failures_allowed: Allowance::Count(4), ..ForEach::of(Items::List(list)) };
    waves.steps[1].for_each = Some(for_each);
    waves.steps.iter_mut().for_each(|it| it.on_failure = OnFailure::Continue);
    let script = ["test.1", "test.2", "test.3"].map(|it| (it, fails(FailureClass::Invalid)));
    // Of two steps and four items, 40 % are two.
    let mut world = World::new(waves.clone(), Pins::default(), &script[..2]);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    let mut world = World::new(waves, Pins::default(), &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed), "{}", world.story());
    let headline = world.release.headline();
    assert!(headline.contains("3 of 6 failed"), "{headline}");
}

#[test]
fn past_a_point_of_no_return_there_is_only_forward() {
    let mut pivoting = workflow("a -> b -> c");
    pivoting.steps[1].pivot = true;
    pivoting.steps[2].on_failure = OnFailure::Rollback;
    let script = [("c", vec![Does::Fails(FailureClass::Invalid)])];
    let mut world = World::new(pivoting.clone(), Pins::default(), &script);
    world.run();
    for asked in [Intervention::Rollback, Intervention::Cancel { rollback: true }] {
        assert_eq!(world.intervene(asked), Err(Rejected::PastPivot { step: name("b") }));
    }
    world.intervene(Intervention::Retry { step: name("c") }).expect("it waits for somebody");
    world.run();
    expect![[r#"
        run a
        run b
        run c: fails (invalid)
        waits for c: scripted (invalid): as scripted
        run c
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.intervene(Intervention::Rollback), Err(Rejected::PastPivot { step: name("b") }));

    // Before it, and when it failed for certain, there is a way back.
    pivoting.steps[1].on_failure = OnFailure::Rollback;
    check(
        pivoting,
        &[("b", fails(FailureClass::Rejected))],
        &expect![[r#"
            run a
            run b: fails (rejected)
            rollback b
            rollback a
            rolled back
        "#]],
    );
}

#[test]
fn a_rollback_keeps_to_the_order_that_steps_ask_for() {
    let mut ordered = workflow("a; b; c");
    ordered.steps[0].rollback_after = vec![name("c")];
    ordered.steps[2].rollback_after = vec![name("b")];
    let mut world = World::new(ordered, Pins::default(), &[]);
    world.run();
    world.intervene(Intervention::Rollback).expect("it succeeded");
    world.run();
    assert!(world.story().ends_with("rollback b\nrollback c\nrollback a\nrolled back\n"), "{}", world.story());
}

#[test]
fn a_release_whose_outputs_are_not_what_it_declares_fails_and_can_go_on() {
    let mut workflow = with_finally();
    let declare = |schema| OutputType { schema, description: None };
    workflow.outputs.insert("count".to_owned(), Template::parse(&json!("${{ steps.b.output }}")).expect("good"));
    workflow.output_types.insert("count".to_owned(), declare(json!({"type": "integer"})));
    let mut world =
        World::new(workflow, Pins::default(), &[("b", vec![Does::Done(json!("many")), Does::Done(json!(3))])]);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
    let problem = "output `count` is not what it is declared to be: \"many\" is a text, not a whole number";
    assert_eq!(world.release.outputs_refused(), Some(problem));
    assert_eq!(world.release.headline(), problem);
    let notify = world.release.step(world.release.index_of(&name("notify")).expect("a step"));
    assert_eq!(notify.input.as_deref(), Some(&json!({"how": "failed", "b": "succeeded"})), "what runs last sees it");
    world.intervene(Intervention::RunAgain { step: name("b") }).expect("it failed");
    assert_eq!(world.release.outputs_refused(), None);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    assert!(matches!(world.release.state(), ReleaseState::Ended { outputs, .. } if *outputs == json!({"count": 3})));
}

#[test]
fn an_output_without_a_value_is_none_unless_it_is_declared() {
    let gone = Template::parse(&json!("${{ steps.a.output.gone }}")).expect("good");
    for declared in [false, true] {
        let mut workflow = workflow("a");
        workflow.outputs.insert("it".to_owned(), gone.clone());
        if declared {
            let schema = json!({"type": "string"});
            workflow.output_types.insert("it".to_owned(), OutputType { schema, description: None });
        }
        let mut world = World::new(workflow, Pins::default(), &[("a", vec![Does::Done(json!({}))])]);
        world.run();
        let outcome = if declared { Outcome::Failed } else { Outcome::Succeeded };
        assert_eq!(world.release.outcome(), Some(outcome));
        assert_eq!(world.release.outputs_refused().is_some_and(|it| it.contains("`it` has no value")), declared);
    }
}
