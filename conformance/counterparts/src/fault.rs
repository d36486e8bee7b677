//! Faults a test can order: what goes wrong with the next requests.
//!
//! **Invariant:** a request meets at most one fault, the first of the list which matches and is not used up.
//! **Invariant:** requests below `/_sim` never meet one.

use serde::{Deserialize, Serialize};

/// A fault as ordered by `POST /_sim/faults`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only requests with this method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path matches; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many requests it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// How many matching requests pass before.
    #[serde(default)]
    pub skip: u32,
    /// What goes wrong.
    pub action: FaultAction,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// The request waits before it is handled.
    Latency {
        /// How long.
        ms: u64,
    },
    /// The request is not handled and gets this status.
    Status {
        /// The status.
        status: u16,
        /// Seconds for the header `Retry-After`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// The connection is closed and the request is not handled.
    Drop,
    /// The request is handled, then the connection is closed without an answer.
    LoseResponse,
    /// A build queued by this request waits longer in the queue. Only the simulated Jenkins knows it.
    SlowQueue {
        /// How much longer.
        ms: u64,
    },
}

fn once() -> u32 {
    1
}

/// A fault and what is left of it.
#[derive(Debug, Clone, Serialize)]
struct Ordered {
    #[serde(flatten)]
    fault: Fault,
    /// How many requests it hit.
    consumed: u32,
    /// How many matching requests it let pass.
    passed: u32,
}

/// The faults ordered and not yet deleted.
#[derive(Default)]
pub(crate) struct FaultTable {
    ordered: Vec<Ordered>,
}

impl FaultTable {
    pub(crate) fn order(&mut self, faults: Vec<Fault>) {
        self.ordered.extend(faults.into_iter().map(|fault| Ordered { fault, consumed: 0, passed: 0 }));
    }

    pub(crate) fn clear(&mut self) {
        self.ordered.clear();
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self.ordered)
    }

    /// The fault this request meets, which is thereby used.
    pub(crate) fn meet(&mut self, method: &str, path: &str) -> Option<FaultAction> {
        for ordered in &mut self.ordered {
            let fault = &ordered.fault;
            let matches = fault.method.as_ref().is_none_or(|it| it.eq_ignore_ascii_case(method))
                && fault.path.as_ref().is_none_or(|pattern| glob(pattern, path));
            if !matches || ordered.consumed >= fault.times {
                continue;
            }
            if ordered.passed < fault.skip {
                ordered.passed += 1;
                continue;
            }
            ordered.consumed += 1;
            return Some(fault.action.clone());
        }
        None
    }
}

/// Tells whether `text` matches `pattern`, in which `*` stands for any text, slashes included.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_paths() {
        let cases = [
            ("*", "/anything/at/all", true),
            ("/job/*/build*", "/job/a/buildWithParameters", true),
            ("/job/*/build", "/job/a/buildWithParameters", false),
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("*/file", "/api/now/attachment/file", true),
            ("/a*a", "/a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn a_fault_skips_then_hits_so_often() {
        let mut faults = FaultTable::default();
        faults.order(vec![Fault {
            method: Some("post".into()),
            path: None,
            times: 2,
            skip: 1,
            action: FaultAction::Drop,
        }]);
        let met: Vec<bool> = (0..5).map(|_| faults.meet("POST", "/x").is_some()).collect();
        assert_eq!(met, [false, true, true, false, false]);
        assert!(faults.meet("GET", "/x").is_none());
        assert_eq!(faults.to_json()[0]["consumed"], 2);
    }
}
