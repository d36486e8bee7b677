//! What people ask of a release.

use serde_json::Value;

use crate::name::StepName;
use crate::plan::Pin;

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intervention {
    /// Try a paused step again.
    Retry {
        /// Which.
        step: StepName,
    },
    /// Try a paused step again, with another version of its plugin from now on.
    RetryWith {
        /// Which.
        step: StepName,
        /// What it uses from now on, for its rollback too.
        pin: Box<Pin>,
    },
    /// Run a step that has ended, and everything after it, again.
    RunAgain {
        /// Which.
        step: StepName,
    },
    /// Go on without a step that does not run.
    Skip {
        /// Which.
        step: StepName,
        /// What it gives to the steps after it, if they use anything of it.
        output: Option<Value>,
    },
    /// Let the steps after a step see another output.
    ReplaceOutput {
        /// Which.
        step: StepName,
        /// The output.
        output: Value,
    },
    /// Start nothing new until somebody resumes it; what runs goes on.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Settle the blocked rollback of a step.
    SettleRollback {
        /// Which.
        step: StepName,
        /// Whether its effect is gone, by other means; else it stays in place.
        done: bool,
    },
    /// Stop the release.
    Cancel {
        /// Whether what ran is to be rolled back.
        rollback: bool,
    },
    /// Roll back what ran.
    Rollback,
    /// Do not roll back, where that was to be decided.
    Keep,
}

impl Intervention {
    /// The step it is about, where it is about one.
    pub fn step(&self) -> Option<&StepName> {
        match self {
            Self::Retry { step }
            | Self::RetryWith { step, .. }
            | Self::RunAgain { step }
            | Self::Skip { step, .. }
            | Self::ReplaceOutput { step, .. }
            | Self::SettleRollback { step, .. } => Some(step),
            Self::Pause | Self::Resume | Self::Cancel { .. } | Self::Rollback | Self::Keep => None,
        }
    }
}
