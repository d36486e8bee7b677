//! What all actions share: where requests go, and what later steps see of a response.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_sdk::http::{Endpoint, Request};
use windlass_sdk::{Failure, Method, Response};

/// The most of a body that later steps see.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The name of the connection role.
pub(crate) const ROLE: &str = "endpoint";

/// A response.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HttpResponse {
    /// Status code.
    pub(crate) status: u16,
    /// Headers with names in lower case; of several with one name the first.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, if it is JSON.
    pub(crate) json: Option<Value>,
    /// The body as text, if it is not JSON.
    pub(crate) text: Option<String>,
    /// How long the answer took.
    pub(crate) latency_ms: u64,
}

impl HttpResponse {
    /// Reads a response whole; larger bodies than a step's output can carry are a failure.
    pub(crate) fn read(response: Response, latency: Duration) -> Result<Self, Failure> {
        let status = response.status();
        let mut headers = BTreeMap::new();
        for (name, value) in response.headers() {
            headers.entry(name.to_ascii_lowercase()).or_insert_with(|| value.clone());
        }
        let bytes = response.bytes()?;
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        let text = json.is_none().then(|| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Self { status, headers, json, text, latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX) })
    }
}

/// A request with what an input says of it.
pub(crate) fn prepared<'a>(
    endpoint: &Endpoint<'a>,
    method: Method,
    path: &str,
    query: &BTreeMap<String, String>,
    headers: &BTreeMap<String, String>,
) -> Result<Request<'a>, Failure> {
    if path.contains(['?', '#']) || path.chars().any(|c| c.is_control() || c == ' ') {
        let message = format!("`{path}` is no path: percent-encode it, and give its query as `query`");
        return Err(Failure::invalid("path", message).never());
    }
    let mut request = endpoint.request(method, path).limit(BODY_BYTES_MAX);
    for (name, value) in query {
        request = request.query(name, value);
    }
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("authorization") {
            let message = "a step sets no `authorization`: the connection does, so that no workflow holds a credential";
            return Err(Failure::invalid("authorization", message).never());
        }
        request = request.header(name, value);
    }
    Ok(request)
}

/// The response as output, or the failure that an unexpected status is.
pub(crate) fn expected(response: Response, latency: Duration, statuses: &[u16]) -> Result<HttpResponse, Failure> {
    let as_expected = match statuses {
        [] => response.is_success(),
        statuses => statuses.contains(&response.status()),
    };
    if as_expected {
        return HttpResponse::read(response, latency);
    }
    if response.is_success() {
        let expected: Vec<String> = statuses.iter().map(u16::to_string).collect();
        let message = format!("answered with {}; expected {}", response.status(), expected.join(" or "));
        return Err(Failure::rejected("unexpected-status", message).detail("status", response.status()));
    }
    Err(response.failure())
}
