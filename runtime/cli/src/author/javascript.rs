//! JavaScript and TypeScript: esbuild bundles, ComponentizeJS puts the bundle and an engine into a component.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::process::Command;
use windlass_sandbox::Sandbox;

use super::{Built, Language, check_declared, contract, finish, kept, tools};
use crate::output::Output;

const LANGUAGE: &str = "javascript";
const SDK: &str = "@windlass/sdk";
const SCRIPT: &str = include_str!("componentize.mjs");
pub(super) const NODE: &str = "install Node.js 20 or newer from https://nodejs.org";

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    main: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

pub(super) async fn build(folder: &Path, out: &Path, sandbox: &Sandbox, output: &Output) -> anyhow::Result<Built> {
    let package = package(&folder.join("package.json"))?;
    let entry = package.main.context("package.json has no `main`: the file whose default export is the plugin")?;
    anyhow::ensure!(
        folder.join(&entry).is_file(),
        "package.json says `\"main\": \"{entry}\"`, and no such file is there"
    );
    let installed = installed_tools(folder)?;
    for (tool, version) in &installed {
        tools::note_version(LANGUAGE, tool, version, output);
    }
    has_sdk(folder)?;
    let work = tempfile::tempdir().context("a folder for temporary files")?;
    let work = work.path();
    let script = script(folder)?;
    let bundle = work.join("plugin.js");
    let mut bundling = Command::new("node");
    bundling.arg(&script).arg("bundle").arg(folder).arg(&entry).arg(&bundle);
    tools::run(&mut bundling, NODE).await?;
    let source = std::fs::read(&bundle).with_context(|| format!("{} cannot be read", bundle.display()))?;
    let input = kept::input_digest(&installed, &[("plugin.js", &source)]);
    if let Some(built) = kept::find(out, &input, Language::JavaScript) {
        return Ok(built);
    }

    check_beforehand(folder, &entry, &script, work).await?;
    let wit = work.join("wit");
    contract::write(&wit)?;
    let component = work.join("component.wasm");
    let mut componentizing = Command::new("node");
    componentizing
        .arg(&script)
        .arg("componentize")
        .arg(folder)
        .arg(&bundle)
        .arg(&wit)
        .arg(contract::WORLD)
        .arg(&component);
    tools::run(componentizing.current_dir(work), NODE).await?;
    let bytes = std::fs::read(&component).with_context(|| format!("{} cannot be read", component.display()))?;
    let built = finish(Language::JavaScript, &entry, &bytes, out, sandbox).await?;
    kept::remember(&built, input)?;
    Ok(built)
}

/// The version that package.json says.
pub(super) fn version(folder: &Path) -> anyhow::Result<Option<String>> {
    Ok(package(&folder.join("package.json"))?.version)
}

/// What Node.js makes of the plugin.
#[derive(Deserialize)]
struct Described {
    /// What the plugin says of itself.
    manifest: Option<Box<RawValue>>,
    /// Why it cannot be loaded, with places in its own files.
    fault: Option<String>,
}

/// Whether the plugin can be loaded and says what a plugin may, as far as Node.js can tell: a moment where the component
/// takes half a minute.
async fn check_beforehand(folder: &Path, entry: &str, script: &Path, work: &Path) -> anyhow::Result<()> {
    let out = work.join("described.mjs");
    let mut describing = Command::new("node");
    describing.arg("--enable-source-maps").arg(script).arg("describe").arg(folder).arg(entry).arg(&out);
    tools::run(&mut describing, NODE).await?;
    let file = out.with_extension("mjs.json");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    match serde_json::from_str(&text).context("what Node.js makes of the plugin")? {
        Described { fault: Some(fault), .. } => anyhow::bail!("{entry} cannot be loaded:\n{fault}"),
        Described { manifest: Some(manifest), .. } => {
            check_declared(folder, Language::JavaScript, entry, manifest.get())
        }
        // Whatever it is, the component's engine says more.
        Described { manifest: None, fault: None } => Ok(()),
    }
}

/// The versions of the tools, in the order in which the tested ones are.
pub(super) fn look(folder: &Path) -> anyhow::Result<String> {
    let versions: Vec<String> = installed_tools(folder)?.into_iter().map(|(_, version)| version).collect();
    Ok(versions.join(", "))
}

/// The tools in the plugin's node_modules, with their versions.
pub(super) fn installed_tools(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let tested = tools::of(LANGUAGE);
    let mut installed = Vec::new();
    let mut missing = Vec::new();
    for (name, version) in &tested {
        match module(folder, name).map(|file| package(&file)).transpose()? {
            Some(found) => {
                let found = found.version.unwrap_or_default();
                installed.push((name.clone(), found));
            }
            None => missing.push(format!("{name}@{version}")),
        }
    }
    anyhow::ensure!(
        missing.is_empty(),
        "the tools for JavaScript are not in {}: `windlass plugin build {} --install-tools` or `npm install` there, or `npm install --save-dev --save-exact {}`",
        folder.join("node_modules").display(),
        folder.display(),
        missing.join(" ")
    );
    Ok(installed)
}

/// Whether the plugin can import the SDK.
pub(super) fn has_sdk(folder: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        module(folder, SDK).is_some(),
        "the module `{SDK}` is not in {}: `npm install` there, where package.json has it among its dependencies as \"file:windlass-sdk\" (`windlass plugin sdk {}` unpacks it)",
        folder.join("node_modules").display(),
        folder.display()
    );
    Ok(())
}

/// Runs the script `test` of package.json.
pub(super) async fn test(folder: &Path, told: (&str, &Path), output: &Output) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(folder.join("package.json")).context("package.json cannot be read")?;
    let package: serde_json::Value = serde_json::from_str(&text).context("package.json is no JSON")?;
    anyhow::ensure!(
        package["scripts"]["test"].is_string(),
        "package.json has no script `test`: write for example \"scripts\": {{ \"test\": \"node --test\" }} there"
    );
    has_sdk(folder)?;
    // Where every test file would say so, with a stack of its own.
    if let (Some(entry), Ok(_)) = (package["main"].as_str(), installed_tools(folder)) {
        let work = tempfile::tempdir().context("a folder for temporary files")?;
        check_beforehand(folder, entry, &script(folder)?, work.path()).await?;
    }
    let mut testing = Command::new("npm");
    testing.args(["test", "--silent"]).env(told.0, told.1).current_dir(folder);
    if std::env::var_os("NODE_OPTIONS").is_none() {
        // For people; without a terminal Node.js 20 writes for programs.
        testing.env("NODE_OPTIONS", "--test-reporter=spec");
    }
    tools::shown(&mut testing, NODE, output).await
}

/// The script, where Node.js finds the tools that it imports: it looks for them from where a script lies.
fn script(folder: &Path) -> anyhow::Result<PathBuf> {
    let modules =
        folder.ancestors().map(|it| it.join("node_modules")).find(|it| it.is_dir()).context("node_modules")?;
    let cache = modules.join(".cache").join("windlass");
    std::fs::create_dir_all(&cache).with_context(|| format!("{} cannot be made", cache.display()))?;
    let script = cache.join("componentize.mjs");
    std::fs::write(&script, SCRIPT).with_context(|| format!("{} cannot be written", script.display()))?;
    Ok(script)
}

/// A package's file, where Node.js looks for it: in the folder's node_modules, then in those above.
fn module(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut files = folder.ancestors().map(|it| it.join("node_modules").join(name).join("package.json"));
    files.find(|it| it.is_file())
}

fn package(file: &Path) -> anyhow::Result<Package> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no package.json", file.display()))
}
