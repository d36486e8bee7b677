//! Running a step once for each item of a list: what the items are, how many run side by side, and how
//! many may fail.
//!
//! **Invariant:** items are counted from 1, and the `n`-th run of step `test` is called `test.n` everywhere.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::expression::{EvaluationError, Scope, kind_of};
use crate::template::Template;

/// The most items of one step.
pub const ITEMS_MAX: usize = 1000;

/// That a step runs once for each item of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// The items.
    pub items: Items,
    /// How many run side by side; all of them when it is not given.
    pub max_parallel: Option<u32>,
    /// Whether nothing more starts once an item has failed for good.
    pub fail_fast: bool,
    /// How many items may fail without the step failing.
    pub failures_allowed: Allowance,
    /// What the step gives, made of the items' outputs; the list of them when it is not given.
    pub reduce: Option<Template>,
}

/// What a step runs once for each of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Items {
    /// A list.
    List(Template),
    /// Every combination of some values, the last axis turning fastest.
    Matrix {
        /// The axes, in the order of the file.
        axes: Vec<Axis>,
        /// Combinations that are left out: those that hold all of these values.
        exclude: Vec<Map<String, Value>>,
        /// Items beside the combinations.
        include: Vec<Map<String, Value>>,
    },
}

/// One axis of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Its name: a field of `each.value`.
    pub name: String,
    /// Its values, a list.
    pub values: Template,
}

/// How many may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// So many.
    Count(u32),
    /// Such a part of all, in hundredths, rounded down.
    Percent(u32),
}

impl Allowance {
    /// Nothing may fail.
    pub const NONE: Self = Self::Count(0);

    /// How many of `count`.
    pub fn of(self, count: usize) -> usize {
        match self {
            Self::Count(it) => it as usize,
            Self::Percent(it) => count * it as usize / 100,
        }
    }
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(it) => write!(f, "{it}"),
            Self::Percent(it) => write!(f, "{it} %"),
        }
    }
}

/// Why there are no items.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoItems {
    /// An expression has no value.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// What should be a list is none.
    #[error("{what} is to be a list, and is {kind}")]
    NotAList {
        /// `for_each`, or an axis.
        what: String,
        /// What it is.
        kind: &'static str,
    },
    /// There are too many.
    #[error("`for_each` gives {0} items; {ITEMS_MAX} are the most")]
    TooMany(usize),
}

impl ForEach {
    /// What a step given as a list and nothing else runs for.
    pub fn of(items: Items) -> Self {
        Self { items, max_parallel: None, fail_fast: true, failures_allowed: Allowance::NONE, reduce: None }
    }

    /// The items, as things stand.
    pub fn resolve(&self, scope: &Scope<'_>) -> Result<Vec<Value>, NoItems> {
        let items = match &self.items {
            Items::List(template) => list(template, scope, "`for_each`")?,
            Items::Matrix { axes, exclude, include } => {
                let mut values = Vec::new();
                for axis in axes {
                    let of = list(&axis.values, scope, &format!("the axis `{}`", axis.name))?;
                    values.push((axis.name.as_str(), of));
                }
                let combinations = values.iter().fold(1_usize, |count, (_, it)| count.saturating_mul(it.len()));
                if combinations.saturating_add(include.len()) > ITEMS_MAX * 10 {
                    return Err(NoItems::TooMany(combinations));
                }
                matrix(&values, exclude, include)
            }
        };
        if items.len() > ITEMS_MAX { Err(NoItems::TooMany(items.len())) } else { Ok(items) }
    }

    /// Every expression in it that is evaluated before the items run.
    pub fn templates(&self) -> Vec<&Template> {
        match &self.items {
            Items::List(it) => vec![it],
            Items::Matrix { axes, .. } => axes.iter().map(|it| &it.values).collect(),
        }
    }
}

/// What expressions of an item's run see as `each`.
pub fn each(value: &Value, number: usize, count: usize) -> Value {
    json!({ "value": value, "number": number, "count": count })
}

fn list(template: &Template, scope: &Scope<'_>, what: &str) -> Result<Vec<Value>, NoItems> {
    match template.evaluate(scope)? {
        Value::Array(items) => Ok(items),
        other => Err(NoItems::NotAList { what: what.to_owned(), kind: kind_of(&other) }),
    }
}

fn matrix(axes: &[(&str, Vec<Value>)], exclude: &[Map<String, Value>], include: &[Map<String, Value>]) -> Vec<Value> {
    let mut items = vec![Map::new()];
    for (name, values) in axes {
        let longer = items.iter().flat_map(|item| {
            values.iter().map(move |value| {
                let mut item = item.clone();
                item.insert((*name).to_owned(), value.clone());
                item
            })
        });
        items = longer.collect();
    }
    if axes.is_empty() {
        items.clear();
    }
    let is_left_out = |item: &Map<String, Value>| {
        exclude.iter().any(|it| it.iter().all(|(name, value)| item.get(name) == Some(value)))
    };
    items.retain(|item| !is_left_out(item));
    items.extend(include.iter().cloned());
    items.into_iter().map(Value::Object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(items: Items) -> Result<Vec<Value>, NoItems> {
        let parameters = json!({ "regions": ["eu", "us"], "region": "eu" });
        let scope = Scope::new(&parameters, &Value::Null, &|_| None);
        ForEach::of(items).resolve(&scope)
    }

    fn template(value: Value) -> Template {
        Template::parse(&value).expect("a template")
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn a_list_may_come_from_anywhere_but_is_a_list() {
        assert_eq!(
            resolve(Items::List(template(json!("${{ parameters.regions }}")))),
            Ok(vec![json!("eu"), json!("us")])
        );
        assert_eq!(
            resolve(Items::List(template(json!([1, "${{ parameters.region }}"])))),
            Ok(vec![json!(1), json!("eu")])
        );
        let error = resolve(Items::List(template(json!("${{ parameters.region }}")))).expect_err("no list");
        assert_eq!(error.to_string(), "`for_each` is to be a list, and is a text");
    }

    #[test]
    fn a_matrix_is_every_combination_without_those_left_out() {
        let axis = |name: &str, values| Axis { name: name.to_owned(), values: template(values) };
        let items = resolve(Items::Matrix {
            axes: vec![axis("os", json!(["linux", "mac"])), axis("region", json!("${{ parameters.regions }}"))],
            exclude: vec![object(json!({"os": "mac", "region": "us"}))],
            include: vec![object(json!({"os": "windows"}))],
        });
        let expected = json!([
            {"os": "linux", "region": "eu"}, {"os": "linux", "region": "us"}, {"os": "mac", "region": "eu"}, {"os": "windows"}
        ]);
        assert_eq!(items.map(Value::Array), Ok(expected));
    }

    #[test]
    fn too_many_items_are_refused_before_they_are_made() {
        let axis = |name: &str| Axis { name: name.to_owned(), values: template(json!((0..1000).collect::<Vec<_>>())) };
        let axes = ["a", "b", "c", "d", "e", "f", "g"].map(axis).to_vec();
        let items = Items::Matrix { axes, exclude: Vec::new(), include: Vec::new() };
        assert!(matches!(resolve(items), Err(NoItems::TooMany(_))));
    }

    #[test]
    fn a_part_of_all_is_rounded_down() {
        assert_eq!([0, 9, 10, 19, 20].map(|it| Allowance::Percent(10).of(it)), [0, 0, 1, 1, 2]);
        assert_eq!(Allowance::Count(3).of(1), 3);
    }
}
