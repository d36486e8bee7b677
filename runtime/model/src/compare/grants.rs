//! What a plugin asks to reach: connections, requests, tools, interfaces of the host.

use std::collections::{BTreeMap, BTreeSet};

use super::{Differences, Impact, only_in};
use crate::grant::path_matches;
use crate::manifest::{Action, Manifest, RequestRule, Role};

/// Interfaces by name; another version of the same one is no difference in what can be reached.
pub(super) fn imports(old: &BTreeSet<String>, new: &BTreeSet<String>, found: &mut Differences) {
    let names = |of: &BTreeSet<String>| -> BTreeSet<String> {
        of.iter().map(|it| it.split('@').next().unwrap_or_default().to_owned()).collect()
    };
    let (old_names, new_names) = (names(old), names(new));
    if let Some(added) = only_in(&new_names, &old_names) {
        found.add(Impact::Wider, "", format!("it imports more of the host: {added}"));
    }
    if let Some(removed) = only_in(&old_names, &new_names) {
        found.add(Impact::Compatible, "", format!("it imports less of the host: {removed} are gone"));
    }
    let same_names = |it: &&String| {
        let name = it.split('@').next().unwrap_or_default();
        old_names.contains(name) && new_names.contains(name)
    };
    if let Some(versions) = only_in(new.iter().filter(same_names), old) {
        found.add(Impact::Compatible, "", format!("it is built against other versions: {versions}"));
    }
}

pub(super) fn of_action(place: &str, old: &Action, new: &Action, found: &mut Differences) {
    for (role, need) in &new.connections {
        let place = format!("{place}, role `{role}`");
        let Some(before) = old.connections.get(role) else {
            if need.required {
                found.add(
                    Impact::Breaking,
                    &place,
                    "it is new and required: every step has to bind a connection to it",
                );
            }
            found.add(Impact::Wider, &place, format!("it is new and makes {}", requests(need)));
            continue;
        };
        if need.required && !before.required {
            found.add(Impact::Breaking, &place, "it is required now: every step has to bind a connection to it");
        } else if before.required && !need.required {
            found.add(Impact::Compatible, &place, "it need not be bound any more");
        }
        wider_requests(&place, need, &before.requests, found);
        for (method, path) in lines(&before.requests) {
            if !covered(&need.requests, method, path) {
                found.add(Impact::Compatible, &place, format!("it makes `{method} {path}` no longer"));
            }
        }
    }
    for role in old.connections.keys() {
        if !new.connections.contains_key(role) {
            let place = format!("{place}, role `{role}`");
            found.add(Impact::Breaking, &place, "it is gone: a step that binds a connection to it is refused");
        }
    }
    for (tool, need) in &new.tools {
        let place = format!("{place}, tool `{tool}`");
        match old.tools.get(tool) {
            None => {
                found.add(Impact::Breaking, &place, "it is new: it has to be declared where the plugin runs");
                found.add(Impact::Wider, &place, format!("it is run with {}", need.subcommands.join(", ")));
            }
            Some(before) => {
                subcommands(&place, &before.subcommands, &need.subcommands, found);
                dry_runs(&place, &before.dry_run, &need.dry_run, found);
            }
        }
    }
    for tool in old.tools.keys() {
        if !new.tools.contains_key(tool) {
            found.add(Impact::Compatible, &format!("{place}, tool `{tool}`"), "it is run no longer");
        }
    }
}

/// An action that is new breaks nobody; what it asks for beyond what some action asked for before is to be looked at.
pub(super) fn of_new_action(place: &str, new: &Action, old: &Manifest, found: &mut Differences) {
    let mut before: BTreeMap<_, Vec<RequestRule>> = BTreeMap::new();
    for action in old.actions.values() {
        for (role, need) in &action.connections {
            before.entry(role).or_default().extend(need.requests.iter().cloned());
        }
    }
    for (role, need) in &new.connections {
        let known = before.get(role).map(Vec::as_slice).unwrap_or_default();
        wider_requests(&format!("{place}, role `{role}`"), need, known, found);
    }
    for (tool, need) in &new.tools {
        let place = format!("{place}, tool `{tool}`");
        let before: Vec<String> = old.subcommands_of(tool).into_iter().collect();
        subcommands(&place, &before, &need.subcommands, found);
        let before: Vec<String> = old.dry_runs_of(tool).into_iter().collect();
        dry_runs(&place, &before, &need.dry_run, found);
    }
}

fn wider_requests(place: &str, need: &Role, before: &[RequestRule], found: &mut Differences) {
    for (method, path) in lines(&need.requests) {
        if !covered(before, method, path) {
            found.add(Impact::Wider, place, format!("it makes `{method} {path}` as well"));
        }
    }
}

fn subcommands(place: &str, old: &[String], new: &[String], found: &mut Differences) {
    let (old, new): (BTreeSet<String>, BTreeSet<String>) =
        (old.iter().cloned().collect(), new.iter().cloned().collect());
    if let Some(added) = only_in(&new, &old) {
        found.add(Impact::Wider, place, format!("it is run with {added} as well"));
    }
    if let Some(removed) = only_in(&old, &new) {
        found.add(Impact::Compatible, place, format!("it is run with {removed} no longer"));
    }
}

/// Commands that are run in a dry run, since they are said to change nothing.
fn dry_runs(place: &str, old: &[String], new: &[String], found: &mut Differences) {
    let (old, new): (BTreeSet<String>, BTreeSet<String>) =
        (old.iter().cloned().collect(), new.iter().cloned().collect());
    if let Some(added) = only_in(&new, &old) {
        found.add(Impact::Wider, place, format!("it is run with {added} in dry runs as well"));
    }
    if let Some(removed) = only_in(&old, &new) {
        found.add(Impact::Compatible, place, format!("it is run with {removed} in dry runs no longer"));
    }
}

fn requests(need: &Role) -> String {
    let all: Vec<String> = lines(&need.requests).map(|(method, path)| format!("`{method} {path}`")).collect();
    if all.is_empty() { "no requests".to_owned() } else { all.join(", ") }
}

fn lines(rules: &[RequestRule]) -> impl Iterator<Item = (&str, &str)> {
    rules.iter().flat_map(|rule| rule.methods.iter().map(|method| (method.as_str(), rule.path.as_str())))
}

/// Whether one rule contains every request of `method` to `pattern`.
fn covered(rules: &[RequestRule], method: &str, pattern: &str) -> bool {
    rules.iter().any(|rule| rule.methods.iter().any(|it| it == method) && contains(&rule.path, pattern))
}

/// Whether every path that `inner` matches is matched by `outer`.
///
/// `*` of `inner` is handed to `outer` as it is: only a wildcard can match it, and that matches whatever else it stands
/// for. `**` stands for any number of segments; up to one more than `outer` has are tried, since only a `**` of `outer`
/// can match more segments than it has.
fn contains(outer: &str, inner: &str) -> bool {
    let segments: Vec<&str> = inner.split('/').skip(1).collect();
    let any: Vec<usize> = (0..segments.len()).filter(|&it| segments[it] == "**").collect();
    if any.len() > 3 {
        return outer == inner || outer == "/**";
    }
    let most = outer.split('/').count();
    let mut counts = vec![0; any.len()];
    loop {
        let mut path = String::new();
        for (index, segment) in segments.iter().enumerate() {
            match any.iter().position(|&it| it == index) {
                Some(which) => path.push_str(&"/*".repeat(counts[which])),
                None => {
                    path.push('/');
                    path.push_str(segment);
                }
            }
        }
        if !path_matches(outer, &path) {
            return false;
        }
        let Some(next) = (0..counts.len()).find(|&it| counts[it] < most) else { return true };
        counts[next] += 1;
        counts[..next].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pattern_contains_another() {
        for (outer, inner, expected) in [
            ("/jobs", "/jobs", true),
            ("/jobs/*", "/jobs/*", true),
            ("/jobs/*", "/jobs/7", true),
            ("/jobs/7", "/jobs/*", false),
            ("/jobs/*", "/jobs/*/log", false),
            ("/jobs/**", "/jobs/*/log", true),
            ("/jobs/**", "/jobs", true),
            ("/jobs/*", "/jobs/**", false),
            ("/jobs", "/jobs/**", false),
            ("/jobs/*/**", "/jobs/**", false),
            ("/jobs/**", "/jobs/*/**", true),
            ("/**", "/a/**/b", true),
            ("/a/**/b", "/a/*/b", true),
            ("/a/**/b", "/a/**/c/b", true),
            ("/a/**/b", "/a/**", false),
            ("/a-*", "/a-b*", true),
            ("/a-b*", "/a-*", false),
            ("/*", "/**", false),
            ("/*/**", "/**", false),
        ] {
            assert_eq!(contains(outer, inner), expected, "{outer} contains {inner}");
        }
    }
}
