//! `windlass plugin replay`, and the cassettes of `windlass plugin test --from-release`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use windlass_sandbox::cassette::{Cassette, Difference, Differences, What, replay};
use windlass_sandbox::{Plugin, Sandbox};
use windlass_server::api::RecordingsBody;

use super::installed;
use crate::author;
use crate::commands::Context;
use crate::output::{BAD, DIM, GOOD, Output, styled};

/// How the name of a cassette's file ends.
const CASSETTE: &str = ".cassette.json";

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// A cassette, as `windlass plugin test --from-release` writes it
    #[arg(required_unless_present = "old", conflicts_with_all = ["old", "new"], requires = "component")]
    cassette: Option<PathBuf>,
    /// The component to play it with
    component: Option<PathBuf>,
    /// Play all recorded attempts of this component: a file, or an installed plugin as NAME or NAME@VERSION
    #[arg(long, requires = "new", value_name = "COMPONENT")]
    old: Option<String>,
    /// With this one: a file
    #[arg(long, requires = "old", value_name = "FILE")]
    new: Option<PathBuf>,
}

/// Which attempt of which release.
#[derive(Debug, clap::Args)]
pub(crate) struct FromReleaseArgs {
    /// Make a test of a real attempt instead: write what a step of this release, which was recorded (`windlass run
    /// --record`), asked for and got
    #[arg(long, value_name = "RELEASE", requires = "step")]
    pub(crate) from_release: Option<String>,
    /// Which step of the release, or item of one
    #[arg(long, requires = "from_release")]
    step: Option<String>,
    /// Which operation
    #[arg(long, requires = "from_release", value_parser = ["start", "cancel", "rollback"], default_value = "start")]
    operation: String,
    /// Which attempt; the last one unless given
    #[arg(long, requires = "from_release")]
    attempt: Option<u32>,
    /// Where it goes; RELEASE-STEP.cassette.json unless given
    #[arg(long, requires = "from_release", value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What came of playing one attempt.
#[derive(Debug, Serialize)]
struct Attempt {
    /// The cassette that it is in, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    release: String,
    step: String,
    operation: String,
    attempt: u32,
    action: String,
    calls: Vec<CallView>,
}

#[derive(Debug, Serialize)]
struct CallView {
    function: String,
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    component: String,
    /// Whether nothing differs.
    pub(crate) same: bool,
    attempts: Vec<Attempt>,
    /// Whether there are more recordings than were played.
    more: bool,
}

/// Writes a cassette.
pub(crate) async fn write(args: &FromReleaseArgs, release: &str, context: &Context<'_>) -> anyhow::Result<u8> {
    let step = args.step.as_deref().context("say which step: `--step NAME`")?;
    let attempt = args.attempt.map(|it| format!("&attempt={it}")).unwrap_or_default();
    let path = format!("/v1/releases/{release}/cassette?step={step}&operation={}{attempt}", args.operation);
    let cassette: Cassette = context.client().await?.get(&path).await?;
    let file = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{release}-{step}{CASSETTE}")));
    if let Some(folder) = file.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    std::fs::write(&file, cassette.to_json()).with_context(|| format!("{} cannot be written", file.display()))?;
    context.output.data(&serde_json::json!({ "file": file, "calls": cassette.calls.len() }), |_| {
        let calls =
            if cassette.calls.len() == 1 { "call".to_owned() } else { format!("{} calls", cassette.calls.len()) };
        format!(
            "{}  {calls} of {}/{} in attempt {} of {step} in {release}\n{}\n",
            file.display(),
            cassette.plugin,
            cassette.action,
            cassette.attempt,
            styled(DIM, "it holds what the plugin read: look it over before you commit it")
        )
    });
    Ok(0)
}

pub(crate) async fn play(args: ReplayArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let sandbox = author::check::sandbox()?;
    let (cassettes, file, more) = match (args.cassette, args.component, args.old, args.new) {
        (Some(cassette), Some(component), None, None) => {
            (vec![(Some(cassette.clone()), read(&cassette)?)], component, false)
        }
        (None, None, Some(old), Some(new)) => {
            let digest = digest_of(&old, context).await?;
            let path = format!("/v1/recordings?component={digest}");
            let recorded: RecordingsBody = context.client().await?.get(&path).await?;
            anyhow::ensure!(
                !recorded.attempts.is_empty(),
                "no attempt of {old} ({digest}) is recorded; `windlass run --record` records a release"
            );
            (recorded.attempts.into_iter().map(|it| (None, it)).collect(), new, recorded.more)
        }
        _ => anyhow::bail!("give a cassette and a component, or `--old` and `--new`"),
    };
    let plugin = prepared(&sandbox, &file).await?;
    let report = Report { more, ..play_all(&sandbox, &plugin, cassettes).await };
    context.output.data(&report, shown);
    Ok(u8::from(!report.same))
}

/// Plays the cassettes that lie beside a plugin's tests with the plugin as it is now; nothing if there are none.
pub(crate) async fn play_committed(folder: &Path, output: &Output) -> anyhow::Result<Option<Report>> {
    let files = committed(folder);
    if files.is_empty() {
        return Ok(None);
    }
    let sandbox = author::check::sandbox()?;
    let built = author::build(&[folder.to_owned()], None, &sandbox, output).await?;
    let built = built.first().context("a folder is one plugin")?;
    let plugin = prepared(&sandbox, &built.file).await?;
    let mut cassettes = Vec::new();
    for file in files {
        let cassette = read(&file)?;
        anyhow::ensure!(
            cassette.plugin.split('@').next() == Some(built.plugin.as_str()),
            "{} is of plugin `{}`, and this is `{}`",
            file.display(),
            cassette.plugin,
            built.plugin
        );
        cassettes.push((Some(file), cassette));
    }
    Ok(Some(play_all(&sandbox, &plugin, cassettes).await))
}

/// The cassettes in a plugin's folder and in those of its tests, by name.
fn committed(folder: &Path) -> Vec<PathBuf> {
    let folders = [folder.to_owned(), folder.join("test"), folder.join("tests")];
    let entries = folders.iter().filter_map(|it| std::fs::read_dir(it).ok()).flatten().flatten();
    let mut files: Vec<_> = entries.map(|it| it.path()).filter(|it| it.to_string_lossy().ends_with(CASSETTE)).collect();
    files.sort();
    files
}

async fn play_all(sandbox: &Sandbox, plugin: &Arc<Plugin>, cassettes: Vec<(Option<PathBuf>, Cassette)>) -> Report {
    let mut attempts = Vec::new();
    for (file, cassette) in cassettes {
        attempts.push(Attempt { file, ..play_one(sandbox, plugin, cassette).await });
    }
    let same = attempts.iter().all(|it| it.calls.iter().all(|it| it.differences.is_empty()));
    Report { component: plugin.digest().to_string(), same, attempts, more: false }
}

fn read(file: &Path) -> anyhow::Result<Cassette> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Cassette::parse(&text).with_context(|| file.display().to_string())
}

/// The digest by which recordings know a component.
async fn digest_of(what: &str, context: &Context<'_>) -> anyhow::Result<String> {
    if Path::new(what).is_file() {
        let bytes = std::fs::read(what).with_context(|| format!("{what} cannot be read"))?;
        return Ok(windlass_model::digest::Digest::of(&bytes).to_string());
    }
    Ok(installed(what, context).await?.0)
}

/// Without this a cassette of nothing would be taken for one that is the same.
async fn prepared(sandbox: &Sandbox, file: &Path) -> anyhow::Result<Arc<Plugin>> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    sandbox.prepare(&bytes).await.with_context(|| format!("{} is no plugin that can be played", file.display()))
}

async fn play_one(sandbox: &Sandbox, plugin: &Arc<Plugin>, cassette: Cassette) -> Attempt {
    let mut calls = Vec::new();
    for call in cassette.calls {
        let function = call.function.clone();
        let played = replay(sandbox, plugin, &cassette.action, Arc::new(call), Differences::Collect).await;
        calls.push(CallView { function, differences: played.differences });
    }
    let (release, step, operation) = (cassette.release, cassette.step, cassette.operation);
    Attempt { file: None, release, step, operation, attempt: cassette.attempt, action: cassette.action, calls }
}

pub(crate) fn shown(report: &Report) -> String {
    let mut text = String::new();
    for it in &report.attempts {
        let same = it.calls.iter().all(|it| it.differences.is_empty());
        let sign = if same { styled(GOOD, "✔") } else { styled(BAD, "✘") };
        let Attempt { file, release, step, operation, attempt, action, .. } = it;
        let from = file.as_ref().map(|it| format!("  {}", it.display())).unwrap_or_default();
        let from = styled(DIM, format!("{action}{from}"));
        text.push_str(&format!("{sign} {release}  {step}  {operation}, attempt {attempt}  {from}\n"));
        for (at, call) in it.calls.iter().enumerate() {
            for Difference { what, of, how } in &call.differences {
                let verb = match what {
                    What::Changed => "differs",
                    What::NotRecorded => "is not in the recording, and was not answered",
                    What::NotMade => "is not made any more",
                    What::Outcome => "is another one",
                    What::Refused => "cannot be played",
                };
                text.push_str(&format!("  call {} ({}): {of} {verb}\n", at + 1, call.function));
                for line in how {
                    text.push_str(&format!("    {}\n", styled(DIM, line)));
                }
            }
        }
    }
    if report.more {
        text.push_str("there are older recordings, which were not played\n");
    }
    text
}
