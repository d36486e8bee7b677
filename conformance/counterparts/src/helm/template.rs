//! A small part of Go templates: fields of `.Values`, `.Release` and `.Chart`, literals, and pipelines of a few
//! functions. Anything else is refused by name rather than rendered wrongly.

use serde_json::Value;

/// Renders a template. `root` has `Values`, `Release` and `Chart`; `name` is for messages.
pub(crate) fn render(name: &str, text: &str, root: &Value) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, after) = rest.split_at(start);
        let line = text[..text.len() - after.len()].matches('\n').count() + 1;
        let at = |message: String| format!("template: {name}:{line}: {message}");
        let end = after.find("}}").ok_or_else(|| at("unclosed action".to_owned()))?;
        let mut action = &after[2..end];
        rest = &after[end + 2..];
        match action.strip_prefix('-') {
            Some(trimmed) => {
                action = trimmed;
                out.push_str(before.trim_end());
            }
            None => out.push_str(before),
        }
        if let Some(trimmed) = action.strip_suffix('-') {
            action = trimmed;
            rest = rest.trim_start();
        }
        let action = action.trim();
        if action.starts_with("/*") && action.ends_with("*/") {
            continue;
        }
        out.push_str(&shown(&evaluate(action, root).map_err(at)?));
    }
    out.push_str(rest);
    Ok(out)
}

/// A value as Go prints it; what is not there prints as nothing, as helm sees to.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn evaluate(action: &str, root: &Value) -> Result<Value, String> {
    let cannot = || format!("the stand-in cannot render {{{{ {action} }}}}");
    let mut stages = stages(action).ok_or_else(cannot)?.into_iter();
    let first = stages.next().ok_or_else(cannot)?;
    let mut value = match first.as_slice() {
        [word] => operand(word, root, action)?,
        // `quote .Values.a` and `default "x" .Values.a`: the value comes last.
        [function @ .., last] => {
            let value = operand(last, root, action)?;
            call(function, value, root, action)?
        }
        [] => return Err(cannot()),
    };
    for stage in stages {
        value = call(&stage, value, root, action)?;
    }
    Ok(value)
}

fn call(words: &[String], value: Value, root: &Value, action: &str) -> Result<Value, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = shown(&value);
    Ok(match words.as_slice() {
        ["quote"] => Value::String(if value.is_null() { String::new() } else { format!("{text:?}") }),
        ["squote"] => Value::String(if value.is_null() { String::new() } else { format!("'{text}'") }),
        ["toString"] => Value::String(text),
        ["upper"] => Value::String(text.to_uppercase()),
        ["lower"] => Value::String(text.to_lowercase()),
        ["trim"] => Value::String(text.trim().to_owned()),
        ["int"] => Value::from(text.parse::<i64>().unwrap_or(0)),
        ["default", given] => {
            let empty = match &value {
                Value::Null | Value::Bool(false) => true,
                Value::String(text) => text.is_empty(),
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::Array(items) => items.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::Bool(true) => false,
            };
            if empty { operand(given, root, action)? } else { value }
        }
        _ => return Err(format!("the stand-in cannot render {{{{ {action} }}}}")),
    })
}

/// A literal or a field.
fn operand(word: &str, root: &Value, action: &str) -> Result<Value, String> {
    if word.starts_with('"') {
        return serde_json::from_str(word).map_err(|error| format!("{word}: {error}"));
    }
    if let Ok(number) = word.parse::<i64>() {
        return Ok(Value::from(number));
    }
    if let "true" | "false" = word {
        return Ok(Value::Bool(word == "true"));
    }
    let path = word
        .strip_prefix('.')
        .filter(|path| path.split('.').next().is_some_and(|first| matches!(first, "Values" | "Release" | "Chart")));
    let Some(path) = path else {
        return Err(format!("the stand-in cannot render {{{{ {action} }}}}"));
    };
    let mut value = root;
    for (depth, field) in path.split('.').enumerate() {
        value = match value {
            Value::Object(map) => match map.get(field) {
                Some(inner) => inner,
                None if depth == 1 && !path.starts_with("Values") => {
                    return Err(format!("the stand-in cannot render {{{{ {action} }}}}"));
                }
                None => &Value::Null,
            },
            Value::Null => {
                return Err(format!("nil pointer evaluating interface {{}}.{field} at <{word}>"));
            }
            _ => return Err(format!("can't evaluate field {field} in type interface {{}} at <{word}>")),
        };
    }
    Ok(value.clone())
}

/// The stages of a pipeline, each cut into words; none when a string is not closed.
fn stages(action: &str) -> Option<Vec<Vec<String>>> {
    let mut stages = vec![Vec::new()];
    let mut word = String::new();
    let mut letters = action.chars();
    let end_word = |word: &mut String, stages: &mut Vec<Vec<String>>| {
        if let Some(stage) = stages.last_mut().filter(|_| !word.is_empty()) {
            stage.push(std::mem::take(word));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                word.push('"');
                loop {
                    let inside = letters.next()?;
                    word.push(inside);
                    match inside {
                        '\\' => word.push(letters.next()?),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '|' => {
                end_word(&mut word, &mut stages);
                stages.push(Vec::new());
            }
            _ if letter.is_whitespace() => end_word(&mut word, &mut stages),
            _ => word.push(letter),
        }
    }
    end_word(&mut word, &mut stages);
    stages.iter().all(|stage| !stage.is_empty()).then_some(stages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_known_is_rendered_and_the_rest_refused() {
        let root = json!({
            "Values": { "image": { "tag": "1.0" }, "replicas": 2, "empty": "" },
            "Release": { "Name": "r", "Namespace": "n" },
            "Chart": { "Name": "c", "Version": "1.2.3", "AppVersion": "4" },
        });
        let cases = [
            ("a {{ .Values.image.tag }} b", Some("a 1.0 b")),
            ("{{.Release.Name}}-{{ .Chart.Version | quote }}", Some("r-\"1.2.3\"")),
            ("{{ .Values.replicas }}", Some("2")),
            ("{{ .Values.absent }}|", Some("|")),
            ("{{ .Values.absent | default \"x | y\" | quote }}", Some("\"x | y\"")),
            ("{{ default 80 .Values.empty }}", Some("80")),
            ("{{ quote .Values.image.tag }}", Some("\"1.0\"")),
            ("a  {{- /* gone */ -}}  b", Some("ab")),
            ("a\n{{- .Values.replicas }}", Some("a2")),
            ("{{ if .Values.a }}x{{ end }}", None),
            ("{{ include \"x\" . }}", None),
            ("{{ .Values.absent.deeper }}", None),
            ("{{ .Values.replicas.deeper }}", None),
            ("{{ .Capabilities.KubeVersion }}", None),
            ("{{ .Release.Nonsense }}", None),
            ("{{ \"open }}", None),
            ("{{ .Values.a", None),
            ("{{ | quote }}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(render("t", text, &root).ok().as_deref(), expected, "{text}");
        }
        let refused = render("c/templates/x.yaml", "a\n{{ range .Values.a }}", &root);
        assert_eq!(
            refused.expect_err("refused"),
            "template: c/templates/x.yaml:2: the stand-in cannot render {{ range .Values.a }}"
        );
    }
}
