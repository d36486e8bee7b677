//! A release: all that follows from its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_model::actor::Actor;
use windlass_model::digest::Digest;
use windlass_model::event::{Created, Event, Operation, Outcome, Record};
use windlass_model::expression::Scope;
use windlass_model::failure::StepError;
use windlass_model::graph::StepIndex;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::plan::{Pin, Plan, Runs};
use windlass_model::time::Timestamp;

use crate::alert::TakenAlert;
use crate::apply::IllegalEvent;
use crate::deadline::PhaseRun;
use crate::decision::{Decided, Question};
use crate::fan_out::Fan;
use crate::input::{CallId, CallOrder, Due};
use crate::review::GivenCause;
use crate::step::{Activity, Call, Stage, StepRun, StepState};

/// One execution of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    pub(crate) plan: Arc<Plan>,
    pub(crate) created: Box<Created>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) state: ReleaseState,
    pub(crate) steps: Vec<StepRun>,
    /// What expressions see of the release.
    pub(crate) facts: Value,
    /// What steps, or items of them, use in place of what the plan says.
    pub(crate) pins: BTreeMap<StepIndex, Pin>,
    /// Of steps that run for items: these.
    pub(crate) fans: BTreeMap<StepIndex, Fan>,
    /// Of the runs beyond the workflow's steps: which item of which step.
    pub(crate) item_runs: Vec<(StepIndex, usize)>,
    /// Steps whose items run.
    pub(crate) open_fans: BTreeSet<StepIndex>,
    /// How many steps each step still waits for.
    pub(crate) unmet: Vec<u32>,
    /// Steps whose needs are met and which nobody has looked at since.
    pub(crate) ready: BTreeSet<StepIndex>,
    /// Steps with an operation in progress.
    pub(crate) active: BTreeSet<StepIndex>,
    /// Steps that wait for a person: held, paused or blocked.
    pub(crate) attention: BTreeSet<StepIndex>,
    /// Steps that have not ended in a way that lets dependents run.
    pub(crate) unfinished: usize,
    /// In a rollback: how many steps after each one are not settled yet.
    pub(crate) unsettled: Vec<u32>,
    /// In a rollback: steps whose turn it is.
    pub(crate) rollback_ready: BTreeSet<StepIndex>,
    /// Timers, in order.
    pub(crate) timers: BTreeSet<(Timestamp, DueKey)>,
    pub(crate) timers_of: BTreeMap<StepIndex, Vec<(Timestamp, DueKey)>>,
    /// Since when it runs: its beginning, or when steps last ran again after its end.
    pub(crate) running_since: Timestamp,
    pub(crate) phases: Vec<PhaseRun>,
    /// Whether its own deadline has passed, and was acted on.
    pub(crate) late: bool,
    /// The last deadline that passed, in words.
    pub(crate) overdue: Option<String>,
    /// Who wants it to be rolled back, and why.
    pub(crate) asked_for_rollback: Option<String>,
    pub(crate) rollback: Option<RollbackRun>,
    /// Alerts that came, in order.
    pub(crate) alerts: Vec<TakenAlert>,
    /// Whether somebody is to decide about a rollback.
    pub(crate) question: Option<Question>,
    pub(crate) decided: Option<Decided>,
    pub(crate) cause: Option<GivenCause>,
    /// Whether it is to be rolled back as soon as it has succeeded.
    pub(crate) rolls_back_at_end: bool,
    /// When it last ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// What is wrong with what it gives.
    pub(crate) outputs_refused: Option<String>,
    /// Whether somebody wants nothing new to start.
    pub(crate) pause: Option<Pause>,
    /// Whether the last who recorded something drives no releases.
    pub(crate) left_alone: bool,
    /// Whether who waits for it knows how it ended.
    pub(crate) parent_told: bool,
    /// The newer release for which it ended without having begun.
    pub(crate) superseded_by: Option<ReleaseId>,
    /// Whether it ever began: it did not have to wait for its turn, or that came.
    pub(crate) admitted: bool,
    pub(crate) records: u64,
}

/// A pause that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// The rollback of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRun {
    /// What caused it.
    pub trigger: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When the last step was settled, or it was given up.
    pub ended_at: Option<Timestamp>,
    /// Whether it took, or takes, longer than its objective.
    pub is_overdue: bool,
}

/// [`Due`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DueKey {
    Wake(StepIndex),
    Deadline(StepIndex),
    PhaseDeadline(usize),
    ReleaseDeadline,
    RollbackObjective,
    Escalation,
}

/// Where a release stands.
#[derive(Debug, Clone, PartialEq)]
pub enum ReleaseState {
    /// It waits for its place; nothing of it has begun.
    Queued,
    /// Steps start as their needs and gates allow.
    Running,
    /// A step failed; nothing new starts, running steps end by themselves.
    Failing {
        /// The step.
        step: StepName,
        /// Whether a rollback follows.
        rollback: bool,
    },
    /// Running steps are being stopped.
    Canceling {
        /// Whether a rollback follows.
        rollback: bool,
    },
    /// What ran is being rolled back.
    RollingBack {
        /// What caused it.
        trigger: String,
    },
    /// All is decided; what runs last runs.
    Finishing {
        /// How it will end.
        outcome: Outcome,
        /// Whether somebody has had enough of it.
        canceled: bool,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// The workflow's outputs.
        outputs: Value,
    },
}

impl ReleaseState {
    /// One word for screens.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failing { .. } => "failing",
            Self::Canceling { .. } => "canceling",
            Self::RollingBack { .. } => "rolling back",
            Self::Finishing { .. } => "finishing",
            Self::Ended { outcome, .. } => outcome.name(),
        }
    }
}

/// A journal that cannot have happened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// It does not begin with the event that creates a release.
    #[error("the journal does not begin with the creation of a release")]
    NoBeginning,
    /// It was made with another plan.
    #[error("the journal names plan {recorded}, but this plan is {given}")]
    OtherPlan {
        /// What the journal says.
        recorded: Digest,
        /// What was given.
        given: Digest,
    },
    /// An event does not fit the state before it.
    #[error("record {record}: {source}")]
    Illegal {
        /// Which record, from 0.
        record: u64,
        /// What does not fit.
        source: Box<IllegalEvent>,
    },
}

impl Release {
    /// A new release, and its first record.
    ///
    /// The caller has checked the parameters against the workflow and made sure of the plan's digest. One with a
    /// claim waits until [`crate::Input::Admitted`] comes.
    pub fn create(plan: Arc<Plan>, created: Created, now: Timestamp) -> (Self, Record) {
        let event = Event::ReleaseCreated(Box::new(created.clone()));
        let mut release = Self::begin(plan, Box::new(created), now);
        let mut events = vec![event];
        events.extend(release.settle(now));
        (release, Record { at: now, events })
    }

    /// As [`Self::create`], of one that has the place that it needs: it begins in its first record.
    pub fn create_admitted(plan: Arc<Plan>, created: Created, now: Timestamp) -> (Self, Record) {
        let (mut release, mut record) = Self::create(plan, created, now);
        if release.is_queued() {
            release.record(&mut record.events, Event::Admitted, now);
            record.events.extend(release.settle(now));
        }
        (release, record)
    }

    fn begin(plan: Arc<Plan>, created: Box<Created>, now: Timestamp) -> Self {
        let graph = plan.graph();
        let count = graph.len();
        let mut unmet = vec![0; count];
        let mut ready = BTreeSet::new();
        for step in graph.steps() {
            unmet[step.as_usize()] = graph.parents(step).count() as u32;
            if unmet[step.as_usize()] == 0 && !plan.step(step).finally {
                ready.insert(step);
            }
        }
        let facts = json!({
            "id": created.release.to_string(),
            "workflow": created.release.workflow().as_str(),
            "requested_by": created.requested_by.name,
            "alerts": [],
        });
        let mut release = Self {
            created_at: now,
            updated_at: now,
            state: if created.claim.is_some() { ReleaseState::Queued } else { ReleaseState::Running },
            steps: (0..count).map(|_| StepRun::new()).collect(),
            facts,
            pins: BTreeMap::new(),
            fans: BTreeMap::new(),
            item_runs: Vec::new(),
            open_fans: BTreeSet::new(),
            unmet,
            ready,
            active: BTreeSet::new(),
            attention: BTreeSet::new(),
            unfinished: graph.steps().filter(|it| !plan.step(*it).finally).count(),
            unsettled: Vec::new(),
            rollback_ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            timers_of: BTreeMap::new(),
            running_since: now,
            phases: Vec::new(),
            late: false,
            overdue: None,
            asked_for_rollback: None,
            rollback: None,
            alerts: Vec::new(),
            question: None,
            decided: None,
            cause: None,
            rolls_back_at_end: false,
            ended_at: None,
            outputs_refused: None,
            pause: None,
            left_alone: false,
            parent_told: false,
            superseded_by: None,
            admitted: created.claim.is_none(),
            records: 1,
            plan: plan.clone(),
            created,
        };
        release.begin_phases(now);
        release
    }

    /// The release that a journal tells of.
    pub fn replay<'a>(plan: Arc<Plan>, records: impl IntoIterator<Item = &'a Record>) -> Result<Self, ReplayError> {
        let mut records = records.into_iter();
        let first = records.next().ok_or(ReplayError::NoBeginning)?;
        let (Event::ReleaseCreated(created), rest) = first.events.split_first().ok_or(ReplayError::NoBeginning)? else {
            return Err(ReplayError::NoBeginning);
        };
        let mut release = Self::begin(plan, created.clone(), first.at);
        release.replay_events(rest, first.at, 0)?;
        for record in records {
            release.follow(record)?;
        }
        Ok(release)
    }

    /// Takes the next record of its journal, as a replay does.
    pub fn follow(&mut self, record: &Record) -> Result<(), ReplayError> {
        self.replay_events(&record.events, record.at, self.records)?;
        self.records += 1;
        Ok(())
    }

    fn replay_events(&mut self, events: &[Event], at: Timestamp, record: u64) -> Result<(), ReplayError> {
        for event in events {
            self.apply(event, at).map_err(|source| ReplayError::Illegal { record, source: Box::new(source) })?;
        }
        Ok(())
    }

    /// Its id.
    pub fn id(&self) -> &ReleaseId {
        &self.created.release
    }

    /// What it began with.
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// When it began.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When its last event happened.
    pub fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Its plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Where it stands.
    pub fn state(&self) -> &ReleaseState {
        &self.state
    }

    /// The pause that holds it, if there is one. Only forward work is held.
    pub fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// Why what it gives was refused, if that is why it failed.
    pub fn outputs_refused(&self) -> Option<&str> {
        self.outputs_refused.as_deref()
    }

    /// Its rollback, if there was one or one goes on.
    pub fn rollback(&self) -> Option<&RollbackRun> {
        self.rollback.as_ref()
    }

    /// The steps, and items, that failed and were not tolerated, or wait for a decision.
    pub fn failures(&self) -> impl Iterator<Item = (StepName, &StepError)> {
        self.steps.iter().enumerate().filter_map(|(at, run)| match &run.state {
            StepState::Failed { error, tolerated: false }
            | StepState::Paused { error, .. }
            | StepState::RollbackBlocked { error, .. } => Some((self.name_of(StepIndex::beyond(at)), error)),
            _ => None,
        })
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            ReleaseState::Ended { outcome, .. } => Some(*outcome),
            _ => None,
        }
    }

    /// Whether there is something left to do or to decide.
    pub fn is_open(&self) -> bool {
        self.outcome().is_none() || self.question.is_some()
    }

    /// Whether it has ended, and whoever waits for that does not know: the release that it is a part of, or who keeps
    /// what became of rehearsals and which versions are live.
    pub fn is_untold(&self) -> bool {
        if self.outcome().is_none() || self.parent_told {
            return false;
        }
        let delivers = !self.created.dry_run && !self.plan.delivering().is_empty();
        self.created.parent.is_some() || self.created.rehearsal || delivers
    }

    /// How many records its journal has; the next append expects as many.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// A step, or an item of one.
    pub fn step(&self, index: StepIndex) -> &StepRun {
        &self.steps[index.as_usize()]
    }

    /// The calls of components that should be going on now, all of them.
    pub fn calls(&self) -> impl Iterator<Item = CallId> + '_ {
        self.active.iter().filter_map(|index| {
            let activity = self.steps[index.as_usize()].state.activity()?;
            matches!(activity.stage, Stage::Calling(_)).then(|| call_id(*index, activity))
        })
    }

    /// Whether a call should be going on.
    pub fn wants(&self, id: CallId) -> bool {
        self.wanted(id).is_some()
    }

    fn wanted(&self, id: CallId) -> Option<(&Activity, &Call)> {
        let activity = self.step(id.step).state.activity().filter(|it| call_id(id.step, it) == id)?;
        match &activity.stage {
            Stage::Calling(call) => Some((activity, call)),
            _ => None,
        }
    }

    /// What a call is made with; none when it should not be going on.
    pub fn order(&self, id: CallId) -> Option<CallOrder> {
        let run = self.step(id.step);
        let (activity, call) = self.wanted(id)?;
        Some(CallOrder {
            id,
            call: call.clone(),
            idempotency_key: self.idempotency_key(&self.name_of(id.step), id.operation, activity.round),
            start_keys: self.start_keys(id.step),
            deadline: self.deadline(id.step, activity),
            input: run.input.clone().unwrap_or_default(),
            output: run.made.clone().filter(|_| id.operation != Operation::Start),
            dry_run: self.dry_order(id.step),
        })
    }

    /// When [`crate::Input::Tick`] is next due.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is due at `now`.
    pub fn due(&self, now: Timestamp) -> Vec<Due> {
        let due = self.timers_due(now).into_iter().map(|(_, key)| match key {
            DueKey::Wake(step) => Due::Wake(step),
            DueKey::Deadline(step) => Due::Deadline(step),
            DueKey::PhaseDeadline(_) | DueKey::ReleaseDeadline | DueKey::RollbackObjective | DueKey::Escalation => {
                Due::Overdue
            }
        });
        due.collect()
    }

    pub(crate) fn timers_due(&self, now: Timestamp) -> Vec<(Timestamp, DueKey)> {
        self.timers.iter().take_while(|(at, _)| *at <= now).copied().collect()
    }

    pub(crate) fn deadline(&self, step: StepIndex, activity: &Activity) -> Option<Timestamp> {
        let timeout = match activity.operation {
            Operation::Start | Operation::Rollback => self.definition(step).timeout,
            // A release that is stopped takes its own time.
            Operation::Cancel if matches!(self.pin(step).runs, Runs::Plan(_)) => None,
            Operation::Cancel => Some(crate::decide::CANCEL_TIMEOUT),
        };
        timeout.map(|it| activity.attempt_began_at + it)
    }

    /// The keys of all logical calls of `start` of a step, oldest first.
    fn start_keys(&self, index: StepIndex) -> Vec<String> {
        let step = self.name_of(index);
        (1..=self.step(index).rounds).map(|round| self.idempotency_key(&step, Operation::Start, round)).collect()
    }

    /// The same for every attempt of one logical call of one operation of one step.
    fn idempotency_key(&self, step: &StepName, operation: Operation, round: u32) -> String {
        let text = format!("{}/{}/{}/{}", self.created.release, step, operation.name(), round);
        let mut bytes = self.created.salt.to_vec();
        bytes.extend_from_slice(text.as_bytes());
        Digest::of(&bytes).hex()[..32].to_owned()
    }

    /// Evaluates something in the release as it stands.
    pub fn with_scope<T>(&self, evaluate: impl FnOnce(&Scope<'_>) -> T) -> T {
        let step = |name: &str| {
            let index = self.index_of(&name.parse().ok()?)?;
            let run = &self.steps[index.as_usize()];
            let mut facts = serde_json::Map::from_iter([("state".to_owned(), json!(run.state.name()))]);
            if let Some(output) = &run.output {
                facts.insert("output".to_owned(), Value::clone(output));
            }
            Some(Value::Object(facts))
        };
        evaluate(&Scope::new(&self.created.parameters, &self.facts, &step))
    }

    /// Evaluates something for a step, or for an item of one.
    pub(crate) fn with_scope_of<T>(&self, index: StepIndex, evaluate: impl FnOnce(&Scope<'_>) -> T) -> T {
        let each = self.each(index);
        self.with_scope(|scope| evaluate(&Scope { each: each.as_ref(), ..*scope }))
    }

    /// The outputs of the steps so far, by name.
    pub fn outputs(&self) -> BTreeMap<&StepName, &Value> {
        self.plan
            .graph()
            .steps()
            .filter_map(|it| Some((&self.plan.step(it).name, self.steps[it.as_usize()].output.as_deref()?)))
            .collect()
    }
}

pub(crate) fn call_id(step: StepIndex, activity: &Activity) -> CallId {
    CallId { step, operation: activity.operation, attempt: activity.attempt, call: activity.call }
}

impl StepState {
    pub(crate) fn needs_a_person(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::Paused { .. } | Self::RollbackBlocked { .. })
    }
}
