//! Python: componentize-py puts the plugin's modules and CPython into a component.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;
use windlass_sandbox::Sandbox;

use super::{Built, Language, check_declared, contract, finish, install, kept, tools};
use crate::output::Output;

const LANGUAGE: &str = "python";
const TOOL: &str = "componentize-py";
const PYTHON: &str = "install Python 3.10 or newer from https://python.org";

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    project: Metadata,
    #[serde(default)]
    tool: Tool,
}

/// `[project]`
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    version: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tool {
    windlass: Option<Settings>,
}

/// `[tool.windlass]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The module that has `plugin`.
    module: String,
    /// Where modules lie.
    #[serde(default = "here")]
    path: Vec<PathBuf>,
}

fn here() -> Vec<PathBuf> {
    vec![PathBuf::from(".")]
}

pub(super) async fn build(folder: &Path, out: &Path, sandbox: &Sandbox, output: &Output) -> anyhow::Result<Built> {
    let Settings { module, path } = settings(folder)?;
    let missing = missing(folder);
    let (componentize, version) = componentize(folder).await?;
    tools::note_version(LANGUAGE, TOOL, &version, output);

    let work = tempfile::tempdir().context("a folder for temporary files")?;
    let work = work.path();
    let app = work.join("app");
    std::fs::create_dir(&app).with_context(|| format!("{} cannot be made", app.display()))?;
    let mut roots: Vec<PathBuf> = path.iter().map(|it| folder.join(it)).collect();
    roots.extend(site_packages(folder));
    let modules = copy_modules(&roots, &app)?;
    anyhow::ensure!(
        modules.iter().any(|(name, _)| *name == format!("{}.py", module.replace('.', "/"))
            || *name == format!("{}/__init__.py", module.replace('.', "/"))),
        "[tool.windlass] says `module = \"{module}\"`, which is not in {}",
        path.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
    );
    anyhow::ensure!(
        modules.iter().any(|(name, _)| name == "windlass_sdk/__init__.py"),
        "the module `windlass_sdk` is neither installed in {} nor in the `path` of [tool.windlass]; `windlass plugin sdk {}` unpacks it to windlass-sdk/src, which `path` has to name",
        folder.join(".venv").display(),
        folder.display()
    );
    let entry =
        format!("from windlass_sdk.component import step\nfrom {module} import plugin\n\nStep = step(plugin)\n");
    std::fs::write(app.join("windlass_component.py"), &entry).context("the component's module")?;

    let mut parts = vec![("windlass_component.py", entry.as_bytes())];
    parts.extend(modules.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let input = kept::input_digest(&[(TOOL.to_owned(), version)], &parts);
    if let Some(built) = kept::find(out, &input, Language::Python) {
        return Ok(built);
    }

    check_beforehand(folder, &module, &app).await?;
    let wit = work.join("wit");
    contract::write(&wit)?;
    let component = work.join("component.wasm");
    let environment = work.join("environment");
    let nothing = environment.join("lib").join("python3").join("site-packages");
    std::fs::create_dir_all(&nothing).with_context(|| format!("{} cannot be made", nothing.display()))?;
    let mut componentizing = Command::new(&componentize);
    componentizing
        .arg("--wit-path")
        .arg(&wit)
        .args(["--world", contract::WORLD, "componentize", "--python-path"])
        .arg(&app)
        .arg("windlass_component")
        .arg("--output")
        .arg(&component)
        // What is installed was copied, and nothing else gets in: without an environment componentize-py takes what is
        // installed on the machine.
        .env("VIRTUAL_ENV", &environment)
        .envs([("RUST_BACKTRACE", "0"), ("RUST_LIB_BACKTRACE", "0")])
        .current_dir(work);
    tools::run(&mut componentizing, &missing).await.map_err(|error| in_the_plugin_s_words(&error))?;
    let bytes = std::fs::read(&component).with_context(|| format!("{} cannot be read", component.display()))?;
    let built = finish(Language::Python, &module, &bytes, out, sandbox).await?;
    kept::remember(&built, input)?;
    Ok(built)
}

/// Whether the plugin says what a plugin may, as far as the Python here can tell: a moment where the component takes half
/// a minute. Where this one cannot load the plugin the component's may, and says more if it cannot.
async fn check_beforehand(folder: &Path, module: &str, app: &Path) -> anyhow::Result<()> {
    let mut describing = Command::new(python(folder));
    let script = format!("import json\nfrom {module} import plugin\nprint(json.dumps(plugin.manifest()))\n");
    describing.args(["-I", "-B", "-c", &format!("import sys\nsys.path.insert(0, sys.argv[1])\n{script}")]).arg(app);
    match tools::run(&mut describing, PYTHON).await {
        // What the plugin prints comes before.
        Ok(said) => match said.trim_end().lines().last() {
            Some(manifest) => check_declared(folder, Language::Python, module, manifest),
            None => Ok(()),
        },
        Err(_) => Ok(()),
    }
}

/// The plugin's own traceback, without that of the tool in which it came up.
fn in_the_plugin_s_words(error: &anyhow::Error) -> anyhow::Error {
    let said = error.to_string();
    match said.split_once("AssertionError: Traceback") {
        Some((_, own)) => {
            let own = own.split("\n\nCaused by:").next().unwrap_or(own);
            anyhow::anyhow!("the plugin's module fails when it is imported:\nTraceback{}", own.trim_end())
        }
        None => anyhow::anyhow!(said),
    }
}

fn missing(folder: &Path) -> String {
    format!(
        "install it: `windlass plugin build {0} --install-tools`, or `python3 -m venv {0}/.venv && {0}/.venv/bin/pip install {TOOL}=={1}`",
        folder.display(),
        tools::version(LANGUAGE, TOOL)
    )
}

/// componentize-py of the plugin's virtual environment, of the path, or of what was installed for all plugins; and its
/// version.
pub(super) async fn componentize(folder: &Path) -> anyhow::Result<(PathBuf, String)> {
    let [own, shared] = install::own_or_shared(folder, LANGUAGE, TOOL);
    tools::first([own, Some(PathBuf::from(TOOL)), shared], async |componentize| {
        let said = tools::run(Command::new(componentize).arg("--version"), &missing(folder)).await?;
        Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
    })
    .await
}

/// Runs what is in `tests`, with the modules that the component would have.
pub(super) async fn test(folder: &Path, told: (&str, &Path), output: &Output) -> anyhow::Result<bool> {
    let settings = settings(folder)?;
    anyhow::ensure!(
        folder.join("tests").is_dir(),
        "there are no tests: write them to {}",
        folder.join("tests").display()
    );
    let path = std::env::join_paths(settings.path.iter().map(|it| folder.join(it)))
        .context("the `path` of [tool.windlass]")?;
    let mut testing = Command::new(python(folder));
    testing
        .args(["-m", "unittest", "discover", "-s", "tests"])
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(told.0, told.1)
        .current_dir(folder);
    tools::shown(&mut testing, PYTHON, output).await
}

/// The Python of the plugin's virtual environment, or of the path.
fn python(folder: &Path) -> PathBuf {
    let own = folder.join(".venv/bin/python");
    if own.is_file() { own } else { PathBuf::from("python3") }
}

fn project(folder: &Path) -> anyhow::Result<Project> {
    let file = folder.join("pyproject.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as expected", file.display()))
}

fn settings(folder: &Path) -> anyhow::Result<Settings> {
    project(folder)?.tool.windlass.with_context(|| {
        let file = folder.join("pyproject.toml");
        format!("{} has no [tool.windlass]; write `module = \"…\"` there: the module that has `plugin`", file.display())
    })
}

/// The version that pyproject.toml says.
pub(super) fn version(folder: &Path) -> anyhow::Result<Option<String>> {
    Ok(project(folder)?.project.version)
}

/// Where the plugin's own virtual environment keeps what is installed.
fn site_packages(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder.join(".venv").join("lib")).ok()?.flatten();
    versions.map(|it| it.path().join("site-packages")).find(|it| it.is_dir())
}

/// Parts of a virtual environment that are tools, not the plugin's.
const TOOLS: [&str; 6] = ["componentize_py", "pip", "setuptools", "pkg_resources", "wheel", "_distutils_hack"];

/// Copies the Python files below `roots`, the first of a name: their names with their bytes, sorted.
fn copy_modules(roots: &[PathBuf], to: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut found = std::collections::BTreeMap::new();
    for root in roots {
        anyhow::ensure!(root.is_dir(), "{}, a `path` of [tool.windlass], is no folder", root.display());
        collect(root, "", &mut found)?;
    }
    for (name, bytes) in &found {
        let file = to.join(name);
        let parent = file.parent().unwrap_or(to);
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        std::fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(found.into_iter().collect())
}

fn collect(folder: &Path, below: &str, found: &mut std::collections::BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let place = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if path.is_dir() {
            let hidden = name.starts_with('.') || name == "__pycache__" || name == "node_modules" || name == "target";
            let tool = below.is_empty() && (TOOLS.contains(&name.as_str()) || name.ends_with(".dist-info"));
            if !hidden && !tool {
                collect(&path, &place, found)?;
            }
        } else if name.ends_with(".py") && !found.contains_key(&place) {
            let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            found.insert(place, bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_those_of_the_first_root_without_tools() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("its folder");
            std::fs::write(file, text).expect("a file");
        };
        write("src/jobs.py", "own");
        write("src/__pycache__/jobs.py", "not");
        write(".venv/lib/python3.11/site-packages/jobs.py", "other");
        write(".venv/lib/python3.11/site-packages/windlass_sdk/__init__.py", "sdk");
        write(".venv/lib/python3.11/site-packages/pip/__init__.py", "tool");
        let site = site_packages(folder.path()).expect("an environment");
        let to = folder.path().join("app");
        let modules = copy_modules(&[folder.path().join("src"), site], &to).expect("they are copied");
        let modules: Vec<(&str, &[u8])> =
            modules.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        assert_eq!(modules, [("jobs.py", &b"own"[..]), ("windlass_sdk/__init__.py", b"sdk")]);
        assert_eq!(std::fs::read(to.join("windlass_sdk/__init__.py")).expect("it was copied"), b"sdk");
    }

    #[test]
    fn a_plugin_s_failure_is_told_without_the_tool_s() {
        let said = "componentize-py failed (exit status: 1):\nTraceback (most recent call last):\n  File \"componentize-py\"\nAssertionError: Traceback (most recent call last):\n  File \"/0/plugin.py\"\nTypeError: no\n\n\nCaused by:\n    TypeError: no";
        let told = in_the_plugin_s_words(&anyhow::anyhow!(said)).to_string();
        assert!(told.contains("plugin.py") && told.ends_with("TypeError: no"), "{told}");
        assert!(!told.contains("componentize-py") && !told.contains("Caused by"), "{told}");
        assert_eq!(in_the_plugin_s_words(&anyhow::anyhow!("other")).to_string(), "other");
    }

    #[test]
    fn a_project_that_does_not_name_its_module_says_what_to_write() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("pyproject.toml"), "[project]\nname = \"x\"").expect("a file");
        let error = settings(folder.path()).err().expect("nothing is said").to_string();
        assert!(error.contains("module = "), "{error}");
    }
}
