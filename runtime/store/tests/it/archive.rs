//! Archived journals are read, continued, checked, backed up, repaired and removed like any other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use windlass_model::event::Record;
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;
use windlass_store::{Append, Archived, Derived, SledStore, Store, StoreError, restore};

use crate::damage::{key, meddle};
use crate::sample::{append, large_record, outline, record, release};

const LENGTH: u64 = 5;

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder).expect("opened")
}

/// What the tests' releases hold; the third record of each is a large one.
fn journal(id: &ReleaseId) -> Vec<Record> {
    let of = |at| if at == 2 { large_record(id.number(), 6000) } else { record(id.number() * 100 + at) };
    (0..LENGTH).map(of).collect()
}

fn ids() -> Vec<ReleaseId> {
    (1..=40).map(|it| release(&format!("payments-{it}"))).collect()
}

/// A store with finished releases and an open one.
async fn filled(folder: &Path) -> SledStore {
    let store = open(folder);
    for id in ids() {
        for (at, record) in (0..).zip(journal(&id)) {
            let is_open = at + 1 < LENGTH || id.number() == 40;
            let next = Append { outline: Some(outline(&id, id.number(), is_open)), ..append(&id, at, record) };
            store.append(next).await.expect("appended");
        }
    }
    store
}

fn archived(store: &SledStore, before: u64) -> Archived {
    store.archive(Timestamp(before)).expect("archived")
}

/// Everything is there.
fn assert_whole(store: &SledStore) {
    for id in ids() {
        assert_eq!(store.journal(&id).expect("read"), journal(&id), "{id}");
    }
    assert_eq!(store.outlines_page(None, 99).expect("read").len(), 40);
    let report = store.check().expect("checked");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.releases, report.records, report.unnamed_blobs), (40, 40 * LENGTH, 0));
}

#[tokio::test]
async fn what_is_archived_beside_the_work_is_full_segments_and_no_more_than_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    // 300 releases of some 3 kB: three full segments and a bit.
    for number in 1..=300 {
        let id = release(&format!("payments-{number}"));
        let last = Append { outline: Some(outline(&id, number, false)), ..append(&id, 0, large_record(number, 2900)) };
        store.append(last).await.expect("appended");
    }
    let first = store.archive_some(Timestamp(1000), 1).expect("archived");
    assert_eq!((first.segments, first.releases < 120), (1, true), "{first:?}");
    let rest = store.archive_some(Timestamp(1000), 10).expect("archived");
    assert_eq!((rest.segments, rest.releases), (2, 2 * first.releases), "{rest:?}");
    assert_eq!(store.archive_some(Timestamp(1000), 10).expect("archived"), Archived::default());
    let left = 300 - 3 * first.releases;
    let report = store.check().expect("checked");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.releases, report.archived), (300, 300 - left));
    assert_eq!(archived(&store, 1000).releases, left);
    assert_eq!(store.check().expect("checked").archived, 300);
}

#[tokio::test]
async fn a_store_whose_lists_are_older_gets_what_is_to_be_archived() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    archived(&store, 22);
    drop(store);
    meddle(folder.path(), |it| {
        for key in it.scan_prefix(b"e").keys().map(|key| key.expect("read")).collect::<Vec<_>>() {
            it.remove(key).expect("removed");
        }
        it.insert(b"ilists", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]).expect("inserted");
    });
    let store = open(folder.path());
    assert_whole(&store);
    // 19 of those that are listed anew are archived already.
    assert_eq!(archived(&store, 1000).releases, 20);
    assert_whole(&store);
}

#[tokio::test]
async fn archived_journals_are_found_after_opening_and_after_restoring() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(&folder.path().join("store")).await;
    assert_whole(&store);
    assert_eq!((archived(&store, 22).releases, archived(&store, 22).releases), (19, 0));
    assert_whole(&store);
    // The last is open.
    assert_eq!(archived(&store, 1000).releases, 20);
    assert_whole(&store);
    drop(store);
    let store = open(&folder.path().join("store"));
    assert_whole(&store);
    let report = store.backup(folder.path().join("backup")).expect("backed up");
    assert_eq!((report.releases, report.records), (40, 40 * LENGTH));
    restore(folder.path().join("backup"), folder.path().join("restored")).expect("restored");
    assert_whole(&open(&folder.path().join("restored")));
}

#[tokio::test]
async fn a_compacted_store_is_the_same_and_smaller() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    assert!(matches!(SledStore::compact(folder.path()), Err(StoreError::Locked { .. })));
    for at in 0..2000 {
        store.put_document(windlass_store::DocumentKind::Tool, "helm", vec![at as u8; 4000]).await.expect("put");
    }
    archived(&store, 1000);
    drop(store);
    let log = folder.path().join("data/sled/db");
    let before = log.metadata().expect("there").len();
    // What a power cut leaves of an earlier one.
    fs::create_dir(folder.path().join("data/sled.new")).expect("created");
    // As an archiving leaves it that finds that it is worth while.
    let wish = folder.path().join("data/compact");
    fs::write(&wish, "").expect("written");
    drop(open(folder.path()));
    assert!(!wish.exists());
    let compacted = log.metadata().expect("there").len();
    SledStore::compact(folder.path()).expect("compacted");
    assert!(compacted < before && log.metadata().expect("there").len() < before);
    assert!(!folder.path().join("data/sled.new").exists());
    let store = open(folder.path());
    assert_whole(&store);
    store.append(append(&release("web-1"), 0, record(0))).await.expect("it goes on");
}

#[tokio::test]
async fn an_archived_release_goes_on_and_is_archived_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    archived(&store, 1000);
    drop(store);
    let store = open(folder.path());
    let id = release("payments-7");
    assert!(store.append(append(&id, 0, record(0))).await.is_err());
    for at in LENGTH..LENGTH + 3 {
        let next = Append { outline: Some(outline(&id, 7, at < LENGTH + 2)), ..append(&id, at, record(at)) };
        store.append(next).await.expect("appended");
    }
    let whole: Vec<Record> = journal(&id).into_iter().chain((LENGTH..LENGTH + 3).map(record)).collect();
    assert_eq!(store.journal(&id).expect("read"), whole);
    let report = store.check().expect("checked");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.releases, report.records), (40, 40 * LENGTH + 3));
    assert_eq!(store.backup(folder.path().join("backup")).expect("backed up").releases, 40);
    assert_eq!(archived(&store, 1000).releases, 1);
    assert_eq!(store.journal(&id).expect("read"), whole);
    assert!(store.check().expect("checked").is_sound());
}

#[tokio::test]
async fn records_that_were_archived_and_not_yet_removed_count_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    drop(store);
    let mut kept = Vec::new();
    meddle(folder.path(), |it| {
        kept.extend((1..4).map(|at| (key(b'j', 7, Some(at)), it.get(key(b'j', 7, Some(at))).expect("read"))));
        // It goes with the last of them.
        let listed = [&b"e"[..], &9_u64.to_be_bytes(), &key(b'e', 7, None)[1..]].concat();
        kept.push((listed.clone(), it.get(listed).expect("read")));
    });
    archived(&open(folder.path()), 1000);
    // As if the power had gone before these were removed.
    meddle(folder.path(), |it| {
        for (key, value) in kept {
            assert!(it.insert(key, value.expect("there")).expect("inserted").is_none());
        }
    });
    let store = open(folder.path());
    assert_whole(&store);
    let id = release("payments-7");
    assert!(store.append(append(&id, 4, record(4))).await.is_err());
    store.append(append(&id, LENGTH, record(LENGTH))).await.expect("appended");
    assert_eq!(store.journal(&id).expect("read").len() as u64, LENGTH + 1);
    assert_eq!(archived(&store, 1000).releases, 1);
    assert_eq!(store.journal(&id).expect("read").len() as u64, LENGTH + 1);
    assert!(store.check().expect("checked").is_sound());
}

#[tokio::test]
async fn a_damaged_segment_puts_its_releases_in_quarantine_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    assert_eq!(archived(&store, 22).segments, 1);
    let before: BTreeSet<_> = blobs(folder.path());
    archived(&store, 1000);
    let segment = blobs(folder.path()).difference(&before).next().expect("a segment").clone();
    let whole = fs::read(&segment).expect("read");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&segment, damaged).expect("damaged");
    drop(store);

    let store = open(folder.path());
    assert!(matches!(store.journal(&release("payments-30")), Err(StoreError::Corrupt { sequence: 0, .. })));
    assert!(!store.check().expect("checked").is_sound());
    let derive = |id: &ReleaseId, _: &[Record]| Derived::Outline(outline(id, id.number(), id.number() == 40));
    let report = store.repair(derive).expect("repaired");
    assert_eq!(report.quarantined.len(), 20);
    assert!(report.quarantined.iter().all(|it| it.records == LENGTH), "{:?}", report.quarantined);
    assert_eq!(store.journal(&release("payments-3")).expect("read"), journal(&release("payments-3")));
    assert!(matches!(store.journal(&release("payments-30")), Err(StoreError::Quarantined { .. })));

    fs::write(&segment, whole).expect("mended");
    for it in report.quarantined {
        assert!(store.readmit(&it.release).expect("readmitted"));
    }
    assert_whole(&store);
}

#[tokio::test]
async fn archived_releases_are_removed_with_their_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    archived(&store, 22);
    archived(&store, 1000);
    drop(store);
    let store = open(folder.path());
    let nothing = BTreeSet::new();
    let expired = store.expired(Timestamp(22), &nothing).expect("listed");
    assert_eq!(expired.releases.len(), 19);
    assert!(expired.releases.values().all(|it| *it == LENGTH));
    // A segment and the large records; a large record is like another where the numbers differ by 256.
    assert_eq!(expired.blobs.len(), 20);
    let removed = store.remove_expired(&expired, &nothing).expect("removed");
    assert_eq!((removed.releases, removed.changed, removed.blobs), (19, 0, 20));
    let report = store.check().expect("checked");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.releases, report.unnamed_blobs), (21, 0));
    assert_eq!(store.journal(&release("payments-30")).expect("read"), journal(&release("payments-30")));
}

fn blobs(folder: &Path) -> BTreeSet<std::path::PathBuf> {
    let folders = fs::read_dir(folder.join("data/blobs")).expect("read").map(|it| it.expect("an entry").path());
    folders.flat_map(|it| fs::read_dir(it).expect("read").map(|it| it.expect("an entry").path())).collect()
}
