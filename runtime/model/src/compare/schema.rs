//! Two JSON Schemas: what the new one takes that the old one did not, and the other way round.
//!
//! An input may take more and still be the same to those who give it; an output may be less and still be the same to those
//! who read it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Differences, Impact};

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// What workflows give.
    Input,
    /// What workflows read.
    Output,
}

/// Whether a schema lets more through than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Less,
    More,
    /// Nobody can tell.
    Either,
}

/// How deep schemas are followed; what refers to itself goes on for ever.
const DEPTH_MAX: usize = 32;

pub(super) fn compare(of: Use, place: &str, old: &Value, new: &Value, found: &mut Differences) {
    let place = format!("{place}, {}", if of == Use::Input { "input" } else { "output" });
    let mut comparison = Comparison { of, place, old_root: old, new_root: new, found };
    comparison.schemas(old, new, "", DEPTH_MAX);
}

struct Comparison<'a, 'f> {
    of: Use,
    place: String,
    old_root: &'a Value,
    new_root: &'a Value,
    found: &'f mut Differences,
}

/// What says nothing about which values are taken.
const WORDS: [&str; 15] = [
    "title",
    "description",
    "examples",
    "default",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "$schema",
    "$id",
    "$comment",
    "$defs",
];

const LOWER_BOUNDS: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const UPPER_BOUNDS: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

/// What is compared by rules of its own.
const KNOWN: [&str; 9] =
    ["type", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf"];

impl Comparison<'_, '_> {
    fn add(&mut self, way: Way, at: &str, message: &str) {
        let impact = match (self.of, way) {
            (Use::Input, Way::More) | (Use::Output, Way::Less) => Impact::Compatible,
            (Use::Input, Way::Less) | (Use::Output, Way::More) | (_, Way::Either) => Impact::Breaking,
        };
        self.say(impact, at, message);
    }

    fn say(&mut self, impact: Impact, at: &str, message: &str) {
        let message = if at.is_empty() { format!("it {message}") } else { format!("`{at}` {message}") };
        self.found.add(impact, &self.place, message);
    }

    fn schemas(&mut self, old: &Value, new: &Value, at: &str, depth: usize) {
        let (old_root, new_root) = (self.old_root, self.new_root);
        let (old, new) = (resolved(old, old_root), resolved(new, new_root));
        if old == new && old_root == new_root {
            return;
        }
        if depth == 0 {
            if plain(old) != plain(new) {
                self.add(Way::Either, at, "is nested too deeply to be compared");
            }
            return;
        }
        let nothing = Map::new();
        match (old, new) {
            (Value::Bool(false), Value::Bool(false)) => {}
            (_, Value::Bool(false)) => self.add(Way::Less, at, "is never taken any more"),
            (Value::Bool(false), _) => self.add(Way::More, at, "may be there now"),
            // `true` is a schema without members.
            _ => {
                let (old, new) = (old.as_object().unwrap_or(&nothing), new.as_object().unwrap_or(&nothing));
                self.members(old, new, at, depth - 1);
            }
        }
    }

    fn members(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, depth: usize) {
        self.types(old, new, at);
        self.values(old, new, at);
        self.bounds(old, new, at);
        self.default(old, new, at);
        self.fields(old, new, at, depth);
        self.below("items", old, new, &format!("{at}[]"), depth);
        self.alternatives("anyOf", old, new, at, depth);
        self.alternatives("oneOf", old, new, at, depth);
        let others: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for keyword in others {
            let is_handled =
                [&WORDS[..], &KNOWN, &LOWER_BOUNDS, &UPPER_BOUNDS].iter().any(|it| it.contains(&keyword.as_str()));
            if is_handled || old.get(keyword) == new.get(keyword) {
                continue;
            }
            match (old.get(keyword), new.get(keyword)) {
                (None, Some(value)) => self.add(Way::Less, at, &format!("has the condition `{keyword}: {value}` now")),
                (Some(value), None) => {
                    self.add(Way::More, at, &format!("has the condition `{keyword}: {value}` no longer"))
                }
                _ => self.add(Way::Either, at, &format!("has another `{keyword}`, which cannot be compared")),
            }
        }
    }

    fn types(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let (old, new) = (types(old), types(new));
        let (takes, may) = self.verbs();
        let lost: Vec<&str> = old.difference(&new).copied().collect();
        let won: Vec<&str> = new.difference(&old).copied().collect();
        if !lost.is_empty() {
            self.add(Way::Less, at, &format!("no longer {takes} {}", lost.join(", ")));
        }
        if !won.is_empty() {
            self.add(Way::More, at, &format!("{may} {} as well", won.join(", ")));
        }
    }

    /// "takes" and "may be" in the words of an input or an output.
    fn verbs(&self) -> (&'static str, &'static str) {
        if self.of == Use::Input { ("takes", "takes") } else { ("is", "may be") }
    }

    fn values(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let (takes, may) = self.verbs();
        match (values(old), values(new)) {
            (Some(old), Some(new)) => {
                let only = |one: &[Value], other: &[Value]| -> Vec<String> {
                    one.iter().filter(|it| !other.contains(it)).map(ToString::to_string).collect()
                };
                let (lost, won) = (only(&old, &new), only(&new, &old));
                if !lost.is_empty() {
                    self.add(Way::Less, at, &format!("no longer {takes} {}", lost.join(", ")));
                }
                if !won.is_empty() {
                    self.add(Way::More, at, &format!("{may} {} as well", won.join(", ")));
                }
            }
            (None, Some(new)) => {
                let new: Vec<String> = new.iter().map(ToString::to_string).collect();
                self.add(Way::Less, at, &format!("{takes} only {} now", new.join(", ")));
            }
            (Some(_), None) => self.add(Way::More, at, &format!("{may} any value now")),
            (None, None) => {}
        }
    }

    fn bounds(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        for (keywords, raised) in [(LOWER_BOUNDS, Way::Less), (UPPER_BOUNDS, Way::More)] {
            let lowered = if raised == Way::Less { Way::More } else { Way::Less };
            for keyword in keywords {
                let number = |of: &Map<String, Value>| of.get(keyword).and_then(Value::as_f64);
                match (number(old), number(new)) {
                    (None, Some(now)) => self.add(Way::Less, at, &format!("has the bound `{keyword}: {now}` now")),
                    (Some(before), None) => {
                        self.add(Way::More, at, &format!("has the bound `{keyword}: {before}` no longer"));
                    }
                    (Some(before), Some(now)) if now != before => {
                        let way = if now > before { raised } else { lowered };
                        self.add(way, at, &format!("has the bound `{keyword}: {now}` instead of {before}"));
                    }
                    (Some(_), Some(_)) | (None, None) => {}
                }
            }
        }
    }

    /// What a workflow gets that says nothing.
    fn default(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        if self.of == Use::Output {
            return;
        }
        match (old.get("default"), new.get("default")) {
            (Some(before), Some(now)) if before != now => {
                self.say(Impact::Breaking, at, &format!("is {now} instead of {before} where a workflow does not say"));
            }
            (Some(before), None) => {
                self.say(Impact::Breaking, at, &format!("is not {before} any more where a workflow does not say"));
            }
            (None, Some(now)) => self.say(Impact::Compatible, at, &format!("is {now} where a workflow does not say")),
            _ => {}
        }
    }

    fn fields(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, depth: usize) {
        let (old_fields, new_fields) = (fields(old), fields(new));
        let (old_required, new_required) = (required(old), required(new));
        for (name, schema) in &old_fields {
            let at = below(at, name);
            match new_fields.get(name) {
                Some(other) => self.schemas(schema, other, &at, depth),
                None => self.say(Impact::Breaking, &at, "is gone"),
            }
        }
        for name in new_fields.keys().filter(|it| !old_fields.contains_key(*it)) {
            if !(self.of == Use::Input && new_required.contains(name)) {
                self.say(Impact::Compatible, &below(at, name), "is new");
            }
        }
        for name in new_required.difference(&old_required) {
            let is_new = if old_fields.contains_key(name) { "" } else { "is new and " };
            match self.of {
                Use::Input => self.say(Impact::Breaking, &below(at, name), &format!("{is_new}has to be given")),
                Use::Output => self.say(Impact::Compatible, &below(at, name), "is always there now"),
            }
        }
        for name in old_required.difference(&new_required).filter(|it| new_fields.contains_key(*it)) {
            match self.of {
                Use::Input => self.say(Impact::Compatible, &below(at, name), "need not be given any more"),
                Use::Output => self.say(Impact::Breaking, &below(at, name), "may be missing now"),
            }
        }
        let open = Value::Bool(true);
        let others = |of| additional(of).unwrap_or(&open);
        match (others(old), others(new)) {
            (one, other) if one == other => {}
            (_, Value::Bool(false)) => self.add(Way::Less, at, "has no other fields than those named any more"),
            // Whoever reads an output reads the fields that it names.
            (Value::Bool(false), _) => self.say(Impact::Compatible, at, "may have other fields than those named"),
            (one, other) => self.schemas(one, other, &below(at, "*"), depth),
        }
    }

    fn below(&mut self, keyword: &str, old: &Map<String, Value>, new: &Map<String, Value>, at: &str, depth: usize) {
        let anything = Value::Bool(true);
        self.schemas(old.get(keyword).unwrap_or(&anything), new.get(keyword).unwrap_or(&anything), at, depth);
    }

    /// Alternatives are compared as sets; where one is another, the two are compared.
    fn alternatives(
        &mut self,
        keyword: &str,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) {
        let of = |it: &Map<String, Value>, root: &Value| -> Option<Vec<Value>> {
            let all = it.get(keyword)?.as_array()?;
            Some(all.iter().map(|it| plain(resolved(it, root))).collect())
        };
        let (old, new) = match (of(old, self.old_root), of(new, self.new_root)) {
            (Some(old), Some(new)) => (old, new),
            (None, None) => return,
            (None, Some(_)) => return self.add(Way::Less, at, &format!("has the alternatives of an `{keyword}` now")),
            (Some(_), None) => {
                return self.add(Way::More, at, &format!("has the alternatives of an `{keyword}` no longer"));
            }
        };
        let lost: Vec<&Value> = old.iter().filter(|it| !new.contains(it)).collect();
        let won: Vec<&Value> = new.iter().filter(|it| !old.contains(it)).collect();
        match (lost.as_slice(), won.as_slice()) {
            ([one], [other]) => self.schemas(one, other, at, depth),
            (lost, won) => {
                let (takes, may) = self.verbs();
                for it in lost {
                    self.add(Way::Less, at, &format!("no longer {takes} {}", shown(it)));
                }
                for it in won {
                    self.add(Way::More, at, &format!("{may} {} as well", shown(it)));
                }
            }
        }
    }
}

/// What the fields that are not named have to be.
fn additional(of: &Map<String, Value>) -> Option<&Value> {
    of.get("additionalProperties")
}

/// What a reference within the document points to; anything else as it is.
fn resolved<'v>(schema: &'v Value, root: &'v Value) -> &'v Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
        match target.and_then(|it| root.pointer(it)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// A schema without what is only said to people.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| !WORDS.contains(&name.as_str()));
            Value::Object(members.map(|(name, it)| (name.clone(), plain(it))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

fn shown(schema: &Value) -> String {
    match schema["type"].as_str() {
        Some(name) if schema.as_object().is_some_and(|it| it.len() == 1) => name.to_owned(),
        _ => schema.to_string(),
    }
}

fn below(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

const TYPES: [&str; 6] = ["null", "boolean", "object", "array", "number", "string"];

/// The types that are taken; an integer is a number.
fn types(of: &Map<String, Value>) -> BTreeSet<&str> {
    let named: BTreeSet<&str> = match of.get("type") {
        Some(Value::String(one)) => [one.as_str()].into(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => TYPES.into(),
    };
    let mut named = named;
    if named.contains("number") {
        named.insert("integer");
    }
    named
}

/// The values that are taken, where they are named.
fn values(of: &Map<String, Value>) -> Option<Vec<Value>> {
    match (of.get("const"), of.get("enum")) {
        (Some(one), _) => Some(vec![one.clone()]),
        (None, Some(Value::Array(all))) => Some(all.clone()),
        _ => None,
    }
}

fn fields(of: &Map<String, Value>) -> BTreeMap<String, &Value> {
    let fields = of.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten().map(|(name, it)| (name.clone(), it)).collect()
}

fn required(of: &Map<String, Value>) -> BTreeSet<String> {
    let required = of.get("required").and_then(Value::as_array);
    required.into_iter().flatten().filter_map(|it| Some(it.as_str()?.to_owned())).collect()
}
