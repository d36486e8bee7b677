//! Fills a store with small finished releases and prints what it costs to open it again and to list them:
//! `cargo run --release --example archive FOLDER [RELEASES [STEPS [EVERY]]]`.
//!
//! With EVERY, what is finished is archived after each so many releases, as a server does it.
//!
//! The folder must be on the disk that is to be measured; what is written there is removed.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass_model::event::{Event, Operation, Outcome, Record};
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;
use windlass_store::{Append, ListPosition, Outline, SledStore, Store, StoreError};

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
    let steps: u64 = arguments.next().and_then(|it| it.to_str()?.parse().ok()).unwrap_or(1);
    let every = arguments.next().and_then(|it| it.to_str()?.parse().ok()).unwrap_or(releases);
    let folder = tempfile::tempdir_in(folder)?;

    let begun = Instant::now();
    let store = Arc::new(SledStore::open(folder.path())?);
    for first in (1..=releases).step_by(every as usize) {
        fill(&store, first..(first + every).min(releases + 1), steps, releases).await?;
        if every < releases {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || store.archive(Timestamp(u64::MAX))).await??;
        }
    }
    drop(store);
    println!(
        "{releases} releases of {} records written in {:.1?}, {OPEN} of them left open",
        2 * steps + 1,
        begun.elapsed()
    );
    show(folder.path())?;
    {
        let store = SledStore::open(folder.path())?;
        let archived = timed("archived", || store.archive(Timestamp(u64::MAX)))?;
        println!("  {archived:?}");
        println!("then, archived:");
    }
    show(folder.path())?;
    timed("compacted", || SledStore::compact(folder.path()))?;
    println!("then, compacted:");
    show(folder.path())?;
    let store = SledStore::open(folder.path())?;
    timed("backed up", || store.backup(folder.path().join("backup")))?;
    timed("verified", || windlass_store::verify_backup(folder.path().join("backup")))?;
    timed("restored", || windlass_store::restore(folder.path().join("backup"), folder.path().join("restored")))?;
    Ok(())
}

/// Prints what opening and reading costs.
fn show(folder: &Path) -> Result<(), Failure> {
    println!("  on disk: {} MB", bytes_below(folder)? >> 20);
    forget_below(folder)?;
    let store = timed("opened", || SledStore::open(folder))?;
    let open = timed("the open releases and their journals", || {
        let open = store.open_releases()?;
        open.iter().try_for_each(|it| store.journal(it).map(drop))?;
        Ok::<_, StoreError>(open.len())
    })?;
    println!("  {open} open");
    let first = timed("the first page of 50", || store.outlines_page(None, 50))?;
    let last = first.last().map(ListPosition::of);
    timed("the second page", || store.outlines_page(last.as_ref(), 50))?;
    let oldest = ListPosition { created_at: Timestamp(FIRST.0 + 100_000), release: "a-1".parse()? };
    timed("a page of the oldest", || store.outlines_page(Some(&oldest), 50))?;
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

/// Has the system forget what it keeps of these files, as if the computer had just been started.
fn forget_below(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            forget_below(&entry.path())?;
        } else {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

async fn fill(store: &Arc<SledStore>, numbers: Range<u64>, steps: u64, last: u64) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, numbers) = (Arc::clone(store), numbers.clone());
            tokio::spawn(async move {
                for number in numbers.filter(|it| it % CALLERS == caller) {
                    release(&store, number, steps, number + OPEN > last).await?;
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

/// One release: each step started and ended, then the end.
async fn release(store: &SledStore, number: u64, steps: u64, stays_open: bool) -> Result<(), Failure> {
    let workflow: WorkflowName = ["payments", "web", "search", "mobile-app"][(number % 4) as usize].parse()?;
    let release = ReleaseId::new(workflow, number);
    let last = 2 * steps;
    for expected in 0..if stays_open { last } else { last + 1 } {
        let at = Timestamp(FIRST.0 + number * 1000 + expected);
        let outline = Outline {
            release: release.clone(),
            state: if expected == last { "succeeded" } else { "running" }.to_owned(),
            since: at,
            created_at: Timestamp(FIRST.0 + number * 1000),
            updated_at: at,
            requested_by: "ana".to_owned(),
            headline: format!("deploys to production – step {} of {steps}", expected / 2),
            open: expected != last,
            rest: None,
            promises: false,
            review: false,
            standing: None,
            rehearsal: false,
            dry_run: false,
        };
        let record = Record { at, events: vec![event(number, expected, last)] };
        store.append(Append { release: release.clone(), expected, record, outline: Some(outline) }).await?;
    }
    Ok(())
}

/// When the first release was created.
const FIRST: Timestamp = Timestamp(1_700_000_000_000);

fn event(number: u64, expected: u64, last: u64) -> Event {
    let step = format!("step-{}", expected / 2).parse().expect("a name");
    let url = format!("https://ci.example.com/job/payments/{number}/");
    if expected == last {
        Event::ReleaseEnded { outcome: Outcome::Succeeded, outputs: json!({ "build": number, "url": url }) }
    } else if expected.is_multiple_of(2) {
        let input = json!({ "job": "payments", "commit": format!("{number:040x}"), "environment": "production" });
        Event::AttemptStarted { step, operation: Operation::Start, attempt: 1, round: 1, input: Some(input) }
    } else {
        Event::AttemptSucceeded { step, output: json!({ "build": number, "url": url, "log": "x".repeat(180) }) }
    }
}
