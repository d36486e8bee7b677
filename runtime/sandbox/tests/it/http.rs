//! Grants at the choke point.

use serde_json::{Value, json};
use windlass_model::failure::{FailureClass, FailureOrigin};
use windlass_model::grant::Missing;
use windlass_sandbox::CallReport;

use crate::support::server::Server;
use crate::support::{Given, call, code, done, message, others_go_on, target};

async fn fetch(action: &str, server: &Server, path: &str, more: Value) -> CallReport {
    let given = Given {
        input: json!({"url": format!("{}{path}", server.url())}),
        access: target(&server.url(), more),
        ..Given::default()
    };
    call(action, given).await
}

#[tokio::test]
async fn what_both_sides_grant_is_sent_and_traced() {
    let server = Server::start().await;
    let given = Given {
        input: json!({"url": format!("{}/open/hello?q=1", server.url())}),
        access: target(
            &server.url(),
            json!({"allow": [{"methods": ["GET"], "path": "/open/*"}], "plugins": ["hostile"]}),
        ),
        ..Given::default()
    };
    let host = given.host.clone();
    let report = call("request", given).await;
    assert_eq!((report.usage.http_requests, report.denials.len()), (1, 0));
    assert_eq!(done(report)["body"], "hello");
    let traces = host.traces();
    assert_eq!(traces.len(), 1);
    let trace = &traces[0];
    assert_eq!(trace.url, format!("{}/open/hello?q=1", server.url()));
    assert_eq!((trace.method.as_str(), trace.status, trace.response_bytes), ("GET", Some(200), 5));
    assert_eq!((trace.denied.as_ref(), trace.error.as_ref()), (None, None));
    let seen = &server.seen()[0];
    assert_eq!((seen.path.as_str(), seen.header("accept-encoding")), ("/open/hello?q=1", Some("identity")));
    assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
}

/// Some servers refuse a POST that does not say so, and a DELETE that does in chunks.
#[tokio::test]
async fn a_request_without_a_body_says_so_where_that_is_asked_of_it() {
    let server = Server::start().await;
    let methods = ["POST", "PUT", "PATCH", "DELETE", "GET"];
    let requests: Vec<Value> = methods.map(|it| json!({"method": it, "path": "/open/hello"})).to_vec();
    let given = Given {
        input: json!({"url": server.url(), "requests": requests}),
        access: target(&server.url(), json!({})),
        ..Given::default()
    };
    done(call("send", given).await);
    let seen = server.seen();
    let lengths: Vec<_> = seen.iter().map(|it| (it.method.as_str(), it.header("content-length"))).collect();
    let zero = Some("0");
    assert_eq!(lengths, [("POST", zero), ("PUT", zero), ("PATCH", zero), ("DELETE", None), ("GET", None)]);
    assert!(seen.iter().all(|it| it.header("transfer-encoding").is_none()));
}

#[tokio::test]
async fn a_denial_names_the_missing_side_and_the_line_to_add() {
    let server = Server::start().await;
    let granting = json!({"allow": [{"methods": ["GET"], "path": "/open/**"}]});
    let address = server.address;
    for (action, path, more, missing, remedy) in [
        (
            "ungranted-path",
            "/secret/admin",
            granting.clone(),
            Missing::Manifest,
            "let the action `ungranted-path` of `hostile` ask for `GET /secret/admin` among the requests of its role `target` (`*` stands for a segment), and build it anew",
        ),
        (
            "ungranted-method",
            "/open/hello",
            granting.clone(),
            Missing::Manifest,
            "ask for `DELETE /open/hello` among the requests of its role `target`",
        ),
        (
            "request",
            "/asked-for/x",
            granting,
            Missing::ConnectionGrant,
            "`windlass connection change server --allow 'GET /asked-for/**'`",
        ),
        (
            "request",
            "/open/hello",
            json!({"plugins": ["other"]}),
            Missing::PluginGrant,
            "`windlass connection change server --plugin hostile`",
        ),
        (
            "request",
            "/open/hello",
            json!({"private_network": false}),
            Missing::PrivateNetwork,
            "`windlass connection change server --private-network`",
        ),
    ] {
        let report = fetch(action, &server, path, more).await;
        assert_eq!(code(&report), "request-denied");
        assert!(message(&report).contains(remedy), "{}", message(&report));
        assert!(message(&report).contains(&format!("http://{address}{path} was denied")), "{}", message(&report));
        assert_eq!(report.denials.iter().map(|it| it.missing).collect::<Vec<_>>(), [missing]);
        let error = report.result.expect_err("checked above");
        assert_eq!((error.origin, error.class), (FailureOrigin::Host, FailureClass::Forbidden));
        // The guest's own words are kept beside it.
        assert!(
            error.details.iter().any(|(name, value)| name == "plugin-message" && value.contains("HttpRequestDenied")),
            "{error:?}"
        );
    }
    assert_eq!(server.seen().len(), 0);
    others_go_on().await;
}

#[tokio::test]
async fn an_ungranted_host_is_denied() {
    let (server, other) = (Server::start().await, Server::start().await);
    let given = Given {
        input: json!({"url": format!("{}/open/hello", other.url())}),
        access: target(&server.url(), json!({})),
        ..Given::default()
    };
    let report = call("ungranted-host", given).await;
    assert_eq!(code(&report), "request-denied");
    assert!(
        message(&report).contains(&format!("windlass connection add NAME --url {}", other.url())),
        "{}",
        message(&report)
    );
    assert_eq!((server.seen().len(), other.seen().len()), (0, 0));
}

#[tokio::test]
async fn redirects_are_answers_and_following_one_is_judged() {
    let (server, other) = (Server::start().await, Server::start().await);
    server.redirect_to(&format!("{}/open/hello", other.url()));
    let report = fetch("follow-redirect", &server, "", json!({})).await;
    assert_eq!(report.denials.len(), 1);
    let seen = done(report);
    assert_eq!(seen[0]["status"], 302);
    assert!(seen[1]["error"].as_str().expect("an error").contains("HttpRequestDenied"), "{seen}");
    assert_eq!((server.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_denial_that_the_plugin_takes_well_is_only_reported() {
    let server = Server::start().await;
    let report = fetch("swallow-denial", &server, "", json!({})).await;
    assert_eq!(report.denials.len(), 1);
    assert_eq!(done(report)[1]["body"], "hello");
    let report = fetch("fail-later-for-another-reason", &server, "", json!({})).await;
    assert_eq!((code(&report), report.denials.len()), ("on-purpose", 1));
    let report = fetch("panic-after-denial", &server, "", json!({})).await;
    assert_eq!(code(&report), "request-denied");
}

#[tokio::test]
async fn tricks_with_paths_and_addresses_reach_nothing() {
    let server = Server::start().await;
    let tried = done(fetch("path-tricks", &server, "", json!({})).await);
    for attempt in tried.as_array().expect("a list") {
        assert!(attempt["answer"]["error"].is_string(), "{attempt}");
    }
    assert_eq!(server.seen().len(), 0, "{:?}", server.seen());
}

#[tokio::test]
async fn a_base_path_is_a_border() {
    let server = Server::start().await;
    let base = format!("{}/base", server.url());
    let given = |path: &str| Given {
        input: json!({"url": format!("{}{path}", server.url())}),
        access: target(&base, json!({})),
        ..Given::default()
    };
    assert_eq!(done(call("request", given("/base/open/hello")).await)["body"], "hello");
    for outside in ["/open/hello", "/based/open/hello", "/bas/open/hello"] {
        assert_eq!(code(&call("request", given(outside)).await), "request-denied", "{outside}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn headers_of_the_host_are_not_the_plugins_to_set() {
    let server = Server::start().await;
    crate::support::world().await.secrets.set("SMUGGLED", "the-real-token");
    let bearer = json!({"authentication": {"type": "bearer", "token": "env:SMUGGLED"}});
    let tried = done(fetch("header-smuggling", &server, "", bearer).await);
    let fine: Vec<&str> = tried
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["answer"]["status"] == 200)
        .map(|it| it["header"].as_str().expect("a name"))
        .collect();
    assert_eq!(fine, ["accept-encoding", "expect", "x-good"], "{tried}");
    for seen in server.seen() {
        let all: Vec<_> = seen.headers.get_all("authorization").iter().collect();
        assert_eq!(all, ["Bearer the-real-token"]);
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!((seen.header("expect"), seen.header("transfer-encoding")), (None, None));
        assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
    }
}

#[tokio::test]
async fn instances_share_connections_to_a_server() {
    let server = Server::start().await;
    for _ in 0..20 {
        assert_eq!(done(fetch("request", &server, "/open/hello", json!({})).await)["body"], "hello");
    }
    assert_eq!(server.seen().len(), 20);
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[tokio::test]
async fn a_name_that_leads_home_is_judged_by_its_address() {
    let server = Server::start().await;
    let url = format!("http://localhost:{}", server.address.port());
    let given = |private: bool| Given {
        input: json!({"url": format!("{url}/open/hello")}),
        access: target(&url, json!({"private_network": private})),
        ..Given::default()
    };
    assert_eq!(done(call("request", given(true)).await)["body"], "hello");
    let report = call("request", given(false)).await;
    assert_eq!(report.denials.iter().map(|it| it.missing).collect::<Vec<_>>(), [Missing::PrivateNetwork]);
    let metadata = "http://169.254.169.254";
    let given = Given {
        input: json!({"url": format!("{metadata}/open/hello")}),
        access: target(metadata, json!({"private_network": true})),
        ..Given::default()
    };
    let report = call("request", given).await;
    assert!(message(&report).contains("no connection may lead to"), "{}", message(&report));
}

#[tokio::test]
async fn a_denial_does_not_repeat_a_path_without_end() {
    let server = Server::start().await;
    for (path, more) in [("secret", json!({})), ("asked-for", json!({"allow": [{"methods": ["GET"], "path": "/x"}]}))] {
        let report = fetch("request", &server, &format!("/{path}/{}", "x".repeat(20_000)), more).await;
        assert_eq!(code(&report), "request-denied");
        assert!(message(&report).len() < 5_000, "{}", message(&report).len());
        assert!(message(&report).contains("xxx…"), "{}", message(&report));
    }
}
