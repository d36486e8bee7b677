//! Reading mappings, texts, names and numbers out of a tree, each with its complaint.

use std::fmt::Display;
use std::str::FromStr;

use crate::expression::Expression;
use crate::problem::{Extent, Report, did_you_mean, listed};
use crate::template::{Template, expression_ranges};
use crate::time::Span;

use super::draft::{At, DraftTemplate, PlacedExpression};
use super::node::{Field, Kind, Node};

/// Keys that belong into another key of the mapping in which they are written.
const BELONGS: &[(&str, &str)] = &[
    ("max_parallel", "for_each"),
    ("fail_fast", "for_each"),
    ("failures_allowed", "for_each"),
    ("matrix", "for_each"),
    ("exclude", "for_each"),
    ("reduce", "for_each"),
    ("attempts", "retry"),
    ("backoff", "retry"),
    ("max_backoff", "retry"),
];

/// Other products' words for our keys, told when an unknown key is one of them.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("if", "when"),
    ("condition", "when"),
    ("only", "when"),
    ("depends_on", "needs"),
    ("depends", "needs"),
    ("dependencies", "needs"),
    ("after", "needs"),
    ("stage", "phase"),
    ("stages", "phases"),
    ("jobs", "steps"),
    ("tasks", "steps"),
    ("params", "parameters"),
    ("variables", "parameters"),
    ("inputs", "parameters"),
    ("inputs", "with"),
    ("input", "with"),
    ("args", "with"),
    ("arguments", "with"),
    ("parameters", "with"),
    ("env", "with"),
    ("strategy", "for_each"),
    ("loop", "for_each"),
    ("with_items", "for_each"),
    ("retries", "retry"),
    ("retry_strategy", "retry"),
    ("timeout_minutes", "timeout"),
    ("active_deadline_seconds", "timeout"),
    ("continue_on_error", "on_failure"),
    ("allow_failure", "on_failure"),
    ("approval", "gates"),
    ("approvals", "gates"),
    ("gate", "gates"),
    ("plugin", "uses"),
    ("action", "uses"),
    ("run", "uses"),
    ("script", "uses"),
    ("version", "windlass"),
    ("api_version", "windlass"),
    ("title", "description"),
    ("name", "workflow"),
    ("name", "description"),
    ("max_attempts", "attempts"),
    ("limit", "attempts"),
    ("count", "attempts"),
    ("delay", "backoff"),
    ("approvers", "from"),
    ("users", "from"),
    ("minimum", "min"),
    ("text", "message"),
    ("concurrency_group", "concurrency"),
    ("mutex", "concurrency"),
    ("lock", "concurrency"),
    ("resource_group", "concurrency"),
    ("team", "tenant"),
    ("key", "group"),
    ("name", "group"),
    ("mode", "order"),
    ("queue", "order"),
    ("process_mode", "order"),
    ("cancel_in_progress", "order"),
    ("max_parallel", "limit"),
    ("max", "limit"),
];

/// The fields of a mapping whose keys are known.
pub(super) struct Fields<'n> {
    fields: &'n [Field],
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Field> {
        self.fields.iter().find(|it| it.name == name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&'n Node> {
        self.get(name).map(|it| &it.value)
    }
}

impl Report<'_> {
    /// A mapping of which all keys are known.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let fields = self.mapping(node, what)?;
        for field in fields {
            if !known.contains(&field.name.as_str()) {
                self.unknown_key(field, what, known);
            }
        }
        Some(Fields { fields })
    }

    fn unknown_key(&mut self, field: &Field, what: &str, known: &[&str]) {
        if field.name.is_empty() {
            return;
        }
        let plain = field.name.to_ascii_lowercase().replace('-', "_");
        let mut snake = String::new();
        for (at, letter) in field.name.char_indices() {
            if letter.is_ascii_uppercase() && at > 0 {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        let translated = OTHER_WORDS
            .iter()
            .find(|(theirs, ours)| (*theirs == plain || *theirs == snake) && known.contains(ours))
            .map(|(_, ours)| format!("did you mean `{ours}`?"));
        let belongs = BELONGS.iter().find(|(key, of)| *key == plain && known.contains(of));
        let inside = belongs.map(|(key, of)| format!("it is a key of `{of}`: `{of}: {{ …, {key}: … }}`"));
        let suggestion = translated.or(inside).or_else(|| did_you_mean(&field.name, known.iter().copied()));
        let none = suggestion.is_none();
        let problem = self.error(field.name_extent, "unknown-key", format!("{what} has no key `{}`", field.name));
        problem.suggest_some(suggestion);
        if none {
            problem.note(format!("its keys are {}", listed(known)));
        }
    }

    /// A mapping with keys of the author's own.
    pub(super) fn mapping<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Field]> {
        match &node.kind {
            Kind::Object(fields) => Some(fields),
            Kind::Null => {
                self.error(node.extent, "empty", format!("{what} is empty"));
                None
            }
            _ => {
                self.wrong_type(node, what, "a mapping (`key: value`)");
                None
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let written = self.source.slice(node.extent).to_owned();
        let quote = wanted == "a text" && matches!(node.kind, Kind::Boolean(_) | Kind::Number(_));
        let problem = self.error(node.extent, "wrong-type", format!("{what} is {wanted}, not {}", node.describe()));
        if quote {
            problem.suggest(format!("quote it: '{written}'"));
        }
    }

    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<At<String>> {
        match &node.kind {
            Kind::Text(text) => Some(At { value: text.clone(), extent: node.extent }),
            _ => {
                self.wrong_type(node, what, "a text");
                None
            }
        }
    }

    /// A text that its type reads: a name, a length of time.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        node: &Node,
        what: &str,
        code: &'static str,
    ) -> Option<At<T>> {
        let text = self.text(node, what)?;
        self.parsed_text(&text, code)
    }

    pub(super) fn parsed_text<T: FromStr<Err: Display>>(
        &mut self,
        text: &At<String>,
        code: &'static str,
    ) -> Option<At<T>> {
        match text.value.parse() {
            Ok(value) => Some(At { value, extent: text.extent }),
            Err(error) => {
                let name = name_like(&text.value).filter(|it| it.parse::<T>().is_ok());
                let problem = self.error(text.extent, code, error.to_string());
                problem.suggest_some(name.map(|it| format!("for example `{it}`")));
                None
            }
        }
    }

    /// A length of time that is not zero and at most [`super::SPAN_MAX`].
    pub(super) fn span(&mut self, node: &Node, what: &str) -> Option<Span> {
        if let Kind::Number(number) = &node.kind {
            self.error(node.extent, "duration", format!("{what} is a length of time, and {number} has no unit"))
                .suggest(format!("write `{number}s` for seconds or `{number}m` for minutes"));
            return None;
        }
        let span: At<Span> = self.parsed(node, what, "duration")?;
        if span.value == Span(0) {
            self.error(node.extent, "duration", format!("{what} is zero; nothing could happen in it"))
                .suggest("leave the key out, or write a length of time such as `30s`");
            return None;
        }
        if span.value > super::SPAN_MAX {
            self.error(node.extent, "duration", format!("{what} is at most {}", super::SPAN_MAX));
            return None;
        }
        Some(span.value)
    }

    /// A whole number within bounds.
    pub(super) fn count(
        &mut self,
        node: &Node,
        what: &str,
        code: &'static str,
        bounds: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let given = match &node.kind {
            Kind::Number(number) => {
                number.as_u64().and_then(|it| u32::try_from(it).ok()).filter(|it| bounds.contains(it))
            }
            _ => None,
        };
        if given.is_none() {
            let (least, most) = bounds.into_inner();
            self.error(node.extent, code, format!("{what} is a whole number from {least} to {most}"));
        }
        given
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, it)| *it);
        if found.is_none() {
            let names = || words.iter().map(|(word, _)| *word);
            self.error(text.extent, "unknown-value", format!("{what} is {}, not `{}`", one_of(names()), text.value))
                .suggest_some(did_you_mean(&text.value, names()));
        }
        found
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.kind {
            Kind::Boolean(it) => Some(*it),
            _ => {
                self.wrong_type(node, what, "`true` or `false`");
                None
            }
        }
    }

    /// One text, or a list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str, each: &str) -> Vec<At<String>> {
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|it| self.text(it, each)).collect(),
            Kind::Text(text) => vec![At { value: text.clone(), extent: node.extent }],
            _ => {
                self.wrong_type(node, what, "a text or a list of texts");
                Vec::new()
            }
        }
    }

    /// A value with expressions in its texts; none when one cannot be read.
    pub(super) fn template(&mut self, node: &Node) -> Option<DraftTemplate> {
        let mut good = true;
        let mut expressions = Vec::new();
        node.each_text(&mut |node, text| {
            let ranges = match expression_ranges(text) {
                Ok(ranges) => ranges,
                Err(at) => {
                    let extent = self.locate(node.extent, text, at..at + 3).unwrap_or(node.extent);
                    self.error(extent, "unclosed-expression", "`${{` is not closed by `}}`");
                    good = false;
                    return;
                }
            };
            for range in ranges {
                let embedded = !(text[..range.start].trim_end() == "${{" && text[range.end..].trim_start() == "}}");
                match self.expression(node, text, range, embedded) {
                    Some(expression) => expressions.push(expression),
                    None => good = false,
                }
            }
        });
        let template = Template::parse(&node.to_json()).ok().filter(|_| good)?;
        Some(DraftTemplate { node: node.clone(), template, expressions })
    }

    /// The expression in a part of a text.
    pub(super) fn expression(
        &mut self,
        node: &Node,
        text: &str,
        range: std::ops::Range<usize>,
        embedded: bool,
    ) -> Option<PlacedExpression> {
        let located = self.locate(node.extent, text, range.clone());
        let extent = located.unwrap_or(node.extent);
        match Expression::parse(&text[range]) {
            Ok(expression) => Some(PlacedExpression {
                expression,
                extent,
                exact: located.is_some(),
                node_extent: node.extent,
                embedded,
            }),
            Err(error) => {
                let at = match located {
                    Some(extent) => Extent { start: (extent.start + error.offset).min(extent.end), end: extent.end },
                    None => extent,
                };
                let at = if at.start >= at.end { Extent { start: at.end, end: at.end + 1 } } else { at };
                self.error(at, "expression", error.message).note("expressions are written in CEL, https://cel.dev");
                None
            }
        }
    }

    /// Where a part of a value's text stands in the file, when it stands there as it is: the text may be
    /// quoted, folded or indented.
    fn locate(&self, extent: Extent, text: &str, range: std::ops::Range<usize>) -> Option<Extent> {
        let wanted = text.get(range.clone()).filter(|it| !it.is_empty())?;
        let before = text[..range.start].matches(wanted).count();
        let (at, _) = self.source.slice(extent).match_indices(wanted).nth(before)?;
        let start = extent.start + at;
        Some(Extent { start, end: start + wanted.len() })
    }
}

/// `` `a`, `b` or `c` ``
pub(crate) fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|it| format!("`{it}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// A name that somebody may have meant: `Create Change` → `create-change`.
fn name_like(text: &str) -> Option<String> {
    let name: String = text
        .trim()
        .chars()
        .take(63)
        .map(|it| if it.is_ascii_alphanumeric() || it == '_' { it.to_ascii_lowercase() } else { '-' })
        .collect();
    let name = name.trim_matches(['-', '_']).to_owned();
    (!name.is_empty() && name != text).then_some(name)
}
