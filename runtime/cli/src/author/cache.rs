//! What the author's commands keep for this user, whatever the plugin: compiled code, and languages' tools.

use std::path::PathBuf;

/// A folder in the user's cache; none where the user has no home.
pub(super) fn folder(name: &str) -> Option<PathBuf> {
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let cache = home("XDG_CACHE_HOME").or_else(|| Some(home("HOME")?.join(".cache")))?;
    Some(cache.join("windlass").join(name))
}
