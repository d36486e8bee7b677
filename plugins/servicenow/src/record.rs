//! A record of a table, in either of the shapes that ServiceNow gives.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use windlass_sdk::Failure;

/// A record by field name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Record(BTreeMap<String, Field>);

/// A field: with both values as `sysparm_display_value=all` and the Change API give it, or plain.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Value")]
struct Field {
    value: String,
    display: String,
}

impl From<Value> for Field {
    fn from(field: Value) -> Self {
        let part = |name: &str| field.get(name).map(text).unwrap_or_default();
        match &field {
            Value::Object(_) => Self { value: part("value"), display: part("display_value") },
            plain => Self { value: text(plain), display: String::new() },
        }
    }
}

/// A value as the Table API writes it; the Change API writes `-5.0` for `"-5"`.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

impl Record {
    /// The stored value; empty if there is none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |field| field.value.as_str())
    }

    /// What people see; the stored value if nothing else is known.
    pub(crate) fn display(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(field) if !field.display.is_empty() => &field.display,
            _ => self.value(name),
        }
    }

    /// What people see, if there is anything.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        Some(self.display(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The stored value, if there is one.
    pub(crate) fn given(&self, name: &str) -> Option<String> {
        Some(self.value(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(crate) fn sys_id(&self) -> &str {
        self.value("sys_id")
    }

    pub(crate) fn number(&self) -> &str {
        self.value("number")
    }
}

/// Fields to write.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn set_some<T: Into<Value>>(&mut self, name: &str, value: Option<T>) -> &mut Self {
        if let Some(value) = value {
            self.set(name, value);
        }
        self
    }

    /// Adds what an input's `fields` says; the plugin's own fields cannot be set there.
    pub(crate) fn extend(&mut self, fields: &BTreeMap<String, Value>) -> Result<&mut Self, Failure> {
        for (name, value) in fields {
            if matches!(name.as_str(), "correlation_id" | "correlation_display" | "sys_id" | "number" | "state") {
                let message = format!("`{name}` is not to be set through `fields`");
                return Err(Failure::invalid("reserved-field", message).never());
            }
            if value.is_array() || value.is_object() {
                return Err(Failure::invalid("field-value", format!("`fields.{name}` is no single value")).never());
            }
            self.set(name, value.clone());
        }
        Ok(self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn json(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// Tells whether a text is a sys_id.
pub(crate) fn is_sys_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A date as ServiceNow stores it, from `2026-03-09T14:05:00Z` or `2026-03-09 14:05:00` (UTC).
pub(crate) fn date(field: &str, text: &str) -> Result<String, Failure> {
    let plain = text.strip_suffix('Z').unwrap_or(text).replacen('T', " ", 1);
    let plain = plain.split_once('.').map_or(plain.as_str(), |(seconds, _)| seconds).to_owned();
    let shape: String = plain.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    if shape == "9999-99-99 99:99:99" {
        return Ok(plain);
    }
    let message = format!("`{field}` is `{text}`; write it in UTC like `2026-03-09T14:05:00Z`");
    Err(Failure::invalid("date", message).never())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_both_shapes() {
        let record: Record = serde_json::from_value(json!({
            "number": { "value": "CHG1", "display_value": "CHG1" },
            "state": { "value": "-5", "display_value": "New" },
            "group": { "value": "", "display_value": "" },
            "approver": { "value": "a1", "display_value": "Ana", "link": "https://x" },
            "plain": "text", "nothing": null, "risk": { "value": 3.0, "display_value": "Moderate" }, "assess": -4.0, "zero": 0.0, "odd": 0.5, "__meta": { "ignored": ["a"] }, "flag": true,
        }))
        .expect("it is a record");
        assert_eq!((record.number(), record.value("state"), record.display("state")), ("CHG1", "-5", "New"));
        assert_eq!((record.shown("group"), record.given("approver")), (None, Some("a1".to_owned())));
        assert_eq!((record.display("plain"), record.value("nothing"), record.value("none")), ("text", "", ""));
        assert_eq!((record.value("risk"), record.display("risk"), record.value("flag")), ("3", "Moderate", "true"));
        assert_eq!((record.value("assess"), record.value("zero"), record.value("odd")), ("-4", "0", "0.5"));
    }

    #[test]
    fn reads_dates() {
        for text in ["2026-03-09T14:05:00Z", "2026-03-09 14:05:00", "2026-03-09T14:05:00.250Z"] {
            assert_eq!(date("start", text).expect(text), "2026-03-09 14:05:00");
        }
        for text in ["", "tomorrow", "2026-03-09", "2026-03-09T14:05:00+02:00"] {
            assert_eq!(date("start", text).expect_err(text).code, "date");
        }
    }
}
