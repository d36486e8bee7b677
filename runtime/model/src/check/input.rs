//! A step's input against its action's schema, and a workflow's outputs against their types, as far as they are
//! known before the release runs.
//!
//! The written values are validated as they are, with a stand-in for each expression; what is reported
//! at a stand-in, or could change with its value, is left to the check that the host makes when the step
//! starts. Each expression's type is then compared with what the schema takes at its place.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use crate::manifest::compile_schema;
use crate::parse::{DraftOutput, DraftStep, DraftTemplate, Kind, Node, names_a_secret};
use crate::problem::{Extent, Report, did_you_mean, listed};

use super::expression::{Type, any_expression_within};
use super::schema::{
    Kinds, Schema, accepted, breaches, explain, is_conditional, kinds_of_all, meaning, misspelt_once, steps_of,
};

/// What was written where a schema says what may be.
pub(super) struct Written<'s> {
    /// Nothing stands for an empty object.
    pub(super) value: Option<&'s DraftTemplate>,
    /// Where it is, or is missed.
    pub(super) extent: Extent,
    /// Whose it is: `` `jenkins/build` ``.
    pub(super) of: String,
    /// All of it: ``the input of `jenkins/build` ``.
    pub(super) whole: String,
}

impl<'s> Written<'s> {
    /// `with` of a step.
    pub(super) fn input(step: &'s DraftStep, action: &str) -> Self {
        let (value, extent) = (step.with.as_ref(), step.with_extent);
        Self { value, extent, of: format!("`{action}`"), whole: format!("the input of `{action}`") }
    }

    /// An output of the workflow.
    pub(super) fn output(output: &'s DraftOutput) -> Self {
        let whole = format!("output `{}`", output.name.value);
        Self { value: Some(&output.value), extent: output.value.node.extent, of: whole.clone(), whole }
    }

    /// A place in it, in words.
    fn at(&self, path: &[String]) -> String {
        if path.is_empty() { self.whole.clone() } else { format!("`{}` of {}", path.join("."), self.of) }
    }
}

/// Checks what was written against a schema.
pub(super) fn check<'s>(
    written: &Written<'s>,
    schema: &Value,
    type_of: &dyn Fn(&'s crate::parse::PlacedExpression) -> Type<'s>,
    report: &mut Report<'_>,
) {
    let Ok(validator) = compile_schema(schema) else { return };
    let value = written.value.map_or_else(|| Value::Object(Map::new()), |it| stand_in(&it.node));
    for error in misspelt_once(schema, breaches(&validator, &value)) {
        report_error(written, schema, &error, report);
    }
    let Some(with) = written.value else { return };
    for expression in &with.expressions {
        let mut path = Vec::new();
        if !path_to(&with.node, expression.node_extent, &mut path) {
            continue;
        }
        let places = Schema::new(schema).at(path.iter().map(String::as_str));
        if places.is_empty() {
            continue;
        }
        let wanted = kinds_of_all(&places);
        let type_ = if expression.embedded { None } else { Some(type_of(expression)) };
        let given = type_.as_ref().map_or(Kinds::TEXT, |it| it.kinds);
        let place = written.at(&path);
        if !given.meets(wanted) && !given.is_none() {
            let problem = report.error(
                expression.part(0..expression.expression.source().len()),
                "input-type",
                format!("{place} takes {}, and this gives {}", wanted.describe(), given.describe()),
            );
            if wanted == Kinds::TEXT && given.within(Kinds::NUMBER.or(Kinds::BOOLEAN)) && !expression.embedded {
                problem.suggest(format!("make it a text: `${{{{ string({}) }}}}`", expression.expression.source()));
            }
        } else if let (Some(given), [only]) = (type_.as_ref().and_then(texts_of), places.as_slice()) {
            let Some(taken) = only.texts() else { continue };
            if !given.iter().any(|it| taken.contains(it)) {
                report
                    .error(
                        expression.part(0..expression.expression.source().len()),
                        "input-type",
                        format!("{place} takes {}", crate::parse::one_of(taken.iter().copied())),
                    )
                    .note(format!("this gives {}", crate::parse::one_of(given.iter().copied())));
            }
        }
    }
}

fn texts_of<'s>(type_: &Type<'s>) -> Option<Vec<&'s str>> {
    type_.schemas.iter().find_map(|it| it.texts())
}

/// The value with null for each text that holds an expression.
fn stand_in(node: &Node) -> Value {
    match &node.kind {
        Kind::Text(text) if text.contains("${{") => Value::Null,
        Kind::List(items) => Value::Array(items.iter().map(stand_in).collect()),
        Kind::Object(fields) => Value::Object(fields.iter().map(|it| (it.name.clone(), stand_in(&it.value))).collect()),
        Kind::Null | Kind::Boolean(_) | Kind::Number(_) | Kind::Text(_) => node.to_json(),
    }
}

fn report_error(written: &Written<'_>, schema: &Value, error: &ValidationError<'_>, report: &mut Report<'_>) {
    let path = steps_of(&error.instance_path().to_string());
    let node = written.value.map(|it| it.node.at_pointer(path.iter().map(String::as_str)));
    let extent = node.filter(|_| !path.is_empty()).map_or(written.extent, |it| it.extent);
    if path.last().is_some_and(|it| names_a_secret(it)) {
        return;
    }
    let below = |with: &DraftTemplate| node.is_some_and(|it| any_expression_within(with, it.extent));
    let uncertain = written.value.is_some_and(|with| {
        below(with) && !is_about_names(error.kind()) || !with.expressions.is_empty() && is_conditional(error)
    });
    if uncertain {
        return;
    }
    let place = written.at(&path);
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let schemas = Schema::new(schema).at(path.iter().map(String::as_str).chain([name]));
            let declaration = schemas.first().map(|it| it.declaration());
            let extent = if path.is_empty() { written.extent } else { Extent { end: extent.start, ..extent } };
            let problem = report.error(extent, "missing-input", format!("{place} needs `{name}`"));
            if let Some(declaration) = declaration {
                if let Some(description) = declaration.get("description").and_then(Value::as_str) {
                    problem.note(format!("`{name}`: {description}"));
                }
                problem.suggest(format!("add `{name}:` with {}", accepted(declaration)));
            }
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let names = Schema::new(schema)
                .at(path.iter().map(String::as_str))
                .iter()
                .flat_map(|it| it.names())
                .collect::<Vec<_>>();
            for name in unexpected {
                let extent = node.and_then(|it| it.field(name)).map_or(extent, |it| it.name_extent);
                let suggestion = did_you_mean(name, names.iter().copied());
                let problem = report.error(extent, "unknown-input", format!("{place} has no field `{name}`"));
                if suggestion.is_none() && !names.is_empty() {
                    problem.note(format!("its fields are {}", listed(&names)));
                }
                problem.suggest_some(suggestion);
            }
        }
        kind => {
            let written = report.source.slice(extent).to_owned();
            let problem = report.error(extent, "input-value", format!("{place}: {}", explain(error)));
            if let Some(meaning) = meaning(schema, error, &path) {
                problem.note(meaning);
            }
            if let (ValidationErrorKind::Enum { options }, Some(Node { kind: Kind::Text(text), .. })) = (kind, node) {
                let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                problem.suggest_some(did_you_mean(text, options));
            }
            let takes_text = kinds_of_all(&Schema::new(schema).at(path.iter().map(String::as_str))) == Kinds::TEXT;
            if takes_text && node.is_some_and(|it| matches!(it.kind, Kind::Number(_) | Kind::Boolean(_))) {
                problem.suggest(format!("quote it: '{written}'"));
            }
        }
    }
}

/// Whether it follows from which fields or items there are, whatever their values.
fn is_about_names(kind: &ValidationErrorKind) -> bool {
    matches!(
        kind,
        ValidationErrorKind::Required { .. }
            | ValidationErrorKind::AdditionalProperties { .. }
            | ValidationErrorKind::UnevaluatedProperties { .. }
            | ValidationErrorKind::MinProperties { .. }
            | ValidationErrorKind::MaxProperties { .. }
            | ValidationErrorKind::MinItems { .. }
            | ValidationErrorKind::MaxItems { .. }
            | ValidationErrorKind::PropertyNames { .. }
    )
}

/// The way to the value at an extent.
fn path_to(node: &Node, extent: Extent, path: &mut Vec<String>) -> bool {
    if node.extent == extent {
        return true;
    }
    let children: Vec<(String, &Node)> = match &node.kind {
        Kind::List(items) => items.iter().enumerate().map(|(at, it)| (at.to_string(), it)).collect(),
        Kind::Object(fields) => fields.iter().map(|it| (it.name.clone(), &it.value)).collect(),
        Kind::Null | Kind::Boolean(_) | Kind::Number(_) | Kind::Text(_) => return false,
    };
    for (name, child) in children {
        path.push(name);
        if path_to(child, extent, path) {
            return true;
        }
        path.pop();
    }
    false
}
