//! What Prometheus Alertmanager's webhook sends, version "4", and what is kept of it.
//!
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_model::alert::Alert;
use windlass_model::digest::Digest;
use windlass_model::time::{Span, Timestamp};

use super::AlertError;

/// The largest body.
pub const ALERT_BODY_BYTES_MAX: usize = 1024 * 1024;

/// The most alerts in one body.
pub const ALERTS_PER_BODY_MAX: usize = 1000;

/// Labels of an alert, and bytes of all of them.
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 8 * 1024;

/// Annotations that are kept, and bytes of each; what is more is for people elsewhere, and no reason to pass over
/// an alert.
const ANNOTATIONS_MAX: usize = 16;
const ANNOTATION_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
struct Body {
    version: String,
    alerts: Vec<BodyAlert>,
}

#[derive(Deserialize)]
struct BodyAlert {
    status: Status,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    starts_at: String,
    /// Alertmanager sends one since version 0.19.
    #[serde(default)]
    fingerprint: String,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Status {
    Firing,
    Resolved,
}

/// What was sent.
#[derive(Debug, PartialEq)]
pub(super) struct Sent {
    /// Those that are firing, each once.
    pub(super) alerts: Vec<Alert>,
    /// Fingerprints of those that are over, and when they began.
    pub(super) resolved: Vec<(String, Timestamp)>,
}

/// How far ahead of this clock an alert's may be. One that fires later than now would count for releases that begin
/// after it came.
const AHEAD_MAX: Span = Span::seconds(60);

/// Reads a body that came now.
pub(super) fn read(body: &[u8], source: &str, now: Timestamp) -> Result<Sent, AlertError> {
    if body.len() > ALERT_BODY_BYTES_MAX {
        return Err(AlertError::TooLarge);
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => AlertError::Shape(error.to_string()),
        _ => AlertError::NoJson(error.to_string()),
    })?;
    if body.version != "4" {
        return Err(AlertError::Shape(format!("its version is {:?}", body.version)));
    }
    if body.alerts.len() > ALERTS_PER_BODY_MAX {
        return Err(AlertError::TooLarge);
    }
    let mut sent = Sent { alerts: Vec::new(), resolved: Vec::new() };
    for (at, alert) in body.alerts.into_iter().enumerate() {
        if alert.status == Status::Resolved {
            // They keep nothing from going on, whatever else is said of them.
            sent.resolved.extend(fingerprint(&alert).zip(alert.starts_at.parse().ok()));
            continue;
        }
        let alert = kept(alert, source, now).map_err(|why| AlertError::Shape(format!("alerts[{at}]: {why}")))?;
        if !sent.alerts.iter().any(|it| it.is_same(&alert)) {
            sent.alerts.push(alert);
        }
    }
    Ok(sent)
}

fn kept(alert: BodyAlert, source: &str, now: Timestamp) -> Result<Alert, String> {
    let fingerprint = fingerprint(&alert);
    let BodyAlert { labels, annotations, starts_at, .. } = alert;
    let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    if labels.is_empty() || labels.len() > LABELS_MAX || bytes > LABEL_BYTES_MAX {
        return Err(format!("an alert has 1 to {LABELS_MAX} labels of at most {LABEL_BYTES_MAX} bytes in all"));
    }
    let starts_at: Timestamp = starts_at.parse().map_err(|error| format!("`startsAt`: {error}"))?;
    if starts_at > now + AHEAD_MAX {
        return Err(format!("`startsAt` is {starts_at}, and it is {now} here: one of the two clocks is wrong"));
    }
    let fingerprint =
        fingerprint.ok_or_else(|| "`fingerprint` has at most 128 bytes and no control characters".to_owned())?;
    let annotations = annotations
        .into_iter()
        .filter(|(name, _)| name.len() <= ANNOTATION_BYTES_MAX)
        .take(ANNOTATIONS_MAX)
        .map(|(name, text)| (name, cut(text)))
        .collect();
    Ok(Alert { fingerprint, starts_at, labels, annotations, source: source.to_owned() })
}

/// What is the same for alerts with the same labels; none if what was given cannot be kept.
fn fingerprint(alert: &BodyAlert) -> Option<String> {
    match alert.fingerprint.as_str() {
        "" => {
            let text: String = alert.labels.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
            Some(Digest::of(text.as_bytes()).hex()[..16].to_owned())
        }
        given => (given.len() <= 128 && !given.chars().any(char::is_control)).then(|| given.to_owned()),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > ANNOTATION_BYTES_MAX {
        let mut end = ANNOTATION_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod fuzz {
    use windlass_fuzz::{Effort, TEXT, fuzz};

    use super::*;

    /// See `conformance/fuzz/README.md`.
    #[test]
    fn alert() {
        let label = |it: usize| format!("\"l{it}\":\"v\"");
        let labels: Vec<String> = (0..60).map(label).collect();
        let corpus: Vec<Vec<u8>> = [
            r#"{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"x"},"annotations":{"summary":"s"},"startsAt":"2024-01-01T00:00:00Z","fingerprint":"0123456789abcdef"},{"status":"resolved","labels":{"a":"b"},"startsAt":"2024-01-01T00:00:00.123+02:00"}]}"#.to_owned(),
            format!(r#"{{"version":"4","alerts":[{{"status":"firing","labels":{{{}}},"startsAt":"2024-01-01T00:00:00Z"}}]}}"#, labels.join(",")),
        ]
        .into_iter()
        .map(String::into_bytes)
        .collect();
        let words: &[&str] = &[
            "\"status\":",
            "\"firing\"",
            "{\"alerts\":[",
            "9999-12-31T23:59:59Z",
            "-9999-01-01T00:00:00Z",
            "\"labels\":{",
            "\u{1b}[2K",
        ];
        let now = Timestamp(1_800_000_000_000);
        fuzz("alert", Effort::of(3000), &corpus, &[TEXT, words].concat(), |bytes| match read(bytes, "prom", now) {
            Ok(sent) => {
                for alert in &sent.alerts {
                    assert!(alert.starts_at <= now + AHEAD_MAX, "{alert:?}");
                }
            }
            Err(error) => assert!((5..20_000).contains(&error.to_string().len()), "{error}"),
        });
    }
}
