//! Stands between a plugin and its counterpart, writes down what passes, and does what networks and services do on bad
//! days: one fault at one request of a scenario.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::scenario::Of;
use crate::transcript::{Event, Record, answered, shown};
use crate::wire;

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;
/// More than any host lets a call read by default.
const ENDLESS_CHUNKS: usize = 512;

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The counterpart gets it, and its answer is lost.
    LoseResponse,
    /// The answer's body breaks off in the middle.
    CutBody,
    /// It is answered with this status before the counterpart sees it, with `Retry-After: 1` where that is usual.
    Status(u16),
    /// It is answered with a page of HTML.
    NotJson,
    /// It is refused with an error that repeats the credential.
    EchoCredential,
    /// The answer's body has no end.
    Endless,
    /// The counterpart gets it, and nobody answers; the host has to help itself.
    Silence,
    /// It is held, and the host ends the call meanwhile; the counterpart got it, or did not.
    Hold { delivered: bool },
}

impl Fault {
    /// What it does, in words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::LoseResponse => "the response is lost".to_owned(),
            Self::CutBody => "the response's body breaks off".to_owned(),
            Self::Status(status) => format!("answered with {status} instead"),
            Self::NotJson => "answered with a page of HTML instead".to_owned(),
            Self::EchoCredential => "answered with an error that repeats the credential".to_owned(),
            Self::Endless => "answered with a body without end".to_owned(),
            Self::Silence => "delivered and never answered".to_owned(),
            Self::Hold { delivered: true } => "the call is cut off after it was delivered".to_owned(),
            Self::Hold { delivered: false } => "the call is cut off before it is delivered".to_owned(),
        }
    }
}

/// Which requests meet a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// From 1.
    pub(crate) at: usize,
    pub(crate) of: Of,
    pub(crate) fault: Fault,
    /// Whether all later ones do as well.
    pub(crate) on: bool,
}

/// Listens until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: String,
    /// The headers by which the credential comes, in small letters.
    credentials: Vec<String>,
    plan: Option<Plan>,
    passed: AtomicUsize,
    /// How many had come when `rollback` was called first.
    before_rollback: OnceLock<usize>,
    held: Notify,
    record: Record,
}

impl Shared {
    /// Whether the request of this number meets the fault.
    fn meets(&self, plan: &Plan, number: usize) -> bool {
        let before = match plan.of {
            Of::All => Some(0),
            Of::Rollback => self.before_rollback.get().copied(),
        };
        let at = before.map(|it| it + plan.at);
        at.is_some_and(|at| number == at || (plan.on && number > at))
    }
}

impl Proxy {
    pub(crate) async fn start(
        target: String,
        credentials: Vec<String>,
        plan: Option<Plan>,
        record: Record,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let passed = AtomicUsize::new(0);
        let (before_rollback, held) = (OnceLock::new(), Notify::new());
        let shared = Arc::new(Shared { target, credentials, plan, passed, before_rollback, held, record });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// `rollback` is called: its requests are counted from here.
    pub(crate) fn roll_back(&self) {
        self.shared.before_rollback.get_or_init(|| self.requests());
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Whether the host ends the call when the fault comes.
    pub(crate) fn cuts_off(&self) -> bool {
        matches!(self.shared.plan, Some(Plan { fault: Fault::Hold { .. }, .. }))
    }

    /// Waits until the request comes that is to be held.
    pub(crate) async fn held(&self) {
        self.shared.held.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // They end with the proxy.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
                    // An error is a client that went away, or a fault that closes the connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the suite closes the connection")]
struct Closed;

type Body = BoxBody<Bytes, Closed>;

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed()
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Closed)?.to_bytes();
    let number = shared.passed.fetch_add(1, Ordering::SeqCst) + 1;
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
    let is_credential = |name: &str| shared.credentials.iter().any(|it| it == name);
    let texts = parts.headers.iter().filter(|(name, _)| !is_credential(name.as_str()));
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    shared.record.add(Event::Requested {
        number,
        method: parts.method.to_string(),
        path: path.clone(),
        headers: texts.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: shown(&body),
    });
    let fault = shared.plan.filter(|it| shared.meets(it, number)).map(|it| it.fault);
    let told = |status: Option<u16>, body: &[u8]| {
        shared.record.add(Event::Answered { number, status, body: answered(body), fault: fault.map(Fault::words) });
    };
    match fault {
        Some(Fault::Status(status)) => {
            let body = Bytes::from_static(b"{\"error\":\"not now\"}");
            told(Some(status), &body);
            let mut response = made(status, "application/json", whole(body));
            if matches!(status, 429 | 503) {
                response.headers_mut().insert("retry-after", hyper::header::HeaderValue::from_static("1"));
            }
            return Ok(response);
        }
        Some(Fault::NotJson) => {
            let body = Bytes::from_static(b"<!doctype html><title>Sign in</title><p>Please sign in.");
            told(Some(200), &body);
            return Ok(made(200, "text/html", whole(body)));
        }
        Some(Fault::EchoCredential) => {
            let sent = parts.headers.iter().filter(|(name, _)| is_credential(name.as_str()));
            let sent: Vec<String> = sent.map(|(_, value)| text(value)).collect();
            let body =
                Bytes::from(serde_json::json!({ "error": format!("not accepted: {}", sent.join(", ")) }).to_string());
            told(Some(500), &body);
            return Ok(made(500, "application/json", whole(body)));
        }
        Some(Fault::Hold { delivered: false }) => {
            told(None, b"");
            shared.held.notify_one();
            return std::future::pending().await;
        }
        Some(Fault::Endless) => {
            told(Some(200), b"");
            let chunk = Bytes::from(vec![b' '; CHUNK]);
            let frames = futures::stream::repeat(chunk).take(ENDLESS_CHUNKS).map(|it| Ok(Frame::data(it)));
            let frames = frames.chain(futures::stream::once(std::future::ready(Err(Closed))));
            return Ok(made(200, "application/json", BodyExt::boxed(StreamBody::new(frames))));
        }
        None | Some(Fault::LoseResponse | Fault::CutBody | Fault::Silence | Fault::Hold { delivered: true }) => {}
    }
    let mut headers = parts.headers;
    for ours in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(ours);
    }
    // The answer to a HEAD has no body, and says how long it would be.
    let is_head = parts.method == Method::HEAD;
    let passed = wire::exchange(&shared.target, parts.method, &path, headers, body).await;
    let answer = match passed {
        Ok(answer) => answer,
        Err(why) => {
            shared.record.add(Event::Answered { number, status: None, body: why, fault: None });
            return Err(Closed);
        }
    };
    told(Some(answer.status), &answer.body);
    match fault {
        Some(Fault::LoseResponse) => Err(Closed),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Hold { .. }) => {
            shared.held.notify_one();
            std::future::pending().await
        }
        Some(Fault::CutBody) if !is_head => {
            let half = answer.body.slice(..answer.body.len() / 2);
            let frames = futures::stream::iter([Ok(Frame::data(half)), Err(Closed)]);
            Ok(passed_on(answer.status, answer.headers, BodyExt::boxed(StreamBody::new(frames)), is_head))
        }
        _ => Ok(passed_on(answer.status, answer.headers, whole(answer.body), is_head)),
    }
}

fn made(status: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(content_type));
    response
}

fn passed_on(status: u16, mut headers: HeaderMap, body: Body, is_head: bool) -> Response<Body> {
    let length = headers.remove(CONTENT_LENGTH).filter(|_| is_head);
    headers.extend(length.map(|it| (CONTENT_LENGTH, it)));
    for ours in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(ours);
    }
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = headers;
    response
}
