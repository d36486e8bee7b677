//! What a release does next.
//!
//! [`Release`] is all that follows from a journal. [`Release::decide`] tells which facts to record when
//! an [`Input`] comes in; [`Release::calls`] and [`Release::wake_at`] tell what should be going on now.
//! Carrying inputs in and commands out is the server's work.
//!
//! **Invariant:** nothing here reads a clock, a file or a random number; time and dice are arguments.
//! **Invariant:** `apply` is the only function that changes a release, for replay and for decisions
//! alike, so there is no second path for recovery.
//! **Invariant:** whatever `decide` does to a release is in the events it returns. They are recorded
//! before anybody acts on them; a driver that cannot record them drops the release and replays it.
//! (`decide` changes the release in place, because a copy for each decision would make a release of n
//! steps cost n² – the one place where we left the sketch of the house style.)

mod alert;
mod apply;
mod approval;
mod bounds;
mod breaker;
mod callback;
mod deadline;
mod decide;
mod decision;
mod dry_run;
mod fan_out;
mod finally;
mod hold;
mod input;
mod intervention;
mod preview;
mod queue;
mod release;
mod retry;
mod review;
mod rollback;
mod settle;
mod step;
mod transition;
mod wait;

pub use alert::{ALERTS_MAX, TakenAlert};
pub use apply::IllegalEvent;
pub use bounds::{CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX, SUSPENDED_BYTES_MAX};
pub use breaker::{
    ALARMS_MAX, Admission, Alarm, Breaker, BreakerPhase, CHANGES_KEPT, Change, Opening, Probe, SAMPLES_KEPT, Sample,
    Snapshot,
};
pub use callback::{KEPT_PER_RELEASE_MAX, KEPT_PER_STEP_MAX};
pub use decision::{Decided, Question, Standing};
pub use dry_run::{DryOrder, DryStep};
pub use fan_out::RUNS_MAX;
pub use input::{CallId, CallOrder, CallResult, Callback, Due, Input, Rejected, Suspension, TopicMaker, WakeCondition};
pub use preview::{RollbackPreview, Stays};
pub use release::{Pause, Release, ReleaseState, ReplayError, RollbackRun};
pub use review::GivenCause;
pub use step::{Activity, Call, PassedOver, Stage, StepRun, StepState, Vote};
pub use wait::{Wait, WaitCause};
