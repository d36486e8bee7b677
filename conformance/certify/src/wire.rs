//! One HTTP request, without any cleverness: a connection each.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

/// The largest body that is taken from a counterpart.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a counterpart answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// `host:port` of an address.
pub(crate) fn authority(base: &Url) -> String {
    format!("{}:{}", base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or(80))
}

/// Sends a request to `authority` and reads the whole answer.
pub(crate) async fn exchange(
    authority: &str,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, String> {
    let stream =
        TcpStream::connect(authority).await.map_err(|error| format!("{authority} does not answer: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the sender.
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| format!("`{path}` is no path"))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert("host", authority.parse().map_err(|_| format!("`{authority}` is no host"))?);
    let response = sender.send_request(request).await.map_err(|error| format!("{authority}: {error}"))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| format!("{authority}: {error}"))?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() })
}
