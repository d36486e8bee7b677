//! What can be found wrong with a component without a server: its shape, its manifest, its grants, its sizes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use windlass_model::manifest::{EffectiveLimits, Manifest};
use windlass_model::review::{Finding, Severity, review};
use windlass_sandbox::{Anatomy, Sandbox, SandboxOptions, anatomy};
use windlass_server::api::COMPONENT_BYTES_MAX;

use super::cache;

/// A component that was looked over.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// Its file.
    pub(crate) file: PathBuf,
    /// Its digest, where it is a component with a manifest.
    pub(crate) digest: Option<String>,
    /// What it says of itself, where that can be read.
    pub(crate) manifest: Option<Manifest>,
    /// Its parts, where it is a component.
    pub(crate) anatomy: Option<Anatomy>,
    /// What was found, problems first.
    pub(crate) findings: Vec<Finding>,
}

impl Checked {
    /// Whether a host would take it and it can work.
    pub(crate) fn is_good(&self) -> bool {
        self.findings.iter().all(|it| it.severity != Severity::Problem)
    }
}

/// The sandbox of the author's commands: what it compiles is kept for this user, so that a component of an interpreter
/// is compiled once for all of them.
pub(crate) fn sandbox() -> anyhow::Result<Sandbox> {
    sandbox_of(|cache_dir| SandboxOptions { cache_dir, ..SandboxOptions::default() })
}

/// The same with other options.
pub(crate) fn sandbox_of(options: impl Fn(Option<PathBuf>) -> SandboxOptions) -> anyhow::Result<Sandbox> {
    // A cache that cannot be used costs time, not the command.
    Sandbox::new(options(cache::folder("compiled"))).or_else(|_| Sandbox::new(options(None))).context("the sandbox")
}

/// Looks a component over.
pub(crate) async fn check(file: &Path, sandbox: &Sandbox) -> anyhow::Result<Checked> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut checked =
        Checked { file: file.to_owned(), digest: None, manifest: None, anatomy: None, findings: Vec::new() };
    let findings = &mut checked.findings;
    if bytes.len() > COMPONENT_BYTES_MAX {
        let (is, most) = (bytes.len(), COMPONENT_BYTES_MAX);
        findings.push(Finding::problem("", format!("it has {is} bytes; a host takes {most} at most")));
    }
    match anatomy(&bytes) {
        Ok(parts) => checked.anatomy = Some(parts),
        Err(error) => {
            findings.push(Finding::problem("", error.to_string()));
            return Ok(checked);
        }
    }
    match Sandbox::inspect(&bytes) {
        Ok(inspection) => {
            checked.digest = Some(inspection.digest.to_string());
            findings.extend(review(&inspection.manifest));
            checked.manifest = Some(inspection.manifest);
        }
        Err(error) => findings.push(Finding::problem("", error.to_string())),
    }
    // Compiles and links it, and asks it for its manifest.
    if checked.manifest.is_some()
        && let Err(error) = sandbox.prepare(&bytes).await
    {
        findings.push(Finding::problem("", error.to_string()));
    }
    if let (Some(manifest), Some(parts)) = (&checked.manifest, &checked.anatomy) {
        memory_suffices(manifest, parts, findings);
    }
    findings.sort_by_key(|it| it.severity);
    Ok(checked)
}

/// An instance begins with the memory that its modules ask for, before it does anything.
fn memory_suffices(manifest: &Manifest, parts: &Anatomy, findings: &mut Vec<Finding>) {
    for (name, action) in &manifest.actions {
        let limit = action.limits.effective(&EffectiveLimits::BOUND).memory_bytes;
        if parts.memory_bytes > limit {
            let message = format!(
                "an instance begins with {} bytes of memory, and a call has {limit} at most: raise the limit `memory_bytes`",
                parts.memory_bytes
            );
            findings.push(Finding::problem(format!("action `{name}`"), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_component_is_a_finding_and_what_is_not_there_an_error() {
        let sandbox =
            Sandbox::new(SandboxOptions { instances_max: 1, ..SandboxOptions::default() }).expect("a sandbox");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.wasm");
        assert!(check(&file, &sandbox).await.is_err());
        for (bytes, expected) in [
            (&b"text"[..], "no WebAssembly component"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module"),
            (b"\0asm\x0d\0\x01\0", "windlass plugin build"),
        ] {
            std::fs::write(&file, bytes).expect("a file");
            let checked = check(&file, &sandbox).await.expect("it is there");
            assert!(!checked.is_good());
            assert!(checked.findings[0].message.contains(expected), "{:?}", checked.findings);
        }
    }

    #[test]
    fn memory_beyond_the_limit_of_an_action_is_a_problem() {
        let action =
            |limits: &str| format!(r#"{{"description":"d","input":{{}},"output":{{}},"effect":"read"{limits}}}"#);
        let manifest = format!(
            r#"{{"name":"x","version":"0.1.0","contract":"0.1","description":"d","actions":{{"a":{},"b":{}}}}}"#,
            action(""),
            action(r#","limits":{"memory_bytes":200000000}"#)
        );
        let manifest = Manifest::parse(manifest.as_bytes()).expect("a manifest");
        let parts = Anatomy { memory_bytes: 100_000_000, ..Anatomy::default() };
        let mut findings = Vec::new();
        memory_suffices(&manifest, &parts, &mut findings);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].place, "action `a`");
    }
}
