//! The folder of a store: who may use it, whether it is one, and how a new one comes to be.
//!
//! A new store is made beside its place, synced to the last file, and then renamed: half of a store is never
//! taken for one. (sled does not sync its own `conf`; cut at the wrong moment, it reads as zeros and sled refuses it.)

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::commit_log;
use super::database::{self, Paths};
use crate::StoreError;

const FORMAT: &str = "windlass-store";

/// The version of a store's folder. 1 had no log of commits: who knows only that would not see what is in it. In 2 the
/// database did not say which generation of the log follows on what it holds.
const VERSION: u32 = 3;

/// A store's folder, held by this process.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    log_bytes_max: u64,
    /// Locked as long as it is open.
    _lock: File,
}

impl Layout {
    /// Takes a folder for this process, and makes it a store if it is none.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(root) {
            return Err(match root.metadata() {
                Ok(found) if !found.is_dir() => not_a_store(root, "a file is in its place"),
                _ => failed("create", root, source),
            });
        }
        let lock = lock(root)?;
        let layout = Self { root: root.to_owned(), log_bytes_max: commit_log::BYTES_MAX, _lock: lock };
        let new = root.join("data.new");
        if new.exists() {
            // Left by a process that ended while it made a store; nobody has used it.
            fs::remove_dir_all(&new).map_err(|it| failed("remove", &new, it))?;
        }
        if layout.data().exists() {
            let version = layout.format()?;
            layout.remove_other_database()?;
            layout.upgrade(version)?;
        } else {
            create(&new)?;
            fs::rename(&new, layout.data()).map_err(|it| failed("name", &layout.data(), it))?;
        }
        // Each time: whoever made the folders may have ended before it synced them.
        sync_folder(root)?;
        for above in fs::canonicalize(root).map_err(|it| failed("find", root, it))?.ancestors().skip(1) {
            match sync_folder(above) {
                Err(StoreError::Io { cause, .. }) if cannot_be_ours(&cause) => break,
                other => other?,
            }
        }
        Ok(layout)
    }

    /// Makes a store in a folder that has none, with what `fill` puts into it; `fill` is given the folder of an
    /// empty one. When it fails the folder is as it was.
    pub(super) fn create_filled<T>(
        root: &Path,
        fill: impl FnOnce(&Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let made: Vec<PathBuf> = root.ancestors().take_while(|it| !it.exists()).map(Path::to_owned).collect();
        let had_lock = root.join("lock").exists();
        if Self::exists(root) {
            return Err(StoreError::InTheWay { path: root.to_owned(), what: "there is a store in it".to_owned() });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|it| failed("create", root, it))?;
        let lock = lock(root)?;
        let (new, data) = (root.join("data.new"), root.join("data"));
        let make = || {
            if new.exists() {
                fs::remove_dir_all(&new).map_err(|it| failed("remove", &new, it))?;
            }
            create(&new)?;
            let filled = fill(&new)?;
            sync_tree(&new)?;
            // Somebody may have made one before the lock was taken; a name is never taken from what has it.
            if data.exists() {
                return Err(StoreError::InTheWay { path: root.to_owned(), what: "there is a store in it".to_owned() });
            }
            fs::rename(&new, &data).map_err(|it| failed("name", &data, it))?;
            Ok(filled)
        };
        let filled = make();
        if filled.is_err() {
            let mut left = fs::remove_dir_all(&new);
            if !had_lock {
                left = left.and(fs::remove_file(root.join("lock")));
            }
            for folder in &made {
                left = left.and(fs::remove_dir(folder));
            }
            if let Err(error) = left {
                tracing::warn!(%error, folder = %root.display(), "what is left of a store that was not made");
            }
        }
        let filled = filled?;
        drop(lock);
        // Opening it syncs the names, of the folders above too.
        drop(Self::open(root)?);
        Ok(filled)
    }

    /// Whether there is a store in this folder.
    pub(super) fn exists(root: &Path) -> bool {
        root.join("data").exists()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn database(&self) -> Paths {
        Paths { sled: self.sled(), log: self.data().join("commits"), log_bytes_max: self.log_bytes_max }
    }

    /// Has the log of commits get as large as that.
    pub(super) fn with_log_of(self, log_bytes_max: u64) -> Self {
        Self { log_bytes_max, ..self }
    }

    fn sled(&self) -> PathBuf {
        self.data().join("sled")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.data().join("blobs")
    }

    /// A file that says that the database is to be compacted when it is opened next.
    pub(super) fn wish_to_compact(&self) -> PathBuf {
        self.data().join("compact")
    }

    /// Where a compacted database is made, and then the one whose place it took.
    fn other_database(&self) -> PathBuf {
        self.data().join("sled.new")
    }

    /// Puts a database that `make` makes in the place of the one there is, as one step.
    pub(super) fn replace_database(
        &self,
        make: impl FnOnce(&Paths, &Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (old, new) = (self.sled(), self.other_database());
        self.remove_other_database()?;
        let made = make(&self.database(), &new).and_then(|()| sync_tree(&new)).and_then(|()| {
            rustix::fs::renameat_with(rustix::fs::CWD, &new, rustix::fs::CWD, &old, rustix::fs::RenameFlags::EXCHANGE)
                .map_err(|it| failed("name", &old, it.into()))?;
            // Before the old one goes, or a power cut could leave its name to nothing.
            sync_folder(&self.data())
        });
        // After an error it is half a new one, else the old one.
        let removed = self.remove_other_database();
        made.and(removed)
    }

    fn remove_other_database(&self) -> Result<(), StoreError> {
        let other = self.other_database();
        match fs::remove_dir_all(&other) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &other, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The version that the store says it has.
    fn format(&self) -> Result<u32, StoreError> {
        let path = self.data().join("format");
        let mut text = Vec::new();
        match File::open(&path).and_then(|it| it.take(100).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(not_a_store(&self.root, "`data` has no file `format`"));
            }
            Err(error) => return Err(failed("read", &path, error)),
        }
        let version = std::str::from_utf8(&text)
            .ok()
            .and_then(|it| it.strip_suffix('\n')?.strip_prefix(FORMAT)?.strip_prefix(' ')?.parse::<u32>().ok())
            .ok_or_else(|| not_a_store(&self.root, "`data/format` says something else"))?;
        if version > VERSION {
            return Err(StoreError::NewerFormat { path: self.root.clone(), found: version, known: VERSION });
        }
        Ok(version)
    }

    /// Makes a store of an older version one of this. A log that is missing is made: an operator may have moved a damaged
    /// one away.
    fn upgrade(&self, version: u32) -> Result<(), StoreError> {
        let log = self.database().log;
        if !log.exists() {
            if version > 1 {
                tracing::warn!(path = %log.display(), "the log of commits is missing; what it held is not in this store");
            }
            let new = log.with_extension("new");
            if new.exists() {
                fs::remove_file(&new).map_err(|it| failed("remove", &new, it))?;
            }
            commit_log::create(&new)?;
            // Before it has its name, or the database would be taken for one that has lost something.
            database::begin_anew(&self.database())?;
            fs::rename(&new, &log).map_err(|it| failed("name", &log, it))?;
            sync_folder(&self.data())?;
        }
        // The log first, and what the database says of it: a store of this version has both.
        if version < VERSION {
            database::adopt(&self.database())?;
            let (format, new) = (self.data().join("format"), self.data().join("format.new"));
            let text = format!("{FORMAT} {VERSION}\n");
            let write =
                || File::create(&new).and_then(|mut it| it.write_all(text.as_bytes()).and_then(|()| it.sync_all()));
            write().map_err(|it| failed("write", &new, it))?;
            fs::rename(&new, &format).map_err(|it| failed("name", &format, it))?;
            sync_folder(&self.data())?;
        }
        Ok(())
    }
}

/// Syncs a folder: the names in it.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|it| it.sync_all()).map_err(|it| failed("sync", path, it))
}

/// An error that names a path.
pub(super) fn failed(doing: &str, path: &Path, source: io::Error) -> StoreError {
    StoreError::io(format!("{doing} {}", path.display()), source)
}

/// Whether a folder above the store's is none that this process may have made.
fn cannot_be_ours(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::ReadOnlyFilesystem)
}

fn not_a_store(root: &Path, what: &str) -> StoreError {
    StoreError::NotAStore { path: root.to_owned(), what: what.to_owned() }
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|it| failed("open", &path, it))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            let mut text = String::new();
            // The owner's number is a kindness: whatever goes wrong here, it is in use.
            let owner = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::Locked { path: root.to_owned(), owner });
        }
        Err(error) => return Err(failed("lock", &path, error.into())),
    }
    // On a full disk this fails, and the store has to open all the same.
    let said = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    if let Err(error) = said {
        tracing::debug!(%error, "the lock does not say whose it is");
    }
    Ok(file)
}

fn create(new: &Path) -> Result<(), StoreError> {
    let folder = |path: &Path| DirBuilder::new().mode(0o700).create(path).map_err(|it| failed("create", path, it));
    folder(new)?;
    folder(&new.join("blobs"))?;
    let format = new.join("format");
    fs::write(&format, format!("{FORMAT} {VERSION}\n")).map_err(|it| failed("write", &format, it))?;
    database::create(&new.join("sled"))?;
    commit_log::create(&new.join("commits"))?;
    sync_tree(new)
}

fn sync_tree(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(|it| failed("read", path, it))? {
        let entry = entry.map_err(|it| failed("read", path, it))?.path();
        if entry.is_dir() {
            sync_tree(&entry)?;
        } else {
            File::open(&entry).and_then(|it| it.sync_all()).map_err(|it| failed("sync", &entry, it))?;
        }
    }
    sync_folder(path)
}
