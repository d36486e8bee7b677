//! Calls that a breaker holds: what waits, what that costs (nothing), and what is never held.

use windlass_engine::{Call, CallId, Input, Rejected, Release, StepState, Wait, WaitCause};
use windlass_model::event::{HeldBy, Hold, Intervention, Outcome};
use windlass_model::failure::FailureClass;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::{OnFailure, Workflow};

use crate::world::{Does, Pins, World, fails, workflow};

fn by(breaker: &str) -> Hold {
    Hold {
        by: HeldBy::Breaker(breaker.to_owned()),
        text: "5 failed in a row".to_owned(),
        owner: "whoever looks after `api`".to_owned(),
        until: Some(Timestamp(9_000_000)),
    }
}

fn call(world: &World, step: &str) -> CallId {
    let index = world.release.index_of(&step.parse().expect("a name")).expect("a step");
    let calls = world.release.calls().chain(world.release.held_calls().map(|(it, _)| it));
    calls.into_iter().find(|it| it.step == index).expect("it is to be called, or held")
}

fn hold(world: &mut World, step: &str) -> Result<(), Rejected> {
    let call = call(world, step);
    world.tell(Input::CallHeld { call, hold: by("connection:http/api"), is_open: true })
}

fn let_through(world: &mut World, step: &str) -> Result<(), Rejected> {
    let call = call(world, step);
    world.tell(Input::CallLetThrough { call })
}

fn breaker_wait(world: &World) -> Option<Wait> {
    world.release.waits().into_iter().find(|it| it.cause == WaitCause::Breaker)
}

fn world(workflow: Workflow, script: &[(&str, Vec<Does>)]) -> World {
    World::new(workflow, Pins::default(), script)
}

fn attempts(world: &World, step: &str) -> u32 {
    let index = world.release.index_of(&step.parse().expect("a name")).expect("a step");
    world.release.step(index).attempts
}

#[test]
fn a_held_call_waits_with_a_cause_and_goes_on_where_it_was() {
    let mut world = world(workflow("build -> deploy"), &[]);
    assert!(!world.release.has_begun());
    hold(&mut world, "build").expect("it can be held");
    // Told again, nothing is recorded; by another breaker, that is.
    let records = world.journal.len();
    hold(&mut world, "build").expect("as before");
    assert_eq!(world.journal.len(), records);
    world.run();
    let wait = breaker_wait(&world).expect("it waits");
    assert_eq!(wait.text, "connection:http/api is open: 5 failed in a row");
    assert_eq!(wait.owner, "whoever looks after `api`");
    assert_eq!(wait.until, Some(Timestamp(9_000_000)));
    assert_eq!(wait.action, "breaker reset connection:http/api --reason …");
    let call = call(&world, "build");
    world.tell(Input::CallHeld { call, hold: by("global"), is_open: true }).expect("another one holds it now");
    assert!(breaker_wait(&world).expect("it waits").text.starts_with("global is open"));
    assert!(!world.release.has_begun() && world.release.is_held());
    // The process ends: it waits as before, and nobody takes it for a call that was cut off.
    let records = world.journal.len();
    world.crash();
    assert_eq!(world.journal.len(), records);
    let_through(&mut world, "build").expect("it was held");
    assert!(world.release.held_calls().next().is_none());
    assert_eq!(let_through(&mut world, "build"), Err(Rejected::LateAnswer));
    world.run();
    assert_eq!(
        world.story(),
        "waits for build: connection:http/api is open: 5 failed in a row\nrun build\nrun deploy\nsucceeded\n"
    );
    assert_eq!((attempts(&world, "build"), world.effects["build"].len()), (1, 1));
}

#[test]
fn a_wait_spends_neither_attempts_nor_their_time() {
    let mut workflow = workflow("build -> deploy");
    workflow.steps[0].timeout = Some(Span::seconds(30));
    workflow.steps[0].retry.within = Some(Span::seconds(120));
    workflow.steps[0].retry.on = std::iter::once(FailureClass::Conflict).collect();
    let mut world = world(
        workflow,
        &[(
            "build",
            vec![Does::Fails(FailureClass::Conflict), Does::Fails(FailureClass::Conflict), Does::Suspends(20)],
        )],
    );
    for attempt in 1..=3 {
        while !world.release.calls().any(|it| it.attempt == attempt) {
            assert!(world.turn(), "attempt {attempt} comes");
        }
        hold(&mut world, "build").expect("a new attempt can be held");
        assert_eq!(world.release.wake_at(), None, "no time runs");
        world.now = world.now + Span::seconds(3600);
        world.crash();
        let_through(&mut world, "build").expect("it was held");
    }
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    assert_eq!(attempts(&world, "build"), 3);
}

#[test]
fn a_release_that_fails_or_is_canceled_does_not_wait_for_a_breaker() {
    // What was held did nothing, and is not rolled back; what ran is.
    let mut workflow = workflow("build -> a; build -> b");
    for step in &mut workflow.steps {
        step.on_failure = OnFailure::Rollback;
    }
    let failing = || world(workflow.clone(), &[("b", fails(FailureClass::Invalid))]);
    let mut world = failing();
    while !world.release.calls().any(|it| world.release.name_of(it.step).as_str() == "a") {
        assert!(world.turn());
    }
    hold(&mut world, "a").expect("it can be held");
    world.run();
    assert_eq!(world.state("a"), &StepState::Canceled);
    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack), "{}", world.story());
    assert_eq!(world.story(), "run build\nrun b: fails (invalid)\nrollback b\nrollback build\nrolled back\n");
    for (intervention, story) in [
        (Intervention::Cancel { rollback: false }, "run build\ncanceled\n"),
        (Intervention::Cancel { rollback: true }, "run build\nrollback build\nrolled back\n"),
        (Intervention::Rollback, "run build\nrollback build\nrolled back\n"),
    ] {
        let mut world = failing();
        while !world.release.calls().any(|it| world.release.name_of(it.step).as_str() == "a") {
            assert!(world.turn());
        }
        hold(&mut world, "a").expect("it can be held");
        hold(&mut world, "b").expect("it can be held");
        world.intervene(intervention).expect("never held");
        world.run();
        assert_eq!(world.story(), story);
    }
}

#[test]
fn what_runs_in_a_failing_release_ends_by_itself() {
    let script = [("build", vec![Does::Fails(FailureClass::Transient)]), ("other", fails(FailureClass::Invalid))];
    let mut world = world(workflow("build; other"), &script);
    while !world.release.calls().any(|it| it.attempt == 2) {
        assert!(world.turn(), "{}", world.story());
    }
    assert_eq!(world.release.state().name(), "failing");
    let retry = call(&world, "build");
    assert!(!world.release.may_be_held(retry), "nobody asks");
    assert_eq!(hold(&mut world, "build"), Err(Rejected::NotToBeHeld));
    world.run();
    assert_eq!((world.state("build"), world.release.outcome()), (&StepState::Succeeded, Some(Outcome::Failed)));
}

#[test]
fn a_retry_that_is_held_keeps_what_the_attempt_before_it_may_have_done() {
    let mut workflow = workflow("build");
    workflow.steps[0].retry.on = std::iter::once(FailureClass::Transient).collect();
    let mut world = world(workflow, &[("build", vec![Does::LosesItsAnswer])]);
    // The attempt before may have had its effect, so it is looked for, which is held as well; then it is not found.
    world.script.insert("build:find".to_owned(), [Does::NotFound].into());
    let begins_or_looks = |world: &World, look: bool| {
        world
            .release
            .calls()
            .any(|it| it.attempt == 2 && if look { is_look(world, it) } else { is_beginning(world, it) })
    };
    for look in [true, false] {
        while !begins_or_looks(&world, look) {
            assert!(world.turn(), "{}", world.story());
        }
        hold(&mut world, "build").expect("it can be held");
        assert!(world.release.has_begun());
        if look {
            let_through(&mut world, "build").expect("it was held");
        }
    }
    world.intervene(Intervention::Cancel { rollback: true }).expect("never held");
    world.run();
    assert!(world.story().ends_with("rollback build\nrolled back\n"), "{}", world.story());
}

fn is_look(world: &World, call: CallId) -> bool {
    world.release.order(call).is_some_and(|it| it.call == Call::Find)
}

fn is_beginning(world: &World, call: CallId) -> bool {
    world.release.order(call).is_some_and(|it| matches!(it.call, Call::Begin { .. }))
}

/// Where nobody answers, the look fails as the call would, and spends attempts; held, it goes on as a look.
#[test]
fn a_look_for_an_effect_is_held_and_goes_on_as_one() {
    // Of another attempt, and of a call that a process took with it, whose work had begun.
    for crashes in [false, true] {
        let mut workflow = workflow("build");
        workflow.steps[0].retry.on = std::iter::once(FailureClass::Transient).collect();
        let script = if crashes { Vec::new() } else { vec![Does::LosesItsAnswer] };
        let mut world = world(workflow, &[("build", script)]);
        let began = call(&world, "build");
        let checkpoint = Input::CheckpointReached { call: began, name: "job".to_owned(), value: vec![1] };
        world.tell(checkpoint).expect("recorded");
        if crashes {
            world.crash();
        }
        while !world.release.calls().any(|it| is_look(&world, it)) {
            assert!(world.turn(), "{}", world.story());
        }
        let looked = call(&world, "build");
        hold(&mut world, "build").expect("it can be held");
        assert!(world.release.has_begun() && breaker_wait(&world).is_some());
        // It is as open as before whether it had its effect.
        assert_eq!(world.release.rollback_preview(world.now).steps.len(), 1);
        let records = world.journal.len();
        world.now = world.now + Span::seconds(3600);
        world.crash();
        assert_eq!((world.journal.len(), world.release.wake_at()), (records, None));
        let_through(&mut world, "build").expect("it was held");
        assert_eq!(call(&world, "build"), looked);
        assert!(is_look(&world, looked), "and not begun anew");
        world.run();
        assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
        assert_eq!(world.effects["build"].len(), 1);
        assert_eq!(attempts(&world, "build"), if crashes { 1 } else { 2 });
    }
}

#[test]
fn what_is_repeated_in_the_middle_of_its_work_is_not_held() {
    let pins = Pins { effect: windlass_model::manifest::Effect::IdempotentWrite, ..Pins::default() };
    for has_begun in [false, true] {
        let mut world = World::new(workflow("build"), pins, &[]);
        let began = call(&world, "build");
        if has_begun {
            let checkpoint = Input::CheckpointReached { call: began, name: "release".to_owned(), value: vec![1] };
            world.tell(checkpoint).expect("recorded");
        }
        world.crash();
        let repeated = call(&world, "build");
        assert_ne!(repeated, began);
        assert_eq!(world.release.may_be_held(repeated), !has_begun);
        assert_eq!(hold(&mut world, "build").is_err(), has_begun);
    }
}

#[test]
fn what_was_cut_off_and_is_held_is_stopped_when_its_release_lets_go_of_it() {
    use windlass_model::manifest::Effect::{IdempotentWrite, Write};
    let fails_first = [("other", fails(FailureClass::Invalid))];
    for (effect, cuts_off, looked_for, script, stopped) in [
        (IdempotentWrite, true, false, &[][..], true),
        (IdempotentWrite, true, false, &fails_first[..], true),
        // What never began is not stopped.
        (IdempotentWrite, false, false, &[][..], false),
        (IdempotentWrite, false, false, &fails_first[..], false),
        // It was not looked for yet, and may be there.
        (Write, true, false, &[][..], true),
        (Write, true, false, &fails_first[..], true),
        // It was, and is not there.
        (Write, true, true, &[][..], false),
    ] {
        let pins = Pins { effect, cancel: true, find: true, ..Pins::default() };
        let mut world = World::new(workflow("build; other"), pins, script);
        world.script.insert("build:find".to_owned(), [Does::NotFound].into());
        if cuts_off {
            world.crash();
        }
        while looked_for && !is_beginning(&world, call(&world, "build")) {
            assert!(world.turn(), "{}", world.story());
        }
        hold(&mut world, "build").expect("it can be held");
        world.crash();
        if script.is_empty() {
            world.intervene(Intervention::Cancel { rollback: false }).expect("never held");
        }
        world.run();
        let case = format!("{effect:?}, cut off: {cuts_off}, looked for: {looked_for}\n{}", world.story());
        assert_eq!(world.story().contains("cancel build"), stopped, "{case}");
        assert_eq!(world.state("build"), &StepState::Canceled, "{case}");
        assert!(world.release.outcome().is_some(), "{case}");
    }
}

#[test]
fn a_pause_outlasts_a_breaker_and_a_held_step_can_be_skipped() {
    let mut world = world(workflow("build -> deploy"), &[]);
    hold(&mut world, "build").expect("it can be held");
    let held = call(&world, "build");
    world.intervene(Intervention::Pause).expect("paused");
    assert_eq!(world.release.held_calls().count(), 0, "nobody asks");
    assert_eq!(world.tell(Input::CallLetThrough { call: held }), Err(Rejected::LateAnswer));
    assert_eq!(breaker_wait(&world), None, "a pause is told once, for all");
    world.intervene(Intervention::Resume).expect("resumed");
    assert_eq!(world.release.held_calls().count(), 1);
    let skip = Intervention::Skip { step: "build".parse().expect("a name"), output: None };
    world.intervene(skip).expect("what has not begun can be skipped");
    world.run();
    assert_eq!(world.story(), "run deploy\nsucceeded\n");
}

#[test]
fn nothing_but_the_beginning_of_forward_work_is_held() {
    // What runs goes on: its answer is asked for, it is stopped, it is rolled back.
    let mut workflow = workflow("build -> deploy; tidy");
    let tidy = workflow.steps.iter_mut().find(|it| it.name.as_str() == "tidy").expect("a step");
    tidy.finally = true;
    let script = [("build", vec![Does::Suspends(10)]), ("deploy", fails(FailureClass::Invalid))];
    let mut world = world(workflow.clone(), &script);
    for step in &mut workflow.steps {
        step.on_failure = OnFailure::Rollback;
    }
    let mut world_of_rollback = self::world(workflow, &script);
    let mut held = Vec::new();
    for world in [&mut world, &mut world_of_rollback] {
        for _ in 0..100 {
            let calls: Vec<CallId> = world.release.calls().collect();
            for call in calls {
                let name = format!("{} {}", world.release.name_of(call.step), call.operation.name());
                let may = world.release.may_be_held(call);
                let copy = Release::clone(&world.release);
                let told = world.release.decide(Input::CallHeld { call, hold: by("global"), is_open: true }, world.now);
                assert_eq!(told.is_ok(), may, "{name}: {told:?}");
                world.release = copy;
                held.push(format!("{name} {} {may}", call.call));
            }
            if !world.turn() {
                break;
            }
        }
        assert!(world.release.outcome().is_some(), "{}", world.story());
    }
    held.sort();
    held.dedup();
    assert_eq!(
        held,
        [
            "build rollback 1 false",
            "build start 1 true",
            "build start 2 false",
            "deploy rollback 1 false",
            "deploy start 1 true",
            "tidy start 1 false",
        ]
    );
}

#[test]
fn a_point_of_no_return_that_is_held_is_not_passed() {
    let mut pivot = workflow("build -> deploy");
    pivot.steps[1].pivot = true;
    let mut world = world(pivot, &[]);
    while world.state("deploy").name() != "running" {
        assert!(world.turn());
    }
    hold(&mut world, "deploy").expect("it can be held");
    assert_eq!(world.release.pivot_passed(), None);
    let_through(&mut world, "deploy").expect("it was held");
    assert!(world.release.pivot_passed().is_some(), "its call is made");
}
