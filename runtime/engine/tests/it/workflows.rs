//! The workflow files that users see, on their worst days: the process ends after every record, each
//! step fails in turn, each step's answer is lost in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::{StepState, WaitCause};
use windlass_model::event::{Event, Intervention, Operation, Outcome};
use windlass_model::failure::FailureClass;
use windlass_model::graph::StepIndex;
use windlass_model::manifest::{Effect, Manifest};
use windlass_model::name::StepName;
use windlass_model::parse::validate;
use windlass_model::plan::Plan;
use windlass_model::problem::Source;
use windlass_model::workflow::{Approver, Gate, OnFailure, RollbackPart};

use crate::world::{Does, World, actor, fails};

#[path = "../../../model/tests/it/catalog.rs"]
mod catalog;

/// A workflow file that can be run here as often as one likes.
struct Made {
    name: String,
    plan: Arc<Plan>,
    parameters: Value,
    manifests: Vec<Manifest>,
}

fn all() -> Vec<Made> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of workflows")
        .map(|it| it.expect("an entry").path())
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .iter()
        .map(|file| {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let source = Source::new(name.clone(), std::fs::read_to_string(file).expect("a file"));
            let (read, problems) = validate(&source, &catalog::installed());
            let (_, plan) = read.unwrap_or_else(|| panic!("{name}: {problems:?}"));
            let parameters = &plan.workflow().parameters;
            let parameters = parameters
                .iter()
                .map(|(name, it)| (name.clone(), it.default.clone().unwrap_or_else(|| sample(&it.schema))))
                .collect();
            let manifests = catalog::manifests();
            let manifests = manifests.into_iter().map(|it| serde_json::from_value(it).expect("a manifest")).collect();
            Made { name, plan: Arc::new(plan), parameters: Value::Object(parameters), manifests }
        })
        .collect()
}

/// Something that a schema lets through, as far as an engine can tell.
fn sample(schema: &Value) -> Value {
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(properties.map(|(name, schema)| (name.clone(), sample(schema))).collect())
        }
        _ => json!("1.2.3"),
    }
}

impl Made {
    fn world(&self, script: &[(&str, Vec<Does>)]) -> World {
        let mut world = World::of(self.plan.clone(), self.parameters.clone(), script);
        for step in &self.plan.workflow().steps {
            let uses = step.uses.action().expect("an action");
            let manifest = self.manifests.iter().rev().find(|it| it.name == uses.plugin).expect("a plugin");
            let output = sample(&manifest.actions[&uses.action].output);
            world.outputs.insert(step.name.to_string(), output);
        }
        world
    }

    /// What each step did, by idempotency key; the other side recognises those of an idempotent action.
    fn acts(&self, world: &World) -> BTreeMap<String, Vec<String>> {
        let mut acts = world.effects.clone();
        for (step, keys) in &mut acts {
            if self.plan.pin(self.index(step)).effect == Effect::IdempotentWrite {
                keys.dedup();
            }
        }
        acts
    }

    /// Everything that runs: the steps, and in place of one that runs for items these, as they are in a calm release.
    fn names(&self) -> Vec<String> {
        let mut calm = self.world(&[]);
        run(&mut calm);
        self.units(&calm, self.plan.graph().steps())
    }

    fn units(&self, world: &World, steps: impl Iterator<Item = StepIndex>) -> Vec<String> {
        let units = steps.flat_map(|step| match world.release.items(step) {
            Some(items) => items.map(|(item, _)| world.release.name_of(item).to_string()).collect(),
            None => vec![self.plan.step(step).name.to_string()],
        });
        units.collect()
    }

    fn index(&self, step: &str) -> StepIndex {
        let name: StepName = step.parse().expect("a name");
        self.plan.index_of(&name.of_step().parse().expect("a name")).expect("a step")
    }
}

/// Everybody who is asked for an approval gives it. False when nobody is asked.
fn approve(world: &mut World) -> bool {
    let Some(wait) = world.release.waits().into_iter().find(|it| it.cause == WaitCause::Approval) else { return false };
    let plan = world.plan.clone();
    let name = wait.step.expect("an approval is a step's");
    let step = plan.workflow().step(&name).expect("a step");
    for Gate::Approval(rule) in &step.gates {
        for number in 0..rule.min {
            let voter = match &rule.from[number as usize % rule.from.len()] {
                Approver::User(name) => actor(name, &[]),
                Approver::Group(name) => actor(&format!("{name}-{number}"), &[name]),
            };
            // The step may have started before everybody has said so.
            let _ = world.vote(name.as_str(), voter, true);
        }
    }
    true
}

/// One thing happens, people included, who are quick.
fn turn(world: &mut World) -> bool {
    approve(world) || world.turn()
}

fn run(world: &mut World) {
    for _ in 0..10_000 {
        if !turn(world) {
            return;
        }
    }
    panic!("it never ends: {}", world.story());
}

fn rolled_back(world: &World) -> Vec<String> {
    let events = world.journal.iter().flat_map(|it| &it.events);
    let started = events.filter_map(|it| match it {
        Event::AttemptStarted { step, operation: Operation::Rollback, attempt: 1, .. } => Some(step.to_string()),
        _ => None,
    });
    started.collect()
}

#[test]
fn every_prefix_comes_to_the_same_end() {
    for made in all() {
        let mut calm = made.world(&[]);
        run(&mut calm);
        assert_eq!(calm.release.outcome(), Some(Outcome::Succeeded), "{}: {}", made.name, calm.story());
        let mut cut = 0;
        loop {
            let mut world = made.world(&[]);
            let mut turns = 0;
            while turns < cut && turn(&mut world) {
                turns += 1;
            }
            if turns < cut {
                break;
            }
            world.crash();
            run(&mut world);
            let (name, story) = (&made.name, world.story());
            assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{name}, after {cut} turns: {story}");
            assert_eq!(world.release.outputs(), calm.release.outputs(), "{name}, after {cut} turns: {story}");
            assert_eq!(made.acts(&world), made.acts(&calm), "{name}, after {cut} turns: {story}");
            cut += 1;
        }
        assert!(cut > calm.journal.len(), "the journal is cut after every record");
    }
}

#[test]
fn each_step_fails_in_turn() {
    for made in all() {
        for failing in made.names() {
            let mut world = made.world(&[(failing.as_str(), fails(FailureClass::Rejected))]);
            run(&mut world);
            let (name, story) = (&made.name, world.story());
            let index = made.index(&failing);
            let ran = |step: &str| {
                let index = world.release.index_of(&step.parse().expect("a name"));
                let state = index.map(|it| &world.release.step(it).state);
                !matches!(state, None | Some(StepState::Waiting | StepState::Held { .. }))
            };
            for child in made.plan.graph().children(index) {
                assert!(!ran(made.plan.step(child).name.as_str()), "{name}: after {failing} failed: {story}");
            }
            match made.plan.step(index).on_failure {
                OnFailure::Pause => {
                    // Meanwhile a deadline may have passed, and paused it.
                    if world.release.pause().is_some() {
                        world.intervene(Intervention::Resume).expect("it is paused");
                    }
                    let waits = world.release.waits();
                    assert_eq!(waits.len(), 1, "{name}, {failing}: {story}");
                    assert_eq!(
                        (waits[0].step.as_ref().map(StepName::as_str), waits[0].cause),
                        (Some(failing.as_str()), WaitCause::Decision)
                    );
                    world.script.clear();
                    let step = failing.parse().expect("a name");
                    world.intervene(Intervention::Retry { step }).expect("what is paused can be tried again");
                    run(&mut world);
                    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{name}, {failing}: {story}");
                }
                OnFailure::Fail => assert_eq!(world.release.outcome(), Some(Outcome::Failed), "{name}: {story}"),
                OnFailure::Continue => assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{name}: {story}"),
                OnFailure::Rollback => {
                    assert_eq!(world.release.outcome(), Some(Outcome::RolledBack), "{name}: {story}");
                    let may = |it: &StepIndex| {
                        let (step, pin) = (made.plan.step(*it), made.plan.pin(*it));
                        !step.finally
                            && pin.rollback
                            && pin.effect != Effect::Read
                            && step.rollback == RollbackPart::Automatic
                    };
                    let mut expected: Vec<String> = made.units(&world, made.plan.graph().steps().filter(may));
                    expected.retain(|it| ran(it));
                    let order = rolled_back(&world);
                    for (at, step) in order.iter().enumerate() {
                        let parents = made.plan.graph().parents(made.index(step));
                        let before = &order[..at];
                        for parent in parents.map(|it| made.plan.step(it).name.to_string()) {
                            assert!(!before.contains(&parent), "{name}: {parent} before {step}: {order:?}");
                        }
                    }
                    let mut order = order;
                    order.sort();
                    expected.sort();
                    assert_eq!(order, expected, "{name}, {failing}: {story}");
                }
            }
        }
    }
}

#[test]
fn each_step_runs_twice_and_acts_once() {
    for made in all() {
        let mut calm = made.world(&[]);
        run(&mut calm);
        for twice in made.names() {
            let mut world = made.world(&[(twice.as_str(), vec![Does::LosesItsAnswer])]);
            run(&mut world);
            let (name, story) = (&made.name, world.story());
            assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{name}, {twice}: {story}");
            assert_eq!(world.release.outputs(), calm.release.outputs(), "{name}, {twice}: {story}");
            let lost = story.lines().filter(|it| *it == format!("run {twice}: loses its answer")).count();
            assert_eq!(lost, 1, "{name}: {story}");
            let pin = made.plan.pin(made.index(&twice));
            if pin.effect != Effect::Write || pin.find {
                assert_eq!(made.acts(&world), made.acts(&calm), "{name}, {twice}: {story}");
            }
        }
    }
}
