//! Rules about steps that run once for each item of a list.

use serde_json::{Map, Value, json};
use windlass_model::event::AfterFailure;
use windlass_model::expression::Scope;
use windlass_model::failure::StepError;
use windlass_model::fan_out::{Allowance, ForEach, Items};
use windlass_model::graph::StepIndex;
use windlass_model::workflow::OnFailure;

use super::{Phase, Seen, State, Witness};
use crate::violation::{Violation, ensure};

/// How many of so many may fail.
pub(super) fn allowed(allowance: Allowance, of: usize) -> usize {
    match allowance {
        Allowance::Count(count) => count as usize,
        Allowance::Percent(percent) => (of as f64 * f64::from(percent) / 100.0 + 1e-9).floor() as usize,
    }
}

impl Witness {
    fn for_each(&self, step: StepIndex) -> Option<&ForEach> {
        self.definition(step).for_each.as_ref()
    }

    /// The items that a step runs for now.
    pub(super) fn current_items(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        let seen = self.seen(step);
        seen.runs.iter().copied().take(seen.list.len())
    }

    fn siblings(&self, item: StepIndex) -> impl Iterator<Item = &Seen> + '_ {
        self.current_items(self.of(item)).map(|it| self.seen(it))
    }

    /// What expressions of an item see as `each`.
    pub(super) fn each(&self, step: StepIndex) -> Option<Value> {
        let beyond = step.as_usize().checked_sub(self.plan.graph().len())?;
        let (of, number) = self.items[beyond];
        let list = &self.seen(of).list;
        Some(json!({ "value": list.get(number - 1)?, "number": number, "count": list.len() }))
    }

    /// What a step should run for.
    pub(super) fn list(&self, step: StepIndex) -> Option<Vec<Value>> {
        let list = |it: &windlass_model::template::Template| match self.with_scope(|scope| it.evaluate(scope)) {
            Ok(Value::Array(items)) => Some(items),
            _ => None,
        };
        match &self.for_each(step)?.items {
            Items::List(template) => list(template),
            Items::Matrix { axes, exclude, include } => {
                let values: Option<Vec<Vec<Value>>> = axes.iter().map(|it| list(&it.values)).collect();
                let values = values?;
                let mut all = Vec::new();
                // Counts as an odometer does, the last axis turning fastest.
                let mut turn = vec![0; axes.len()];
                while values.iter().zip(&turn).all(|(of, at)| *at < of.len()) && !axes.is_empty() {
                    let pairs = axes.iter().zip(&values).zip(&turn);
                    let one: Map<String, Value> =
                        pairs.map(|((axis, of), at)| (axis.name.clone(), of[*at].clone())).collect();
                    let out = exclude.iter().any(|it| it.iter().all(|(name, value)| one.get(name) == Some(value)));
                    if !out {
                        all.push(Value::Object(one));
                    }
                    let mut axis = axes.len();
                    while axis > 0 {
                        axis -= 1;
                        turn[axis] += 1;
                        if turn[axis] < values[axis].len() || axis == 0 {
                            break;
                        }
                        turn[axis] = 0;
                    }
                }
                all.extend(include.iter().cloned().map(Value::Object));
                Some(all)
            }
        }
    }

    pub(super) fn fanned_out(&mut self, step: StepIndex, items: &[Value]) -> Result<(), Violation> {
        self.ensure_may_begin(step)?;
        let state = self.seen(step).state.clone();
        self.ensure_open(step, &state)?;
        let expected = self.list(step);
        ensure(
            (expected.as_deref() == Some(items) || self.seen(step).told.unknown && items.is_empty())
                && !self.is_item(step),
            "a step runs for what its file says",
            || format!("{}: {items:?}, not {expected:?}", self.name(step)),
        )?;
        self.began(step);
        self.seen_mut(step).list = items.to_vec();
        while self.seen(step).runs.len() < items.len() {
            let run = StepIndex::beyond(self.steps.len());
            self.steps.push(Seen::default());
            self.seen_mut(step).runs.push(run);
            self.items.push((step, self.seen(step).runs.len()));
        }
        self.work += items.len() as u64;
        self.counts.add(if items.is_empty() { "fan: no items" } else { "fan: out" });
        Ok(())
    }

    /// Whether an item failed so that its step starts no others.
    fn is_stopped(&self, step: StepIndex) -> bool {
        let failed = |it: &Seen| matches!(it.state, State::Failed { tolerated: false } | State::Paused(_));
        self.for_each(step).is_some_and(|it| it.fail_fast) && self.current_items(step).any(|it| failed(self.seen(it)))
    }

    fn has_room(&self, step: StepIndex) -> bool {
        let going = self.current_items(step).filter(|it| matches!(self.seen(*it).state, State::Active(_))).count();
        self.for_each(step).and_then(|it| it.max_parallel).is_none_or(|it| going < it as usize)
    }

    /// A step that ran for items is taken back when all of them are that a rollback takes back, and left in place when one
    /// of those is; one that failed stays failed.
    pub(super) fn goes_back_with_items(&mut self, item: StepIndex) {
        if self.phase != Phase::RollingBack || !self.rollback.contains(&item) || !self.is_item(item) {
            return;
        }
        let step = self.of(item);
        let with_it = self.rollback.iter().filter(|it| self.of(**it) == step).map(|it| &self.seen(*it).state);
        let states: Vec<&State> = with_it.collect();
        let is_left = states.contains(&&State::LeftInPlace);
        let is_settled = states.iter().all(|it| matches!(it, State::RolledBack | State::LeftInPlace));
        if is_settled && self.seen(step).state == State::Succeeded {
            self.seen_mut(step).state = if is_left { State::LeftInPlace } else { State::RolledBack };
            self.counts.add(if is_left { "fan: left in place" } else { "fan: rolled back" });
        }
    }

    pub(super) fn ensure_item_may_begin(&self, item: StepIndex) -> Result<(), Violation> {
        let step = self.of(item);
        let name = || self.name(item).to_string();
        ensure(self.seen(step).state == State::FannedOut, "no item before its step's turn", name)?;
        ensure(self.current_items(step).any(|it| it == item), "only items of the list run", name)?;
        ensure(!self.is_stopped(step), "after an item's failure no other starts", name)?;
        ensure(self.has_room(step), "no more run side by side than may", name)?;
        ensure(self.seen(item).passed_over.is_none(), "what somebody skipped does not start", name)
    }

    /// Whether so many items may fail, this one included, that its failure is tolerated.
    pub(super) fn may_fail_within_allowance(&self, item: StepIndex) -> bool {
        let Some(for_each) = self.for_each(item).filter(|_| self.is_item(item)) else { return false };
        let failed = self.siblings(item).filter(|it| matches!(it.state, State::Failed { .. })).count();
        failed < allowed(for_each.failures_allowed, self.seen(self.of(item)).list.len())
    }

    fn outputs(&self, step: StepIndex) -> Value {
        let output = |it| self.seen(it).output.clone().unwrap_or_default();
        Value::Array(self.current_items(step).map(output).collect())
    }

    /// What a step should give when all its items have ended, if that has a value.
    pub(super) fn reduced(&self, step: StepIndex) -> Option<Value> {
        let outputs = self.outputs(step);
        match self.for_each(step).and_then(|it| it.reduce.as_ref()) {
            None => Some(outputs),
            Some(reduce) => self.with_scope(|scope| reduce.evaluate(&Scope { outputs: Some(&outputs), ..*scope })).ok(),
        }
    }

    pub(super) fn joined(&mut self, step: StepIndex, output: Option<&Value>) -> Result<(), Violation> {
        let ended = self.current_items(step).all(|it| self.seen(it).state.lets_dependents_run());
        ensure(ended, "items are joined when all have ended well enough", || {
            let states: Vec<&str> = self.current_items(step).map(|it| self.seen(it).state.name()).collect();
            format!("{}: {}", self.name(step), states.join(", "))
        })?;
        ensure(!self.paused, "a pause holds what is new", || self.name(step).to_string())?;
        let expected = self.reduced(step);
        let given = output.cloned().unwrap_or_else(|| self.outputs(step));
        ensure(
            expected.as_ref() == Some(&given) || self.seen(step).told.unknown && output.is_none(),
            "a step gives what its items gave",
            || format!("{}: {given}, not {expected:?}", self.name(step)),
        )?;
        let failed = self.current_items(step).filter(|it| matches!(self.seen(*it).state, State::Failed { .. })).count();
        self.counts.add(match (self.for_each(step).is_some_and(|it| it.reduce.is_some()), failed) {
            (true, _) => "fan: reduced",
            (false, 0) => "fan: joined",
            (false, _) => "fan: joined, with failures",
        });
        self.seen_mut(step).output = Some(given);
        Ok(())
    }

    pub(super) fn fan_failed(
        &mut self,
        step: StepIndex,
        error: &StepError,
        next: AfterFailure,
    ) -> Result<State, Violation> {
        let going = |it: &Seen| matches!(it.state, State::Active(_) | State::Paused(_));
        let waits = |it: &Seen| it.state == State::Waiting;
        let failed = |it: &Seen| it.state == State::Failed { tolerated: false };
        let items: Vec<&Seen> = self.current_items(step).map(|it| self.seen(it)).collect();
        let over = !items.iter().any(|it| going(it));
        let stops = self.is_stopped(step) || !self.goes_forward(step);
        let by_items = items.iter().any(|it| failed(it)) && (stops || !items.iter().any(|it| waits(it)));
        let by_reduce = items.iter().all(|it| it.state.lets_dependents_run()) && self.reduced(step).is_none();
        let continues = self.definition(step).on_failure == OnFailure::Continue && by_reduce;
        let follows = if continues { AfterFailure::Continue } else { AfterFailure::Fail };
        // In a release that stops, what was paused stays as it is.
        let over = over || (!self.goes_forward(step) && !items.iter().any(|it| matches!(it.state, State::Active(_))));
        ensure(over && (by_items || by_reduce) && next == follows, "a step fails when its items have", || {
            let states: Vec<&str> = items.iter().map(|it| it.state.name()).collect();
            format!("{} fails ({error}), {next:?}: {}", self.name(step), states.join(", "))
        })?;
        self.counts.add(if by_items { "fan: failed" } else { "fan: failed, nothing to reduce" });
        Ok(State::Failed { tolerated: continues })
    }

    pub(super) fn fan_canceled(&mut self, step: StepIndex) -> Result<(), Violation> {
        let stopped = matches!(
            self.phase,
            Phase::Failing { .. } | Phase::Canceling { .. } | Phase::Finishing { canceled: true, .. }
        );
        let ended = self.current_items(step).all(|it| self.seen(it).state.lets_dependents_run());
        let going = self.current_items(step).any(|it| matches!(self.seen(it).state, State::Active(_)));
        ensure(stopped && !ended && !going, "only a release that stops leaves items out", || {
            let states: Vec<&str> = self.current_items(step).map(|it| self.seen(it).state.name()).collect();
            format!("{}: {}", self.name(step), states.join(", "))
        })?;
        self.counts.add("fan: canceled");
        Ok(())
    }

    /// Items start while they may, and are joined as soon as all have ended.
    pub(super) fn no_item_is_forgotten(&self, step: StepIndex) -> Result<(), Violation> {
        let states: Vec<&State> = self.current_items(step).map(|it| &self.seen(it).state).collect();
        let waits = states.contains(&&State::Waiting) && !self.is_stopped(step);
        ensure(!waits || !self.has_room(step), "no item is forgotten", || {
            format!("an item of {} could start", self.name(step))
        })?;
        let goes_on = states.iter().any(|it| matches!(it, State::Active(_) | State::Paused(_)));
        ensure(waits || goes_on, "items are joined when all have ended", || {
            let states: Vec<&str> = states.iter().map(|it| it.name()).collect();
            format!("{}: {}", self.name(step), states.join(", "))
        })
    }
}
