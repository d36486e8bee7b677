//! Why an expression has no value, in words that are short and always the same: what comes of the library holds whole
//! values, with their fields in any order.

use cel::{ExecutionError, Value};

use super::kind_of;

/// How much of a text or a number is told.
const LETTERS_MAX: usize = 80;

pub(super) fn said(error: &ExecutionError) -> String {
    use ExecutionError as E;
    match error {
        E::UnsupportedTargetType { target } => format!("Invalid argument type: {}", shown(target)),
        E::NotSupportedAsMethod { method, target } => {
            format!("Method '{method}' not supported on {}", shown(target))
        }
        E::UnsupportedKeyType(value) => format!("Unable to use {} as a key", shown(value)),
        E::ValuesNotComparable(one, other) => format!("{} can not be compared to {}", shown(one), shown(other)),
        E::UnsupportedBinaryOperator(operator, one, other) => {
            format!("Unsupported binary operator '{operator}': {}, {}", shown(one), shown(other))
        }
        E::UnsupportedIndex(value, of) => format!("Cannot use {} to index {}", shown(value), shown(of)),
        E::DivisionByZero(value) => format!("Division by zero of {}", shown(value)),
        E::RemainderByZero(value) => format!("Remainder by zero of {}", shown(value)),
        E::Overflow(operator, one, other) => {
            format!("Overflow from binary operator '{operator}': {}, {}", shown(one), shown(other))
        }
        E::IndexOutOfBounds(value) => format!("Index out of bounds: {}", shown(value)),
        E::DuplicateKey(value) => format!("Failed with repeated key: {}", shown(value)),
        other => other.to_string(),
    }
}

/// `a list`, `"text"`, `7`
fn shown(value: &Value) -> String {
    match value.json() {
        Ok(value @ (serde_json::Value::Array(_) | serde_json::Value::Object(_))) => kind_of(&value).to_owned(),
        Ok(value) => value.to_string().chars().take(LETTERS_MAX).collect(),
        Err(_) => "a value".to_owned(),
    }
}
