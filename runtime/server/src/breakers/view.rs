//! A breaker as people and programs see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_engine::{Change, Sample};
use windlass_model::breaker::{BreakerKey, Written};
use windlass_model::time::Timestamp;

use super::Entry;

/// A breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// What it stands in front of: `connection:http/api`, `workflow:payments`, `service:payments/production` …
    pub key: String,
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who opened it; none when it opened by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it lets a probe through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who is let through now, to see whether it works again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Probes in a row that ended well.
    pub good_probes: u32,
    /// When it opens and closes by itself; none when only people do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Written>,
    /// The same in words.
    pub rule: String,
    /// Who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<Timestamp>,
    /// Failures within the window.
    pub failures: u64,
    /// Samples within the window.
    pub counted: u64,
    /// Failures in a row.
    pub in_a_row: u32,
    /// Releases that wait for it, as far as the process that answers drives releases.
    pub waiting: Vec<String>,
    /// What was seen last, the last one last.
    pub samples: Vec<BreakerSample>,
    /// What it did, the last change last.
    pub history: Vec<BreakerChange>,
    /// The labels of alerts that keep it open while they fire.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alert: BTreeMap<String, String>,
    /// Those that fire, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firing: Vec<FiringAlert>,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringAlert {
    /// The alert, in words.
    pub alert: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether somebody closed the breaker all the same.
    #[serde(default)]
    pub dismissed: bool,
}

/// The end of something that a breaker watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerSample {
    /// When.
    pub at: Timestamp,
    /// What: a release, or a step of one.
    pub who: String,
    /// Why it failed; none when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A breaker opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerChange {
    /// When.
    pub at: Timestamp,
    /// `closed`, `open` or `half-open`.
    pub to: String,
    /// Why.
    pub why: String,
    /// How it was told who did it, if it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<String>,
}

impl BreakerView {
    pub(super) fn of(key: &BreakerKey, entry: &mut Entry, now: Timestamp) -> Self {
        let seen = entry.breaker.snapshot(now);
        let settings = entry.breaker.settings();
        let set = entry.set.as_ref();
        let by_people = if entry.alert.is_some() { "people and alerts" } else { "people" };
        let sample = |Sample { at, who, failure }| BreakerSample { at, who, failure };
        let change = |Change { at, to, why, by }: Change| BreakerChange {
            at,
            to: to.name().to_owned(),
            why,
            authenticated: by.map(|it| it.authenticated),
        };
        Self {
            key: key.to_string(),
            state: seen.phase.name().to_owned(),
            since: seen.since,
            why: seen.opening.as_ref().map(|it| it.why.clone()),
            by: seen.opening.and_then(|it| it.by).map(|it| it.name),
            until: seen.until,
            probe: seen.probe.map(|it| it.who),
            good_probes: seen.good,
            settings: settings.map(Written::from),
            rule: settings.map_or_else(|| format!("{by_people} open and close it"), |it| it.to_string()),
            set_by: set.map(|it| it.actor.name.clone()),
            set_at: set.map(|it| it.at),
            failures: seen.failures,
            counted: seen.counted,
            in_a_row: seen.row,
            waiting: entry.waiting.keys().map(ToString::to_string).collect(),
            samples: seen.samples.into_iter().map(sample).collect(),
            history: seen.changes.into_iter().map(change).collect(),
            alert: entry.alert.as_ref().map(|it| it.labels.clone()).unwrap_or_default(),
            firing: seen
                .alarms
                .into_iter()
                .map(|it| FiringAlert { alert: it.says, since: it.starts_at, dismissed: it.dismissed })
                .collect(),
        }
    }
}
