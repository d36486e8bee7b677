//! Expressions in workflow files: the Common Expression Language over parameters and outputs.
//!
//! What can be named: `parameters.NAME`, `steps.NAME.output…`, `steps.NAME.state`, `release.id`,
//! `release.workflow`, `release.requested_by`; in a step of `finally` also `release.outcome`; in a step with `for_each` also `each.value`, `each.number`
//! and `each.count`, and where its outputs are reduced `outputs`. A step whose name holds `-` is written
//! `steps['create-change'].output…`. Source: <https://cel.dev>.
//!
//! **Invariant:** an expression's value depends on nothing but its [`Scope`].
//! **Invariant:** an expression is at most [`EXPRESSION_BYTES_MAX`] long and [`EXPRESSION_DEPTH_MAX`]
//! deep, so that reading and evaluating it, which recurse, stay far from the end of any stack.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, Env, IdedExpr, Program};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod cost;
pub(crate) mod functions;
mod refusal;
#[cfg(test)]
mod tests;

/// The longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 2000;

/// How deep an expression may be nested, chains of operators included.
pub const EXPRESSION_DEPTH_MAX: usize = 200;

/// What `steps.NAME.state` may be for a step that runs when the release is about to end.
pub const FINAL_STATES: [&str; 9] =
    ["succeeded", "failed", "skipped", "canceled", "rolled_back", "waiting", "held", "paused", "left_in_place"];

/// What `release.outcome` may be for a step that runs when the release is about to end.
pub const OUTCOMES: [&str; 5] = ["succeeded", "failed", "canceled", "rolled_back", "partially_rolled_back"];

/// What `steps.NAME.state` may be once the step has ended.
pub const ENDED_STATES: [&str; 5] = ["succeeded", "failed", "skipped", "canceled", "rolled_back"];

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
    /// What is known of the item that a step runs for, an object.
    pub each: Option<&'a Value>,
    /// The outputs of all items, a list.
    pub outputs: Option<&'a Value>,
}

impl<'a> Scope<'a> {
    /// What expressions see outside of a step that runs for items.
    pub fn new(parameters: &'a Value, release: &'a Value, step: &'a dyn Fn(&str) -> Option<Value>) -> Self {
        Self { parameters, release, step, each: None, outputs: None }
    }

    /// A root other than `steps`.
    fn root(&self, name: &str) -> Option<&'a Value> {
        match name {
            "parameters" => Some(self.parameters),
            "release" => Some(self.release),
            "each" => self.each,
            "outputs" => self.outputs,
            _ => None,
        }
    }
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
    /// The reader's first complaint, in our words.
    fn of(source: &str, errors: &cel::ParseErrors) -> Self {
        let Some(first) = errors.errors.first() else {
            return Self { message: "cannot read this expression".to_owned(), offset: 0 };
        };
        let (line, column) = (first.pos.0.max(1) as usize, first.pos.1.max(1) as usize);
        let before: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let offset = (before + column - 1).min(source.len());
        let said = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
        let said = said.split(" expecting ").next().unwrap_or(said);
        let quoted = said.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')).map(|(it, _)| it.trim());
        let message = match quoted {
            _ if said.contains("recursion") || said.starts_with("OtherError") => {
                "the expression is nested too deeply".to_owned()
            }
            Some("<EOF>") => "the expression ends where something is still expected".to_owned(),
            Some("=") => "`=` is no operator; equality is `==`".to_owned(),
            Some("and" | "AND") => "`and` is no operator; it is written `&&`".to_owned(),
            Some("or" | "OR") => "`or` is no operator; it is written `||`".to_owned(),
            Some("&") => "`&` is no operator; and is written `&&`".to_owned(),
            Some("|") => "`|` is no operator; or is written `||`".to_owned(),
            Some(text) if said.contains("input") || said.contains("token") || said.contains("alternative") => {
                format!("`{text}` is not expected here")
            }
            _ => format!("cannot read this expression: {said}"),
        };
        Self { message, offset }
    }

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
        if source.len() > EXPRESSION_BYTES_MAX {
            let message = format!("the expression has {} bytes; {EXPRESSION_BYTES_MAX} are the most", source.len());
            return Err(InvalidExpression { message, offset: 0 });
        }
        match environment().compile(source) {
            Ok(program) if depth_exceeds(program.expression(), EXPRESSION_DEPTH_MAX) => {
                Err(InvalidExpression { message: "the expression is nested too deeply".to_owned(), offset: 0 })
            }
            Ok(program) => Ok(Self { source: source.into(), program: Arc::new(program) }),
            Err(errors) => Err(InvalidExpression::of(source, &errors)),
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

    /// The bytes of the source that a node of [`Self::syntax`] was read from, as far as they are known:
    /// of an operator or a call all of its operands.
    pub fn range_of(&self, node: &IdedExpr) -> Range<usize> {
        let own = self.program.source_info().offset_for(node.id);
        let mut range = match own {
            Some((start, stop)) => start as usize..stop as usize + 1,
            None => Range { start: usize::MAX, end: 0 },
        };
        let mut cover = |it: &IdedExpr| {
            let part = self.range_of(it);
            range.start = range.start.min(part.start);
            range.end = range.end.max(part.end);
        };
        match &node.expr {
            Expr::Select(it) => {
                cover(&it.operand);
                let from = range.end.min(self.source.len());
                let tail = self.source.get(from..).unwrap_or_default();
                if let Some(at) =
                    tail.find(it.field.as_str()).filter(|at| tail[..*at].trim_matches(['.', ' ', '\n']).is_empty())
                {
                    range.end = from + at + it.field.len();
                }
                if it.test {
                    let open = own.map_or(0, |(start, _)| start as usize);
                    range.start = self
                        .source
                        .get(..open)
                        .filter(|it| it.ends_with("has"))
                        .map_or(range.start, |it| it.len() - "has".len());
                    range.end += usize::from(self.source.get(range.end..).is_some_and(|it| it.starts_with(')')));
                }
            }
            Expr::Call(it) => {
                it.target.iter().for_each(|it| cover(it));
                it.args.iter().for_each(&mut cover);
                let closing = if it.func_name == operators::INDEX { ']' } else { ')' };
                let from = range.end.min(self.source.len());
                let tail = self.source.get(from..).unwrap_or_default();
                if !it.func_name.starts_with(['_', '!', '-', '@']) || it.func_name == operators::INDEX {
                    if let Some(at) = tail.find(closing).filter(|at| tail[..*at].trim().is_empty()) {
                        range.end = from + at + 1;
                    }
                    let open = own.map_or(0, |(start, _)| start as usize);
                    if self.source.get(..open).is_some_and(|it_| it_.ends_with(it.func_name.as_str())) {
                        range.start = range.start.min(open - it.func_name.len());
                    }
                }
            }
            Expr::Comprehension(it) => cover(&it.iter_range),
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => {}
        }
        if range.start >= range.end || self.source.get(range.clone()).is_none() { 0..self.source.len() } else { range }
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
            if let [root, name, ..] = reference.path.as_slice()
                && root == "steps"
                && !steps.contains_key(name)
                && let Some(step) = (scope.step)(name)
            {
                steps.insert(name.clone(), step);
            }
        }
        if functions::NAMES.iter().any(|it| self.source.contains(it)) {
            functions::add(&mut context);
        }
        let steps = Value::Object(steps);
        let root = |name: &str| if name == "steps" { Some(&steps) } else { scope.root(name) };
        self.refuse_what_takes_too_long(&root).map_err(refuse)?;
        let mut added: Vec<&str> = Vec::new();
        for name in references.iter().map(|it| it.path[0].as_str()) {
            if let Some(value) = root(name).filter(|_| !added.contains(&name)) {
                context.add_variable_from_value(name, to_cel(value));
                added.push(name);
            }
        }
        let value = self.program.execute(&context).map_err(|error| refuse(refusal::said(&error)))?;
        value.json().map_err(|error| refuse(error.to_string()))
    }

    /// See [`cost`].
    fn refuse_what_takes_too_long<'v>(&self, root: &dyn Fn(&str) -> Option<&'v Value>) -> Result<(), String> {
        let size_of = |path: &[String]| {
            let Some(mut value) = root(&path[0]) else { return 1 };
            for field in &path[1..] {
                match value.get(field.as_str()) {
                    Some(inner) => value = inner,
                    None => break,
                }
            }
            cost::size(value)
        };
        let (steps, size) = cost::cost(self.syntax(), &size_of);
        if steps > cost::EXPRESSION_STEPS_MAX as f64 || size > cost::EXPRESSION_SIZE_MAX as f64 {
            return Err(format!(
                "with values of this size it could take {steps:.0} steps and give {size:.0} bytes; {} and {} are the most: use fewer loops inside of or after one another",
                cost::EXPRESSION_STEPS_MAX,
                cost::EXPRESSION_SIZE_MAX
            ));
        }
        Ok(())
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
                "steps" => reference.path.get(1).and_then(|it| (scope.step)(it)).map(|it| (it, 2)),
                other => scope.root(other).map(|it| (it.clone(), 1)),
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

/// The parts of `a.b.c`, of `a['b'].c`, or of `has(a.b.c)`.
pub(crate) fn qualified_name(mut expr: &Expr) -> Option<(Vec<String>, bool)> {
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
            Expr::Call(it) if it.func_name == operators::INDEX && it.target.is_none() => {
                let [operand, index] = it.args.as_slice() else { return None };
                let Expr::Literal(LiteralValue::String(name)) = &index.expr else { return None };
                parts.push(name.inner().to_owned());
                expr = &operand.expr;
            }
            _ => return None,
        }
    }
}

/// Whether a node has descendants more than `most` levels below it; without recursion.
fn depth_exceeds(node: &IdedExpr, most: usize) -> bool {
    let mut open = vec![(node, 0)];
    while let Some((node, depth)) = open.pop() {
        if depth > most {
            return true;
        }
        let mut push = |it| open.push((it, depth + 1));
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(it) => it.target.iter().map(Box::as_ref).chain(&it.args).for_each(push),
            Expr::Comprehension(it) => {
                [&it.iter_range, &it.accu_init, &it.loop_cond, &it.loop_step, &it.result].into_iter().for_each(push);
            }
            Expr::List(it) => it.elements.iter().for_each(push),
            Expr::Map(it) => it.entries.iter().for_each(|it| match &it.expr {
                EntryExpr::StructField(field) => push(&field.value),
                EntryExpr::MapEntry(entry) => {
                    push(&entry.key);
                    push(&entry.value);
                }
            }),
            Expr::Select(it) => push(&it.operand),
            Expr::Struct(it) => it.entries.iter().for_each(|it| match &it.expr {
                EntryExpr::StructField(field) => push(&field.value),
                EntryExpr::MapEntry(entry) => push(&entry.value),
            }),
        }
    }
    false
}

/// JSON as CEL sees it. Whole numbers are `int`, as literals are, so that `parameters.count + 1` has a
/// value; serde would make them `uint`, which CEL does not add to an `int`.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => cel::Value::Bool(*it),
        Value::Number(it) => match (it.as_i64(), it.as_u64()) {
            (Some(it), _) => cel::Value::Int(it),
            (None, Some(it)) => cel::Value::UInt(it),
            (None, None) => cel::Value::Float(it.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(it) => cel::Value::String(Arc::new(it.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let map: HashMap<_, _> = fields
                .iter()
                .map(|(name, it)| (cel::objects::Key::String(Arc::new(name.clone())), to_cel(it)))
                .collect();
            cel::Value::Map(cel::objects::Map { map: Arc::new(map) })
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
