//! Inputs beside the one of a case: what its schema refuses, and what it accepts though nobody would write it.

use serde_json::{Map, Value, json};
use windlass_model::manifest::compile_schema;

/// An input that differs from the case's in one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variant {
    /// What is other.
    pub(crate) what: String,
    /// The input.
    pub(crate) input: Value,
    /// Whether the action's schema accepts it.
    pub(crate) accepted: bool,
}

/// All of them: no object, one property left out, one of another type, one that is too much.
pub(crate) fn variants(schema: &Value, input: &Value) -> Vec<Variant> {
    let Ok(compiled) = compile_schema(schema) else { return Vec::new() };
    let mut found = vec![("the input is a list".to_owned(), json!([]))];
    if let Value::Object(fields) = input {
        let changed = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut fields = fields.clone();
            change(&mut fields);
            Value::Object(fields)
        };
        found.push((
            "a property that nobody knows".to_owned(),
            changed(&|it| {
                it.insert("certify-unknown".to_owned(), json!(1));
            }),
        ));
        for name in fields.keys() {
            found.push((
                format!("without `{name}`"),
                changed(&|it| {
                    it.remove(name);
                }),
            ));
        }
        let declared = schema.pointer("/properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let mut names: Vec<&String> = fields.keys().chain(declared).collect();
        names.sort();
        names.dedup();
        for name in names {
            for odd in [json!({ "certify": [true] }), json!(""), json!(-1), Value::Null] {
                found.push((
                    format!("`{name}` is {odd}"),
                    changed(&|it| {
                        it.insert(name.clone(), odd.clone());
                    }),
                ));
            }
        }
    }
    let judged = found.into_iter().map(|(what, input)| Variant { accepted: compiled.is_valid(&input), what, input });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_told_apart_by_the_schema() {
        let schema = json!({ "type": "object", "required": ["title"], "additionalProperties": false,
            "properties": { "title": { "type": "string", "minLength": 1 }, "n": { "type": "integer" } } });
        let variants = variants(&schema, &json!({ "title": "a" }));
        let accepted: Vec<&str> = variants.iter().filter(|it| it.accepted).map(|it| it.what.as_str()).collect();
        assert_eq!(accepted, ["`n` is -1"]);
        assert!(variants.iter().any(|it| it.what == "without `title`" && !it.accepted));
    }

    #[test]
    fn a_schema_that_accepts_all_refuses_nothing() {
        assert!(variants(&json!({}), &json!({ "title": "a" })).iter().all(|it| it.accepted));
    }
}
