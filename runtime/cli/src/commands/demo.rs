//! `windlass demo`

mod change_board;
pub(crate) mod cluster;
mod counterparts;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use windlass_sandbox::{Sandbox, SandboxOptions};
use windlass_server::api::{GroupBody, PluginView, ReleasesPage, StartBody, Started, serve};
use windlass_server::{Client, Runtime, RuntimeOptions};

use super::watch::{Approvals, watch};
use super::{Context, read_source};
use crate::author;
use crate::output::{BAD, GOOD, STRONG, styled};

/// Run a whole release: build, change, approval, deployment, verification
///
/// Starts a simulated Jenkins and a simulated ServiceNow, builds and installs the plugins of this
/// checkout, and runs workflows/payments-release.yaml. End it at any moment, even with `kill -9`: the
/// next `windlass demo` goes on where it was.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass demo\n  windlass demo --yes\n  windlass demo --bad         # a version that never gets healthy: watch it roll back\n  windlass demo --kubeconfig ~/.kube/kind-config --helm /usr/local/bin/helm"
)]
pub(crate) struct DemoArgs {
    /// Approve everything; for running it unattended
    #[arg(long)]
    yes: bool,

    /// The version to release
    #[arg(long, default_value = "2.4.1")]
    version: String,

    /// Release a version that never gets ready, to see a rollback
    #[arg(long)]
    bad: bool,

    /// Deploy to this cluster with the real helm. Without it the current context of KUBECONFIG or
    /// ~/.kube/config is used if its cluster is on this machine, else a stand-in for helm: a demo must not
    /// deploy to a cluster that nobody named
    #[arg(long, env = "WINDLASS_DEMO_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// Use the stand-in for helm even where a cluster is on this machine
    #[arg(long, conflicts_with = "kubeconfig")]
    stand_in: bool,

    /// The real helm
    #[arg(long, env = "WINDLASS_DEMO_HELM", default_value = "helm")]
    helm: PathBuf,

    /// Leave the simulated systems running when the release has ended
    #[arg(long)]
    keep: bool,
}

const PLUGINS: [&str; 4] = ["http", "jenkins", "servicenow", "helm"];
const WORKFLOW: &str = "workflows/payments-release.yaml";

/// A member of release-managers who is not whoever starts the demo.
const APPROVER: &str = "ana";

pub(crate) async fn demo(args: DemoArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let output = context.output;
    let state = context.state()?;
    anyhow::ensure!(
        Client::connect(&state).await.is_none(),
        "another process already runs in {}; end it first",
        state.root().display()
    );
    let root = checkout()?;
    let sandbox = Sandbox::new(SandboxOptions::default()).context("the sandbox")?;
    output.note(format_args!(
        "{} plugins {} (the first time takes a minute)",
        styled(STRONG, "building"),
        PLUGINS.join(", ")
    ));
    let folders: Vec<PathBuf> = PLUGINS.iter().map(|it| root.join("plugins").join(it)).collect();
    let built = author::build(&folders, None, &sandbox, output).await?;
    drop(sandbox);

    let helm = built.iter().find(|it| it.plugin == "helm").context("the plugin `helm` was not built")?;
    let helm = std::fs::read(&helm.file).with_context(|| format!("{} cannot be read", helm.file.display()))?;
    let helm = Sandbox::inspect(&helm).context("the plugin `helm`")?.manifest;
    let counterparts = counterparts::start(&root, &state, &args, &helm, output).await?;
    let runtime = Runtime::open(state.clone(), RuntimeOptions::default()).await?;
    let serving = serve(runtime.clone()).await?;
    let client = Client::Here(runtime);
    for plugin in &built {
        let bytes = std::fs::read(&plugin.file).with_context(|| format!("{} cannot be read", plugin.file.display()))?;
        let installed: Result<PluginView, _> = client.post_bytes("/v1/plugins", bytes.into()).await;
        installed.with_context(|| {
            format!(
                "{} {} was not installed; `rm -r {}` begins anew",
                plugin.plugin,
                plugin.version,
                state.root().display()
            )
        })?;
    }
    for connection in &counterparts.connections {
        let _: serde_json::Value = client.post("/v1/connections", connection).await?;
    }
    let _: serde_json::Value = client.post("/v1/tools", &counterparts.helm).await?;
    let group = GroupBody { name: "release-managers".to_owned(), members: vec![APPROVER.to_owned(), "ben".to_owned()] };
    let _: GroupBody = client.post("/v1/groups", &group).await?;

    let release = match open_release(&client).await? {
        Some(release) => {
            output.note(format_args!("{} {release}, which had not ended", styled(STRONG, "going on with")));
            release
        }
        None => start(&client, &root, &args, counterparts.cluster_is_simulated).await?,
    };
    output.note("");
    let approvals = match (args.yes, std::io::stdin().is_terminal()) {
        (true, _) => Approvals::Give(APPROVER),
        (false, true) => Approvals::Ask(APPROVER),
        (false, false) => Approvals::Wait,
    };
    let board = tokio::spawn(change_board::sit(client.clone(), release.clone(), counterparts.change_board()));
    let view = watch(&client, &release, context, approvals).await?;
    board.abort();
    drop(serving);
    if view.ended && !args.keep {
        counterparts.stop().await;
    }
    if output.is_json() {
        output.data(&view, |_| String::new());
        return Ok(super::watch::exit_code(&view));
    }
    let end = if view.succeeded { styled(GOOD, "succeeded") } else { styled(BAD, &view.state) };
    output.note(format_args!("\n{release} {end}. Look at:"));
    let windlass = program();
    for (command, what) in [
        (format!("release show {release}"), "what happened, from the journal"),
        (format!("release logs {release} --requests"), "what the steps said and which requests they made"),
        ("plugin inspect jenkins".to_owned(), "what a plugin asks for"),
        ("connection list".to_owned(), "where credentials are, and what they allow"),
        (format!("graph {WORKFLOW}"), "the workflow as a picture"),
        ("demo --bad".to_owned(), "a release that is rolled back"),
    ] {
        output.note(format_args!("  {windlass} {command:50} {what}"));
    }
    Ok(super::watch::exit_code(&view))
}

/// What to type to run this program again: `cargo run` does not put it on the path.
fn program() -> String {
    std::env::args().next().filter(|it| !it.is_empty()).unwrap_or_else(|| "windlass".to_owned())
}

/// The root of the checkout, from the folder we are in.
fn checkout() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder")?;
    here.ancestors()
        .find(|it| it.join(WORKFLOW).is_file() && it.join("plugins").is_dir())
        .map(Path::to_path_buf)
        .context("the demo builds the plugins of a Windlass checkout: run it inside of one")
}

async fn open_release(client: &Client) -> anyhow::Result<Option<String>> {
    let newest: ReleasesPage = client.get("/v1/releases?open=true&limit=1").await?;
    Ok(newest.releases.into_iter().next().map(|it| it.release))
}

async fn start(client: &Client, root: &Path, args: &DemoArgs, cluster_is_simulated: bool) -> anyhow::Result<String> {
    let source = read_source(&root.join(WORKFLOW))?;
    let mut body = StartBody::of(&source);
    body.arguments = BTreeMap::from([
        ("version".to_owned(), args.version.clone()),
        ("chart".to_owned(), root.join("workflows/charts/payments").display().to_string()),
    ]);
    if cluster_is_simulated {
        // Nothing is pulled, so nothing is waited for.
        body.arguments.insert("ready_within".to_owned(), "20s".to_owned());
    }
    if args.bad {
        body.arguments.insert("tag".to_owned(), format!("{}-bad", args.version));
    }
    let started: Started = client.post("/v1/releases", &body).await?;
    Ok(started.release)
}
