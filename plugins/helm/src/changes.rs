//! What an upgrade would change: values by their path, resources by a unified diff.

use crate::helm::Content;
use crate::manifest::{Document, Identity, documents};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// So much of the diff is kept.
const TEXT_BYTES_MAX: usize = 128 * 1024;
const CONTEXT_LINES: usize = 3;
const HIDDEN: &str = "<hidden>";
/// A value whose name contains one of these is not shown: charts take passwords as values.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "secret", "token", "apikey", "privatekey", "credential"];

/// What differs between the deployed revision and what an upgrade would make.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Changes {
    /// The values that the user gives and the deployed revision was given otherwise; what a name like `password`
    /// holds is hidden.
    pub(crate) values: Vec<ValueChange>,
    /// The resources that would be added, removed or changed.
    pub(crate) resources: Vec<ResourceChange>,
    /// Their unified diff; the data of secrets is hidden.
    pub(crate) diff: String,
    /// Whether the diff was too long to be kept in full.
    pub(crate) truncated: bool,
}

/// A value that differs.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ValueChange {
    /// Where it is: `image.tag`.
    pub(crate) path: String,
    /// As the deployed revision has it; none if it has none.
    pub(crate) before: Option<Value>,
    /// As it would become; none if it would go.
    pub(crate) after: Option<Value>,
}

/// A resource that differs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourceChange {
    /// `Deployment`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// Its namespace, where the manifest says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// What would happen to it.
    pub(crate) change: Change,
}

/// What would happen to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Added,
    Removed,
    Changed,
}

impl Changes {
    /// Compares; `before` is none where nothing is deployed.
    pub(crate) fn between(before: Option<&Content>, after: &Content) -> Self {
        let empty = Content::default();
        let before = before.unwrap_or(&empty);
        let none = Map::new();
        let mut changes = Self::default();
        compare(
            &Value::Object(before.values.as_ref().unwrap_or(&none).clone()),
            &Value::Object(after.values.as_ref().unwrap_or(&none).clone()),
            "",
            &mut changes.values,
        );
        changes.compare_resources(&documents(&before.manifest), &documents(&after.manifest));
        changes
    }

    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.resources.is_empty()
    }

    /// `2 values, Deployment/pay changed, Service/pay added`
    pub(crate) fn summary(&self) -> String {
        if self.is_empty() {
            return "nothing changes".to_owned();
        }
        let mut parts = Vec::new();
        match self.values.len() {
            0 => {}
            1 => parts.push("1 value changes".to_owned()),
            count => parts.push(format!("{count} values change")),
        }
        parts.extend(self.resources.iter().map(|it| {
            let change = match it.change {
                Change::Added => "added",
                Change::Removed => "removed",
                Change::Changed => "changed",
            };
            format!("{}/{} {change}", it.kind, it.name)
        }));
        parts.join(", ")
    }

    /// All of it in lines, for a log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let show = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        let values: Vec<String> = self
            .values
            .iter()
            .map(|it| format!("value {}: {} -> {}", it.path, show(&it.before), show(&it.after)))
            .collect();
        values.into_iter().chain(self.diff.lines().map(str::to_owned))
    }

    fn compare_resources(&mut self, before: &BTreeMap<Identity, Document>, after: &BTreeMap<Identity, Document>) {
        let identities: BTreeSet<&Identity> = before.keys().chain(after.keys()).collect();
        for identity in identities {
            let (old, new) = (before.get(identity), after.get(identity));
            let change = match (old, new) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                (Some(old), Some(new)) if old.equals(new) => continue,
                (Some(_), Some(_)) => Change::Changed,
            };
            let Identity { kind, name, namespace } = identity;
            self.resources.push(ResourceChange {
                kind: kind.clone(),
                name: name.clone(),
                namespace: (!namespace.is_empty()).then(|| namespace.clone()),
                change,
            });
            let old = old.map(|it| it.shown(None)).unwrap_or_default();
            let new = new.map(|it| it.shown(before.get(identity))).unwrap_or_default();
            self.add_diff(&format!("{kind}/{name}"), &old, &new);
        }
    }

    fn add_diff(&mut self, name: &str, old: &str, new: &str) {
        if self.truncated {
            return;
        }
        let diff = similar::TextDiff::configure().timeout(Duration::from_secs(1)).diff_lines(old, new);
        let mut text = String::new();
        let unified = diff.unified_diff().context_radius(CONTEXT_LINES).header(name, name).to_string();
        write!(text, "{unified}").expect("a string takes what is written to it");
        let room = TEXT_BYTES_MAX - self.diff.len();
        let mut end = text.len().min(room);
        if end < text.len() {
            self.truncated = true;
            end = text[..floor(&text, end)].rfind('\n').map_or(0, |line_end| line_end + 1);
        }
        self.diff.push_str(&text[..end]);
    }
}

/// The nearest place at or before `index` where a character begins.
fn floor(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn compare(before: &Value, after: &Value, path: &str, changes: &mut Vec<ValueChange>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let step = name.replace('.', "\\.");
            let path = if path.is_empty() { step } else { format!("{path}.{step}") };
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => compare(old, new, &path, changes),
                (old, new) => changes.push(change(path, old, new)),
            }
        }
        return;
    }
    changes.push(change(path.to_owned(), Some(before), Some(after)));
}

fn change(path: String, before: Option<&Value>, after: Option<&Value>) -> ValueChange {
    let shown =
        |value: Option<&Value>| value.map(|value| if sounds_secret(&path) { hidden() } else { without_secrets(value) });
    let (before, after) = (shown(before), shown(after));
    ValueChange { path, before, after }
}

/// Values with what sounds secret hidden, by the names of its fields.
pub(crate) fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let shown = |(name, value): (&String, &Value)| {
                (name.clone(), if sounds_secret(name) { hidden() } else { without_secrets(value) })
            };
            Value::Object(fields.iter().map(shown).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_secrets).collect()),
        other => other.clone(),
    }
}

fn hidden() -> Value {
    Value::String(HIDDEN.to_owned())
}

fn sounds_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(manifest: &str, values: Value) -> Content {
        Content { manifest: manifest.to_owned(), values: values.as_object().cloned() }
    }

    const BEFORE: &str = "---\n# Source: a\nkind: Deployment\nmetadata:\n  name: pay\nspec:\n  replicas: 2\n  image: \"pay:1\"\n---\nkind: Service\nmetadata:\n  name: old\n";
    const AFTER: &str = "---\n# Source: b\nkind: Deployment\nmetadata:\n  name: pay\nspec:\n  replicas: 2\n  image: \"pay:2\"\n---\nkind: ConfigMap\nmetadata:\n  name: new\n";

    #[test]
    fn what_changes_is_said_by_value_and_by_resource() {
        let before = content(BEFORE, json!({ "image": { "tag": "1", "pull": "Always" }, "gone": [1] }));
        let after = content(AFTER, json!({ "image": { "tag": "2", "pull": "Always" }, "a.b": true }));
        let changes = Changes::between(Some(&before), &after);
        assert_eq!(
            changes.summary(),
            "3 values change, ConfigMap/new added, Deployment/pay changed, Service/old removed"
        );
        let lines: Vec<String> = changes.lines().collect();
        for line in ["value a\\.b: nothing -> true", "value gone: [1] -> nothing", "value image.tag: \"1\" -> \"2\""] {
            assert!(lines.iter().any(|it| it == line), "{lines:?}");
        }
        for line in
            ["--- Deployment/pay", "-  image: \"pay:1\"", "+  image: \"pay:2\"", "+kind: ConfigMap", "-kind: Service"]
        {
            assert!(lines.iter().any(|it| it == line), "{line} in {lines:#?}");
        }
        assert!(!changes.truncated);
    }

    #[test]
    fn the_same_is_no_change_whatever_its_comments() {
        let before = content("---\n# Source: a\nkind: A\nmetadata: {name: x}\n", json!({ "a": 1 }));
        let after = content("---\n# Source: b\nkind: A\nmetadata:\n  name: x\n", json!({ "a": 1 }));
        assert!(Changes::between(Some(&before), &after).is_empty());
        assert!(!Changes::between(None, &after).is_empty());
    }

    #[test]
    fn values_that_sound_secret_are_hidden() {
        let before = content("", json!({ "db": { "password": "old-one" }, "API_KEY": "k1" }));
        let after =
            content("", json!({ "db": { "password": "new-one" }, "API_KEY": "k2", "more": { "authToken": "t" } }));
        let changes = Changes::between(Some(&before), &after);
        let text = serde_json::to_string(&changes).expect("changes are JSON");
        for secret in ["old-one", "new-one", "k1", "k2", "\"t\""] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(changes.values.len(), 3, "{text}");
    }

    #[test]
    fn a_long_diff_is_cut_at_a_line() {
        let long: String = (0..20_000).map(|line| format!("  k{line}: \u{e9}{line}\n")).collect();
        let after = content(&format!("kind: A\nmetadata:\n  name: x\ndata:\n{long}"), json!({}));
        let changes = Changes::between(None, &after);
        assert!(changes.truncated && changes.diff.len() <= TEXT_BYTES_MAX);
        assert!(changes.diff.ends_with('\n'));
    }
}
