//! Rules about events of the release as a whole.

use windlass_model::event::{Event, Intervention, Outcome};
use windlass_model::graph::StepIndex;

use super::{Phase, State, Within, Witness};
use crate::violation::{Violation, ensure, violated};
use crate::world::World;

impl Witness {
    pub(super) fn release_event(
        &mut self,
        event: &Event,
        within: &mut Within<'_>,
        is_first: bool,
        world: &World,
    ) -> Result<(), Violation> {
        match event {
            Event::ReleaseCreated(created) => {
                ensure(is_first && **created == self.created, "a journal begins with the creation, once", || {
                    format!("it is event {} of record {}", self.events, self.records)
                })
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
                let own = self.plan.step(index).on_failure == windlass_model::workflow::OnFailure::Rollback;
                ensure(
                    self.seen(index).state == State::Failed { tolerated: false } && *rollback == own,
                    "failing begins with a step that failed",
                    || format!("{step} is {}", self.seen(index).state.name()),
                )?;
                match self.phase {
                    Phase::Running => {}
                    Phase::Failing { rollback: false } if *rollback => {}
                    other => return violated("failing begins once", format!("the release was {other:?}")),
                }
                self.phase = Phase::Failing { rollback: *rollback };
                Ok(())
            }
            Event::CancelingStarted { rollback } => {
                ensure(
                    matches!(self.phase, Phase::Running | Phase::Failing { .. })
                        && within.asked_to_cancel == Some(*rollback),
                    "only people cancel",
                    || format!("the release was {:?}, asked was {:?}", self.phase, within.asked_to_cancel),
                )?;
                self.phase = Phase::Canceling { rollback: *rollback };
                Ok(())
            }
            Event::RollbackStarted { .. } => self.rollback_started(within),
            Event::ReleaseEnded { outcome, .. } => self.ended(*outcome, within, world),
            other => violated("events are about steps of the plan", format!("{other:?} names none")),
        }
    }

    fn intervened(&mut self, intervention: &Intervention, within: &mut Within<'_>) -> Result<(), Violation> {
        match intervention {
            Intervention::Retry { step } | Intervention::RetryWith { step, .. } => {
                let step = self.index(step)?;
                let waits = match self.phase {
                    Phase::Running => matches!(self.seen(step).state, State::Paused(_)),
                    Phase::RollingBack => matches!(self.seen(step).state, State::Blocked(_)),
                    _ => false,
                };
                ensure(waits, "only what waits for a person is retried by one", || {
                    format!("{} is {}", self.name(step), self.seen(step).state.name())
                })?;
                within.retried = Some(step);
                self.counts.add("intervention: retry");
            }
            other @ (Intervention::RunAgain { .. }
            | Intervention::Skip { .. }
            | Intervention::ReplaceOutput { .. }
            | Intervention::Pause
            | Intervention::Resume
            | Intervention::SettleRollback { .. }) => {
                return violated("people ask for nothing else here", format!("{other:?}"));
            }
            Intervention::Cancel { rollback } => {
                within.asked_to_cancel = Some(*rollback);
                self.counts.add(if *rollback { "intervention: cancel and roll back" } else { "intervention: cancel" });
            }
            Intervention::Rollback => {
                let is_over = matches!(self.phase, Phase::Ended(_));
                if is_over {
                    within.asked_to_roll_back = true;
                } else {
                    within.asked_to_cancel = Some(true);
                }
                self.counts.add(match is_over {
                    true => "intervention: rollback after the end",
                    false => "intervention: rollback while it runs",
                });
            }
        }
        Ok(())
    }

    fn rollback_started(&mut self, within: &Within<'_>) -> Result<(), Violation> {
        let caused = match self.phase {
            Phase::Failing { rollback } | Phase::Canceling { rollback } => rollback,
            Phase::Ended(Outcome::Succeeded | Outcome::Failed | Outcome::Canceled) => within.asked_to_roll_back,
            Phase::Ended(Outcome::RolledBack | Outcome::PartiallyRolledBack) | Phase::Running | Phase::RollingBack => {
                false
            }
        };
        ensure(caused, "a rollback has a cause", || format!("the release was {:?}", self.phase))?;
        ensure(self.active().next().is_none(), "a rollback waits for what runs", || {
            let names: Vec<_> = self.active().map(|(it, _)| self.name(it).as_str()).collect();
            format!("{} still run", names.join(", "))
        })?;
        self.phase = Phase::RollingBack;
        let steps: Vec<StepIndex> = self.all().collect();
        self.rollback = steps.into_iter().filter(|it| self.is_to_be_rolled_back(*it)).collect();
        Ok(())
    }

    fn ended(&mut self, outcome: Outcome, within: &Within<'_>, world: &World) -> Result<(), Violation> {
        let every = |holds: &dyn Fn(&State) -> bool| self.all().all(|it| holds(&self.seen(it).state));
        let idle = self.active().next().is_none();
        let left = self.rollback.iter().filter(|it| self.seen(**it).state != State::RolledBack).count();
        let fits = match (outcome, self.phase) {
            (Outcome::Succeeded, Phase::Running) => every(&State::lets_dependents_run),
            (Outcome::Failed, Phase::Failing { rollback: false }) => {
                idle && !every(&|it| *it != State::Failed { tolerated: false })
            }
            (Outcome::Canceled, Phase::Canceling { rollback: false }) => idle,
            (Outcome::RolledBack, Phase::RollingBack) => idle && left == 0,
            (Outcome::PartiallyRolledBack, Phase::RollingBack) => {
                idle && left > 0 && within.asked_to_cancel == Some(false)
            }
            _ => false,
        };
        ensure(fits, "an end fits the steps", || {
            let states: Vec<String> =
                self.all().map(|it| format!("{} {}", self.name(it), self.seen(it).state.name())).collect();
            format!("{outcome:?} after {:?}: {}", self.phase, states.join(", "))
        })?;
        if outcome == Outcome::RolledBack {
            for step in &self.rollback {
                ensure(world.is_rolled_back(*step) && !world.is_open(*step), "what is rolled back is gone", || {
                    format!("the effect of {} is still there", self.name(*step))
                })?;
            }
        }
        self.phase = Phase::Ended(outcome);
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
