//! The SDKs as they are in this program, unpacked into a plugin's folder.
//!
//! No SDK is published anywhere. A plugin has its own copy in `windlass-sdk`, named by a path within its folder: it builds
//! wherever it lies, for whoever has it, without a network and with the version that it was tested with.

use std::path::Path;

use anyhow::Context as _;
use toml::{Table, Value};

use super::Language;
use super::pages::page;

mod files {
    include!(concat!(env!("OUT_DIR"), "/sdk_files.rs"));
}

/// Where a plugin's copy lies in its folder.
pub(super) const FOLDER: &str = "windlass-sdk";

/// The workspace that the SDK for Rust is a part of here and nowhere else.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The versions of all crates that everything here is tested with.
pub(super) const CARGO_LOCK: &str = include_str!("../../../../Cargo.lock");

const ARTIFACT_SCHEMA: &str = include_str!("../../../../wit/0.1/artifact.schema.json");

const GUIDE: &str = include_str!("../../../../sdk/README.md");

/// The picture in it.
const STEP: &str = include_str!("../../../../sdk/step.svg");

const COOKBOOK: &str = include_str!("../../../../sdk/cookbook/README.md");

const CONTRACT: &str = include_str!("../../../../sdk/CONTRACT.md");

/// Replaces the copy of the SDK in a plugin's folder.
pub(crate) fn replace(folder: &Path) -> anyhow::Result<Language> {
    let language = Language::of(folder)?;
    let copy = folder.join(FOLDER);
    match std::fs::remove_dir_all(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be replaced", copy.display()));
        }
        _ => unpack(language, &copy)?,
    }
    Ok(language)
}

fn all(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Rust => files::RUST,
        Language::JavaScript => files::JS,
        Language::Python => files::PYTHON,
        Language::C => files::C,
        Language::Go => files::GO,
    }
}

/// A file of the language's example.
pub(super) fn example(language: Language, name: &str) -> &'static str {
    let wanted = format!("example/{name}");
    let found = all(language).iter().find(|(it, _)| *it == wanted);
    found.map(|(_, text)| *text).expect("the example is a part of this program, and a test looks for each of its files")
}

/// Writes the SDK into a folder. What is there of it already is replaced.
pub(super) fn unpack(language: Language, folder: &Path) -> anyhow::Result<()> {
    for (name, text) in all(language).iter().filter(|(name, _)| !name.starts_with("example/")) {
        let text = match (language, *name) {
            (Language::Rust, "Cargo.toml") => standalone(text, WORKSPACE)?,
            // In this repository the contract lies beside all SDKs.
            (Language::Rust, _) => {
                text.replace("\"../../../wit/0.1/", "\"../wit/").replace("\"../../wit/0.1\"", "\"wit\"")
            }
            _ => (*text).to_owned(),
        };
        super::scaffold::write(&folder.join(name), &text)?;
    }
    if language == Language::Rust {
        super::contract::write(&folder.join("wit"))?;
        super::scaffold::write(&folder.join("wit/artifact.schema.json"), ARTIFACT_SCHEMA)?;
    }
    super::scaffold::write(&folder.join("step.svg"), STEP)?;
    let own = own_page(language);
    for (name, text) in pages(language) {
        // In the pages of all SDKs and in that of one: where they are from each other here, and where in a plugin's folder.
        let moved = [
            (own, "README.md"),
            ("../README.md", guide_name(language)),
            ("CONTRACT.md", "CONTRACT.md"),
            ("../CONTRACT.md", "CONTRACT.md"),
            ("cookbook/README.md", "COOKBOOK.md"),
            ("../cookbook/README.md", "COOKBOOK.md"),
        ];
        let has_contract = language == Language::Rust;
        let of_the_contract = [("../wit", "wit"), ("../wit/0.1/plugin.wit", "wit/plugin.wit")];
        let moved: Vec<_> = moved.into_iter().chain(of_the_contract.into_iter().filter(|_| has_contract)).collect();
        // The sources that the cookbook speaks of are its own.
        let is_there = |path: &str| name != "COOKBOOK.md" && folder.join(path).exists();
        super::scaffold::write(&folder.join(name), &page(text, &moved, is_there))?;
    }
    Ok(())
}

/// What the page of all SDKs is called in a plugin's folder.
fn guide_name(language: Language) -> &'static str {
    if language == Language::Rust { "README.md" } else { "GUIDE.md" }
}

/// The page of a language, as the page of all names it; that of Rust is a part of it.
fn own_page(language: Language) -> &'static str {
    match language {
        Language::Rust => "README.md",
        Language::JavaScript => "js/README.md",
        Language::Python => "python/README.md",
        Language::C => "c/README.md",
        Language::Go => "go/README.md",
    }
}

/// The pages that a plugin's folder gets, by name.
fn pages(language: Language) -> Vec<(&'static str, &'static str)> {
    let own = all(language).iter().find(|(name, _)| *name == "README.md").map(|(_, text)| ("README.md", *text));
    let guide = (guide_name(language), GUIDE);
    own.into_iter().chain([guide, ("CONTRACT.md", CONTRACT), ("COOKBOOK.md", COOKBOOK)]).collect()
}

/// The `Cargo.toml` of a crate without the workspace that it inherits from.
fn standalone(manifest: &str, workspace: &str) -> anyhow::Result<String> {
    let manifest: Table = toml::from_str(manifest).context("the SDK's Cargo.toml")?;
    let workspace: Table = toml::from_str(workspace).context("the workspace's Cargo.toml")?;
    let inherited = |section: &str, name: &str| workspace.get("workspace")?.get(section)?.get(name).cloned();
    let mut text = String::from("[package]\n");
    for (name, value) in manifest.get("package").and_then(Value::as_table).into_iter().flatten() {
        let is_inherited = value.get("workspace").is_some();
        let value =
            if is_inherited { inherited("package", name).context("the workspace's package")? } else { value.clone() };
        text.push_str(&format!("{name} = {}\n", inline(&value)));
    }
    let mut section = |title: &str, table: Option<&Value>| -> anyhow::Result<()> {
        let Some(table) = table.and_then(Value::as_table) else { return Ok(()) };
        text.push_str(&format!("\n[{title}]\n"));
        for (name, value) in table {
            let value = match value.as_table().filter(|it| it.contains_key("workspace")) {
                Some(more) => merged(inherited("dependencies", name).with_context(|| name.clone())?, more),
                None => value.clone(),
            };
            text.push_str(&format!("{name} = {}\n", inline(&value)));
        }
        Ok(())
    };
    section("features", manifest.get("features"))?;
    section("dependencies", manifest.get("dependencies"))?;
    for (target, of) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        section(&format!("target.'{target}'.dependencies"), of.get("dependencies"))?;
    }
    Ok(text)
}

/// What a workspace says of a dependency, and what the crate says in addition.
fn merged(inherited: Value, more: &Table) -> Value {
    let mut all = match inherited {
        Value::Table(all) => all,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    for (name, value) in more.iter().filter(|(name, _)| *name != "workspace") {
        all.insert(name.clone(), value.clone());
    }
    Value::Table(all)
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(members) => {
            let members: Vec<String> = members.iter().map(|(name, it)| format!("{name} = {}", inline(it))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::Datetime(time) => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sdk_is_unpacked_whole_and_without_what_is_not_its_own() {
        for (language, file, _) in Language::ALL {
            let folder = tempfile::tempdir().expect("a folder");
            unpack(language, folder.path()).expect("it is unpacked");
            let expected = match language {
                Language::Rust => "src/testing/mock_host.rs",
                Language::JavaScript => "src/testing.js",
                Language::Python => "src/windlass_sdk/py.typed",
                Language::C => "src/generated/plugin.h",
                Language::Go => "internal/wit/exports/wit_exports.go",
            };
            assert!(folder.path().join(expected).is_file(), "{file}: {expected}");
            for unwanted in ["example", "node_modules", "tests", "test", ".venv", "target"] {
                assert!(!folder.path().join(unwanted).exists(), "{file}: {unwanted}");
            }
            assert!(folder.path().join("step.svg").is_file(), "{file}: the contract's picture");
            for (name, _) in pages(language) {
                let text = std::fs::read_to_string(folder.path().join(name)).expect("a page");
                let targets = text.split("](").skip(1).filter_map(|it| it.split_once(')')).map(|(target, _)| target);
                let files =
                    targets.filter(|it| !it.contains("://") && !it.contains(' ')).map(|it| it.split('#').next());
                for file in files.flatten().filter(|it| !it.is_empty()) {
                    assert!(folder.path().join(file).exists(), "{name} of {language:?} links to {file}");
                }
            }
            if language == Language::Rust {
                for (name, _) in files::RUST.iter().filter(|it| it.0.starts_with("src/") && it.0.ends_with(".rs")) {
                    let text = std::fs::read_to_string(folder.path().join(name)).expect("a file");
                    assert!(!text.contains("\"../../"), "{name} names what is not in the plugin's folder");
                }
            }
        }
    }

    #[test]
    fn the_sdk_for_rust_stands_alone() {
        let manifest = "[package]\nname = \"x\"\nversion.workspace = true\n[lints]\nworkspace = true\n[features]\nt = [\"dep:b\"]\n[dependencies]\na.workspace = true\n[target.'cfg(any)'.dependencies]\nb = { workspace = true, optional = true }\n[dev-dependencies]\nx = { path = \".\" }\n";
        let workspace = "[workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\na = \"1\"\nb = { version = \"2\", features = [\"c\"] }\n";
        let alone = standalone(manifest, workspace).expect("it is");
        assert_eq!(
            alone,
            "[package]\nname = \"x\"\nversion = \"1.2.3\"\n\n[features]\nt = [\"dep:b\"]\n\n[dependencies]\na = { version = \"1\" }\n\n[target.'cfg(any)'.dependencies]\nb = { features = [\"c\"], optional = true, version = \"2\" }\n"
        );
        assert!(
            !standalone(files::RUST.iter().find(|it| it.0 == "Cargo.toml").expect("it is there").1, WORKSPACE)
                .expect("it is")
                .contains("workspace")
        );
    }
}
