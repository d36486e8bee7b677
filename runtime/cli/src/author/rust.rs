//! Rust: cargo for `wasm32-wasip2`, which makes a component.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use windlass_sandbox::Sandbox;

use super::{Built, Language, finish};
use crate::output::Output;

/// The target that components are built for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Small components, and the same bytes for the same source wherever it lies.
const PROFILE: [&str; 7] = [
    "profile.plugin.inherits=\"release\"",
    "profile.plugin.opt-level=\"s\"",
    "profile.plugin.lto=true",
    "profile.plugin.codegen-units=1",
    "profile.plugin.strip=true",
    "profile.plugin.debug=false",
    "profile.plugin.panic=\"abort\"",
];

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Whether the compiler can build components.
pub(super) async fn has_target(directory: &Path) -> anyhow::Result<bool> {
    let printed = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .await
        .context("rustc cannot be started; install Rust from https://rustup.rs")?;
    let library = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    Ok(printed.status.success() && library.is_dir())
}

/// Makes sure that the compiler can build components; adds the target where it can.
pub(super) async fn ensure_target(directory: &Path, output: &Output) -> anyhow::Result<()> {
    if has_target(directory).await? {
        return Ok(());
    }
    output.note(format_args!("the Rust target {TARGET} is missing; adding it: rustup target add {TARGET}"));
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .await;
    match added {
        Ok(added) if added.status.success() => Ok(()),
        Ok(added) => {
            anyhow::bail!("rustup could not add the target {TARGET}: {}", String::from_utf8_lossy(&added.stderr).trim())
        }
        Err(error) => {
            anyhow::bail!(
                "the Rust target {TARGET} is missing and rustup cannot be started ({error}); install the target with your distribution's means"
            )
        }
    }
}

/// What cargo says of what it built.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    message: Option<Rendered>,
}

#[derive(Deserialize)]
struct Rendered {
    #[serde(default)]
    rendered: Option<String>,
}

/// Builds the crates in `packages` (folders with a `Cargo.toml`) and writes them to `out`.
///
/// Each by itself: cargo gives crates that are built together the features that any of them asks for, and then what
/// becomes of one would depend on the others.
pub(super) async fn build(
    packages: &[PathBuf],
    out: Option<&Path>,
    sandbox: &Sandbox,
    output: &Output,
) -> anyhow::Result<Vec<Built>> {
    let named: Vec<(&PathBuf, String)> =
        packages.iter().map(|it| Ok((it, package_name(it)?))).collect::<anyhow::Result<_>>()?;
    let (first, _) = named.first().context("name at least one plugin's folder")?;
    ensure_target(first, output).await?;
    let mut built = Vec::new();
    for (package, name) in named {
        built.extend(build_one(package, &name, out, sandbox, output).await?);
    }
    Ok(built)
}

async fn build_one(
    package: &Path,
    name: &str,
    out: Option<&Path>,
    sandbox: &Sandbox,
    output: &Output,
) -> anyhow::Result<Vec<Built>> {
    let root = workspace_root(package).await?;
    // With whatever else is compiled for this user, where cargo is told to share that.
    let shared = std::env::var_os("CARGO_TARGET_DIR").filter(|it| !it.is_empty()).map(PathBuf::from);
    let target = match shared {
        Some(shared) => std::path::absolute(shared).context("CARGO_TARGET_DIR")?,
        None => root.join("target"),
    };
    let target = target.join("plugins");
    let mut command = Command::new(cargo());
    command.arg("build").args([
        "--target",
        TARGET,
        "--profile",
        "plugin",
        "--message-format",
        "json-render-diagnostics",
    ]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    command.args(["--package", name]);
    // The settings of the build that started us are not for guests.
    for variable in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"]
    {
        command.env_remove(variable);
    }
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|it| format!("{it}/.cargo")))
        .unwrap_or_default();
    // Wherever it is compiled: the same source is the same component.
    let flags =
        [(home, "cargo"), (root.display().to_string(), "."), (target.display().to_string(), "./target/plugins")]
            .map(|(from, to)| format!("--remap-path-prefix={from}={to}"));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if output.is_json() {
        command.stderr(Stdio::null());
    }
    let mut child = command.spawn().context("cargo cannot be started; install Rust from https://rustup.rs")?;
    let mut printed = String::new();
    child.stdout.take().context("cargo's output")?.read_to_string(&mut printed).await?;
    let status = child.wait().await?;
    let mut components = Vec::new();
    for line in printed.lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else { continue };
        if let Some(text) = message.message.and_then(|it| it.rendered) {
            output.note(text.trim_end());
        }
        if message.reason == "compiler-artifact" {
            components.extend(message.filenames.into_iter().filter(|it| it.extension().is_some_and(|it| it == "wasm")));
        }
    }
    anyhow::ensure!(status.success(), "cargo could not build {name}");
    anyhow::ensure!(
        !components.is_empty(),
        "cargo built no component of {name}: a plugin has `crate-type = [\"cdylib\"]` in its Cargo.toml"
    );
    let out = out.map_or_else(|| root.join("target").join("windlass"), Path::to_path_buf);
    let mut built = Vec::new();
    for component in components {
        let bytes = std::fs::read(&component).with_context(|| format!("{} cannot be read", component.display()))?;
        let name = component.file_stem().unwrap_or_default().to_string_lossy();
        built.push(finish(Language::Rust, &name, &bytes, &out, sandbox).await?);
    }
    Ok(built)
}

/// Runs the tests of the crate in a folder.
pub(super) async fn test(folder: &Path, told: (&str, &Path), output: &Output) -> anyhow::Result<bool> {
    let mut testing = Command::new(cargo());
    testing.args(["test", "--package", &package_name(folder)?]).env(told.0, told.1).current_dir(folder);
    super::tools::shown(&mut testing, "install Rust from https://rustup.rs", output).await
}

#[derive(Deserialize)]
struct CargoManifest {
    package: CargoPackage,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
}

fn package_name(package: &Path) -> anyhow::Result<String> {
    let file = package.join("Cargo.toml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{} cannot be read; name the folder of a plugin", file.display()))?;
    let manifest: CargoManifest = toml::from_str(&text).with_context(|| format!("{} is no package", file.display()))?;
    Ok(manifest.package.name)
}

async fn workspace_root(package: &Path) -> anyhow::Result<PathBuf> {
    let located = Command::new(cargo())
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .current_dir(package)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cargo cannot be started; install Rust from https://rustup.rs")?;
    anyhow::ensure!(located.status.success(), "{}", String::from_utf8_lossy(&located.stderr).trim());
    let manifest = PathBuf::from(String::from_utf8_lossy(&located.stdout).trim());
    manifest.parent().map(Path::to_path_buf).context("cargo named no workspace")
}
