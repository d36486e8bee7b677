//! No bytes on a socket end the process, or get more than an answer: the listener for callbacks and alerts, and the
//! API. How to look further: `conformance/fuzz/README.md`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use windlass_fuzz::{Effort, TEXT, fuzz};

use crate::support::Site;

/// Longer than the server gives anybody who says half of something.
const PATIENCE: Duration = Duration::from_secs(120);

const HTTP: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    " HTTP/1.1",
    " HTTP/0.9",
    "HTTP/2.0",
    "GET ",
    "POST ",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TRACE ",
    "CONNECT x:1 ",
    "content-length: 18446744073709551616\r\n",
    "content-length: 0\r\n",
    "content-length: 5\r\n",
    "transfer-encoding: chunked\r\n",
    "expect: 100-continue\r\n",
    "connection: upgrade\r\nupgrade: h2c\r\n",
    "host: \r\n",
    "ffffffffffffffff\r\n",
    "0\r\n\r\n",
    "/../",
    "//",
    "%00",
    "%2e%2e%2f",
    "http://x/",
    "*",
    "\u{0}",
    "?a=",
    "&",
    ";",
];

fn head(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: windlass\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What comes back until the other side has hung up.
fn heard(mut stream: impl Read) -> String {
    let mut answer = Vec::new();
    // It may hang up before it has heard all.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer that blames whoever asked: nothing here is the server's fault, and nothing has an effect.
fn is_answer(answer: &str, good: &[u16]) -> bool {
    let Some(rest) = answer.strip_prefix("HTTP/1.") else { return answer.is_empty() };
    let status = rest.get(2..5).and_then(|it| it.parse::<u16>().ok()).unwrap_or_default();
    (400..500).contains(&status) || good.contains(&status)
}

#[test]
fn callback() {
    let site = Site::new();
    site.write("token", "a-token-of-alertmanager");
    site.good(&[
        "alert",
        "source",
        "add",
        "prom",
        "--token",
        &format!("file:{}", site.state().join("../token").display()),
    ]);
    let _serve = site.start(&["serve", "--callbacks", "127.0.0.1:0"]);
    let (_, status) = site.get("/v1/status");
    let url = status["callbacks"].as_str().unwrap_or_else(|| panic!("{status}")).to_owned();
    let address = url.strip_prefix("http://").expect("an address").to_owned();
    let alert = r#"{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"x"},"startsAt":"2024-01-01T00:00:00Z"}]}"#;
    let corpus = [
        head("POST", "/callbacks/wcb_cGF5bWVudHMtMy9kZXBsb3kvc3RhcnQvMQ", "{\"a\": 1}"),
        head("POST", "/alerts/prom", alert),
        head("GET", "/", ""),
        b"POST /callbacks/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
    ];
    fuzz("callback", Effort::of(300), &corpus, &[TEXT, HTTP].concat(), |bytes| {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = heard(stream);
        assert!(is_answer(&answer, &[]), "{answer}");
        assert!(!answer.contains("panicked") && !answer.contains("a-token-of"), "{answer}");
    });
    assert_eq!(site.get("/v1/status").0, 200, "it goes on");
}

#[test]
fn api() {
    let site = Site::new();
    let _serve = site.serve();
    let socket = site.state().join("socket");
    let corpus = [
        head("GET", "/v1/releases?limit=3&state=running", ""),
        head("GET", "/v1/releases/payments-17", ""),
        head(
            "POST",
            "/v1/releases",
            "{\"file\": \"x.yaml\", \"text\": \"windlass: v1\\n\", \"parameters\": {\"a\": 1}}",
        ),
        head("POST", "/v1/releases/payments-17/votes", "{\"step\": \"deploy\", \"approved\": true}"),
        head("POST", "/v1/releases/payments-17/interventions", "{\"kind\": \"retry\", \"reason\": \"x\"}"),
        head(
            "POST",
            "/v1/validate",
            "{\"files\": [{\"name\": \"x.yaml\", \"text\": \"windlass: v1\\nworkflow: x\\nsteps: {}\"}]}",
        ),
        head("GET", "/v1/times?cron=0+22+*+*+1-5&zone=Europe/Berlin", ""),
        head("GET", "/v1/schedules/nightly/next?count=5", ""),
        head("POST", "/v1/breakers/workflow%3Ax/trip", "{\"reason\": \"y\"}"),
    ];
    fuzz("api", Effort::of(300), &corpus, &[TEXT, HTTP].concat(), |bytes| {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = heard(stream);
        assert!(is_answer(&answer, &[200, 100]), "{answer}");
    });
    assert_eq!(site.get("/v1/status").0, 200, "it goes on");
}
