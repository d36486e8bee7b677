//! `windlass plugin diff`

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::Serialize;
use windlass_model::compare::{Difference, Impact, Side, broken_promise, compare, summary, version_note};
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
    imports: BTreeSet<String>,
}

impl Compared {
    fn side(&self) -> Side<'_> {
        Side { manifest: &self.manifest, imports: &self.imports }
    }
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
    /// What the versions' numbers mean for whoever has the old one, where that is not plain.
    version_note: Option<String>,
}

pub(crate) async fn diff(args: &DiffArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let (old, new) = (read(&args.old, context).await?, read(&args.new, context).await?);
    let differences = compare(old.side(), new.side());
    let view = View {
        old: identity(&old),
        new: identity(&new),
        summary: summary(&differences),
        broken_promise: broken_promise(&old.manifest, &new.manifest, &differences),
        version_note: version_note(&old.manifest, &new.manifest).filter(|_| old.digest != new.digest),
        differences: &differences,
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
        let path = format!("/v1/plugins/{}/{}/imports", manifest.name, manifest.version);
        let imports = context.client().await?.get(&path).await?;
        return Ok(Compared { manifest, digest, imports });
    }
    let bytes = std::fs::read(what).with_context(|| format!("{what} cannot be read"))?;
    let inspection = Sandbox::inspect(&bytes).with_context(|| what.to_owned())?;
    let parts = anatomy(&bytes).with_context(|| what.to_owned())?;
    Ok(Compared { manifest: inspection.manifest, digest: inspection.digest.to_string(), imports: parts.imports })
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
        None if view.old.version == *version => styled(GOOD, "what ran with the one runs with the other\n"),
        None => styled(GOOD, format!("{plugin} {version} can take the place of {}\n", view.old.version)),
    });
    for line in view.broken_promise.iter().chain(&view.version_note) {
        text.push_str(&format!("{line}\n"));
    }
    text
}
