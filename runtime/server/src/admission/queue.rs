//! Who may begin: the releases that run or wait, in groups and for tenants, and who of them is next.
//!
//! **Invariant:** nothing here reads a clock or a file; time is an argument.
//! **Invariant:** nobody is let in beyond a limit. What runs is never stopped, so after a limit was lowered, or a
//! release that had ended runs again, more may run than may; then nobody is let in until it is fewer.
//!
//! A release comes in with [`Queue::enter`]: it runs at once, or waits. While its first record is being written it
//! only counts; with [`Queue::stand`] it has its place in line. It keeps what it has until [`Queue::leave`].
//!
//! Who is next: among those that have room, the one of the most urgent class, then of the tenant of which the fewest
//! run, then the one that has waited longest. Each [`AGEING`] of waiting counts like a class, so that nobody waits for
//! ever. Within a group its order decides who its next is; in all but an unordered one nobody passes that one. Where
//! only the latest goes on, nobody begins after a newer one: those that wait give way to it, whether it waits or runs.

mod group;
#[cfg(test)]
mod rules;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use windlass_model::concurrency::{Claim, Group, QueueOrder};
use windlass_model::name::{ReleaseId, TenantName, WorkflowName};
use windlass_model::time::{Span, Timestamp};

use self::group::GroupState;
use super::limits::Limits;
use super::line::{Line, Place};

/// How long a wait counts like being one class more urgent.
pub(crate) const AGEING: Span = Span::seconds(2 * 3600);

/// How many lengths of releases of a workflow are remembered, for estimates.
const SAMPLES_MAX: usize = 16;

/// A release that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entrant {
    pub(crate) release: ReleaseId,
    pub(crate) claim: Claim,
    /// Whether it counts against limits.
    pub(crate) counted: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) requested_by: String,
}

impl Entrant {
    fn place(&self) -> Place {
        Place { created_at: self.created_at, release: self.release.clone() }
    }
}

/// What becomes of one that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It is here already.
    Known,
    /// It may begin.
    Runs,
    /// It waits.
    Waits,
    /// Too many wait: so many, of so many that may, of this tenant or of all.
    Refused { waiting: u32, limit: u32, tenant: Option<TenantName> },
}

/// What one that waits is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    Begin,
    Wait,
    /// A newer one goes on in its stead.
    GiveWay(ReleaseId),
    /// It is not known here.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its first record is being written.
    Entering,
    Waiting,
    GivesWay(ReleaseId),
    /// Since when, if that is known.
    Running(Option<Timestamp>),
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) claim: Claim,
    pub(super) counted: bool,
    pub(super) created_at: Timestamp,
    pub(super) requested_by: String,
    pub(super) phase: Phase,
}

impl Member {
    pub(super) fn group(&self) -> Option<&str> {
        self.claim.group.as_ref().map(|it| it.name.as_str())
    }

    fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    fn waits(&self) -> bool {
        matches!(self.phase, Phase::Entering | Phase::Waiting)
    }

    fn place(&self, release: &ReleaseId) -> Place {
        Place { created_at: self.created_at, release: release.clone() }
    }

    /// The tenant that it counts for, if it counts.
    fn tenant(&self) -> Option<&TenantName> {
        Some(&self.claim.tenant).filter(|_| self.counted)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    running: u32,
    waiting: u32,
}

/// All releases that belong to a group, wait, or count against a limit.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(super) limits: Limits,
    pub(super) members: BTreeMap<ReleaseId, Member>,
    pub(super) groups: BTreeMap<String, GroupState>,
    tenants: BTreeMap<TenantName, Counts>,
    total: Counts,
    /// Those that wait: by group, then by the tenant that they count for.
    lines: BTreeMap<Option<String>, BTreeMap<Option<TenantName>, Line>>,
    /// How long the last releases of a workflow ran.
    lengths: BTreeMap<WorkflowName, VecDeque<Span>>,
    /// Whether all that is open is known, so that somebody can be let in.
    is_complete: bool,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many run and wait: of a tenant, or of all.
    pub(crate) fn counts(&self, tenant: Option<&TenantName>) -> (u32, u32) {
        let counts = match tenant {
            Some(tenant) => self.tenants.get(tenant).copied().unwrap_or_default(),
            None => self.total,
        };
        (counts.running, counts.waiting)
    }

    /// How many wait, and how many may: of the first that there are too many of.
    fn overfull(&self, tenant: &TenantName) -> Option<Entry> {
        let of_tenant = self.limits.of(tenant).waiting.map(|it| (Some(tenant.clone()), it));
        let places = [Some((None, self.limits.waiting())), of_tenant];
        places.into_iter().flatten().find_map(|(tenant, limit)| {
            let waiting = self.counts(tenant.as_ref()).1;
            (waiting >= limit).then_some(Entry::Refused { waiting, limit, tenant })
        })
    }

    /// Takes one in whose first record is to be written. One that must not be refused comes in however many wait.
    pub(crate) fn enter(&mut self, entrant: Entrant, may_be_refused: bool, now: Timestamp) -> Entry {
        if self.members.contains_key(&entrant.release) {
            return Entry::Known;
        }
        let runs = self.is_complete && self.may_begin(&entrant, now);
        if !runs
            && may_be_refused
            && let Some(refused) = self.overfull(&entrant.claim.tenant)
        {
            return refused;
        }
        let phase = if runs { Phase::Running(Some(now)) } else { Phase::Entering };
        let place = entrant.place();
        let group = entrant.claim.group.as_ref().map(|it| it.name.clone());
        self.insert(entrant, phase);
        if let Some(state) = group.and_then(|it| self.groups.get_mut(&it)).filter(|_| runs) {
            state.beginning.insert(place);
        }
        if runs { Entry::Runs } else { Entry::Waits }
    }

    /// Takes one in that runs, whatever the limits, and of which that is durable; tells who has something to do.
    pub(crate) fn resume(&mut self, entrant: Entrant, now: Timestamp) -> Vec<ReleaseId> {
        let release = entrant.release.clone();
        if !self.members.contains_key(&release) {
            self.insert(entrant, Phase::Running(Some(now)));
        }
        self.has_begun(&release);
        self.settle_around(&release, now)
    }

    /// Takes one in as it was found.
    pub(crate) fn restore(&mut self, entrant: Entrant, admitted: bool) {
        let release = entrant.release.clone();
        if self.members.contains_key(&release) {
            return;
        }
        self.insert(entrant, if admitted { Phase::Running(None) } else { Phase::Entering });
        if admitted {
            self.has_begun(&release);
        } else {
            self.line_up(&release);
        }
    }

    /// All that is open is known now: tells who has something to do.
    pub(crate) fn complete(&mut self, now: Timestamp) -> Vec<ReleaseId> {
        self.is_complete = true;
        self.settle_all(now)
    }

    /// One whose first record is durable stands in line; tells who has something to do.
    pub(crate) fn stand(&mut self, release: &ReleaseId, now: Timestamp) -> Vec<ReleaseId> {
        match self.members.get(release) {
            Some(Member { phase: Phase::Entering, .. }) => self.line_up(release),
            _ => return Vec::new(),
        }
        self.settle_around(release, now)
    }

    /// What one that waits is to do.
    pub(crate) fn turn(&self, release: &ReleaseId) -> Turn {
        match self.members.get(release).map(|it| &it.phase) {
            Some(Phase::Running(_)) => Turn::Begin,
            Some(Phase::GivesWay(by)) => Turn::GiveWay(by.clone()),
            Some(Phase::Entering | Phase::Waiting) => Turn::Wait,
            None => Turn::Unknown,
        }
    }

    /// One is over, or did not come to be; tells who has something to do.
    pub(crate) fn leave(&mut self, release: &ReleaseId, has_run: bool, now: Timestamp) -> Vec<ReleaseId> {
        let Some(member) = self.members.remove(release) else { return Vec::new() };
        self.count(&member, false);
        if let Some(group) = member.group()
            && let Some(state) = self.groups.get_mut(group)
        {
            state.members.remove(release);
            state.beginning.remove(&member.place(release));
            if state.members.is_empty() {
                self.groups.remove(group);
            } else if state.newest.as_ref().is_some_and(|it| it.release == *release) {
                self.find_rules(group);
            }
        }
        self.take_from_line(release, &member);
        if let Phase::Running(Some(since)) = member.phase
            && has_run
        {
            let lengths = self.lengths.entry(release.workflow().clone()).or_default();
            lengths.truncate(SAMPLES_MAX - 1);
            lengths.push_front(now.since(since));
        }
        match &member.claim.group {
            // Nobody else can have waited for it.
            Some(group) if !self.limits.are_set() => self.settle(&[Some(group.name.clone())], now),
            _ => self.settle_all(now),
        }
    }

    /// Other limits hold from now on; tells who has something to do.
    pub(crate) fn limit(&mut self, limits: Limits, now: Timestamp) -> Vec<ReleaseId> {
        self.limits = limits;
        if !self.limits.are_set() {
            // Those of no group that run hold nobody up.
            let idle = self.members.iter().filter(|(_, it)| it.claim.group.is_none() && it.runs());
            let idle: Vec<ReleaseId> = idle.map(|(release, _)| release.clone()).collect();
            for release in idle {
                if let Some(member) = self.members.remove(&release) {
                    self.count(&member, false);
                }
            }
        }
        self.settle_all(now)
    }

    /// Whether nobody stands in line.
    pub(crate) fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it is known.
    pub(crate) fn has(&self, release: &ReleaseId) -> bool {
        self.members.contains_key(release)
    }

    fn has_begun(&mut self, release: &ReleaseId) {
        let Some(member) = self.members.get(release).filter(|it| it.runs()) else { return };
        if let Some(state) = member.group().and_then(|it| self.groups.get_mut(it)) {
            state.begins(member.place(release));
        }
    }

    fn insert(&mut self, entrant: Entrant, phase: Phase) {
        let Entrant { release, claim, counted, created_at, requested_by } = entrant;
        let member = Member { claim, counted, created_at, requested_by, phase };
        if let Some(Group { name, order, limit }) = &member.claim.group {
            let place = member.place(&release);
            let state = self.groups.entry(name.clone()).or_default();
            state.members.insert(release.clone());
            if state.newest.as_ref().is_none_or(|it| *it < place) {
                (state.order, state.limit, state.newest) = (*order, *limit, Some(place));
            }
        }
        self.count(&member, true);
        self.members.insert(release, member);
    }

    fn find_rules(&mut self, group: &str) {
        let Some(state) = self.groups.get_mut(group) else { return };
        let places = state.members.iter().filter_map(|it| Some(self.members.get(it)?.place(it)));
        state.newest = places.max();
        let newest = state.newest.as_ref().and_then(|it| self.members.get(&it.release));
        if let Some(Group { order, limit, .. }) = newest.and_then(|it| it.claim.group.as_ref()) {
            (state.order, state.limit) = (*order, *limit);
        }
    }

    /// Counts a member in, or out.
    fn count(&mut self, member: &Member, is_in: bool) {
        let change = |count: &mut u32| *count = if is_in { *count + 1 } else { count.saturating_sub(1) };
        if let Some(state) = member.group().and_then(|it| self.groups.get_mut(it)).filter(|_| member.runs()) {
            change(&mut state.running);
        }
        let Some(tenant) = member.tenant() else { return };
        let of_tenant = self.tenants.entry(tenant.clone()).or_default();
        if member.runs() {
            change(&mut of_tenant.running);
            change(&mut self.total.running);
        } else if member.waits() {
            change(&mut of_tenant.waiting);
            change(&mut self.total.waiting);
        }
        if of_tenant.running == 0 && of_tenant.waiting == 0 {
            self.tenants.remove(tenant);
        }
    }

    fn line_up(&mut self, release: &ReleaseId) {
        let Some(member) = self.members.get_mut(release) else { return };
        member.phase = Phase::Waiting;
        let key = member.group().map(str::to_owned);
        let line = self.lines.entry(key).or_default().entry(member.tenant().cloned()).or_default();
        line.add(member.claim.priority, member.place(release));
    }

    fn take_from_line(&mut self, release: &ReleaseId, member: &Member) {
        let key = member.group().map(str::to_owned);
        let Some(lines) = self.lines.get_mut(&key) else { return };
        let tenant = member.tenant().cloned();
        if let Some(line) = lines.get_mut(&tenant) {
            line.remove(member.claim.priority, &member.place(release));
            if line.is_empty() {
                lines.remove(&tenant);
            }
        }
        if lines.is_empty() {
            self.lines.remove(&key);
        }
    }

    fn set_phase(&mut self, release: &ReleaseId, phase: Phase) {
        let Some(mut member) = self.members.remove(release) else { return };
        self.take_from_line(release, &member);
        self.count(&member, false);
        member.phase = phase;
        self.count(&member, true);
        self.members.insert(release.clone(), member);
    }

    /// Whether limits let one more of this tenant begin.
    fn limits_allow(&self, tenant: Option<&TenantName>) -> bool {
        let Some(tenant) = tenant else { return true };
        let allows = |limit: Option<u32>, running: u32| limit.is_none_or(|it| running < it);
        allows(self.limits.installation().releases, self.total.running)
            && allows(self.limits.of(tenant).releases, self.counts(Some(tenant)).0)
    }

    /// Whether one that comes in may begin, and nobody who waits goes before it.
    fn may_begin(&self, entrant: &Entrant, now: Timestamp) -> bool {
        if !self.limits_allow(Some(&entrant.claim.tenant).filter(|_| entrant.counted)) {
            return false;
        }
        let Some(group) = &entrant.claim.group else { return true };
        let Some(state) = self.groups.get(&group.name) else { return true };
        // Its own rules are the newest.
        if state.running >= group.limit {
            return false;
        }
        let place = entrant.place();
        let key = Some(group.name.clone());
        let waiting = self.lines.get(&key).into_iter().flat_map(|it| it.values());
        group.order == QueueOrder::Unordered
            || group.order == QueueOrder::LatestOnly
            || !waiting.filter_map(|it| it.head(group.order, now)).any(|(priority, head)| {
                rank(group.order, priority, head, now) < rank(group.order, entrant.claim.priority, &place, now)
            })
    }

    fn settle_all(&mut self, now: Timestamp) -> Vec<ReleaseId> {
        let keys: Vec<Option<String>> = self.lines.keys().cloned().collect();
        self.settle(&keys, now)
    }

    /// As one that has come into line, or has begun, may change things: in its group. Where limits hold somebody up,
    /// the time that has passed may have made another one the first anywhere.
    fn settle_around(&mut self, release: &ReleaseId, now: Timestamp) -> Vec<ReleaseId> {
        if self.limits.are_set() {
            return self.settle_all(now);
        }
        let key = self.members.get(release).and_then(|it| it.group()).map(str::to_owned);
        self.settle(&[key], now)
    }

    /// Lets in whoever may begin, of these lines; tells who has something to do.
    fn settle(&mut self, keys: &[Option<String>], now: Timestamp) -> Vec<ReleaseId> {
        let mut stirred = Vec::new();
        if !self.is_complete {
            return stirred;
        }
        for group in keys.iter().flatten() {
            self.give_way(group, &mut stirred);
        }
        while let Some(next) = self.next(keys, now) {
            self.set_phase(&next, Phase::Running(Some(now)));
            self.has_begun(&next);
            stirred.push(next);
        }
        stirred
    }

    /// Where only the newest goes on, the others that wait give way to it, even if it has begun: else they would come
    /// after it.
    fn give_way(&mut self, group: &str, stirred: &mut Vec<ReleaseId>) {
        let Some(state) = self.groups.get(group).filter(|it| it.order == QueueOrder::LatestOnly) else { return };
        let begun = state.begun.clone();
        let lines = self.lines.get(&Some(group.to_owned())).into_iter().flat_map(|it| it.values());
        let mut waiting: Vec<Place> = lines.flat_map(Line::places).cloned().collect();
        waiting.sort();
        let newest = match begun {
            Some(begun) if waiting.last().is_some_and(|it| *it < begun) => begun,
            _ => match waiting.pop() {
                Some(newest) => newest,
                None => return,
            },
        };
        for Place { release, .. } in waiting {
            self.set_phase(&release, Phase::GivesWay(newest.release.clone()));
            stirred.push(release);
        }
    }

    /// Who is to be let in next.
    fn next(&self, keys: &[Option<String>], now: Timestamp) -> Option<ReleaseId> {
        let mut best: Option<((i64, u32, Place), ReleaseId)> = None;
        for key in keys {
            let Some(lines) = self.lines.get(key) else { continue };
            let state = key.as_deref().map(|it| &self.groups[it]);
            if state.is_some_and(|it| !it.has_room()) {
                continue;
            }
            let order = state.map_or(QueueOrder::Unordered, |it| it.order);
            let heads = lines.iter().filter_map(|(tenant, line)| Some((tenant.as_ref(), line.head(order, now)?)));
            let heads: Vec<_> = match order {
                QueueOrder::Unordered => heads.collect(),
                // Nobody passes the first.
                _ => heads.min_by_key(|(_, (priority, head))| rank(order, *priority, head, now)).into_iter().collect(),
            };
            for (tenant, (priority, head)) in heads {
                if !self.limits_allow(tenant) {
                    continue;
                }
                // It gives way to a newer one that begins, unless nothing comes of that one.
                let newest = state.and_then(|it| it.beginning.last());
                if order == QueueOrder::LatestOnly && newest.is_some_and(|it| it > head) {
                    continue;
                }
                let running = tenant.map_or(0, |it| self.counts(Some(it)).0);
                let key = (head.class(priority, now), running, head.clone());
                if best.as_ref().is_none_or(|(it, _)| key < *it) {
                    best = Some((key, head.release.clone()));
                }
            }
        }
        best.map(|(_, release)| release)
    }

    /// The usual length of a workflow's releases: the median of the last ones, if there are enough.
    pub(super) fn usual_length(&self, workflow: &WorkflowName) -> Option<Span> {
        let lengths = self.lengths.get(workflow).filter(|it| it.len() >= 3)?;
        let mut lengths: Vec<Span> = lengths.iter().copied().collect();
        lengths.sort();
        Some(lengths[lengths.len() / 2])
    }

    /// Those that wait in the same line, the next one first: in a group, of a tenant, or all.
    pub(super) fn waiting(&self, of: impl Fn(&Member) -> bool, order: QueueOrder, now: Timestamp) -> Vec<&ReleaseId> {
        let waiting = self.members.iter().filter(|(_, it)| it.phase == Phase::Waiting && of(it));
        let mut waiting: Vec<_> =
            waiting.map(|(release, it)| (rank(order, it.claim.priority, &it.place(release), now), release)).collect();
        waiting.sort();
        waiting.into_iter().map(|(_, release)| release).collect()
    }
}

/// Where one stands among those that wait in a group: less goes first. Those that want the newest first do not want
/// the oldest because it is old.
pub(super) fn rank(
    order: QueueOrder,
    priority: windlass_model::concurrency::Priority,
    place: &Place,
    now: Timestamp,
) -> (i64, Result<Place, Reverse<Place>>) {
    match order {
        QueueOrder::Unordered | QueueOrder::OldestFirst => (place.class(priority, now), Ok(place.clone())),
        QueueOrder::NewestFirst | QueueOrder::LatestOnly => (priority as i64, Err(Reverse(place.clone()))),
    }
}
