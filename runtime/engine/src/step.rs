//! The state of one step.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use windlass_model::actor::Actor;
use windlass_model::event::{Hold, Operation, SkipReason, Wake};
use windlass_model::failure::{FailureOrigin, StepError};
use windlass_model::time::Timestamp;

use crate::callback::Callbacks;
use crate::dry_run::DryStep;

/// A step and what is kept of it whatever its state.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRun {
    /// Where it stands.
    pub state: StepState,
    /// Its resolved input, from the first attempt on.
    pub input: Option<Arc<Value>>,
    /// What it gave in this run, or what a person said that it gives: what others see.
    pub output: Option<Arc<Value>>,
    /// What its plugin gave when it last gave anything: its rollback gets that.
    pub made: Option<Arc<Value>>,
    /// Why its work last failed, until it succeeds or is begun anew; a rollback does not make that undone.
    pub failure: Option<Box<StepError>>,
    /// Why its plugin could not stop what its last attempt had begun.
    pub unstopped: Option<Box<StepError>>,
    /// What its plugin recorded in this run.
    pub checkpoints: BTreeMap<String, Vec<u8>>,
    /// What it recorded of pieces of work in earlier runs, before the step was run again.
    pub(crate) checkpoints_before: BTreeMap<String, Vec<u8>>,
    /// Answers to its approval gates.
    pub votes: Vec<Vote>,
    /// Whether a call of `start` was ever made of which the host is not sure that it changed nothing, so that there may be an
    /// effect.
    pub called: bool,
    /// The same, before the attempt that is going on began.
    pub(crate) called_before: bool,
    /// Attempts of `start` so far; they are counted on when the step runs again.
    pub attempts: u32,
    /// Logical calls of `start` so far.
    pub rounds: u32,
    /// Whether it is passed over when its turn comes, and what it then gives.
    pub passed_over: Option<PassedOver>,
    /// Whether the logical call of this run had its effect, or may have had it.
    pub(crate) stands: bool,
    /// The same, before the attempt that is going on began.
    pub(crate) stood_before: bool,
    /// Whether one of an earlier run did.
    pub(crate) stood: bool,
    /// Attempts of `start` before the step was last taken back to its beginning.
    pub(crate) attempts_before: u32,
    /// What it was called back with, while an operation is in progress.
    pub(crate) callbacks: Callbacks,
    /// What the suspensions of its attempt have put into the journal.
    pub(crate) suspended_bytes: u64,
    /// Whether its attempt is over its time and about to be stopped.
    pub(crate) timing_out: bool,
    /// How many attempts to cancel were made, so that no two have one id.
    pub(crate) cancels: u32,
    /// What a dry run keeps of it.
    pub dry: Option<Box<DryStep>>,
    /// When it first stopped waiting for other steps.
    pub began_at: Option<Timestamp>,
    /// When it reached its present state, if that is an end.
    pub ended_at: Option<Timestamp>,
}

/// A skip that somebody asked for before the step's turn.
#[derive(Debug, Clone, PartialEq)]
pub struct PassedOver {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// What it gives.
    pub output: Option<Arc<Value>>,
}

/// An answer to the approval gates of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub actor: Actor,
    /// Yes or no.
    pub approved: bool,
    /// Why.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Steps that it needs have not ended.
    Waiting,
    /// Its needs are met, a gate is closed.
    Held {
        /// What each approval gate asks.
        questions: Vec<String>,
        /// It does not start before.
        until: Option<Timestamp>,
    },
    /// Its items run.
    FannedOut,
    /// An operation is in progress.
    Active(Activity),
    /// Its attempts failed or ended in doubt; a person decides.
    Paused {
        /// What was in progress.
        activity: Activity,
        /// Why.
        error: StepError,
    },
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed {
        /// Why.
        error: StepError,
        /// Whether its dependents run all the same.
        tolerated: bool,
    },
    /// Does not run.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
    /// Was stopped, or will not run because the release was.
    Canceled,
    /// Its effect is gone.
    RolledBack,
    /// Its effect stays, though the release was rolled back: a person decided so.
    LeftInPlace,
    /// Its effect could not be rolled back; a person decides.
    RollbackBlocked {
        /// What was in progress.
        activity: Activity,
        /// Why.
        error: StepError,
    },
}

/// An operation in progress.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Which.
    pub operation: Operation,
    /// From 1.
    pub attempt: u32,
    /// Attempts that were over when the retry budget last began anew.
    pub spent: u32,
    /// The logical call; part of the idempotency key.
    pub round: u32,
    /// Counts calls of the component within the attempt, so that a late answer is known as such.
    pub call: u32,
    /// When the retry budget began.
    pub began_at: Timestamp,
    /// When the attempt began.
    pub attempt_began_at: Timestamp,
    /// What it is doing.
    pub stage: Stage,
    /// For a cancel: what it stops.
    pub stops: Option<Stopped>,
}

/// What a cancel stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// The activity as it was.
    pub activity: Box<Activity>,
    /// Whether it was too slow, rather than unwanted.
    pub timed_out: bool,
}

/// What an operation in progress is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// The component is to be called.
    Calling(Call),
    /// The other side goes on by itself.
    Suspended {
        /// Opaque, for the plugin.
        state: Arc<[u8]>,
        /// The earliest timer.
        wake_at: Option<Timestamp>,
        /// Callback topics that wake it.
        topics: Vec<String>,
        /// What a person reads.
        status: String,
    },
    /// A failed attempt waits for the next one.
    Backoff {
        /// Until when.
        until: Timestamp,
        /// Why.
        error: StepError,
    },
    /// A breaker does not let its first call through, or the look for what that may have done.
    Held {
        /// What holds it.
        hold: Hold,
        /// What it holds.
        call: Call,
        /// Since when.
        since: Timestamp,
    },
    /// A cancel is over; what it stopped is settled by the events that follow in the same record.
    Stopped,
}

/// Which call of the component.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `start`, `cancel` or `rollback`.
    Begin {
        /// For `cancel`: the state of the suspension that it stops.
        state: Option<Arc<[u8]>>,
    },
    /// `resume`.
    Resume {
        /// What the suspension kept.
        state: Arc<[u8]>,
        /// Why now.
        wake: Wake,
    },
    /// `find`.
    Find,
}

impl StepRun {
    pub(crate) fn new() -> Self {
        Self {
            state: StepState::Waiting,
            input: None,
            output: None,
            made: None,
            failure: None,
            unstopped: None,
            checkpoints: BTreeMap::new(),
            checkpoints_before: BTreeMap::new(),
            passed_over: None,
            votes: Vec::new(),
            called: false,
            called_before: false,
            attempts: 0,
            rounds: 0,
            stands: false,
            stood_before: false,
            stood: false,
            attempts_before: 0,
            callbacks: Callbacks::default(),
            suspended_bytes: 0,
            timing_out: false,
            cancels: 0,
            dry: None,
            began_at: None,
            ended_at: None,
        }
    }

    pub(crate) fn dry_mut(&mut self) -> &mut DryStep {
        self.dry.get_or_insert_default()
    }

    /// Whether its logical call had its effect, or may have had it.
    pub fn may_stand(&self) -> bool {
        self.stands
    }

    /// All that its plugin recorded in this run, and of the pieces of work of earlier ones.
    pub fn all_recorded(&self) -> BTreeMap<&str, &[u8]> {
        let all = self.checkpoints_before.iter().chain(&self.checkpoints);
        all.map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }

    /// Whether its logical call may have had its effect, when the attempt to start it that is going on has failed so.
    pub(crate) fn may_stand_after(&self, activity: &Activity, error: &StepError) -> bool {
        // What the host says before it asks anybody is no answer to what an earlier call asked.
        let asked_nobody = error.without_effect && error.origin == FailureOrigin::Host;
        let is_answer = error.class.is_definite() && !asked_nobody;
        !is_answer && (self.stood_before || !activity.came_to_nothing(error))
    }

    /// Takes it back to its beginning. What it did stays done, and all that its rollback needs is still known.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self {
            input: self.input.take(),
            made: self.made.take(),
            checkpoints: std::mem::take(&mut self.checkpoints),
            checkpoints_before: std::mem::take(&mut self.checkpoints_before),
            called: self.called,
            called_before: self.called,
            attempts: self.attempts,
            attempts_before: self.attempts,
            rounds: self.rounds,
            cancels: self.cancels,
            stood: self.stood || self.stands,
            ..Self::new()
        };
    }
}

impl StepState {
    /// One word for screens and expressions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held { .. } => "held",
            Self::FannedOut => "running",
            Self::Active(activity) => activity.name(),
            Self::Paused { .. } => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Canceled => "canceled",
            Self::RolledBack => "rolled_back",
            Self::LeftInPlace => "left_in_place",
            Self::RollbackBlocked { .. } => "rollback_blocked",
        }
    }

    /// Whether dependents may start.
    pub fn lets_dependents_run(&self) -> bool {
        match self {
            Self::Succeeded | Self::Skipped { .. } => true,
            Self::Failed { tolerated, .. } => *tolerated,
            Self::Waiting
            | Self::Held { .. }
            | Self::FannedOut
            | Self::Active(_)
            | Self::Paused { .. }
            | Self::Canceled
            | Self::RolledBack
            | Self::LeftInPlace
            | Self::RollbackBlocked { .. } => false,
        }
    }

    /// The operation in progress, if there is one.
    pub fn activity(&self) -> Option<&Activity> {
        match self {
            Self::Active(activity) => Some(activity),
            _ => None,
        }
    }
}

impl Activity {
    /// Whether it was to start the step, in one call that changed nothing: of those before it the host says nothing then.
    pub(crate) fn came_to_nothing(&self, error: &StepError) -> bool {
        error.without_effect && self.operation == Operation::Start && self.call == 1
    }

    /// One word for screens.
    pub fn name(&self) -> &'static str {
        match (self.operation, &self.stage) {
            (_, Stage::Backoff { .. }) => "retrying",
            (_, Stage::Held { .. }) => "held",
            (Operation::Cancel, _) => "canceling",
            (Operation::Rollback, _) => "rolling_back",
            (Operation::Start, Stage::Suspended { .. }) => "suspended",
            (Operation::Start, Stage::Calling(_) | Stage::Stopped) => "running",
        }
    }
}
