//! Manifests as helm renders them: documents of YAML, one after another.
//!
//! **Invariant:** the data of a `Secret` never leaves this module in the clear; a document that cannot be read and
//! speaks of secrets is not shown at all.

use serde_json::Value;
use std::collections::BTreeMap;

const HIDDEN: &str = "<hidden>";
const HIDDEN_CHANGED: &str = "<hidden, changed>";

/// What a document is about; documents of two manifests with the same identity are the same resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// One resource of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    text: String,
    /// None if it cannot be read as YAML: rare, since helm itself has to.
    value: Option<Value>,
}

impl Document {
    /// Shown beside what it was before: values of a secret are hidden, but whether they changed is not.
    pub(crate) fn shown(&self, before: Option<&Self>) -> String {
        match &self.value {
            Some(value) if has_secret(value) => {
                let mut concealed = value.clone();
                conceal(&mut concealed, before.and_then(|before| before.value.as_ref()));
                serde_saphyr::to_string(&concealed).unwrap_or_else(|_| format!("{HIDDEN}\n"))
            }
            Some(_) => self.text.clone(),
            None if self.text.contains("Secret") => format!("{HIDDEN}\n"),
            None => self.text.clone(),
        }
    }

    /// Whether the two say the same, comments aside.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Some(value), Some(others)) => value == others,
            _ => self.text == other.text,
        }
    }
}

/// The resources of a manifest.
pub(crate) fn documents(manifest: &str) -> BTreeMap<Identity, Document> {
    let mut found = BTreeMap::new();
    let mut text = String::new();
    for line in manifest.lines().chain(["---"]) {
        let ends = line == "---" || line.starts_with("--- ");
        if !ends {
            text.push_str(line);
            text.push('\n');
            continue;
        }
        let document = std::mem::take(&mut text);
        if document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let value: Option<Value> = serde_saphyr::from_str(&document).ok();
            let identity = identity(value.as_ref(), &document, found.len());
            found.insert(identity, Document { text: document, value });
        }
    }
    found
}

fn identity(value: Option<&Value>, text: &str, index: usize) -> Identity {
    let field = |pointer: &str| value.and_then(|value| value.pointer(pointer)).and_then(Value::as_str);
    match (field("/kind"), field("/metadata/name")) {
        (Some(kind), Some(name)) => Identity {
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: field("/metadata/namespace").unwrap_or_default().to_owned(),
        },
        _ => {
            let source = text.lines().find_map(|line| line.strip_prefix("# Source: ")).unwrap_or("document");
            Identity { kind: "unknown".to_owned(), name: format!("{source} #{index}"), namespace: String::new() }
        }
    }
}

fn is_secret(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str) == Some("Secret")
}

fn has_secret(value: &Value) -> bool {
    is_secret(value) || value.get("items").and_then(Value::as_array).is_some_and(|items| items.iter().any(has_secret))
}

fn conceal(value: &mut Value, before: Option<&Value>) {
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        for (index, item) in items.iter_mut().enumerate() {
            conceal(item, before.and_then(|before| before.get("items")?.get(index)));
        }
    }
    if !is_secret(value) {
        return;
    }
    for section in ["data", "stringData"] {
        let Some(data) = value.get_mut(section) else {
            continue;
        };
        let old = before.and_then(|before| before.get(section));
        match data.as_object_mut() {
            Some(entries) => {
                for (name, entry) in entries {
                    let changed = old.and_then(|old| old.get(name)).is_some_and(|old| old != entry);
                    *entry = Value::String(if changed { HIDDEN_CHANGED } else { HIDDEN }.to_owned());
                }
            }
            None => *data = Value::String(HIDDEN.to_owned()),
        }
    }
    // `kubectl apply` keeps a copy of all it was given.
    if let Some(Value::Object(annotations)) = value.pointer_mut("/metadata/annotations")
        && let Some(copy) = annotations.get_mut("kubectl.kubernetes.io/last-applied-configuration")
    {
        *copy = Value::String(HIDDEN.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "---\n# Source: pay/templates/a.yaml\napiVersion: v1\nkind: Service\nmetadata:\n  name: \"pay\"\n---\n# only a comment\n---\n# Source: pay/templates/s.yaml\nkind: Secret\nmetadata: {name: keys, namespace: other}\ndata:\n  a: czNjcjN0\nstringData:\n  b: |\n    line one s3cr3t\n    line two\n";

    #[test]
    fn documents_are_told_apart_by_what_they_are() {
        let documents = documents(MANIFEST);
        let names: Vec<String> =
            documents.keys().map(|it| format!("{}/{}@{}", it.kind, it.name, it.namespace)).collect();
        assert_eq!(names, ["Secret/keys@other", "Service/pay@"]);
    }

    #[test]
    fn secrets_are_hidden_but_their_change_is_not() {
        let before = documents(MANIFEST);
        let after = documents(&MANIFEST.replace("czNjcjN0", "bmV3"));
        let (before, after) = (before.values().next().expect("the secret"), after.values().next().expect("the secret"));
        for text in [before.shown(None), after.shown(Some(before))] {
            for secret in ["czNjcjN0", "bmV3", "s3cr3t", "line two"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        assert!(before.shown(None).contains("a: <hidden>"), "{}", before.shown(None));
        assert!(after.shown(Some(before)).contains("a: <hidden, changed>"), "{}", after.shown(Some(before)));
        assert!(after.shown(Some(before)).contains("b: <hidden>"));
        assert!(!before.equals(after));
    }

    #[test]
    fn secrets_inside_a_list_and_unreadable_documents_are_hidden_too() {
        let list = "kind: List\nitems:\n  - kind: Secret\n    metadata: {name: a}\n    data: {x: c2VjcmV0}\n";
        let shown = documents(list).values().next().expect("the list").shown(None);
        assert!(!shown.contains("c2VjcmV0") && shown.contains(HIDDEN), "{shown}");
        let broken = "kind: Secret\ndata: {x: c2VjcmV0\n";
        let shown = documents(broken).values().next().expect("the text").shown(None);
        assert_eq!(shown, "<hidden>\n");
    }
}
