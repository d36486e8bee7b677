//! Files named by what is in them.
//!
//! **Invariant:** a file gets its name after its contents are on disk, so a name never stands for half a file.
//! **Invariant:** a file is replaced only by what its name says, and removed only if nobody asked for it to be kept
//! lately: who did may be about to write what names it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use windlass_model::digest::Digest;

use super::layout::{failed, sync_folder};
use crate::StoreError;

/// How many digests are remembered as durable: two megabytes' worth.
const KNOWN_MAX: usize = 1 << 16;

/// How long a blob is not removed after somebody asked for it to be kept.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// The blobs of a store.
#[derive(Debug)]
pub(super) struct Blobs {
    root: PathBuf,
    new: PathBuf,
    counter: AtomicU64,
    /// Folders whose own name is known to be durable, by their byte.
    folders: Mutex<HashSet<u8>>,
    /// Blobs known to be durable since this store was opened.
    known: Mutex<HashSet<Digest>>,
    /// When each was last asked to be kept since this store was opened. Held while one is removed.
    asked: Mutex<Asked>,
}

/// When blobs were last asked to be kept.
#[derive(Debug)]
struct Asked {
    at: HashMap<Digest, Instant>,
    /// From how many on those are forgotten that need not be known any more. Twice as many as were left the last time,
    /// so that looking costs little for each that is asked for.
    forget_from: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { at: HashMap::new(), forget_from: KNOWN_MAX }
    }
}

impl Blobs {
    pub(super) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let new = root.join("new");
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", &new, error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self {
            root,
            new,
            counter: AtomicU64::new(0),
            folders: Mutex::default(),
            known: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// Keeps bytes; returns when they and their name are on disk. Blocks.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        // First: from here on it is not removed, and if it just was, it is not known below.
        self.ask(digest);
        if held(&self.known).contains(&digest) {
            return Ok(digest);
        }
        let (folder, path) = self.place(&digest);
        self.ensure_folder(digest.as_bytes()[0], &folder)?;
        // Who wrote an existing file may have ended before its name was synced; syncing the folder below covers both.
        if !fs::read(&path).is_ok_and(|there| there == bytes) {
            self.write(&path, bytes)?;
        }
        sync_folder(&folder)?;
        let mut known = held(&self.known);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(digest);
        Ok(digest)
    }

    fn ask(&self, digest: Digest) {
        let mut asked = held(&self.asked);
        if asked.at.len() >= asked.forget_from {
            asked.at.retain(|_, at| at.elapsed() < IDLE);
            asked.forget_from = (asked.at.len() * 2).max(KNOWN_MAX);
        }
        asked.at.insert(digest, Instant::now());
    }

    /// Removes a blob unless somebody asked for it to be kept within the last hour; tells whether it did.
    pub(super) fn remove_if_idle(&self, digest: &Digest) -> Result<bool, StoreError> {
        let asked = held(&self.asked);
        if asked.at.get(digest).is_some_and(|at| at.elapsed() < IDLE) {
            return Ok(false);
        }
        held(&self.known).remove(digest);
        let (_, path) = self.place(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &path, error)),
        }
    }

    /// Reads bytes and checks them. Blocks.
    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let (_, path) = self.place(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, error)),
        };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::damaged(format!("blob {digest}"), format!("its contents are those of {found}")));
        }
        Ok(Some(bytes))
    }

    /// Calls `each` with every digest there is a file for, and `stray` with every other file.
    pub(super) fn each(
        &self,
        mut each: impl FnMut(Digest) -> Result<(), StoreError>,
        mut stray: impl FnMut(&Path),
    ) -> Result<(), StoreError> {
        for folder in entries(&self.root)?.into_iter().filter(|it| *it != self.new) {
            if !folder.is_dir() {
                stray(&folder);
                continue;
            }
            for path in entries(&folder)? {
                let name = |it: &Path| it.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
                match format!("sha256:{}{}", name(&folder), name(&path)).parse() {
                    Ok(digest) if self.place(&digest).1 == path => each(digest)?,
                    Ok(_) | Err(_) => stray(&path),
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with every digest whose file was last written before a time.
    pub(super) fn each_older(&self, before: SystemTime, mut each: impl FnMut(Digest)) -> Result<(), StoreError> {
        self.each(
            |digest| {
                let (_, path) = self.place(&digest);
                match path.metadata().and_then(|it| it.modified()) {
                    Ok(at) if at < before => each(digest),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("read", &path, error)),
                }
                Ok(())
            },
            |_| {},
        )
    }

    fn place(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let hex = digest.hex();
        let folder = self.root.join(&hex[..2]);
        let path = folder.join(&hex[2..]);
        (folder, path)
    }

    fn ensure_folder(&self, byte: u8, folder: &Path) -> Result<(), StoreError> {
        let mut folders = held(&self.folders);
        if folders.contains(&byte) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|it| failed("create", folder, it))?;
        sync_folder(&self.root)?;
        folders.insert(byte);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        fs::create_dir_all(&self.new).map_err(|it| failed("create", &self.new, it))?;
        let new = self.new.join(self.counter.fetch_add(1, Relaxed).to_string());
        let written = File::create_new(&new)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            // It has no name yet that means anything; room is more likely to be needed.
            let _ = fs::remove_file(&new);
            failed("write", path, error)
        })
    }
}

/// Takes a lock. What is below these is right after every single change, also if a holder panicked.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(|it| failed("read", folder, it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(folder: &Path) -> Blobs {
        Blobs::open(folder.join("blobs")).expect("opened")
    }

    #[test]
    fn a_damaged_blob_is_never_returned_and_is_mended_by_putting_it_again() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("blobs")).expect("created");
        let digest = blobs(folder.path()).put(b"some content").expect("put");
        let path = blobs(folder.path()).place(&digest).1;
        fs::write(&path, b"some c0ntent").expect("damaged");
        let error = blobs(folder.path()).get(&digest).expect_err("damaged").to_string();
        assert!(error.starts_with(&format!("blob {digest} is damaged: its contents are those of sha256:")), "{error}");
        assert_eq!(blobs(folder.path()).put(b"some content").expect("put"), digest);
        assert_eq!(blobs(folder.path()).get(&digest).expect("read").as_deref(), Some(&b"some content"[..]));
    }

    #[test]
    fn what_was_left_unnamed_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = folder.path().join("blobs/new");
        fs::create_dir_all(&new).expect("created");
        fs::write(new.join("0"), b"half a bl").expect("written");
        let blobs = blobs(folder.path());
        assert!(!new.join("0").exists());
        blobs.put(b"whole").expect("put");
        assert_eq!(fs::read_dir(&new).expect("read").count(), 0);
    }
}
