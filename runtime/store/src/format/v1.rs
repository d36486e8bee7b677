//! Version 1: the shapes of records and outlines.
//!
//! Each struct is a CBOR array whose places are the numbers here; an enum is an array of its variant's number and
//! the variant's fields. JSON values are JSON texts. All borrow, from the model when writing and from
//! the bytes when reading.
//!
//! Adding is allowed: a new `Option` field with the next number, a new variant with the next
//! number. Anything else is a new version.
#![expect(missing_docs, reason = "the model documents each of these; here only the numbers matter")]

mod alert;
mod claim;
mod dry_run;
mod failure;
mod outline;

use std::borrow::Cow;

use minicbor::bytes::{ByteArray, ByteSlice};
use minicbor::{Decode, Encode};

pub use alert::{Alert, OnAlert};
pub use claim::{Claim, Group, Priority, QueueOrder, Standing};
pub use dry_run::{DryRun, Origin, Would};
pub use failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
pub use outline::{Outline, Rest};

/// A JSON value as text.
pub type Json<'a> = Cow<'a, str>;

#[derive(Debug, Encode, Decode)]
pub struct Record<'a> {
    #[n(0)]
    pub at: u64,
    #[b(1)]
    pub events: Vec<Event<'a>>,
}

#[derive(Debug, Encode, Decode)]
pub enum Event<'a> {
    #[n(0)]
    ReleaseCreated(#[b(0)] Created<'a>),
    #[n(1)]
    StepHeld {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        questions: Vec<&'a str>,
        #[n(2)]
        until: Option<u64>,
    },
    #[n(2)]
    Voted {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        actor: Actor<'a>,
        #[n(2)]
        approved: bool,
        #[b(3)]
        comment: &'a str,
    },
    #[n(3)]
    StepSkipped {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        reason: SkipReason<'a>,
    },
    #[n(4)]
    AttemptStarted {
        #[b(0)]
        step: &'a str,
        #[n(1)]
        operation: Operation,
        #[n(2)]
        attempt: u32,
        #[n(3)]
        round: u32,
        #[b(4)]
        input: Option<Json<'a>>,
    },
    #[n(5)]
    Suspended {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        state: &'a ByteSlice,
        #[n(2)]
        wake_at: Option<u64>,
        #[b(3)]
        topics: Vec<&'a str>,
        #[b(4)]
        status: &'a str,
    },
    #[n(6)]
    Resumed {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        wake: Wake<'a>,
    },
    #[n(7)]
    CheckpointRecorded {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        name: &'a str,
        #[b(2)]
        value: &'a ByteSlice,
    },
    #[n(8)]
    CallInterrupted {
        #[b(0)]
        step: &'a str,
        #[n(1)]
        next: AfterInterruption,
        #[n(2)]
        unbegun: Option<bool>,
    },
    #[n(9)]
    EffectNotFound {
        #[b(0)]
        step: &'a str,
    },
    #[n(10)]
    AttemptSucceeded {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        output: Json<'a>,
    },
    #[n(11)]
    AttemptFailed {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        error: StepError<'a>,
        #[n(2)]
        next: AfterFailure,
    },
    #[n(12)]
    AttemptTimedOut {
        #[b(0)]
        step: &'a str,
    },
    #[n(13)]
    Intervened {
        #[b(0)]
        actor: Actor<'a>,
        #[b(1)]
        reason: &'a str,
        #[b(2)]
        intervention: Intervention<'a>,
    },
    #[n(14)]
    FailingStarted {
        #[b(0)]
        step: &'a str,
        #[n(1)]
        rollback: bool,
    },
    #[n(15)]
    CancelingStarted {
        #[n(0)]
        rollback: bool,
    },
    #[n(16)]
    RollbackStarted {
        #[b(0)]
        trigger: &'a str,
    },
    #[n(17)]
    StepCanceled {
        #[b(0)]
        step: &'a str,
    },
    #[n(18)]
    ReleaseEnded {
        #[n(0)]
        outcome: Outcome,
        #[b(1)]
        outputs: Json<'a>,
    },
    #[n(19)]
    LeftAlone,
    #[n(20)]
    OutputGiven {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        output: Json<'a>,
    },
    #[n(21)]
    StepsReset {
        #[b(0)]
        steps: Vec<&'a str>,
    },
    #[n(22)]
    RollbackSettled {
        #[b(0)]
        step: &'a str,
        #[n(1)]
        done: bool,
    },
    #[n(23)]
    FannedOut {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        items: Vec<Json<'a>>,
    },
    #[n(24)]
    Joined {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        output: Option<Json<'a>>,
    },
    #[n(25)]
    DelayOver {
        #[b(0)]
        step: &'a str,
    },
    #[n(26)]
    DeadlinePassed {
        #[b(0)]
        phase: Option<&'a str>,
    },
    #[n(27)]
    FinallyStarted {
        #[n(0)]
        outcome: Outcome,
    },
    #[n(28)]
    ParentTold,
    #[n(30)]
    CallbackKept {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        topic: &'a str,
        #[b(2)]
        headers: Vec<Pair<'a>>,
        #[b(3)]
        body: &'a ByteSlice,
    },
    #[n(31)]
    CallHeld {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        key: &'a str,
        #[b(2)]
        text: &'a str,
        #[b(3)]
        owner: &'a str,
        #[n(4)]
        until: Option<u64>,
        #[n(5)]
        by: Option<HeldBy>,
    },
    #[n(32)]
    CallLetThrough {
        #[b(0)]
        step: &'a str,
    },
    #[n(35)]
    RollbackOverdue,
    #[n(36)]
    OutputsRefused {
        #[b(0)]
        problem: &'a str,
    },
    #[n(50)]
    AlertTaken {
        #[b(0)]
        alert: Alert<'a>,
        #[n(1)]
        then: OnAlert,
    },
    #[n(51)]
    Escalated {
        #[b(0)]
        to: &'a str,
    },
    #[n(52)]
    CauseGiven {
        #[b(0)]
        actor: Actor<'a>,
        /// The category's name.
        #[b(1)]
        category: &'a str,
        #[b(2)]
        cause: &'a str,
        #[b(3)]
        risk: Option<&'a str>,
        #[b(4)]
        runbook: Option<&'a str>,
    },
    #[n(60)]
    GatesLeftOut {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        questions: Vec<&'a str>,
        #[n(2)]
        delay: Option<u64>,
    },
    #[n(61)]
    InputUnknown {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        problem: &'a str,
    },
    #[n(62)]
    DryRunTold {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        dry_run: DryRun<'a>,
    },
    #[n(33)]
    Admitted,
    #[n(34)]
    Superseded {
        #[b(0)]
        workflow: &'a str,
        #[n(1)]
        number: u64,
    },
}

/// What holds a call, when it is no breaker.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum HeldBy {
    #[n(0)]
    Breaker,
    #[n(1)]
    Service,
}

#[derive(Debug, Encode, Decode)]
pub struct Created<'a> {
    #[b(0)]
    pub workflow: &'a str,
    #[n(1)]
    pub number: u64,
    #[n(2)]
    pub plan: ByteArray<32>,
    #[b(3)]
    pub components: Vec<Component<'a>>,
    #[b(4)]
    pub parameters: Json<'a>,
    #[b(5)]
    pub requested_by: Actor<'a>,
    #[n(6)]
    pub salt: ByteArray<16>,
    #[b(7)]
    pub parent: Option<Parent<'a>>,
    #[b(8)]
    pub claim: Option<Claim<'a>>,
    #[n(9)]
    pub rehearsal: Option<bool>,
    #[n(10)]
    pub dry_run: Option<bool>,
    #[n(11)]
    pub recorded: Option<bool>,
}

#[derive(Debug, Encode, Decode)]
pub struct Parent<'a> {
    #[b(0)]
    pub workflow: &'a str,
    #[n(1)]
    pub number: u64,
    #[b(2)]
    pub step: &'a str,
}

#[derive(Debug, Encode, Decode)]
pub struct Component<'a> {
    #[b(0)]
    pub name: &'a str,
    #[n(1)]
    pub digest: ByteArray<32>,
}

#[derive(Debug, Encode, Decode)]
pub struct Actor<'a> {
    #[b(0)]
    pub name: &'a str,
    #[b(1)]
    pub groups: Vec<&'a str>,
    #[b(2)]
    pub authenticated: &'a str,
}

#[derive(Debug, Encode, Decode)]
pub enum SkipReason<'a> {
    #[n(0)]
    Condition {
        #[b(0)]
        expression: &'a str,
        #[b(1)]
        values: Vec<Named<'a>>,
    },
    #[n(1)]
    NeedsSkipped,
    #[n(2)]
    Person {
        #[b(0)]
        by: &'a str,
        #[b(1)]
        reason: &'a str,
    },
    #[n(3)]
    Rehearsal,
}

/// A JSON value and its name.
#[derive(Debug, Encode, Decode)]
pub struct Named<'a> {
    #[b(0)]
    pub name: &'a str,
    #[b(1)]
    pub value: Json<'a>,
}

/// A text and its name.
#[derive(Debug, Encode, Decode)]
pub struct Pair<'a> {
    #[b(0)]
    pub name: &'a str,
    #[b(1)]
    pub value: &'a str,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum Operation {
    #[n(0)]
    Start,
    #[n(1)]
    Cancel,
    #[n(2)]
    Rollback,
}

#[derive(Debug, Encode, Decode)]
pub enum Wake<'a> {
    #[n(0)]
    Timer,
    #[n(1)]
    Callback {
        #[b(0)]
        topic: &'a str,
        #[b(1)]
        headers: Vec<Pair<'a>>,
        #[b(2)]
        body: &'a ByteSlice,
    },
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum AfterInterruption {
    #[n(0)]
    Repeat,
    #[n(1)]
    Find,
    #[n(2)]
    Pause,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
pub enum AfterFailure {
    #[n(0)]
    RetryAt(#[n(0)] u64),
    #[n(1)]
    Pause,
    #[n(2)]
    Fail,
    #[n(3)]
    Continue,
}

#[derive(Debug, Encode, Decode)]
pub enum Intervention<'a> {
    #[n(0)]
    Retry {
        #[b(0)]
        step: &'a str,
    },
    #[n(1)]
    Cancel {
        #[n(0)]
        rollback: bool,
    },
    #[n(2)]
    Rollback,
    #[n(3)]
    RunAgain {
        #[b(0)]
        step: &'a str,
    },
    #[n(4)]
    Skip {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        output: Option<Json<'a>>,
    },
    #[n(5)]
    ReplaceOutput {
        #[b(0)]
        step: &'a str,
        #[b(1)]
        output: Json<'a>,
    },
    #[n(6)]
    Pause,
    #[n(7)]
    Resume,
    #[n(8)]
    SettleRollback {
        #[b(0)]
        step: &'a str,
        #[n(1)]
        done: bool,
    },
    #[n(9)]
    RetryWith {
        #[b(0)]
        step: &'a str,
        /// The pin as a plan writes it.
        #[b(1)]
        pin: Json<'a>,
    },
    #[n(20)]
    Keep,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum Outcome {
    #[n(0)]
    Succeeded,
    #[n(1)]
    Failed,
    #[n(2)]
    Canceled,
    #[n(3)]
    RolledBack,
    #[n(4)]
    PartiallyRolledBack,
}
