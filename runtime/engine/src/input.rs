//! What comes in, what should be going on, and what is refused.

use std::sync::Arc;

use serde_json::Value;
use windlass_model::actor::Actor;
use windlass_model::alert::Alert;
use windlass_model::cause::RollbackCause;
use windlass_model::dry_run::DryRun;
use windlass_model::event::{Hold, Intervention, Operation};
use windlass_model::failure::StepError;
use windlass_model::graph::StepIndex;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::time::{Span, Timestamp};

use crate::dry_run::DryOrder;
use crate::step::Call;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A driver took the release over: calls that its journal says are being made are not.
    TakenOver,
    /// A call of a component ended.
    CallEnded {
        /// Which.
        call: CallId,
        /// How.
        result: Result<CallResult, StepError>,
        /// Random, for the jitter of a delay.
        dice: u64,
    },
    /// A running call has done a part of its step.
    CheckpointReached {
        /// Which call.
        call: CallId,
        /// The part.
        name: String,
        /// Its answer.
        value: Vec<u8>,
    },
    /// Time has passed.
    Tick {
        /// Random, for the jitter of a delay.
        dice: u64,
    },
    /// A callback arrived.
    Callback {
        /// What it says.
        callback: Callback,
        /// Which operation made its topic.
        maker: TopicMaker,
    },
    /// Somebody answers an approval gate.
    Vote {
        /// Of which step.
        step: StepName,
        /// Who.
        actor: Actor,
        /// Yes or no.
        approved: bool,
        /// Why.
        comment: String,
    },
    /// The release that this one is a part of has recorded that it ended.
    ParentTold,
    /// Somebody asks for something.
    Intervene {
        /// Who.
        actor: Actor,
        /// Why.
        reason: String,
        /// What.
        intervention: Intervention,
    },
    /// A breaker does not let a call through that was to be made.
    CallHeld {
        /// Which.
        call: CallId,
        /// What holds it.
        hold: Hold,
        /// Whether the breaker is open; else it only waits for its probe.
        is_open: bool,
    },
    /// No breaker holds a call any more.
    CallLetThrough {
        /// Which.
        call: CallId,
    },
    /// A monitoring system says that something is wrong.
    Alert(Box<Alert>),
    /// Somebody says why it had to be rolled back.
    GiveCause {
        /// Who.
        actor: Actor,
        /// The cause.
        cause: Box<RollbackCause>,
    },
    /// It has its place, and begins.
    Admitted,
    /// Of those that wait only the newest goes on, and it is not this one.
    Superseded {
        /// The newer one.
        by: ReleaseId,
    },
}

/// A request that came in for a callback topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// For which.
    pub topic: String,
    /// The request's headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// The operation that made a callback topic. The topic is signed, and says so itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMaker {
    /// Of which step.
    pub step: StepName,
    /// Within which operation.
    pub operation: Operation,
    /// Within which attempt.
    pub attempt: u32,
}

/// How a call that did not fail ended.
#[derive(Debug, Clone, PartialEq)]
pub enum CallResult {
    /// The operation is complete.
    Done(Value),
    /// The operation is over in a dry run, which stopped something of it or ended it.
    WouldDo {
        /// What stands for the step's output.
        output: Value,
        /// What would have been done, and where the output comes from.
        dry_run: Box<DryRun>,
    },
    /// It goes on outside.
    Suspended(Suspension),
    /// `find` found nothing.
    NotFound,
}

/// A wait that a component asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Opaque, for the plugin.
    pub state: Vec<u8>,
    /// What ends it; not empty.
    pub wakes: Vec<WakeCondition>,
    /// What a person reads.
    pub status: String,
}

/// What ends a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WakeCondition {
    /// This long after the record.
    After(Span),
    /// At this time.
    At(Timestamp),
    /// A call of this topic.
    Callback(String),
}

/// Which call of a component; the answer to any other is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Of which step.
    pub step: StepIndex,
    /// Within which operation.
    pub operation: Operation,
    /// Within which attempt.
    pub attempt: u32,
    /// Which of its calls.
    pub call: u32,
}

/// A call of a component that should be going on.
#[derive(Debug, Clone)]
pub struct CallOrder {
    /// Which.
    pub id: CallId,
    /// Which function.
    pub call: Call,
    /// What the plugin hands to the other side so that a repetition is recognised: 32 hex digits.
    pub idempotency_key: String,
    /// The keys of all logical calls of `start` so far, oldest first: under each there may be something.
    pub start_keys: Vec<String>,
    /// When the attempt will be stopped.
    pub deadline: Option<Timestamp>,
    /// The step's input.
    pub input: Arc<Value>,
    /// The step's output, for `cancel` and `rollback`.
    pub output: Option<Arc<Value>>,
    /// Of a dry run: what it is made with beside that.
    pub dry_run: Option<DryOrder>,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A wait or a backoff ends.
    Wake(StepIndex),
    /// An attempt is over its time.
    Deadline(StepIndex),
    /// A phase, or the release, is over its time.
    Overdue,
}

/// An input that changes nothing, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The call is not, or no longer, the one going on.
    #[error("the answer is late: that call is no longer going on")]
    LateAnswer,
    /// Only what begins forward work is held.
    #[error(
        "only a call that begins a step, or looks for what that has done, can be held, in a release that goes forward"
    )]
    NotToBeHeld,
    /// Nobody made this topic. Topics are secrets: no message has one.
    #[error("there is no such callback")]
    UnknownTopic,
    /// The workflow has no such step.
    #[error("the release has no step `{step}`; its steps are {}", .steps.join(", "))]
    UnknownStep {
        /// What was asked for.
        step: StepName,
        /// What there is.
        steps: Vec<String>,
    },
    /// The step has no such item.
    #[error("there is no `{item}`: step `{step}` {}", items_told(.step, *.items))]
    UnknownItem {
        /// What was asked for.
        item: StepName,
        /// The step that runs for items.
        step: StepName,
        /// How many it runs for, once that is known.
        items: Option<usize>,
    },
    /// No approval is asked for.
    #[error("step `{step}` does not wait for an approval: it is {state}")]
    NotHeld {
        /// Which step.
        step: StepName,
        /// Where it stands.
        state: &'static str,
    },
    /// This person may not answer.
    #[error("{actor} may not approve step `{step}`: {reason}")]
    NotEligible {
        /// Who.
        actor: String,
        /// Which step.
        step: StepName,
        /// Why not, and who may.
        reason: String,
    },
    /// This person has answered.
    #[error("{actor} has already approved step `{step}`; one person counts once")]
    AlreadyVoted {
        /// Who.
        actor: String,
        /// Which step.
        step: StepName,
    },
    /// There is nothing to try again.
    #[error(
        "step `{step}` is {state}; only a step that is paused, or whose rollback is blocked, can be tried again, and what has ended in a release that failed or was canceled can run again (`rerun`)"
    )]
    NotPaused {
        /// Which step.
        step: StepName,
        /// Where it stands.
        state: &'static str,
    },
    /// It has nothing to run again.
    #[error("step `{step}` has not run yet, so it cannot run again")]
    HasNotRun {
        /// Which step.
        step: StepName,
    },
    /// A part of what would run again runs now.
    #[error("step `{step}` runs; wait until it has ended, or cancel the release")]
    StillRuns {
        /// Which step.
        step: StepName,
    },
    /// It runs or has ended.
    #[error("step `{step}` is {state}; only a step that waits, is held or is paused can be skipped")]
    NotSkippable {
        /// Which step.
        step: StepName,
        /// Where it stands.
        state: &'static str,
    },
    /// The workflow says that it must run.
    #[error("step `{step}` is mandatory in this workflow: nobody may skip it")]
    Mandatory {
        /// Which step.
        step: StepName,
    },
    /// Others use what it would give.
    #[error("{} of its output: say what it is to be (`--output JSON`)", used_by(.step, .users))]
    OutputNeeded {
        /// Which step.
        step: StepName,
        /// The steps that use it.
        users: Vec<String>,
    },
    /// It gives nothing yet, or too late.
    #[error(
        "step `{step}` is {state}: an output can be replaced once the step has ended well and while the release runs"
    )]
    NoOutput {
        /// Which step.
        step: StepName,
        /// Where it stands.
        state: &'static str,
    },
    /// There is nothing to settle.
    #[error("step `{step}` is {state}; only a rollback that is blocked can be settled by hand")]
    NotBlocked {
        /// Which step.
        step: StepName,
        /// Where it stands.
        state: &'static str,
    },
    /// There is nothing to try again with.
    #[error(
        "step `{step}` has an expression without a value: correct what it reads (`release set-output`) and run it again (`release rerun`), or cancel the release"
    )]
    NoInput {
        /// Which step.
        step: StepName,
    },
    /// It runs at the end, whatever happens.
    #[error("step `{step}` runs when the release ends; it runs again when the release ends again")]
    RunsLast {
        /// Which step.
        step: StepName,
    },
    /// There is no way back.
    #[error(
        "there is no way back: step `{step}` is a point of no return, and it may have had its effect; cancel without a rollback, or go forward"
    )]
    PastPivot {
        /// The step.
        step: StepName,
    },
    /// It is too late for that.
    #[error("the release is {state}: {reason}")]
    WrongState {
        /// Where it stands.
        state: &'static str,
        /// What would be accepted.
        reason: &'static str,
    },
    /// The alert is none of those that its workflow names, or came too early or too late.
    #[error("the alert does not concern the release: {reason}")]
    NotConcerned {
        /// Why not.
        reason: &'static str,
    },
    /// Each alert is taken once.
    #[error("this alert has come before; each is taken once")]
    AlertRepeated,
    /// It has no review.
    #[error("the release was not rolled back, so there is no cause of that to give")]
    NoReview,
    /// A text is missing, or too long.
    #[error(
        "a cause, and what is said of risk and runbook, is a text of at most {} bytes, and not an empty one",
        windlass_model::cause::CAUSE_TEXT_BYTES_MAX
    )]
    NoCause,
    /// There is nothing to decide.
    #[error("no decision is asked for: nothing says that the release may have to be rolled back")]
    NothingToDecide,
    /// An intervention has a reason.
    #[error("a reason is missing: say why, it is kept with the release")]
    NoReason,
    /// Each callback is taken once.
    #[error("this callback has come before; each is taken once")]
    CallbackRepeated,
    /// Nobody can wait for it any more.
    #[error("this callback is too late: what it was made for is over")]
    CallbackOver,
    /// There is no room to keep it until its step waits for it.
    #[error(
        "too many callbacks came before anybody waited for them (at most {} are kept for a step and {} for a release); this one can come again later",
        crate::callback::KEPT_PER_STEP_MAX,
        crate::callback::KEPT_PER_RELEASE_MAX
    )]
    TooManyCallbacks,
    /// There is no room to remember it.
    #[error(
        "a step remembers at most {} parts of {} bytes together",
        crate::bounds::CHECKPOINTS_MAX,
        crate::bounds::CHECKPOINT_BYTES_MAX
    )]
    TooManyCheckpoints,
}

fn items_told(step: &StepName, items: Option<usize>) -> String {
    match items {
        None => "runs for items that are not known before its turn has come".to_owned(),
        Some(0) => "has no items".to_owned(),
        Some(1) => format!("has one item, `{step}.1`"),
        Some(count) => format!("has {count} items, `{step}.1` to `{step}.{count}`"),
    }
}

fn used_by(step: &StepName, users: &[String]) -> String {
    let verb = if users.len() == 1 { "uses a part" } else { "use parts" };
    format!("step `{step}` cannot be skipped without an output, for {} {verb}", users.join(", "))
}
