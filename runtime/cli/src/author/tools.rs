//! The tools of other languages: which versions are tested, and running them.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use super::{Language, c, go, javascript, python, rust};
use crate::output::Output;

const VERSIONS: &str = include_str!("../../../../sdk/tools.toml");

/// The tools of a language with the versions that Windlass is tested with.
pub(super) fn of(language: &str) -> Vec<(String, String)> {
    let table: toml::Table = toml::from_str(VERSIONS).expect("tools.toml is a part of this program");
    let tools = table.get(language).and_then(toml::Value::as_table);
    tools
        .into_iter()
        .flatten()
        .filter_map(|(name, version)| Some((name.clone(), version.as_str()?.to_owned())))
        .collect()
}

/// The tested version of one tool.
pub(super) fn version(language: &str, tool: &str) -> String {
    of(language).into_iter().find_map(|(name, version)| (name == tool).then_some(version)).unwrap_or_default()
}

/// Says so where a tool is there in another version than the tested one.
pub(super) fn note_version(language: &str, tool: &str, installed: &str, output: &Output) {
    let tested = version(language, tool);
    if installed != tested {
        output.note(format_args!("{tool} is {installed}; Windlass is tested with {tested}"));
    }
}

/// The first of several programs that runs, and its version; the first one's error if none does.
pub(super) async fn first(
    programs: impl IntoIterator<Item = Option<PathBuf>>,
    version: impl AsyncFn(&Path) -> anyhow::Result<String>,
) -> anyhow::Result<(PathBuf, String)> {
    let mut told = None;
    for program in programs.into_iter().flatten() {
        match version(&program).await {
            Ok(version) => return Ok((program, version)),
            Err(error) => told = told.or(Some(error)),
        }
    }
    Err(told.unwrap_or_else(|| anyhow::anyhow!("there is no program to look for")))
}

/// Runs a tool to its end: what it printed. `missing` says how to install it.
pub(super) async fn run(command: &mut Command, missing: &str) -> anyhow::Result<String> {
    ended_well(command, missing).await.map(|(printed, _)| printed)
}

/// Runs a compiler to its end: what it warns of where it takes the source. `missing` says how to install it.
pub(super) async fn compile(command: &mut Command, missing: &str) -> anyhow::Result<String> {
    ended_well(command, missing).await.map(|(_, said)| said)
}

/// Runs a tool that has to end well: what it printed, and what it said to standard error.
async fn ended_well(command: &mut Command, missing: &str) -> anyhow::Result<(String, String)> {
    let program = Path::new(command.as_std().get_program()).display().to_string();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ran = command.output().await.with_context(|| format!("{program} cannot be started; {missing}"))?;
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if !ran.status.success() {
        let all = [printed, said].concat();
        anyhow::bail!("{program} failed ({}):\n{}", ran.status, without_backtrace(&all).trim());
    }
    Ok((printed, said))
}

/// What was found of one tool.
pub(crate) struct Looked {
    pub(crate) tool: &'static str,
    /// Its version, or why it cannot be used.
    pub(crate) found: Result<String, String>,
    /// What to do; none where all is well.
    pub(crate) remedy: Option<String>,
}

/// Looks for the tools of a language, as a plugin in this folder would use them.
pub(crate) async fn look(language: Language, folder: &Path) -> Vec<Looked> {
    const PYTHON: &str = "install Python 3.10 or newer from https://python.org";
    match language {
        Language::Rust => {
            let mut all = vec![program("rustc", &["--version"], "install Rust from https://rustup.rs").await];
            if all[0].found.is_ok() {
                let found = match rust::has_target(folder).await {
                    Ok(true) => (Ok(rust::TARGET.to_owned()), None),
                    Ok(false) | Err(_) => {
                        let remedy = format!("rustup target add {}; the first build does it, too", rust::TARGET);
                        (Err("the target for components is missing".to_owned()), Some(remedy))
                    }
                };
                all.push(Looked { tool: "target", found: found.0, remedy: found.1 });
            }
            all
        }
        Language::JavaScript => {
            let mut all = vec![program("node", &["--version"], javascript::NODE).await];
            if let Ok(version) = &all[0].found {
                let major = version.trim_start_matches('v').split('.').next().and_then(|it| it.parse::<u32>().ok());
                if major.is_some_and(|it| it < 20) {
                    all[0].found = Err(format!("{version} is too old"));
                    all[0].remedy = Some(javascript::NODE.to_owned());
                }
            }
            all.push(found("componentize-js, esbuild", "javascript", javascript::look(folder)));
            all
        }
        Language::Python => vec![
            program("python3", &["--version"], PYTHON).await,
            found("componentize-py", "python", python::componentize(folder).await.map(|it| it.1)),
        ],
        Language::C => vec![found("Zig", "c", c::compiler(folder).await.map(|it| it.1))],
        Language::Go => vec![found("go", "go", go::compiler(folder).await.map(|it| it.1))],
    }
}

async fn program(tool: &'static str, arguments: &[&str], remedy: &str) -> Looked {
    match run(Command::new(tool).args(arguments), remedy).await {
        Ok(version) => Looked { tool, found: Ok(version.trim().to_owned()), remedy: None },
        Err(_) => Looked { tool, found: Err("not here".to_owned()), remedy: Some(remedy.to_owned()) },
    }
}

/// A tool that Windlass is tested with in one version.
fn found(tool: &'static str, language: &str, version: anyhow::Result<String>) -> Looked {
    let tested: Vec<String> = of(language).into_iter().map(|(_, version)| version).collect();
    match version {
        Ok(version) if version == tested.join(", ") => Looked { tool, found: Ok(version), remedy: None },
        Ok(version) => {
            let remedy = format!("Windlass is tested with {}", tested.join(", "));
            Looked { tool, found: Ok(version), remedy: Some(remedy) }
        }
        Err(error) => {
            let said = error.to_string();
            // Built for whoever builds: what is missing, then what to do.
            let remedy = said.split_once("; ").map_or(said.clone(), |(_, remedy)| remedy.to_owned());
            Looked { tool, found: Err("not here".to_owned()), remedy: Some(remedy) }
        }
    }
}

/// What a tool said without where in the tool's own source that was.
fn without_backtrace(said: &str) -> &str {
    let at = said.find("\nStack backtrace:").or_else(|| said.find("\nstack backtrace:"));
    at.map_or(said, |it| &said[..it])
}

/// How long something may take before people are told what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for something; `tell` is called once if it takes long.
pub(crate) async fn patiently<T>(waiting: impl Future<Output = T>, tell: impl FnOnce()) -> T {
    let mut waiting = std::pin::pin!(waiting);
    match tokio::time::timeout(PATIENCE, &mut waiting).await {
        Ok(done) => done,
        Err(_) => {
            tell();
            waiting.await
        }
    }
}

/// Runs a tool whose output people read as it comes: whether it ended well. `missing` says how to install it.
pub(super) async fn shown(command: &mut Command, missing: &str, output: &Output) -> anyhow::Result<bool> {
    let program = Path::new(command.as_std().get_program()).display().to_string();
    // Standard output is for data.
    let (out, err) = if output.is_json() {
        (Stdio::null(), Stdio::null())
    } else {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned().context("standard error")?;
        (Stdio::from(stderr), Stdio::inherit())
    };
    command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    let ended = command.status().await.with_context(|| format!("{program} cannot be started; {missing}"))?;
    Ok(ended.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_its_tools() {
        assert_eq!(version("javascript", "esbuild").split('.').count(), 3);
        assert!(of("cobol").is_empty());
    }

    #[test]
    fn the_example_in_javascript_has_the_tested_tools() {
        let package = include_str!("../../../../sdk/js/example/package.json");
        let package: serde_json::Value = serde_json::from_str(package).expect("JSON");
        for (name, version) in of("javascript") {
            assert_eq!(package["devDependencies"][&name], version, "{name}");
        }
    }

    #[test]
    fn a_tool_s_backtrace_is_not_the_author_s() {
        assert_eq!(without_backtrace("wrong\n\nStack backtrace:\n   0: main"), "wrong\n");
        assert_eq!(without_backtrace("wrong"), "wrong");
    }

    #[tokio::test]
    async fn what_a_compiler_warns_of_is_not_lost_where_it_takes_the_source() {
        let mut warning = Command::new("sh");
        let warned = compile(warning.args(["-c", "echo compiled; echo unused >&2"]), "").await.expect("it ends well");
        assert_eq!(warned, "unused\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_says_what_it_is() {
        for (takes, is_told) in [(PATIENCE / 2, false), (PATIENCE * 20, true)] {
            let mut told = false;
            let done = patiently(
                async {
                    tokio::time::sleep(takes).await;
                    7
                },
                || told = true,
            );
            assert_eq!(done.await, 7);
            assert_eq!(told, is_told);
        }
    }

    #[tokio::test]
    async fn a_tool_that_is_missing_or_fails_says_so() {
        let missing = run(&mut Command::new("windlass-no-such-tool"), "install it").await.expect_err("it is not there");
        assert!(format!("{missing:#}").contains("windlass-no-such-tool cannot be started; install it"), "{missing:#}");
        let mut failing = Command::new("sh");
        let failed = run(failing.args(["-c", "echo broken >&2; exit 3"]), "").await.expect_err("it fails");
        assert!(failed.to_string().contains("broken") && failed.to_string().contains('3'), "{failed}");
    }
}
