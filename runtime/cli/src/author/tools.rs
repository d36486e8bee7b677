//! The tools of other languages: which versions are tested, and running them.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use tokio::process::Command;

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

/// Runs a tool to its end: what it printed. `missing` says how to install it.
pub(super) async fn run(command: &mut Command, missing: &str) -> anyhow::Result<String> {
    let program = Path::new(command.as_std().get_program()).display().to_string();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ran = command.output().await.with_context(|| format!("{program} cannot be started; {missing}"))?;
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    if !ran.status.success() {
        let said = [printed.as_str(), &String::from_utf8_lossy(&ran.stderr)].concat();
        anyhow::bail!("{program} failed ({}):\n{}", ran.status, without_backtrace(&said).trim());
    }
    Ok(printed)
}

/// What a tool said without where in the tool's own source that was.
fn without_backtrace(said: &str) -> &str {
    let at = said.find("\nStack backtrace:").or_else(|| said.find("\nstack backtrace:"));
    at.map_or(said, |it| &said[..it])
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
    async fn a_tool_that_is_missing_or_fails_says_so() {
        let missing = run(&mut Command::new("windlass-no-such-tool"), "install it").await.expect_err("it is not there");
        assert!(format!("{missing:#}").contains("windlass-no-such-tool cannot be started; install it"), "{missing:#}");
        let mut failing = Command::new("sh");
        let failed = run(failing.args(["-c", "echo broken >&2; exit 3"]), "").await.expect_err("it fails");
        assert!(failed.to_string().contains("broken") && failed.to_string().contains('3'), "{failed}");
    }
}
