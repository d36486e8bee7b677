//! Alerts over the network: `POST BASE/alerts/SOURCE`, as Alertmanager's webhook sends them.
//!
//! 200 means that it is durable wherever it concerns a release, also when it came before. Every other answer is one
//! of a few texts: 400 (no JSON), 401 (nobody who may send alerts; no word on why), 405, 408, 413, 422 (not what
//! Alertmanager sends), 503 (it could not be recorded, or the secret could not be read).

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};

use super::source::{AlertSourceView, Shown};
use super::{ALERT_BODY_BYTES_MAX, AlertError, AlertsTaken};
use crate::callbacks::BODY_TIME;
use crate::runtime::{Runtime, RuntimeError};

/// A refusal: its status, and what to say.
pub(crate) type Refused = (StatusCode, String);

const NOBODY: &str = "who may send alerts here says so with a token or a signature";

fn refuse(status: StatusCode, text: impl ToString) -> Refused {
    (status, text.to_string())
}

/// Takes a request.
pub(crate) async fn take(runtime: Runtime, source: &str, request: Request<Incoming>) -> Result<AlertsTaken, Refused> {
    if request.method() != Method::POST {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "alerts come in a POST"));
    }
    let source = match runtime.alert_source(source) {
        Ok(source) => source.ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, NOBODY))?,
        Err(error) => return Err(later(&error)),
    };
    let (head, body) = request.into_parts();
    if source.is_known_by_head() {
        check(&source, &Shown { headers: &head.headers, body: &[] })?;
    }
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, AlertError::TooLarge);
    if body.size_hint().lower() > ALERT_BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body: Bytes = match tokio::time::timeout(BODY_TIME, Limited::new(body, ALERT_BODY_BYTES_MAX).collect()).await {
        Err(_) => return Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Ok(Ok(body)) => body.to_bytes(),
    };
    check(&source, &Shown { headers: &head.headers, body: &body })?;
    let by = format!("webhook {}", source.name);
    // To its end, also when whoever called goes away.
    let taken = tokio::spawn(async move { runtime.take_alerts(&body, &by).await }).await;
    match taken {
        Ok(Ok(taken)) => Ok(taken),
        Ok(Err(RuntimeError::Alert(error))) => Err(refuse(status_of(&error), error)),
        Ok(Err(error)) => Err(later(&error)),
        Err(error) => Err(later(&error)),
    }
}

fn check(source: &AlertSourceView, shown: &Shown<'_>) -> Result<(), Refused> {
    match source.is_from(shown) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refuse(StatusCode::UNAUTHORIZED, NOBODY)),
        Err(error) => {
            tracing::error!(source = %source.name, %error, "who sends alerts cannot be known");
            Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "who sends this cannot be known now; try again later"))
        }
    }
}

fn later(error: &dyn std::fmt::Display) -> Refused {
    tracing::error!(%error, "an alert could not be recorded");
    refuse(StatusCode::SERVICE_UNAVAILABLE, "it could not be recorded; try again later")
}

/// What a refusal of alerts is in HTTP.
pub(crate) fn status_of(error: &AlertError) -> StatusCode {
    match error {
        AlertError::NoJson(_) => StatusCode::BAD_REQUEST,
        AlertError::Shape(_) | AlertError::Unresolved(_) => StatusCode::UNPROCESSABLE_ENTITY,
        AlertError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        AlertError::UnknownSource { .. } => StatusCode::NOT_FOUND,
    }
}
