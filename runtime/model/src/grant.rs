//! What a plugin may reach: its manifest asks, the operator allows, both must agree.
//!
//! Pure: no addresses are resolved and nothing is sent here.

use std::fmt;

use crate::manifest::RequestRule;

/// A request as the grants see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// Method in capitals.
    pub method: &'a str,
    /// Path below the connection's address, starting with `/`, percent-encoded as sent, without query.
    pub path: &'a str,
}

/// Which side's grant is missing, with the line that would give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What was asked for: `POST https://ci.example/job/x/doDelete`.
    pub asked: String,
    /// Why not.
    pub missing: Missing,
    /// The line to add, and where.
    pub remedy: String,
}

/// What was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No bound connection has this origin.
    Connection,
    /// The plugin's manifest does not ask for it.
    Manifest,
    /// The connection's `allow` does not contain it.
    ConnectionGrant,
    /// The connection is not for this plugin.
    PluginGrant,
    /// The address is private or local and the connection does not grant that.
    PrivateNetwork,
    /// The path is not in its plain form.
    PlainPath,
    /// The tool is not declared, or not granted.
    Tool,
    /// The request sets a header that is the host's to set.
    HostHeader,
    /// It has a header by which a server may take it for another request than the one that was granted.
    Override,
    /// It would write, in a dry run.
    DryRun,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.missing {
            Missing::Connection => "no connection of this step has that address",
            Missing::Manifest => "the plugin's manifest does not ask for it",
            Missing::ConnectionGrant => "the connection does not allow it",
            Missing::PluginGrant => "the connection is not granted to this plugin",
            Missing::PrivateNetwork => {
                "the address is in a private or local network, which the connection does not grant"
            }
            Missing::PlainPath => "the path holds `.`/`..` segments, `//`, a backslash or an encoded slash",
            Missing::Tool => "the tool is not granted",
            Missing::HostHeader => "it sets a header that the host sets",
            Missing::Override => "it has a header by which a server may take it for another request",
            Missing::DryRun => "this is a dry run, in which nothing is written",
        };
        write!(f, "{} was denied: {why}; {}", self.asked, self.remedy)
    }
}

/// Whether a rule contains a request.
pub fn allows(rules: &[RequestRule], request: RequestLine<'_>) -> bool {
    rules
        .iter()
        .any(|rule| rule.methods.iter().any(|it| it == request.method) && path_matches(&rule.path, request.path))
}

/// Whether `path` matches `pattern`: `*` for a part of one segment, `**` for any number of segments.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').skip(1).collect();
    let path: Vec<&str> = path.split('/').skip(1).collect();
    segments_match(&pattern, &path)
}

/// Whether some path matches both patterns. It may say so of a pair with `*` within segments where none does.
pub fn may_overlap(one: &str, other: &str) -> bool {
    let one: Vec<&str> = one.split('/').skip(1).collect();
    let other: Vec<&str> = other.split('/').skip(1).collect();
    // Whether what comes after so many segments of each may overlap, from the ends on.
    let mut after = vec![vec![false; other.len() + 1]; one.len() + 1];
    for (left, right) in (0..=one.len()).rev().flat_map(|it| (0..=other.len()).rev().map(move |other| (it, other))) {
        let (first, second) = (one.get(left), other.get(right));
        after[left][right] = match (first, second) {
            (None, None) => true,
            (Some(&"**"), _) if after[left + 1][right] => true,
            (_, Some(&"**")) if after[left][right + 1] => true,
            (Some(&"**"), Some(_)) => after[left][right + 1],
            (Some(_), Some(&"**")) => after[left + 1][right],
            (Some(first), Some(second)) => segments_may_overlap(first, second) && after[left + 1][right + 1],
            _ => false,
        };
    }
    after[0][0]
}

fn segments_may_overlap(one: &str, other: &str) -> bool {
    let (Some((one_begin, one_rest)), Some((other_begin, other_rest))) = (one.split_once('*'), other.split_once('*'))
    else {
        return segment_matches(one, other) || segment_matches(other, one);
    };
    let one_end = one_rest.rsplit('*').next().unwrap_or_default();
    let other_end = other_rest.rsplit('*').next().unwrap_or_default();
    (one_begin.starts_with(other_begin) || other_begin.starts_with(one_begin))
        && (one_end.ends_with(other_end) || other_end.ends_with(one_end))
}

/// Whether a path reads the same to every server. Dot segments (also with parameters, `..;x`), empty
/// segments, backslashes and encoded slashes do not; such a path is refused before any grant is asked.
pub fn is_plain_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let lower = path.to_ascii_lowercase();
    let doubtful = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".").replace("%3b", ";");
        matches!(plain.split(';').next(), Some("." | ".."))
    };
    !path.contains('\\')
        && !path.contains("//")
        && !["%2f", "%5c", "%00"].iter().any(|it| lower.contains(it))
        && !segments.split('/').any(doubtful)
}

/// Both without their leading slash. Linear in pattern times path: a table, no backtracking.
fn segments_match(pattern: &[&str], path: &[&str]) -> bool {
    let mut row = vec![false; path.len() + 1];
    row[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        if *part == "**" {
            let mut any = false;
            for (index, reached) in row.iter().enumerate() {
                any |= reached;
                next[index] = any;
            }
        } else {
            for (index, segment) in path.iter().enumerate() {
                next[index + 1] = row[index] && segment_matches(part, segment);
            }
        }
        row = next;
    }
    row[path.len()]
}

fn segment_matches(pattern: &str, segment: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = segment.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_segments() {
        for (pattern, path, expected) in [
            ("/job/*/build", "/job/payments/build", true),
            ("/job/*/build", "/job/a/b/build", false),
            ("/job/**/build*", "/job/a/job/b/buildWithParameters", true),
            ("/job/**/build*", "/job/build", true),
            ("/**", "/", true),
            ("/**", "/a/b/c", true),
            ("/api/json", "/api/json", true),
            ("/api/json", "/api/jsonp", false),
            ("/api/json", "/api/json/", false),
            ("/a/**/b/**/c", "/a/x/b/y/z/c", true),
            ("/a/**/b/**/c", "/a/x/y/z/c", false),
            ("/x*y*z", "/x1y2z", true),
            ("/x*y*z", "/xz", false),
            ("/*", "/", true),
            ("/v1", "/V1", false),
        ] {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_that_have_a_path_in_common_overlap() {
        for (one, other, expected) in [
            ("/jobs", "/jobs", true),
            ("/jobs", "/jobs/*", false),
            ("/jobs/*", "/jobs/7", true),
            ("/**", "/jobs/*", true),
            ("/v1/**", "/jobs/*", false),
            ("/**/jobs", "/v1/**", true),
            ("/a/**/b", "/a/b", true),
            ("/a/**/b", "/a/**/c", false),
            ("/a*", "/ab*c", true),
            ("/a*", "/b*", false),
            ("/*a", "/*b", false),
            ("/", "/**", true),
        ] {
            assert_eq!(may_overlap(one, other), expected, "{one} {other}");
            assert_eq!(may_overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn paths_that_read_two_ways_are_not_plain() {
        for good in ["/", "/a/b", "/a/b/", "/a.b/c..d", "/a;b=..", "/%20"] {
            assert!(is_plain_path(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "/a/../b",
            "/a/%2e%2E/b",
            "/./a",
            "//a",
            "/a//b",
            "/a\\b",
            "/a%2fb",
            "/a%5cb",
            "/a/..",
            "/%00",
            "//",
            "/a//",
            "/a/..;/b",
            "/a/%2e.%3Bx",
        ] {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
