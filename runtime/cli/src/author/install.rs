//! Installing a language's tools where that is asked for: into the plugin's own folder, from the ordinary registries, in
//! the versions that Windlass is tested with.

use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use super::{Language, c, go, javascript, python, rust, tools};
use crate::output::Output;

/// Installs what is missing for the plugin in a folder.
pub(crate) async fn install(folder: &Path, output: &Output) -> anyhow::Result<()> {
    let language = Language::of(folder)?;
    let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
    match language {
        Language::Rust => rust::ensure_target(&folder, output).await,
        Language::JavaScript => {
            if javascript::installed_tools(&folder).is_ok() && javascript::has_sdk(&folder).is_ok() {
                return Ok(());
            }
            npm_install(&folder, output).await
        }
        Language::Python if python::componentize(&folder).await.is_ok() => Ok(()),
        Language::C if c::compiler(&folder).await.is_ok() => Ok(()),
        Language::Go if go::compiler(&folder).await.is_ok() => Ok(()),
        Language::Python => pip_install("python", &folder, output).await,
        Language::C => pip_install("c", &folder, output).await,
        Language::Go => pip_install("go", &folder, output).await,
    }
}

async fn npm_install(folder: &Path, output: &Output) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(folder.join("package.json")).context("package.json cannot be read")?;
    let mut arguments = vec!["install".to_owned(), "--no-audit".to_owned(), "--no-fund".to_owned()];
    // Those that package.json does not name come with their names.
    let unnamed = tools::of("javascript").into_iter().filter(|(tool, _)| !text.contains(&format!("\"{tool}\"")));
    let unnamed: Vec<String> = unnamed.map(|(tool, version)| format!("{tool}@{version}")).collect();
    if !unnamed.is_empty() {
        arguments.extend(["--save-dev".to_owned(), "--save-exact".to_owned()]);
        arguments.extend(unnamed);
    }
    let mut installing = Command::new("npm");
    installing.args(&arguments).current_dir(folder);
    installed(&mut installing, "install Node.js 20 or newer from https://nodejs.org", output).await
}

async fn pip_install(language: &str, folder: &Path, output: &Output) -> anyhow::Result<()> {
    const PYTHON: &str = "install Python 3.10 or newer from https://python.org";
    let python = folder.join(".venv/bin/python");
    if !python.is_file() {
        let mut making = Command::new("python3");
        making.args(["-m", "venv", ".venv"]).current_dir(folder);
        installed(&mut making, PYTHON, output).await?;
    }
    let mut installing = Command::new(python);
    installing.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).current_dir(folder);
    installing.args(tools::of(language).into_iter().map(|(tool, version)| format!("{tool}=={version}")));
    installed(&mut installing, PYTHON, output).await
}

async fn installed(command: &mut Command, missing: &str, output: &Output) -> anyhow::Result<()> {
    let words = |it: &std::ffi::OsStr| it.to_string_lossy().into_owned();
    let program = words(command.as_std().get_program());
    let arguments: Vec<String> = command.as_std().get_args().map(words).collect();
    let line = format!("{program} {}", arguments.join(" "));
    output.note(format_args!("installing: {line}"));
    let good = tools::shown(command, missing, output).await?;
    anyhow::ensure!(good, "`{line}` failed, so the tools are not installed");
    Ok(())
}
