//! A service somewhere as it is kept in the store: what was made live there, the last of it being live.

use semver::Version;
use serde::{Deserialize, Serialize};
use windlass_model::actor::Actor;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::service::Place;
use windlass_model::time::Timestamp;

/// How many versions are remembered, so that a rollback leads back to the one before.
const KEPT_MAX: usize = 50;

/// What is kept of a service somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) place: Place,
    /// In the order of time.
    pub(super) history: Vec<Entry>,
    /// What was made live up to then does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) forgotten_at: Option<Timestamp>,
}

/// A version that was made live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) version: Version,
    pub(super) by: By,
    pub(super) at: Timestamp,
}

/// Who made it live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    /// A step of a release.
    Release { release: ReleaseId, step: StepName },
    /// Somebody, by other means.
    Person { actor: Actor, reason: String },
}

impl Record {
    pub(super) fn of(place: Place) -> Self {
        Self { place, history: Vec::new(), forgotten_at: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.history.is_empty() && self.forgotten_at.is_none()
    }

    pub(super) fn live(&self) -> Option<&Entry> {
        self.history.last()
    }

    /// A version was made live. Told again, nothing changes.
    pub(super) fn deliver(&mut self, entry: Entry) {
        let is_too_old = self.history.len() >= KEPT_MAX && self.history.first().is_some_and(|it| it.at > entry.at);
        let is_forgotten = self.forgotten_at.is_some_and(|it| entry.at <= it);
        if is_too_old || is_forgotten || self.history.iter().any(|it| it.by == entry.by && it.at == entry.at) {
            return;
        }
        let at = self.history.partition_point(|it| it.at <= entry.at);
        self.history.insert(at, entry);
        let from = self.history.len().saturating_sub(KEPT_MAX);
        self.history.drain(..from);
    }

    /// What this step delivered was rolled back: what was live before it is live again.
    pub(super) fn take_back(&mut self, by: &By) {
        self.history.retain(|it| it.by != *by);
    }

    pub(super) fn forget(&mut self, at: Timestamp) {
        self.history.clear();
        self.forgotten_at = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, release: &str, at: u64) -> Entry {
        let by = By::Release { release: release.parse().expect("an id"), step: "deploy".parse().expect("a name") };
        Entry { version: Version::new(version, 0, 0), by, at: Timestamp(at) }
    }

    fn record() -> Record {
        Record::of(Place { environment: "default".parse().expect("a name"), service: "api".parse().expect("a name") })
    }

    fn live(record: &Record) -> Option<u64> {
        record.live().map(|it| it.version.major)
    }

    #[test]
    fn the_last_one_is_live_and_a_rollback_leads_back() {
        let mut record = record();
        for (version, release, at) in [(1, "api-1", 10), (2, "api-2", 20), (2, "api-2", 20), (3, "api-3", 30)] {
            record.deliver(entry(version, release, at));
        }
        assert_eq!((record.history.len(), live(&record)), (3, Some(3)));
        // The one in the middle: what came after it stays.
        record.take_back(&entry(2, "api-2", 20).by);
        assert_eq!(live(&record), Some(3));
        record.take_back(&entry(3, "api-3", 30).by);
        assert_eq!(live(&record), Some(1));
        // One that is told late does not pass for the last.
        record.deliver(entry(9, "api-9", 5));
        assert_eq!(live(&record), Some(1));
        record.take_back(&entry(1, "api-1", 10).by);
        record.take_back(&entry(9, "api-9", 5).by);
        assert!(record.is_empty());
        // What was forgotten does not come back when its release is looked at again.
        record.deliver(entry(4, "api-4", 40));
        record.forget(Timestamp(50));
        record.deliver(entry(4, "api-4", 40));
        assert_eq!(live(&record), None);
        record.deliver(entry(5, "api-5", 60));
        assert_eq!(live(&record), Some(5));
    }

    #[test]
    fn only_so_many_are_remembered_and_what_was_forgotten_does_not_come_back() {
        let mut record = record();
        for at in 1..=60 {
            record.deliver(entry(at, &format!("api-{at}"), at));
        }
        assert_eq!((record.history.len(), live(&record)), (KEPT_MAX, Some(60)));
        let before = record.clone();
        record.deliver(entry(3, "api-3", 3));
        assert_eq!(record, before);
    }
}
