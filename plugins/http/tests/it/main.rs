//! The plugin against a scripted endpoint.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_plugin_http::plugin;
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{MockHost, Reply, TestStep};
use windlass_sdk::{Failure, FailureClass, Operation, RetryAdvice};

fn endpoint() -> MockHost {
    MockHost::new().connection("endpoint", "https://app.test/base")
}

fn run(host: &MockHost, action: &str, input: Value) -> Result<Value, Failure> {
    TestStep::new(plugin(), action, input).run(host)
}

#[test]
fn get_gives_status_headers_and_body() {
    let host = endpoint();
    host.reply("GET /v1/version", Reply::json(200, json!({ "version": "1.2.3" })).header("X-Node", "a"));
    let output =
        run(&host, "get", json!({ "path": "/v1/version", "query": { "q": "a b&c" }, "headers": { "X-Trace": "t" } }))
            .expect("it answers");
    assert_eq!(output["json"]["version"], "1.2.3");
    assert_eq!(output["headers"]["x-node"], "a");
    assert_eq!((&output["status"], &output["text"]), (&json!(200), &Value::Null));
    let request = &host.requests()[0];
    assert_eq!((request.query["q"].as_str(), request.header("x-trace")), ("a b&c", Some("t")));

    host.reply("GET /plain", Reply::text(418, "teapot"));
    let output = run(&host, "get", json!({ "path": "/plain", "statuses": [418] })).expect("418 is expected");
    assert_eq!(output["text"], "teapot");
}

#[test]
fn unexpected_answers_are_failures() {
    for (reply, statuses, class, code) in [
        (Reply::status(404), json!([]), FailureClass::NotFound, "http-404"),
        (Reply::status(200), json!([204]), FailureClass::Rejected, "unexpected-status"),
        (Reply::status(302), json!([]), FailureClass::Internal, "http-302"),
        (Reply::error(TransportErrorKind::Denied), json!([]), FailureClass::Forbidden, "request-denied"),
        (Reply::text(200, "x".repeat(300_000)), json!([]), FailureClass::Internal, "response-too-large"),
    ] {
        let host = endpoint();
        host.reply("GET /a", reply);
        let failure = run(&host, "get", json!({ "path": "/a", "statuses": statuses })).expect_err(code);
        assert_eq!((failure.class, failure.code.as_str()), (class, code));
    }
    for (input, code) in [
        (json!({ "path": "/a?b=1" }), "path"),
        (json!({ "path": "/a b" }), "path"),
        (json!({ "path": "/a", "headers": { "Authorization": "Bearer x" } }), "authorization"),
    ] {
        let host = endpoint();
        assert_eq!(run(&host, "get", input).expect_err(code).code, code);
        assert_eq!(host.requests().len(), 0);
    }
}

#[test]
fn request_sends_its_body_and_the_idempotency_key() {
    let host = endpoint();
    host.reply("PATCH /things/1", Reply::status(204));
    let input = json!({
        "method": "PATCH", "path": "/things/1", "json": [{ "op": "remove" }], "headers": { "Content-Type": "application/json-patch+json" },
    });
    assert_eq!(run(&host, "request", input).expect("it is accepted")["status"], 204);
    let request = &host.requests()[0];
    assert_eq!(request.json::<Value>(), json!([{ "op": "remove" }]));
    assert_eq!(request.header("content-type"), Some("application/json-patch+json"));
    assert_eq!(request.header("idempotency-key"), Some(TestStep::key(Operation::Start)));
    let failure = run(&host, "request", json!({ "path": "/a", "json": 1, "text": "b" })).expect_err("two bodies");
    assert_eq!(failure.code, "two-bodies");
}

#[test]
fn a_write_whose_answer_is_lost_is_repeated_only_where_that_is_harmless() {
    let lost = || Reply::error(TransportErrorKind::Interrupted);
    let again = RetryAdvice::After(Duration::from_secs(1));
    for (method, repeatable, reply, advice) in [
        ("POST", None, lost(), RetryAdvice::Pause),
        ("POST", Some(true), lost(), again),
        ("PUT", None, lost(), again),
        ("PUT", Some(false), lost(), RetryAdvice::Pause),
        ("DELETE", None, Reply::status(502), again),
        ("POST", None, Reply::status(502), RetryAdvice::Pause),
        ("POST", None, Reply::status(503), again),
        ("POST", None, Reply::error(TransportErrorKind::NotConnected), again),
        ("POST", None, Reply::status(429).header("Retry-After", "3"), RetryAdvice::After(Duration::from_secs(3))),
    ] {
        let host = endpoint();
        host.reply(&format!("{method} /a"), reply);
        let mut input = json!({ "method": method, "path": "/a" });
        if let Some(repeatable) = repeatable {
            input["repeatable"] = json!(repeatable);
        }
        let failure = run(&host, "request", input.clone()).expect_err("it fails");
        assert_eq!(failure.retry, advice, "{input}: {failure}");
    }
}

#[test]
fn health_needs_successes_in_a_row() {
    let host = endpoint();
    let up = || Reply::json(200, json!({ "status": "up" })).takes(Duration::from_millis(30));
    for reply in [
        up(),
        Reply::status(503),
        up(),
        Reply::error(TransportErrorKind::TimedOut).takes(Duration::from_secs(5)),
        up(),
        up(),
    ] {
        host.reply("GET /health", reply);
    }
    let input = json!({
        "path": "/health", "interval": "5s", "successes": 2, "failures_tolerated": 2,
        "expect": { "json": [{ "pointer": "/status", "equals": "up" }], "latency_max": "1s" },
    });
    let output = run(&host, "health-check", input).expect("it gets healthy");
    assert_eq!((&output["sent"], &output["failed"]), (&json!(6), &json!(2)));
    let probes = output["probes"].as_array().expect("a list");
    assert_eq!(probes[0]["at"], "2026-01-05T09:00:00.000Z");
    assert_eq!(probes[1]["at"], "2026-01-05T09:00:05.030Z");
    assert_eq!((&probes[1]["problem"], &probes[3]["status"]), (&json!("status 503"), &Value::Null));
    assert_eq!(probes[5]["latency_ms"], 30);
}

#[test]
fn too_many_failures_end_it_with_what_was_seen() {
    let host = endpoint();
    host.reply("GET /health", Reply::status(200));
    host.always("GET /health", Reply::status(500));
    let failure = run(&host, "health-check", json!({ "path": "/health", "interval": "1s", "failures_tolerated": 1 }))
        .expect_err("it stays down");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "not-healthy"));
    assert_eq!(failure.message, "`/health` is not healthy: status 500 (2 of 3 probes failed, 1 tolerated)");
    assert_eq!(failure.details.len(), 3);

    let host = endpoint();
    host.reply("GET /health", Reply::error(TransportErrorKind::Denied));
    let failure = run(&host, "health-check", json!({ "path": "/health", "failures_tolerated": 9 }))
        .expect_err("it is not granted");
    assert_eq!(failure.code, "request-denied");
}

#[test]
fn a_wrong_input_names_the_field() {
    let raw = |input: &str| {
        let host = endpoint();
        let call = windlass_sdk::Call {
            action: "health-check".to_owned(),
            operation: Operation::Start,
            release: "r".to_owned(),
            step: "s".to_owned(),
            attempt: 1,
            idempotency_key: String::new(),
            deadline: None,
            dry_run: false,
            input: input.to_owned(),
            output: None,
            context: Vec::new(),
        };
        plugin().start(&host, &call).expect_err("the input is wrong")
    };
    let failure = raw(r#"{"path":"/a","expect":{"json":[{"pointer":7,"equals":1}]}}"#);
    assert_eq!((failure.class, failure.retry), (FailureClass::Invalid, RetryAdvice::Never));
    assert!(
        failure.message.starts_with("the input of `health-check`: expect.json[0].pointer: invalid type"),
        "{failure}"
    );
    assert!(raw(r#"{"path":"/a","intervall":"1s"}"#).message.contains("unknown field `intervall`"));
    assert!(raw(r#"{"path":"/a","interval":"soon"}"#).message.contains("interval: `soon` is no length of time"));
}
