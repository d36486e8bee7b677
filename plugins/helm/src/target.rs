//! Which release, in which namespace: names that are checked when they are read.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;

macro_rules! names {
    ($( $(#[$doc:meta])* $name:ident, $what:literal, max $max:literal, dots $dots:literal, $pattern:literal; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn parse(text: &str) -> Result<Self, String> {
                if is_name(text, $max, $dots) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(format!(
                        "`{text}` cannot be {}: lower case letters, digits and `-`, at most {} of them", $what, $max
                    ))
                }
            }

            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&Cow::<str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "minLength": 1, "maxLength": $max })
            }
        }
    )* };
}

names! {
    /// Name of a Helm release, as helm itself allows it.
    ReleaseName, "the name of a release", max 53, dots true,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    /// Name of a Kubernetes namespace.
    Namespace, "the name of a namespace", max 63, dots false, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
}

fn is_name(text: &str, longest: usize, dots: bool) -> bool {
    let is_label = |label: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let mut bytes = label.bytes();
        edge(bytes.clone().next())
            && edge(bytes.clone().last())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= longest && (dots || !text.contains('.')) && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_helm_and_kubernetes_take() {
        for name in ["a", "pay", "pay-2", "9pay", "a.b"] {
            assert!(ReleaseName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a_b", "a..b", ".a", "--kubeconfig=x", "a b", &"a".repeat(54)] {
            assert!(ReleaseName::parse(name).is_err(), "{name}");
        }
        assert!(Namespace::parse(&"a".repeat(63)).is_ok());
        for name in ["a.b", "", "-n", &"a".repeat(64)] {
            assert!(Namespace::parse(name).is_err(), "{name}");
        }
    }
}
