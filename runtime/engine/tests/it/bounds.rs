//! What a step may put into the journal: a plugin that suspends for ever, or remembers without end, is stopped.

use windlass_engine::{CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX, Input, Rejected, SUSPENDED_BYTES_MAX, StepState};
use windlass_model::event::Event;
use windlass_model::failure::{FailureClass, FailureOrigin};
use windlass_model::time::Timestamp;

use crate::world::{Does, Pins, World, workflow};

const MIB: usize = 1024 * 1024;

fn suspensions(world: &World) -> usize {
    let events = world.journal.iter().flat_map(|it| &it.events);
    events.filter(|it| matches!(it, Event::Suspended { .. })).count()
}

#[test]
fn a_step_that_suspends_with_much_for_ever_fails() {
    // Woken a thousand times a second, if the plugin had its way.
    let mut world = World::new(workflow("a -> b"), Pins::default(), &[("a", vec![Does::Hoards(4 * MIB); 1000])]);
    let began: Timestamp = world.now;
    world.run();
    let taken = SUSPENDED_BYTES_MAX as usize / (4 * MIB);
    assert_eq!(suspensions(&world), taken - 1, "each takes a little more than its state");
    let StepState::Failed { error, .. } = world.state("a") else { panic!("{:?}", world.state("a").name()) };
    assert_eq!((error.origin, error.class), (FailureOrigin::Engine, FailureClass::Internal));
    assert_eq!(error.code, "suspended-too-much");
    assert!(error.message.contains("67108864 bytes are the most"), "{}", error.message);
    let attempts =
        world.journal.iter().flat_map(|it| &it.events).filter(|it| matches!(it, Event::AttemptStarted { .. }));
    assert_eq!(attempts.count(), 1, "what cannot end is not begun again");
    assert!(world.now.as_millis() - began.as_millis() >= 100 * (taken as u64 - 1), "each waits a little at least");
}

/// The count begins anew with each attempt, and what was counted survives a crash.
#[test]
fn what_a_step_kept_is_counted_across_crashes() {
    let much = || vec![Does::Hoards(20 * MIB); 2];
    let mut script = much();
    script.push(Does::Fails(FailureClass::Transient));
    script.extend(much());
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", script)]);
    world.run();
    assert_eq!(world.state("a").name(), "succeeded", "forty in each of two attempts");
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", vec![Does::Hoards(20 * MIB); 10])]);
    while suspensions(&world) < 2 {
        assert!(world.turn());
    }
    world.crash();
    world.run();
    assert_eq!((world.state("a").name(), suspensions(&world)), ("failed", 3));
}

#[test]
fn a_step_remembers_so_many_parts_and_no_more() {
    let mut world = World::new(workflow("a"), Pins::default(), &[("a", vec![Does::Hangs])]);
    assert!(world.turn(), "the call begins");
    let call = world.release.calls().next().expect("a call");
    let mut checkpoint =
        |name: String, bytes: usize| world.tell(Input::CheckpointReached { call, name, value: vec![7; bytes] });
    let half = CHECKPOINT_BYTES_MAX / 2 - 10;
    assert_eq!(checkpoint("large".to_owned(), half), Ok(()));
    assert_eq!(checkpoint("large too".to_owned(), half), Ok(()));
    assert_eq!(checkpoint("one more".to_owned(), 100), Err(Rejected::TooManyCheckpoints));
    // What was recorded under the same name is replaced, and makes room.
    assert_eq!(checkpoint("large".to_owned(), 0), Ok(()));
    assert_eq!(checkpoint("large too".to_owned(), 0), Ok(()));
    for number in 2..CHECKPOINTS_MAX {
        assert_eq!(checkpoint(format!("p{number}"), 0), Ok(()), "{number}");
    }
    assert_eq!(checkpoint("the last straw".to_owned(), 0), Err(Rejected::TooManyCheckpoints));
    assert!(Rejected::TooManyCheckpoints.to_string().contains("1000 parts"), "{}", Rejected::TooManyCheckpoints);
}
