//! Makes a backup of a store that is in use, and a store of a backup.
//!
//! **Invariant:** a backup, and a restored store, gets its name when all of it is on the disk.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use windlass_model::name::ReleaseId;

use super::layout::{Layout, failed, sync_folder};
use super::writer::Write;
use super::{Shared, SledStore, VALUE_IN_PLACE_BYTES_MAX, audit, database, keys};
use crate::backup::{self, BackupReport, Counts, Frame};
use crate::{DOCUMENT_NAME_BYTES_MAX, StoreError};

/// The longest key that is taken from a backup.
const KEY_BYTES_MAX: usize = DOCUMENT_NAME_BYTES_MAX + 64;

impl SledStore {
    /// Writes everything in this store into a new folder, as it is at one moment during the call; appends go on
    /// meanwhile, and each that was acknowledged before the call is in it. Blocks.
    ///
    /// The folder appears when all of it is on the disk, or not at all.
    pub fn backup(&self, folder: impl AsRef<Path>) -> Result<BackupReport, StoreError> {
        let _alone = self.shared.maintain();
        let new = NewFolder::create(folder.as_ref())?;
        self.queue.write_blocking(|reply| Write::Snapshot { reply })?;
        let written = write(&self.shared, &new.path);
        self.shared.snapshots.end();
        let report = written?;
        new.finish()?;
        Ok(report)
    }
}

/// Makes a store in this folder of a backup, which is checked on the way. Blocks.
///
/// Refused where there is a store already. When it fails nothing is left behind.
pub fn restore(from: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<BackupReport, StoreError> {
    let from = from.as_ref();
    Layout::create_filled(folder.as_ref(), |new| fill(from, new))
}

fn write(shared: &Shared, folder: &Path) -> Result<BackupReport, StoreError> {
    let mut writer = backup::Writer::new(folder);
    let mut counted = EntryCounts::default();
    shared.snapshots.read(&shared.database, |key, value| {
        // A store made of it has a log of commits of its own.
        if keys::is_derived(key) || key == [keys::GENERATION] {
            return Ok(());
        }
        counted.count(key, value);
        writer.entry(key, value)
    })?;
    // What an entry names was put before the entry was written; blobs that came since do no harm.
    let (mut left_out, mut blobs) = (Vec::new(), 0);
    let strays = &mut Vec::new();
    shared.blobs.each(
        |digest| {
            match shared.blobs.get(&digest) {
                Ok(Some(bytes)) => {
                    blobs += 1;
                    writer.blob(&digest, &bytes)?;
                }
                Ok(None) => left_out.push(format!("blob {digest} went away")),
                Err(error @ StoreError::CorruptItem { .. }) => left_out.push(audit::describe(&error)),
                Err(error) => return Err(error),
            }
            Ok(())
        },
        |path| strays.push(format!("{} is no blob", path.display())),
    )?;
    left_out.append(strays);
    let report = writer.finish(Counts { blobs, ..counted.counts() }, left_out)?;
    sync_folder(folder)?;
    Ok(report)
}

fn fill(from: &Path, new: &Path) -> Result<BackupReport, StoreError> {
    let database = database::open_sled(&new.join("sled"))?;
    let restoring = |it| StoreError::database("restore the database", it);
    let blobs = new.join("blobs");
    let report = backup::read(from, |frame| {
        match frame {
            Frame::Entry(key, value) => {
                if key.is_empty() || key.len() > KEY_BYTES_MAX || value.len() > VALUE_IN_PLACE_BYTES_MAX {
                    return Err(StoreError::BadBackup {
                        path: from.to_owned(),
                        what: format!("it holds an entry of {} and {} bytes", key.len(), value.len()),
                    });
                }
                // Not in batches: sled writes and syncs each of them at once. All of it is flushed at the end.
                database.insert(key, value).map_err(restoring)?;
            }
            Frame::Blob(digest, bytes) => {
                // Whoever called syncs all files before the store gets its name.
                let hex = digest.hex();
                let folder = blobs.join(&hex[..2]);
                fs::create_dir_all(&folder).map_err(|it| failed("create", &folder, it))?;
                let path = folder.join(&hex[2..]);
                fs::write(&path, bytes).map_err(|it| failed("write", &path, it))?;
            }
        }
        Ok(())
    })?;
    database.flush().map_err(restoring)?;
    Ok(report)
}

/// Counts entries; those of a release come one after the other.
#[derive(Debug, Default)]
pub(crate) struct EntryCounts {
    counts: Counts,
    last: Option<ReleaseId>,
}

impl EntryCounts {
    pub(crate) fn count(&mut self, key: &[u8], value: &[u8]) {
        match key.first() {
            Some(&keys::JOURNAL) => {
                self.counts.records += 1;
                let release = keys::release(key);
                // One that does not begin here is archived, and counted there.
                if keys::sequence(key) == Some(0) && release != self.last {
                    self.counts.releases += 1;
                    self.last = release;
                }
            }
            Some(&keys::ARCHIVED) => {
                self.counts.releases += 1;
                if let Some(release) = keys::release(key) {
                    self.counts.records += super::archive::place(&release, value).map_or(0, |(_, count)| count);
                }
            }
            Some(&keys::QUARANTINE) => {
                self.counts.records += u64::from(keys::quarantined_of(key).is_some_and(|(_, what)| what == b'j'));
            }
            Some(&keys::DOCUMENT) => self.counts.documents += 1,
            Some(_) | None => {}
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

/// A folder that is filled beside its place, under a name that says so.
struct NewFolder {
    path: PathBuf,
    place: PathBuf,
    above: PathBuf,
    /// Locked, so that nobody else takes it for one that was left behind.
    _lock: File,
    is_finished: bool,
}

impl NewFolder {
    fn create(place: &Path) -> Result<Self, StoreError> {
        let in_the_way = |what: &str| StoreError::InTheWay { path: place.to_owned(), what: what.to_owned() };
        match fs::read_dir(place).map(|mut it| it.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(in_the_way("it is a folder with something in it")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(in_the_way("it is a file")),
            Err(error) => return Err(failed("read", place, error)),
        }
        let Some(name) = place.file_name().and_then(|it| it.to_str()) else {
            return Err(StoreError::Refused { what: format!("a backup under the name {}", place.display()) });
        };
        let above = match place.parent() {
            Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        fs::create_dir_all(&above).map_err(|it| failed("create", &above, it))?;
        let path = above.join(format!(".{name}.windlass-backup.new"));
        if let Ok(left) = File::open(&path) {
            if rustix::fs::flock(&left, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(in_the_way("another backup is being written there"));
            }
            fs::remove_dir_all(&path).map_err(|it| failed("remove", &path, it))?;
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(|it| failed("create", &path, it))?;
        let lock = File::open(&path).map_err(|it| failed("open", &path, it))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|it| failed("lock", &path, it.into()))?;
        Ok(Self { path, place: place.to_owned(), above, _lock: lock, is_finished: false })
    }

    /// Gives the folder, whose files are on the disk, its name.
    fn finish(mut self) -> Result<(), StoreError> {
        fs::rename(&self.path, &self.place).map_err(|it| failed("name", &self.place, it))?;
        self.is_finished = true;
        sync_folder(&self.above)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, folder = %self.path.display(), "half a backup could not be removed");
        }
    }
}
