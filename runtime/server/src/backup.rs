//! An installation in a folder: everything that cannot be made anew.
//!
//! ```text
//! BACKUP/store/        the store, in its backup format: releases (open ones too), plugins, connections, approvals
//! BACKUP/topic-key     what callback addresses are signed with
//! BACKUP/seal          a digest over the store's and the key, so that neither changes unnoticed, and that they belong together
//! ```
//!
//! Not in it: what steps logged, and compiled plugins. Secrets are not, for the store has only references to them.
//!
//! **Invariant:** a backup appears whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_engine::Release;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, Record};
use windlass_model::name::ReleaseId;
use windlass_model::plan::Plan;
use windlass_store::{BackupReport, Derived, RepairReport, SledStore, Store as _, verify_backup};

use crate::driver::{self, outline};
use crate::runtime::{Runtime, RuntimeError};
use crate::state_directory::StateDirectory;

const STORE: &str = "store";
const TOPIC_KEY: &str = "topic-key";
const SEAL: &str = "seal";

impl Runtime {
    /// Writes everything to a new folder, while releases go on.
    pub async fn backup(&self, folder: PathBuf) -> Result<BackupReport, RuntimeError> {
        let store = self.disk()?;
        let key = self.state().topic_key().map_err(RuntimeError::State)?;
        if is_inside(&folder, self.state().root()).map_err(RuntimeError::Backup)? {
            let root = self.state().root().display();
            let text =
                format!("{} is inside of what it would be a backup of ({root}); name another folder", folder.display());
            return Err(RuntimeError::Backup(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
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

/// Whether a folder that is not there yet would be inside of one that is.
fn is_inside(folder: &Path, of: &Path) -> io::Result<bool> {
    let of = of.canonicalize()?;
    let folder = std::path::absolute(folder)?;
    // Whatever of it is there already tells where it really is.
    Ok(folder.ancestors().find_map(|it| it.canonicalize().ok()).is_some_and(|it| it.starts_with(of)))
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
    finish(unfinished, &report, key, folder, parent).map_err(RuntimeError::Backup)?;
    Ok(report)
}

fn finish(
    unfinished: tempfile::TempDir,
    report: &BackupReport,
    key: &[u8],
    folder: &Path,
    parent: &Path,
) -> io::Result<()> {
    write_private(&unfinished.path().join(TOPIC_KEY), key)?;
    write_private(&unfinished.path().join(SEAL), seal(report, key).as_bytes())?;
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

/// What is written over a store's backup and the key that goes with it.
fn seal(report: &BackupReport, key: &[u8]) -> String {
    let mut sealed = format!("{}\n", report.digest).into_bytes();
    sealed.extend_from_slice(key);
    format!("{}\n", Digest::of(&sealed))
}

/// Reads a backup to its end and checks it. Blocks.
pub fn verify(backup: &Path) -> Result<BackupReport, RuntimeError> {
    let report = verify_backup(backup.join(STORE))?;
    let read = |name: &str| {
        let path = backup.join(name);
        fs::read(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let key = read(TOPIC_KEY).map_err(RuntimeError::Backup)?;
    if key.len() != 32 {
        return Err(refused("topic-key does not have 32 bytes".to_owned()));
    }
    match read(SEAL) {
        Ok(found) if found == seal(&report, &key).as_bytes() => Ok(report),
        Ok(_) => Err(refused("topic-key or seal is not as it was written, or is that of another backup".to_owned())),
        // Made before there were seals.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(report),
        Err(error) => Err(RuntimeError::Backup(error)),
    }
}

/// What a restore aside has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What is in the backup.
    pub report: BackupReport,
    /// So many releases were replayed from their journals.
    pub replayed: u64,
}

/// Restores a backup into a temporary folder, which is gone when this returns; checks the store that this gives,
/// replays every journal, and writes the store out again, which must be the same backup. Blocks.
pub fn prove(backup: &Path) -> Result<Proof, RuntimeError> {
    let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    let aside = tempfile::Builder::new().prefix("windlass-verify-").permissions(private).tempdir();
    let aside = aside.map_err(RuntimeError::Backup)?;
    let state = aside.path().join("state");
    let report = restore(backup, &state)?;
    if !report.left_out.is_empty() {
        return Err(refused(format!("it is not whole; left out were {}", report.left_out.join(", "))));
    }
    let store = SledStore::open(state.join(STORE))?;
    let checked = store.check()?;
    if !checked.is_sound() {
        const SHOWN_MAX: usize = 5;
        let shown: Vec<String> = checked.findings.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
        let more = checked.findings.len().saturating_sub(SHOWN_MAX);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        return Err(refused(format!("what it restores to is damaged: {}{more}", shown.join("; "))));
    }
    let mut replayed = 0;
    for outline in store.outlines()? {
        let id = &outline.release;
        let release = replay(&store, id).map_err(|why| refused(format!("{id} cannot be replayed: {why}")))?;
        let follows = driver::outline(&release);
        if (&follows.state, follows.open) != (&outline.state, outline.open) {
            let text = format!("{id} is shown as `{}`, and its journal says `{}`", outline.state, follows.state);
            return Err(refused(text));
        }
        replayed += 1;
    }
    let again = store.backup(aside.path().join("again"))?;
    if again.digest != report.digest {
        let text = format!("restored and written again it is another one: {} became {}", report.digest, again.digest);
        return Err(refused(text));
    }
    drop(store);
    aside.close().map_err(RuntimeError::Backup)?;
    Ok(Proof { report, replayed })
}

fn refused(text: String) -> RuntimeError {
    RuntimeError::Backup(io::Error::other(text))
}

fn replay(store: &SledStore, id: &ReleaseId) -> Result<Release, String> {
    let records = store.journal(id).map_err(|error| error.to_string())?;
    let Some(Event::ReleaseCreated(created)) = records.first().and_then(|it| it.events.first()) else {
        return Err("its journal does not begin with its creation".to_owned());
    };
    let bytes = store.blob(&created.plan).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("its plan {} is missing", created.plan))?;
    let plan: Plan =
        serde_json::from_slice(&bytes).map_err(|error| format!("its plan {} cannot be read: {error}", created.plan))?;
    Release::replay(Arc::new(plan), &records).map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests {
    use windlass_model::actor::Actor;
    use windlass_model::event::Created;
    use windlass_model::time::Timestamp;
    use windlass_store::{Append, Outline};

    use super::*;

    /// A release whose plan is what these bytes are, in a backup in which every byte is as it was written.
    async fn backed_up(folder: &Path, plan: &[u8]) -> PathBuf {
        let store = SledStore::open(folder.join("store")).expect("opened");
        let release: ReleaseId = "payments-1".parse().expect("an id");
        let created = Created {
            release: release.clone(),
            plan: store.put_blob(plan.to_vec()).await.expect("put"),
            components: Vec::new(),
            parameters: serde_json::Value::Null,
            requested_by: Actor::windlass(),
            salt: [0; 16],
            parent: None,
            rehearsal: false,
            dry_run: false,
            recorded: false,
            claim: None,
        };
        let record = Record { at: Timestamp(1), events: vec![Event::ReleaseCreated(Box::new(created))] };
        let outline = Outline {
            release: release.clone(),
            state: "running".to_owned(),
            since: Timestamp(1),
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
            requested_by: "ana".to_owned(),
            headline: String::new(),
            open: true,
            rest: None,
            promises: false,
            standing: None,
            rehearsal: false,
            dry_run: false,
            review: false,
        };
        store.append(Append { release, expected: 0, record, outline: Some(outline) }).await.expect("appended");
        let backup = folder.join("kept");
        fs::create_dir(&backup).expect("a folder");
        store.backup(backup.join(STORE)).expect("backed up");
        write_private(&backup.join(TOPIC_KEY), &[7; 32]).expect("written");
        backup
    }

    #[tokio::test]
    async fn a_key_that_is_not_the_one_that_was_written_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let backup = backed_up(folder.path(), b"no plan").await;
        let report = verify(&backup).expect("made before there were seals");
        write_private(&backup.join(SEAL), seal(&report, &[7; 32]).as_bytes()).expect("written");
        verify(&backup).expect("it fits");
        fs::write(backup.join(TOPIC_KEY), [8; 32]).expect("written");
        let error = verify(&backup).expect_err("it was another one").to_string();
        assert!(error.contains("topic-key or seal is not as it was written"), "{error}");
        fs::remove_file(backup.join(TOPIC_KEY)).expect("removed");
        let error = verify(&backup).expect_err("it is gone").to_string();
        assert!(error.contains("topic-key"), "{error}");
    }

    #[test]
    fn what_is_inside_of_a_folder_is_told_whatever_it_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        fs::create_dir(&state).expect("a folder");
        std::os::unix::fs::symlink(&state, folder.path().join("link")).expect("a link");
        let is_inside = |it: &str| is_inside(&folder.path().join(it), &state).expect("readable");
        assert!(is_inside("state/backup") && is_inside("link/a/b") && is_inside("state"));
        assert!(!is_inside("backup") && !is_inside("state-2"));
    }

    #[tokio::test]
    async fn a_backup_that_is_sound_byte_for_byte_and_cannot_go_on_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let backup = backed_up(folder.path(), b"no plan").await;
        verify(&backup).expect("every byte is as it was written");
        let error = prove(&backup).expect_err("nobody can go on with it").to_string();
        assert!(
            error.contains("payments-1 cannot be replayed: its plan") && error.contains("cannot be read"),
            "{error}"
        );
    }
}
