//! Artifacts, as inputs and outputs of actions.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// Something that was built, named by its digest: `type: artifact` of workflow files.
///
/// As a field of an action's output it can be given to any input that takes an artifact, of a step or of a workflow;
/// a release shows all that it was given and gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is: `sha256:` and 64 digits, or `sha512:` and 128, in lower-case hexadecimal.
    pub digest: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which version of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it can be had, without a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What kind of thing it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Artifact {
    /// One of which no more is known than its digest.
    pub fn of(digest: impl Into<String>) -> Self {
        Self { digest: digest.into(), ..Self::default() }
    }
}

impl JsonSchema for Artifact {
    fn schema_name() -> Cow<'static, str> {
        "Artifact".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = include_str!("../../../wit/0.1/artifact.schema.json");
        serde_json::from_str(text).expect("the contract's file is a schema")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is asked for")]
    struct Output {
        image: Artifact,
        /// Beside it.
        others: Vec<Artifact>,
    }

    #[test]
    fn its_schema_is_the_contract_s_wherever_it_stands() {
        let schema = crate::manifest::output_schema::<Output>();
        for place in ["/properties/image", "/properties/others/items"] {
            let artifact = schema.pointer(place).expect("an artifact");
            assert_eq!(artifact["title"], "artifact");
            assert_eq!(artifact["required"], json!(["digest"]));
        }
        let written = serde_json::to_value(Artifact { name: Some("api".to_owned()), ..Artifact::of("sha256:ab") });
        assert_eq!(written.expect("JSON"), json!({ "digest": "sha256:ab", "name": "api" }));
        let read = serde_json::from_value::<Artifact>(json!({ "digest": "sha256:ab", "tag": "latest" }));
        assert!(read.is_err(), "a field that an artifact has not");
    }
}
