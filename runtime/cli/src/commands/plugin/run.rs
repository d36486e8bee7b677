//! `windlass plugin run`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use windlass_model::event::{Operation, Wake};
use windlass_model::example::example;
use windlass_model::failure::{FailureOrigin, StepError};
use windlass_model::manifest::{Action, Manifest};
use windlass_model::name::ActionName;
use windlass_model::problem::listed;
use windlass_model::time::Span;
use windlass_sandbox::CallKind;

use super::kib;
use crate::author::trial::binding::{self, Bindings};
use crate::author::trial::{Ended, Happening, Listener, Session, Shown, Trial, Used, line};
use crate::author::{self, check};
use crate::commands::Context;
use crate::output::{DIM, Output, styled};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A component's file, or the folder of a plugin, which is built first
    plugin: PathBuf,
    /// The action; need not be said where there is one
    action: Option<String>,
    /// Its input
    #[arg(long, value_name = "JSON|@FILE")]
    with: Option<String>,
    /// A connection for a role: an address, or @FILE with what `connection list --json` shows of one
    #[arg(long = "connection", value_name = "ROLE=URL")]
    connections: Vec<String>,
    /// How to authenticate there: ROLE=bearer:REFERENCE, basic:USER:REFERENCE, header:NAME:REFERENCE, or for what only tools
    /// get kubeconfig:REFERENCE; a reference is env:NAME or file:/path
    #[arg(long = "credential", value_name = "ROLE=KIND:…")]
    credentials: Vec<String>,
    /// A native tool that the action runs
    #[arg(long = "tool", value_name = "NAME=PATH")]
    tools: Vec<String>,
    /// The connections may lead into private networks; those whose address says so may anyway
    #[arg(long)]
    private_network: bool,
    /// Stop every write
    #[arg(long)]
    dry_run: bool,
    /// Roll back instead: what was done with --resume FILE, or what gave --output
    #[arg(long, conflicts_with_all = ["find", "cancel"])]
    rollback: bool,
    /// Roll back after it has succeeded
    #[arg(long, conflicts_with_all = ["rollback", "find", "cancel", "no_wait"])]
    then_rollback: bool,
    /// Look for the effect instead, by the idempotency key of --resume FILE
    #[arg(long, conflicts_with = "cancel")]
    find: bool,
    /// Stop what was suspended with --resume FILE
    #[arg(long)]
    cancel: bool,
    /// What the action gave, for --rollback and --cancel
    #[arg(long, value_name = "JSON|@FILE")]
    output: Option<String>,
    /// Do not sit out suspensions: show the state and what wakes it, and end
    #[arg(long)]
    no_wait: bool,
    /// How long it may take, all its suspensions included
    #[arg(long, value_name = "TIME", default_value = "10m")]
    timeout: Span,
    /// Keep what a release would remember in this file, after each call
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Go on with what was kept; as if its timer had come, unless --callback is given
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// With --resume: the body of a callback that wakes it
    #[arg(long, value_name = "TEXT|@FILE", requires = "resume")]
    callback: Option<String>,
    /// Take callbacks here; plugins get addresses of it
    #[arg(long, value_name = "ADDRESS")]
    callbacks: Option<SocketAddr>,
}

#[derive(Serialize)]
struct View {
    ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// What the rollback gave that came after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<StepError>,
    usage: UsageView,
    happened: Vec<Happening>,
    session: Session,
}

#[derive(Serialize)]
struct UsageView {
    calls: u32,
    wall_ms: u128,
    cpu_ms: f64,
    memory_peak_bytes: u64,
    http_requests: u64,
    request_bytes: u64,
    response_bytes: u64,
    tool_calls: u64,
}

pub(crate) async fn run(args: RunArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let sandbox = check::sandbox()?;
    let file = component(&args.plugin, &sandbox, context.output).await?;
    let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let plugin = sandbox.prepare(&bytes).await.with_context(|| file.display().to_string())?;
    let kept = args.resume.as_deref().map(Session::read).transpose()?;
    let (name, action) = action(plugin.manifest(), args.action.as_deref(), kept.as_ref())?;
    let mut session = match kept {
        Some(kept) => kept,
        None => Session::new(plugin.digest().to_string(), name.clone(), input(args.with.as_deref(), action)?),
    };
    if session.component != plugin.digest().to_string() {
        context.output.note("(the component is another than the one that this was begun with)");
    }
    if let Some(output) = &args.output {
        session.output = Some(json(output, "--output")?);
    }
    let bindings = Bindings {
        connections: args.connections.clone(),
        credentials: args.credentials.clone(),
        tools: args.tools.clone(),
        private_network: args.private_network,
    };
    let access = binding::access(&bindings, action)?;
    if args.rollback && args.resume.is_none() {
        anyhow::ensure!(
            args.output.is_some(),
            "say what is to be rolled back: `--resume FILE` with what `--save FILE` kept of the run, or `--output` with what it gave"
        );
        context.output.note(
            "(of that run nothing is known but its output: a plugin that goes by its checkpoints, or by the keys of `start`, finds nothing to take back; `--resume FILE` has them)",
        );
    }
    let first = first_call(&args, action, &mut session)?;
    let listener = match args.callbacks {
        Some(address) => Some(Listener::start(address).await?),
        None => None,
    };
    let mut trial = Trial {
        access: Arc::new(access),
        dry_run: args.dry_run,
        wait: !args.no_wait,
        timeout: args.timeout,
        listener,
        shown: shown(context.output),
        plugin: Arc::clone(&plugin),
        sandbox,
    };
    let save = |session: &Session| args.save.as_deref().map_or(Ok(()), |file| session.write(file));
    let mut used = Used::default();
    let mut ended = trial.go(&mut session, first, &mut used, save).await?;
    let is_over = !matches!(ended, Ended::Suspended | Ended::NotFound | Ended::ByHost(_)) && !used.usage.wall.is_zero();
    let mut rolled_back = None;
    if args.then_rollback && is_over {
        session.operation = Operation::Rollback;
        // A failure stays one, whatever its rollback gave; as in a release, there may have been something to take back.
        match trial.go(&mut session, CallKind::Rollback, &mut used, save).await? {
            Ended::Done(gave) => {
                let failed = match ended {
                    Ended::Failed(_) => "it failed, and was ",
                    Ended::TooLong => "it took too long, and was ",
                    _ => "",
                };
                context.output.note(format_args!("{failed}rolled back: {gave}"));
                rolled_back = Some(gave);
            }
            other => {
                if let Ended::Done(output) = &ended {
                    context.output.note(format_args!("it gave {output}, and was not rolled back"));
                    ended = other;
                }
            }
        }
    }
    if matches!(ended, Ended::TooLong) {
        let left = if rolled_back.is_some() { String::new() } else { what_is_left(&args, action) };
        anyhow::bail!("it still waits after {}, which is as long as it may take (`--timeout`){left}", args.timeout);
    }
    Ok(show(ended, rolled_back, used, session, trial.shown.all(), context.output))
}

/// What can be done about an action that nobody waits for any more.
fn what_is_left(args: &RunArgs, action: &Action) -> String {
    let Some(file) = &args.save else {
        return "; what it began is still there, and goes on: with `--save FILE` one can go on with it, or take it back"
            .to_owned();
    };
    let resume = format!("--resume {}", file.display());
    let mut ways = vec![format!("`{resume}` goes on with it")];
    ways.extend(action.cancel.then(|| format!("`{resume} --cancel` stops it")));
    ways.extend(action.rollback.then(|| format!("`{resume} --rollback` takes it back")));
    format!("; what it began is still there: {}", ways.join(", "))
}

/// The component to run: of a folder, what is built of it.
pub(super) async fn component(
    plugin: &Path,
    sandbox: &windlass_sandbox::Sandbox,
    output: &Output,
) -> anyhow::Result<PathBuf> {
    if !plugin.is_dir() {
        anyhow::ensure!(plugin.is_file(), "there is no file or folder {}", plugin.display());
        return Ok(plugin.to_owned());
    }
    let built = author::build(&[plugin.to_owned()], None, sandbox, output).await?;
    built.into_iter().next().map(|it| it.file).context("nothing was built")
}

/// The action that is named, or the only one.
pub(super) fn action<'m>(
    manifest: &'m Manifest,
    named: Option<&str>,
    kept: Option<&Session>,
) -> anyhow::Result<(&'m ActionName, &'m Action)> {
    let known = || listed(manifest.actions.keys());
    let named = match (named, kept) {
        (Some(named), Some(kept)) => {
            let begun = kept.action.as_str();
            anyhow::ensure!(named == begun, "what was kept is of action `{begun}`, not `{named}`");
            Some(named)
        }
        (named, kept) => named.or(kept.map(|it| it.action.as_str())),
    };
    match named {
        Some(named) => manifest
            .actions
            .get_key_value(named)
            .with_context(|| format!("`{}` has no action `{named}`; it has {}", manifest.name, known())),
        None if manifest.actions.len() == 1 => manifest.actions.iter().next().context("a plugin has an action"),
        None => anyhow::bail!("say which action: `{}` has {}", manifest.name, known()),
    }
}

/// The input, checked before anything is called.
pub(super) fn input(with: Option<&str>, action: &Action) -> anyhow::Result<Value> {
    let input = with.map_or_else(|| Ok(serde_json::json!({})), |it| json(it, "--with"))?;
    let problems = windlass_model::check::input_problems(&action.input, &input).map_err(anyhow::Error::msg)?;
    let sentences: Vec<String> = problems.into_iter().map(|it| it.message).collect();
    anyhow::ensure!(
        sentences.is_empty(),
        "the input is not what the action takes: {}\n  say for example `--with '{}'`",
        sentences.join("; "),
        example(&action.input).unwrap_or_default()
    );
    Ok(input)
}

fn json(given: &str, flag: &str) -> anyhow::Result<Value> {
    let text = text(given)?;
    serde_json::from_str(&text)
        .with_context(|| format!("what `{flag}` gives is no JSON; write it as JSON, or @FILE for a file that holds it"))
}

fn text(given: &str) -> anyhow::Result<String> {
    match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read")),
        None => Ok(given.to_owned()),
    }
}

fn first_call(args: &RunArgs, action: &Action, session: &mut Session) -> anyhow::Result<CallKind> {
    let has = |operation: &str, has: bool| {
        anyhow::ensure!(has, "action `{}` has no `{operation}`", session.action);
        Ok(())
    };
    if args.rollback && !(session.operation == Operation::Rollback && session.waiting.is_some()) {
        has("rollback", action.rollback)?;
        session.operation = Operation::Rollback;
        return Ok(CallKind::Rollback);
    }
    if args.cancel {
        has("cancel", action.cancel)?;
        session.operation = Operation::Cancel;
        return Ok(CallKind::Cancel { state: session.waiting.take().map(|it| it.state.into()) });
    }
    if args.find {
        has("find", action.find)?;
        return Ok(CallKind::Find);
    }
    if args.resume.is_none() {
        return Ok(CallKind::Start);
    }
    let wake = match &args.callback {
        None => Wake::Timer,
        Some(body) => {
            let topic = session.waiting.as_ref().and_then(|it| it.topics.first().cloned());
            let topic = topic.context("it waits for no callback")?;
            Wake::Callback { topic, headers: Vec::new(), body: text(body)?.into_bytes() }
        }
    };
    session.resume(wake)
}

fn shown(output: &Output) -> Shown {
    let is_json = output.is_json();
    Shown::new(move |happening| {
        if !is_json {
            Output::new(false).note(line(happening));
        }
    })
}

fn show(
    ended: Ended,
    rolled_back: Option<Value>,
    used: Used,
    session: Session,
    happened: Vec<Happening>,
    output: &Output,
) -> u8 {
    let code = match &ended {
        Ended::Done(_) | Ended::ByHost(_) | Ended::NotFound | Ended::Suspended => 0,
        Ended::TooLong => 2,
        // Nothing was called.
        Ended::Failed(error) if error.origin == FailureOrigin::Host && used.usage.wall.is_zero() => 2,
        Ended::Failed(_) => 1,
    };
    let usage = UsageView {
        calls: used.calls,
        wall_ms: used.usage.wall.as_millis(),
        cpu_ms: used.usage.cpu.as_secs_f64() * 1_000.0,
        memory_peak_bytes: used.usage.memory_peak_bytes,
        http_requests: used.usage.http_requests,
        request_bytes: used.usage.request_bytes,
        response_bytes: used.usage.response_bytes,
        tool_calls: used.usage.tool_calls,
    };
    output.note(styled(
        DIM,
        format!(
            "{} calls, {} ms, {:.1} ms of processor, {} of memory, {} requests",
            usage.calls,
            usage.wall_ms,
            usage.cpu_ms,
            kib(usage.memory_peak_bytes),
            usage.http_requests
        ),
    ));
    let (name, value, error) = match ended {
        Ended::Done(value) => ("done", Some(value), None),
        Ended::ByHost(value) => ("ended_by_host", Some(value), None),
        Ended::NotFound => ("not_found", None, None),
        Ended::Suspended | Ended::TooLong => ("suspended", None, None),
        Ended::Failed(error) => ("failed", None, Some(error)),
    };
    let view = View { ended: name, output: value, rolled_back, error, usage, happened, session };
    if output.is_json() {
        output.data(&view, |_| String::new());
    } else if let Some(value) = &view.output {
        output.text(&serde_json::to_string_pretty(value).unwrap_or_default());
    }
    code
}
