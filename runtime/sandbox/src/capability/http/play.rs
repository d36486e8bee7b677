//! Requests of a call that is played again: none is sent.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::Trace;
use super::send::whole;
use crate::cassette::{Content, HttpAnswer, HttpRequest, Player};
use crate::shared::Shared;

/// Answers a request, which was granted, from the recording.
pub(super) async fn answer(
    shared: &Shared,
    player: &Arc<Player>,
    request: Request<WasiBody>,
    _options: RequestOptions,
    mut trace: Trace,
) -> Result<Response<WasiBody>, Error> {
    let (parts, mut body) = request.into_parts();
    let mut sent = Vec::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        shared.spend_request_bytes(data.len()).map_err(|_| Error::HttpRequestBodySize(None))?;
        sent.extend_from_slice(&data);
    }
    let headers = parts.headers.iter();
    let asked = HttpRequest {
        method: parts.method.to_string(),
        url: trace.exchange().url.clone(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: (!sent.is_empty()).then(|| Content::of(&sent)),
    };
    let answer = player.http(&asked).map_err(|error| {
        trace.exchange().error = Some(error.message.clone());
        shared.stop(error);
        Error::InternalError(Some("the request is not in the recording".to_owned()))
    })?;
    match answer {
        HttpAnswer::Response { status, headers, body } => {
            let content = body.and_then(|it| it.bytes()).unwrap_or_default();
            shared.spend_response_bytes(content.len()).map_err(|_| Error::HttpResponseBodySize(None))?;
            trace.exchange().status = Some(status);
            trace.exchange().error = None;
            trace.exchange().response_bytes = content.len() as u64;
            let mut response = Response::new(whole(Bytes::from(content)));
            *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Error::HttpProtocolError)?;
            *response.headers_mut() = headers_of(&headers);
            Ok(response)
        }
        HttpAnswer::Error(error) => Err(error_of(&error)),
        HttpAnswer::Denied(_) => Err(Error::HttpRequestDenied),
    }
}

/// Those that are none are left out, as the host leaves them out.
fn headers_of(recorded: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in recorded {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The error of this name. Those with more in them than a name are told as what they are.
fn error_of(name: &str) -> Error {
    match name {
        "ConnectionRefused" => Error::ConnectionRefused,
        "ConnectionTerminated" => Error::ConnectionTerminated,
        "ConnectionTimeout" => Error::ConnectionTimeout,
        "ConnectionReadTimeout" => Error::ConnectionReadTimeout,
        "ConfigurationError" => Error::ConfigurationError,
        "DestinationNotFound" => Error::DestinationNotFound,
        "DestinationUnavailable" => Error::DestinationUnavailable,
        "DestinationIpProhibited" => Error::DestinationIpProhibited,
        "DestinationIpUnroutable" => Error::DestinationIpUnroutable,
        "DnsTimeout" => Error::DnsTimeout,
        "HttpProtocolError" => Error::HttpProtocolError,
        "HttpResponseIncomplete" => Error::HttpResponseIncomplete,
        "HttpResponseTimeout" => Error::HttpResponseTimeout,
        "HttpUpgradeFailed" => Error::HttpUpgradeFailed,
        "TlsCertificateError" => Error::TlsCertificateError,
        "TlsProtocolError" => Error::TlsProtocolError,
        other if other.starts_with("DnsError") => Error::DnsError { rcode: None, info_code: None },
        other => Error::InternalError(Some(other.to_owned())),
    }
}
