//! Two stores, one suite.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use windlass_model::digest::Digest;
use windlass_model::event::{Created, Event, Record};
use windlass_model::time::Timestamp;
use windlass_store::{
    Append, AppendError, DocumentKind, ListPosition, MemoryStore, Outline, SledStore, Store, StoreError,
};

use crate::sample::{self, append, outline, record, release};

/// Runs a check on an empty store of each kind.
async fn on_each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Store>) -> F) {
    check(Arc::new(MemoryStore::new())).await;
    let folder = tempfile::tempdir().expect("a folder");
    check(Arc::new(SledStore::open(folder.path()).expect("opened"))).await;
}

#[tokio::test]
async fn a_journal_grows_record_by_record() {
    on_each(async |store| {
        let id = release("payments-1");
        assert_eq!(store.journal(&id).expect("read"), []);
        for at in 0..20 {
            store.append(append(&id, at, record(at))).await.expect("appended");
        }
        assert_eq!(store.journal(&id).expect("read"), (0..20).map(record).collect::<Vec<_>>());
        assert_eq!(store.journal(&release("payments-10")).expect("read"), []);
    })
    .await;
}

#[tokio::test]
async fn who_expects_another_length_changes_nothing() {
    on_each(async |store| {
        let id = release("payments-1");
        store.append(append(&id, 0, record(0))).await.expect("appended");
        for (expected, actual) in [(0, 1), (2, 1), (u64::MAX, 1)] {
            let mut refused = append(&id, expected, record(9));
            refused.outline = Some(outline(&id, 0, true));
            match store.append(refused).await {
                Err(AppendError::Conflict { expected: e, actual: a }) => assert_eq!((e, a), (expected, actual)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(store.journal(&id).expect("read"), [record(0)]);
        assert_eq!(store.outline(&id).expect("read"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_append_at_once_one_wins_each_place() {
    on_each(async |store| {
        let id = release("payments-1");
        let tasks: Vec<_> = (0..16)
            .map(|caller| {
                let (store, id) = (Arc::clone(&store), id.clone());
                tokio::spawn(async move {
                    let mut won = 0;
                    for expected in 0..25 {
                        match store.append(append(&id, expected, record(caller * 100 + expected))).await {
                            Ok(()) => won += 1,
                            Err(AppendError::Conflict { actual, .. }) => assert!(actual > expected),
                            Err(error) => panic!("{error}"),
                        }
                    }
                    won
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += task.await.expect("ended");
        }
        let journal = store.journal(&id).expect("read");
        assert_eq!(won, journal.len());
        assert_eq!(won, 25);
        for (at, found) in journal.iter().enumerate() {
            assert!((0..16).any(|caller| *found == record(caller * 100 + at as u64)));
        }
    })
    .await;
}

#[tokio::test]
async fn numbers_are_never_used_again() {
    on_each(async |store| {
        let workflow = "payments".parse().expect("a name");
        assert_eq!(store.next_number(&workflow).expect("read"), 1);
        for (id, next) in [("payments-1", 2), ("payments-7", 8), ("payments-3", 8), ("payments-eu-40", 8)] {
            store.append(append(&release(id), 0, record(0))).await.expect("appended");
            assert_eq!(store.next_number(&workflow).expect("read"), next);
        }
        assert_eq!(store.next_number(&"payments-eu".parse().expect("a name")).expect("read"), 41);
    })
    .await;
}

#[tokio::test]
async fn outlines_are_the_last_given_and_in_the_order_of_creation() {
    on_each(async |store| {
        let ids = [release("b-2"), release("a-1"), release("b-1"), release("b-10")];
        for (at, id) in ids.iter().enumerate() {
            let first = Append { outline: Some(outline(id, 50 + at as u64 / 2, true)), ..append(id, 0, record(0)) };
            store.append(first).await.expect("appended");
            store.append(append(id, 1, record(1))).await.expect("appended");
        }
        let closed = outline(&ids[1], 50, false);
        let last = Append { outline: Some(closed.clone()), ..append(&ids[1], 2, record(2)) };
        store.append(last).await.expect("appended");
        let listed: Vec<String> = store.outlines().expect("read").iter().map(|it| it.release.to_string()).collect();
        assert_eq!(listed, ["a-1", "b-2", "b-1", "b-10"]);
        assert_eq!(store.outline(&ids[1]).expect("read"), Some(closed));
        assert_eq!(store.outline(&release("a-2")).expect("read"), None);
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages_and_know_what_is_open() {
    on_each(async |store| {
        let ids = [release("b-2"), release("a-1"), release("b-1"), release("b-10"), release("c-1")];
        for (at, id) in ids.iter().enumerate() {
            let first = Append { outline: Some(outline(id, 50 + at as u64 / 2, true)), ..append(id, 0, record(0)) };
            store.append(first).await.expect("appended");
        }
        let texts = |ids: &[windlass_model::name::ReleaseId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&store.open_releases().expect("read")), ["a-1", "b-1", "b-2", "b-10", "c-1"]);
        let last = Append { outline: Some(outline(&ids[0], 50, false)), ..append(&ids[0], 1, record(1)) };
        store.append(last).await.expect("appended");
        assert_eq!(texts(&store.open_releases().expect("read")), ["a-1", "b-1", "b-10", "c-1"]);
        let page = |after: Option<&Outline>, limit| {
            let after = after.map(ListPosition::of);
            store.outlines_page(after.as_ref(), limit).expect("read")
        };
        let names = |page: &[Outline]| page.iter().map(|it| it.release.to_string()).collect::<Vec<_>>();
        let first = page(None, 2);
        assert_eq!(names(&first), ["c-1", "b-10"]);
        let second = page(first.last(), 2);
        assert_eq!(names(&second), ["b-1", "b-2"]);
        let third = page(second.last(), 2);
        assert_eq!(names(&third), ["a-1"]);
        assert_eq!(names(&page(third.last(), 2)), Vec::<String>::new());
        assert_eq!(names(&page(None, 0)), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn documents_and_blobs_are_kept() {
    on_each(async |store| {
        let large = vec![7; 100_000];
        store.put_document(DocumentKind::Plugin, "jenkins", b"one".to_vec()).await.expect("put");
        store.put_document(DocumentKind::Plugin, "jenkins", large.clone()).await.expect("put");
        store.put_document(DocumentKind::Plugin, "helm", vec![]).await.expect("put");
        store.put_document(DocumentKind::Tool, "jenkins", b"two".to_vec()).await.expect("put");
        assert_eq!(store.document(DocumentKind::Plugin, "jenkins").expect("read"), Some(large.clone()));
        assert_eq!(store.document(DocumentKind::Connection, "jenkins").expect("read"), None);
        let of_kind = store.documents(DocumentKind::Plugin).expect("read");
        assert_eq!(of_kind, [("helm".to_owned(), vec![]), ("jenkins".to_owned(), large.clone())]);
        assert!(store.remove_document(DocumentKind::Plugin, "jenkins").await.expect("removed"));
        assert!(!store.remove_document(DocumentKind::Plugin, "jenkins").await.expect("removed"));
        assert_eq!(store.document(DocumentKind::Plugin, "jenkins").expect("read"), None);
        assert_eq!(store.document(DocumentKind::Tool, "jenkins").expect("read"), Some(b"two".to_vec()));

        for bytes in [vec![], b"small".to_vec(), large] {
            let digest = store.put_blob(bytes.clone()).await.expect("put");
            assert_eq!(digest, Digest::of(&bytes));
            assert_eq!(store.put_blob(bytes.clone()).await.expect("put"), digest);
            assert_eq!(store.blob(&digest).expect("read"), Some(bytes));
        }
        assert_eq!(store.blob(&Digest::of(b"nobody put this")).expect("read"), None);
        assert!(store.check().expect("checked").is_sound());
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    on_each(async |store| {
        let id = release("payments-1");
        let mut deep = serde_json::Value::Null;
        for _ in 0..200 {
            deep = serde_json::Value::Array(vec![deep]);
        }
        let deep = Record {
            at: Timestamp(0),
            events: vec![Event::AttemptSucceeded { step: sample::step("a"), output: deep }],
        };
        let foreign = Append { outline: Some(outline(&release("payments-2"), 0, true)), ..append(&id, 0, record(0)) };
        let cases = [
            (
                append(&id, 0, Record { at: Timestamp(0), events: vec![] }),
                "a record without events (release payments-1)",
            ),
            (append(&id, 0, deep), "a JSON value that is nested too deeply (release payments-1)"),
            (foreign, "an outline of another release (release payments-1)"),
        ];
        for (case, says) in cases {
            match store.append(case).await {
                Err(AppendError::Store(StoreError::Refused { what })) => assert_eq!(what, says),
                other => panic!("{other:?}"),
            }
        }
        for name in ["", &"x".repeat(257)] {
            let refused = store.put_document(DocumentKind::Tool, name, vec![1]).await;
            assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        }
        assert_eq!(store.check().expect("checked").releases, 0);
    })
    .await;
}

#[tokio::test]
async fn a_check_misses_the_blobs_a_release_needs() {
    on_each(async |store| {
        let id = release("payments-1");
        let plan = store.put_blob(b"the plan".to_vec()).await.expect("put");
        store.put_blob(b"something else".to_vec()).await.expect("put");
        let missing = Digest::of(b"never put");
        let created = Created {
            release: id.clone(),
            plan,
            components: vec![("jenkins 0.1.3".to_owned(), missing)],
            parameters: serde_json::Value::Null,
            requested_by: windlass_model::actor::Actor::windlass(),
            salt: [0; 16],
            parent: None,
            rehearsal: false,
            dry_run: false,
            recorded: false,
            claim: None,
        };
        let first = Record { at: Timestamp(0), events: vec![Event::ReleaseCreated(Box::new(created))] };
        store.append(append(&id, 0, first)).await.expect("appended");
        let report = store.check().expect("checked");
        assert_eq!((report.releases, report.records, report.blobs, report.unnamed_blobs), (1, 1, 2, 1));
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        let said = finding.to_string();
        assert!(said.starts_with("payments-1: the component of jenkins 0.1.3 is missing"), "{said}");
        assert!(said.ends_with(&missing.to_string()), "{said}");
    })
    .await;
}

/// The same random appends into both, with sled opened anew now and then: the same answers, the same contents.
#[tokio::test]
async fn both_stores_are_the_same() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let memory = MemoryStore::new();
        let folder = tempfile::tempdir().expect("a folder");
        let mut sled = SledStore::open(folder.path()).expect("opened");
        let ids: Vec<_> = ["a-1", "a-2", "a-b-1", "b-300"].map(release).into();
        for turn in 0..120 {
            if random.random_ratio(1, 40) {
                drop(sled);
                sled = SledStore::open(folder.path()).expect("opened again");
            }
            let id = &ids[random.random_range(0..ids.len())];
            let length = memory.journal(id).expect("read").len() as u64;
            let expected = if random.random_ratio(1, 5) { random.random_range(0..=length + 1) } else { length };
            let outline = random.random_ratio(1, 2).then(|| outline(id, random.random_range(0..5), random.random()));
            let append = Append { release: id.clone(), expected, record: sample::random_record(&mut random), outline };
            let answers = (memory.append(append.clone()).await, sled.append(append).await);
            assert_eq!(format!("{:?}", answers.0), format!("{:?}", answers.1), "seed {seed}, turn {turn}");
        }
        for id in &ids {
            assert_eq!(memory.journal(id).expect("read"), sled.journal(id).expect("read"), "seed {seed}, {id}");
            assert_eq!(memory.outline(id).expect("read"), sled.outline(id).expect("read"), "seed {seed}, {id}");
            assert_eq!(memory.next_number(id.workflow()).ok(), sled.next_number(id.workflow()).ok());
        }
        assert_eq!(memory.outlines().expect("read"), sled.outlines().expect("read"), "seed {seed}");
        assert_eq!(memory.open_releases().expect("read"), sled.open_releases().expect("read"), "seed {seed}");
        let mut after = None;
        loop {
            let pages = [memory.outlines_page(after.as_ref(), 3), sled.outlines_page(after.as_ref(), 3)];
            let [of_memory, of_sled] = pages.map(|it| it.expect("read"));
            assert_eq!(of_memory, of_sled, "seed {seed}");
            match of_memory.last() {
                Some(last) => after = Some(ListPosition::of(last)),
                None => break,
            }
        }
        let (of_memory, of_sled) = (memory.check().expect("checked"), sled.check().expect("checked"));
        assert_eq!((of_memory.releases, of_memory.records), (of_sled.releases, of_sled.records));
        // The random plans are missing in both; the lists are sled's own.
        let said = |it: windlass_store::CheckReport| it.findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(said(of_sled).iter().all(|it| !it.contains("list")), "seed {seed}");
    }
}
