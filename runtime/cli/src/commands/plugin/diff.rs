//! `windlass plugin diff`

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::Serialize;
use windlass_model::compare::{Difference, Impact, Side, broken_promise, compare, summary};
use windlass_model::manifest::Manifest;
use windlass_sandbox::{Sandbox, anatomy};

use super::installed;
use crate::commands::Context;
use crate::output::{BAD, DIM, GOOD, WAIT, styled};

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The one that is in use: a component file, or an installed plugin as NAME or NAME@VERSION
    old: String,
    /// The one that is to take its place
    new: String,
}

/// One of the two.
struct Compared {
    manifest: Manifest,
    digest: String,
    /// None of an installed one, whose bytes are the server's.
    imports: Option<BTreeSet<String>>,
}

#[derive(Serialize)]
struct Identity<'a> {
    plugin: &'a str,
    version: String,
    digest: &'a str,
}

#[derive(Serialize)]
struct View<'a> {
    old: Identity<'a>,
    new: Identity<'a>,
    differences: &'a [Difference],
    /// Why somebody has to agree; none where nobody has.
    summary: Option<String>,
    /// What the version's number promises and does not keep.
    broken_promise: Option<String>,
    imports_compared: bool,
}

pub(crate) async fn diff(args: &DiffArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let (old, new) = (read(&args.old, context).await?, read(&args.new, context).await?);
    let imports_compared = old.imports.is_some() && new.imports.is_some();
    let of = |imports: &Option<BTreeSet<String>>| imports.clone().filter(|_| imports_compared).unwrap_or_default();
    let imports = (of(&old.imports), of(&new.imports));
    let differences = compare(
        Side { manifest: &old.manifest, imports: &imports.0 },
        Side { manifest: &new.manifest, imports: &imports.1 },
    );
    let view = View {
        old: identity(&old),
        new: identity(&new),
        summary: summary(&differences),
        broken_promise: broken_promise(&old.manifest, &new.manifest, &differences),
        differences: &differences,
        imports_compared,
    };
    context.output.data(&view, shown);
    Ok(u8::from(view.summary.is_some()))
}

fn identity(it: &Compared) -> Identity<'_> {
    Identity { plugin: it.manifest.name.as_str(), version: it.manifest.version.to_string(), digest: &it.digest }
}

async fn read(what: &str, context: &Context<'_>) -> anyhow::Result<Compared> {
    if !std::path::Path::new(what).is_file() {
        let (digest, manifest) = installed(what, context).await?;
        return Ok(Compared { manifest, digest, imports: None });
    }
    let bytes = std::fs::read(what).with_context(|| format!("{what} cannot be read"))?;
    let inspection = Sandbox::inspect(&bytes).with_context(|| what.to_owned())?;
    let parts = anatomy(&bytes).with_context(|| what.to_owned())?;
    Ok(Compared { manifest: inspection.manifest, digest: inspection.digest.to_string(), imports: Some(parts.imports) })
}

fn shown(view: &View<'_>) -> String {
    let mut text = String::new();
    for it in view.differences {
        let sign = match it.impact {
            Impact::Breaking => styled(BAD, "breaking  "),
            Impact::Wider => styled(WAIT, "wider     "),
            Impact::Compatible => styled(DIM, "compatible"),
        };
        let place = if it.place.is_empty() { String::new() } else { format!("{}: ", it.place) };
        text.push_str(&format!("{sign}  {place}{}\n", it.message));
    }
    let Identity { plugin, version, .. } = &view.new;
    text.push_str(&match &view.summary {
        Some(summary) => format!("{plugin} {version} instead of {}: {summary}\n", view.old.version),
        None if view.old.digest == view.new.digest => styled(GOOD, "they are the same component\n"),
        None => styled(GOOD, format!("{plugin} {version} can take the place of {}\n", view.old.version)),
    });
    if let Some(promise) = &view.broken_promise {
        text.push_str(&format!("{promise}\n"));
    }
    if !view.imports_compared {
        text.push_str("what they import was not compared: of an installed plugin only the manifest is here\n");
    }
    text
}
