//! Installing a language's tools where that is asked for, from the ordinary registries, in the versions that Windlass is
//! tested with: JavaScript's into the plugin's own folder, where its build looks for them; those of Python, C and Go into the
//! user's cache, once for all plugins.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::{Language, c, cache, go, javascript, python, rust, tools};
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
        Language::Python => pip_install("python", &folder, output).await,
        Language::C => pip_install("c", &folder, output).await,
        Language::Go => pip_install("go", &folder, output).await,
    }
}

async fn is_there(language: &str, folder: &Path) -> bool {
    match language {
        "python" => python::componentize(folder).await.is_ok(),
        "c" => c::compiler(folder).await.is_ok(),
        _ => go::compiler(folder).await.is_ok(),
    }
}

/// Waits until nobody else installs there; dropping it lets others.
async fn alone(environment: &Path) -> anyhow::Result<File> {
    let mut beside = environment.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let lock = move || {
        if let Some(parent) = beside.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::create(&beside)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    };
    let locked = tokio::task::spawn_blocking(lock).await.context("waiting for another installation")?;
    locked.with_context(|| format!("nothing can be installed in {}", environment.display()))
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

/// The virtual environment with the tested tools of a language that all plugins of this user share.
pub(super) fn shared(language: &str) -> Option<PathBuf> {
    let tools: Vec<String> =
        tools::of(language).into_iter().map(|(tool, version)| format!("{tool}-{version}")).collect();
    Some(cache::folder("tools")?.join(tools.join("+")))
}

/// A virtual environment's program; of the plugin's own, or of the one that is shared.
pub(super) fn own_or_shared(folder: &Path, language: &str, program: &str) -> [Option<PathBuf>; 2] {
    let at = |environment: PathBuf| Some(environment.join("bin").join(program)).filter(|it| it.is_file());
    [at(folder.join(".venv")), shared(language).and_then(at)]
}

async fn pip_install(language: &str, folder: &Path, output: &Output) -> anyhow::Result<()> {
    const PYTHON: &str = "install Python 3.10 or newer from https://python.org";
    if is_there(language, folder).await {
        return Ok(());
    }
    // Where nobody has a home, the plugin has its own.
    let environment = shared(language).unwrap_or_else(|| folder.join(".venv"));
    let _alone = alone(&environment).await?;
    if is_there(language, folder).await {
        return Ok(());
    }
    // What an installation that was killed has left is no environment.
    let mut making = Command::new("python3");
    making.args(["-m", "venv", "--clear"]).arg(&environment).current_dir(folder);
    installed(&mut making, PYTHON, output).await?;
    let mut installing = Command::new(environment.join("bin/python"));
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
