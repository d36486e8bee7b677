//! C: Zig's C compiler makes a core module of the plugin's and the SDK's sources, and that becomes a component here.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;
use windlass_sandbox::Sandbox;

use super::{Built, Language, core_module, finish, install, tools};
use crate::output::Output;

const LANGUAGE: &str = "c";
const TOOL: &str = "ziglang";

/// Sources of the SDK, below its folder.
const SDK: [&str; 8] = [
    "src/component.c",
    "src/generated/plugin.c",
    "src/json.c",
    "src/null.c",
    "src/plugin.c",
    "src/types.c",
    "src/wasi_http.c",
    "src/windlass.c",
];

/// `windlass.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    /// Always `c`.
    language: String,
    /// The plugin's sources.
    sources: Vec<PathBuf>,
    /// The folder of the SDK for C.
    sdk: PathBuf,
    /// More for the compiler.
    #[serde(default)]
    flags: Vec<String>,
    /// Programs that test the plugin: each is compiled with its sources and a host of which it scripts the answers.
    #[serde(default)]
    tests: Vec<PathBuf>,
}

/// What of the SDK a test is compiled with, natively.
const SDK_FOR_TESTS: [&str; 5] =
    ["src/json.c", "src/plugin.c", "src/types.c", "src/windlass.c", "testing/windlass_mock.c"];

/// What C takes and nobody means is an error: a way out without a `return`, a list that does not end, a format that does not
/// fit, an outcome that is made and not returned, also by a function of the author's (`unused-value`).
const WARNINGS: [&str; 6] = [
    "-Wall",
    "-Werror=return-type",
    "-Werror=sentinel",
    "-Werror=format",
    "-Werror=unused-result",
    "-Werror=unused-value",
];

pub(super) async fn build(folder: &Path, out: &Path, sandbox: &Sandbox, output: &Output) -> anyhow::Result<Built> {
    let project = project(folder)?;
    let sdk = folder.join(&project.sdk);
    let (compiler, version) = compiler(folder).await?;
    tools::note_version(LANGUAGE, TOOL, &version, output);
    let work = tempfile::tempdir().context("a folder for temporary files")?;
    let work = work.path();
    let module = work.join("plugin.wasm");
    let mut compiling = compiler.command();
    compiling
        .args(["cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-std=gnu11", "-Os", "-flto"])
        .args(WARNINGS)
        // Address 0 can be read in a component: what forgets to look at a NULL would go on with zeros. The SDK says where.
        .args(["-fsanitize=null,nonnull-attribute", "-fno-sanitize-trap=all", "-fno-sanitize-recover=all"])
        .arg("-fsanitize-undefined-strip-path-components=-1")
        // Else Zig leaves out the functions' names, too, by which the host tells where a call trapped.
        .arg("-g")
        // Zig's own 16 MiB would be every call's.
        .arg("-Wl,-z,stack-size=262144")
        // The same bytes wherever the sources lie.
        .arg(format!("-ffile-prefix-map={}=plugin", folder.display()))
        .arg(format!("-ffile-prefix-map={}=sdk", sdk.display()))
        .arg("-I")
        .arg(sdk.join("include"))
        .arg("-I")
        .arg(sdk.join("src"))
        .args(&project.flags)
        .args(project.sources.iter().map(|it| folder.join(it)))
        .args(SDK.iter().map(|it| sdk.join(it)))
        .arg("-o")
        .arg(&module)
        .env("ZIG_LOCAL_CACHE_DIR", work.join("cache"))
        .current_dir(folder);
    compile(&mut compiling, folder, output).await?;
    let bytes = std::fs::read(&module).with_context(|| format!("{} cannot be read", module.display()))?;
    let component = core_module::component(&core_module::without_debugging(&bytes)?, work)?;
    finish(Language::C, "the plugin", &component, out, sandbox).await
}

/// The SDK's own sources give no warnings, so what is shown is the author's.
async fn compile(compiling: &mut Command, folder: &Path, output: &Output) -> anyhow::Result<()> {
    let warnings = tools::compile(compiling, &missing(folder)).await?;
    if !warnings.is_empty() {
        output.note(warnings.trim_end());
    }
    Ok(())
}

fn project(folder: &Path) -> anyhow::Result<Project> {
    let file = folder.join("windlass.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let project: Project = toml::from_str(&text).with_context(|| format!("{} is not as expected", file.display()))?;
    anyhow::ensure!(
        project.language == "c",
        "{} says `language = \"{}\"`; only \"c\" has this project file",
        file.display(),
        project.language
    );
    anyhow::ensure!(
        folder.join(&project.sdk).join("include/windlass.h").is_file(),
        "windlass.toml says `sdk = \"{}\"`, and no include/windlass.h is there; `windlass plugin sdk {}` unpacks it to windlass-sdk",
        project.sdk.display(),
        folder.display()
    );
    for source in project.sources.iter().chain(&project.tests) {
        anyhow::ensure!(
            folder.join(source).is_file(),
            "{} names {}, which is not there",
            file.display(),
            source.display()
        );
    }
    anyhow::ensure!(!project.sources.is_empty(), "{} names no `sources`", file.display());
    Ok(project)
}

/// Compiles each test natively and runs it.
pub(super) async fn test(folder: &Path, told: (&str, &Path), output: &Output) -> anyhow::Result<bool> {
    let project = project(folder)?;
    anyhow::ensure!(
        !project.tests.is_empty(),
        "windlass.toml names no tests: write `tests = [\"tests/test_plugin.c\"]` there"
    );
    let sdk = folder.join(&project.sdk);
    let (compiler, _) = compiler(folder).await?;
    let work = tempfile::tempdir().context("a folder for temporary files")?;
    let mut all_pass = true;
    for test in &project.tests {
        let program = work.path().join("test");
        let mut compiling = compiler.command();
        compiling
            .args(["cc", "-std=gnu11", "-g"])
            .args(WARNINGS)
            .arg("-I")
            .arg(sdk.join("include"))
            .arg("-I")
            .arg(sdk.join("testing"))
            .args(&project.flags)
            .args(project.sources.iter().map(|it| folder.join(it)))
            .arg(folder.join(test))
            .args(SDK_FOR_TESTS.iter().map(|it| sdk.join(it)))
            .args(["-lm", "-o"])
            .arg(&program)
            .env("ZIG_LOCAL_CACHE_DIR", work.path().join("cache"))
            .current_dir(folder);
        compile(&mut compiling, folder, output).await?;
        output.note(format_args!("{}:", test.display()));
        let mut running = Command::new(&program);
        all_pass &= tools::shown(running.env(told.0, told.1).current_dir(folder), "", output).await?;
    }
    Ok(all_pass)
}

/// A way to start Zig.
pub(super) struct Compiler {
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Compiler {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments);
        command
    }
}

fn missing(folder: &Path) -> String {
    format!(
        "install it: `windlass plugin build {0} --install-tools`, or `python3 -m venv {0}/.venv && {0}/.venv/bin/pip install {TOOL}=={1}`, or put zig on the path",
        folder.display(),
        tools::version(LANGUAGE, TOOL)
    )
}

/// Zig of the plugin's virtual environment, of the path, of what was installed for all plugins, of the system's Python; and
/// its version.
pub(super) async fn compiler(folder: &Path) -> anyhow::Result<(Compiler, String)> {
    let module: &[&str] = &["-m", TOOL];
    let [own, shared] = install::own_or_shared(folder, LANGUAGE, "python").map(|it| it.map(|it| (it, module)));
    let (zig, python) = (Some((PathBuf::from("zig"), [].as_slice())), Some((PathBuf::from("python3"), module)));
    for (program, arguments) in [own, zig, shared, python].into_iter().flatten() {
        let compiler = Compiler { program, arguments };
        if let Ok(version) = tools::run(compiler.command().arg("version"), "").await {
            return Ok((compiler, version.trim().to_owned()));
        }
    }
    anyhow::bail!("Zig, whose C compiler builds plugins, is not here; {}", missing(folder))
}
