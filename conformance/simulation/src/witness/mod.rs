//! Reads every record that becomes durable and judges it by rules of its own.
//!
//! **Invariant:** of the engine's code nothing is used here but, in [`agree`], what it says of itself;
//! the rules are written a second time, from `workflows/README.md` and the map, so that one mistake
//! has to be made twice to stay unseen.

mod agree;
mod callback;
mod gate;
mod release;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::{Call, CallId, CallOrder};
use windlass_model::actor::Actor;
use windlass_model::event::{Created, Event, Operation, Outcome, Record, Wake};
use windlass_model::expression::Scope;
use windlass_model::failure::StepError;
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::name::StepName;
use windlass_model::plan::Plan;
use windlass_model::time::Timestamp;
use windlass_model::workflow::RollbackPart;

use crate::counts::Counts;
use crate::violation::{Violation, ensure, violated};
use crate::world::World;

/// What the journal so far says, read by other eyes.
#[derive(Debug)]
pub struct Witness {
    plan: Arc<Plan>,
    created: Created,
    facts: Value,
    steps: Vec<Seen>,
    phase: Phase,
    at: Timestamp,
    records: u64,
    events: u64,
    /// Calls that were being made when somebody took over, in all: the only work that no input brings.
    interrupted: u64,
    left_alone: bool,
    rollback: BTreeSet<StepIndex>,
    descendants: Vec<BTreeSet<StepIndex>>,
    begun: BTreeSet<CallId>,
    keys: BTreeMap<String, (StepIndex, Operation, u32)>,
    /// What happened.
    pub counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Failing { rollback: bool },
    Canceling { rollback: bool },
    RollingBack,
    Ended(Outcome),
}

#[derive(Debug, Default)]
struct Seen {
    state: State,
    votes: Vec<(Actor, bool)>,
    input: Option<Value>,
    output: Option<Value>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    /// Callbacks that came while an operation was in progress.
    callbacks: callback::Seen,
    /// Whether a call of `start` was to be made, so that there may be an effect.
    may_have_acted: bool,
}

#[derive(Debug, Default, Clone, PartialEq)]
enum State {
    #[default]
    Waiting,
    Held,
    Active(Doing),
    Paused(Doing),
    Blocked(Doing),
    Succeeded,
    Failed {
        tolerated: bool,
    },
    Skipped,
    Canceled,
    RolledBack,
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
        matches!(self, Self::Succeeded | Self::Skipped | Self::Failed { tolerated: true })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Active(_) => "active",
            Self::Paused(_) => "paused",
            Self::Blocked(_) => "rollback_blocked",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// What of a record its later events have to know of its earlier ones.
#[derive(Debug, Default)]
struct Within<'a> {
    retried: Option<StepIndex>,
    asked_to_cancel: Option<bool>,
    asked_to_roll_back: bool,
    rejected: Option<StepIndex>,
    previous: Option<&'a Event>,
    next: Option<&'a Event>,
    left_alone_before: bool,
}

impl Witness {
    /// One who has read nothing yet.
    pub fn new(plan: Arc<Plan>, created: Created) -> Self {
        let graph = plan.graph();
        let mut descendants = vec![BTreeSet::new(); graph.len()];
        for step in graph.steps().rev() {
            let mut of: BTreeSet<StepIndex> = BTreeSet::new();
            for child in graph.children(step) {
                of.insert(child);
                of.extend(&descendants[child.as_usize()]);
            }
            descendants[step.as_usize()] = of;
        }
        let facts = json!({
            "id": created.release.to_string(),
            "workflow": created.release.workflow().as_str(),
            "requested_by": created.requested_by.name,
        });
        Self {
            steps: (0..graph.len()).map(|_| Seen::default()).collect(),
            facts,
            phase: Phase::Running,
            at: Timestamp(0),
            records: 0,
            events: 0,
            interrupted: 0,
            left_alone: false,
            rollback: BTreeSet::new(),
            descendants,
            begun: BTreeSet::new(),
            keys: BTreeMap::new(),
            counts: Counts::default(),
            plan,
            created,
        }
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records
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
                    let acted = self.seen(step).state == State::Succeeded && self.plan.pin(step).effect != Effect::Read;
                    ensure(!acted || world.is_open(step), "what succeeded has its effect", || name.to_string())?;
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
        match self.plan.index_of(name) {
            Some(step) => Ok(step),
            None => violated("events are about steps of the plan", format!("there is no step {name}")),
        }
    }

    fn seen(&self, step: StepIndex) -> &Seen {
        &self.steps[step.as_usize()]
    }

    fn all(&self) -> impl Iterator<Item = StepIndex> + '_ {
        self.plan.graph().steps()
    }

    fn name(&self, step: StepIndex) -> &StepName {
        &self.plan.step(step).name
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

    /// Whether a rollback has to take this step back.
    fn is_to_be_rolled_back(&self, step: StepIndex) -> bool {
        let pin = self.plan.pin(step);
        self.seen(step).may_have_acted
            && pin.rollback
            && pin.effect != Effect::Read
            && self.plan.step(step).rollback == RollbackPart::Automatic
    }

    /// Whether all that stands on this step is taken back.
    fn is_free_for_rollback(&self, step: StepIndex) -> bool {
        self.descendants[step.as_usize()]
            .intersection(&self.rollback)
            .all(|it| self.seen(*it).state == State::RolledBack)
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

    /// What holds after every record.
    fn rest(&self) -> Result<(), Violation> {
        self.no_callback_is_forgotten()?;
        for (step, doing) in self.active() {
            ensure(doing.stage != Stage::Stopped, "a cancel settles what it stopped", || {
                format!("{} was stopped, and nothing follows", self.name(step))
            })?;
        }
        match self.phase {
            Phase::Running => {
                let mut done = true;
                for step in self.all() {
                    let state = &self.seen(step).state;
                    done &= state.lets_dependents_run();
                    ensure(*state != State::Waiting || !self.may_start(step), "no step is forgotten", || {
                        format!("{} could start, and nobody looks at it", self.name(step))
                    })?;
                    ensure(
                        !matches!(state, State::Failed { tolerated: false } | State::Canceled),
                        "a failure has consequences",
                        || format!("{} is {}, and the release runs on", self.name(step), state.name()),
                    )?;
                }
                ensure(!done, "a release ends", || "every step has ended, the release has not".to_owned())?;
            }
            Phase::Failing { .. } | Phase::Canceling { .. } => {
                ensure(self.active().next().is_some(), "a release ends", || {
                    format!("it is {:?}, and nothing goes on that it could wait for", self.phase)
                })?;
            }
            Phase::RollingBack => {
                for step in &self.rollback {
                    let state = &self.seen(*step).state;
                    let moves = matches!(state, State::Active(_) | State::Blocked(_) | State::RolledBack);
                    ensure(moves || !self.is_free_for_rollback(*step), "no step is forgotten", || {
                        format!("it is the turn of {} to be rolled back, and it is {}", self.name(*step), state.name())
                    })?;
                }
                let left = self.rollback.iter().any(|it| self.seen(*it).state != State::RolledBack);
                ensure(left, "a release ends", || "all is rolled back, and the release goes on".to_owned())?;
            }
            Phase::Ended(_) => {
                ensure(self.active().next().is_none(), "nothing goes on after the end", || {
                    let names: Vec<_> = self.active().map(|(it, _)| self.name(it).as_str()).collect();
                    format!("{} are active", names.join(", "))
                })?;
            }
        }
        // A step is looked at once, and rolled back once; all else was brought by an input of its own.
        let bound = 6 * self.records + 8 * self.steps.len() as u64 + 2 * self.interrupted;
        ensure(self.events <= bound, "a journal grows with the work done", || {
            format!("{} events in {} records of {} steps", self.events, self.records, self.steps.len())
        })
    }

    /// A call is about to be made.
    ///
    /// # Errors
    ///
    /// When it should not be.
    pub fn begin(&mut self, order: &CallOrder) -> Result<(), Violation> {
        let (step, id) = (order.id.step, order.id);
        let State::Active(doing) = &self.steps[step.as_usize()].state else {
            return violated("only an active step calls", format!("{id:?}"));
        };
        ensure(
            doing.stage.is_calling() && doing.operation == id.operation && doing.attempt == id.attempt,
            "only an active step calls",
            || format!("{id:?}, but it is {doing:?}"),
        )?;
        let fits = match (&order.call, &doing.stage) {
            (Call::Begin { state }, Stage::Begin) => {
                let stopped = doing.stops.as_ref().and_then(|it| match &it.stage {
                    Stage::Suspended { state, .. } => Some(state.as_slice()),
                    Stage::Begin | Stage::Resume { .. } | Stage::Find | Stage::Backoff { .. } | Stage::Stopped => None,
                });
                state.as_deref() == stopped
            }
            (Call::Resume { state, wake }, Stage::Resume { state: kept, wake: seen }) => {
                **state == **kept && wake == seen
            }
            (Call::Find, Stage::Find) => true,
            _ => false,
        };
        ensure(fits, "a call gets what the suspension kept", || format!("{:?} for {:?}", order.call, doing.stage))?;
        ensure(self.begun.insert(id), "no two calls have one id", || {
            format!("{id:?} was begun before: an answer to the one can be taken for an answer to the other")
        })?;
        let whose = (step, id.operation, doing.round);
        let before = self.keys.entry(order.idempotency_key.clone()).or_insert(whose);
        ensure(*before == whose, "a key belongs to one logical call", || {
            format!("{} was {before:?} and is {whose:?}", order.idempotency_key)
        })?;
        let same = self.keys.iter().filter(|(_, it)| **it == whose).count();
        ensure(same == 1, "attempts of one logical call share a key", || format!("{whose:?} has {same} keys"))?;
        let seen = &self.steps[step.as_usize()];
        ensure(seen.input.as_ref() == Some(&*order.input), "a call gets the step's input", || {
            format!("{id:?} gets {} for {:?}", order.input, seen.input)
        })?;
        if id.operation != Operation::Start {
            ensure(seen.output.as_ref() == order.output.as_deref(), "a rollback gets the step's output", || {
                format!("{id:?} gets {:?} for {:?}", order.output, seen.output)
            })?;
        }
        Ok(())
    }
}
