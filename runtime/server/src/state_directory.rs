//! Where an installation keeps everything.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A state directory: the store, compiled plugins, step logs, the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory {
    root: PathBuf,
}

impl StateDirectory {
    /// The state directory at `root`, made if it is not there, readable by its owner only.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        let root = fs::canonicalize(root)?;
        let it = Self { root };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(it.logs())?;
        Ok(it)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Compiled plugins; may be removed at any time.
    pub fn compiled(&self) -> PathBuf {
        self.root.join("compiled")
    }

    /// Where tools get their private folders; emptied when the store is opened.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// What steps logged.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The socket of the process that owns the store.
    pub fn socket(&self) -> PathBuf {
        self.root.join("socket")
    }

    /// The key that callback topics are signed with, made when it is first asked for.
    pub fn topic_key(&self) -> io::Result<[u8; 32]> {
        let path = self.root.join("topic-key");
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| io::Error::other("topic-key does not have 32 bytes")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                let temporary = self.root.join("topic-key.new");
                let _ = fs::remove_file(&temporary);
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
                io::Write::write_all(&mut file, &key)?;
                file.sync_all()?;
                fs::rename(&temporary, &path)?;
                fs::File::open(&self.root)?.sync_all()?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }
}
