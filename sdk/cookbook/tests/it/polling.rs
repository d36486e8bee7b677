use std::time::Duration;

use serde_json::json;
use windlass_sdk::testing::{MockHost, Reply};
use windlass_sdk::{Event, Wake};

use crate::{step, suspended};

fn host() -> MockHost {
    MockHost::new().connection("exports", "https://exports.test")
}

#[test]
fn waits_grow_and_the_service_can_ask_for_longer_ones() {
    let (host, step) = (host(), step("wait-for-export", json!({ "export": "e-1" })));
    let running = || Reply::json(200, json!({ "state": "running" }));
    for reply in [
        running(),
        running(),
        running().header("Retry-After", "30"),
        running().header("Retry-After", "1"),
        Reply::status(503).header("Retry-After", "90"),
        Reply::status(502),
    ] {
        host.reply("GET /exports/e-1", reply);
    }
    let mut waits = Vec::new();
    let mut at = suspended(step.start(&host).expect("it waits"));
    for _ in 0..5 {
        waits.push(at.wakes.clone());
        at = suspended(step.resume(&host, &at, Event::Timer).expect("it waits"));
    }
    waits.push(at.wakes.clone());
    let expected = [2, 4, 30, 16, 90, 64].map(|it| vec![Wake::After(Duration::from_secs(it))]);
    assert_eq!(waits, expected);
    assert_eq!(at.status, "export e-1 cannot be looked at now (http-502)");
    host.always("GET /exports/e-1", running());
    for _ in 0..40 {
        at = suspended(step.resume(&host, &at, Event::Timer).expect("it waits"));
    }
    assert_eq!(at.wakes, [Wake::After(Duration::from_secs(300))]);
    host.reply("GET /exports/e-1", Reply::json(200, json!({ "state": "done", "rows": 7 })));
    assert_eq!(step.finish(&host, at).expect("it ends"), json!({ "rows": 7 }));
}

#[test]
fn an_export_that_failed_or_is_not_there_is_a_failure() {
    let (host, step) = (host(), step("wait-for-export", json!({ "export": "e-1" })));
    host.reply("GET /exports/e-1", Reply::json(200, json!({ "state": "failed", "reason": "no such table" })));
    let failure = step.run(&host).expect_err("it failed");
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("export-failed", "no such table"));
    host.reply("GET /exports/e-1", Reply::status(404));
    assert_eq!(step.run(&host).expect_err("not there").code, "http-404");
}
