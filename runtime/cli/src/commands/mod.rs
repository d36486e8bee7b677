//! The commands, one file each.

mod alert;
mod backup;
mod bench;
mod breaker;
mod callback;
mod card;
mod completions;
mod connection;
mod demo;
mod doctor;
mod drill;
mod graph;
mod group;
mod limit;
mod list;
mod owner;
mod plugin;
mod rehearse;
mod release;
mod rollback;
mod run;
mod schedule;
mod serve;
mod service;
mod store;
mod tool;
mod unknown;
mod validate;
mod watch;
mod winding_down;
mod wish;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use windlass_model::connection::{InvalidSecretReference, SecretReference};
use windlass_server::{Client, StateDirectory};

use crate::output::Output;

/// Runs release workflows durably: every step a sandboxed WebAssembly component.
///
/// Start with `windlass demo`.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Where everything is kept
    #[arg(long, global = true, value_name = "DIR", env = "WINDLASS_STATE", default_value = ".windlass")]
    state: PathBuf,

    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Validate(validate::ValidateArgs),
    Graph(graph::GraphArgs),
    Run(run::RunArgs),
    Rehearse(rehearse::RehearseArgs),
    /// Rehearse rollbacks at times, and tell which drills are overdue
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    Serve(serve::ServeArgs),
    /// Show releases and act on them
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Start releases at times: by cron expressions, or once
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Make, build, try and install plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Declare endpoints and how to authenticate there
    #[command(subcommand)]
    Connection(connection::ConnectionCommand),
    /// Declare native tools that plugins may run
    #[command(subcommand)]
    Tool(tool::ToolCommand),
    /// Hold releases back when too much fails, or by hand
    #[command(subcommand)]
    Breaker(breaker::BreakerCommand),
    /// Say that something is wrong, or who may: releases that name the alert are rolled back
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Show which versions of services are live, or say so
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Limit how many releases run at once, and how many wait
    #[command(subcommand)]
    Limit(limit::LimitCommand),
    /// Declare groups of people
    #[command(subcommand)]
    Group(group::GroupCommand),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    /// Look after the store
    #[command(subcommand)]
    Store(store::StoreCommand),
    Bench(bench::BenchArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
}

/// What commands need.
pub(crate) struct Context<'a> {
    pub(crate) output: &'a Output,
    state: PathBuf,
}

impl Context<'_> {
    /// Where the state directory is or would be.
    pub(crate) fn state_path(&self) -> &std::path::Path {
        &self.state
    }

    /// The state directory, if there is one.
    pub(crate) fn existing_state(&self) -> anyhow::Result<Option<StateDirectory>> {
        if self.state.is_dir() { self.state().map(Some) } else { Ok(None) }
    }

    /// The state directory, made if it is not there.
    pub(crate) fn state(&self) -> anyhow::Result<StateDirectory> {
        StateDirectory::open(&self.state)
            .with_context(|| format!("the state directory {} cannot be used", self.state.display()))
    }

    /// Whoever owns the state directory; says so when it is this process, and releases wait for one that goes on with them.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let is_new = !self.state.exists();
        let state = self.state()?;
        let client = Client::open(&state).await?;
        if is_new {
            let other =
                self.installation_above().map(|it| format!("; there is another one, {}: --state", it.display()));
            let (root, other) = (state.root().display(), other.unwrap_or_default());
            self.output.note(format_args!("({root} is new: nothing is installed there{other})"));
        }
        match client.left_waiting() {
            0 => {}
            1 => self.output.note(format_args!("(nothing is running: 1 open release waits for `windlass serve`)")),
            count => {
                self.output.note(format_args!("(nothing is running: {count} open releases wait for `windlass serve`)"));
            }
        }
        Ok(client)
    }

    /// An installation in a folder above, which somebody may have meant who is in a folder of it.
    fn installation_above(&self) -> Option<PathBuf> {
        let name = self.state.file_name().filter(|_| self.state.components().count() == 1)?;
        let here = std::env::current_dir().ok()?;
        here.ancestors().skip(1).map(|it| it.join(name)).find(|it| it.is_dir())
    }
}

pub(crate) async fn run(arguments: Arguments, output: &Output) -> anyhow::Result<u8> {
    let context = Context { output, state: arguments.state };
    match arguments.command {
        Command::Demo(args) => demo::demo(args, &context).await,
        Command::Validate(args) => validate::validate(&args, &context).await,
        Command::Graph(args) => graph::graph(&args, &context),
        Command::Run(args) => run::run(args, &context).await,
        Command::Rehearse(args) => rehearse::rehearse(args, &context).await,
        Command::Drill(command) => drill::drill(command, &context).await,
        Command::Serve(args) => serve::serve(args, &context).await,
        Command::Release(command) => release::release(command, &context).await,
        Command::Schedule(command) => schedule::schedule(command, &context).await,
        Command::Plugin(command) => plugin::plugin(command, &context).await,
        Command::Connection(command) => connection::connection(command, &context).await,
        Command::Tool(command) => tool::tool(command, &context).await,
        Command::Breaker(command) => breaker::breaker(command, &context).await,
        Command::Alert(command) => alert::alert(command, &context).await,
        Command::Service(command) => service::service(command, &context).await,
        Command::Limit(command) => limit::limit(command, &context).await,
        Command::Group(command) => group::group(command, &context).await,
        Command::Backup(args) => backup::backup(args, &context).await,
        Command::Restore(args) => backup::restore(args, &context).await,
        Command::Store(command) => store::store(command, &context).await,
        Command::Bench(args) => bench::bench(args, &context).await,
        Command::Doctor(args) => doctor::doctor(&args, &context).await,
        Command::Completions(args) => completions::completions(&args, &context),
    }
}

/// Reads where a secret is. What was given may be the secret itself, and is not repeated as clap's own errors would.
#[derive(Debug, Clone)]
pub(crate) struct ReferenceParser;

impl clap::builder::TypedValueParser for ReferenceParser {
    type Value = SecretReference;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<SecretReference, clap::Error> {
        value.to_string_lossy().parse().map_err(|error: InvalidSecretReference| {
            let of = argument.and_then(clap::Arg::get_long).map(|it| format!("--{it}: ")).unwrap_or_default();
            let kind = clap::error::ErrorKind::ValueValidation;
            clap::Error::raw(kind, format!("{of}{error}\n")).with_cmd(command)
        })
    }
}

/// Whom a person says to act for: journals and screens name them.
pub(crate) fn person(name: &str) -> Result<String, String> {
    const BYTES_MAX: usize = 256;
    let is_name = !name.trim().is_empty() && name.len() <= BYTES_MAX && windlass_model::text::one_line(name) == name;
    if is_name {
        Ok(name.to_owned())
    } else {
        Err(format!("a name on one line, of at most {BYTES_MAX} bytes, is wanted"))
    }
}

/// A workflow file and those that it uses, by where they are from its folder. What is not there is left out: who
/// checks the files says where it is missed.
pub(crate) fn read_with_used(
    file: &std::path::Path,
) -> anyhow::Result<(windlass_model::problem::Source, BTreeMap<String, String>)> {
    use windlass_model::parse::{files_used, resolve};
    let source = read_source(file)?;
    let folder = file.parent().unwrap_or(std::path::Path::new(""));
    let own = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = BTreeMap::new();
    let mut open: Vec<String> = files_used(&source).iter().map(|it| resolve(&own, it)).collect();
    while let Some(name) = open.pop() {
        if files.len() >= USED_FILES_MAX || files.contains_key(&name) || !folder.join(&name).is_file() {
            continue;
        }
        let used = read_source(&folder.join(&name))?;
        open.extend(files_used(&used).iter().map(|it| resolve(&name, it)));
        files.insert(name, used.text().to_owned());
    }
    Ok((source, files))
}

/// How many files a workflow may use.
const USED_FILES_MAX: usize = 100;

pub(crate) fn read_source(file: &std::path::Path) -> anyhow::Result<windlass_model::problem::Source> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (source, problem) = windlass_model::problem::Source::from_bytes(file.display().to_string(), &bytes);
    match problem {
        None => Ok(source),
        Some(problem) => anyhow::bail!("{}: {}", file.display(), problem.message),
    }
}
