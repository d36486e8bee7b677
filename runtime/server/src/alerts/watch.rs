//! Which releases an alert may concern, without reading them: each whose workflow names alerts has left word of it
//! before it began, with the labels resolved.
//!
//! **Invariant:** the word is durable before the release is; it is taken away only when no alert can concern the release
//! any more. What it says only narrows the choice: the release decides.

use serde::{Deserialize, Serialize};
use windlass_model::alert::{Alert, AlertMatch};
use windlass_model::event::Outcome;
use windlass_model::name::ReleaseId;
use windlass_model::plan::Plan;
use windlass_model::time::{Span, Timestamp};
use windlass_store::{DocumentKind, Outline, Store, StoreError};

use super::AlertError;
use crate::clock::now;
use crate::runtime::{Runtime, RuntimeError};

/// How long the word of a release that failed or was canceled is kept after its end: it may run again.
const MAY_RUN_AGAIN: Span = Span::seconds(30 * 24 * 60 * 60);

/// How long the word of a release is kept that is not there: it may be about to begin.
const MAY_BEGIN: Span = Span::seconds(60 * 60);

/// What a release left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Watch {
    release: ReleaseId,
    at: Timestamp,
    alerts: Vec<AlertMatch>,
}

/// How a release that left word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It goes on.
    Goes,
    /// It has succeeded, and alerts count for a while.
    Stabilises,
    /// No alert concerns it now, but one may later.
    Rests,
    /// No alert will ever concern it.
    Over,
}

impl Watch {
    fn standing(&self, outline: Option<&Outline>, now: Timestamp) -> Standing {
        let Some(outline) = outline else {
            return if now <= self.at + MAY_BEGIN { Standing::Rests } else { Standing::Over };
        };
        let outcome = Outcome::ALL.into_iter().find(|(_, name)| *name == outline.state).map(|(it, _)| it);
        let stable_after = self.alerts.iter().filter_map(|it| it.stabilisation).max();
        match outcome {
            None => Standing::Goes,
            Some(Outcome::Succeeded) => match stable_after {
                Some(after) if now <= outline.updated_at + after => Standing::Stabilises,
                _ => Standing::Over,
            },
            Some(Outcome::Failed | Outcome::Canceled) if now <= outline.updated_at + MAY_RUN_AGAIN => Standing::Rests,
            Some(Outcome::Failed | Outcome::Canceled | Outcome::RolledBack | Outcome::PartiallyRolledBack) => {
                Standing::Over
            }
        }
    }
}

/// Those that an alert may concern, and those whose word is not needed any more.
#[derive(Debug, Default)]
struct Found {
    concerned: Vec<ReleaseId>,
    over: Vec<ReleaseId>,
}

fn find(store: &dyn Store, alert: &Alert, now: Timestamp) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut ended = Vec::new();
    for (name, bytes) in store.documents(DocumentKind::AlertWatch)? {
        let watch: Watch = match serde_json::from_slice(&bytes) {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(release = %name, %error, "which alerts concern this release cannot be read");
                continue;
            }
        };
        let standing = watch.standing(store.outline(&watch.release)?.as_ref(), now);
        match standing {
            Standing::Over => found.over.push(watch.release),
            Standing::Rests => {}
            Standing::Goes | Standing::Stabilises => {
                if watch.alerts.iter().any(|it| it.concerns(alert)) {
                    let of_kind = if standing == Standing::Goes { &mut found.concerned } else { &mut ended };
                    of_kind.push(watch.release);
                }
            }
        }
    }
    for release in ended {
        if !is_followed(store, &release)? {
            found.concerned.push(release);
        }
    }
    Ok(found)
}

/// Whether another release of the workflow has begun since, whatever became of it. What an alert says then is said
/// of that one: rolling back those before it would undo what it was built on, or, where it was rolled back itself, undo
/// one more for the same reason.
fn is_followed(store: &dyn Store, release: &ReleaseId) -> Result<bool, StoreError> {
    let workflow = release.workflow();
    for number in release.number() + 1..store.next_number(workflow)? {
        let later = store.outline(&ReleaseId::new(workflow.clone(), number))?;
        let has_begun =
            |it: &Outline| !it.rehearsal && !it.dry_run && it.standing.as_ref().is_none_or(|it| it.admitted);
        if later.as_ref().is_some_and(has_begun) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Runtime {
    /// Leaves word of which alerts concern a release that is about to begin.
    pub(crate) async fn watch_for_alerts(
        &self,
        plan: &Plan,
        release: &ReleaseId,
        parameters: &serde_json::Value,
    ) -> Result<(), RuntimeError> {
        let Some(rules) = plan.workflow().rollback.as_ref().filter(|it| !it.alerts.is_empty()) else { return Ok(()) };
        let alerts: Result<_, _> = rules.alerts.iter().map(|it| it.resolve(parameters)).collect();
        let watch = Watch { release: release.clone(), at: now(), alerts: alerts.map_err(AlertError::from)? };
        let bytes = serde_json::to_vec(&watch).expect("it holds only what JSON can hold");
        Ok(self.store().put_document(DocumentKind::AlertWatch, &release.to_string(), bytes).await?)
    }

    /// The releases that an alert may concern.
    pub(super) async fn concerned(&self, alert: &Alert) -> Result<Vec<ReleaseId>, RuntimeError> {
        let (store, wanted, now) = (self.store().clone(), alert.clone(), now());
        let found = tokio::task::spawn_blocking(move || find(&*store, &wanted, now)).await;
        let found = found.map_err(|error| RuntimeError::Sandbox(error.to_string()))??;
        for release in found.over {
            self.store().remove_document(DocumentKind::AlertWatch, &release.to_string()).await?;
        }
        Ok(found.concerned)
    }
}
