//! Steady load for a long time, with the upkeep of a server: what a release leaves on the disk, and whether anything grows.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use windlass_model::manifest::Manifest;
use windlass_model::time::Span;
use windlass_server::Runtime;
use windlass_server::upkeep::Upkeep;

use super::{ACTION, folder, load, rounded};

/// Steps of a release, and releases in parallel.
const STEPS: u32 = 3;
const PARALLEL: u32 = 64;

/// Finished releases are archived after this: an hour of a server's life would be too long to see anything.
const ARCHIVE_AFTER: Span = Span::seconds(10);

/// How often it is looked; at least this many times.
const LOOK_MAX: Duration = Duration::from_secs(60);
const LOOKS_MIN: u32 = 10;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    minutes: u64,
    releases: u64,
    steps_of_a_release: u32,
    parallel: u32,
    archive_after: Span,
    looks: Vec<Look>,
    first_releases_per_s: f64,
    last_releases_per_s: f64,
    /// What a release adds on the disk in the second half of the time.
    disk_bytes_per_release_late: f64,
}

/// How it stands at a time.
#[derive(Debug, Clone, Serialize)]
struct Look {
    seconds: f64,
    releases: u64,
    releases_per_s: f64,
    cpu_us_per_step: f64,
    disk_mb: f64,
    disk_bytes_per_release: f64,
    rss_mb: f64,
}

/// Runs releases for so many minutes.
pub(crate) async fn measure(
    runtime: &Runtime,
    manifest: &Manifest,
    state: &Path,
    minutes: u64,
    note: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Soak> {
    let plan = load::plan(runtime, manifest, &load::Work { action: ACTION, with: "{}", steps: STEPS }).await?;
    load::run_and_check(runtime, &plan).await?;
    runtime.keep_up(Upkeep { archive_after: ARCHIVE_AFTER, retention: None });
    let duration = Duration::from_secs(minutes * 60);
    let (begun, disk_before) = (Instant::now(), folder::disk(state)?);
    let ended = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..PARALLEL {
        let (runtime, plan, ended) = (runtime.clone(), plan.clone(), ended.clone());
        workers.spawn(async move {
            while begun.elapsed() < duration {
                load::run_and_check(&runtime, &plan).await?;
                ended.fetch_add(1, Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let mut looks: Vec<Look> = Vec::new();
    let look = (duration / LOOKS_MIN).min(LOOK_MAX);
    let (mut since, mut before, mut cpu) = (begun, 0, load::cpu_time());
    while begun.elapsed() + look / 2 < duration {
        tokio::time::sleep(look).await;
        let (now, releases, cpu_now) = (Instant::now(), ended.load(Relaxed), load::cpu_time());
        let disk = folder::disk(state)?.saturating_sub(disk_before);
        let new = (releases - before).max(1) as f64;
        let found = Look {
            seconds: rounded((now - begun).as_secs_f64()),
            releases,
            releases_per_s: rounded((releases - before) as f64 / (now - since).as_secs_f64()),
            cpu_us_per_step: rounded((cpu_now - cpu).as_secs_f64() * 1e6 / (new * f64::from(STEPS))),
            disk_mb: rounded(disk as f64 / 1e6),
            disk_bytes_per_release: rounded(disk as f64 / releases.max(1) as f64),
            rss_mb: rounded(folder::resident()? as f64 / 1e6),
        };
        (since, before, cpu) = (now, releases, cpu_now);
        note(found.to_string());
        looks.push(found);
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let (Some(first), Some(middle), Some(last)) = (looks.first(), looks.get(looks.len() / 2), looks.last()) else {
        anyhow::bail!("nothing was seen");
    };
    let late = (last.disk_mb - middle.disk_mb) * 1e6 / (last.releases - middle.releases).max(1) as f64;
    Ok(Soak {
        minutes,
        releases: ended.load(Relaxed),
        steps_of_a_release: STEPS,
        parallel: PARALLEL,
        archive_after: ARCHIVE_AFTER,
        first_releases_per_s: first.releases_per_s,
        last_releases_per_s: last.releases_per_s,
        disk_bytes_per_release_late: rounded(late),
        looks,
    })
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, releases, releases_per_s, cpu_us_per_step, disk_mb, disk_bytes_per_release, rss_mb } = self;
        write!(
            f,
            "{seconds:>7.0} s {releases:>9} releases {releases_per_s:>7.0}/s {cpu_us_per_step:>5.0} CPU µs/step {disk_mb:>7.0} MB {disk_bytes_per_release:>6.0} bytes each, memory {rss_mb:>5.0} MB"
        )
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minutes, releases, steps_of_a_release, parallel, archive_after, .. } = self;
        writeln!(
            f,
            "{releases} releases of {steps_of_a_release} steps in {minutes} minutes, {parallel} in parallel, archived {archive_after} after their end"
        )?;
        for look in &self.looks {
            writeln!(f, "  {look}")?;
        }
        writeln!(f, "  at first {:.0} releases/s, at last {:.0}", self.first_releases_per_s, self.last_releases_per_s)?;
        write!(f, "  disk in the second half: {:.0} bytes for each release", self.disk_bytes_per_release_late)
    }
}
