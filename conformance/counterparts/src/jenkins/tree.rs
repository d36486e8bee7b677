//! The query parameter `tree` of Jenkins: `builds[number,url,actions[parameters[name,value]]]{0,50}`.
//!
//! `_class` is always there, and `*` stands for all fields, as in Jenkins.

use serde_json::{Map, Value};

/// How deep a tree may nest.
const DEPTH_MAX: usize = 32;

/// What to show of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree(Vec<Field>);

#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    inner: Option<Tree>,
    /// From and to, for a list.
    range: Option<(usize, Option<usize>)>,
}

impl Tree {
    /// Reads a tree, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Tree, String> {
        let mut reader = Reader { rest: text, depth: 0 };
        let tree = reader.fields()?;
        if reader.rest.is_empty() { Ok(tree) } else { Err(format!("unexpected `{}`", reader.rest)) }
    }

    /// Shows of `value` what the tree names.
    pub(crate) fn apply(&self, value: &Value) -> Value {
        match value {
            Value::Object(object) => Value::Object(self.pick(object)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.apply(item)).collect()),
            other => other.clone(),
        }
    }

    fn pick(&self, object: &Map<String, Value>) -> Map<String, Value> {
        let all = self.0.iter().any(|field| field.name == "*");
        let mut picked = Map::new();
        for (name, value) in object {
            let field = self.0.iter().find(|field| field.name == *name);
            let shown = match field {
                _ if name == "_class" => value.clone(),
                Some(field) => field.show(value),
                None if all => value.clone(),
                None => continue,
            };
            picked.insert(name.clone(), shown);
        }
        picked
    }
}

impl Field {
    fn show(&self, value: &Value) -> Value {
        let cut = match (value, self.range) {
            (Value::Array(items), Some((from, to))) => {
                let to = to.unwrap_or(items.len()).min(items.len());
                Value::Array(items.get(from.min(to)..to).unwrap_or_default().to_vec())
            }
            _ => value.clone(),
        };
        match &self.inner {
            Some(inner) => inner.apply(&cut),
            None => hollow(&cut),
        }
    }
}

/// A value named without brackets: of the objects in it only `_class` is shown.
fn hollow(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .iter()
                .filter(|(name, _)| *name == "_class")
                .map(|(name, class)| (name.clone(), class.clone()))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(hollow).collect()),
        other => other.clone(),
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn fields(&mut self) -> Result<Tree, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("nested too deep".to_owned());
        }
        let mut fields = vec![self.field()?];
        while self.eat(',') {
            fields.push(self.field()?);
        }
        self.depth -= 1;
        Ok(Tree(fields))
    }

    fn field(&mut self) -> Result<Field, String> {
        let end = self.rest.find(['[', ']', '{', '}', ',']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let name = name.trim();
        if name.is_empty() {
            return Err("a field without a name".to_owned());
        }
        let inner = if self.eat('[') {
            let inner = self.fields()?;
            if !self.eat(']') {
                return Err(format!("`{name}[` is not closed"));
            }
            Some(inner)
        } else {
            None
        };
        let range = if self.eat('{') { Some(self.range()?) } else { None };
        Ok(Field { name: name.to_owned(), inner, range })
    }

    /// `{a,b}`, `{a,}`, `{,b}` or `{n}`.
    fn range(&mut self) -> Result<(usize, Option<usize>), String> {
        let (inside, rest) = self.rest.split_once('}').ok_or("a range is not closed")?;
        self.rest = rest;
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("`{text}` is no number in a range"));
        match inside.split_once(',') {
            None => number(inside).map(|at| (at, Some(at.saturating_add(1)))),
            Some((from, to)) => {
                let from = if from.trim().is_empty() { 0 } else { number(from)? };
                let to = if to.trim().is_empty() { None } else { Some(number(to)?) };
                Ok((from, to))
            }
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_shows_what_it_names() {
        let value = json!({
            "_class": "Job", "name": "a", "color": "blue",
            "builds": [
                { "_class": "Run", "number": 3, "url": "u3", "actions": [{ "_class": "P", "parameters": [{ "name": "K", "value": "v", "x": 1 }] }] },
                { "_class": "Run", "number": 2, "url": "u2", "actions": [] },
                { "_class": "Run", "number": 1, "url": "u1", "actions": [] },
            ],
        });
        let cases = [
            ("name", json!({ "_class": "Job", "name": "a" })),
            (
                "builds[number]{1,3}",
                json!({ "_class": "Job", "builds": [{ "_class": "Run", "number": 2 }, { "_class": "Run", "number": 1 }] }),
            ),
            (
                "builds[actions[parameters[name,value]]]{0,1}",
                json!({ "_class": "Job", "builds": [{ "_class": "Run", "actions": [{ "_class": "P", "parameters": [{ "name": "K", "value": "v" }] }] }] }),
            ),
            ("builds{5,9},color", json!({ "_class": "Job", "builds": [], "color": "blue" })),
            ("builds{0}", json!({ "_class": "Job", "builds": [{ "_class": "Run" }] })),
        ];
        for (tree, expected) in cases {
            let tree = Tree::parse(tree).expect("a tree");
            assert_eq!(tree.apply(&value), expected, "{tree:?}");
        }
    }

    #[test]
    fn broken_trees_are_refused() {
        for text in ["", "a[", "a[b", "a]", "a{1", "a{x}", ",a", &"a[".repeat(200)] {
            assert!(Tree::parse(text).is_err(), "{text}");
        }
    }
}
