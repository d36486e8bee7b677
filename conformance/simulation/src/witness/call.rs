//! Rules about calls that are about to be made.

use windlass_engine::{Call, CallOrder};
use windlass_model::event::Operation;

use super::{Stage, State, Witness};
use crate::violation::{Violation, ensure, violated};

impl Witness {
    /// A call is about to be made.
    ///
    /// # Errors
    ///
    /// When it should not be.
    pub fn begin(&mut self, order: &CallOrder) -> Result<(), Violation> {
        let (step, id) = (order.id.step, order.id);
        let State::Active(doing) = &self.steps[step.as_usize()].state else {
            return violated("only an active step calls", format!("{id:?}"));
        };
        ensure(
            doing.stage.is_calling() && doing.operation == id.operation && doing.attempt == id.attempt,
            "only an active step calls",
            || format!("{id:?}, but it is {doing:?}"),
        )?;
        let fits = match (&order.call, &doing.stage) {
            (Call::Begin { state }, Stage::Begin) => {
                let stopped = doing.stops.as_ref().and_then(|it| match &it.stage {
                    Stage::Suspended { state, .. } => Some(state.as_slice()),
                    Stage::Begin | Stage::Resume { .. } | Stage::Find | Stage::Backoff { .. } | Stage::Stopped => None,
                });
                state.as_deref() == stopped
            }
            (Call::Resume { state, wake }, Stage::Resume { state: kept, wake: seen }) => {
                **state == **kept && wake == seen
            }
            (Call::Find, Stage::Find) => true,
            _ => false,
        };
        ensure(fits, "a call gets what the suspension kept", || format!("{:?} for {:?}", order.call, doing.stage))?;
        ensure(self.begun.insert(id), "no two calls have one id", || {
            format!("{id:?} was begun before: an answer to the one can be taken for an answer to the other")
        })?;
        let whose = (step, id.operation, doing.round);
        let before = self.keys.entry(order.idempotency_key.clone()).or_insert(whose);
        ensure(*before == whose, "a key belongs to one logical call", || {
            format!("{} was {before:?} and is {whose:?}", order.idempotency_key)
        })?;
        let same = self.keys.iter().filter(|(_, it)| **it == whose).count();
        ensure(same == 1, "attempts of one logical call share a key", || format!("{whose:?} has {same} keys"))?;
        let seen = self.seen(step);
        let is_dry = order.dry_run.is_some() == self.is_dry_run();
        ensure(is_dry, "a call of a dry run is told that it is one", || format!("{id:?}"))?;
        let is_unknown = order.dry_run.as_ref().is_some_and(|it| it.unknown.is_some());
        ensure(is_unknown == seen.told.unknown, "a call is told that its input is unknown", || format!("{id:?}"))?;
        ensure(is_unknown || seen.input.as_ref() == Some(&*order.input), "a call gets the step's input", || {
            format!("{id:?} gets {} for {:?}", order.input, seen.input)
        })?;
        if id.operation != Operation::Start {
            ensure(seen.made.as_ref() == order.output.as_deref(), "a rollback gets the step's output", || {
                format!("{id:?} gets {:?} for {:?}", order.output, seen.made)
            })?;
        }
        Ok(())
    }
}
