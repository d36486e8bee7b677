//! Every limit, hit.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass_model::failure::{FailureClass, FailureOrigin};

use crate::support::server::Server;
use crate::support::{Given, call, call_with, code, done, message, others_go_on, target};

#[tokio::test]
async fn an_infinite_loop_ends_at_the_processor_limit() {
    let start = Instant::now();
    let report = call_with("spin", json!({})).await;
    assert_eq!(code(&report), "cpu-limit");
    assert!(message(&report).contains("more than 300 ms of processor time"), "{}", message(&report));
    assert!(message(&report).contains(r#""limits": {"cpu_ms": …}"#), "{}", message(&report));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(report.usage.cpu >= Duration::from_millis(300));
    let error = report.result.expect_err("checked above");
    assert_eq!((error.origin, error.class), (FailureOrigin::Host, FailureClass::Internal));
    others_go_on().await;
}

#[tokio::test]
async fn a_loop_of_host_calls_ends_at_the_processor_limit() {
    assert_eq!(code(&call_with("spin-in-host-calls", json!({})).await), "cpu-limit");
}

#[tokio::test]
async fn waiting_is_not_processor_time_and_ends_at_the_wall_limit() {
    let report = call_with("sleep", json!({})).await;
    assert_eq!(code(&report), "wall-limit");
    assert!(report.usage.cpu < Duration::from_millis(300), "{:?}", report.usage);
    assert!(report.usage.wall >= Duration::from_millis(1500));
    assert_eq!(report.result.expect_err("checked above").class, FailureClass::TimedOut);
}

#[tokio::test]
async fn a_slow_server_ends_at_the_wall_limit() {
    let server = Server::start().await;
    let given =
        Given { input: json!({"url": server.url()}), access: target(&server.url(), json!({})), ..Given::default() };
    let host = given.host.clone();
    let report = call("slow-answer", given).await;
    assert_eq!(code(&report), "wall-limit");
    // The request that was cut off is traced; its task is aborted with the instance.
    let traced = async {
        while host.traces().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), traced).await.expect("a trace");
    assert_eq!(host.traces()[0].error.as_deref(), Some("the call ended before an answer came"));
    others_go_on().await;
}

#[tokio::test]
async fn memory_ends_at_its_limit_in_large_and_in_small_pieces() {
    for action in ["memory-bomb", "many-allocations"] {
        let report = call_with(action, json!({})).await;
        assert_eq!(code(&report), "memory-limit", "{action}");
        assert!(message(&report).contains("67108864 bytes of memory"), "{}", message(&report));
        assert!(report.usage.memory_peak_bytes <= 64 * 1024 * 1024);
    }
    others_go_on().await;
}

#[tokio::test]
async fn deep_recursion_is_told_from_other_traps() {
    assert_eq!(code(&call_with("deep-recursion", json!({})).await), "stack-overflow");
    others_go_on().await;
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_are_not_taken() {
    let report = call_with("large-output", json!({})).await;
    assert_eq!(code(&report), "output-limit");
    assert!(message(&report).contains("1048576 bytes"), "{}", message(&report));
    assert_eq!(code(&call_with("large-failure", json!({})).await), "output-limit");
}

#[tokio::test]
async fn floods_end_at_the_log_limit() {
    for action in ["log-flood", "stdout-flood", "progress-flood"] {
        let given = Given::default();
        let host = given.host.clone();
        let report = call(action, given).await;
        assert_eq!(code(&report), "log-limit", "{action}");
        let taken: usize = host.messages().iter().map(String::len).sum();
        assert!(taken <= 1024 * 1024, "{action}: {taken}");
    }
    others_go_on().await;
}

#[tokio::test]
async fn requests_and_their_bytes_are_counted() {
    let server = Server::start().await;
    let given =
        || Given { input: json!({"url": server.url()}), access: target(&server.url(), json!({})), ..Given::default() };
    let report = call("many-requests", given()).await;
    assert_eq!(code(&report), "http-requests-limit");
    assert_eq!(server.seen().len(), 5);
    let report = call("big-response", given()).await;
    assert_eq!(code(&report), "http-response-bytes-limit");
    assert!(report.usage.response_bytes < 1_000_000, "{:?}", report.usage);
    let report = call("big-request", given()).await;
    assert_eq!(code(&report), "http-request-bytes-limit");
    assert_eq!(
        done(call("request", Given { input: json!({"url": format!("{}/open/hello", server.url())}), ..given() }).await)
            ["body"],
        "hello"
    );
}

#[tokio::test]
async fn state_is_bounded() {
    let report = call_with("large-state", json!({})).await;
    assert_eq!(code(&report), "state-limit");
    assert!(message(&report).contains("operator's bound `state_bytes`"), "{}", message(&report));
}
