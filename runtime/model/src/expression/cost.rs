//! What evaluating an expression can take, known before: loops in loops over the outputs of plugins, and texts that
//! double with each loop, would occupy the process or fill its memory, and nothing ends an evaluation.
//!
//! A value's *size* is the number of values in it and the bytes of its texts. The size of what an expression gives, and
//! the steps that it takes, are bounded by a line over the sizes of the items of the loops around it: so a loop over a
//! list is counted by the list's size, and one inside of it over its items is not counted by the square.
//!
//! **Invariant:** what is counted is, but for a constant, never less than what is done.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use serde_json::Value;

use super::qualified_name;

/// Steps of one evaluation.
pub(super) const EXPRESSION_STEPS_MAX: u64 = 50_000_000;

/// The size of what one gives.
pub(super) const EXPRESSION_SIZE_MAX: u64 = 64 * 1024 * 1024;

/// So many times the size of the item of each loop, the outermost first, and `rest`.
#[derive(Debug, Clone, Default)]
struct Line {
    factors: Vec<f64>,
    rest: f64,
}

impl Line {
    fn constant(rest: f64) -> Self {
        Self { factors: Vec::new(), rest }
    }

    fn one() -> Self {
        Self::constant(1.0)
    }

    /// The item of the loop at this depth.
    fn item(depth: usize) -> Self {
        let mut factors = vec![0.0; depth];
        factors.push(1.0);
        Self { factors, rest: 0.0 }
    }

    fn merged(&self, other: &Self, merge: impl Fn(f64, f64) -> f64) -> Self {
        let of = |line: &Self, at: usize| line.factors.get(at).copied().unwrap_or(0.0);
        let depth = self.factors.len().max(other.factors.len());
        Self {
            factors: (0..depth).map(|it| merge(of(self, it), of(other, it))).collect(),
            rest: merge(self.rest, other.rest),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        self.merged(other, |one, other| one + other)
    }

    fn max(&self, other: &Self) -> Self {
        self.merged(other, f64::max)
    }

    fn times(&self, factor: f64) -> Self {
        Self { factors: self.factors.iter().map(|it| it * factor).collect(), rest: self.rest * factor }
    }

    fn is_constant(&self) -> bool {
        self.factors.iter().all(|it| *it == 0.0)
    }

    /// Where items are as large as they can be.
    fn at(&self, items_max: &[f64]) -> f64 {
        self.factors.iter().zip(items_max).map(|(factor, size)| factor * size).sum::<f64>() + self.rest
    }

    /// For all items of the loop at this depth together, as many times their list's size: each item has a size of one
    /// at least.
    fn for_all(mut self, depth: usize) -> Self {
        let innermost = self.factors.get(depth).copied().unwrap_or(0.0);
        self.factors.truncate(depth);
        self.rest += innermost;
        self
    }

    /// One of the two is taken where it is largest, if both depend on items.
    fn product(&self, other: &Self, items_max: &[f64]) -> Self {
        match (self.is_constant(), other.is_constant()) {
            (true, _) => other.times(self.rest),
            (_, true) => self.times(other.rest),
            _ => self.times(other.at(items_max)),
        }
    }
}

/// What an expression gives, and what it takes.
#[derive(Debug, Clone)]
struct Cost {
    size: Line,
    steps: Line,
}

/// What loops have bound so far.
#[derive(Clone)]
struct Bound {
    names: Vec<(String, Line)>,
    /// The size of each loop's item is at most this.
    items_max: Vec<f64>,
}

/// Steps and size, at most, where the value of a name has the size that `size_of` tells.
pub(super) fn cost(expression: &IdedExpr, size_of: &dyn Fn(&[String]) -> u64) -> (f64, f64) {
    let nothing = Bound { names: Vec::new(), items_max: Vec::new() };
    let Cost { size, steps } = visit(&expression.expr, &nothing, size_of);
    (steps.rest, size.rest)
}

/// How many values there are in a value, and bytes of texts.
pub(super) fn size(value: &Value) -> u64 {
    1 + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(name, it)| name.len() as u64 + size(it)).sum(),
    }
}

/// Calls that give a truth or a number, however large what they look at.
fn gives_little(function: &str) -> bool {
    let logic = [
        operators::EQUALS,
        operators::NOT_EQUALS,
        operators::LESS,
        operators::LESS_EQUALS,
        operators::GREATER,
        operators::GREATER_EQUALS,
        operators::LOGICAL_AND,
        operators::LOGICAL_OR,
        operators::LOGICAL_NOT,
        operators::NOT_STRICTLY_FALSE,
        operators::IN,
        operators::SUBSTRACT,
        operators::MULTIPLY,
        operators::DIVIDE,
        operators::MODULO,
        operators::NEGATE,
    ];
    let words =
        ["size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "bool", "type", "sum"];
    logic.contains(&function) || words.contains(&function)
}

/// Calls that do not look at all of what they are given.
fn looks_at_little(function: &str) -> bool {
    let few = [
        operators::INDEX,
        operators::CONDITIONAL,
        operators::LOGICAL_AND,
        operators::LOGICAL_OR,
        operators::LOGICAL_NOT,
        operators::NOT_STRICTLY_FALSE,
    ];
    few.contains(&function) || ["size", "type"].contains(&function)
}

fn visit(expr: &Expr, bound: &Bound, size_of: &dyn Fn(&[String]) -> u64) -> Cost {
    if let Some((path, presence)) = qualified_name(expr) {
        let known = bound.names.iter().rev().find(|(it, _)| *it == path[0]).map(|(_, line)| line.clone());
        let size = known.unwrap_or_else(|| Line::constant(size_of(&path) as f64));
        return Cost { size: if presence { Line::one() } else { size }, steps: Line::one() };
    }
    let visit = |it: &IdedExpr| visit(&it.expr, bound, size_of);
    let all = |parts: &mut dyn Iterator<Item = &IdedExpr>| {
        parts.map(visit).fold(Cost { size: Line::default(), steps: Line::one() }, |sum, it| Cost {
            size: sum.size.plus(&it.size),
            steps: sum.steps.plus(&it.steps),
        })
    };
    match expr {
        Expr::Unspecified | Expr::Ident(_) => Cost { size: Line::one(), steps: Line::one() },
        Expr::Literal(literal) => {
            let bytes = match literal {
                LiteralValue::String(it) => it.inner().len(),
                LiteralValue::Bytes(it) => it.inner().len(),
                _ => 0,
            };
            Cost { size: Line::constant(1.0 + bytes as f64), steps: Line::one() }
        }
        Expr::Select(it) => visit(&it.operand),
        Expr::List(it) => at_least_one(all(&mut it.elements.iter())),
        Expr::Map(it) => at_least_one(all(&mut it.entries.iter().flat_map(|it| parts_of(&it.expr)))),
        Expr::Struct(it) => at_least_one(all(&mut it.entries.iter().flat_map(|it| parts_of(&it.expr)))),
        Expr::Call(call) => {
            let Cost { size, steps } = all(&mut call.target.iter().map(Box::as_ref).chain(&call.args));
            let steps = if looks_at_little(&call.func_name) { steps } else { steps.plus(&size) };
            let size = match (call.func_name.as_str(), call.args.as_slice()) {
                (name, _) if gives_little(name) => Line::one(),
                (operators::CONDITIONAL, [_, yes, no]) => visit(yes).size.max(&visit(no).size),
                (operators::INDEX, [of, _]) => visit(of).size,
                // A number or a time as a text.
                ("string", _) => size.plus(&Line::constant(32.0)),
                _ => size,
            };
            Cost { size, steps }
        }
        Expr::Comprehension(it) => {
            let range = visit(&it.iter_range);
            let depth = bound.items_max.len();
            let mut inner = bound.clone();
            inner.items_max.push(range.size.at(&bound.items_max));
            inner.names.push((it.iter_var.clone(), Line::item(depth)));
            inner.names.extend(it.iter_var2.clone().map(|name| (name, Line::item(depth))));
            // What is gathered is counted once, when it is there.
            inner.names.push((it.accu_var.clone(), Line::default()));
            let step = self::visit(&it.loop_step.expr, &inner, size_of);
            let condition = self::visit(&it.loop_cond.expr, &inner, size_of);
            let begin = visit(&it.accu_init);
            // A truth that is found item by item does not grow.
            let is_little = matches!(&it.loop_step.expr, Expr::Call(call) if gives_little(&call.func_name));
            let gathered = if is_little {
                Line::one()
            } else {
                range.size.product(&step.size.for_all(depth), &bound.items_max).plus(&begin.size)
            };
            let each = Line::one().plus(&step.steps).plus(&condition.steps).for_all(depth);
            let steps = range.size.product(&each, &bound.items_max);
            let mut outer = bound.clone();
            outer.names.push((it.accu_var.clone(), gathered));
            let result = self::visit(&it.result.expr, &outer, size_of);
            Cost { size: result.size, steps: range.steps.plus(&steps).plus(&result.steps) }
        }
    }
}

/// A list is something even where there is nothing in it.
fn at_least_one(cost: Cost) -> Cost {
    let is_nothing = cost.size.is_constant() && cost.size.rest < 1.0;
    Cost { size: if is_nothing { Line::one() } else { cost.size }, ..cost }
}

fn parts_of(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}
