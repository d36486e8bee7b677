//! sled with its log of commits, opened the way this store needs them, and opened again after one of them failed.
//!
//! **Invariant:** what a reader is given is in the database as it was opened last; nobody keeps a handle
//! over a reopening.
//! **Invariant:** what a reader is given is durable: it is in the log before the database has it.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::sled::{Batch, Db, IVec};

use super::commit_log::{self, CommitLog, NotLogged};
use super::keys;
use super::lists::Change;
use super::watch::Watch;
use crate::StoreError;

/// What sled may keep of its pages in memory. Its own default, a gigabyte, is more than the whole
/// runtime should need; what is read again and again are the last pages of open journals.
const CACHE_BYTES: u64 = 128 << 20;

/// How long a lock of sled's is waited for: it goes when sled's last thread lets go of the file, a moment
/// after the database was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Where a database is: sled's folder, and the log of commits.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) sled: PathBuf,
    pub(super) log: PathBuf,
    pub(super) log_bytes_max: u64,
}

/// The database.
#[derive(Debug)]
pub(super) struct Database {
    paths: Paths,
    /// Nothing while it cannot be opened.
    current: Arc<RwLock<Option<Opened>>>,
    watch: Watch,
    failures_when_opened: u64,
    unsynced: AtomicBool,
}

/// sled and the log, both open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sled: Db,
    /// Taken by the writer only.
    log: Mutex<CommitLog>,
}

/// Why a commit failed, and so what has to happen.
enum Failed {
    /// Nothing was written, or all of it, and nothing is wrong with what is open.
    Unwritten(StoreError),
    /// What is open is not to be trusted any more.
    Broken(StoreError),
    /// Nor is what a reading would find on the disk.
    Unsynced(StoreError),
}

impl From<NotLogged> for Failed {
    fn from(it: NotLogged) -> Self {
        match it {
            NotLogged::Unwritten(error) => Self::Unwritten(error),
            NotLogged::Unsynced(error) => Self::Unsynced(error),
        }
    }
}

impl Database {
    pub(super) fn open(paths: Paths) -> Result<Self, StoreError> {
        let failures_when_opened = sync_failures();
        let current = Arc::new(RwLock::new(Some(Opened::open(&paths)?)));
        let watch = Watch::start(Arc::clone(&current))?;
        Ok(Self { paths, current, watch, failures_when_opened, unsynced: AtomicBool::new(false) })
    }

    /// Lends the database; opens it again first where an error has closed it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Db) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.lend(|opened| read(&opened.sled))
    }

    fn lend<T>(&self, lend: impl FnOnce(&Opened) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            if let Some(opened) = &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
                return lend(opened);
            }
            self.ensure_open()?;
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.read(|database| database.get(key).map_err(|it| StoreError::database("read", it)))
    }

    /// Makes changes durable, as one. After an error some of it may be, and the database was opened anew. Only for the
    /// writer.
    pub(super) fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let failed = match self.lend(|opened| Ok(opened.commit(changes, &self.watch)))? {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        let (error, is_broken) = match failed {
            Failed::Unwritten(error) => (error, false),
            Failed::Broken(error) => (error, true),
            Failed::Unsynced(error) => {
                self.unsynced.store(true, SeqCst);
                (error, true)
            }
        };
        tracing::error!(error = &error as &dyn std::error::Error, "a write to the store failed");
        if is_broken {
            self.close();
            if let Err(error) = self.ensure_open() {
                tracing::error!(error = &error as &dyn std::error::Error, "the store could not be opened again");
            }
        }
        Err(error)
    }

    /// Whether a commit of so many bytes is one write and one sync: sled need not be made durable for it.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_some_and(|it| it.log().has_room(bytes))
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
            *current = Some(Opened::open(&self.paths)?);
        }
        Ok(())
    }
}

/// Spares the next opening what the log holds. Where it fails, the log still holds it.
impl Drop for Database {
    fn drop(&mut self) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*current
            && let Err(Failed::Unwritten(error) | Failed::Broken(error) | Failed::Unsynced(error)) =
                opened.settle(&mut opened.log(), &self.watch)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store was closed with commits in its log");
        }
    }
}

impl Opened {
    /// Opens a database, and applies what the log holds.
    fn open(paths: &Paths) -> Result<Self, StoreError> {
        let sled = open(&paths.sled)?;
        let follows = |generation| is_followed_by(&sled, generation, paths);
        let log = CommitLog::open(paths.log.clone(), paths.log_bytes_max, follows, |changes| {
            apply(&sled, changes).map_err(|it| StoreError::database("apply the log of commits", it))
        })?;
        let opened = Self { sled, log: Mutex::new(log) };
        // The next generation begins here, and not behind what is there: of the last commit nobody knows whether it is on the
        // disk, or only in the memory of the system.
        opened.flush(&mut opened.log()).map_err(|it| match it {
            Failed::Unwritten(error) | Failed::Broken(error) | Failed::Unsynced(error) => error,
        })?;
        Ok(opened)
    }

    fn commit(&self, changes: Vec<Change>, watch: &Watch) -> Result<(), Failed> {
        let mut log = self.log();
        let bytes = CommitLog::room_for(&changes);
        if !log.takes(bytes) {
            // The log must not hold what is older than this and would be applied after it.
            self.settle(&mut log, watch)?;
            let _watched = watch.begin();
            self.sled.apply_batch(batch(changes)).map_err(broken)?;
            return self.begin_anew(&mut log);
        }
        if !log.has_room(bytes) {
            self.settle(&mut log, watch)?;
        }
        log.append(&changes)?;
        apply(&self.sled, changes).map_err(broken)
    }

    /// Makes durable in sled what the log holds, and begins the log anew.
    fn settle(&self, log: &mut CommitLog, watch: &Watch) -> Result<(), Failed> {
        let _watched = watch.begin();
        self.flush(log)
    }

    fn flush(&self, log: &mut CommitLog) -> Result<(), Failed> {
        if log.is_empty() { Ok(()) } else { self.begin_anew(log) }
    }

    /// Makes durable what sled has, and begins the next generation of the log.
    fn begin_anew(&self, log: &mut CommitLog) -> Result<(), Failed> {
        mark(&self.sled, log.next_generation()).map_err(Failed::Broken)?;
        Ok(log.begin_anew()?)
    }

    fn log(&self) -> std::sync::MutexGuard<'_, CommitLog> {
        // What is written is decided before it is, so a panic leaves nothing half done.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes into a database which generation of the log follows on what it holds, and makes that durable.
fn mark(sled: &Db, generation: u64) -> Result<(), StoreError> {
    let marked = sled.insert([keys::GENERATION], &generation.to_be_bytes());
    marked.and_then(|_| sled.flush()).map(drop).map_err(|it| StoreError::database("write", it))
}

/// Refuses a database that holds less than it held when this generation of the log began.
fn is_followed_by(sled: &Db, generation: u64, paths: &Paths) -> Result<(), StoreError> {
    let known = sled.get([keys::GENERATION]).map_err(|it| StoreError::database("read", it))?;
    let known = known.and_then(|it| Some(u64::from_be_bytes(*it.first_chunk()?))).unwrap_or_default();
    if known >= generation {
        return Ok(());
    }
    let what = format!(
        "it holds what was durable when its log of commits began for the {known}. time, and that has begun {generation} \
         times: a part of {} was lost. Restore a backup (`windlass restore`). To go on without what was lost, move {} \
         away; releases may then do again what they had done",
        paths.sled.join("db").display(),
        paths.log.display(),
    );
    Err(StoreError::damaged("the database", what))
}

/// Has a database say that it is followed by the first generation of a log.
pub(super) fn begin_anew(paths: &Paths) -> Result<(), StoreError> {
    mark(&open(&paths.sled)?, 1)
}

/// Has a database that was made without it say which generation of the log follows.
pub(super) fn adopt(paths: &Paths) -> Result<(), StoreError> {
    let sled = open(&paths.sled)?;
    mark(&sled, commit_log::generation(&paths.log)?)
}

fn broken(error: ::sled::Error) -> Failed {
    Failed::Broken(StoreError::database("write", error))
}

/// Applies changes that are in the log, one by one: for each batch sled would write at once, with its pool of threads and
/// a sync, and that half of them is on the disk does no harm.
fn apply(sled: &Db, changes: Vec<Change>) -> Result<(), ::sled::Error> {
    for (key, value) in in_order(changes) {
        match value {
            Some(value) => drop(sled.insert(key, value)?),
            None => drop(sled.remove(key)?),
        }
    }
    Ok(())
}

/// The order in which changes are applied, since a reader may see the first of them and not the last.
///
/// What is added comes first, from the lowest key on; what is removed goes from the highest key on, records before where
/// others of the journal are archived: a journal is never seen with a gap, nor gone from one place before it is in the
/// other. An entry of a list is added after what it is about, and goes before it: who finds one that fits nothing takes
/// it away.
fn in_order(changes: Vec<Change>) -> Vec<Change> {
    let (mut added, mut removed): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|(_, value)| value.is_some());
    added.sort_unstable_by(|(one, _), (other, _)| {
        (keys::is_derived(one), one.as_slice()).cmp(&(keys::is_derived(other), other.as_slice()))
    });
    let rank = |key: &[u8]| (!keys::is_derived(key), key.first() != Some(&keys::JOURNAL));
    removed.sort_unstable_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)).then_with(|| other.cmp(one)));
    added.append(&mut removed);
    added
}

fn batch(changes: Vec<Change>) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}

/// Makes an empty database; the caller syncs its files.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    mark(&open_sled(path)?, 1)
}

/// Copies a database, with what its log holds, into a new folder of sled's; the caller syncs the files of the copy. What
/// was removed takes no room there.
pub(super) fn copy(from: &Paths, to: &Path) -> Result<(), StoreError> {
    let failed = |it| StoreError::database("compact the database", it);
    let (from, to) = (Opened::open(from)?.sled, open_sled(to)?);
    // Not in batches: sled writes and syncs each of them at once. All of it is flushed at the end.
    for pair in from.iter() {
        let (key, value) = pair.map_err(failed)?;
        to.insert(key, value).map_err(failed)?;
    }
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

/// Removes snapshots that were begun and not finished, as a process leaves them that ends, or has no room, while sled opens.
/// sled 0.34.7 writes one as `snap.….generating`, renames it when it is durable, and takes one that it finds under the first
/// name for finished: half of one, and the database could never be opened again. The log it was made of is still there.
fn remove_unfinished(path: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn open_sled(path: &Path) -> Result<Db, StoreError> {
    remove_unfinished(path).map_err(|it| StoreError::io("remove an unfinished snapshot", it))?;
    // sled 0.34.7 has a `mode` and does not look at it. Its segment size stays the default: pages of
    // values up to `VALUE_IN_PLACE_BYTES_MAX` stay below the quarter of a segment from which sled puts a page into a file it does
    // not sync. No `flush_every_ms`: what sled has not written yet is in the log of commits; pages are
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
            Err(error @ ::sled::Error::Corruption { .. }) => {
                let what = format!("{}: {error}. Restore a backup (`windlass restore`)", path.display());
                return Err(StoreError::damaged("the database", what.replace(" backtrace ()", "")));
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

/// Makes durable what was written to a file of ours.
#[cfg(target_os = "linux")]
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    crate::durable_sync::sync_like_sled(file).map(drop)
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
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

#[cfg(not(target_os = "linux"))]
fn sync_failures() -> u64 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
