//! People who ask for everything at every moment, on random workflows: whatever they do, the journal tells the same
//! as the release, no step runs before what it needs, and the release ends once they let it.

use serde_json::json;
use windlass_engine::{Input, Rejected, StepState, WaitCause};
use windlass_model::event::{Intervention, Operation};
use windlass_model::failure::FailureClass;
use windlass_model::fan_out::{Allowance, ForEach, Items};
use windlass_model::graph::Graph;
use windlass_model::manifest::Effect;
use windlass_model::name::{PhaseName, StepName};
use windlass_model::template::Template;
use windlass_model::time::Span;
use windlass_model::workflow::{
    ApprovalGate, Approver, Deadline, Gate, OnDeadline, OnFailure, PhaseRules, Threshold, Workflow,
};

use crate::world::{Does, Pins, World, actor, workflow};

/// As many in every run; 60,000 were tried after each thing that was added, and found what the tests of `intervention` now say.
const SEEDS: u64 = 3_000;

/// Numbers that follow from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

fn a_workflow(dice: &mut Dice) -> Workflow {
    let count = 2 + dice.below(6);
    let names: Vec<String> = (0..count).map(|it| format!("s{it}")).collect();
    let mut made = workflow(&names.join("; "));
    for at in 0..count {
        for before in &names[..at] {
            if dice.one_in(3) {
                made.steps[at].needs.push(before.parse().expect("a name"));
            }
        }
        let step = &mut made.steps[at];
        step.on_failure =
            [OnFailure::Pause, OnFailure::Pause, OnFailure::Fail, OnFailure::Rollback, OnFailure::Continue]
                [dice.below(5)];
        step.mandatory = dice.one_in(6);
        if dice.one_in(4) {
            let items: Vec<usize> = (0..dice.below(4)).collect();
            let mut for_each = ForEach::of(Items::List(Template::Plain(json!(items))));
            for_each.max_parallel = dice.one_in(2).then_some(1);
            for_each.fail_fast = dice.one_in(2);
            for_each.failures_allowed = Allowance::Count(dice.below(2) as u32);
            step.for_each = Some(for_each);
        }
        step.delay = dice.one_in(8).then(|| Span::seconds(1 + dice.below(50) as u64));
        step.pivot = dice.one_in(12);
        if dice.one_in(4) {
            step.gates = vec![Gate::Approval(ApprovalGate {
                from: vec![Approver::User("ben".to_owned())],
                min: 1,
                requester_may_approve: false,
                message: None,
            })];
        }
    }
    if dice.one_in(3) {
        let mut last = workflow("z0 -> z1; z2").steps;
        last.truncate(1 + dice.below(3));
        for step in &mut last {
            step.finally = true;
            step.on_failure = [OnFailure::Pause, OnFailure::Fail, OnFailure::Continue][dice.below(3)];
        }
        made.steps.extend(last);
    }
    let then = |dice: &mut Dice| [OnDeadline::Fail, OnDeadline::Rollback, OnDeadline::Pause][dice.below(3)];
    if dice.one_in(4) {
        made.deadline = Some(Deadline { within: Span::seconds(20 + dice.below(300) as u64), then: then(dice) });
    }
    if dice.one_in(3) {
        let phases = ["p0", "p1"].map(|it| it.parse::<PhaseName>().expect("a name"));
        made.phases = phases.to_vec();
        for at in 0..count {
            made.steps[at].phase = Some(phases[usize::from(at * 2 >= count)].clone());
        }
        let within = Span::seconds(20 + dice.below(200) as u64);
        let rules = PhaseRules {
            deadline: dice.one_in(3).then(|| Deadline { within, then: then(dice) }),
            threshold: dice.one_in(2).then(|| Threshold {
                failures_allowed: Allowance::Count(dice.below(2) as u32),
                rollback: dice.one_in(2),
            }),
        };
        made.phase_rules.insert(phases[dice.below(2)].clone(), rules);
    }
    // Backwards it may wait for what stands after it in the file: what runs after it does so, too.
    if dice.one_in(3) {
        let later = made.steps[count - 1].name.clone();
        made.steps[0].rollback_after = vec![later];
        if Graph::of(&made).is_err() {
            made.steps[0].rollback_after.clear();
        }
    }
    made
}

fn a_script(dice: &mut Dice) -> Vec<Does> {
    let classes = [FailureClass::Transient, FailureClass::Rejected, FailureClass::TimedOut, FailureClass::Invalid];
    (0..dice.below(4))
        .map(|_| match dice.below(5) {
            0 => Does::Suspends(1 + dice.below(100) as u64),
            1 => Does::Done(json!({ "any": true })),
            _ => Does::Fails(classes[dice.below(classes.len())]),
        })
        .collect()
}

fn an_intervention(dice: &mut Dice, step: StepName) -> Intervention {
    match dice.below(12) {
        0 | 1 => Intervention::Retry { step },
        2 | 3 => Intervention::RunAgain { step },
        4 => Intervention::Skip { step, output: dice.one_in(2).then(|| json!({ "by": "hand" })) },
        5 => Intervention::ReplaceOutput { step, output: json!({ "other": 1 }) },
        6 => Intervention::Pause,
        7 | 8 => Intervention::Resume,
        9 => Intervention::SettleRollback { step, done: dice.one_in(2) },
        10 => Intervention::Cancel { rollback: dice.one_in(2) },
        _ => Intervention::Rollback,
    }
}

/// No more items run side by side than may, unless people start some, and only while their step runs for them.
fn items_are_bounded(world: &World, retries: usize, seed: u64) {
    for step in &world.plan.workflow().steps {
        let Some(for_each) = &step.for_each else { continue };
        let index = world.release.index_of(&step.name).expect("a step");
        let going = |(item, _): &(_, _)| {
            world.release.step(*item).state.activity().is_some_and(|it| it.operation == Operation::Start)
        };
        let going = world.release.items(index).into_iter().flatten().filter(going).count();
        let most = for_each.max_parallel.map_or(usize::MAX, |it| it as usize + retries);
        assert!(going <= most, "seed {seed}: {going} items of {}: {}", step.name, world.story());
        let is_open = *world.state(step.name.as_str()) == StepState::FannedOut;
        assert!(going == 0 || is_open, "seed {seed}: items of {} run: {}", step.name, world.story());
    }
}

/// Every step that runs forward, or ran to a good end, has what it needs.
fn needs_are_met(world: &World, seed: u64) {
    for step in &world.plan.workflow().steps {
        let state = world.state(step.name.as_str());
        let runs =
            state.activity().is_some_and(|it| it.operation == Operation::Start) || *state == StepState::FannedOut;
        if !runs {
            continue;
        }
        for need in &step.needs {
            let state = world.state(need.as_str());
            let met = matches!(
                state,
                StepState::Succeeded | StepState::Skipped { .. } | StepState::Failed { tolerated: true, .. }
            );
            assert!(met, "seed {seed}: {} runs though {need} is {}: {}", step.name, state.name(), world.story());
        }
    }
}

/// Lets people do what they are asked for, and the world work.
fn let_it_end(world: &mut World, seed: u64) {
    world.script.clear();
    for _ in 0..1_000 {
        if world.turn() {
            continue;
        }
        if world.release.outcome().is_some() {
            return;
        }
        let wait = world.release.waits().into_iter().next();
        let wait = wait.unwrap_or_else(|| panic!("seed {seed}: it waits for nothing: {}", world.story()));
        let answered = match (wait.cause, wait.step) {
            (WaitCause::Pause, _) => world.intervene(Intervention::Resume),
            (WaitCause::Approval, Some(step)) => world.vote(step.as_str(), actor("ben", &[]), true),
            (WaitCause::Decision, Some(step)) => world.intervene(Intervention::Retry { step }),
            (cause, step) => panic!("seed {seed}: nobody can end {cause:?} of {step:?}: {}", world.story()),
        };
        answered.unwrap_or_else(|error| panic!("seed {seed}: what a wait asks for is refused: {error}"));
    }
    panic!("seed {seed}: it never ends: {}", world.story());
}

#[test]
fn whatever_people_do_the_release_makes_sense_and_ends() {
    let mut accepted = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let made = a_workflow(&mut dice);
        let names = made.steps.iter().flat_map(|it| {
            let items = if it.for_each.is_some() { 3 } else { 0 };
            std::iter::once(it.name.clone()).chain((1..=items).map(|item| it.name.of_item(item)))
        });
        let names: Vec<StepName> = names.collect();
        let pins = Pins {
            effect: [Effect::Read, Effect::IdempotentWrite, Effect::Write][dice.below(3)],
            cancel: dice.one_in(2),
            rollback: !dice.one_in(3),
            find: true,
        };
        let mut world = World::new(made, pins, &[]);
        for name in &names {
            for key in [name.to_string(), format!("{name}:rollback"), format!("{name}:cancel")] {
                world.script.insert(key, a_script(&mut dice).into());
            }
        }
        let mut retries = 0;
        for _ in 0..60 {
            let step = names[dice.below(names.len())].clone();
            let told = match dice.below(10) {
                0 => {
                    let intervention = an_intervention(&mut dice, step);
                    let name = match &intervention {
                        Intervention::Retry { .. } | Intervention::RetryWith { .. } => "retry",
                        Intervention::RunAgain { .. } => "run again",
                        Intervention::Skip { .. } => "skip",
                        Intervention::ReplaceOutput { .. } => "replace output",
                        Intervention::Pause => "pause",
                        Intervention::Resume => "resume",
                        Intervention::SettleRollback { .. } => "settle",
                        Intervention::Cancel { .. } => "cancel",
                        Intervention::Rollback => "rollback",
                        Intervention::Keep => "keep",
                    };
                    let told = world.intervene(intervention);
                    retries += usize::from(name == "retry" && told.is_ok());
                    *accepted.entry(name).or_default() += usize::from(told.is_ok());
                    told
                }
                1 => world.vote(step.as_str(), actor("ben", &[]), !dice.one_in(5)),
                2 if dice.one_in(4) => {
                    world.crash();
                    Ok(())
                }
                3 if dice.one_in(4) => world.tell(Input::Tick { dice: dice.below(1 << 30) as u64 }),
                _ => {
                    world.turn();
                    Ok(())
                }
            };
            assert!(!matches!(told, Err(Rejected::LateAnswer)), "seed {seed}");
            needs_are_met(&world, seed);
            items_are_bounded(&world, retries, seed);
        }
        let_it_end(&mut world, seed);
    }
    assert_eq!(accepted.len(), 9, "{accepted:?}");
    assert!(accepted.values().all(|it| *it > 20), "everything was done often enough: {accepted:?}");
}
