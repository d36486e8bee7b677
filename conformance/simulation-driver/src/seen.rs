//! What the store's records say of each release, and the rules that every record has to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use windlass_engine::{Call, CallId, CallOrder, Release, Stage};
use windlass_model::event::{Created, Event, Intervention, Operation, Outcome, Record, Wake};
use windlass_model::graph::StepIndex;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::plan::Plan;
use windlass_server::driver::outline;
use windlass_simulation::counts::Counts;
use windlass_simulation::violation::{Violation, ensure, violated};
use windlass_simulation::witness::Witness;
use windlass_simulation::world::World;
use windlass_store::{Append, Store as _};

use crate::shared::{Shared, State};

/// More runs than a witness ever counts.
const RUNS_OF_WITNESS: u32 = 100_000;

/// A release, as far as it is durable.
pub(crate) struct Seen {
    /// What follows from the records.
    pub(crate) release: Release,
    pub(crate) records: Vec<Record>,
    pub(crate) world: World,
    /// Judges each record by the engine's rules, as long as it knows all that is in them.
    pub(crate) witness: Option<Witness>,
    /// Every call that was ever to be made.
    pub(crate) orders: BTreeMap<CallId, CallOrder>,
    pub(crate) begun: BTreeSet<CallId>,
    /// The calls that were to be made before the last record.
    pub(crate) wanted_before: BTreeSet<CallId>,
    /// When its last record came, in milliseconds that had passed.
    pub(crate) landed_at: u64,
    /// When the last of its calls ended: what follows from that takes its time, however long ago the last record was.
    pub(crate) call_ended_at: u64,
    /// What people and the other side said, and how often it was recorded.
    pub(crate) said: BTreeMap<String, u32>,
    /// How often each step was taken back to its beginning.
    pub(crate) runs: BTreeMap<StepIndex, u32>,
    /// The signed topic of each topic of the world.
    pub(crate) topics: BTreeMap<String, String>,
    /// Since when nobody looks after it, though somebody should.
    pub(crate) alone_since: Option<u64>,
}

impl Seen {
    fn new(plan: Arc<Plan>, record: &Record) -> Result<Self, Violation> {
        let Some(Event::ReleaseCreated(created)) = record.events.first() else {
            return violated("a journal begins with a creation", format!("{record:?}"));
        };
        let release = replay(&plan, std::slice::from_ref(record))?;
        let witness = is_plain(created, &plan).then(|| Witness::new(plan.clone(), (**created).clone()));
        Ok(Self {
            release,
            records: Vec::new(),
            world: World::default(),
            witness,
            orders: BTreeMap::new(),
            begun: BTreeSet::new(),
            wanted_before: BTreeSet::new(),
            landed_at: 0,
            call_ended_at: 0,
            said: BTreeMap::new(),
            runs: BTreeMap::new(),
            topics: BTreeMap::new(),
            alone_since: None,
        })
    }

    /// Whether there is work left to do.
    pub(crate) fn is_open(&self) -> bool {
        self.release.outcome().is_none() || self.release.is_untold()
    }

    /// Whether it has ended before, or now.
    pub(crate) fn has_ended(&self) -> bool {
        self.records.iter().flat_map(|it| &it.events).any(is_end)
    }

    fn holds_a_look(&self, step: &StepName) -> bool {
        let activity = self.release.index_of(step).and_then(|it| self.release.step(it).state.activity());
        activity.is_some_and(|it| matches!(it.stage, Stage::Held { call: Call::Find, .. }))
    }

    fn read(&mut self, append: &Append, now: u64) -> Result<(), Violation> {
        let record = &append.record;
        self.wanted_before = self.release.calls().collect();
        if !self.records.is_empty() {
            let followed = self.release.follow(record);
            followed.map_err(|it| Violation { rule: "a journal replays", what: it.to_string() })?;
        }
        self.records.push(record.clone());
        self.landed_at = now;
        for event in &record.events {
            self.note(event);
        }
        if record.events.iter().any(|it| matches!(it, Event::CallHeld { .. } | Event::CallLetThrough { .. })) {
            self.witness = None;
        }
        if let Some(witness) = &mut self.witness {
            witness.read(record, &self.world)?;
            witness.compare(&self.release)?;
        }
        if self.release.outcome().is_some() || self.records.len().is_multiple_of(16) {
            let replayed = replay(self.release.plan(), &self.records)?;
            ensure(replayed == self.release, "a journal replays to the same state", || {
                format!("replayed {replayed:#?}\nlive {:#?}", self.release)
            })?;
        }
        let follows = outline(&self.release);
        ensure(append.outline.as_ref() == Some(&follows), "an outline says what its journal says", || {
            format!("{:?}, not {follows:?}", append.outline)
        })?;
        let held = self.release.held_calls().find(|(call, _)| call.operation != Operation::Start);
        ensure(held.is_none(), "a breaker holds no cancel and no rollback", || format!("{held:?}"))?;
        for id in self.release.calls() {
            let Some(order) = self.release.order(id) else { continue };
            if self.orders.contains_key(&id) {
                continue;
            }
            if let Some(witness) = &mut self.witness {
                witness.begin(&order)?;
            }
            self.orders.insert(id, order);
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        let mut said = |text: &str| *self.said.entry(text.to_owned()).or_default() += 1;
        match event {
            Event::Voted { comment, .. } => said(comment),
            Event::Intervened { reason, .. } => said(reason),
            Event::CallbackKept { headers, .. } | Event::Resumed { wake: Wake::Callback { headers, .. }, .. } => {
                headers.iter().for_each(|(_, value)| said(value));
            }
            Event::RollbackSettled { step, done: true } => {
                if let Some(index) = self.release.index_of(step) {
                    self.world.taken_back(index);
                }
            }
            Event::StepsReset { steps } => {
                for step in steps {
                    let Some(index) = self.release.index_of(step) else { continue };
                    *self.runs.entry(index).or_default() += 1;
                }
            }
            Event::FinallyStarted { .. } => {
                for step in self.release.plan().graph().steps() {
                    if self.release.definition(step).finally {
                        *self.runs.entry(step).or_default() += 1;
                    }
                }
            }
            _ => {}
        }
    }

    /// In which run a step is, or an item of one.
    pub(crate) fn run_of(&self, step: StepIndex) -> u32 {
        match &self.witness {
            Some(witness) => witness.run_of(step),
            // After the witness has left the runs are counted anew, and are none of those before.
            None => {
                let of = self.release.definition_index(step);
                let own = self.runs.get(&step).copied().unwrap_or_default();
                let of_list = if of == step { 0 } else { self.runs.get(&of).copied().unwrap_or_default() };
                RUNS_OF_WITNESS + own + of_list
            }
        }
    }
}

/// Whether the engine's witness knows all that can happen to a release.
fn is_plain(created: &Created, plan: &Plan) -> bool {
    created.parent.is_none()
        && plan.delivering().is_empty()
        && plan.workflow().steps.iter().all(|it| it.uses.action().is_some())
}

pub(crate) fn replay(plan: &Arc<Plan>, records: &[Record]) -> Result<Release, Violation> {
    Release::replay(plan.clone(), records)
        .map_err(|error| Violation { rule: "a journal replays", what: error.to_string() })
}

impl Shared {
    /// A record is durable.
    pub(crate) fn landed(&self, append: &Append) {
        let now = self.clock.passed();
        self.tell(|| {
            let events: Vec<String> = append.record.events.iter().map(|it| format!("\n              {it:?}")).collect();
            format!("{} record {} at {}:{}", append.release, append.expected, append.record.at, events.concat())
        });
        let judged = self.state().landed(&self.disk, append, now);
        self.judge(judged);
    }
}

impl State {
    fn landed(&mut self, disk: &windlass_store::MemoryStore, append: &Append, now: u64) -> Result<(), Violation> {
        count(&mut self.counts, &append.record);
        if !self.releases.contains_key(&append.release) {
            let plan = self.plan(disk, append)?;
            let seen = Seen::new(plan, &append.record)?;
            let outer = seen.release.created().parent.as_ref().and_then(|it| self.releases.get(&it.release));
            let is_late = outer.is_some_and(|it| it.release.outcome().is_some());
            ensure(!is_late, "an inner release ends with its outer one", || {
                format!("{} begins, and what it is a part of has ended", append.release)
            })?;
            self.releases.insert(append.release.clone(), seen);
        }
        let Some(seen) = self.releases.get_mut(&append.release) else { return Ok(()) };
        seen.read(append, now)?;
        if append.record.events.iter().any(|it| matches!(it, Event::CallHeld { step, .. } if seen.holds_a_look(step))) {
            self.counts.add("breaker: a look for an effect was held");
        }
        self.has_place(&append.release, &append.record)?;
        self.has_opened(disk, &append.release, &append.record)?;
        let Some(seen) = self.releases.get_mut(&append.release) else { return Ok(()) };
        if seen.release.outcome().is_none() {
            return Ok(());
        }
        if let Some(witness) = seen.witness.as_ref().filter(|_| append.record.events.iter().any(is_end)) {
            let counts = witness.counts.clone();
            // Those of a release that goes on are counted again, which does no harm.
            self.counts.merge(&counts);
        }
        self.went_back(&append.release)?;
        // What is inside of a release that has ended has ended.
        let inner = self.releases.values().find(|it| {
            let parent = it.release.created().parent.as_ref();
            // One that somebody has run again is on its own.
            !it.has_ended() && parent.is_some_and(|it| it.release == append.release)
        });
        match inner {
            Some(inner) => violated(
                "an inner release ends with its outer one",
                format!("{} has ended, {} is {:?}", append.release, inner.release.id(), inner.release.state()),
            ),
            None => Ok(()),
        }
    }

    /// All releases that the steps of one began have gone back with it, unless a person has settled a step.
    fn went_back(&self, id: &ReleaseId) -> Result<(), Violation> {
        let outer = &self.releases[id];
        if outer.release.outcome() != Some(Outcome::RolledBack) {
            return Ok(());
        }
        let events = || outer.records.iter().flat_map(|it| &it.events);
        for inner in self.releases.values().map(|it| &it.release) {
            let Some(parent) = inner.created().parent.as_ref().filter(|it| it.release == *id) else { continue };
            let index = outer.release.index_of(&parent.step);
            let is_final = index.is_some_and(|it| outer.release.definition(it).finally);
            let is_settled =
                events().any(|it| matches!(it, Event::RollbackSettled { step, .. } if *step == parent.step));
            let is_back = inner.never_began() || inner.outcome() == Some(Outcome::RolledBack);
            ensure(is_back || is_final || is_settled, "what a release began goes back with it", || {
                format!("{id} is rolled back, {} is {:?}", inner.id(), inner.state())
            })?;
        }
        Ok(())
    }

    fn plan(&mut self, disk: &windlass_store::MemoryStore, append: &Append) -> Result<Arc<Plan>, Violation> {
        let Some(Event::ReleaseCreated(created)) = append.record.events.first() else {
            return violated("a journal begins with a creation", format!("{append:?}"));
        };
        if let Some(plan) = self.plans.get(&created.plan) {
            return Ok(plan.clone());
        }
        let bytes = disk.blob(&created.plan).ok().flatten();
        match bytes.and_then(|it| serde_json::from_slice::<Plan>(&it).ok()) {
            Some(plan) => {
                let plan = Arc::new(plan);
                self.plans.insert(created.plan, plan.clone());
                Ok(plan)
            }
            None => violated("a release's plan is durable before it is", format!("{}", created.plan)),
        }
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::ReleaseEnded { .. })
}

fn count(counts: &mut Counts, record: &Record) {
    for event in &record.events {
        counts.add(match event {
            Event::ReleaseCreated(created) if created.parent.is_some() => "release: begun inside of another one",
            Event::ReleaseCreated(_) => "release: begun",
            Event::ReleaseEnded { outcome, .. } => match outcome {
                windlass_model::event::Outcome::Succeeded => "release: succeeded",
                windlass_model::event::Outcome::Failed => "release: failed",
                windlass_model::event::Outcome::Canceled => "release: canceled",
                windlass_model::event::Outcome::RolledBack => "release: rolled back",
                windlass_model::event::Outcome::PartiallyRolledBack => "release: partially rolled back",
            },
            Event::ParentTold => "release: told the outer one",
            Event::CallInterrupted { .. } => "driver: took over calls that were cut off",
            Event::CallHeld { .. } => "breaker: a call was held",
            Event::CallLetThrough { .. } => "breaker: a held call was let through",
            Event::CallbackKept { .. } => "callback: kept",
            Event::Resumed { wake: Wake::Callback { .. }, .. } => "step: resumed by a callback",
            Event::Resumed { wake: Wake::Timer, .. } => "step: resumed by its timer",
            Event::AttemptTimedOut { .. } => "attempt: timed out",
            Event::AttemptFailed { error, .. } if error.code == "host-panicked" => "attempt: the host panicked",
            Event::CheckpointRecorded { .. } => "attempt: checkpoint",
            Event::Voted { .. } => "people: voted",
            Event::Intervened { intervention: Intervention::Cancel { .. }, .. } => "people: canceled",
            Event::Intervened { .. } => "people: intervened",
            _ => continue,
        });
    }
}
