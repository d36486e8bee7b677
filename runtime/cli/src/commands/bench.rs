//! `windlass bench`: how fast this machine is at releases.
//!
//! **Invariant:** what is measured is the whole path, as `windlass run` takes it: the engine decides, the
//! store syncs to a real disk, the sandbox calls a component in an instance of its own.
//! **Invariant:** a release counts only if it succeeded; one that did not is an error.

mod finished;
mod folder;
mod load;
mod long;
mod parked;
mod raw;
mod soak;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use windlass_model::name::ActionName;
use windlass_sandbox::{Sandbox, SandboxOptions};
use windlass_server::catalog::Installed;
use windlass_server::{Runtime, RuntimeOptions, StateDirectory};

use super::Context;
use crate::author;
use crate::output::{DIM, STRONG, styled};
use load::Cell;
use raw::Raw;

/// Measure this machine with real releases of steps that do nothing
///
/// Runs releases of 1, 3 and 9 steps, one after another in each release, on a store of its own beside the
/// state directory, with real syncs; removes it afterwards. Beside them: what the disk, the store and the
/// sandbox can do alone. For sizing a machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass bench\n  windlass bench --json --seconds 10 --parallel 256 --steps 9\n  windlass bench --dir /var/lib/windlass   # the disk that will be used\n  windlass bench --parked 100000           # what waiting costs\n  windlass bench --long 100,1000,10000     # what one long release costs\n  windlass bench --finished 1000000        # what history costs\n  windlass bench --soak 60 --json          # what remains after an hour of load"
)]
pub(crate) struct BenchArgs {
    /// How long each measurement takes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Releases in parallel, one measurement each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 16, 64, 256], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    parallel: Vec<u32>,

    /// Steps of a release, one measurement each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 3, 9], value_parser = clap::value_parser!(u32).range(1..=100))]
    steps: Vec<u32>,

    /// Instead: begin so many releases that wait, and measure what they cost while they do
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    parked: Option<u64>,

    /// Instead: run a release of each of so many steps, and compare what a step takes
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with = "parked", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    long: Option<Vec<u32>>,

    /// Instead: run releases for so many minutes, and look at the disk, the memory and the speed meanwhile
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["parked", "long"], value_parser = clap::value_parser!(u64).range(1..=10_000))]
    soak: Option<u64>,

    /// Instead: run so many releases first, and compare the store that they fill with a fresh one
    #[arg(long, value_name = "N", conflicts_with_all = ["parked", "long", "soak"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    finished: Option<u64>,

    /// A component with the actions `noop` and `wait`; the one of the checkout is built unless given
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,

    /// Where the store of the measurement is made and removed; beside the state directory unless given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    raw: Raw,
    cells: Vec<Cell>,
}

/// The action that steps of a measurement use.
const ACTION: &str = "noop";

/// Where its source is, in a checkout.
const PACKAGE: &str = "conformance/noop";

pub(crate) async fn bench(args: BenchArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let output = context.output;
    let folder = args.dir.clone().unwrap_or_else(|| existing(&context.state));
    anyhow::ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let component = component(&args, context).await?;
    let temporary = tempfile::Builder::new()
        .prefix("windlass-bench-")
        .tempdir_in(&folder)
        .with_context(|| format!("{} cannot hold the measurement's store", folder.display()))?;
    output.note(format_args!(
        "{} in {}, {} s each",
        styled(STRONG, "measuring"),
        temporary.path().display(),
        args.seconds
    ));
    let mut terminated = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        done = chosen(&args, component, temporary.path(), context) => done?,
        // The folder is removed on the way out.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
    if let Err(error) = temporary.close() {
        output.note(format_args!("the measurement's folder was not removed: {error}"));
    }
    Ok(0)
}

/// Measures what was asked for, and prints it.
async fn chosen(args: &BenchArgs, component: Vec<u8>, folder: &Path, context: &Context<'_>) -> anyhow::Result<()> {
    let output = context.output;
    let note = |text: String| output.note(styled(DIM, text));
    if let Some(count) = args.finished {
        let duration = Duration::from_secs(args.seconds);
        let finished = finished::measure(&component, folder, count, duration, &note).await?;
        output.data(&finished, ToString::to_string);
        return Ok(());
    }
    if args.parked.is_none() && args.long.is_none() && args.soak.is_none() {
        let measured = measure(args, component, folder, context).await?;
        output.data(&measured, table);
        return Ok(());
    }
    let state = folder.join("state");
    let directory = StateDirectory::open(&state).context("the measurement's state directory")?;
    let runtime = Runtime::open(directory, RuntimeOptions::default()).await?;
    let Installed { manifest, .. } = runtime.install(component).await.context("the component was not installed")?;
    if let Some(count) = args.parked {
        let parked = parked::measure(runtime, &manifest, &state, count).await?;
        output.data(&parked, ToString::to_string);
    } else if let Some(lengths) = &args.long {
        let long = long::measure(&runtime, &manifest, &state, lengths).await?;
        output.data(&long, ToString::to_string);
    } else if let Some(minutes) = args.soak {
        let soak = soak::measure(&runtime, &manifest, &state, minutes, &note).await?;
        output.data(&soak, ToString::to_string);
    }
    Ok(())
}

/// For people and programs alike: no more than two digits after the point.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The folder itself or the nearest around it that is there: on the file system the folder will be on.
fn existing(folder: &Path) -> PathBuf {
    let around = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    around.ancestors().find(|it| it.is_dir()).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The component to measure with.
async fn component(args: &BenchArgs, context: &Context<'_>) -> anyhow::Result<Vec<u8>> {
    let file = match &args.component {
        Some(file) => file.clone(),
        None => {
            let here = std::env::current_dir().context("the current folder")?;
            let package = here.ancestors().map(|it| it.join(PACKAGE)).find(|it| it.join("Cargo.toml").is_file());
            let package = package.with_context(|| {
                format!("the plugin to measure with is {PACKAGE} of a Windlass checkout: run this inside of one, or name a component with --component")
            })?;
            let sandbox = Sandbox::new(SandboxOptions::default()).context("the sandbox")?;
            context
                .output
                .note(format_args!("{} {PACKAGE} (the first time takes a minute)", styled(STRONG, "building")));
            let built = author::build(&[package], None, &sandbox, context.output).await?;
            built.into_iter().next().context("cargo built no component")?.file
        }
    };
    std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))
}

async fn measure(
    args: &BenchArgs,
    component: Vec<u8>,
    folder: &Path,
    context: &Context<'_>,
) -> anyhow::Result<Measured> {
    let output = context.output;
    let duration = Duration::from_secs(args.seconds);
    let state = StateDirectory::open(folder.join("state")).context("the measurement's state directory")?;
    let runtime = Runtime::open(state, RuntimeOptions::default()).await?;
    let plugin = runtime.sandbox()?.prepare(&component).await.context("the component was refused")?;
    let action: ActionName = ACTION.parse().context("an action's name")?;
    let Installed { manifest, .. } = runtime.install(component).await.context("the component was not installed")?;
    anyhow::ensure!(manifest.actions.contains_key(&action), "plugin `{}` has no action `{ACTION}`", manifest.name);

    let raw = raw::measure(runtime.sandbox()?, &plugin, folder, duration).await?;
    output.note(styled(DIM, raw.to_string()));
    let (mut cells, mut releases) = (Vec::new(), 0);
    for steps in &args.steps {
        let plan = load::plan(&runtime, &manifest, &load::Work { action: ACTION, with: "{}", steps: *steps }).await?;
        for parallel in &args.parallel {
            let (cell, count) = load::measure(&runtime, &plan, *parallel, duration).await?;
            releases += count;
            output.note(styled(DIM, cell.to_string()));
            cells.push(cell);
        }
    }
    runtime.all_ended().await;
    output
        .note(format_args!("{releases} releases were run, and all succeeded; the store that they filled is removed\n"));
    Ok(Measured { raw, cells })
}

fn table(measured: &Measured) -> String {
    let Measured { raw, cells } = measured;
    let mut text = format!(
        "{}\n  fdatasync of a small append  {:>10.0} µs (p50)\n  store, {} callers           {:>10.0} appends/s\n  sandbox, a call              {:>10.1} µs (p50)\n\n",
        styled(STRONG, "alone"),
        raw.fdatasync_p50_us,
        raw::CALLERS,
        raw.store_appends_per_s,
        raw.sandbox_p50_us,
    );
    let heading = format!(
        "{:>5} {:>9} {:>11} {:>9} {:>9} {:>9} {:>12}",
        "steps", "parallel", "releases/s", "steps/s", "p50 ms", "p99 ms", "CPU µs/step"
    );
    text.push_str(&format!("{}\n", styled(STRONG, heading)));
    for cell in cells {
        text.push_str(&cell.row());
        text.push('\n');
    }
    text
}
