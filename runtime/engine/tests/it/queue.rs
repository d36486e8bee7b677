//! A release that waits for its turn: nothing of it begins before it is admitted.

use expect_test::expect;
use serde_json::json;
use windlass_engine::{Input, Rejected, Release, ReleaseState, WaitCause};
use windlass_model::concurrency::{Claim, Group, Priority, QueueOrder};
use windlass_model::event::{Event, Intervention, Outcome};
use windlass_model::name::{ReleaseId, TenantName};
use windlass_model::time::Span;
use windlass_model::workflow::{Deadline, OnDeadline, Workflow};

use crate::world::{Does, Pins, World, workflow};

fn claim() -> Claim {
    let group = Group { name: "prod".to_owned(), order: QueueOrder::OldestFirst, limit: 1 };
    Claim { group: Some(group), tenant: TenantName::default(), priority: Priority::Normal }
}

/// `a -> b`, and `notify` at the end; half a minute is all the time it has.
fn slow() -> Workflow {
    let mut workflow = workflow("a -> b; notify");
    workflow.steps[2].finally = true;
    workflow.deadline = Some(Deadline { within: Span::seconds(30), then: OnDeadline::Fail });
    workflow
}

fn queued(workflow: Workflow, script: &[(&str, Vec<Does>)]) -> World {
    let plan = World::new(workflow, Pins::default(), &[]).plan;
    World::with_claim(plan, json!({}), script, Some(claim()))
}

fn newer() -> ReleaseId {
    "w-2".parse().expect("an id")
}

#[test]
fn nothing_of_it_begins_before_its_turn_and_its_time_counts_from_then() {
    let mut world = queued(slow(), &[("b", vec![Does::Suspends(20)])]);
    assert!(world.release.is_queued() && world.release.calls().next().is_none());
    assert_eq!((world.release.wake_at(), world.journal[0].events.len()), (None, 1));
    assert!(!world.turn(), "there is nothing to do");
    // Longer than its deadline.
    world.now = world.now + Span::seconds(3600);
    world.tell(Input::Tick { dice: 0 }).expect("never refused");
    world.crash();
    assert_eq!(world.journal.len(), 1);
    world.tell(Input::Admitted).expect("it waits");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    let again = world.tell(Input::Admitted).expect_err("once");
    assert_eq!(again.to_string(), "the release is succeeded: it does not wait for its turn");
}

#[test]
fn the_wait_says_what_it_is_for_and_what_can_be_done() {
    let world = queued(slow(), &[]);
    let [wait] = &world.release.waits()[..] else { panic!("one wait") };
    assert_eq!((wait.cause, wait.step.as_ref(), wait.until), (WaitCause::Queue, None, None));
    expect!["waits for its turn in group prod | the releases before it | cancel w-1 --reason …"]
        .assert_eq(&format!("{} | {} | {}", wait.text, wait.owner, wait.action));
    assert_eq!(world.release.headline(), wait.text);
}

#[test]
fn one_that_is_stopped_before_its_turn_is_over_at_once() {
    for asked in
        [Intervention::Cancel { rollback: false }, Intervention::Cancel { rollback: true }, Intervention::Rollback]
    {
        let mut world = queued(slow(), &[]);
        world.intervene(asked.clone()).expect("it can be stopped");
        // What runs last has nothing to come after.
        assert_eq!((world.release.outcome(), world.journal[1].events.len()), (Some(Outcome::Canceled), 2), "{asked:?}");
        assert!(!world.turn());
        assert!(world.tell(Input::Admitted).is_err());
        assert!(world.intervene(Intervention::Cancel { rollback: false }).is_err());
        // Nor is anything rolled back later, with what runs last after it.
        assert!(world.release.never_began());
        assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::WrongState { .. })), "{asked:?}");
    }
}

#[test]
fn a_command_without_a_driver_stops_it_too() {
    let mut world = queued(slow(), &[]);
    let (actor, reason) = (world.release.created().requested_by.clone(), "not needed".to_owned());
    let intervention = Intervention::Cancel { rollback: false };
    let input = Input::Intervene { actor, reason, intervention };
    let record = world.release.decide_unattended(input, world.now).expect("taken").expect("a record");
    assert_eq!(record.events.last(), Some(&Event::LeftAlone));
    world.journal.push(record);
    world.crash();
    assert_eq!(world.release.outcome(), Some(Outcome::Canceled));
}

#[test]
fn what_takes_a_release_that_has_begun_is_refused_before() {
    let mut world = queued(slow(), &[]);
    let step = || "a".parse().expect("a name");
    for asked in [
        Intervention::Pause,
        Intervention::Resume,
        Intervention::Retry { step: step() },
        Intervention::RunAgain { step: step() },
        Intervention::Skip { step: step(), output: None },
        Intervention::ReplaceOutput { step: step(), output: json!({}) },
        Intervention::SettleRollback { step: step(), done: true },
    ] {
        let refused = world.intervene(asked.clone()).expect_err("nothing has begun");
        assert!(!refused.to_string().is_empty(), "{asked:?}");
    }
    let actor = world.release.created().requested_by.clone();
    let vote = Input::Vote { step: step(), actor, approved: true, comment: String::new() };
    assert!(matches!(world.tell(vote), Err(Rejected::NotHeld { .. })));
    assert!(world.release.is_queued());
}

#[test]
fn one_that_gives_way_to_a_newer_one_says_to_which() {
    let mut world = queued(slow(), &[]);
    world.tell(Input::Superseded { by: newer() }).expect("it waits");
    assert_eq!(world.release.outcome(), Some(Outcome::Canceled));
    assert_eq!(world.release.superseded_by(), Some(&newer()));
    assert_eq!(world.release.headline(), "canceled: w-2 is newer, and only the newest that waits goes on");
    assert!(!world.turn());
    // One that has begun gives way to nobody.
    let mut world = queued(slow(), &[]);
    world.tell(Input::Admitted).expect("it waits");
    assert!(world.tell(Input::Superseded { by: newer() }).is_err());
    assert_eq!(*world.release.state(), ReleaseState::Running);
}

#[test]
fn one_that_need_not_wait_begins_in_its_first_record() {
    let world = queued(slow(), &[]);
    let created = world.release.created().clone();
    let (release, record) = Release::create_admitted(world.plan.clone(), created.clone(), world.now);
    assert_eq!((record.events.get(1), release.records()), (Some(&Event::Admitted), 1));
    assert!(matches!(record.events.get(2), Some(Event::AttemptStarted { .. })));
    assert_eq!(Release::replay(world.plan.clone(), [&record]).expect("it can be replayed"), release);
    // And one without a claim has nothing to be admitted to.
    let free = windlass_model::event::Created { claim: None, ..created };
    let (_, record) = Release::create_admitted(world.plan.clone(), free.clone(), world.now);
    assert_eq!(record, Release::create(world.plan.clone(), free, world.now).1);
}
