//! Names and ids, checked when made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}: {rule}")]
pub struct InvalidName {
    /// What was given.
    pub given: String,
    /// What it was to be, for example `step name`.
    pub what: &'static str,
    /// What would be accepted.
    pub rule: &'static str,
}

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

const RULE: &str =
    "a name starts with a lower-case letter and goes on with lower-case letters, digits, `-` or `_`, 63 at most";

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|it: char| it.is_ascii_lowercase())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_')
}

/// A name, or that of one of the items that a step runs for: `test.3`.
fn is_step_name(text: &str) -> bool {
    match text.split_once('.') {
        None => is_name(text),
        Some((step, item)) => {
            let is_number = (1..=9).contains(&item.len()) && item.bytes().all(|it| it.is_ascii_digit());
            is_name(step) && is_number && !item.starts_with('0')
        }
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $accepts:path;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $accepts(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { given: text.to_owned(), what: $what, rule: RULE })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// A workflow's name.
    WorkflowName, "workflow name", is_name;
    /// A step's name, unique in its workflow; or that of one of its items, `test.3`.
    StepName, "step name", is_step_name;
    /// A phase's name, unique in its workflow.
    PhaseName, "phase name", is_name;
    /// A plugin's name.
    PluginName, "plugin name", is_name;
    /// An action's name, unique in its plugin.
    ActionName, "action name", is_name;
    /// The name a plugin gives to a connection it needs.
    RoleName, "connection role", is_name;
    /// A connection's name in this installation.
    ConnectionName, "connection name", is_name;
    /// A native tool's name.
    ToolName, "tool name", is_name;
    /// A schedule's name in this installation.
    ScheduleName, "schedule name", is_name;
    /// A service's name, the same for all workflows of this installation.
    ServiceName, "service name", is_name;
    /// The name of a place where services run.
    EnvironmentName, "environment name", is_name;
    /// For whom a release is made: a team, a product.
    TenantName, "tenant name", is_name;
}

impl Default for TenantName {
    /// The tenant of releases whose workflow names none.
    fn default() -> Self {
        Self("default".into())
    }
}

impl StepName {
    /// The name of the `number`-th of the items that the step runs for, from 1.
    pub fn of_item(&self, number: usize) -> Self {
        Self(format!("{}.{number}", self.of_step()).into())
    }

    /// The number of the item, if it is the name of one.
    pub fn item(&self) -> Option<usize> {
        self.0.split_once('.')?.1.parse().ok()
    }

    /// The name that stands in the workflow.
    pub fn of_step(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(step, _)| step)
    }
}

/// Identifies one release: its workflow and a number that is never used again, `payments-17`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId {
    workflow: WorkflowName,
    number: u64,
}

impl ReleaseId {
    /// The `number`-th release of `workflow`.
    pub fn new(workflow: WorkflowName, number: u64) -> Self {
        Self { workflow, number }
    }

    /// The workflow it is a release of.
    pub fn workflow(&self) -> &WorkflowName {
        &self.workflow
    }

    /// Its number among the releases of the workflow, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.workflow, self.number)
    }
}

impl fmt::Debug for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for ReleaseId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = || InvalidName {
            given: text.to_owned(),
            what: "release id",
            rule: "a release id is a workflow name, `-` and a number, for example `payments-17`",
        };
        let (workflow, number) = text.rsplit_once('-').ok_or_else(refuse)?;
        Ok(Self {
            workflow: workflow.parse().map_err(|_| refuse())?,
            number: number
                .parse()
                .ok()
                .filter(|_| number.bytes().all(|it| it.is_ascii_digit()))
                .filter(|_| !number.starts_with('0'))
                .ok_or_else(refuse)?,
        })
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        for good in ["a", "build", "create-change", "eu_1", &"x".repeat(63)] {
            assert!(good.parse::<StepName>().is_ok(), "{good}");
        }
        for bad in ["", "1a", "Build", "a b", "ä", "-a", "a/b", &"x".repeat(64)] {
            assert!(bad.parse::<StepName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn items_of_a_step_have_names_of_their_own() {
        let test: StepName = "test".parse().expect("a name");
        let third = test.of_item(3);
        assert_eq!((third.as_str(), third.item(), third.of_step()), ("test.3", Some(3), "test"));
        assert_eq!((third.of_item(12).as_str(), test.item()), ("test.12", None));
        for bad in ["test.", "test.0", "test.03", "test.x", "test.1.2", ".1", "test.+1", "test.9999999999"] {
            assert!(bad.parse::<StepName>().is_err(), "{bad}");
        }
        assert!("phase.1".parse::<PhaseName>().is_err());
    }

    #[test]
    fn release_ids_read_back() {
        let id: ReleaseId = "payments-release-17".parse().expect("an id");
        assert_eq!((id.workflow().as_str(), id.number()), ("payments-release", 17));
        assert_eq!(id.to_string(), "payments-release-17");
        for bad in ["payments", "payments-", "payments-x", "-3", "payments-03", "payments-+3"] {
            assert!(bad.parse::<ReleaseId>().is_err(), "{bad}");
        }
    }
}
