//! Functions over lists that CEL lacks, for joining the outputs of many items: `sum`, `min`, `max`, `flatten`.
//!
//! `null` in a list – an item that failed and was allowed to – is passed over.

use std::sync::Arc;

use cel::{Context, ExecutionError, Value};

/// Their names.
pub(crate) const NAMES: [&str; 4] = ["sum", "min", "max", "flatten"];

type List = Arc<Vec<Value>>;

/// Makes them known where an expression is evaluated.
pub(super) fn add(context: &mut Context<'_, '_>) {
    // The names are none of the standard library's, so adding them cannot be refused; a test calls each.
    let _ = context.add_function("sum", sum);
    let _ = context.add_function("min", |list: List| extreme("min", &list, std::cmp::Ordering::Less));
    let _ = context.add_function("max", |list: List| extreme("max", &list, std::cmp::Ordering::Greater));
    let _ = context.add_function("flatten", flatten);
}

fn refuse(function: &str, message: &str) -> ExecutionError {
    ExecutionError::function_error(function, message)
}

fn items(list: &List) -> impl Iterator<Item = &Value> {
    list.iter().filter(|it| !matches!(it, Value::Null))
}

/// The sum of whole numbers, or of fractions; 0 for an empty list.
fn sum(list: List) -> Result<Value, ExecutionError> {
    let mut whole: i64 = 0;
    let mut fractions: Option<f64> = None;
    for item in items(&list) {
        match item {
            Value::Int(it) => whole = whole.checked_add(*it).ok_or_else(|| refuse("sum", "the sum is too large"))?,
            Value::UInt(it) => {
                let it = i64::try_from(*it).map_err(|_| refuse("sum", "the sum is too large"))?;
                whole = whole.checked_add(it).ok_or_else(|| refuse("sum", "the sum is too large"))?;
            }
            Value::Float(it) => fractions = Some(fractions.unwrap_or_default() + it),
            _ => return Err(refuse("sum", "it takes a list of numbers")),
        }
    }
    Ok(fractions.map_or(Value::Int(whole), |it| Value::Float(it + whole as f64)))
}

/// The least or the greatest of a list that holds something.
fn extreme(function: &str, list: &List, wanted: std::cmp::Ordering) -> Result<Value, ExecutionError> {
    let mut best: Option<&Value> = None;
    for item in items(list) {
        let is_better = match best {
            None => true,
            Some(best) => {
                item.partial_cmp(best).ok_or_else(|| refuse(function, "these cannot be put in an order"))? == wanted
            }
        };
        if is_better {
            best = Some(item);
        }
    }
    best.cloned().ok_or_else(|| refuse(function, "the list is empty"))
}

/// A list of lists as one list.
fn flatten(list: List) -> Result<Value, ExecutionError> {
    let mut flat = Vec::new();
    for item in items(&list) {
        match item {
            Value::List(inner) => flat.extend(inner.iter().cloned()),
            _ => return Err(refuse("flatten", "it takes a list of lists")),
        }
    }
    Ok(Value::List(Arc::new(flat)))
}
