//! Whether the program at a tool's path is the declared one.
//!
//! A program is hashed when it is first used and again whenever the file at its path is another one or
//! was changed (device, inode, size, times of change). It is started by its path, since scripts and
//! programs that look for files beside them do not run from anywhere else; whoever can exchange the
//! file in the moment between the look at it and its start could also exchange what it loads.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::Digest as _;
use windlass_model::connection::Tool;
use windlass_model::digest::Digest;

#[derive(Clone, Default)]
pub(super) struct Programs {
    hashed: Arc<Mutex<HashMap<PathBuf, (Identity, Digest)>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Programs {
    /// The tool's program, its digest checked; a text that says why not.
    pub(super) async fn verified(&self, tool: &Tool) -> Result<PathBuf, String> {
        let (programs, path, declared) = (self.clone(), tool.path.clone(), tool.digest);
        tokio::task::spawn_blocking(move || programs.check(&path, declared))
            .await
            .map_err(|_| "its program could not be read".to_owned())?
    }

    fn check(&self, path: &Path, declared: Digest) -> Result<PathBuf, String> {
        let unreadable =
            |error: std::io::Error| format!("its program {} cannot be read: {}", path.display(), error.kind());
        let mut file = File::open(path).map_err(unreadable)?;
        let identity = Identity::of(&file.metadata().map_err(unreadable)?);
        let known = self.lock().get(path).filter(|(it, _)| *it == identity).map(|(_, digest)| *digest);
        let digest = match known {
            Some(digest) => digest,
            None => {
                let digest = hash(&mut file).map_err(unreadable)?;
                if Identity::of(&file.metadata().map_err(unreadable)?) != identity {
                    return Err(format!("its program {} is being changed", path.display()));
                }
                self.lock().insert(path.to_owned(), (identity, digest));
                digest
            }
        };
        if digest != declared {
            return Err(format!(
                "its program {} has the digest {digest}, not the declared {declared}; if it was updated on purpose, declare it again with `windlass tool add`",
                path.display()
            ));
        }
        if Identity::of(&std::fs::metadata(path).map_err(unreadable)?) != identity {
            return Err(format!("its program {} is being exchanged", path.display()));
        }
        Ok(path.to_owned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Identity, Digest)>> {
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(file: &mut File) -> std::io::Result<Digest> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_declared_program_is_verified() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tool");
        let programs = Programs::default();
        assert!(programs.check(&path, Digest::of(b"one")).is_err());
        std::fs::write(&path, b"one").expect("writable");
        assert_eq!(programs.check(&path, Digest::of(b"one")), Ok(path.clone()));
        assert_eq!(programs.check(&path, Digest::of(b"one")), Ok(path.clone()));
        assert!(programs.check(&path, Digest::of(b"two")).expect_err("another").contains("not the declared"));
        // Of the same length; an exchange by renaming changes the inode.
        let other = folder.path().join("other");
        std::fs::write(&other, b"two").expect("writable");
        std::fs::rename(&other, &path).expect("renamed");
        assert!(programs.check(&path, Digest::of(b"one")).is_err());
        assert_eq!(programs.check(&path, Digest::of(b"two")), Ok(path));
    }
}
