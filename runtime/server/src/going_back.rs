//! What a rollback would do, and the way back to how things were after an earlier release of a workflow.
//!
//! Going back is rolling back all releases that came after, the newest first. It is one rollback after the other, each
//! with its own record, so whoever breaks off asks again and goes on where it ended. Nothing is undone unless all of it
//! can be.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use windlass_engine::Release;
use windlass_model::event::Outcome;
use windlass_model::name::ReleaseId;

use crate::clock::now;
use crate::nested::Begun;
use crate::runtime::{Runtime, RuntimeError};
use crate::view::RollbackPreviewView;

/// How many releases may have come since.
pub const RELEASES_BACK_MAX: u64 = 100;

/// The way back to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingBackView {
    /// To which release.
    pub to: String,
    /// What would be rolled back, the newest release first.
    pub releases: Vec<RollbackPreviewView>,
    /// Why there is no way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The earliest release that one can go back to instead, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

impl Runtime {
    /// What a rollback of a release would do, as it stands, with the releases inside of it. Nothing is changed.
    pub fn rollback_preview<'r>(
        &'r self,
        id: &'r ReleaseId,
    ) -> BoxFuture<'r, Result<RollbackPreviewView, RuntimeError>> {
        async move {
            let release = self.release(id).await?;
            let preview = release.rollback_preview(now());
            let mut view = RollbackPreviewView::of(&release, &preview);
            for (step, index) in view.steps.iter_mut().zip(preview.steps) {
                if release.definition(index).uses.action().is_some() {
                    continue;
                }
                for id in Begun::of(release.step(index)).newest_first() {
                    let inner = match self.release(id).await {
                        Err(RuntimeError::UnknownRelease(_)) => continue,
                        other => other?,
                    };
                    let is_ours = inner.created().parent.as_ref().is_some_and(|it| it.release == *release.id());
                    // What a rollback passes over is not shown.
                    if is_ours && !inner.never_began() && inner.outcome() != Some(Outcome::RolledBack) {
                        step.inner.push(self.rollback_preview(id).await?);
                    }
                }
            }
            Ok(view)
        }
        .boxed()
    }

    /// What going back to how things were after a release would take. `accepted`: what nothing can roll back may stay.
    /// Nothing is changed.
    pub async fn going_back(&self, to: &ReleaseId, accepted: bool) -> Result<GoingBackView, RuntimeError> {
        let target = self.release(to).await?;
        let mut view = GoingBackView { to: to.to_string(), releases: Vec::new(), problem: None, nearest: None };
        let is_state = |outcome: Option<Outcome>| outcome == Some(Outcome::Succeeded);
        if target.created().rehearsal || target.is_dry_run() || !is_state(target.outcome()) {
            let kind = match (target.created().rehearsal, target.is_dry_run()) {
                (true, _) => "it is a rehearsal".to_owned(),
                (_, true) => "it is a dry run".to_owned(),
                _ => format!(
                    "it is {}, and only what a release that succeeded has left can be gone back to",
                    target.state().name()
                ),
            };
            view.problem = Some(format!("{to} left no state: {kind}"));
            return Ok(view);
        }
        let workflow = to.workflow();
        let next = self.store().next_number(workflow)?;
        if next.saturating_sub(to.number() + 1) > RELEASES_BACK_MAX {
            view.problem = Some(format!("more than {RELEASES_BACK_MAX} releases of {workflow} have come since {to}"));
            return Ok(view);
        }
        for number in (to.number() + 1..next).rev() {
            let id = ReleaseId::new(workflow.clone(), number);
            let Some((release, preview)) = self.not_undone(&id).await? else { continue };
            let part_of = release.created().parent.as_ref();
            let part_of = part_of.map(|it| format!("{id} is a part of {}: go back with that workflow", it.release));
            if let Some(problem) = part_of.or_else(|| preview.obstacle(accepted)) {
                view.problem = Some(problem);
                let kept = is_state(release.outcome()).then_some(id);
                let newer = view.releases.iter().rev().find(|it| it.state == Outcome::Succeeded.name());
                view.nearest = kept.map(|it| it.to_string()).or_else(|| newer.map(|it| it.release.clone()));
                return Ok(view);
            }
            view.releases.push(preview);
        }
        Ok(view)
    }

    /// A release whose work is still there, or goes on, with what a rollback of it would do.
    async fn not_undone(&self, id: &ReleaseId) -> Result<Option<(Box<Release>, RollbackPreviewView)>, RuntimeError> {
        let release = match self.release(id).await {
            Ok(release) => release,
            Err(RuntimeError::UnknownRelease(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if release.created().rehearsal || release.is_dry_run() || release.outcome() == Some(Outcome::RolledBack) {
            return Ok(None);
        }
        let preview = self.rollback_preview(id).await?;
        let is_nothing = preview.is_nothing() && release.outcome().is_some();
        Ok((!is_nothing).then_some((release, preview)))
    }

    /// Later releases of the same workflow whose work is still there, the newest first: on top of it, perhaps. None of a
    /// release inside of another one, which is rolled back with that.
    pub(crate) async fn newer(&self, id: &ReleaseId) -> Result<Vec<ReleaseId>, RuntimeError> {
        let mut newer = Vec::new();
        if self.release(id).await?.created().parent.is_some() {
            return Ok(newer);
        }
        let next = self.store().next_number(id.workflow())?;
        for number in (id.number() + 1..next).rev().take(RELEASES_BACK_MAX as usize) {
            let later = ReleaseId::new(id.workflow().clone(), number);
            match self.not_undone(&later).await {
                Ok(None) => {}
                // What nobody can read has to be taken for something.
                Ok(Some(_)) | Err(RuntimeError::Journal { .. } | RuntimeError::Store(_)) => newer.push(later),
                Err(error) => return Err(error),
            }
        }
        Ok(newer)
    }
}
