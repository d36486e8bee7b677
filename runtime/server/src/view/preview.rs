//! What a rollback would do, as people and programs see it.

use serde::{Deserialize, Serialize};
use windlass_engine::{Release, RollbackPreview, Stays};
use windlass_model::event::Outcome;
use windlass_model::graph::StepIndex;
use windlass_model::plan::Runs;

use super::state_name;
use crate::topic::redacted;

/// How much of a part that a step recorded is shown.
const RECORDED_BYTES_SHOWN: usize = 256;

/// What a rollback of a release would do, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPreviewView {
    /// The release.
    pub release: String,
    /// Its state.
    pub state: String,
    /// Why a rollback would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What would be rolled back, each step after all that ran after it. What runs is stopped first.
    pub steps: Vec<RolledBackStepView>,
    /// What may have had an effect and would stay as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<StaysView>,
    /// Later releases of the same workflow, the newest first, that are not rolled back with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<String>,
}

/// A step, or an item of one, that would be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBackStepView {
    /// Its name.
    pub step: String,
    /// What it uses: `helm/upgrade`, or a workflow's file.
    pub uses: String,
    /// The version that rolls it back: that which ran. None of a workflow, which has no versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of that component or plan.
    pub digest: String,
    /// What the step recorded, what was there before included, cut after 256 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<(String, String)>,
    /// The releases that it began, which are rolled back with it, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<RollbackPreviewView>,
}

/// A step, or an item of one, whose effect would stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaysView {
    /// Its name.
    pub step: String,
    /// Why, in a sentence.
    pub why: String,
    /// Whether that is so because nothing can roll it back, and not because somebody wanted it so.
    pub is_lost: bool,
}

impl RollbackPreviewView {
    /// Why what the release did could not be undone as a whole; nothing where it could. `accepted`: what would stay
    /// may.
    pub(crate) fn obstacle(&self, accepted: bool) -> Option<String> {
        let lost = self.stays.iter().find(|it| it.is_lost && !accepted);
        let lost = lost.map(|it| {
            let (step, release, why) = (&it.step, &self.release, &it.why);
            format!("the effect of step {step} of {release} would stay: {why} (`--accept-what-stays` if it may)")
        });
        let is_done = self.state == Outcome::RolledBack.name();
        let refused = self.refused.as_ref().filter(|_| !is_done);
        let refused = refused.map(|why| format!("{} cannot be rolled back: {why}", self.release));
        let inner = || self.steps.iter().find_map(|it| it.inner.iter().find_map(|it| it.obstacle(accepted)));
        refused.or(lost).or_else(inner)
    }

    /// Whether a rollback would do nothing, and nothing would stay.
    pub(crate) fn is_nothing(&self) -> bool {
        self.steps.is_empty() && self.stays.is_empty()
    }

    pub(crate) fn of(release: &Release, preview: &RollbackPreview) -> Self {
        Self {
            release: release.id().to_string(),
            state: state_name(release),
            refused: preview.refused.as_ref().map(ToString::to_string),
            steps: preview.steps.iter().map(|it| step(release, *it)).collect(),
            stays: preview.stays.iter().map(|(it, why)| stays(release, *it, *why)).collect(),
            newer: Vec::new(),
        }
    }
}

fn step(release: &Release, index: StepIndex) -> RolledBackStepView {
    let (definition, pin) = (release.definition(index), release.pin(index));
    let recorded = release.step(index).all_recorded().into_iter().map(|(name, value)| {
        let cut = &value[..value.len().min(RECORDED_BYTES_SHOWN)];
        let more = if cut.len() < value.len() { "…" } else { "" };
        // Whoever has a topic may call back with it.
        (name.to_owned(), format!("{}{more}", redacted(String::from_utf8_lossy(cut).into_owned())))
    });
    RolledBackStepView {
        step: release.name_of(index).to_string(),
        uses: definition.uses.short(),
        version: matches!(pin.runs, Runs::Component(_)).then(|| pin.version.to_string()),
        digest: pin.runs.digest().to_string(),
        recorded: recorded.collect(),
        inner: Vec::new(),
    }
}

fn stays(release: &Release, index: StepIndex, stays: Stays) -> StaysView {
    let why = match stays {
        Stays::NoRollback => format!("{} has no rollback", release.definition(index).uses.short()),
        Stays::Skipped => "the workflow says `rollback: skip`".to_owned(),
        Stays::Finally => "a step of `finally` is never rolled back".to_owned(),
        Stays::Settled => "somebody settled that it stays".to_owned(),
    };
    StaysView { step: release.name_of(index).to_string(), why, is_lost: stays == Stays::NoRollback }
}
