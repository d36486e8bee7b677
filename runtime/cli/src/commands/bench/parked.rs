//! Releases that wait: what they cost while they do, and how long opening a store full of them takes.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;
use windlass_model::manifest::Manifest;
use windlass_server::{Runtime, RuntimeOptions, StateDirectory};

use super::{folder, load, rounded};

/// The action that waits.
const ACTION: &str = "wait";

/// How long it waits: longer than any measurement.
const WAIT: &str = "30d";

/// Releases that begin at the same time.
const PARALLEL: usize = 256;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Parked {
    releases: u64,
    begun_per_s: f64,
    /// Of the whole process, before there were any and with all of them.
    rss_before_mb: f64,
    rss_mb: f64,
    bytes_of_memory_each: f64,
    bytes_of_disk_each: f64,
    /// Processor time of a second in which nothing happens.
    idle_cpu_us_per_s: f64,
    reopened_s: f64,
    /// From asking for the end of one of them to having it.
    woken_ms: f64,
}

/// Fills a store with releases that wait.
pub(crate) async fn measure(runtime: Runtime, manifest: &Manifest, state: &Path, count: u64) -> anyhow::Result<Parked> {
    let plan =
        load::plan(&runtime, manifest, &load::Work { action: ACTION, with: &format!("{{ for: {WAIT} }}"), steps: 1 })
            .await?;
    // What only the first release does.
    let first = load::begin(&runtime, &plan).await?;
    let (rss_before, disk_before) = (folder::resident()?, folder::disk(state)?);
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..PARALLEL as u64 {
        let (runtime, plan) = (runtime.clone(), plan.clone());
        let mine = (count + PARALLEL as u64 - 1 - worker) / PARALLEL as u64;
        workers.spawn(async move {
            for _ in 0..mine {
                load::begin(&runtime, &plan).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    while runtime.attended().0 > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begun.elapsed();
    anyhow::ensure!(runtime.attended().1 as u64 == count + 1, "{:?} are parked", runtime.attended());
    let (rss, disk) = (folder::resident()?, folder::disk(state)?);

    let (idle, cpu) = (Instant::now(), load::cpu_time());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle_cpu = (load::cpu_time() - cpu).as_secs_f64() * 1e6 / idle.elapsed().as_secs_f64();

    // As another process would: everything of this one goes first.
    drop(runtime);
    let directory = StateDirectory::open(state).context("the measurement's state directory")?;
    let begun = Instant::now();
    let runtime = Runtime::open(directory, RuntimeOptions::default()).await?;
    let reopened = begun.elapsed();
    anyhow::ensure!(runtime.attended().1 as u64 == count + 1, "{:?} are parked after opening", runtime.attended());

    let begun = Instant::now();
    let ended = runtime.ended(&first);
    load::cancel(&runtime, &first).await?;
    ended.await;
    let woken = begun.elapsed();

    let megabytes = |bytes: u64| rounded(bytes as f64 / 1e6);
    Ok(Parked {
        releases: count,
        begun_per_s: rounded(count as f64 / took.as_secs_f64()),
        rss_before_mb: megabytes(rss_before),
        rss_mb: megabytes(rss),
        bytes_of_memory_each: rounded(rss.saturating_sub(rss_before) as f64 / count as f64),
        bytes_of_disk_each: rounded(disk.saturating_sub(disk_before) as f64 / count as f64),
        idle_cpu_us_per_s: rounded(idle_cpu),
        reopened_s: rounded(reopened.as_secs_f64()),
        woken_ms: rounded(woken.as_secs_f64() * 1e3),
    })
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { releases, begun_per_s, rss_before_mb, rss_mb, bytes_of_memory_each, .. } = self;
        let Self { bytes_of_disk_each, idle_cpu_us_per_s, reopened_s, woken_ms, .. } = self;
        writeln!(f, "{releases} releases that wait")?;
        writeln!(f, "  begun                {begun_per_s:>10.0} /s")?;
        writeln!(
            f,
            "  memory               {rss_mb:>10.0} MB ({rss_before_mb:.0} MB before), {bytes_of_memory_each:.0} bytes each"
        )?;
        writeln!(f, "  disk                 {bytes_of_disk_each:>10.0} bytes each")?;
        writeln!(f, "  processor, idle      {idle_cpu_us_per_s:>10.0} µs/s")?;
        writeln!(f, "  opened again in      {reopened_s:>10.2} s")?;
        write!(f, "  one woken and ended  {woken_ms:>10.2} ms")
    }
}
