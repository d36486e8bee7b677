//! Compiled code on disk.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use windlass_sandbox::{Sandbox, SandboxError, SandboxOptions, embed_manifest};

use crate::support::{Given, done, guest, request};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
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
    let kept = files(&cache);
    assert!(!kept.is_empty());
    works(&cache).await;
    for file in kept {
        let mut content = std::fs::read(&file).expect("readable");
        let half = content.len() / 2;
        content.truncate(half);
        std::fs::write(&file, content).expect("writable");
    }
    works(&cache).await;
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("ours");
    let options =
        SandboxOptions { cache_dir: Some(folder.path().to_owned()), instances_max: 1, ..SandboxOptions::default() };
    assert!(matches!(Sandbox::new(options), Err(SandboxError::Cache { .. })));
}
