//! The choke point: every request of every plugin goes through [`send`].
//!
//! Grant check → dry run → credential → send → scrub → trace, in this order and nowhere else. A redirect is an answer:
//! where a guest follows it, that is another request.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};
use windlass_model::connection::{Authentication, Connection};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::grant::{Denial, Missing};

use super::address::Reach;
use super::body::{CountedBody, ScrubbedBody, Trace};
use super::connect::ConnectError;
use super::credential::{Credential, CredentialError, credential};
use super::dry_run::{self, Looked};
use super::explain;
use super::play;
use super::route::{Asking, Route, decide, shown};
use crate::scrub::Scrubber;
use crate::shared::{Change, Shared};

/// A request's body up to this size is kept when its token might have to be renewed.
const REPEATABLE_BYTES_MAX: usize = 1024 * 1024;

pub(crate) async fn send(
    shared: Arc<Shared>,
    routes: Arc<Vec<Route>>,
    request: Request<WasiBody>,
    options: RequestOptions,
    mut change: Change,
) -> Result<Response<WasiBody>, Error> {
    let stopped = |_| Error::InternalError(Some("the call was stopped".to_owned()));
    let (plugin, name, action) = shared.target("wasi:http").map_err(stopped)?;
    if let Err(error) = shared.spend_http_request() {
        change.withdraw();
        return Err(stopped(error));
    }
    let mut trace = Trace::new(Arc::clone(&shared), request.method().to_string(), url(&request));
    trace.record(request.headers());
    let asking = Asking { plugin, name, action, dry_run: shared.dry_run };
    let route = match decide(&routes, &request, &asking) {
        Ok(route) => route,
        Err(denial) => {
            change.withdraw();
            return Err(deny(&shared, &mut trace, *denial));
        }
    };
    shared.allow();
    trace.exchange().connection = Some(route.connection.name.clone());
    let asked = shown(&request);
    let request = if shared.dry_run {
        match dry_run::look(&shared, route, request).await? {
            Looked::Read(request) => request,
            Looked::Write(denial) => {
                change.withdraw();
                return Err(deny(&shared, &mut trace, denial));
            }
        }
    } else {
        request
    };
    if dry_run::only_reads(route, &request) {
        change.withdraw();
    }
    if let Some(player) = shared.player() {
        let answered = play::answer(&shared, player, request, options, trace).await;
        if answered.as_ref().is_ok_and(|it| was_not_applied(it.status())) {
            change.withdraw();
        }
        return answered;
    }
    let answered = exchange(&shared, route, request, options, &mut trace).await;
    let was_made = match &answered {
        Ok((response, _)) => !was_not_applied(response.status()),
        Err(Failed::Forbidden(..) | Failed::Credential(_)) => false,
        Err(Failed::Request { was_sent, .. }) => *was_sent,
    };
    if !was_made {
        change.withdraw();
    }
    match answered {
        Ok((response, scrubs)) => {
            if response.status() == StatusCode::UNAUTHORIZED {
                shared.is_not_let_in(unauthenticated(&route.connection, scrubs));
            }
            answer(&shared, response, scrubs, options, trace)
        }
        Err(Failed::Forbidden(address, reach)) => {
            let denial = forbidden_address(route, &asked, address, reach);
            Err(deny(&shared, &mut trace, denial))
        }
        Err(Failed::Credential(error)) => {
            let text = shared.scrubber().text(format!("connection `{}`: {error}", route.connection.name));
            trace.exchange().error = Some(text.clone());
            shared.stop(StepError::host(FailureClass::Unauthenticated, "credential-not-available", text));
            trace.guest_error(&Error::ConfigurationError);
            Err(Error::ConfigurationError)
        }
        Err(Failed::Request { text, error, .. }) => {
            trace.exchange().error = Some(text);
            trace.guest_error(&error);
            Err(error)
        }
    }
}

/// Whether a request had certainly no effect: RFC 9110, 15.5.2, says so of this answer and of no other.
fn was_not_applied(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}

pub(super) fn url<B>(request: &Request<B>) -> String {
    let uri = request.uri();
    let authority = uri.authority().map_or("", |it| it.as_str().rsplit('@').next().unwrap_or_default());
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    format!("{}://{authority}{path}", uri.scheme_str().unwrap_or("?"))
}

fn deny(shared: &Shared, trace: &mut Trace, denial: Denial) -> Error {
    trace.exchange().denied = Some(denial.to_string());
    trace.exchange().error = None;
    shared.deny("request-denied", denial);
    Error::HttpRequestDenied
}

/// What a person has to know of an answer with 401, which looks the same whether a credential was sent or not.
fn unauthenticated(connection: &Connection, sent: bool) -> String {
    let name = &connection.name;
    let how = match &connection.authentication {
        _ if !sent => return format!("`{name}` answered with 401, and the connection sends no credential"),
        Authentication::None | Authentication::Kubeconfig { .. } => "its credential".to_owned(),
        Authentication::Basic { username, .. } => format!("the password of `{username}`"),
        Authentication::Bearer { .. } => "the bearer token".to_owned(),
        Authentication::Header { header, .. } => format!("the value of the header `{header}`"),
        Authentication::OAuth2ClientCredentials { client_id, .. } => format!("a new token of the client `{client_id}`"),
    };
    format!("`{name}` answered with 401: {how} was sent and is not accepted")
}

fn forbidden_address(route: &Route, asked: &str, address: std::net::IpAddr, reach: Reach) -> Denial {
    let name = &route.connection.name;
    let remedy = match reach {
        Reach::Never => format!("{address} is an address that no connection may lead to"),
        Reach::Private | Reach::Public => {
            format!(
                "its address is {address}; if it belongs there: `windlass connection change {name} --private-network`"
            )
        }
    };
    Denial { asked: asked.to_owned(), missing: Missing::PrivateNetwork, remedy }
}

enum Failed {
    Forbidden(std::net::IpAddr, Reach),
    Credential(CredentialError),
    Request {
        text: String,
        error: Error,
        /// Whether anything of it may have been.
        was_sent: bool,
    },
}

/// Adds the credential and sends; once more with a new token if the first was not taken. Answers with
/// whether a credential was added.
async fn exchange(
    shared: &Shared,
    route: &Route,
    request: Request<WasiBody>,
    options: RequestOptions,
    trace: &mut Trace,
) -> Result<(Response<Incoming>, bool), Failed> {
    let connection = &route.connection;
    let credential_of =
        async |renew: Option<&Credential>| credential(shared, connection, renew).await.map_err(Failed::Credential);
    let (mut parts, body) = request.into_parts();
    for refused in [HOST, EXPECT, TE, TRAILER] {
        parts.headers.remove(refused);
    }
    parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let says_length = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|it| parts.headers.contains_key(it));
    if body.is_end_stream() && !says_length && matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
        // RFC 9110, 8.6: such a request says that it has no body; some servers refuse one that does not.
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // Neither the guest's version nor its extensions have a meaning for the connection.
    let prepare = |credential: Option<&Credential>, body: WasiBody, trace: &Trace| {
        let mut request = Request::new(CountedBody::new(body, trace).boxed_unsync());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        if let Some(Credential { header, value, .. }) = credential {
            request.headers_mut().insert(header, value.clone());
        }
        request
    };
    let first = credential_of(None).await?;
    let repeatable = first.as_ref().is_some_and(|it| it.renewable);
    let (body, kept) = if repeatable { keep(body).await? } else { (body, None) };
    let response = deliver(shared, connection.private_network, prepare(first.as_ref(), body, trace), options).await?;
    match kept {
        Some(body) if response.status() == StatusCode::UNAUTHORIZED => {
            let second = credential_of(first.as_ref()).await?;
            drop(response);
            trace.sent_again();
            let request = prepare(second.as_ref(), whole(body), trace);
            Ok((deliver(shared, connection.private_network, request, options).await?, true))
        }
        _ => Ok((response, first.is_some())),
    }
}

pub(super) fn whole(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// Reads a body so that it can be sent twice; one that is too large is sent once, as it comes.
async fn keep(mut body: WasiBody) -> Result<(WasiBody, Option<Bytes>), Failed> {
    let mut kept: Vec<u8> = Vec::new();
    while kept.len() <= REPEATABLE_BYTES_MAX {
        match body.frame().await {
            None => {
                let kept = Bytes::from(kept);
                return Ok((whole(kept.clone()), Some(kept)));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    kept.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => {
                return Err(Failed::Request { text: error.to_string(), error, was_sent: false });
            }
        }
    }
    let begun = futures::stream::once(std::future::ready(Ok(http_body::Frame::data(Bytes::from(kept)))));
    let rest = futures::stream::unfold(body, async |mut body| body.frame().await.map(|it| (it, body)));
    let stream = futures::StreamExt::chain(begun, rest);
    Ok((http_body_util::StreamBody::new(stream).boxed_unsync(), None))
}

async fn deliver(
    shared: &Shared,
    private_network: bool,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<Incoming>, Failed> {
    let sending = shared.sandbox.http.client(private_network).request(request);
    let sent = match options.first_byte_timeout {
        Some(time_max) => {
            let connecting = options.connect_timeout.unwrap_or_default();
            tokio::time::timeout(time_max.saturating_add(connecting), sending).await.map_err(|_| Failed::Request {
                text: "no answer in the time that the plugin allows".to_owned(),
                error: Error::HttpResponseTimeout,
                was_sent: true,
            })?
        }
        None => sending.await,
    };
    sent.map_err(|error| match explain::connect_error(&error) {
        Some(ConnectError::Forbidden { address, reach, .. }) => Failed::Forbidden(*address, *reach),
        _ => Failed::Request {
            text: explain::request_error(&error),
            error: explain::for_guest(&error),
            was_sent: !error.is_connect(),
        },
    })
}

/// The response as the guest gets it. Redirects are answers like any other.
fn answer(
    shared: &Shared,
    response: Response<Incoming>,
    authenticated: bool,
    options: RequestOptions,
    mut trace: Trace,
) -> Result<Response<WasiBody>, Error> {
    let (parts, body) = response.into_parts();
    trace.exchange().status = Some(parts.status.as_u16());
    let mut fail = |error: Error| {
        trace.exchange().error = Some(error.to_string());
        trace.guest_error(&error);
        Err(error)
    };
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return fail(Error::HttpUpgradeFailed);
    }
    if let Some(encoding) = unreadable_encoding(&parts.headers)
        && authenticated
    {
        // It was not asked for, and what is compressed cannot be scrubbed.
        let encoding = shared.scrubber().text(String::from_utf8_lossy(encoding.as_bytes()).into_owned());
        return fail(Error::HttpResponseContentCoding(Some(encoding)));
    }
    let size: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if shared.spend_response_bytes(size).is_err() {
        return fail(Error::HttpResponseHeaderSectionSize(None));
    }
    let scrubber = shared.scrubber();
    let mut headers = scrubbed(&parts.headers, &scrubber);
    if !scrubber.is_empty() && !body.is_end_stream() {
        headers.remove(CONTENT_LENGTH);
    }
    trace.answered(parts.status.as_u16(), &headers);
    let body = ScrubbedBody::new(body, scrubber.stream(), trace, options.between_bytes_timeout);
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// What a body is encoded in, if it is not what it looks like.
fn unreadable_encoding(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_plain = |value: &HeaderValue, plain: &str| {
        let mut names = value.as_bytes().split(|it| *it == b',').map(<[u8]>::trim_ascii);
        names.all(|it| it.is_empty() || it.eq_ignore_ascii_case(plain.as_bytes()))
    };
    let contents = headers.get_all(CONTENT_ENCODING).iter().filter(|it| !is_plain(it, "identity"));
    let transfers = headers.get_all(TRANSFER_ENCODING).iter().filter(|it| !is_plain(it, "chunked"));
    contents.chain(transfers).next()
}

fn scrubbed(headers: &HeaderMap, scrubber: &Scrubber) -> HeaderMap {
    let mut clean = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        // A name cannot be rewritten; a server that puts a credential there loses the header.
        if scrubber.finds(name.as_str().as_bytes()) || *name == AUTHORIZATION {
            continue;
        }
        if let Ok(value) = HeaderValue::from_bytes(&scrubber.bytes(value.as_bytes())) {
            clean.append(name, value);
        }
    }
    clean
}
