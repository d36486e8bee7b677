//! What went wrong with a request: for the guest as an error code, for people as a text.
//!
//! **Invariant:** neither holds anything of the request.

use std::error::Error as _;
use std::io;

use hyper_util::client::legacy;
use wasmtime_wasi_http::Error;

use super::connect::ConnectError;

/// The error of the judging connector, where it was that one.
pub(crate) fn connect_error(error: &legacy::Error) -> Option<&ConnectError> {
    cause(error)
}

/// The first cause of this type, also below an [`io::Error`] made of another error.
fn cause<T: std::error::Error + 'static>(error: &legacy::Error) -> Option<&T> {
    let mut at = error.source();
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        at = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// What a person is told.
pub(crate) fn request_error(error: &legacy::Error) -> String {
    if let Some(error) = connect_error(error) {
        return error.to_string();
    }
    match cause::<rustls::Error>(error) {
        Some(rustls::Error::InvalidMessage(_)) => {
            return "no secure connection: what answers there speaks no TLS; is it `http`, and not `https`?".to_owned();
        }
        Some(error) => return format!("no secure connection: {error}"),
        None => {}
    }
    if error.is_connect() {
        return "no secure connection: the server ended it; does it speak TLS there (`https`)?".to_owned();
    }
    if let Some(error) = cause::<hyper::Error>(error) {
        return body_error(error).to_string();
    }
    "the request could not be sent".to_owned()
}

/// What the guest is told. An error of TLS is one of agreeing on it: nothing was sent.
pub(crate) fn for_guest(error: &legacy::Error) -> Error {
    if let Some(error) = connect_error(error) {
        return error.for_guest();
    }
    match cause::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(_)) => return Error::TlsCertificateError,
        _ if error.is_connect() => return Error::TlsProtocolError,
        _ => {}
    }
    cause::<hyper::Error>(error).map_or(Error::ConnectionTerminated, body_error)
}

/// An error of HTTP itself, without its text, which may repeat what was received.
pub(crate) fn body_error(error: &hyper::Error) -> Error {
    if error.is_timeout() {
        Error::ConnectionReadTimeout
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else {
        Error::ConnectionTerminated
    }
}
