//! Callbacks over the network: a listener that takes `POST BASE/callbacks/TOPIC`, alerts (see
//! [`crate::alerts::webhook`]), and nothing else.
//!
//! It knows nothing of the API. Whoever has a topic may call it, once; 202 means that it is durable. Every other
//! answer is one of a few fixed texts: 404 (no such callback, and no word on why), 405, 408, 409 (it has come before),
//! 410 (what it was for is over), 413, 429 (no room to keep it; later there may be), 503 (it could not be recorded).
//!
//! **Invariant:** one request per connection, and a bound on the head, the body, the time of each and on how many
//! there are at once.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use windlass_engine::{Callback, Input, Rejected};
use windlass_model::name::ReleaseId;
use windlass_model::text::one_line;

use crate::alerts;
use crate::driver::NotTaken;
use crate::runtime::{Runtime, RuntimeError};

/// The largest body of a callback. It says that something has happened; what it is can be fetched.
pub const CALLBACK_BODY_BYTES_MAX: usize = 256 * 1024;

/// The most that a callback's headers may hold, names and values.
pub const CALLBACK_HEADER_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// How much of the name of who sends alerts is logged when they are refused.
const SOURCE_SHOWN: usize = 64;

/// How long a request's head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long its body may take.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(20);

/// How long a connection may take in all, the recording included.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// Connections at the same time; more wait for their turn.
const CONNECTIONS_MAX: usize = 256;

/// After a failure to accept a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What of a request is no business of the step, or must not be kept.
const DROPPED: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What callback addresses begin with, as the other side sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackUrl {
    base: Arc<str>,
    path: Arc<str>,
    alerts_path: Arc<str>,
    is_encrypted: bool,
    is_of_this_machine: bool,
}

impl CallbackUrl {
    /// Reads one, for example `https://release.example.com/hooks`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = "write it as https://HOST[:PORT][/PATH]";
        let url = url::Url::parse(text).map_err(|error| format!("`{text}` is no address ({error}): {wanted}"))?;
        let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain || url.fragment().is_some() {
            return Err(format!("only a scheme (http or https), a host, a port and a path can be used: {wanted}"));
        }
        let path = url.path().trim_end_matches('/');
        Ok(Self {
            base: url.as_str().trim_end_matches('/').into(),
            path: format!("{path}/callbacks/").into(),
            alerts_path: format!("{path}/alerts/").into(),
            is_encrypted: url.scheme() == "https",
            is_of_this_machine: match url.host() {
                Some(url::Host::Ipv4(it)) => it.is_loopback(),
                Some(url::Host::Ipv6(it)) => it.is_loopback(),
                Some(url::Host::Domain(it)) => it == "localhost",
                None => false,
            },
        })
    }

    /// The address of a topic.
    pub(crate) fn of(&self, topic: &str) -> String {
        format!("{}/callbacks/{topic}", self.base)
    }

    /// Where a source sends its alerts.
    pub fn of_alerts(&self, source: &str) -> String {
        format!("{}/alerts/{source}", self.base)
    }

    /// Whether whoever is on the way could read a topic and use it.
    pub fn is_readable_on_the_way(&self) -> bool {
        !self.is_encrypted && !self.is_of_this_machine
    }
}

impl std::fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.base)
    }
}

/// Why no callbacks can be taken.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody could be told where to call.
    #[error(
        "{0} is every address of this machine, and the other side has to be told one: add --callback-url, for example `--callback-url https://release.example.com/hooks`"
    )]
    EveryAddress(SocketAddr),
}

/// An address that is listened on, and nobody answers yet.
#[derive(Debug)]
pub struct CallbackListener {
    listener: TcpListener,
    url: CallbackUrl,
}

impl CallbackListener {
    /// Listens on `address`; `url` is what the other side sees of it, if that is something else.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn bind(address: SocketAddr, url: Option<CallbackUrl>) -> Result<Self, ListenError> {
        if url.is_none() && address.ip().is_unspecified() {
            return Err(ListenError::EveryAddress(address));
        }
        let cannot = |source| ListenError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let bound = listener.local_addr().map_err(cannot)?;
        let url = match url {
            Some(url) => url,
            None => CallbackUrl::parse(&format!("http://{bound}")).map_err(|it| cannot(std::io::Error::other(it)))?,
        };
        Ok(Self { listener, url })
    }

    /// What addresses begin with.
    pub fn url(&self) -> &CallbackUrl {
        &self.url
    }

    /// Takes callbacks until what it returns is dropped.
    pub fn serve(self, runtime: Runtime) -> ServingCallbacks {
        ServingCallbacks(tokio::spawn(accept(self.listener, runtime, self.url)))
    }
}

/// A listener at work; it stops when dropped.
#[derive(Debug)]
pub struct ServingCallbacks(tokio::task::JoinHandle<()>);

impl Drop for ServingCallbacks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, runtime: Runtime, url: CallbackUrl) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (runtime, url) = (runtime.clone(), url.clone());
                connections.spawn(async move {
                    serve_one(stream, runtime, url).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a callback's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_one(stream: TcpStream, runtime: Runtime, url: CallbackUrl) {
    let service = service_fn(move |request| answer(runtime.clone(), url.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(CALLBACK_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // What went wrong with a connection is for whoever made it.
    let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
}

async fn answer(
    runtime: Runtime,
    url: CallbackUrl,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let source = request.uri().path().strip_prefix(&*url.alerts_path).map(str::to_owned);
    let (status, body) = match source {
        Some(source) => match alerts::webhook::take(runtime, &source, request).await {
            // Which releases there are is nobody's business out there.
            Ok(taken) => (StatusCode::OK, json!({ "alerts": "taken", "firing": taken.firing })),
            Err((status, text)) => {
                let source = one_line(source.get(..SOURCE_SHOWN).unwrap_or(&source));
                tracing::warn!(source, status = status.as_u16(), why = text, "alerts were refused");
                (status, json!({ "error": text }))
            }
        },
        None => match take(runtime, &url.path, request).await {
            Ok(()) => (StatusCode::ACCEPTED, json!({ "callback": "taken" })),
            Err(status) => (status, json!({ "error": text_of(status) })),
        },
    };
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("10"));
    }
    Ok(response)
}

fn text_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => "a callback is a POST",
        StatusCode::REQUEST_TIMEOUT => "the body took too long",
        StatusCode::CONFLICT => "this callback has come before; each is taken once",
        StatusCode::GONE => "this callback is too late: what it was made for is over",
        StatusCode::PAYLOAD_TOO_LARGE => "a callback has a body of at most 256 KiB and headers of at most 16 KiB",
        StatusCode::TOO_MANY_REQUESTS => "too many callbacks came before anybody waited for them; try again later",
        StatusCode::SERVICE_UNAVAILABLE => "it could not be recorded; try again later",
        StatusCode::BAD_REQUEST => "the body broke off",
        _ => "there is no such callback",
    }
}

async fn take(runtime: Runtime, path: &str, request: Request<Incoming>) -> Result<(), StatusCode> {
    let topic = request.uri().path().strip_prefix(path).ok_or(StatusCode::NOT_FOUND)?.to_owned();
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    // Before anybody's body is read.
    if runtime.inner.topics.read(&topic).is_none() {
        return Err(StatusCode::NOT_FOUND);
    }
    if request.body().size_hint().lower() > CALLBACK_BODY_BYTES_MAX as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let headers = kept_headers(request.headers());
    let body = Limited::new(request.into_body(), CALLBACK_BODY_BYTES_MAX).collect();
    let body = match tokio::time::timeout(BODY_TIME, body).await {
        Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => return Err(StatusCode::BAD_REQUEST),
        Ok(Ok(body)) => body.to_bytes().to_vec(),
    };
    // To its end, also when whoever called goes away.
    let called = tokio::spawn(async move { runtime.call_back(&topic, headers, body).await }).await;
    match called {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(match status_of(&error) {
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(%error, "a callback could not be recorded");
                StatusCode::SERVICE_UNAVAILABLE
            }
            status => status,
        }),
        Err(error) => {
            tracing::error!(%error, "a callback could not be handled to its end");
            Err(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// What a refusal of a callback is in HTTP.
pub(crate) fn status_of(error: &RuntimeError) -> StatusCode {
    match error {
        RuntimeError::NotTaken(NotTaken::Rejected(rejected)) => match rejected {
            Rejected::UnknownTopic => StatusCode::NOT_FOUND,
            Rejected::CallbackOver => StatusCode::GONE,
            Rejected::TooManyCallbacks => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::CONFLICT,
        },
        RuntimeError::CallbackTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What the step gets of a request's headers.
pub(crate) fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| !DROPPED.contains(name));
    kept.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

impl Runtime {
    /// Takes a callback: wakes the step that waits for it, or keeps it until the step does; tells whose it is.
    ///
    /// It is durable when this returns.
    pub async fn call_back(
        &self,
        topic: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<ReleaseId, RuntimeError> {
        let refused = |rejected| Err(NotTaken::Rejected(rejected).into());
        let Some((release, maker)) = self.inner.topics.read(topic) else { return refused(Rejected::UnknownTopic) };
        let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if body.len() > CALLBACK_BODY_BYTES_MAX || header_bytes > CALLBACK_HEADER_BYTES_MAX {
            return Err(RuntimeError::CallbackTooLarge);
        }
        // One that has ended need not be brought back for this; one that is not there has been removed.
        if !self.inner.store.outline(&release)?.is_some_and(|it| it.open) {
            return refused(Rejected::CallbackOver);
        }
        let callback = Callback { topic: topic.to_owned(), headers, body };
        self.tell(&release, Input::Callback { callback, maker }).await?;
        Ok(release)
    }

    /// What callback addresses begin with; none where callbacks are taken on this machine only.
    pub fn callback_url(&self) -> Option<&CallbackUrl> {
        self.inner.options.callbacks.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_of_what_the_other_side_sees() {
        for (base, address, path) in [
            ("http://127.0.0.1:80", "http://127.0.0.1/callbacks/t", "/callbacks/"),
            ("http://[::1]:8087/", "http://[::1]:8087/callbacks/t", "/callbacks/"),
            ("https://x.example.com/a/b/", "https://x.example.com/a/b/callbacks/t", "/a/b/callbacks/"),
        ] {
            let url = CallbackUrl::parse(base).expect("an address");
            assert_eq!((url.of("t").as_str(), &*url.path), (address, path));
            assert!(!url.is_readable_on_the_way());
        }
        assert!(CallbackUrl::parse("http://x.example.com").expect("an address").is_readable_on_the_way());
        for bad in ["", "x", "/hooks", "ftp://x", "https://x?y", "https://x#y", "https://u:p@x", "mailto:x@y"] {
            assert!(CallbackUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_of_the_caller_are_not_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("authorization", "Bearer x"), ("cookie", "a=b"), ("x-signature", "1"), ("host", "h")] {
            headers.insert(HeaderName::from_static(name), header::HeaderValue::from_static(value));
        }
        assert_eq!(kept_headers(&headers), [("x-signature".to_owned(), "1".to_owned())]);
    }
}
