//! Firings that are cut off anywhere, and what happens while a release still runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, Record as JournalRecord};
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::schedule::{CatchUp, Once, Overlap, ScheduledWorkflow, Times};
use windlass_store::{Append, AppendError, CheckReport, DocumentKind, MemoryStore, Outline, Store, StoreError};

use super::record::Outcome as Fired;
use super::*;
use crate::catalog::{Declaration, Installed};
use crate::runtime::RuntimeOptions;
use crate::state_directory::StateDirectory;

/// What happens to the write at which the store breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Lost,
    /// It is done, but nobody is told so.
    Done,
}

/// A store that breaks after some writes.
struct Breaking {
    store: Arc<MemoryStore>,
    writes_left: AtomicUsize,
    last: Last,
}

impl Breaking {
    /// Whether a write is done, and whether that is told.
    fn write(&self) -> (bool, bool) {
        let left = self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| Some(it.saturating_sub(1)));
        match left {
            Ok(0) | Err(_) => (false, false),
            Ok(1) => (self.last == Last::Done, false),
            Ok(_) => (true, true),
        }
    }

    fn broken() -> StoreError {
        StoreError::Io { doing: "write".to_owned(), cause: Arc::new(std::io::ErrorKind::StorageFull.into()) }
    }

    fn told<'s, T: Send + 's>(
        &'s self,
        write: BoxFuture<'s, Result<T, StoreError>>,
    ) -> BoxFuture<'s, Result<T, StoreError>> {
        let (is_done, is_told) = self.write();
        async move {
            let done = if is_done { Some(write.await) } else { None };
            done.filter(|_| is_told).unwrap_or_else(|| Err(Self::broken()))
        }
        .boxed()
    }
}

impl Store for Breaking {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<(), AppendError>> {
        let (is_done, is_told) = self.write();
        async move {
            let done = if is_done { Some(self.store.append(append).await) } else { None };
            done.filter(|_| is_told).unwrap_or_else(|| Err(Self::broken().into()))
        }
        .boxed()
    }
    fn journal(&self, release: &ReleaseId) -> Result<Vec<JournalRecord>, StoreError> {
        self.store.journal(release)
    }
    fn outlines(&self) -> Result<Vec<Outline>, StoreError> {
        self.store.outlines()
    }
    fn outline(&self, release: &ReleaseId) -> Result<Option<Outline>, StoreError> {
        self.store.outline(release)
    }
    fn next_number(&self, workflow: &WorkflowName) -> Result<u64, StoreError> {
        self.store.next_number(workflow)
    }
    fn put_document(&self, kind: DocumentKind, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.told(self.store.put_document(kind, name, bytes))
    }
    fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.document(kind, name)
    }
    fn documents(&self, kind: DocumentKind) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.documents(kind)
    }
    fn remove_document(&self, kind: DocumentKind, name: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.told(self.store.remove_document(kind, name))
    }
    fn put_blob(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, StoreError>> {
        self.told(self.store.put_blob(bytes))
    }
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.blob(digest)
    }
    fn check(&self) -> Result<CheckReport, StoreError> {
        self.store.check()
    }
}

const WORKFLOW: &str = "windlass: v1\nworkflow: nightly\nsteps:\n  look:\n    uses: noop/noop\n";

fn ana() -> Actor {
    Actor { name: "ana".to_owned(), groups: Vec::new(), authenticated: "test".to_owned() }
}

/// A process that drives nothing, so that it writes nothing but what the schedules want.
async fn process(folder: &tempfile::TempDir, store: Arc<dyn Store>) -> Runtime {
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let options = RuntimeOptions { drive: false, ..RuntimeOptions::default() };
    Runtime::with_store(state, store, options).await.expect("a runtime")
}

async fn installed(store: &Arc<MemoryStore>) {
    let manifest = json!({
        "name": "noop", "version": "0.1.0", "contract": "0.1", "description": "Does nothing.",
        "actions": { "noop": { "description": "Nothing.", "input": { "type": "object" }, "output": { "type": "object" }, "effect": "read" } },
    });
    let manifest = serde_json::from_value(manifest).expect("a manifest");
    let plugin = Declaration::Plugin(Box::new(Installed { component: Digest::of(b"noop"), manifest }));
    plugin.keep(&(store.clone() as Arc<dyn Store>)).await.expect("kept");
}

/// A schedule that came every year since 2020 and was looked at in 2020 only.
fn yearly(overlap: Overlap) -> Record {
    let schedule = Schedule {
        name: "yearly".parse().expect("a name"),
        times: Times::parse(Some("@yearly"), None, Some("Europe/Berlin")).expect("times"),
        workflow: ScheduledWorkflow {
            copies: None,
            file: "nightly.yaml".to_owned(),
            text: WORKFLOW.to_owned(),
            files: std::collections::BTreeMap::new(),
        },
        parameters: json!({}),
        catch_up: CatchUp::All(100),
        overlap,
        starts: None,
        ends: Some(Once::parse("2024-06-01T00:00Z", None).expect("a time").at()),
        paused: false,
    };
    Record {
        covered: Once::parse("2020-06-01T00:00Z", None).expect("a time").at(),
        ..Record::new(schedule, ana(), Timestamp(0))
    }
}

/// What the journals say for what each release was started, in the order of their numbers.
fn started_for(store: &MemoryStore) -> Vec<String> {
    let mut outlines = store.outlines().expect("outlines");
    outlines.sort_by_key(|it| it.release.number());
    let told = outlines.iter().map(|it| {
        let journal = store.journal(&it.release).expect("a journal");
        let Event::ReleaseCreated(created) = &journal[0].events[0] else { panic!("{journal:?}") };
        assert_eq!(created.requested_by.name, "ana");
        created.requested_by.authenticated.clone()
    });
    told.collect()
}

fn expected() -> Vec<String> {
    let year = |it: u32| format!("schedule `yearly` for {it}-01-01T00:00:00+01:00[Europe/Berlin], set by ana (test)");
    (2021..=2024).map(year).collect()
}

#[tokio::test]
async fn a_firing_that_is_cut_off_anywhere_is_neither_lost_nor_made_twice() {
    for (last, same_process) in [(Last::Lost, false), (Last::Done, false), (Last::Lost, true), (Last::Done, true)] {
        let mut cuts = 0;
        loop {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Arc::new(MemoryStore::new());
            installed(&store).await;
            let whole = process(&folder, store.clone()).await;
            whole.book().await.expect("a book").put(&*store, yearly(Overlap::Allow)).await.expect("kept");

            cuts += 1;
            let breaking = Arc::new(Breaking { store: store.clone(), writes_left: AtomicUsize::new(cuts), last });
            let cut = process(&folder, breaking.clone()).await;
            let is_cut = cut.fire_due().await.is_err();
            // What was written before the cut is all that the next one knows.
            if same_process {
                breaking.writes_left.store(usize::MAX, Ordering::SeqCst);
                cut.fire_due().await.expect("it works again");
            }
            for _ in 0..2 {
                let next = process(&folder, store.clone()).await;
                next.fire_due().await.expect("fired");
                let context = format!("{last:?}, same process: {same_process}, cut at write {cuts}");
                assert_eq!(started_for(&store), expected(), "{context}");
                let book = next.book().await.expect("a book");
                let record = book.get("yearly").expect("the schedule");
                assert_eq!(record.pending, None, "{context}");
                let told: Vec<u64> = record.releases().map(ReleaseId::number).collect();
                let mut there: Vec<u64> =
                    store.outlines().expect("outlines").iter().map(|it| it.release.number()).collect();
                there.sort_by(|a, b| b.cmp(a));
                assert_eq!(told, there, "{context}");
            }
            if !is_cut {
                break;
            }
        }
        // The plan, and for each of four firings the intent, the release and the end.
        assert_eq!(cuts, 1 + 4 * 3 + 1, "{last:?}");
    }
}

/// Records that a release has ended, as a driver does.
async fn end(store: &Arc<MemoryStore>, release: &str) {
    let id: ReleaseId = release.parse().expect("an id");
    let outline = store.outline(&id).expect("read").expect("there");
    let record = store.journal(&id).expect("read").pop().expect("a record");
    let expected = store.journal(&id).expect("read").len() as u64;
    let outline = Some(Outline { open: false, ..outline });
    store.append(Append { release: id, expected, record, outline }).await.expect("appended");
}

async fn fired(store: &Arc<MemoryStore>, overlap: Overlap) -> (tempfile::TempDir, Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    installed(store).await;
    let runtime = process(&folder, store.clone()).await;
    runtime.book().await.expect("a book").put(&**store, yearly(overlap)).await.expect("kept");
    (folder, runtime)
}

async fn record(runtime: &Runtime) -> Record {
    runtime.book().await.expect("a book").get("yearly").expect("the schedule").clone()
}

#[tokio::test]
async fn a_queue_starts_one_after_the_other_in_order() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Queue).await;
    for count in 1..=4 {
        let next = runtime.fire_due().await.expect("fired");
        assert_eq!(next, Next { at: None, is_queued: count < 4 });
        assert_eq!(started_for(&store), expected()[..count]);
        assert_eq!(runtime.fire_due().await.expect("fired"), next, "nothing happens while one runs");
        end(&store, &format!("nightly-{count}")).await;
    }
    assert_eq!(record(&runtime).await.queued, []);
}

#[tokio::test]
async fn skip_starts_none_beside_one_that_runs() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Skip).await;
    runtime.fire_due().await.expect("fired");
    assert_eq!(started_for(&store), expected()[..1]);
    let record = record(&runtime).await;
    let skipped = record
        .history
        .iter()
        .filter(|it| matches!(&it.outcome, Fired::Skipped { reason } if reason == "nightly-1 still runs"));
    assert_eq!(skipped.count(), 3, "{:?}", record.history);
}

#[tokio::test]
async fn cancel_running_lets_the_newest_wait_for_the_end() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::CancelRunning).await;
    runtime.fire_due().await.expect("fired");
    // Nothing runs the component here, so the release ends as soon as it is canceled, and the newest follows it.
    let before = store.outline(&"nightly-1".parse().expect("an id")).expect("read").expect("there");
    assert_eq!((before.state.as_str(), before.open), ("canceled", false), "{before:?}");
    runtime.fire_due().await.expect("fired");
    assert_eq!(started_for(&store), [expected()[0].clone(), expected()[3].clone()]);
    let record = record(&runtime).await;
    let skipped = record.history.iter().filter(|it| matches!(it.outcome, Fired::Skipped { .. }));
    assert_eq!(skipped.count(), 2, "{:?}", record.history);
}

#[tokio::test]
async fn a_schedule_whose_workflow_no_longer_validates_says_so_and_stays() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Allow).await;
    runtime.forget(DocumentKind::Plugin, "noop@0.1.0").await.expect("forgotten");
    runtime.fire_due().await.expect("looked at");
    assert_eq!(started_for(&store), Vec::<String>::new());
    let view = runtime.schedule("yearly").await.expect("it stays");
    assert_eq!((view.state.as_str(), view.history.len()), ("failing", 4));
    let reason = view.history[3].reason.clone().expect("a reason");
    assert!(reason.starts_with("nightly.yaml:5:") && reason.contains("plugin `noop` is not installed"), "{reason}");
}

#[tokio::test]
async fn what_comes_while_it_is_paused_is_not_made_up_for() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Allow).await;
    let ben = Actor { name: "ben".to_owned(), ..ana() };
    let view = runtime.pause_schedule("yearly", true, ben.clone()).await.expect("paused");
    assert_eq!((view.state.as_str(), view.changes[0].by.as_str()), ("paused", "ben"));
    assert_eq!(runtime.fire_due().await.expect("looked at"), Next { at: None, is_queued: false });
    let again = runtime.pause_schedule("yearly", true, ben.clone()).await.expect_err("it is");
    assert_eq!(again.to_string(), "schedule `yearly` is paused already");
    runtime.pause_schedule("yearly", false, ben).await.expect("resumed");
    runtime.fire_due().await.expect("looked at");
    assert_eq!(started_for(&store), Vec::<String>::new());
}

#[tokio::test]
async fn set_anew_it_keeps_what_it_was_and_makes_up_for_nothing() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Queue).await;
    runtime.fire_due().await.expect("fired");
    let before = record(&runtime).await;
    assert_eq!((before.queued.len(), before.history.len()), (3, 1));
    let anew = Schedule { ends: None, overlap: Overlap::Allow, ..before.schedule.clone() };
    let view = runtime.set_schedule(anew, ana()).await.expect("set");
    assert_eq!((view.queued.len(), view.history.len(), view.changes.len()), (0, 1, 1));
    assert!(view.changes[0].what.contains("before it was @yearly in Europe/Berlin"), "{view:?}");
    runtime.fire_due().await.expect("looked at");
    assert_eq!(started_for(&store), expected()[..1]);
    let over = runtime.set_schedule(before.schedule, ana()).await.expect_err("it has ended");
    assert!(over.to_string().contains("would never come again"), "{over}");
    let unknown = runtime.schedule("weekly").await.expect_err("there is none");
    assert_eq!(unknown.to_string(), "there is no schedule `weekly`; there is `yearly`");
}

#[tokio::test]
async fn a_time_that_a_wrong_clock_showed_is_forgotten() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Allow).await;
    let mut wrong = yearly(Overlap::Allow);
    wrong.schedule.ends = None;
    wrong.covered = now() + windlass_model::time::Span::seconds(10 * 366 * 86_400);
    runtime.book().await.expect("a book").put(&*store, wrong).await.expect("kept");
    let next = runtime.fire_due().await.expect("looked at");
    assert_eq!(started_for(&store), Vec::<String>::new(), "what is past is not fired again");
    let within_a_year = now() + windlass_model::time::Span::seconds(367 * 86_400);
    assert!(next.at.is_some_and(|it| it <= within_a_year), "{next:?}");
}

#[tokio::test]
async fn one_schedule_that_cannot_be_read_does_not_keep_the_others() {
    let store = Arc::new(MemoryStore::new());
    let (_folder, runtime) = fired(&store, Overlap::Allow).await;
    store.put_document(DocumentKind::Schedule, "broken", b"{".to_vec()).await.expect("put");
    let next = process(&_folder, store.clone()).await;
    next.fire_due().await.expect("fired");
    assert_eq!(started_for(&store), expected());
    drop(runtime);
}
