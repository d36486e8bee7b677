//! Who needs whom: unknown steps, circles, phases; and which steps have ended when a step starts.

use std::collections::BTreeMap;

use crate::graph::circles;
use crate::parse::{At, Draft, DraftStep};
use crate::problem::{Label, Report, did_you_mean, listed};
use crate::workflow::OnFailure;

/// What is known of the order of steps.
pub(crate) struct Order {
    places: BTreeMap<String, usize>,
    /// Per step: the steps that have ended when it starts.
    before: Vec<Steps>,
    /// Per step: the steps that have output only if their own condition holds, and without which this
    /// step is skipped too.
    skipped_with: Vec<Steps>,
}

/// A set of steps by their place in the file.
#[derive(Clone)]
struct Steps(Vec<u64>);

impl Steps {
    fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn add(&mut self, step: usize) {
        self.0[step / 64] |= 1 << (step % 64);
    }

    fn has(&self, step: usize) -> bool {
        self.0[step / 64] & (1 << (step % 64)) != 0
    }

    fn add_all(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            changed |= *theirs & !*mine != 0;
            *mine |= theirs;
        }
        changed
    }

    fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine &= theirs);
    }
}

impl Order {
    /// Whether `earlier` has ended when `step` starts.
    pub(crate) fn ended_before(&self, earlier: &str, step: &str) -> bool {
        match (self.places.get(earlier), self.places.get(step)) {
            (Some(earlier), Some(step)) => self.before[*step].has(*earlier),
            _ => false,
        }
    }

    /// Whether `step` can run although `earlier`, which has ended, gave no output.
    pub(crate) fn runs_without(&self, draft: &Draft, earlier: &DraftStep, step: &str) -> bool {
        let skipped_with_it = || match (self.places.get(&earlier.name.value), self.places.get(step)) {
            (Some(from), Some(to)) => self.skipped_with[*to].has(*from),
            _ => true,
        };
        earlier.on_failure == OnFailure::Continue || self.may_be_skipped(draft, earlier) && !skipped_with_it()
    }

    /// Whether a release can succeed although this step gave no output.
    pub(crate) fn may_give_nothing(&self, draft: &Draft, step: &DraftStep) -> bool {
        step.on_failure == OnFailure::Continue || self.may_be_skipped(draft, step)
    }

    /// Whether conditions may skip it, its own or, by a chain of needs, those of what it needs.
    fn may_be_skipped(&self, draft: &Draft, step: &DraftStep) -> bool {
        let Some(place) = self.places.get(&step.name.value) else { return false };
        (0..draft.steps.len())
            .any(|at| draft.steps[at].when.is_some() && (at == *place || self.skipped_with[*place].has(at)))
    }
}

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) -> Order {
    let count = draft.steps.len();
    let places: BTreeMap<String, usize> =
        draft.steps.iter().enumerate().map(|(at, it)| (it.name.value.clone(), at)).collect();
    let phase_of: Vec<Option<usize>> = draft.steps.iter().map(|it| check_phase(draft, it, report)).collect();
    check_unused_phases(draft, &phase_of, report);
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (at, step) in draft.steps.iter().enumerate() {
        for need in &step.needs {
            let Some(needed) = places.get(&need.value).copied() else {
                unknown_need(draft, step, need, report);
                continue;
            };
            if needed == at {
                report
                    .error(need.extent, "self-need", format!("step `{}` needs itself", need.value))
                    .suggest("leave it out");
                continue;
            }
            if step.finally != draft.steps[needed].finally {
                let message = if step.finally {
                    format!(
                        "`{}` runs when all of `steps` is over, and need not wait for `{}`",
                        step.name.value, need.value
                    )
                } else {
                    format!("`{}` needs `{}`, which runs only when all is over", step.name.value, need.value)
                };
                report.error(need.extent, "finally", message).suggest("leave it out");
                continue;
            }
            needs[at].push(needed);
            if let (Some(own), Some(other)) = (phase_of[at], phase_of[needed])
                && other > own
            {
                let place = report.source.place(draft.steps[needed].phase.as_ref().map_or(need.extent, |it| it.extent));
                let problem = report.error(
                    need.extent,
                    "need-in-later-phase",
                    format!(
                        "step `{}` of phase `{}` needs `{}`, which runs later, in phase `{}`",
                        step.name.value, draft.phases[own].value, need.value, draft.phases[other].value
                    ),
                );
                problem.labels.push(Label { place, text: "its phase".to_owned() });
                problem.note("steps of a phase start when those of the phases before it have ended");
            }
        }
    }
    check_rollback_order(draft, &places, &needs, &phase_of, report);
    for circle in circles(&needs) {
        report_circle(draft, &circle, report);
    }
    let before = steps_before(&needs, &phase_of);
    let skipped_with = skipped_with(&needs);
    Order { places, before, skipped_with }
}

/// `rollback_after` names other steps, and leaves a rollback an order.
fn check_rollback_order(
    draft: &Draft,
    places: &BTreeMap<String, usize>,
    needs: &[Vec<usize>],
    phase_of: &[Option<usize>],
    report: &mut Report<'_>,
) {
    if draft.steps.iter().all(|it| it.rollback_after.is_empty()) {
        return;
    }
    let before = steps_before(needs, phase_of);
    // Who is rolled back before whom: what runs after a step, and what it asks for.
    let mut first: Vec<Vec<usize>> = vec![Vec::new(); draft.steps.len()];
    for (at, before) in before.iter().enumerate() {
        (0..draft.steps.len()).filter(|it| before.has(*it)).for_each(|it| first[it].push(at));
    }
    for (at, step) in draft.steps.iter().enumerate() {
        for asked in &step.rollback_after {
            let name = &asked.value;
            let Some(other) = places.get(name).copied().filter(|it| !draft.steps[*it].finally) else {
                let problem =
                    report.error(asked.extent, "unknown-step", format!("there is no step `{name}` to roll back"));
                problem.suggest_some(did_you_mean(name, draft.step_names()));
                continue;
            };
            if other == at {
                report.error(
                    asked.extent,
                    "rollback-order",
                    format!("step `{name}` cannot be rolled back after itself"),
                );
            } else if before[at].has(other) {
                report
                    .error(
                        asked.extent,
                        "rollback-order",
                        format!("`{}` runs after `{name}`, so it is rolled back before it", step.name.value),
                    )
                    .suggest("leave it out");
            } else {
                let mut with = first.clone();
                with[at].push(other);
                let own = circles(&with).into_iter().any(|it| it.contains(&at) && it.contains(&other));
                if own {
                    report.error(
                        asked.extent,
                        "rollback-order",
                        format!("`{name}` waits for `{}` in a rollback already", step.name.value),
                    );
                } else {
                    first = with;
                }
            }
        }
    }
}

fn check_phase(draft: &Draft, step: &DraftStep, report: &mut Report<'_>) -> Option<usize> {
    let names = || draft.phases.iter().map(|it| it.value.as_str());
    match &step.phase {
        Some(phase) => {
            let found = names().position(|it| it == phase.value);
            if found.is_none() {
                let problem =
                    report.error(phase.extent, "unknown-phase", format!("there is no phase `{}`", phase.value));
                if draft.phases_extent.is_none() {
                    problem.suggest(format!("add `phases: [{}]` at the top of the file", phase.value));
                } else {
                    problem.note(format!("the phases are {}", listed(names())));
                    problem.suggest_some(did_you_mean(&phase.value, names()));
                }
            }
            found
        }
        None => {
            if !draft.phases.is_empty() && !step.finally {
                report
                    .error(
                        step.name.extent,
                        "missing-phase",
                        format!("step `{}` belongs to no phase, so nothing would hold it back", step.name.value),
                    )
                    .note(format!("the phases are {}", listed(names())))
                    .suggest("add `phase:`");
            }
            None
        }
    }
}

fn check_unused_phases(draft: &Draft, phase_of: &[Option<usize>], report: &mut Report<'_>) {
    for (at, phase) in draft.phases.iter().enumerate() {
        if !phase_of.contains(&Some(at)) {
            report.warning(phase.extent, "unused-phase", format!("no step belongs to the phase `{}`", phase.value));
        }
    }
}

fn unknown_need(draft: &Draft, step: &DraftStep, need: &At<String>, report: &mut Report<'_>) {
    let others = || draft.step_names().filter(|it| *it != step.name.value);
    let suggestion = did_you_mean(&need.value, others());
    let is_phase = draft.phases.iter().any(|it| it.value.as_str() == need.value);
    let problem = report.error(
        need.extent,
        "unknown-step",
        format!("step `{}` needs `{}`, which does not exist", step.name.value, need.value),
    );
    if is_phase {
        problem.note(format!("`{}` is a phase; phases run in their order without being needed", need.value));
    } else if suggestion.is_none() && others().next().is_some() {
        problem.note(format!("the other steps are {}", listed(others())));
    }
    problem.suggest_some(suggestion.filter(|_| !is_phase));
}

/// The whole circle, each need with its place.
fn report_circle(draft: &Draft, circle: &[usize], report: &mut Report<'_>) {
    let name = |at: usize| draft.steps[circle[at % circle.len()]].name.value.as_str();
    let place_of = |at: usize| {
        let step = &draft.steps[circle[at]];
        step.needs.iter().find(|it| it.value == name(at + 1)).map_or(step.name.extent, |it| it.extent)
    };
    let path: Vec<String> = (0..=circle.len()).map(|it| format!("`{}`", name(it))).collect();
    let labels: Vec<Label> = (1..circle.len().min(12))
        .map(|at| Label {
            place: report.source.place(place_of(at)),
            text: format!("`{}` needs `{}`", name(at), name(at + 1)),
        })
        .collect();
    let shown = if path.len() > 14 {
        format!("{} … {}", path[..12].join(" needs "), path[path.len() - 1])
    } else {
        path.join(" needs ")
    };
    let problem = report.error(place_of(0), "circle", format!("steps need each other in a circle: {shown}"));
    problem.labelled(format!("`{}` needs `{}`", name(0), name(1)));
    problem.labels = labels;
    problem.suggest("leave out one of these needs");
}

/// For each step those that have ended when it starts: what it needs, directly or not, and everything in
/// earlier phases. Circles only add their own members.
fn steps_before(needs: &[Vec<usize>], phase_of: &[Option<usize>]) -> Vec<Steps> {
    let count = needs.len();
    let mut before = vec![Steps::none(count); count];
    for (at, phase) in phase_of.iter().enumerate() {
        let Some(own) = phase else { continue };
        for (other, phase) in phase_of.iter().enumerate() {
            if phase.is_some_and(|it| it < *own) {
                before[at].add(other);
            }
        }
    }
    // To and fro, so that a chain is followed at once whichever way the file writes it.
    let mut forward = false;
    loop {
        forward = !forward;
        let mut changed = false;
        for turn in 0..count {
            let at = if forward { turn } else { count - 1 - turn };
            let mut more = Steps::none(count);
            for needed in &needs[at] {
                more.add(*needed);
                more.add_all(&before[*needed]);
            }
            changed |= before[at].add_all(&more);
        }
        if !changed {
            return before;
        }
    }
}

/// For each step those whose being skipped skips it: a step is skipped when all that it needs is.
fn skipped_with(needs: &[Vec<usize>]) -> Vec<Steps> {
    let count = needs.len();
    let mut with: Vec<Steps> = (0..count)
        .map(|at| {
            let mut own = Steps::none(count);
            own.add(at);
            own
        })
        .collect();
    for _ in 0..count {
        let mut changed = false;
        for at in 0..count {
            let Some((first, rest)) = needs[at].split_first() else { continue };
            let mut all = with[*first].clone();
            rest.iter().for_each(|it| all.keep(&with[*it]));
            changed |= with[at].add_all(&all);
        }
        if !changed {
            break;
        }
    }
    with
}
