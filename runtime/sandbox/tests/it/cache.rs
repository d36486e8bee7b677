//! Compiled code on disk.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use windlass_sandbox::{Sandbox, SandboxError, SandboxOptions, embed_manifest};

use crate::support::{Given, done, guest, request};

/// The files of compiled code, in order. Beside them wasmtime's cache writes its statistics and files
/// that it renames, when it likes; those have an extension, and compiled code has none.
fn compiled(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

async fn works(cache: &Path) {
    let options = SandboxOptions { cache_dir: Some(cache.to_owned()), instances_max: 4, ..SandboxOptions::default() };
    let sandbox = Sandbox::new(options).expect("a sandbox");
    let component = guest::hostile();
    let manifest = sandbox.describe(&component).await.expect("a manifest");
    let plugin = sandbox.prepare(&embed_manifest(&component, &manifest).expect("a component")).await.expect("a plugin");
    let report = sandbox.call(&plugin, request("noop", Given { input: json!(1), ..Given::default() })).await;
    assert_eq!(done(report), json!(1));
}

#[tokio::test]
async fn compiled_code_is_kept_privately_and_damage_is_survived() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("compiled");
    works(&cache).await;
    assert_eq!(std::fs::metadata(&cache).expect("made").permissions().mode() & 0o777, 0o700);
    let kept: Vec<_> = compiled(&cache).into_iter().map(|path| (identity(&path), path)).collect();
    assert!(!kept.is_empty());
    works(&cache).await;
    for (written, path) in &kept {
        assert_eq!(identity(path), *written, "compiled again: {}", path.display());
    }
    for (_, path) in &kept {
        let whole = std::fs::metadata(path).expect("a file").len();
        std::fs::File::options().write(true).open(path).and_then(|file| file.set_len(whole / 2)).expect("cut in half");
    }
    works(&cache).await;
    for (written, path) in &kept {
        assert_ne!(identity(path), *written, "still damaged: {}", path.display());
    }
    assert_eq!(compiled(&cache), kept.into_iter().map(|(_, path)| path).collect::<Vec<_>>());
}

/// Which file lies there: what is written anew is another one.
fn identity(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").ino()
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("ours");
    let options =
        SandboxOptions { cache_dir: Some(folder.path().to_owned()), instances_max: 1, ..SandboxOptions::default() };
    assert!(matches!(Sandbox::new(options), Err(SandboxError::Cache { .. })));
}
