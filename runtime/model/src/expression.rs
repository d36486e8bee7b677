//! Expressions in workflow files: the Common Expression Language over parameters and outputs.
//!
//! What can be named: `parameters.NAME`, `steps.NAME.output…`, `steps.NAME.state`, `release.id`,
//! `release.workflow`, `release.requested_by`. Source: <https://cel.dev>.
//!
//! **Invariant:** an expression's value depends on nothing but its [`Scope`].

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Env, IdedExpr, Program};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An expression that was read.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    program: Arc<Program>,
}

/// What an expression can name.
pub struct Scope<'a> {
    /// The release's parameters, an object.
    pub parameters: &'a Value,
    /// What is known of the release, an object.
    pub release: &'a Value,
    /// What is known of a step: `{"state": …, "output": …}`; none when there is no such step.
    pub step: &'a dyn Fn(&str) -> Option<Value>,
}

/// An expression that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidExpression {
    /// What is wrong.
    pub message: String,
    /// Byte offset in the expression, where it is known.
    pub offset: usize,
}

impl InvalidExpression {
    /// `${{` without `}}`.
    pub fn unclosed() -> Self {
        Self { message: "`${{` is not closed by `}}`".to_owned(), offset: 0 }
    }
}

/// An expression that has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` has no value: {message}")]
pub struct EvaluationError {
    /// Its source.
    pub expression: String,
    /// Why.
    pub message: String,
}

impl EvaluationError {
    /// A value that cannot be written into a text.
    pub fn not_text(expression: &Expression, value: &Value) -> Self {
        Self {
            expression: expression.source.to_string(),
            message: format!(
                "it stands inside of a text and gives {}, not a text, a number or a boolean",
                kind_of(value)
            ),
        }
    }
}

/// A name used in an expression: `steps.build.output.url`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Its parts; at least one.
    pub path: Vec<String>,
    /// Byte offset of its last part in the expression.
    pub offset: usize,
    /// Whether only its presence is asked: `has(steps.build.output.url)`.
    pub presence: bool,
}

fn environment() -> Arc<Env> {
    static ENVIRONMENT: std::sync::OnceLock<Arc<Env>> = std::sync::OnceLock::new();
    ENVIRONMENT.get_or_init(|| Arc::new(Env::stdlib())).clone()
}

impl Expression {
    /// Reads an expression.
    pub fn parse(source: &str) -> Result<Self, InvalidExpression> {
        if source.trim().is_empty() {
            return Err(InvalidExpression { message: "the expression is empty".to_owned(), offset: 0 });
        }
        match environment().compile(source) {
            Ok(program) => Ok(Self { source: source.into(), program: Arc::new(program) }),
            Err(errors) => {
                let first = errors.errors.first();
                let message = first.map_or_else(|| errors.to_string(), |it| it.msg.clone());
                let offset = first.map_or(0, |it| {
                    let (line, column) = (it.pos.0.max(1) as usize, it.pos.1.max(1) as usize);
                    let before: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
                    (before + column - 1).min(source.len())
                });
                Err(InvalidExpression { message: format!("cannot read this expression: {message}"), offset })
            }
        }
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its root node, for checks of types.
    pub fn syntax(&self) -> &IdedExpr {
        self.program.expression()
    }

    /// Byte offset in the source at which a node of [`Self::syntax`] begins.
    pub fn offset_of(&self, node: u64) -> usize {
        self.program.source_info().offset_for(node).map_or(0, |(start, _)| start as usize)
    }

    /// Every name in it, the longest form of each, without those bound by macros.
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        self.collect(self.syntax(), &mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, node: &IdedExpr, bound: &mut Vec<String>, found: &mut Vec<Reference>) {
        if let Some((path, presence)) = qualified_name(&node.expr) {
            if !bound.contains(&path[0]) && !path[0].starts_with('@') {
                found.push(Reference { path, offset: self.offset_of(node.id), presence });
            }
            return;
        }
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                for it in call.target.iter().map(Box::as_ref).chain(&call.args) {
                    self.collect(it, bound, found);
                }
            }
            Expr::Comprehension(it) => {
                self.collect(&it.iter_range, bound, found);
                self.collect(&it.accu_init, bound, found);
                let depth = bound.len();
                bound.push(it.iter_var.clone());
                bound.extend(it.iter_var2.clone());
                bound.push(it.accu_var.clone());
                for part in [&it.loop_cond, &it.loop_step, &it.result] {
                    self.collect(part, bound, found);
                }
                bound.truncate(depth);
            }
            Expr::List(it) => it.elements.iter().for_each(|it| self.collect(it, bound, found)),
            Expr::Map(it) => {
                for entry in &it.entries {
                    match &entry.expr {
                        EntryExpr::StructField(field) => self.collect(&field.value, bound, found),
                        EntryExpr::MapEntry(entry) => {
                            self.collect(&entry.key, bound, found);
                            self.collect(&entry.value, bound, found);
                        }
                    }
                }
            }
            Expr::Select(it) => self.collect(&it.operand, bound, found),
            Expr::Struct(it) => {
                for entry in &it.entries {
                    match &entry.expr {
                        EntryExpr::StructField(field) => self.collect(&field.value, bound, found),
                        EntryExpr::MapEntry(entry) => self.collect(&entry.value, bound, found),
                    }
                }
            }
        }
    }

    /// Its value.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let refuse = |message: String| EvaluationError { expression: self.source.to_string(), message };
        let references = self.references();
        let mut context = Context::with_env(environment());
        let mut steps = serde_json::Map::new();
        for reference in &references {
            if let [root, name, ..] = reference.path.as_slice() {
                if root == "steps" && !steps.contains_key(name) {
                    if let Some(step) = (scope.step)(name) {
                        steps.insert(name.clone(), step);
                    }
                }
            }
        }
        for (name, value) in
            [("parameters", scope.parameters), ("release", scope.release), ("steps", &Value::Object(steps))]
        {
            if references.iter().any(|it| it.path[0] == name) {
                context.add_variable(name, value).map_err(|error| refuse(error.to_string()))?;
            }
        }
        let value = self.program.execute(&context).map_err(|error| refuse(error.to_string()))?;
        value.json().map_err(|error| refuse(error.to_string()))
    }

    /// Its value, which must be `true` or `false`.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        match self.evaluate(scope)? {
            Value::Bool(it) => Ok(it),
            other => Err(EvaluationError {
                expression: self.source.to_string(),
                message: format!("a condition must be true or false, this is {}", kind_of(&other)),
            }),
        }
    }

    /// The names in it with their values, for showing what decided.
    pub fn values(&self, scope: &Scope<'_>) -> Vec<(String, Value)> {
        let mut values: Vec<(String, Value)> = Vec::new();
        for reference in self.references() {
            let name = reference.path.join(".");
            if values.iter().any(|(it, _)| *it == name) {
                continue;
            }
            let root = match reference.path[0].as_str() {
                "parameters" => Some((scope.parameters.clone(), 1)),
                "release" => Some((scope.release.clone(), 1)),
                "steps" => reference.path.get(1).and_then(|it| (scope.step)(it)).map(|it| (it, 2)),
                _ => None,
            };
            let value = root.and_then(|(root, from)| {
                reference.path[from.min(reference.path.len())..]
                    .iter()
                    .try_fold(root, |at, field| at.get(field).cloned())
            });
            values.push((name, value.unwrap_or(Value::Null)));
        }
        values
    }
}

/// The parts of `a.b.c`, or of `has(a.b.c)`.
fn qualified_name(mut expr: &Expr) -> Option<(Vec<String>, bool)> {
    let mut parts = Vec::new();
    let presence = matches!(expr, Expr::Select(it) if it.test);
    loop {
        match expr {
            Expr::Ident(name) => {
                parts.push(name.clone());
                parts.reverse();
                return Some((parts, presence));
            }
            Expr::Select(it) => {
                parts.push(it.field.clone());
                expr = &it.operand.expr;
            }
            _ => return None,
        }
    }
}

/// What kind of value, for messages: `a list`.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", &*self.source)
    }
}

impl Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::parse(&source).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn evaluate(source: &str) -> Result<Value, String> {
        let step = |name: &str| {
            (name == "build").then(|| json!({"state": "succeeded", "output": {"number": 7, "tests": [1, 2]}}))
        };
        let scope =
            Scope { parameters: &json!({"version": "1.2.3", "count": 2}), release: &json!({"id": "r-1"}), step: &step };
        Expression::parse(source).map_err(|it| it.to_string())?.evaluate(&scope).map_err(|it| it.message)
    }

    #[test]
    fn expressions_see_parameters_steps_and_the_release() {
        assert_eq!(evaluate("parameters.version"), Ok(json!("1.2.3")));
        assert_eq!(evaluate("steps.build.output.number + parameters.count"), Ok(json!(9)));
        assert_eq!(evaluate("steps.build.output.tests.all(it, it < 3) && release.id == 'r-1'"), Ok(json!(true)));
        assert_eq!(evaluate("has(steps.build.output.url) ? 1 : 2"), Ok(json!(2)));
        assert!(evaluate("steps.build.output.url").is_err());
        assert!(evaluate("parameters.version + 1").is_err());
        assert!(evaluate("1 +").is_err());
        assert!(evaluate("  ").is_err());
    }

    #[test]
    fn references_leave_out_what_macros_bind() {
        let expression =
            Expression::parse("steps.a.output.list.exists(x, x.name == parameters.name) && has(steps.b.output.c)")
                .expect("good");
        let mut names: Vec<_> =
            expression.references().into_iter().map(|it| (it.path.join("."), it.presence)).collect();
        names.sort();
        names.dedup();
        assert_eq!(
            names,
            [
                ("parameters.name".to_owned(), false),
                ("steps.a.output.list".to_owned(), false),
                ("steps.b.output.c".to_owned(), true)
            ]
        );
    }
}
