//! A store full of finished releases against a fresh one.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;
use windlass_model::time::Span;
use windlass_server::api::ReleasesPage;
use windlass_server::catalog::Installed;
use windlass_server::{Client, Runtime, RuntimeError, RuntimeOptions, StateDirectory};

use super::load::Cell;
use super::{ACTION, folder, load, rounded};

/// Releases that begin at the same time while the store is filled.
const FILLERS: u64 = 256;

/// What is measured on both stores.
const STEPS: u32 = 9;
const PARALLEL: u32 = 256;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Finished {
    releases: u64,
    filled_per_s: f64,
    /// A fresh store, turn and turn about with the full one: how far these are apart is how noisy the machine is.
    fresh: Vec<Cell>,
    full: Vec<Cell>,
    /// The full one in the process that has just run and archived all of it.
    just_filled: Cell,
    /// Steps per second of the full one against the fresh ones.
    throughput_ratio: f64,
    cpu_ratio: f64,
    reopened_s: f64,
    newest_page_ms: f64,
    disk_mb: f64,
    disk_bytes_each: f64,
    rss_mb: f64,
}

/// Turns of both stores.
const TURNS: usize = 4;

/// Fills a store with so many finished releases, opens it again, and measures it against a fresh one.
pub(crate) async fn measure(
    component: &[u8],
    folder: &Path,
    count: u64,
    duration: Duration,
    note: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Finished> {
    let state = folder.join("full");
    let runtime = open(component, &state).await?;
    let disk_before = folder::disk(&state)?;
    let filled = Instant::now();
    fill(&runtime, count).await?;
    let filled = filled.elapsed();
    runtime.archive(Span(0)).await?;
    let disk = folder::disk(&state)?.saturating_sub(disk_before);
    note(format!("{count} releases have ended, {:.0} bytes of disk each", disk as f64 / count as f64));
    let just_filled = cell(&runtime, duration).await?;
    note(format!("full: {just_filled}"));

    drop(runtime);
    let begun = Instant::now();
    let directory = StateDirectory::open(&state).context("the measurement's state directory")?;
    let runtime = Runtime::open(directory, RuntimeOptions::default()).await?;
    let reopened = begun.elapsed();
    note(format!("opened again in {:.2} s", reopened.as_secs_f64()));
    let begun = Instant::now();
    let page: ReleasesPage = Client::Here(runtime.clone()).get("/v1/releases?limit=50").await?;
    let newest_page = begun.elapsed();
    anyhow::ensure!(page.releases.len() == 50.min(count as usize), "a page of {} releases", page.releases.len());
    let rss = folder::resident()?;
    let beside = open(component, &folder.join("fresh")).await?;
    let (mut fresh, mut full) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        for (name, store, cells) in [("fresh", &beside, &mut fresh), ("full, opened again", &runtime, &mut full)] {
            let measured = cell(store, duration).await?;
            note(format!("{name}: {measured}"));
            cells.push(measured);
        }
    }
    let mean = |cells: &[Cell], of: fn(&Cell) -> f64| cells.iter().map(of).sum::<f64>() / cells.len() as f64;
    Ok(Finished {
        releases: count,
        filled_per_s: rounded(count as f64 / filled.as_secs_f64()),
        throughput_ratio: rounded(mean(&full, Cell::steps_per_s) / mean(&fresh, Cell::steps_per_s)),
        cpu_ratio: rounded(mean(&full, Cell::cpu_us_per_step) / mean(&fresh, Cell::cpu_us_per_step)),
        fresh,
        full,
        just_filled,
        reopened_s: rounded(reopened.as_secs_f64()),
        newest_page_ms: rounded(newest_page.as_secs_f64() * 1e3),
        disk_mb: rounded(disk as f64 / 1e6),
        disk_bytes_each: rounded(disk as f64 / count as f64),
        rss_mb: rounded(rss as f64 / 1e6),
    })
}

async fn open(component: &[u8], state: &Path) -> anyhow::Result<Runtime> {
    let directory = StateDirectory::open(state).context("the measurement's state directory")?;
    let runtime = Runtime::open(directory, RuntimeOptions::default()).await?;
    runtime.install(component.to_vec()).await.context("the component was not installed")?;
    Ok(runtime)
}

async fn cell(runtime: &Runtime, duration: Duration) -> anyhow::Result<Cell> {
    let manifest = manifest(runtime)?.manifest;
    let work = load::Work { action: ACTION, with: "{}", steps: STEPS };
    let plan = load::plan(runtime, &manifest, &work).await?;
    let (cell, _) = load::measure(runtime, &plan, PARALLEL, duration).await?;
    runtime.all_ended().await;
    Ok(cell)
}

fn manifest(runtime: &Runtime) -> anyhow::Result<Installed> {
    runtime.catalog().plugins.into_values().flat_map(|it| it.into_values()).next().context("no plugin is installed")
}

/// Runs so many releases of one step, which are archived meanwhile.
async fn fill(runtime: &Runtime, count: u64) -> anyhow::Result<()> {
    let manifest = manifest(runtime)?.manifest;
    let plan = load::plan(runtime, &manifest, &load::Work { action: ACTION, with: "{}", steps: 1 }).await?;
    // Not the upkeep of a server, which would go on while the full store is measured.
    let archiving = tokio::spawn(archive_again_and_again(runtime.clone()));
    let mut workers = JoinSet::new();
    for worker in 0..FILLERS {
        let (runtime, plan) = (runtime.clone(), plan.clone());
        let mine = (count + FILLERS - 1 - worker) / FILLERS;
        workers.spawn(async move {
            for _ in 0..mine {
                load::run_and_check(&runtime, &plan).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    archiving.abort();
    Ok(())
}

async fn archive_again_and_again(runtime: Runtime) -> Result<(), RuntimeError> {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        runtime.archive(Span(0)).await?;
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { releases, filled_per_s, throughput_ratio, cpu_ratio, reopened_s, .. } = self;
        let Self { newest_page_ms, disk_mb, disk_bytes_each, rss_mb, .. } = self;
        writeln!(f, "{releases} finished releases ({filled_per_s:.0}/s while filled and archived)")?;
        writeln!(f, "  filled {}", self.just_filled)?;
        for (name, cells) in [("fresh", &self.fresh), ("full", &self.full)] {
            for cell in cells {
                writeln!(f, "  {name:<6} {cell}")?;
            }
        }
        writeln!(f, "  throughput of the full store is {throughput_ratio:.2} of a fresh one's, CPU {cpu_ratio:.2}")?;
        writeln!(f, "  opened again in      {reopened_s:>10.2} s")?;
        writeln!(f, "  newest page of 50    {newest_page_ms:>10.2} ms")?;
        writeln!(f, "  disk                 {disk_mb:>10.0} MB, {disk_bytes_each:.0} bytes each")?;
        write!(f, "  memory               {rss_mb:>10.0} MB")
    }
}
