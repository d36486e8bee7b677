//! `windlass run`

use std::collections::BTreeMap;
use std::path::PathBuf;

use windlass_model::check::Copies;
use windlass_model::concurrency::Priority;
use windlass_server::api::{ErrorBody, StartBody, Started, ValidatedBody};
use windlass_server::client::ClientError;
use windlass_server::view::ReleaseView;
use windlass_server::{Client, StateDirectory};

use super::owner::{self, Owner};
use super::watch::{self, Until};
use super::{Context, read_with_used};
use crate::tree::{draw, outputs};

/// Start a release and watch it to its end
///
/// If another process runs in the state directory, the release runs there; else here, and this command
/// answers other `windlass` commands until it ends.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass run workflows/payments-release.yaml --param version=2.4.1\n  windlass run release.yaml --param version=2.4.1 --detach\n  windlass run hotfix.yaml --priority urgent\n  windlass run release.yaml --param version=2.4.1 --dry-run"
)]
pub(crate) struct RunArgs {
    /// The workflow file
    file: PathBuf,

    /// A parameter of the workflow; texts as they are, anything else as JSON
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,

    /// Start it as this person; the journal says who did
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,

    /// Where releases wait for their turn: urgent ones go ahead of all others, low ones let them go first
    #[arg(long, value_name = "PRIORITY", default_value = "normal", value_parser = ["urgent", "normal", "low"])]
    priority: String,

    /// Only show what it would do: requests that read are made, all others are stopped by the host and listed, tools run
    /// only in a form that both sides declared to change nothing, and nobody is asked
    #[arg(long, conflicts_with = "priority")]
    dry_run: bool,

    /// Record what its steps ask for and get, so that an attempt can be played again (`windlass plugin replay`)
    #[arg(long)]
    record: bool,

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

/// What is to be started, and how.
pub(crate) struct Beginning {
    pub(crate) file: PathBuf,
    pub(crate) parameters: Vec<String>,
    pub(crate) on_behalf_of: Option<String>,
    /// Of a rehearsal: which connections lead to copies.
    pub(crate) rehearsal: Option<Copies>,
    pub(crate) dry_run: bool,
    pub(crate) record: bool,
    pub(crate) priority: Priority,
    pub(crate) detach: bool,
}

/// How far it came.
pub(crate) enum Seen {
    /// The files are not good.
    Problems,
    /// It was started, and is not watched.
    Detached,
    /// It ended, or nobody drives it any more.
    Ended(Box<ReleaseView>),
}

fn priority(word: &str) -> Priority {
    Priority::ALL.into_iter().find_map(|(name, it)| (name == word).then_some(it)).unwrap_or_default()
}

pub(crate) async fn run(args: RunArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let RunArgs { file, parameters, on_behalf_of, priority: word, dry_run, record, detach } = args;
    let priority = priority(&word);
    let beginning = Beginning { file, parameters, on_behalf_of, rehearsal: None, dry_run, record, priority, detach };
    Ok(match start_and_watch(beginning, context).await? {
        Seen::Problems => 1,
        Seen::Detached => 0,
        Seen::Ended(view) => watch::exit_code(&view),
    })
}

/// Starts a release and watches it to its end, unless it is not to be watched.
pub(crate) async fn start_and_watch(beginning: Beginning, context: &Context<'_>) -> anyhow::Result<Seen> {
    let (source, files) = read_with_used(&beginning.file)?;
    let mut body = StartBody::of(&source);
    body.files = files;
    body.arguments = arguments(&beginning.parameters)?;
    body.on_behalf_of = beginning.on_behalf_of;
    body.rehearsal = beginning.rehearsal;
    body.dry_run = beginning.dry_run;
    body.record = beginning.record;
    body.priority = beginning.priority;
    body.color = context.output.has_color();
    let state = context.state()?;
    anyhow::ensure!(
        !beginning.detach || Client::connect(&state).await.is_some(),
        "nothing runs in {}, so nobody would go on with a detached release: start `windlass serve` first, or leave out --detach",
        state.root().display()
    );
    match beforehand(&body, &state).await? {
        Beforehand::Refused(error) => return refused(error, context),
        Beforehand::Alone => {}
        Beforehand::WithOthers(count) => owner::note_others(count, context),
    }
    let mut owner = Owner::find(&state).await?;
    let seen = start_with(&mut owner, body, beginning.detach, context).await;
    owner.leave(context).await?;
    seen
}

/// What starting something means beside it.
enum Beforehand {
    /// Nothing: another process goes on with open releases, or there are none.
    Alone,
    /// So many others go on in this process.
    WithOthers(usize),
    /// It would not be started, so they are left alone: who has mistyped a name has not asked for that.
    Refused(ClientError),
}

async fn beforehand(body: &StartBody, state: &StateDirectory) -> anyhow::Result<Beforehand> {
    let client = Client::open(state).await?;
    let waiting = client.left_waiting();
    if waiting == 0 {
        return Ok(Beforehand::Alone);
    }
    let mut body = body.clone();
    if body.arguments.is_empty() {
        // Those that it does not get are asked for.
        body.parameters = serde_json::json!({});
    }
    Ok(match client.post::<ValidatedBody>("/v1/validate", &body).await {
        // A dry run is told what it would wait for, and what would refuse it.
        Err(ClientError::Refused { body: told, .. }) if body.dry_run && told.problems.is_none() => {
            Beforehand::WithOthers(waiting)
        }
        Err(error @ ClientError::Refused { status, .. }) if status.is_client_error() => Beforehand::Refused(error),
        // Whatever it is, it comes again.
        _ => Beforehand::WithOthers(waiting),
    })
}

fn refused(error: ClientError, context: &Context<'_>) -> anyhow::Result<Seen> {
    match error {
        ClientError::Refused { body: ErrorBody { problems: Some(it), .. }, .. } if !context.output.is_json() => {
            context.output.problems(&it.rendered);
            Ok(Seen::Problems)
        }
        error => Err(error.into()),
    }
}

async fn start_with(owner: &mut Owner, body: StartBody, detach: bool, context: &Context<'_>) -> anyhow::Result<Seen> {
    let started: Started = match owner.client.post("/v1/releases", &body).await {
        Ok(started) => started,
        Err(error) => return refused(error, context),
    };
    context.output.problems(&started.warnings.rendered);
    for wait in &started.waits {
        context.output.note(wait);
    }
    for refusal in &started.refusals {
        context.output.note(format_args!("a run would be refused: {refusal}"));
    }
    if detach {
        context.output.data(&started, |it| {
            format!("{} started; `windlass release show {}` tells how it stands", it.release, it.release)
        });
        return Ok(Seen::Detached);
    }
    let view = owner.watch(&started.release, Until::End, context).await?;
    if context.output.is_json() {
        context.output.data(&view, |it| draw(it, watch::now()));
    } else if !context.output.is_live() {
        // Told line by line so far, which leaves out what matters most.
        let matters =
            if view.dry_run || !view.succeeded { draw(&view, watch::now()) } else { outputs(&view).join("\n") };
        if !matters.is_empty() {
            context.output.text(matters.trim_end());
        }
    }
    Ok(Seen::Ended(Box::new(view)))
}
