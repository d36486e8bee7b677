//! A plugin's own tests, run with the tools that it is built with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Language, c, go, javascript, python, rust};
use crate::output::Output;

/// Where the SDKs' test hosts tell which calls the tests make: a file, a line of JSON for each.
const TESTED: &str = "WINDLASS_TESTED";

/// What a plugin's tests came to.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Tests {
    /// Whether all pass.
    pub(crate) passed: bool,
    /// Operations that no test calls, by action; nothing if it is not known what they call.
    pub(crate) untested: BTreeMap<String, Vec<String>>,
    /// Whether a test calls any action at all.
    pub(crate) call_actions: bool,
}

/// A call that a test made, as an SDK tells it.
#[derive(Deserialize)]
struct Told {
    action: String,
    called: String,
    /// The operations that each action of the plugin has.
    declared: BTreeMap<String, Vec<String>>,
}

/// Runs the tests of the plugin in a folder.
pub(crate) async fn test(folder: &Path, output: &Output) -> anyhow::Result<Tests> {
    let language = Language::of(folder)?;
    let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
    let tested = tempfile::NamedTempFile::new().context("a temporary file")?;
    let told = (TESTED, tested.path());
    let passed = match language {
        Language::Rust => rust::test(&folder, told, output).await,
        Language::JavaScript => javascript::test(&folder, told, output).await,
        Language::Python => python::test(&folder, told, output).await,
        Language::C => c::test(&folder, told, output).await,
        Language::Go => go::test(&folder, told, output).await,
    }?;
    let told = std::fs::read_to_string(tested.path()).context("what the tests called")?;
    let calls = told.lines().map(serde_json::from_str).collect::<Result<Vec<Told>, _>>();
    let calls = calls.with_context(|| format!("{TESTED} is no file that an SDK of this program writes"))?;
    Ok(Tests { passed, untested: untested(&calls), call_actions: !calls.is_empty() })
}

fn untested(calls: &[Told]) -> BTreeMap<String, Vec<String>> {
    let called: BTreeSet<(&str, &str)> = calls.iter().map(|it| (it.action.as_str(), it.called.as_str())).collect();
    let mut untested = calls.last().map(|it| it.declared.clone()).unwrap_or_default();
    for (action, operations) in &mut untested {
        operations.retain(|it| !called.contains(&(action.as_str(), it.as_str())));
        operations.sort();
    }
    untested.retain(|_, operations| !operations.is_empty());
    untested
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_test_calls_is_told_by_action() {
        let line = |action: &str, called: &str| {
            let declared = serde_json::json!({ "a": ["start", "rollback", "find"], "b": ["start"], "c": ["start"] });
            let line = serde_json::json!({ "action": action, "called": called, "declared": declared });
            serde_json::from_value::<Told>(line).expect("a line")
        };
        let missed = untested(&[line("a", "start"), line("b", "start"), line("a", "start")]);
        assert_eq!(serde_json::json!(missed), serde_json::json!({ "a": ["find", "rollback"], "c": ["start"] }));
        assert!(untested(&[]).is_empty());
    }
}
