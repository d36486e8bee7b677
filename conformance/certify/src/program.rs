//! Programs that `conformance.yaml` names.

use std::os::unix::fs::PermissionsExt as _;
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
        return executable(std::path::absolute(&there).map_err(|error| error.to_string())?);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|it| it.join(word)).find(|it| it.is_file());
    let found = found.and_then(|it| std::path::absolute(it).ok());
    executable(found.ok_or_else(|| format!("`{word}` is not on the path"))?)
}

fn executable(file: PathBuf) -> Result<PathBuf, String> {
    let shown = file.display();
    match std::fs::metadata(&file) {
        Err(error) => Err(format!("{shown}: {error}")),
        Ok(it) if it.is_dir() => Err(format!("{shown} is a folder")),
        Ok(it) if it.permissions().mode() & 0o111 == 0 => Err(format!("{shown} is not executable: `chmod +x` it")),
        Ok(_) => Ok(file),
    }
}
