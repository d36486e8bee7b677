//! A schedule as it is kept: what it is, who made it so, and what became of its firings.
//!
//! **Invariant:** `covered` never goes back but when the clock did, so no instant is fired twice.
//! **Invariant:** `pending` is durable before the release that it names; that release carries `pending.salt`, so
//! whoever finds it pending can tell whether it was begun.

use serde::{Deserialize, Serialize};
use windlass_model::actor::Actor;
use windlass_model::name::ReleaseId;
use windlass_model::schedule::{Overlap, Schedule, show};
use windlass_model::time::Timestamp;

/// How many firings, and how many changes, are kept.
pub(crate) const KEPT_MAX: usize = 50;

/// How many firings can wait for the last release to end.
pub(crate) const QUEUE_MAX: usize = 100;

/// What is kept of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) schedule: Schedule,
    /// Who answers for its releases: they are started in this person's name.
    pub(crate) set_by: Actor,
    pub(crate) set_at: Timestamp,
    /// Firings up to this were looked at.
    pub(crate) covered: Timestamp,
    /// A release that is being begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Pending>,
    /// Firings that wait for the last release to end, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) queued: Vec<Asked>,
    /// The last firings.
    #[serde(default)]
    pub(crate) history: Vec<Firing>,
    /// The last changes of the schedule.
    #[serde(default)]
    pub(crate) changes: Vec<Change>,
    /// Who deleted it, and why: it is kept only to tell that. It is paused, too, so that who does not know of this
    /// fires nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<Deleted>,
}

/// Why a schedule is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    pub(crate) at: Timestamp,
    pub(crate) by: Actor,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// Why a release is to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The instant that the schedule names, or when somebody asked.
    pub(crate) due: Timestamp,
    /// Who asked, if it is not the time that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Actor>,
}

/// A release that is being begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) asked: Asked,
    pub(crate) release: ReleaseId,
    pub(crate) salt: [u8; 16],
}

/// What became of a firing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Firing {
    pub(crate) asked: Asked,
    /// When that became clear.
    pub(crate) at: Timestamp,
    pub(crate) outcome: Outcome,
}

/// How a firing ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// A release was started.
    Started { release: ReleaseId },
    /// No release was to be started.
    Skipped { reason: String },
    /// No release could be started.
    Failed { error: String },
    /// It, and what follows up to this, was passed over because it was too late.
    Missed { until: Timestamp },
}

/// A change of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    pub(crate) by: Actor,
    /// In a word or two.
    pub(crate) what: String,
}

impl Record {
    pub(crate) fn new(schedule: Schedule, by: Actor, now: Timestamp) -> Self {
        Self {
            schedule,
            set_by: by,
            set_at: now,
            covered: now,
            pending: None,
            queued: Vec::new(),
            history: Vec::new(),
            changes: Vec::new(),
            deleted: None,
        }
    }

    pub(crate) fn tell(&mut self, asked: Asked, at: Timestamp, outcome: Outcome) {
        push(&mut self.history, Firing { asked, at, outcome });
    }

    pub(crate) fn changed(&mut self, by: Actor, at: Timestamp, what: impl Into<String>) {
        push(&mut self.changes, Change { at, by, what: what.into() });
    }

    /// Whether a release was started for this instant; as far as is known.
    pub(crate) fn has_fired(&self, due: Timestamp) -> bool {
        let fired =
            |it: &Firing| it.asked.by.is_none() && it.asked.due == due && matches!(it.outcome, Outcome::Started { .. });
        self.history.iter().any(fired)
    }

    /// The releases that it started, the last first.
    pub(crate) fn releases(&self) -> impl Iterator<Item = &ReleaseId> {
        self.history.iter().rev().filter_map(|it| match &it.outcome {
            Outcome::Started { release } => Some(release),
            Outcome::Skipped { .. } | Outcome::Failed { .. } | Outcome::Missed { .. } => None,
        })
    }

    /// Lets a firing wait for the last release to end.
    pub(crate) fn queue(&mut self, asked: Asked, now: Timestamp) {
        let skip = |reason: String| Outcome::Skipped { reason };
        if self.schedule.overlap == Overlap::CancelRunning {
            for replaced in std::mem::take(&mut self.queued) {
                let reason = skip("a later one took its place before the last release had ended".to_owned());
                self.tell(replaced, now, reason);
            }
        } else if self.queued.len() >= QUEUE_MAX {
            let reason = format!("{QUEUE_MAX} wait for the last release to end already");
            return self.tell(asked, now, skip(reason));
        }
        self.queued.push(asked);
    }

    /// In whose name a release is started, and how that is known.
    pub(crate) fn requester(&self, asked: &Asked) -> Actor {
        let (schedule, set_by) = (&self.schedule, &self.set_by);
        match &asked.by {
            Some(by) => Actor {
                authenticated: format!("{}; by schedule `{}`, run by hand", by.authenticated, schedule.name),
                ..by.clone()
            },
            // Whoever set it is who asks for its releases: otherwise they could approve them themselves.
            None => Actor {
                authenticated: format!(
                    "schedule `{}` for {}, set by {} ({})",
                    schedule.name,
                    show(asked.due, schedule.times.zone()),
                    set_by.name,
                    set_by.authenticated
                ),
                ..set_by.clone()
            },
        }
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    list.push(item);
    list.drain(..list.len().saturating_sub(KEPT_MAX));
}
