//! `windlass rehearse`

use std::path::PathBuf;

use windlass_model::check::Copies;
use windlass_model::concurrency::Priority;
use windlass_model::time::Span;
use windlass_server::view::ReleaseView;

use super::Context;
use super::run::{Beginning, Seen, start_and_watch};
use crate::tree::duration;

/// Rehearse the rollback of a workflow on copies: go forward, roll back, and measure that
///
/// It is a release like any other, with other connections in the place of those that the file names, and ends
/// before a point of no return. When all steps have ended, everything is rolled back. Releases of the workflow show
/// how the last rehearsal ended and how long its rollback took; a file can demand one (`rollback.rehearsed_within`).
/// Approvals are asked for as usual. Status 0: all was rolled back, within the objective if there is one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass rehearse payments.yaml --on production=staging --param version=2.4.1\n  windlass rehearse payments.yaml --on production=staging --on wiki=wiki"
)]
pub(crate) struct RehearseArgs {
    /// The workflow file
    file: PathBuf,

    /// Which connection leads to a copy of what another one leads to; the same one twice where it may be changed
    #[arg(long = "on", value_name = "CONNECTION=COPY")]
    copies: Vec<String>,

    /// A parameter of the workflow; texts as they are, anything else as JSON
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,

    /// Start it as this person; the journal says who did
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,

    /// Do not watch it; needs a process that runs (`windlass serve`)
    #[arg(long)]
    detach: bool,
}

pub(super) fn copies(given: &[String]) -> anyhow::Result<Copies> {
    let mut copies = Copies::new();
    for text in given {
        let pair = text.split_once('=').and_then(|(name, copy)| Some((name.parse().ok()?, copy.parse().ok()?)));
        let Some((name, copy)) = pair else {
            anyhow::bail!("`--on {text}` names no copy: write `--on production=staging`, both names of connections");
        };
        if copies.insert(name, copy).is_some() {
            anyhow::bail!("`--on {text}`: a copy of this connection is given twice");
        }
    }
    Ok(copies)
}

pub(crate) async fn rehearse(args: RehearseArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let RehearseArgs { file, parameters, on_behalf_of, detach, .. } = args;
    let rehearsal = Some(copies(&args.copies)?);
    let priority = Priority::default();
    let beginning =
        Beginning { file, parameters, on_behalf_of, rehearsal, dry_run: false, record: false, priority, detach };
    Ok(match start_and_watch(beginning, context).await? {
        Seen::Problems => 1,
        Seen::Detached => 0,
        Seen::Ended(view) => {
            let (is_good, text) = verdict(&view);
            if !context.output.is_json() {
                context.output.text(&text);
            }
            u8::from(!is_good)
        }
    })
}

/// Whether a rehearsal went well, and what to say of it.
fn verdict(view: &ReleaseView) -> (bool, String) {
    let rollback = view.rollback.as_ref().filter(|it| view.state == "rolled back" && it.trigger == "rehearsal");
    let Some((rollback, ended_at)) = rollback.and_then(|it| Some((it, it.ended_at?))) else {
        return (false, format!("not rehearsed: {} is {}", view.release, view.state));
    };
    let took = ended_at.since(rollback.began_at);
    match rollback.objective {
        None => (true, format!("rolled back in {}", duration(took))),
        Some(objective) if took > objective => {
            (false, format!("too slow: rolled back in {}, its objective is {objective}", duration(took)))
        }
        Some(objective) => {
            let margin = duration(Span(objective.0.saturating_sub(took.0)));
            (true, format!("rolled back in {} of {objective}: {margin} to spare", duration(took)))
        }
    }
}
