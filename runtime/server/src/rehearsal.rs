//! Rehearsals: releases on copies that go forward and are rolled back, to show that this works, and how fast.
//!
//! What became of those of a workflow is a document of its own, the last ones of them. A rehearsal is open until it
//! is written there, so a crash in between loses nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_engine::Release;
use windlass_model::digest::Digest;
use windlass_model::event::Outcome;
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::plan::{Plan, Runs};
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::RollbackRules;
use windlass_store::DocumentKind;

use crate::clock::now;
use crate::plans::KeptPlan;
use crate::runtime::{Runtime, RuntimeError};

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
            is_good: outcome == Outcome::RolledBack,
            outcome: match rollback {
                None => format!("{}, before it came to the rollback", outcome.name()),
                Some(_) => outcome.name().to_owned(),
            },
            ended_at: release.updated_at(),
            took: rollback.and_then(|it| Some(it.ended_at?.since(it.began_at))),
        }
    }

    /// Whether it took longer than this.
    pub fn is_slower_than(&self, objective: Span) -> bool {
        self.took.is_none_or(|it| it > objective)
    }
}

/// Writes what became of a rehearsal, until that has worked.
pub(crate) fn keep(runtime: Runtime, release: &Release) -> impl Future<Output = ()> + Send + use<> {
    let workflow = release.plan().workflow().name.clone();
    let definition = runtime.definition(release.plan());
    let rehearsed = definition.map(|it| Rehearsed::of(release, it));
    async move {
        let rehearsed = match rehearsed {
            Ok(it) => it,
            // A plan inside of it is gone: of what it was a rehearsal cannot be said.
            Err(error) => return tracing::error!(%workflow, %error, "what became of a rehearsal is not kept"),
        };
        let mut pause = AGAIN_AFTER;
        while let Err(error) = runtime.write_rehearsed(&workflow, rehearsed.clone()).await {
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
        if release.created().rehearsal || release.created().parent.is_some() {
            return Ok(None);
        }
        let Some(last) = self.rehearsals(&plan.workflow().name)?.pop() else { return Ok(None) };
        let is_same = self.definition(plan)? == last.definition;
        let objective = plan.workflow().rollback.as_ref().and_then(|it| it.objective);
        Ok(Some(RehearsedView { last, is_same, objective }))
    }

    /// Refuses what should have been rehearsed, and was not, or not well enough.
    pub(crate) fn check_rehearsed(&self, kept: &KeptPlan) -> Result<(), RuntimeError> {
        let workflow = kept.plan().workflow();
        let Some(RollbackRules { rehearsed_within: Some(within), objective, .. }) = &workflow.rollback else {
            return Ok(());
        };
        let definition = self.definition(kept.plan())?;
        let all = self.rehearsals(&workflow.name)?;
        let refuse = |why: String| {
            let text = format!(
                "the rollback of `{}` is to have been rehearsed within {within}, and {why}; `windlass rehearse` does that on copies",
                workflow.name
            );
            Err(RuntimeError::NotRehearsed(text))
        };
        let Some(last) = all.iter().rev().find(|it| it.definition == definition) else {
            return refuse(match all.last() {
                None => "it never was".to_owned(),
                Some(it) => format!("the last rehearsal, {}, was of another definition", it.release),
            });
        };
        if !last.is_good {
            return refuse(format!("the last rehearsal, {}, ended as {}", last.release, last.outcome));
        }
        if let (Some(objective), Some(took)) = (objective, last.took)
            && last.is_slower_than(*objective)
        {
            return refuse(format!("in {} it took {took}, more than its objective of {objective}", last.release));
        }
        if last.ended_at + *within < now() {
            return refuse(format!("the last rehearsal, {}, was at {}", last.release, last.ended_at));
        }
        Ok(())
    }
}
