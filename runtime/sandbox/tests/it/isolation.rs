//! What a plugin cannot see, and what it cannot do to others.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{call_with, code, done};

#[tokio::test]
async fn there_are_no_files_and_no_environment() {
    assert_eq!(done(call_with("read-files", json!({})).await), json!([]));
}

#[tokio::test]
async fn there_are_no_sockets_and_no_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    assert_eq!(done(call_with("open-sockets", json!({"address": address})).await), json!([]));
}

#[tokio::test]
async fn randomness_is_random_in_calls() {
    let one = done(call_with("random", json!({})).await);
    assert_ne!(one, done(call_with("random", json!({})).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_work_while_some_misbehave() {
    // As many loops as threads: the others only get on because a loop looks up.
    let hostile = ["spin", "spin", "spin", "memory-bomb", "log-flood", "panic", "deep-recursion"];
    let bad: Vec<_> = hostile.map(|it| tokio::spawn(async move { call_with(it, json!({})).await })).into();
    let good: Vec<_> =
        (0..100).map(|it| tokio::spawn(async move { done(call_with("noop", json!(it)).await) })).collect();
    let all_good =
        tokio::time::timeout(Duration::from_secs(30), futures::future::join_all(good)).await.expect("in time");
    for (index, output) in all_good.into_iter().enumerate() {
        assert_eq!(output.expect("no panic"), json!(index));
    }
    let mut codes = Vec::new();
    for task in bad {
        codes.push(code(&task.await.expect("no panic")).to_owned());
    }
    assert_eq!(
        codes,
        ["cpu-limit", "cpu-limit", "cpu-limit", "memory-limit", "log-limit", "plugin-panicked", "stack-overflow"]
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_ends() {
    let ended = tokio::time::timeout(Duration::from_millis(50), call_with("spin", json!({}))).await;
    assert!(ended.is_err());
    assert_eq!(done(call_with("noop", json!(1)).await), json!(1));
}
