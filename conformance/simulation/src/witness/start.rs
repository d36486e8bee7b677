//! Rules about what begins: when it may, with what, and why not.

use serde_json::Value;
use windlass_model::event::{AfterInterruption, Event, Operation, SkipReason};
use windlass_model::expression::Scope;
use windlass_model::failure::FailureClass;
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::time::Timestamp;
use windlass_model::workflow::{Gate, Step};

use super::dry_run::DRY_RUN;
use super::step::ORDER;
use super::{Before, Doing, Phase, Stage, State, Within, Witness, gate};
use crate::violation::{Violation, ensure, violated};

/// The rule of rehearsals.
pub(super) const REHEARSAL: &str = "a rehearsal goes up to the point of no return, and all the way back";

/// What an attempt takes over from what was before it.
pub(super) struct Begun {
    pub(super) began_at: Timestamp,
    pub(super) spent: u32,
    pub(super) stops: Option<Box<Doing>>,
}

impl Witness {
    pub(super) fn ensure_may_begin(&self, step: StepIndex) -> Result<(), Violation> {
        self.ensure_its_turn(step)?;
        let beyond = !self.is_item(step) && self.is_beyond_rehearsal(step);
        ensure(!beyond, REHEARSAL, || format!("{} begins", self.name(step)))
    }

    fn ensure_its_turn(&self, step: StepIndex) -> Result<(), Violation> {
        self.ensure_its_needs(step)?;
        let passed_over = !self.is_item(step) && self.seen(step).passed_over.is_some();
        ensure(!passed_over, "what somebody skipped does not start", || self.name(step).to_string())
    }

    fn ensure_its_needs(&self, step: StepIndex) -> Result<(), Violation> {
        ensure(self.goes_forward(step), "after a failure nothing new starts", || {
            format!("{} while the release is {:?}", self.name(step), self.phase)
        })?;
        ensure(!self.paused, "a pause holds what is new", || self.name(step).to_string())?;
        if self.is_item(step) {
            return self.ensure_item_may_begin(step);
        }
        ensure(self.may_start(step), "no step before its needs", || self.name(step).to_string())
    }

    /// Whether a step is a point of no return in a rehearsal, or comes after one.
    fn is_beyond_rehearsal(&self, step: StepIndex) -> bool {
        let definition = self.definition(step);
        let after = self.plan.graph().parents(step).any(|it| self.seen(it).left_out);
        self.created.rehearsal && !definition.finally && (definition.pivot || after)
    }

    pub(super) fn skipped(
        &mut self,
        step: StepIndex,
        reason: &SkipReason,
        within: &Within<'_>,
    ) -> Result<State, Violation> {
        let beyond = self.is_beyond_rehearsal(step);
        if matches!(reason, SkipReason::Person { .. }) {
            ensure(!beyond || self.is_item(step), REHEARSAL, || format!("{} is skipped by hand", self.name(step)))?;
            return self.passed_over(step, within);
        }
        if *reason == SkipReason::Rehearsal {
            // Even if somebody skipped it: else what comes after it would run.
            self.ensure_its_needs(step)?;
            ensure(beyond && !self.is_item(step), REHEARSAL, || format!("{} is left out", self.name(step)))?;
            self.seen_mut(step).left_out = true;
            self.counts.add("step: left out of a rehearsal");
            return Ok(State::Skipped { by_hand: false });
        }
        self.ensure_its_turn(step)?;
        ensure(!beyond, REHEARSAL, || format!("{}: {reason:?}", self.name(step)))?;
        let definition = self.definition(step);
        let state = |it: &_| self.plan.index_of(it).map(|it| &self.seen(it).state);
        // Who skips a step by hand says that its work is done, not that nothing after it is to be done.
        let needs_skipped = !definition.needs.is_empty()
            && definition.needs.iter().all(|it| state(it) == Some(&State::Skipped { by_hand: false }));
        let (fits, name) = match reason {
            SkipReason::Person { .. } => (false, "step: skipped by somebody"),
            SkipReason::Rehearsal => (false, "step: left out of a rehearsal"),
            SkipReason::NeedsSkipped => (needs_skipped, "step: skipped with what it needs"),
            SkipReason::Condition { .. } => {
                let holds = definition.when.as_ref().map(|it| self.with_scope(|scope| it.holds(scope)));
                (matches!(holds, Some(Ok(false))) && !needs_skipped, "step: skipped by its condition")
            }
        };
        ensure(fits && !self.is_item(step), "a step is skipped for its reason", || {
            format!("{}: {reason:?}", self.name(step))
        })?;
        self.counts.add(name);
        Ok(State::Skipped { by_hand: false })
    }

    /// The value that a step's input should have, if it has one.
    fn input(&self, step: StepIndex) -> Option<Value> {
        let each = self.each(step);
        self.with_scope(|scope| self.definition(step).with.evaluate(&Scope { each: each.as_ref(), ..*scope }).ok())
    }

    pub(super) fn has_no_value(&self, step: StepIndex) -> bool {
        let definition = self.definition(step);
        let when = definition.when.as_ref().is_some_and(|it| self.with_scope(|scope| it.holds(scope)).is_err());
        let message = definition.gates.iter().any(|Gate::Approval(rule)| {
            rule.message.as_ref().is_some_and(|it| self.with_scope(|scope| it.evaluate(scope)).is_err())
        });
        let list = definition.for_each.is_some() && !self.is_item(step);
        let want = if list { self.list(step).is_none() } else { self.input(step).is_none() };
        (!self.is_item(step) && (when || message)) || want
    }

    pub(super) fn start(
        &mut self,
        step: StepIndex,
        state: State,
        attempt: u32,
        round: u32,
        input: Option<&Value>,
        within: &Within<'_>,
    ) -> Result<Begun, Violation> {
        let name = self.name(step);
        let definition = self.plan.step(self.of(step)).clone();
        let stillborn = matches!(within.next, Some(Event::AttemptFailed { step: of, error, .. })
            if *of == name && error.code == "expression-failed");
        let first_of_run = matches!(state, State::Waiting | State::Held { .. });
        let first = Begun { began_at: self.at, spent: attempt - 1, stops: None };
        let begun = match state {
            State::Waiting | State::Held { .. } => {
                self.ensure_may_begin(step)?;
                let seen = self.seen(step);
                ensure(
                    attempt == seen.attempts + 1 && round == seen.rounds + 1,
                    "attempts and logical calls are counted on, over all runs",
                    || format!("{attempt}, {round} after {}, {}", seen.attempts, seen.rounds),
                )?;
                if !stillborn && !self.is_item(step) {
                    self.ensure_open(step, &state)?;
                }
                first
            }
            State::Active(Doing { stage: Stage::Backoff { until }, operation: Operation::Start, .. })
                if until > self.at =>
            {
                return violated("a retry waits for its time", format!("{} until {until}", self.name(step)));
            }
            State::Active(doing)
                if doing.operation == Operation::Start && matches!(doing.stage, Stage::Backoff { .. }) =>
            {
                self.ensure_next_attempt(step, &doing, attempt, round, stillborn, within)?;
                self.counts.add("attempt: retried by policy");
                Begun { began_at: doing.began_at, spent: doing.spent, stops: None }
            }
            State::Paused(doing) if within.retries(&self.name(step)) => {
                self.ensure_next_attempt(step, &doing, attempt, round, stillborn, within)?;
                self.counts.add("attempt: retried by a person");
                first
            }
            other => return violated(ORDER, format!("the start of attempt {attempt} came while {other:?}")),
        };
        self.began(step);
        let seen = self.seen_mut(step);
        seen.attempts = attempt;
        let before = Before { may_have_acted: seen.may_have_acted, stood: seen.standing.contains(&round) };
        seen.one_call = (!stillborn).then_some(before);
        if stillborn {
            let is_excused = self.is_dry_run() && self.reads_made_up(step);
            ensure(!is_excused, "a dry run fails for what is real", || self.name(step).to_string())?;
            ensure(self.has_no_value(step), "an expression fails only if it has no value", || {
                self.name(step).to_string()
            })?;
            self.counts.add("step: expression without a value");
            return Ok(begun);
        }
        let fans_out = definition.for_each.is_some() && !self.is_item(step);
        ensure(!fans_out, "a step with items does nothing itself", || self.name(step).to_string())?;
        // Who tries again does so with what was recorded, whatever a person has replaced since.
        let expected = if first_of_run { self.input(step) } else { self.seen(step).input.clone() };
        let given = input.or(self.seen(step).input.as_ref());
        if first_of_run && self.is_unknown_input(step, input) {
            let seen = self.seen_mut(step);
            seen.may_have_acted = true;
            seen.rounds = seen.rounds.max(round);
            // Another attempt has it, too.
            seen.input = input.cloned();
            return Ok(begun);
        }
        ensure(!self.seen(step).told.unknown || !first_of_run, "an unknown input is none", || format!("{given:?}"))?;
        ensure(expected.is_some() && given == expected.as_ref(), "a step's input is what its file says", || {
            format!("{}: {given:?}, not {expected:?}", self.name(step))
        })?;
        let given = given.cloned();
        if first_of_run {
            let seen = self.seen(step);
            self.counts.add(match (seen.may_have_acted, seen.run > 0, self.is_item(step)) {
                (true, ..) => "step: started again, with an effect of before",
                (false, true, _) => "step: started again",
                (false, false, true) => "item: started",
                (false, false, false) => "step: started",
            });
            if self.definition(step).pivot {
                self.counts.add("step: started, a point of no return");
            }
        }
        let seen = self.seen_mut(step);
        if first_of_run {
            // What was so before is asked anew; what each piece of work came to is kept under its key.
            seen.checkpoints.retain(|name, _| name.ends_with(|it: char| it.is_ascii_hexdigit()) && name.len() > 32);
        }
        seen.input = given;
        seen.may_have_acted = true;
        seen.rounds = seen.rounds.max(round);
        seen.standing.insert(round);
        Ok(begun)
    }

    /// Whether all that could hold a step back is open.
    pub(super) fn ensure_open(&self, step: StepIndex, state: &State) -> Result<(), Violation> {
        if self.is_dry_run() {
            return ensure(self.is_open_in_dry_run(step), DRY_RUN, || format!("{} was {state:?}", self.name(step)));
        }
        let definition = self.definition(step);
        let holds = !definition.gates.is_empty() || definition.delay.is_some();
        let let_go = matches!(state, State::Held { until: None });
        let fits = if holds { let_go } else { *state == State::Waiting };
        ensure(fits, "gates and delays are never passed by", || format!("{} was {state:?}", self.name(step)))?;
        if !holds {
            let when = definition.when.as_ref().map(|it| self.with_scope(|scope| it.holds(scope)));
            ensure(!matches!(when, Some(Ok(false) | Err(_))), "a condition is heeded", || self.name(step).to_string())?;
        }
        self.ensure_votes(step, definition)
    }

    fn ensure_votes(&self, step: StepIndex, definition: &Step) -> Result<(), Violation> {
        let votes = &self.seen(step).votes;
        let voters: Vec<_> = votes.iter().filter(|(_, yes)| *yes).map(|(actor, _)| actor).collect();
        let enough = gate::are_enough(definition, &voters, &self.created.requested_by);
        ensure(enough && votes.iter().all(|(_, yes)| *yes), "no gate without its votes", || {
            let names: Vec<_> = voters.iter().map(|it| it.name.as_str()).collect();
            format!("{} starts with {}", definition.name, names.join(", "))
        })
    }

    fn ensure_next_attempt(
        &self,
        step: StepIndex,
        before: &Doing,
        attempt: u32,
        round: u32,
        stillborn: bool,
        within: &Within<'_>,
    ) -> Result<(), Violation> {
        let last = matches!(self.phase, Phase::Finishing { .. }) && self.goes_forward(step);
        ensure(
            matches!(self.phase, Phase::Running | Phase::Failing { .. } | Phase::RollingBack) || last,
            "after a cancel nothing new starts",
            || format!("attempt {attempt} of {} while the release is {:?}", self.name(step), self.phase),
        )?;
        ensure(!self.paused || before.operation != Operation::Start, "a pause holds what is new", || {
            format!("attempt {attempt} of {}", self.name(step))
        })?;
        ensure(attempt == before.attempt + 1, "attempts are counted", || format!("{attempt} after {before:?}"))?;
        let class = before.error.as_ref().map(|it| it.class);
        let rounds = match class {
            Some(FailureClass::Rejected) => before.round + 1..=before.round + 1,
            Some(
                FailureClass::Transient | FailureClass::RateLimited | FailureClass::TimedOut | FailureClass::Internal,
            )
            | None => before.round..=before.round,
            // What these say of the effect depends on what was asked; that no effect is doubled is the world's rule.
            Some(_) => before.round..=before.round + 1,
        };
        ensure(rounds.contains(&round), "a new key exactly after a definite answer", || {
            format!("{} goes from round {} to {round} after {class:?}", self.name(step), before.round)
        })?;
        let pin = self.pin(step);
        let in_doubt = before.operation == Operation::Start && round == before.round;
        if in_doubt && !self.is_dry_run() && pin.effect == Effect::Write && pin.find && !stillborn {
            let looks = matches!(within.next, Some(Event::CallInterrupted { next: AfterInterruption::Find, .. }));
            let stands = self.seen(step).standing.contains(&round);
            ensure(looks == stands, "who can look looks before trying again, if there can be something", || {
                self.name(step).to_string()
            })?;
        }
        Ok(())
    }
}
