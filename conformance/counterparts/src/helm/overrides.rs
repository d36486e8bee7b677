//! `--set a.b=c,d={1,2}` and its relatives, and laying values over one another.

use serde_json::{Map, Value};

/// How the text after `=` becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// `--set`: numbers, truth values and null are recognised.
    Typed,
    /// `--set-string`.
    Text,
}

/// Lays `over` over `under`, map by map; a null takes a value away.
pub(crate) fn overlay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                match under.get_mut(name) {
                    _ if value.is_null() => {
                        under.remove(name);
                    }
                    Some(inner) => overlay(inner, value),
                    None => {
                        under.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// Applies one `--set` or `--set-string`.
pub(crate) fn set(values: &mut Value, text: &str, reading: Reading) -> Result<(), String> {
    for assignment in cut(text, ',') {
        let (path, given) = assignment
            .split_once('=')
            .ok_or_else(|| format!("failed parsing --set data: key {assignment:?} has no value"))?;
        let value = match given.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            Some("") => Value::Array(Vec::new()),
            Some(list) => Value::Array(cut(list, ',').iter().map(|it| read(&unescape(it), reading)).collect()),
            None => read(&unescape(given), reading),
        };
        put(values, path, value)?;
    }
    Ok(())
}

/// Applies one `--set-json`: `path=JSON`, or a whole object.
pub(crate) fn set_json(values: &mut Value, text: &str) -> Result<(), String> {
    let failed = |error: serde_json::Error| format!("failed parsing --set-json data {text}: {error}");
    if text.trim_start().starts_with('{') {
        let over: Map<String, Value> = serde_json::from_str(text).map_err(failed)?;
        overlay(values, &Value::Object(over));
        return Ok(());
    }
    let (path, json) = text.split_once('=').ok_or_else(|| format!("failed parsing --set-json data: {text}"))?;
    put(values, path, serde_json::from_str(json).map_err(failed)?)
}

fn put(values: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.contains('[') {
        return Err(format!("the stand-in cannot set by index: {path}"));
    }
    let mut place = values;
    for part in cut(path, '.') {
        let name = unescape(&part);
        if name.is_empty() {
            return Err(format!("failed parsing --set data: empty key in {path:?}"));
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return Err(format!("cannot set {path}")) };
        place = map.entry(name).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

fn read(text: &str, reading: Reading) -> Value {
    if reading == Reading::Text {
        return Value::String(text.to_owned());
    }
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "0" => Value::from(0),
        // As in helm, a number with a leading zero is text.
        _ if text.starts_with('0') => Value::String(text.to_owned()),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    }
}

/// Cuts at a separator which is neither escaped nor inside braces.
fn cut(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = parts.len() - 1;
        match letter {
            '\\' => {
                parts[last].push('\\');
                parts[last].extend(letters.next());
            }
            _ if letter == separator && depth == 0 => parts.push(String::new()),
            _ => {
                match letter {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                parts[last].push(letter);
            }
        }
    }
    parts
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            plain.extend(letters.next());
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn set_reads_as_helm_does() {
        let cases = [
            ("a=1", json!({ "a": 1 })),
            ("a.b=true,c=x", json!({ "a": { "b": true }, "c": "x" })),
            (r"a\.b=1\,2", json!({ "a.b": "1,2" })),
            ("a={x,2}", json!({ "a": ["x", 2] })),
            ("a=007", json!({ "a": "007" })),
            ("a=", json!({ "a": "" })),
            ("a=null", json!({ "a": null })),
            ("a=b=c", json!({ "a": "b=c" })),
        ];
        for (text, expected) in cases {
            let mut values = json!({});
            set(&mut values, text, Reading::Typed).expect("a value");
            assert_eq!(values, expected, "{text}");
        }
        for text in ["a", "=1", "a[0]=1"] {
            assert!(set(&mut json!({}), text, Reading::Typed).is_err(), "{text}");
        }
        let mut values = json!({});
        set(&mut values, "a=1", Reading::Text).expect("a value");
        assert_eq!(values, json!({ "a": "1" }));
    }

    #[test]
    fn overlays_go_map_by_map() {
        let mut under = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        overlay(&mut under, &json!({ "a": { "b": null, "e": 3 }, "d": [2] }));
        assert_eq!(under, json!({ "a": { "c": 2, "e": 3 }, "d": [2] }));
    }
}
