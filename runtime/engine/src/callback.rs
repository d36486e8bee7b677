//! Callbacks: which are taken, which are kept until somebody waits for them, and what they wake.
//!
//! A callback belongs to the operation that made its topic, for as long as that operation is in progress. If the step
//! waits for it, it wakes the step; else it is kept, and wakes the step as soon as it waits. What an attempt got, the
//! next one gets again if it waits for the same topic, as one does that finds the topic in a checkpoint: the other
//! side calls once.
//!
//! **Invariant:** a topic is taken once; the second time is refused and changes nothing.
//! **Invariant:** what is kept of a step and of a release is bounded, and gone when the operation is over.

use windlass_model::event::{Event, Operation, Wake};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::time::Timestamp;

use crate::input::{Callback, Rejected, TopicMaker};
use crate::release::{Release, ReleaseState};
use crate::step::{Activity, Stage, StepRun, StepState};

/// Callbacks that are kept for one step.
pub const KEPT_PER_STEP_MAX: usize = 64;

/// Callbacks that are kept for one release.
pub const KEPT_PER_RELEASE_MAX: usize = 256;

/// What a step was called back with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Callbacks(Vec<Received>);

#[derive(Debug, Clone, PartialEq)]
struct Received {
    topic: String,
    /// What it said, unless so many came that it is not kept.
    said: Option<Said>,
    /// Whether the attempt, from where it last began, has it.
    given: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Said {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Callbacks {
    fn has(&self, topic: &str) -> bool {
        self.0.iter().any(|it| it.topic == topic)
    }

    /// How many are kept with what they said.
    fn kept(&self) -> usize {
        self.0.iter().filter(|it| it.said.is_some()).count()
    }

    /// The first to have come that one of these topics waits for, and that the attempt does not have.
    fn for_any(&self, topics: &[String]) -> Option<Callback> {
        let received = self.0.iter().find(|it| !it.given && it.said.is_some() && topics.contains(&it.topic))?;
        let said = received.said.clone()?;
        Some(Callback { topic: received.topic.clone(), headers: said.headers, body: said.body })
    }

    /// Takes in what an event of the step says of callbacks.
    pub(crate) fn take(&mut self, event: &Event) {
        match event {
            Event::CallbackKept { topic, headers, body, .. } => {
                let said = Some(Said { headers: headers.clone(), body: body.clone() });
                self.0.push(Received { topic: topic.clone(), said, given: false });
            }
            Event::Resumed { wake: Wake::Callback { topic, headers, body }, .. } => {
                match self.0.iter_mut().find(|it| it.topic == *topic) {
                    Some(received) => received.given = true,
                    None => {
                        let said = Said { headers: headers.clone(), body: body.clone() };
                        let said = (self.kept() < KEPT_PER_STEP_MAX).then_some(said);
                        self.0.push(Received { topic: topic.clone(), said, given: true });
                    }
                }
            }
            // From here on the component is called from the beginning.
            Event::AttemptStarted { .. } | Event::EffectNotFound { .. } => {
                for received in &mut self.0 {
                    received.given = false;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl StepRun {
    /// The operation that is in progress or waits for a decision.
    fn operation(&self) -> Option<Operation> {
        match &self.state {
            StepState::Active(activity)
            | StepState::Paused { activity, .. }
            | StepState::RollbackBlocked { activity, .. } => Some(activity.operation),
            StepState::Waiting
            | StepState::Held { .. }
            | StepState::FannedOut
            | StepState::Succeeded
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Canceled
            | StepState::RolledBack
            | StepState::LeftInPlace => None,
        }
    }

    pub(crate) fn may_be_called_back(&self) -> bool {
        self.operation().is_some()
    }

    /// Whether what made a topic may still wait for it.
    fn is_made_now(&self, maker: &TopicMaker) -> bool {
        match (maker.operation, self.operation()) {
            // What a cancel stops may have been told to call when it has stopped.
            (Operation::Start, Some(Operation::Start | Operation::Cancel)) => maker.attempt > self.attempts_before,
            (Operation::Cancel, Some(Operation::Cancel)) | (Operation::Rollback, Some(Operation::Rollback)) => true,
            (Operation::Start | Operation::Cancel | Operation::Rollback, _) => false,
        }
    }

    fn topics(&self) -> &[String] {
        match self.state.activity() {
            Some(Activity { stage: Stage::Suspended { topics, .. }, .. }) => topics,
            _ => &[],
        }
    }
}

impl Release {
    /// Callback topics that would wake a step.
    pub fn topics(&self) -> impl Iterator<Item = &str> + '_ {
        self.active.iter().flat_map(|it| {
            let run = &self.steps[it.as_usize()];
            run.topics().iter().filter(|it| !run.callbacks.has(it)).map(String::as_str)
        })
    }

    pub(crate) fn callback(
        &mut self,
        callback: Callback,
        maker: &TopicMaker,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let index = self.index_of(&maker.step).ok_or(Rejected::UnknownTopic)?;
        if matches!(self.state, ReleaseState::Ended { .. }) {
            return Err(Rejected::CallbackOver);
        }
        let run = &self.steps[index.as_usize()];
        if run.callbacks.has(&callback.topic) {
            return Err(Rejected::CallbackRepeated);
        }
        let mut events = Vec::new();
        let Callback { topic, headers, body } = callback;
        if run.topics().contains(&topic) {
            self.wake(&mut events, index, Wake::Callback { topic, headers, body }, now);
            return Ok(events);
        }
        if !run.is_made_now(maker) {
            return Err(Rejected::CallbackOver);
        }
        let kept: usize = self.active.iter().chain(&self.attention).map(|it| self.kept(*it)).sum();
        if self.kept(index) >= KEPT_PER_STEP_MAX || kept >= KEPT_PER_RELEASE_MAX {
            return Err(Rejected::TooManyCallbacks);
        }
        let step = self.name_of(index);
        self.record(&mut events, Event::CallbackKept { step, topic, headers, body }, now);
        Ok(events)
    }

    fn kept(&self, index: StepIndex) -> usize {
        self.steps[index.as_usize()].callbacks.kept()
    }

    /// Wakes a step that has just been suspended, if what it waits for has come before.
    pub(crate) fn wake_by_kept(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp, dice: u64) {
        let run = &self.steps[index.as_usize()];
        let topics = run.topics();
        if let Some(Callback { topic, headers, body }) = run.callbacks.for_any(topics) {
            self.wake(events, index, Wake::Callback { topic, headers, body }, now);
            return;
        }
        let is_timed =
            matches!(run.state.activity(), Some(Activity { stage: Stage::Suspended { wake_at: Some(_), .. }, .. }));
        if !is_timed && topics.iter().all(|it| run.callbacks.has(it)) {
            let message = "the plugin waits for nothing but callbacks that it has been given; each comes once";
            let error = StepError::engine(FailureClass::Internal, "callback-spent", message);
            self.fail(events, index, error, now, dice);
        }
    }
}
