//! The folder of a store: creating, opening again, refusing.

use std::fs;
use std::path::Path;

use windlass_model::digest::Digest;
use windlass_store::{DocumentKind, SledStore, Store, StoreError};

use crate::damage::meddle;
use crate::sample::{append, large_record, outline, record, release};

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder).expect("opened")
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("deep/in/here");
    let id = release("payments-1");
    let blob = {
        let store = open(&root);
        store.append(append(&id, 0, record(0))).await.expect("appended");
        let mut second = append(&id, 1, large_record(1, 50_000));
        second.outline = Some(outline(&id, 5, true));
        store.append(second).await.expect("appended");
        store.put_document(DocumentKind::Connection, "ci", b"https://ci".to_vec()).await.expect("put");
        store.put_blob(b"component".to_vec()).await.expect("put")
    };
    let store = open(&root);
    assert_eq!(store.journal(&id).expect("read"), [record(0), large_record(1, 50_000)]);
    assert_eq!(store.outlines().expect("read"), [outline(&id, 5, true)]);
    assert_eq!(store.document(DocumentKind::Connection, "ci").expect("read").as_deref(), Some(&b"https://ci"[..]));
    assert_eq!(store.blob(&blob).expect("read").as_deref(), Some(&b"component"[..]));
    assert_eq!(store.next_number(id.workflow()).expect("read"), 2);
    store.append(append(&id, 2, record(2))).await.expect("appended");
    let report = store.check().expect("checked");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(
        (report.releases, report.records, report.documents, report.blobs, report.unnamed_blobs),
        (1, 3, 1, 2, 1)
    );
}

#[tokio::test]
async fn values_around_the_limit_read_back_and_stay_out_of_sleds_blobs() {
    let folder = tempfile::tempdir().expect("a folder");
    let id = release("payments-1");
    let store = open(folder.path());
    let sizes: Vec<usize> = (4000..4100).step_by(9).chain([1 << 20, 5 << 20]).collect();
    for (at, size) in (0..).zip(&sizes) {
        store.append(append(&id, at, large_record(at, *size))).await.expect("appended");
    }
    drop(store);
    let store = open(folder.path());
    let expected: Vec<_> = (0..).zip(&sizes).map(|(at, size)| large_record(at, *size)).collect();
    assert!(store.journal(&id).expect("read") == expected);
    let blobs = store.check().expect("checked").blobs;
    assert!((2..sizes.len() as u64).contains(&blobs), "{blobs}");
    assert_eq!(fs::read_dir(folder.path().join("data/sled/blobs")).expect("read").count(), 0);
}

#[test]
fn a_second_open_is_refused_and_names_the_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    match SledStore::open(folder.path()) {
        Err(StoreError::Locked { owner, path }) => {
            assert_eq!((owner, path.as_path()), (Some(std::process::id()), folder.path()));
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    open(folder.path());
}

#[test]
fn what_a_power_cut_leaves_of_a_creation_is_cleared_away() {
    let folder = tempfile::tempdir().expect("a folder");
    // An empty folder.
    drop(open(folder.path()));
    fs::remove_dir_all(folder.path().join("data")).expect("removed");
    // A half-made one, with a `conf` of zeros, which sled refuses to open.
    let sled = folder.path().join("data.new/sled");
    fs::create_dir_all(&sled).expect("created");
    fs::write(sled.join("conf"), [0; 62]).expect("written");
    drop(open(folder.path()));
    assert!(!folder.path().join("data.new").exists());
    // A half-made one beside a whole one.
    fs::create_dir_all(&sled).expect("created");
    drop(open(folder.path()));
    assert!(!folder.path().join("data.new").exists());
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    fs::write(folder.path().join("data/format"), "windlass-store 4\n").expect("written");
    let error = SledStore::open(folder.path()).expect_err("refused");
    assert!(matches!(error, StoreError::NewerFormat { found: 4, known: 3, .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("has format 4, and this Windlass knows formats up to 3"), "{said}");
    fs::write(folder.path().join("data/format"), "windlass-store 3\n").expect("written");
    open(folder.path());
}

/// Version 1 had no log of commits: who knows only that must not open what has one. In 2 the database did not say which
/// generation of the log follows.
#[tokio::test]
async fn a_store_of_an_older_format_becomes_one_of_this() {
    for version in [1, 2, 3] {
        let folder = tempfile::tempdir().expect("a folder");
        let (id, data) = (release("payments-1"), folder.path().join("data"));
        open(folder.path()).append(append(&id, 0, record(0))).await.expect("appended");
        meddle(folder.path(), |database| drop(database.remove(b"g").expect("removed")));
        // Of this version: the log was moved away, and the database lost all that it said of one.
        if version != 2 {
            fs::remove_file(data.join("commits")).expect("removed");
            // What an upgrade that was cut off leaves.
            fs::write(data.join("commits.new"), "half").expect("written");
        } else {
            let said = SledStore::open(folder.path()).expect_err("refused").to_string();
            assert!(said.contains("for the 0. time, and that has begun 2 times"), "{said}");
        }
        fs::write(data.join("format"), format!("windlass-store {version}\n")).expect("written");
        for length in 1..3 {
            let store = open(folder.path());
            assert_eq!(fs::read_to_string(data.join("format")).expect("read"), "windlass-store 3\n");
            assert_eq!(store.journal(&id).expect("read").len() as u64, length);
            store.append(append(&id, length, record(length))).await.expect("appended");
        }
        assert!(!data.join("commits.new").exists());
    }
}

#[tokio::test]
async fn a_damaged_log_of_commits_is_refused_until_it_is_moved_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = tempfile::tempdir().expect("a folder");
    let (id, data) = (release("payments-1"), copy.path().join("data"));
    let store = open(folder.path());
    for at in 0..4 {
        store.append(append(&id, at, record(at))).await.expect("appended");
    }
    // As a process leaves it that is killed now.
    fs::create_dir_all(data.join("sled/blobs")).expect("created");
    fs::create_dir_all(data.join("blobs")).expect("created");
    for name in ["commits", "format", "sled/conf", "sled/db"] {
        fs::copy(folder.path().join("data").join(name), data.join(name)).expect("copied");
    }
    let mut log = fs::read(data.join("commits")).expect("read");
    log[4096 + 30] ^= 1;
    fs::write(data.join("commits"), log).expect("written");
    let said = SledStore::open(copy.path()).expect_err("refused").to_string();
    assert!(said.contains("commit 0 is damaged, and commit 1 follows"), "{said}");
    fs::rename(data.join("commits"), data.join("commits.damaged")).expect("moved");
    let store = open(copy.path());
    assert_eq!(store.journal(&id).expect("read").len(), 0);
    store.append(append(&id, 0, record(0))).await.expect("appended");
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("created");
    fs::write(data.join("precious"), "mine").expect("written");
    let refused = |says: &str| match SledStore::open(folder.path()) {
        Err(StoreError::NotAStore { what, .. }) => assert_eq!(what, says),
        other => panic!("{other:?}"),
    };
    refused("`data` has no file `format`");
    for text in [&b"windlass-store"[..], b"windlass-store 1", b"windlass-store -1\n", b"\0\0\0\0", b"\xff\n"] {
        fs::write(data.join("format"), text).expect("written");
        refused("`data/format` says something else");
    }
    assert_eq!(fs::read_to_string(data.join("precious")).expect("read"), "mine");
    let file = folder.path().join("file");
    fs::write(&file, "text").expect("written");
    assert!(matches!(SledStore::open(&file), Err(StoreError::NotAStore { .. })));
}

#[test]
fn looking_for_a_store_makes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("state");
    assert!(SledStore::open_existing(&root).expect("looked").is_none());
    assert!(!root.exists());
    drop(open(&root));
    assert!(SledStore::open_existing(&root).expect("looked").is_some());
}

#[test]
fn without_a_runtime_blobs_are_written_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let digest = futures::executor::block_on(store.put_blob(vec![3; 9000])).expect("put");
    assert_eq!(digest, Digest::of(&[3; 9000]));
    let id = release("payments-1");
    futures::executor::block_on(store.append(append(&id, 0, large_record(0, 9000)))).expect("appended");
    assert_eq!(store.journal(&id).expect("read"), [large_record(0, 9000)]);
}
