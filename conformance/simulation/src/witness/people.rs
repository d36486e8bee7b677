//! Rules about what people ask for: who may, from which state, and what follows.

use std::collections::BTreeSet;

use serde_json::Value;
use windlass_engine::Input;
use windlass_model::event::{Event, Intervention, Operation, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;

use super::step::ORDER;
use super::{Phase, Stage, State, Within, Witness, gate};
use crate::violation::{Violation, ensure, violated};

const ASKED: &str = "what people ask for is possible";
const DONE: &str = "what people ask for is done";

impl Witness {
    pub(super) fn intervened<'a>(
        &mut self,
        intervention: &'a Intervention,
        within: &mut Within<'a>,
    ) -> Result<(), Violation> {
        ensure(within.asked.is_none(), "a record has one cause", || format!("{intervention:?}"))?;
        within.asked = Some(intervention);
        if let Err(why) = self.possible(intervention) {
            return violated(ASKED, format!("{intervention:?}: {why}; the release is {:?}", self.phase));
        }
        let followed = |by: bool| ensure(by, DONE, || format!("{intervention:?}, and {:?} follows", within.next));
        let name = match intervention {
            Intervention::Retry { step } | Intervention::RetryWith { step, .. } => {
                followed(matches!(within.next, Some(Event::AttemptStarted { step: of, operation, .. })
                    if of == step && *operation != Operation::Cancel))?;
                "intervention: retry"
            }
            Intervention::RunAgain { step } => {
                followed(matches!(within.next, Some(Event::StepsReset { .. })))?;
                within.again = self.to_run_again(self.index(step)?);
                match self.phase {
                    Phase::Running => "intervention: run again while it runs",
                    _ => "intervention: run again after the end",
                }
            }
            Intervention::Skip { step, output } => {
                let index = self.index(step)?;
                if self.seen(index).state == State::Waiting {
                    self.seen_mut(index).passed_over = Some(output.clone());
                    "intervention: skip before its turn"
                } else {
                    followed(matches!(within.next, Some(Event::StepSkipped { step: of, .. }) if of == step))?;
                    match self.seen(index).state {
                        State::Held { .. } => "intervention: skip what is held",
                        State::Active(_) => "intervention: skip between two attempts",
                        _ => "intervention: skip what is paused",
                    }
                }
            }
            Intervention::ReplaceOutput { step, output } => {
                followed(matches!(within.next, Some(Event::OutputGiven { step: of, output: given })
                    if of == step && given == output))?;
                "intervention: replace an output"
            }
            Intervention::Pause => {
                self.paused = true;
                "intervention: pause"
            }
            Intervention::Resume => {
                self.paused = false;
                "intervention: resume"
            }
            Intervention::SettleRollback { step, done } => {
                followed(matches!(within.next, Some(Event::RollbackSettled { step: of, done: settled })
                    if of == step && settled == done))?;
                if *done { "intervention: settle, it is gone" } else { "intervention: settle, it stays" }
            }
            Intervention::Cancel { rollback } => {
                if *rollback {
                    "intervention: cancel and roll back"
                } else {
                    "intervention: cancel"
                }
            }
            Intervention::Rollback if matches!(self.phase, Phase::Ended(_)) => "intervention: rollback after the end",
            Intervention::Rollback => "intervention: rollback while it runs",
            Intervention::Keep => "intervention: no rollback",
        };
        self.counts.add(name);
        Ok(())
    }

    /// Whether people may ask for this now, or why not.
    fn possible(&self, intervention: &Intervention) -> Result<(), String> {
        let of_step = intervention.step().map(|it| self.index(it).map_err(|it| it.what)).transpose()?;
        let says = |is: bool, why: &str| if is { Ok(()) } else { Err(why.to_owned()) };
        let is_idle = self.active().next().is_none();
        let backwards = matches!(intervention, Intervention::Rollback | Intervention::Cancel { rollback: true });
        says(!backwards || !self.is_past_pivot(), "a point of no return is passed")?;
        says(!backwards || !self.is_dry_run(), "a dry run has done nothing")?;
        let Some(index) = of_step else {
            let running = self.phase == Phase::Running;
            let stoppable = matches!(self.phase, Phase::Queued | Phase::Running | Phase::Failing { .. });
            let is = match (intervention, self.phase) {
                (Intervention::Pause, _) => running && !self.paused,
                (Intervention::Resume, _) => self.paused,
                (Intervention::Cancel { rollback: false }, Phase::Finishing { canceled, .. }) => !canceled,
                (Intervention::Cancel { rollback: false }, Phase::RollingBack) => is_idle,
                (Intervention::Rollback, Phase::Ended(Outcome::Succeeded | Outcome::Failed | Outcome::Canceled)) => {
                    self.admitted
                }
                // No simulated workflow names alerts, and nothing else asks.
                (Intervention::Keep, _) => false,
                _ => stoppable,
            };
            return says(is, "it is not the time for that");
        };
        let state = &self.seen(index).state;
        let forward = self.goes_forward(index);
        match intervention {
            Intervention::Retry { .. } | Intervention::RetryWith { .. } => {
                let waits = match state {
                    State::Paused(doing) => {
                        let no_input = doing.error.as_ref().is_some_and(|it| it.code == "expression-failed");
                        forward && !self.paused && !no_input
                    }
                    State::Blocked(_) => self.phase == Phase::RollingBack,
                    _ => false,
                };
                says(waits, "it does not wait for a person")
            }
            Intervention::RunAgain { .. } => {
                let may = matches!(self.phase, Phase::Running | Phase::Ended(Outcome::Failed | Outcome::Canceled));
                says(may && *state != State::Waiting && !self.definition(index).finally, "it cannot run again now")?;
                let again = self.to_run_again(index);
                let mut with_items = again.iter().flat_map(|it| std::iter::once(it).chain(&self.seen(*it).runs));
                says(!with_items.any(|it| matches!(self.seen(*it).state, State::Active(_))), "a part of it runs")
            }
            Intervention::Skip { output, .. } => {
                let waits = match state {
                    State::Waiting | State::Held { .. } | State::Paused(_) => true,
                    State::Active(doing) => {
                        doing.operation == Operation::Start && matches!(doing.stage, Stage::Backoff { .. })
                    }
                    _ => false,
                };
                // What runs last can be skipped before its turn, but has no items then.
                let early = self.phase == Phase::Running && *state == State::Waiting && !self.is_item(index);
                says(waits && (early || forward), "it is not the time to skip it")?;
                says(!self.definition(index).mandatory, "what is mandatory is never skipped")?;
                says(output.is_some() || !self.is_used(&self.definition(index).name), "its output is used")
            }
            Intervention::ReplaceOutput { .. } => {
                let joined = self.is_item(index) && self.seen(self.of(index)).state != State::FannedOut;
                says(forward && state.lets_dependents_run() && !joined, "it has given nothing, or too late")
            }
            Intervention::SettleRollback { .. } => {
                let blocked = self.phase == Phase::RollingBack && matches!(state, State::Blocked(_));
                says(blocked, "its rollback is not blocked")
            }
            Intervention::Pause
            | Intervention::Resume
            | Intervention::Cancel { .. }
            | Intervention::Rollback
            | Intervention::Keep => Err("it names no step".to_owned()),
        }
    }

    /// Something was refused.
    ///
    /// # Errors
    ///
    /// When it should not have been.
    pub fn refused(&self, input: &Input) -> Result<(), Violation> {
        let possible = match input {
            Input::Intervene { reason, intervention, .. } => {
                !reason.trim().is_empty() && self.possible(intervention).is_ok()
            }
            Input::Vote { step, actor, approved, comment } => {
                let Ok(index) = self.index(step) else { return Ok(()) };
                let seen = self.seen(index);
                let may = gate::may_vote(self.definition(index), actor, &self.created.requested_by);
                let known = seen.votes.iter().any(|(it, _)| it.name == actor.name);
                let held = matches!(seen.state, State::Held { .. }) && self.goes_forward(index);
                held && may && !known && (*approved || !comment.trim().is_empty())
            }
            _ => false,
        };
        ensure(!possible, "who may is heard", || format!("{input:?}"))
    }

    /// Whether the file uses the output of a step anywhere.
    fn is_used(&self, name: &StepName) -> bool {
        let index = self.plan.index_of(name);
        index.is_some_and(|it| !self.plan.users_of(it).is_empty())
    }

    /// The step and all that comes after it; after an end also all that kept the release from succeeding.
    fn to_run_again(&self, first: StepIndex) -> BTreeSet<StepIndex> {
        let kept = |it: StepIndex| {
            let tolerated = self.seen(it).state == (State::Failed { tolerated: true }) && self.has_too_many(it);
            let state = &self.seen(it).state;
            tolerated || matches!(state, State::Failed { tolerated: false } | State::Canceled | State::Paused(_))
        };
        let mut open = vec![first];
        if matches!(self.phase, Phase::Ended(_)) {
            for step in self.planned().filter(|it| !self.definition(*it).finally) {
                let failed = |it: &StepIndex| kept(*it) || self.seen(*it).state == State::Waiting;
                let items: Vec<StepIndex> = self.current_items(step).filter(failed).collect();
                if !kept(step) && !items.iter().any(|it| kept(*it)) {
                    continue;
                }
                if items.is_empty() { open.push(step) } else { open.extend(items) }
            }
        }
        let mut again = BTreeSet::new();
        while let Some(step) = open.pop() {
            if again.insert(step) {
                open.extend(self.plan.graph().children(self.of(step)));
            }
        }
        let whole = again.clone();
        again.retain(|it| !self.is_item(*it) || !whole.contains(&self.of(*it)));
        again
    }

    pub(super) fn steps_reset(&mut self, names: &[StepName], within: &Within<'_>) -> Result<(), Violation> {
        let mut named = BTreeSet::new();
        for name in names {
            named.insert(self.index(name)?);
        }
        let same = named == within.again && named.len() == names.len() && !named.is_empty();
        ensure(same, "what runs again is the step and all after it", || {
            let expected: Vec<String> = within.again.iter().map(|it| self.name(*it).to_string()).collect();
            format!("{names:?}, not {}", expected.join(", "))
        })?;
        for step in named {
            self.begin_anew(step);
            if self.is_item(step) {
                let of = self.of(step);
                self.seen_mut(of).state = State::FannedOut;
                self.counts.add("item: begun anew");
            }
        }
        let had_ended = matches!(self.phase, Phase::Ended(_));
        self.phase = Phase::Running;
        if let Some(facts) = self.facts.as_object_mut() {
            facts.remove("outcome");
        }
        if had_ended {
            self.clock_begins_anew();
            let last: Vec<StepIndex> = self.planned().filter(|it| self.definition(*it).finally).collect();
            last.into_iter().for_each(|it| self.begin_anew(it));
        }
        Ok(())
    }

    /// Takes a step back to its beginning, with its items.
    pub(super) fn begin_anew(&mut self, step: StepIndex) {
        for run in std::iter::once(step).chain(self.seen(step).runs.clone()) {
            self.seen_mut(run).begin_anew();
            self.work += 1;
        }
    }

    /// The turn of a step has come that somebody had skipped before.
    pub(super) fn passed_over(&mut self, step: StepIndex, within: &Within<'_>) -> Result<State, Violation> {
        ensure(self.goes_forward(step) && !self.paused, "a pause holds what is new", || self.name(step).to_string())?;
        let ready = match self.is_item(step) {
            true => self.seen(self.of(step)).state == State::FannedOut,
            false => self.may_start(step),
        };
        let Some(output) = self.seen(step).passed_over.clone().filter(|_| ready) else {
            return violated("a step is skipped for its reason", format!("nobody skipped {}", self.name(step)));
        };
        self.ensure_output_follows(step, output.as_ref(), within)?;
        self.counts.add("step: skipped by somebody, before its turn");
        Ok(State::Skipped { by_hand: true })
    }

    pub(super) fn skipped_by_hand(
        &mut self,
        step: StepIndex,
        state: &State,
        within: &Within<'_>,
    ) -> Result<State, Violation> {
        let name = self.name(step);
        let Some(Intervention::Skip { step: of, output }) = within.asked else {
            return violated("a step is skipped for its reason", format!("nobody skipped {name}"));
        };
        let previous = matches!(within.previous, Some(Event::Intervened { .. }));
        ensure(*of == name && previous, ORDER, || format!("{name} is skipped while {state:?}"))?;
        self.ensure_output_follows(step, output.as_ref(), within)?;
        self.counts.add("step: skipped by somebody");
        if self.seen(step).may_have_acted {
            self.counts.add("step: skipped by somebody, with an effect");
        }
        Ok(State::Skipped { by_hand: true })
    }

    fn ensure_output_follows(
        &self,
        step: StepIndex,
        output: Option<&Value>,
        within: &Within<'_>,
    ) -> Result<(), Violation> {
        let name = self.name(step);
        let given = match within.next {
            Some(Event::OutputGiven { step: of, output }) if *of == name => Some(output),
            _ => None,
        };
        ensure(given == output, "who skips says what is given", || format!("{name}: {given:?}, not {output:?}"))
    }

    pub(super) fn output_given(
        &mut self,
        step: StepIndex,
        output: &Value,
        within: &Within<'_>,
    ) -> Result<(), Violation> {
        let name = self.name(step);
        let asked = match (within.asked, within.previous) {
            (Some(Intervention::ReplaceOutput { step: of, .. }), Some(Event::Intervened { .. })) => *of == name,
            (_, Some(Event::StepSkipped { step: of, .. })) => *of == name,
            _ => false,
        };
        ensure(asked, "only people give other outputs", || name.to_string())?;
        self.seen_mut(step).output = Some(output.clone());
        Ok(())
    }

    pub(super) fn rollback_settled(
        &mut self,
        step: StepIndex,
        done: bool,
        within: &Within<'_>,
    ) -> Result<State, Violation> {
        let name = self.name(step);
        let asked = matches!(within.asked, Some(Intervention::SettleRollback { step: of, done: said })
            if *of == name && *said == done);
        ensure(asked && self.phase == Phase::RollingBack, "only people settle a rollback", || name.to_string())?;
        Ok(if done { State::RolledBack } else { State::LeftInPlace })
    }
}
