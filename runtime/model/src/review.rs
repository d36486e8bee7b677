//! What is odd about a manifest that can be read: what can never work, and what its author should look at.
//!
//! [`Manifest::parse`] refuses what no host can make sense of. What is found here a host would take, and somebody would
//! find out later: a default that its own schema refuses, a request that is never sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::grant::{is_plain_path, path_matches};
use crate::manifest::{
    Action, Effect, EffectiveLimits, Limits, Manifest, RequestRule, compile_schema, schema_problems,
};
use crate::name::ActionName;
use crate::problem::did_you_mean;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can never work as it is written.
    Problem,
    /// It works; its author should know.
    Advice,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: "action `submit`, role `jobs`"; empty for the whole plugin.
    pub place: String,
    /// What is wrong, and what would be accepted.
    pub message: String,
}

impl Finding {
    /// Something that can never work.
    pub fn problem(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, place: place.into(), message: message.into() }
    }

    /// Something to look at.
    pub fn advice(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Advice, place: place.into(), message: message.into() }
    }
}

/// Methods that plugins use; another one is more likely a typing error.
const METHODS: [&str; 18] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "PURGE",
];

/// Methods that the host never sends.
const NEVER_SENT: [&str; 2] = ["CONNECT", "TRACE"];

/// Looks a manifest over; problems first.
pub fn review(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    if manifest.description.trim().is_empty() {
        findings.push(Finding::advice("", "`description` is empty; a catalogue shows it"));
    }
    for (name, action) in &manifest.actions {
        review_action(name, action, &mut findings);
    }
    findings.sort_by_key(|it| it.severity);
    findings
}

fn review_action(name: &ActionName, action: &Action, findings: &mut Vec<Finding>) {
    let place = format!("action `{name}`");
    if action.description.trim().is_empty() {
        findings.push(Finding::advice(&place, "`description` is empty; a catalogue shows it"));
    }
    if action.effect == Effect::Write && !action.find {
        findings.push(Finding::advice(
            &place,
            "its effect is `write` and it has no `find`: after a crash or a lost answer a person has to look whether it happened",
        ));
    }
    if action.effect != Effect::Read && !action.rollback {
        findings.push(Finding::advice(
            &place,
            "it changes something and has no `rollback`: a release cannot go back over it",
        ));
    }
    if action.effect == Effect::Read && action.rollback {
        findings.push(Finding::advice(&place, "its effect is `read`, so its `rollback` is never called"));
    }
    // A `POST` may be a search. One who asks for every path does what the input says.
    let rules = action.connections.values().flat_map(|it| &it.requests).filter(|it| it.path != "/**");
    let lines = rules.flat_map(|it| it.methods.iter().map(move |method| (method.as_str(), it.path.as_str())));
    let writes = lines.filter(|(method, _)| matches!(*method, "PUT" | "PATCH" | "DELETE"));
    let writes: Vec<String> = writes.map(|(method, path)| format!("`{method} {path}`")).collect();
    if action.effect == Effect::Read && !writes.is_empty() {
        let message = format!(
            "its effect is `read`, so it is repeated at will, and it asks for {}: does that change nothing?",
            writes.join(", ")
        );
        findings.push(Finding::advice(&place, message));
    }
    if action.effect != Effect::Write && action.find {
        findings.push(Finding::advice(
            &place,
            "its effect is not `write`, so it is repeated and its `find` is never called",
        ));
    }
    input_is_an_object(&place, &action.input, findings);
    for (which, schema) in [("input", &action.input), ("output", &action.output)] {
        defaults_fit(&format!("{place}, {which}"), schema, schema, String::new(), findings);
    }
    review_roles(&place, action, findings);
    review_limits(&place, &action.limits, findings);
}

/// What `with` gives is a mapping.
fn input_is_an_object(place: &str, schema: &Value, findings: &mut Vec<Finding>) {
    let takes_objects = match &schema["type"] {
        Value::String(it) => it == "object",
        Value::Array(its) => its.iter().any(|it| it == "object"),
        _ => *schema != Value::Bool(false),
    };
    if !takes_objects {
        findings.push(Finding::problem(
            format!("{place}, input"),
            format!("its type is {}, and a step's `with` is always an object", schema["type"]),
        ));
        return;
    }
    let has_fields = schema["properties"].as_object().is_some_and(|it| !it.is_empty());
    if has_fields && schema.get("additionalProperties").is_none_or(|it| *it == Value::Bool(true)) {
        findings.push(Finding::advice(
            format!("{place}, input"),
            "it takes any other field as well, so a typing error in a workflow is not found; `additionalProperties: false` refuses them",
        ));
    }
}

/// Every default has to be what its own schema takes. References are looked up in `root`.
fn defaults_fit(place: &str, root: &Value, schema: &Value, at: String, findings: &mut Vec<Finding>) {
    let Value::Object(members) = schema else { return };
    if let Some(default) = members.get("default") {
        let mut alone = members.clone();
        for name in ["$defs", "definitions"] {
            if let Some(definitions) = root.get(name) {
                alone.insert(name.to_owned(), definitions.clone());
            }
        }
        if let Ok(validator) = compile_schema(&Value::Object(alone)) {
            for problem in schema_problems(&validator, default) {
                findings.push(Finding::problem(
                    place,
                    format!("the default {default} of `{at}` is not what the field takes: {problem}"),
                ));
            }
        }
    }
    for (keyword, below) in members {
        match (keyword.as_str(), below) {
            ("properties" | "$defs" | "definitions", Value::Object(parts)) => {
                for (name, part) in parts {
                    let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    if part.is_null() {
                        findings.push(Finding::problem(place, format!("the schema of `{at}` is null")));
                    }
                    defaults_fit(place, root, part, at, findings);
                }
            }
            ("items" | "additionalProperties" | "not", part) => {
                defaults_fit(place, root, part, format!("{at}[]"), findings);
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => {
                for part in parts {
                    defaults_fit(place, root, part, at.clone(), findings);
                }
            }
            _ => {}
        }
    }
}

fn review_roles(place: &str, action: &Action, findings: &mut Vec<Finding>) {
    for (role, need) in &action.connections {
        let place = format!("{place}, role `{role}`");
        if need.description.trim().is_empty() {
            findings.push(Finding::advice(&place, "`description` is empty; whoever declares the connection reads it"));
        }
        if need.requests.is_empty() && action.tools.is_empty() {
            findings.push(Finding::advice(&place, "it names no requests, so every request is denied"));
        }
        for rule in &need.requests {
            let found = review_rule(rule).into_iter().map(|it| Finding { place: place.clone(), ..it });
            findings.extend(found);
            let (methods, path) = (rule.methods.join(","), &rule.path);
            if path_matches(path, "/any/request/of/all") && path_matches(path, "/") {
                findings.push(Finding::advice(
                    &place,
                    format!("`{methods} {path}` is everything that the connection reaches; an operator may want to know which requests are made"),
                ));
            }
        }
    }
}

/// What is odd about a rule for requests, a manifest's or a connection's.
pub fn review_rule(rule: &RequestRule) -> Vec<Finding> {
    let mut findings = Vec::new();
    for method in &rule.methods {
        if NEVER_SENT.contains(&method.as_str()) {
            findings.push(Finding::problem("", format!("`{method}` requests are never sent")));
        } else if !METHODS.contains(&method.as_str()) {
            let near = did_you_mean(method, METHODS).map(|it| format!("; {it}")).unwrap_or_default();
            findings.push(Finding::advice("", format!("`{method}` is an unusual method{near}")));
        }
    }
    let path = &rule.path;
    if path.contains(['?', '#']) {
        findings.push(Finding::problem(
            "",
            format!("the path `{path}` has a query or a fragment, which rules are not compared with: leave it out"),
        ));
    } else if path.contains(' ') {
        findings.push(Finding::problem(
            "",
            format!("the path `{path}` has a space: a rule has one path, and another path is another rule"),
        ));
    } else if !is_plain_path(path) {
        findings.push(Finding::problem(
            "",
            format!("the path `{path}` holds `.`/`..` segments, `//`, a backslash or an encoded slash; such requests are refused"),
        ));
    }
    findings
}

fn review_limits(place: &str, limits: &Limits, findings: &mut Vec<Finding>) {
    for (name, given, bound) in limits.named(&EffectiveLimits::BOUND) {
        match given {
            Some(0)
                if name != "http_requests"
                    && name != "tool_calls"
                    && name != "request_bytes"
                    && name != "response_bytes" =>
            {
                findings.push(Finding::problem(place, format!("the limit `{name}` is 0, which ends every call")));
            }
            Some(given) if given > bound => {
                findings.push(Finding::advice(
                    place,
                    format!("the limit `{name}` is {given}; a host allows {bound} unless its operator says more"),
                ));
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is found in a manifest with one action that has these members.
    fn check(members: Value, expected: &[(Severity, &str)]) {
        let mut action = json!({
            "description": "d", "effect": "read", "output": {},
            "input": { "type": "object", "additionalProperties": false },
        });
        for (name, value) in members.as_object().expect("members") {
            action[name] = value.clone();
        }
        let manifest = json!({
            "name": "x", "version": "0.1.0", "contract": "0.1", "description": "d", "actions": { "a": action },
        });
        let manifest = Manifest::parse(manifest.to_string().as_bytes()).expect("a manifest");
        let found = review(&manifest);
        let shown: Vec<String> = found.iter().map(|it| format!("{}: {}", it.place, it.message)).collect();
        assert_eq!(found.len(), expected.len(), "{shown:#?}");
        for ((finding, shown), (severity, part)) in found.iter().zip(&shown).zip(expected) {
            assert!(finding.severity == *severity && shown.contains(part), "{part:?} is not in {shown:?}");
        }
    }

    use Severity::{Advice, Problem};

    #[test]
    fn nothing_is_found_where_nothing_is_odd() {
        check(json!({}), &[]);
        let requests = json!([{ "methods": ["GET", "POST"], "path": "/jobs/**" }]);
        check(json!({ "connections": { "r": { "description": "d", "requests": requests } } }), &[]);
        check(json!({ "effect": "write", "find": true, "rollback": true }), &[]);
        check(json!({ "effect": "idempotent_write", "rollback": true }), &[]);
    }

    #[test]
    fn a_default_that_its_own_schema_refuses_is_a_problem_at_any_depth() {
        let field = |schema: Value| {
            json!({ "input": { "type": "object", "additionalProperties": false, "properties": { "n": schema },
                "$defs": { "level": { "enum": ["low", "high"] } } } })
        };
        check(field(json!({ "type": "integer", "default": 3 })), &[]);
        check(field(json!({ "$ref": "#/$defs/level", "default": "low" })), &[]);
        check(field(json!({ "type": "integer", "default": "3" })), &[(Problem, "the default \"3\" of `n`")]);
        check(field(json!({ "$ref": "#/$defs/level", "default": "mid" })), &[(Problem, "the default \"mid\" of `n`")]);
        let deep = json!({ "type": "array", "items": { "properties": { "m": { "maximum": 1, "default": 2 } } } });
        check(field(deep), &[(Problem, "of `n[].m`")]);
        check(field(json!({ "anyOf": [{ "type": "null", "default": 1 }] })), &[(Problem, "the default 1 of `n`")]);
    }

    #[test]
    fn an_input_that_is_no_object_can_never_be_given() {
        check(json!({ "input": { "type": "string" } }), &[(Problem, "a step's `with` is always an object")]);
        check(json!({ "input": { "type": ["null", "object"] } }), &[]);
        check(json!({ "input": {} }), &[]);
        let open = json!({ "type": "object", "properties": { "a": {} } });
        check(json!({ "input": open }), &[(Advice, "additionalProperties: false")]);
    }

    #[test]
    fn requests_that_are_never_made_and_methods_that_nobody_has() {
        let role = |methods: &[&str], path: &str| {
            let requests = json!([{ "methods": methods, "path": path }]);
            json!({ "connections": { "r": { "description": "d", "requests": requests } } })
        };
        check(role(&["GET", "TRACE"], "/a"), &[(Problem, "`TRACE` requests are never sent")]);
        check(role(&["GTE"], "/a"), &[(Advice, "`GTE` is an unusual method; did you mean `GET`")]);
        check(role(&["PROPFIND"], "/a"), &[]);
        check(role(&["GET"], "/a?b=c"), &[(Problem, "has a query")]);
        check(role(&["GET"], "/a; DELETE /b"), &[(Problem, "another path is another rule")]);
        check(role(&["GET"], "/a/../b"), &[(Problem, "such requests are refused")]);
        check(role(&["GET"], "/**"), &[(Advice, "everything that the connection reaches")]);
        check(json!({ "connections": { "r": { "description": "d" } } }), &[(Advice, "every request is denied")]);
    }

    #[test]
    fn effects_and_operations_that_do_not_go_together() {
        let both = [(Advice, "a person has to look"), (Advice, "cannot go back over it")];
        check(json!({ "effect": "write" }), &both);
        check(json!({ "rollback": true }), &[(Advice, "`rollback` is never called")]);
        check(json!({ "find": true }), &[(Advice, "`find` is never called")]);
        let requests = json!([{ "methods": ["GET", "POST", "DELETE"], "path": "/jobs/*" }]);
        let role = json!({ "connections": { "r": { "description": "d", "requests": requests } } });
        check(role, &[(Advice, "it asks for `DELETE /jobs/*`: does that change nothing?")]);
        check(json!({ "effect": "idempotent_write", "rollback": true, "find": true }), &[(Advice, "is repeated")]);
    }

    #[test]
    fn limits_that_end_every_call_or_are_beyond_the_host_s() {
        check(json!({ "limits": { "cpu_ms": 0 } }), &[(Problem, "the limit `cpu_ms` is 0")]);
        check(json!({ "limits": { "http_requests": 0 } }), &[]);
        check(json!({ "limits": { "wall_ms": 600_001 } }), &[(Advice, "a host allows 600000")]);
        check(json!({ "limits": { "wall_ms": 600_000 } }), &[]);
    }
}
