//! Steps that run once for each item of a list: who their items are, how many run, when they are joined.
//!
//! A step with `for_each` makes no call itself. When its turn comes its items are counted ([`Event::FannedOut`]);
//! each is a run of its own with a name of its own, `test.3`, and everything that can happen to a step can happen
//! to it. When all have ended they are joined ([`Event::Joined`]), and only then the steps after it start.
//!
//! **Invariant:** the graph knows nothing of items: what needs the step needs all of them, and in a rollback
//! their turn is where the step's is.

use std::collections::BTreeSet;

use serde_json::Value;
use windlass_model::event::{AfterFailure, Event, Operation};
use windlass_model::failure::{FailureClass, RetryAdvice, StepError};
use windlass_model::fan_out::{self, ForEach};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::name::StepName;
use windlass_model::plan::Pin;
use windlass_model::time::Timestamp;
use windlass_model::workflow::{OnFailure, Step};

use crate::release::Release;
use crate::step::{StepRun, StepState};

/// The most runs of a release, items included.
pub const RUNS_MAX: usize = 10_000;

/// What a step runs for, and how its items stand. All but the items follows from their states.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fan {
    pub(crate) items: Vec<Value>,
    /// A run for each item; more when the step ran for more items before.
    pub(crate) runs: Vec<StepIndex>,
    pub(crate) waiting: BTreeSet<StepIndex>,
    pub(crate) active: BTreeSet<StepIndex>,
    pub(crate) paused: BTreeSet<StepIndex>,
    /// Failed, and not to be tolerated.
    pub(crate) failed: BTreeSet<StepIndex>,
    /// Failed, and tolerated.
    pub(crate) tolerated: BTreeSet<StepIndex>,
}

/// What comes next in a step that runs for items.
pub(crate) enum FanTurn {
    /// This item starts.
    Start(StepIndex),
    /// All have ended, or none may start any more.
    Close(StepIndex),
}

impl Fan {
    fn place(&mut self, run: StepIndex, state: &StepState) {
        for set in [&mut self.waiting, &mut self.active, &mut self.paused, &mut self.failed, &mut self.tolerated] {
            set.remove(&run);
        }
        match state {
            StepState::Waiting => self.waiting.insert(run),
            StepState::Active(_) => self.active.insert(run),
            StepState::Paused { .. } => self.paused.insert(run),
            StepState::Failed { tolerated: false, .. } => self.failed.insert(run),
            StepState::Failed { tolerated: true, .. } => self.tolerated.insert(run),
            StepState::Held { .. }
            | StepState::FannedOut
            | StepState::Succeeded
            | StepState::Skipped { .. }
            | StepState::Canceled
            | StepState::RolledBack
            | StepState::LeftInPlace
            | StepState::RollbackBlocked { .. } => false,
        };
    }

    fn turn(&self, step: StepIndex, for_each: &ForEach) -> Option<FanTurn> {
        let stopped = for_each.fail_fast && !(self.failed.is_empty() && self.paused.is_empty());
        let room = for_each.max_parallel.is_none_or(|it| self.active.len() < it as usize);
        match self.waiting.first() {
            Some(run) if !stopped && room => return Some(FanTurn::Start(*run)),
            Some(_) if !stopped => return None,
            _ => {}
        }
        (self.active.is_empty() && self.paused.is_empty()).then_some(FanTurn::Close(step))
    }
}

impl Release {
    /// What the workflow says of a step, or of the step whose item this is.
    pub fn definition(&self, index: StepIndex) -> &Step {
        self.plan.step(self.definition_index(index))
    }

    /// What a step, or an item of it, uses.
    pub fn pin(&self, index: StepIndex) -> &Pin {
        self.pins.get(&index).unwrap_or_else(|| self.plan.pin(self.definition_index(index)))
    }

    /// The name of a step or of an item.
    pub fn name_of(&self, index: StepIndex) -> StepName {
        match self.item(index) {
            Some((step, number)) => self.plan.step(step).name.of_item(number),
            None => self.plan.step(index).name.clone(),
        }
    }

    /// The step, or the item, of this name.
    pub fn index_of(&self, name: &StepName) -> Option<StepIndex> {
        match name.item() {
            None => self.plan.index_of(name),
            Some(number) => {
                let step = self.plan.index_of(&name.of_step().parse().ok()?)?;
                self.fans.get(&step)?.runs.get(number - 1).copied()
            }
        }
    }

    /// The runs of the items that a step runs for, once they are known.
    pub fn items(&self, step: StepIndex) -> Option<impl Iterator<Item = (StepIndex, &Value)>> {
        let fan = self.fans.get(&step)?;
        Some(fan.runs.iter().copied().zip(&fan.items))
    }

    /// Runs of items that a step ran for before it was taken back to its beginning, and does not run for now, if they may
    /// have left something behind.
    pub fn earlier_items(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        let runs = self.fans.get(&step).map(|it| &it.runs[it.items.len()..]).unwrap_or_default();
        runs.iter().copied().filter(|it| {
            let run = &self.steps[it.as_usize()];
            run.called || run.state != StepState::Waiting
        })
    }

    /// The runs of all items of a step that may have left something behind: [`Self::items`] and [`Self::earlier_items`].
    pub fn all_items(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.items(step).into_iter().flatten().map(|(item, _)| item).chain(self.earlier_items(step))
    }

    /// Which item of which step this is, counted from 1.
    fn item(&self, index: StepIndex) -> Option<(StepIndex, usize)> {
        let beyond = index.as_usize().checked_sub(self.plan.graph().len())?;
        self.item_runs.get(beyond).copied()
    }

    /// Where in the workflow it stands: the step itself, or the one that it is an item of.
    pub fn definition_index(&self, index: StepIndex) -> StepIndex {
        self.item(index).map_or(index, |(step, _)| step)
    }

    pub(crate) fn is_item(&self, index: StepIndex) -> bool {
        index.as_usize() >= self.plan.graph().len()
    }

    /// What expressions of an item's run see as `each`.
    pub(crate) fn each(&self, index: StepIndex) -> Option<Value> {
        let (step, number) = self.item(index)?;
        let fan = self.fans.get(&step)?;
        Some(fan_out::each(fan.items.get(number - 1)?, number, fan.items.len()))
    }

    /// Counts the items of a step whose turn it is.
    pub(crate) fn fan_out(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let plan = self.plan.clone();
        let Some(for_each) = &plan.step(index).for_each else { return };
        match self.with_scope(|scope| for_each.resolve(scope)) {
            Ok(items) if self.steps.len() + items.len() > RUNS_MAX => {
                let error = format!(
                    "`for_each` gives {} items, and the release has {} runs already; {RUNS_MAX} are the most",
                    items.len(),
                    self.steps.len()
                );
                self.fail_unstarted(events, index, &error, now);
            }
            Ok(items) => self.record(events, Event::FannedOut { step: self.name_of(index), items }, now),
            Err(error) => self.fail_unstarted(events, index, &error, now),
        }
    }

    /// What comes next in the steps that run for items.
    pub(crate) fn fan_turn(&self) -> Option<FanTurn> {
        self.open_fans.iter().find_map(|step| {
            let for_each = self.plan.step(*step).for_each.as_ref()?;
            self.fans.get(step)?.turn(*step, for_each)
        })
    }

    /// The next of the steps that run for items in a release that starts nothing any more, once nothing runs.
    pub(crate) fn fan_left_open(&self) -> Option<StepIndex> {
        self.open_fans.first().copied()
    }

    /// Ends a step that runs for items: joined when all went well enough, failed or canceled else.
    pub(crate) fn close_fan(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let plan = self.plan.clone();
        let (Some(fan), Some(for_each)) = (self.fans.get(&index), &plan.step(index).for_each) else { return };
        let step = self.name_of(index);
        if let Some(first) = fan.failed.first() {
            let failed = fan.failed.len() + fan.tolerated.len();
            let allowed = for_each.failures_allowed;
            let error = StepError::engine(
                self.failure_class(*first),
                "items-failed",
                format!("{failed} of {} items failed, {allowed} may: {}", fan.items.len(), self.failure_text(*first)),
            );
            self.record(events, Event::AttemptFailed { step, error, next: AfterFailure::Fail }, now);
            return self.begin_failing(events, index, now);
        }
        if !(fan.waiting.is_empty() && fan.active.is_empty() && fan.paused.is_empty()) || self.has_canceled_item(fan) {
            return self.record(events, Event::StepCanceled { step }, now);
        }
        let fan_is_made_up = fan.runs.iter().any(|it| self.is_made_up(*it));
        let output = match &for_each.reduce {
            None => Ok(None),
            Some(template) => {
                let outputs = self.item_outputs(fan);
                self.with_scope(|scope| {
                    template
                        .evaluate(&windlass_model::expression::Scope { outputs: Some(&outputs), ..*scope })
                        .map(Some)
                })
            }
        };
        match output {
            Ok(output) => self.record(events, Event::Joined { step, output }, now),
            Err(error) if self.reads_made_up(index) || fan_is_made_up => {
                self.record(events, Event::InputUnknown { step: step.clone(), problem: error.to_string() }, now);
                self.record(events, Event::Joined { step, output: None }, now);
            }
            Err(error) => {
                let error = StepError::expression(error.to_string());
                let next = match plan.step(index).on_failure {
                    OnFailure::Continue => AfterFailure::Continue,
                    OnFailure::Pause | OnFailure::Fail | OnFailure::Rollback => AfterFailure::Fail,
                };
                self.record(events, Event::AttemptFailed { step, error, next }, now);
                if next == AfterFailure::Fail {
                    self.begin_failing(events, index, now);
                } else {
                    self.check_threshold(events, index, now);
                }
            }
        }
    }

    fn has_canceled_item(&self, fan: &Fan) -> bool {
        fan.runs.iter().take(fan.items.len()).any(|it| self.steps[it.as_usize()].state == StepState::Canceled)
    }

    /// The outputs of all items, in their order; null for one that gave none.
    fn item_outputs(&self, fan: &Fan) -> Value {
        let output = |it: &StepIndex| self.steps[it.as_usize()].output.as_deref().cloned().unwrap_or_default();
        Value::Array(fan.runs.iter().take(fan.items.len()).map(output).collect())
    }

    fn failure_class(&self, index: StepIndex) -> FailureClass {
        match &self.steps[index.as_usize()].state {
            StepState::Failed { error, .. } => error.class,
            _ => FailureClass::Internal,
        }
    }

    fn failure_text(&self, index: StepIndex) -> String {
        match &self.steps[index.as_usize()].state {
            StepState::Failed { error, .. } => format!("{}: {error}", self.name_of(index)),
            _ => self.name_of(index).to_string(),
        }
    }

    /// What follows when the attempts of an item are used up: it is passed over as long as so many may fail.
    pub(crate) fn within_allowance(&self, index: StepIndex, error: &StepError, next: AfterFailure) -> AfterFailure {
        let Some((step, _)) = self.item(index) else { return next };
        let (Some(fan), Some(for_each)) = (self.fans.get(&step), &self.plan.step(step).for_each) else { return next };
        let is_spent = match next {
            AfterFailure::Fail => true,
            AfterFailure::Pause => error.advice != RetryAdvice::Pause,
            AfterFailure::RetryAt(_) | AfterFailure::Continue => false,
        };
        let is_start = self.steps[index.as_usize()].state.activity().is_some_and(|it| it.operation == Operation::Start);
        let failed = fan.failed.len() + fan.tolerated.len();
        if is_spent && is_start && failed < for_each.failures_allowed.of(fan.items.len()) {
            AfterFailure::Continue
        } else {
            next
        }
    }

    /// Whether the failure of an item is told only when all have ended.
    pub(crate) fn fails_later(&self, index: StepIndex) -> bool {
        self.is_item(index) && self.definition(index).for_each.as_ref().is_some_and(|it| !it.fail_fast)
    }

    /// Takes the items of a step in.
    pub(crate) fn begin_fan(&mut self, index: StepIndex, items: &[Value]) {
        let fan = self.fans.entry(index).or_default();
        fan.items = items.to_vec();
        while fan.runs.len() < items.len() {
            fan.runs.push(StepIndex::beyond(self.steps.len()));
            self.steps.push(StepRun::new());
            self.item_runs.push((index, fan.runs.len()));
        }
        self.sort_fan(index);
    }

    /// The list of what the items gave, for a step that does not say what it gives.
    pub(crate) fn joined(&self, index: StepIndex) -> Value {
        self.fans.get(&index).map(|it| self.item_outputs(it)).unwrap_or_default()
    }

    /// Brings what is kept of a step's items up to date after one of them changed.
    pub(crate) fn place_item(&mut self, index: StepIndex) {
        let Some((step, number)) = self.item(index) else { return };
        if let Some(fan) = self.fans.get_mut(&step).filter(|it| number <= it.items.len()) {
            fan.place(index, &self.steps[index.as_usize()].state);
        }
    }

    fn sort_fan(&mut self, step: StepIndex) {
        let Some(fan) = self.fans.get_mut(&step) else { return };
        let runs: Vec<StepIndex> = fan.runs.iter().take(fan.items.len()).copied().collect();
        for run in runs {
            fan.place(run, &self.steps[run.as_usize()].state);
        }
    }

    /// Takes the items of a step back to their beginning together with it.
    pub(crate) fn reset_fan(&mut self, step: StepIndex) {
        let Some(fan) = self.fans.get_mut(&step) else { return };
        let runs = fan.runs.clone();
        *fan = Fan { runs: runs.clone(), ..Fan::default() };
        for run in runs {
            self.begin_anew(run);
        }
        self.open_fans.remove(&step);
    }

    /// Lets a step run for its items again when one of them runs again.
    pub(crate) fn reopen_fan(&mut self, item: StepIndex) {
        let step = self.definition_index(item);
        let run = &mut self.steps[step.as_usize()];
        run.state = StepState::FannedOut;
        run.ended_at = None;
        self.open_fans.insert(step);
        self.place_item(item);
    }

    /// The items that kept a step from succeeding; none when it was none of them.
    pub(crate) fn items_that_failed(&self, step: StepIndex) -> Vec<StepIndex> {
        let Some(fan) = self.fans.get(&step) else { return Vec::new() };
        let failed = |it: &StepIndex| self.has_kept(*it) || self.steps[it.as_usize()].state == StepState::Waiting;
        fan.runs.iter().take(fan.items.len()).copied().filter(failed).collect()
    }

    /// The items of a step that may have had an effect, as far as `is_to_be_rolled_back` says so.
    pub(crate) fn items_to_roll_back(&self, step: StepIndex) -> Vec<StepIndex> {
        let runs = self.fans.get(&step).map(|it| it.runs.as_slice()).unwrap_or_default();
        runs.iter().copied().filter(|it| self.is_to_be_rolled_back(*it)).collect()
    }

    /// Whether rolling a step back does something.
    pub(crate) fn can_be_rolled_back(&self, index: StepIndex) -> bool {
        let pin = self.pin(index);
        pin.rollback && pin.effect != Effect::Read
    }
}
