//! A credential is sent to the server and seen nowhere else.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::raw::{RawServer, Said};
use crate::support::recorder::Recorder;
use crate::support::server::Server;
use crate::support::{Given, call, code, connection, done, message, target, world};

/// Everything that a call left behind, as text.
fn left_behind(report: &impl std::fmt::Debug, host: &Recorder) -> String {
    format!("{report:?} {host:?}")
}

async fn fish(server: &Server, authentication: Value) -> (Value, Arc<Recorder>, String) {
    let given = Given {
        input: json!({"url": server.url()}),
        access: target(&server.url(), json!({"authentication": authentication, "properties": {"project": "x"}})),
        ..Given::default()
    };
    let host = given.host.clone();
    let report = call("credential-fishing", given).await;
    let text = left_behind(&report, &host);
    (done(report), host, text)
}

#[tokio::test]
async fn no_way_of_authenticating_gives_its_secret_away() {
    let server = Server::start().await;
    let world = world().await;
    for (index, (name, kind, secret, wire)) in [
        ("BASIC", "basic", "hunter2/w+th \"quotes\"&ümlaut", "Basic "),
        ("BEARER", "bearer", "b34r3r-token-0123456789", "Bearer b34r3r-token-0123456789"),
        ("HEADER", "header", "k3y-of-the-api", "k3y-of-the-api"),
    ]
    .into_iter()
    .enumerate()
    {
        world.secrets.set(name, secret);
        let reference = format!("env:{name}");
        let authentication = match kind {
            "basic" => json!({"type": kind, "username": "robot", "password": reference}),
            "bearer" => json!({"type": kind, "token": reference}),
            _ => json!({"type": kind, "header": "X-Api-Key", "value": reference}),
        };
        let (output, host, text) = fish(&server, authentication).await;
        // It did arrive: the test would pass without any credential otherwise.
        let arrived = server.seen()[index * 5].clone();
        let header = if kind == "header" { "x-api-key" } else { "authorization" };
        assert!(arrived.headers[header].to_str().expect("a text").starts_with(wire), "{arrived:?}");
        assert!(text.contains("***"), "{text}");
        let basic = arrived.headers[header].to_str().expect("a text").trim_start_matches("Basic ").to_owned();
        let forms = [
            secret.to_owned(),
            basic.trim_end_matches('=').to_owned(),
            hex::encode(secret),
            hex::encode_upper(secret),
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
            json!(secret).to_string().trim_matches('"').to_owned(),
        ];
        let in_guest: String = output["backwards"].as_str().expect("a text").chars().rev().collect();
        assert!(in_guest.contains("***") && in_guest.contains("/open/echo"), "{in_guest}");
        for form in forms {
            assert!(!text.contains(&form), "{kind}: {form} is in {text}");
            assert!(!output.to_string().contains(&form), "{kind}: {form}");
            assert!(!in_guest.contains(&form), "{kind}: the guest itself saw {form}: {in_guest}");
        }
        // What the guest saw is what it logged, showed and printed.
        assert!(!host.messages().is_empty() && !host.statuses.lock().expect("not poisoned").is_empty());
        let gzip = output["seen"][4]["error"].as_str().expect("an error");
        assert!(gzip.contains("HttpResponseContentCoding"), "{gzip}");
        assert_eq!(output["seen"][0]["status"], 200);
    }
}

#[tokio::test]
async fn encoded_answers_are_taken_where_there_is_nothing_to_scrub() {
    let server = Server::start().await;
    let (output, _, _) = fish(&server, json!({"type": "none"})).await;
    assert_eq!(output["seen"][4]["status"], 200);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_ends_the_call_with_the_reason() {
    let server = Server::start().await;
    let world = world().await;
    world.secrets.set("SHORT", "abc");
    world.secrets.set("LINES", "first-line\nsecond-line");
    for (reference, expected) in [
        ("env:NOT_THERE", "the variable is not set"),
        ("env:SHORT", "shorter than 4 bytes"),
        ("env:LINES", "an HTTP header cannot carry"),
    ] {
        let given = Given {
            input: json!({"url": format!("{}/open/hello", server.url())}),
            access: target(&server.url(), json!({"authentication": {"type": "bearer", "token": reference}})),
            ..Given::default()
        };
        let host = given.host.clone();
        let report = call("request", given).await;
        assert_eq!(code(&report), "credential-not-available");
        assert!(message(&report).contains(expected), "{}", message(&report));
        let text = left_behind(&report, &host);
        assert!(!text.contains("second-line") && !text.contains("\"abc\""), "{text}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn errors_of_connections_hold_no_credential() {
    let world = world().await;
    world.secrets.set("NOWHERE", "s3cret-for-nobody");
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    };
    let url = format!("http://{closed}");
    let given = Given {
        input: json!({"url": format!("{url}/open/hello")}),
        access: target(&url, json!({"authentication": {"type": "bearer", "token": "env:NOWHERE"}})),
        ..Given::default()
    };
    let host = given.host.clone();
    let report = call("request", given).await;
    assert_eq!(code(&report), "on-purpose");
    let text = left_behind(&report, &host);
    assert!(text.contains("ConnectionRefused") && text.contains("refused the connection"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

/// The answer is the same whether there was a credential or not; who reads the log of the step learns which.
#[tokio::test]
async fn who_is_not_let_in_learns_whether_a_credential_was_sent() {
    let world = world().await;
    world.secrets.set("OLD", "a-token-of-last-year");
    let said = Said::Once(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec());
    for (authentication, says) in [
        (json!({"type": "none"}), "answered with 401, and the connection sends no credential"),
        (
            json!({"type": "bearer", "token": "env:OLD"}),
            "answered with 401: the bearer token was sent and is not accepted",
        ),
        (
            json!({"type": "basic", "username": "robot", "password": "env:OLD"}),
            "answered with 401: the password of `robot` was sent and is not accepted",
        ),
    ] {
        let server = RawServer::saying(said.clone()).await;
        // It asks several times, and the log is told once.
        let given = Given {
            input: json!({"url": server.url()}),
            access: target(&server.url(), json!({"authentication": authentication})),
            ..Given::default()
        };
        let host = given.host.clone();
        call("credential-fishing", given).await;
        assert!(host.traces().iter().filter(|it| it.status == Some(401)).count() > 1, "{:?}", host.traces());
        let told = host.messages().iter().filter(|it| it.contains(says)).count();
        assert_eq!(told, 1, "{says}: {:?}", host.messages());
    }
}

#[tokio::test]
async fn trying_a_connection_tells_a_refused_credential_from_none() {
    let world = world().await;
    world.secrets.set("OLDER", "a-token-of-the-year-before");
    let said = Said::Once(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec());
    for (authentication, says) in [
        (
            json!({"type": "none"}),
            "it wants a credential, and the connection has none: `windlass connection add server --url",
        ),
        (json!({"type": "bearer", "token": "env:OLDER"}), "the credential was refused"),
    ] {
        let server = RawServer::saying(said.clone()).await;
        let connection = connection(&server.url(), json!({"authentication": authentication}));
        let probe = world.sandbox.test_connection(&connection, "/").await;
        assert!(!probe.works);
        assert!(probe.findings.last().is_some_and(|it| it.starts_with(says)), "{:?}", probe.findings);
    }
}

/// That something answers tells little where nothing is at the address itself.
#[tokio::test]
async fn trying_a_connection_says_what_an_answer_does_not_tell() {
    let world = world().await;
    for (said, is_told) in [("404 Not Found", true), ("405 Method Not Allowed", true), ("200 OK", false)] {
        let answer = format!("HTTP/1.1 {said}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes();
        let server = RawServer::saying(Said::Once(answer)).await;
        let probe = world.sandbox.test_connection(&connection(&server.url(), json!({})), "/").await;
        assert!(probe.works, "{:?}", probe.findings);
        let told = probe.findings.iter().any(|it| it.contains("so it answers, and nothing is there"));
        assert_eq!(told, is_told, "{said}: {:?}", probe.findings);
    }
}

/// Where nothing is at the address itself, a path tells whether the credential is taken.
#[tokio::test]
async fn a_connection_is_tried_at_a_path() {
    let world = world().await;
    let server = RawServer::start(|_, _, head| {
        let status = if head.starts_with("GET /api/me ") { "401 Unauthorized" } else { "404 Not Found" };
        Said::Once(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes())
    })
    .await;
    let connection = connection(&server.url(), json!({}));
    for (path, works) in [("/", true), ("/api/me", false)] {
        let probe = world.sandbox.test_connection(&connection, path).await;
        assert_eq!(probe.works, works, "{path}: {:?}", probe.findings);
        assert!(probe.findings.iter().any(|it| it.contains(&format!("{path} answered 40"))), "{:?}", probe.findings);
    }
}

/// A port that speaks no TLS breaks the handshake off; nothing was sent, and the guest can tell.
#[tokio::test]
async fn a_server_that_speaks_no_tls_was_sent_nothing() {
    for said in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                _ = stream.read(&mut [0; 1024]).await;
                _ = stream.write_all(said).await;
            }
        });
        let given = Given {
            input: json!({"url": format!("{url}/open/x")}),
            access: target(&url, json!({})),
            ..Given::default()
        };
        let host = given.host.clone();
        let report = call("request", given).await;
        assert!(message(&report).contains("TlsProtocolError"), "{}", message(&report));
        let text = left_behind(&report, &host);
        assert!(text.contains("no secure connection: "), "{text}");
        assert_eq!(text.contains("is it `http`, and not `https`?"), !said.is_empty(), "{text}");
    }
}

/// Where somebody wrote the credential into an input, a plugin can say it in any way that ends a call.
#[tokio::test]
async fn no_failure_and_no_panic_holds_a_credential() {
    const TOKEN: &str = "a-token-that-somebody-let-slip";
    let server = Server::start().await;
    world().await.secrets.set("SLIPPED", TOKEN);
    for (place, code_of) in [("failure", "on-purpose"), ("panic", "plugin-panicked")] {
        let given = Given {
            input: json!({"url": server.url(), "where": place, "keep": format!("token={TOKEN}")}),
            access: target(&server.url(), json!({"authentication": {"type": "bearer", "token": "env:SLIPPED"}})),
            ..Given::default()
        };
        let host = given.host.clone();
        let report = call("keep-credential", given).await;
        assert_eq!(code(&report), code_of, "{}", message(&report));
        let text = left_behind(&report, &host);
        assert!(!text.contains(TOKEN) && message(&report).contains("token=***"), "{place}: {text}");
    }
}

/// What is kept for long is refused with a credential in it, for taking it out would break what it is for.
#[tokio::test]
async fn a_credential_is_not_kept() {
    const TOKEN: &str = "a-token-that-somebody-wrote-down";
    let server = Server::start().await;
    world().await.secrets.set("KEPT", TOKEN);
    for (place, expected) in
        [("state", Some("credential-in-state")), ("checkpoint", Some("credential-in-checkpoint")), ("status", None)]
    {
        let given = Given {
            input: json!({"url": server.url(), "where": place, "keep": format!("token={TOKEN}")}),
            access: target(&server.url(), json!({"authentication": {"type": "bearer", "token": "env:KEPT"}})),
            ..Given::default()
        };
        let host = given.host.clone();
        let report = call("keep-credential", given).await;
        let text = left_behind(&report, &host);
        assert!(!text.contains(TOKEN), "{place}: {text}");
        match expected {
            Some(expected) => assert_eq!(code(&report), expected, "{}", message(&report)),
            None => assert!(text.contains("token=***"), "{text}"),
        }
        assert!(host.checkpoints.lock().expect("not poisoned").is_empty());
    }
}
