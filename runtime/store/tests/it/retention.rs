//! What is old and finished goes away, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use windlass_model::actor::Actor;
use windlass_model::digest::Digest;
use windlass_model::event::{Created, Event, Parent, Record};
use windlass_model::time::Timestamp;
use windlass_store::{Append, DocumentKind, Removed, SledStore, Store};

use crate::damage::{key, meddle};
use crate::sample::{append, large_record, outline, record, release};

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder).expect("opened")
}

/// A release of a plan, a component and a large record, that ended at a time or is open.
async fn fill(store: &SledStore, id: &str, at: u64, open: bool, plan: &[u8], component: &[u8]) {
    fill_inside(store, id, None, at, open, plan, component).await;
}

/// The same, inside of another release.
async fn fill_inside(
    store: &SledStore,
    id: &str,
    outer: Option<&str>,
    at: u64,
    open: bool,
    plan: &[u8],
    component: &[u8],
) {
    let id = release(id);
    let created = Created {
        release: id.clone(),
        plan: store.put_blob(plan.to_vec()).await.expect("put"),
        components: vec![("jenkins 0.1.3".to_owned(), store.put_blob(component.to_vec()).await.expect("put"))],
        parameters: serde_json::Value::Null,
        requested_by: Actor::windlass(),
        salt: [0; 16],
        parent: outer.map(|it| Parent { release: release(it), step: "deploy".parse().expect("a name") }),
        rehearsal: false,
        dry_run: false,
        recorded: false,
        claim: None,
    };
    let first = Record { at: Timestamp(at), events: vec![Event::ReleaseCreated(Box::new(created))] };
    store.append(append(&id, 0, first)).await.expect("appended");
    store.append(append(&id, 1, large_record(at, 9000))).await.expect("appended");
    let last = Append { outline: Some(outline(&id, at, open)), ..append(&id, 2, record(at)) };
    store.append(last).await.expect("appended");
}

#[tokio::test]
async fn what_is_old_and_finished_goes_with_its_blobs_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = Digest::of(b"component");
    {
        let store = open(folder.path());
        fill(&store, "payments-1", 10, false, b"plan 1", b"component").await;
        fill(&store, "payments-2", 10, false, b"plan 2", b"old component").await;
        fill(&store, "payments-3", 20, true, b"plan 2", b"component").await;
        fill(&store, "web-1", 90, false, b"plan 3", b"component 3").await;
        fill(&store, "web-2", 30, false, b"plan 4", b"component 4").await;
        store.put_document(DocumentKind::Tool, "helm", vec![7; 9000]).await.expect("put");
    }
    let store = open(folder.path());
    let before = store.check().expect("checked");
    let needed = BTreeSet::from([Digest::of(b"component 4")]);
    let expired = store.expired(Timestamp(50), &needed).expect("listed");
    let listed: Vec<String> = expired.releases.iter().map(|(id, records)| format!("{id}: {records}")).collect();
    assert_eq!(listed, ["payments-1: 3", "payments-2: 3", "web-2: 3"]);
    // The plan of 1 and 4, the old component, and the large records of 10 (both have the same) and 30.
    assert_eq!(expired.blobs.len(), 5);
    assert!(!expired.blobs.contains(&component) && !expired.blobs.contains(&Digest::of(b"plan 2")));
    assert_eq!(store.check().expect("checked"), before);

    // Somebody takes one of them up again, and somebody is about to make a release of a plan that was listed.
    let again =
        Append { outline: Some(outline(&release("web-2"), 30, true)), ..append(&release("web-2"), 3, record(7)) };
    store.append(again).await.expect("appended");
    store.put_blob(b"plan 1".to_vec()).await.expect("put");
    let removed = store.remove_expired(&expired, &needed).expect("removed");
    assert_eq!(removed, Removed { releases: 2, changed: 1, blobs: 2 });
    let there = |bytes: &[u8]| store.blob(&Digest::of(bytes)).expect("read").is_some();
    assert!(there(b"plan 1") && there(b"plan 4") && there(b"component") && there(b"plan 2"));
    assert!(!there(b"old component"));
    let left: Vec<String> = store.outlines().expect("read").iter().map(|it| it.release.to_string()).collect();
    assert_eq!(left, ["payments-3", "web-2", "web-1"]);
    assert_eq!(store.outlines_page(None, 9).expect("read").len(), 3);
    assert_eq!(store.journal(&release("payments-1")).expect("read"), []);
    assert_eq!(store.journal(&release("web-2")).expect("read").len(), 4);
    assert_eq!(store.next_number(release("payments-1").workflow()).expect("read"), 4);
    let after = store.check().expect("checked");
    assert!(after.is_sound(), "{:?}", after.findings);
    assert_eq!((after.releases, after.records), (3, 10));
}

#[tokio::test]
async fn what_is_removed_beside_the_work_is_the_oldest_and_no_more_than_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    fill(&store, "payments-1", 10, false, b"plan 1", b"component").await;
    fill(&store, "payments-2", 11, true, b"plan 2", b"component").await;
    fill(&store, "payments-3", 12, false, b"plan 3", b"component").await;
    fill(&store, "payments-4", 13, false, b"plan 4", b"component").await;
    fill(&store, "payments-5", 48, false, b"plan 5", b"component").await;
    store.archive(Timestamp(15)).expect("archived");
    // The fifth was created before, and ended at that time.
    assert_eq!(store.remove_some(Timestamp(50), 2).expect("removed"), [release("payments-1"), release("payments-3")]);
    assert_eq!(store.remove_some(Timestamp(50), 2).expect("removed"), [release("payments-4")]);
    assert_eq!(store.remove_some(Timestamp(50), 2).expect("removed"), []);
    let left: Vec<String> = store.outlines().expect("read").iter().map(|it| it.release.to_string()).collect();
    assert_eq!(left, ["payments-2", "payments-5"]);
    let after = store.check().expect("checked");
    assert!(after.is_sound(), "{:?}", after.findings);
    assert_eq!((after.releases, after.archived), (2, 0));
}

#[tokio::test]
async fn what_is_inside_of_a_release_stays_as_long_as_that_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    // Open, ended lately, and ended long ago; two deep, and one whose outer one is gone already.
    for (outer, at, is_open) in [("fleet-1", 10, true), ("fleet-2", 90, false), ("fleet-3", 10, false)] {
        let number = &outer[6..];
        fill(&store, outer, at, is_open, b"fleet", b"component").await;
        let (region, inner) = (format!("region-{number}"), format!("payments-{number}"));
        fill_inside(&store, &region, Some(outer), 10, false, b"region", b"component").await;
        fill_inside(&store, &inner, Some(&region), 10, false, b"payments", b"component").await;
    }
    fill_inside(&store, "payments-4", Some("gone-1"), 10, false, b"payments", b"component").await;
    let expired = store.expired(Timestamp(50), &BTreeSet::new()).expect("listed");
    let listed: Vec<String> = expired.releases.keys().map(ToString::to_string).collect();
    let old = ["fleet-3", "payments-3", "payments-4", "region-3"];
    assert_eq!(listed, old);
    // The outer one is taken up again, so that nothing of it goes.
    let id = release("fleet-3");
    let again = Append { outline: Some(outline(&id, 10, true)), ..append(&id, 3, record(7)) };
    store.append(again).await.expect("appended");
    let removed = store.remove_expired(&expired, &BTreeSet::new()).expect("removed");
    assert_eq!((removed.releases, removed.changed), (1, 3));
    // Beside the work it is the same.
    assert_eq!(store.remove_some(Timestamp(50), 99).expect("removed"), []);
    let over = Append { outline: Some(outline(&id, 10, false)), ..append(&id, 4, record(8)) };
    store.append(over).await.expect("appended");
    let removed = store.remove_some(Timestamp(50), 99).expect("removed");
    let removed: BTreeSet<String> = removed.iter().map(ToString::to_string).collect();
    assert_eq!(removed, BTreeSet::from(["fleet-3", "payments-3", "region-3"].map(str::to_owned)));
    let after = store.check().expect("checked");
    assert!(after.is_sound() && after.releases == 6, "{after:?}");
}

#[tokio::test]
async fn only_blobs_that_are_old_and_named_by_nothing_go() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let folder = tempfile::tempdir().expect("a folder");
    let by_plan = Digest::of(b"a component that only a plan names");
    let plan = format!("{{\"component\": \"{by_plan}\"}}");
    let by_document = Digest::of(b"a component that is installed");
    {
        let store = open(folder.path());
        for bytes in [
            &b"a component that only a plan names"[..],
            b"a component that is installed",
            b"needed",
            b"put again",
            b"old",
            b"young",
        ] {
            store.put_blob(bytes.to_vec()).await.expect("put");
        }
        fill(&store, "payments-1", 10, false, plan.as_bytes(), b"component").await;
        fill(&store, "payments-2", 20, false, b"plan 2", b"component").await;
        let installed = format!("{{\"component\": \"{by_document}\"}}");
        store.put_document(DocumentKind::Plugin, "p", installed.into_bytes()).await.expect("put");
    }
    age_blobs(folder.path(), 2 * DAY, &Digest::of(b"young"));
    let store = open(folder.path());
    store.put_blob(b"put again".to_vec()).await.expect("put");
    let needed = BTreeSet::from([Digest::of(b"needed")]);
    assert_eq!(store.remove_unnamed(3 * DAY, &needed).expect("removed"), 0);
    assert_eq!(store.remove_unnamed(DAY, &needed).expect("removed"), 1);
    let there = |bytes: &[u8]| store.blob(&Digest::of(bytes)).expect("read").is_some();
    assert!(!there(b"old"));
    for kept in [
        &b"a component that only a plan names"[..],
        b"a component that is installed",
        b"needed",
        b"put again",
        b"young",
        b"plan 2",
    ] {
        assert!(there(kept), "{}", String::from_utf8_lossy(kept));
    }
    assert!(store.check().expect("checked").is_sound());

    // What only the removed one named goes later.
    assert_eq!(store.remove_some(Timestamp(20), 9).expect("removed"), [release("payments-1")]);
    assert_eq!(store.remove_unnamed(DAY, &needed).expect("removed"), 3);
    assert!(!there(plan.as_bytes()) && !there(b"a component that only a plan names") && there(b"plan 2"));

    // A record that cannot be read may name anything.
    drop(store);
    meddle(folder.path(), |it| drop(it.insert(key(b'j', 2, Some(0)), &[1, 0, 0xff, 0xff]).expect("inserted")));
    let store = open(folder.path());
    assert_eq!(store.remove_unnamed(DAY, &BTreeSet::new()).expect("looked"), 0);
}

/// Makes files of blobs older, but for one.
fn age_blobs(folder: &Path, by: Duration, except: &Digest) {
    for folder in fs::read_dir(folder.join("data/blobs")).expect("read").map(|it| it.expect("an entry").path()) {
        for path in fs::read_dir(folder).expect("read").map(|it| it.expect("an entry").path()) {
            if !except.hex().ends_with(path.file_name().and_then(|it| it.to_str()).expect("a name")) {
                let file = fs::File::options().append(true).open(path).expect("opened");
                file.set_modified(SystemTime::now() - by).expect("aged");
            }
        }
    }
}

#[tokio::test]
async fn a_journal_too_long_for_one_batch_goes_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let id = release("payments-1");
    for at in 0..3000 {
        let next = Append { outline: Some(outline(&id, 5, at < 2999)), ..append(&id, at, record(at)) };
        store.append(next).await.expect("appended");
    }
    let expired = store.expired(Timestamp(50), &BTreeSet::new()).expect("listed");
    assert_eq!(expired.releases.get(&id), Some(&3000));
    let removed = store.remove_expired(&expired, &BTreeSet::new()).expect("removed");
    assert_eq!(removed, Removed { releases: 1, changed: 0, blobs: 0 });
    assert_eq!(store.journal(&id).expect("read"), []);
    assert_eq!(store.quarantined().expect("read"), []);
    let after = store.check().expect("checked");
    assert!(after.is_sound(), "{:?}", after.findings);
    assert_eq!(store.remove_expired(&expired, &BTreeSet::new()).expect("removed").changed, 1);
}
