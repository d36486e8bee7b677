use std::time::Duration;

use serde_json::{Value, json};
use windlass_sdk::testing::{MockHost, Reply};
use windlass_sdk::{CallbackEvent, Event, Wake};

use crate::{step, suspended};

fn host() -> MockHost {
    let host = MockHost::new().connection("ci", "https://ci.test");
    host.always("POST /builds", Reply::json(201, json!({ "number": 12 })));
    host
}

fn called(topic: &str) -> Event {
    Event::Callback(CallbackEvent { topic: topic.to_owned(), headers: Vec::new(), body: b"passed, I swear".to_vec() })
}

fn running() -> Reply {
    Reply::json(200, json!({ "state": "running" }))
}

#[test]
fn a_call_wakes_it_and_the_service_is_asked_what_happened() {
    let (host, step) = (host(), step("build", json!({ "branch": "main" })));
    let waits = suspended(step.start(&host).expect("it waits"));
    let (told, safety_net) = (Wake::Callback("topic-1".to_owned()), Wake::After(Duration::from_secs(600)));
    assert_eq!(waits.wakes, [told, safety_net.clone()]);
    let body: Value = host.requests()[0].json();
    assert_eq!(body["notify"], "https://windlass.test/callbacks/topic-1");

    // Somebody else called, or too early: it is not believed, and from then on only looked.
    host.reply("GET /builds/12", running());
    let waits = suspended(step.resume(&host, &waits, called("topic-1")).expect("it waits"));
    assert_eq!(waits.wakes, [Wake::After(Duration::from_secs(15))]);
    host.reply("GET /builds/12", Reply::json(200, json!({ "state": "passed", "digest": "sha256:1" })));
    assert_eq!(step.finish(&host, waits).expect("it ends"), json!({ "number": 12, "digest": "sha256:1" }));
}

#[test]
fn a_call_that_got_lost_is_made_up_for_by_looking() {
    let (host, step) = (host(), step("build", json!({ "branch": "main" })));
    let waits = suspended(step.start(&host).expect("it waits"));
    host.reply("GET /builds/12", Reply::status(503));
    let waits = suspended(step.resume(&host, &waits, Event::Timer).expect("it waits"));
    assert_eq!(waits.wakes.len(), 2, "it can still be called");
    host.reply("GET /builds/12", Reply::json(200, json!({ "state": "failed" })));
    assert_eq!(step.finish(&host, waits).expect_err("it failed").code, "build-failed");
}

#[test]
fn another_attempt_hands_out_the_same_address() {
    let (host, step) = (host(), step("build", json!({ "branch": "main" })));
    host.reply("POST /builds", Reply::status(502));
    step.start(&host).expect_err("an answer in doubt");
    let waits = suspended(step.start(&host).expect("it waits"));
    assert_eq!(waits.wakes[0], Wake::Callback("topic-1".to_owned()));
    let addresses: Vec<Value> = host.requests().iter().map(|it| it.json::<Value>()["notify"].clone()).collect();
    assert_eq!(addresses[0], addresses[1]);
}

#[test]
fn where_nobody_can_call_it_looks_more_often() {
    let (host, step) = (host().without_callbacks(), step("build", json!({ "branch": "main" })));
    let waits = suspended(step.start(&host).expect("it waits"));
    assert_eq!(waits.wakes, [Wake::After(Duration::from_secs(15))]);
}
