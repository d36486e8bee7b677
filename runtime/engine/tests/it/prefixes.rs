//! Every prefix recovers: the process ends after every event there is, and the release comes to the
//! same end with every effect once.

use serde_json::json;
use windlass_model::failure::FailureClass;
use windlass_model::workflow::OnFailure;

use crate::world::{Does, Pins, World, fails, workflow};

/// Runs once without and then with a crash after each turn; compares the ends and counts effects.
fn every_crash_comes_to_the_same_end(make: impl Fn() -> World) {
    let mut calm = make();
    calm.run();
    let end = calm.release.outcome();
    assert!(end.is_some());
    let mut crashes = 0;
    loop {
        let mut world = make();
        let mut turns = 0;
        while turns < crashes && world.turn() {
            turns += 1;
        }
        if turns < crashes {
            return;
        }
        world.crash();
        world.run();
        assert_eq!(world.release.outcome(), end, "after {crashes} turns: {}", world.story());
        assert_eq!(world.release.outputs(), calm.release.outputs(), "after {crashes} turns");
        for (step, keys) in &world.effects {
            let mut distinct = keys.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(keys.len(), distinct.len(), "after {crashes} turns {step} did it twice: {}", world.story());
            assert_eq!(keys.len(), calm.effects[step].len(), "after {crashes} turns, {step}: {}", world.story());
        }
        crashes += 1;
    }
}

#[test]
fn of_a_release_that_succeeds() {
    every_crash_comes_to_the_same_end(|| {
        let script = [("b", vec![Does::Suspends(5), Does::Suspends(5), Does::Done(json!({"n": 1}))])];
        World::new(workflow("a -> b -> d; a -> c -> d"), Pins::default(), &script)
    });
}

#[test]
fn of_a_release_that_is_rolled_back() {
    every_crash_comes_to_the_same_end(|| {
        let mut failing = workflow("a -> b -> d; a -> c -> d; d -> e");
        failing.steps.iter_mut().for_each(|it| it.on_failure = OnFailure::Rollback);
        let script =
            [("d", fails(FailureClass::Rejected)), ("b:rollback", vec![Does::Suspends(3), Does::Done(json!({}))])];
        World::new(failing, Pins::default(), &script)
    });
}

#[test]
fn of_a_release_with_retries_and_timeouts() {
    every_crash_comes_to_the_same_end(|| {
        let mut slow = workflow("a -> b");
        slow.steps[1].timeout = Some(windlass_model::time::Span::seconds(30));
        slow.steps[1].on_failure = OnFailure::Continue;
        let script =
            [("a", vec![Does::Fails(FailureClass::Transient)]), ("b", vec![Does::Suspends(60), Does::Suspends(60)])];
        World::new(slow, Pins::default(), &script)
    });
}
