//! What two requests, or two outcomes, have in common and where they differ.

use serde_json::Value;

use super::{Content, HttpRequest, ToolCommand};

/// Headers that say nothing of what is asked for.
const UNIMPORTANT: [&str; 6] = ["user-agent", "accept-encoding", "traceparent", "tracestate", "date", "content-length"];

/// Differences that are told of one thing.
const TOLD_MAX: usize = 8;

/// How much of a value is told.
const LETTERS_MAX: usize = 120;

/// Where two requests differ, a sentence each; nothing if they ask for the same.
pub(super) fn requests(recorded: &HttpRequest, now: &HttpRequest) -> Vec<String> {
    let mut all = Vec::new();
    if recorded.method != now.method {
        all.push(format!("the method was {} and is {}", recorded.method, now.method));
    }
    if recorded.url != now.url {
        all.push(format!("the address was {} and is {}", recorded.url, now.url));
    }
    let (before, after) = (important(&recorded.headers), important(&now.headers));
    for (name, value) in &before {
        match after.iter().find(|(it, _)| it == name) {
            None => all.push(format!("header {name} is not sent any more")),
            Some((_, other)) if other != value => {
                all.push(format!("header {name} was {} and is {}", short(value), short(other)));
            }
            Some(_) => {}
        }
    }
    for (name, value) in after.iter().filter(|(name, _)| !before.iter().any(|(it, _)| it == name)) {
        all.push(format!("header {name} is new: {}", short(value)));
    }
    all.extend(contents("the body", recorded.body.as_ref(), now.body.as_ref()));
    all.truncate(TOLD_MAX);
    all
}

/// Where two commands differ.
pub(super) fn commands(recorded: &ToolCommand, now: &ToolCommand) -> Vec<String> {
    let mut all = Vec::new();
    let line = |it: &ToolCommand| format!("{} {}", it.tool, it.arguments.join(" "));
    if (&recorded.tool, &recorded.arguments) != (&now.tool, &now.arguments) {
        all.push(format!("the command was {} and is {}", short(&line(recorded)), short(&line(now))));
    }
    if recorded.connection != now.connection {
        let role = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".to_owned());
        all.push(format!("the connection was {} and is {}", role(&recorded.connection), role(&now.connection)));
    }
    for (name, content) in &recorded.files {
        match now.files.iter().find(|(it, _)| it == name) {
            None => all.push(format!("file {name} is not there any more")),
            Some((_, other)) => all.extend(contents(&format!("file {name}"), Some(content), Some(other))),
        }
    }
    for (name, _) in now.files.iter().filter(|(name, _)| !recorded.files.iter().any(|(it, _)| it == name)) {
        all.push(format!("file {name} is new"));
    }
    all.extend(contents("the standard input", recorded.stdin.as_ref(), now.stdin.as_ref()));
    all.truncate(TOLD_MAX);
    all
}

/// How near a request is to a recorded one; more is nearer.
pub(super) fn nearness(recorded: &HttpRequest, now: &HttpRequest) -> u32 {
    let path = |it: &str| it.split(['?', '#']).next().unwrap_or_default().to_owned();
    let mut score = 0;
    score += 8 * u32::from(path(&recorded.url) == path(&now.url));
    score += 4 * u32::from(recorded.method == now.method);
    score += 2 * u32::from(recorded.url == now.url);
    score + u32::from(contents("", recorded.body.as_ref(), now.body.as_ref()).is_empty())
}

fn important(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if UNIMPORTANT.contains(&name.as_str()) {
            continue;
        }
        match all.iter_mut().find(|(it, _)| *it == name) {
            Some((_, values)) => values.push_str(&format!(", {value}")),
            None => all.push((name, value.clone())),
        }
    }
    all
}

/// Where two bodies differ: field by field if both are JSON.
fn contents(what: &str, recorded: Option<&Content>, now: Option<&Content>) -> Vec<String> {
    match (recorded, now) {
        (None, None) => Vec::new(),
        (Some(_), None) => vec![format!("{what} is empty now")],
        (None, Some(now)) => vec![format!("{what} is new: {}", shown(now))],
        (Some(recorded), Some(now)) if recorded == now => Vec::new(),
        (Some(Content::Text(before)), Some(Content::Text(after))) => {
            match (serde_json::from_str(before), serde_json::from_str(after)) {
                (Ok(before), Ok(after)) => values(what, &before, &after),
                _ => vec![lines(what, before, after)],
            }
        }
        (Some(recorded), Some(now)) => vec![format!("{what} was {} and is {}", shown(recorded), shown(now))],
    }
}

/// Where two values differ, with the places.
pub(super) fn values(what: &str, recorded: &Value, now: &Value) -> Vec<String> {
    let mut all = Vec::new();
    walk(what, recorded, now, &mut all);
    all.truncate(TOLD_MAX);
    all
}

fn walk(place: &str, recorded: &Value, now: &Value, all: &mut Vec<String>) {
    match (recorded, now) {
        _ if all.len() >= TOLD_MAX => {}
        (before, after) if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                match after.get(name) {
                    Some(other) => walk(&format!("{place}/{name}"), value, other, all),
                    None => all.push(format!("{place}/{name} is gone; it was {}", short(&value.to_string()))),
                }
            }
            for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                all.push(format!("{place}/{name} is new: {}", short(&value.to_string())));
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (at, (before, after)) in before.iter().zip(after).enumerate() {
                walk(&format!("{place}/{at}"), before, after, all);
            }
        }
        (before, after) => {
            all.push(format!("{place} was {} and is {}", short(&before.to_string()), short(&after.to_string())));
        }
    }
}

/// The first line in which two texts differ.
fn lines(what: &str, before: &str, after: &str) -> String {
    let (mut old, mut new) = (before.lines(), after.lines());
    let mut number = 1;
    loop {
        match (old.next(), new.next()) {
            (Some(old), Some(new)) if old == new => number += 1,
            (old, new) => {
                let said = |it: Option<&str>| it.map_or_else(|| "nothing".to_owned(), |it| format!("`{}`", short(it)));
                return format!("{what} differs from line {number} on: it was {} and is {}", said(old), said(new));
            }
        }
    }
}

fn shown(content: &Content) -> String {
    match content {
        Content::Text(text) => format!("`{}`", short(text)),
        Content::Bytes { base64 } => format!("{} bytes in base64", base64.len()),
    }
}

fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(LETTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> HttpRequest {
        HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: (!body.is_empty()).then(|| Content::Text(body.to_owned())),
        }
    }

    #[test]
    fn requests_that_ask_for_the_same_do_not_differ() {
        let one = request("POST", "https://ci/a", &[("Accept", "x"), ("user-agent", "1")], r#"{"a":1,"b":[2]}"#);
        let other = request("POST", "https://ci/a", &[("user-agent", "2"), ("accept", "x")], r#"{"b": [2], "a": 1}"#);
        assert_eq!(requests(&one, &other), Vec::<String>::new());
    }

    #[test]
    fn differences_are_told_with_their_places() {
        let one = request("POST", "https://ci/a", &[("accept", "x"), ("key", "1")], r#"{"a":{"b":1,"c":2},"l":[1,2]}"#);
        let other = request("PUT", "https://ci/b", &[("accept", "y"), ("new", "n")], r#"{"a":{"b":2,"d":3},"l":[1]}"#);
        assert_eq!(
            requests(&one, &other),
            [
                "the method was POST and is PUT",
                "the address was https://ci/a and is https://ci/b",
                "header accept was x and is y",
                "header key is not sent any more",
                "header new is new: n",
                "the body/a/b was 1 and is 2",
                "the body/a/c is gone; it was 2",
                "the body/a/d is new: 3",
            ]
        );
        let text = |body: &str| request("POST", "https://ci/a", &[], body);
        assert_eq!(
            requests(&text("a\nb\nc"), &text("a\nx")),
            ["the body differs from line 2 on: it was `b` and is `x`"]
        );
        assert_eq!(requests(&text("a"), &text("")), ["the body is empty now"]);
    }

    #[test]
    fn the_nearest_is_the_one_of_the_same_path() {
        let now = request("POST", "https://ci/a?x=2", &[], "b");
        let near = request("GET", "https://ci/a?x=1", &[], "");
        let far = request("POST", "https://ci/z", &[], "b");
        assert!(nearness(&near, &now) > nearness(&far, &now));
    }
}
