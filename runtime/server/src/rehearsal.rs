//! Rehearsals: releases on copies that go forward and are rolled back, to show that this works, and how fast.
//!
//! What became of those of a workflow is a document of its own, the last ones of them. A rehearsal is open until it
//! is written there, so a crash in between loses nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_engine::Release;
use windlass_model::digest::Digest;
use windlass_model::event::Outcome;
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::plan::{Plan, Runs};
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::RollbackRules;
use windlass_store::{DocumentKind, StoreError};

use crate::clock::now;
use crate::plans::KeptPlan;
use crate::runtime::{Runtime, RuntimeError};

/// What the engine says of the rollback that a rehearsal is for; people's reasons begin with their names.
const TRIGGER: &str = "rehearsal";

/// How many rehearsals of a workflow are remembered.
const KEPT_MAX: usize = 20;

/// How long to wait before a result is written again that could not be; it doubles up to [`AGAIN_MAX`].
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The longest of these waits.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// What became of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Its release.
    pub release: ReleaseId,
    /// What was rehearsed: the digest of the workflow and of those inside of it, without versions and connections.
    pub definition: Digest,
    /// Whether it all worked: what went forward was rolled back, all of it.
    pub is_good: bool,
    /// How it ended, for people.
    pub outcome: String,
    /// When.
    pub ended_at: Timestamp,
    /// How long the rollback took; none where it did not come to one.
    pub took: Option<Span>,
}

/// The last rehearsal of a workflow, as a release of it shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedView {
    /// What became of it.
    #[serde(flatten)]
    pub last: Rehearsed,
    /// Whether it was of the same definition as this release.
    pub is_same: bool,
    /// How long a rollback may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Span>,
}

impl Rehearsed {
    fn of(release: &Release, definition: Digest) -> Self {
        let outcome = release.outcome().unwrap_or(Outcome::Failed);
        let rollback = release.rollback();
        Self {
            release: release.id().clone(),
            definition,
            // Who stops one half way, and what fails, has it rolled back for another reason.
            is_good: outcome == Outcome::RolledBack && rollback.is_some_and(|it| it.trigger == TRIGGER),
            outcome: match rollback {
                None => format!("{}, before it came to the rollback", outcome.name()),
                Some(it) if it.trigger == TRIGGER => outcome.name().to_owned(),
                Some(it) => format!("{} before all of it had gone forward ({})", outcome.name(), it.trigger),
            },
            ended_at: release.updated_at(),
            took: rollback.and_then(|it| Some(it.ended_at?.since(it.began_at))),
        }
    }
}

/// Writes what became of a rehearsal, until that has worked.
pub(crate) fn keep(runtime: Runtime, release: &Release) -> impl Future<Output = ()> + Send + use<> {
    let workflow = release.plan().workflow().name.clone();
    let plan = release.plan().clone();
    let rehearsed = Rehearsed::of(release, Digest::of(&[]));
    async move {
        let mut pause = AGAIN_AFTER;
        loop {
            let written = match runtime.definition(&plan) {
                Ok(definition) => {
                    runtime.write_rehearsed(&workflow, Rehearsed { definition, ..rehearsed.clone() }).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = written else { return };
            if let RuntimeError::Store(StoreError::CorruptItem { .. }) = error {
                // A plan inside of it is gone: of what it was a rehearsal cannot be said.
                return tracing::error!(%workflow, %error, "what became of a rehearsal is not kept");
            }
            tracing::warn!(release = %rehearsed.release, %error, "what became of it could not be written yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_MAX);
        }
    }
}

impl Runtime {
    /// The digest of what a plan's author wrote, the workflows inside of it included.
    fn definition(&self, plan: &Plan) -> Result<Digest, RuntimeError> {
        let mut text = serde_json::to_vec(plan.workflow()).expect("a workflow holds only what JSON can hold");
        for index in plan.graph().steps() {
            if let Runs::Plan(inner) = plan.pin(index).runs {
                let inner = self.kept(inner)?;
                text.extend_from_slice(self.definition(inner.plan())?.as_bytes());
            }
        }
        Ok(Digest::of(&text))
    }

    async fn write_rehearsed(&self, workflow: &WorkflowName, rehearsed: Rehearsed) -> Result<(), RuntimeError> {
        // Two that end at the same time are written one after the other.
        let _alone = self.inner.rehearsing.lock().await;
        let mut all = self.rehearsals(workflow)?;
        if all.iter().any(|it| it.release == rehearsed.release) {
            return Ok(());
        }
        all.push(rehearsed);
        let from = all.len().saturating_sub(KEPT_MAX);
        let bytes = serde_json::to_vec(&all[from..]).expect("it holds only what JSON can hold");
        Ok(self.inner.store.put_document(DocumentKind::Rehearsals, workflow.as_str(), bytes).await?)
    }

    /// The last rehearsals of a workflow, the newest one last.
    pub fn rehearsals(&self, workflow: &WorkflowName) -> Result<Vec<Rehearsed>, RuntimeError> {
        let Some(bytes) = self.inner.store.document(DocumentKind::Rehearsals, workflow.as_str())? else {
            return Ok(Vec::new());
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::error!(%workflow, %error, "what became of its rehearsals cannot be read");
            Vec::new()
        }))
    }

    /// The last rehearsal, as a release shows it.
    pub(crate) fn rehearsed(&self, release: &Release) -> Result<Option<RehearsedView>, RuntimeError> {
        let plan = release.plan();
        if release.created().rehearsal || release.is_dry_run() || release.created().parent.is_some() {
            return Ok(None);
        }
        let Some(last) = self.rehearsals(&plan.workflow().name)?.pop() else { return Ok(None) };
        let is_same = self.definition(plan)? == last.definition;
        let objective = plan.workflow().rollback.as_ref().and_then(|it| it.objective);
        Ok(Some(RehearsedView { last, is_same, objective }))
    }

    /// Refuses what should have been rehearsed, and was not, or not well enough. What a workflow inside of another one
    /// demands is met by a rehearsal of its own, or of the whole.
    pub(crate) fn check_rehearsed(&self, kept: &KeptPlan) -> Result<(), RuntimeError> {
        let whole = kept.plan().workflow().rollback.as_ref().and_then(|it| it.objective);
        let mut plans = vec![kept.clone()];
        let mut seen = BTreeSet::new();
        while let Some(next) = plans.pop() {
            for index in next.plan().graph().steps() {
                if let Runs::Plan(inner) = next.plan().pin(index).runs
                    && seen.insert(inner)
                {
                    plans.push(self.kept(inner)?);
                }
            }
            let workflow = next.plan().workflow();
            let Some(RollbackRules { rehearsed_within: Some(within), objective, .. }) = &workflow.rollback else {
                continue;
            };
            if let Some(why) = self.not_rehearsed(next.plan(), *within, *objective)?
                && self.not_rehearsed(kept.plan(), *within, whole)?.is_some()
            {
                return Err(RuntimeError::NotRehearsed(format!(
                    "the rollback of `{}` is to have been rehearsed within {within}, and {why}; `windlass rehearse` does that on copies",
                    workflow.name
                )));
            }
        }
        Ok(())
    }

    /// Why a plan is not rehearsed well enough, if it is not.
    pub(crate) fn not_rehearsed(
        &self,
        plan: &Plan,
        within: Span,
        objective: Option<Span>,
    ) -> Result<Option<String>, RuntimeError> {
        let definition = self.definition(plan)?;
        let all = self.rehearsals(&plan.workflow().name)?;
        let Some(last) = all.iter().rev().find(|it| it.definition == definition) else {
            return Ok(Some(match all.last() {
                None => "it never was".to_owned(),
                Some(it) => format!("the last rehearsal, {}, was of another definition", it.release),
            }));
        };
        Ok(match (last.took, objective) {
            _ if !last.is_good => Some(format!("the last rehearsal, {}, ended as {}", last.release, last.outcome)),
            (Some(took), Some(objective)) if took > objective => {
                Some(format!("in {} it took {took}, more than its objective of {objective}", last.release))
            }
            _ if last.ended_at + within < now() => {
                Some(format!("the last rehearsal, {}, was at {}", last.release, last.ended_at))
            }
            _ => None,
        })
    }
}
