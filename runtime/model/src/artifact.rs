//! Artifacts: what was built, by digest, as a type of parameters, outputs and inputs.
//!
//! The type is a JSON Schema that is part of the contract (`wit/0.1/artifact.schema.json`), so that plugins in any
//! language name artifacts alike. In a workflow file it is written `type: artifact`.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The name of the type in workflow files, and the title of its schema.
pub const ARTIFACT: &str = "artifact";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../wit/0.1/artifact.schema.json")).expect("the contract's file is JSON")
});

/// How deep artifacts are looked for in a value.
const DEPTH_MAX: usize = 4;

/// Something that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is: `sha256:…` or `sha512:…`.
    pub digest: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which version of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What kind of thing it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl std::fmt::Display for Artifact {
    /// `payments 2.4.1 (sha256:0123456789ab)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [&self.name, &self.version].into_iter().flatten().map(String::as_str);
        let words: Vec<&str> = words.chain(self.uri.as_deref().filter(|_| self.name.is_none())).collect();
        let short = self.digest.char_indices().nth(19).map_or(self.digest.as_str(), |(at, _)| &self.digest[..at]);
        if words.is_empty() { f.write_str(short) } else { write!(f, "{} ({short})", words.join(" ")) }
    }
}

/// JSON Schema of an artifact.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// Whether a schema is that of an artifact.
pub fn is_schema(schema: &Value) -> bool {
    schema.get("title").and_then(Value::as_str) == Some(ARTIFACT) && schema.pointer("/properties/digest").is_some()
}

/// A schema with the real one wherever it says `type: artifact`; what stands beside that is kept.
pub fn with_artifacts(schema: Value) -> Value {
    match schema {
        Value::Array(items) => Value::Array(items.into_iter().map(with_artifacts).collect()),
        Value::Object(fields) if fields.get("type").and_then(Value::as_str) == Some(ARTIFACT) => {
            let mut whole = SCHEMA.as_object().cloned().unwrap_or_default();
            whole.extend(fields.into_iter().filter(|(name, _)| name == "description"));
            Value::Object(whole)
        }
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, it)| (name, with_artifacts(it))).collect())
        }
        other => other,
    }
}

/// Whether a text is a digest that an artifact can have.
pub fn is_digest(text: &str) -> bool {
    let hex = |digits: &str, count| {
        digits.len() == count && digits.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
    };
    match text.split_once(':') {
        Some(("sha256", digits)) => hex(digits, 64),
        Some(("sha512", digits)) => hex(digits, 128),
        _ => false,
    }
}

/// An artifact as people write it: `sha256:…`, or `registry.example.com/payments@sha256:…`.
pub fn from_text(text: &str) -> Option<Value> {
    let (uri, digest) = text.rsplit_once('@').map_or((None, text), |(uri, digest)| (Some(uri), digest));
    if !is_digest(digest) || uri == Some("") {
        return None;
    }
    let uri = uri.map(|it| ("uri".to_owned(), Value::from(it)));
    Some(Value::Object(Map::from_iter([("digest".to_owned(), Value::from(digest))].into_iter().chain(uri))))
}

/// The artifacts in a value, in its order; each once.
pub fn artifacts_in(value: &Value) -> Vec<Artifact> {
    fn visit(value: &Value, depth: usize, found: &mut Vec<Artifact>) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::Object(fields) => {
                let is_one = fields.get("digest").and_then(Value::as_str).is_some_and(is_digest);
                match is_one.then(|| Artifact::deserialize(value)) {
                    Some(Ok(artifact)) if !found.contains(&artifact) => found.push(artifact),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => fields.values().for_each(|it| visit(it, depth + 1, found)),
                }
            }
            Value::Array(items) => items.iter().for_each(|it| visit(it, depth + 1, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    visit(value, 0, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::compile_schema;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn what_is_read_as_one_is_what_the_schema_takes() {
        let schema = compile_schema(schema()).expect("a schema");
        let (one, long) = (digest('a'), format!("sha512:{}", "b".repeat(128)));
        for (value, good) in [
            (json!({"digest": one}), true),
            (
                json!({"digest": long, "name": "payments", "version": "2", "uri": "r/p", "media_type": "x/y", "size": 3}),
                true,
            ),
            (json!({"digest": "sha256:abc"}), false),
            (json!({"digest": one.to_uppercase()}), false),
            (json!({"digest": one, "tag": "latest"}), false),
            (json!({"digest": one, "size": -1}), false),
            (json!({"name": "payments"}), false),
        ] {
            assert_eq!(schema.is_valid(&value), good, "{value}");
            assert_eq!(!artifacts_in(&value).is_empty(), good, "{value}");
        }
    }

    #[test]
    fn they_are_found_in_values_once_each() {
        let (a, b) = (json!({"digest": digest('a'), "name": "api", "version": "1"}), json!({"digest": digest('b')}));
        let found = artifacts_in(&json!({"images": [a, b, a], "more": {"deep": b, "digest": "none"}}));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["api 1 (sha256:aaaaaaaaaaaa)", "sha256:bbbbbbbbbbbb"]);
    }

    #[test]
    fn people_write_them_as_a_text() {
        assert_eq!(from_text(&digest('a')), Some(json!({"digest": digest('a')})));
        let placed = format!("r.example.com:5000/p@{}", digest('a'));
        assert_eq!(from_text(&placed), Some(json!({"digest": digest('a'), "uri": "r.example.com:5000/p"})));
        for wrong in ["", "latest", "r/p:latest", "sha256:abc", &format!("@{}", digest('a'))] {
            assert_eq!(from_text(wrong), None, "{wrong}");
        }
    }
}
