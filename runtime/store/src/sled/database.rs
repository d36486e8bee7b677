//! sled, opened the way this store needs it, and opened again after it failed.
//!
//! **Invariant:** what a reader is given is in the database as it was opened last; nobody keeps a handle
//! over a reopening.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::sled::{Batch, Db, IVec};

use super::watch::Watch;
use crate::StoreError;

/// What sled may keep of its pages in memory. Its own default, a gigabyte, is more than the whole
/// runtime should need; what is read again and again are the last pages of open journals.
const CACHE_BYTES: u64 = 128 << 20;

/// How long a lock of sled's is waited for: it goes when sled's last thread lets go of the file, a moment
/// after the database was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The database.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// Nothing while it cannot be opened.
    current: Arc<RwLock<Option<Db>>>,
    watch: Watch,
    failures_when_opened: u64,
    unsynced: AtomicBool,
}

impl Database {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let failures_when_opened = sync_failures();
        let current = Arc::new(RwLock::new(Some(open(&path)?)));
        let watch = Watch::start(Arc::clone(&current))?;
        Ok(Self { path, current, watch, failures_when_opened, unsynced: AtomicBool::new(false) })
    }

    /// Lends the database; opens it again first where an error has closed it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Db) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            if let Some(database) = &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
                return read(database);
            }
            self.ensure_open()?;
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.read(|database| database.get(key).map_err(|it| StoreError::database("read", it)))
    }

    /// Makes a batch durable. After an error some of it may be, and the database was opened anew. Only for the writer.
    pub(super) fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let committed = self.read(|database| {
            let _watched = self.watch.begin();
            database
                .apply_batch(batch)
                .and_then(|()| database.flush())
                .map(|_| ())
                .map_err(|it| StoreError::database("write", it))
        });
        if let Err(error) = &committed {
            tracing::error!(error = error as &dyn std::error::Error, "a write to the store failed");
            self.close();
            if let Err(error) = self.ensure_open() {
                tracing::error!(error = &error as &dyn std::error::Error, "the store could not be opened again");
            }
        }
        committed
    }

    fn close(&self) {
        if sync_failures() > self.failures_when_opened {
            self.unsynced.store(true, SeqCst);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn ensure_open(&self) -> Result<(), StoreError> {
        if self.unsynced.load(SeqCst) {
            return Err(StoreError::Unsynced);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.is_none() {
            *current = Some(open(&self.path)?);
        }
        Ok(())
    }
}

/// Makes an empty database; the caller syncs its files.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let database = open_sled(path)?;
    database.flush().map_err(|it| StoreError::database("create the database", it))?;
    Ok(())
}

/// Copies a database; the caller syncs the files of the copy. What was removed takes no room there.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |it| StoreError::database("compact the database", it);
    let (from, to) = (open(from)?, open_sled(to)?);
    let (mut batch, mut bytes) = (Batch::default(), 0);
    for pair in from.iter() {
        let (key, value) = pair.map_err(failed)?;
        bytes += key.len() + value.len();
        batch.insert(key, value);
        if bytes >= super::GROUP_BYTES_MAX {
            bytes = 0;
            to.apply_batch(std::mem::take(&mut batch)).map_err(failed)?;
        }
    }
    to.apply_batch(batch).map_err(failed)?;
    to.flush().map_err(failed)?;
    Ok(())
}

fn open(path: &Path) -> Result<Db, StoreError> {
    let database = open_sled(path)?;
    // What a process wrote and did not sync before it ended is still in the system's memory, and has
    // just been read. Whoever reads it from here may act on it, so it goes to the disk first.
    let log = File::open(path.join("db")).map_err(|it| StoreError::io("open the database's log", it))?;
    sync(&log)?;
    Ok(database)
}

pub(super) fn open_sled(path: &Path) -> Result<Db, StoreError> {
    // sled 0.34.7 has a `mode` and does not look at it. Its segment size stays the default: pages of
    // values up to `VALUE_IN_PLACE_BYTES_MAX` stay below the quarter of a segment from which sled puts a page into a file it does
    // not sync. No `flush_every_ms`: its thread would only repeat what every commit does; pages are
    // moved out of old segments as others are written.
    let config = ::sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let since = Instant::now();
    loop {
        // sled asserts a good deal about the files it finds. A store that cannot be read is not a reason to panic.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open())).map_err(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            StoreError::damaged("the database", said.unwrap_or("it panicked"))
        })?;
        match opened {
            Ok(database) => return Ok(database),
            Err(error) if is_locked(&error) && since.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(StoreError::database("open the database", error)),
        }
    }
}

/// Whether sled's own lock is taken; ours is not, so this passes.
fn is_locked(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(it) if it.to_string().contains("could not acquire lock"))
}

#[cfg(target_os = "linux")]
fn sync(log: &File) -> Result<(), StoreError> {
    match crate::durable_sync::sync_like_sled(log) {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::NotDurable),
        Err(error) => Err(StoreError::io("sync the database's log", error)),
    }
}

#[cfg(target_os = "linux")]
fn sync_failures() -> u64 {
    crate::durable_sync::failures()
}

/// Elsewhere sled calls `sync_all` by itself.
#[cfg(not(target_os = "linux"))]
fn sync(log: &File) -> Result<(), StoreError> {
    log.sync_all().map_err(|it| StoreError::io("sync the database's log", it))
}

#[cfg(not(target_os = "linux"))]
fn sync_failures() -> u64 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_flush_of_sled_arrives_at_our_sync() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = open(&folder.path().join("sled")).expect("opened");
        let before = crate::durable_sync::syncs();
        database.insert("key", "value").expect("inserted");
        database.flush().expect("flushed");
        assert!(crate::durable_sync::syncs() > before, "sled calls another sync_file_range");
    }

    #[test]
    fn after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_anew() {
        use crate::durable_sync::broken;
        use crate::{AppendError, DocumentKind, SledStore, Store};
        use futures::executor::block_on;
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().expect("a folder");
        let store = SledStore::open(folder.path()).expect("opened");
        let put = |store: &SledStore, text: &str| {
            block_on(store.put_document(DocumentKind::Tool, "helm", text.as_bytes().to_vec()))
        };
        put(&store, "one").expect("put");
        let log = folder.path().join("data/sled/db").metadata().expect("there");
        broken::INODE.store(log.ino(), SeqCst);
        let failed = put(&store, "two");
        assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
        broken::INODE.store(0, SeqCst);
        // The disk would take it now. What it did not take before is lost, though, and nobody would be told.
        assert!(matches!(put(&store, "three"), Err(StoreError::Unsynced)));
        assert!(matches!(store.document(DocumentKind::Tool, "helm"), Err(StoreError::Unsynced)));
        let release: windlass_model::name::ReleaseId = "payments-1".parse().expect("an id");
        let event = windlass_model::event::Event::CancelingStarted { rollback: true };
        let record = windlass_model::event::Record { at: windlass_model::time::Timestamp(1), events: vec![event] };
        let append = crate::Append { release, expected: 0, record, outline: None };
        let refused = block_on(store.append(append));
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Unsynced))), "{refused:?}");
        drop(store);

        let store = SledStore::open(folder.path()).expect("opened anew");
        let found = store.document(DocumentKind::Tool, "helm").expect("read").expect("there");
        assert!(found == b"one" || found == b"two", "{found:?}");
        put(&store, "four").expect("put");
    }

    #[test]
    fn a_damaged_database_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sled");
        create(&path).expect("created");
        let conf = path.join("conf");
        let length = conf.metadata().expect("there").len();
        // What a power cut makes of sled's `conf` when nobody syncs it.
        std::fs::write(&conf, vec![0; length as usize]).expect("written");
        assert!(matches!(open(&path), Err(StoreError::Database { .. } | StoreError::CorruptItem { .. })));
    }
}
