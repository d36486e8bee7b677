//! The rollback of a release, and the alerts that came, as people and programs see them.

use serde::{Deserialize, Serialize};
use windlass_engine::{Release, RollbackRun, TakenAlert};
use windlass_model::alert::{Alert, OnAlert};
use windlass_model::cause::RollbackCause;
use windlass_model::time::{Span, Timestamp};

/// The rollback of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackView {
    /// What caused it.
    pub trigger: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// How long it may take, where its workflow says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Span>,
    /// Whether it took, or takes, longer.
    pub is_overdue: bool,
    /// The steps whose effects are, or were, rolled back, in their order: each after all that ran after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Whether its review is open: nobody has said why it had to be.
    #[serde(default)]
    pub review_open: bool,
    /// Its cause, once somebody has given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseView>,
}

/// The cause of a rollback, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseView {
    /// The cause.
    #[serde(flatten)]
    pub cause: RollbackCause,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl RollbackView {
    pub(super) fn of(release: &Release, run: &RollbackRun) -> Self {
        let RollbackRun { trigger, began_at, ended_at, is_overdue } = run.clone();
        let objective = release.plan().workflow().rollback.as_ref().and_then(|it| it.objective);
        let steps = release.rollback_order().into_iter().map(|it| release.name_of(it).to_string()).collect();
        let review_open = release.has_open_review();
        let cause = release.cause().map(|it| CauseView { cause: it.cause.clone(), by: it.by.name.clone(), at: it.at });
        Self { trigger, began_at, ended_at, objective, is_overdue, steps, review_open, cause }
    }
}

/// An alert that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// When it came.
    pub at: Timestamp,
    /// What followed: `rollback`, or `after_confirmation`.
    pub then: OnAlert,
}

impl AlertView {
    pub(super) fn of(taken: &TakenAlert) -> Self {
        Self { alert: taken.alert.clone(), at: taken.at, then: taken.then }
    }
}
