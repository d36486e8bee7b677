//! Rules about callbacks.

use std::collections::BTreeMap;

use windlass_model::event::{Event, Operation, Wake};
use windlass_model::graph::StepIndex;

use super::{Stage, State, Witness};
use crate::violation::{Violation, ensure};

/// What came for a step, by topic.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, Came>);

#[derive(Debug)]
struct Came {
    body: Vec<u8>,
    /// Whether the attempt, since it last began, was given it.
    given: bool,
    /// Whether any attempt was.
    ever_given: bool,
}

impl Seen {
    pub(super) fn has(&self, topic: &str) -> bool {
        self.0.contains_key(topic)
    }
}

impl Witness {
    /// Before an event is taken in.
    pub(super) fn may_be_called_back(&self, state: &State, event: &Event) -> Result<(), Violation> {
        let Event::CallbackKept { topic, .. } = event else { return Ok(()) };
        let waits = matches!(state, State::Active(doing)
            if matches!(&doing.stage, Stage::Suspended { topics, .. } if topics.contains(topic)));
        ensure(!waits, "what is waited for is not kept", || format!("{topic}: {state:?}"))?;
        // A topic of the simulation begins with the key of what made it.
        let own = self.topics.get(topic).unwrap_or(topic);
        let key = own.split('-').next().unwrap_or_default();
        let made = self.keys.get(key);
        let over = made.is_none_or(|(step, operation, round)| {
            *operation == Operation::Start && *round <= self.seen(*step).rounds_before
        });
        ensure(!over, "what is over is not called back", || format!("{topic}: {made:?}"))
    }

    /// After an event was taken in.
    pub(super) fn called_back(
        &mut self,
        step: StepIndex,
        event: &Event,
        previous: Option<&Event>,
    ) -> Result<(), Violation> {
        const ONCE: &str = "a callback is taken once";
        let seen = &mut self.steps[step.as_usize()];
        let callbacks = &mut seen.callbacks.0;
        match event {
            Event::CallbackKept { topic, body, .. } => {
                let came = Came { body: body.clone(), given: false, ever_given: false };
                ensure(callbacks.insert(topic.clone(), came).is_none(), ONCE, || topic.clone())?;
                self.counts.add("callback: kept");
            }
            Event::Resumed { wake: Wake::Callback { topic, body, .. }, .. } => {
                let at_once = matches!(previous, Some(Event::Suspended { step: of, .. }) if event.step() == Some(of));
                match callbacks.get_mut(topic) {
                    Some(came) => {
                        ensure(at_once && !came.given && came.body == *body, ONCE, || format!("{topic}: {came:?}"))?;
                        self.counts.add(match came.ever_given {
                            true => "attempt: resumed by a callback that an earlier one had",
                            false => "attempt: resumed by a callback that was kept",
                        });
                        (came.given, came.ever_given) = (true, true);
                    }
                    None => {
                        ensure(!at_once, "who wakes at once was there before", || topic.clone())?;
                        callbacks.insert(topic.clone(), Came { body: body.clone(), given: true, ever_given: true });
                    }
                }
            }
            Event::AttemptStarted { .. } | Event::EffectNotFound { .. } => {
                callbacks.values_mut().for_each(|it| it.given = false);
            }
            Event::AttemptFailed { error, .. } if error.code == "callback-spent" => {
                let waited = matches!(previous, Some(Event::Suspended { wake_at: None, topics, .. })
                    if topics.iter().all(|it| callbacks.get(it).is_some_and(|it| it.given)));
                ensure(waited, "only who waits for nothing that can come is refused to", || format!("{previous:?}"))?;
                self.counts.add("attempt: waits for what it was given");
            }
            _ => {}
        }
        if !matches!(seen.state, State::Active(_) | State::Paused(_) | State::Blocked(_)) {
            seen.callbacks.0.clear();
        }
        Ok(())
    }

    /// After every record.
    pub(super) fn no_callback_is_forgotten(&self) -> Result<(), Violation> {
        for (step, doing) in self.active() {
            let Stage::Suspended { topics, wake_at, .. } = &doing.stage else { continue };
            let callbacks = &self.seen(step).callbacks.0;
            let forgotten = topics.iter().any(|it| callbacks.get(it).is_some_and(|it| !it.given));
            ensure(!forgotten, "what has come wakes who waits for it", || format!("{}: {topics:?}", self.name(step)))?;
            let comes = wake_at.is_some() || topics.iter().any(|it| !callbacks.contains_key(it));
            ensure(comes, "nobody waits for what cannot come", || format!("{}: {topics:?}", self.name(step)))?;
        }
        Ok(())
    }
}
