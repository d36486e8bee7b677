//! Rules about events of the release as a whole.

use std::collections::BTreeSet;

use windlass_model::event::{Event, Intervention, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::plan::Plan;
use windlass_model::workflow::OnFailure;

use super::dry_run::DRY_RUN;
use super::start::REHEARSAL;
use super::{Phase, State, Within, Witness};
use crate::violation::{Violation, ensure, violated};
use crate::world::World;

const TURN: &str = "a release waits for its turn, or is stopped before it";

const PIVOT: &str = "past a point of no return nothing is rolled back";

impl Witness {
    pub(super) fn release_event<'a>(
        &mut self,
        event: &'a Event,
        within: &mut Within<'a>,
        is_first: bool,
        world: &World,
    ) -> Result<(), Violation> {
        match event {
            Event::ReleaseCreated(created) => {
                ensure(is_first && **created == self.created, "a journal begins with the creation, once", || {
                    format!("it is event {} of record {}", self.events, self.records)
                })?;
                self.clock_begins_anew();
                Ok(())
            }
            Event::LeftAlone => {
                ensure(within.next.is_none(), "what is left alone is a whole record", || format!("{:?}", within.next))
            }
            Event::Intervened { reason, intervention, .. } => {
                ensure(!reason.trim().is_empty(), "an intervention has a reason", || format!("{intervention:?}"))?;
                self.intervened(intervention, within)
            }
            Event::FailingStarted { step, rollback } => {
                let index = self.index(step)?;
                let passed = self.is_past_pivot();
                let (fits, wants) = match self.seen(index).state {
                    State::Failed { tolerated: false } => {
                        (true, self.definition(index).on_failure == OnFailure::Rollback)
                    }
                    State::Failed { tolerated: true } => {
                        let too_many = self.one_too_many(index);
                        self.counts.add("phase: one failure too many");
                        (too_many.is_some() && self.phase == Phase::Running, too_many == Some(true))
                    }
                    _ => (false, false),
                };
                ensure(
                    fits && *rollback == (wants && !passed && !self.is_dry_run()),
                    "failing begins with a step that failed",
                    || format!("{step} is {}, rollback: {rollback}", self.seen(index).state.name()),
                )?;
                match self.phase {
                    Phase::Running => {}
                    Phase::Failing { rollback: false } if *rollback => {}
                    other => return violated("failing begins once", format!("the release was {other:?}")),
                }
                self.phase = Phase::Failing { rollback: *rollback };
                self.paused = false;
                Ok(())
            }
            Event::CancelingStarted { rollback } => {
                ensure(within.cancels() == Some(*rollback), "only people and deadlines cancel", || {
                    format!("the release was {:?}, asked was {:?}", self.phase, within.asked)
                })?;
                ensure(!rollback || !self.is_past_pivot(), PIVOT, || "a cancel".to_owned())?;
                ensure(!rollback || !self.is_dry_run(), DRY_RUN, || "a cancel".to_owned())?;
                self.phase = match self.phase {
                    Phase::Running | Phase::Failing { .. } => {
                        Phase::Canceling { rollback: *rollback, overdue: within.overdue.is_some() }
                    }
                    Phase::Finishing { outcome, canceled: false } if !rollback => {
                        self.counts.add("finally: canceled");
                        Phase::Finishing { outcome, canceled: true }
                    }
                    other => return violated("what is over is not canceled", format!("the release was {other:?}")),
                };
                self.paused = false;
                Ok(())
            }
            Event::DeadlinePassed { phase } => self.deadline_passed(phase.as_ref(), within),
            Event::StepsReset { steps } => self.steps_reset(steps, within),
            Event::FinallyStarted { outcome } => self.finally_started(*outcome, within),
            Event::RollbackStarted { .. } => self.rollback_started(within),
            Event::Admitted => {
                ensure(self.phase == Phase::Queued, TURN, || format!("the release was {:?}", self.phase))?;
                self.phase = Phase::Running;
                self.admitted = true;
                self.clock_begins_anew();
                self.counts.add("queue: its turn came");
                Ok(())
            }
            Event::Superseded { .. } => {
                let ends = matches!(within.next, Some(Event::ReleaseEnded { outcome: Outcome::Canceled, .. }));
                ensure(self.phase == Phase::Queued && ends, TURN, || format!("{:?} follows", within.next))?;
                self.counts.add("queue: a newer one in its stead");
                Ok(())
            }
            Event::ReleaseEnded { outcome, .. } => self.ended(*outcome, within, world),
            other => violated("events are about steps of the plan", format!("{other:?} names none")),
        }
    }

    fn rollback_started(&mut self, within: &Within<'_>) -> Result<(), Violation> {
        let caused = match self.phase {
            Phase::Failing { rollback } | Phase::Canceling { rollback, .. } => rollback,
            Phase::Ended(Outcome::Succeeded | Outcome::Failed | Outcome::Canceled) => {
                within.asked == Some(&Intervention::Rollback)
            }
            Phase::Ended(Outcome::RolledBack | Outcome::PartiallyRolledBack)
            | Phase::Queued
            | Phase::Finishing { .. }
            | Phase::RollingBack => false,
            Phase::Running => {
                let has_ended = |it| self.definition(it).finally || self.seen(it).state.lets_dependents_run();
                let is_done = self.planned().all(has_ended);
                ensure(self.created.rehearsal && is_done, REHEARSAL, || "it is rolled back".to_owned())?;
                self.counts.add("rehearsal: rolled back");
                true
            }
        };
        ensure(caused, "a rollback has a cause", || format!("the release was {:?}", self.phase))?;
        ensure(self.active().next().is_none(), "a rollback waits for what runs", || {
            let names: Vec<_> = self.active().map(|(it, _)| self.name(it).to_string()).collect();
            format!("{} still run", names.join(", "))
        })?;
        ensure(!self.is_past_pivot(), PIVOT, || "a rollback".to_owned())?;
        ensure(!self.is_dry_run(), DRY_RUN, || "a rollback".to_owned())?;
        self.phase = Phase::RollingBack;
        // A pause holds what goes forward.
        self.paused = false;
        self.rollback = self.all().filter(|it| self.is_to_be_rolled_back(*it)).collect();
        Ok(())
    }

    /// Whether a release may end so now, save for what runs last.
    pub(super) fn ensure_end_fits(&self, outcome: Outcome, within: &Within<'_>) -> Result<(), Violation> {
        let forward = || self.planned().filter(|it| !self.definition(*it).finally);
        let every = |holds: &dyn Fn(&State) -> bool| forward().all(|it| holds(&self.seen(it).state));
        let idle = self.active().next().is_none() && every(&|it| *it != State::FannedOut);
        let is = |what: &State| self.rollback.iter().filter(|it| self.seen(**it).state == *what).count();
        let (gone, left) = (is(&State::RolledBack), is(&State::LeftInPlace));
        let settled = gone + left == self.rollback.len();
        let fails =
            || !every(&|it| *it != State::Failed { tolerated: false }) || forward().any(|it| self.has_too_many(it));
        let fits = match (outcome, self.phase) {
            (Outcome::Succeeded, Phase::Running) => !self.created.rehearsal && every(&State::lets_dependents_run),
            (Outcome::Failed, Phase::Failing { rollback: false }) => idle && fails(),
            (Outcome::Failed, Phase::Failing { rollback: true }) => idle && fails() && self.is_past_pivot(),
            (Outcome::Canceled, Phase::Canceling { rollback: false, overdue: false }) => idle,
            (Outcome::Failed, Phase::Canceling { rollback: false, overdue: true }) => idle,
            (Outcome::RolledBack, Phase::RollingBack) => idle && settled && left == 0,
            (Outcome::PartiallyRolledBack, Phase::RollingBack) => {
                idle && if settled { left > 0 } else { within.cancels() == Some(false) }
            }
            _ => false,
        };
        ensure(fits, "an end fits the steps", || {
            let states: Vec<String> =
                self.all().map(|it| format!("{} {}", self.name(it), self.seen(it).state.name())).collect();
            format!("{outcome:?} after {:?}: {}", self.phase, states.join(", "))
        })
    }

    fn ended(&mut self, outcome: Outcome, within: &Within<'_>, world: &World) -> Result<(), Violation> {
        let has_last = self.planned().any(|it| self.definition(it).finally);
        match self.phase {
            Phase::Finishing { outcome: decided, canceled } => self.ensure_last_is_over(decided, canceled, outcome)?,
            // Nothing has begun that anything could come after.
            Phase::Queued => {
                let superseded = matches!(within.previous, Some(Event::Superseded { .. }));
                let asked = matches!(within.asked, Some(Intervention::Cancel { .. } | Intervention::Rollback));
                ensure((asked || superseded) && outcome == Outcome::Canceled, TURN, || {
                    format!("{outcome:?} after {:?}", within.asked)
                })?;
                if !superseded {
                    self.counts.add("queue: stopped");
                }
            }
            _ => {
                ensure(!has_last, "what runs last runs", || format!("it ends {outcome:?} without"))?;
                self.ensure_end_fits(outcome, within)?;
            }
        }
        if outcome == Outcome::RolledBack {
            for step in &self.rollback {
                ensure(world.is_rolled_back(*step) && !world.is_open(*step), "what is rolled back is gone", || {
                    format!("the effect of {} is still there", self.name(*step))
                })?;
            }
        }
        self.phase = Phase::Ended(outcome);
        self.paused = false;
        if self.is_dry_run() {
            let effects = self.all().any(|it| world.is_open(it));
            ensure(!effects, "a dry run has no effect", || format!("it ends {outcome:?}"))?;
            self.counts.add("dry run: over");
        }
        self.counts.add(match outcome {
            Outcome::Succeeded => "end: succeeded",
            Outcome::Failed => "end: failed",
            Outcome::Canceled => "end: canceled",
            Outcome::RolledBack => "end: rolled back",
            Outcome::PartiallyRolledBack => "end: partially rolled back",
        });
        Ok(())
    }
}

/// Of each step: what is rolled back before it, that is all that ran after it or is named by `rollback_after`,
/// and what is rolled back before these.
pub(super) fn rollback_order(plan: &Plan) -> Vec<BTreeSet<StepIndex>> {
    let graph = plan.graph();
    let direct: Vec<BTreeSet<StepIndex>> = (0..graph.len())
        .map(StepIndex::beyond)
        .map(|step| {
            let named = plan.step(step).rollback_after.iter().filter_map(|it| plan.index_of(it));
            graph.children(step).chain(named).collect()
        })
        .collect();
    let before = |first: &BTreeSet<StepIndex>| {
        let mut all = BTreeSet::new();
        let mut open: Vec<StepIndex> = first.iter().copied().collect();
        while let Some(step) = open.pop() {
            if all.insert(step) {
                open.extend(&direct[step.as_usize()]);
            }
        }
        all
    };
    direct.iter().map(before).collect()
}
