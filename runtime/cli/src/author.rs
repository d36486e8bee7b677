//! Building plugins: the language's own tools for the component, the sandbox for its manifest.
//!
//! A folder's language is told by its project file. What differs between languages is how a component comes to be; what
//! comes then is the same for all: it is asked for its manifest, the manifest is embedded, the file gets its name.
//!
//! **Invariant:** no tool is downloaded here but Rust's own target, unless that is asked for (`install`). What is missing
//! is named, with the command that installs the version which Windlass is tested with.

mod c;
mod cache;
pub(crate) mod check;
mod contract;
mod core_module;
mod go;
pub(crate) mod install;
mod javascript;
mod kept;
mod pages;
mod python;
mod rust;
pub(crate) mod scaffold;
pub(crate) mod sdk;
pub(crate) mod test;
pub(crate) mod tools;
pub(crate) mod trial;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use windlass_model::digest::Digest;
use windlass_model::manifest::Manifest;
use windlass_model::review::{Severity, review};
use windlass_sandbox::Sandbox;

use crate::output::{DIM, Output, styled};

/// A component that was built.
#[derive(Debug, Serialize)]
pub(crate) struct Built {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// The plugin's name.
    pub(crate) plugin: String,
    /// Its version.
    pub(crate) version: String,
    /// Digest of the component.
    pub(crate) digest: String,
    /// Its size.
    pub(crate) bytes: usize,
    /// What it is written in.
    pub(crate) language: Language,
    /// Whether it was there already, from the same source and tools.
    pub(crate) kept: bool,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// A `Cargo.toml`.
    Rust,
    /// A `package.json`.
    #[value(name = "js", aliases = ["javascript", "ts", "typescript"])]
    JavaScript,
    /// A `pyproject.toml`.
    Python,
    /// A `windlass.toml`.
    C,
    /// A `go.mod`.
    Go,
}

impl Language {
    /// Every language, its project file, its name for people.
    pub(crate) const ALL: [(Self, &str, &str); 5] = [
        (Self::Rust, "Cargo.toml", "Rust"),
        (Self::JavaScript, "package.json", "JavaScript"),
        (Self::Python, "pyproject.toml", "Python"),
        (Self::C, "windlass.toml", "C"),
        (Self::Go, "go.mod", "Go"),
    ];

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(it, _, name)| (it == self).then_some(name)).expect("ALL has each")
    }

    /// What its build waits for, and how long that may take.
    fn builder(self) -> &'static str {
        match self {
            Self::Rust => "cargo compiles",
            Self::JavaScript => "ComponentizeJS puts an engine around it, which takes half a minute of one processor",
            Self::Python => "componentize-py puts Python around it, which takes half a minute of one processor",
            Self::C => "Zig compiles all of it, which takes some seconds",
            Self::Go => "Go compiles, the first time its standard library, too",
        }
    }

    /// The language of the plugin in a folder.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        let found: Vec<_> = Self::ALL.iter().filter(|(_, file, _)| folder.join(file).is_file()).collect();
        match found[..] {
            [(language, _, _)] => Ok(*language),
            [] => {
                let files: Vec<&str> = Self::ALL.iter().map(|(_, file, _)| *file).collect();
                anyhow::bail!(
                    "{} is no plugin's folder: none of {} is there; `windlass plugin new` makes one",
                    folder.display(),
                    files.join(", ")
                )
            }
            [(_, one, _), (_, other, _), ..] => anyhow::bail!(
                "{} has both {one} and {other}; a plugin's folder has the project file of one language",
                folder.display()
            ),
        }
    }
}

/// Builds the plugins in `packages` (folders with a project file) and writes them to `out`.
pub(crate) async fn build(
    packages: &[PathBuf],
    out: Option<&Path>,
    sandbox: &Sandbox,
    output: &Output,
) -> anyhow::Result<Vec<Built>> {
    anyhow::ensure!(!packages.is_empty(), "name at least one plugin's folder");
    let mut crates = Vec::new();
    let mut others = Vec::new();
    for package in packages {
        match Language::of(package)? {
            Language::Rust => crates.push(package.clone()),
            language => others.push((language, package)),
        }
    }
    let mut built = Vec::new();
    if !crates.is_empty() {
        built.extend(rust::build(&crates, out, sandbox, output).await?);
    }
    for (language, package) in others {
        let folder = package.canonicalize().with_context(|| format!("{} cannot be opened", package.display()))?;
        let out = out.map_or_else(|| folder.join("target").join("windlass"), Path::to_path_buf);
        let making = async {
            match language {
                Language::JavaScript => javascript::build(&folder, &out, sandbox, output).await,
                Language::Python => python::build(&folder, &out, sandbox, output).await,
                Language::C => c::build(&folder, &out, sandbox, output).await,
                Language::Go => go::build(&folder, &out, sandbox, output).await,
                Language::Rust => unreachable!("crates were built above"),
            }
        };
        let made = tools::patiently(making, || {
            output.note(styled(DIM, format!("… {}: {}", package.display(), language.builder())));
        })
        .await;
        let made = made.and_then(|it| same_version(&folder, it.language, &it.version).map(|()| it));
        built.push(made.with_context(|| format!("{} was not built", package.display()))?);
    }
    Ok(built)
}

/// A project file that says a version says the plugin's own, or a new one given there alone would be none.
fn same_version(folder: &Path, language: Language, version: &str) -> anyhow::Result<()> {
    let (file, declared, call) = match language {
        Language::JavaScript => ("package.json", javascript::version(folder)?, "plugin({ version })"),
        Language::Python => ("pyproject.toml", python::version(folder)?, "Plugin(version=…)"),
        Language::Rust | Language::C | Language::Go => return Ok(()),
    };
    // Python's own numbers of a version that is not released (`0.2.0rc1`) are none of ours, and nobody can give both.
    let Some(declared) = declared.and_then(|it| it.parse::<semver::Version>().ok()) else { return Ok(()) };
    anyhow::ensure!(
        declared.to_string() == version,
        "{file} says version {declared}, and `{call}` in the source {version}: give the same in both"
    );
    Ok(())
}

/// Whether a plugin, whose tools take half a minute for a component, can be made into one by what it says of itself.
fn check_declared(folder: &Path, language: Language, name: &str, json: &str) -> anyhow::Result<()> {
    let manifest = manifest(name, json)?;
    same_version(folder, language, &manifest.version.to_string())
}

/// What the plugin `name` says of itself, if that can work.
fn manifest(name: &str, json: &str) -> anyhow::Result<Manifest> {
    let manifest = Manifest::parse(json.as_bytes()).with_context(|| name.to_owned())?;
    let wrong: Vec<String> = review(&manifest)
        .into_iter()
        .filter(|it| it.severity == Severity::Problem)
        .map(|it| format!("{}: {}", it.place, it.message))
        .collect();
    anyhow::ensure!(wrong.is_empty(), "{name} can never work as it is written: {}", wrong.join("; "));
    Ok(manifest)
}

/// Embeds the manifest and writes the component where it belongs.
async fn finish(
    language: Language,
    name: &str,
    component: &[u8],
    out: &Path,
    sandbox: &Sandbox,
) -> anyhow::Result<Built> {
    let json = sandbox.describe(component).await.with_context(|| format!("{name} cannot say what it is"))?;
    let manifest = manifest(name, &json)?;
    let bytes = windlass_sandbox::embed_manifest(component, &json).with_context(|| name.to_owned())?;
    std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let file = out.join(format!("{}-{}.wasm", manifest.name, manifest.version));
    std::fs::write(&file, &bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(Built {
        file,
        plugin: manifest.name.to_string(),
        version: manifest.version.to_string(),
        digest: Digest::of(&bytes).to_string(),
        bytes: bytes.len(),
        language,
        kept: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_language_is_told_by_its_project_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = Language::of(folder.path()).expect_err("nothing is there").to_string();
        assert!(none.contains("Cargo.toml, package.json"), "{none}");
        std::fs::write(folder.path().join("package.json"), "{}").expect("a file");
        assert_eq!(Language::of(folder.path()).expect("one"), Language::JavaScript);
        std::fs::write(folder.path().join("Cargo.toml"), "").expect("a file");
        let both = Language::of(folder.path()).expect_err("two are there").to_string();
        assert!(both.contains("both Cargo.toml and package.json"), "{both}");
    }

    #[test]
    fn a_version_in_the_project_file_is_the_plugin_s() {
        let folder = tempfile::tempdir().expect("a folder");
        for (language, file, same, none, other, said) in [
            (
                Language::JavaScript,
                "package.json",
                r#"{"version":"0.1.0"}"#,
                "{}",
                r#"{"version":"0.2.0"}"#,
                "package.json says version 0.2.0, and `plugin({ version })` in the source 0.1.0: give the same in both",
            ),
            (
                Language::Python,
                "pyproject.toml",
                "[project]\nversion = \"0.1.0\"",
                "[project]\ndynamic = [\"version\"]",
                "[project]\nversion = \"0.2.0\"",
                "pyproject.toml says version 0.2.0, and `Plugin(version=…)` in the source 0.1.0: give the same in both",
            ),
        ] {
            let file = folder.path().join(file);
            for good in [same, none, &same.replace("0.1.0", "0.1.0rc1")] {
                std::fs::write(&file, good).expect("a file");
                same_version(folder.path(), language, "0.1.0").expect("it says nothing else");
            }
            std::fs::write(&file, other).expect("a file");
            let error = same_version(folder.path(), language, "0.1.0").expect_err("it says another").to_string();
            assert_eq!(error, said);
        }
        same_version(folder.path(), Language::C, "0.1.0").expect("its source alone says it");
    }
}
