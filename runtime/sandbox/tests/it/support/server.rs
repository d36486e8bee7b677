//! A server that answers, echoes, stalls and issues tokens.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().expect("a text"))
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicU64,
    redirect_to: Mutex<String>,
    /// The number of the token that is taken, and how many seconds it says it lasts.
    token: AtomicU64,
    token_seconds: AtomicU64,
}

impl Server {
    /// Starts one on a free port; it ends with the test's runtime.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        state.token.store(1, Ordering::SeqCst);
        state.token_seconds.store(3600, Ordering::SeqCst);
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::SeqCst);
                let served = Arc::clone(&served);
                let service = service_fn(move |request| {
                    let served = Arc::clone(&served);
                    async move { Ok::<_, Infallible>(answer(&served, request).await) }
                });
                // A connection that the other side breaks off is what some tests do.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("not poisoned").clone()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn redirect_to(&self, url: &str) {
        *self.state.redirect_to.lock().expect("not poisoned") = url.to_owned();
    }

    /// From now on the next token is the one that is taken.
    pub(crate) fn renew_token(&self) {
        self.state.token.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn token_lasts(&self, seconds: u64) {
        self.state.token_seconds.store(seconds, Ordering::SeqCst);
    }
}

fn with(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

fn stream(chunks: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Answer {
    let frames = chunks.into_iter().map(|it| Ok(Frame::data(it)));
    Response::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
}

async fn answer(state: &State, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let seen = Seen { method: parts.method.to_string(), path: parts.uri.to_string(), headers: parts.headers, body };
    state.seen.lock().expect("not poisoned").push(seen.clone());
    let credential =
        ["authorization", "x-api-key"].iter().find_map(|it| seen.header(it)).unwrap_or_default().to_owned();
    match parts.uri.path() {
        "/open/hello" | "/base/open/hello" => with(StatusCode::OK, "hello"),
        "/open/echo" => {
            let headers: Vec<_> = seen
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect();
            let echo = json!({"method": seen.method, "path": seen.path, "headers": headers, "body": String::from_utf8_lossy(&seen.body)});
            with(StatusCode::OK, echo.to_string())
        }
        "/open/echo-encoded" => {
            let secret = credential.split_once(' ').map_or(credential.as_str(), |it| it.1);
            let decoded = STANDARD.decode(secret).unwrap_or_else(|_| secret.as_bytes().to_vec());
            let text = String::from_utf8_lossy(&decoded);
            let forms = [
                STANDARD.encode(secret),
                URL_SAFE_NO_PAD.encode(&decoded),
                STANDARD.encode(format!("authorization: {text}\r\n")),
                hex::encode(&decoded),
                hex::encode_upper(&decoded),
                percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string(),
                json!(text).to_string(),
                text.into_owned(),
            ];
            with(StatusCode::OK, forms.join("\n"))
        }
        "/open/echo-header" => {
            let mut answer = with(StatusCode::OK, "");
            for name in ["x-echo", "location", "set-cookie", "www-authenticate"] {
                answer.headers_mut().insert(name, format!("x={credential}").parse().expect("a header"));
            }
            answer
        }
        "/open/echo-chunks" => stream(credential.repeat(3).into_bytes().into_iter().map(|it| Bytes::from(vec![it]))),
        "/open/echo-gzip" => {
            let mut answer = with(StatusCode::OK, credential);
            answer.headers_mut().insert("content-encoding", "gzip".parse().expect("a header"));
            answer
        }
        "/open/never" => std::future::pending().await,
        "/open/big" => stream((0..1024).map(|_| Bytes::from_static(&[b'x'; 16 * 1024]))),
        "/open/redirect" => {
            let mut answer = with(StatusCode::FOUND, "");
            let location = state.redirect_to.lock().expect("not poisoned").parse().expect("a header");
            answer.headers_mut().insert("location", location);
            answer
        }
        "/open/needs-token" if credential == format!("Bearer {}", token(state)) => with(StatusCode::OK, seen.body),
        "/open/needs-token" => with(StatusCode::UNAUTHORIZED, format!("{credential} is not taken")),
        "/token" => {
            let seconds = state.token_seconds.load(Ordering::SeqCst);
            with(
                StatusCode::OK,
                json!({"access_token": token(state), "token_type": "Bearer", "expires_in": seconds}).to_string(),
            )
        }
        "/broken-token" => {
            with(StatusCode::BAD_REQUEST, format!(r#"{{"error":"invalid_client","error_description":"{credential}"}}"#))
        }
        "/lying-token/nothing" => with(StatusCode::OK, "{}"),
        "/lying-token/page" => with(StatusCode::OK, format!("<html>{credential}</html>")),
        "/lying-token/short" => with(StatusCode::OK, r#"{"access_token": "t"}"#),
        "/lying-token/other" => with(StatusCode::OK, r#"{"access_token": "t0k3n-of-the-server", "token_type": "mac"}"#),
        "/lying-token/lines" => with(StatusCode::OK, r#"{"access_token": "t0k3n-of-the-server\r\nx-admin: yes"}"#),
        "/lying-token/moved" => {
            let mut answer = with(StatusCode::FOUND, "");
            answer.headers_mut().insert("location", "/token".parse().expect("a header"));
            answer
        }
        "/lying-token/long" => {
            let padding = "x".repeat(300 * 1024);
            with(StatusCode::OK, json!({"padding": padding, "access_token": token(state)}).to_string())
        }
        "/secret/admin" => with(StatusCode::OK, "the admin's page"),
        _ => with(StatusCode::NOT_FOUND, "not here"),
    }
}

fn token(state: &State) -> String {
    format!("t0k3n-of-the-server-{}", state.token.load(Ordering::SeqCst))
}
