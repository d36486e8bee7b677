//! An example of a JSON Schema: a value that satisfies it, always the same one.
//!
//! What a schema says by `const`, `default`, `examples` and `enum` is taken before anything is made up. Where a value
//! could be one thing or another, it is what lets others go on: `true`, one item, all optional fields.
//!
//! Pure, and bounded: a schema that refers to itself, or asks for a million items, gives no example.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Number, Value, json};

use crate::manifest::compile_schema;

/// How deep values are nested.
const DEPTH_MAX: usize = 12;

/// Values in one example, so that a small schema makes no large one.
const VALUES_MAX: usize = 2_000;

/// The longest text.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Makes an example; none if none is found that the schema accepts.
pub fn example(schema: &Value) -> Option<Value> {
    let validator = compile_schema(schema).ok()?;
    [true, false].into_iter().find_map(|optional| {
        let mut maker = Maker { root: schema, optional, left: VALUES_MAX };
        maker.make(schema, 0).filter(|it| validator.is_valid(it))
    })
}

struct Maker<'a> {
    root: &'a Value,
    /// Whether optional fields are made, too.
    optional: bool,
    left: usize,
}

impl Maker<'_> {
    fn make(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        let object = match schema {
            Value::Bool(true) => return Some(Value::Null),
            Value::Object(object) => self.whole(object, depth)?,
            _ => return None,
        };
        let given = [object.get("const"), object.get("default")].into_iter().flatten();
        let listed = ["examples", "enum"].into_iter().filter_map(|it| object.get(it)?.as_array()).flatten();
        let given = given.chain(listed).find(|it| self.accepts(&object, it)).cloned();
        if given.is_some() {
            return given;
        }
        for keyword in ["oneOf", "anyOf"] {
            let Some(options) = object.get(keyword).and_then(Value::as_array) else { continue };
            let mut base = object.clone();
            base.remove(keyword);
            let chosen = options.iter().find_map(|option| {
                let mut both = base.clone();
                merge(&mut both, option.as_object()?);
                let made = self.make(&Value::Object(both), depth + 1)?;
                // Nothing is the last that anybody wants.
                (!made.is_null() && self.accepts(&object, &made)).then_some(made)
            });
            return chosen.or_else(|| self.accepts(&object, &Value::Null).then_some(Value::Null));
        }
        match kind(&object) {
            "object" => self.object(&object, depth),
            "array" => self.array(&object, depth),
            "string" => text(&object),
            "integer" | "number" => number(&object),
            "boolean" => Some(Value::Bool(true)),
            _ => Some(Value::Null),
        }
    }

    /// With what it refers to and all that it has to satisfy in one.
    fn whole(&self, schema: &Map<String, Value>, depth: usize) -> Option<Map<String, Value>> {
        let mut whole = schema.clone();
        for _ in depth..=DEPTH_MAX {
            if let Some(Value::String(reference)) = whole.remove("$ref") {
                let pointer = reference.strip_prefix('#')?;
                merge(&mut whole, self.root.pointer(pointer)?.as_object()?);
            } else if let Some(Value::Array(all)) = whole.remove("allOf") {
                for part in &all {
                    merge(&mut whole, part.as_object()?);
                }
            } else {
                return Some(whole);
            }
        }
        None
    }

    /// Whether a value is what this part of the schema asks for; references lead into the whole.
    fn accepts(&self, part: &Map<String, Value>, value: &Value) -> bool {
        let mut part = part.clone();
        for definitions in ["$defs", "definitions"] {
            if let Some(it) = self.root.get(definitions) {
                part.entry(definitions).or_insert_with(|| it.clone());
            }
        }
        compile_schema(&Value::Object(part)).is_ok_and(|it| it.is_valid(value))
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let required: BTreeSet<&str> = list(schema, "required").filter_map(Value::as_str).collect();
        let mut made = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let is_required = required.contains(name.as_str());
            if !is_required && !self.optional {
                continue;
            }
            match self.make(property, depth + 1) {
                Some(value) => drop(made.insert(name.clone(), value)),
                None if is_required => return None,
                None => {}
            }
        }
        let other = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for name in required {
            if !made.contains_key(name) {
                made.insert(name.to_owned(), self.make(other, depth + 1)?);
            }
        }
        let fewest = schema.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
        let mut number = 0;
        while (made.len() as u64) < fewest {
            number += 1;
            made.insert(format!("dry-run-{number}"), self.make(other, depth + 1)?);
        }
        Some(Value::Object(made))
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let mut made = Vec::new();
        for first in list(schema, "prefixItems") {
            made.push(self.make(first, depth + 1)?);
        }
        let fewest = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let anything = json!({"type": "string"});
        let items = schema.get("items").or(schema.get("contains")).unwrap_or(&anything);
        while (made.len() as u64) < fewest.max(1).min(most) {
            match self.make(items, depth + 1) {
                Some(value) => made.push(value),
                None if made.len() as u64 >= fewest => break,
                None => return None,
            }
        }
        Some(Value::Array(made))
    }
}

fn list<'a>(schema: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

/// Adds what another schema asks for: fields of both, the narrower of two bounds.
fn merge(into: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (keyword, value) in other {
        let merged = match (keyword.as_str(), into.get(keyword), value) {
            (_, None, _) => value.clone(),
            ("properties", Some(Value::Object(here)), Value::Object(there)) => {
                let mut all = here.clone();
                for (name, property) in there {
                    let both = all.remove(name).map_or_else(|| property.clone(), |it| json!({"allOf": [it, property]}));
                    all.insert(name.clone(), both);
                }
                Value::Object(all)
            }
            ("required" | "allOf", Some(Value::Array(here)), Value::Array(there)) => {
                Value::Array(here.iter().chain(there).cloned().collect())
            }
            ("minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties", Some(here), _) => {
                if here.as_f64() < value.as_f64() { value.clone() } else { here.clone() }
            }
            ("maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties", Some(here), _) => {
                if here.as_f64() > value.as_f64() { value.clone() } else { here.clone() }
            }
            (_, Some(here), _) => here.clone(),
        };
        into.insert(keyword.clone(), merged);
    }
}

/// The type that is said, or else meant.
fn kind(schema: &Map<String, Value>) -> &str {
    const MEANT: [(&str, &[&str]); 4] = [
        ("object", &["properties", "required", "additionalProperties", "minProperties", "patternProperties"]),
        ("array", &["items", "prefixItems", "minItems", "contains", "uniqueItems"]),
        ("string", &["format", "pattern", "minLength", "maxLength"]),
        ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ];
    match schema.get("type") {
        Some(Value::String(it)) => it,
        Some(Value::Array(several)) => {
            let mut named = several.iter().filter_map(Value::as_str);
            named.find(|it| *it != "null").unwrap_or("null")
        }
        _ => MEANT
            .iter()
            .find_map(|(kind, keywords)| keywords.iter().any(|it| schema.contains_key(*it)).then_some(*kind))
            .unwrap_or("null"),
    }
}

fn text(schema: &Map<String, Value>) -> Option<Value> {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok());
    let shortest = bound("minLength").unwrap_or(0);
    if shortest > TEXT_BYTES_MAX {
        return None;
    }
    let format = schema.get("format").and_then(Value::as_str);
    // RFC 2606, 5737 and 3849 keep these names and addresses free of anybody.
    let of_format = format.and_then(|it| {
        Some(match it {
            "date-time" => "2000-01-01T00:00:00Z",
            "date" => "2000-01-01",
            "time" => "00:00:00Z",
            "duration" => "PT1S",
            "email" | "idn-email" => "dry-run@example.invalid",
            "hostname" | "idn-hostname" => "dry-run.invalid",
            "ipv4" => "192.0.2.1",
            "ipv6" => "2001:db8::1",
            "uri" | "iri" => "https://dry-run.invalid/",
            "uri-reference" | "iri-reference" => "/dry-run",
            "uuid" => "00000000-0000-4000-8000-000000000000",
            "json-pointer" => "/dry-run",
            _ => return None,
        })
    });
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let made = match (pattern, of_format) {
        (Some(pattern), _) => matching(pattern)?,
        (None, Some(text)) => text.to_owned(),
        (None, None) => {
            let text: String = "dry-run".chars().chain(std::iter::repeat('x')).take(shortest.max(7)).collect();
            text.chars().take(bound("maxLength").unwrap_or(usize::MAX)).collect()
        }
    };
    Some(Value::String(made))
}

/// A short text that matches a pattern; none for what cannot be told by making it, such as looking around.
fn matching(pattern: &str) -> Option<String> {
    let mut made = String::new();
    write(&regex_syntax::parse(pattern).ok()?, &mut made)?;
    Some(made)
}

fn write(hir: &Hir, made: &mut String) -> Option<()> {
    if made.len() > TEXT_BYTES_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => made.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => made.push(letter(class)?),
        HirKind::Repetition(repetition) => {
            // Once where that may be: names and numbers are rarely empty.
            let most = repetition.max.unwrap_or(u32::MAX);
            for _ in 0..repetition.min.max(1).min(most) {
                write(&repetition.sub, made)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, made)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|it| write(it, made))?,
        HirKind::Alternation(options) => write(options.first()?, made)?,
    }
    Some(())
}

/// The letter of a class that reads best.
fn letter(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.iter().map(|it| (it.start(), it.end())).collect(),
        Class::Bytes(class) => class.iter().map(|it| (it.start() as char, it.end() as char)).collect(),
    };
    let holds = |letter: char| ranges.iter().any(|(start, end)| (*start..=*end).contains(&letter));
    let liked = ('a'..='z').chain('0'..='9').chain('A'..='Z').find(|it| holds(*it));
    liked.or_else(|| ranges.first().map(|it| it.0))
}

fn number(schema: &Map<String, Value>) -> Option<Value> {
    let is_whole = kind(schema) == "integer";
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let step = bound("multipleOf").filter(|it| *it > 0.0);
    let unit = step.unwrap_or(1.0);
    let low = [bound("minimum"), bound("exclusiveMinimum").map(|it| it + if is_whole { 1.0 } else { unit.min(0.5) })];
    let high = [bound("maximum"), bound("exclusiveMaximum").map(|it| it - if is_whole { 1.0 } else { unit.min(0.5) })];
    let low = low.into_iter().flatten().reduce(f64::max);
    let high = high.into_iter().flatten().reduce(f64::min);
    let mut made = 1.0_f64.max(low.unwrap_or(f64::MIN)).min(high.unwrap_or(f64::MAX));
    if is_whole || step.is_some() {
        let count = made / unit;
        // Towards the bound that there is room to.
        made = unit * if low.is_some_and(|it| count.floor() * unit < it) { count.ceil() } else { count.floor() };
        if step.is_some() && made == 0.0 && low.is_none_or(|it| it <= unit) && high.is_none_or(|it| unit <= it) {
            made = unit;
        }
    }
    if made.fract() == 0.0 && made.abs() < 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 53 bits")]
        return Some(Value::Number((made as i64).into()));
    }
    Number::from_f64(made).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema that has an example gives one that it accepts; that is checked by making it.
    fn check(schema: Value, expected: Value) {
        assert_eq!(example(&schema), Some(expected), "{schema}");
    }

    #[test]
    fn what_the_schema_says_comes_first() {
        check(json!({"const": 7}), json!(7));
        check(json!({"type": "string", "default": "main", "enum": ["dev", "main"]}), json!("main"));
        check(json!({"type": "string", "examples": [3, "seen"], "default": 4}), json!("seen"));
        check(json!({"enum": ["queued", "done"]}), json!("queued"));
        check(json!({"type": "string", "enum": [null, "b"]}), json!("b"));
        check(json!(true), json!(null));
        check(json!({}), json!(null));
    }

    #[test]
    fn types_bounds_and_formats_are_honoured() {
        check(json!({"type": "boolean"}), json!(true));
        check(json!({"type": "integer"}), json!(1));
        check(json!({"type": "integer", "minimum": 5, "multipleOf": 4}), json!(8));
        check(json!({"type": "integer", "exclusiveMaximum": 0}), json!(-1));
        check(json!({"type": "number", "minimum": 0.25, "maximum": 0.5}), json!(0.5));
        check(json!({"type": ["null", "integer"]}), json!(1));
        check(json!({"type": "string", "minLength": 9}), json!("dry-runxx"));
        check(json!({"type": "string", "maxLength": 3}), json!("dry"));
        check(json!({"type": "string", "format": "date-time"}), json!("2000-01-01T00:00:00Z"));
        check(json!({"type": "string", "format": "uri"}), json!("https://dry-run.invalid/"));
        check(json!({"type": "string", "pattern": "^sha256:[0-9a-f]{4}$"}), json!("sha256:aaaa"));
        check(json!({"type": "string", "pattern": r"^CHG\d+(-(a|b))?$"}), json!("CHG0-a"));
        check(json!({"minLength": 2}), json!("dry-run"));
    }

    #[test]
    fn objects_have_all_fields_and_arrays_an_item() {
        check(
            json!({
                "type": "object", "required": ["number", "more"],
                "properties": {"number": {"type": "integer"}, "url": {"type": "string", "format": "uri"}},
            }),
            json!({"number": 1, "url": "https://dry-run.invalid/", "more": null}),
        );
        check(json!({"type": "array", "items": {"type": "integer"}}), json!([1]));
        check(json!({"type": "array", "items": {"type": "integer"}, "maxItems": 0}), json!([]));
        check(json!({"type": "array", "minItems": 2, "prefixItems": [{"const": "a"}]}), json!(["a", "dry-run"]));
        check(json!({"type": "object", "minProperties": 1}), json!({"dry-run-1": null}));
    }

    #[test]
    fn schemas_are_followed_where_they_lead() {
        check(
            json!({
                "$ref": "#/$defs/build",
                "$defs": {"build": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}, "n": {"type": "integer"}},
            }),
            json!({"n": 1}),
        );
        check(json!({"allOf": [{"type": "integer", "minimum": 3}, {"minimum": 7}]}), json!(7));
        check(json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), json!("dry-run"));
        check(json!({"oneOf": [{"type": "null"}]}), json!(null));
        check(
            json!({
                "type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"],
                "oneOf": [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}],
            }),
            json!({"kind": "a"}),
        );
        // A list of itself ends where it may.
        let tree = json!({
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}
            }}},
        });
        assert!(example(&tree).is_some_and(|it| it["name"] == "dry-run"));
    }

    #[test]
    fn what_has_no_example_gives_none() {
        for schema in [
            json!(false),
            json!({"type": "integer", "minimum": 2, "maximum": 1}),
            json!({"type": "string", "minLength": 10_000_000}),
            json!({"type": "array", "minItems": 1_000_000, "items": {"type": "integer"}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
            json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}),
            json!({"type": "string", "pattern": "(?=x)y"}),
            json!({"type": "nonsense"}),
            json!([]),
        ] {
            assert_eq!(example(&schema), None, "{schema}");
        }
    }
}
