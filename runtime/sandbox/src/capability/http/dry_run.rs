//! Whether a request only reads: for dry runs, and for what is known of a call that failed.
//!
//! **Invariant:** what a plugin says of a request counts for nothing here; what counts is what would be on the wire,
//! and the operator's word.

use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, WasiBody};
use windlass_model::connection::Authentication;
use windlass_model::dry_run::{WOULD_BODY_BYTES_MAX, is_override, is_read_method};
use windlass_model::grant::{Denial, Missing, RequestLine, allows};

use super::credential;
use super::route::{Route, shown};
use super::send::{url, whole};
use crate::shared::Shared;

/// How much of a body is looked at; a credential at the end of what is kept is found in what is beyond.
const LOOKED_AT_BYTES_MAX: usize = 8 * WOULD_BODY_BYTES_MAX;

/// What a request is.
pub(super) enum Looked {
    /// It only reads.
    Read(Request<WasiBody>),
    /// It is stopped, and noted.
    Write(Denial),
}

pub(super) async fn look(shared: &Shared, route: &Route, request: Request<WasiBody>) -> Result<Looked, Error> {
    let overridden = overrides(&request);
    let line =
        RequestLine { method: request.method().as_str(), path: route.below(request.uri().path()).unwrap_or("/") };
    if overridden.is_none() && allows(&route.connection.reads, line) {
        return Ok(Looked::Read(request));
    }
    let (line, asked, method) =
        (format!("{} {}", request.method(), url(&request)), shown(&request), line.method.to_owned());
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let (kept, bytes) = drain(shared, body).await?;
    let is_read = is_read_method(&method) && bytes == 0;
    let (why, name) = (overridden, &route.connection.name);
    let remedy = match why {
        None if is_read => return Ok(Looked::Read(Request::from_parts(parts, whole(Bytes::new())))),
        Some(name) => format!("`{name}` makes another request of it, and is never sent in a dry run"),
        None => {
            let path = route.below(&path).unwrap_or("/");
            format!("if it only reads: `windlass connection change {name} --reads '{method} {path}'`")
        }
    };
    // A credential that it may hold is known before it is shown.
    learn(shared, route);
    shared.would(line, &kept, bytes);
    Ok(Looked::Write(Denial { asked, missing: Missing::DryRun, remedy }))
}

/// Whether a request would pass in a dry run, as far as that can be said before its body is read.
pub(super) fn only_reads(route: &Route, request: &Request<WasiBody>) -> bool {
    let method = request.method().as_str();
    let line = RequestLine { method, path: route.below(request.uri().path()).unwrap_or("/") };
    let declared = || allows(&route.connection.reads, line);
    overrides(request).is_none() && (is_read_method(method) && request.body().is_end_stream() || declared())
}

/// The header or parameter by which a server may take the request for another one.
fn overrides(request: &Request<WasiBody>) -> Option<String> {
    let header = request.headers().keys().find(|it| is_override(it.as_str())).map(|it| it.as_str().to_owned());
    let query = request.uri().query().unwrap_or_default().replace(';', "&");
    header.or_else(|| {
        let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
        names.find(|it| is_override(it))
    })
}

/// Reads a body to its end: what it begins with, and how long it is. Counts as sent, so that it is bounded as usual.
async fn drain(shared: &Shared, mut body: WasiBody) -> Result<(Vec<u8>, u64), Error> {
    let (mut kept, mut bytes) = (Vec::new(), 0_u64);
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        // Trailers are left out of every request.
        let Ok(data) = frame?.into_data() else { continue };
        shared.spend_request_bytes(data.len()).map_err(|_| Error::HttpRequestBodySize(None))?;
        bytes += data.len() as u64;
        let room = LOOKED_AT_BYTES_MAX.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(&data[..room]);
    }
    Ok((kept, bytes))
}

/// Makes the connection's secret known to the scrubber, without asking anybody for a token.
fn learn(shared: &Shared, route: &Route) {
    let (Authentication::Basic { password: reference, .. }
    | Authentication::Bearer { token: reference }
    | Authentication::Header { value: reference, .. }
    | Authentication::OAuth2ClientCredentials { client_secret: reference, .. }) = &route.connection.authentication
    else {
        return;
    };
    // One that cannot be read is told where it is needed: by a read.
    let _unreadable = credential::resolve(shared, reference);
}
