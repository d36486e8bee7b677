//! What a rollback would do is told before somebody asks for it.

use windlass_engine::{Rejected, Stays};
use windlass_model::event::{Intervention, Outcome};
use windlass_model::manifest::Effect;
use windlass_model::workflow::RollbackPart;

use crate::world::{Does, Pins, World, workflow};

type Told = (Vec<String>, Vec<(String, Stays)>, Option<Rejected>);

fn told(world: &World) -> Told {
    let preview = world.release.rollback_preview(world.now);
    let name = |it| world.release.name_of(it).to_string();
    let stays = preview.stays.into_iter().map(|(it, why)| (name(it), why)).collect();
    (preview.steps.into_iter().map(name).collect(), stays, preview.refused)
}

fn order(world: &World) -> Vec<String> {
    world.release.rollback_order().into_iter().map(|it| world.release.name_of(it).to_string()).collect()
}

#[test]
fn what_is_told_is_what_happens() {
    for text in ["a -> b -> c", "c; b -> c; a -> b", "a -> b; a -> c; b -> d; c -> d; e"] {
        // Until nothing more happens, so that some steps have not begun, some run, and some are over.
        for turns in 0.. {
            let mut world = World::new(workflow(text), Pins::default(), &[("c", vec![Does::Suspends(60)])]);
            let went_on = (0..turns).all(|_| world.turn());
            let before = world.release.clone();
            let (steps, stays, refused) = told(&world);
            assert_eq!(world.release, before, "nothing is changed");
            assert_eq!(world.intervene(Intervention::Rollback).err(), refused, "{text} after {turns}");
            if refused.is_none() {
                world.run();
                assert_eq!(order(&world), steps, "{text} after {turns}");
                assert_eq!(world.release.outcome(), Some(Outcome::RolledBack));
                let (again, ..) = told(&world);
                assert!(again.is_empty(), "{again:?}");
            }
            assert!(stays.is_empty());
            if !went_on {
                break;
            }
        }
    }
}

#[test]
fn what_would_stay_is_told_with_the_reason() {
    let mut skips = workflow("a -> b; tell");
    skips.steps[0].rollback = RollbackPart::Skip;
    skips.steps[2].finally = true;
    let mut world = World::new(skips, Pins::default(), &[]);
    world.run();
    let (steps, mut stays, refused) = told(&world);
    stays.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(steps, ["b"]);
    assert_eq!(stays, [("a".to_owned(), Stays::Skipped), ("tell".to_owned(), Stays::Finally)]);
    assert_eq!(refused, None);

    let none = Pins { rollback: false, ..Pins::default() };
    let mut world = World::new(workflow("a -> b"), none, &[]);
    world.run();
    let why = Stays::NoRollback;
    assert_eq!(told(&world).1, [("b".to_owned(), why), ("a".to_owned(), why)]);
    // What only reads leaves nothing.
    let mut world = World::new(workflow("a -> b"), Pins { effect: Effect::Read, ..none }, &[]);
    world.run();
    assert_eq!((told(&world).0, told(&world).1), (Vec::new(), Vec::new()));

    let mut pivot = workflow("a -> b -> c");
    pivot.steps[1].pivot = true;
    let mut world = World::new(pivot, Pins::default(), &[]);
    world.run();
    let (steps, _, refused) = told(&world);
    assert_eq!(steps, ["c", "b", "a"]);
    assert!(matches!(refused, Some(Rejected::PastPivot { step }) if step.as_str() == "b"));
}
