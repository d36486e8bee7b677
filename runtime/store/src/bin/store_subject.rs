//! A program to kill: fills a store, says what was acknowledged, and checks what is left.
//!
//! The tests of this crate kill it, fill its disk, and cut its power (`conformance/power-loss`, whose
//! protocol this is). `store_subject write` works on the folder `$STATE` and appends a line to the file `$ACKS` for
//! each thing that became durable; `store_subject check STATE` opens what it finds, prints a line for each thing
//! it finds whole, and one with `TORN` for each that is not.
//!
//! `$KIND` says what it writes:
//!
//! | | callers | records |
//! |---|--:|---|
//! | `small` | 8 | 50 to 900 bytes, documents and blobs among them |
//! | `alone` | 1 | like `small`, by one who commits on its thread of the async runtime, but for a group's room before the log is full |
//! | `large` | 400 | 50 to 3,900 bytes: groups of 64 KiB, many appends each |
//! | `payload` | 12 | 3 to 60 kB: nearly all go to blobs |
//! | `creation` | 1 | one new store after the other, each with a few records |
//! | `backup` | 8 | like `small`, and one backup after the other meanwhile, each acknowledged as `backup/NUMBER` |
//! | `archive` | 8 | like `small`, of releases that say that they are finished, and are archived again and again meanwhile |
//! | `full` | 4 | like `small`, but appends that fail are tried again, and `failed`, then `recovered`, is printed |
//!
//! All contents follow from the release and the sequence, so the check knows them.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, Record};
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;
use windlass_store::{Append, AppendError, DocumentKind, Outline, SledStore, Store, StoreError};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write"] => write().await,
        ["check", state] => check(Path::new(state)),
        _ => Err("usage: store_subject write | store_subject check STATE".into()),
    }
}

/// What a caller needs besides the store.
#[derive(Clone)]
struct Work {
    kind: String,
    acks: Arc<File>,
}

impl Work {
    /// Says that something is durable, with one write.
    fn acknowledge(&self, what: &str) -> Result<(), Failure> {
        Ok((&*self.acks).write_all(format!("{what}\n").as_bytes())?)
    }
}

async fn write() -> Result<(), Failure> {
    let state = PathBuf::from(std::env::var("STATE")?);
    let acks = Arc::new(OpenOptions::new().append(true).open(std::env::var("ACKS")?)?);
    let work = Work { kind: std::env::var("KIND")?, acks };
    let callers = match work.kind.as_str() {
        "small" | "backup" | "archive" => 8,
        "alone" => 1,
        "large" => 400,
        "payload" => 12,
        "full" => 4,
        "creation" => return create_for_ever(&state, &work).await,
        other => return Err(format!("no such kind: {other}").into()),
    };
    let store = Arc::new(match work.kind.as_str() {
        "large" => SledStore::open(state.join("store"))?,
        "alone" => SledStore::open_for_one(state.join("store"), 512 << 10)?,
        // What these write in a round does not fill a log of the usual size.
        _ => SledStore::open_with_log_of(state.join("store"), 128 << 10)?,
    });
    let tasks: Vec<_> =
        (0..callers).map(|caller| tokio::spawn(call(Arc::clone(&store), caller, work.clone()))).collect();
    if work.kind == "backup" {
        let (store, work) = (Arc::clone(&store), work.clone());
        tokio::task::spawn_blocking(move || back_up_for_ever(&state, &store, &work)).await??;
    }
    if work.kind == "archive" {
        tokio::task::spawn_blocking(move || archive_for_ever(&store)).await??;
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn archive_for_ever(store: &SledStore) -> Result<(), Failure> {
    loop {
        store.archive(Timestamp(u64::MAX))?;
    }
}

fn back_up_for_ever(state: &Path, store: &SledStore, work: &Work) -> Result<(), Failure> {
    let first = below(state, "backup-")?.len();
    for number in first.. {
        store.backup(state.join(format!("backup-{number:06}")))?;
        work.acknowledge(&format!("backup/{number}"))?;
    }
    Ok(())
}

/// One caller: releases of its own, one after the other, and now and then a document and a blob.
async fn call(store: Arc<SledStore>, caller: u64, work: Work) -> Result<(), Failure> {
    let workflow: WorkflowName = format!("{}-{caller}", work.kind).parse()?;
    let mut version = match store.document(DocumentKind::Tool, &document_name(caller))? {
        Some(found) => document_version(&found).ok_or("a document that is none")? + 1,
        None => 0,
    };
    let mut blobs = count_blobs(&*store, caller)?;
    loop {
        let release = ReleaseId::new(workflow.clone(), store.next_number(&workflow)?);
        let length = 1 + mix(release.number() ^ caller) % 60;
        for expected in 0..length {
            append(&store, &release, expected, &work).await?;
            if matches!(work.kind.as_str(), "small" | "alone" | "payload" | "archive" | "backup") && expected % 16 == 7
            {
                store.put_document(DocumentKind::Tool, &document_name(caller), document(caller, version)).await?;
                work.acknowledge(&format!("document/{caller}/{version}"))?;
                version += 1;
                store.put_blob(blob(caller, blobs)).await?;
                work.acknowledge(&format!("blob/{caller}/{blobs}"))?;
                blobs += 1;
            }
        }
    }
}

async fn append(store: &SledStore, release: &ReleaseId, expected: u64, work: &Work) -> Result<(), Failure> {
    let append = Append {
        release: release.clone(),
        expected,
        record: record(release, expected),
        outline: Some(outline(release, expected)),
    };
    let mut failed = false;
    loop {
        match store.append(append.clone()).await {
            Ok(()) => break,
            Err(AppendError::Store(error)) if work.kind == "full" => {
                if !failed {
                    say(&format!(
                        "failed {}: {error}",
                        if error.is_out_of_space() { "for want of room" } else { "otherwise" }
                    ))?;
                }
                failed = true;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            // It was in doubt, and had become durable after all.
            Err(AppendError::Conflict { actual, .. }) if failed && actual == expected + 1 => break,
            Err(error) => return Err(error.into()),
        }
    }
    work.acknowledge(&format!("{release}/{expected}"))?;
    if failed {
        say("recovered")?;
    }
    Ok(())
}

async fn create_for_ever(state: &Path, work: &Work) -> Result<(), Failure> {
    let first = stores(state)?.len();
    for number in first.. {
        let store = SledStore::open(state.join(format!("store-{number:06}")))?;
        let release = ReleaseId::new(format!("creation-{number}").parse()?, 1);
        for expected in 0..3 {
            append(&store, &release, expected, work).await?;
        }
    }
    Ok(())
}

/// Checks every store in a folder; creation leaves several.
fn check(state: &Path) -> Result<(), Failure> {
    for (number, path) in below(state, "backup-")?.iter().enumerate() {
        match windlass_store::verify_backup(path) {
            Ok(_) => say(&format!("backup/{number}"))?,
            Err(error) => say(&format!("TORN {error}"))?,
        }
    }
    for path in stores(state)? {
        let store = SledStore::open(&path)?;
        let report = store.check()?;
        for finding in report.findings {
            say(&format!("TORN {}: {finding}", path.display()))?;
        }
        let unsynced = std::fs::read_dir(path.join("data/sled/blobs"))?.count();
        if unsynced > 0 {
            say(&format!("TORN {unsynced} pages in files that sled does not sync"))?;
        }
        for found in store.outlines()? {
            check_release(&store, &found)?;
        }
        for (name, found) in store.documents(DocumentKind::Tool)? {
            let caller = name.strip_prefix("document ").and_then(|it| it.parse().ok()).ok_or("a document's name")?;
            match document_version(&found).filter(|version| found == document(caller, *version)) {
                Some(last) => (0..=last).try_for_each(|it| say(&format!("document/{caller}/{it}")))?,
                None => say(&format!("TORN {name}"))?,
            }
        }
        for caller in 0..12 {
            (0..count_blobs(&store, caller)?).try_for_each(|it| say(&format!("blob/{caller}/{it}")))?;
        }
    }
    Ok(())
}

fn check_release(store: &dyn Store, found: &Outline) -> Result<(), Failure> {
    let release = &found.release;
    let journal = store.journal(release)?;
    for (sequence, it) in (0..).zip(&journal) {
        if *it == record(release, sequence) {
            say(&format!("{release}/{sequence}"))?;
        } else {
            say(&format!("TORN {release}/{sequence} has other contents"))?;
        }
    }
    // The outline is written with the record, so it must be the last one's.
    if *found != outline(release, (journal.len() as u64).saturating_sub(1)) {
        say(&format!("TORN the outline of {release} is not the one of record {}", journal.len() - 1))?;
    }
    if store.next_number(release.workflow())? <= release.number() {
        say(&format!("TORN the number of {release} would be used again"))?;
    }
    Ok(())
}

/// The folders of stores, in order.
fn stores(state: &Path) -> Result<Vec<PathBuf>, Failure> {
    below(state, "store")
}

/// What is in a folder under names that begin so, in order.
fn below(state: &Path, begin: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(state)? {
        let path = entry?.path();
        if path.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.starts_with(begin)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn count_blobs(store: &dyn Store, caller: u64) -> Result<u64, StoreError> {
    for number in 0.. {
        if store.blob(&Digest::of(&blob(caller, number)))?.is_none() {
            return Ok(number);
        }
    }
    Ok(u64::MAX)
}

fn record(release: &ReleaseId, sequence: u64) -> Record {
    let seed = mix(release.number() ^ (sequence << 32))
        ^ release.workflow().as_str().bytes().fold(7, |it, byte| mix(it ^ u64::from(byte)));
    let bytes = match release.workflow().as_str().split('-').next() {
        Some("large") => 50 + seed % 3800,
        Some("payload") => 3000 + seed % 57_000,
        _ => 50 + seed % 850,
    };
    let output = json!({ "sequence": sequence, "text": text(seed, bytes as usize) });
    let step = "build".parse().expect("a name");
    Record { at: Timestamp(sequence), events: vec![Event::AttemptSucceeded { step, output }] }
}

fn outline(release: &ReleaseId, sequence: u64) -> Outline {
    Outline {
        release: release.clone(),
        state: "running".to_owned(),
        since: Timestamp(0),
        created_at: Timestamp(0),
        updated_at: Timestamp(sequence),
        requested_by: "ana".to_owned(),
        headline: text(sequence, 20 + (sequence % 50) as usize),
        open: !release.workflow().as_str().starts_with("archive"),
        rest: None,
        promises: false,
        review: false,
        standing: None,
        rehearsal: false,
        dry_run: false,
    }
}

fn document_name(caller: u64) -> String {
    format!("document {caller}")
}

fn document(caller: u64, version: u64) -> Vec<u8> {
    let mut bytes = version.to_be_bytes().to_vec();
    let length = if version % 3 == 2 { 9000 } else { 300 };
    bytes.extend(text(mix(caller) ^ version, length).bytes());
    bytes
}

fn document_version(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.first_chunk()?))
}

fn blob(caller: u64, number: u64) -> Vec<u8> {
    text(mix(caller ^ 99) ^ number, 200 + (mix(number) % 20_000) as usize).into_bytes()
}

/// So many bytes of text that do not compress.
fn text(seed: u64, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut state = seed;
    while text.len() < bytes {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(bytes);
    text
}

fn mix(mut it: u64) -> u64 {
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
