//! What a simulator's state went through, in order, so that a test can count effects.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change of a simulator's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// 1 for the first.
    pub seq: u64,
    /// When it took effect, RFC 3339.
    pub at: String,
    /// What happened: `build.queued`, `change.created` and so on; the README lists them.
    pub kind: String,
    /// What it happened to: `payments#3`, `CHG0000001`.
    pub target: String,
    /// The caller's own key: the parameter `WINDLASS_KEY` or the field `correlation_id`.
    pub key: Option<String>,
    /// More, depending on the kind.
    pub detail: Value,
}

/// The effects so far.
#[derive(Default)]
pub(crate) struct EffectLog {
    effects: Vec<Effect>,
    last: u64,
}

impl EffectLog {
    pub(crate) fn add(
        &mut self,
        at_ms: i64,
        kind: &str,
        target: impl Into<String>,
        key: Option<String>,
        detail: Value,
    ) {
        self.last += 1;
        self.effects.push(Effect {
            seq: self.last,
            at: rfc3339(at_ms),
            kind: kind.to_owned(),
            target: target.into(),
            key: key.filter(|key| !key.is_empty()),
            detail,
        });
    }

    pub(crate) fn all(&self) -> &[Effect] {
        &self.effects
    }
}

/// A time in milliseconds since 1970 as RFC 3339.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| at.to_string()).unwrap_or_default()
}
