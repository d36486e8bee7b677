//! The plugin contract as this command knows it, for tools that read it from a folder.

use std::path::Path;

use anyhow::Context;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// The files of `wit/0.1` that a component is built from.
        pub(super) const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../../wit/0.1/", $name)))),+];
    };
}

files![
    "plugin.wit",
    "deps/cli.wit",
    "deps/clocks.wit",
    "deps/filesystem.wit",
    "deps/http.wit",
    "deps/io.wit",
    "deps/random.wit",
    "deps/sockets.wit",
];

/// The world that a plugin is.
pub(super) const WORLD: &str = "plugin";

/// Writes the contract into a folder.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    for (name, text) in FILES {
        let file = folder.join(name);
        let parent = file.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_the_contract_is_forgotten() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/0.1");
        let mut there = Vec::new();
        for sub in ["", "deps"] {
            for entry in std::fs::read_dir(folder.join(sub)).expect("the contract").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".wit") {
                    there.push(if sub.is_empty() { name } else { format!("{sub}/{name}") });
                }
            }
        }
        there.sort();
        let mut known: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(known, there);
    }
}
