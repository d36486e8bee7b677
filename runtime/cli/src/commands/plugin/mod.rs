//! `windlass plugin`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use windlass_model::manifest::{Effect, Manifest};
use windlass_sandbox::{Sandbox, SandboxOptions};
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
            let sandbox = Sandbox::new(SandboxOptions::default()).context("the sandbox")?;
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
                let plugins: Vec<PluginView> = context.client().await?.get("/v1/plugins").await?;
                let found = plugins.into_iter().rfind(|it| it.manifest.name.as_str() == plugin);
                let found = found.with_context(|| format!("`{plugin}` is neither a file nor an installed plugin"))?;
                (found.component, found.manifest)
            };
            let view = serde_json::json!({ "component": digest, "manifest": manifest });
            context.output.data(&view, |_| describe(&digest, &manifest));
        }
    }
    Ok(0)
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
