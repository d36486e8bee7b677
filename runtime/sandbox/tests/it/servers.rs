//! Servers that mean harm: to the host, to the plugin that asked, or to the next one that asks.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_model::grant::Missing;
use windlass_sandbox::CallReport;

use crate::support::raw::{RawServer, Said};
use crate::support::server::Server;
use crate::support::{Given, call, code, done, message, others_go_on, target, world};

async fn ask(action: &str, url: &str, more: Value) -> CallReport {
    let base = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    call(action, Given { input: json!({"url": url}), access: target(&base, more), ..Given::default() }).await
}

/// Asks for `/open/x`.
async fn get(server: &RawServer, more: Value) -> CallReport {
    ask("request", &format!("{}/open/x", server.url()), more).await
}

fn ok(headers: &str, body: &str) -> Said {
    Said::Once(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}").into_bytes())
}

#[tokio::test]
async fn answers_that_are_no_http_are_errors_and_nothing_else() {
    let length = "content-length: 2\r\n";
    let many: String = (0..10_000).map(|it| format!("x-{it}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(1024 * 1024));
    for (what, said) in [
        ("nonsense", Said::Once(b"\x00\x01\x02\x03 nonsense\r\n\r\n".to_vec())),
        ("another version", Said::Once(b"HTTP/9.9 200 OK\r\n\r\n".to_vec())),
        ("no status", Said::Once(b"HTTP/1.1 2 OK\r\n\r\n".to_vec())),
        ("ten thousand headers", ok(&format!("{length}{many}"), "ok")),
        ("a header of a megabyte", ok(&format!("{length}{long}"), "ok")),
        ("a header with a zero byte", ok(&format!("{length}x-zero: \0\r\n"), "ok")),
        ("two lengths", ok("content-length: 2\r\ncontent-length: 200\r\n", "ok")),
        ("a length below zero", ok("content-length: -2\r\n", "ok")),
        ("a length beyond all numbers", ok("content-length: 99999999999999999999\r\n", "ok")),
        ("a chunk beyond all numbers", ok("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\nok")),
        ("a chunk of no size", ok("transfer-encoding: chunked\r\n", "zz\r\nok\r\n0\r\n\r\n")),
        (
            "another protocol",
            Said::Once(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec()),
        ),
        (
            "a head without end",
            Said::ForEver(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-more: yyyyyyyyyyyyyyyy\r\n".repeat(64)),
        ),
        ("a line without end", Said::ForEver(b"HTTP/1.1 200 OK\r\nx-long: ".to_vec(), vec![b'y'; 4096])),
    ] {
        let server = RawServer::saying(said).await;
        let report = get(&server, json!({})).await;
        assert_eq!(code(&report), "on-purpose", "{what}: {}", message(&report));
        assert!(message(&report).contains("error"), "{what}: {}", message(&report));
        // Whatever it was, the host keeps no connection to it.
        tokio::time::timeout(Duration::from_secs(20), server.left(1)).await.expect(what);
    }
    others_go_on().await;
}

/// What never ends is ended with the call, and the connection with it: nothing reads on in the background.
#[tokio::test]
async fn answers_without_end_end_with_the_call() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (what, said, expected) in [
        ("interim answers", Said::ForEver(Vec::new(), b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec()), "wall-limit"),
        ("silence after the head", Said::Once(endless.into()), "wall-limit"),
        (
            "a body",
            Said::ForEver(endless.into(), [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat().repeat(4)),
            "http-response-bytes-limit",
        ),
    ] {
        let server = RawServer::saying(said).await;
        let action = if expected == "wall-limit" { "slow-answer" } else { "request" };
        let url = if expected == "wall-limit" { server.url() } else { format!("{}/open/x", server.url()) };
        let report = ask(action, &url, json!({})).await;
        assert_eq!(code(&report), expected, "{what}: {}", message(&report));
        tokio::time::timeout(Duration::from_secs(20), server.left(1)).await.expect(what);
    }
    others_go_on().await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_no_body() {
    let server = RawServer::start(|_, _, _| ok("content-length: 100\r\nconnection: close\r\n", "short")).await;
    // The server keeps the connection open, so the rest is waited for: the plugin's time ends.
    let report = ask("slow-answer", &server.url(), json!({})).await;
    assert_eq!(code(&report), "wall-limit");
}

/// What a server says beyond its answer is not the answer to the next request, which may be somebody else's.
#[tokio::test]
async fn an_answer_to_nobody_is_given_to_nobody() {
    let server = RawServer::start(|connection, request, _| match (connection, request) {
        (0, 0) => ok("content-length: 5\r\n", "helloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
        _ => ok("content-length: 4\r\n", "good"),
    })
    .await;
    assert_eq!(done(get(&server, json!({})).await)["body"], "hello");
    for _ in 0..3 {
        assert_eq!(done(get(&server, json!({})).await)["body"], "good");
    }
    assert_eq!(server.requests(), 4);
}

/// A bomb does not go off in the host: what is compressed is handed on as it is, and counted as it came.
#[tokio::test]
async fn compressed_answers_are_not_unpacked() {
    let packed = "\x1f\u{8b}not really, and the host does not look";
    let server =
        RawServer::saying(ok(&format!("content-encoding: gzip\r\ncontent-length: {}\r\n", packed.len()), packed)).await;
    let report = get(&server, json!({})).await;
    let head = ("content-encoding".len() + "gzip".len() + "content-length".len() + 2) as u64;
    assert_eq!(report.usage.response_bytes, head + packed.len() as u64);
    assert_eq!(done(report)["body"], packed);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_given_to_who_sent_a_credential() {
    world().await.secrets.set("UNREADABLE", "a-token-for-nobody");
    let bearer = || json!({"authentication": {"type": "bearer", "token": "env:UNREADABLE"}});
    for (what, headers) in [
        ("gzip", "content-encoding: gzip\r\n"),
        ("gzip behind another", "content-encoding: identity\r\ncontent-encoding: gzip\r\n"),
        ("gzip in a list", "content-encoding: identity, gzip\r\n"),
        ("gzip on the way", "transfer-encoding: gzip, chunked\r\n"),
    ] {
        let body = if headers.contains("chunked") { "2\r\nok\r\n0\r\n\r\n" } else { "ok" };
        let length = if headers.contains("chunked") { "" } else { "content-length: 2\r\n" };
        let server = RawServer::saying(ok(&format!("{length}{headers}"), body)).await;
        let report = get(&server, bearer()).await;
        assert!(message(&report).contains("HttpResponseContentCoding"), "{what}: {}", message(&report));
    }
    for headers in ["content-encoding: identity\r\n", "content-encoding: Identity, identity\r\n", ""] {
        let server = RawServer::saying(ok(&format!("content-length: 2\r\n{headers}"), "ok")).await;
        assert_eq!(done(get(&server, bearer()).await)["body"], "ok", "{headers}");
    }
}

#[tokio::test]
async fn credentials_in_unusual_places_of_an_answer_are_taken_out() {
    const TOKEN: &str = "a-token-in-odd-places";
    world().await.secrets.set("ODD", TOKEN);
    let server = RawServer::start(|_, _, head| {
        assert!(head.contains(TOKEN), "the test would pass without a credential");
        let body = format!("{}\r\n{}\r\n0\r\nx-trailer: {TOKEN}\r\n\r\n", "15", TOKEN);
        ok(
            &format!(
                "transfer-encoding: chunked\r\ntrailer: x-trailer\r\nx-{TOKEN}: 1\r\nauthorization: Bearer {TOKEN}\r\nlink: <https://x/?t={TOKEN}>; rel={TOKEN}\r\nx-split: a-token-in-\r\n"
            ),
            &body,
        )
    })
    .await;
    let given = Given {
        input: json!({"url": format!("{}/open/x?t={TOKEN}", server.url())}),
        access: target(&server.url(), json!({"authentication": {"type": "bearer", "token": "env:ODD"}})),
        ..Given::default()
    };
    let host = given.host.clone();
    let report = call("request", given).await;
    let left = format!("{report:?} {host:?}");
    assert!(!left.contains(TOKEN), "{left}");
    let answer = done(report);
    assert_eq!(answer["body"], "***", "{answer}");
    let names: std::collections::BTreeSet<&str> =
        answer["headers"].as_array().expect("a list").iter().map(|it| it[0].as_str().expect("a name")).collect();
    assert_eq!(names, ["link", "trailer", "x-split"].into(), "{answer}");
}

/// However an address is written, it is judged by where it leads.
#[tokio::test]
async fn private_addresses_are_private_in_every_notation() {
    let server = Server::start().await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "0x0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127.0.0.1.",
    ] {
        let report =
            ask("request", &format!("http://{host}:{port}/open/hello"), json!({"private_network": false})).await;
        let denied: Vec<Missing> = report.denials.iter().map(|it| it.missing).collect();
        // Some resolvers do not know some of these names; then there is no address to go to.
        let unknown = message(&report).contains("DnsError") || message(&report).contains("bad authority");
        assert!(denied == [Missing::PrivateNetwork] || unknown, "{host}: {}", message(&report));
    }
    assert_eq!(server.seen().len(), 0);
    assert_eq!(server.connections(), 0, "not even a connection");
}

#[tokio::test]
async fn the_metadata_of_clouds_is_out_of_reach_in_every_notation() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        let report = ask("request", &format!("http://{host}/open/hello"), json!({"private_network": true})).await;
        assert!(message(&report).contains("no connection may lead to"), "{host}: {}", message(&report));
    }
}

/// A connection that was made for who may enter private networks is not used by who may not.
#[tokio::test]
async fn a_kept_connection_is_judged_like_a_new_one() {
    let server = Server::start().await;
    let url = format!("{}/open/hello", server.url());
    assert_eq!(done(ask("request", &url, json!({})).await)["body"], "hello");
    let report = ask("request", &url, json!({"private_network": false})).await;
    assert_eq!(report.denials.iter().map(|it| it.missing).collect::<Vec<_>>(), [Missing::PrivateNetwork]);
    assert_eq!(server.seen().len(), 1);
}
