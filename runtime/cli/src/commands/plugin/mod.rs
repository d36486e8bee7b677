//! `windlass plugin`

mod bench;
mod certify;
mod check;
mod diff;
mod inspect;
mod new;
mod replay;
mod run;
mod service;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use windlass_model::manifest::Manifest;
use windlass_server::api::PluginView;

use super::Context;
use crate::author;
use crate::output::{DIM, STRONG, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a plugin to begin with, in a folder that needs nothing beside it
    #[command(
        after_help = "It has an action with a typed input and output, a suspended wait, failures of its own, a rollback and tests, and a copy of its SDK; its README.md says how to go on.\n\nExamples:\n  windlass plugin new weather --lang rust\n  windlass plugin new ticket-desk --lang python --in plugins/ticket-desk"
    )]
    New(new::NewArgs),
    /// Replace the copy of the SDK in a plugin's folder with the one of this program
    Sdk {
        /// The plugin's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Run a plugin's own tests: native, without a network
    #[command(
        after_help = "Recorded attempts that lie beside the tests (`*.cassette.json`) are played with the plugin as it is now. It tells which operations of which actions no test calls. Exit code 1: a test failed, a recorded attempt differs, or nothing calls an action.\n\nExamples:\n  windlass plugin test .\n  windlass plugin test --from-release payments-17 --step build --out tests/build.cassette.json   # a real attempt becomes a test"
    )]
    Test {
        /// The plugin's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Install the language's tools first where they are missing
        #[arg(long, conflicts_with = "from_release")]
        install_tools: bool,
        #[command(flatten)]
        from: replay::FromReleaseArgs,
    },
    /// Be a simulated job service, which a new plugin can be tried with
    Service(service::ServiceArgs),
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
        /// Install the language's tools first where they are missing: into the plugin's folder, from npm or PyPI
        #[arg(long)]
        install_tools: bool,
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
    /// Play recorded attempts again without the world, and show what differs
    #[command(
        after_help = "A call runs in the sandbox as in a release; what it asks for is answered from the recording, and from nowhere else. Exit code 1: something differs.\n\nExamples:\n  windlass plugin replay tests/build.cassette.json target/windlass/jenkins-0.1.0.wasm\n  windlass plugin replay --old jenkins@0.1.0 --new target/windlass/jenkins-0.2.0.wasm"
    )]
    Replay(replay::ReplayArgs),
    /// Certify a plugin: what any plugin must pass, driven from outside against a counterpart that fails
    #[command(
        after_help = "A file `conformance.yaml` beside the plugin says how it is exercised. A proxy between it and its counterpart loses answers, refuses, cuts bodies short and never ends; a script in the place of its native tools kills them before and after their work and in the middle of what they print; the host ends calls in the middle, goes on from saved state, stops and rolls back. `--explain` says what each check means, what to do when it fails, and what may be in the file. Exit code 1: something failed; 2: the file or the counterpart does not work.\n\nExamples:\n  windlass plugin certify .\n  windlass plugin certify jobs.wasm --file conformance.yaml --out result.json --transcripts failures\n  windlass plugin certify . --only once --at 2 --action submit   # one scenario, with all that happens in it\n  windlass plugin certify . --replay failures/submit.once.2.json\n  windlass plugin certify --explain once"
    )]
    Certify(Box<certify::CertifyArgs>),
    /// Measure a component: its size, compiling, loading, a call, memory
    #[command(
        after_help = "Examples:\n  windlass plugin bench .\n  windlass plugin bench jobs.wasm submit --rollback --with '{\"title\": \"index\"}' --connection jobs=https://jobs.test"
    )]
    Bench(Box<bench::BenchArgs>),
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
        PluginCommand::New(args) => new::new(&args, context)?,
        PluginCommand::Sdk { folder } => {
            let language = author::sdk::replace(&folder)?;
            context.output.data(&serde_json::json!({ "folder": folder, "language": language }), |_| {
                format!("{} has the SDK for {} of this program\n", folder.display(), language.name())
            });
        }
        PluginCommand::Test { folder, install_tools, from } => {
            if let Some(release) = &from.from_release {
                return replay::write(&from, release, context).await;
            }
            if install_tools {
                author::install::install(&folder, context.output).await?;
            }
            let tests = author::test::test(&folder, context.output).await?;
            let played = if tests.passed { replay::play_committed(&folder, context.output).await? } else { None };
            let tested = Tested { tests, played };
            context.output.data(&tested, Tested::shown);
            return Ok(u8::from(!tested.is_good()));
        }
        PluginCommand::Service(args) => return service::service(&args, context).await,
        PluginCommand::Build { packages, out, install_tools } => {
            if install_tools {
                for package in &packages {
                    author::install::install(package, context.output).await?;
                }
            }
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
        PluginCommand::Replay(args) => return replay::play(args, context).await,
        PluginCommand::Certify(args) => return certify::certify(*args, context).await,
        PluginCommand::Run(args) => return run::run(*args, context).await,
        PluginCommand::Bench(args) => return bench::bench(*args, context).await,
        PluginCommand::Install { components } => {
            let client = context.client().await?;
            let mut installed: Vec<PluginView> = Vec::new();
            for component in components {
                anyhow::ensure!(
                    !component.is_dir(),
                    "{0} is a folder: name the component that `windlass plugin build {0}` makes, {1}",
                    component.display(),
                    component.join("target/windlass/NAME-VERSION.wasm").display()
                );
                let bytes =
                    std::fs::read(&component).with_context(|| format!("{} cannot be read", component.display()))?;
                let installing = client.post_bytes("/v1/plugins", bytes.into());
                let view = author::tools::patiently(installing, || {
                    let note = format!(
                        "… {}: compiled for this machine, once; half a minute where an engine is in it",
                        component.display()
                    );
                    context.output.note(styled(DIM, note));
                })
                .await;
                installed.push(view.with_context(|| format!("{} was not installed", component.display()))?);
            }
            context.output.data(&installed, |it| it.iter().map(line).collect());
        }
        PluginCommand::List => {
            let plugins: Vec<PluginView> = context.client().await?.get("/v1/plugins").await?;
            context.output.data(&plugins, |it| it.iter().map(line).collect());
        }
        PluginCommand::Inspect { plugin } => inspect::inspect(&plugin, context).await?,
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

/// What a plugin's tests came to, and the recordings beside them.
#[derive(Serialize)]
struct Tested {
    #[serde(flatten)]
    tests: author::test::Tests,
    /// What came of playing the cassettes, where there are some and all tests pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    played: Option<replay::Report>,
}

impl Tested {
    fn is_good(&self) -> bool {
        let same = self.played.as_ref().is_none_or(|it| it.same);
        self.tests.passed && same && (self.tests.call_actions || self.played.is_some())
    }

    fn shown(&self) -> String {
        let mut text = match &self.tests {
            tests if !tests.passed => return "tests fail\n".to_owned(),
            tests if !tests.call_actions && self.played.is_none() => {
                return "no test calls an action: write one with the test host of the SDK, as the tests that `windlass plugin new` makes do\n"
                    .to_owned();
            }
            _ => "all tests pass\n".to_owned(),
        };
        for (action, operations) in &self.tests.untested {
            text.push_str(&format!("no test calls `{action}`: {}\n", operations.join(", ")));
        }
        text.push_str(&self.played.as_ref().map(replay::shown).unwrap_or_default());
        if self.played.as_ref().is_some_and(|it| !it.same) {
            text.push_str("the plugin does something else than was recorded: mend it, or record the attempt anew\n");
        }
        text
    }
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
