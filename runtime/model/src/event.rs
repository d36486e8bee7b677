//! Facts of a release, as its journal keeps them.
//!
//! **Invariant:** the state of a release follows from its events and its plan, and from nothing else.

mod created;
mod intervention;

use serde_json::Value;

pub use self::created::{Created, Parent};
pub use self::intervention::Intervention;
use crate::actor::Actor;
use crate::alert::{Alert, OnAlert};
use crate::cause::RollbackCause;
use crate::dry_run::DryRun;
use crate::failure::StepError;
use crate::name::{PhaseName, ReleaseId, StepName};
use crate::time::{Span, Timestamp};

/// One append: facts that became true together.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What; at least one.
    pub events: Vec<Event>,
}

/// Which of an action's operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// The action itself.
    Start,
    /// Stopping it.
    Cancel,
    /// Undoing its effect.
    Rollback,
}

impl Operation {
    /// Its name in journals and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Cancel => "cancel",
            Self::Rollback => "rollback",
        }
    }
}

/// A fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event: everything the release will use is pinned.
    ReleaseCreated(Box<Created>),
    /// A step's needs are met, but a gate is closed.
    StepHeld {
        /// The step.
        step: StepName,
        /// What each approval gate asks, in the order of the workflow; empty texts where it asks nothing.
        questions: Vec<String>,
        /// It does not start before.
        until: Option<Timestamp>,
    },
    /// The time that a step was to wait is over.
    DelayOver {
        /// The step.
        step: StepName,
    },
    /// Something took longer than it may.
    DeadlinePassed {
        /// Which phase; the release when there is none.
        phase: Option<PhaseName>,
    },
    /// All is decided; what runs last, however a release ends, begins.
    FinallyStarted {
        /// How the release would end now.
        outcome: Outcome,
    },
    /// Somebody answered an approval gate.
    Voted {
        /// The step.
        step: StepName,
        /// Who.
        actor: Actor,
        /// Yes or no.
        approved: bool,
        /// Why.
        comment: String,
    },
    /// A step will not run.
    StepSkipped {
        /// The step.
        step: StepName,
        /// Why.
        reason: SkipReason,
    },
    /// A new attempt of an operation begins; its first call is to be made.
    AttemptStarted {
        /// The step.
        step: StepName,
        /// The operation.
        operation: Operation,
        /// From 1 within the operation.
        attempt: u32,
        /// Counts logical calls of the operation: attempts of one round share an idempotency key.
        round: u32,
        /// The resolved input, given with the first attempt of `start`; later ones use the same.
        input: Option<Value>,
    },
    /// The other side goes on by itself; the step waits.
    Suspended {
        /// The step.
        step: StepName,
        /// Opaque, for the plugin.
        state: Vec<u8>,
        /// The earliest timer.
        wake_at: Option<Timestamp>,
        /// Callback topics that wake it.
        topics: Vec<String>,
        /// What a person reads.
        status: String,
    },
    /// A wait ended; `resume` is to be called.
    Resumed {
        /// The step.
        step: StepName,
        /// Why.
        wake: Wake,
    },
    /// A part of a step was done and its answer kept.
    CheckpointRecorded {
        /// The step.
        step: StepName,
        /// The part.
        name: String,
        /// The answer.
        value: Vec<u8>,
    },
    /// A call's end is unknown because the process that made it ended, or it is known that it made none.
    CallInterrupted {
        /// The step.
        step: StepName,
        /// What follows.
        next: AfterInterruption,
        /// Whether whoever left it had not begun it, so that it is made now for the first time.
        unbegun: bool,
    },
    /// `find` looked and the effect never happened.
    EffectNotFound {
        /// The step.
        step: StepName,
    },
    /// An attempt ended well, and with it the operation.
    AttemptSucceeded {
        /// The step.
        step: StepName,
        /// The step's output, or what the operation gave.
        output: Value,
    },
    /// An attempt ended badly.
    AttemptFailed {
        /// The step.
        step: StepName,
        /// Why.
        error: StepError,
        /// What follows.
        next: AfterFailure,
    },
    /// An attempt took longer than its step allows and is being stopped.
    AttemptTimedOut {
        /// The step.
        step: StepName,
    },
    /// Somebody asked for something.
    Intervened {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
        /// What.
        intervention: Intervention,
    },
    /// Nothing new starts; running steps end by themselves.
    FailingStarted {
        /// The step whose failure it is.
        step: StepName,
        /// Whether a rollback follows.
        rollback: bool,
    },
    /// Running steps are being stopped.
    CancelingStarted {
        /// Whether a rollback follows.
        rollback: bool,
    },
    /// What ran is being rolled back.
    RollbackStarted {
        /// What caused it: `step deploy failed: http-503 (transient): …`, `ana: wrong version`.
        trigger: String,
    },
    /// Everything has ended well, but what the release gives is not what its workflow declares.
    OutputsRefused {
        /// What is wrong.
        problem: String,
    },
    /// A rollback takes longer than its objective.
    RollbackOverdue,
    /// An alert came that the workflow names.
    AlertTaken {
        /// The alert.
        alert: Box<Alert>,
        /// What follows.
        then: OnAlert,
    },
    /// Nobody has decided in time whether it is rolled back: the next one is asked.
    Escalated {
        /// Who.
        to: String,
    },
    /// Somebody found why it had to be rolled back: its review is closed.
    CauseGiven {
        /// Who.
        actor: Actor,
        /// The cause.
        cause: Box<RollbackCause>,
    },
    /// A step that was waiting will not run any more, or one that was running was stopped.
    StepCanceled {
        /// The step.
        step: StepName,
    },
    /// A person said what a step gives, in place of what it gave or did not give.
    OutputGiven {
        /// The step.
        step: StepName,
        /// The output from now on.
        output: Value,
    },
    /// Steps are to run again, from the beginning.
    StepsReset {
        /// Which, in the order of the workflow.
        steps: Vec<StepName>,
    },
    /// A person settled a rollback that its plugin could not bring to an end.
    RollbackSettled {
        /// The step.
        step: StepName,
        /// Whether its effect is gone; else it stays in place.
        done: bool,
    },
    /// The turn of a step that runs for items has come, and these are they.
    FannedOut {
        /// The step.
        step: StepName,
        /// What it runs for, in order; the `n`-th run is the step `NAME.n`.
        items: Vec<Value>,
    },
    /// All items of a step have ended, well enough.
    Joined {
        /// The step.
        step: StepName,
        /// What it gives; the list of what the items gave when it is not said.
        output: Option<Value>,
    },
    /// The release that this one is a part of, or who keeps what became of rehearsals, knows how it ended.
    ParentTold,
    /// Whoever recorded this drives no releases: the calls that are to be made now were not begun.
    LeftAlone,
    /// The last event.
    ReleaseEnded {
        /// How.
        outcome: Outcome,
        /// The workflow's outputs.
        outputs: Value,
    },
    /// A callback came before its step waited for it; it wakes the step as soon as it does.
    CallbackKept {
        /// The step.
        step: StepName,
        /// The topic.
        topic: String,
        /// The request's headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Vec<u8>,
    },
    /// A breaker, or a service that the step requires, does not let the call through that it would begin with; the attempt waits, and nothing is spent.
    CallHeld {
        /// The step.
        step: StepName,
        /// What holds it.
        hold: Hold,
    },
    /// A call that was held may be made.
    CallLetThrough {
        /// The step.
        step: StepName,
    },
    /// In a dry run nobody is asked and nothing is waited for: the gates of a step are left out.
    GatesLeftOut {
        /// The step.
        step: StepName,
        /// What each approval gate would ask, in the order of the workflow; empty texts where it asks nothing.
        questions: Vec<String>,
        /// How long it would wait.
        delay: Option<Span>,
    },
    /// In a dry run: an expression of a step has no value because something that it reads is made up, so that the
    /// step's plugin is not called.
    InputUnknown {
        /// The step.
        step: StepName,
        /// What the expression says.
        problem: String,
    },
    /// What came of an attempt in a dry run; its end follows.
    DryRunTold {
        /// The step.
        step: StepName,
        /// What would have been done, and where its output comes from.
        dry_run: Box<DryRun>,
    },
    /// A release that waited has what it needs, and begins.
    Admitted,
    /// Of those that wait in a group only the newest goes on, and it is not this one.
    Superseded {
        /// The newer one.
        by: ReleaseId,
    },
}

/// What holds a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What it is.
    pub by: HeldBy,
    /// Why it holds.
    pub text: String,
    /// Who can end it.
    pub owner: String,
    /// When it lets the next one through, if it does so by itself, as was known then.
    pub until: Option<Timestamp>,
}

/// Something that can hold a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBy {
    /// A breaker, by its key.
    Breaker(String),
    /// A version of a service that is not live yet: `ledger >=2.4 in production`.
    Service(String),
}

/// Why a step will not run.
#[derive(Debug, Clone, PartialEq)]
pub enum SkipReason {
    /// Its `when` is false.
    Condition {
        /// The expression.
        expression: String,
        /// The values that decided.
        values: Vec<(String, Value)>,
    },
    /// Every step that it needs was skipped.
    NeedsSkipped,
    /// In a rehearsal: there would be no way back from here.
    Rehearsal,
    /// Somebody said so.
    Person {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

/// What ended a wait.
#[derive(Debug, Clone, PartialEq)]
pub enum Wake {
    /// Its timer.
    Timer,
    /// A callback.
    Callback {
        /// The topic.
        topic: String,
        /// The request's headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Vec<u8>,
    },
}

/// What follows a call whose end is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterInterruption {
    /// The same call again: repeating it is safe.
    Repeat,
    /// `find` is called first.
    Find,
    /// A person decides: repeating is not safe and the plugin cannot look.
    Pause,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Another attempt.
    RetryAt(Timestamp),
    /// The step waits for a person.
    Pause,
    /// The step has failed.
    Fail,
    /// The step has failed, and its dependents run all the same.
    Continue,
}

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Every step ended well or was skipped.
    Succeeded,
    /// A step failed.
    Failed,
    /// Somebody stopped it.
    Canceled,
    /// All that ran was rolled back.
    RolledBack,
    /// Some of what ran could not be rolled back.
    PartiallyRolledBack,
}

impl Outcome {
    /// Every outcome with its name.
    pub const ALL: [(Outcome, &'static str); 5] = [
        (Outcome::Succeeded, "succeeded"),
        (Outcome::Failed, "failed"),
        (Outcome::Canceled, "canceled"),
        (Outcome::RolledBack, "rolled back"),
        (Outcome::PartiallyRolledBack, "partially rolled back"),
    ];

    /// Its name in expressions.
    pub fn word(self) -> String {
        self.name().replace(' ', "_")
    }

    /// Its name on screens.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(it, name)| (it == self).then_some(name)).expect("every outcome is in ALL")
    }
}

impl Event {
    /// The step it is about, where it is about one.
    pub fn step(&self) -> Option<&StepName> {
        match self {
            Self::StepHeld { step, .. }
            | Self::DelayOver { step }
            | Self::Voted { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::AttemptStarted { step, .. }
            | Self::Suspended { step, .. }
            | Self::Resumed { step, .. }
            | Self::CheckpointRecorded { step, .. }
            | Self::CallInterrupted { step, .. }
            | Self::EffectNotFound { step }
            | Self::AttemptSucceeded { step, .. }
            | Self::AttemptFailed { step, .. }
            | Self::AttemptTimedOut { step }
            | Self::FailingStarted { step, .. }
            | Self::OutputGiven { step, .. }
            | Self::RollbackSettled { step, .. }
            | Self::FannedOut { step, .. }
            | Self::Joined { step, .. }
            | Self::StepCanceled { step }
            | Self::CallbackKept { step, .. }
            | Self::CallHeld { step, .. }
            | Self::GatesLeftOut { step, .. }
            | Self::InputUnknown { step, .. }
            | Self::DryRunTold { step, .. }
            | Self::CallLetThrough { step } => Some(step),
            Self::Intervened { intervention, .. } => intervention.step(),
            Self::ReleaseCreated(_)
            | Self::StepsReset { .. }
            | Self::CancelingStarted { .. }
            | Self::DeadlinePassed { .. }
            | Self::FinallyStarted { .. }
            | Self::RollbackStarted { .. }
            | Self::RollbackOverdue
            | Self::AlertTaken { .. }
            | Self::Escalated { .. }
            | Self::CauseGiven { .. }
            | Self::OutputsRefused { .. }
            | Self::LeftAlone
            | Self::ParentTold
            | Self::Admitted
            | Self::Superseded { .. }
            | Self::ReleaseEnded { .. } => None,
        }
    }
}
