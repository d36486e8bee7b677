//! The published schemas: of the workflow file, hand-written and held against the reader, and of the
//! plugin manifest, made from its types.
//!
//! `UPDATE_SCHEMA=1 cargo test -p windlass-model` writes the manifest's schema anew.

use std::path::Path;

use expect_test::expect;
use serde_json::Value;
use windlass_model::check::input_problems;
use windlass_model::concurrency::{GROUP_LIMIT_MAX, QueueOrder};
use windlass_model::failure::FailureClass;
use windlass_model::manifest::{Manifest, compile_schema, schema_problems};
use windlass_model::parse::{STEPS_MAX, parse};
use windlass_model::problem::Source;

use crate::{workflow_files, workflows, wrong};

fn workflow_schema() -> Value {
    let text = std::fs::read_to_string(workflows().join("workflow.schema.json")).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

/// The tree of a YAML file as JSON, as any program reads it.
fn as_json(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

#[test]
fn workflow_files_fit_the_published_schema() {
    let schema = compile_schema(&workflow_schema()).expect("a good schema");
    for (name, text) in workflow_files() {
        let problems = schema_problems(&schema, &as_json(&text).expect("YAML"));
        assert_eq!(problems, Vec::<String>::new(), "{name}");
    }
}

/// Wrong files that the schema takes have a mistake that no schema sees: names that point nowhere, types
/// of expressions, what is installed.
#[test]
fn most_wrong_files_do_not_fit() {
    let schema = compile_schema(&workflow_schema()).expect("a good schema");
    let mut taken = Vec::new();
    for (name, text) in wrong::files() {
        if as_json(&text).is_some_and(|it| schema.is_valid(&it)) {
            taken.push(name);
        }
    }
    expect![[r#"
        circle.yaml
        dashed-name.yaml
        default-breaks-schema.yaml
        duplicates-and-lookalikes.yaml
        expression-syntax.yaml
        functions.yaml
        input-expressions.yaml
        may-be-missing.yaml
        misspelt.yaml
        need-in-later-phase.yaml
        norway.yaml
        not-needed.yaml
        output-fields.yaml
        phase-without-phases.yaml
        secrets.yaml
        self-need.yaml
        state-never.yaml
        tools.yaml
        types.yaml
        unknown-need.yaml
        unknown-parameter.yaml
        unknown-phase.yaml
        unknown-plugin.yaml
        unknown-root.yaml
        unknown-step-in-expression.yaml
        yaml-merge-key.yaml"#]]
    .assert_eq(&taken.join("\n"));
}

/// Each change of a good file, and whether it is one still: reader and schema must agree.
#[test]
fn the_reader_and_the_schema_agree_on_shapes() {
    let schema = compile_schema(&workflow_schema()).expect("a good schema");
    let file =
        |step: &str, more: &str| format!("windlass: v1\nworkflow: w\n{more}\nsteps:\n  a: {{ uses: p/b, {step} }}\n");
    let steps: &[(&str, bool)] = &[
        ("timeout: 5s", true),
        ("timeout: 1h30m", true),
        ("timeout: 30m1h", false),
        ("timeout: 0s", false),
        ("timeout: 5", false),
        ("timeout: ''", false),
        ("needs: []", true),
        ("needs: {}", false),
        ("when: true", true),
        ("when: '1 < 2'", true),
        ("when: ''", false),
        ("when: 1", false),
        ("rollback: skip", true),
        ("rollback: no", false),
        ("on_failure: continue", true),
        ("on_failure: Continue", false),
        ("connection: ci", true),
        ("connection: Ci", false),
        ("connections: { a: ci }", true),
        ("connections: { a: [ci] }", false),
        ("connection: ci, connections: { a: ci }", false),
        ("with: {}", true),
        ("with:", true),
        ("with: []", false),
        ("gates: []", true),
        ("gates: [{ approval: { from: user:a } }]", true),
        ("gates: [{ approval: { from: [user:a, group:b], min: 2, requester: allowed, message: x } }]", true),
        ("gates: [{ approval: { from: a } }]", false),
        ("gates: [{ approval: { from: [] } }]", false),
        ("gates: [{ approval: { from: user:a, min: 0 } }]", false),
        ("gates: [{ approval: {} }]", false),
        ("gates: [{}]", false),
        ("retry: { attempts: 1 }", true),
        ("retry: { attempts: 100, backoff: 1s, max_backoff: 2s, within: 1h, on: [transient] }", true),
        ("retry: { attempts: 100, on: timed_out }", true),
        ("retry: { attempts: 101 }", false),
        ("retry: { attempts: 1.5 }", false),
        ("retry: { attempts: 1, on: [x] }", false),
        ("retry: { attempts: 1, every: 1s }", false),
        ("colour: red", false),
        ("description: 7", false),
    ];
    let tops: &[(&str, bool)] = &[
        ("parameters: { a: { type: string } }", true),
        ("parameters: { a: { type: text } }", false),
        ("parameters: { a-b: { type: string } }", false),
        ("parameters: { a: string }", false),
        ("parameters: { a: { type: string, required: true } }", false),
        ("parameters: { a: { type: object, required: [b], properties: { b: { type: string } } } }", true),
        ("parameters: { a: { type: integer, minimum: x } }", false),
        ("phases: []", true),
        ("phases: x", false),
        ("phases: [A]", false),
        ("outputs: { a: 1 }", true),
        ("outputs: { a-b: 1 }", false),
        ("outputs: []", false),
        ("defaults: { timeout: 5m, on_failure: fail, retry: { attempts: 2 } }", true),
        ("defaults: { retry: { backoff: 2s } }", false),
        ("defaults: { when: x }", false),
        ("name: x", false),
        ("concurrency: { group: payments }", true),
        ("parameters: { e: { type: string } }\nconcurrency: { group: 'p-${{ parameters.e }}', limit: 3 }", true),
        ("concurrency: { group: payments, order: latest_only }", true),
        ("concurrency: { group: payments, order: newest }", false),
        ("concurrency: { group: payments, limit: 0 }", false),
        ("concurrency: { group: payments, limit: 1001 }", false),
        ("concurrency: { group: '' }", false),
        ("concurrency: { group: [payments] }", false),
        ("concurrency: { order: unordered }", false),
        ("concurrency: payments", false),
        ("concurrency: { group: payments, cancel: true }", false),
        ("rollback: { alerts: [{ name: Slow, labels: { service: payments }, stabilisation: 30m }] }", true),
        ("rollback: { alerts: [{ labels: { service: payments }, then: after_confirmation }] }", true),
        ("rollback: { alerts: [{ then: rollback }] }", false),
        ("rollback: { alerts: [{ name: Slow, then: wait }] }", false),
        ("rollback: { alerts: [{ name: Slow, stabilisation: soon }] }", false),
        ("rollback: { alerts: [{ name: [Slow] }] }", false),
        ("rollback: { alerts: [Slow] }", false),
        ("rollback: { alerts: { name: Slow } }", false),
        ("rollback: { decision: { owners: [{ who: user:ana }] } }", true),
        (
            "rollback: { decision: { criteria: [{ text: a, when: 'true' }], owners: [{ who: user:ana, escalate_after: 5m }, { who: group:b }], inform: [group:c] } }",
            true,
        ),
        ("rollback: { decision: {} }", false),
        ("rollback: { decision: { owners: [] } }", false),
        ("rollback: { decision: { owners: [{ who: ana }] } }", false),
        ("rollback: { decision: { owners: [{ who: user:ana }], criteria: [{ text: a }] } }", false),
        ("rollback: { decision: { owners: [{ who: user:ana }], inform: [ana] } }", false),
        ("tenant: payments", true),
        ("tenant: Payments", false),
        ("tenant: [a]", false),
    ];
    let cases = steps
        .iter()
        .map(|(step, good)| (file(step, ""), *good))
        .chain(tops.iter().map(|(top, good)| (file("", top), *good)));
    for (text, good) in cases {
        let (parsed, problems) = parse(&Source::new("test.yaml", text.as_str()));
        assert_eq!(parsed.is_some(), good, "the reader: {text}\n{problems:?}");
        let json = as_json(&text).expect("YAML");
        assert_eq!(schema.is_valid(&json), good, "the schema: {text}\n{:?}", schema_problems(&schema, &json));
    }
}

#[test]
fn the_schema_names_what_the_types_name() {
    let schema = workflow_schema();
    let classes: Vec<&str> = FailureClass::ALL.into_iter().map(|(_, name)| name).collect();
    assert_eq!(schema["$defs"]["failure_class"]["enum"], Value::from(classes));
    assert_eq!(schema["properties"]["steps"]["maxProperties"], Value::from(STEPS_MAX));
    assert_eq!(schema["$defs"]["concurrency"]["properties"]["limit"]["maximum"], Value::from(GROUP_LIMIT_MAX));
    let orders: Vec<&str> = QueueOrder::ALL.into_iter().map(|(name, _)| name).collect();
    assert_eq!(schema["$defs"]["concurrency"]["properties"]["order"]["enum"], Value::from(orders));
    for definition in ["step", "parameter", "retry", "gate", "concurrency"] {
        let definition = &schema["$defs"][definition];
        assert!(definition["description"].is_string() && definition["additionalProperties"] == false);
    }
    for (name, property) in schema["$defs"]["step"]["properties"].as_object().expect("properties") {
        assert!(property["description"].is_string() || property["$ref"].is_string(), "`{name}` has no description");
    }
}

#[test]
fn the_manifest_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/0.1/manifest.schema.json");
    let mut schema = serde_json::to_value(schemars::schema_for!(Manifest)).expect("JSON");
    schema["$id"] = Value::from("urn:windlass:schema:plugin-manifest:0.1");
    schema["title"] = Value::from("Windlass plugin manifest");
    let made = format!("{}\n", serde_json::to_string_pretty(&schema).expect("JSON"));
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &made).expect("a writable folder");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, made, "the types changed: run the tests with UPDATE_SCHEMA=1 and read the difference");
    compile_schema(&schema).expect("a good schema");
}

#[test]
fn manifests_that_are_read_fit_the_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(Manifest)).expect("JSON");
    let schema = compile_schema(&schema).expect("a good schema");
    for manifest in crate::catalog::manifests() {
        assert_eq!(schema_problems(&schema, &manifest), Vec::<String>::new());
        let mut wrong = manifest.clone();
        wrong["actions"]["Bad Name"] =
            wrong["actions"].as_object().expect("actions").values().next().expect("one").clone();
        assert!(Manifest::parse(wrong.to_string().as_bytes()).is_err());
        let mut wrong = manifest;
        wrong["colour"] = Value::from("red");
        assert!(!schema.is_valid(&wrong) && Manifest::parse(wrong.to_string().as_bytes()).is_err());
    }
}

/// Authors do not write manifests: a line and a column of one say nothing to them.
#[test]
fn what_a_manifest_has_wrong_names_its_place() {
    for (effect, expected) in [
        (serde_json::json!("raed"), "`actions.look.effect`: unknown variant `raed`, expected one of `read`"),
        (serde_json::json!(1), "`actions.look.effect`: "),
    ] {
        let manifest = serde_json::json!({
            "name": "x", "version": "0.1.0", "contract": "0.1", "description": "d",
            "actions": {"look": {"description": "d", "input": {}, "output": {}, "effect": effect}}
        });
        let error = Manifest::parse(manifest.to_string().as_bytes()).expect_err("a wrong effect").to_string();
        assert!(error.contains(expected) && !error.contains(" at line "), "{error}");
        let more = [manifest.to_string().replace("\"raed\"", "\"read\"").as_bytes(), b" {}"].concat();
        assert!(Manifest::parse(&more).is_err(), "more after the end");
    }
}

/// What a plugin says of its inputs and outputs is checked by the host: a schema must not occupy it.
#[test]
fn schemas_that_would_occupy_the_host_are_refused() {
    let mut nested = serde_json::json!({"unevaluatedProperties": false, "properties": {"a": {}}});
    for _ in 0..40 {
        nested = serde_json::json!({"unevaluatedProperties": false, "allOf": [nested]});
    }
    for (schema, expected) in [
        (nested, "more than 100000 steps"),
        (serde_json::json!({"$ref": "http://127.0.0.1:1/schema.json"}), "only those within the schema"),
        (serde_json::json!({"$ref": "file:///etc/passwd"}), "only those within the schema"),
        (serde_json::json!({"$ref": "#"}), "leads back to itself"),
        (serde_json::json!({"pattern": "((\\w{100}){100}){100}"}), "is not a \"regex\""),
        (serde_json::json!({"type": "nonsense"}), "nonsense"),
    ] {
        let manifest = serde_json::json!({
            "name": "x", "version": "0.1.0", "contract": "0.1", "description": "d",
            "actions": {"a": {"description": "d", "input": schema, "output": {}, "effect": "read"}}
        });
        let error = Manifest::parse(manifest.to_string().as_bytes()).expect_err(expected);
        assert!(error.to_string().contains("action `a`: the input schema: "), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A regular expression that others run for ever is matched in linear time, or given up.
#[test]
fn patterns_do_not_run_away() {
    for pattern in ["^(a+)+$", r"^(?=a)(a+)+\\1$", "(a*)*b", "(x+x+)+y"] {
        let schema = compile_schema(&serde_json::json!({"pattern": pattern})).expect(pattern);
        let value = Value::from("a".repeat(100_000) + "!");
        assert_eq!(schema_problems(&schema, &value).len(), 1, "{pattern}");
    }
}

#[test]
fn of_many_problems_some_are_told_and_none_at_length() {
    let parts = vec![serde_json::json!({"type": "object"}); 10_000];
    let schema = compile_schema(&serde_json::json!({"allOf": parts})).expect("a schema");
    let problems = schema_problems(&schema, &Value::from("x".repeat(1024 * 1024)));
    assert_eq!(problems.len(), 100);
    assert!(problems.iter().all(|it| it.chars().count() < 510), "{}", problems[0].len());
}

#[test]
fn an_input_with_a_field_that_is_none_is_told_which_there_are() {
    let schema = serde_json::json!({
        "type": "object", "additionalProperties": false,
        "properties": { "version": { "type": "string" }, "to": { "$ref": "#/$defs/place" } },
        "$defs": { "place": {
            "type": "object", "additionalProperties": false, "properties": { "region": {}, "zone": {} }
        } },
    });
    let problems = |input: Value| -> Vec<(String, String)> {
        let problems = input_problems(&schema, &input).expect("a schema").into_iter();
        problems.map(|it| (it.path.join(" "), it.message)).collect()
    };
    let told = |path: &str, message: &str| (path.to_owned(), message.to_owned());
    assert_eq!(problems(serde_json::json!({ "version": "1" })), []);
    assert_eq!(
        problems(serde_json::json!({ "versoin": "1" })),
        [told("versoin", "there is no field `versoin`; did you mean `version`?")]
    );
    assert_eq!(
        problems(serde_json::json!({ "version": 3, "to": { "x": 1 } })),
        [
            told("to x", "at `/to`: there is no field `x`; its fields are `region` and `zone`"),
            told("version", "at `/version`: 3 is a number, not a text")
        ]
    );
    assert!(input_problems(&serde_json::json!({ "type": "objekt" }), &Value::Null).is_err());
}
