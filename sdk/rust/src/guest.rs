//! The component's side of the contract: the imports behind [`Host`], and the types of the exports.

use crate::bindings::exports::windlass::plugin::step as exported;
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types as wasi_http;
use crate::bindings::wasi::http::types::ErrorCode;
use crate::bindings::wasi::io::poll;
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use crate::bindings::windlass::plugin::step_types as contract;
use crate::bindings::windlass::plugin::{callbacks, checkpoint, connections, log as log_import, progress, tools};
use crate::call::{Call, Operation, RawOutcome};
use crate::failure::{Failure, FailureClass, RetryAdvice};
use crate::host::{
    Begun, BodyReader, CallbackAddress, Connection, Host, Level, Slot, ToolCommand, ToolError, ToolProcess, ToolStream,
    WireRequest, WireResponse,
};
use crate::http::{Method, TransportError, TransportErrorKind};
use crate::outcome::{CallbackEvent, Event, Suspension, Wake};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Makes the exports of a plugin; part of [`plugin!`](crate::plugin!).
#[doc(hidden)]
#[macro_export]
macro_rules! guest_exports {
    ($component:ident, $plugin:path) => {
        impl $crate::guest::Guest for $component {
            fn manifest() -> String {
                $plugin().manifest().to_string()
            }
            fn start(call: $crate::guest::WireCall) -> Result<$crate::guest::WireOutcome, $crate::guest::WireFailure> {
                $crate::guest::answer($plugin().start(&$crate::guest::Imports, &$crate::guest::call(call)))
            }
            fn resume(
                call: $crate::guest::WireCall,
                state: Vec<u8>,
                event: $crate::guest::WireEvent,
            ) -> Result<$crate::guest::WireOutcome, $crate::guest::WireFailure> {
                let (call, event) = ($crate::guest::call(call), $crate::guest::event(event));
                $crate::guest::answer($plugin().resume(&$crate::guest::Imports, &call, &state, event))
            }
            fn cancel(
                call: $crate::guest::WireCall,
                state: Option<Vec<u8>>,
            ) -> Result<$crate::guest::WireOutcome, $crate::guest::WireFailure> {
                let call = $crate::guest::call(call);
                $crate::guest::answer($plugin().cancel(&$crate::guest::Imports, &call, state.as_deref()))
            }
            fn rollback(
                call: $crate::guest::WireCall,
            ) -> Result<$crate::guest::WireOutcome, $crate::guest::WireFailure> {
                $crate::guest::answer($plugin().rollback(&$crate::guest::Imports, &$crate::guest::call(call)))
            }
            fn find(
                call: $crate::guest::WireCall,
            ) -> Result<Option<$crate::guest::WireOutcome>, $crate::guest::WireFailure> {
                $crate::guest::found($plugin().find(&$crate::guest::Imports, &$crate::guest::call(call)))
            }
        }
    };
}

pub use exported::{Call as WireCall, Event as WireEvent, Failure as WireFailure, Guest, Outcome as WireOutcome};

/// The contract's call in plain types.
pub fn call(call: WireCall) -> Call {
    Call {
        action: call.action,
        operation: match call.operation {
            contract::Operation::Start => Operation::Start,
            contract::Operation::Cancel => Operation::Cancel,
            contract::Operation::Rollback => Operation::Rollback,
        },
        release: call.release,
        step: call.step,
        attempt: call.attempt,
        idempotency_key: call.idempotency_key,
        deadline: call.deadline,
        dry_run: call.dry_run,
        input: call.input,
        output: call.output,
        context: call.context,
    }
}

/// The contract's event in plain types.
pub fn event(event: WireEvent) -> Event {
    match event {
        WireEvent::Timer => Event::Timer,
        WireEvent::Callback(callback) => {
            Event::Callback(CallbackEvent { topic: callback.topic, headers: callback.headers, body: callback.body })
        }
    }
}

/// An answer in the contract's types.
pub fn answer(answer: Result<RawOutcome, Failure>) -> Result<WireOutcome, WireFailure> {
    answer.map(outcome).map_err(failure)
}

/// What was found in the contract's types.
pub fn found(found: Result<Option<RawOutcome>, Failure>) -> Result<Option<WireOutcome>, WireFailure> {
    found.map(|found| found.map(outcome)).map_err(failure)
}

fn outcome(outcome: RawOutcome) -> WireOutcome {
    match outcome {
        RawOutcome::Done(output) => WireOutcome::Done(output),
        RawOutcome::Suspended(Suspension { state, wakes, status }) => {
            let wakes = wakes.into_iter().map(wake).collect();
            WireOutcome::Suspended(contract::Suspension { state, wakes, status })
        }
    }
}

fn wake(wake: Wake) -> contract::Wake {
    match wake {
        Wake::After(wait) => contract::Wake::After(millis(wait)),
        Wake::At(time) => contract::Wake::At(millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())),
        Wake::Callback(topic) => contract::Wake::Callback(topic),
    }
}

fn failure(failure: Failure) -> WireFailure {
    WireFailure {
        class: match failure.class {
            FailureClass::Transient => contract::FailureClass::Transient,
            FailureClass::RateLimited => contract::FailureClass::RateLimited,
            FailureClass::TimedOut => contract::FailureClass::TimedOut,
            FailureClass::Unauthenticated => contract::FailureClass::Unauthenticated,
            FailureClass::Forbidden => contract::FailureClass::Forbidden,
            FailureClass::NotFound => contract::FailureClass::NotFound,
            FailureClass::Conflict => contract::FailureClass::Conflict,
            FailureClass::Invalid => contract::FailureClass::Invalid,
            FailureClass::Rejected => contract::FailureClass::Rejected,
            FailureClass::Canceled => contract::FailureClass::Canceled,
            FailureClass::Internal => contract::FailureClass::Internal,
        },
        code: failure.code,
        message: failure.message,
        retry: match failure.retry {
            RetryAdvice::ByPolicy => contract::RetryAdvice::ByPolicy,
            RetryAdvice::After(wait) => contract::RetryAdvice::After(millis(wait)),
            RetryAdvice::Never => contract::RetryAdvice::Never,
            RetryAdvice::Pause => contract::RetryAdvice::Pause,
        },
        details: failure.details,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The imports of the component.
pub struct Imports;

impl Host for Imports {
    fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let level = match level {
            Level::Trace => log_import::Level::Trace,
            Level::Debug => log_import::Level::Debug,
            Level::Info => log_import::Level::Info,
            Level::Warn => log_import::Level::Warn,
            Level::Error => log_import::Level::Error,
        };
        log_import::log(level, message, fields);
    }

    fn status(&self, text: &str) {
        progress::status(text);
    }

    fn percent(&self, value: u8) {
        progress::percent(value);
    }

    fn link(&self, title: &str, url: &str) {
        progress::link(title, url);
    }

    fn connection(&self, role: &str) -> Option<Connection> {
        connections::get(role).map(|connection| Connection {
            name: connection.name,
            base_url: connection.base_url,
            properties: connection.properties,
        })
    }

    fn begin(&self, name: &str) -> Begun {
        match checkpoint::begin(name) {
            checkpoint::Begun::Fresh(slot) => Begun::Fresh(Box::new(ImportedSlot(slot))),
            checkpoint::Begun::Recorded(answer) => Begun::Recorded(answer),
        }
    }

    fn callback(&self) -> CallbackAddress {
        let callback = callbacks::create();
        CallbackAddress { topic: callback.topic, url: callback.url }
    }

    fn send(&self, request: WireRequest) -> Result<WireResponse, TransportError> {
        send(request)
    }

    fn run_tool(&self, command: ToolCommand) -> Result<Box<dyn ToolProcess>, ToolError> {
        let process = tools::run(&tools::Command {
            tool: command.tool,
            arguments: command.arguments,
            connection: command.connection,
            files: command.files,
            stdin: command.stdin,
        })
        .map_err(tool_error)?;
        let streams = vec![(ToolStream::Stdout, process.stdout()), (ToolStream::Stderr, process.stderr())];
        Ok(Box::new(ImportedProcess { streams, process }))
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        // The first use is the start that it counts from.
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

struct ImportedSlot(checkpoint::Slot);

impl Slot for ImportedSlot {
    fn finish(self: Box<Self>, value: &[u8]) {
        checkpoint::Slot::finish(self.0, value);
    }
}

/// The streams come before the process, whose children they are, so that they are dropped first.
struct ImportedProcess {
    streams: Vec<(ToolStream, InputStream)>,
    process: tools::Process,
}

impl ToolProcess for ImportedProcess {
    fn read(&mut self) -> Option<(ToolStream, Vec<u8>)> {
        while !self.streams.is_empty() {
            let ready = {
                let pollables: Vec<_> = self.streams.iter().map(|(_, stream)| stream.subscribe()).collect();
                poll::poll(&pollables.iter().collect::<Vec<_>>())
            };
            let index = ready.first().map_or(0, |index| *index as usize);
            let (name, stream) = &self.streams[index];
            match stream.read(CHUNK_BYTES) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some((*name, bytes)),
                Err(_) => drop(self.streams.remove(index)),
            }
        }
        None
    }

    fn wait(&mut self) -> Result<i32, ToolError> {
        self.process.wait().map_err(tool_error)
    }
}

fn tool_error(error: tools::ToolError) -> ToolError {
    match error {
        tools::ToolError::Denied(grant) => ToolError::Denied(grant),
        tools::ToolError::NotStarted(why) => ToolError::NotStarted(why),
        tools::ToolError::TimedOut => ToolError::TimedOut,
        tools::ToolError::OutputLimit => ToolError::OutputLimit,
        tools::ToolError::Killed(signal) => ToolError::Killed(signal),
    }
}

const CHUNK_BYTES: u64 = 64 * 1024;

fn send(request: WireRequest) -> Result<WireResponse, TransportError> {
    let bad = |what: &str| TransportError::new(TransportErrorKind::BadRequest, what);
    let address = Address::of(&request.url).ok_or_else(|| bad("the connection's address is no http or https URL"))?;
    let fields: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let headers =
        wasi_http::Fields::from_list(&fields).map_err(|error| bad(&format!("a header is not allowed: {error:?}")))?;
    if let Some(body) = &request.body {
        // Known in advance, so that the request is not chunked. A host that counts by itself may refuse the header.
        let _ = headers.set("content-length", &[body.len().to_string().into_bytes()]);
    }
    let outgoing = wasi_http::OutgoingRequest::new(headers);
    let method = match request.method {
        Method::Get => wasi_http::Method::Get,
        Method::Head => wasi_http::Method::Head,
        Method::Post => wasi_http::Method::Post,
        Method::Put => wasi_http::Method::Put,
        Method::Patch => wasi_http::Method::Patch,
        Method::Delete => wasi_http::Method::Delete,
    };
    let scheme = if address.secure { wasi_http::Scheme::Https } else { wasi_http::Scheme::Http };
    outgoing.set_method(&method).map_err(|()| bad("the method is not allowed"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| bad("the scheme is not allowed"))?;
    outgoing.set_authority(Some(address.authority)).map_err(|()| bad("the address has no valid host"))?;
    outgoing.set_path_with_query(Some(address.path_and_query)).map_err(|()| bad("the path is not a valid one"))?;

    let options = wasi_http::RequestOptions::new();
    // A host without these options has its own timeouts.
    let _ = options.set_connect_timeout(Some(nanos(request.connect_timeout)));
    let _ = options.set_first_byte_timeout(Some(nanos(request.read_timeout)));
    let _ = options.set_between_bytes_timeout(Some(nanos(request.read_timeout)));

    // A body that is asked for and left empty is sent in chunks, which some servers refuse.
    let body = match &request.body {
        Some(bytes) => Some((outgoing.body().map_err(|()| bad("the request's body was taken already"))?, bytes)),
        None => None,
    };
    let pending = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| transport_error(&code))?;
    // The host answers early when it refuses or the connection breaks, and says why there, not on the stream.
    if let Some((body, bytes)) = body {
        if write_body(&body, bytes).is_ok() {
            wasi_http::OutgoingBody::finish(body, None).map_err(|code| transport_error(&code))?;
        } else {
            drop(body);
        }
    }
    let ready = pending.subscribe();
    ready.block();
    drop(ready);
    let response = pending
        .get()
        .and_then(Result::ok)
        .ok_or_else(|| TransportError::new(TransportErrorKind::Other, "the host gave no answer"))?
        .map_err(|code| transport_error(&code))?;
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .filter_map(|(name, value)| Some((name, String::from_utf8(value).ok()?)))
        .collect();
    let status = response.status();
    let body = response.consume().map_err(|()| bad("the response's body was taken already"))?;
    let stream = body.stream().map_err(|()| bad("the response's body was taken already"))?;
    Ok(WireResponse { status, headers, body: Box::new(ImportedBody { stream, _body: body, _response: response }) })
}

fn write_body(body: &wasi_http::OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let Ok(stream) = body.write() else {
        return Err(StreamError::Closed);
    };
    // What `blocking-write-and-flush` takes at once.
    for chunk in bytes.chunks(4096) {
        stream.blocking_write_and_flush(chunk)?;
    }
    Ok(())
}

/// A body with its parents, in the order in which they have to be dropped.
struct ImportedBody {
    stream: InputStream,
    _body: wasi_http::IncomingBody,
    _response: wasi_http::IncomingResponse,
}

impl BodyReader for ImportedBody {
    fn read(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        loop {
            match self.stream.blocking_read(CHUNK_BYTES) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(match wasi_http::http_error_code(&error) {
                        Some(code) => transport_error(&code),
                        None => TransportError::new(TransportErrorKind::Interrupted, error.to_debug_string()),
                    });
                }
            }
        }
    }
}

struct Address<'a> {
    secure: bool,
    authority: &'a str,
    path_and_query: &'a str,
}

impl<'a> Address<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let path_and_query = if path_and_query.is_empty() { "/" } else { path_and_query };
        Some(Self { secure, authority, path_and_query })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn transport_error(code: &ErrorCode) -> TransportError {
    use TransportErrorKind::{BadRequest, Denied, Interrupted, NotConnected, Other, TimedOut, TooLarge, Untrusted};
    let name = || format!("{code:?}").trim_start_matches("ErrorCode::").to_owned();
    let unconnected = |why: &str| (NotConnected, format!("no connection: {why}"));
    let (kind, message) = match code {
        ErrorCode::HttpRequestDenied => (Denied, "the host denied the request".to_owned()),
        ErrorCode::DestinationIpProhibited => (Denied, "the host does not allow this address".to_owned()),
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            unconnected("its name has no address")
        }
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => unconnected("it cannot be reached"),
        ErrorCode::ConnectionRefused => unconnected("it refuses connections"),
        ErrorCode::ConnectionTimeout => unconnected("it does not answer"),
        ErrorCode::ConnectionLimitReached => unconnected("there are too many connections"),
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => {
            unconnected("no secure connection could be agreed on")
        }
        ErrorCode::TlsCertificateError => {
            (Untrusted, "nothing was sent: the host does not trust the server's certificate".to_owned())
        }
        ErrorCode::ConnectionReadTimeout | ErrorCode::ConnectionWriteTimeout | ErrorCode::HttpResponseTimeout => {
            (TimedOut, "no answer in time".to_owned())
        }
        // What a connection that breaks in the middle looks like differs from host to host.
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete | ErrorCode::HttpProtocolError => {
            (Interrupted, "the connection ended before the answer was complete".to_owned())
        }
        ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => (TooLarge, format!("a limit was passed: {}", name())),
        ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::ConfigurationError => (BadRequest, format!("the request cannot be sent: {}", name())),
        ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::LoopDetected => (Other, format!("the answer cannot be read: {}", name())),
        ErrorCode::InternalError(said) => {
            (Other, said.clone().unwrap_or_else(|| "the host could not send it".to_owned()))
        }
    };
    TransportError::new(kind, message)
}
