//! How many releases go on at once: groups that workflows name, tenants, priorities.
//!
//! A workflow names a group with expressions over its parameters; a release has it resolved, in its [`Claim`]. Which
//! of those that wait goes next is the server's business.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::expression::Scope;
use crate::name::TenantName;
use crate::template::Template;

/// The highest limit of a group.
pub const GROUP_LIMIT_MAX: u32 = 1000;

/// The longest name of a group, in bytes.
pub const GROUP_BYTES_MAX: usize = 200;

/// What a workflow says of how many of its releases go on at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concurrency {
    /// The group's name, with expressions over parameters.
    pub group: Template,
    /// Who of those that wait goes next.
    pub order: QueueOrder,
    /// How many of the group go on at once; at least 1.
    pub limit: u32,
}

/// Who of those that wait for a place in a group goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueOrder {
    /// Whoever can; one that something else holds lets others pass.
    Unordered,
    /// The one that was started first; nobody passes it.
    #[default]
    OldestFirst,
    /// The one that was started last; nobody passes it.
    NewestFirst,
    /// Only the one that was started last goes on at all; those before it are canceled.
    LatestOnly,
}

impl QueueOrder {
    /// Every order with its name in files.
    pub const ALL: [(&'static str, QueueOrder); 4] = [
        ("unordered", QueueOrder::Unordered),
        ("oldest_first", QueueOrder::OldestFirst),
        ("newest_first", QueueOrder::NewestFirst),
        ("latest_only", QueueOrder::LatestOnly),
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(name, it)| (it == self).then_some(name)).expect("every order is in ALL")
    }
}

/// How urgent a release is; the most urgent is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Goes ahead of all others that wait.
    Urgent,
    /// As most are.
    #[default]
    Normal,
    /// Lets others go first, for a while.
    Low,
}

impl Priority {
    /// Every priority with its name, the most urgent first.
    pub const ALL: [(&'static str, Priority); 3] =
        [("urgent", Priority::Urgent), ("normal", Priority::Normal), ("low", Priority::Low)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(name, it)| (it == self).then_some(name)).expect("every priority is in ALL")
    }
}

/// A group, as one release of it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who of those that wait goes next.
    pub order: QueueOrder,
    /// How many go on at once.
    pub limit: u32,
}

/// What a release needs before it may begin, resolved when it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// A place in this group.
    pub group: Option<Group>,
    /// A place among this tenant's releases, where they are limited.
    pub tenant: TenantName,
    /// How urgent it is.
    pub priority: Priority,
}

/// How an open release stands in its queues, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it needs.
    pub claim: Claim,
    /// Whether it has what it needs, and has begun; else it waits.
    pub admitted: bool,
    /// Whether it counts against limits. One inside of another release does not.
    pub counted: bool,
}

/// A group's name that is none for these parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnresolvedGroup {
    /// An expression has no value.
    #[error("the concurrency group has no name: {0}")]
    NoValue(String),
    /// It is no text.
    #[error("the concurrency group is a text, and for these parameters it would be {0}")]
    NoText(String),
    /// It is empty, too long, or not to be shown.
    #[error(
        "the concurrency group would be {0:?}: its name has 1 to {GROUP_BYTES_MAX} bytes and no control characters"
    )]
    BadName(String),
}

impl Concurrency {
    /// The group of a release with these parameters.
    pub fn resolve(&self, parameters: &Value) -> Result<Group, UnresolvedGroup> {
        let (nothing, no_step) = (Value::Object(Map::new()), |_: &str| None);
        let scope = Scope::new(parameters, &nothing, &no_step);
        let name = match self.group.evaluate(&scope).map_err(|it| UnresolvedGroup::NoValue(it.to_string()))? {
            Value::String(text) => text,
            value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
            other => return Err(UnresolvedGroup::NoText(other.to_string())),
        };
        match is_group_name(&name) {
            true => Ok(Group { name, order: self.order, limit: self.limit }),
            false => Err(UnresolvedGroup::BadName(name)),
        }
    }
}

/// Whether a group can be called so.
pub(crate) fn is_group_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= GROUP_BYTES_MAX && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve(group: &str, parameters: Value) -> Result<String, String> {
        let group = Template::parse(&json!(group)).expect("a template");
        let concurrency = Concurrency { group, order: QueueOrder::OldestFirst, limit: 1 };
        concurrency.resolve(&parameters).map(|it| it.name).map_err(|it| it.to_string())
    }

    #[test]
    fn a_group_is_named_by_parameters_or_refused() {
        let group = "payments-${{ parameters.environment }}";
        assert_eq!(resolve(group, json!({ "environment": "prod" })), Ok("payments-prod".to_owned()));
        assert_eq!(resolve("${{ parameters.shard }}", json!({ "shard": 7 })), Ok("7".to_owned()));
        for (parameters, says) in [
            (json!({}), "the concurrency group has no name"),
            (json!({ "environment": ["a"] }), "the concurrency group has no name"),
            (json!({ "environment": "a\u{1b}[31m" }), "no control characters"),
            (json!({ "environment": "a".repeat(200) }), "1 to 200 bytes"),
        ] {
            let error = resolve(group, parameters).expect_err("refused");
            assert!(error.contains(says), "{error}");
        }
        let whole = resolve("${{ parameters.it }}", json!({ "it": ["a"] })).expect_err("refused");
        assert!(whole.contains("is a text"), "{whole}");
        assert!(resolve("${{ parameters.it }}", json!({ "it": " " })).is_err());
    }

    #[test]
    fn the_most_urgent_is_the_least() {
        assert!(Priority::Urgent < Priority::Normal && Priority::Normal < Priority::Low);
        assert_eq!(Priority::default().name(), "normal");
        assert_eq!(QueueOrder::default().name(), "oldest_first");
    }
}
