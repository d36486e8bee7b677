//! What is remembered: the journals of releases, documents by name, and blobs by content.
//!
//! A release's journal is the truth about it; [`Store::append`] adds one [`Record`] at its end and
//! returns when that record survives a power cut. What else is kept beside a journal ([`Outline`])
//! is written in the same atomic step and can be rebuilt from it.
//!
//! **Invariant:** an append that was answered with `Ok` is durable; one that was answered with
//! [`AppendError::Conflict`] changed nothing; after [`AppendError::Store`] nobody knows, and the
//! caller reads the journal again.
//! **Invariant:** the number of a release is never used again.
//! **Invariant:** nothing here knows what an event means; the store never decides.
//! **Invariant:** what is on disk is described by [`format`](mod@format) alone; the model's types are free to change.
//!
//! Q: *Are futures of this crate lazy, and what if one is dropped?* Nothing is written before the
//! first poll. After it, dropping the future does not take the write back; it only loses the answer.
//!
//! Q: *What does a reader see?* All that is durable, and possibly a record that is being made
//! durable at this moment. Only the answer to an append says that it stays.
//!
//! Q: *Where do a release's plan and its components live?* As blobs ([`Store::put_blob`]), put
//! before the record that names them; [`Store::check`] reads them too.
//!
//! Q: *What does a finished release cost?* Its outline and a compressed record of it, once somebody calls
//! [`SledStore::archive`]; about a microsecond when the store is opened; nothing in lists that do not show it. Until then its
//! records stay in the database's log, and opening reads that.

mod backup;
mod check;
#[cfg(target_os = "linux")]
mod durable_sync;
mod error;
pub mod format;
pub mod measure;
pub mod memory;
pub mod sled;

use std::fmt;

use futures::future::BoxFuture;
use windlass_model::concurrency::Standing;
use windlass_model::digest::Digest;
use windlass_model::event::Record;
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;

pub use crate::backup::{BACKUP_VERSION, BackupReport, verify_backup};
pub use crate::check::{CheckReport, Derived, Finding, Quarantined, RepairReport};
pub use crate::error::{AppendError, StoreError};
pub use crate::memory::MemoryStore;
pub use crate::sled::{Archived, Expired, Removed, SledStore, restore};

/// The largest record, document or blob, in bytes as written.
pub const VALUE_BYTES_MAX: usize = 256 << 20;

/// The longest name of a document, in bytes.
pub const DOCUMENT_NAME_BYTES_MAX: usize = 256;

/// Remembers releases, documents and blobs.
///
/// The methods that return futures write and are safe to call from async code. The others read, may
/// block on the disk, and belong into `spawn_blocking` where that matters.
pub trait Store: Send + Sync + 'static {
    /// Adds one record to a release's journal if the journal holds as many records as expected; all
    /// of the append becomes durable, or nothing. Returns when it is.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<(), AppendError>>;

    /// Reads all records of a release, in order; none if there is no such release.
    fn journal(&self, release: &ReleaseId) -> Result<Vec<Record>, StoreError>;

    /// Reads the outlines of all releases; the one created last comes last.
    fn outlines(&self) -> Result<Vec<Outline>, StoreError>;

    /// Reads at most so many outlines, the one created last first; with a position, those that come after it in
    /// this order. Reads no more than it returns.
    fn outlines_page(&self, after: Option<&ListPosition>, limit: usize) -> Result<Vec<Outline>, StoreError> {
        let mut outlines = self.outlines()?;
        outlines.reverse();
        let follows = |it: &Outline| after.is_none_or(|after| ListPosition::of(it) < *after);
        Ok(outlines.into_iter().filter(follows).take(limit).collect())
    }

    /// Lists the releases with work left to do, as their outlines say, without reading them.
    fn open_releases(&self) -> Result<Vec<ReleaseId>, StoreError> {
        let mut releases: Vec<ReleaseId> =
            self.outlines()?.into_iter().filter(|it| it.open).map(|it| it.release).collect();
        releases.sort();
        Ok(releases)
    }

    /// Reads the outline of a release.
    fn outline(&self, release: &ReleaseId) -> Result<Option<Outline>, StoreError>;

    /// Tells the number for the workflow's next release: one more than the highest ever used.
    ///
    /// Two callers may be told the same; the `expected: 0` of the first append decides who has it.
    fn next_number(&self, workflow: &WorkflowName) -> Result<u64, StoreError>;

    /// Writes a document, in place of the one of the same kind and name if there is one.
    fn put_document(&self, kind: DocumentKind, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads a document.
    fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads all documents of a kind with their names, in the order of the names.
    fn documents(&self, kind: DocumentKind) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Removes a document; tells whether it was there.
    fn remove_document(&self, kind: DocumentKind, name: &str) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Keeps bytes by their content. Putting the same bytes again costs little.
    fn put_blob(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, StoreError>>;

    /// Reads the bytes of this digest; what comes back was checked against it.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads everything there is and lists what is wrong with it.
    fn check(&self) -> Result<CheckReport, StoreError>;
}

/// What one append adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The release whose journal grows.
    pub release: ReleaseId,
    /// How many records its journal holds now; 0 creates it.
    pub expected: u64,
    /// The new record.
    pub record: Record,
    /// The outline after this record; without one the last stays.
    pub outline: Option<Outline>,
}

/// A release at a glance: what lists show without reading journals.
///
/// Everything in it follows from the journal; what its texts say is up to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The release.
    pub release: ReleaseId,
    /// Its state in a word.
    pub state: String,
    /// When that state began.
    pub since: Timestamp,
    /// When the release was created.
    pub created_at: Timestamp,
    /// When its last record was made.
    pub updated_at: Timestamp,
    /// Who asked for it.
    pub requested_by: String,
    /// What is going on, in a line.
    pub headline: String,
    /// Whether there is work left to do.
    pub open: bool,
    /// For an open release in which nothing is going on: what it waits for. None where something may be going on.
    pub rest: Option<Rest>,
    /// Whether, while it is open, it may need or deliver versions of services.
    pub promises: bool,
    /// Whether it was rolled back, and nobody has said why it had to be.
    pub review: bool,
    /// For an open release: how it stands in its queues. None for one that began at once, belongs to no group and
    /// counts for the tenant of those who name none.
    pub standing: Option<Box<Standing>>,
    /// Whether it is a rehearsal, on copies.
    pub rehearsal: bool,
    /// Whether it is a dry run.
    pub dry_run: bool,
}

/// What ends the wait of a release in which nothing is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// This time, or an input before.
    Until(Timestamp),
    /// An input.
    ForInput,
    /// A circuit breaker or a service, which know nothing of it after a restart; this time, or an input before.
    ForBreaker(Option<Timestamp>),
}

impl Rest {
    /// When it ends by itself, if it does.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::Until(at) => Some(at),
            Self::ForInput => None,
            Self::ForBreaker(until) => until,
        }
    }
}

/// A place in the list of releases, which is in the order of their creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// When the release there was created.
    pub created_at: Timestamp,
    /// The release.
    pub release: ReleaseId,
}

impl ListPosition {
    /// The place of a release.
    pub fn of(outline: &Outline) -> Self {
        Self { created_at: outline.created_at, release: outline.release.clone() }
    }
}

/// What a document is about. Each kind has names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// An installed plugin.
    Plugin,
    /// A connection.
    Connection,
    /// A native tool.
    Tool,
    /// A group of people.
    Group,
    /// A schedule, with what became of its firings.
    Schedule,
    /// A circuit breaker: its settings, and where it stands.
    Breaker,
    /// What became of the rehearsals of a workflow.
    Rehearsals,
    /// Which versions of a service are and were live somewhere.
    Service,
    /// How many releases may run or wait.
    Limit,
    /// Who may send alerts, and how that is known.
    AlertSource,
    /// Which alerts concern a release.
    AlertWatch,
}

impl DocumentKind {
    /// Every kind with its name.
    pub const ALL: [(DocumentKind, &'static str); 11] = [
        (Self::Plugin, "plugin"),
        (Self::Connection, "connection"),
        (Self::Tool, "tool"),
        (Self::Group, "group"),
        (Self::Schedule, "schedule"),
        (Self::Breaker, "breaker"),
        (Self::Rehearsals, "rehearsals"),
        (Self::Service, "service"),
        (Self::Limit, "limit"),
        (Self::AlertSource, "alert source"),
        (Self::AlertWatch, "alert watch"),
    ];

    /// Its name on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Connection => "connection",
            Self::Tool => "tool",
            Self::Group => "group",
            Self::Schedule => "schedule",
            Self::Breaker => "breaker",
            Self::Rehearsals => "rehearsals",
            Self::Service => "service",
            Self::Limit => "limit",
            Self::AlertSource => "alert source",
            Self::AlertWatch => "alert watch",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Refuses an append that no journal can hold.
fn accept_append(append: &Append) -> Result<(), StoreError> {
    let refuse = |what: &str| Err(StoreError::Refused { what: format!("{what} (release {})", append.release) });
    if append.record.events.is_empty() {
        return refuse("a record without events");
    }
    if append.outline.as_ref().is_some_and(|it| it.release != append.release) {
        return refuse("an outline of another release");
    }
    if !append.record.events.iter().all(format::is_shallow) {
        return refuse("a JSON value that is nested too deeply");
    }
    Ok(())
}

/// Refuses a name that no document can have.
fn accept_document(name: &str, bytes: usize) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > DOCUMENT_NAME_BYTES_MAX {
        return Err(StoreError::Refused {
            what: format!("a document name has 1 to {DOCUMENT_NAME_BYTES_MAX} bytes, this one {}", name.len()),
        });
    }
    accept_size(bytes)
}

/// Refuses what is too large to be read back with ease.
fn accept_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > VALUE_BYTES_MAX {
        return Err(StoreError::Refused { what: format!("{bytes} bytes; {VALUE_BYTES_MAX} can be kept in one piece") });
    }
    Ok(())
}

/// Sorts outlines as [`Store::outlines`] promises.
fn sort_outlines(outlines: &mut [Outline]) {
    outlines.sort_by(|a, b| (a.created_at, &a.release).cmp(&(b.created_at, &b.release)));
}
