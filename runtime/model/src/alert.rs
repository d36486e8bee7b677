//! Alerts: what a monitoring system says is wrong, and which of them a workflow wants to be rolled back by.
//!
//! A workflow names alerts by name and labels, with expressions over its parameters; a release has them resolved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::expression::Scope;
use crate::template::Template;
use crate::text::one_line;
use crate::time::{Span, Timestamp};

/// The label that holds an alert's name.
pub const NAME_LABEL: &str = "alertname";

/// How many alerts a workflow may name.
pub const ALERT_RULES_MAX: usize = 50;

/// Something that a monitoring system says is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for alerts with the same labels.
    pub fingerprint: String,
    /// Since when it is wrong. With the fingerprint it says which alert this is, however often it is sent.
    pub starts_at: Timestamp,
    /// What identifies it, its name included.
    pub labels: BTreeMap<String, String>,
    /// What it says to people: a summary, the values that it is about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who said so, and how that is known: `webhook prom`, `ana (local user ana)`.
    pub source: String,
}

impl Alert {
    /// Its name.
    pub fn name(&self) -> &str {
        self.labels.get(NAME_LABEL).map_or("without a name", String::as_str)
    }

    /// Whether this is the same alert, sent again.
    pub fn is_same(&self, other: &Alert) -> bool {
        self.fingerprint == other.fingerprint && self.starts_at == other.starts_at
    }

    /// `alert HighErrorRate (service=payments): 5 % of requests fail`
    pub fn in_words(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .filter(|(name, _)| *name != NAME_LABEL)
            .map(|(name, it)| format!("{name}={it}"))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
        let says = ["summary", "description", "message"].into_iter().find_map(|it| self.annotations.get(it));
        let says = says.map_or_else(String::new, |it| format!(": {it}"));
        one_line(&format!("alert {}{labels}{says}", self.name()))
    }
}

/// An alert that a workflow wants to be rolled back by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRule {
    /// What its labels are, each with expressions over parameters; at least one. The name is a label, too.
    pub labels: BTreeMap<String, Template>,
    /// How long after the release has succeeded it still counts; not at all when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilisation: Option<Span>,
    /// What it does.
    pub then: OnAlert,
}

/// What an alert does to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAlert {
    /// It is rolled back.
    #[default]
    Rollback,
    /// Nothing new starts, and somebody decides whether it is rolled back.
    AfterConfirmation,
}

impl OnAlert {
    /// Each with its name in files.
    pub const ALL: [(&'static str, OnAlert); 2] =
        [("rollback", OnAlert::Rollback), ("after_confirmation", OnAlert::AfterConfirmation)];
}

/// The labels of an alert that concerns a release, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertMatch {
    /// Which labels have which values.
    pub labels: BTreeMap<String, String>,
    /// How long after its success the release is still concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilisation: Option<Span>,
}

impl AlertMatch {
    /// Whether an alert is one of these.
    pub fn concerns(&self, alert: &Alert) -> bool {
        self.labels.iter().all(|(name, value)| alert.labels.get(name) == Some(value))
    }
}

/// A label that has no value for these parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the label `{label}` of an alert in `rollback.alerts` {why}")]
pub struct UnresolvedAlert {
    /// Which label.
    pub label: String,
    /// What is wrong.
    pub why: String,
}

impl AlertRule {
    /// The labels for a release with these parameters.
    pub fn resolve(&self, parameters: &Value) -> Result<AlertMatch, UnresolvedAlert> {
        let (nothing, no_step) = (Value::Object(Map::new()), |_: &str| None);
        let scope = Scope::new(parameters, &nothing, &no_step);
        let resolved = self.labels.iter().map(|(label, template)| {
            let refuse = |why: String| UnresolvedAlert { label: label.clone(), why };
            match template.evaluate(&scope).map_err(|error| refuse(format!("has no value: {error}")))? {
                Value::String(text) => Ok((label.clone(), text)),
                value @ (Value::Number(_) | Value::Bool(_)) => Ok((label.clone(), value.to_string())),
                other => Err(refuse(format!("is a text, and for these parameters it would be {other}"))),
            }
        });
        Ok(AlertMatch { labels: resolved.collect::<Result<_, _>>()?, stabilisation: self.stabilisation })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn alert(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Alert {
        Alert {
            fingerprint: "f1".to_owned(),
            starts_at: Timestamp(1),
            labels: texts(labels),
            annotations: texts(annotations),
            source: "a test".to_owned(),
        }
    }

    #[test]
    fn labels_are_resolved_and_all_of_them_count() {
        let template = |text: &str| Template::parse(&json!(text)).expect("a template");
        let labels = BTreeMap::from([
            ("alertname".to_owned(), template("HighErrorRate")),
            ("environment".to_owned(), template("${{ parameters.environment }}")),
        ]);
        let rule = AlertRule { labels, stabilisation: None, then: OnAlert::Rollback };
        let resolved = rule.resolve(&json!({ "environment": "eu" })).expect("resolved");
        for (labels, concerns) in [
            (&[("alertname", "HighErrorRate"), ("environment", "eu"), ("severity", "page")][..], true),
            (&[("alertname", "HighErrorRate"), ("environment", "us")], false),
            (&[("alertname", "HighErrorRate")], false),
            (&[("environment", "eu")], false),
        ] {
            assert_eq!(resolved.concerns(&alert(labels, &[])), concerns, "{labels:?}");
        }
        let error = rule.resolve(&json!({ "environment": ["eu"] })).expect_err("refused").to_string();
        assert!(error.contains("the label `environment`") && error.contains("is a text"), "{error}");
        assert!(rule.resolve(&json!({})).is_err());
    }

    #[test]
    fn an_alert_says_what_it_is_about() {
        let labels = &[("alertname", "Slow"), ("service", "payments")];
        assert_eq!(alert(labels, &[("summary", "p99 is 3 s")]).in_words(), "alert Slow (service=payments): p99 is 3 s");
        assert_eq!(alert(&[("alertname", "Slow")], &[]).in_words(), "alert Slow");
        let later = Alert { starts_at: Timestamp(2), ..alert(labels, &[]) };
        assert!(!later.is_same(&alert(labels, &[])) && later.is_same(&later.clone()));
    }
}
