//! `windlass run`

use std::collections::BTreeMap;
use std::path::PathBuf;

use windlass_model::concurrency::Priority;
use windlass_server::api::{ErrorBody, StartBody, Started, serve};
use windlass_server::client::ClientError;
use windlass_server::{Client, Runtime, RuntimeOptions};

use super::{Context, read_with_used, watch};
use crate::tree::draw;

/// Start a release and watch it to its end
///
/// If another process runs in the state directory, the release runs there; else here, and this command
/// answers other `windlass` commands until it ends.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass run workflows/payments-release.yaml --param version=2.4.1\n  windlass run release.yaml --param version=2.4.1 --detach\n  windlass run hotfix.yaml --priority urgent"
)]
pub(crate) struct RunArgs {
    /// The workflow file
    file: PathBuf,

    /// A parameter of the workflow; texts as they are, anything else as JSON
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,

    /// Start it as this person; the journal says who did
    #[arg(long = "as", value_name = "PERSON")]
    on_behalf_of: Option<String>,

    /// Where releases wait for their turn: urgent ones go ahead of all others, low ones let them go first
    #[arg(long, value_name = "PRIORITY", default_value = "normal", value_parser = ["urgent", "normal", "low"])]
    priority: String,

    /// Do not watch it; needs a process that runs (`windlass serve`)
    #[arg(long)]
    detach: bool,
}

/// `NAME=VALUE`s as a map; the last of a name stands.
pub(crate) fn arguments(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|it| match it.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => anyhow::bail!("`--param {it}` is no parameter: write `--param name=value`"),
        })
        .collect()
}

fn priority(word: &str) -> Priority {
    Priority::ALL.into_iter().find_map(|(name, it)| (name == word).then_some(it)).unwrap_or_default()
}

pub(crate) async fn run(args: RunArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let (source, files) = read_with_used(&args.file)?;
    let mut body = StartBody::of(&source);
    body.files = files;
    body.arguments = arguments(&args.parameters)?;
    body.on_behalf_of = args.on_behalf_of;
    body.priority = priority(&args.priority);
    body.color = context.output.has_color();
    let state = context.state()?;
    let mut serving = None;
    let client = if let Some(client) = Client::connect(&state).await {
        client
    } else {
        anyhow::ensure!(
            !args.detach,
            "nothing runs in {}, so nobody would go on with a detached release: start `windlass serve` first, or leave out --detach",
            state.root().display()
        );
        let runtime = Runtime::open(state.clone(), RuntimeOptions::default()).await?;
        serving = Some(serve(runtime.clone()).await?);
        Client::Here(runtime)
    };
    let started: Started = match client.post("/v1/releases", &body).await {
        Ok(started) => started,
        Err(ClientError::Refused { body: ErrorBody { problems: Some(it), .. }, .. }) if !context.output.is_json() => {
            context.output.problems(&it.rendered);
            return Ok(1);
        }
        Err(error) => return Err(error.into()),
    };
    context.output.problems(&started.warnings.rendered);
    if args.detach {
        context.output.data(&started, |it| {
            format!("{} started; `windlass release show {}` tells how it stands", it.release, it.release)
        });
        return Ok(0);
    }
    let view = watch::watch(&client, &started.release, context, watch::Approvals::Wait).await?;
    if context.output.is_json() {
        context.output.data(&view, |it| draw(it, watch::now()));
    }
    drop(serving);
    Ok(watch::exit_code(&view))
}
