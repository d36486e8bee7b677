//! What follows where the host is sure that a call changed nothing.

use serde_json::json;
use windlass_engine::{Input, Rejected, Release};
use windlass_model::event::{Event, Intervention};
use windlass_model::failure::{FailureClass, RetryAdvice};
use windlass_model::manifest::Effect;
use windlass_model::template::Template;
use windlass_model::time::Span;
use windlass_model::workflow::{OnFailure, Workflow};

use crate::world::{Does, Pins, World, fails, workflow};

const REFUSED: Does = Does::FailsBefore(FailureClass::Unauthenticated);
const UNREACHABLE: Does = Does::FailsBefore(FailureClass::Transient);

/// `a -> b`, rolled back when `b` has failed.
fn two() -> Workflow {
    let mut two = workflow("a -> b");
    two.steps[1].on_failure = OnFailure::Rollback;
    two
}

fn story(workflow: Workflow, pins: Pins, script: &[(&str, Vec<Does>)]) -> String {
    let mut world = World::new(workflow, pins, script);
    world.run();
    world.story()
}

#[test]
fn a_step_that_did_nothing_is_not_rolled_back() {
    let told = story(two(), Pins::default(), &[("b", vec![REFUSED])]);
    assert_eq!(
        told, "run a\nrun b: fails before it does anything (unauthenticated)\nrollback a\nrolled back\n",
        "{told}"
    );
}

#[test]
fn one_that_did_something_before_is_rolled_back() {
    // An earlier attempt of which nobody knows.
    let mut blocked = two();
    blocked.steps[1].retry.attempts = 2;
    let script = [("b", vec![Does::Fails(FailureClass::Transient), UNREACHABLE])];
    let no_find = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let told = story(blocked, no_find, &script);
    assert!(
        told.ends_with("fails before it does anything (transient)\nrollback b\nrollback a\nrolled back\n"),
        "{told}"
    );
    // The same call, before it waited.
    let told = story(two(), Pins::default(), &[("b", vec![Does::Suspends(1), REFUSED])]);
    assert!(told.ends_with("rollback b\nrollback a\nrolled back\n"), "{told}");
    // Another run of the step.
    let mut beside = workflow("a -> b; c");
    beside.steps[1].on_failure = OnFailure::Rollback;
    let script = [("b", vec![Does::Done(json!(1)), REFUSED]), ("c", vec![Does::Suspends(60)])];
    let mut world = World::new(beside, Pins::default(), &script);
    while world.state("b").name() != "succeeded" {
        assert!(world.turn());
    }
    world.intervene(Intervention::RunAgain { step: "b".parse().expect("a name") }).expect("accepted");
    world.run();
    assert!(
        world.story().contains("(unauthenticated)\n") && world.story().contains("rollback b\n"),
        "{}",
        world.story()
    );
}

#[test]
fn a_call_that_was_cut_off_before_may_have_done_something() {
    let no_find = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let mut world = World::new(two(), no_find, &[("b", vec![Does::Hangs, REFUSED])]);
    while !world.story().contains("run b: hangs") {
        assert!(world.turn());
    }
    world.crash();
    world.run();
    assert!(world.story().ends_with("rollback b\nrollback a\nrolled back\n"), "{}", world.story());
}

#[test]
fn a_call_that_was_left_to_the_next_driver_is_still_the_first() {
    let no_find = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    for begun_between in [false, true] {
        let mut world = World::new(two(), no_find, &[("b", vec![REFUSED])]);
        while world.state("b").name() != "running" {
            assert!(world.turn());
        }
        for _ in 0..2 {
            let record = world.release.leave_alone(world.now).expect("its call is to be made");
            world.journal.push(record);
            world.crash();
        }
        if begun_between {
            // The one that it was left to may have made it.
            world.crash();
        }
        world.run();
        assert_eq!(world.story().contains("rollback b"), begun_between, "{}", world.story());
        assert!(world.story().ends_with("rollback a\nrolled back\n"), "{}", world.story());
    }
}

/// Journals of before that was said in them count what was called then.
#[test]
fn an_older_journal_counts_the_call_that_was_left_as_it_did() {
    let mut world = World::new(workflow("a"), Pins::default(), &[]);
    let record = world.release.leave_alone(world.now).expect("its call is to be made");
    world.journal.push(record);
    world.crash();
    assert_eq!(world.state("a").activity().map(|it| it.call), Some(1));
    for record in &mut world.journal {
        for event in &mut record.events {
            if let Event::CallInterrupted { unbegun, .. } = event {
                *unbegun = false;
            }
        }
    }
    let older = Release::replay(world.plan.clone(), &world.journal).expect("a journal that can be replayed");
    let a = older.index_of(&"a".parse().expect("a name")).expect("a step");
    assert_eq!(older.step(a).state.activity().map(|it| it.call), Some(2));
}

/// It was left to the next driver, and came to an end before that: another call of its step is begun, and cut off.
#[test]
fn a_call_after_one_that_was_left_to_the_next_driver_is_one_of_its_own() {
    let no_find = Pins { find: false, cancel: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let mut slow = workflow("a");
    slow.steps[0].timeout = Some(Span::seconds(60));
    slow.steps[0].retry.attempts = 2;
    slow.steps[0].retry.on = [FailureClass::TimedOut].into();
    let mut world = World::new(slow, no_find, &[("a", vec![Does::Hangs])]);
    let record = world.release.leave_alone(world.now).expect("its call is to be made");
    world.journal.push(record);
    world.now = world.now + Span::seconds(61);
    let record = world.release.decide_last(Input::Tick { dice: 0 }, world.now).expect("it is late");
    world.journal.extend(record);
    assert_eq!(world.state("a").name(), "retrying");
    while !world.story().contains("run a: hangs") {
        assert!(world.turn());
    }
    world.crash();
    let activity = world.state("a").activity().expect("it is called");
    assert_eq!((activity.attempt, activity.call), (2, 2), "two calls of an attempt never have one number");
}

#[test]
fn what_did_nothing_is_tried_again_without_looking() {
    let again = "run a: fails before it does anything (transient)\nrun a\nsucceeded\n";
    for pins in [Pins::default(), Pins { find: false, ..Pins::default() }] {
        assert_eq!(story(workflow("a"), pins, &[("a", vec![UNREACHABLE])]), again);
    }
    // Unless there is an earlier attempt that may have done something, which only its plugin wanted repeated.
    let advised = Does::FailsFor(FailureClass::Transient, RetryAdvice::After(Span::seconds(1)));
    let script = [("a", vec![advised, UNREACHABLE])];
    let mut asked = workflow("a");
    asked.steps[0].on_failure = OnFailure::Pause;
    let told = story(asked.clone(), Pins { find: false, ..Pins::default() }, &script);
    assert!(told.contains("waits for a"), "{told}");
    let told = story(workflow("a"), Pins::default(), &script);
    assert_eq!(told.matches("find a: nothing").count(), 2, "{told}");
    // A person who tries again need not look either.
    asked.steps[0].retry.attempts = 1;
    let mut world = World::new(asked, Pins::default(), &[("a", vec![UNREACHABLE])]);
    world.run();
    world.intervene(Intervention::Retry { step: "a".parse().expect("a name") }).expect("accepted");
    world.run();
    assert!(world.story().ends_with("run a\nsucceeded\n") && !world.story().contains("find"), "{}", world.story());
}

/// What the host says before it asks anybody is not the other side's answer.
#[test]
fn a_call_that_was_not_made_says_nothing_of_the_one_before() {
    let mut asked = workflow("a");
    asked.steps[0].retry.attempts = 1;
    asked.steps[0].on_failure = OnFailure::Pause;
    let retry = || Intervention::Retry { step: "a".parse().expect("a name") };
    let idempotent = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let script = [("a", vec![Does::LosesItsAnswer, Does::IsNotCalled])];
    let mut world = World::new(asked.clone(), idempotent, &script);
    for _ in 0..2 {
        world.run();
        world.intervene(retry()).expect("accepted");
    }
    world.run();
    assert_eq!(world.effects["a"][0], world.effects["a"][1], "both calls carried one key: {}", world.story());
    // Where there was none before, it is over.
    let mut world = World::new(asked, idempotent, &[("a", vec![Does::IsNotCalled])]);
    world.run();
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    assert!(!world.story().contains("rollback a"), "{}", world.story());
}

/// A process ended in its first call; the next one finds out that it cannot make it again.
#[test]
fn a_call_that_cannot_be_made_again_leaves_the_doubt() {
    let mut pivot = two();
    pivot.steps[1].pivot = true;
    let no_find = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let mut world = World::new(pivot, no_find, &[("b", vec![Does::Hangs, Does::IsNotCalled])]);
    while !world.story().contains("run b: hangs") {
        assert!(world.turn());
    }
    world.crash();
    world.run();
    assert!(world.story().contains("waits for b"), "there is no way back by itself: {}", world.story());
    assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::PastPivot { .. })));
}

/// It was not let in, and before it runs again what it reads is gone.
#[test]
fn a_step_that_never_did_anything_is_not_rolled_back_for_an_expression() {
    let mut reads = workflow("a -> b");
    reads.steps[1].with = Template::parse(&json!({ "x": "${{ steps.a.output.id }}" })).expect("a template");
    reads.steps[1].on_failure = OnFailure::Fail;
    let script = [("a", vec![Does::Done(json!({"id": {}})), Does::Done(json!({}))]), ("b", vec![REFUSED])];
    let mut world = World::new(reads, Pins::default(), &script);
    world.run();
    world.intervene(Intervention::RunAgain { step: "a".parse().expect("a name") }).expect("accepted");
    world.run();
    world.intervene(Intervention::Rollback).expect("accepted");
    world.run();
    assert!(world.story().ends_with("failed\nrollback a\nrolled back\n"), "{}", world.story());
}

#[test]
fn a_point_of_no_return_that_did_nothing_is_not_passed() {
    let mut pivot = two();
    pivot.steps[1].pivot = true;
    let told = story(pivot.clone(), Pins::default(), &[("b", vec![REFUSED])]);
    assert!(told.ends_with("rollback a\nrolled back\n"), "{told}");
    // The same class, of which the host knows nothing.
    let told = story(pivot.clone(), Pins::default(), &[("b", fails(FailureClass::Unauthenticated))]);
    assert!(told.contains("waits for b"), "{told}");
    pivot.steps[1].retry.attempts = 1;
    pivot.steps[1].on_failure = OnFailure::Pause;
    let mut world = World::new(pivot.clone(), Pins::default(), &[("b", vec![UNREACHABLE])]);
    world.run();
    world.intervene(Intervention::Rollback).expect("there is a way back");
    let mut world = World::new(pivot, Pins::default(), &[("b", fails(FailureClass::Transient))]);
    world.run();
    assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::PastPivot { .. })));
}
