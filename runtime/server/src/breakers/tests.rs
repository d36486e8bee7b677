//! What happens between breakers and those who ask them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use tempfile::TempDir;
use windlass_engine::{Call, CallResult, StepState};
use windlass_model::actor::Actor;
use windlass_model::breaker::{BreakerSettings, Written};
use windlass_model::digest::Digest;
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::manifest::Effect;
use windlass_model::plan::{Pin, Plan, Runs};
use windlass_model::time::Span;
use windlass_model::workflow::RetryPolicy;
use windlass_store::MemoryStore;

use super::*;
use crate::clock::follow_tokio;
use crate::components::{Calls, ComponentCall};
use crate::runtime::RuntimeOptions;
use crate::state_directory::StateDirectory;

fn key(text: &str) -> BreakerKey {
    text.parse().expect("a key")
}

fn none() -> Holders {
    Holders::default()
}

fn by(text: &str, held: Held) -> Holders {
    Holders { keys: [(key(text), held)].into(), within: Vec::new() }
}

fn workflow() -> Holders {
    by("workflow:w", Held::UntilProbed)
}

fn release(number: u64) -> ReleaseId {
    ReleaseId::new("w".parse().expect("a name"), number)
}

fn ana() -> Actor {
    Actor { name: "ana".to_owned(), groups: Vec::new(), authenticated: "test".to_owned() }
}

/// These, half open: one may go through.
fn half_open(keys: &[&str]) -> Breakers {
    let breakers = Breakers::load(Arc::new(MemoryStore::default())).expect("nothing is wrong with it");
    assert!(breakers.is_quiet());
    for text in keys {
        let written = Written { consecutive: Some(1), cooldown: Span(100), ..Written::default() };
        let rule: BreakerSettings = written.try_into().expect("good");
        let long_ago = Timestamp(now().0 - 1_000_000);
        let add = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            let mut breaker = Breaker::new(Some(rule), long_ago);
            breaker.observe("x", Some("no answer".to_owned()), long_ago);
            entries.insert(key(text), Entry { breaker, ..Entry::new() });
            Ok(())
        };
        breakers.change(&key(text), add).now_or_never().expect("at once").expect("written");
    }
    breakers
}

#[test]
fn a_release_held_by_one_breaker_is_no_probe_of_another() {
    let (one, two) = (key("connection:http/api"), key("connection:http/web"));
    let breakers = half_open(&["connection:http/api", "connection:http/web"]);
    breakers.admit(&release(1), &none(), std::slice::from_ref(&two), "w-1/a").expect("the probe of the second");
    let both = [one.clone(), two.clone()];
    let held = breakers.admit(&release(2), &none(), &both, "w-2/a").expect_err("the second holds it");
    assert!(!held.is_open, "it waits for its probe");
    let held = held.hold;
    assert_eq!(
        (&held.by, held.owner.as_str()),
        (&HeldBy::Breaker("connection:http/web".to_owned()), "the service behind `web`")
    );
    assert!(breakers.entries()[&one].breaker.wants_a_probe(), "it has given that back");
    assert_eq!(breakers.entries()[&two].waiting, [(release(2), Held::UntilProbed)].into());
    // The probe is given up: who waits is asked.
    breakers.abandon(std::slice::from_ref(&two), "w-1/a");
    assert_eq!(breakers.look().next, Some(release(2)));
    breakers.admit(&release(2), &none(), &both, "w-2/a").expect("the probe of both");
    assert_eq!(breakers.look().next, None);
    breakers.admit(&release(3), &none(), &both, "w-3/a").expect_err("there is a probe");
    // It ends well: all that wait are asked, and what changed is to be written.
    breakers.observe(&both, "w-2/a", None);
    let look = breakers.look();
    assert_eq!((look.free, look.unwritten, look.due), ([release(3)].into(), both.to_vec(), None));
    breakers.admit(&release(3), &none(), &both, "w-3/a").expect("both are closed");
}

#[test]
fn a_workflow_holds_only_releases_that_have_not_begun() {
    let breakers = half_open(&["workflow:w"]);
    breakers.admit(&release(1), &workflow(), &[], "w-1/a").expect("the probe");
    breakers.admit(&release(1), &workflow(), &[], "w-1/b").expect("a step of the probe");
    breakers.admit(&release(2), &workflow(), &[], "w-2/a").expect_err("there is a probe");
    breakers.admit(&release(3), &none(), &[], "w-3/b").expect("it is under way");
}

/// Who only needs what a breaker is about is not the probe, and does not wait for it either.
#[test]
fn who_says_nothing_of_it_by_its_end_is_held_only_while_it_is_open() {
    let breakers = half_open(&["service:a"]);
    let service = |held| by("service:a", held);
    breakers.admit(&release(1), &service(Held::WhileOpen), &[], "w-1/a").expect("it is not open");
    breakers.admit(&release(2), &service(Held::UntilProbed), &[], "w-2/a").expect("the probe");
    breakers.admit(&release(3), &service(Held::UntilProbed), &[], "w-3/a").expect_err("there is a probe");
    breakers.admit(&release(1), &service(Held::WhileOpen), &[], "w-1/a").expect("it is not open");
    breakers.observe(&[key("service:a")], "w-2", Some("failed".to_owned()));
    breakers.admit(&release(1), &service(Held::WhileOpen), &[], "w-1/a").expect_err("it is open");
    let waiting = [(release(1), Held::WhileOpen), (release(3), Held::UntilProbed)];
    assert_eq!(breakers.entries()[&key("service:a")].waiting, waiting.into());
    // Half-open again, and somebody else is the probe at once: it does not wait for that.
    let later = Timestamp(now().0 + 1_000);
    breakers.entries().get_mut(&key("service:a")).expect("there").breaker.admit("w-9", later);
    let look = breakers.look();
    assert_eq!((look.free, look.next), ([release(1)].into(), None));
}

/// A probe that waits for a release inside of it could not end if that one waited for the probe.
#[test]
fn what_goes_on_inside_of_the_probe_is_a_part_of_it() {
    let breakers = half_open(&["service:a"]);
    let service = || by("service:a", Held::UntilProbed);
    breakers.admit(&release(1), &service(), &[], "w-1/a").expect("the probe");
    let within = |outer: u64| Holders { within: vec![release(outer).to_string()], ..service() };
    breakers.admit(&release(2), &within(1), &[], "w-2/a").expect("a part of it");
    breakers.admit(&release(3), &within(9), &[], "w-3/a").expect_err("there is a probe");
    assert!(breakers.entries()[&key("service:a")].breaker.is_probed_by("w-1"));
}

/// Held by something that is asked before or after it, the probe makes room for others.
#[test]
fn who_is_held_elsewhere_is_no_probe_any_more() {
    let breakers = half_open(&["service:a", "workflow:w"]);
    let both = || Holders {
        keys: [(key("service:a"), Held::UntilProbed), (key("workflow:w"), Held::UntilProbed)].into(),
        within: Vec::new(),
    };
    breakers.admit(&release(1), &both(), &[], "w-1/a").expect("the probe of both");
    let trip = |entries: &mut BTreeMap<BreakerKey, Entry>| {
        entries.get_mut(&key("workflow:w")).expect("there").breaker.trip(ana(), "incident", now());
        Ok(())
    };
    breakers.change(&key("workflow:w"), trip).now_or_never().expect("at once").expect("written");
    // Asked again, after its call waited for its turn.
    breakers.admit(&release(1), &both(), &[], "w-1/a").expect_err("the workflow's is open");
    assert!(breakers.entries()[&key("service:a")].breaker.wants_a_probe());
    breakers.admit(&release(2), &by("service:a", Held::UntilProbed), &[], "w-2/a").expect("the probe");
    // It waits for a version that somebody else has to deliver.
    breakers.abandon_release(&release(2));
    assert!(breakers.entries()[&key("service:a")].breaker.wants_a_probe());
}

#[test]
fn what_was_written_is_read_back_and_what_cannot_be_read_keeps_nothing_from_working() {
    let store = Arc::new(MemoryStore::default());
    let breakers = Breakers::load(store.clone()).expect("empty");
    let trip = |entries: &mut BTreeMap<BreakerKey, Entry>| {
        entries.entry(BreakerKey::Global).or_insert_with(Entry::new).breaker.trip(ana(), "incident", now());
        Ok(())
    };
    breakers.change(&BreakerKey::Global, trip).now_or_never().expect("at once").expect("written");
    store.put_document(DocumentKind::Breaker, "broken", b"{".to_vec()).now_or_never().expect("at once").expect("put");
    let again = Breakers::load(store).expect("read");
    assert!(!again.is_quiet());
    let held = again.admit(&release(1), &none(), &[], "w-1/a").expect_err("it is open");
    assert_eq!(
        (held.hold.owner.as_str(), held.hold.text.as_str(), held.hold.until),
        ("ana", "ana opened it: incident", None)
    );
    assert_eq!(again.entries().len(), 1);
}

/// A sandbox in which calls never end.
struct Hanging;

impl Calls for Hanging {
    fn call(&self, _call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        std::future::pending().boxed()
    }
}

/// One in which something of them goes on for a minute when they are stopped.
struct Clinging;

impl Calls for Clinging {
    fn call(&self, call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            drop(call.host);
        });
        std::future::pending().boxed()
    }
}

/// Steps that may take 10 s, each with a connection of its name, whose breaker opens after so many failures.
fn plan(names: &[&str], attempts: u32, effect: Effect) -> Plan {
    let steps = names.iter().map(|name| {
        let on = vec![FailureClass::TimedOut, FailureClass::Transient];
        let retry = RetryPolicy { attempts, on, ..RetryPolicy::default() };
        json!({
            "name": name, "phase": null, "needs": [], "connections": { "only": name }, "with": {},
            "when": null, "uses": { "plugin": "http", "action": "get", "version": "*" },
            "retry": retry, "timeout": "10s", "gates": [], "on_failure": "pause", "rollback": "automatic",
        })
    });
    let steps: Vec<serde_json::Value> = steps.collect();
    let workflow =
        json!({ "name": "w", "description": null, "parameters": {}, "phases": [], "outputs": {}, "steps": steps });
    let workflow = serde_json::from_value(workflow).expect("a workflow");
    let pin = |connection: &&str| Pin {
        runs: Runs::Component(Digest::of(b"http")),
        version: semver::Version::new(0, 1, 0),
        effect,
        cancel: false,
        rollback: false,
        find: effect == Effect::Write,
        connections: [("api".parse().expect("a name"), connection.parse().expect("a name"))].into(),
    };
    Plan::new(workflow, names.iter().map(pin).collect()).expect("a plan")
}

/// Makes these calls, one at a time, with a breaker for each of these connections; they open after so many failures.
async fn runtime_of(
    calls: Arc<dyn Calls>,
    keys: &[BreakerKey],
    consecutive: u32,
    cooldown: Span,
) -> (TempDir, Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDirectory::open(folder.path()).expect("a state directory");
    let options = RuntimeOptions { calls_max: 1, ..RuntimeOptions::default() };
    let store = Arc::new(MemoryStore::default());
    let runtime = Runtime::with_calls(state, store, calls, options).expect("a runtime");
    for key in keys {
        let written = Written { consecutive: Some(consecutive), cooldown, ..Written::default() };
        let rule: BreakerSettings = written.try_into().expect("good");
        let set = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            entries.insert(key.clone(), Entry { breaker: Breaker::new(Some(rule), now()), ..Entry::new() });
            Ok(())
        };
        runtime.inner.breakers.change(key, set).await.expect("written");
    }
    (folder, runtime)
}

/// How the breakers of these steps' connections stand when all attempts are over, one call being made at a time. They open
/// after so many failures.
async fn phases_after<const N: usize>(
    calls: Arc<dyn Calls>,
    names: [&str; N],
    attempts: u32,
    consecutive: u32,
) -> [BreakerPhase; N] {
    let _machine = follow_tokio();
    let keys = names.map(|it| key(&format!("connection:http/{it}")));
    let (_folder, runtime) = runtime_of(calls, &keys, consecutive, Span::seconds(3600)).await;
    let kept = runtime.keep_plan(plan(&names, attempts, Effect::Read)).await.expect("kept");
    let id = runtime.begin(&kept, json!({}), ana()).await.expect("begun");
    let mut changes = runtime.changes(&id).expect("it is open");
    loop {
        let release = runtime.release(&id).await.expect("there");
        let all_paused =
            kept.plan().graph().steps().all(|it| matches!(release.step(it).state, StepState::Paused { .. }));
        if all_paused {
            break;
        }
        changes.changed().await.expect("it goes on");
    }
    keys.map(|it| runtime.inner.breakers.entries()[&it].breaker.phase())
}

/// An attempt whose time is over before its turn came says nothing of a system that was never asked.
#[tokio::test(start_paused = true)]
async fn who_waited_for_a_turn_in_vain_does_not_count() {
    let phases = phases_after(Arc::new(Hanging), ["first", "second"], 1, 1).await;
    assert_eq!(phases, [BreakerPhase::Open, BreakerPhase::Closed], "only the first was called, in vain");
}

/// Nor does one that waited for what was left of the attempt before it.
#[tokio::test(start_paused = true)]
async fn who_waited_for_a_stopped_call_in_vain_does_not_count() {
    let phases = phases_after(Arc::new(Clinging), ["only"], 2, 2).await;
    assert_eq!(phases, [BreakerPhase::Closed], "one of two attempts was made");
    let phases = phases_after(Arc::new(Clinging), ["only"], 2, 1).await;
    assert_eq!(phases, [BreakerPhase::Open], "and counted");
}

/// Calls of a system that answers nobody until it has been asked so often, and then has done what it was asked for first, or
/// not; when each was made, and which.
struct Down {
    until: usize,
    has_done: bool,
    made: Mutex<Vec<(Timestamp, Call)>>,
}

impl Calls for Down {
    fn call(&self, call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        let mut made = self.made.lock().expect("what was made");
        made.push((now(), call.order.call.clone()));
        let result = match &call.order.call {
            _ if made.len() <= self.until => {
                Err(StepError::engine(FailureClass::Transient, "not-connected", "nobody answers"))
            }
            Call::Find if !self.has_done => Ok(CallResult::NotFound),
            _ => Ok(CallResult::Done(json!({}))),
        };
        async { result }.boxed()
    }
}

/// Another attempt at a write looks first for what the one before may have done. Where nobody answers that fails as well: it
/// waits for the breaker, is its probe, and spends no attempts.
#[tokio::test(start_paused = true)]
async fn who_looks_for_its_effect_waits_as_well() {
    const COOLDOWN: Span = Span::seconds(60);
    let _machine = follow_tokio();
    let keys = [key("connection:http/only")];
    let begin = Call::Begin { state: None };
    // The first and a look open it; two looks, each after a cooldown, find nobody; the third finds something, or nothing.
    let looked = [begin.clone(), Call::Find, Call::Find, Call::Find, Call::Find];
    for (has_done, expected) in [(true, &looked[..]), (false, &[&looked[..], &[begin]].concat())] {
        let calls = Arc::new(Down { until: 4, has_done, made: Mutex::default() });
        let (_folder, runtime) = runtime_of(calls.clone(), &keys, 2, COOLDOWN).await;
        let kept = runtime.keep_plan(plan(&["only"], 10, Effect::Write)).await.expect("kept");
        let id = runtime.begin(&kept, json!({}), ana()).await.expect("begun");
        runtime.ended(&id).await;
        let release = runtime.release(&id).await.expect("there");
        assert_eq!(release.outcome().map(|it| format!("{it:?}")).as_deref(), Some("Succeeded"));
        let made = calls.made.lock().expect("what was made").clone();
        let (times, made): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        assert_eq!(made, expected);
        for probe in 2..=4 {
            assert!(times[probe].since(times[probe - 1]) >= COOLDOWN, "{times:?}");
        }
        assert_eq!(runtime.inner.breakers.entries()[&keys[0]].breaker.phase(), BreakerPhase::Closed);
    }
}
