//! A breaker as it is kept in the store: one document each, written when it changes, not for each sample.

use serde::{Deserialize, Serialize};
use windlass_engine::{Breaker, BreakerPhase, Change, Opening, Sample, Snapshot};
use windlass_model::actor::Actor;
use windlass_model::breaker::{BreakerKey, BreakerSettings};
use windlass_model::time::Timestamp;

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
    pub(super) fn of(key: &BreakerKey, breaker: &mut Breaker, set: Option<SetBy>, now: Timestamp) -> Self {
        let settings = breaker.settings();
        let Snapshot { phase, since, opening, until, good, samples, changes, .. } = breaker.snapshot(now);
        let (why, by) = opening.map_or((None, None), |it| (Some(it.why), it.by));
        let sample = |Sample { at, who, failure }| KeptSample { at, who, failure };
        let change = |Change { at, to, why, by }: Change| KeptChange { at, to: to.into(), why, by };
        Self {
            key: key.clone(),
            settings,
            set,
            phase: phase.into(),
            since,
            why,
            by,
            until,
            good,
            samples: samples.into_iter().map(sample).collect(),
            changes: changes.into_iter().map(change).collect(),
        }
    }

    /// The breaker that was kept.
    pub(super) fn breaker(self, now: Timestamp) -> (Breaker, Option<SetBy>) {
        let by = self.by;
        let sample = |KeptSample { at, who, failure }| Sample { at, who, failure };
        let change = |KeptChange { at, to, why, by }: KeptChange| Change { at, to: to.into(), why, by };
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
        };
        (Breaker::restore(self.settings, snapshot, now), self.set)
    }
}
