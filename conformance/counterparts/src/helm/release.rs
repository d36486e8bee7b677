//! Releases and their revisions, as they are kept.

use super::workload::Live;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where a revision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Deployed,
    Superseded,
    Failed,
    Uninstalling,
    Uninstalled,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
}

impl Status {
    /// As helm writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Deployed => "deployed",
            Status::Superseded => "superseded",
            Status::Failed => "failed",
            Status::Uninstalling => "uninstalling",
            Status::Uninstalled => "uninstalled",
            Status::PendingInstall => "pending-install",
            Status::PendingUpgrade => "pending-upgrade",
            Status::PendingRollback => "pending-rollback",
        }
    }

    /// Whether an operation is, or was when it was killed, under way.
    pub(crate) fn is_pending(self) -> bool {
        matches!(self, Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback)
    }
}

/// What is kept of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChartMetadata {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) app_version: String,
    pub(crate) description: String,
}

impl ChartMetadata {
    /// `payments-1.2.3`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// A hook; the stand-in runs only those for tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) manifest: String,
    pub(crate) events: Vec<String>,
    pub(crate) started_at: String,
    pub(crate) completed_at: String,
    pub(crate) phase: String,
}

impl Hook {
    pub(crate) fn is_test(&self) -> bool {
        self.events.iter().any(|event| event == "test" || event == "test-success")
    }
}

/// One revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revision {
    pub(crate) revision: u64,
    pub(crate) status: Status,
    pub(crate) chart: ChartMetadata,
    /// The chart's own values.
    pub(crate) chart_values: Value,
    pub(crate) description: String,
    pub(crate) first_deployed: String,
    pub(crate) last_deployed: String,
    /// When it was uninstalled; empty when it was not.
    pub(crate) deleted: String,
    /// The values the user supplied, null when none.
    pub(crate) config: Value,
    pub(crate) manifest: String,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) notes: String,
    /// Those of the revision before it with those that were given.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// A release with its history, oldest revision first, and what is in the cluster of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) live: Live,
}

impl Release {
    pub(crate) fn last(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    pub(crate) fn deployed(&self) -> Option<&Revision> {
        self.revisions.iter().rev().find(|it| it.status == Status::Deployed)
    }

    pub(crate) fn revision_mut(&mut self, revision: u64) -> Option<&mut Revision> {
        self.revisions.iter_mut().find(|it| it.revision == revision)
    }

    /// Marks a revision as the one that is deployed, and those which were as superseded.
    pub(crate) fn deploy(&mut self, revision: u64, description: String) {
        for it in &mut self.revisions {
            if it.revision == revision {
                it.status = Status::Deployed;
                it.description.clone_from(&description);
            } else if it.status == Status::Deployed {
                it.status = Status::Superseded;
            }
        }
    }

    /// Drops the oldest revisions above a limit, but never the one deployed. 0 is no limit.
    pub(crate) fn prune(&mut self, revisions_max: usize) {
        while revisions_max > 0 && self.revisions.len() > revisions_max {
            let last = self.revisions.len() - 1;
            let oldest = self.revisions[..last].iter().position(|it| it.status != Status::Deployed);
            match oldest {
                Some(oldest) => self.revisions.remove(oldest),
                None => break,
            };
        }
    }
}
