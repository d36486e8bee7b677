//! Releases whose store fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use windlass_model::actor::Actor;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, Intervention, Record};
use windlass_model::manifest::Effect;
use windlass_model::name::WorkflowName;
use windlass_model::plan::{Pin, Plan};
use windlass_model::workflow::{ApprovalGate, Approver, Gate, RetryPolicy, Workflow};
use windlass_store::{Append, AppendError, CheckReport, DocumentKind, MemoryStore, Outline, Store};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use windlass_engine::TopicMaker;
use windlass_model::event::Operation;

use super::*;
use crate::callbacks::CallbackListener;
use crate::runtime::RuntimeOptions;
use crate::state_directory::StateDirectory;

/// A store whose disk fails as long as it is broken.
#[derive(Default)]
pub(crate) struct Failing {
    store: MemoryStore,
    pub(crate) is_broken: AtomicBool,
    /// Whether records fail that say that a release has its place.
    loses_admissions: AtomicBool,
    /// Whether it writes and says that it did not.
    lies: AtomicBool,
    /// Whether no breaker can be written.
    forgets_breakers: AtomicBool,
    /// Whether an append takes a moment.
    is_slow: AtomicBool,
    /// Whether the next append panics.
    pub(crate) panics_once: AtomicBool,
}

fn full() -> StoreError {
    StoreError::Io { doing: "write".to_owned(), cause: Arc::new(std::io::ErrorKind::StorageFull.into()) }
}

impl Failing {
    fn works(&self) -> Result<(), StoreError> {
        match self.is_broken.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(full()),
        }
    }
}

impl Store for Failing {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<(), AppendError>> {
        assert!(!self.panics_once.swap(false, Ordering::SeqCst), "this is a test");
        let admits = append.record.events.contains(&Event::Admitted);
        let is_lost = admits && self.loses_admissions.load(Ordering::SeqCst);
        match self.works() {
            Ok(()) if self.lies.load(Ordering::SeqCst) => {
                let written = self.store.append(append);
                async move { written.await.and(Err(full().into())) }.boxed()
            }
            Ok(()) if self.is_slow.load(Ordering::SeqCst) => async {
                tokio::task::yield_now().await;
                self.store.append(append).await
            }
            .boxed(),
            Ok(()) if !is_lost => self.store.append(append),
            Ok(()) => async { Err(full().into()) }.boxed(),
            Err(error) => async move { Err(error.into()) }.boxed(),
        }
    }
    fn journal(&self, release: &ReleaseId) -> Result<Vec<Record>, StoreError> {
        self.works().and_then(|()| self.store.journal(release))
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
        if kind == DocumentKind::Breaker && self.forgets_breakers.load(Ordering::SeqCst) {
            return async { Err(full()) }.boxed();
        }
        self.store.put_document(kind, name, bytes)
    }
    fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.document(kind, name)
    }
    fn documents(&self, kind: DocumentKind) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.documents(kind)
    }
    fn remove_document(&self, kind: DocumentKind, name: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.store.remove_document(kind, name)
    }
    fn put_blob(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, StoreError>> {
        self.store.put_blob(bytes)
    }
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.blob(digest)
    }
    fn check(&self) -> Result<CheckReport, StoreError> {
        self.store.check()
    }
}

/// One step that two people have to approve.
fn plan(concurrency: serde_json::Value) -> Plan {
    plan_that(concurrency, "pause")
}

/// The same, and what it does when the step has failed.
fn plan_that(concurrency: serde_json::Value, on_failure: &str) -> Plan {
    let approval = ApprovalGate {
        from: vec![Approver::User("ana".to_owned()), Approver::User("ben".to_owned())],
        min: 2,
        requester_may_approve: false,
        message: None,
    };
    let workflow = serde_json::json!({
        "name": "held", "description": null, "parameters": {}, "phases": [], "outputs": {},
        "concurrency": concurrency,
        "steps": [{
            "name": "deploy", "phase": null, "needs": [], "connections": "unbound", "with": {}, "when": null,
            "uses": { "plugin": "helm", "action": "upgrade", "version": "*" }, "retry": RetryPolicy::default(),
            "timeout": null, "gates": [Gate::Approval(approval)], "on_failure": on_failure, "rollback": "automatic",
        }],
    });
    let workflow: Workflow = serde_json::from_value(workflow).expect("a workflow");
    let pin = Pin {
        runs: windlass_model::plan::Runs::Component(Digest::of(b"helm")),
        version: semver::Version::new(0, 1, 0),
        effect: Effect::Write,
        cancel: false,
        rollback: false,
        find: false,
        connections: std::collections::BTreeMap::new(),
    };
    Plan::new(workflow, vec![pin]).expect("a plan")
}

fn person(name: &str) -> Actor {
    Actor { name: name.to_owned(), groups: Vec::new(), authenticated: "test".to_owned() }
}

async fn until(runtime: &Runtime, wanted: (usize, usize)) {
    let so = async {
        while runtime.attended() != wanted {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), so).await;
    assert!(in_time.is_ok(), "{:?} are attended, not {wanted:?}", runtime.attended());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_store_fails_is_not_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let store = Arc::new(Failing::default());
    let runtime = Runtime::with_store(state, store.clone(), RuntimeOptions::default()).await.expect("a runtime");
    let plan = runtime.keep_plan(plan(json!(null))).await.expect("kept");
    let id = runtime.begin(&plan, json!({}), person("zoe")).await.expect("begun");
    until(&runtime, (0, 1)).await;
    let vote = |name: &str| Input::Vote {
        step: "deploy".parse().expect("a name"),
        actor: person(name),
        approved: true,
        comment: String::new(),
    };

    // It cannot be read.
    store.is_broken.store(true, Ordering::SeqCst);
    let refused = runtime.tell(&id, vote("ana")).await.expect_err("it is not recorded");
    assert!(matches!(refused, RuntimeError::NotTaken(NotTaken::NotRecorded(_))), "{refused:?}");
    until(&runtime, (0, 1)).await;

    // It is in memory and cannot be recorded: who watches it keeps it there.
    store.is_broken.store(false, Ordering::SeqCst);
    let watching = runtime.changes(&id).expect("it is open");
    runtime.tell(&id, vote("ana")).await.expect("recorded");
    store.is_broken.store(true, Ordering::SeqCst);
    let refused = runtime.tell(&id, vote("ben")).await.expect_err("it is not recorded");
    assert!(matches!(refused, RuntimeError::NotTaken(NotTaken::NotRecorded(_))), "{refused:?}");
    drop(watching);
    until(&runtime, (0, 1)).await;

    // There is room again; what was acknowledged is there, what was not is not.
    store.is_broken.store(false, Ordering::SeqCst);
    let release = runtime.release(&id).await.expect("readable");
    let index = release.plan().index_of(&"deploy".parse().expect("a name")).expect("a step");
    assert_eq!(release.step(index).votes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_begun_though_the_store_failed_is_looked_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let store = Arc::new(Failing::default());
    let runtime = Runtime::with_store(state, store.clone(), RuntimeOptions::default()).await.expect("a runtime");
    let plan = runtime.keep_plan(plan(json!(null))).await.expect("kept");
    store.lies.store(true, Ordering::SeqCst);
    runtime.begin(&plan, json!({}), person("zoe")).await.expect_err("the store says that it failed");
    let id = store.open_releases().expect("readable").pop().expect("it was begun all the same");
    assert!(matches!(runtime.attends(&id), Attended::Parked(Some(_))), "{:?}", runtime.attends(&id));
}

/// Whoever asks for a release may hang up before it is durable.
#[tokio::test]
async fn a_release_is_begun_though_who_asked_for_it_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let store = Arc::new(Failing::default());
    let runtime = Runtime::with_store(state, store.clone(), RuntimeOptions::default()).await.expect("a runtime");
    let plan = runtime.keep_plan(plan(json!(null))).await.expect("kept");
    store.is_slow.store(true, Ordering::SeqCst);
    assert!(runtime.begin(&plan, json!({}), person("zoe")).now_or_never().is_none(), "it takes a moment");
    until(&runtime, (0, 1)).await;
    assert_eq!(store.open_releases().expect("readable").len(), 1);
}

/// A release is not over before the breaker that its end opens is durably open.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_release_is_recorded_after_what_it_does_to_its_workflow_s_breaker() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let store = Arc::new(Failing::default());
    let runtime = Runtime::with_store(state, store.clone(), RuntimeOptions::default()).await.expect("a runtime");
    let once = windlass_model::breaker::Written { consecutive: Some(1), ..Default::default() };
    runtime.set_breaker("workflow:held", Some(once), None, person("ops")).await.expect("set");
    let plan = runtime.keep_plan(plan_that(json!(null), "fail")).await.expect("kept");
    let id = runtime.begin(&plan, json!({}), person("zoe")).await.expect("begun");
    until(&runtime, (0, 1)).await;
    let step = "deploy".parse().expect("a name");
    let vote = Input::Vote { step, actor: person("ana"), approved: false, comment: "no".to_owned() };

    store.forgets_breakers.store(true, Ordering::SeqCst);
    let refused = runtime.tell(&id, vote.clone()).await.expect_err("its breaker cannot be written");
    assert!(matches!(refused, RuntimeError::NotTaken(NotTaken::NotRecorded(_))), "{refused:?}");
    assert!(store.outline(&id).expect("readable").expect("there").open);

    store.forgets_breakers.store(false, Ordering::SeqCst);
    runtime.tell(&id, vote).await.expect("recorded");
    let read = store.document(DocumentKind::Breaker, "workflow:held").expect("readable").expect("written");
    let read: serde_json::Value = serde_json::from_slice(&read).expect("JSON");
    assert_eq!((&read["phase"], &read["why"]), (&json!("open"), &json!("1 failed in a row; the last: failed")));
}

/// Who calls back while nothing can be recorded is told to come again, and is not taken for somebody who has.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_cannot_be_recorded_is_to_come_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let store = Arc::new(Failing::default());
    let runtime = Runtime::with_store(state, store.clone(), RuntimeOptions::default()).await.expect("a runtime");
    let plan = runtime.keep_plan(plan(json!(null))).await.expect("kept");
    let id = runtime.begin(&plan, json!({}), person("zoe")).await.expect("begun");
    until(&runtime, (0, 1)).await;
    let listener = CallbackListener::bind(([127, 0, 0, 1], 0).into(), None).await.expect("a port");
    let url = listener.url().clone();
    let _serving = listener.serve(runtime.clone());
    let maker = TopicMaker { step: "deploy".parse().expect("a name"), operation: Operation::Start, attempt: 1 };
    let url = url.of(&runtime.inner.topics.create(&id, &maker));
    let post = async || {
        let (host, path) = url.strip_prefix("http://").and_then(|it| it.split_once('/')).expect("an address");
        let mut stream = tokio::net::TcpStream::connect(host).await.expect("somebody answers");
        let head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\nok");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    store.is_broken.store(true, Ordering::SeqCst);
    let answer = post().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 10"), "{answer}");
    assert!(answer.contains("it could not be recorded; try again later"), "{answer}");
    store.is_broken.store(false, Ordering::SeqCst);
    let answer = post().await;
    assert!(!answer.starts_with("HTTP/1.1 503 ") && !answer.starts_with("HTTP/1.1 409 "), "{answer}");
}

async fn state_of(runtime: &Runtime, id: &ReleaseId, wanted: &str) {
    let so = async {
        while runtime.release(id).await.expect("readable").state().name() != wanted {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), so).await.is_ok(), "{id} is not {wanted}");
}

/// A place is neither lost nor given twice, whichever record could not be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_follows_what_is_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let store = Arc::new(Failing::default());
    let options = RuntimeOptions::default();
    let runtime = Runtime::with_store(state.clone(), store.clone(), options.clone()).await.expect("a runtime");
    let group = json!({ "group": "one", "order": "oldest_first", "limit": 1 });
    let plan = runtime.keep_plan(plan(group)).await.expect("kept");
    let begin = async || runtime.begin(&plan, json!({}), person("zoe")).await;
    let cancel = async |id: &ReleaseId| {
        let intervention = Intervention::Cancel { rollback: false };
        let input = Input::Intervene { actor: person("zoe"), reason: "enough".to_owned(), intervention };
        runtime.tell(id, input).await.expect("canceled");
    };

    // One that could not be begun has no place.
    store.is_broken.store(true, Ordering::SeqCst);
    begin().await.expect_err("it cannot be recorded");
    store.is_broken.store(false, Ordering::SeqCst);
    let first = begin().await.expect("begun");
    state_of(&runtime, &first, "running").await;
    let second = begin().await.expect("begun");
    let third = begin().await.expect("begun");
    until(&runtime, (0, 3)).await;

    // The next one's turn comes, and cannot be recorded: nothing of it begins, and nobody passes it.
    store.loses_admissions.store(true, Ordering::SeqCst);
    cancel(&first).await;
    state_of(&runtime, &first, "canceled").await;
    until(&runtime, (0, 2)).await;
    for waiting in [&second, &third] {
        assert!(runtime.release(waiting).await.expect("readable").is_queued(), "{waiting}");
    }
    store.loses_admissions.store(false, Ordering::SeqCst);
    runtime.reach(&second, |_| ());
    state_of(&runtime, &second, "running").await;
    until(&runtime, (0, 2)).await;
    assert!(runtime.release(&third).await.expect("readable").is_queued());

    // Another process finds them as they are, and one that was let in without a record has its place again.
    drop(runtime);
    let runtime = Runtime::with_store(state, store.clone(), options).await.expect("a runtime");
    until(&runtime, (0, 2)).await;
    let view = runtime.view(&third).await.expect("readable");
    assert_eq!(view.waits[0].text, format!("group one: {second} runs; 1st of 1 in line"));
    let intervention = Intervention::Cancel { rollback: true };
    let input = Input::Intervene { actor: person("zoe"), reason: "enough".to_owned(), intervention };
    runtime.tell(&second, input).await.expect("canceled");
    state_of(&runtime, &third, "running").await;
}
