//! Dry runs: what counts as a read, and what is kept of a step that did nothing.
//!
//! Pure: the sandbox stops what is no read, and tells it in these words.

use serde::{Deserialize, Serialize};

use crate::name::ReleaseId;

/// How many stopped requests and tools of one attempt are kept.
pub const WOULD_MAX: usize = 32;

/// How many bytes of a body are kept.
pub const WOULD_BODY_BYTES_MAX: usize = 2 * 1024;

/// How long the first line of something stopped may be.
pub const WOULD_LINE_BYTES_MAX: usize = 1024;

/// Something that a dry run stopped before it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// In a line: `POST https://ci.example/job/x/build`, `tool helm upgrade web ./chart`.
    pub what: String,
    /// The beginning of its body, credentials removed; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// How many bytes the whole body has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub body_bytes: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// Where the output of a step in a dry run comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The plugin gave it.
    Plugin,
    /// It is what the same step gave in this release, the newest of the workflow in which it succeeded.
    Release(ReleaseId),
    /// It is made of the output's schema, and means nothing.
    Schema,
}

/// What came of a step's attempt in a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// What was stopped, in order; the first ones.
    pub would: Vec<Would>,
    /// How many more were stopped.
    pub omitted: u64,
    /// Where its output comes from.
    pub origin: Origin,
    /// Why the host ended the step, where it did: what it would have waited for, what it failed with.
    pub note: Option<String>,
}

/// Whether a method is one that only reads, by RFC 9110 §9.2.1. Methods are compared as they are sent: `get` is none.
pub fn is_read_method(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// Whether a header or a query parameter of this name makes servers take a request for another one.
pub fn is_override(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "httpmethod",
        "httpmethodoverride",
        "methodoverride",
        "method",
        "xhttpmethod",
        "xhttpmethodoverride",
        "xmethodoverride",
        "xmethod",
        "xoriginalurl",
        "xrewriteurl",
    ];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect();
    // `method` alone is a parameter like any other, `_method` is not.
    NAMES.contains(&plain.as_str()) && !name.eq_ignore_ascii_case("method")
}

/// Whether a command has the form that somebody declared to change nothing: `upgrade --dry-run=server`.
///
/// The command begins with the words of the form. That they come first matters: behind another flag one of them could
/// be that flag's value. Nothing after them may take a flag of theirs back, in full, abbreviated or negated.
pub fn is_in_form(form: &str, arguments: &[String]) -> bool {
    let words: Vec<&str> = form.split_whitespace().collect();
    if words.is_empty() || arguments.len() < words.len() {
        return false;
    }
    let (first, rest) = arguments.split_at(words.len());
    if first != words.as_slice() {
        return false;
    }
    let flags: Vec<String> = words.iter().filter_map(|it| flag_name(it)).collect();
    !rest.iter().filter_map(|it| flag_name(it)).any(|it| takes_back(&flags, &it))
}

/// `--dry-run` of `--Dry-Run=server`; none if it is no flag.
fn flag_name(argument: &str) -> Option<String> {
    argument.starts_with('-').then(|| argument.split('=').next().unwrap_or_default().to_ascii_lowercase())
}

fn takes_back(flags: &[String], given: &str) -> bool {
    let bare = given.trim_start_matches('-');
    flags.iter().any(|flag| {
        let name = flag.trim_start_matches('-');
        let negated = bare.strip_prefix("no").map(|it| it.trim_start_matches('-'));
        let is_part = |it: &str| !it.is_empty() && (name.starts_with(it) || it.starts_with(name));
        is_part(bare) || negated.is_some_and(is_part)
    })
}

/// Cuts a text to so many bytes at most, at the end of a character.
pub fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_first_and_nothing_takes_it_back() {
        let form = "upgrade --dry-run=server";
        for (arguments, expected) in [
            ("upgrade --dry-run=server web ./chart --output json", true),
            ("upgrade --dry-run=server", true),
            ("upgrade web ./chart --dry-run=server", false),
            ("upgrade --description --dry-run=server web", false),
            ("upgrade --dry-run=client web", false),
            ("upgrade --dry-run=server web --dry-run=none", false),
            ("upgrade --dry-run=server web --dry-run false", false),
            ("upgrade --dry-run=server web --DRY-RUN=none", false),
            ("upgrade --dry-run=server web --dry=none", false),
            ("upgrade --dry-run=server web --no-dry-run", false),
            ("upgrade --dry-run=server web -- --dry-run=none", false),
            ("uninstall --dry-run=server web", false),
            ("--dry-run=server upgrade web", false),
            ("", false),
        ] {
            let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            assert_eq!(is_in_form(form, &arguments), expected, "{arguments:?}");
        }
        let get = ["get".to_owned(), "manifest".to_owned(), "--".to_owned(), "web".to_owned()];
        assert!(is_in_form("get", &get) && !is_in_form("", &get));
    }

    #[test]
    fn what_overrides_a_method_is_known_in_all_its_spellings() {
        for name in [
            "X-HTTP-Method-Override",
            "x-http-method",
            "X-METHOD-OVERRIDE",
            "_method",
            "X_HTTP_METHOD",
            "X-Original-URL",
        ] {
            assert!(is_override(name), "{name}");
        }
        for name in ["method", "accept", "access-control-request-method", "x-request-id", "methods"] {
            assert!(!is_override(name), "{name}");
        }
        assert!(is_read_method("GET") && !is_read_method("get") && !is_read_method("Get") && !is_read_method("POST"));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let mut text = "aé".to_owned();
        cut(&mut text, 2);
        assert_eq!(text, "a");
    }
}
