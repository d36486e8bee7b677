//! The embedded store: journals in sled, large values in files named by their content.
//!
//! ```text
//! DIR/lock               held by the process that has the store open, with its id
//! DIR/data/format        windlass-store 3
//! DIR/data/commits       what was committed and may not be on the disk in sled yet
//! DIR/data/sled/         keys and values of at most 4 KiB
//! DIR/data/compact       if the database is to be compacted when it is opened next
//! DIR/data/sled.new/     only while a database is compacted
//! DIR/data/blobs/ab/…    larger ones, what `put_blob` was given, and segments of the archive
//! ```
//!
//! One writes at a time: a thread, or who asks, if it writes alone (`queue`). The thread takes what is waiting, up to
//! 64 KiB, writes it as one commit into a log of its own, syncs that once, hands it to sled, and then answers
//! everybody. Who hands in a large value writes its file, and syncs it, before the record that names it joins the
//! queue.
//!
//! sled 0.34 does not keep what it was given when the power goes; what it takes to make it do so is spread over
//! `durable_sync` (real syncs), [`VALUE_IN_PLACE_BYTES_MAX`] (pages stay out of sled's own, unsynced,
//! blob files), [`GROUP_BYTES_MAX`] (a commit stays within a segment or two) and `layout` (a new store
//! appears whole or not at all). The README has the measurements.
//!
//! What works on the whole store (backup, repair, archive, retention) reads in pieces, hands its changes to the
//! writer with the length that it saw a journal have, and goes one at a time.
//!
//! **Invariant:** only who has the writer locked writes to sled.
//! **Invariant:** a blob is durable before anything names it.
//! **Invariant:** after a failed write the database is closed and read anew from the disk before
//! anything else is written; after a failed sync nothing is written any more.

mod archive;
mod audit;
mod backup;
mod blobs;
mod commit_log;
mod compact;
mod database;
mod keys;
mod layout;
mod lists;
mod queue;
mod repair;
mod retention;
mod snapshot;
mod unnamed;
mod watch;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use windlass_model::digest::Digest;
use windlass_model::event::Record;
use windlass_model::name::{ReleaseId, WorkflowName};

use crate::format::{self, Place};
use crate::{Append, AppendError, CheckReport, DocumentKind, ListPosition, Outline, Store, StoreError};
pub use archive::Archived;
use archive::{LastSegment, Left};
pub(crate) use backup::EntryCounts;
pub use backup::restore;
use blobs::Blobs;
use compact::Considered;
use database::Database;
use layout::Layout;
use lists::{Listed, Place as ListPlace};
use queue::Queue;
pub use retention::{Expired, Removed};
use snapshot::Snapshots;
use writer::Write;

/// The largest value that goes into sled; larger ones become blobs.
pub const VALUE_IN_PLACE_BYTES_MAX: usize = 4096;

/// The most bytes that one group commits, but for its last append.
pub const GROUP_BYTES_MAX: usize = 64 << 10;

/// The most appends that one group commits.
pub const GROUP_APPENDS_MAX: usize = 1024;

/// A store in a folder, for one process at a time.
///
/// Dropping it waits for what is in the queue.
#[derive(Debug)]
pub struct SledStore {
    // The order matters: what is in the queue is written first.
    queue: Queue,
    shared: Arc<Shared>,
}

/// What the writer and the readers share.
#[derive(Debug)]
struct Shared {
    // The order matters: the lock goes last.
    database: Database,
    blobs: Arc<Blobs>,
    snapshots: Snapshots,
    last_segment: LastSegment,
    left: Left,
    considered: Considered,
    /// Held by whatever works on the whole store: a backup while blobs are removed would lack some.
    maintenance: Mutex<()>,
    layout: Layout,
}

impl SledStore {
    /// Opens the store in this folder, and creates it (and the folder) if there is none. Blocks.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_in(Layout::open(folder.as_ref())?)
    }

    /// Opens like [`SledStore::open`], with a log of commits that gets so large, in bytes, before sled is made durable
    /// (4 MiB otherwise): a small one is soon full, for tests of what happens then.
    pub fn open_with_log_of(folder: impl AsRef<Path>, log_bytes_max: u64) -> Result<Self, StoreError> {
        Self::open_in(Layout::open(folder.as_ref())?.with_log_of(log_bytes_max))
    }

    /// Opens like [`SledStore::open_with_log_of`], and takes every write for a quick one, however slow the disk is: who writes
    /// alone does it where it is asked for. For tests of that.
    pub fn open_for_one(folder: impl AsRef<Path>, log_bytes_max: u64) -> Result<Self, StoreError> {
        let store = Self::open_with_log_of(folder, log_bytes_max)?;
        store.queue.set_quick_max(Duration::MAX);
        Ok(store)
    }

    fn open_in(layout: Layout) -> Result<Self, StoreError> {
        compact::if_wished(&layout);
        let blobs = Arc::new(Blobs::open(layout.blobs())?);
        let database = Database::open(layout.database())?;
        let shared = Arc::new(Shared {
            database,
            blobs,
            snapshots: Snapshots::default(),
            last_segment: LastSegment::default(),
            left: Left::default(),
            considered: Considered::default(),
            maintenance: Mutex::default(),
            layout,
        });
        lists::ensure(&shared)?;
        let queue = Queue::start(Arc::clone(&shared))?;
        Ok(Self { queue, shared })
    }

    /// Writes the database of a store anew, without the room that what was archived or removed has left in its log,
    /// which opening it reads past. Nobody may have the store open. Blocks.
    ///
    /// Opening does this by itself when an archiving or a removal before has found that it is worth while.
    pub fn compact(folder: impl AsRef<Path>) -> Result<(), StoreError> {
        compact::now(&Layout::open(folder.as_ref())?)
    }

    /// Opens like [`SledStore::open`], but only if there is a store already.
    pub fn open_existing(folder: impl AsRef<Path>) -> Result<Option<Self>, StoreError> {
        if Layout::exists(folder.as_ref()) { Self::open(folder).map(Some) } else { Ok(None) }
    }

    /// The folder it is in.
    pub fn folder(&self) -> &Path {
        self.shared.layout.root()
    }

    /// Makes a value small enough for sled, by way of a blob where needed.
    async fn settle(&self, value: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        if value.len() <= VALUE_IN_PLACE_BYTES_MAX {
            return Ok(value);
        }
        Ok(format::reference(&self.keep(value).await?))
    }

    async fn keep(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        crate::accept_size(bytes.len())?;
        let blobs = Arc::clone(&self.shared.blobs);
        let keep = move || blobs.put(&bytes);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(keep).await.map_err(|_| StoreError::Closed)?,
            // Outside of a runtime nobody minds the blocking.
            Err(_) => keep(),
        }
    }
}

impl Shared {
    /// Waits until nothing else works on the whole store.
    fn maintain(&self) -> MutexGuard<'_, ()> {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a value to its end, by way of a blob where needed. `item` is for errors.
    fn resolve<T>(
        &self,
        value: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, format::Garbled>,
        damaged: impl Fn(String) -> StoreError,
    ) -> Result<T, StoreError> {
        let garbled = |it: format::Garbled| damaged(it.to_string());
        match format::open(value).map_err(garbled)? {
            Place::Here(bytes) => decode(bytes).map_err(garbled),
            Place::InBlob(digest) => match self.blobs.get(&digest) {
                Ok(Some(bytes)) => format::open_here(&bytes).and_then(decode).map_err(garbled),
                Ok(None) => Err(damaged(format!("its contents are missing: {digest}"))),
                Err(StoreError::CorruptItem { item, what }) => Err(damaged(format!("{item} is damaged: {what}"))),
                Err(error) => Err(error),
            },
        }
    }

    fn journal(&self, release: &ReleaseId) -> Result<Vec<Record>, StoreError> {
        let pairs = self.whole_journal(release, self.pairs(release)?)?;
        let mut records = Vec::with_capacity(pairs.len());
        for (expected, (key, value)) in (0..).zip(&pairs) {
            let damaged = |what| StoreError::Corrupt { release: release.clone(), sequence: expected, what };
            match keys::sequence(key) {
                Some(sequence) if sequence == expected => {}
                Some(sequence) => return Err(damaged(format!("it is missing, record {sequence} follows"))),
                None => return Err(damaged("a key that is none".to_owned())),
            }
            records.push(self.record(release, expected, value)?);
        }
        Ok(records)
    }

    /// An error if this release is in quarantine.
    fn refuse_quarantined(&self, release: &ReleaseId) -> Result<(), StoreError> {
        match self.database.get(&keys::reason(release))? {
            None => Ok(()),
            Some(value) => {
                Err(StoreError::Quarantined { release: release.clone(), what: self.reason(release, &value)? })
            }
        }
    }

    /// The text of a reason for a quarantine.
    fn reason(&self, release: &ReleaseId, value: &[u8]) -> Result<String, StoreError> {
        let damaged = |what| StoreError::damaged(format!("the reason for the quarantine of {release}"), what);
        self.resolve(value, |bytes| Ok(String::from_utf8_lossy(bytes).into_owned()), damaged)
    }

    fn record(&self, release: &ReleaseId, sequence: u64, value: &[u8]) -> Result<Record, StoreError> {
        self.resolve(value, format::decode_record, |what| StoreError::Corrupt {
            release: release.clone(),
            sequence,
            what,
        })
    }

    fn outline_of(&self, release: &ReleaseId, value: &[u8]) -> Result<Outline, StoreError> {
        let damaged = |what| StoreError::damaged(format!("the outline of {release}"), what);
        let outline = self.resolve(value, format::decode_outline, damaged)?;
        if outline.release != *release {
            return Err(damaged(format!("it is the one of {}", outline.release)));
        }
        Ok(outline)
    }

    fn document(&self, kind: DocumentKind, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let damaged = |what| StoreError::damaged(format!("the {kind} `{name}`"), what);
        self.resolve(value, |bytes| Ok(bytes.to_vec()), damaged)
    }
}

impl Store for SledStore {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<(), AppendError>> {
        async move {
            crate::accept_append(&append)?;
            let Append { release, expected, record, outline } = append;
            let value = self.settle(format::encode_record(&record)).await?;
            let outline = match outline {
                Some(outline) => {
                    let value = self.settle(format::encode_outline(&outline)).await?;
                    Some(Listed { value, place: ListPlace::of(&outline) })
                }
                None => None,
            };
            let bytes = value.len() + outline.as_ref().map_or(0, |it| it.value.len());
            self.queue.write(|reply| Write::Append { release, expected, value, outline, reply }, bytes).await?
        }
        .boxed()
    }

    fn journal(&self, release: &ReleaseId) -> Result<Vec<Record>, StoreError> {
        let read = self.shared.journal(release);
        // Only where it may be: the look costs as much as reading a small journal.
        if read.as_ref().map_or_else(StoreError::is_damage, Vec::is_empty) {
            self.shared.refuse_quarantined(release)?;
        }
        read
    }

    fn outlines(&self) -> Result<Vec<Outline>, StoreError> {
        let mut outlines = self.shared.database.read(|database| {
            let mut outlines = Vec::new();
            for pair in database.scan_prefix([keys::OUTLINE]) {
                let (key, value) = pair.map_err(|it| StoreError::database("read outlines", it))?;
                let release = keys::release(&key).ok_or_else(|| {
                    StoreError::damaged("the list of releases", format!("a key that is none: {}", hex::encode(&key)))
                })?;
                outlines.push(self.shared.outline_of(&release, &value)?);
            }
            Ok(outlines)
        })?;
        crate::sort_outlines(&mut outlines);
        Ok(outlines)
    }

    fn outlines_page(&self, after: Option<&ListPosition>, limit: usize) -> Result<Vec<Outline>, StoreError> {
        lists::page(&self.shared, after, limit)
    }

    fn open_releases(&self) -> Result<Vec<ReleaseId>, StoreError> {
        lists::open_releases(&self.shared)
    }

    fn outline(&self, release: &ReleaseId) -> Result<Option<Outline>, StoreError> {
        self.shared.database.get(&keys::outline(release))?.map(|it| self.shared.outline_of(release, &it)).transpose()
    }

    fn next_number(&self, workflow: &WorkflowName) -> Result<u64, StoreError> {
        match self.shared.database.get(&keys::number(workflow))? {
            None => Ok(1),
            Some(value) => match format::decode_number(&value) {
                Ok(highest) => Ok(highest.saturating_add(1)),
                Err(what) => Err(StoreError::damaged(format!("the highest number of {workflow}"), what)),
            },
        }
    }

    fn put_document(&self, kind: DocumentKind, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        let accepted = crate::accept_document(name, bytes.len());
        let key = keys::document(kind, name);
        async move {
            accepted?;
            let value = self.settle(format::encode_document(&bytes)).await?;
            let size = value.len();
            self.queue.write(|reply| Write::Put { key, value, reply }, size).await?
        }
        .boxed()
    }

    fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.shared.database.get(&keys::document(kind, name))?;
        value.map(|it| self.shared.document(kind, name, &it)).transpose()
    }

    fn documents(&self, kind: DocumentKind) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.shared.database.read(|database| {
            let prefix = keys::document(kind, "");
            let mut documents = Vec::new();
            for pair in database.scan_prefix(&prefix) {
                let (key, value) = pair.map_err(|it| StoreError::database("read documents", it))?;
                let name = std::str::from_utf8(&key[prefix.len()..])
                    .map_err(|it| StoreError::damaged(format!("the list of {kind} documents"), it))?;
                documents.push((name.to_owned(), self.shared.document(kind, name, &value)?));
            }
            Ok(documents)
        })
    }

    fn remove_document(&self, kind: DocumentKind, name: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let key = keys::document(kind, name);
        async move { self.queue.write(|reply| Write::Remove { key, reply }, 0).await? }.boxed()
    }

    fn put_blob(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, StoreError>> {
        self.keep(bytes).boxed()
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.blobs.get(digest)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        audit::check(&self.shared)
    }
}
