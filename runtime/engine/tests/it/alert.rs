//! Alerts that roll a release back, or have somebody decide: which count, when, and what they hold meanwhile.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::json;
use windlass_engine::{Input, Rejected, WaitCause};
use windlass_model::alert::{Alert, AlertRule, OnAlert};
use windlass_model::event::{Intervention, Outcome};
use windlass_model::failure::FailureClass;
use windlass_model::template::Template;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::{RollbackRules, Workflow};

use crate::world::{Does, Pins, World, workflow};

const WINDOW: Span = Span::seconds(600);

pub(crate) fn with_alerts(text: &str, then: OnAlert) -> Workflow {
    let mut workflow = workflow(text);
    let template = |text: &str| Template::parse(&json!(text)).expect("a template");
    let labels = BTreeMap::from([
        ("alertname".to_owned(), template("Errors")),
        ("version".to_owned(), template("${{ parameters.version }}")),
    ]);
    let rule = AlertRule { labels, stabilisation: Some(WINDOW), then };
    workflow.rollback = Some(RollbackRules { alerts: vec![rule], ..RollbackRules::default() });
    workflow
}

fn alert(starts_at: Timestamp) -> Alert {
    let labels = [("alertname", "Errors"), ("version", "1.0.0"), ("severity", "page")];
    Alert {
        fingerprint: "f1".to_owned(),
        starts_at,
        labels: labels.map(|(name, it)| (name.to_owned(), it.to_owned())).into(),
        annotations: BTreeMap::from([("summary".to_owned(), "5 % fail".to_owned())]),
        source: "a test".to_owned(),
    }
}

pub(crate) fn fire(world: &mut World) -> Result<(), Rejected> {
    let alert = alert(world.now);
    world.tell(Input::Alert(Box::new(alert)))
}

/// The steps up to the last one have run, and that one waits outside.
pub(crate) fn waiting(workflow: Workflow, last: &str) -> World {
    let mut world = World::new(workflow, Pins::default(), &[(last, vec![Does::Suspends(3_600)])]);
    while !world.is_suspended(last) {
        assert!(world.turn(), "something can be done");
    }
    world
}

fn refused(world: &mut World, says: &str) {
    let error = fire(world).expect_err("it does not concern the release").to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn an_alert_rolls_back_what_ran_and_is_taken_once() {
    let mut world = waiting(with_alerts("build -> deploy -> verify; build -> docs", OnAlert::Rollback), "verify");
    let first = alert(world.now);
    world.tell(Input::Alert(Box::new(first.clone()))).expect("it concerns the release");
    assert_eq!(world.tell(Input::Alert(Box::new(first.clone()))), Err(Rejected::AlertRepeated));
    refused(&mut World::new(workflow("a"), Pins::default(), &[]), "names no such alert");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
    let trigger = &world.release.rollback().expect("it was").trigger;
    assert_eq!(trigger, "alert Errors (severity=page, version=1.0.0): 5 % fail");
    assert_eq!(order_of_rollback(&world), ["docs", "verify", "deploy", "build"], "what was stopped, too");
    assert_eq!(world.release.alerts().len(), 1);
    assert_eq!(world.tell(Input::Alert(Box::new(first))), Err(Rejected::AlertRepeated), "after the end, too");
}

fn order_of_rollback(world: &World) -> Vec<String> {
    world.release.rollback_order().into_iter().map(|it| world.release.name_of(it).to_string()).collect()
}

#[test]
fn the_order_of_a_rollback_is_told_however_the_steps_are_written() {
    for (text, order) in [
        ("c; b -> c; a -> b", vec!["c", "b", "a"]),
        ("d; c -> d; b -> d; a -> b; a -> c", vec!["d", "b", "c", "a"]),
        ("a -> b; c -> d", vec!["d", "b", "c", "a"]),
    ] {
        let mut world = World::new(workflow(text), Pins::default(), &[]);
        world.run();
        assert!(order_of_rollback(&world).is_empty(), "{text}");
        world.intervene(Intervention::Rollback).expect("it succeeded");
        // All that is to be rolled back, is being, or was.
        loop {
            let told = order_of_rollback(&world);
            let place = |step: &str| told.iter().position(|it| it == step).expect("it is told");
            assert_eq!(told.len(), order.len(), "{text}: {told:?}");
            for step in world.release.plan().graph().steps() {
                for parent in world.release.plan().graph().parents(step) {
                    let (step, parent) = (world.release.name_of(step), world.release.name_of(parent));
                    assert!(place(step.as_str()) < place(parent.as_str()), "{text}: {told:?}");
                }
            }
            if !world.turn() {
                break;
            }
        }
        assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
        assert_eq!(order_of_rollback(&world), order, "{text}");
    }
    // What did nothing is not told, nor what still may do something.
    let fails = crate::world::fails(FailureClass::Invalid);
    let mut world = World::new(workflow("c; b -> c; a -> b"), Pins::default(), &[("b", fails)]);
    world.run();
    world.intervene(Intervention::Rollback).expect("it failed");
    assert_eq!(order_of_rollback(&world), ["b", "a"]);
    world.run();
    assert_eq!(order_of_rollback(&world), ["b", "a"]);
    assert!(order_of_rollback(&waiting(workflow("a -> b"), "b")).is_empty());
    // `rollback_after` counts.
    let mut after = workflow("b; a; c");
    after.steps[1].rollback_after = vec!["b".parse().expect("a name"), "c".parse().expect("a name")];
    let mut world = World::new(after, Pins::default(), &[("c", crate::world::fails(FailureClass::Invalid))]);
    world.run();
    world.intervene(Intervention::Rollback).expect("it failed");
    world.run();
    assert_eq!(order_of_rollback(&world), ["c", "b", "a"]);
}

#[test]
fn with_a_confirmation_nothing_new_starts_until_somebody_decides() {
    let workflow = || with_alerts("build -> deploy -> verify", OnAlert::AfterConfirmation);
    for (decision, outcome) in [(Intervention::Keep, Outcome::Succeeded), (Intervention::Rollback, Outcome::RolledBack)]
    {
        let mut world = waiting(workflow(), "deploy");
        fire(&mut world).expect("it concerns the release");
        let mut later = Alert { fingerprint: "f2".to_owned(), ..alert(world.now) };
        later.annotations.insert("summary".to_owned(), "9 % fail".to_owned());
        world.tell(Input::Alert(Box::new(later))).expect("another one");
        world.run();
        assert_eq!(world.release.outcome(), None, "{}", world.story());
        assert!(!world.story().contains("run verify"), "{}", world.story());
        let wait = world.release.waits().into_iter().next().expect("it waits");
        assert_eq!((wait.cause, wait.step), (WaitCause::Rollback, None));
        assert!(
            wait.text.contains("page, version=1.0.0): 5 % fail") && wait.action.starts_with("rollback w-1"),
            "{}",
            wait.text
        );
        world.intervene(decision).expect("that was the question");
        world.run();
        assert_eq!(world.release.outcome(), Some(outcome));
        assert_eq!(world.intervene(Intervention::Keep), Err(Rejected::NothingToDecide));
        assert!(!world.release.is_open());
    }
}

#[test]
fn a_release_in_which_all_has_ended_ends_and_asks_on() {
    let mut world = waiting(with_alerts("build -> deploy", OnAlert::AfterConfirmation), "deploy");
    fire(&mut world).expect("it concerns the release");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    assert!(world.release.is_open(), "it asks on");
    world.crash();
    assert!(world.release.is_open(), "and who takes it over knows");
    world.intervene(Intervention::Rollback).expect("it succeeded");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
    assert!(!world.release.is_open());
}

#[test]
fn after_the_end_alerts_count_until_things_are_stable() {
    for (after, counts) in [(Span(600_000), true), (Span(600_001), false)] {
        let mut world = World::new(with_alerts("build -> deploy", OnAlert::Rollback), Pins::default(), &[]);
        world.run();
        assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
        let ended_at = world.release.updated_at();
        world.now = ended_at + after;
        if counts {
            fire(&mut world).expect("it concerns the release");
            world.run();
            assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
        } else {
            refused(&mut world, "stabilisation is over");
        }
    }
    let mut inner = World::inner(with_alerts("build -> deploy", OnAlert::Rollback));
    inner.run();
    assert_eq!(inner.release.outcome(), Some(Outcome::Succeeded));
    refused(&mut inner, "it has ended");
}

#[test]
fn what_fired_before_or_is_about_something_else_is_none_of_its_business() {
    let mut world = waiting(with_alerts("build -> deploy", OnAlert::Rollback), "deploy");
    let before = alert(Timestamp(999_999));
    let error = world.tell(Input::Alert(Box::new(before))).expect_err("too early").to_string();
    assert!(error.contains("before the release began"), "{error}");
    let mut other = alert(world.now);
    other.labels.insert("version".to_owned(), "2.0.0".to_owned());
    assert!(world.tell(Input::Alert(Box::new(other))).is_err());
    assert!(world.release.alerts().is_empty());

    let mut rehearsal = with_alerts("build -> deploy", OnAlert::Rollback);
    rehearsal.rollback.as_mut().expect("rules").alerts[0].labels.remove("version");
    let mut rehearsal = World::rehearsal(rehearsal, &[]);
    assert!(rehearsal.turn());
    refused(&mut rehearsal, "it is a rehearsal");
    let mut world = World::new(with_alerts("build", OnAlert::Rollback), Pins::default(), &[]);
    world.run();
    world.intervene(Intervention::Rollback).expect("it succeeded");
    refused(&mut world, "rolled back already");
    world.run();
    refused(&mut world, "without success");
}

#[test]
fn past_a_point_of_no_return_a_person_says_how_to_go_forward() {
    let mut workflow = with_alerts("build -> switch -> verify", OnAlert::Rollback);
    workflow.steps[1].pivot = true;
    let mut world = waiting(workflow, "verify");
    fire(&mut world).expect("it concerns the release");
    assert_eq!(world.release.rollback(), None);
    let wait = world.release.waits().into_iter().next().expect("it waits");
    assert!(wait.text.contains("no way back after step switch") && wait.action.starts_with("keep "), "{}", wait.text);
    assert!(matches!(world.intervene(Intervention::Rollback), Err(Rejected::PastPivot { .. })));
    world.intervene(Intervention::Keep).expect("go forward");
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn what_runs_last_runs_before_a_rollback_that_an_alert_asks_for_then() {
    let mut workflow = with_alerts("build -> deploy; tell", OnAlert::Rollback);
    workflow.steps[2].finally = true;
    let mut world = waiting(workflow, "tell");
    fire(&mut world).expect("it concerns the release");
    world.run();
    expect![[r#"
        run build
        run deploy
        run tell: suspends
        resume tell
        rollback deploy
        rollback build
        run tell
        rolled back
    "#]]
    .assert_eq(&world.story());
}
