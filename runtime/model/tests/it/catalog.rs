//! A catalog for tests, with actions shaped like those of the real plugins.

use serde_json::{Value, json};
use windlass_model::check::Installed;
use windlass_model::digest::Digest;
use windlass_model::manifest::Manifest;

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn optional_text(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

fn duration() -> Value {
    json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "description": "How long: `30s`, `1h30m`." })
}

fn change_output() -> Value {
    let properties = json!({ "number": text("CHG0030001"), "sys_id": text("its identity"), "url": text("its page"), "state": text("-5"), "state_label": text("New") });
    json!({ "type": "object", "properties": properties, "required": ["number", "sys_id", "url", "state", "state_label"] })
}

fn jenkins(version: &str) -> Value {
    let role = json!({ "jenkins": { "description": "the Jenkins controller", "requests": [{ "methods": ["GET", "POST"], "path": "/**" }] } });
    json!({
        "name": "jenkins", "version": version, "contract": "0.1", "description": "Jenkins",
        "actions": {
            "trigger-build": {
                "description": "Triggers a build and follows it", "effect": "write", "cancel": true, "find": true,
                "connections": role,
                "input": {
                    "type": "object", "additionalProperties": false, "required": ["job"],
                    "properties": {
                        "job": text("Full name of the job: `payments` or `team/payments`."),
                        "parameters": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Value" } },
                        "unstable": { "type": "string", "enum": ["fail", "succeed"] },
                        "poll_interval": duration(),
                    },
                    "$defs": { "Value": { "anyOf": [{ "type": "string" }, { "type": "boolean" }, { "type": "number" }] } },
                },
                "output": {
                    "type": "object",
                    "properties": {
                        "number": { "type": "integer" }, "url": { "type": "string" }, "result": { "type": ["string", "null"] },
                        "artifacts": { "type": "array", "items": { "$ref": "#/$defs/Artifact" } },
                        "tests": { "anyOf": [{ "$ref": "#/$defs/Tests" }, { "type": "null" }] },
                    },
                    "$defs": {
                        "Artifact": { "type": "object", "properties": { "file_name": { "type": "string" }, "url": { "type": "string" } } },
                        "Tests": { "type": "object", "properties": { "passed": { "type": "integer" }, "failed": { "type": "integer" } } },
                    },
                },
            },
            "get-build": {
                "description": "Reads a build", "effect": "read", "connections": role,
                "input": { "type": "object", "additionalProperties": false, "required": ["job", "number"], "properties": { "job": text("the job"), "number": { "type": "integer", "minimum": 1 } } },
                "output": { "type": "object", "properties": { "result": { "type": "string" } } },
            },
        },
    })
}

fn servicenow() -> Value {
    let role = json!({ "servicenow": { "description": "the ServiceNow instance", "requests": [{ "methods": ["GET", "POST", "PATCH"], "path": "/api/**" }] } });
    let action = |properties: Value, required: Value| {
        json!({
            "description": "a change", "effect": "write", "find": true, "rollback": true, "connections": role.clone(),
            "input": { "type": "object", "additionalProperties": false, "properties": properties, "required": required },
            "output": change_output(),
        })
    };
    json!({
        "name": "servicenow", "version": "0.1.0", "contract": "0.1", "description": "ServiceNow",
        "actions": {
            "create-change": action(
                json!({
                    "type": { "type": "string", "enum": ["normal", "standard", "emergency"] },
                    "short_description": text("what the change is about, in a line"),
                    "description": optional_text("what it is about"),
                    "assignment_group": optional_text("who is responsible"),
                    "backout_plan": optional_text("how it is taken back"),
                }),
                json!(["short_description"]),
            ),
            "await-approval": action(json!({ "change": text("the change"), "poll_interval": duration() }), json!(["change"])),
            "move-change": action(json!({ "change": text("the change"), "state": text("the state") }), json!(["change", "state"])),
            "close-change": action(
                json!({ "change": text("the change"), "close_code": { "type": "string", "enum": ["successful", "successful_issues", "unsuccessful"] }, "close_notes": text("how it went") }),
                json!(["change", "close_code", "close_notes"]),
            ),
        },
    })
}

fn helm() -> Value {
    json!({
        "name": "helm", "version": "0.1.0", "contract": "0.1", "description": "Helm",
        "actions": {
            "upgrade": {
                "description": "Installs or upgrades a chart", "effect": "idempotent_write", "rollback": true,
                "connections": { "cluster": { "description": "the cluster's kubeconfig" } },
                "tools": { "helm": { "description": "the Helm client", "subcommands": ["upgrade", "status", "rollback"] } },
                "input": {
                    "type": "object", "additionalProperties": false, "required": ["release", "chart"],
                    "properties": { "release": text("the release"), "chart": text("the chart"), "namespace": text("the namespace"), "create_namespace": { "type": "boolean" }, "timeout": duration(), "values": { "type": "object" } },
                },
                "output": { "type": "object", "properties": { "revision": { "type": "integer" } } },
            },
        },
    })
}

fn http() -> Value {
    let role =
        json!({ "description": "where requests go", "requests": [{ "methods": ["GET", "POST"], "path": "/**" }] });
    json!({
        "name": "http", "version": "0.1.0", "contract": "0.1", "description": "HTTP",
        "actions": {
            "health-check": {
                "description": "Checks health", "effect": "read", "connections": { "target": role },
                "input": {
                    "type": "object", "additionalProperties": false, "required": ["path"],
                    "properties": {
                        "path": text("the path"), "interval": duration(), "timeout": duration(),
                        "successes": { "type": "integer", "minimum": 1 }, "failures_tolerated": { "type": "integer", "minimum": 0 },
                        "headers": { "type": "object", "additionalProperties": { "type": "string" } },
                    },
                },
                "output": { "type": "object", "properties": { "healthy": { "type": "boolean" }, "probes": { "type": "array", "items": { "type": "object" } } } },
            },
            "copy": {
                "description": "Copies", "effect": "write", "connections": { "from": role, "to": role },
                "input": { "type": "object", "additionalProperties": false, "properties": {} },
                "output": { "type": "object" },
            },
            "wait": {
                "description": "Waits", "effect": "read",
                "input": { "type": "object", "additionalProperties": false, "properties": { "for": duration() } },
                "output": { "type": "object", "additionalProperties": true },
            },
        },
    })
}

/// The manifests of the catalog.
pub(crate) fn manifests() -> Vec<Value> {
    vec![jenkins("0.1.0"), jenkins("0.2.0"), servicenow(), helm(), http()]
}

/// Plugins `jenkins` (0.1.0 and 0.2.0), `servicenow`, `helm` and `http`; connections `ci`, `itsm`,
/// `cluster`, `app` and `vault` (for another plugin only); the tool `helm`.
pub(crate) fn installed() -> Installed {
    let mut installed = Installed::default();
    for manifest in manifests() {
        let bytes = manifest.to_string();
        installed.add_plugin(Manifest::parse(bytes.as_bytes()).expect("a good manifest"), Digest::of(bytes.as_bytes()));
    }
    for (name, address, plugins) in [
        ("ci", Some("https://ci.example.com"), vec![]),
        ("itsm", Some("https://itsm.example.com"), vec![]),
        ("cluster", None, vec![]),
        ("app", Some("https://payments.example.com"), vec![]),
        ("vault", Some("https://vault.example.com"), vec!["servicenow"]),
    ] {
        let connection = json!({ "name": name, "base_url": address, "plugins": plugins });
        installed.add_connection(serde_json::from_value(connection).expect("a good connection"));
    }
    let tool = json!({
        "name": "helm", "path": "/usr/bin/helm", "digest": Digest::of(b"helm"),
        "subcommands": ["upgrade", "status", "rollback"], "connections": ["cluster"],
    });
    installed.add_tool(serde_json::from_value(tool).expect("a good tool"));
    installed
}
