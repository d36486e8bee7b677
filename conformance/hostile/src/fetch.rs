//! HTTP as the contract has it, without a client that would keep from misbehaving.

use serde_json::{Value, json};

use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use crate::bindings::wasi::io::streams::StreamError;

/// A request that is about to be made.
pub(crate) struct Fetch<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// What came back: `{status, headers, body}`, or `{error}`.
pub(crate) fn fetch(fetch: Fetch<'_>) -> Value {
    match answer(fetch) {
        Ok(answer) => answer,
        Err(error) => json!({"error": error}),
    }
}

pub(crate) fn get(url: &str) -> Value {
    fetch(Fetch { method: "GET", url, headers: Vec::new(), body: None })
}

fn answer(fetch: Fetch<'_>) -> Result<Value, String> {
    let said = |error: ErrorCode| format!("{error:?}");
    let (scheme, rest) = fetch.url.split_once("://").ok_or("no URL")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let headers = Fields::new();
    for (name, value) in &fetch.headers {
        headers.append(name, value.as_bytes()).map_err(|error| format!("header {name}: {error:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    let method = match fetch.method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_method(&method).map_err(|()| "bad method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "bad scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "bad path")?;
    let body =
        fetch.body.map(|content| request.body().map(|body| (body, content))).transpose().map_err(|()| "no body")?;
    let pending = outgoing_handler::handle(request, None).map_err(said)?;
    if let Some((body, content)) = body {
        {
            let stream = body.write().map_err(|()| "no stream")?;
            for chunk in content.chunks(4096) {
                if stream.blocking_write_and_flush(chunk).is_err() {
                    break;
                }
            }
        }
        OutgoingBody::finish(body, None).map_err(said)?;
    }
    let response = loop {
        match pending.get() {
            Some(response) => break response.map_err(|()| "taken twice")?.map_err(said)?,
            None => pending.subscribe().block(),
        }
    };
    read(&response)
}

fn read(response: &IncomingResponse) -> Result<Value, String> {
    let status = response.status();
    let headers: Vec<(String, String)> = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut content = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => content.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(format!("body: {}", error.to_debug_string())),
        }
    }
    Ok(json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(&content)}))
}
