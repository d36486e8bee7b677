//! A schedule as people and programs see it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::check::Copies;
use windlass_model::digest::Digest;
use windlass_model::schedule::{Schedule, Times, show};
use windlass_model::time::Timestamp;

use super::record::{Firing, Outcome, Record};

/// How many of the next firings are shown.
const NEXT_SHOWN: usize = 3;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// `active`, `failing` (its last firing could start no release), `paused`, `over` or `deleted`.
    pub state: String,
    /// The expression, if it comes again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time, if it comes once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The zone in which times are meant and shown.
    pub zone: String,
    /// The workflow file's name.
    pub file: String,
    /// The digest of its text, which is kept with the schedule.
    pub workflow: String,
    /// What its releases begin with.
    pub parameters: Value,
    /// Which connections stand in for which, if its releases are rehearsals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// What happens when firings were missed.
    pub catch_up: String,
    /// What happens when the last release still runs.
    pub overlap: String,
    /// Nothing comes before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<String>,
    /// Nothing comes from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// The next firings; none while it is paused.
    pub next: Vec<FiringTime>,
    /// Firings that wait for a release to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<String>,
    /// What became of the last firings, the last one last.
    pub history: Vec<FiringView>,
    /// Who set it: its releases are started in this name.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
    /// Who changed what, the last change last.
    pub changes: Vec<ChangeView>,
    /// Whether the process that answers fires schedules.
    pub fires: bool,
    /// Who deleted it, when, and why: it is not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<ChangeView>,
}

/// A firing to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringTime {
    /// When.
    pub at: Timestamp,
    /// As the clock of the zone shows it, with offset and zone.
    pub local: String,
    /// Whether the clock skips the time that was meant, so that this is the first instant after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
}

/// What became of a firing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringView {
    /// When it was due, as the clock of the zone shows it.
    pub due: String,
    /// When it was made.
    pub at: Timestamp,
    /// `started`, `skipped`, `failed` or `missed`.
    pub outcome: String,
    /// The release, if one was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Why none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked, if it was not the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A change of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// How it was told who that is.
    pub authenticated: String,
    /// What.
    pub what: String,
}

impl FiringTime {
    /// The next firings of a schedule after a time.
    pub fn of(schedule: &Schedule, after: Timestamp, count: usize) -> Vec<Self> {
        let next = |after: Timestamp| schedule.next_after(after);
        Self::shown(&schedule.times, std::iter::successors(next(after), |it| next(*it)).take(count))
    }

    /// The next of some times after a time.
    pub fn of_times(times: &Times, after: Timestamp, count: usize) -> Vec<Self> {
        let next = |after: Timestamp| times.next_after(after);
        Self::shown(times, std::iter::successors(next(after), |it| next(*it)).take(count))
    }

    fn shown(times: &Times, all: impl Iterator<Item = Timestamp>) -> Vec<Self> {
        all.map(|at| Self { at, local: times.show(at), moved: times.is_moved(at) }).collect()
    }
}

impl ScheduleView {
    pub(super) fn of(record: &Record, fires: bool, now: Timestamp) -> Self {
        let schedule = &record.schedule;
        let zone = schedule.times.zone();
        let local = |at: Timestamp| show(at, zone);
        let next =
            if schedule.paused { Vec::new() } else { FiringTime::of(schedule, now.max(record.covered), NEXT_SHOWN) };
        let has_failed = matches!(record.history.last(), Some(Firing { outcome: Outcome::Failed { .. }, .. }));
        let state = match (schedule.paused || record.deleted.is_some(), has_failed, next.is_empty()) {
            (true, _, _) if record.deleted.is_some() => "deleted",
            (true, _, _) => "paused",
            (false, true, _) => "failing",
            (false, false, true) => "over",
            (false, false, false) => "active",
        };
        let (cron, at) = match &schedule.times {
            Times::Cron { expression, .. } => (Some(expression.to_string()), None),
            Times::Once(once) => (None, Some(once.to_string())),
        };
        Self {
            name: schedule.name.to_string(),
            state: state.to_owned(),
            cron,
            at,
            zone: zone.to_string(),
            file: schedule.workflow.file.clone(),
            workflow: Digest::of(schedule.workflow.text.as_bytes()).to_string(),
            parameters: schedule.parameters.clone(),
            copies: schedule.workflow.copies.clone(),
            catch_up: schedule.catch_up.to_string(),
            overlap: schedule.overlap.name().to_owned(),
            starts: schedule.starts.map(local),
            ends: schedule.ends.map(local),
            next,
            queued: record.queued.iter().map(|it| local(it.due)).collect(),
            history: record.history.iter().map(|it| FiringView::of(it, &local)).collect(),
            set_by: record.set_by.name.clone(),
            set_at: record.set_at,
            changes: record
                .changes
                .iter()
                .map(|it| ChangeView {
                    at: it.at,
                    by: it.by.name.clone(),
                    authenticated: it.by.authenticated.clone(),
                    what: it.what.clone(),
                })
                .collect(),
            fires,
            deleted: record.deleted.as_ref().map(|it| ChangeView {
                at: it.at,
                by: it.by.name.clone(),
                authenticated: it.by.authenticated.clone(),
                what: it.reason.clone(),
            }),
        }
    }
}

impl FiringView {
    fn of(firing: &Firing, local: &impl Fn(Timestamp) -> String) -> Self {
        let (outcome, release, reason) = match &firing.outcome {
            Outcome::Started { release } => ("started", Some(release.to_string()), None),
            Outcome::Skipped { reason } => ("skipped", None, Some(reason.clone())),
            Outcome::Failed { error } => ("failed", None, Some(error.clone())),
            Outcome::Missed { until } if *until == firing.asked.due => {
                ("missed", None, Some("nothing fired schedules then".to_owned()))
            }
            Outcome::Missed { until } => {
                ("missed", None, Some(format!("nothing fired schedules then, nor up to {}", local(*until))))
            }
        };
        Self {
            due: local(firing.asked.due),
            at: firing.at,
            outcome: outcome.to_owned(),
            release,
            reason,
            by: firing.asked.by.as_ref().map(|it| it.name.clone()),
        }
    }
}
