//! What a release would remember of a step, as a file keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::digest::Digest;
use windlass_model::event::{Operation, Wake};
use windlass_model::name::ActionName;
use windlass_sandbox::{CallKind, WakeUp};

/// A step that is tried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    /// The component that it was begun with; another one may go on.
    pub(crate) component: String,
    pub(crate) action: ActionName,
    pub(crate) release: String,
    #[serde(with = "operation_name")]
    pub(crate) operation: Operation,
    pub(crate) input: Value,
    /// What `start` gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Value>,
    /// What was recorded, by name.
    #[serde(default)]
    pub(crate) checkpoints: BTreeMap<String, Bytes>,
    /// Callbacks that were made.
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
    /// What the idempotency keys are made of.
    pub(crate) salt: String,
}

/// Bytes that are shown as text where they are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Bytes {
    Text(String),
    Other(Vec<u8>),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Other(error.into_bytes()), Self::Text)
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        match bytes {
            Bytes::Text(text) => text.into_bytes(),
            Bytes::Other(bytes) => bytes,
        }
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Other(bytes) => write!(f, "{} bytes that are no text", bytes.len()),
        }
    }
}

/// A suspension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// What a person reads.
    pub(crate) status: String,
    /// What wakes it, in words.
    pub(crate) wakes: Vec<String>,
    /// Callbacks that wake it.
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    /// What `resume` is given.
    pub(crate) state: Bytes,
}

impl Waiting {
    pub(crate) fn new(state: Vec<u8>, wakes: &[WakeUp], status: String) -> Self {
        let words = |it: &WakeUp| match it {
            WakeUp::After(span) => format!("after {span}"),
            WakeUp::At(at) => format!("at {at}"),
            WakeUp::Callback(topic) => format!("by callback {topic}"),
        };
        let topic = |it: &WakeUp| if let WakeUp::Callback(topic) = it { Some(topic.clone()) } else { None };
        Self {
            status,
            wakes: wakes.iter().map(words).collect(),
            topics: wakes.iter().filter_map(topic).collect(),
            state: state.into(),
        }
    }
}

impl Session {
    /// One that has not begun.
    pub(crate) fn new(component: String, action: ActionName, input: Value) -> Self {
        let salt: [u8; 16] = rand::random();
        Self {
            component,
            action,
            release: "trial-1".to_owned(),
            operation: Operation::Start,
            input,
            output: None,
            checkpoints: BTreeMap::new(),
            topics: Vec::new(),
            waiting: None,
            salt: salt.iter().map(|it| format!("{it:02x}")).collect(),
        }
    }

    /// Reads one that was kept.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no file that `windlass plugin run --save` wrote", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("the session")?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))
    }

    /// The same for every attempt of this operation, as a release's.
    pub(crate) fn key(&self) -> String {
        self.key_of(self.operation)
    }

    /// That of its only logical call of `start`.
    pub(crate) fn start_key(&self) -> String {
        self.key_of(Operation::Start)
    }

    fn key_of(&self, operation: Operation) -> String {
        let of = format!("{} {}", self.salt, operation_name::of(operation));
        Digest::of(of.as_bytes()).to_string().chars().skip("sha256:".len()).take(32).collect()
    }

    /// The call that goes on with what is suspended.
    pub(crate) fn resume(&self, wake: Wake) -> anyhow::Result<CallKind> {
        let waiting = self.waiting.as_ref().context("it waits for nothing, so there is nothing to go on with")?;
        Ok(CallKind::Resume { state: waiting.state.clone().into(), wake })
    }

    /// Takes note of an operation's end.
    pub(crate) fn ended(&mut self, value: &Value) {
        self.waiting = None;
        if self.operation == Operation::Start {
            self.output = Some(value.clone());
        }
    }
}

mod operation_name {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use windlass_model::event::Operation;

    const NAMES: [(Operation, &str); 3] =
        [(Operation::Start, "start"), (Operation::Cancel, "cancel"), (Operation::Rollback, "rollback")];

    pub(super) fn of(operation: Operation) -> &'static str {
        NAMES.into_iter().find_map(|(it, name)| (it == operation).then_some(name)).unwrap_or("start")
    }

    pub(super) fn serialize<S: Serializer>(operation: &Operation, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(of(*operation))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Operation, D::Error> {
        let given = String::deserialize(deserializer)?;
        NAMES.into_iter().find_map(|(it, name)| (name == given).then_some(it)).ok_or_else(|| {
            serde::de::Error::custom(format!("`{given}` is no operation: start, cancel or rollback is accepted"))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_reads_back_with_bytes_of_any_kind() {
        let mut session = Session::new("sha256:0".to_owned(), "submit".parse().expect("a name"), json!({ "a": 1 }));
        session.checkpoints.insert("job".to_owned(), b"\"j-1\"".to_vec().into());
        session.checkpoints.insert("raw".to_owned(), vec![0xff, 0].into());
        let wakes = [WakeUp::Callback("t".to_owned())];
        session.waiting = Some(Waiting::new(b"{}".to_vec(), &wakes, "waits".to_owned()));
        session.operation = Operation::Rollback;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("session.json");
        session.write(&file).expect("it is written");
        let read = Session::read(&file).expect("it is read");
        assert_eq!((&read.checkpoints, &read.waiting), (&session.checkpoints, &session.waiting));
        assert_eq!(read.operation, Operation::Rollback);
        assert_eq!(read.key(), session.key());
        let CallKind::Resume { state, wake: Wake::Timer } = read.resume(Wake::Timer).expect("it waits") else {
            panic!("no resume")
        };
        assert_eq!(state, b"{}");
        std::fs::write(&file, "{}").expect("a file");
        assert!(Session::read(&file).expect_err("it is none").to_string().contains("--save"));
    }

    #[test]
    fn keys_differ_between_operations_and_sessions_and_are_as_the_contract_says() {
        let session = |operation| {
            let mut session = Session::new(String::new(), "submit".parse().expect("a name"), json!({}));
            session.operation = operation;
            session
        };
        let (one, other) = (session(Operation::Start), session(Operation::Start));
        assert_ne!(one.key(), other.key());
        assert_ne!(one.key(), Session { operation: Operation::Rollback, ..one.clone() }.key());
        assert!(one.key().len() == 32 && one.key().bytes().all(|it| it.is_ascii_hexdigit()));
    }
}
