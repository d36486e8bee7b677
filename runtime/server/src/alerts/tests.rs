//! What is read of a webhook's body, and what is refused.

use serde_json::{Value, json};

use windlass_model::time::Timestamp;

use super::AlertError;
use super::payload::{ALERT_BODY_BYTES_MAX, ALERTS_PER_BODY_MAX, read};

fn now() -> Timestamp {
    "2026-03-01T12:00:10Z".parse().expect("an instant")
}

fn alert(labels: Value) -> Value {
    json!({ "status": "firing", "labels": labels, "startsAt": "2026-03-01T12:00:00Z", "fingerprint": "f1" })
}

fn read_all(alerts: &[Value]) -> Result<super::payload::Sent, AlertError> {
    read(json!({ "version": "4", "alerts": alerts }).to_string().as_bytes(), "a test", now())
}

#[test]
fn what_fires_is_kept_once_and_what_is_resolved_is_not() {
    let one = alert(json!({ "alertname": "Slow" }));
    let mut other = one.clone();
    other["startsAt"] = "2026-03-01T12:00:01Z".into();
    let mut over = one.clone();
    over["status"] = "resolved".into();
    let sent = read_all(&[one.clone(), over, one, other]).expect("alerts");
    assert_eq!((sent.alerts.len(), sent.resolved.len()), (2, 1));
    assert_eq!(sent.alerts[0].name(), "Slow");
    assert_eq!(sent.alerts[0].starts_at, "2026-03-01T12:00:00Z".parse().expect("an instant"));
}

#[test]
fn without_a_fingerprint_labels_are_one() {
    let of = |labels: Value| {
        let mut alert = alert(labels);
        alert["fingerprint"] = "".into();
        read_all(&[alert]).expect("an alert").alerts.remove(0).fingerprint
    };
    let one = of(json!({ "alertname": "Slow", "service": "a" }));
    assert_eq!(one, of(json!({ "service": "a", "alertname": "Slow" })));
    assert_ne!(one, of(json!({ "alertname": "Slow", "service": "b" })));
    assert_eq!(one.len(), 16);
}

#[test]
fn long_annotations_are_cut_and_no_reason_to_pass_over_an_alert() {
    let mut long = alert(json!({ "alertname": "Slow" }));
    long["annotations"] = (0..40).map(|it| (format!("a{it:02}"), Value::from("ä".repeat(2000)))).collect();
    let alert = read_all(&[long]).expect("an alert").alerts.remove(0);
    assert_eq!(alert.annotations.len(), 16);
    assert!(alert.annotations.values().all(|it| it.len() <= 1024 + '…'.len_utf8() && it.ends_with("ä…")));
}

#[test]
fn anything_else_is_refused_with_what_is_wrong() {
    let labels: Value = (0..65).map(|it| (format!("l{it}"), Value::from("x"))).collect();
    let mut late = alert(json!({ "alertname": "Slow" }));
    late["startsAt"] = "yesterday".into();
    let mut ahead = alert(json!({ "alertname": "Slow" }));
    ahead["startsAt"] = "2026-03-01T12:01:11Z".into();
    let mut odd = alert(json!({ "alertname": "Slow" }));
    odd["fingerprint"] = "a\u{1b}[31m".into();
    for (alerts, says) in [
        (vec![alert(json!({}))], "alerts[0]: an alert has 1 to 64 labels"),
        (vec![alert(labels)], "1 to 64 labels"),
        (vec![alert(json!({ "alertname": "x".repeat(9000) }))], "at most 8192 bytes"),
        (vec![alert(json!({ "a": "b" })), late], "alerts[1]: `startsAt`: `yesterday` is no instant"),
        (vec![ahead], "one of the two clocks is wrong"),
        (vec![odd], "no control characters"),
        (vec![json!({ "labels": {} })], "missing field `status`"),
        (vec![alert(json!({ "alertname": ["Slow"] }))], "invalid type"),
    ] {
        let error = read_all(&alerts).expect_err(says);
        assert!(matches!(error, AlertError::Shape(_)) && error.to_string().contains(says), "{says}: {error}");
    }
    let many = vec![alert(json!({ "alertname": "Slow" })); ALERTS_PER_BODY_MAX + 1];
    assert!(matches!(read_all(&many), Err(AlertError::TooLarge)));
    assert!(matches!(read(&vec![b' '; ALERT_BODY_BYTES_MAX + 1], "a test", now()), Err(AlertError::TooLarge)));
    for (bytes, is_json) in
        [(&b""[..], false), (b"{", false), (b"\xff", false), (b"[]", true), (b"{\"alerts\":[]}", true)]
    {
        let error = read(bytes, "a test", now()).expect_err("no alerts");
        assert_eq!(matches!(error, AlertError::Shape(_)), is_json, "{error}");
    }
}
