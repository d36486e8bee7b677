//! What a check of a whole store finds, and what a repair does about it.

use std::fmt;

use windlass_model::digest::Digest;
use windlass_model::event::{Event, Intervention, Record};
use windlass_model::name::ReleaseId;

use crate::Outline;

/// What was read, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Releases with a journal.
    pub releases: u64,
    /// Those of them whose journals, or their first records, are archived.
    pub archived: u64,
    /// Records in all journals.
    pub records: u64,
    /// Documents of all kinds.
    pub documents: u64,
    /// Releases in quarantine.
    pub quarantined: u64,
    /// Blobs, those that hold large records and documents included.
    pub blobs: u64,
    /// Blobs that no record and no document names. Not a fault: a blob is written before what names
    /// it, and the power may have gone in between; components of plugins are named by documents
    /// that the store does not look into.
    pub unnamed_blobs: u64,
    /// What is wrong; empty in a sound store. In the order of the releases, the rest first.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what is wrong.
    pub(crate) fn find(&mut self, release: Option<&ReleaseId>, what: impl ToString) {
        self.findings.push(Finding { release: release.cloned(), what: what.to_string() });
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose journal or outline it is about, where it is about one.
    pub release: Option<ReleaseId>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{release}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The blobs that a journal names, with what each is.
pub(crate) fn named_blobs(records: &[Record]) -> Vec<(String, Digest)> {
    let mut named = Vec::new();
    for event in records.iter().flat_map(|it| &it.events) {
        if let Event::Intervened { intervention: Intervention::RetryWith { step, pin }, .. } = event {
            named.push((format!("the component that {step} goes on with"), pin.runs.digest()));
        }
        if let Event::ReleaseCreated(created) = event {
            named.push(("its plan".to_owned(), created.plan));
            named.extend(created.components.iter().map(|(name, digest)| (format!("the component of {name}"), *digest)));
        }
    }
    named
}

/// What a journal says about its release, as far as whoever knows the events can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derived {
    /// This follows from it.
    Outline(Outline),
    /// It cannot be told now; the outline stays as it is.
    Unknown,
    /// It is a journal that cannot have come about, and why.
    Impossible(String),
}

/// A release that was taken out of use because its journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The release.
    pub release: ReleaseId,
    /// What is wrong with it.
    pub what: String,
    /// How many records of it there are.
    pub records: u64,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Outlines that did not follow from their journals, and were written anew.
    pub outlines: u64,
    /// Workflows whose highest number was missing, damaged or too low.
    pub numbers: u64,
    /// Releases that were not in the lists as they should be.
    pub listed: u64,
    /// Releases that were put in quarantine now.
    pub quarantined: Vec<Quarantined>,
    /// What a check finds now.
    pub after: CheckReport,
}
