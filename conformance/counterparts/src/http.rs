//! Requests and replies as the simulators see them: already read, with the path cut and decoded.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use std::time::Duration;

/// A request whose body has been read.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path as it came, still percent-encoded.
    pub(crate) path: String,
    /// The path's parts, decoded, without empty ones.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(method: Method, uri: &hyper::Uri, headers: HeaderMap, body: Bytes) -> Request {
        let path = uri.path().to_owned();
        let segments = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let query = uri.query().map(decode_form).unwrap_or_default();
        Request { method, path, segments, query, headers, body }
    }

    /// The decoded path's parts, ready to be matched on.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The first value of a query parameter.
    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The fields of a form body, empty when the body is none.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let form = self.header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        match (form, std::str::from_utf8(&self.body)) {
            (true, Ok(text)) => decode_form(text),
            _ => Vec::new(),
        }
    }

    /// A header's value, when it is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The `Authorization` header.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header(AUTHORIZATION)
    }

    /// The value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The body as JSON, or why it is none.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }
}

/// What goes back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: ReplyBody,
    /// How long the answer waits before it goes out.
    pub(crate) delay: Duration,
}

/// A reply's body.
pub(crate) enum ReplyBody {
    Full(Bytes),
    /// So many bytes, one at a time, with a pause before each.
    Drip {
        bytes: u64,
        pause: Duration,
    },
}

impl Reply {
    pub(crate) fn new(status: StatusCode) -> Reply {
        Reply { status, headers: Vec::new(), body: ReplyBody::Full(Bytes::new()), delay: Duration::ZERO }
    }

    pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
        Reply::new(status).with("content-type", "application/json;charset=utf-8").body(value.to_string())
    }

    pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Reply {
        Reply::new(status).with("content-type", "text/plain;charset=utf-8").body(text)
    }

    pub(crate) fn html(status: StatusCode, text: impl Into<Bytes>) -> Reply {
        Reply::new(status).with("content-type", "text/html;charset=utf-8").body(text)
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Reply {
        self.body = ReplyBody::Full(body.into());
        self
    }

    /// Adds a header; a value which cannot be one is left out.
    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Reply {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

/// Reads `a=1&b=2`.
pub(crate) fn decode_form(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Encodes one part of a path.
pub(crate) fn encode_segment(text: &str) -> String {
    const KEEP: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEEP).to_string()
}

/// Makes text safe inside HTML.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
