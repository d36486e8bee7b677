//! What another version of a plugin changes for those who use it.
//!
//! Three questions, and each difference answers one: do workflows that ran go on running? Does it ask for more than the
//! operator has looked at? Or is it neither?
//!
//! **Invariant:** what cannot be compared counts as breaking: nobody is told that it is safe by a comparison that gave up.

mod grants;
mod schema;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::{Action, Effect, EffectiveLimits, Manifest};
use crate::problem::listed;

/// What a difference means for those who use the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// A workflow that ran may not any more.
    Breaking,
    /// It can reach, change or use more than before.
    Wider,
    /// Neither.
    Compatible,
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Breaking => "breaking",
            Self::Wider => "wider",
            Self::Compatible => "compatible",
        })
    }
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// What it means.
    pub impact: Impact,
    /// Where: "action `submit`, input"; empty for the whole plugin.
    pub place: String,
    /// What is different.
    pub message: String,
}

/// A plugin as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What it says of itself.
    pub manifest: &'a Manifest,
    /// The interfaces that its component imports, with their versions: `wasi:io/streams@0.2.12`.
    pub imports: &'a BTreeSet<String>,
}

/// Where differences are collected.
struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, impact: Impact, place: &str, message: impl Into<String>) {
        self.0.push(Difference { impact, place: place.to_owned(), message: message.into() });
    }
}

/// Tells what is different in `new`, the worst first.
pub fn compare(old: Side<'_>, new: Side<'_>) -> Vec<Difference> {
    let mut found = Differences(Vec::new());
    if old.manifest.name != new.manifest.name {
        let message = format!("the plugin is called `{}` instead of `{}`", new.manifest.name, old.manifest.name);
        found.add(Impact::Breaking, "", message);
    }
    if old.manifest.contract != new.manifest.contract {
        let message = format!("it speaks contract {} instead of {}", new.manifest.contract, old.manifest.contract);
        found.add(Impact::Breaking, "", message);
    }
    grants::imports(old.imports, new.imports, &mut found);
    for (name, action) in &old.manifest.actions {
        let place = format!("action `{name}`");
        match new.manifest.actions.get(name) {
            Some(other) => compare_actions(&place, action, other, &mut found),
            None => found.add(Impact::Breaking, &place, "it is gone"),
        }
    }
    for (name, action) in &new.manifest.actions {
        if !old.manifest.actions.contains_key(name) {
            let place = format!("action `{name}`");
            found.add(Impact::Compatible, &place, "it is new");
            grants::of_new_action(&place, action, old.manifest, &mut found);
        }
    }
    found.0.sort();
    found.0.dedup();
    found.0
}

fn compare_actions(place: &str, old: &Action, new: &Action, found: &mut Differences) {
    if old.description != new.description {
        found.add(Impact::Compatible, place, "its description is another");
    }
    effect(place, old.effect, new.effect, found);
    let operations = [
        ("cancel", old.cancel, new.cancel, "stopping it in the middle leaves what it began as it is"),
        ("rollback", old.rollback, new.rollback, "a release cannot go back over it"),
        ("find", old.find, new.find, "after a crash or a lost answer a person has to look"),
    ];
    for (name, had, has, what_then) in operations {
        match (had, has) {
            (true, false) => found.add(Impact::Breaking, place, format!("its `{name}` is gone: {what_then}")),
            (false, true) => found.add(Impact::Compatible, place, format!("it has a `{name}` now")),
            (true, true) | (false, false) => {}
        }
    }
    schema::compare(schema::Use::Input, place, &old.input, &new.input, found);
    schema::compare(schema::Use::Output, place, &old.output, &new.output, found);
    grants::of_action(place, old, new, found);
    limits(place, old, new, found);
}

fn effect(place: &str, old: Effect, new: Effect, found: &mut Differences) {
    use Effect::{IdempotentWrite, Read, Write};
    match (old, new) {
        (Read, Write | IdempotentWrite) => {
            found.add(Impact::Wider, place, "it changes something now; before it only read");
        }
        (IdempotentWrite, Write) => found.add(
            Impact::Breaking,
            place,
            "its effect is `write` now: it is not repeated any more after a crash or a lost answer",
        ),
        (Write | IdempotentWrite, Read) => found.add(Impact::Compatible, place, "it only reads now"),
        (Write, IdempotentWrite) => {
            found.add(Impact::Compatible, place, "its effect is `idempotent_write` now: it may be repeated");
        }
        (Read, Read) | (IdempotentWrite, IdempotentWrite) | (Write, Write) => {}
    }
}

fn limits(place: &str, old: &Action, new: &Action, found: &mut Differences) {
    let defaults = EffectiveLimits::DEFAULT;
    for ((name, old, default), (_, new, _)) in old.limits.named(&defaults).into_iter().zip(new.limits.named(&defaults))
    {
        let (old, new) = (old.unwrap_or(default), new.unwrap_or(default));
        if new > old {
            found.add(Impact::Wider, place, format!("a call may use more: `{name}` is {new} instead of {old}"));
        } else if new < old {
            found.add(Impact::Compatible, place, format!("a call may use less: `{name}` is {new} instead of {old}"));
        }
    }
}

/// What the two versions' numbers promise, where the differences break the promise; none where all is well.
pub fn broken_promise(old: &Manifest, new: &Manifest, differences: &[Difference]) -> Option<String> {
    let (old, new) = (&old.version, &new.version);
    if !differences.iter().any(|it| it.impact == Impact::Breaking) {
        return None;
    }
    let promises = semver::VersionReq::parse(&format!("^{old}")).is_ok_and(|it| it.matches(new));
    let next = if old.major > 0 { format!("{}.0.0", old.major + 1) } else { format!("0.{}.0", old.minor + 1) };
    promises.then(|| {
        format!("version {new} promises that whatever ran with {old} runs with it; a version with breaking changes is at least {next}")
    })
}

/// What the two versions' numbers mean for whoever has the old one; nothing where the new one simply comes after it. For two
/// components that are not the same.
pub fn version_note(old: &Manifest, new: &Manifest) -> Option<String> {
    let (plugin, old, new) = (&new.name, &old.version, &new.version);
    let requirement = if old.major > 0 { format!("^{}", old.major) } else { format!("^{}.{}", old.major, old.minor) };
    let met = semver::VersionReq::parse(&requirement).is_ok_and(|it| it.matches(new));
    match new.cmp_precedence(old) {
        Ordering::Equal => Some(format!(
            "both say that they are version {old}: where one is installed the other is refused; give the new one a new version"
        )),
        Ordering::Less => Some(format!(
            "{new} comes before {old}: steps that say `{plugin}@{requirement}` go on with {old} where both are"
        )),
        Ordering::Greater if met => None,
        Ordering::Greater => {
            let next = if new.major > 0 { format!("^{}", new.major) } else { format!("^{}.{}", new.major, new.minor) };
            Some(format!(
                "steps that say `{plugin}@{requirement}` stay with {old}: they have to say `@{next}` to get {new}"
            ))
        }
    }
}

/// The impacts that somebody has to agree to, in words; none where there are none.
pub fn summary(differences: &[Difference]) -> Option<String> {
    let of = |impact: Impact| differences.iter().filter(|it| it.impact == impact).count();
    let said: Vec<String> = [
        (of(Impact::Breaking), "breaking: workflows that ran may not any more"),
        (of(Impact::Wider), "wider: it can reach, change or use more than before"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// `` `a`, `b` `` of what one set has and the other has not.
fn only_in<'a>(one: impl IntoIterator<Item = &'a String>, other: &BTreeSet<String>) -> Option<String> {
    let only: Vec<&String> = one.into_iter().filter(|it| !other.contains(*it)).collect();
    (!only.is_empty()).then(|| listed(only))
}

#[cfg(test)]
mod tests;
