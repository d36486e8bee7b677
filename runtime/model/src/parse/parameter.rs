//! A workflow's parameters: how the file declares them, and whether given values fit.

use serde_json::{Map, Value};

use crate::artifact::{ARTIFACT, from_text, is_schema, schema as schema_of_artifact, with_artifacts};
use crate::check::schema::{accepted, breaches, explain};
use crate::expression::Expression;
use crate::manifest::compile_schema;
use crate::problem::{Extent, Report, did_you_mean, listed};
use crate::workflow::{Parameter, Workflow};

use super::draft::{At, DraftParameter};
use super::fields::{Fields, one_of};
use super::node::{Field, Kind, Node};

/// Types of parameters and outputs, as JSON Schema calls them, and artifacts.
pub(super) const TYPES: &[&str] = &["string", "integer", "number", "boolean", "array", "object", ARTIFACT];

/// Keywords of JSON Schema that may stand beside `type`.
pub(super) const KEYWORDS: &[&str] = &[
    "enum",
    "const",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "required",
    "additionalProperties",
    "examples",
];

pub(super) fn read(report: &mut Report<'_>, node: &Node) -> Vec<DraftParameter> {
    if let Kind::List(_) = node.kind {
        report
            .error(node.extent, "wrong-type", "`parameters` is a mapping of names to their declarations, not a list")
            .suggest("write `parameters: { version: { type: string } }`");
        return Vec::new();
    }
    let fields = report.mapping(node, "`parameters`").unwrap_or_default();
    fields.iter().map(|it| read_one(report, it)).collect()
}

/// A name that can be written after `parameters.` or `outputs.`.
pub(super) fn check_name(report: &mut Report<'_>, name: &At<String>, what: &str) {
    let text = &name.value;
    let word = !text.is_empty()
        && text.len() <= 63
        && text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    if !word {
        let better: String = text.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '_' }).collect();
        let better = better.trim_matches('_');
        report
            .error(
                name.extent,
                "name",
                format!("{what} is letters, digits and `_`, 63 at most, and does not begin with a digit"),
            )
            .note("so that an expression can name it")
            .suggest_some(
                (!better.is_empty() && better.starts_with(|it: char| it.is_ascii_alphabetic()))
                    .then(|| format!("for example `{better}`")),
            );
    } else if Expression::parse(&format!("parameters.{text}")).is_err() {
        report.error(
            name.extent,
            "name",
            format!("`{text}` is a reserved word of the expression language, so no expression could name it"),
        );
    }
}

fn read_one(report: &mut Report<'_>, field: &Field) -> DraftParameter {
    let name = At { value: field.name.clone(), extent: field.name_extent };
    check_name(report, &name, "a parameter's name");
    let mut parameter = DraftParameter { name, schema: Value::Bool(true), default: None, description: None };
    let what = format!("parameter `{}`", field.name);
    if let Kind::Text(text) = &field.value.kind {
        let problem = report.error(field.value.extent, "wrong-type", format!("{what} is a mapping, not a text"));
        problem.suggest(if TYPES.contains(&text.as_str()) {
            format!("write `{{ type: {text} }}`")
        } else {
            "write `{ type: string }`".to_owned()
        });
        return parameter;
    }
    let known: Vec<&str> = ["type", "description", "default"].into_iter().chain(KEYWORDS.iter().copied()).collect();
    let Some(fields) = report.fields(&field.value, &what, &known) else { return parameter };
    parameter.description = super::workflow::read_description(report, &fields);
    let whole = (field.name_extent, what.as_str());
    parameter.schema = read_schema(report, &fields, whole, "a parameter is required exactly when it has no `default`");
    if let Some(node) = fields.value("default") {
        parameter.default = Some(node.to_json());
        check_default(report, &parameter, node, &what);
    }
    parameter
}

/// The type of a value, as JSON Schema: `type` and what restricts it.
pub(super) fn read_schema(
    report: &mut Report<'_>,
    fields: &Fields<'_>,
    (extent, what): (Extent, &str),
    required: &str,
) -> Value {
    let mut schema = Map::new();
    let mut is_artifact = false;
    match fields.value("type") {
        Some(node) => {
            if let Some(text) = report.text(node, "`type`") {
                match TYPES.iter().find(|it| **it == text.value) {
                    Some(name) => {
                        schema.insert("type".to_owned(), Value::from(*name));
                        is_artifact = *name == ARTIFACT;
                    }
                    None => {
                        let theirs = match text.value.as_str() {
                            "int" => Some("integer"),
                            "text" | "str" => Some("string"),
                            "bool" => Some("boolean"),
                            "float" | "double" => Some("number"),
                            "list" => Some("array"),
                            "map" | "dict" => Some("object"),
                            _ => None,
                        };
                        report
                            .error(
                                text.extent,
                                "unknown-value",
                                format!("`type` is {}, not `{}`", one_of(TYPES.iter().copied()), text.value),
                            )
                            .suggest_some(
                                theirs
                                    .map(|it| format!("did you mean `{it}`?"))
                                    .or_else(|| did_you_mean(&text.value, TYPES.iter().copied())),
                            );
                    }
                }
            }
        }
        None => {
            report
                .error(extent, "missing-key", format!("{what} has no type"))
                .suggest(format!("add `type:`, one of {}", listed(TYPES)));
        }
    }
    for keyword in KEYWORDS {
        let Some(field) = fields.get(keyword) else { continue };
        if *keyword == "required" && matches!(field.value.kind, Kind::Boolean(_)) {
            report.error(field.name_extent, "required", required).suggest("leave `required` out");
            continue;
        }
        let value = with_artifacts(field.value.to_json());
        match compile_schema(&Value::Object(Map::from_iter([((*keyword).to_owned(), value.clone())]))) {
            Ok(_) => {
                schema.insert((*keyword).to_owned(), value);
            }
            Err(error) => {
                report.error(
                    field.value.extent,
                    "schema",
                    format!("this is not what `{keyword}` of JSON Schema takes: {error}"),
                );
            }
        }
    }
    if is_artifact {
        for (keyword, field) in KEYWORDS.iter().filter_map(|it| Some((it, fields.get(it)?))) {
            report
                .error(
                    field.name_extent,
                    "schema",
                    format!("an artifact is what it is: `{keyword}` cannot restrict it"),
                )
                .suggest("leave it out");
        }
        return schema_of_artifact().clone();
    }
    Value::Object(schema)
}

fn check_default(report: &mut Report<'_>, parameter: &DraftParameter, node: &Node, what: &str) {
    let mut expression = None;
    node.each_text(&mut |node, text| {
        if text.contains("${{") {
            expression = Some(node.extent);
        }
    });
    if let Some(extent) = expression {
        report.error(
            extent,
            "default",
            format!("the default of {what} holds an expression; there is nothing yet that it could name"),
        );
        return;
    }
    let Ok(validator) = compile_schema(&parameter.schema) else { return };
    let value = node.to_json();
    for error in breaches(&validator, &value) {
        let pointer = error.instance_path().to_string();
        let place = node.at_pointer(pointer.split('/').skip(1));
        let written = report.source.slice(place.extent).to_owned();
        let quote = matches!(place.kind, Kind::Number(_) | Kind::Boolean(_))
            && parameter.schema.get("type") == Some(&Value::from("string"))
            && pointer.is_empty();
        report
            .error(place.extent, "default", format!("the default of {what} breaks its own rules: {}", explain(&error)))
            .suggest_some(quote.then(|| format!("quote it: '{written}'")));
    }
}

/// Checks the parameters that a release is started with, and adds the defaults.
///
/// Each message names its parameter and says what would be accepted.
pub fn check_parameters(workflow: &Workflow, given: Value) -> Result<Value, Vec<String>> {
    let given = match given {
        Value::Object(given) => given,
        Value::Null => Map::new(),
        other => {
            return Err(vec![format!(
                "parameters are an object of names and values, not {}",
                crate::expression::kind_of(&other)
            )]);
        }
    };
    let mut problems = Vec::new();
    let names = || workflow.parameters.keys().map(String::as_str);
    for name in given.keys().filter(|it| !workflow.parameters.contains_key(*it)) {
        let hint = match did_you_mean(name, names()) {
            Some(hint) => hint,
            None if workflow.parameters.is_empty() => "it has none".to_owned(),
            None => format!("its parameters are {}", listed(names())),
        };
        problems.push(format!("`{name}` is no parameter of workflow `{}`; {hint}", workflow.name));
    }
    let mut complete = Map::new();
    for (name, parameter) in &workflow.parameters {
        let Some(value) = given.get(name).or(parameter.default.as_ref()) else {
            let meaning = parameter.description.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
            problems.push(format!("`{name}`{meaning} is missing; it takes {}", accepted(&parameter.schema)));
            continue;
        };
        match compile_schema(&parameter.schema) {
            Ok(validator) => {
                if let (true, Value::String(text)) = (is_schema(&parameter.schema), value) {
                    problems.push(format!(
                        "`{name}`: `{text}` does not end in a digest: `sha256:` and 64 digits in lower-case hexadecimal; it takes {}",
                        accepted(&parameter.schema)
                    ));
                    continue;
                }
                for error in breaches(&validator, value) {
                    let pointer = error.instance_path().to_string();
                    let place = if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") };
                    problems.push(format!(
                        "`{name}`{place}: {}; it takes {}",
                        explain(&error),
                        accepted(&parameter.schema)
                    ));
                }
            }
            Err(error) => problems.push(format!("`{name}`: its declaration is no JSON Schema: {error}")),
        }
        complete.insert(name.clone(), value.clone());
    }
    if problems.is_empty() { Ok(Value::Object(complete)) } else { Err(problems) }
}

/// The value that a text, typed on a command line, stands for: the text itself for a `string`, otherwise
/// the JSON it is, or the text for [`check_parameters`] to refuse.
pub fn parameter_from_text(parameter: &Parameter, text: &str) -> Value {
    if parameter.schema.get("type") == Some(&Value::from("string")) {
        return Value::from(text);
    }
    if let Some(artifact) = from_text(text).filter(|_| is_schema(&parameter.schema)) {
        return artifact;
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Source;
    use serde_json::json;

    fn workflow() -> Workflow {
        let text = r"
windlass: v1
workflow: payments
parameters:
  version: { type: string, pattern: '^\d+\.\d+\.\d+$', description: what is released }
  count: { type: integer, minimum: 1, maximum: 9, default: 2 }
  region: { type: string, enum: [eu, us], default: eu }
  tags: { type: array, items: { type: string }, default: [] }
steps:
  wait: { uses: http/get }
";
        let (parsed, problems) = crate::parse::parse(&Source::new("test.yaml", text));
        assert_eq!(problems, []);
        parsed.expect("no problems").workflow().clone()
    }

    #[test]
    fn defaults_are_added() {
        assert_eq!(
            check_parameters(&workflow(), json!({"version": "1.2.3", "count": 3})),
            Ok(json!({"version": "1.2.3", "count": 3, "region": "eu", "tags": []}))
        );
    }

    #[test]
    fn every_problem_names_its_parameter_and_what_is_accepted() {
        let problems =
            check_parameters(&workflow(), json!({"count": 12, "region": "ue", "tags": ["a", 1], "versoin": "1.2.3"}))
                .expect_err("wrong");
        expect_test::expect![[r#"
            `versoin` is no parameter of workflow `payments`; did you mean `version`?
            `count`: 12 is more than 9; it takes a whole number from 1 to 9
            `region`: "ue" is not one of `eu` or `us`; it takes `eu` or `us`
            `tags` at `/1`: 1 is a number, not a text; it takes a list of texts
            `version` (what is released) is missing; it takes a text that matches `^\d+\.\d+\.\d+$`"#]]
        .assert_eq(&problems.join("\n"));
        assert!(check_parameters(&workflow(), json!([])).is_err());
        assert!(check_parameters(&workflow(), Value::Null).is_err());
    }

    #[test]
    fn texts_from_a_command_line_take_the_declared_type() {
        let workflow = workflow();
        let value = |name: &str, text: &str| parameter_from_text(&workflow.parameters[name], text);
        assert_eq!(value("version", "1"), json!("1"));
        assert_eq!(value("count", "7"), json!(7));
        assert_eq!(value("count", "x"), json!("x"));
        assert_eq!(value("tags", "[\"a\"]"), json!(["a"]));
    }
}
