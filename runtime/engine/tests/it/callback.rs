//! Callbacks: early, in time, twice, too late.

use expect_test::expect;
use serde_json::json;
use windlass_engine::{Call, KEPT_PER_RELEASE_MAX, KEPT_PER_STEP_MAX, Rejected, Release, StepState};
use windlass_model::event::{Event, Intervention, Operation, Wake};
use windlass_model::failure::FailureClass;
use windlass_model::manifest::Effect;
use windlass_model::workflow::OnFailure;

use crate::world::{Does, Pins, World, workflow};

fn world(script: &[(&str, Vec<Does>)]) -> World {
    World::new(workflow("a -> b"), Pins::default(), script)
}

/// The topics that step `a` has been resumed with, in order.
fn woken_by(world: &World) -> Vec<String> {
    let wakes = world.journal.iter().flat_map(|it| &it.events).filter_map(|it| match it {
        Event::Resumed { wake: Wake::Callback { topic, headers, body }, .. } => {
            assert_eq!((headers.len(), body.as_slice()), (1, topic.as_bytes()), "it says what the callback said");
            Some(topic.clone())
        }
        _ => None,
    });
    wakes.collect()
}

#[test]
fn one_that_is_waited_for_wakes_the_step_and_no_other_does() {
    let mut world = world(&[("a", vec![Does::Waits(&["one"])])]);
    world.run();
    assert_eq!(world.release.topics().collect::<Vec<_>>(), ["one"]);
    assert_eq!(world.call_back("c", "one"), Err(Rejected::UnknownTopic), "there is no such step");
    assert_eq!(world.call_back("b", "one"), Err(Rejected::CallbackOver), "its step has made none yet");
    world.call_back("a", "one").expect("taken");
    assert_eq!(world.call_back("a", "one"), Err(Rejected::CallbackRepeated));
    world.run();
    assert_eq!(world.call_back("a", "one"), Err(Rejected::CallbackOver));
    expect![[r#"
        run a: suspends
        waits for a: to be called back
        resume a
        run b
        succeeded
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn one_that_comes_before_the_step_waits_is_kept_and_wakes_it_at_once() {
    let mut world = world(&[("a", vec![Does::Waits(&["one"])])]);
    assert!(world.turn(), "the first call begins");
    world.call_back("a", "one").expect("kept");
    assert_eq!(world.call_back("a", "one"), Err(Rejected::CallbackRepeated));
    assert!(world.turn(), "it ends");
    assert_eq!(world.state("a").name(), "running", "it has been resumed already");
    assert_eq!(world.release.topics().count(), 0);
    world.run();
    assert_eq!(woken_by(&world), ["one"]);
    assert_eq!(world.story(), "run a: suspends\nresume a\nrun b\nsucceeded\n");
}

#[test]
fn what_is_kept_survives_a_crash_and_a_failed_attempt() {
    // The first attempt has its effect under this topic and loses its answer; the next one waits for it.
    let mut world = world(&[("a", vec![Does::LosesItsAnswer]), ("a:find", vec![Does::Waits(&["one"])])]);
    world.turn();
    world.turn();
    assert_eq!(world.state("a").name(), "retrying");
    world.call_back("a", "one").expect("kept");
    world.crash();
    world.run();
    assert_eq!(woken_by(&world), ["one"]);
    assert_eq!(world.effects["a"].len(), 1);
}

#[test]
fn what_a_failed_attempt_got_the_next_one_gets_again() {
    // A checkpoint holds the topic, and the other side calls once.
    let script = [("a", vec![Does::Waits(&["one"]), Does::Fails(FailureClass::Transient), Does::Waits(&["one"])])];
    let pins = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let mut world = World::new(workflow("a"), pins, &script);
    world.run();
    world.call_back("a", "one").expect("taken");
    world.run();
    assert_eq!(woken_by(&world), ["one", "one"]);
    assert_eq!(
        world.story(),
        "run a: suspends\nwaits for a: to be called back\nresume a: fails (transient)\nrun a: suspends\nresume a\nsucceeded\n"
    );
}

#[test]
fn each_of_several_comes_once_in_the_order_of_their_coming() {
    const BOTH: &[&str] = &["one", "two"];
    let script = [("a", vec![Does::Waits(BOTH), Does::Waits(BOTH), Does::Waits(BOTH)])];
    let mut world = World::new(workflow("a"), Pins::default(), &script);
    world.turn();
    world.call_back("a", "two").expect("kept");
    world.turn();
    world.run();
    assert_eq!(world.release.topics().collect::<Vec<_>>(), ["one"], "the other one has come");
    world.call_back("a", "one").expect("taken");
    world.run();
    assert_eq!(woken_by(&world), ["two", "one"]);
    // It then waits for what cannot come any more: said, rather than waited for.
    let StepState::Failed { error, .. } = world.state("a") else { panic!("{:?}", world.state("a")) };
    assert_eq!(error.code, "callback-spent");
}

#[test]
fn what_comes_for_an_operation_that_is_over_is_refused() {
    let mut failing = workflow("a -> b");
    failing.steps.iter_mut().for_each(|it| it.on_failure = OnFailure::Rollback);
    let script = [
        ("a", vec![Does::Waits(&["one"])]),
        ("a:rollback", vec![Does::Waits(&["back"])]),
        ("b", vec![Does::Fails(FailureClass::Rejected)]),
    ];
    let mut world = World::new(failing, Pins::default(), &script);
    world.run();
    world.call_back("a", "one").expect("taken");
    world.run();
    assert_eq!(world.state("a").name(), "rolling_back");
    assert_eq!(world.call_back("a", "late"), Err(Rejected::CallbackOver));
    assert_eq!(world.call_back_to("a", "other", Operation::Cancel, 1), Err(Rejected::CallbackOver));
    world.call_back_to("a", "back", Operation::Rollback, 1).expect("taken");
    world.run();
    assert_eq!(world.release.outcome().map(|it| it.name()), Some("rolled back"));
    assert_eq!(world.call_back("a", "one"), Err(Rejected::CallbackOver));
}

#[test]
fn a_run_anew_hears_nothing_of_the_run_before() {
    let script = [("a", vec![Does::Waits(&["one"]), Does::Done(json!({})), Does::Waits(&["two"])])];
    let mut world = World::new(workflow("a -> b; c"), Pins { find: false, ..Pins::default() }, &script);
    world.script.insert("c".to_owned(), vec![Does::Suspends(100_000)].into());
    while !world.is_suspended("a") {
        assert!(world.turn());
    }
    world.call_back("a", "one").expect("taken");
    while world.state("b").name() != "succeeded" {
        assert!(world.turn());
    }
    assert_eq!(world.call_back("a", "one"), Err(Rejected::CallbackOver), "nothing is kept of a step that has ended");
    world.intervene(Intervention::RunAgain { step: "a".parse().expect("a name") }).expect("accepted");
    while !world.is_suspended("a") {
        assert!(world.turn());
    }
    assert_eq!(world.call_back("a", "of-the-first-run"), Err(Rejected::CallbackOver));
    world.call_back_to("a", "of-this-run", Operation::Start, 2).expect("kept");
    world.call_back_to("a", "two", Operation::Start, 2).expect("taken");
    world.run();
    assert_eq!(woken_by(&world), ["one", "two"]);
}

#[test]
fn what_a_cancel_stops_may_call_when_it_has_stopped() {
    let script = [("a", vec![Does::Waits(&["one"])]), ("a:cancel", vec![Does::Waits(&["one"])])];
    let mut world = World::new(workflow("a"), Pins::default(), &script);
    world.run();
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.turn();
    world.call_back("a", "one").expect("kept");
    world.run();
    assert_eq!(woken_by(&world), ["one"]);
    assert_eq!(world.release.outcome().map(|it| it.name()), Some("canceled"));
}

#[test]
fn no_more_is_kept_than_there_is_room_for() {
    let mut many = World::new(workflow("a; b; c; d; e; f"), Pins::default(), &[]);
    many.script = ["a", "b", "c", "d", "e", "f"].map(|it| (it.to_owned(), vec![Does::Hangs].into())).into();
    while many.turn() {}
    for step in ["a", "b", "c", "d"] {
        for number in 0..KEPT_PER_STEP_MAX {
            many.call_back(step, &format!("{step}{number}")).expect("kept");
        }
        assert_eq!(many.call_back(step, "more"), Err(Rejected::TooManyCallbacks));
    }
    assert_eq!(KEPT_PER_RELEASE_MAX, 4 * KEPT_PER_STEP_MAX, "all is full");
    assert_eq!(many.call_back("e", "more"), Err(Rejected::TooManyCallbacks));
    assert_eq!(many.call_back("a", "a0"), Err(Rejected::CallbackRepeated));
}

#[test]
fn one_that_is_waited_for_is_taken_however_many_came_before() {
    let mut world = world(&[("a", vec![Does::Waits(&["one"]), Does::Waits(&["one"])])]);
    world.turn();
    for number in 0..KEPT_PER_STEP_MAX {
        world.call_back("a", &number.to_string()).expect("kept");
    }
    world.run();
    world.call_back("a", "one").expect("taken");
    assert_eq!(world.call_back("a", "one"), Err(Rejected::CallbackRepeated));
    assert_eq!(woken_by(&world), ["one"]);
}

#[test]
fn while_nothing_is_driven_it_is_kept_for_who_drives_next() {
    let mut world = world(&[("a", vec![Does::Waits(&["one"])])]);
    world.turn();
    let callback = windlass_engine::Callback { topic: "one".to_owned(), headers: Vec::new(), body: b"one".to_vec() };
    let maker =
        windlass_engine::TopicMaker { step: "a".parse().expect("a name"), operation: Operation::Start, attempt: 1 };
    let input = windlass_engine::Input::Callback { callback, maker };
    let record =
        world.release.decide_unattended(input.clone(), world.now).expect("taken").expect("something to record");
    assert!(record.events.iter().any(|it| matches!(it, Event::CallbackKept { .. })), "{record:?}");
    world.journal.push(record);
    let replayed = Release::replay(world.plan.clone(), &world.journal).expect("a journal");
    assert_eq!(replayed, world.release);
    assert_eq!(world.release.decide_unattended(input, world.now), Err(Rejected::CallbackRepeated));
    world.crash();
    while world
        .release
        .calls()
        .all(|it| !matches!(world.release.order(it).map(|it| it.call), Some(Call::Resume { .. })))
    {
        assert!(world.turn());
    }
    world.run();
    assert_eq!(world.release.outcome().map(|it| it.name()), Some("succeeded"));
}
