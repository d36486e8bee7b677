//! The other side of a callback: hears where to call, and calls.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::DEADLINE;

/// Hears what steps ask; each waits for its answer until the test gives it.
pub(crate) struct Asked {
    pub(crate) url: String,
    asks: Receiver<Ask>,
}

/// A step's request, in progress.
pub(crate) struct Ask {
    pub(crate) topic: String,
    pub(crate) url: Option<String>,
    answer: Sender<()>,
}

impl Ask {
    /// Where to call.
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().expect("callbacks are taken from the network")
    }

    /// Answers the step, which then waits to be called back.
    pub(crate) fn answer(self) {
        self.answer.send(()).expect("the step waits for it");
    }
}

impl Asked {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (give, asks) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (body, give) = (read(&mut stream), give.clone());
                std::thread::spawn(move || {
                    let (answer, answered) = channel();
                    let topic = body["topic"].as_str().expect("a topic").to_owned();
                    let url = body["url"].as_str().map(str::to_owned);
                    // The test may be over, or its step gone.
                    let _ = give.send(Ask { topic, url, answer });
                    if answered.recv().is_ok() {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    }
                });
            }
        });
        Self { url, asks }
    }

    /// The next step that asks.
    pub(crate) fn next(&self) -> Ask {
        self.asks.recv_timeout(DEADLINE).expect("a step asks")
    }
}

fn read(stream: &mut TcpStream) -> serde_json::Value {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|it| it == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|it| it.strip_prefix("content-length:")).map_or("0", str::trim);
    let mut body = vec![0; length.parse().expect("a length")];
    stream.read_exact(&mut body).expect("the body");
    serde_json::from_slice(&body).expect("JSON")
}

/// An answer: its status and its body.
pub(crate) type Said = (u16, String);

/// Sends a request with an HTTP client.
pub(crate) fn request(method: &str, url: &str, body: &[u8]) -> Said {
    let uri: hyper::Uri = url.parse().expect("an address");
    let authority = uri.authority().expect("a host").clone();
    let path = uri.path_and_query().expect("a path").as_str().to_owned();
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority.as_str())
        .header("x-from", "outside")
        .header("authorization", "Bearer of-the-caller")
        .body(http_body_util::Full::new(bytes::Bytes::copy_from_slice(body)))
        .expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(authority.as_str()).await.expect("somebody listens");
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP");
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("its body").to_bytes();
        connection.abort();
        (status, String::from_utf8_lossy(&body).into_owned())
    })
}

/// Calls back.
pub(crate) fn call(url: &str, body: &str) -> Said {
    request("POST", url, body.as_bytes())
}

/// Sends bytes as they are, and closes; the first line of what came back.
pub(crate) fn raw(url: &str, bytes: &[u8]) -> String {
    let address = url.strip_prefix("http://").and_then(|it| it.split('/').next()).expect("an address");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    // It may be closed before all was sent.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}
