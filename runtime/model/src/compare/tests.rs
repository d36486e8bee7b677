use serde_json::{Value, json};

use super::*;

fn manifest(version: &str, action: Value) -> Manifest {
    let mut base = json!({
        "description": "d", "effect": "read", "input": { "type": "object" }, "output": { "type": "object" },
    });
    for (name, value) in action.as_object().expect("members") {
        base[name] = value.clone();
    }
    let manifest = json!({
        "name": "x", "version": version, "contract": "0.1", "description": "d", "actions": { "a": base },
    });
    Manifest::parse(manifest.to_string().as_bytes()).expect("a manifest")
}

/// The differences between two actions, as lines.
fn lines(old: Value, new: Value) -> Vec<String> {
    let imports = BTreeSet::new();
    let (old, new) = (manifest("0.1.0", old), manifest("0.1.1", new));
    let found = compare(Side { manifest: &old, imports: &imports }, Side { manifest: &new, imports: &imports });
    found.into_iter().map(|it| format!("{} {}: {}", it.impact, it.place, it.message)).collect()
}

fn check(old: Value, new: Value, expected: &[&str]) {
    assert_eq!(lines(old, new), expected);
}

/// One field of an object that is an input and an output, before and after: what is found in each, without places.
fn field(old: Value, new: Value) -> (Vec<String>, Vec<String>) {
    let of = |name: &str, field: &Value| json!({ name: { "type": "object", "properties": { "f": field } } });
    let both = ["input", "output"].map(|name| {
        let place = format!(" action `a`, {name}");
        lines(of(name, &old), of(name, &new)).into_iter().map(|it| it.replace(&place, "")).collect()
    });
    both.into()
}

fn check_field(old: Value, new: Value, input: &[&str], output: &[&str]) {
    let (its_input, its_output) = field(old.clone(), new.clone());
    assert_eq!((its_input.as_slice(), its_output.as_slice()), (&owned(input)[..], &owned(output)[..]), "{old} {new}");
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|it| (*it).to_owned()).collect()
}

#[test]
fn the_same_is_no_difference() {
    check(json!({ "effect": "write", "find": true }), json!({ "effect": "write", "find": true }), &[]);
    let words = json!({ "type": "string", "description": "other words", "examples": ["a"] });
    check_field(json!({ "type": "string" }), words, &[], &[]);
}

#[test]
fn an_input_that_takes_less_and_an_output_that_may_be_more_break_workflows() {
    check_field(
        json!({ "enum": ["low", "high"] }),
        json!({ "enum": ["low", "top"] }),
        &["breaking: `f` no longer takes \"high\"", "compatible: `f` takes \"top\" as well"],
        &["breaking: `f` may be \"top\" as well", "compatible: `f` no longer is \"high\""],
    );
    check_field(
        json!({ "type": "integer" }),
        json!({ "type": "number" }),
        &["compatible: `f` takes number as well"],
        &["breaking: `f` may be number as well"],
    );
    check_field(
        json!({ "minimum": 1, "maximum": 9 }),
        json!({ "minimum": 2, "maximum": 10 }),
        &[
            "breaking: `f` has the bound `minimum: 2` instead of 1",
            "compatible: `f` has the bound `maximum: 10` instead of 9",
        ],
        &[
            "breaking: `f` has the bound `maximum: 10` instead of 9",
            "compatible: `f` has the bound `minimum: 2` instead of 1",
        ],
    );
    check_field(
        json!({ "items": { "maxLength": 5 } }),
        json!({ "items": {} }),
        &["compatible: `f[]` has the bound `maxLength: 5` no longer"],
        &["breaking: `f[]` has the bound `maxLength: 5` no longer"],
    );
    check_field(
        json!({ "pattern": "a" }),
        json!({ "pattern": "b" }),
        &["breaking: `f` has another `pattern`, which cannot be compared"],
        &["breaking: `f` has another `pattern`, which cannot be compared"],
    );
    check_field(
        json!({ "type": "string" }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        &[
            "breaking: `f` has the alternatives of an `anyOf` now",
            "compatible: `f` takes array, boolean, integer, null, number, object as well",
        ],
        &[
            "breaking: `f` may be array, boolean, integer, null, number, object as well",
            "compatible: `f` has the alternatives of an `anyOf` now",
        ],
    );
}

#[test]
fn alternatives_are_compared_one_with_the_other() {
    let either = |it: Value| json!({ "anyOf": [{ "type": "null" }, it] });
    check_field(
        either(json!({ "enum": ["a"] })),
        either(json!({ "enum": ["a", "b"] })),
        &["compatible: `f` takes \"b\" as well"],
        &["breaking: `f` may be \"b\" as well"],
    );
    check_field(
        json!({ "anyOf": [{ "type": "null" }] }),
        either(json!({ "type": "string" })),
        &["compatible: `f` takes string as well"],
        &["breaking: `f` may be string as well"],
    );
}

#[test]
fn fields_that_come_and_go() {
    let object =
        |fields: Value, required: Value| json!({ "type": "object", "properties": fields, "required": required });
    let before = object(json!({ "a": {}, "b": {} }), json!(["a"]));
    let after = object(json!({ "a": {}, "c": {} }), json!(["c"]));
    check(
        json!({ "input": before }),
        json!({ "input": after }),
        &[
            "breaking action `a`, input: `b` is gone",
            "breaking action `a`, input: `c` is new and has to be given",
            "compatible action `a`, input: `a` need not be given any more",
        ],
    );
    check(
        json!({ "output": before }),
        json!({ "output": after }),
        &[
            "breaking action `a`, output: `a` may be missing now",
            "breaking action `a`, output: `b` is gone",
            "compatible action `a`, output: `c` is always there now",
            "compatible action `a`, output: `c` is new",
        ],
    );
    let closed = json!({ "type": "object", "additionalProperties": false });
    let breaking = &["breaking action `a`, input: it has no other fields than those named any more"];
    check(json!({}), json!({ "input": closed }), breaking);
    check(
        json!({}),
        json!({ "output": closed }),
        &["compatible action `a`, output: it has no other fields than those named any more"],
    );
}

#[test]
fn another_default_changes_what_a_workflow_gets_that_does_not_say() {
    let now = &["breaking: `f` is 2 instead of 1 where a workflow does not say"];
    check_field(json!({ "default": 1 }), json!({ "default": 2 }), now, &[]);
    check_field(
        json!({ "default": 1 }),
        json!({}),
        &["breaking: `f` is not 1 any more where a workflow does not say"],
        &[],
    );
    check_field(json!({}), json!({ "default": 1 }), &["compatible: `f` is 1 where a workflow does not say"], &[]);
}

#[test]
fn references_are_followed_also_where_only_their_target_changed() {
    let of = |level: Value| json!({ "input": { "properties": { "f": { "$ref": "#/$defs/level" } }, "$defs": { "level": level } } });
    let expected = &["breaking action `a`, input: `f` no longer takes \"high\""];
    check(of(json!({ "enum": ["low", "high"] })), of(json!({ "enum": ["low"] })), expected);
    // One that contains itself ends.
    let tree = |leaf: Value| {
        let node = json!({ "properties": { "below": { "$ref": "#/$defs/node" }, "leaf": leaf } });
        json!({ "input": { "$ref": "#/$defs/node", "$defs": { "node": node } } })
    };
    let found = lines(tree(json!({})), tree(json!({ "type": "string" })));
    assert!(found.iter().any(|it| it.contains("`leaf` no longer takes")), "{found:?}");
}

#[test]
fn effects_and_operations() {
    check(
        json!({}),
        json!({ "effect": "write" }),
        &["wider action `a`: it changes something now; before it only read"],
    );
    let breaking = lines(json!({ "effect": "idempotent_write" }), json!({ "effect": "write" }));
    assert!(
        breaking.len() == 1 && breaking[0].starts_with("breaking action `a`: its effect is `write` now"),
        "{breaking:?}"
    );
    check(json!({ "effect": "write" }), json!({}), &["compatible action `a`: it only reads now"]);
    check(
        json!({ "rollback": true, "find": true }),
        json!({ "cancel": true }),
        &[
            "breaking action `a`: its `find` is gone: after a crash or a lost answer a person has to look",
            "breaking action `a`: its `rollback` is gone: a release cannot go back over it",
            "compatible action `a`: it has a `cancel` now",
        ],
    );
}

#[test]
fn what_it_asks_for() {
    let role = |required: bool, rules: &[&str]| {
        let rule = |it: &&str| {
            let (method, path) = it.split_once(' ').expect("a rule");
            json!({ "methods": [method], "path": path })
        };
        let requests: Vec<Value> = rules.iter().map(rule).collect();
        json!({ "description": "d", "required": required, "requests": requests })
    };
    check(
        json!({ "connections": { "r": role(true, &["GET /jobs/**", "POST /jobs"]) } }),
        json!({ "connections": { "r": role(true, &["GET /jobs/*", "DELETE /jobs/*"]) } }),
        &[
            "wider action `a`, role `r`: it makes `DELETE /jobs/*` as well",
            "compatible action `a`, role `r`: it makes `GET /jobs/**` no longer",
            "compatible action `a`, role `r`: it makes `POST /jobs` no longer",
        ],
    );
    check(
        json!({}),
        json!({ "connections": { "r": role(true, &["GET /a"]) } }),
        &[
            "breaking action `a`, role `r`: it is new and required: every step has to bind a connection to it",
            "wider action `a`, role `r`: it is new and makes `GET /a`",
        ],
    );
    let gone = &["breaking action `a`, role `r`: it is gone: a step that binds a connection to it is refused"];
    check(json!({ "connections": { "r": role(false, &[]) } }), json!({}), gone);
    let tool = |subcommands: Value| json!({ "tools": { "helm": { "description": "d", "subcommands": subcommands } } });
    check(
        tool(json!(["status"])),
        tool(json!(["upgrade"])),
        &[
            "wider action `a`, tool `helm`: it is run with `upgrade` as well",
            "compatible action `a`, tool `helm`: it is run with `status` no longer",
        ],
    );
    let dry = |forms: Value| {
        let helm = json!({ "description": "d", "subcommands": ["upgrade", "status"], "dry_run": forms });
        json!({ "tools": { "helm": helm } })
    };
    check(
        dry(json!(["status"])),
        dry(json!(["upgrade --dry-run"])),
        &[
            "wider action `a`, tool `helm`: it is run with `upgrade --dry-run` in dry runs as well",
            "compatible action `a`, tool `helm`: it is run with `status` in dry runs no longer",
        ],
    );
    check(
        json!({ "limits": { "cpu_ms": 1000 } }),
        json!({ "limits": { "wall_ms": 90_000 } }),
        &[
            "wider action `a`: a call may use more: `cpu_ms` is 5000 instead of 1000",
            "wider action `a`: a call may use more: `wall_ms` is 90000 instead of 60000",
        ],
    );
}

#[test]
fn whole_plugins_and_their_imports() {
    let (mut old, mut new) = (manifest("0.1.0", json!({})), manifest("0.1.1", json!({})));
    let [a, b] = ["a", "b"].map(|it| it.parse::<crate::name::ActionName>().expect("a name"));
    let action = old.actions.remove(&a).expect("it is there");
    old.actions.insert(b, action);
    let connections = json!({ "r": { "description": "d", "requests": [{ "methods": ["GET"], "path": "/new" }] } });
    new.actions.get_mut(&a).expect("it is there").connections = serde_json::from_value(connections).expect("roles");
    let set = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<String>>();
    let imports = (
        set(&["wasi:io/streams@0.2.3", "wasi:cli/exit@0.2.3"]),
        set(&["wasi:io/streams@0.2.6", "wasi:http/types@0.2.6"]),
    );
    let found = compare(Side { manifest: &old, imports: &imports.0 }, Side { manifest: &new, imports: &imports.1 });
    let shown: Vec<String> = found.iter().map(|it| format!("{} {}: {}", it.impact, it.place, it.message)).collect();
    assert_eq!(
        shown,
        [
            "breaking action `b`: it is gone",
            "wider : it imports more of the host: `wasi:http/types`",
            "wider action `a`, role `r`: it makes `GET /new` as well",
            "compatible : it imports less of the host: `wasi:cli/exit` are gone",
            "compatible : it is built against other versions: `wasi:io/streams@0.2.6`",
            "compatible action `a`: it is new",
        ]
    );
    let promise = broken_promise(&old, &new, &found).expect("0.1.1 promises");
    assert!(promise.contains("0.1.1") && promise.ends_with("0.2.0"), "{promise}");
    let said = summary(&found).expect("somebody has to look");
    assert!(said.starts_with("1 breaking") && said.contains("2 wider"), "{said}");
    new.version = semver::Version::new(0, 2, 0);
    assert_eq!(broken_promise(&old, &new, &found), None);
    assert_eq!(summary(&found[3..]), None);
}

#[test]
fn what_the_numbers_of_two_versions_mean() {
    let (old, mut new) = (manifest("0.1.0", json!({})), manifest("0.1.0", json!({})));
    let mut note = |version: (u64, u64, u64)| {
        new.version = semver::Version::new(version.0, version.1, version.2);
        version_note(&old, &new)
    };
    assert_eq!(note((0, 1, 1)), None);
    assert!(note((0, 1, 0)).is_some_and(|it| it.starts_with("both say that they are version 0.1.0")));
    assert!(note((0, 0, 9)).is_some_and(|it| it.starts_with("0.0.9 comes before 0.1.0")));
    assert!(note((0, 2, 0)).is_some_and(|it| it.ends_with("they have to say `@^0.2` to get 0.2.0")));
    assert!(note((1, 0, 0)).is_some_and(|it| it.contains("@^0.1` stay with 0.1.0: they have to say `@^1`")));
}
