//! A plugin's own tests, run with the tools that it is built with.

use std::path::Path;

use anyhow::Context as _;

use super::{Language, c, go, javascript, python, rust};
use crate::output::Output;

/// Runs the tests of the plugin in a folder: whether all pass.
pub(crate) async fn test(folder: &Path, output: &Output) -> anyhow::Result<bool> {
    let language = Language::of(folder)?;
    let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
    match language {
        Language::Rust => rust::test(&folder, output).await,
        Language::JavaScript => javascript::test(&folder, output).await,
        Language::Python => python::test(&folder, output).await,
        Language::C => c::test(&folder, output).await,
        Language::Go => go::test(&folder, output).await,
    }
}
