//! The manifest: what the actions ask for is granted to them, so that what they do beyond it shows.

use serde_json::{Map, Value, json};

/// Every action that needs nothing particular.
const PLAIN: [&str; 31] = [
    "noop",
    "spin",
    "spin-in-host-calls",
    "memory-bomb",
    "many-allocations",
    "deep-recursion",
    "log-flood",
    "stdout-flood",
    "progress-flood",
    "panic",
    "trap",
    "exit",
    "fail",
    "read-files",
    "open-sockets",
    "suspend-forever",
    "no-wakes",
    "too-many-wakes",
    "unknown-callback",
    "wait-for-callback",
    "large-state",
    "output-not-json",
    "sleep",
    "remember",
    "large-checkpoint",
    "leave-checkpoint",
    "random",
    "whole-call",
    "large-failure",
    "own-connections",
    "print",
];

/// Every action that makes requests.
const FETCHING: [&str; 15] = [
    "send-time",
    "ungranted-host",
    "ungranted-path",
    "ungranted-method",
    "swallow-denial",
    "panic-after-denial",
    "fail-later-for-another-reason",
    "follow-redirect",
    "header-smuggling",
    "path-tricks",
    "credential-fishing",
    "keep-credential",
    "slow-answer",
    "many-requests",
    "request",
];

pub(crate) fn manifest() -> Value {
    let mut actions = Map::new();
    for name in PLAIN {
        actions.insert(name.to_owned(), action(json!({})));
    }
    for name in FETCHING {
        actions.insert(name.to_owned(), action(json!({"connections": connections()})));
    }
    actions.insert("will-not-stop".to_owned(), action(json!({})));
    actions.insert("goes-on".to_owned(), action(json!({"cancel": false})));
    actions.insert("large-output".to_owned(), action(json!({"limits": {"memory_bytes": 400 * 1024 * 1024}})));
    actions.insert(
        "big-response".to_owned(),
        action(json!({"connections": connections(), "limits": {"response_bytes": 100_000}})),
    );
    actions.insert(
        "big-request".to_owned(),
        action(json!({"connections": connections(), "limits": {"request_bytes": 100_000}})),
    );
    actions.insert(
        "output-breaks-schema".to_owned(),
        action(json!({"output": {"type": "object", "properties": {"build": {"type": "object", "properties": {"number": {"type": "integer"}}}}}})),
    );
    actions.insert(
        "typed-input".to_owned(),
        action(json!({"input": {"type": "object", "required": ["job"], "properties": {"job": {"type": "string"}}}})),
    );
    actions.insert(
        "needs-connection".to_owned(),
        action(json!({"connections": {"target": {"description": "where to", "requests": []}}})),
    );
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"];
    let all = json!([{"methods": methods, "path": "/open/**"}]);
    actions.insert(
        "send".to_owned(),
        action(json!({"connections": {"target": {"description": "where to", "requests": all}}})),
    );
    actions.insert(
        "run-tool".to_owned(),
        action(json!({
            "connections": {"cluster": {"description": "where to", "required": false}},
            "tools": {"helm": {"description": "what to run", "subcommands": ["echo", "env", "hang", "flood", "leak", "cat", "fail", "children", "die"], "dry_run": ["echo --dry-run=server", "env", "fail"]}},
            "limits": {"tool_calls": 3}
        })),
    );
    for name in ["sleep", "slow-answer"] {
        actions[name]["limits"] = json!({"cpu_ms": 300, "wall_ms": 1500});
    }
    // On a busy machine the processor's time takes a while.
    for name in ["spin", "spin-in-host-calls"] {
        actions[name]["limits"] = json!({"cpu_ms": 300, "wall_ms": 30_000});
    }
    actions["many-requests"]["limits"] = json!({"http_requests": 5});
    json!({
        "name": "hostile",
        "version": "0.1.0",
        "contract": "0.1",
        "description": "does everything that a plugin must not",
        "actions": actions,
    })
}

fn action(more: Value) -> Value {
    let mut action = json!({
        "description": "misbehaves", "input": {}, "output": {}, "effect": "write",
        "cancel": true, "rollback": true, "find": true
    });
    if let (Some(action), Value::Object(more)) = (action.as_object_mut(), more) {
        action.extend(more);
    }
    action
}

fn connections() -> Value {
    json!({
        "target": {
            "description": "where to",
            "required": false,
            "requests": [
                {"methods": ["GET", "POST", "HEAD"], "path": "/open/**"},
                {"methods": ["GET"], "path": "/asked-for/**"}
            ]
        }
    })
}
