//! Programs that `conformance.yaml` names.

use std::path::{Path, PathBuf};

/// Stands for the running `windlass` program in a command.
pub(crate) const OURS: &str = "windlass";

/// Where a program is: what has a `/` in it lies below the file's folder, anything else is on the path.
pub(crate) fn find(word: &str, folder: &Path, ours: Option<&Path>) -> Result<PathBuf, String> {
    if let (OURS, Some(ours)) = (word, ours) {
        return Ok(ours.to_owned());
    }
    if word.contains('/') {
        let there = folder.join(word);
        return std::path::absolute(&there)
            .ok()
            .filter(|it| it.is_file())
            .ok_or_else(|| format!("{} is not there", there.display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|it| it.join(word)).find(|it| it.is_file());
    let found = found.and_then(|it| std::path::absolute(it).ok());
    found.ok_or_else(|| format!("`{word}` is not on the path"))
}
