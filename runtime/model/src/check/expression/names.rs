//! What expressions can name: parameters, steps, the release, functions.

use cel::IdedExpr;
use serde_json::Value;

use crate::expression::{ENDED_STATES, FINAL_STATES, OUTCOMES};
use crate::parse::{DraftItems, DraftStep, PlacedExpression};
use crate::problem::{Problem, did_you_mean, listed};
use crate::template::Template;

use super::{Bound, Checker, Kinds, Place, Schema, Type};

/// Functions with how many arguments they take, and whether they are written after a value:
/// `a.contains(b)`.
const FUNCTIONS: &[Function] = &[
    Function { name: "size", member: Some(0), global: Some(1), target: SIZED, gives: Kinds::INTEGER },
    Function { name: "contains", member: Some(1), global: None, target: Kinds::TEXT, gives: Kinds::BOOLEAN },
    Function { name: "startsWith", member: Some(1), global: None, target: Kinds::TEXT, gives: Kinds::BOOLEAN },
    Function { name: "endsWith", member: Some(1), global: None, target: Kinds::TEXT, gives: Kinds::BOOLEAN },
    Function { name: "matches", member: Some(1), global: Some(2), target: Kinds::TEXT, gives: Kinds::BOOLEAN },
    Function { name: "string", member: None, global: Some(1), target: Kinds::ANY, gives: Kinds::TEXT },
    Function { name: "int", member: None, global: Some(1), target: Kinds::ANY, gives: Kinds::INTEGER },
    Function { name: "double", member: None, global: Some(1), target: Kinds::ANY, gives: Kinds::FRACTION },
    Function { name: "bool", member: None, global: Some(1), target: Kinds::ANY, gives: Kinds::BOOLEAN },
    Function { name: "sum", member: None, global: Some(1), target: Kinds::LIST, gives: Kinds::NUMBER },
    Function { name: "min", member: None, global: Some(1), target: Kinds::LIST, gives: Kinds::ANY },
    Function { name: "max", member: None, global: Some(1), target: Kinds::LIST, gives: Kinds::ANY },
    Function { name: "flatten", member: None, global: Some(1), target: Kinds::LIST, gives: Kinds::LIST },
    Function { name: "dyn", member: None, global: Some(1), target: Kinds::ANY, gives: Kinds::ANY },
    Function { name: "type", member: None, global: Some(1), target: Kinds::ANY, gives: Kinds::ANY },
    Function { name: "orValue", member: Some(1), global: None, target: Kinds::ANY, gives: Kinds::ANY },
    Function { name: "hasValue", member: Some(0), global: None, target: Kinds::ANY, gives: Kinds::BOOLEAN },
    Function { name: "value", member: Some(0), global: None, target: Kinds::ANY, gives: Kinds::ANY },
];

/// Macros, for suggestions; the reader knows them.
const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];

const SIZED: Kinds = Kinds::TEXT.or(Kinds::LIST).or(Kinds::OBJECT).or(Kinds::OTHER);

struct Function {
    name: &'static str,
    member: Option<usize>,
    global: Option<usize>,
    target: Kinds,
    gives: Kinds,
}

/// Other products' names for ours.
const OTHER_ROOTS: &[(&str, &str)] = &[
    ("params", "parameters"),
    ("param", "parameters"),
    ("inputs", "parameters"),
    ("input", "parameters"),
    ("vars", "parameters"),
    ("variables", "parameters"),
    ("needs", "steps"),
    ("jobs", "steps"),
    ("tasks", "steps"),
    ("outputs", "steps"),
    ("workflow", "release"),
    ("run", "release"),
];

/// What `steps.NAME.state` may be where an expression can ask for it: the step has ended.
fn states() -> &'static serde_json::Value {
    static STATES: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
    STATES.get_or_init(|| serde_json::json!({ "type": "string", "enum": ENDED_STATES }))
}

/// The same for a step that runs when the release is about to end.
fn final_states() -> &'static serde_json::Value {
    static STATES: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
    STATES.get_or_init(|| serde_json::json!({ "type": "string", "enum": FINAL_STATES }))
}

/// What `release.outcome` may be.
fn outcomes() -> &'static serde_json::Value {
    static OUTCOME: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
    OUTCOME.get_or_init(|| serde_json::json!({ "type": "string", "enum": OUTCOMES }))
}

/// What `release.alerts` is made of.
fn alerts() -> &'static serde_json::Value {
    static ALERTS: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
    let texts = || serde_json::json!({ "type": "object", "additionalProperties": { "type": "string" } });
    ALERTS.get_or_init(|| {
        serde_json::json!({ "type": "array", "items": {
            "type": "object",
            "properties": { "name": { "type": "string" }, "labels": texts(), "annotations": texts() },
            "required": ["name", "labels", "annotations"],
            "additionalProperties": false,
        } })
    })
}

impl<'s> Checker<'s, '_> {
    /// The type of a name such as `steps.build.output.url`, and what is wrong with it.
    pub(super) fn name(&mut self, node: &IdedExpr, path: &[String], presence: bool, bound: &Bound<'s>) -> Type<'s> {
        let root = path[0].as_str();
        if let Some((_, type_)) = bound.iter().rev().find(|(it, _)| it == root) {
            let type_ = type_.clone();
            return path[1..].iter().fold(type_, |type_, part| self.field(node, type_, part));
        }
        match root {
            "parameters" => self.parameter(node, path),
            "steps" | "release" if self.place == Place::Start => {
                let message = format!("`{root}` is not known before a release begins");
                self.part_error(node, path, 0, "unknown-name", message)
                    .note("a concurrency group, and the labels of an alert, are named by texts and `parameters` alone");
                Type::any()
            }
            "steps" => self.step(node, path, presence),
            "release" => self.release(node, path),
            "each" if self.place == Place::Item => self.each(node, path),
            "outputs" if self.place == Place::Reduce => self.item_outputs(node, path),
            _ => {
                self.unknown_root(node, root);
                Type::any()
            }
        }
    }

    /// A problem with the `at`-th part of a name.
    fn part_error(
        &mut self,
        node: &IdedExpr,
        path: &[String],
        at: usize,
        code: &'static str,
        message: String,
    ) -> &mut Problem {
        let range = self.placed.expression.range_of(node);
        let source = &self.placed.expression.source()[range.clone()];
        let mut from = 0;
        for part in &path[..at] {
            from = source[from..].find(part.as_str()).map_or(from, |it| from + it + part.len());
        }
        let part = &path[at];
        let start = source[from..].find(part.as_str()).map_or(0, |it| from + it) + range.start;
        let extent = self.placed.part(start..start + part.len());
        self.error_at(extent, code, message)
    }

    fn unknown_root(&mut self, node: &IdedExpr, root: &str) {
        let roots = match self.place {
            Place::Step | Place::Declared | Place::Decision => vec!["parameters", "steps", "release"],
            Place::Item => vec!["parameters", "steps", "release", "each"],
            Place::Reduce => vec!["parameters", "steps", "release", "outputs"],
            Place::Start => vec!["parameters"],
        };
        let place = self.place;
        let draft = self.draft;
        let is_parameter = draft.parameters.iter().any(|it| it.name.value == root);
        let is_step = draft.step(root).is_some();
        let path = [root.to_owned()];
        let problem = self.part_error(node, &path, 0, "unknown-name", format!("there is nothing called `{root}`"));
        if is_parameter {
            problem.suggest(format!("did you mean `parameters.{root}`?"));
        } else if is_step && place != Place::Start {
            problem.suggest(format!("did you mean `steps.{root}.output`?"));
        } else if root == "each" {
            problem.note("`each` is known in the `with` of a step that has `for_each`");
            if place == Place::Reduce {
                problem.suggest("`outputs` is the list of what the items gave");
            }
        } else if root == "item" && place == Place::Item {
            problem.suggest("did you mean `each.value`?");
        } else if matches!(root, "secrets" | "secret" | "credentials") {
            problem.note("secrets are in connections, which the host applies; no expression and no plugin sees them");
            problem.suggest("bind a connection with `connection:`");
        } else if matches!(root, "env" | "github" | "gitlab" | "ci") {
            problem.note("a release depends on its parameters and on nothing around it");
            problem.suggest("declare a parameter and give it when the release starts");
        } else {
            let names = roots.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>();
            let (last, first) = names.split_last().expect("there are roots");
            let all = if first.is_empty() { last.clone() } else { format!("{} and {last}", first.join(", ")) };
            problem.note(format!("an expression names {all}; a text is quoted"));
            let translated = OTHER_ROOTS
                .iter()
                .find(|(theirs, _)| *theirs == root)
                .map(|(_, ours)| format!("did you mean `{ours}`?"));
            problem.suggest_some(translated.or_else(|| did_you_mean(root, roots.iter().copied())));
        }
    }

    fn parameter(&mut self, node: &IdedExpr, path: &[String]) -> Type<'s> {
        let Some(name) = path.get(1) else { return Type::of(Kinds::OBJECT) };
        let draft = self.draft;
        let Some(parameter) = draft.parameters.iter().find(|it| it.name.value == *name) else {
            let names = || draft.parameters.iter().map(|it| it.name.value.as_str());
            let suggestion = did_you_mean(name, names());
            let problem =
                self.part_error(node, path, 1, "unknown-parameter", format!("there is no parameter `{name}`"));
            if draft.parameters.is_empty() {
                problem.suggest(format!("declare it: `parameters: {{ {name}: {{ type: string }} }}`"));
            } else {
                if suggestion.is_none() {
                    problem.note(format!("the parameters are {}", listed(names())));
                }
                problem.suggest_some(suggestion);
            }
            return Type::any();
        };
        let type_ = Type::from_schemas(vec![Schema::new(&parameter.schema)]);
        path[2..].iter().fold(type_, |type_, part| self.field(node, type_, part))
    }

    fn release(&mut self, node: &IdedExpr, path: &[String]) -> Type<'s> {
        let is_last = self.step.is_some_and(|it| it.finally);
        let is_decision = self.place == Place::Decision;
        let more = is_last.then_some("outcome").into_iter().chain(is_decision.then_some("alerts"));
        let known: Vec<&str> = ["id", "workflow", "requested_by"].into_iter().chain(more).collect();
        match path.get(1).map(String::as_str) {
            None => Type::of(Kinds::OBJECT),
            Some("id" | "workflow") => {
                path[2..].iter().fold(Type::of(Kinds::TEXT), |type_, part| self.field(node, type_, part))
            }
            Some("requested_by") => Type::any(),
            Some("alerts") if is_decision => {
                let type_ = Type::from_schemas(vec![Schema::new(alerts())]);
                path[2..].iter().fold(type_, |type_, part| self.field(node, type_, part))
            }
            Some("outcome") if is_last => {
                let type_ = Type::from_schemas(vec![Schema::new(outcomes())]);
                path[2..].iter().fold(type_, |type_, part| self.field(node, type_, part))
            }
            Some(other) => {
                let suggestion = did_you_mean(other, known.iter().copied());
                let problem = self.part_error(node, path, 1, "unknown-name", format!("a release has no `{other}`"));
                problem.note(format!("it has {}", listed(&known)));
                if other == "alerts" {
                    problem.note("only a criterion of `rollback.decision` knows which alerts came");
                }
                if other == "outcome" {
                    problem.note("only a step of `finally` knows how the release ends");
                }
                problem.suggest_some(suggestion);
                Type::any()
            }
        }
    }

    /// What the step runs for: `each.value`, `each.number`, `each.count`.
    fn each(&mut self, node: &IdedExpr, path: &[String]) -> Type<'s> {
        let known = ["value", "number", "count"];
        let type_ = match path.get(1).map(String::as_str) {
            None => return Type::of(Kinds::OBJECT),
            Some("number" | "count") => Type::of(Kinds::INTEGER),
            Some("value") => return self.item(node, &path[2..]),
            Some(other) => {
                let suggestion =
                    did_you_mean(other, known).or_else(|| Some(format!("did you mean `each.value.{other}`?")));
                let problem = self.part_error(node, path, 1, "unknown-name", format!("`each` has no `{other}`"));
                problem.note(format!("it has {}", listed(known)));
                problem.suggest_some(suggestion);
                return Type::any();
            }
        };
        path[2..].iter().fold(type_, |type_, part| self.field(node, type_, part))
    }

    /// A part of an item.
    fn item(&mut self, node: &IdedExpr, parts: &[String]) -> Type<'s> {
        let step = self.step;
        let type_ = match step.and_then(|it| it.for_each.as_ref()).map(|it| &it.items) {
            Some(DraftItems::Matrix(axes)) => {
                let Some((name, rest)) = parts.split_first() else { return Type::of(Kinds::OBJECT) };
                let beside = step.and_then(|it| it.for_each.as_ref()).is_some_and(|it| !it.include.is_empty());
                let Some((_, values)) = axes.iter().find(|(it, _)| it.value == *name) else {
                    if !beside {
                        let names = || axes.iter().map(|(it, _)| it.value.as_str());
                        let suggestion = did_you_mean(name, names());
                        let problem = self.error(node, "unknown-field", format!("the matrix has no axis `{name}`"));
                        problem.note(format!("its axes are {}", listed(names())));
                        problem.suggest_some(suggestion);
                    }
                    return Type::any();
                };
                let type_ = if beside { Type::any() } else { self.item_of(&values.template) };
                return rest.iter().fold(type_, |type_, part| self.field(node, type_, part));
            }
            Some(DraftItems::List(list)) => self.item_of(&list.template),
            None => Type::any(),
        };
        parts.iter().fold(type_, |type_, part| self.field(node, type_, part))
    }

    /// What a list's items can be.
    fn item_of(&mut self, list: &'s Template) -> Type<'s> {
        match list {
            Template::Plain(Value::Array(items)) => {
                let kinds = items.iter().map(Kinds::of).fold(Kinds::NONE, Kinds::or);
                if kinds.is_none() { Type::any() } else { Type::of(kinds) }
            }
            Template::Whole(expression) => {
                // What is wrong with it is said where it stands.
                let mut quiet = Checker { found: Vec::new(), place: Place::Step, ..*self };
                let items = quiet.infer(expression.syntax(), &mut Vec::new()).items();
                self.uses_outputs |= quiet.uses_outputs;
                items
            }
            _ => Type::any(),
        }
    }

    /// The list of what the items gave.
    fn item_outputs(&mut self, node: &IdedExpr, path: &[String]) -> Type<'s> {
        let type_ = Type::of(Kinds::LIST);
        path[1..].iter().fold(type_, |type_, part| self.field(node, type_, part))
    }

    fn step(&mut self, node: &IdedExpr, path: &[String], presence: bool) -> Type<'s> {
        let Some(name) = path.get(1) else { return Type::of(Kinds::OBJECT) };
        let draft = self.draft;
        let Some(named) = draft.step(name) else {
            let suggestion = did_you_mean(name, draft.step_names());
            let problem = self.part_error(node, path, 1, "unknown-step", format!("there is no step `{name}`"));
            if suggestion.is_none() {
                problem.note(format!("the steps are {}", listed(draft.step_names())));
            }
            problem.suggest_some(suggestion);
            return Type::any();
        };
        if !self.has_ended(node, path, named) {
            return Type::any();
        }
        match path.get(2).map(String::as_str) {
            None => Type::of(Kinds::OBJECT),
            Some("state") => {
                let may_not_have_ended = self.step.is_some_and(|it| it.finally) && !named.finally;
                let states = if may_not_have_ended { final_states() } else { states() };
                let type_ = Type::from_schemas(vec![Schema::new(states)]);
                path[3..].iter().fold(type_, |type_, part| self.field(node, type_, part))
            }
            Some("output") => {
                self.warn_if_missing(node, path, named, presence);
                let schema = (self.outputs)(name);
                self.uses_outputs |= schema.is_some();
                let type_ = schema.map_or_else(Type::any, |it| Type::from_schemas(vec![Schema::new(it)]));
                path[3..].iter().fold(type_, |type_, part| self.field(node, type_, part))
            }
            Some(other) => {
                let hint = match other {
                    "outputs" | "result" | "results" | "out" => Some("did you mean `output`?".to_owned()),
                    "status" | "outcome" | "conclusion" => Some("did you mean `state`?".to_owned()),
                    _ => did_you_mean(other, ["output", "state"])
                        .or_else(|| Some(format!("did you mean `output.{other}`?"))),
                };
                self.part_error(
                    node,
                    path,
                    2,
                    "unknown-name",
                    format!("a step has `output` and `state`, and no `{other}`"),
                )
                .suggest_some(hint);
                Type::any()
            }
        }
    }

    fn has_ended(&mut self, node: &IdedExpr, path: &[String], named: &DraftStep) -> bool {
        let Some(own) = self.step else { return self.is_of_steps(node, path, named) };
        if own.finally && !named.finally {
            return true;
        }
        let name = &named.name.value;
        if own.name.value == *name {
            self.part_error(node, path, 1, "not-needed", format!("step `{name}` names itself, and has not run yet"));
            return false;
        }
        if self.order.ended_before(name, &own.name.value) {
            return true;
        }
        let later = self.order.ended_before(&own.name.value, name);
        let own = &own.name.value;
        let problem = self.part_error(
            node,
            path,
            1,
            "not-needed",
            format!("step `{own}` names `{name}`, and does not wait for it"),
        );
        if later {
            problem.note(format!("`{name}` runs after `{own}`"));
        } else {
            problem.suggest(format!("add `{name}` to the `needs` of `{own}`"));
        }
        false
    }

    /// The outputs of a release are made of `steps`: what runs last comes too late.
    fn is_of_steps(&mut self, node: &IdedExpr, path: &[String], named: &DraftStep) -> bool {
        if named.finally {
            let name = &named.name.value;
            self.part_error(node, path, 1, "finally", format!("`{name}` runs last, when the outputs are made already"));
        }
        !named.finally
    }

    /// A condition may have skipped the step whose output is named.
    fn warn_if_missing(&mut self, node: &IdedExpr, path: &[String], named: &DraftStep, presence: bool) {
        let name = &named.name.value;
        // `has(steps.x.output)` asks; `has(steps.x.output.y)` needs the output to ask in it.
        let asks = |expression: &PlacedExpression| {
            expression.expression.references().iter().any(|it| {
                it.path.get(1) == Some(name)
                    && it.path[0] == "steps"
                    && (it.presence && it.path.len() == 3 || it.path.get(2).is_some_and(|it| it == "state"))
            })
        };
        let asked = presence && path.len() == 3
            || asks(self.placed)
            // The step runs only when its condition holds.
            || self.step.and_then(|it| it.when.as_ref()).is_some_and(asks)
            || self.placed.expression.source().contains(".?");
        let too_soon = self.step.is_some_and(|it| it.finally) && !named.finally;
        let may_be_missing = match self.step {
            Some(own) => self.order.runs_without(self.draft, named, &own.name.value),
            // The others give null then.
            None => self.place == Place::Declared && self.order.may_give_nothing(self.draft, named),
        };
        if asked || !(too_soon || may_be_missing) {
            return;
        }
        let why = match named.on_failure {
            _ if too_soon => format!("the release may end before `{name}` does"),
            crate::workflow::OnFailure::Continue => format!("`{name}` may fail and let others go on"),
            _ => format!("`{name}` may have been skipped"),
        };
        let problem = self.part_error(node, path, 1, "may-be-missing", format!("{why}, and then this has no value"));
        problem.severity = crate::problem::Severity::Warning;
        let asked = if name.contains('-') { format!("steps['{name}']") } else { format!("steps.{name}") };
        problem.suggest(format!("ask first: `{asked}.state == 'succeeded' ? … : …`"));
    }

    /// `steps.create-change.output` reads as a subtraction.
    pub(super) fn dashed_name(&mut self, node: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> bool {
        let range = self.placed.expression.range_of(node);
        let source = self.placed.expression.source();
        let text = source.get(range.clone()).unwrap_or_default();
        let draft = self.draft;
        let Some(name) =
            draft.step_names().filter(|it| it.contains('-')).find(|it| text.starts_with(&format!("steps.{it}")))
        else {
            return false;
        };
        // What the two sides said on their own is not what was meant.
        let sides = [self.placed.expression.range_of(left), self.placed.expression.range_of(right)]
            .map(|it| self.placed.part(it));
        self.found.retain(|(extent, _)| !sides.iter().any(|it| extent.start >= it.start && extent.end <= it.end));
        self.error_at(self.placed.part(range), "dashed-name", format!("`-` in `{name}` reads as minus here"))
            .suggest(format!("write `steps['{name}']{}`", &text["steps.".len() + name.len()..]));
        true
    }

    pub(super) fn function(
        &mut self,
        node: &IdedExpr,
        name: &str,
        target: Option<&(&IdedExpr, Type<'s>)>,
        arguments: &[(&IdedExpr, Type<'s>)],
    ) -> Type<'s> {
        let Some(function) = FUNCTIONS.iter().find(|it| it.name == name) else {
            let names = || FUNCTIONS.iter().map(|it| it.name).chain(MACROS.iter().copied());
            let suggestion = match name {
                "success" | "failure" | "always" | "cancelled" => Some(
                    "a step runs when those it needs have ended well; ask for `steps.<name>.state` otherwise"
                        .to_owned(),
                ),
                "len" | "length" | "count" => Some("did you mean `size`?".to_owned()),
                "toString" | "str" | "tostring" => Some("did you mean `string(…)`?".to_owned()),
                "includes" => Some("did you mean `contains`?".to_owned()),
                _ => did_you_mean(name, names()),
            };
            let problem = self.error(node, "unknown-function", format!("there is no function `{name}`"));
            if suggestion.is_none() {
                problem.note(format!("the functions are {}", names().collect::<Vec<_>>().join(", ")));
            }
            problem.suggest_some(suggestion);
            return Type::any();
        };
        let wanted = if target.is_some() { function.member } else { function.global };
        match wanted {
            None => {
                let form = if target.is_some() { format!("{name}(…)") } else { format!("….{name}(…)") };
                self.error(node, "unknown-function", format!("`{name}` is written `{form}`"));
            }
            Some(wanted) if wanted != arguments.len() => {
                let plural = if wanted == 1 { "" } else { "s" };
                self.error(
                    node,
                    "unknown-function",
                    format!("`{name}` takes {wanted} argument{plural} here, not {}", arguments.len()),
                );
            }
            Some(_) => {
                let subject = target.or(arguments.first());
                if let Some((node, type_)) = subject {
                    let what = format!("`{name}` is asked of {}", function.target.describe());
                    self.must_be(node, type_, function.target, &what);
                }
            }
        }
        Type::of(function.gives)
    }
}
