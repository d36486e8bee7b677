//! Fills a store with small finished releases and prints what it costs to open it again and to list them:
//! `cargo run --release --example archive FOLDER [RELEASES]`.
//!
//! The folder must be on the disk that is to be measured; what is written there is removed.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass_model::event::{Event, Outcome, Record};
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;
use windlass_store::{Append, Outline, SledStore, Store};

type Failure = Box<dyn Error + Send + Sync>;

/// How many releases are written at once, so that the store groups them.
const CALLERS: u64 = 512;

/// How many releases stay open.
const OPEN: u64 = 20;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let releases: u64 = arguments.next().and_then(|it| it.to_str()?.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir_in(folder)?;

    let begun = Instant::now();
    fill(folder.path(), releases).await?;
    println!("{releases} releases written in {:.1?}, {OPEN} of them left open", begun.elapsed());
    show(folder.path())?;
    Ok(())
}

/// Prints what opening and reading costs.
fn show(folder: &Path) -> Result<(), Failure> {
    println!("  on disk: {} MB", bytes_below(folder)? >> 20);
    let store = timed("opened", || SledStore::open(folder))?;
    let open = timed("the open releases", || store.outlines().map(|it| it.into_iter().filter(|it| it.open).count()))?;
    println!("  {open} open");
    timed("all outlines", || store.outlines().map(|it| it.len()))?;
    timed("one journal", || store.journal(&"payments-1".parse().expect("an id")).map(|it| it.len()))?;
    Ok(())
}

fn timed<T, E>(what: &str, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let begun = Instant::now();
    let answer = run();
    let elapsed: Duration = begun.elapsed();
    println!("  {what}: {elapsed:.1?}");
    answer
}

fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

async fn fill(folder: &Path, releases: u64) -> Result<(), Failure> {
    let store = Arc::new(SledStore::open(folder)?);
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in (1..=releases).filter(|it| it % CALLERS == caller) {
                    release(&store, number, number > releases - OPEN).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// One release of one step: created, started, ended.
async fn release(store: &SledStore, number: u64, stays_open: bool) -> Result<(), Failure> {
    let workflow: WorkflowName = ["payments", "web", "search", "mobile-app"][(number % 4) as usize].parse()?;
    let release = ReleaseId::new(workflow, number);
    let step = || "build".parse().expect("a name");
    let url = format!("https://ci.example.com/job/payments/{number}/");
    let events = [
        Event::AttemptStarted {
            step: step(),
            operation: windlass_model::event::Operation::Start,
            attempt: 1,
            round: 1,
            input: Some(json!({ "job": "payments", "commit": format!("{number:040x}"), "environment": "production" })),
        },
        Event::AttemptSucceeded {
            step: step(),
            output: json!({ "build": number, "url": url, "log": "x".repeat(180) }),
        },
        Event::ReleaseEnded { outcome: Outcome::Succeeded, outputs: json!({ "build": number, "url": url }) },
    ];
    let last = if stays_open { 2 } else { 3 };
    for (expected, event) in (0..).zip(events).take(last) {
        let at = Timestamp(1_700_000_000_000 + number * 1000 + expected);
        let outline = Outline {
            release: release.clone(),
            state: if expected == 2 { "succeeded" } else { "running" }.to_owned(),
            since: at,
            created_at: Timestamp(1_700_000_000_000 + number * 1000),
            updated_at: at,
            requested_by: "ana".to_owned(),
            headline: "deploys to production – step 3 of 9".to_owned(),
            open: expected != 2,
        };
        let record = Record { at, events: vec![event] };
        store.append(Append { release: release.clone(), expected, record, outline: Some(outline) }).await?;
    }
    Ok(())
}
