//! `windlass plugin`

mod check;
mod diff;
mod replay;
mod run;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use windlass_model::manifest::{Effect, Manifest};
use windlass_sandbox::Sandbox;
use windlass_server::api::PluginView;

use super::Context;
use crate::author;
use crate::output::{DIM, STRONG, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Build plugins and embed their manifests
    #[command(
        after_help = "The project file tells the language: Cargo.toml (Rust), package.json (JavaScript, TypeScript), pyproject.toml (Python), windlass.toml (C), go.mod (Go).\n\nExamples:\n  windlass plugin build plugins/jenkins plugins/helm\n  windlass plugin build sdk/js/example --out components"
    )]
    Build {
        /// Folders with a project file
        #[arg(required = true)]
        packages: Vec<PathBuf>,
        /// Where the components go; target/windlass of the workspace or folder unless given
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Look a component over: contract, manifest, schemas, grants, sizes; no server is needed
    #[command(
        after_help = "Exit code 1: something can never work, or no host would take it. Advice does not change the exit code.\n\nExamples:\n  windlass plugin check .\n  windlass plugin check target/windlass/jenkins-0.1.0.wasm"
    )]
    Check(check::CheckArgs),
    /// Compare two versions of a plugin: what breaks workflows, what asks for more
    #[command(
        after_help = "Exit code 1: something breaks workflows, or it can reach, change or use more than before.\n\nExamples:\n  windlass plugin diff jenkins target/windlass/jenkins-0.2.0.wasm\n  windlass plugin diff old.wasm new.wasm --json"
    )]
    Diff(diff::DiffArgs),
    /// Try one action against given connections; every call of the host is shown as it happens
    #[command(
        after_help = "Nothing is installed and nothing is recorded; suspensions are sat out, and what a release would remember is kept in a file where --save says so. The output goes to standard output, the rest to standard error. Exit code 1: the action failed.\n\nExamples:\n  windlass plugin run . submit --with '{\"title\": \"index\"}' --connection jobs=http://127.0.0.1:8000\n  windlass plugin run jobs.wasm --with @input.json --connection jobs=https://jobs.example.com --credential jobs=bearer:env:JOBS_TOKEN --then-rollback\n  windlass plugin run jobs.wasm --with @input.json --connection jobs=http://127.0.0.1:8000 --no-wait --save step.json\n  windlass plugin run jobs.wasm --resume step.json --connection jobs=http://127.0.0.1:8000"
    )]
    Run(Box<run::RunArgs>),
    /// Make a test of a real attempt: what it asked for and got, in a file that can be played again offline
    #[command(
        after_help = "Example:\n  windlass plugin test --from-release payments-17 --step build --out tests/build.cassette.json"
    )]
    Test {
        #[command(flatten)]
        from: replay::FromReleaseArgs,
    },
    /// Play recorded attempts again without the world, and show what differs
    #[command(
        after_help = "A call runs in the sandbox as in a release; what it asks for is answered from the recording, and from nowhere else. Exit code 1: something differs.\n\nExamples:\n  windlass plugin replay tests/build.cassette.json target/windlass/jenkins-0.1.0.wasm\n  windlass plugin replay --old jenkins@0.1.0 --new target/windlass/jenkins-0.2.0.wasm"
    )]
    Replay(replay::ReplayArgs),
    /// Install components
    #[command(after_help = "Example:\n  windlass plugin install target/windlass/jenkins-0.1.0.wasm")]
    Install {
        /// Component files
        #[arg(required = true)]
        components: Vec<PathBuf>,
    },
    /// List installed plugins
    List,
    /// Show what a component says of itself, without running it
    Inspect {
        /// A component file, or the name of an installed plugin
        plugin: String,
    },
}

pub(crate) async fn plugin(command: PluginCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    match command {
        PluginCommand::Build { packages, out } => {
            let sandbox = author::check::sandbox()?;
            let built = author::build(&packages, out.as_deref(), &sandbox, context.output).await?;
            context.output.data(&built, |it| {
                let lines = it.iter().map(|it| {
                    format!(
                        "{} {}  {} ({} KiB{})\n  {}\n",
                        it.plugin,
                        it.version,
                        it.file.display(),
                        it.bytes / 1024,
                        if it.kept { ", as built before from the same source" } else { "" },
                        it.digest
                    )
                });
                lines.collect()
            });
        }
        PluginCommand::Check(args) => return check::check(&args, context).await,
        PluginCommand::Diff(args) => return diff::diff(&args, context).await,
        PluginCommand::Test { from } => {
            let release = from.from_release.as_deref().context("say of which release: `--from-release RELEASE`")?;
            return replay::write(&from, release, context).await;
        }
        PluginCommand::Replay(args) => return replay::play(args, context).await,
        PluginCommand::Run(args) => return run::run(*args, context).await,
        PluginCommand::Install { components } => {
            let client = context.client().await?;
            let mut installed: Vec<PluginView> = Vec::new();
            for component in components {
                let bytes =
                    std::fs::read(&component).with_context(|| format!("{} cannot be read", component.display()))?;
                let view = client.post_bytes("/v1/plugins", bytes.into()).await;
                installed.push(view.with_context(|| format!("{} was not installed", component.display()))?);
            }
            context.output.data(&installed, |it| it.iter().map(line).collect());
        }
        PluginCommand::List => {
            let plugins: Vec<PluginView> = context.client().await?.get("/v1/plugins").await?;
            context.output.data(&plugins, |it| it.iter().map(line).collect());
        }
        PluginCommand::Inspect { plugin } => {
            let (digest, manifest) = if std::path::Path::new(&plugin).is_file() {
                let bytes = std::fs::read(&plugin).with_context(|| format!("{plugin} cannot be read"))?;
                let inspection = Sandbox::inspect(&bytes).with_context(|| plugin.clone())?;
                (inspection.digest.to_string(), inspection.manifest)
            } else {
                installed(&plugin, context).await?
            };
            let view = serde_json::json!({ "component": digest, "manifest": manifest });
            context.output.data(&view, |_| describe(&digest, &manifest));
        }
    }
    Ok(0)
}

/// An installed plugin by `NAME` or `NAME@VERSION`: its digest and what it says of itself.
async fn installed(what: &str, context: &Context<'_>) -> anyhow::Result<(String, Manifest)> {
    let missing = || format!("`{what}` is neither a file nor an installed plugin; `windlass plugin list` lists those");
    // What looks like a file's name is none of a plugin, and asks nobody.
    anyhow::ensure!(!what.contains('/') && !what.ends_with(".wasm"), "there is no file {what}");
    anyhow::ensure!(context.existing_state()?.is_some(), missing());
    let plugins: Vec<PluginView> = context.client().await?.get("/v1/plugins").await?;
    let found = plugins.into_iter().rfind(|it| {
        let name = it.manifest.name.as_str();
        name == what || format!("{name}@{}", it.manifest.version) == what
    });
    let found = found.with_context(missing)?;
    Ok((found.component, found.manifest))
}

/// Bytes as people read them.
fn kib(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn line(it: &PluginView) -> String {
    let digest = it.component.get(7..19).unwrap_or_default();
    format!(
        "{} {}  {} {}\n",
        styled(STRONG, &it.manifest.name),
        it.manifest.version,
        it.manifest.description,
        styled(DIM, digest)
    )
}

fn describe(digest: &str, manifest: &Manifest) -> String {
    let mut text = format!(
        "{} {} (contract {})\n{}\n{digest}\n",
        styled(STRONG, &manifest.name),
        manifest.version,
        manifest.contract,
        manifest.description
    );
    for (name, action) in &manifest.actions {
        let effect = match action.effect {
            Effect::Read => "reads",
            Effect::IdempotentWrite => "writes, repeatable",
            Effect::Write => "writes",
        };
        let can = [("cancel", action.cancel), ("rollback", action.rollback), ("find", action.find)];
        let can: Vec<&str> = can.into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
        text.push_str(&format!(
            "\n{}/{}  {}\n  {effect}; {}\n",
            manifest.name,
            styled(STRONG, name),
            action.description,
            can.join(", ")
        ));
        for (which, schema) in [("with", &action.input), ("gives", &action.output)] {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
            let fields: Vec<String> = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(field, _)| if required.contains(&field.as_str()) { format!("{field}*") } else { field.clone() })
                .collect();
            text.push_str(&format!("  {which}: {}\n", fields.join(", ")));
        }
        for (role, need) in &action.connections {
            let rules: Vec<String> =
                need.requests.iter().map(|it| format!("{} {}", it.methods.join(","), it.path)).collect();
            text.push_str(&format!("  connection {role}: {}\n", rules.join("; ")));
        }
        for (tool, need) in &action.tools {
            text.push_str(&format!("  tool {tool}: {}\n", need.subcommands.join(" ")));
        }
    }
    text
}
