//! A tool's private folders: one to work in, one for its credential.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// Files that a plugin may hand over with one command. Their bytes are bounded by what a guest can
/// hand over at once.
const FILES_MAX: usize = 256;

/// Removed with everything in them when dropped.
pub(super) struct Folders {
    /// Working directory and home.
    pub(super) work: TempDir,
    /// Holds the kubeconfig, beside the working directory so that no listing of that shows it.
    credential: Option<TempDir>,
}

impl Folders {
    /// Where the kubeconfig is.
    pub(super) fn kubeconfig(&self) -> Option<PathBuf> {
        self.credential.as_ref().map(|it| it.path().join("config"))
    }
}

/// Makes the folders inside `parent` and writes the files; a text that says why not.
pub(super) async fn prepare(
    parent: Arc<Path>,
    files: Vec<(String, Vec<u8>)>,
    kubeconfig: Option<String>,
) -> Result<Folders, String> {
    tokio::task::spawn_blocking(move || write(&parent, &files, kubeconfig.as_deref()))
        .await
        .map_err(|_| "its folder could not be made".to_owned())?
}

fn write(parent: &Path, files: &[(String, Vec<u8>)], kubeconfig: Option<&str>) -> Result<Folders, String> {
    if files.len() > FILES_MAX {
        return Err(format!("{} files were given; {FILES_MAX} are the most", files.len()));
    }
    let failed = |error: std::io::Error| format!("its private folder could not be made: {}", error.kind());
    let work = private_folder(parent).map_err(failed)?;
    DirBuilder::new().mode(0o700).create(work.path().join(".tmp")).map_err(failed)?;
    for (path, content) in files {
        if !is_inside(path) {
            return Err(format!("file `{path}`: only relative paths without `..` are written"));
        }
        let path_here = work.path().join(path);
        if let Some(parent) = path_here.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        }
        write_file(&path_here, content).map_err(|error| format!("file `{path}`: {}", error.kind()))?;
    }
    let credential = match kubeconfig {
        Some(kubeconfig) => {
            let folder = private_folder(parent).map_err(failed)?;
            write_file(&folder.path().join("config"), kubeconfig.as_bytes()).map_err(failed)?;
            Some(folder)
        }
        None => None,
    };
    Ok(Folders { work, credential })
}

fn private_folder(parent: &Path) -> std::io::Result<TempDir> {
    let mode = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("windlass-tool-").permissions(mode).tempdir_in(parent)
}

fn write_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}

fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && !path.ends_with('/')
        && Path::new(path).components().all(|it| matches!(it, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_the_folder() {
        let good = [("values.yaml".to_owned(), b"a: 1".to_vec()), ("charts/app/Chart.yaml".to_owned(), Vec::new())];
        let parent = tempfile::tempdir().expect("a folder");
        let write = |files: &[_], kubeconfig| write(parent.path(), files, kubeconfig);
        let folders = write(&good, Some("apiVersion: v1")).expect("writable");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(std::fs::read(folders.work.path().join("values.yaml")).expect("there"), b"a: 1");
        assert_eq!(mode(folders.work.path()), 0o700);
        let kubeconfig = folders.kubeconfig().expect("one was given");
        assert_eq!(mode(&kubeconfig), 0o600);
        assert!(!kubeconfig.starts_with(folders.work.path()));
        drop(folders);
        assert!(!kubeconfig.exists());
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a/", "./../x", "a\0b"] {
            assert!(write(&[(bad.to_owned(), Vec::new())], None).is_err(), "{bad:?}");
        }
        let twice = [("a".to_owned(), Vec::new()), ("a".to_owned(), Vec::new())];
        assert!(write(&twice, None).is_err());
    }
}
