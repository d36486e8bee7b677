//! What circuit breakers hold, and services that are not there yet: the calls that begin forward work, and nothing
//! else.
//!
//! A release sees neither. Who makes its calls asks them, and tells here what they said; a call that is held
//! is recorded as such, and waits within its attempt. When it is let through, the attempt's time begins anew, so that
//! a wait spends neither attempts nor their time.
//!
//! **Invariant:** only the first call of `start` is held, and the look for what an earlier one may have done, and only
//! while its release goes forward; a release that does anything else lets go of what was held, so that it never waits for
//! a breaker.

use windlass_model::actor::Actor;
use windlass_model::event::{Event, HeldBy, Hold, Intervention, Operation};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::time::Timestamp;
use windlass_model::workflow::RollbackTrigger;

use crate::input::{CallId, Rejected};
use crate::release::{Release, ReleaseState, call_id};
use crate::step::{Activity, Call, Stage, StepRun, StepState};

impl Release {
    /// Whether a call is one that breakers are asked about before it is made.
    pub fn may_be_held(&self, call: CallId) -> bool {
        let Some(activity) = self.steps.get(call.step.as_usize()).and_then(|it| it.state.activity()) else {
            return false;
        };
        let is_that = call_id(call.step, activity) == call && call.operation == Operation::Start;
        // One that is repeated in the middle of its work has begun: were it held, its step would be let go of as one
        // that never did, and the release that it began would go on.
        let is_in_the_middle = call.call > 1 && !self.steps[call.step.as_usize()].checkpoints.is_empty();
        let begins = match activity.stage {
            Stage::Calling(Call::Begin { .. }) => !is_in_the_middle,
            // It fails as well where nobody answers, and would spend the attempts.
            Stage::Calling(Call::Find) => true,
            _ => false,
        };
        is_that && begins && self.is_forward(call.step)
    }

    /// Calls that are held, and would be made if nothing held them.
    pub fn held_calls(&self) -> impl Iterator<Item = (CallId, &Hold)> + '_ {
        let active = self.active.iter().filter(|_| !self.is_held_back());
        active.filter_map(|index| match self.steps[index.as_usize()].state.activity()? {
            activity @ Activity { stage: Stage::Held { hold, .. }, .. } => Some((call_id(*index, activity), hold)),
            _ => None,
        })
    }

    /// Whether anything is held.
    pub fn is_held(&self) -> bool {
        self.active.iter().any(|it| self.is_held_at(*it))
    }

    /// Whether a call of any step was made, but for those that are about to be.
    pub fn has_begun(&self) -> bool {
        self.steps.iter().any(|run| match run.state.activity() {
            Some(Activity {
                operation: Operation::Start, stage: Stage::Calling(Call::Begin { .. }), call: 1, ..
            }) => run.called_before,
            _ => run.called,
        })
    }

    fn is_held_at(&self, index: StepIndex) -> bool {
        matches!(self.steps[index.as_usize()].state.activity(), Some(Activity { stage: Stage::Held { .. }, .. }))
    }

    fn is_forward(&self, index: StepIndex) -> bool {
        self.state == ReleaseState::Running && !self.definition(index).finally
    }

    /// A step that is held in a release that does not go forward.
    pub(crate) fn held_in_vain(&self) -> Option<StepIndex> {
        let mut held = self.active.iter().copied().filter(|it| self.is_held_at(*it));
        if self.state == ReleaseState::Running { None } else { held.next() }
    }

    /// Lets go of a step that is held in vain.
    pub(crate) fn let_go(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let activity = self.steps[index.as_usize()].state.activity();
        let cut_off = activity.filter(|it| self.pin(index).cancel && self.is_cut_off(index, it));
        let event = match cut_off {
            Some(activity) => self.cancel(index, activity),
            None => Event::StepCanceled { step: self.name_of(index) },
        };
        self.record(events, event, now);
    }

    /// Whether what is held is the repetition of a call that was cut off, or the look for its effect, so that the other
    /// side may still be at it. A write that cannot be recognised is never repeated before it was looked for and not found.
    pub(crate) fn is_cut_off(&self, index: StepIndex, activity: &Activity) -> bool {
        match &activity.stage {
            Stage::Held { call: Call::Find, .. } => true,
            Stage::Held { .. } => activity.call > 1 && self.pin(index).effect != Effect::Write,
            _ => false,
        }
    }

    /// A breaker does not let a call through; `is_open` when it lets nothing through, not even a probe.
    pub(crate) fn hold(
        &mut self,
        call: CallId,
        hold: Hold,
        is_open: bool,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let mut events = Vec::new();
        let held_by = self.held_calls().find(|(held, _)| *held == call).map(|(_, hold)| hold.by.clone());
        if held_by.is_none() && !self.may_be_held(call) {
            self.activity(call)?;
            return Err(Rejected::NotToBeHeld);
        }
        let trigger = self.is_rolled_back_by_breakers().then(|| hold.clone()).filter(|_| is_open);
        if held_by.as_ref() != Some(&hold.by) {
            let step = self.name_of(call.step);
            self.record(&mut events, Event::CallHeld { step, hold }, now);
        }
        if let Some(Hold { by: HeldBy::Breaker(breaker), text, .. }) = trigger {
            let actor = Actor { name: breaker, groups: Vec::new(), authenticated: "breaker".to_owned() };
            let intervention = Intervention::Cancel { rollback: true };
            self.record(&mut events, Event::Intervened { actor, reason: text, intervention }, now);
            self.record(&mut events, Event::CancelingStarted { rollback: true }, now);
            self.stop_active_steps(&mut events, now);
        }
        Ok(events)
    }

    /// Whether an open breaker has it rolled back: it says so, has begun, and there is a way back.
    fn is_rolled_back_by_breakers(&self) -> bool {
        let rules = self.plan.workflow().rollback.as_ref();
        rules.is_some_and(|it| it.triggers.contains(&RollbackTrigger::Breaker))
            && self.has_begun()
            && self.pivot_passed().is_none()
    }

    pub(crate) fn let_through(&mut self, call: CallId, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        if !self.held_calls().any(|(held, _)| held == call) {
            return Err(Rejected::LateAnswer);
        }
        let mut events = Vec::new();
        let step = self.name_of(call.step);
        self.record(&mut events, Event::CallLetThrough { step }, now);
        Ok(events)
    }
}

/// A step after its call was held.
pub(crate) fn hold_back(
    run: &mut StepRun,
    activity: Activity,
    hold: &Hold,
    at: Timestamp,
) -> Result<StepState, &'static str> {
    let (call, since) = match &activity.stage {
        Stage::Calling(call @ (Call::Begin { .. } | Call::Find)) if activity.operation == Operation::Start => {
            (call.clone(), at)
        }
        Stage::Held { call, since, .. } => (call.clone(), *since),
        _ => return Err("a hold"),
    };
    // Of an attempt whose call was cut off nobody knows whether it had an effect.
    if activity.call == 1 {
        run.called = run.called_before;
        run.stands = run.stood_before;
    }
    let stage = Stage::Held { hold: hold.clone(), call, since };
    Ok(StepState::Active(Activity { stage, ..activity }))
}

/// A step after its call was let through.
pub(crate) fn let_through(run: &mut StepRun, activity: Activity, at: Timestamp) -> Result<StepState, &'static str> {
    let Stage::Held { call, since, .. } = &activity.stage else { return Err("the end of a hold") };
    run.called = true;
    run.stands = true;
    let began_at = activity.began_at + at.since(*since);
    let stage = Stage::Calling(call.clone());
    Ok(StepState::Active(Activity { stage, began_at, attempt_began_at: at, ..activity }))
}
