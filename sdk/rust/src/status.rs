//! What an HTTP status or a lost connection means for the retry policy.

use crate::failure::{Failure, FailureClass};
use crate::http::{Method, TransportError, TransportErrorKind};
use serde_json::Value;
use std::time::Duration;

/// The longest wait that a server can ask for and get.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// The failure that a status stands for.
pub(crate) fn status_failure(
    method: Method,
    url: &str,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> Failure {
    let class = class(status);
    let place = without_query(url);
    let said = said(body);
    let colon = if said.is_empty() { "" } else { ": " };
    let hint = match status {
        300..=399 => " (redirects are not followed: is the connection's address right?)",
        _ => "",
    };
    let message = format!("{method} {place} was answered with {status}{hint}{colon}{said}");
    let failure = Failure::new(class, format!("http-{status}"), message).detail("status", status);
    match class {
        FailureClass::RateLimited | FailureClass::Transient => match retry_after(headers) {
            Some(wait) => failure.after(wait),
            None => failure,
        },
        _ => failure,
    }
}

/// The failure that a missing response stands for.
pub(crate) fn transport_failure(method: Method, url: &str, error: &TransportError) -> Failure {
    let place = without_query(url);
    let with = |code: &str, class| Failure::new(class, code, format!("{method} {place}: {error}"));
    match error.kind {
        TransportErrorKind::Denied => Failure::forbidden(
            "request-denied",
            format!("the host denied {method} {place}: the action has to ask for it among the requests of its role, and the connection to allow it"),
        )
        .never(),
        TransportErrorKind::NotConnected => with("not-connected", FailureClass::Transient),
        TransportErrorKind::Untrusted => with("untrusted", FailureClass::Unauthenticated),
        TransportErrorKind::Interrupted => with("interrupted", FailureClass::Transient),
        TransportErrorKind::TimedOut => with("timed-out", FailureClass::TimedOut),
        TransportErrorKind::TooLarge => with("too-large", FailureClass::Internal).never(),
        TransportErrorKind::BadRequest => with("bad-request", FailureClass::Internal).never(),
        TransportErrorKind::Other => with("transport", FailureClass::Transient),
    }
}

fn class(status: u16) -> FailureClass {
    match status {
        400 | 422 => FailureClass::Invalid,
        401 | 407 => FailureClass::Unauthenticated,
        403 => FailureClass::Forbidden,
        404 | 410 => FailureClass::NotFound,
        408 | 504 => FailureClass::TimedOut,
        409 | 412 | 423 | 425 => FailureClass::Conflict,
        429 => FailureClass::RateLimited,
        501 | 505 => FailureClass::Internal,
        500.. => FailureClass::Transient,
        _ => FailureClass::Internal,
    }
}

/// `Retry-After` in seconds, its usual form here; a date asks for the wait between it and `Date`.
fn retry_after(headers: &[(String, String)]) -> Option<Duration> {
    let header = |name: &str| {
        let mut headers = headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let value = header("retry-after")?;
    let wait = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => http_date(value)?.saturating_sub(http_date(header("date")?)?),
    };
    Some(Duration::from_secs(wait).min(RETRY_AFTER_MAX))
}

/// Seconds since the Unix epoch of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|part| *part <= 60));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (153 * shifted_month + 2) / 5
        + day
        - 1
        - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(place, _)| place)
}

/// What the body says, on one line: a JSON error's message, or text without markup.
fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(json) => message_of(&json).unwrap_or_else(|| json.to_string()),
        Err(_) => without_markup(&String::from_utf8_lossy(body)),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 500 { line.chars().take(500).chain(['…']).collect() } else { line }
}

fn message_of(json: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let of = |object: &Value| {
        let parts: Vec<String> = ["message", "detail", "error_description"]
            .iter()
            .filter_map(|name| object.get(name).and_then(text))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" – "))
    };
    json.get("error")
        .and_then(|error| of(error).or_else(|| text(error)))
        .or_else(|| of(json))
        .or_else(|| json.pointer("/errors/0").and_then(|error| of(error).or_else(|| text(error))))
}

fn without_markup(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return text.to_owned();
    }
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        plain.push_str(before);
        plain.push(' ');
        let name = after.trim_start().to_ascii_lowercase();
        let end = ["script", "style"].iter().find(|tag| name.starts_with(**tag));
        let inner = match end {
            Some(tag) => after.split_once(&format!("</{tag}")).map_or("", |(_, after)| after),
            None => after,
        };
        rest = inner.split_once('>').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::RetryAdvice;

    fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        status_failure(Method::Get, "https://ci.test/a?q=1", status, &headers, body.as_bytes())
    }

    #[test]
    fn every_status_has_the_class_that_a_policy_can_act_on() {
        use FailureClass::*;
        for (status, class) in [
            (302, Internal),
            (400, Invalid),
            (401, Unauthenticated),
            (403, Forbidden),
            (404, NotFound),
            (405, Internal),
            (408, TimedOut),
            (409, Conflict),
            (422, Invalid),
            (423, Conflict),
            (429, RateLimited),
            (500, Transient),
            (501, Internal),
            (502, Transient),
            (503, Transient),
            (504, TimedOut),
            (599, Transient),
        ] {
            assert_eq!(failure(status, &[], "").class, class, "{status}");
        }
    }

    #[test]
    fn retry_after_becomes_the_advice() {
        assert_eq!(failure(429, &[("Retry-After", "7")], "").retry, RetryAdvice::After(Duration::from_secs(7)));
        let dates = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")];
        assert_eq!(failure(503, &dates, "").retry, RetryAdvice::After(Duration::from_secs(23)));
        assert_eq!(failure(429, &[("Retry-After", "99999999999")], "").retry, RetryAdvice::After(RETRY_AFTER_MAX));
        for wrong in ["soon", "-1", "Sun, 99 Nov 1994 08:50:00 GMT", "Sun, 06 Nov"] {
            assert_eq!(failure(429, &[("Retry-After", wrong)], "").retry, RetryAdvice::ByPolicy, "{wrong}");
        }
        assert_eq!(failure(404, &[("Retry-After", "7")], "").retry, RetryAdvice::ByPolicy);
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    }

    #[test]
    fn the_message_says_what_the_server_said_and_never_the_query() {
        for (body, expected) in [
            (
                r#"{"error":{"message":"No Record found","detail":"Record doesn't exist"},"status":"failure"}"#,
                "No Record found – Record doesn't exist",
            ),
            (r#"{"message":"no"}"#, "no"),
            (r#"{"error":"invalid_client","error_description":"who?"}"#, "invalid_client"),
            (r#"{"errors":[{"message":"first"}]}"#, "first"),
            ("<html><style>x{}</style><body><h1>HTTP  403</h1>No valid crumb</body></html>", "HTTP 403 No valid crumb"),
            ("<script>never ends", ""),
            ("plain\nwords", "plain words"),
            ("", ""),
        ] {
            assert_eq!(said(body.as_bytes()), expected);
        }
        assert_eq!(failure(404, &[], "nothing").message, "GET https://ci.test/a was answered with 404: nothing");
        assert_eq!(said("é".repeat(600).as_bytes()).chars().count(), 501);
    }

    #[test]
    fn a_denial_is_never_retried_and_a_lost_connection_is() {
        let denied = TransportError::new(TransportErrorKind::Denied, "x");
        let failure = transport_failure(Method::Post, "https://a/b", &denied);
        assert_eq!(
            (failure.class, failure.code.as_str(), failure.retry),
            (FailureClass::Forbidden, "request-denied", RetryAdvice::Never)
        );
        let lost = TransportError::new(TransportErrorKind::Interrupted, "the connection ended");
        assert!(transport_failure(Method::Post, "https://a/b", &lost).class.passes());
        assert!(!lost.certainly_not_sent());
        assert!(denied.certainly_not_sent());
    }
}
