//! Drills: schedules whose releases are rehearsals of a rollback on copies, and whether each was made in time.

use serde::{Deserialize, Serialize};
use windlass_model::schedule::Schedule;
use windlass_model::time::{Span, Timestamp};

use crate::clock::now;
use crate::rehearsal::Rehearsed;
use crate::runtime::{Runtime, RuntimeError};

/// How often a drill is made at least where its workflow does not say so (`rollback.rehearsed_within`): a quarter.
pub const DRILLED_WITHIN: Span = Span::seconds(92 * 24 * 60 * 60);

/// A drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    /// The schedule's name.
    pub name: String,
    /// The workflow; empty where its file is not good any more.
    pub workflow: String,
    /// How old the last good one may be.
    pub within: Span,
    /// The last rehearsal of the workflow, by a drill or by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Rehearsed>,
    /// When it comes next; none while it rests, and for one that does not come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Why it is overdue, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<String>,
}

impl Runtime {
    /// All drills, by name.
    pub async fn drills(&self) -> Result<Vec<DrillView>, RuntimeError> {
        let schedules: Vec<Schedule> = self.book().await?.records().map(|it| it.schedule.clone()).collect();
        let mut drills = Vec::new();
        for schedule in schedules.into_iter().filter(|it| it.workflow.copies.is_some()) {
            drills.push(self.drill(&schedule).await?);
        }
        Ok(drills)
    }

    async fn drill(&self, schedule: &Schedule) -> Result<DrillView, RuntimeError> {
        let mut view = DrillView {
            name: schedule.name.to_string(),
            workflow: String::new(),
            within: DRILLED_WITHIN,
            last: None,
            next: schedule.next_after(now()),
            overdue: None,
        };
        let nested = match self.plan_of(schedule) {
            Ok((nested, _)) => nested,
            Err(problem) => return Ok(DrillView { overdue: Some(problem), ..view }),
        };
        let kept = self.keep_nested(nested).await?;
        let workflow = kept.plan().workflow();
        let rules = workflow.rollback.as_ref();
        view.workflow = workflow.name.to_string();
        view.within = rules.and_then(|it| it.rehearsed_within).unwrap_or(DRILLED_WITHIN);
        view.last = self.rehearsals(&workflow.name)?.pop();
        view.overdue = self.not_rehearsed(kept.plan(), view.within, rules.and_then(|it| it.objective))?;
        Ok(view)
    }
}
