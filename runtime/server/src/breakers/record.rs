//! A breaker as it is kept in the store: one document each, written when it changes, not for each sample.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_engine::{Alarm, Breaker, BreakerPhase, Change, Opening, Sample, Snapshot};
use windlass_model::actor::Actor;
use windlass_model::alert::AlertMatch;
use windlass_model::breaker::{BreakerKey, BreakerSettings};
use windlass_model::time::Timestamp;

use super::Entry;

/// What is kept of a breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: BreakerKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<BreakerSettings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<SetBy>,
    phase: Phase,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Actor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default)]
    good: u32,
    samples: Vec<KeptSample>,
    changes: Vec<KeptChange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert: Option<AlertMatch>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<KeptAlarm>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptAlarm {
    fingerprint: String,
    starts_at: Timestamp,
    says: String,
    #[serde(default)]
    dismissed: bool,
}

/// Who gave a breaker its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SetBy {
    pub(super) actor: Actor,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Closed,
    Open,
    HalfOpen,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptSample {
    at: Timestamp,
    who: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptChange {
    at: Timestamp,
    to: Phase,
    why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Actor>,
}

impl From<BreakerPhase> for Phase {
    fn from(phase: BreakerPhase) -> Self {
        match phase {
            BreakerPhase::Closed => Self::Closed,
            BreakerPhase::Open => Self::Open,
            BreakerPhase::HalfOpen => Self::HalfOpen,
        }
    }
}

impl From<Phase> for BreakerPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Closed => Self::Closed,
            Phase::Open => Self::Open,
            Phase::HalfOpen => Self::HalfOpen,
        }
    }
}

impl Record {
    pub(super) fn of(key: &BreakerKey, entry: &mut Entry, now: Timestamp) -> Self {
        let settings = entry.breaker.settings();
        let seen = entry.breaker.snapshot(now);
        let Snapshot { phase, since, opening, until, good, samples, changes, alarms, .. } = seen;
        let (why, by) = opening.map_or((None, None), |it| (Some(it.why), it.by));
        let sample = |Sample { at, who, failure }| KeptSample { at, who, failure };
        let change = |Change { at, to, why, by }: Change| KeptChange { at, to: to.into(), why, by };
        let alarm =
            |Alarm { fingerprint, starts_at, says, dismissed }| KeptAlarm { fingerprint, starts_at, says, dismissed };
        Self {
            key: key.clone(),
            settings,
            set: entry.set.clone(),
            phase: phase.into(),
            since,
            why,
            by,
            until,
            good,
            samples: samples.into_iter().map(sample).collect(),
            changes: changes.into_iter().map(change).collect(),
            alert: entry.alert.clone(),
            alarms: alarms.into_iter().map(alarm).collect(),
        }
    }

    /// The breaker that was kept.
    pub(super) fn entry(self, now: Timestamp) -> Entry {
        let by = self.by;
        let sample = |KeptSample { at, who, failure }| Sample { at, who, failure };
        let change = |KeptChange { at, to, why, by }: KeptChange| Change { at, to: to.into(), why, by };
        let alarm =
            |KeptAlarm { fingerprint, starts_at, says, dismissed }| Alarm { fingerprint, starts_at, says, dismissed };
        let snapshot = Snapshot {
            phase: self.phase.into(),
            since: self.since,
            opening: self.why.map(|why| Opening { why, by }),
            until: self.until,
            good: self.good,
            probe: None,
            failures: 0,
            counted: 0,
            row: 0,
            samples: self.samples.into_iter().map(sample).collect(),
            changes: self.changes.into_iter().map(change).collect(),
            alarms: self.alarms.into_iter().map(alarm).collect(),
        };
        let breaker = Breaker::restore(self.settings, snapshot, now);
        let written = breaker.changed();
        Entry { breaker, set: self.set, alert: self.alert, waiting: BTreeMap::new(), written }
    }
}
