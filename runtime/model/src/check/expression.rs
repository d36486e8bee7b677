//! Names and types in expressions.
//!
//! An expression is refused when it names what does not exist or is not known yet when it is evaluated,
//! and when it can have no value whatever the parameters and outputs are. What cannot be decided passes.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use crate::expression::qualified_name;
use crate::parse::{Draft, DraftStep, DraftTemplate, PlacedExpression};
use crate::problem::{Extent, Problem, Report, did_you_mean};

use super::order::Order;
use super::schema::{Kinds, Property, Schema, kinds_of_all};

mod names;

/// The output schema of a step, when its action is known.
pub(crate) type Outputs<'s, 'f> = &'f dyn Fn(&str) -> Option<&'s serde_json::Value>;

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoroughness {
    /// All that is found.
    Everything,
    /// Only what follows from outputs; the rest has been said.
    OutputsOnly,
}

/// Checks every expression of a workflow.
pub(crate) fn check<'s>(
    draft: &'s Draft,
    order: &'s Order,
    outputs: Outputs<'s, '_>,
    thoroughness: Thoroughness,
    report: &mut Report<'_>,
) {
    let mut check = |step: Option<&'s DraftStep>, place: Place, expression: &'s PlacedExpression, use_: Use| {
        let mut checker =
            Checker { draft, order, outputs, step, place, placed: expression, found: Vec::new(), uses_outputs: false };
        checker.whole(use_);
        let known = thoroughness == Thoroughness::OutputsOnly && !checker.uses_outputs;
        for (extent, problem) in checker.found.into_iter().filter(|_| !known) {
            let place = report.source.place(extent);
            *report.error(extent, "", "") = problem.at(place);
        }
    };
    for step in &draft.steps {
        if let Some(when) = &step.when {
            check(Some(step), Place::Step, when, Use::Condition);
        }
        let own = if step.for_each.is_some() { Place::Item } else { Place::Step };
        for expression in step.with.iter().flat_map(|it| &it.expressions) {
            check(Some(step), own, expression, Use::in_template(expression));
        }
        if let Some(for_each) = &step.for_each {
            for template in for_each.templates() {
                for expression in &template.expressions {
                    let is_list = expression.node_extent == template.node.extent;
                    let use_ = if is_list { Use::List } else { Use::in_template(expression) };
                    check(Some(step), Place::Step, expression, use_);
                }
            }
            for expression in for_each.reduce.iter().flat_map(|it| &it.expressions) {
                check(Some(step), Place::Reduce, expression, Use::in_template(expression));
            }
        }
        for expression in step.requires.iter().chain(&step.delivers).flat_map(|it| it.expressions()) {
            check(Some(step), Place::Step, expression, Use::Text);
        }
        for message in step.gates.iter().filter_map(|it| it.message.as_ref()) {
            for expression in &message.expressions {
                check(Some(step), Place::Step, expression, Use::Text);
            }
        }
    }
    for expression in draft.concurrency.iter().flat_map(|it| &it.group.expressions) {
        check(None, Place::Start, expression, Use::Text);
    }
    for expression in draft.alert_labels.iter().flat_map(|it| &it.expressions) {
        check(None, Place::Start, expression, Use::Text);
    }
    for expression in &draft.criteria {
        check(None, Place::Decision, expression, Use::Condition);
    }
    for (output, expression) in
        draft.outputs.iter().flat_map(|it| it.value.expressions.iter().map(move |own| (it, own)))
    {
        let place = if output.declared.is_some() { Place::Declared } else { Place::Step };
        check(None, place, expression, Use::in_template(expression));
    }
}

/// The type of an expression of a step's input, or of an output, without saying anything about it.
pub(crate) fn type_of<'s>(
    draft: &'s Draft,
    order: &'s Order,
    outputs: Outputs<'s, '_>,
    step: Option<&'s DraftStep>,
    expression: &'s PlacedExpression,
) -> Type<'s> {
    let is_item = step.is_some_and(|it| it.for_each.is_some());
    let place = if is_item { Place::Item } else { Place::Step };
    let mut checker =
        Checker { draft, order, outputs, step, place, placed: expression, found: Vec::new(), uses_outputs: false };
    checker.infer(expression.expression.syntax(), &mut Vec::new())
}

/// Where an expression stands, which decides what it can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In something that is evaluated once.
    Step,
    /// In the input of a step with `for_each`: once for each item.
    Item,
    /// In an output of the release that is declared to be something: without a value the release fails.
    Declared,
    /// Where the items' outputs are joined.
    Reduce,
    /// In what is to be known before a release begins.
    Start,
    /// On a decision card: at any time.
    Decision,
}

/// What an expression's value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Condition,
    Text,
    Value,
    List,
}

impl Use {
    fn in_template(expression: &PlacedExpression) -> Self {
        if expression.embedded { Self::Text } else { Self::Value }
    }
}

/// What values an expression may have.
#[derive(Debug, Clone)]
pub(crate) struct Type<'s> {
    pub(crate) kinds: Kinds,
    /// Where it came from, if it is a parameter, an output or a part of one.
    pub(crate) schemas: Vec<Schema<'s>>,
}

impl<'s> Type<'s> {
    fn of(kinds: Kinds) -> Self {
        Self { kinds, schemas: Vec::new() }
    }

    fn any() -> Self {
        Self::of(Kinds::ANY)
    }

    fn from_schemas(schemas: Vec<Schema<'s>>) -> Self {
        Self { kinds: kinds_of_all(&schemas), schemas }
    }

    fn items(&self) -> Self {
        if self.kinds == Kinds::OBJECT {
            return Self::of(Kinds::TEXT);
        }
        let items: Vec<_> = self.schemas.iter().flat_map(|it| it.items()).collect();
        if items.is_empty() { Self::any() } else { Self::from_schemas(items) }
    }

    fn texts(&self) -> Option<Vec<&'s str>> {
        self.schemas.iter().find_map(|it| it.texts())
    }
}

struct Checker<'s, 'f> {
    draft: &'s Draft,
    order: &'s Order,
    outputs: Outputs<'s, 'f>,
    step: Option<&'s DraftStep>,
    place: Place,
    placed: &'s PlacedExpression,
    found: Vec<(Extent, Problem)>,
    uses_outputs: bool,
}

type Bound<'s> = Vec<(String, Type<'s>)>;

impl<'s> Checker<'s, '_> {
    fn whole(&mut self, use_: Use) {
        let syntax = self.placed.expression.syntax();
        let value = self.infer(syntax, &mut Vec::new());
        let (wanted, what) = match use_ {
            Use::Condition => (Kinds::BOOLEAN, "a condition is true or false"),
            Use::Text => {
                (Kinds::TEXT.or(Kinds::NUMBER).or(Kinds::BOOLEAN), "a text can hold texts, numbers and booleans")
            }
            Use::Value => (Kinds::JSON, "a value is what JSON can hold"),
            Use::List => (Kinds::LIST, "this is to be a list"),
        };
        if !value.kinds.meets(wanted) && !value.kinds.is_none() {
            let described = value.kinds.describe();
            let source = self.placed.expression.source().to_owned();
            let names_one = qualified_name(&syntax.expr).is_some();
            let problem = self.error(syntax, "type", format!("{what}, and this is {described}"));
            if use_ == Use::Condition && names_one && value.kinds == Kinds::TEXT {
                problem.suggest(format!("compare it with something: `{source} == '…'`"));
            } else if use_ == Use::Text && names_one {
                problem.suggest("name one of its parts, or let the expression stand alone");
            }
        }
    }

    fn error(&mut self, node: &IdedExpr, code: &'static str, message: impl Into<String>) -> &mut Problem {
        let range = self.placed.expression.range_of(node);
        self.error_at(self.placed.part(range), code, message)
    }

    fn error_at(&mut self, extent: Extent, code: &'static str, message: impl Into<String>) -> &mut Problem {
        self.found.push((extent, Problem::error(code, message)));
        &mut self.found.last_mut().expect("one was just added").1
    }

    fn infer(&mut self, node: &IdedExpr, bound: &mut Bound<'s>) -> Type<'s> {
        if let Some((path, presence)) = qualified_name(&node.expr) {
            let named = self.name(node, &path, presence, bound);
            return if presence { Type::of(Kinds::BOOLEAN) } else { named };
        }
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) => Type::any(),
            Expr::Literal(literal) => Type::of(match literal {
                LiteralValue::Boolean(_) => Kinds::BOOLEAN,
                LiteralValue::Bytes(_) => Kinds::OTHER,
                LiteralValue::Double(_) => Kinds::FRACTION,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::INTEGER,
                LiteralValue::Null => Kinds::NULL,
                LiteralValue::String(_) => Kinds::TEXT,
            }),
            Expr::Select(it) => {
                let operand = self.infer(&it.operand, bound);
                if it.test {
                    return Type::of(Kinds::BOOLEAN);
                }
                self.field(node, operand, &it.field)
            }
            Expr::List(it) => {
                for item in &it.elements {
                    self.infer(item, bound);
                }
                Type::of(Kinds::LIST)
            }
            Expr::Map(it) => {
                for entry in &it.entries {
                    match &entry.expr {
                        EntryExpr::StructField(it) => drop(self.infer(&it.value, bound)),
                        EntryExpr::MapEntry(it) => {
                            self.infer(&it.key, bound);
                            self.infer(&it.value, bound);
                        }
                    }
                }
                Type::of(Kinds::OBJECT)
            }
            Expr::Struct(it) => {
                let name = it.type_name.clone();
                self.error(node, "unknown-name", format!("there is no type `{name}`"));
                Type::any()
            }
            Expr::Comprehension(it) => self.comprehension(node, it, bound),
            Expr::Call(call) => self.call(node, call, bound),
        }
    }

    /// A part of a value.
    fn field(&mut self, node: &IdedExpr, operand: Type<'s>, name: &str) -> Type<'s> {
        if !operand.kinds.meets(Kinds::OBJECT.or(Kinds::OTHER)) && !operand.kinds.is_none() {
            let described = operand.kinds.describe();
            self.error(node, "type", format!("`{name}` is asked of {described}, which has no parts"));
            return Type::any();
        }
        let mut declared = Vec::new();
        let mut undeclared: Option<Vec<&str>> = None;
        for schema in &operand.schemas {
            match schema.property(name) {
                Property::Declared(found) => declared.extend(found),
                Property::Unknown => return Type::any(),
                Property::Undeclared(names) => undeclared.get_or_insert_default().extend(names),
            }
        }
        match undeclared {
            Some(names) if declared.is_empty() => {
                let range = self.placed.expression.range_of(node);
                let source = self.placed.expression.source();
                // Only the name, without what it is asked of.
                let start = source[range.clone()].rfind(name).map_or(range.start, |it| range.start + it);
                let extent = self.placed.part(start..start + name.len());
                let suggestion = did_you_mean(name, names.iter().copied());
                let problem = self.error_at(extent, "unknown-field", format!("there is no field `{name}`"));
                problem.note(format!("declared are {}", crate::problem::listed(&names)));
                problem.suggest_some(suggestion);
                Type::any()
            }
            _ if declared.is_empty() => Type::any(),
            _ => Type::from_schemas(declared),
        }
    }

    fn comprehension(&mut self, node: &IdedExpr, it: &ComprehensionExpr, bound: &mut Bound<'s>) -> Type<'s> {
        let range = self.infer(&it.iter_range, bound);
        let over = Kinds::LIST.or(Kinds::OBJECT).or(Kinds::OTHER);
        if !range.kinds.meets(over) && !range.kinds.is_none() {
            let described = range.kinds.describe();
            self.error(
                &it.iter_range,
                "type",
                format!("this goes through the items of a list, and this is {described}"),
            );
        }
        let accumulates = self.infer(&it.accu_init, bound);
        if accumulates.kinds == Kinds::LIST && range.kinds == Kinds::OBJECT {
            self.error(node, "unordered", "the fields of an object have no order, so this list would have none")
                .suggest("go through a list, or ask with `exists` or `all`");
        }
        let depth = bound.len();
        bound.push((it.iter_var.clone(), range.items()));
        bound.extend(it.iter_var2.clone().map(|it| (it, Type::any())));
        bound.push((it.accu_var.clone(), Type::any()));
        for part in [&it.loop_cond, &it.loop_step, &it.result] {
            self.infer(part, bound);
        }
        bound.truncate(depth);
        match accumulates.kinds {
            Kinds::LIST => Type::of(Kinds::LIST),
            Kinds::BOOLEAN | Kinds::INTEGER => Type::of(Kinds::BOOLEAN),
            _ => Type::any(),
        }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr, bound: &mut Bound<'s>) -> Type<'s> {
        let target = call.target.as_deref().map(|it| (it, self.infer(it, bound)));
        let arguments: Vec<(&IdedExpr, Type<'s>)> = call.args.iter().map(|it| (it, self.infer(it, bound))).collect();
        let boolean = Type::of(Kinds::BOOLEAN);
        match (call.func_name.as_str(), arguments.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, operands) => {
                for (operand, type_) in operands {
                    self.must_be(operand, type_, Kinds::BOOLEAN, "`&&`, `||` and `!` take true or false");
                }
                boolean
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.must_be(condition.0, &condition.1, Kinds::BOOLEAN, "what stands before `?` is true or false");
                Type::of(yes.1.kinds.or(no.1.kinds))
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.comparable(node, left, right);
                boolean
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                let ordered = [Kinds::NUMBER, Kinds::TEXT, Kinds::BOOLEAN, Kinds::OTHER];
                if !ordered.iter().any(|it| left.1.kinds.meets(*it) && right.1.kinds.meets(*it)) {
                    self.mismatch(node, "these cannot be put in an order", left, right);
                }
                boolean
            }
            (operators::ADD, [left, right]) => self.sum(node, left, right),
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [left, right]) => {
                if call.func_name == operators::SUBSTRACT && self.dashed_name(node, left.0, right.0) {
                    return Type::any();
                }
                self.numbers(node, left, right)
            }
            (operators::NEGATE, [(operand, type_)]) => {
                self.must_be(operand, type_, Kinds::NUMBER, "`-` takes a number");
                Type::of(type_.kinds.and(Kinds::NUMBER))
            }
            (operators::IN, [item, (place, type_)]) => {
                self.must_be(
                    place,
                    type_,
                    Kinds::LIST.or(Kinds::OBJECT),
                    "what stands after `in` is a list or an object",
                );
                let items = type_.items();
                if type_.kinds == Kinds::LIST && !item.1.kinds.is_none() && !same_kind(item.1.kinds, items.kinds) {
                    self.mismatch(node, "this is never in the list", item, &(place, items));
                }
                boolean
            }
            (operators::INDEX, [(operand, type_), (_, index)]) => {
                self.must_be(
                    operand,
                    type_,
                    Kinds::LIST.or(Kinds::OBJECT),
                    "`[…]` takes an item of a list or a field of an object",
                );
                if index.kinds == Kinds::INTEGER { type_.items() } else { Type::any() }
            }
            (operators::OPT_SELECT | operators::OPT_INDEX, _) => Type::any(),
            (operators::NOT_STRICTLY_FALSE, _) => boolean,
            (name, _) if name.starts_with(['_', '@', '!', '-']) => Type::any(),
            (name, arguments) => self.function(node, name, target.as_ref(), arguments),
        }
    }

    /// Two values that are compared must be able to be equal.
    fn comparable(&mut self, node: &IdedExpr, left: &(&IdedExpr, Type<'s>), right: &(&IdedExpr, Type<'s>)) {
        if left.1.kinds == Kinds::NULL || right.1.kinds == Kinds::NULL {
            return;
        }
        if !same_kind(left.1.kinds, right.1.kinds) {
            self.mismatch(node, "these are never equal", left, right);
            return;
        }
        for (named, literal) in [(left, right), (right, left)] {
            let Expr::Literal(LiteralValue::String(text)) = &literal.0.expr else { continue };
            let Some(texts) = named.1.texts() else { continue };
            if !texts.contains(&text.inner()) {
                let suggestion = did_you_mean(text.inner(), texts.iter().copied());
                let message = format!("this is never `{}`", text.inner());
                let problem = self.error(literal.0, "never-equal", message);
                problem.note(format!("it is {}", crate::parse::one_of(texts.iter().copied())));
                problem.suggest_some(suggestion);
            }
        }
    }

    fn sum(&mut self, node: &IdedExpr, left: &(&IdedExpr, Type<'s>), right: &(&IdedExpr, Type<'s>)) -> Type<'s> {
        let (a, b) = (left.1.kinds, right.1.kinds);
        for kinds in [Kinds::TEXT, Kinds::LIST, Kinds::OTHER] {
            if a.meets(kinds) && b.meets(kinds) {
                return Type::of(a.and(b));
            }
        }
        if a.meets(Kinds::NUMBER) && b.meets(Kinds::NUMBER) {
            return self.numbers(node, left, right);
        }
        if a.is_none() || b.is_none() {
            return Type::any();
        }
        let (text, other) = if a == Kinds::TEXT { (true, right.0) } else { (b == Kinds::TEXT, left.0) };
        let shown = self.placed.expression.range_of(other);
        let shown = self.placed.expression.source().get(shown).unwrap_or_default().to_owned();
        let problem = self.mismatch(node, "these cannot be added", left, right);
        if text {
            problem.suggest(format!("make it a text: `string({shown})`"));
        }
        Type::any()
    }

    fn numbers(&mut self, node: &IdedExpr, left: &(&IdedExpr, Type<'s>), right: &(&IdedExpr, Type<'s>)) -> Type<'s> {
        let (a, b) = (left.1.kinds, right.1.kinds);
        if a.is_none() || b.is_none() {
            return Type::any();
        }
        if !a.meets(Kinds::NUMBER.or(Kinds::OTHER)) || !b.meets(Kinds::NUMBER.or(Kinds::OTHER)) {
            self.mismatch(node, "this takes two numbers", left, right);
            return Type::any();
        }
        if !a.and(b).meets(Kinds::NUMBER.or(Kinds::OTHER)) {
            self.mismatch(node, "whole numbers and fractions do not mix in CEL", left, right)
                .suggest("convert one of them: `double(…)` or `int(…)`");
            return Type::any();
        }
        Type::of(a.and(b))
    }

    fn must_be(&mut self, node: &IdedExpr, type_: &Type<'s>, wanted: Kinds, what: &str) {
        if !type_.kinds.meets(wanted) && !type_.kinds.is_none() {
            let described = type_.kinds.describe();
            self.error(node, "type", format!("{what}, and this is {described}"));
        }
    }

    fn mismatch(
        &mut self,
        node: &IdedExpr,
        what: &str,
        left: &(&IdedExpr, Type<'s>),
        right: &(&IdedExpr, Type<'s>),
    ) -> &mut Problem {
        let message = format!("{what}: {} and {}", left.1.kinds.describe(), right.1.kinds.describe());
        self.error(node, "type", message)
    }
}

/// Whether values of these kinds can be equal: `1` and `1.0` can.
fn same_kind(a: Kinds, b: Kinds) -> bool {
    a.meets(b) || (a.meets(Kinds::NUMBER) && b.meets(Kinds::NUMBER)) || a.is_none() || b.is_none()
}

/// Whether any of the expressions of a value names a step's output.
pub(crate) fn any_expression_within(template: &DraftTemplate, extent: Extent) -> bool {
    template.expressions.iter().any(|it| it.node_extent.start >= extent.start && it.node_extent.end <= extent.end)
}
