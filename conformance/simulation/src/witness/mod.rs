//! Reads every record that becomes durable and judges it by rules of its own.
//!
//! **Invariant:** of the engine's code nothing is used here but, in [`agree`], what it says of itself;
//! the rules are written a second time, from `workflows/README.md` and the map, so that one mistake
//! has to be made twice to stay unseen.

mod agree;
mod call;
mod callback;
mod dry_run;
mod ending;
mod fan_out;
mod gate;
mod people;
mod release;
mod rest;
mod start;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::CallId;
use windlass_model::actor::Actor;
use windlass_model::event::{Created, Event, Intervention, Operation, Outcome, Record, Wake};
use windlass_model::expression::Scope;
use windlass_model::failure::StepError;
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::name::StepName;
use windlass_model::plan::{Pin, Plan};
use windlass_model::time::Timestamp;
use windlass_model::workflow::{RollbackPart, Step};

use crate::counts::Counts;
use crate::violation::{Violation, ensure, violated};
use crate::world::World;

/// What the journal so far says, read by other eyes.
#[derive(Debug)]
pub struct Witness {
    plan: Arc<Plan>,
    created: Created,
    /// Whether it ever began.
    admitted: bool,
    facts: Value,
    /// The workflow's steps, then the items of steps, in the order in which they first came to be.
    steps: Vec<Seen>,
    /// Of what is beyond the workflow's steps: which item of which step, from 1.
    items: Vec<(StepIndex, usize)>,
    phase: Phase,
    /// Whether somebody, or a deadline, wants nothing new to start.
    paused: bool,
    /// What the time of the release and of its phases is.
    clock: ending::Clock,
    at: Timestamp,
    records: u64,
    events: u64,
    /// Steps, items and new beginnings of them, each of which brings a few events by itself.
    work: u64,
    /// Calls that were being made when somebody took over, in all: the only other work that no input brings.
    interrupted: u64,
    left_alone: bool,
    rollback: BTreeSet<StepIndex>,
    /// Of each step: what is rolled back before it.
    rolled_back_before: Vec<BTreeSet<StepIndex>>,
    begun: BTreeSet<CallId>,
    keys: BTreeMap<String, (StepIndex, Operation, u32)>,
    /// Which topic of the simulation one is that was signed.
    topics: BTreeMap<String, String>,
    /// What happened.
    pub counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of it has begun, and nothing may.
    Queued,
    Running,
    Failing {
        rollback: bool,
    },
    Canceling {
        rollback: bool,
        overdue: bool,
    },
    RollingBack,
    Finishing {
        outcome: Outcome,
        canceled: bool,
    },
    Ended(Outcome),
}

/// What there was of a step before an attempt to start it.
#[derive(Debug)]
struct Before {
    may_have_acted: bool,
    /// Whether the same logical call had been begun.
    stood: bool,
}

#[derive(Debug, Default)]
struct Seen {
    state: State,
    votes: Vec<(Actor, bool)>,
    /// The input of its last call.
    input: Option<Value>,
    /// What expressions see.
    output: Option<Value>,
    /// What its plugin gave when it last gave anything: a rollback gets that.
    made: Option<Value>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    /// Callbacks that came while an operation was in progress.
    callbacks: callback::Seen,
    /// Whether a call of `start` was to be made, so that there may be an effect.
    may_have_acted: bool,
    /// How its attempt began, as long as that is one call.
    one_call: Option<Before>,
    /// How often it was taken back to its beginning.
    run: u32,
    /// Attempts of `start` so far, over all runs.
    attempts: u32,
    /// Logical calls of `start` so far, over all runs.
    rounds: u32,
    /// Logical calls of `start` before this run.
    rounds_before: u32,
    /// Logical calls whose effect there is, or may be.
    standing: BTreeSet<u32>,
    /// Whether it ever stopped waiting in this run.
    began: bool,
    /// Whether it is left out of a rehearsal.
    left_out: bool,
    /// What a dry run tells of it.
    told: dry_run::Told,
    /// Somebody said that it is to be skipped when its turn comes, and what it then gives.
    passed_over: Option<Option<Value>>,
    /// What its items are, and the runs that it ever had for items.
    list: Vec<Value>,
    runs: Vec<StepIndex>,
}

#[derive(Debug, Default, Clone, PartialEq)]
enum State {
    #[default]
    Waiting,
    Held {
        until: Option<Timestamp>,
    },
    FannedOut,
    Active(Doing),
    Paused(Doing),
    Blocked(Doing),
    Succeeded,
    Failed {
        tolerated: bool,
    },
    Skipped {
        by_hand: bool,
    },
    Canceled,
    RolledBack,
    LeftInPlace,
}

#[derive(Debug, Clone, PartialEq)]
struct Doing {
    operation: Operation,
    attempt: u32,
    round: u32,
    /// Attempts over when a person last began the count anew.
    spent: u32,
    began_at: Timestamp,
    attempt_at: Timestamp,
    stage: Stage,
    error: Option<StepError>,
    timed_out: bool,
    /// For a cancel: what it stops.
    stops: Option<Box<Doing>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Begin,
    Resume { state: Vec<u8>, wake: Wake },
    Find,
    Suspended { state: Vec<u8>, wake_at: Option<Timestamp>, topics: Vec<String> },
    Backoff { until: Timestamp },
    Stopped,
}

impl Stage {
    fn is_calling(&self) -> bool {
        matches!(self, Self::Begin | Self::Resume { .. } | Self::Find)
    }
}

impl State {
    fn lets_dependents_run(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped { .. } | Self::Failed { tolerated: true })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held { .. } => "held",
            Self::FannedOut => "running",
            Self::Active(_) => "active",
            Self::Paused(_) => "paused",
            Self::Blocked(_) => "rollback_blocked",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Canceled => "canceled",
            Self::RolledBack => "rolled_back",
            Self::LeftInPlace => "left_in_place",
        }
    }
}

/// What of a record its later events have to know of its earlier ones.
#[derive(Debug, Default)]
struct Within<'a> {
    /// What somebody asked for.
    asked: Option<&'a Intervention>,
    /// A deadline passed and the release is to be stopped: whether it is to be rolled back.
    overdue: Option<bool>,
    /// What runs again.
    again: BTreeSet<StepIndex>,
    rejected: Option<StepIndex>,
    previous: Option<&'a Event>,
    next: Option<&'a Event>,
    left_alone_before: bool,
}

impl Within<'_> {
    /// Whether somebody asked for this step to be tried again.
    fn retries(&self, name: &StepName) -> bool {
        matches!(self.asked, Some(Intervention::Retry { step }) if step == name)
    }

    fn cancels(&self) -> Option<bool> {
        match self.asked {
            Some(Intervention::Cancel { rollback }) => Some(*rollback),
            Some(Intervention::Rollback) => Some(true),
            _ => self.overdue,
        }
    }
}

impl Seen {
    fn begin_anew(&mut self) {
        let before = std::mem::take(self);
        *self = Self {
            input: before.input,
            made: before.made,
            checkpoints: before.checkpoints,
            may_have_acted: before.may_have_acted,
            run: before.run + 1,
            attempts: before.attempts,
            rounds: before.rounds,
            rounds_before: before.rounds,
            standing: before.standing,
            runs: before.runs,
            ..Self::default()
        };
    }
}

impl Witness {
    /// One who has read nothing yet.
    pub fn new(plan: Arc<Plan>, created: Created) -> Self {
        let facts = json!({
            "id": created.release.to_string(),
            "workflow": created.release.workflow().as_str(),
            "requested_by": created.requested_by.name,
        });
        let count = plan.graph().len();
        Self {
            steps: (0..count).map(|_| Seen::default()).collect(),
            items: Vec::new(),
            facts,
            phase: if created.claim.is_some() { Phase::Queued } else { Phase::Running },
            paused: false,
            clock: ending::Clock::new(plan.workflow().phases.len()),
            at: Timestamp(0),
            records: 0,
            events: 0,
            work: count as u64,
            interrupted: 0,
            left_alone: false,
            rollback: BTreeSet::new(),
            rolled_back_before: release::rollback_order(&plan),
            begun: BTreeSet::new(),
            keys: BTreeMap::new(),
            topics: BTreeMap::new(),
            counts: Counts::default(),
            plan,
            admitted: created.claim.is_none(),
            created,
        }
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Is told which topic of the simulation one is that was signed.
    pub fn know(&mut self, signed: String, own: String) {
        self.topics.insert(signed, own);
    }

    /// Whether it waits for its turn.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// How often a step, or an item, was taken back to its beginning.
    pub fn run_of(&self, step: StepIndex) -> u32 {
        self.seen(step).run
    }

    /// Reads the next durable record.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn read(&mut self, record: &Record, world: &World) -> Result<(), Violation> {
        ensure(record.at >= self.at, "time in a journal never runs backwards", || {
            format!("{} comes after {}", record.at, self.at)
        })?;
        self.at = record.at;
        let mut within = Within { left_alone_before: self.left_alone, ..Within::default() };
        for (place, event) in record.events.iter().enumerate() {
            within.next = record.events.get(place + 1);
            self.left_alone = *event == Event::LeftAlone;
            match event.step() {
                Some(name) if !matches!(event, Event::FailingStarted { .. } | Event::Intervened { .. }) => {
                    let step = self.index(name)?;
                    self.step_event(step, event, &mut within)?;
                    let seen = self.seen(step);
                    let acted = seen.state == State::Succeeded
                        && !self.is_dry_run()
                        && self.pin(step).effect != Effect::Read
                        && self.definition(self.of(step)).for_each.is_none() | self.is_item(step);
                    ensure(!acted || world.is_open_in(step, seen.run), "what succeeded has its effect", || {
                        name.to_string()
                    })?;
                }
                _ => self.release_event(event, &mut within, self.records == 0 && place == 0, world)?,
            }
            within.previous = Some(event);
        }
        self.records += 1;
        self.events += record.events.len() as u64;
        self.rest()
    }

    fn index(&self, name: &StepName) -> Result<StepIndex, Violation> {
        let found = match name.item() {
            None => self.plan.index_of(name),
            Some(number) => {
                let of = name.of_step().parse().ok().and_then(|it| self.plan.index_of(&it));
                of.and_then(|it| self.seen(it).runs.get(number.wrapping_sub(1)).copied())
            }
        };
        match found {
            Some(step) => Ok(step),
            None => violated("events are about steps of the plan", format!("there is no step {name}")),
        }
    }

    fn seen(&self, step: StepIndex) -> &Seen {
        &self.steps[step.as_usize()]
    }

    fn seen_mut(&mut self, step: StepIndex) -> &mut Seen {
        &mut self.steps[step.as_usize()]
    }

    /// The steps of the workflow.
    fn planned(&self) -> impl Iterator<Item = StepIndex> + '_ {
        self.plan.graph().steps()
    }

    /// The steps of the workflow and all items that ever were.
    fn all(&self) -> impl Iterator<Item = StepIndex> + use<> {
        (0..self.steps.len()).map(StepIndex::beyond)
    }

    fn is_item(&self, step: StepIndex) -> bool {
        step.as_usize() >= self.plan.graph().len()
    }

    /// The step itself, or the one whose item it is.
    fn of(&self, step: StepIndex) -> StepIndex {
        let beyond = step.as_usize().checked_sub(self.plan.graph().len());
        beyond.map_or(step, |it| self.items[it].0)
    }

    fn definition(&self, step: StepIndex) -> &Step {
        self.plan.step(self.of(step))
    }

    /// What a step, or an item, uses.
    pub fn pin(&self, step: StepIndex) -> &Pin {
        self.plan.pin(self.of(step))
    }

    /// The name of a step, or of an item.
    pub fn name(&self, step: StepIndex) -> StepName {
        let name = &self.definition(step).name;
        match step.as_usize().checked_sub(self.plan.graph().len()) {
            None => name.clone(),
            Some(beyond) => name.of_item(self.items[beyond].1),
        }
    }

    fn active(&self) -> impl Iterator<Item = (StepIndex, &Doing)> + '_ {
        self.all().filter_map(|it| match &self.seen(it).state {
            State::Active(doing) => Some((it, doing)),
            _ => None,
        })
    }

    fn may_start(&self, step: StepIndex) -> bool {
        self.plan.graph().parents(step).all(|it| self.seen(it).state.lets_dependents_run())
    }

    /// Whether a step, of those that run last or of the others, may go forward at all now.
    fn goes_forward(&self, step: StepIndex) -> bool {
        match self.phase {
            Phase::Running => !self.definition(step).finally,
            Phase::Finishing { canceled, .. } => self.definition(step).finally && !canceled,
            Phase::Queued | Phase::Failing { .. } | Phase::Canceling { .. } | Phase::RollingBack | Phase::Ended(_) => {
                false
            }
        }
    }

    /// Whether a rollback has to take this step back.
    fn is_to_be_rolled_back(&self, step: StepIndex) -> bool {
        let pin = self.pin(step);
        self.seen(step).may_have_acted
            && pin.rollback
            && pin.effect != Effect::Read
            && !self.definition(step).finally
            && self.definition(step).rollback == RollbackPart::Automatic
    }

    /// Whether all that stands on this step is taken back, or was left in place by somebody.
    fn is_free_for_rollback(&self, step: StepIndex) -> bool {
        let before = &self.rolled_back_before[self.of(step).as_usize()];
        let mut first = self.rollback.iter().filter(|it| before.contains(&self.of(**it)));
        first.all(|it| matches!(self.seen(*it).state, State::RolledBack | State::LeftInPlace))
    }

    fn with_scope<T>(&self, evaluate: impl FnOnce(&Scope<'_>) -> T) -> T {
        let step = |name: &str| {
            let seen = self.seen(self.plan.index_of(&name.parse().ok()?)?);
            let mut facts = serde_json::Map::from_iter([("state".to_owned(), json!(seen.state.name()))]);
            if let Some(output) = &seen.output {
                facts.insert("output".to_owned(), output.clone());
            }
            Some(Value::Object(facts))
        };
        evaluate(&Scope::new(&self.created.parameters, &self.facts, &step))
    }
}
