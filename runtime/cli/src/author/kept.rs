//! Components that were built before from the same input.
//!
//! Tools that put a picture of an interpreter's memory into the component give other bytes each time: the picture holds
//! what the interpreter drew by chance. So that the same input has the same digest here, what was built is kept with the
//! digest of all that went into it, and a build that finds its input's digest makes nothing anew.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use windlass_model::digest::Digest;

use super::{Built, Language, contract};

/// Counts how components are made of their input; another way is another number.
const RECIPE: u32 = 1;

/// What lies beside a component.
#[derive(Serialize, Deserialize)]
struct Note {
    input: String,
    digest: String,
    plugin: String,
    version: String,
}

/// The digest of all that goes into a component: the contract, the tools' versions, the parts in their order.
pub(super) fn input_digest(tools: &[(String, String)], parts: &[(&str, &[u8])]) -> String {
    let mut all = Vec::new();
    let mut add = |bytes: &[u8]| {
        all.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        all.extend_from_slice(bytes);
    };
    add(&RECIPE.to_le_bytes());
    for (name, text) in contract::FILES {
        add(name.as_bytes());
        add(text.as_bytes());
    }
    for (name, version) in tools {
        add(name.as_bytes());
        add(version.as_bytes());
    }
    for (name, bytes) in parts {
        add(name.as_bytes());
        add(bytes);
    }
    Digest::of(&all).to_string()
}

fn note_of(component: &Path) -> PathBuf {
    component.with_extension("wasm.input")
}

/// The component that was built from this input, if it is still there as it was.
pub(super) fn find(out: &Path, input: &str, language: Language) -> Option<Built> {
    for entry in std::fs::read_dir(out).ok()?.flatten() {
        let file = entry.path();
        if file.extension().is_none_or(|it| it != "wasm") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(note_of(&file)) else { continue };
        let Ok(note) = serde_json::from_str::<Note>(&text) else { continue };
        if note.input != input {
            continue;
        }
        let bytes = std::fs::read(&file).ok()?;
        if Digest::of(&bytes).to_string() == note.digest {
            let Note { digest, plugin, version, .. } = note;
            return Some(Built { file, plugin, version, digest, bytes: bytes.len(), language, kept: true });
        }
    }
    None
}

/// Remembers what a component was built from.
pub(super) fn remember(built: &Built, input: String) -> anyhow::Result<()> {
    let Built { digest, plugin, version, .. } = built;
    let note = Note { input, digest: digest.clone(), plugin: plugin.clone(), version: version.clone() };
    let file = note_of(&built.file);
    let text = serde_json::to_string_pretty(&note).context("the note beside the component")?;
    std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_input_and_an_untouched_component_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("jobs-0.1.0.wasm");
        std::fs::write(&file, b"component").expect("a file");
        let tool = |version: &str| [("tool".to_owned(), version.to_owned())];
        let input = input_digest(&tool("1"), &[("a", b"b")]);
        let built = Built {
            file: file.clone(),
            plugin: "jobs".to_owned(),
            version: "0.1.0".to_owned(),
            digest: Digest::of(b"component").to_string(),
            bytes: 9,
            language: Language::JavaScript,
            kept: false,
        };
        assert!(find(folder.path(), &input, Language::JavaScript).is_none());
        remember(&built, input.clone()).expect("it is written");
        let found = find(folder.path(), &input, Language::JavaScript).expect("it is there");
        assert!(found.kept && found.digest == built.digest && found.file == file);
        for other in [input_digest(&tool("2"), &[("a", b"b")]), input_digest(&tool("1"), &[("ab", b"")])] {
            assert!(find(folder.path(), &other, Language::JavaScript).is_none());
        }
        std::fs::write(&file, b"touched").expect("a file");
        assert!(find(folder.path(), &input, Language::JavaScript).is_none());
    }
}
