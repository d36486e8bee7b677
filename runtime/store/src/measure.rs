//! How fast this machine makes things durable: the disk alone, and a store on it.
//!
//! These write for real. [`appends_per_second`] leaves releases named `measure` behind, so give it a store of its own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::try_join_all;
use serde_json::json;
use windlass_model::event::{Event, Record};
use windlass_model::name::{ReleaseId, StepName, WorkflowName};
use windlass_model::time::Timestamp;

use crate::{Append, AppendError, Outline, Store};

/// The size of a small append.
const SMALL_BYTES: usize = 400;

/// The median of so many syncs.
const SYNCS: usize = 400;

/// Measures the median time that `fdatasync` takes after a small append to a file in this folder. Blocks.
pub fn fdatasync_p50(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!("measure-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    let mut measure = || -> io::Result<Duration> {
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[b'x'; SMALL_BYTES])?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        times.sort();
        Ok(times[SYNCS / 2])
    };
    let measured = measure();
    fs::remove_file(&path)?;
    measured
}

/// Measures how many appends per second a store makes durable for so many callers, each of which
/// waits for one append before it makes the next. Needs a tokio runtime.
pub async fn appends_per_second<S: Store + ?Sized>(
    store: &Arc<S>,
    callers: usize,
    duration: Duration,
) -> Result<f64, AppendError> {
    let workflow: WorkflowName = "measure".parse().expect("a name");
    let first = {
        let (store, workflow) = (Arc::clone(store), workflow.clone());
        tokio::task::spawn_blocking(move || store.next_number(&workflow)).await.expect("it does not panic")?
    };
    let appended = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let tasks = (0..callers as u64).map(|caller| {
        let (store, appended) = (Arc::clone(store), Arc::clone(&appended));
        let release = ReleaseId::new(workflow.clone(), first + caller);
        tokio::spawn(async move {
            for expected in 0.. {
                if begun.elapsed() >= duration {
                    break;
                }
                store.append(small_append(&release, expected)).await?;
                appended.fetch_add(1, Relaxed);
            }
            Ok::<(), AppendError>(())
        })
    });
    for ended in try_join_all(tasks).await.expect("they do not panic") {
        ended?;
    }
    Ok(appended.load(Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

/// An append like the end of a step: about [`SMALL_BYTES`] with its outline.
fn small_append(release: &ReleaseId, expected: u64) -> Append {
    let now = Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64));
    let step: StepName = "build".parse().expect("a name");
    let output = json!({ "build": expected, "url": format!("https://ci.example.com/job/payments/{expected}/"), "log": "x".repeat(180) });
    Append {
        release: release.clone(),
        expected,
        record: Record { at: now, events: vec![Event::AttemptSucceeded { step, output }] },
        outline: Some(Outline {
            release: release.clone(),
            state: "running".to_owned(),
            since: now,
            created_at: now,
            updated_at: now,
            requested_by: "ana".to_owned(),
            headline: format!("build ended, {expected} steps so far"),
            open: true,
            rest: None,
            promises: false,
            review: false,
            standing: None,
            rehearsal: false,
            dry_run: false,
        }),
    }
}
