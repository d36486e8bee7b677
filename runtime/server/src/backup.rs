//! An installation in a folder: everything that cannot be made anew.
//!
//! ```text
//! BACKUP/store/        the store, in its backup format: releases (open ones too), plugins, connections, approvals
//! BACKUP/topic-key     what callback addresses are signed with
//! ```
//!
//! Not in it: what steps logged, and compiled plugins. Secrets are not, for the store has only references to them.
//!
//! **Invariant:** a backup appears whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use windlass_engine::Release;
use windlass_model::event::{Event, Record};
use windlass_model::name::ReleaseId;
use windlass_store::{BackupReport, Derived, RepairReport, SledStore, verify_backup};

use crate::driver::outline;
use crate::runtime::{Runtime, RuntimeError};
use crate::state_directory::StateDirectory;

const STORE: &str = "store";
const TOPIC_KEY: &str = "topic-key";

impl Runtime {
    /// Writes everything to a new folder, while releases go on.
    pub async fn backup(&self, folder: PathBuf) -> Result<BackupReport, RuntimeError> {
        let store = self.disk()?;
        let key = self.state().topic_key().map_err(RuntimeError::State)?;
        let written = tokio::task::spawn_blocking(move || write(&store, &key, &folder));
        written.await.map_err(|error| RuntimeError::Sandbox(error.to_string()))?
    }

    /// Makes what is derived agree with the journals, and takes damaged ones out of use.
    pub async fn repair(&self) -> Result<RepairReport, RuntimeError> {
        let store = self.disk()?;
        let runtime = self.clone();
        let repaired = tokio::task::spawn_blocking(move || store.repair(|id, records| runtime.derive(id, records)));
        Ok(repaired.await.map_err(|error| RuntimeError::Sandbox(error.to_string()))??)
    }

    /// What lists show of a release, from its journal alone.
    fn derive(&self, id: &ReleaseId, records: &[Record]) -> Derived {
        let Some(Event::ReleaseCreated(created)) = records.first().and_then(|it| it.events.first()) else {
            return Derived::Impossible("it does not begin with the creation of a release".to_owned());
        };
        // A plan that is missing or damaged is a finding of its own, and may come back from a backup.
        let Ok(Some(plan)) = self.inner.plan(created.plan) else { return Derived::Unknown };
        match Release::replay(plan, records) {
            Ok(release) if release.id() == id => Derived::Outline(outline(&release)),
            Ok(release) => Derived::Impossible(format!("it is the journal of {}", release.id())),
            Err(error) => Derived::Impossible(error.to_string()),
        }
    }
}

fn write(store: &SledStore, key: &[u8], folder: &Path) -> Result<BackupReport, RuntimeError> {
    if folder.exists() {
        let error = io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", folder.display()));
        return Err(RuntimeError::Backup(error));
    }
    let parent = folder.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    let unfinished = tempfile::Builder::new().prefix(".windlass-backup-").permissions(private).tempdir_in(parent);
    let unfinished = unfinished.map_err(RuntimeError::Backup)?;
    let report = store.backup(unfinished.path().join(STORE))?;
    finish(unfinished, key, folder, parent).map_err(RuntimeError::Backup)?;
    Ok(report)
}

fn finish(unfinished: tempfile::TempDir, key: &[u8], folder: &Path, parent: &Path) -> io::Result<()> {
    write_private(&unfinished.path().join(TOPIC_KEY), key)?;
    fs::File::open(unfinished.path())?.sync_all()?;
    fs::rename(unfinished.path(), folder)?;
    // It has another name now, and stays.
    let _ = unfinished.keep();
    fs::File::open(parent)?.sync_all()
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a backup to its end and checks it. Blocks.
pub fn verify(backup: &Path) -> Result<BackupReport, RuntimeError> {
    let report = verify_backup(backup.join(STORE))?;
    let key = fs::read(backup.join(TOPIC_KEY)).map_err(RuntimeError::Backup)?;
    if key.len() == 32 {
        Ok(report)
    } else {
        Err(RuntimeError::Backup(io::Error::other("topic-key does not have 32 bytes")))
    }
}

/// Makes a state directory of a backup, checking it on the way; refused where there is a store already. Blocks.
pub fn restore(backup: &Path, state: &Path) -> Result<BackupReport, RuntimeError> {
    verify(backup)?;
    if state.join(STORE).exists() || state.join(TOPIC_KEY).exists() {
        let text = format!("{} holds an installation already; name another --state", state.display());
        return Err(RuntimeError::Backup(io::Error::new(io::ErrorKind::AlreadyExists, text)));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(RuntimeError::Backup)?;
    let state = StateDirectory::open(state).map_err(RuntimeError::State)?;
    let key = fs::read(backup.join(TOPIC_KEY)).map_err(RuntimeError::Backup)?;
    let report = windlass_store::restore(backup.join(STORE), state.store()).map_err(RuntimeError::Store)?;
    write_private(&state.root().join(TOPIC_KEY), &key).map_err(RuntimeError::Backup)?;
    Ok(report)
}
