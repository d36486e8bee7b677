//! No file makes the readers panic, hang or overflow: good and wrong ones, broken in every way a seed leads to.
//! How to look further: `conformance/fuzz/README.md`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_fuzz::{Effort, TEXT, fuzz};
use windlass_model::expression::{Expression, Scope};
use windlass_model::manifest::{Manifest, compile_schema, schema_problems};
use windlass_model::parse::validate;
use windlass_model::problem::{Color, Source, render};

use crate::catalog::installed;
use crate::{workflow_files, wrong};

/// Pieces that mean something to one of the readers of workflow files.
const WORKFLOW: &[&str] = &[
    "steps",
    "parameters.",
    "has(",
    ".exists(x, ",
    "['",
    "needs: [",
    "type: ",
    "for_each: ",
    "uses: ",
    "with: {",
    "when: ",
    "${{ steps.",
    ".output.",
    "timeout: ",
    "retry: { attempts: ",
    "gates:\n",
    "rollback: ",
];

#[test]
fn workflow() {
    let files: Vec<Vec<u8>> =
        workflow_files().into_iter().chain(wrong::files()).map(|(_, text)| text.into_bytes()).collect();
    let catalog = installed();
    let pieces = [TEXT, WORKFLOW].concat();
    fuzz("workflow", Effort::of(3000), &files, &pieces, |bytes| {
        let (source, no_text) = Source::from_bytes("fuzz.yaml", bytes);
        let (plan, problems) = validate(&source, &catalog);
        let lines = source.text().split('\n').count();
        for problem in no_text.iter().chain(&problems) {
            let place = problem.place;
            assert!((1..=lines).contains(&place.line) && place.column >= 1, "{problem:?}");
            assert!(place.start <= place.end && place.end <= source.text().len(), "{problem:?}");
            assert!(!problem.message.is_empty() && problem.message.len() < 10_000, "{problem:?}");
        }
        assert!(plan.is_some() || !problems.is_empty(), "a file that is refused is told why");
        assert!(render(&source, &problems, Color::Ansi).len() < 4_000_000);
    });
}

fn manifest_of(schema: &Value) -> Vec<u8> {
    let manifest = json!({
        "name": "x", "version": "0.1.0", "contract": "0.1", "description": "d",
        "actions": {"a": {
            "description": "d", "input": schema, "output": {"type": "object"}, "effect": "write", "cancel": true,
            "connections": {"c": {"description": "d", "requests": [{"methods": ["GET", "POST"], "path": "/a/**/b*"}]}},
            "tools": {"helm": {"description": "d", "subcommands": ["upgrade"]}},
            "limits": {"cpu_ms": 300, "memory_bytes": 1_000_000}
        }}
    });
    manifest.to_string().into_bytes()
}

/// Schemas as plugins have them, and such as nobody should.
fn schemas() -> Vec<Value> {
    let mut schemas = vec![
        json!({"type": "object", "required": ["job"], "properties": {"job": {"type": "string", "pattern": "^[a-z]+$", "minLength": 1}}, "additionalProperties": false}),
        json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}}}}),
        json!({"oneOf": [{"const": 1}, {"enum": ["a", "b", null]}, {"type": "array", "items": {"minimum": 0, "multipleOf": 0.1}, "uniqueItems": true, "contains": {"maximum": 5}}]}),
        json!({"if": {"type": "string"}, "then": {"format": "date-time"}, "else": {"not": {"type": "null"}}}),
        json!({"patternProperties": {"^x-": {"type": "number"}}, "propertyNames": {"maxLength": 9}, "unevaluatedProperties": false, "dependentSchemas": {"a": {"required": ["b"]}}, "minProperties": 1}),
        json!({"prefixItems": [{"type": "integer"}], "items": false, "minItems": 1, "maxItems": 3}),
        json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/b"}]}, "b": {"type": "string"}}}),
        json!({"pattern": "^(a+)+$"}),
        json!({"pattern": "(?=x)(\\w{9}){9}\\1"}),
    ];
    let published = include_str!("../../../../wit/0.1/artifact.schema.json");
    schemas.extend(serde_json::from_str::<Value>(published));
    schemas
}

const JSON_WORDS: &[&str] = &[
    "\"$ref\":\"#\",",
    "\"$ref\":\"#/$defs/a\",",
    "\"allOf\":[{}],",
    "\"anyOf\":[",
    "\"type\":",
    "\"items\":{",
    "{\"not\":",
    "[[[[",
    "]]",
    "\"unevaluatedProperties\":false,",
    "\"pattern\":\"(a*)*\",",
    "\"enum\":[",
    "\"$dynamicRef\":\"#x\",",
    "\"$id\":\"y\",",
    "\"minimum\":1e400,",
    "\"multipleOf\":0,",
    "\"maxLength\":-1,",
    "\"contract\":\"0.2\",",
    "\"limits\":{",
    "\"effect\":\"",
];

#[test]
fn manifest() {
    let corpus: Vec<Vec<u8>> = schemas().iter().map(manifest_of).collect();
    let pieces = [TEXT, JSON_WORDS].concat();
    fuzz("manifest", Effort::of(3000), &corpus, &pieces, |bytes| match Manifest::parse(bytes) {
        Ok(manifest) => {
            let written = serde_json::to_vec(&manifest).expect("it can be written");
            assert_eq!(Manifest::parse(&written).expect("what was written is read"), manifest);
        }
        Err(error) => assert!((20..100_000).contains(&error.to_string().len()), "{error}"),
    });
}

/// A schema and a value that it is held against, with a zero byte between them.
#[test]
fn schema() {
    let values = [
        json!({"job": "payments", "left": {"right": {}}, "x-1": 2}),
        json!([1, 2.5, "a", null, [1]]),
        json!("aaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
        json!(1e300),
        json!({"artifact": "x@sha256:00", "a": [{"b": [{"c": 1}]}]}),
    ];
    let corpus: Vec<Vec<u8>> = schemas()
        .iter()
        .flat_map(|schema| values.iter().map(move |value| format!("{schema}\0{value}").into_bytes()))
        .collect();
    let pieces = [TEXT, JSON_WORDS].concat();
    fuzz("schema", Effort::of(3000), &corpus, &pieces, |bytes| {
        let mut parts = bytes.splitn(2, |it| *it == 0);
        let (Some(schema), Some(value)) = (parts.next(), parts.next()) else { return };
        let (Ok(schema), Ok(value)) = (serde_json::from_slice::<Value>(schema), serde_json::from_slice::<Value>(value))
        else {
            return;
        };
        match compile_schema(&schema) {
            Ok(validator) => {
                let problems = schema_problems(&validator, &value);
                assert_eq!(validator.is_valid(&value), problems.is_empty(), "{schema} {value}");
                assert!(problems.iter().all(|it| it.chars().count() < 520), "{problems:?}");
            }
            Err(error) => assert!(!error.is_empty()),
        }
    });
}

#[test]
fn expression() {
    let corpus: Vec<Vec<u8>> = [
        "parameters.version == '1.2.3' && steps.build.output.count > 3",
        "steps['create-change'].output.items.filter(x, x.size() > 1).map(x, x + '!')",
        "has(steps.build.output.url) ? steps.build.output.url : 'none'",
        "[1, 2, 3].exists(x, x == parameters.count) || !(release.id in ['a', 'b'])",
        "{'a': [1u, 2.5, b'x', null], 'b': timestamp('2024-01-01T00:00:00Z')}",
        "steps.build.output.items[0].matches('^(a+)+$') || 'x'.startsWith(\"y\")",
        "((((((((1))))))))  + -1 - - 2 * 3 / 0 % 7",
        "duration('1h') + duration('-3m')",
        "steps.build.output.items.all(i, steps.build.output.items.exists_one(j, i == j))",
    ]
    .iter()
    .map(|it| it.as_bytes().to_vec())
    .collect();
    let words: &[&str] = &[
        "(",
        ")",
        "!",
        "-",
        "[",
        "]",
        ".map(x, ",
        ".filter(x, x",
        ".all(x,",
        " ? ",
        " : ",
        " && ",
        " in ",
        "steps.build.output.",
        "parameters.",
        "'",
        "\"",
        "b'",
        "r'",
        "1u",
        "9223372036854775807",
        "-9223372036854775808",
        "1e308",
        "\\x",
        "has(",
        "size(",
        "matches(",
        "type(",
        "dyn(",
        "int(",
        "string(",
        "double(",
        "bytes(",
    ];
    let pieces = [TEXT, words].concat();
    let parameters = json!({"version": "1.2.3", "count": 3});
    let release = json!({"id": "w-1", "workflow": "w", "requested_by": "rita"});
    let output = json!({"state": "succeeded", "output": {"count": 4, "url": "https://x", "items": ["aaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "b", "cc"]}});
    let step = |name: &str| (name == "build").then(|| output.clone());
    fuzz("expression", Effort::of(5000), &corpus, &pieces, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match Expression::parse(text) {
            Err(error) => assert!(error.offset <= text.len() && !error.message.is_empty(), "{error:?}"),
            Ok(expression) => {
                assert_eq!(expression.source(), text);
                for reference in expression.references() {
                    assert!(!reference.path.is_empty() && reference.offset <= text.len(), "{reference:?}");
                }
                let range = expression.range_of(expression.syntax());
                assert!(text.get(range).is_some());
                if let Err(error) = expression.evaluate(&Scope::new(&parameters, &release, &step)) {
                    assert!(error.message.len() < 100_000, "{}", error.message.len());
                }
            }
        }
    });
}

/// Found by `workflow`, round 601 of seed 7: a message repeated 20,000 digits.
#[test]
fn what_is_long_is_not_repeated_at_length() {
    let digits = "1".repeat(20_000);
    let text = format!(
        "windlass: v1\nworkflow: w\nsteps:\n  a: {{ uses: http/wait, timeout: {digits} }}\n  {digits}: {{ uses: {digits} }}\n"
    );
    let (_, problems) = validate(&Source::new("long.yaml", text), &installed());
    assert!(problems.len() >= 2, "{problems:?}");
    for problem in &problems {
        assert!(problem.to_string().chars().count() < 2_100, "{}", problem.to_string().len());
    }
}

#[test]
fn large_workflows_are_checked_in_time() {
    let count = 1000;
    let chain: String = (0..count)
        .map(|it| {
            let needs = if it + 1 < count { format!("needs: [s{}], ", it + 1) } else { String::new() };
            format!(
                "  s{it}: {{ {needs}uses: http/wait, with: {{ for: '${{{{ steps.s{}.output.x }}}}' }} }}\n",
                (it + 1).min(count - 1)
            )
        })
        .collect();
    let circle: String = (0..count)
        .map(|it| {
            format!("  s{it}: {{ needs: [s{}, s{}], uses: http/wait }}\n", (it + 1) % count, (it * 7 + 3) % count)
        })
        .collect();
    for steps in [chain, circle] {
        let source = Source::new("large.yaml", format!("windlass: v1\nworkflow: w\nsteps:\n{steps}"));
        let began = Instant::now();
        let (_, problems) = validate(&source, &installed());
        assert!(!render(&source, &problems, Color::None).is_empty());
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}
