//! A dry run against a plugin that wants to write all the same.

use serde_json::{Value, json};
use windlass_model::dry_run::{WOULD_BODY_BYTES_MAX, WOULD_MAX};
use windlass_model::event::Operation;
use windlass_model::grant::Missing;
use windlass_sandbox::{CallKind, CallReport};

use crate::support::server::Server;
use crate::support::{Given, call, done, target, world};
use crate::tools::{run_given, tool};

/// Sends requests in a dry run; `more` is the connection's.
async fn send_by(kind: CallKind, operation: Operation, server: &Server, more: Value, requests: Value) -> CallReport {
    let given = Given {
        kind,
        operation,
        input: json!({"url": server.url(), "requests": requests}),
        access: target(&server.url(), more),
        dry_run: true,
        ..Given::default()
    };
    call("send", given).await
}

async fn send(server: &Server, more: Value, requests: Value) -> CallReport {
    send_by(CallKind::Start, Operation::Start, server, more, requests).await
}

/// What arrived, without bodies.
fn arrived(server: &Server) -> Vec<String> {
    server.seen().iter().map(|it| format!("{} {}", it.method, it.path)).collect()
}

/// What was stopped.
fn would(report: &CallReport) -> Vec<&str> {
    report.would.iter().map(|it| it.what.rsplit_once("127.0.0.1").map_or(it.what.as_str(), |it| it.1)).collect()
}

#[tokio::test]
async fn reads_pass_and_writes_are_stopped_and_told() {
    let server = Server::start().await;
    let mut requests: Vec<Value> =
        ["GET", "HEAD", "OPTIONS"].map(|method| json!({"method": method, "path": "/open/hello"})).to_vec();
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        requests.push(json!({"method": method, "path": "/open/echo?n=1", "body": format!("{{\"by\":\"{method}\"}}")}));
    }
    // What was denied before changes nothing for what comes after it.
    requests.push(json!({"method": "GET", "path": "/open/echo"}));
    let report = send(&server, json!({}), json!(requests)).await;
    assert_eq!(arrived(&server), ["GET /open/hello", "HEAD /open/hello", "OPTIONS /open/hello", "GET /open/echo"]);
    assert_eq!(report.denials.len(), 5);
    assert!(report.denials.iter().all(|it| it.missing == Missing::DryRun));
    let would: Vec<(String, &str)> =
        report.would.iter().map(|it| (it.what.replace(&server.url(), ""), it.body.as_str())).collect();
    let expected = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"]
        .map(|method| (format!("{method} /open/echo?n=1"), format!("{{\"by\":\"{method}\"}}")));
    let expected: Vec<(String, &str)> = expected.iter().map(|(what, body)| (what.clone(), body.as_str())).collect();
    assert_eq!(would, expected);
    assert_eq!(report.would[0].body_bytes, 13);
    // The guest sees an error of its request and goes on; that it does counts for nothing.
    let answers = done(report);
    assert_eq!(answers[3], json!({"error": "ErrorCode::HttpRequestDenied"}));
    assert_eq!(answers[8]["status"], 200);
}

#[tokio::test]
async fn a_request_cannot_pass_for_a_read() {
    let server = Server::start().await;
    let with = |header: &str| json!({"method": "GET", "path": "/open/echo", "headers": {header: "DELETE"}});
    let mut requests: Vec<Value> = [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-Method-Override",
        "X_HTTP_METHOD_OVERRIDE",
        "x-original-url",
        "X-Rewrite-URL",
    ]
    .map(with)
    .to_vec();
    for query in ["_method=DELETE", "a=1&%5Fmethod=put", "a=1;_method=put", "X-HTTP-Method-Override=PUT"] {
        requests.push(json!({"method": "GET", "path": format!("/open/echo?{query}")}));
    }
    // A GET with a body is a query to some servers and a command to others.
    requests.push(json!({"method": "GET", "path": "/open/echo", "body": "{\"delete\": \"all\"}"}));
    requests.push(json!({"method": "POST", "path": "/open/echo", "headers": {"X-HTTP-Method-Override": "GET"}}));
    let count = requests.len();
    let report = send(&server, json!({}), json!(requests)).await;
    assert_eq!(arrived(&server), [""; 0]);
    assert_eq!((report.would.len(), report.denials.len()), (count, count));
    // Methods are what they are on the wire, whatever they look like.
    let report = send(
        &server,
        json!({}),
        json!([
            {"method": "get", "path": "/open/echo"}, {"method": "Get", "path": "/open/echo"},
            {"method": "CONNECT", "path": "/open/echo"}, {"method": "TRACE", "path": "/open/echo"},
            {"method": "GET ", "path": "/open/echo"}, {"method": "GET\u{0}", "path": "/open/echo"},
        ]),
    )
    .await;
    assert_eq!(arrived(&server), [""; 0]);
    assert!(done(report).as_array().expect("a list").iter().all(|it| it["error"].is_string()));
}

#[tokio::test]
async fn no_operation_and_no_redirect_gets_a_write_through() {
    let server = Server::start().await;
    server.redirect_to(&format!("{}/open/echo", server.url()));
    let requests = json!([
        {"method": "GET", "path": "/open/redirect"},
        {"method": "POST", "path": "/open/redirect", "body": "x"},
        {"method": "GET", "path": "/open/redirect?_method=POST"},
    ]);
    let operations = [
        (CallKind::Start, Operation::Start),
        (CallKind::Resume { state: vec![1], wake: windlass_model::event::Wake::Timer }, Operation::Start),
        (CallKind::Cancel { state: None }, Operation::Cancel),
        (CallKind::Resume { state: vec![1], wake: windlass_model::event::Wake::Timer }, Operation::Cancel),
        (CallKind::Rollback, Operation::Rollback),
        (CallKind::Find, Operation::Start),
    ];
    let count = operations.len();
    for (kind, operation) in operations {
        let report = send_by(kind.clone(), operation, &server, json!({}), requests.clone()).await;
        assert_eq!(report.would.len(), 2, "{kind:?}");
    }
    // The read is redirected to a read.
    let expected: Vec<String> =
        (0..count).flat_map(|_| ["GET /open/redirect".to_owned(), "GET /open/echo".to_owned()]).collect();
    assert_eq!(arrived(&server), expected);
    // Where the redirect leads makes no write of it that passes.
    server.redirect_to(&format!("{}/open/echo?_method=DELETE", server.url()));
    let report = send(&server, json!({}), json!([{"method": "GET", "path": "/open/redirect"}])).await;
    assert_eq!((server.seen().len(), report.would.len()), (2 * count + 1, 1));
}

#[tokio::test]
async fn only_the_operator_says_that_a_post_reads() {
    let server = Server::start().await;
    let reads = json!({"reads": [{"methods": ["POST"], "path": "/open/echo"}]});
    let requests = json!([
        {"method": "POST", "path": "/open/echo", "body": "query"},
        {"method": "POST", "path": "/open/hello", "body": "query"},
        {"method": "POST", "path": "/open/echo", "headers": {"x-http-method-override": "DELETE"}},
        {"method": "PUT", "path": "/open/echo"},
    ]);
    let report = send(&server, reads, requests).await;
    assert_eq!(arrived(&server), ["POST /open/echo"]);
    assert_eq!(server.seen()[0].body, "query");
    let remedies: Vec<&str> = report.denials.iter().map(|it| it.remedy.as_str()).collect();
    assert_eq!(remedies[0], "if it only reads: `windlass connection change server --reads 'POST /open/hello'`");
    assert_eq!(remedies[1], "`x-http-method-override` makes another request of it, and is never sent in a dry run");
    // What is not granted is told as such: a real run would be refused, too.
    let allow = json!({"allow": [{"methods": ["GET"], "path": "/open/**"}]});
    let report = send(&server, allow, json!([{"method": "POST", "path": "/open/echo"}])).await;
    assert_eq!(report.denials.iter().map(|it| it.missing).collect::<Vec<_>>(), [Missing::ConnectionGrant]);
    assert_eq!((report.would.len(), server.seen().len()), (0, 1));
}

#[tokio::test]
async fn what_is_told_is_bounded_and_without_credentials() {
    let server = Server::start().await;
    world().await.secrets.set("DRY_SECRET", "dry-s3cret-token");
    let bearer = json!({"authentication": {"type": "bearer", "token": "env:DRY_SECRET"}});
    // At the place where the text is cut, so that a half of it would be left.
    let body = format!("{}dry-s3cret-token and more {}", "x".repeat(WOULD_BODY_BYTES_MAX - 5), "y".repeat(100_000));
    let mut requests = vec![json!({"method": "POST", "path": "/open/echo?key=dry-s3cret-token", "body": body})];
    requests.extend((0..40).map(|it| json!({"method": "POST", "path": format!("/open/echo?n={it}")})));
    let report = send(&server, bearer, json!(requests)).await;
    assert_eq!((report.would.len(), report.omitted), (WOULD_MAX, 41 - WOULD_MAX as u64));
    assert_eq!(report.would[0].body_bytes, body.len() as u64);
    assert!(report.would[0].body.len() <= WOULD_BODY_BYTES_MAX);
    let told = format!("{:?}", report.would);
    assert!(!told.contains("dry-s"), "{told}");
    assert!(would(&report)[0].ends_with("/open/echo?key=***"), "{told}");
    // The limits of a call hold for what is stopped.
    let flood = Given {
        input: json!({"url": server.url()}),
        access: target(&server.url(), json!({})),
        dry_run: true,
        ..Given::default()
    };
    assert_eq!(crate::support::code(&call("big-request", flood).await), "http-request-bytes-limit");
    assert_eq!(arrived(&server), [""; 0]);
}

#[tokio::test]
async fn tools_run_in_the_form_that_both_sides_declare_or_not_at_all() {
    let declared = json!({"dry_run": ["echo --dry-run=server", "cat", "fail"]});
    let run = |arguments: Value| {
        let given = Given { input: json!({"arguments": arguments}), dry_run: true, ..Given::default() };
        run_given(tool(declared.clone()), given)
    };
    let ran = run(json!(["echo", "--dry-run=server", "web"])).await;
    assert!(ran.would.is_empty());
    assert_eq!(done(ran)[0]["stdout"], "--dry-run=server web\nstandard input");
    for arguments in [
        // No form of the manifest's, though the operator would allow it; no form of the operator's; of neither.
        json!(["cat", "x"]),
        json!(["env"]),
        json!(["children"]),
        // The right words in the wrong places, or taken back.
        json!(["echo", "web", "--dry-run=server"]),
        json!(["echo", "--description", "--dry-run=server"]),
        json!(["echo", "--dry-run=server", "--dry-run=none"]),
        json!(["echo", "--dry-run=server", "--dry", "none"]),
        json!(["echo", "--dry-run=server", "--no-dry-run"]),
        json!(["echo", "--dry-run=server", "--", "--dry-run=none"]),
        json!(["echo", "--dry-run=client"]),
        json!(["echo"]),
    ] {
        let report = run(arguments.clone()).await;
        assert_eq!(report.denials.iter().map(|it| it.missing).collect::<Vec<_>>(), [Missing::DryRun], "{arguments}");
        let words: Vec<&str> = arguments.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(report.would[0].what, format!("tool helm {}", words.join(" ")));
        assert_eq!(report.would[0].body, "standard input");
    }
    // What is not granted at all is no matter of dry runs.
    let report = run(json!(["uninstall"])).await;
    assert_eq!(report.denials.iter().map(|it| it.missing).collect::<Vec<_>>(), [Missing::Tool]);
    assert!(report.would.is_empty());
}
