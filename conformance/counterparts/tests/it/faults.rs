//! Ordered faults: what the client sees, and what took effect all the same.

use crate::client::{Client, start};
use serde_json::json;
use std::time::{Duration, Instant};
use windlass_counterparts::SimulatorKind::{Jenkins, ServiceNow};

const BUILD: &str = "/job/payments/buildWithParameters?VERSION=1&WINDLASS_KEY=k";

#[tokio::test]
async fn a_dropped_request_has_no_effect_and_a_lost_response_has() {
    let running = start(Jenkins).await;
    let client = Client::new(&running.url);
    for (kind, effects) in [("drop", 0), ("lose_response", 1)] {
        let order = json!([{ "method": "POST", "path": "/job/*", "action": { "kind": kind } }]);
        assert_eq!(client.json("POST", "/_sim/faults", order).await.status, 200);
        let broken = client.send("POST", BUILD, &[], "").await;
        assert!(broken.is_err(), "{kind}: {broken:?}");
        assert_eq!(running.effects_of("build.queued").len(), effects, "{kind}");
        assert_eq!(client.get("/api/json").await.status, 200, "other requests pass");
    }
    assert_eq!(client.post(BUILD).await.status, 201, "both faults are used up");
    let faults = client.get("/_sim/faults").await.json();
    let consumed: Vec<_> = faults.as_array().expect("faults").iter().map(|it| it["consumed"].clone()).collect();
    assert_eq!(consumed, [json!(1), json!(1)]);
    let met: Vec<_> = running.requests().into_iter().filter_map(|it| it.fault).collect();
    assert_eq!(met, ["drop", "lose_response"]);
}

#[tokio::test]
async fn a_status_has_the_vendors_shape_and_a_retry_after() {
    for kind in [Jenkins, ServiceNow] {
        let running = start(kind).await;
        let client = Client::new(&running.url);
        let order = json!({ "skip": 1, "times": 2, "action": { "kind": "status", "status": 429, "retry_after": 2 } });
        client.json("POST", "/_sim/faults", order).await;
        let path = if kind == Jenkins { "/api/json" } else { "/api/now/table/incident" };
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let answer = client.get(path).await;
            if answer.status == 429 {
                assert_eq!(answer.header("retry-after"), "2");
            }
            if answer.status == 429 && kind == ServiceNow {
                assert_eq!(answer.json()["error"]["message"], "Rate limit exceeded");
            }
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [200, 429, 429, 200]);
    }
}

#[tokio::test]
async fn latency_delays_and_a_slow_queue_keeps_its_item_waiting() {
    let running = start(Jenkins).await;
    let client = Client::new(&running.url);
    let order = json!([
        { "path": "/api/json", "action": { "kind": "latency", "ms": 150 } },
        { "method": "POST", "action": { "kind": "slow_queue", "ms": 3_600_000 } },
    ]);
    client.json("POST", "/_sim/faults", order).await;
    let begun = Instant::now();
    assert_eq!(client.get("/api/json").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150));
    let item = client.post(BUILD).await.header("location").to_owned();
    let slow = client.get(&format!("{item}api/json")).await.json();
    let why = slow["why"].as_str().expect("why it waits");
    let seconds: f64 =
        why.trim_start_matches("In the quiet period. Expires in ").trim_end_matches(" sec").parse().expect("seconds");
    assert!(seconds > 3_590.0, "{why}");
}

#[tokio::test]
async fn faults_can_be_taken_back_and_nonsense_is_refused() {
    let running = start(Jenkins).await;
    let client = Client::new(&running.url);
    client.json("POST", "/_sim/faults", json!([{ "times": 100, "action": { "kind": "drop" } }])).await;
    assert!(client.send("GET", "/api/json", &[], "").await.is_err());
    let deleted = client.send("DELETE", "/_sim/faults", &[], "").await.expect("an answer");
    assert_eq!(deleted.json(), json!([]));
    assert_eq!(client.get("/api/json").await.status, 200);
    for nonsense in [json!([{ "action": { "kind": "explode" } }]), json!({ "typo": 1 }), json!(3)] {
        assert_eq!(client.json("POST", "/_sim/faults", nonsense).await.status, 400);
    }
    assert_eq!(client.get("/_sim/nothing").await.status, 404);
}

#[tokio::test]
async fn requests_are_recorded_without_header_values() {
    let running = start(Jenkins).await;
    let client = Client::new(&running.url);
    client.get("/api/json?secret=in-the-query").await;
    let requests = client.get("/_sim/requests").await;
    let recorded = requests.json();
    assert_eq!(recorded[0]["path"], "/api/json");
    assert_eq!(recorded[0]["status"], 200);
    assert!(recorded[0]["header_names"].as_array().expect("names").contains(&json!("authorization")));
    assert!(!requests.text().contains("Basic "), "{}", requests.text());
}
