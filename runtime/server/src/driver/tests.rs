//! What a driver does between the calls of its release.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::Notify;
use windlass_engine::CallResult;
use windlass_model::actor::Actor;
use windlass_model::digest::Digest;
use windlass_model::event::{Intervention, Operation};
use windlass_model::failure::StepError;
use windlass_model::manifest::Effect;
use windlass_model::name::ReleaseId;
use windlass_model::plan::{Pin, Plan, Runs};
use windlass_model::workflow::RetryPolicy;
use windlass_store::{MemoryStore, Store};

use super::*;
use crate::attendance::tests::Failing;
use crate::clock::follow_tokio;
use crate::components::{self, ComponentCall};
use crate::runtime::RuntimeOptions;
use crate::state_directory::StateDirectory;

/// So many steps, one after the other, that can be rolled back; one such release goes on at a time.
fn plan(count: usize, effect: Effect) -> Plan {
    let steps = (0..count).map(|it| {
        let needs: Vec<String> = it.checked_sub(1).map(|it| format!("s{it}")).into_iter().collect();
        json!({
            "name": format!("s{it}"), "phase": null, "needs": needs, "connections": "unbound", "with": {}, "when": null,
            "uses": { "plugin": "helm", "action": "upgrade", "version": "*" }, "retry": RetryPolicy::default(),
            "timeout": null, "gates": [], "on_failure": "pause", "rollback": "automatic",
        })
    });
    let steps: Vec<serde_json::Value> = steps.collect();
    let workflow = json!({
        "name": "w", "description": null, "parameters": {}, "phases": [], "outputs": {}, "steps": steps,
        "concurrency": { "group": "one", "order": "oldest_first", "limit": 1 },
    });
    let pin = Pin {
        runs: Runs::Component(Digest::of(b"helm")),
        version: semver::Version::new(0, 1, 0),
        effect,
        cancel: false,
        rollback: true,
        find: false,
        connections: std::collections::BTreeMap::new(),
    };
    Plan::new(serde_json::from_value(workflow).expect("a workflow"), vec![pin; count]).expect("a plan")
}

fn ana() -> Actor {
    Actor { name: "ana".to_owned(), groups: Vec::new(), authenticated: "test".to_owned() }
}

fn cancel(rollback: bool) -> Input {
    let intervention = Intervention::Cancel { rollback };
    Input::Intervene { actor: ana(), reason: "it has to be".to_owned(), intervention }
}

/// Whose calls these make.
fn runtime_of(store: Arc<dyn Store>, calls: Arc<dyn components::Calls>) -> (tempfile::TempDir, Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let runtime = Runtime::with_calls(state, store, calls, RuntimeOptions::default()).expect("a runtime");
    (folder, runtime)
}

/// Begins a release of so many steps.
async fn begin(runtime: &Runtime, count: usize) -> ReleaseId {
    begin_plan(runtime, plan(count, Effect::Write)).await
}

async fn begin_plan(runtime: &Runtime, plan: Plan) -> ReleaseId {
    let kept = runtime.keep_plan(plan).await.expect("kept");
    runtime.begin(&kept, json!({}), ana()).await.expect("begun")
}

fn done() -> Result<CallResult, StepError> {
    Ok(CallResult::Done(json!({})))
}

/// Calls that are over at once, but the first, which waits for the test; in the third somebody cancels the release.
#[derive(Default)]
struct Short {
    start: Arc<Notify>,
    runtime: OnceLock<Runtime>,
    made: Mutex<usize>,
}

impl components::Calls for Short {
    fn call(&self, call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        let mut made = self.made.lock().expect("the count");
        *made += 1;
        if *made == 1 {
            let start = self.start.clone();
            return async move { start.notified().await }.map(|()| done()).boxed();
        }
        if let (3, Some(runtime)) = (*made, self.runtime.get().cloned()) {
            let mut tell = async move { runtime.tell(&call.release, cancel(false)).await }.boxed();
            assert!((&mut tell).now_or_never().is_none(), "the driver has something else to do");
            tokio::spawn(tell);
        }
        async { done() }.boxed()
    }
}

#[tokio::test]
async fn a_chain_of_short_calls_ends_when_somebody_says_so() {
    let calls = Arc::new(Short::default());
    let (_folder, runtime) = runtime_of(Arc::new(MemoryStore::default()), calls.clone());
    let id = begin(&runtime, 50).await;
    assert!(calls.runtime.set(runtime.clone()).is_ok());
    calls.start.notify_one();
    runtime.ended(&id).await;
    let release = runtime.release(&id).await.expect("there");
    assert_eq!(release.outcome().map(|it| format!("{it:?}")).as_deref(), Some("Canceled"));
    let made = *calls.made.lock().expect("the count");
    assert!(made < 6, "{made} calls were made");
}

type Story = Arc<Mutex<Vec<&'static str>>>;

/// Calls that go on until they are stopped, and leave a tool behind that is gone a minute later; and such as undo them.
#[derive(Default)]
struct Undone(Story);

impl Undone {
    fn story(&self) -> Vec<&'static str> {
        self.0.lock().expect("the story").clone()
    }

    /// Waits until so much has happened, on the paused clock.
    async fn happened(&self, count: usize) {
        let so = async {
            while self.story().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(600), so).await;
        assert!(in_time.is_ok(), "this is all: {:?}", self.story());
    }
}

/// A call that is over when this is dropped.
struct Going {
    story: Story,
    over: Option<oneshot::Sender<()>>,
}

impl Drop for Going {
    fn drop(&mut self) {
        self.story.lock().expect("the story").push("it is stopped");
        let _ = self.over.take().map(|it| it.send(()));
    }
}

impl components::Calls for Undone {
    fn call(&self, call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        let story = self.0.clone();
        if call.order.id.operation == Operation::Rollback {
            story.lock().expect("the story").push("it is undone");
            return async { done() }.boxed();
        }
        story.lock().expect("the story").push("it begins");
        let (over, is_over) = oneshot::channel();
        let going = Going { story: story.clone(), over: Some(over) };
        let host = call.host.clone();
        tokio::spawn(async move {
            let _ = is_over.await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            story.lock().expect("the story").push("its tool is gone");
            drop(host);
        });
        async move {
            let _going = going;
            std::future::pending().await
        }
        .boxed()
    }
}

/// A release of one step, whose call has begun.
async fn one_that_goes_on(store: Arc<dyn Store>) -> (tempfile::TempDir, Runtime, Arc<Undone>, ReleaseId) {
    let calls = Arc::new(Undone::default());
    let (folder, runtime) = runtime_of(store, calls.clone());
    let id = begin(&runtime, 1).await;
    calls.happened(1).await;
    (folder, runtime, calls, id)
}

#[tokio::test(start_paused = true)]
async fn what_undoes_an_effect_begins_when_nothing_is_left_of_the_call_that_had_it() {
    let _machine = follow_tokio();
    let (_folder, runtime, calls, id) = one_that_goes_on(Arc::new(MemoryStore::default())).await;
    runtime.tell(&id, cancel(true)).await.expect("recorded");
    runtime.ended(&id).await;
    assert_eq!(calls.story(), ["it begins", "it is stopped", "its tool is gone", "it is undone"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_has_ended_keeps_its_place_until_nothing_is_left_of_its_calls() {
    let _machine = follow_tokio();
    let (_folder, runtime, calls, id) = one_that_goes_on(Arc::new(MemoryStore::default())).await;
    begin(&runtime, 1).await;
    runtime.tell(&id, cancel(false)).await.expect("recorded");
    calls.happened(4).await;
    assert_eq!(calls.story(), ["it begins", "it is stopped", "its tool is gone", "it begins"]);
}

/// Somebody wants a release back whose store fails as `fail` says, once, and asks again when it does not any more.
async fn undone_after(fail: impl Fn(&Failing, bool)) {
    let _machine = follow_tokio();
    let store = Arc::new(Failing::default());
    let (_folder, runtime, calls, id) = one_that_goes_on(store.clone()).await;
    fail(&store, true);
    // It may have been recorded, so nobody else is asked to.
    runtime.tell(&id, cancel(true)).await.expect_err("nobody knows whether it is recorded");
    fail(&store, false);
    runtime.tell(&id, cancel(true)).await.expect("recorded");
    runtime.ended(&id).await;
    assert_eq!(calls.story(), ["it begins", "it is stopped", "its tool is gone", "it is undone"]);
}

#[tokio::test(start_paused = true)]
async fn who_drives_a_release_after_its_store_failed_waits_for_what_is_left_of_its_calls() {
    undone_after(|store, fails| store.is_broken.store(fails, Ordering::SeqCst)).await;
}

/// Calls that are over once the test has said so.
#[derive(Default)]
struct OnWord(watch::Sender<bool>);

impl components::Calls for OnWord {
    fn call(&self, _: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        let mut word = self.0.subscribe();
        async move { word.wait_for(|is_said| *is_said).await.map(|_| done()).expect("the test goes on") }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_driver_panics_is_driven_again_when_nobody_wants_anything_of_it() {
    let _machine = follow_tokio();
    let (store, calls) = (Arc::new(Failing::default()), Arc::new(OnWord::default()));
    let (_folder, runtime) = runtime_of(store.clone(), calls.clone());
    begin_plan(&runtime, plan(1, Effect::Read)).await;
    store.panics_once.store(true, Ordering::SeqCst);
    calls.0.send_replace(true);
    let ends = tokio::time::timeout(Duration::from_secs(600), runtime.all_ended());
    ends.await.expect("somebody comes back to it");
    assert!(!store.panics_once.load(Ordering::SeqCst), "nothing panicked");
}

#[tokio::test(start_paused = true)]
async fn who_drives_a_release_after_its_driver_panicked_waits_for_what_is_left_of_its_calls() {
    undone_after(|store, panics| store.panics_once.store(panics, Ordering::SeqCst)).await;
}
