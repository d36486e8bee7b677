//! A service somewhere as people and programs see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_model::service::{Place, Promise};
use windlass_model::time::Timestamp;

use super::record::{By, Entry, Record};

/// A service somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Which, and where.
    #[serde(flatten)]
    pub place: Place,
    /// The version that is live.
    pub live: Option<String>,
    /// What was made live, the last one last.
    pub history: Vec<ServiceChange>,
    /// What open releases will deliver: the release, and the version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coming: Vec<(String, String)>,
}

/// A version that was made live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Which.
    pub version: String,
    /// When.
    pub at: Timestamp,
    /// The release that delivered it; else it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The release's step, or the person.
    pub by: String,
    /// Why, where a person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ServiceView {
    pub(super) fn of(place: &Place, record: Option<&Record>, promises: &BTreeMap<String, Promise>) -> Self {
        let history = record.map(|it| it.history.as_slice()).unwrap_or_default();
        let is_there = |release: &str, version: &str| {
            history.iter().any(|it| {
                let by_it = matches!(&it.by, By::Release { release: by, .. } if by.to_string() == release);
                by_it && it.version.to_string() == version
            })
        };
        let coming = promises.iter().flat_map(|(release, promise)| {
            let here = promise.deliveries.iter().filter(|it| it.delivery.place == *place);
            here.map(move |it| (release.clone(), it.delivery.version.to_string()))
        });
        Self {
            place: place.clone(),
            live: record.and_then(Record::live).map(|it| it.version.to_string()),
            coming: coming.filter(|(release, version)| !is_there(release, version)).collect(),
            history: history.iter().map(ServiceChange::of).collect(),
        }
    }
}

impl ServiceChange {
    fn of(Entry { version, by, at }: &Entry) -> Self {
        let (release, by, reason) = match by {
            By::Release { release, step } => (Some(release.to_string()), step.to_string(), None),
            By::Person { actor, reason } => (None, actor.to_string(), Some(reason.clone())),
        };
        Self { version: version.to_string(), at: *at, release, by, reason }
    }
}
