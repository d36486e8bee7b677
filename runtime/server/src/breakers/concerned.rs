//! Which breakers a release has to do with as a whole, and what its end says to each: its workflow's, its tenant's, and
//! those of the services that it delivers or requires.

use std::collections::BTreeMap;

use windlass_engine::{Release, StepState};
use windlass_model::breaker::BreakerKey;
use windlass_model::event::Outcome;
use windlass_model::graph::StepIndex;
use windlass_model::service::{Place, Promise};

use crate::runtime::Inner;
use crate::services::{is_taken_back, promise_of};

/// What the end of a release says to a breaker; of several things the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Nothing.
    None,
    /// It went well there.
    Good,
    /// It did not.
    Bad,
}

/// The breakers of a release's workflow and tenant. Of those that go on inside of each other the tenant has one.
fn of_any(release: &Release) -> impl Iterator<Item = BreakerKey> {
    let is_outermost = release.created().parent.is_none();
    let tenant = || BreakerKey::Tenant(release.plan().workflow().tenant.clone().unwrap_or_default());
    [BreakerKey::Workflow(release.id().workflow().clone())].into_iter().chain(is_outermost.then(tenant))
}

/// What a breaker does with a release of which nothing has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It is held unless the breaker is closed, or it is the probe.
    UntilProbed,
    /// It is held while the breaker is open. How it ends says nothing there, so that it is no probe.
    WhileOpen,
}

/// What holds a release as a whole.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The breakers, each with what it does.
    pub(super) keys: BTreeMap<BreakerKey, Held>,
    /// The releases inside of which it goes on: it is a part of what one of them may be the probe of, which could not end
    /// without it.
    pub(super) within: Vec<String>,
}

/// What holds a release of which nothing has begun; with the places for which it has steps only if these are wanted, for
/// they have to be looked for in its plan. How other releases end says nothing of a rehearsal.
pub(super) fn holders(inner: &Inner, release: &Release, with_places: bool) -> Holders {
    if release.has_begun() || release.created().rehearsal {
        return Holders::default();
    }
    let promise = if with_places { promise_of(inner, release).unwrap_or_default() } else { Promise::default() };
    let needs = promise.needs.iter().map(|it| &it.need.place);
    let concerned = promise.deliveries.iter().map(|it| &it.delivery.place).chain(needs);
    let delivered: Vec<Place> = own_deliveries(release).into_iter().map(|(_, place)| place).collect();
    let until_probed = of_any(release).chain(delivered.iter().flat_map(BreakerKey::of_place));
    let all = concerned.flat_map(BreakerKey::of_place).map(|it| (it, Held::WhileOpen));
    let keys: BTreeMap<BreakerKey, Held> = all.chain(until_probed.map(|it| (it, Held::UntilProbed))).collect();
    // Journals are read for that: only while it matters.
    let mut within = Vec::new();
    let mut parent = release.created().parent.clone().filter(|_| inner.breakers.is_one_probed(&keys));
    while let Some(outer) = parent {
        within.push(outer.release.to_string());
        parent = inner.replay(&outer.release).ok().and_then(|it| it.created().parent.clone());
    }
    Holders { keys, within }
}

/// What the end of a release says to each of the breakers that it has to do with.
///
/// Of a place it says something if steps of the release itself were to deliver something there: what stands went well;
/// when the release failed or was rolled back, the others did not, but for those whose turn had not come yet, since a
/// place before them had not got its version.
pub(super) fn verdicts(release: &Release) -> BTreeMap<BreakerKey, Verdict> {
    // How rehearsals and dry runs end says nothing of the workflow.
    let says_something = !release.created().rehearsal && !release.is_dry_run();
    let verdict = match release.outcome().filter(|_| says_something) {
        Some(Outcome::Succeeded) => Verdict::Good,
        Some(Outcome::Failed | Outcome::RolledBack | Outcome::PartiallyRolledBack) => Verdict::Bad,
        Some(Outcome::Canceled) | None => Verdict::None,
    };
    let mut verdicts: BTreeMap<BreakerKey, Verdict> = of_any(release).map(|it| (it, verdict)).collect();
    for (place, verdict) in of_places(release, verdict) {
        for key in BreakerKey::of_place(&place) {
            let known = verdicts.entry(key).or_insert(Verdict::None);
            *known = verdict.max(*known);
        }
    }
    verdicts
}

/// The steps of a release that deliver something, but for those that were skipped, and where.
fn own_deliveries(release: &Release) -> Vec<(StepIndex, Place)> {
    let was_skipped = |it: StepIndex| matches!(release.step(it).state, StepState::Skipped { .. });
    let resolved = |it: &StepIndex| {
        let delivers = release.definition(*it).delivers.as_ref()?;
        Some((*it, release.with_scope(|scope| delivers.resolve(scope)).ok()?.place))
    };
    release.plan().delivering().iter().filter(|it| !was_skipped(**it)).filter_map(resolved).collect()
}

/// What the end of a release says of each place for which a step of it was to deliver something.
fn of_places(release: &Release, end: Verdict) -> Vec<(Place, Verdict)> {
    let own = own_deliveries(release);
    let was_there = |it: StepIndex| release.step(it).output.is_some();
    let all_were_there = own.iter().all(|(it, _)| was_there(*it));
    // One inside of another goes back with that one, whose own steps were at fault.
    let goes_back_with_outer = all_were_there && release.created().parent.is_some();
    let of_one = |step: StepIndex| match end {
        Verdict::Bad if was_there(step) && !is_taken_back(release, step) => Verdict::Good,
        // What went back for the sake of another place says nothing of its own.
        Verdict::Bad if was_there(step) && (!all_were_there || goes_back_with_outer) => Verdict::None,
        Verdict::Bad => {
            let before = release.plan().graph().ancestors(step);
            let its_turn_came = own.iter().all(|(it, _)| !before.contains(it) || was_there(*it));
            if its_turn_came { Verdict::Bad } else { Verdict::None }
        }
        end => end,
    };
    own.iter().map(|(step, place)| (place.clone(), of_one(*step))).collect()
}
