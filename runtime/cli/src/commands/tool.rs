//! `windlass tool`

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use windlass_model::connection::Tool;
use windlass_model::digest::Digest;
use windlass_model::name::{ConnectionName, PluginName, ToolName};
use windlass_model::time::Span;
use windlass_server::client::Client;

use super::Context;
use super::unknown::note_unknown;

#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// Declare a native tool; replaces the one of this name
    #[command(
        after_help = "Example:\n  windlass tool add helm --path /usr/local/bin/helm --subcommand upgrade --subcommand status --connection cluster"
    )]
    Add(AddArgs),
    /// Let a tool do more; all else of it stays as it is
    #[command(after_help = "Example:\n  windlass tool change helm --subcommand rollback --connection cluster")]
    Change(ChangeArgs),
    /// List tools
    List,
    /// Forget a tool
    Remove {
        /// Which
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name, as manifests write it
    name: ToolName,
    /// The program
    #[arg(long)]
    path: PathBuf,
    /// A subcommand that plugins may run
    #[arg(long = "subcommand", required = true, value_parser = subcommand)]
    subcommands: Vec<String>,
    /// How commands begin that change nothing, for example history or 'upgrade --dry-run=server': what dry runs may run
    #[arg(long = "dry-run", value_name = "COMMAND")]
    dry_run: Vec<String>,
    /// A connection whose credential it may receive
    #[arg(long = "connection")]
    connections: Vec<ConnectionName>,
    /// A plugin that may run it; without this, every plugin that asks for it
    #[arg(long = "plugin")]
    plugins: Vec<PluginName>,
    /// After this long it is killed with its children
    #[arg(long, default_value = "30s")]
    timeout: Span,
    /// Bytes that it may print
    #[arg(long, default_value_t = Tool::default_output_bytes())]
    output_bytes: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Which
    name: ToolName,
    /// A subcommand that plugins may run as well
    #[arg(long = "subcommand", value_parser = subcommand)]
    subcommands: Vec<String>,
    /// How commands begin that change nothing
    #[arg(long = "dry-run", value_name = "COMMAND")]
    dry_run: Vec<String>,
    /// A connection whose credential it may receive as well
    #[arg(long = "connection")]
    connections: Vec<ConnectionName>,
    /// A plugin that may run it as well
    #[arg(long = "plugin")]
    plugins: Vec<PluginName>,
}

/// With more rights. No plugins in the list are all of them.
fn changed(mut tool: Tool, args: ChangeArgs) -> anyhow::Result<Tool> {
    fn add<T: PartialEq>(to: &mut Vec<T>, more: Vec<T>) {
        for it in more {
            if !to.contains(&it) {
                to.push(it);
            }
        }
    }
    let (subcommands, forms_given) = (args.subcommands, args.dry_run);
    let is_empty = subcommands.is_empty() && forms_given.is_empty() && args.connections.is_empty();
    anyhow::ensure!(
        !(is_empty && args.plugins.is_empty()),
        "say what it is to do: `--subcommand`, `--dry-run`, `--connection` or `--plugin`"
    );
    anyhow::ensure!(
        args.plugins.is_empty() || !tool.plugins.is_empty(),
        "every plugin may run `{}` already",
        tool.name
    );
    add(&mut tool.subcommands, subcommands);
    add(&mut tool.dry_run, forms(&tool.subcommands, forms_given)?);
    add(&mut tool.connections, args.connections);
    add(&mut tool.plugins, args.plugins);
    Ok(tool)
}

/// A subcommand: one word.
fn subcommand(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('-') || text.contains([',', ' ']) {
        return Err("a subcommand is one word: give `--subcommand` once for each".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) async fn tool(command: ToolCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let tools: Vec<Tool> = match command {
        ToolCommand::Add(args) => {
            let path = std::fs::canonicalize(&args.path)
                .with_context(|| format!("{} cannot be found", args.path.display()))?;
            let program = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let mode = std::fs::metadata(&path).map(|it| it.permissions().mode());
            anyhow::ensure!(
                mode.is_ok_and(|it| it & 0o111 != 0),
                "{0} is not executable: `chmod +x {0}`, if it is the program",
                path.display()
            );
            let tool = Tool {
                name: args.name,
                digest: Digest::of(&program),
                path,
                dry_run: forms(&args.subcommands, args.dry_run)?,
                subcommands: args.subcommands,
                connections: args.connections,
                plugins: args.plugins,
                wall_ms: args.timeout.as_millis(),
                output_bytes: args.output_bytes,
            };
            vec![kept(&tool, &client, context).await?]
        }
        ToolCommand::Change(args) => {
            let known: Vec<Tool> = client.get("/v1/tools").await?;
            let names: Vec<&str> = known.iter().map(|it| it.name.as_str()).collect();
            let missing = || match names.as_slice() {
                [] => format!("there is no tool `{}`; `windlass tool add` declares one", args.name),
                names => format!("there is no tool `{}`; there is {}", args.name, names.join(", ")),
            };
            let before = known.iter().find(|it| it.name == args.name).with_context(missing)?.clone();
            vec![kept(&changed(before, args)?, &client, context).await?]
        }
        ToolCommand::List => client.get("/v1/tools").await?,
        ToolCommand::Remove { name } => {
            client.delete(&format!("/v1/tools/{name}")).await?;
            client.get("/v1/tools").await?
        }
    };
    context.output.data(&tools, |it| it.iter().map(shown).collect());
    Ok(0)
}

/// Declares it, and says which of what it names is not there.
async fn kept(tool: &Tool, client: &Client, context: &Context<'_>) -> anyhow::Result<Tool> {
    let kept: Tool = client.post("/v1/tools", tool).await?;
    note_unknown(&kept.connections, &kept.plugins, client, context).await?;
    Ok(kept)
}

/// A few lines for people.
fn shown(tool: &Tool) -> String {
    let mut text = format!("{}  {} ({})\n", tool.name, tool.path.display(), tool.digest.short());
    let connections: Vec<&str> = tool.connections.iter().map(ConnectionName::as_str).collect();
    let credentials = if connections.is_empty() { "none".to_owned() } else { connections.join(" ") };
    text.push_str(&format!("  {}; credentials of: {credentials}\n", tool.subcommands.join(" ")));
    if !tool.dry_run.is_empty() {
        text.push_str(&format!("  dry runs run {}\n", tool.dry_run.join("; ")));
    }
    if !tool.plugins.is_empty() {
        let plugins: Vec<&str> = tool.plugins.iter().map(PluginName::as_str).collect();
        text.push_str(&format!("  only for {}\n", plugins.join(" ")));
    }
    text
}

/// The forms, each with its words one space apart; each begins with an allowed subcommand.
fn forms(subcommands: &[String], given: Vec<String>) -> anyhow::Result<Vec<String>> {
    let forms = given.into_iter().map(|it| {
        let words: Vec<&str> = it.split_whitespace().collect();
        let is_allowed = words.first().is_some_and(|first| subcommands.iter().any(|it| it == first));
        anyhow::ensure!(
            is_allowed,
            "`--dry-run {it}` begins with none of the subcommands ({}): write the command as it begins, for example 'upgrade --dry-run=server'",
            subcommands.join(", ")
        );
        Ok(words.join(" "))
    });
    forms.collect()
}
