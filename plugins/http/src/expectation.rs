//! What a healthy answer looks like.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use windlass_sdk::HumanDuration;

/// What is expected of every probe.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    /// Statuses; any 2xx if none are given.
    #[serde(default)]
    statuses: Vec<u16>,
    /// Text that the body contains.
    body_contains: Option<String>,
    /// Values in a JSON body.
    #[serde(default)]
    json: Vec<JsonExpectation>,
    /// The longest that the answer may take.
    latency_max: Option<HumanDuration>,
}

/// A value in a JSON body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JsonExpectation {
    /// JSON Pointer (RFC 6901): `/checks/0/status`.
    pointer: String,
    /// What is there.
    equals: Value,
}

impl Expectation {
    /// What is not as expected, first thing first; none if all is.
    pub(crate) fn problem(&self, status: u16, body: &[u8], latency: Duration) -> Option<String> {
        let status_expected =
            if self.statuses.is_empty() { (200..300).contains(&status) } else { self.statuses.contains(&status) };
        if !status_expected {
            return Some(format!("status {status}"));
        }
        if let Some(latency_max) = self.latency_max
            && latency > latency_max.0
        {
            return Some(format!("took {} ms, more than {latency_max}", latency.as_millis()));
        }
        if let Some(text) = &self.body_contains
            && !String::from_utf8_lossy(body).contains(text)
        {
            return Some(format!("the body does not contain `{text}`"));
        }
        if self.json.is_empty() {
            return None;
        }
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            return Some("the body is no JSON".to_owned());
        };
        self.json.iter().find_map(|expected| match json.pointer(&expected.pointer) {
            Some(value) if *value == expected.equals => None,
            Some(value) => Some(format!("`{}` is {}, not {}", expected.pointer, short(value), expected.equals)),
            None => Some(format!("the body has no `{}`", expected.pointer)),
        })
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 100 { text.chars().take(100).chain(['…']).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_expectation_can_fail() {
        let up = br#"{"status":"up","checks":[{"db":true}]}"#;
        for (expectation, status, body, millis, expected) in [
            (json!({}), 204, &b""[..], 1, None),
            (json!({}), 503, &b""[..], 1, Some("status 503")),
            (json!({ "statuses": [503] }), 503, &b""[..], 1, None),
            (json!({ "statuses": [200] }), 204, &b""[..], 1, Some("status 204")),
            (json!({ "latency_max": "200ms" }), 200, &b""[..], 200, None),
            (json!({ "latency_max": "200ms" }), 200, &b""[..], 201, Some("took 201 ms, more than 200ms")),
            (json!({ "body_contains": "up" }), 200, &up[..], 1, None),
            (json!({ "body_contains": "down" }), 200, &up[..], 1, Some("the body does not contain `down`")),
            (json!({ "json": [{ "pointer": "/checks/0/db", "equals": true }] }), 200, &up[..], 1, None),
            (
                json!({ "json": [{ "pointer": "/status", "equals": "ok" }] }),
                200,
                &up[..],
                1,
                Some("`/status` is \"up\", not \"ok\""),
            ),
            (
                json!({ "json": [{ "pointer": "/version", "equals": 1 }] }),
                200,
                &up[..],
                1,
                Some("the body has no `/version`"),
            ),
            (
                json!({ "json": [{ "pointer": "/status", "equals": "up" }] }),
                200,
                &b"<html>"[..],
                1,
                Some("the body is no JSON"),
            ),
        ] {
            let read: Expectation = serde_json::from_value(expectation.clone()).expect("it is an expectation");
            let problem = read.problem(status, body, Duration::from_millis(millis));
            assert_eq!(problem.as_deref(), expected, "{expectation}");
        }
    }
}
