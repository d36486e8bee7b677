//! What those that wait are told: who is before them, whose turn it is when, and what one can do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};
use windlass_model::concurrency::QueueOrder;
use windlass_model::name::{ReleaseId, TenantName};
use windlass_model::time::{Span, Timestamp};

use super::limits::{Limit, WAITING_MAX};
use super::queue::{Member, Phase, Queue};

/// How many releases a sentence names.
const NAMED_MAX: usize = 3;

/// A place in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// What it waits for: `group`, `tenant` or `installation`.
    pub r#for: String,
    /// The group's or the tenant's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Releases that have what it waits for, some of them if they are many.
    pub holders: Vec<String>,
    /// Its place among those that wait, from 1.
    pub position: usize,
    /// How many wait.
    pub waiting: usize,
    /// About how long it will wait, if that can be told from how long releases of these workflows ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Span>,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// Of this tenant; of the whole installation when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<u32>,
    /// How many may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// How many run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_now: Option<u32>,
    /// How many wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_now: Option<u32>,
    /// Who set it; nobody for what holds where nobody has set anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<Timestamp>,
}

impl LimitView {
    pub(super) fn of(
        tenant: Option<&TenantName>,
        limit: Option<&Limit>,
        running_now: Option<u32>,
        waiting_now: Option<u32>,
    ) -> Self {
        // Only the installation has one that nobody set.
        let usual = tenant.is_none().then_some(WAITING_MAX);
        Self {
            tenant: tenant.map(ToString::to_string),
            releases: limit.and_then(|it| it.releases),
            waiting: limit.and_then(|it| it.waiting).or(usual),
            running_now,
            waiting_now,
            set_by: limit.map(|it| it.set_by.name.clone()),
            set_at: limit.map(|it| it.set_at),
        }
    }
}

/// A wait for a place, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) text: String,
    pub(crate) owner: String,
    pub(crate) queue: QueueView,
}

enum Cause<'q> {
    Group { name: &'q str, order: QueueOrder, limit: u32 },
    Tenant { name: &'q TenantName, limit: u32 },
    Installation { limit: u32 },
}

impl Queue {
    /// Why one waits, if it does.
    pub(crate) fn explain(&self, release: &ReleaseId, now: Timestamp) -> Option<Explained> {
        let member = self.members.get(release).filter(|it| it.phase == Phase::Waiting)?;
        let cause = self.cause(member)?;
        let concerns = |it: &Member| match &cause {
            Cause::Group { name, .. } => it.group() == Some(name),
            Cause::Tenant { name, .. } => it.counted && it.claim.tenant == **name,
            Cause::Installation { .. } => it.counted,
        };
        let order = match &cause {
            Cause::Group { order, .. } => *order,
            Cause::Tenant { .. } | Cause::Installation { .. } => QueueOrder::OldestFirst,
        };
        let line = self.waiting(concerns, order, now);
        let before = line.iter().position(|it| *it == release)?;
        let runs = |it: &Member| matches!(it.phase, Phase::Running(_)) && concerns(it);
        let holders: Vec<(&ReleaseId, &Member)> = match &cause {
            Cause::Group { name, .. } => {
                let ids = &self.groups.get(*name)?.members;
                ids.iter().filter_map(|it| Some((it, self.members.get(it)?))).filter(|(_, it)| runs(it)).collect()
            }
            _ => self.members.iter().filter(|(_, it)| runs(it)).collect(),
        };
        let limit = match &cause {
            Cause::Group { limit, .. } | Cause::Tenant { limit, .. } | Cause::Installation { limit } => *limit,
        };
        let estimate = self.estimate(&holders, &line[..before], limit, now);
        let mut text = match &cause {
            Cause::Group { name, .. } => format!("group {name}: {}", running(&holders, &line[..before])),
            Cause::Tenant { name, limit } => format!("tenant {name}: {} of {limit} releases run", holders.len()),
            Cause::Installation { limit } => format!("{} of {limit} releases run", holders.len()),
        };
        text.push_str(&format!("; {} of {} in line", ordinal(before + 1), line.len()));
        if let Some(estimate) = estimate {
            text.push_str(&format!(", about {} more", coarse(estimate)));
        }
        let owner = match &cause {
            Cause::Group { .. } => {
                let first = holders.first().map(|(_, it)| it.requested_by.clone());
                first.unwrap_or_else(|| "the releases before it".to_owned())
            }
            Cause::Tenant { .. } | Cause::Installation { .. } => "an operator".to_owned(),
        };
        let (what, name) = match &cause {
            Cause::Group { name, .. } => ("group", (*name).to_owned()),
            Cause::Tenant { name, .. } => ("tenant", name.to_string()),
            Cause::Installation { .. } => ("installation", String::new()),
        };
        let queue = QueueView {
            r#for: what.to_owned(),
            name,
            holders: holders.iter().take(NAMED_MAX).map(|(release, _)| release.to_string()).collect(),
            position: before + 1,
            waiting: line.len(),
            estimate,
        };
        Some(Explained { text, owner, queue })
    }

    /// Those whose end one waits for: who has what it waits for, or who goes first; and what that is.
    pub(crate) fn waits_for(&self, release: &ReleaseId, now: Timestamp) -> Option<(String, Vec<ReleaseId>)> {
        let member = self.members.get(release).filter(|it| it.phase == Phase::Waiting)?;
        let cause = self.cause(member)?;
        let runs = |it: &&ReleaseId| self.members.get(*it).is_some_and(|it| matches!(it.phase, Phase::Running(_)));
        match &cause {
            Cause::Group { name, order, .. } => {
                let holders = self.groups.get(*name)?.members.iter().filter(runs).cloned().collect();
                let first =
                    || self.waiting(|it| it.group() == Some(name), *order, now).first().map(|it| vec![(*it).clone()]);
                let is_full = self.groups.get(*name).is_some_and(|it| it.running >= it.limit);
                let whom: Vec<ReleaseId> = if is_full { holders } else { first().filter(|it| it[0] != *release)? };
                Some((format!("a place in group {name}"), whom))
            }
            Cause::Tenant { name, .. } => {
                let holders = self.members.iter().filter(|(_, it)| it.counted && it.claim.tenant == **name);
                let holders = holders.map(|(it, _)| it).filter(runs).cloned().collect();
                Some((format!("a place of tenant {name}"), holders))
            }
            Cause::Installation { .. } => {
                let holders = self.members.iter().filter(|(_, it)| it.counted).map(|(it, _)| it);
                Some(("a place".to_owned(), holders.filter(runs).cloned().collect()))
            }
        }
    }

    /// Those that have the places of a group that is full, with as many as this limit.
    pub(crate) fn holders(&self, group: &str, limit: u32) -> Vec<ReleaseId> {
        let Some(state) = self.groups.get(group).filter(|it| it.running >= limit) else { return Vec::new() };
        let runs = |it: &&ReleaseId| self.members.get(*it).is_some_and(|it| matches!(it.phase, Phase::Running(_)));
        state.members.iter().filter(runs).cloned().collect()
    }

    fn cause<'q>(&'q self, member: &'q Member) -> Option<Cause<'q>> {
        let of_group = || {
            let (name, state) = self.groups.get_key_value(member.group()?)?;
            Some((state.running >= state.limit, Cause::Group { name, order: state.order, limit: state.limit }))
        };
        let group = of_group();
        if let Some((true, cause)) = group {
            return Some(cause);
        }
        let name = &member.claim.tenant;
        let is_full = |limit: Option<u32>, running: u32| limit.filter(|it| running >= *it);
        if member.counted
            && let Some(limit) = is_full(self.limits.of(name).releases, self.counts(Some(name)).0)
        {
            return Some(Cause::Tenant { name, limit });
        }
        if member.counted
            && let Some(limit) = is_full(self.limits.installation().releases, self.counts(None).0)
        {
            return Some(Cause::Installation { limit });
        }
        // Something else holds the first of the group, and nobody passes it.
        group.map(|(_, cause)| cause)
    }

    /// About how long until its turn comes, when those before it take as long as usual.
    fn estimate(
        &self,
        holders: &[(&ReleaseId, &Member)],
        before: &[&ReleaseId],
        limit: u32,
        now: Timestamp,
    ) -> Option<Span> {
        let limit = usize::try_from(limit).ok()?;
        let mut ends = BinaryHeap::new();
        for (release, member) in holders {
            let Phase::Running(Some(since)) = member.phase else { return None };
            let usual = self.usual_length(release.workflow())?;
            ends.push(Reverse(usual.0.saturating_sub(now.since(since).0)));
        }
        // Where more run than may, the first ends free no place; where there is one, something else is waited for.
        for _ in limit..ends.len() {
            ends.pop();
        }
        if ends.len() < limit {
            return None;
        }
        for release in before {
            let Reverse(end) = ends.pop()?;
            ends.push(Reverse(end + self.usual_length(release.workflow())?.0));
        }
        ends.pop().map(|Reverse(end)| Span(end))
    }
}

/// `a-1 and a-2 run`
fn running(holders: &[(&ReleaseId, &Member)], before: &[&ReleaseId]) -> String {
    let names: Vec<String> = holders.iter().take(NAMED_MAX).map(|(release, _)| release.to_string()).collect();
    let more = holders.len() - names.len();
    match (names.as_slice(), before.first()) {
        ([], Some(first)) => format!("{first} goes first"),
        ([], None) => "its turn is next".to_owned(),
        ([one], _) => format!("{one} runs"),
        (names, _) if more > 0 => format!("{} and {more} more run", names.join(", ")),
        ([first @ .., last], _) => format!("{} and {last} run", first.join(", ")),
    }
}

/// `2nd`
fn ordinal(number: usize) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A length of time as far as one can tell it beforehand: `4m`, `2h`.
fn coarse(span: Span) -> Span {
    let seconds = span.0.div_ceil(1000).max(1);
    let round = |unit: u64| Span::seconds(seconds.div_ceil(unit) * unit);
    match seconds {
        0..60 => round(1),
        60..3600 => round(60),
        _ => round(600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_lengths_are_said_as_people_do() {
        let said: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 22, 111].into_iter().map(ordinal).collect();
        assert_eq!(said, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "111th"]);
        let said: Vec<String> =
            [0, 900, 59_000, 61_000, 3_600_000, 3_700_000].map(|it| coarse(Span(it)).to_string()).into();
        assert_eq!(said, ["1s", "1s", "59s", "2m", "1h", "1h10m"]);
    }
}
