//! HTTP to a connection: ordinary requests below its base URL. The host checks each against the grant and adds the
//! credential on the wire; redirects are not followed.
//!
//! [`Request::send`] fails for every status but 2xx and those that were [accepted](Request::accept), with the class
//! that the retry policy needs.

use crate::failure::Failure;
use crate::host::{BodyReader, Connection, Host, WireRequest, WireResponse};
use crate::status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{self, Display};
use std::time::Duration;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Percent-encodes one path segment or query part.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// A path of percent-encoded segments: `/api/now/table/change_request`.
pub fn path<Segment: AsRef<str>>(segments: impl IntoIterator<Item = Segment>) -> String {
    segments.into_iter().map(|segment| format!("/{}", encode(segment.as_ref()))).collect()
}

/// Why no response came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    /// What kind of trouble.
    pub kind: TransportErrorKind,
    /// For people.
    pub message: String,
}

/// What kind of trouble kept the response away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// The host refused: manifest and grant do not both allow it.
    Denied,
    /// No connection came about, so nothing was sent.
    NotConnected,
    /// The server could not show a certificate that the host trusts, so nothing was sent.
    Untrusted,
    /// The connection ended before the response was complete: the request may have had its effect.
    Interrupted,
    /// The response did not come in time: the request may have had its effect.
    TimedOut,
    /// A limit on sizes was passed.
    TooLarge,
    /// The request cannot be sent like this.
    BadRequest,
    /// Something else.
    Other,
}

impl TransportError {
    /// An error of a kind.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }

    /// Tells whether the other side certainly saw nothing of the request.
    pub fn certainly_not_sent(&self) -> bool {
        use TransportErrorKind::{BadRequest, Denied, Interrupted, NotConnected, Other, TimedOut, TooLarge, Untrusted};
        match self.kind {
            Denied | NotConnected | Untrusted | BadRequest => true,
            Interrupted | TimedOut | TooLarge | Other => false,
        }
    }
}

impl Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Where requests go: a connection.
pub struct Endpoint<'a> {
    host: &'a dyn Host,
    connection: Connection,
    idempotency_key: String,
}

macro_rules! methods {
    ($( $name:ident => $method:ident; )*) => {
        $(
            /// A request with this method to a path below the base URL.
            pub fn $name(&self, path: impl AsRef<str>) -> Request<'a> {
                self.request(Method::$method, path)
            }
        )*
    };
}

impl<'a> Endpoint<'a> {
    pub(crate) fn new(host: &'a dyn Host, connection: Connection, idempotency_key: String) -> Self {
        Self { host, connection, idempotency_key }
    }

    /// The connection behind it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The full address of a path, for example to show as a link.
    pub fn url(&self, path: impl AsRef<str>) -> String {
        let path = path.as_ref();
        let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{path}", self.connection.base_url.trim_end_matches('/'))
    }

    methods! {
        get => Get;
        head => Head;
        post => Post;
        put => Put;
        patch => Patch;
        delete => Delete;
    }

    /// A request to a path below the base URL; the path is percent-encoded already (see [`path`]).
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> Request<'a> {
        Request {
            host: self.host,
            idempotency_key: self.idempotency_key.clone(),
            wire: WireRequest {
                method,
                url: self.url(path),
                headers: Vec::new(),
                body: None,
                connect_timeout: Duration::from_secs(10),
                read_timeout: Duration::from_secs(30),
            },
            query: Vec::new(),
            problem: None,
            accepted: Accepted::default(),
            limit: BODY_BYTES_MAX,
        }
    }
}

/// Which statuses besides 2xx are no failure.
#[derive(Default)]
struct Accepted {
    any: bool,
    statuses: Vec<u16>,
}

/// A request in the making.
#[must_use = "a request goes out with `.send()`"]
pub struct Request<'a> {
    host: &'a dyn Host,
    idempotency_key: String,
    wire: WireRequest,
    query: Vec<String>,
    problem: Option<String>,
    accepted: Accepted,
    limit: usize,
}

impl Request<'_> {
    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.query.push(format!("{}={}", encode(name), encode(&value.to_string())));
        self
    }

    /// Sets a header; one of the same name is replaced.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.wire.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.wire.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends the operation's idempotency key in the header `Idempotency-Key`.
    pub fn idempotency_key(self) -> Self {
        let key = self.idempotency_key.clone();
        self.header("Idempotency-Key", key)
    }

    /// A JSON body.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body("application/json", bytes),
            Err(error) => {
                self.problem = Some(format!("the body is no JSON: {error}"));
                self
            }
        }
    }

    /// A form body.
    pub fn form<Name: AsRef<str>, Value: AsRef<str>>(self, fields: impl IntoIterator<Item = (Name, Value)>) -> Self {
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(name, value)| format!("{}={}", encode(name.as_ref()), encode(value.as_ref())))
            .collect();
        self.body("application/x-www-form-urlencoded", fields.join("&"))
    }

    /// A body of any type.
    pub fn body(self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header("Content-Type", content_type);
        request.wire.body = Some(bytes.into());
        request
    }

    /// How long to wait for the response to begin, and for each next part of it (30 s if not said).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wire.read_timeout = timeout;
        self
    }

    /// The largest body that is read whole (8 MiB if not said).
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Makes a status other than 2xx no failure.
    pub fn accept(mut self, status: u16) -> Self {
        self.accepted.statuses.push(status);
        self
    }

    /// Makes no status a failure; see [`Response::failure`].
    pub fn accept_any(mut self) -> Self {
        self.accepted.any = true;
        self
    }

    /// Sends it; what goes wrong becomes a failure of the fitting class.
    pub fn send(self) -> Result<Response, Failure> {
        let (method, url) = (self.wire.method, self.wire.url.clone());
        self.try_send().map_err(|error| match error {
            SendError::Status(response) => response.failure(),
            SendError::Transport(error) => status::transport_failure(method, &url, &error),
        })
    }

    /// Sends it; for who must know whether the request can have had an effect.
    pub fn try_send(mut self) -> Result<Response, SendError> {
        if let Some(problem) = self.problem {
            let error = TransportError::new(TransportErrorKind::BadRequest, problem);
            return Err(SendError::Transport(error));
        }
        if !self.query.is_empty() {
            let joint = if self.wire.url.contains('?') { '&' } else { '?' };
            self.wire.url = format!("{}{joint}{}", self.wire.url, self.query.join("&"));
        }
        if !self.wire.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            self.wire.headers.push(("Accept".to_owned(), "application/json, */*;q=0.5".to_owned()));
        }
        let (method, url) = (self.wire.method, self.wire.url.clone());
        let WireResponse { status, headers, body } = self.host.send(self.wire).map_err(SendError::Transport)?;
        let response = Response { method, url, status, headers, body, limit: self.limit };
        let accepted = self.accepted.any || response.is_success() || self.accepted.statuses.contains(&status);
        if accepted { Ok(response) } else { Err(SendError::Status(Box::new(response))) }
    }
}

/// Why [`Request::try_send`] gave no accepted response.
pub enum SendError {
    /// A response with a status that was not accepted.
    Status(Box<Response>),
    /// No response.
    Transport(TransportError),
}

impl SendError {
    /// Tells whether the request may have had its effect although this is what came back: the answer got lost, or
    /// something in between answered for a server that may have done the work.
    pub fn effect_unknown(&self) -> bool {
        match self {
            Self::Status(response) => matches!(response.status, 408 | 500 | 502 | 504),
            Self::Transport(error) => !error.certainly_not_sent(),
        }
    }

    /// The failure that [`Request::send`] would have given.
    pub fn failure(self, method: Method, url: &str) -> Failure {
        match self {
            Self::Status(response) => response.failure(),
            Self::Transport(error) => status::transport_failure(method, url, &error),
        }
    }
}

/// A response: its head is here, its body is read by one of the methods that consume it.
pub struct Response {
    method: Method,
    url: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Box<dyn BodyReader>,
    limit: usize,
}

/// What came instead of JSON: a login page, a proxy's complaint.
fn no_json(kind: &str, body: &[u8]) -> String {
    if body.is_empty() {
        return "it is empty".to_owned();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let beginning: String = words.join(" ").chars().take(60).collect();
    format!("it is no JSON ({kind}) and begins with `{beginning}`")
}

impl Response {
    /// Status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Tells whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The next part of the body as it comes; none at the end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.body.read().map_err(|error| status::transport_failure(self.method, &self.url, &error))
    }

    /// The body; a failure if it is larger than the limit.
    pub fn bytes(mut self) -> Result<Vec<u8>, Failure> {
        let (bytes, more) = self.up_to_limit()?;
        if more {
            let message = format!("the answer to {} {} has more than {} bytes", self.method, self.url, self.limit);
            return Err(Failure::internal("response-too-large", message).never());
        }
        Ok(bytes)
    }

    /// The body up to the limit, and whether there was more.
    pub fn prefix(mut self) -> Result<(Vec<u8>, bool), Failure> {
        self.up_to_limit()
    }

    /// The body as text.
    pub fn text(self) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// The body as JSON; the failure names the field that is not as expected.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let (method, url) = (self.method, self.url.clone());
        let kind = self.header("Content-Type").unwrap_or("of no type").to_owned();
        let bytes = self.bytes()?;
        crate::decode::json(&bytes).map_err(|problem| {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
            let problem = if is_json { problem } else { no_json(&kind, &bytes) };
            let message = format!("the answer to {method} {url} is not what was expected: {problem}");
            Failure::internal("unexpected-response", message)
        })
    }

    /// The failure that this status stands for, with what the body says.
    pub fn failure(mut self) -> Failure {
        self.limit = self.limit.min(64 * 1024);
        let body = self.up_to_limit().map(|(bytes, _)| bytes).unwrap_or_default();
        status::status_failure(self.method, &self.url, self.status, &self.headers, &body)
    }

    fn up_to_limit(&mut self) -> Result<(Vec<u8>, bool), Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk()? {
            let room = self.limit - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(&chunk[..room]);
                return Ok((bytes, true));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, false))
    }
}
