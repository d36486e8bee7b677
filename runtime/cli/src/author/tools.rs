//! The tools of other languages: which versions are tested, and running them.

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
        anyhow::bail!("{program} failed ({}):\n{}", ran.status, said.trim());
    }
    Ok(printed)
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

    #[tokio::test]
    async fn a_tool_that_is_missing_or_fails_says_so() {
        let missing = run(&mut Command::new("windlass-no-such-tool"), "install it").await.expect_err("it is not there");
        assert!(format!("{missing:#}").contains("windlass-no-such-tool cannot be started; install it"), "{missing:#}");
        let mut failing = Command::new("sh");
        let failed = run(failing.args(["-c", "echo broken >&2; exit 3"]), "").await.expect_err("it fails");
        assert!(failed.to_string().contains("broken") && failed.to_string().contains('3'), "{failed}");
    }
}
