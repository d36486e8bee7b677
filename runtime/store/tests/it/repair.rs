//! A damaged release is taken out of use and nothing else is; what can be computed is computed anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use windlass_model::event::Record;
use windlass_model::name::ReleaseId;
use windlass_store::{Append, AppendError, Derived, RepairReport, SledStore, Store, StoreError};

use crate::damage::{findings, key, meddle, store};
use crate::sample::{append, large_record, outline, record, release};

/// What the outlines of these tests follow from.
fn derive(id: &ReleaseId, _: &[Record]) -> Derived {
    Derived::Outline(outline(id, 5, true))
}

fn open(folder: &tempfile::TempDir) -> SledStore {
    SledStore::open(folder.path()).expect("opened")
}

fn repaired(store: &SledStore) -> RepairReport {
    let report = store.repair(derive).expect("repaired");
    assert!(report.after.is_sound(), "{:?}", report.after.findings);
    report
}

#[tokio::test]
async fn a_damaged_release_is_quarantined_and_the_others_go_on() {
    let folder = store().await;
    let id = release("payments-1");
    let mut before = None;
    meddle(folder.path(), |it| before = it.insert(key(b'j', 1, Some(1)), &[1, 0, 0xff]).expect("inserted"));
    let store = open(&folder);
    let report = repaired(&store);
    assert_eq!((report.outlines, report.numbers, report.listed), (0, 0, 0));
    let [quarantined] = &report.quarantined[..] else { panic!("{report:?}") };
    assert_eq!((&quarantined.release, quarantined.records), (&id, 3));
    assert!(quarantined.what.starts_with("record 1 of release payments-1 is damaged: "), "{quarantined:?}");
    assert_eq!(store.quarantined().expect("read"), report.quarantined);
    assert_eq!((report.after.releases, report.after.quarantined), (1, 1));

    let refused = format!("release payments-1 is quarantined: {}", quarantined.what);
    assert_eq!(store.journal(&id).expect_err("refused").to_string(), refused);
    for expected in [0, 3] {
        match store.append(append(&id, expected, record(3))).await {
            Err(AppendError::Store(error @ StoreError::Quarantined { .. })) => assert_eq!(error.to_string(), refused),
            other => panic!("{other:?}"),
        }
    }
    let other = release("payments-2");
    assert_eq!(store.open_releases().expect("read"), std::slice::from_ref(&other));
    assert_eq!(store.outlines().expect("read"), [outline(&other, 5, true)]);
    assert_eq!(store.outlines_page(None, 9).expect("read"), [outline(&other, 5, true)]);
    store.append(append(&other, 3, record(3))).await.expect("appended");
    assert_eq!(store.next_number(id.workflow()).expect("read"), 3);
    assert!(repaired(&store).quarantined.is_empty());

    // Nothing was deleted: with the byte mended it is what it was.
    drop(store);
    let moved = [key(b'q', 1, None), b"j".to_vec(), 1_u64.to_be_bytes().to_vec()].concat();
    meddle(folder.path(), |it| {
        let found = it.insert(moved, before.expect("there was a record")).expect("inserted");
        assert_eq!(found.as_deref(), Some(&[1, 0, 0xff][..]));
    });
    let store = open(&folder);
    assert!(store.readmit(&id).expect("readmitted"));
    assert!(!store.readmit(&id).expect("it is not in quarantine"));
    assert_eq!(store.journal(&id).expect("read"), [record(0), record(1), large_record(1, 9000)]);
    assert_eq!(store.open_releases().expect("read"), [id.clone(), other]);
    assert_eq!(findings(&store), Vec::<String>::new());
    store.append(append(&id, 3, record(3))).await.expect("it goes on");
}

#[tokio::test]
async fn what_follows_from_journals_is_written_anew() {
    let folder = store().await;
    let whole = open(&folder).outlines().expect("read");
    meddle(folder.path(), |it| {
        // An outline that is damaged, one that is wrong, and one that nobody can have.
        it.insert(key(b'o', 1, None), &[1, 0, 0xff]).expect("inserted");
        let wrong = windlass_store::format::encode_outline(&outline(&release("payments-2"), 9, false));
        it.insert(key(b'o', 2, None), wrong).expect("inserted");
        let foreign = windlass_store::format::encode_outline(&outline(&release("payments-7"), 9, false));
        it.insert(key(b'o', 7, None), foreign).expect("inserted");
        it.insert(b"npayments", &[1, 0]).expect("inserted");
        // Entries of the lists that are missing, and some for releases there are not.
        it.remove(key(b'w', 1, None)).expect("removed").expect("there was one");
        it.insert(key(b'w', 9, None), &[1, 0]).expect("inserted");
        let mut entry = vec![b'c'];
        entry.extend(77_u64.to_be_bytes());
        entry.extend(&key(b'c', 2, None)[1..]);
        it.insert(entry, &[1, 0]).expect("inserted");
    });
    let store = open(&folder);
    let before = findings(&store);
    for says in ["the outline of payments-1 is damaged", "payments-7: it has an outline and no journal", "payments-9: "]
    {
        assert!(before.iter().any(|it| it.contains(says)), "{says}: {before:?}");
    }
    let report = repaired(&store);
    assert_eq!((report.outlines, report.numbers), (2, 1));
    assert!(report.listed >= 3, "{report:?}");
    assert_eq!(report.quarantined.iter().map(|it| it.release.to_string()).collect::<Vec<_>>(), ["payments-7"]);
    assert_eq!(store.outlines().expect("read"), whole);
    assert_eq!(store.outlines_page(None, 9).expect("read").len(), 2);
    assert_eq!(store.open_releases().expect("read"), [release("payments-1"), release("payments-2")]);
    assert_eq!(store.next_number(release("payments-1").workflow()).expect("read"), 8);
    let again = repaired(&store);
    assert_eq!((again.outlines, again.numbers, again.listed, again.quarantined.len()), (0, 0, 0, 0));
}

#[tokio::test]
async fn a_journal_that_cannot_have_come_about_is_quarantined_and_one_unknown_is_left() {
    let folder = store().await;
    let store = open(&folder);
    let report = store.repair(|id, records| {
        assert_eq!(records.len(), 3);
        if id.number() == 1 { Derived::Impossible("it ends before it begins".to_owned()) } else { Derived::Unknown }
    });
    let report = report.expect("repaired");
    assert_eq!(report.quarantined[0].what, "it ends before it begins");
    assert_eq!(store.outlines().expect("read"), [outline(&release("payments-2"), 5, true)]);
}

#[tokio::test]
async fn a_store_without_lists_gets_them_when_it_is_opened() {
    let folder = store().await;
    meddle(folder.path(), |it| {
        for prefix in [b"w", b"c", b"i"] {
            let keys: Vec<_> = it.scan_prefix(prefix).keys().map(|it| it.expect("a key")).collect();
            assert!(!keys.is_empty());
            keys.into_iter().for_each(|key| drop(it.remove(key).expect("removed")));
        }
    });
    let store = open(&folder);
    assert_eq!(findings(&store), Vec::<String>::new());
    assert_eq!(store.open_releases().expect("read"), [release("payments-1"), release("payments-2")]);
    assert_eq!(store.outlines_page(None, 1).expect("read").len(), 1);
}

#[tokio::test]
async fn a_long_journal_is_moved_and_back_also_if_that_was_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let id = release("payments-1");
    let whole: Vec<Record> = (0..120).map(|at| large_record(at, 3000)).collect();
    {
        let store = open(&folder);
        for (at, record) in (0..).zip(&whole) {
            let first = Append { outline: Some(outline(&id, 5, true)), ..append(&id, at, record.clone()) };
            store.append(first).await.expect("appended");
        }
        let quarantine = |_: &ReleaseId, _: &[Record]| Derived::Impossible("because".to_owned());
        assert_eq!(store.repair(quarantine).expect("repaired").quarantined[0].records, 120);
        assert!(store.readmit(&id).expect("readmitted"));
        assert_eq!(store.journal(&id).expect("read"), whole);
        assert_eq!(store.repair(quarantine).expect("repaired").quarantined[0].records, 120);
    }
    // As if the power had gone when 70 were moved.
    meddle(folder.path(), |it| {
        for sequence in 70..120_u64 {
            let from = [key(b'q', 1, None), b"j".to_vec(), sequence.to_be_bytes().to_vec()].concat();
            let value = it.remove(from).expect("removed").expect("there");
            it.insert(key(b'j', 1, Some(sequence)), value).expect("inserted");
        }
    });
    let store = open(&folder);
    assert!(matches!(store.journal(&id), Err(StoreError::Quarantined { .. })));
    assert!(matches!(
        store.append(append(&id, 120, record(3))).await,
        Err(AppendError::Store(StoreError::Quarantined { .. }))
    ));
    repaired(&store);
    assert_eq!(store.quarantined().expect("read")[0].records, 120);
    assert!(store.readmit(&id).expect("readmitted"));
    assert_eq!(store.journal(&id).expect("read"), whole);
    assert_eq!(findings(&store), Vec::<String>::new());
}

#[test]
fn what_was_derived_from_a_journal_that_has_grown_since_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let id = release("payments-1");
    let step = |at: u64| Append { outline: Some(outline(&id, at, true)), ..append(&id, at, record(at)) };
    futures::executor::block_on(store.append(step(0))).expect("appended");
    let report = store.repair(|_, records| {
        futures::executor::block_on(store.append(step(records.len() as u64))).expect("appended");
        Derived::Outline(outline(&id, 77, false))
    });
    assert_eq!(report.expect("repaired").outlines, 0);
    assert_eq!(store.outline(&id).expect("read"), Some(outline(&id, 1, true)));
    let report = store.repair(|_, records| {
        futures::executor::block_on(store.append(step(records.len() as u64))).expect("appended");
        Derived::Impossible("it was, then".to_owned())
    });
    // Then it is quarantined as it is now, with what came since.
    assert_eq!(report.expect("repaired").quarantined[0].records, 3);
}

#[test]
fn a_release_that_begins_during_a_repair_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder);
    let begin = |name: &str| {
        let id = release(name);
        let first = Append { outline: Some(outline(&id, 0, true)), ..append(&id, 0, record(0)) };
        futures::executor::block_on(store.append(first)).expect("appended");
    };
    begin("payments-1");
    let mut has_begun = false;
    let report = store.repair(|id, _| {
        if !std::mem::replace(&mut has_begun, true) {
            begin("payments-2");
        }
        Derived::Outline(outline(id, 0, true))
    });
    assert_eq!(report.expect("repaired").quarantined, Vec::new());
    assert_eq!(store.journal(&release("payments-2")).expect("read").len(), 1);
    assert_eq!(findings(&store), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_leaves_releases_alone_that_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(&folder));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (1..=4)
        .map(|number| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            tokio::spawn(async move {
                let id = release(&format!("payments-{number}"));
                let mut at = 0;
                while !stop.load(SeqCst) || at == 0 {
                    let next =
                        Append { outline: Some(outline(&id, at, at.is_multiple_of(2))), ..append(&id, at, record(at)) };
                    store.append(next).await.expect("appended");
                    at += 1;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        let repair = move || {
            store.repair(|id, records| {
                let at = records.len() as u64 - 1;
                Derived::Outline(outline(id, at, at.is_multiple_of(2)))
            })
        };
        let report = tokio::task::spawn_blocking(repair).await.expect("ended").expect("repaired");
        assert!(report.quarantined.is_empty());
    }
    stop.store(true, SeqCst);
    for task in tasks {
        task.await.expect("ended");
    }
    for found in store.outlines().expect("read") {
        let at = store.journal(&found.release).expect("read").len() as u64 - 1;
        assert_eq!(found, outline(&found.release, at, at.is_multiple_of(2)));
    }
    assert_eq!(findings(&store), Vec::<String>::new());
}
