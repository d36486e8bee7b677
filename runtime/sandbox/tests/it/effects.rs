//! What the host knows of a call that failed: whether anything may have changed.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_model::digest::Digest;
use windlass_sandbox::CallReport;

use crate::support::raw::{RawServer, Said};
use crate::support::server::Server;
use crate::support::{Given, call, gone, target};
use crate::tools::{run_given, tool};

/// Whether the host is sure that nothing changed.
fn is_without_effect(report: &CallReport) -> bool {
    report.result.as_ref().expect_err("it fails").without_effect
}

async fn send(url: &str, more: Value, requests: Value, then: &str) -> CallReport {
    let given = Given {
        input: json!({"url": url, "requests": requests, "then": then}),
        access: target(url, more),
        ..Given::default()
    };
    call("send", given).await
}

#[tokio::test]
async fn a_call_that_only_reads_has_no_effect() {
    let server = Server::start().await;
    let to = |method: &str, path: &str| json!({"method": method, "path": path});
    let with = |method: &str, more: Value| {
        let mut request = to(method, "/open/echo");
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    let searches = json!({"reads": [{"methods": ["POST"], "path": "/open/echo"}]});
    for (more, requests, expected) in [
        (json!({}), json!([]), true),
        (json!({}), json!([to("GET", "/open/hello"), to("HEAD", "/open/hello"), to("OPTIONS", "/open/echo")]), true),
        (json!({}), json!([to("POST", "/open/echo")]), false),
        // Whatever a server says, but for one answer, it may have done a part of it.
        (json!({}), json!([to("POST", "/open/not-here")]), false),
        (json!({}), json!([to("POST", "/open/needs-token")]), true),
        (json!({}), json!([to("POST", "/open/echo"), to("POST", "/open/needs-token")]), false),
        (json!({}), json!([to("POST", "/open/needs-token"), to("POST", "/open/echo")]), false),
        (json!({"allow": [{"methods": ["GET"], "path": "/open/**"}]}), json!([to("POST", "/open/echo")]), true),
        // What would be stopped in a dry run counts here.
        (json!({}), json!([with("GET", json!({"body": "x"}))]), false),
        (json!({}), json!([to("GET", "/open/echo?_method=delete")]), false),
        (searches.clone(), json!([with("POST", json!({"body": "{}"}))]), true),
        (searches.clone(), json!([to("POST", "/open/echo?_method=delete")]), false),
        (searches, json!([to("POST", "/open/hello")]), false),
    ] {
        for then in ["fail", "panic"] {
            let report = send(&server.url(), more.clone(), requests.clone(), then).await;
            assert_eq!(is_without_effect(&report), expected, "{more} {requests} {then}: {:?}", report.result);
        }
    }
}

#[tokio::test]
async fn what_was_not_sent_has_no_effect_and_what_got_no_answer_may_have() {
    let write = || json!([{"method": "POST", "path": "/open/echo", "body": "x"}]);
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    assert!(is_without_effect(&send(&closed, json!({}), write(), "fail").await), "nobody listens");
    let server = Server::start().await;
    let public = json!({"private_network": false});
    assert!(is_without_effect(&send(&server.url(), public, write(), "fail").await), "it may not be connected to");
    let unset = json!({"authentication": {"type": "bearer", "token": "env:NOT_SET_ANYWHERE"}});
    assert!(is_without_effect(&send(&server.url(), unset, write(), "fail").await), "there is no credential");
    assert_eq!(server.seen().len(), 0);
    let garbled = RawServer::saying(Said::Once(b"no HTTP at all\r\n\r\n".to_vec())).await;
    assert!(!is_without_effect(&send(&garbled.url(), json!({}), write(), "fail").await), "it may have been taken");
    let cut_off = Given {
        input: json!({"url": server.url(), "method": "POST"}),
        access: target(&server.url(), json!({})),
        ..Given::default()
    };
    assert!(!is_without_effect(&call("slow-answer", cut_off).await), "it was being made");
}

#[tokio::test]
async fn nothing_is_left_of_a_call_that_was_dropped_while_it_wrote() {
    let server = RawServer::saying(Said::Once(Vec::new())).await;
    let given = Given {
        input: json!({"url": server.url(), "requests": [{"method": "POST", "path": "/open/echo", "body": "x"}], "then": "fail"}),
        access: target(&server.url(), json!({})),
        ..Given::default()
    };
    let host = Arc::downgrade(&given.host);
    let running = tokio::spawn(call("send", given));
    while server.requests() == 0 {
        assert!(!running.is_finished(), "it waits for an answer");
        tokio::task::yield_now().await;
    }
    assert!(host.strong_count() > 0);
    running.abort();
    gone(&host).await;
    server.left(1).await;
}

#[tokio::test]
async fn a_tool_may_change_something_unless_both_sides_say_otherwise() {
    let run = async |more: Value, arguments: Value| {
        let given = Given { input: json!({"arguments": arguments, "then": "fail"}), ..Given::default() };
        is_without_effect(&run_given(tool(more), given).await)
    };
    let declared = || json!({"dry_run": ["env", "fail"]});
    assert!(!run(json!({}), json!(["echo", "web"])).await);
    assert!(!run(json!({}), json!(["env"])).await, "only the plugin says so");
    assert!(run(declared(), json!(["env"])).await);
    assert!(run(declared(), json!(["fail"])).await);
    assert!(!run(declared(), json!(["echo", "--dry-run=server"])).await, "only the plugin says so");
    assert!(run(json!({"subcommands": ["env"]}), json!(["echo"])).await, "it is denied");
    let another = json!({"digest": Digest::of(b"another").to_string()});
    assert!(run(another, json!(["echo"])).await, "it is not started");
}
