//! Puts the SDKs and their examples into the program, so that `windlass plugin new` needs nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Folders of `sdk/` with what of them is not for plugins: tests of the SDK itself.
const LANGUAGES: [(&str, &[&str]); 5] = [
    ("rust", &["tests"]),
    ("js", &["test", "package-lock.json"]),
    ("python", &["tests"]),
    ("c", &["tests"]),
    ("go", &[]),
];

/// What tools leave behind.
const LEFT_BEHIND: [&str; 5] = ["node_modules", "target", "__pycache__", "package-lock.json", "build"];

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where")).join("../../sdk");
    let mut text = String::new();
    for (language, not_for_plugins) in LANGUAGES {
        let folder = root.join(language).canonicalize().expect("the SDK's folder");
        let mut files = Vec::new();
        collect(&folder, "", &mut files);
        // Go has a package's tests beside it.
        files.retain(|(name, _)| name.starts_with("example/") || !name.ends_with("_test.go"));
        files.retain(|(name, _)| !not_for_plugins.iter().any(|it| name == it || name.starts_with(&format!("{it}/"))));
        files.sort();
        writeln!(text, "pub(super) const {}: &[(&str, &str)] = &[", language.to_uppercase()).expect("a string");
        for (name, path) in files {
            writeln!(text, "    ({name:?}, include_str!({path:?})),").expect("a string");
        }
        text.push_str("];\n");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where")).join("sdk_files.rs");
    std::fs::write(out, text).expect("the list of files");
}

/// Files below a folder with their names from there. Hidden ones are nobody's.
fn collect(folder: &Path, below: &str, files: &mut Vec<(String, PathBuf)>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with(".egg-info") || LEFT_BEHIND.contains(&name.as_str()) {
            continue;
        }
        let place = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("its type");
        if kind.is_dir() {
            collect(&entry.path(), &place, files);
        } else if kind.is_file() {
            files.push((place, entry.path()));
        }
    }
}
