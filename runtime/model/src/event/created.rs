//! What the first event of a release holds.

use serde_json::Value;

use crate::actor::Actor;
use crate::concurrency::Claim;
use crate::digest::Digest;
use crate::name::{ReleaseId, StepName};

/// What a release begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// Which release.
    pub release: ReleaseId,
    /// Digest of the plan: the resolved workflow and all pins.
    pub plan: Digest,
    /// Digests of the components that the plan pins, with the plugin's name and version.
    pub components: Vec<(String, Digest)>,
    /// Checked parameters.
    pub parameters: Value,
    /// Who asked for it.
    pub requested_by: Actor,
    /// Random; makes this release's idempotency keys unlike those of any other installation.
    pub salt: [u8; 16],
    /// The release inside of which it is one.
    pub parent: Option<Parent>,
    /// Whether it only shows that, and how fast, what it does can be rolled back.
    pub rehearsal: bool,
    /// Whether it only shows what it would do: nothing that it runs writes anything.
    pub dry_run: bool,
    /// Whether what its steps ask for, and get, is recorded, so that it can be played again.
    pub recorded: bool,
    /// What it needs before it begins; nothing of it starts until it is admitted. None where it begins at once and
    /// nobody waits for its place.
    pub claim: Option<Claim>,
}

/// The release and the step that a release is a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Which release.
    pub release: ReleaseId,
    /// Which of its steps, or of the items of one.
    pub step: StepName,
}
