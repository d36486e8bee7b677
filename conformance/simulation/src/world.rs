//! The world outside: what calls of components really did, and what they say of it.
//!
//! An effect is *open* from the moment it happens until the other side itself has said that it came to
//! nothing (`rejected`), it was stopped, or it was rolled back. An action that can be found again must
//! never have two open effects: that is a change opened twice, a version deployed twice.
//!
//! **Invariant:** nothing here knows what the engine thinks. A call that was cut off had its effect or
//! will never have it; the other side does not begin with it after everybody has stopped listening.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_engine::{Call, CallOrder, CallResult, Suspension, WakeCondition};
use windlass_model::event::Operation;
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::plan::Pin;
use windlass_model::time::{Span, Timestamp};

use crate::dice::Dice;
use crate::violation::{Violation, violated};

/// Which function of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `start`
    Start,
    /// `resume`, of any operation
    Resume,
    /// `cancel`
    Cancel,
    /// `rollback`
    Rollback,
    /// `find`
    Find,
}

impl Verb {
    /// Which function a call is of.
    pub fn of(order: &CallOrder) -> Self {
        match (&order.call, order.id.operation) {
            (Call::Find, _) => Self::Find,
            (Call::Resume { .. }, _) => Self::Resume,
            (Call::Begin { .. }, Operation::Start) => Self::Start,
            (Call::Begin { .. }, Operation::Cancel) => Self::Cancel,
            (Call::Begin { .. }, Operation::Rollback) => Self::Rollback,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Rollback => "rollback",
            Self::Find => "find",
        }
    }
}

/// What a call does to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Of which step.
    pub step: StepIndex,
    /// Within which operation.
    pub operation: Operation,
    /// In which of its attempts.
    pub attempt: u32,
    /// Under which idempotency key.
    pub key: String,
    /// What repeating it would do.
    pub effect: Effect,
    /// Whether it can be found again.
    pub find: bool,
    /// How often its step was taken back to its beginning: then all happens once more, and may.
    pub run: u32,
}

/// What becomes of a call.
#[derive(Debug, Clone)]
pub struct Fate {
    /// When its effect happens, in milliseconds from now, if it has one.
    pub effect_after: Option<u64>,
    /// Whether the other side itself will say with the answer that the effect came to nothing.
    pub comes_to_nothing: bool,
    /// When it answers, in milliseconds from now.
    pub answer_after: u64,
    /// What it answers.
    pub answer: Result<CallResult, StepError>,
    /// Whether the answer comes a second time.
    pub twice: bool,
    /// Whether it records a part of its step on the way.
    pub checkpoint: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    run: u32,
    attempt: u32,
    key: String,
    open: bool,
    came_to_nothing: bool,
}

/// What really happened.
#[derive(Debug, Default)]
pub struct World {
    starts: BTreeMap<StepIndex, Vec<Done>>,
    rollbacks: BTreeMap<StepIndex, String>,
    suspensions: u64,
}

/// The longest that a call takes which nobody stops: then the host does.
pub const HANG: u64 = 900_000;

impl World {
    /// Lets an effect happen. `nice` is false when the answer that follows says that it came to nothing.
    ///
    /// # Errors
    ///
    /// When it happened before and should have been known.
    pub fn happen(&mut self, deed: &Deed) -> Result<(), Violation> {
        match deed.operation {
            Operation::Cancel => self.close(deed.step, Some(deed.run)),
            Operation::Rollback => {
                self.rollbacks.insert(deed.step, deed.key.clone());
                self.close(deed.step, None);
            }
            Operation::Start if deed.effect == Effect::Read => {}
            Operation::Start => {
                let before = self.starts.entry(deed.step).or_default();
                let known = before.iter().any(|it| it.key == deed.key);
                if deed.effect == Effect::IdempotentWrite && known {
                    return Ok(());
                }
                let recognisable = deed.find || deed.effect == Effect::IdempotentWrite;
                if let Some(open) = before.iter().find(|it| it.open && recognisable && it.run == deed.run) {
                    return violated(
                        "no effect twice",
                        format!(
                            "attempt {} of step {} has its effect under key {}, and so has attempt {} under {}",
                            deed.attempt,
                            deed.step.as_usize(),
                            deed.key,
                            open.attempt,
                            open.key
                        ),
                    );
                }
                if before.iter().any(|it| it.attempt == deed.attempt && it.key == deed.key && it.open) {
                    return violated(
                        "no effect twice",
                        format!("attempt {} of step {} has its effect again", deed.attempt, deed.step.as_usize()),
                    );
                }
                let (run, attempt, key) = (deed.run, deed.attempt, deed.key.clone());
                before.push(Done { run, attempt, key, open: true, came_to_nothing: false });
            }
        }
        Ok(())
    }

    /// The other side says that what was done under this key came to nothing.
    pub fn come_to_nothing(&mut self, deed: &Deed) {
        for done in self.starts.entry(deed.step).or_default().iter_mut().filter(|it| it.key == deed.key) {
            done.open = false;
            done.came_to_nothing = true;
        }
    }

    fn close(&mut self, step: StepIndex, run: Option<u32>) {
        let done = self.starts.entry(step).or_default().iter_mut();
        done.filter(|it| run.is_none_or(|run| it.run == run)).for_each(|it| it.open = false);
    }

    /// Somebody took an effect back by hand.
    pub fn taken_back(&mut self, step: StepIndex) {
        self.rollbacks.insert(step, "by hand".to_owned());
        self.close(step, None);
    }

    /// Whether a step has an effect of its present run that nobody took back.
    pub fn is_open_in(&self, step: StepIndex, run: u32) -> bool {
        self.starts.get(&step).is_some_and(|it| it.iter().any(|it| it.open && it.run == run))
    }

    /// Whether a step has an effect that nobody took back.
    pub fn is_open(&self, step: StepIndex) -> bool {
        self.starts.get(&step).is_some_and(|it| it.iter().any(|it| it.open))
    }

    /// Whether a step's effect was rolled back.
    pub fn is_rolled_back(&self, step: StepIndex) -> bool {
        self.rollbacks.contains_key(&step)
    }

    fn done_under(&self, deed: &Deed) -> Option<&Done> {
        // The latest: an attempt that was stopped may have been begun anew under the same key.
        self.starts.get(&deed.step)?.iter().rev().find(|it| it.key == deed.key)
    }

    /// Decides what becomes of a call. `trouble` is how many calls in a thousand do not simply end well.
    pub fn fate(&mut self, dice: &mut Dice, trouble: u64, order: &CallOrder, pin: &Pin, now: Timestamp) -> Fate {
        let verb = Verb::of(order);
        let deed = Deed::of(order, pin, 0);
        let troubled = dice.permille(trouble);
        let length = match dice.weighted(&[60, 30, 10]) {
            0 => dice.between(1, 50),
            1 => dice.between(50, 3000),
            _ => dice.between(3000, 60_000),
        };
        let mut fate = Fate {
            effect_after: None,
            comes_to_nothing: false,
            answer_after: length,
            answer: Ok(CallResult::Done(output(&deed.key))),
            twice: dice.permille(trouble / 4),
            checkpoint: verb != Verb::Find && dice.permille(100),
        };
        match verb {
            Verb::Start => self.start(dice, troubled, trouble, &deed, now, &mut fate),
            Verb::Resume if deed.operation == Operation::Start => {
                self.resume(dice, troubled, trouble, &deed, now, &mut fate)
            }
            Verb::Find => self.find(dice, troubled, trouble, &deed, now, &mut fate),
            Verb::Resume | Verb::Cancel | Verb::Rollback => {
                if !troubled {
                    if dice.permille(trouble.min(200)) {
                        fate.answer = self.suspended(dice, &deed, now);
                    } else {
                        fate.effect_after = Some(dice.below(length));
                    }
                } else if dice.permille(300) {
                    fate.effect_after = Some(dice.below(length));
                    fate.answer = failure(dice, doubtful);
                } else if dice.permille(300) {
                    fate.answer_after = HANG;
                    fate.answer = hung();
                } else {
                    fate.answer = failure(dice, any);
                }
            }
        }
        fate
    }

    fn start(&mut self, dice: &mut Dice, troubled: bool, trouble: u64, deed: &Deed, now: Timestamp, fate: &mut Fate) {
        if deed.effect == Effect::IdempotentWrite && self.done_under(deed).is_some() {
            // The other side recognises the key and says what it came to.
            return self.find(dice, troubled, trouble, deed, now, fate);
        }
        if !troubled {
            fate.effect_after = Some(dice.below(fate.answer_after));
            if dice.permille(trouble.max(100)) {
                fate.answer = self.suspended(dice, deed, now);
            }
            return;
        }
        match dice.weighted(&[40, 25, 15, 8, 8, 4]) {
            0 if dice.permille(100) => {
                fate.answer = Err(StepError::not_called(FailureClass::Invalid, "not-called", "the host asked nobody"));
            }
            0 => {
                fate.answer = failure(dice, any);
                host_may_know_it(dice, &mut fate.answer);
            }
            1 => {
                fate.effect_after = Some(dice.below(fate.answer_after));
                fate.answer = failure(dice, doubtful);
            }
            2 => {
                fate.effect_after = Some(dice.below(fate.answer_after));
                fate.comes_to_nothing = true;
                fate.answer = failure(dice, |_| FailureClass::Rejected);
            }
            3 => {
                fate.answer_after = HANG;
                fate.answer = hung();
            }
            4 => {
                fate.effect_after = Some(dice.below(fate.answer_after));
                fate.answer_after = HANG;
                fate.answer = hung();
            }
            // Only `find` may say so.
            _ => fate.answer = Ok(CallResult::NotFound),
        }
    }

    fn resume(&mut self, dice: &mut Dice, troubled: bool, trouble: u64, deed: &Deed, now: Timestamp, fate: &mut Fate) {
        let over = self.done_under(deed).is_some_and(|it| it.came_to_nothing);
        if troubled {
            match dice.weighted(&[40, 20, 25, 15]) {
                0 => fate.answer = failure(dice, doubtful),
                1 => fate.answer = failure(dice, unable_to_look),
                2 => {
                    fate.comes_to_nothing = true;
                    fate.answer = failure(dice, |_| FailureClass::Rejected);
                }
                _ => {
                    fate.answer_after = HANG;
                    fate.answer = hung();
                }
            }
            host_may_know_it(dice, &mut fate.answer);
        } else if over {
            fate.comes_to_nothing = true;
            fate.answer = failure(dice, |_| FailureClass::Rejected);
        } else if dice.permille(trouble.min(250)) {
            fate.answer = self.suspended(dice, deed, now);
        }
    }

    fn find(&mut self, dice: &mut Dice, troubled: bool, trouble: u64, deed: &Deed, now: Timestamp, fate: &mut Fate) {
        if troubled {
            match dice.weighted(&[50, 35, 15]) {
                0 => fate.answer = failure(dice, doubtful),
                1 => fate.answer = failure(dice, unable_to_look),
                _ => {
                    fate.answer_after = HANG;
                    fate.answer = hung();
                }
            }
            host_may_know_it(dice, &mut fate.answer);
            return;
        }
        match self.done_under(deed) {
            None => fate.answer = Ok(CallResult::NotFound),
            Some(done) if done.came_to_nothing => {
                fate.comes_to_nothing = true;
                fate.answer = failure(dice, |_| FailureClass::Rejected);
            }
            // It was stopped.
            Some(done) if !done.open => fate.answer = failure(dice, |_| FailureClass::Canceled),
            Some(_) if dice.permille(trouble.min(250)) => fate.answer = self.suspended(dice, deed, now),
            Some(_) => {}
        }
        if deed.operation == Operation::Start && fate.answer == Ok(CallResult::NotFound) && deed.effect != Effect::Write
        {
            // `start` of an idempotent action never says so.
            fate.answer = Ok(CallResult::Done(output(&deed.key)));
        }
    }

    fn suspended(&mut self, dice: &mut Dice, deed: &Deed, now: Timestamp) -> Result<CallResult, StepError> {
        self.suspensions += 1;
        // Some know their topics from a checkpoint: attempts of one logical call then wait for the same.
        let number = if deed.key.as_str() < "8" { 0 } else { self.suspensions };
        let topic = || WakeCondition::Callback(format!("{}-{number}", deed.key));
        let after = WakeCondition::After(Span(dice.between(0, 90_000)));
        let wakes = match dice.below(5) {
            0 => vec![topic()],
            1 => vec![topic(), after],
            2 => vec![WakeCondition::At(Timestamp((now.0 + dice.below(120_000)).saturating_sub(20_000)))],
            3 => vec![after, WakeCondition::After(Span::seconds(600)), topic()],
            _ => vec![after],
        };
        let state = self.suspensions.to_be_bytes().to_vec();
        Ok(CallResult::Suspended(Suspension { state, wakes, status: "the other side goes on".to_owned() }))
    }
}

impl Deed {
    /// What a call would do.
    pub fn of(order: &CallOrder, pin: &Pin, run: u32) -> Self {
        Self {
            step: order.id.step,
            operation: order.id.operation,
            attempt: order.id.attempt,
            key: order.idempotency_key.clone(),
            effect: pin.effect,
            find: pin.find,
            run,
        }
    }
}

fn output(key: &str) -> Value {
    let number = key.bytes().fold(0_u64, |sum, byte| sum * 7 % 1009 + u64::from(byte));
    let list: Vec<u64> = (0..number % 5).collect();
    json!({ "id": key, "number": number, "ok": number % 4 != 0, "list": list })
}

fn any(dice: &mut Dice) -> FailureClass {
    match dice.weighted(&[50, 50]) {
        0 => doubtful(dice),
        _ => FailureClass::ALL[dice.below(FailureClass::ALL.len() as u64) as usize].0,
    }
}

fn doubtful(dice: &mut Dice) -> FailureClass {
    [FailureClass::Transient, FailureClass::RateLimited, FailureClass::TimedOut, FailureClass::Internal]
        [dice.weighted(&[60, 10, 20, 10])]
}

fn unable_to_look(dice: &mut Dice) -> FailureClass {
    [FailureClass::Unauthenticated, FailureClass::Forbidden][dice.below(2) as usize]
}

fn failure(dice: &mut Dice, class: impl FnOnce(&mut Dice) -> FailureClass) -> Result<CallResult, StepError> {
    let class = class(dice);
    let advice = match dice.weighted(&[75, 10, 8, 7]) {
        0 => RetryAdvice::ByPolicy,
        1 => RetryAdvice::After(Span(dice.below(30_000))),
        2 => RetryAdvice::Never,
        _ => RetryAdvice::Pause,
    };
    Err(StepError {
        origin: FailureOrigin::Plugin,
        class,
        code: "simulated".to_owned(),
        message: "the world was not willing".to_owned(),
        advice,
        details: Vec::new(),
        without_effect: false,
    })
}

/// Of a call that did nothing: half of the time the host is sure of that. It says nothing of the calls before.
fn host_may_know_it(dice: &mut Dice, answer: &mut Result<CallResult, StepError>) {
    if let Err(error) = answer {
        error.without_effect = dice.permille(500);
    }
}

fn hung() -> Result<CallResult, StepError> {
    Err(StepError::host(FailureClass::TimedOut, "took-too-long", "the host stopped a call that did not end"))
}
