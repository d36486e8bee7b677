//! Rules about deadlines, how many failures a phase tolerates, points of no return, and what runs last.

use windlass_model::event::{Event, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::name::PhaseName;
use windlass_model::time::Timestamp;
use windlass_model::workflow::{Deadline, OnDeadline};

use super::fan_out::allowed;
use super::{Phase, State, Within, Witness};
use crate::violation::{Violation, ensure, violated};

/// Since when a release and its phases run.
#[derive(Debug)]
pub(super) struct Clock {
    since: Timestamp,
    /// Whether the release's deadline has passed.
    late: bool,
    phases: Vec<PhaseClock>,
}

#[derive(Debug, Clone, Default)]
struct PhaseClock {
    began: Option<Timestamp>,
    late: bool,
}

impl Clock {
    pub(super) fn new(phases: usize) -> Self {
        Self { since: Timestamp(0), late: false, phases: vec![PhaseClock::default(); phases] }
    }
}

impl Witness {
    fn phase_of(&self, step: StepIndex) -> Option<usize> {
        let phase = self.definition(step).phase.as_ref()?;
        self.plan.workflow().phases.iter().position(|it| it == phase)
    }

    fn steps_of(&self, phase: usize) -> impl Iterator<Item = StepIndex> + '_ {
        self.planned().filter(move |it| self.phase_of(*it) == Some(phase))
    }

    /// The release began, or began anew after it had ended.
    pub(super) fn clock_begins_anew(&mut self) {
        let mut clock = Clock::new(self.clock.phases.len());
        clock.since = self.at;
        for (place, phase) in clock.phases.iter_mut().enumerate() {
            let begun = self.steps_of(place).any(|it| self.seen(it).began);
            phase.began = begun.then_some(self.at);
        }
        self.clock = clock;
    }

    /// A step has stopped waiting.
    pub(super) fn began(&mut self, step: StepIndex) {
        self.seen_mut(step).began = true;
        if let Some(phase) = self.phase_of(step) {
            let began = &mut self.clock.phases[phase].began;
            *began = began.or(Some(self.at));
        }
    }

    /// The deadlines that stand: of which phase or of the release, when, and what then.
    pub(super) fn deadlines(&self) -> Vec<(Option<usize>, Timestamp, OnDeadline)> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        let workflow = self.plan.workflow();
        let of_release = workflow.deadline.filter(|_| !self.clock.late);
        let at = |since: Timestamp, it: Deadline| (since + it.within, it.then);
        let mut all: Vec<_> =
            of_release.map(|it| at(self.clock.since, it)).map(|(at, then)| (None, at, then)).into_iter().collect();
        for (place, phase) in self.clock.phases.iter().enumerate() {
            let rules = workflow.phase_rules.get(&workflow.phases[place]);
            let unfinished = self.steps_of(place).any(|it| !self.seen(it).state.lets_dependents_run());
            if let (Some(deadline), Some(began)) = (rules.and_then(|it| it.deadline), phase.began)
                && unfinished
                && !phase.late
            {
                let (at, then) = at(began, deadline);
                all.push((Some(place), at, then));
            }
        }
        all
    }

    pub(super) fn deadline_passed(
        &mut self,
        phase: Option<&PhaseName>,
        within: &mut Within<'_>,
    ) -> Result<(), Violation> {
        let place = phase.map(|it| self.plan.workflow().phases.iter().position(|at| at == it));
        let standing = self.deadlines().into_iter().find(|(of, at, _)| place == of.map(Some) && *at <= self.at);
        let Some((of, _, then)) = standing else {
            return violated("a deadline passes when its time is over", format!("{phase:?}: {:?}", self.deadlines()));
        };
        match of {
            Some(place) => self.clock.phases[place].late = true,
            None => self.clock.late = true,
        }
        // Past a point of no return there is only forward.
        let stops = match then {
            _ if self.is_dry_run() => Some(false),
            OnDeadline::Fail => Some(false),
            OnDeadline::Rollback if self.is_past_pivot() => None,
            OnDeadline::Rollback => Some(true),
            OnDeadline::Pause => None,
        };
        let follows = match (stops, within.next) {
            (Some(expected), Some(Event::CancelingStarted { rollback })) => *rollback == expected,
            (Some(_), _) => false,
            (None, next) => !matches!(next, Some(Event::CancelingStarted { .. })),
        };
        ensure(follows, "what follows a deadline is what the file says", || {
            format!("{then:?}, and {:?} follows", within.next)
        })?;
        within.overdue = stops;
        self.paused |= stops.is_none();
        self.counts.add(match (of, then, stops) {
            (_, OnDeadline::Rollback, None) => "deadline: passed, past the point of no return",
            (None, OnDeadline::Fail, _) => "deadline: of the release, failed",
            (None, OnDeadline::Rollback, _) => "deadline: of the release, rolled back",
            (None, OnDeadline::Pause, _) => "deadline: of the release, paused",
            (Some(_), OnDeadline::Fail, _) => "deadline: of a phase, failed",
            (Some(_), OnDeadline::Rollback, _) => "deadline: of a phase, rolled back",
            (Some(_), OnDeadline::Pause, _) => "deadline: of a phase, paused",
        });
        Ok(())
    }

    /// Whether a phase has more failures than it tolerates; then whether it is rolled back.
    fn too_many(&self, phase: usize) -> Option<bool> {
        let workflow = self.plan.workflow();
        let threshold = workflow.phase_rules.get(&workflow.phases[phase])?.threshold?;
        let failed = |it: &StepIndex| self.seen(*it).state == State::Failed { tolerated: true };
        let (mut all, mut failures) = (0, 0);
        for step in self.steps_of(phase) {
            let items: Vec<StepIndex> = self.current_items(step).collect();
            all += items.len().max(1);
            failures += items.iter().filter(|it| failed(it)).count() + usize::from(failed(&step));
        }
        (failures > allowed(threshold.failures_allowed, all)).then_some(threshold.rollback)
    }

    pub(super) fn has_too_many(&self, step: StepIndex) -> bool {
        self.phase_of(step).is_some_and(|it| self.too_many(it).is_some())
    }

    /// Whether failing is to begin because of a tolerated failure of this step; then whether a rollback follows.
    pub(super) fn one_too_many(&self, step: StepIndex) -> Option<bool> {
        self.too_many(self.phase_of(step)?)
    }

    pub(super) fn no_phase_has_too_many_failures(&self) -> Result<(), Violation> {
        let phase = (0..self.clock.phases.len()).find(|it| self.too_many(*it).is_some());
        ensure(phase.is_none(), "a phase tolerates what its file says", || {
            format!("phase {:?} has more failures, and the release runs on", phase)
        })
    }

    /// Whether there is only forward: an effect of a point of no return stands, or may.
    pub(super) fn is_past_pivot(&self) -> bool {
        // What a dry run does there is a way back from.
        !self.is_dry_run() && self.all().any(|it| self.definition(it).pivot && !self.seen(it).standing.is_empty())
    }

    pub(super) fn finally_started(&mut self, outcome: Outcome, within: &Within<'_>) -> Result<(), Violation> {
        self.ensure_end_fits(outcome, within)?;
        let last: Vec<StepIndex> = self.planned().filter(|it| self.definition(*it).finally).collect();
        ensure(!last.is_empty(), "only what there is runs last", || format!("{outcome:?}"))?;
        self.counts.add(match outcome {
            Outcome::Succeeded => "finally: after success",
            Outcome::Failed => "finally: after a failure",
            Outcome::Canceled => "finally: after a cancel",
            Outcome::RolledBack => "finally: after a rollback",
            Outcome::PartiallyRolledBack => "finally: after half a rollback",
        });
        if last.iter().any(|it| self.seen(*it).attempts > 0) {
            self.counts.add("finally: again");
        }
        self.phase = Phase::Finishing { outcome, canceled: false };
        self.paused = false;
        if let Some(facts) = self.facts.as_object_mut() {
            let word = match outcome {
                Outcome::Succeeded => "succeeded",
                Outcome::Failed => "failed",
                Outcome::Canceled => "canceled",
                Outcome::RolledBack => "rolled_back",
                Outcome::PartiallyRolledBack => "partially_rolled_back",
            };
            facts.insert("outcome".to_owned(), word.into());
        }
        for step in last {
            let waits = self.seen(step).state == State::Waiting;
            let passed_over = self.seen_mut(step).passed_over.take().filter(|_| waits);
            self.begin_anew(step);
            self.seen_mut(step).passed_over = passed_over;
        }
        Ok(())
    }

    /// How a release ends that runs what runs last: as it would have, but no failure of these is a success.
    pub(super) fn ensure_last_is_over(&self, decided: Outcome, canceled: bool, end: Outcome) -> Result<(), Violation> {
        let last: Vec<StepIndex> = self.all().filter(|it| self.definition(*it).finally).collect();
        let goes_on = last.iter().any(|it| match &self.seen(*it).state {
            State::Active(_) | State::FannedOut => true,
            State::Paused(_) | State::Held { .. } => !canceled,
            State::Waiting => !canceled && !self.is_item(*it) && self.may_start(*it),
            _ => false,
        });
        ensure(!goes_on, "a release ends when what runs last is over", || {
            last.iter().map(|it| format!("{} {} ", self.name(*it), self.seen(*it).state.name())).collect()
        })?;
        let failed = |it: &StepIndex| !self.is_item(*it) && self.seen(*it).state == State::Failed { tolerated: false };
        let fails = !canceled && last.iter().any(failed) && decided == Outcome::Succeeded;
        let expected = if fails { Outcome::Failed } else { decided };
        ensure(end == expected, "how a release ends is decided before what runs last", || {
            format!("{end:?}, not {expected:?}")
        })
    }
}
