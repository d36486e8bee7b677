//! What opening a breaker will come to: which open releases it will hold, and which it will have rolled back.
//!
//! It follows from where each release stands and what its plan still has before it. Steps whose condition is not known
//! yet count; releases that others inside of them are still to begin do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_engine::{Release, ReleaseState, Stage, StepState};
use windlass_model::breaker::BreakerKey;
use windlass_model::event::Operation;
use windlass_model::graph::StepIndex;
use windlass_model::workflow::RollbackTrigger;

use super::BreakerView;
use super::concerned::holders;
use super::gate::connections;
use crate::runtime::{Inner, Runtime, RuntimeError};

/// What an open breaker will come to, as things are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Open releases that it will hold, and before which steps.
    pub holds: BTreeMap<String, Vec<String>>,
    /// Open releases that will be rolled back when they come to it, as their workflows say.
    pub rolls_back: Vec<String>,
}

/// A breaker that a person has opened, or would open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripView {
    /// The breaker, once it is open.
    #[serde(flatten)]
    pub breaker: Option<BreakerView>,
    /// What that comes to.
    pub reach: Reach,
}

/// What a breaker does to a release.
#[derive(Debug, PartialEq, Eq)]
struct Touched {
    steps: Vec<StepIndex>,
    is_rolled_back: bool,
}

/// Whether a call that begins forward work of this step, or of one of its items, is still to be made, as far as one
/// can tell.
fn is_to_begin(release: &Release, step: StepIndex) -> bool {
    let place = release.definition_index(step);
    let is_left_out = release.created().rehearsal && release.plan().is_beyond_rehearsal(place);
    let run = release.step(step);
    if is_left_out || release.definition(step).finally || run.passed_over.is_some() {
        return false;
    }
    match &run.state {
        StepState::Waiting | StepState::Held { .. } | StepState::Paused { .. } => true,
        StepState::Active(activity) => {
            activity.operation == Operation::Start
                && matches!(activity.stage, Stage::Backoff { .. } | Stage::Held { .. })
        }
        StepState::FannedOut => release.items(step).into_iter().flatten().any(|(it, _)| is_to_begin(release, it)),
        StepState::Succeeded
        | StepState::Failed { .. }
        | StepState::Skipped { .. }
        | StepState::Canceled
        | StepState::RolledBack
        | StepState::LeftInPlace
        | StepState::RollbackBlocked { .. } => false,
    }
}

fn touched(inner: &Inner, release: &Release, key: &BreakerKey) -> Touched {
    // A dry run asks no breaker.
    let goes_forward = !release.is_dry_run() && matches!(release.state(), ReleaseState::Queued | ReleaseState::Running);
    let is_concerned = match key {
        BreakerKey::Global | BreakerKey::Connection { .. } => true,
        _ => holders(inner, release, true).keys.contains_key(key),
    };
    let asks = |it: StepIndex| !matches!(key, BreakerKey::Connection { .. }) || connections(release, it).contains(key);
    let plan = release.plan();
    let is_held = |it: StepIndex| is_to_begin(release, it) && asks(it);
    let steps: Vec<StepIndex> =
        plan.graph().steps().filter(|it| goes_forward && is_concerned && is_held(*it)).collect();
    let rules = plan.workflow().rollback.as_ref();
    let may_roll_back = rules.is_some_and(|it| it.triggers.contains(&RollbackTrigger::Breaker));
    let comes_to_it = |step: &StepIndex| {
        let before = plan.graph().ancestors(*step);
        // One that is held before anything was done has nothing to roll back; after a pivot there is no way back.
        let has_begun = release.has_begun() || before.iter().any(|it| is_to_begin(release, *it) && !is_held(*it));
        has_begun && !before.iter().any(|it| plan.step(*it).pivot && is_to_begin(release, *it))
    };
    let is_rolled_back = may_roll_back && release.pivot_passed().is_none() && steps.iter().any(comes_to_it);
    Touched { steps, is_rolled_back }
}

impl Runtime {
    /// What opening a breaker would come to.
    pub async fn breaker_reach(&self, key: &str) -> Result<Reach, RuntimeError> {
        let key = self.breaker_key(key)?;
        let mut reach = Reach::default();
        for id in self.store().open_releases()? {
            if matches!(&key, BreakerKey::Workflow(it) if it != id.workflow()) {
                continue;
            }
            let release = match self.release(&id).await {
                Err(RuntimeError::UnknownRelease(_)) => continue,
                other => other?,
            };
            let Touched { steps, is_rolled_back } = touched(&self.inner, &release, &key);
            if !steps.is_empty() {
                let names = steps.iter().map(|it| release.name_of(*it).to_string()).collect();
                reach.holds.insert(id.to_string(), names);
            }
            if is_rolled_back {
                reach.rolls_back.push(id.to_string());
            }
        }
        Ok(reach)
    }
}
