//! What is damaged is found and named, never returned, and never a reason to panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windlass_store::{DocumentKind, SledStore, Store, StoreError};

use crate::sample::{append, large_record, outline, record, release};

/// A store with two releases of three records each; the last is large.
pub(crate) async fn store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SledStore::open(folder.path()).expect("opened");
    for id in [release("payments-1"), release("payments-2")] {
        for at in 0..2 {
            let mut append = append(&id, at, record(at));
            append.outline = Some(outline(&id, 5, true));
            store.append(append).await.expect("appended");
        }
        store.append(append(&id, 2, large_record(id.number(), 9000))).await.expect("appended");
    }
    store.put_document(DocumentKind::Tool, "helm", b"helm".to_vec()).await.expect("put");
    drop(store);
    folder
}

/// Changes sled's contents behind the store's back.
pub(crate) fn meddle(folder: &Path, meddle: impl FnOnce(&sled::Db)) {
    // sled lets go of its own lock a moment after the store was dropped; the store waits for that, and so must this.
    let since = Instant::now();
    let database = loop {
        match sled::open(folder.join("data/sled")) {
            Ok(database) => break database,
            Err(error) => assert!(since.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::yield_now();
    };
    meddle(&database);
    database.flush().expect("flushed");
}

pub(crate) fn key(prefix: u8, number: u64, sequence: Option<u64>) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend(b"payments\0");
    key.extend(number.to_be_bytes());
    key.extend(sequence.into_iter().flat_map(u64::to_be_bytes));
    key
}

pub(crate) fn findings(store: &SledStore) -> Vec<String> {
    store.check().expect("checked").findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_garbled_record_is_named() {
    for (value, says) in [
        (&b""[..], "0 bytes are no value"),
        (&[1, 0, 0xff, 0xff], "unexpected type"),
        (&[9, 0, 1], "it has format 9, and formats up to 1 are known"),
        (&[1, 0, 0x82, 5, 0x80], "a record without events"),
        (&[1, 0, 0x82, 5, 0x81, 0x82, 18, 0x82, 9, 0x60], "unknown enum variant 9"),
        (&[1, 0, 0x82, 5, 0x81, 0x82, 12, 0x81, 0x61, b'A'], "`A` is no step name"),
        (&[1, 1, 7], "a reference to a blob has 32 bytes"),
    ] {
        let folder = store().await;
        meddle(folder.path(), |it| drop(it.insert(key(b'j', 1, Some(1)), value).expect("inserted")));
        let store = SledStore::open(folder.path()).expect("opened");
        match store.journal(&release("payments-1")) {
            Err(StoreError::Corrupt { release: id, sequence: 1, what }) if id == release("payments-1") => {
                assert!(what.contains(says), "{what}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.journal(&release("payments-2")).expect("read").len(), 3);
        let findings = findings(&store);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("payments-1: record 1 of release payments-1 is damaged: "), "{findings:?}");
        // It does not keep anybody from writing.
        store.append(append(&release("payments-1"), 3, record(3))).await.expect("appended");
        // Only what is damaged for certain is taken out of use without being asked.
        let is_newer = says.contains("unknown") || says.contains("formats up to");
        match store.quarantine_if_damaged(&release("payments-1")) {
            Ok(Some(what)) => assert!(what.contains(says) && !is_newer, "{what}"),
            Err(StoreError::Corrupt { .. }) => assert!(is_newer, "{says}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.quarantine_if_damaged(&release("payments-2")).expect("read"), None);
        assert_eq!(store.quarantined().expect("read").len(), usize::from(!is_newer));
    }
}

#[tokio::test]
async fn a_missing_record_is_named() {
    let folder = store().await;
    meddle(folder.path(), |it| drop(it.remove(key(b'j', 2, Some(1))).expect("removed")));
    let store = SledStore::open(folder.path()).expect("opened");
    let error = store.journal(&release("payments-2")).expect_err("damaged").to_string();
    assert_eq!(error, "record 1 of release payments-2 is damaged: it is missing, record 2 follows");
    assert_eq!(findings(&store), ["payments-2: records 1 to 1 are missing"]);
}

#[tokio::test]
async fn a_damaged_or_missing_blob_is_named_by_its_record() {
    let folder = store().await;
    let blobs = blobs(folder.path());
    assert_eq!(blobs.len(), 2);
    fs::write(&blobs[0], b"something else").expect("written");
    fs::remove_file(&blobs[1]).expect("removed");
    let store = SledStore::open(folder.path()).expect("opened");
    let mut said = Vec::new();
    for id in ["payments-1", "payments-2"] {
        match store.journal(&release(id)) {
            Err(StoreError::Corrupt { sequence: 2, what, .. }) => said.push(what),
            other => panic!("{other:?}"),
        }
    }
    said.sort();
    assert!(said[0].contains("is damaged: its contents are those of sha256:"), "{said:?}");
    assert!(said[1].starts_with("its contents are missing: sha256:"), "{said:?}");
    // The damaged file itself, and the two records.
    assert_eq!(findings(&store).len(), 3, "{:?}", findings(&store));
}

#[tokio::test]
async fn everything_else_that_is_wrong_is_found_by_a_check() {
    let folder = store().await;
    meddle(folder.path(), |it| {
        it.insert(b"x", "?").expect("inserted");
        it.insert(b"jgarbage", "?").expect("inserted");
        it.insert(b"npayments", [&[1, 0][..], &1_u64.to_be_bytes()].concat()).expect("inserted");
        it.insert(key(b'o', 3, None), "?").expect("inserted");
        it.insert(b"dthelm", "?").expect("inserted");
    });
    fs::write(folder.path().join("data/blobs/stray"), "?").expect("written");
    let store = SledStore::open(folder.path()).expect("opened");
    let mut found = findings(&store);
    assert!(found[0].ends_with("data/blobs/stray is no blob"), "{found:?}");
    found.remove(0);
    assert_eq!(
        found,
        [
            "a key that is none: 6a67617262616765",
            "the tool `helm` is damaged: 1 bytes are no value",
            "the highest number of payments is 2, not 1",
            "a key of no kind: 78",
            "payments-3: it has an outline and no journal",
            "payments-3: the outline of payments-3 is damaged: 1 bytes are no value",
        ]
    );
    assert!(store.outlines().is_err());
    assert!(store.document(DocumentKind::Tool, "helm").is_err());
}

/// sled's log with bytes changed all over: the store may refuse, but does not panic, invent or forget.
#[tokio::test]
async fn a_damaged_log_invents_nothing_and_loses_nothing_in_silence() {
    let whole = [record(0), record(1), large_record(1, 9000)];
    let mut noticed = 0;
    for at in 0..60 {
        let folder = store().await;
        let log = folder.path().join("data/sled/db");
        let mut bytes = fs::read(&log).expect("read");
        let used = bytes.iter().rposition(|it| *it != 0).expect("it is not empty");
        let place = used * at / 60;
        bytes[place] ^= 0x55;
        fs::write(&log, bytes).expect("written");
        match SledStore::open(folder.path()).and_then(|it| it.journal(&release("payments-1"))) {
            // Not a part of it, for that would look like a release that has not come so far.
            Ok(journal) => assert_eq!(journal, whole, "byte {place}"),
            Err(_) => noticed += 1,
        }
    }
    // Most of a log is what newer parts of it replaced, which nobody reads.
    assert!(noticed > 0, "no damaged byte made a difference");
}

/// The paths of all blobs, in order.
/// A process ended, or had no room, while sled wrote a snapshot.
#[tokio::test]
async fn an_unfinished_snapshot_is_no_damage() {
    let folder = store().await;
    let unfinished = folder.path().join("data/sled/snap.00000000FFFFFFFF.generating");
    fs::write(&unfinished, b"half of a snapshot, and no checksum").expect("written");
    let store = SledStore::open(folder.path()).expect("the log that it is made of is there");
    assert_eq!(findings(&store), Vec::<String>::new());
    assert!(!unfinished.exists());
    assert_eq!(store.journal(&release("payments-2")).expect("read").len(), 3);
}

fn blobs(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder.join("data/blobs")).expect("read") {
        let entry = entry.expect("an entry");
        if entry.file_name() != "new" {
            paths.extend(fs::read_dir(entry.path()).expect("read").map(|it| it.expect("an entry").path()));
        }
    }
    paths.sort();
    paths
}
