//! A call as it crosses the component boundary, in plain types that also exist off wasm.

use crate::outcome::Suspension;

/// Which of an action's operations is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The action itself.
    Start,
    /// Stopping it before it ended.
    Cancel,
    /// Rolling it back after it ended.
    Rollback,
}

/// One call of an action on behalf of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Action, as named in the manifest.
    pub action: String,
    /// The operation that this call begins or goes on with.
    pub operation: Operation,
    /// Identifies the release.
    pub release: String,
    /// Step instance.
    pub step: String,
    /// From 1; counts the attempts of this operation.
    pub attempt: u32,
    /// The same for every attempt of this operation, and for `find`.
    pub idempotency_key: String,
    /// When the host will stop this attempt; milliseconds since the Unix epoch.
    pub deadline: Option<u64>,
    /// Reads reach the world, writes are stopped by the host.
    pub dry_run: bool,
    /// The step's input as JSON.
    pub input: String,
    /// Output of the forward operation, where there is one, for cancel and rollback.
    pub output: Option<String>,
    /// `tenant`, `environment`, `actor`, …
    pub context: Vec<(String, String)>,
}

/// An outcome as it leaves the component: JSON text and opaque bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum RawOutcome {
    /// Complete, with the output as JSON.
    Done(String),
    /// Waiting, with the state encoded.
    Suspended(Suspension<Vec<u8>>),
}
