//! What a JSON Schema can cost: how many of its parts are held against one value at most.
//!
//! A schema that combines parts which combine parts (`allOf` of `allOf`, `unevaluatedProperties` in
//! `unevaluatedProperties`) takes time that doubles with each level; a few hundred bytes of it would occupy a
//! processor for years, and no limit of the sandbox ends that, for it is the host that checks. So what it could cost is
//! known before: the parts that apply at one place are summed up along the deepest value that JSON may have here.
//!
//! **Invariant:** what is counted is never less than what is evaluated; every way in which a part can come to be
//! applied is followed, or the schema is refused.

use std::collections::HashMap;

use serde_json::Value;

/// What a schema may cost.
pub const SCHEMA_COST_MAX: u64 = 100_000;

/// Parts of a schema.
const PARTS_MAX: usize = 20_000;

/// How deep a value may be nested; what reads JSON here goes no deeper.
const VALUE_DEPTH_MAX: usize = 128;

/// Parts that are applied at the same place of the value.
const HERE: [&str; 4] = ["not", "if", "then", "else"];
const HERE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const HERE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];

/// Parts that are applied to what other parts of the schema are not applied to.
const REST_OF_OBJECT: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
const REST_OF_LIST: [&str; 3] = ["items", "additionalItems", "unevaluatedItems"];

#[derive(Default)]
struct Part {
    own: u64,
    here: Vec<usize>,
    /// A value is an object or a list.
    object: Inside,
    list: Inside,
    /// What was applied here is applied again to find out what is left over.
    twice: bool,
}

/// Parts that are applied to one thing in a value.
#[derive(Default)]
struct Inside {
    /// At most one of these.
    one: Vec<usize>,
    /// All of these.
    all: Vec<usize>,
}

impl Inside {
    fn cost(&self, of: &[u64]) -> u64 {
        let one = self.one.iter().map(|&it| of[it]).max().unwrap_or(0);
        self.all.iter().map(|&it| of[it]).fold(one, u64::saturating_add)
    }
}

/// What the schema can cost, for each thing in a value.
///
/// # Errors
///
/// When it is more than [`SCHEMA_COST_MAX`], or cannot be told.
pub fn cost(schema: &Value) -> Result<u64, String> {
    let parts = parts(schema)?;
    let order = order(&parts)?;
    let mut deeper = vec![0_u64; parts.len()];
    for depth in 0..=VALUE_DEPTH_MAX {
        let mut costs = vec![0_u64; parts.len()];
        for &index in &order {
            let part = &parts[index];
            let here = part.here.iter().map(|&it| costs[it]).fold(part.own, u64::saturating_add);
            let once = here.saturating_add(part.object.cost(&deeper).max(part.list.cost(&deeper)));
            costs[index] = if part.twice { once.saturating_mul(2) } else { once };
        }
        if costs[0] > SCHEMA_COST_MAX {
            return Err(format!(
                "it combines so many parts that checking one value can take more than {SCHEMA_COST_MAX} steps, {depth} levels deep: combine fewer with `allOf`, `anyOf`, `oneOf`, `$ref` and `unevaluated…`"
            ));
        }
        if costs == deeper {
            break;
        }
        deeper = costs;
    }
    Ok(deeper[0])
}

/// The parts of a schema that can be applied, the whole first.
fn parts(root: &Value) -> Result<Vec<Part>, String> {
    let mut known: HashMap<*const Value, usize> = HashMap::from([(std::ptr::from_ref(root), 0)]);
    let mut nodes = vec![root];
    let mut parts = Vec::new();
    while let Some(&node) = nodes.get(parts.len()) {
        let mut index_of = |it| {
            *known.entry(std::ptr::from_ref(it)).or_insert_with(|| {
                nodes.push(it);
                nodes.len() - 1
            })
        };
        let mut part = Part { own: 1, ..Part::default() };
        if let Value::Object(keywords) = node {
            for (keyword, value) in keywords {
                part.own += 1 + (value.as_array().map_or(0, Vec::len) / 8) as u64;
                let (name, members) = (keyword.as_str(), value.as_object());
                if HERE.contains(&name) {
                    part.here.push(index_of(value));
                } else if HERE_LISTS.contains(&name) {
                    part.here.extend(value.as_array().into_iter().flatten().map(&mut index_of));
                } else if HERE_MAPS.contains(&name) {
                    part.here.extend(members.into_iter().flat_map(|it| it.values()).map(&mut index_of));
                } else if REST_OF_OBJECT.contains(&name) {
                    part.object.one.push(index_of(value));
                } else if name == "properties" {
                    part.object.one.extend(members.into_iter().flat_map(|it| it.values()).map(&mut index_of));
                } else if name == "patternProperties" {
                    part.object.all.extend(members.into_iter().flat_map(|it| it.values()).map(&mut index_of));
                } else if name == "propertyNames" {
                    part.object.all.push(index_of(value));
                } else if REST_OF_LIST.contains(&name) {
                    part.list.one.push(index_of(value));
                } else if name == "prefixItems" {
                    part.list.one.extend(value.as_array().into_iter().flatten().map(&mut index_of));
                } else if name == "contains" {
                    part.list.all.push(index_of(value));
                } else if name == "$ref" {
                    part.here.push(index_of(referenced(root, value)?));
                } else if name == "$dynamicRef" || name == "$recursiveRef" {
                    return Err(format!("`{name}` is not understood here: use `$ref`"));
                } else if name == "$id" && !parts.is_empty() {
                    return Err("`$id` can only stand at the top".to_owned());
                }
                part.twice |= name.starts_with("unevaluated");
            }
        }
        parts.push(part);
        if nodes.len() > PARTS_MAX {
            return Err(format!("it has more than {PARTS_MAX} parts"));
        }
    }
    Ok(parts)
}

fn referenced<'s>(root: &'s Value, reference: &Value) -> Result<&'s Value, String> {
    let text = reference.as_str().unwrap_or_default();
    let plain = text.strip_prefix('#').filter(|it| (it.is_empty() || it.starts_with('/')) && !it.contains('%'));
    let Some(pointer) = plain else {
        return Err(format!("the reference `{text}` is not followed: only those within the schema are, `#/$defs/…`"));
    };
    root.pointer(pointer).ok_or_else(|| format!("the reference `{text}` leads nowhere"))
}

/// Each part after those that are applied at the same place.
fn order(parts: &[Part]) -> Result<Vec<usize>, String> {
    let mut open: Vec<usize> = parts.iter().map(|it| it.here.len()).collect();
    let mut users = vec![Vec::new(); parts.len()];
    for (index, part) in parts.iter().enumerate() {
        for &it in &part.here {
            users[it].push(index);
        }
    }
    let mut order: Vec<usize> = (0..parts.len()).filter(|&it| open[it] == 0).collect();
    let mut at = 0;
    while let Some(&part) = order.get(at) {
        at += 1;
        for &user in &users[part] {
            open[user] -= 1;
            if open[user] == 0 {
                order.push(user);
            }
        }
    }
    if order.len() < parts.len() {
        return Err("a reference in it leads back to itself without going deeper into the value".to_owned());
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Definitions of which each combines the next one twice.
    fn doubling(levels: usize, keyword: &str) -> Value {
        let mut definitions = serde_json::Map::from_iter([(format!("a{levels}"), json!({"minimum": 0}))]);
        for level in 0..levels {
            let next = json!({"$ref": format!("#/$defs/a{}", level + 1)});
            definitions.insert(format!("a{level}"), json!({keyword: [next.clone(), next]}));
        }
        json!({"$ref": "#/$defs/a0", "$defs": definitions})
    }

    fn check(schema: &Value, expected: Result<std::ops::RangeInclusive<u64>, &str>) {
        match (cost(schema), expected) {
            (Ok(cost), Ok(range)) => assert!(range.contains(&cost), "{cost}: {schema}"),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}: {schema}"),
            (found, expected) => panic!("{found:?}, not {expected:?}: {schema}"),
        }
    }

    #[test]
    fn what_doubles_is_refused_before_it_is_evaluated() {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            check(&doubling(8, keyword), Ok(256..=4096));
            check(&doubling(40, keyword), Err("more than 100000 steps"));
            check(&doubling(5000, keyword), Err("more than 100000 steps"));
        }
        let mut left_over = json!({"unevaluatedProperties": false});
        for _ in 0..40 {
            left_over = json!({"unevaluatedProperties": false, "allOf": [left_over]});
        }
        check(&left_over, Err("more than 100000 steps"));
        let recursive = json!({"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]});
        check(&recursive, Err("more than 100000 steps"));
        let patterns = json!({"patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        check(&patterns, Err("more than 100000 steps"));
    }

    #[test]
    fn what_schemas_are_usually_like_costs_little() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "name": {"type": "string"}}, "items": {"$ref": "#"}});
        check(&json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}), Ok(100..=1000));
        check(&tree, Ok(100..=1000));
        check(&json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}}), Ok(100..=1000));
        check(&json!(true), Ok(1..=1));
        check(&json!({}), Ok(1..=1));
        let wide: serde_json::Map<String, Value> =
            (0..1000).map(|it| (format!("p{it}"), json!({"properties": {"x": {"type": "string"}}}))).collect();
        check(&json!({"properties": wide}), Ok(5..=20));
    }

    #[test]
    fn references_that_cannot_be_followed_are_refused() {
        check(&json!({"$ref": "#"}), Err("leads back to itself"));
        check(&json!({"$ref": "#/$defs/x"}), Err("leads nowhere"));
        check(&json!({"$ref": "file:///etc/passwd"}), Err("only those within the schema"));
        check(&json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}), Err("only those within the schema"));
        check(&json!({"$dynamicRef": "#x"}), Err("`$dynamicRef` is not understood"));
        check(&json!({"items": {"$id": "x"}}), Err("only stand at the top"));
        check(&json!({"$id": "https://example.com/x"}), Ok(1..=3));
        let many: Vec<Value> = (0..30_000).map(|it| json!({"const": it})).collect();
        check(&json!({"anyOf": many}), Err("more than 20000 parts"));
    }
}
