//! What version 1 once wrote is written the same way now, and reads back.
//!
//! The files in `tests/golden/v1` are never changed. For an event that is new, run the tests with
//! `WINDLASS_GOLDEN=create`: it creates the files that are missing, and touches no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use windlass_model::concurrency::{Claim, Priority, Standing};
use windlass_model::event::Record;
use windlass_model::time::Timestamp;
use windlass_store::{Append, DocumentKind, Outline, Rest, SledStore, Store, format, restore};

use crate::sample;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Compares with the file, or creates it when there is none and that is asked for.
fn check(name: &str, bytes: &[u8]) {
    let path = folder().join(format!("{name}.hex"));
    let lines: Vec<String> = bytes.chunks(32).map(hex::encode).collect();
    let written = lines.join("\n") + "\n";
    if !path.exists() && std::env::var("WINDLASS_GOLDEN").is_ok_and(|it| it == "create") {
        fs::write(&path, &written).expect("written");
    }
    let golden =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; see this module", path.display()));
    assert_eq!(golden, written, "{name} is written in another way than it once was");
}

fn read(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(folder().join(format!("{name}.hex"))).expect("a golden file");
    hex::decode(text.replace('\n', "")).expect("hex digits")
}

#[test]
fn every_event_is_written_as_ever_and_reads_back() {
    for (name, event) in sample::one_of_each() {
        let record = Record { at: Timestamp(1_700_000_000_000), events: vec![event] };
        check(&name, &format::encode_record(&record));
        let golden = read(&name);
        let read_back = format::decode_record(format::open_here(&golden).expect("in place")).expect("a record");
        assert_eq!(read_back, record, "{name}");
    }
}

#[test]
fn outlines_references_and_numbers_are_written_as_ever() {
    let outline = sample::outline(&sample::release("payments-17"), 1_700_000_000_000, true);
    check("outline", &format::encode_outline(&outline));
    for (name, rest) in [
        ("outline-rests-until", Rest::Until(Timestamp(1_700_000_060_000))),
        ("outline-rests", Rest::ForInput),
        ("outline-rests-for-breaker", Rest::ForBreaker(None)),
    ] {
        let outline = Outline { rest: Some(rest), ..outline.clone() };
        check(name, &format::encode_outline(&outline));
        assert_eq!(format::decode_outline(format::open_here(&read(name)).expect("in place")), Ok(outline));
    }
    let promising = Outline { promises: true, ..outline.clone() };
    check("outline-promises", &format::encode_outline(&promising));
    let golden = read("outline-promises");
    assert_eq!(format::decode_outline(format::open_here(&golden).expect("in place")), Ok(promising));
    let reviewed = Outline { review: true, ..outline.clone() };
    check("outline-review", &format::encode_outline(&reviewed));
    assert_eq!(format::decode_outline(format::open_here(&read("outline-review")).expect("in place")), Ok(reviewed));
    for (name, claim, admitted) in [
        ("outline-queued", sample::claim(), false),
        ("outline-counted-elsewhere", Claim { group: None, priority: Priority::Low, ..sample::claim() }, true),
    ] {
        let standing = Some(Box::new(Standing { claim, admitted, counted: !admitted }));
        let outline = Outline { standing, ..outline.clone() };
        check(name, &format::encode_outline(&outline));
        assert_eq!(format::decode_outline(format::open_here(&read(name)).expect("in place")), Ok(outline));
    }
    let rehearsal = Outline { rehearsal: true, ..outline.clone() };
    check("outline-of-rehearsal", &format::encode_outline(&rehearsal));
    let golden = read("outline-of-rehearsal");
    assert_eq!(format::decode_outline(format::open_here(&golden).expect("in place")), Ok(rehearsal));
    let dry_run = Outline { dry_run: true, ..outline.clone() };
    check("outline-of-dry-run", &format::encode_outline(&dry_run));
    let golden = read("outline-of-dry-run");
    assert_eq!(format::decode_outline(format::open_here(&golden).expect("in place")), Ok(dry_run));
    let golden = read("outline");
    assert_eq!(format::decode_outline(format::open_here(&golden).expect("in place")), Ok(outline));

    let digest = windlass_model::digest::Digest::of(b"content");
    check("reference", &format::reference(&digest));
    assert_eq!(format::open(&read("reference")), Ok(format::Place::InBlob(digest)));

    check("number", &format::encode_number(17));
    assert_eq!(format::decode_number(&read("number")), Ok(17));
}

/// A backup that was written once is verified and restored by every later Windlass, and written the same way.
#[tokio::test]
async fn a_backup_is_written_as_ever_and_restored() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/backup-1");
    let folder = tempfile::tempdir().expect("a folder");
    let id = sample::release("payments-17");
    let journal = [sample::record(0), sample::large_record(1, 4200)];
    {
        let store = SledStore::open(folder.path().join("store")).expect("opened");
        for (at, record) in (0..).zip(&journal) {
            let outline = Some(sample::outline(&id, 5, true));
            let append = Append { outline, ..sample::append(&id, at, record.clone()) };
            store.append(append).await.expect("appended");
        }
        store.put_document(DocumentKind::Tool, "helm", b"helm".to_vec()).await.expect("put");
        store.backup(folder.path().join("backup")).expect("backed up");
        if !golden.exists() && std::env::var("WINDLASS_GOLDEN").is_ok_and(|it| it == "create") {
            store.backup(&golden).expect("written");
        }
    }
    for name in ["manifest", "part-000001"] {
        let (once, now) = (fs::read(golden.join(name)), fs::read(folder.path().join("backup").join(name)));
        assert!(once.expect("a golden file") == now.expect("written"), "{name} is written in another way");
    }
    restore(&golden, folder.path().join("restored")).expect("restored");
    let store = SledStore::open(folder.path().join("restored")).expect("opened");
    assert_eq!(store.journal(&id).expect("read"), journal);
    assert_eq!(store.outline(&id).expect("read"), Some(sample::outline(&id, 5, true)));
    assert_eq!(store.next_number(id.workflow()).expect("read"), 18);
    assert_eq!(store.document(DocumentKind::Tool, "helm").expect("read").as_deref(), Some(&b"helm"[..]));
    assert!(store.check().expect("checked").is_sound());
}

#[test]
fn no_golden_file_is_forgotten() {
    let mut known: BTreeSet<String> = sample::one_of_each().into_iter().map(|(name, _)| name).collect();
    known.extend(
        [
            "outline",
            "outline-rests-until",
            "outline-rests",
            "outline-rests-for-breaker",
            "outline-promises",
            "outline-review",
            "outline-of-dry-run",
            "outline-of-rehearsal",
            "outline-queued",
            "outline-counted-elsewhere",
            "reference",
            "number",
        ]
        .map(str::to_owned),
    );
    for entry in fs::read_dir(folder()).expect("read") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(known.contains(name.trim_end_matches(".hex")), "{name} is compared with nothing");
    }
}

/// Each golden record with each of its bytes changed, and cut off at each of them: never a panic,
/// and what is cut off is never taken for a record.
#[test]
fn garbled_records_are_errors() {
    for (name, _) in sample::one_of_each() {
        let golden = read(&name);
        for at in 0..golden.len() {
            assert!(format::open_here(&golden[..at]).and_then(format::decode_record).is_err(), "{name} cut at {at}");
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut garbled = golden.clone();
                garbled[at] ^= change;
                let _ = format::open_here(&garbled).and_then(format::decode_record);
            }
        }
    }
}
