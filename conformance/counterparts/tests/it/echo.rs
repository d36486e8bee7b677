//! The echo server.

use crate::client::{Client, start};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};
use windlass_counterparts::SimulatorKind::Echo;

#[tokio::test]
async fn it_says_what_it_was_sent() {
    let running = start(Echo).await;
    let client = Client::with(&running.url, Some("Bearer fished".to_owned()));
    let answer = client
        .send("PUT", "/any/path?a=1&a=2&b=3", &[("x-one", "1"), ("x-one", "2")], "hello")
        .await
        .expect("an answer")
        .json();
    assert_eq!(answer["method"], "PUT");
    assert_eq!(answer["path"], "/any/path");
    assert_eq!(answer["query"], json!({ "a": ["1", "2"], "b": "3" }));
    assert_eq!(answer["headers"]["authorization"], "Bearer fished");
    assert_eq!(answer["headers"]["x-one"], json!(["1", "2"]));
    assert_eq!(answer["body"], "hello");
}

#[tokio::test]
async fn it_redirects_compresses_and_fills() {
    let running = start(Echo).await;
    let client = Client::new(&running.url);
    let redirect = client.get("/redirect?to=http%3A%2F%2Fexample.test%2Fx").await;
    assert_eq!((redirect.status, redirect.header("location")), (302, "http://example.test/x"));
    assert_eq!(client.get("/bytes/100000").await.body.len(), 100_000);
    assert_eq!(client.get("/bytes/many").await.status, 400);
    assert_eq!(client.get("/status/418").await.status, 418);
    let zipped = client.get("/gzip").await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(zipped.body.as_ref()).read_to_string(&mut text).expect("gzip");
    let echoed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(echoed["path"], "/gzip");
}

#[tokio::test]
async fn it_is_slow_and_unwell_on_request() {
    let running = start(Echo).await;
    let client = Client::new(&running.url);
    let begun = Instant::now();
    assert_eq!(client.get("/slow?ms=80").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(80));
    let begun = Instant::now();
    assert_eq!(client.get("/drip?bytes=4&ms=20").await.text(), "....");
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(client.get("/health").await.json()["status"], "up");
    client.json("POST", "/_sim/health", json!({ "status": 503, "version": "2.0.0" })).await;
    let unwell = client.get("/health").await;
    assert_eq!((unwell.status, unwell.json()["version"].as_str()), (503, Some("2.0.0")));
}
