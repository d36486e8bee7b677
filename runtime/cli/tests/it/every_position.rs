//! `kill -9` at every position of a journal, and right after every effect.
//!
//! A round starts a release, kills its process at the moment in question, starts it again and lets it
//! end. For a position of the journal the counterparts answer slowly enough that it is met; where it was
//! not, the round is made again with slower ones.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use windlass_model::name::ReleaseId;
use windlass_server::view::ReleaseView;
use windlass_server::{Client, StateDirectory};
use windlass_store::{SledStore, Store as _};

use crate::support::release::{Deployment, PAYMENTS, RELEASE, payments};
use crate::support::{Counterparts, DEADLINE, Process, Site};

/// Rounds side by side; they mostly wait.
const SIDE_BY_SIDE: usize = 3;
/// A release that has more records than this does not end.
const POSITIONS_MAX: u64 = 200;
/// The time that a request takes, doubled each time the position was missed.
const LATENCY_MS: u64 = 4;
const TRIES: u32 = 6;

/// Goes on with the release, approving what is asked, until it ends or has `position` records; then
/// `then` is called.
async fn follow(client: &Client, position: u64, mut then: impl FnMut()) {
    let mut has_answered = false;
    let path = format!("/v1/releases/{RELEASE}/watch");
    let followed = client.lines(&path, |view: ReleaseView| {
        if view.records >= position && !view.ended {
            then();
        } else if !has_answered && view.waits.iter().any(|it| it.cause == "approval") {
            has_answered = true;
            let client = client.clone();
            tokio::spawn(async move {
                let vote = json!({ "approved": true, "as": "ana" });
                // The process may be killed before it answers.
                let _ = client.post::<serde_json::Value>(&format!("/v1/releases/{RELEASE}/votes"), &vote).await;
            });
        }
    });
    // It ends with an error where the process was killed.
    let _ = tokio::time::timeout(DEADLINE, followed).await.expect("the release goes on");
}

/// When the process is killed.
#[derive(Debug, Clone, Copy)]
enum When {
    /// As soon as its journal has so many records.
    Records(u64),
    /// As soon as the counterparts have so many effects.
    Effects(usize),
}

/// How a round went.
enum Round {
    /// The release ended before that.
    Beyond,
    /// It was killed when its journal had so many records; then the release went on like this.
    Killed { at: u64, story: String },
}

fn round(base: &Site, counterparts: &Counterparts, deployment: Deployment, when: When) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let site = Site::of(&base.state());
    let state = StateDirectory::open(site.state()).expect("the state directory");
    let before = counterparts.mark();
    let mut process: Process = site.serve();
    let client = runtime.block_on(Client::connect(&state)).expect("it answers");
    let body = json!({ "file": "payments.yaml", "workflow": PAYMENTS, "arguments": { "version": "1.2.3" } });
    let start = async { client.post::<serde_json::Value>("/v1/releases", &body).await };
    let mut killed = false;
    match when {
        When::Records(position) => {
            runtime.block_on(start).expect("it starts");
            runtime.block_on(follow(&client, position, || {
                if !std::mem::replace(&mut killed, true) {
                    process.kill_9();
                }
            }));
        }
        When::Effects(count) => {
            let has_ended = AtomicBool::new(false);
            killed = std::thread::scope(|scope| {
                let killer = scope.spawn(|| {
                    while !has_ended.load(Ordering::SeqCst) {
                        if counterparts.effects(before).values().sum::<usize>() >= count {
                            process.kill_9();
                            return true;
                        }
                        std::thread::yield_now();
                    }
                    false
                });
                // The process may be killed before it answers.
                let started = runtime.block_on(start).is_ok();
                if started {
                    runtime.block_on(follow(&client, u64::MAX, || {}));
                }
                has_ended.store(true, Ordering::SeqCst);
                killer.join().expect("it kills")
            });
        }
    }
    let mut at = 0;
    if killed {
        {
            let store = SledStore::open(state.store()).expect("the store of the killed process");
            let id: ReleaseId = RELEASE.parse().expect("a release");
            at = store.journal(&id).expect("its journal").len() as u64;
        }
        process = site.serve();
    }
    runtime.block_on(follow(&client, u64::MAX, || {}));
    let shown = site.json(&["release", "show", RELEASE]);
    assert_eq!(shown["release"]["state"], deployment.state(), "killed at {when:?}: {shown:#}");
    process.stop();
    site.check();
    let effects = counterparts.effects(before);
    let effects: Vec<(&str, usize)> = effects.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(effects, deployment.effects(), "killed at {when:?} ({at} records): {:#}", shown["story"]);
    if killed { Round::Killed { at, story: shown["story"].to_string() } } else { Round::Beyond }
}

/// Makes a round for every position; gives the positions that were met.
fn every_position(deployment: Deployment) -> BTreeSet<u64> {
    let next = AtomicU64::new(1);
    let is_beyond = AtomicBool::new(false);
    let met = Mutex::new(BTreeSet::new());
    let work = || {
        let (base, counterparts) = payments(deployment, 100, 100);
        while !is_beyond.load(Ordering::SeqCst) {
            let position = next.fetch_add(1, Ordering::SeqCst);
            assert!(position < POSITIONS_MAX, "the release does not end");
            for again in 0..TRIES {
                counterparts.slow_down(LATENCY_MS << again);
                match round(&base, &counterparts, deployment, When::Records(position)) {
                    Round::Beyond => is_beyond.store(true, Ordering::SeqCst),
                    Round::Killed { at, .. } => {
                        met.lock().expect("no worker panicked").insert(at);
                        if at > position {
                            continue;
                        }
                    }
                }
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().expect("every round went well");
        }
    });
    met.into_inner().expect("no worker panicked")
}

/// Every position up to the last was met, and the last is about where the release ends.
fn assert_every(met: &BTreeSet<u64>, last_at_least: u64) {
    let last = met.last().copied().unwrap_or_default();
    assert!(last >= last_at_least && met.len() as u64 == last, "positions at which it was killed: {met:?}");
}

#[test]
fn a_release_that_succeeds_has_one_effect_per_step_wherever_it_is_killed() {
    assert_every(&every_position(Deployment::Succeeds), 11);
}

#[test]
fn a_release_that_is_rolled_back_has_one_effect_per_step_wherever_it_is_killed() {
    assert_every(&every_position(Deployment::Fails), 13);
}

#[test]
fn an_effect_that_was_not_recorded_is_found_again() {
    let (base, counterparts) = payments(Deployment::Fails, 100, 100);
    let effects: usize = Deployment::Fails.effects().iter().map(|(_, count)| count).sum();
    let mut stories = String::new();
    for count in 1..=effects {
        if let Round::Killed { story, .. } = round(&base, &counterparts, Deployment::Fails, When::Effects(count)) {
            stories.push_str(&story);
        }
    }
    // Otherwise every answer was recorded before its process was killed, and nothing was shown.
    assert!(stories.contains("the plugin looks for it"), "{stories}");
}
