//! Order, conditions, retries, timeouts, interventions.

use expect_test::expect;
use serde_json::json;
use windlass_engine::{CallResult, Input, Rejected, StepState};
use windlass_model::event::{Event, Intervention, Outcome};
use windlass_model::expression::Expression;
use windlass_model::failure::{FailureClass, RetryAdvice};
use windlass_model::manifest::Effect;
use windlass_model::time::Span;
use windlass_model::workflow::OnFailure;

use crate::world::{Does, Pins, World, check, fails, workflow};

#[test]
fn steps_start_when_what_they_need_has_ended() {
    check(
        workflow("build -> test -> deploy; build -> scan -> deploy"),
        &[],
        &expect![[r#"
            run build
            run test
            run scan
            run deploy
            succeeded
        "#]],
    );
}

#[test]
fn phases_follow_each_other_without_declared_needs() {
    let mut phased = workflow("a; b; c; d");
    phased.phases = ["one", "two"].map(|it| it.parse().expect("a name")).to_vec();
    for (step, phase) in phased.steps.iter_mut().zip(["two", "one", "two", "one"]) {
        step.phase = Some(phase.parse().expect("a name"));
    }
    check(
        phased,
        &[("b", vec![Does::Suspends(5), Does::Done(json!({}))])],
        &expect![[r#"
            run b: suspends
            run d
            resume b
            run a
            run c
            succeeded
        "#]],
    );
}

#[test]
fn a_suspended_step_holds_no_call_and_others_go_on() {
    let mut world = World::new(workflow("slow -> end; quick"), Pins::default(), &[("slow", vec![Does::Suspends(600)])]);
    while !world.is_suspended("slow") || world.release.calls().next().is_some() {
        assert!(world.turn());
    }
    assert_eq!(world.state("quick").name(), "succeeded");
    assert_eq!(world.release.calls().count(), 0);
    world.run();
    expect![[r#"
        run slow: suspends
        run quick
        resume slow
        run end
        succeeded
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn a_false_condition_skips_the_step_and_what_needs_only_it() {
    let mut conditional = workflow("a -> b -> c; d -> c; b -> e");
    conditional.steps[1].when =
        Some(Expression::parse("parameters.dangerous && steps.a.state == 'succeeded'").expect("good"));
    check(
        conditional,
        &[],
        &expect![[r#"
            run a
            run d
            run c
            succeeded
        "#]],
    );
}

#[test]
fn outputs_reach_later_inputs_and_a_missing_one_fails_the_step_with_its_expression() {
    let mut wired = workflow("a -> b");
    wired.steps[1].with =
        windlass_model::template::Template::parse(&json!({"url": "${{ steps.a.output.url }}"})).expect("good");
    let mut world = World::new(wired.clone(), Pins::default(), &[("a", vec![Does::Done(json!({"url": "u"}))])]);
    world.run();
    let index = world.plan.index_of(&"b".parse().expect("a name")).expect("a step");
    assert_eq!(world.release.step(index).input.as_deref(), Some(&json!({"url": "u"})));

    let mut world = World::new(wired, Pins::default(), &[]);
    world.run();
    expect![[r#"
        run a
        failed
    "#]]
    .assert_eq(&world.story());
    let windlass_engine::StepState::Failed { error, .. } = world.state("b") else { panic!("{:?}", world.state("b")) };
    assert_eq!(error.code, "expression-failed");
    assert!(error.message.contains("steps.a.output.url"), "{}", error.message);
}

#[test]
fn only_transient_failures_are_retried_and_only_so_often() {
    check(
        workflow("a"),
        &[("a", fails(FailureClass::Transient))],
        &expect![[r#"
            run a: fails (transient)
            find a: nothing
            run a: fails (transient)
            find a: nothing
            run a: fails (transient)
            failed
        "#]],
    );
    check(
        workflow("a"),
        &[("a", fails(FailureClass::Rejected))],
        &expect![[r#"
            run a: fails (rejected)
            failed
        "#]],
    );
}

#[test]
fn a_plugin_can_advise_but_the_policy_bounds_it() {
    let advice = |advice| vec![Does::FailsFor(FailureClass::Conflict, advice); 9];
    check(
        workflow("a"),
        &[("a", advice(RetryAdvice::After(Span::seconds(30))))],
        &expect![[r#"
            run a: fails (conflict)
            run a: fails (conflict)
            run a: fails (conflict)
            failed
        "#]],
    );
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", advice(RetryAdvice::Pause))]);
    world.run();
    assert_eq!(world.state("a").name(), "paused");
}

#[test]
fn delays_double_up_to_their_bound_and_a_deadline_ends_them() {
    let mut slow = workflow("a");
    let pins = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    slow.steps[0].retry.attempts = 6;
    slow.steps[0].retry.max_backoff = Span::seconds(10);
    let mut world = World::new(slow.clone(), pins, &[("a", fails(FailureClass::Transient))]);
    let began = world.now;
    world.run();
    // Dice that give the bound every time: 4, 8, 10, 10, 10 seconds, each less what the division leaves.
    assert!(world.now.since(began) <= Span::seconds(42), "{}", world.now.since(began));
    assert_eq!(world.log.iter().filter(|it| it.starts_with("run")).count(), 6);

    slow.steps[0].retry.within = Some(Span(1));
    let mut world = World::new(slow, pins, &[("a", fails(FailureClass::Transient))]);
    world.run();
    assert!(world.log.iter().filter(|it| it.starts_with("run")).count() < 6);
}

#[test]
fn a_write_that_cannot_be_looked_for_is_not_repeated_by_itself() {
    let blind = Pins { find: false, ..Pins::default() };
    let story = |pins, on_failure, does: Does| {
        let mut one = workflow("a");
        one.steps[0].on_failure = on_failure;
        let mut world = World::new(one, pins, &[("a", vec![does])]);
        world.run();
        world.story()
    };
    let lost = || Does::Fails(FailureClass::Transient);
    let paused = "run a: fails (transient)\nwaits for a: scripted (transient): as scripted\n";
    assert_eq!(story(blind, OnFailure::Pause, lost()), paused);
    // A workflow may say that such a failure is no question.
    let rolled_back = story(blind, OnFailure::Rollback, lost());
    assert_eq!(rolled_back, "run a: fails (transient)\nrollback a\nrolled back\n");
    // What can be looked for, what the other side recognises, and what a plugin says is worth another attempt.
    assert_eq!(
        story(Pins::default(), OnFailure::Pause, lost()),
        "run a: fails (transient)\nfind a: nothing\nrun a\nsucceeded\n"
    );
    let again = "run a: fails (transient)\nrun a\nsucceeded\n";
    assert_eq!(story(Pins { effect: Effect::IdempotentWrite, ..blind }, OnFailure::Pause, lost()), again);
    let advised = Does::FailsFor(FailureClass::Transient, RetryAdvice::After(Span::seconds(1)));
    assert_eq!(story(blind, OnFailure::Pause, advised), again);
}

#[test]
fn a_lost_answer_after_the_effect_does_not_repeat_it() {
    // The first call did its work (the world remembers its key) and its answer was lost.
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", vec![Does::Hangs])]);
    world.turn();
    let id = world.release.calls().next().expect("a call");
    let lost = windlass_model::failure::StepError::engine(FailureClass::Transient, "connection-lost", "no answer");
    world.tell(Input::CallEnded { call: id, result: Err(lost), dice: 0 }).expect("not late");
    world.run();
    expect![[r#"
        run a: hangs
        find a
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.effects["a"].len(), 1);
}

#[test]
fn exhausted_retries_pause_and_a_person_can_try_again() {
    let mut pausing = workflow("a -> b; c");
    pausing.steps[0].on_failure = OnFailure::Pause;
    let mut world = World::new(
        pausing,
        Pins::default(),
        &[("a", vec![Does::Fails(FailureClass::Rejected), Does::Done(json!({}))])],
    );
    world.run();
    assert_eq!(world.state("c").name(), "succeeded");
    let key_before = world.journal.len();
    assert_eq!(
        world.tell(Input::Intervene {
            actor: crate::world::actor("ana", &[]),
            reason: "  ".to_owned(),
            intervention: Intervention::Retry { step: "a".parse().expect("a name") },
        }),
        Err(Rejected::NoReason)
    );
    assert_eq!(world.journal.len(), key_before);
    world.intervene(Intervention::Retry { step: "a".parse().expect("a name") }).expect("accepted");
    world.run();
    expect![[r#"
        run a: fails (rejected)
        run c
        waits for a: scripted (rejected): as scripted
        run a
        run b
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert!(matches!(
        world.intervene(Intervention::Retry { step: "a".parse().expect("a name") }),
        Err(Rejected::NotPaused { .. })
    ));
}

#[test]
fn a_tolerated_failure_lets_the_release_go_on() {
    let mut tolerant = workflow("a -> b");
    tolerant.steps[0].on_failure = OnFailure::Continue;
    check(
        tolerant,
        &[("a", fails(FailureClass::Rejected))],
        &expect![[r#"
            run a: fails (rejected)
            run b
            succeeded
        "#]],
    );
}

#[test]
fn siblings_end_by_themselves_when_a_step_fails_and_nothing_new_starts() {
    check(
        workflow("a; b -> c"),
        &[("a", fails(FailureClass::Rejected)), ("b", vec![Does::Suspends(9), Does::Suspends(9)])],
        &expect![[r#"
            run a: fails (rejected)
            run b: suspends
            resume b: suspends
            resume b
            failed
        "#]],
    );
}

#[test]
fn an_attempt_over_its_time_is_canceled_then_counted_as_failed() {
    let mut timed = workflow("a");
    timed.steps[0].timeout = Some(Span::seconds(60));
    check(
        timed.clone(),
        &[("a", vec![Does::Suspends(45), Does::Hangs])],
        &expect![[r#"
            run a: suspends
            resume a: hangs
            cancel a
            failed
        "#]],
    );
    timed.steps[0].retry.on.push(FailureClass::TimedOut);
    check(
        timed,
        &[("a", vec![Does::Hangs]), ("a:find", vec![Does::NotFound])],
        &expect![[r#"
            run a: hangs
            cancel a
            find a: nothing
            run a
            succeeded
        "#]],
    );
}

#[test]
fn cancel_stops_what_runs_and_starts_nothing() {
    let mut world = World::new(
        workflow("a -> b; c"),
        Pins::default(),
        &[("a", vec![Does::Suspends(600)]), ("c", vec![Does::Hangs])],
    );
    while !world.is_suspended("a") {
        world.turn();
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.run();
    expect![[r#"
        run a: suspends
        run c: hangs
        cancel a
        cancel c
        canceled
    "#]]
    .assert_eq(&world.story());
    assert!(matches!(world.intervene(Intervention::Cancel { rollback: false }), Err(Rejected::WrongState { .. })));
}

#[test]
fn a_late_answer_is_refused() {
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", vec![Does::Suspends(1), Does::Hangs])]);
    let first = world.release.calls().next().expect("a call");
    while !world.log.iter().any(|it| it == "resume a: hangs") {
        world.turn();
    }
    let late = Input::CallEnded { call: first, result: Ok(windlass_engine::CallResult::Done(json!({}))), dice: 0 };
    assert_eq!(world.tell(late), Err(Rejected::LateAnswer));
}

#[test]
fn a_write_that_cannot_be_looked_for_is_never_repeated_blindly() {
    let pins = Pins { find: false, ..Pins::default() };
    let mut world = World::new(workflow("a -> b"), pins, &[("a", vec![Does::Hangs])]);
    world.turn();
    world.crash();
    assert!(!matches!(world.state("a").name(), "running"));
    world.run();
    assert!(world.story().contains("waits for a: end-unknown"), "{}", world.story());
    world.intervene(Intervention::Retry { step: "a".parse().expect("a name") }).expect("accepted");
    world.run();
    assert_eq!(world.story().lines().last(), Some("succeeded"));

    let pins = Pins { find: false, effect: Effect::IdempotentWrite, ..Pins::default() };
    let mut world = World::new(workflow("a -> b"), pins, &[("a", vec![Does::Hangs])]);
    world.turn();
    world.crash();
    world.run();
    expect![[r#"
        run a: hangs
        run a
        run b
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.effects["a"][0], world.effects["a"][1], "both calls carried one key");
}

#[test]
fn a_clock_that_goes_back_does_not() {
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", vec![Does::Suspends(5)])]);
    while !world.is_suspended("a") {
        world.turn();
    }
    world.now = windlass_model::time::Timestamp(3);
    world.crash();
    world.run();
    let times: Vec<_> = world.journal.iter().map(|it| it.at).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn what_is_decided_while_nothing_runs_is_begun_by_the_next_driver() {
    let mut gated = workflow("a -> b");
    gated.steps[1].gates = vec![windlass_model::workflow::Gate::Approval(windlass_model::workflow::ApprovalGate {
        from: vec![windlass_model::workflow::Approver::User("ana".to_owned())],
        min: 1,
        requester_may_approve: false,
        message: None,
    })];
    // No `find`: a call that may have been begun would wait for a person.
    let mut world = World::new(gated, Pins { find: false, ..Pins::default() }, &[]);
    world.run();
    let vote = Input::Vote {
        step: "b".parse().expect("a name"),
        actor: crate::world::actor("ana", &[]),
        approved: true,
        comment: String::new(),
    };
    let record = world.release.decide_unattended(vote, world.now).expect("accepted").expect("something to record");
    world.journal.push(record);
    world.crash();
    world.run();
    expect![[r#"
        run a
        waits for b: approval by 1 of user:ana
        run b
        succeeded
    "#]]
    .assert_eq(&world.story());
    // The next process may have begun it: now it is in doubt.
    let mut second = World::new(workflow("a"), Pins { find: false, ..Pins::default() }, &[("a", vec![Does::Hangs])]);
    second.turn();
    second.crash();
    assert_eq!(second.state("a").name(), "paused");
}

#[test]
fn what_a_driver_did_not_begin_before_it_left_is_in_no_doubt() {
    let no_find = Pins { find: false, ..Pins::default() };
    let mut world = World::new(workflow("a; b; a -> c"), no_find, &[("b", vec![Does::Hangs])]);
    world.turn();
    let call = |world: &World, step: &str| {
        let index = world.release.index_of(&step.parse().expect("a name")).expect("a step");
        world.release.calls().find(|it| it.step == index).expect("it is being called")
    };
    // Its driver is about to go, and one call has not ended: that one is in doubt if it does not before the end.
    let a = call(&world, "a");
    let ended = Input::CallEnded { call: a, result: Ok(CallResult::Done(json!({}))), dice: 0 };
    let mut hasty = world.release.clone();
    hasty.decide(ended.clone(), world.now).expect("it ran");
    assert!(!hasty.is_left_alone());
    // Both end, and what follows is left to the next driver, in the very record that says so.
    let b = call(&world, "b");
    let ended_b = Input::CallEnded { call: b, result: Ok(CallResult::Done(json!({}))), dice: 0 };
    world.journal.extend(world.release.decide(ended_b, world.now).expect("it ran"));
    let record = world.release.decide_last(ended, world.now).expect("it ran").expect("something to record");
    assert_eq!(record.events.last(), Some(&Event::LeftAlone), "{record:?}");
    world.journal.push(record);
    assert!(world.release.is_left_alone());
    assert_eq!(world.release.leave_alone(world.now), None, "it has been said");
    world.crash();
    assert_eq!(world.state("c").name(), "running");

    // What was begun by nobody is said to be so afterwards, too.
    let record = world.release.leave_alone(world.now).expect("nobody has said so since");
    world.journal.push(record);
    world.crash();
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    let before = world.release.clone();
    assert_eq!(world.release.leave_alone(world.now), None, "there is nothing to do");
    assert_eq!(world.release, before);
}

#[test]
fn an_attempt_over_its_time_has_failed_even_if_it_cannot_be_canceled() {
    let mut timed = workflow("a -> b");
    timed.steps[0].timeout = Some(Span::seconds(60));
    check(
        timed.clone(),
        &[("a", vec![Does::Hangs]), ("a:cancel", vec![Does::Fails(FailureClass::Rejected)])],
        &expect![[r#"
            run a: hangs
            cancel a: fails (rejected)
            failed
        "#]],
    );
    // Whoever looks is told that what it began may go on, and only then.
    let told = |pins, script: &[(&str, Vec<Does>)]| {
        let mut world = World::new(timed.clone(), pins, script);
        world.run();
        let StepState::Failed { error, .. } = world.state("a") else { panic!("{}", world.story()) };
        error.message.strip_prefix("the attempt took longer than its timeout of 1m").expect("it did").to_owned()
    };
    let hangs = || ("a", vec![Does::Hangs]);
    assert_eq!(told(Pins::default(), &[hangs()]), "");
    let refused = ("a:cancel", vec![Does::Fails(FailureClass::Rejected)]);
    let could_not = "; it could not be stopped, and may go on: scripted (rejected): as scripted";
    assert_eq!(told(Pins::default(), &[hangs(), refused]), could_not);
    let no_cancel = Pins { cancel: false, ..Pins::default() };
    assert_eq!(told(no_cancel, &[hangs()]), "; its action has no `cancel`, so what it began may go on");
    assert_eq!(told(Pins { effect: Effect::Read, ..no_cancel }, &[hangs()]), "");
}

#[test]
fn an_attempt_over_its_time_gets_no_other_once_the_release_is_canceled() {
    let mut timed = workflow("a");
    timed.steps[0].timeout = Some(Span::seconds(60));
    timed.steps[0].retry.on.push(FailureClass::TimedOut);
    let script = [("a", vec![Does::Hangs]), ("a:cancel", vec![Does::Suspends(30)])];
    let mut world = World::new(timed, Pins::default(), &script);
    while !world.is_suspended("a") {
        assert!(world.turn());
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("accepted");
    world.run();
    expect![[r#"
        run a: hangs
        cancel a: suspends
        cancel a
        canceled
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn a_credential_that_expires_under_way_does_not_make_it_happen_twice() {
    let mut waits = workflow("a");
    waits.steps[0].on_failure = OnFailure::Pause;
    let script = [("a", vec![Does::Suspends(30), Does::Fails(FailureClass::Unauthenticated)])];
    let mut world = World::new(waits, Pins::default(), &script);
    world.run();
    world.intervene(Intervention::Retry { step: "a".parse().expect("a name") }).expect("accepted");
    world.run();
    expect![[r#"
        run a: suspends
        resume a: fails (unauthenticated)
        waits for a: scripted (unauthenticated): as scripted
        find a
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.effects["a"].len(), 1);
}

#[test]
fn each_attempt_to_cancel_is_told_from_those_before_it() {
    let mut timed = workflow("a");
    timed.steps[0].timeout = Some(Span::seconds(60));
    timed.steps[0].retry.on.push(FailureClass::TimedOut);
    let transient = || Does::Fails(FailureClass::Transient);
    let script = [
        ("a", vec![Does::Hangs; 5]),
        ("a:find", vec![Does::NotFound; 5]),
        // The second has all its attempts, whatever the first one used.
        ("a:cancel", vec![transient(), Does::Done(json!({})), transient(), transient(), Does::Done(json!({}))]),
    ];
    let mut world = World::new(timed, Pins::default(), &script);
    let mut before = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    loop {
        let calls: Vec<_> = world.release.calls().collect();
        for id in calls.iter().filter(|it| !before.contains(*it)) {
            assert!(ids.insert(*id), "{id:?} comes a second time: {}", world.story());
        }
        before = calls;
        if !world.turn() {
            break;
        }
    }
    assert_eq!(world.story().matches("cancel a").count(), 6, "{}", world.story());
    assert_eq!(world.release.outcome().map(|it| it.name()), Some("failed"));
}

#[test]
fn a_step_whose_input_has_no_value_is_never_called() {
    let mut wired = workflow("a -> b");
    wired.steps[1].with =
        windlass_model::template::Template::parse(&json!({"url": "${{ steps.a.output.url }}"})).expect("good");
    wired.steps[1].on_failure = OnFailure::Pause;
    wired.steps[1].retry.on.push(FailureClass::Invalid);
    let mut world = World::new(wired, Pins::default(), &[]);
    world.run();
    let step = "b".parse().expect("a name");
    assert!(matches!(world.intervene(Intervention::Retry { step }), Err(Rejected::NoInput { .. })));
    assert_eq!(world.release.waits()[0].action, "rerun w-1 --step b --reason …");
    world.intervene(Intervention::Cancel { rollback: true }).expect("accepted");
    world.run();
    // Nor is it rolled back.
    assert_eq!(
        world.log.iter().filter(|it| !it.starts_with("waits")).cloned().collect::<Vec<_>>(),
        ["run a", "rollback a", "rolled back"]
    );
}

#[test]
fn a_late_tick_does_not_cut_a_backoff_short() {
    let mut timed = workflow("a");
    timed.steps[0].timeout = Some(Span::seconds(60));
    timed.steps[0].retry.on.push(FailureClass::TimedOut);
    let pins = Pins { cancel: false, ..Pins::default() };
    let mut world = World::new(timed, pins, &[("a", vec![Does::Suspends(90)])]);
    while !world.is_suspended("a") {
        assert!(world.turn());
    }
    // The machine slept: the deadline and, after it, the wait's own timer have long passed.
    world.now = world.now + Span::seconds(600);
    let before = world.now;
    world.tell(Input::Tick { dice: 3999 }).expect("a tick is never refused");
    assert_eq!(world.state("a").name(), "retrying");
    assert_eq!(world.release.wake_at(), Some(before + Span(3999)));
}
