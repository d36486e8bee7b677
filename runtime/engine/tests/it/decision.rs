//! Decisions about a rollback: who is asked, who is asked next when nobody answers, and by what one decides.

use windlass_engine::{Input, Release, WaitCause};
use windlass_model::alert::OnAlert;
use windlass_model::decision::{Criterion, DecisionRules, Owner};
use windlass_model::event::{Event, Intervention, Outcome};
use windlass_model::expression::Expression;
use windlass_model::time::Span;
use windlass_model::workflow::Workflow;

use crate::alert::{fire, waiting, with_alerts};
use crate::world::World;

fn with_card(text: &str) -> Workflow {
    let owner = |who: &str, minutes: Option<u64>| Owner {
        who: who.parse().expect("somebody"),
        escalate_after: minutes.map(|it| Span::seconds(it * 60)),
    };
    let criterion = |text: &str, when: &str| Criterion {
        text: text.to_owned(),
        when: Expression::parse(when).expect("an expression"),
    };
    let mut workflow = with_alerts(text, OnAlert::AfterConfirmation);
    workflow.rollback.as_mut().expect("rules").decision = Some(DecisionRules {
        criteria: vec![
            criterion("an alert pages", "release.alerts.exists(it, it.labels.severity == 'page')"),
            criterion("it was verified badly", "steps.verify.output.failed > 3"),
        ],
        owners: vec![owner("user:ana", Some(15)), owner("group:managers", Some(30)), owner("user:cto", None)],
        inform: Vec::new(),
    });
    workflow
}

/// Whom the release asks, and when it asks the next one.
fn asks(release: &Release) -> (String, bool) {
    let wait = release.waits().into_iter().find(|it| it.cause == WaitCause::Rollback).expect("it asks");
    assert_eq!(wait.until, release.wake_at(), "nothing else wakes it");
    (wait.owner, wait.until.is_some())
}

fn escalations(world: &World) -> Vec<String> {
    let events = world.journal.iter().flat_map(|it| &it.events);
    let told = events.filter_map(|it| match it {
        Event::Escalated { to } => Some(to.clone()),
        _ => None,
    });
    told.collect()
}

/// A release in which all has ended, and which asks.
fn asking() -> World {
    let mut world = waiting(with_card("build -> verify"), "verify");
    fire(&mut world).expect("it concerns the release");
    while world.release.outcome().is_none() {
        assert!(world.turn(), "its last step ends");
    }
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    world
}

#[test]
fn silence_asks_the_next_one_and_decides_nothing() {
    let mut world = asking();
    let since = world.release.question().expect("it asks").since;
    // The step took longer than the first one had.
    assert_eq!(escalations(&world), ["group:managers", "user:cto"]);
    assert_eq!(asks(&world.release), ("user:cto".to_owned(), false));
    world.crash();
    assert_eq!(asks(&world.release), ("user:cto".to_owned(), false));
    assert!(!world.turn(), "nothing more happens by itself");
    assert!(world.release.is_open() && world.release.question().expect("it asks on").since == since);
    world.intervene(Intervention::Rollback).expect("that was the question");
    let decided = world.release.decided().expect("it is decided").clone();
    assert_eq!((decided.by.name.as_str(), decided.reason.as_str(), decided.against), ("ana", "because", true));
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn each_owner_has_their_time_whether_the_release_runs_or_has_ended() {
    let mut world = waiting(with_card("build -> verify"), "verify");
    fire(&mut world).expect("it concerns the release");
    let began = world.now;
    for (minutes, owner, more) in [(0, "user:ana", true), (15, "group:managers", true), (45, "user:cto", false)] {
        world.now = began + Span::seconds(minutes * 60);
        world.tell(Input::Tick { dice: 0 }).expect("never refused");
        let wait = world.release.waits().into_iter().next().expect("it asks");
        assert_eq!((wait.owner.as_str(), wait.until.is_some()), (owner, more), "after {minutes} minutes");
        world.crash();
    }
    world.intervene(Intervention::Keep).expect("that was the question");
    assert!(!world.release.decided().expect("it is decided").against);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    assert_eq!(escalations(&world).len(), 2, "nobody is asked any more");
}

#[test]
fn criteria_say_how_they_stand() {
    let mut world = waiting(with_card("build -> verify"), "verify");
    let stands = |world: &World| -> Vec<Option<bool>> { world.release.criteria().iter().map(|it| it.is_met).collect() };
    assert_eq!(stands(&world), [Some(false), None], "what has not ended has given nothing");
    assert!(world.release.criteria()[1].problem.is_some());
    fire(&mut world).expect("it concerns the release");
    assert_eq!(stands(&world)[0], Some(true));
    world.crash();
    assert_eq!(stands(&world)[0], Some(true));
}
