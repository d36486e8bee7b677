//! A sandbox that lies: slow, late, lost, twice where that is possible, and the host itself panics in it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use windlass_engine::{Call, CallId, CallResult, WakeCondition};
use windlass_model::event::Operation;
use windlass_model::failure::StepError;
use windlass_model::name::ReleaseId;
use windlass_server::components::{Calls, ComponentCall};
use windlass_simulation::violation::{Violation, ensure, violated};
use windlass_simulation::world::{Deed, Fate, HANG, Verb};

use crate::people;
use crate::shared::{Shared, State};

/// Makes calls as the world would answer them.
pub(crate) struct Lying(pub(crate) Arc<Shared>);

/// A call in progress.
pub(crate) struct Flight {
    pub(crate) release: ReleaseId,
    pub(crate) id: CallId,
    deed: Deed,
    /// Whether its effect is still to happen.
    effect: bool,
    comes_to_nothing: bool,
    /// Whether it happens when the call is cut off before it did.
    happens_anyway: bool,
}

/// Whoever drops it has cut the call off, unless it has landed.
struct Airborne {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Airborne {
    fn drop(&mut self) {
        self.shared.cut(self.number);
    }
}

/// What happens while a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Effect,
    Checkpoint,
    Answer,
}

impl Calls for Lying {
    fn call(&self, call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>> {
        make(self.0.clone(), call).boxed()
    }
}

async fn make(shared: Arc<Shared>, call: ComponentCall) -> Result<CallResult, StepError> {
    if shared.is_dead() {
        return std::future::pending().await;
    }
    let took_off = shared.take_off(&call);
    let (fate, number, traps) = match took_off {
        Ok(took_off) => took_off,
        Err(violation) => {
            shared.judge(Err(violation));
            return std::future::pending().await;
        }
    };
    let airborne = Airborne { shared: shared.clone(), number };
    shared.happened();
    let answer = with_topics(&shared, &call, fate.answer).await;
    let mut moments = vec![(fate.answer_after, Moment::Answer)];
    moments.extend(fate.effect_after.map(|it| (it, Moment::Effect)));
    moments.extend(fate.checkpoint.then_some((fate.answer_after / 2, Moment::Checkpoint)));
    moments.sort();
    let mut passed = 0;
    for (after, moment) in moments {
        tokio::time::sleep(Duration::from_millis(after - passed)).await;
        passed = after;
        match moment {
            Moment::Effect => shared.effect(number),
            Moment::Checkpoint => {
                // Its call may be over by then.
                let attempt = call.order.id.attempt;
                let name = if attempt.is_multiple_of(2) { format!("part/{attempt:032x}") } else { "part".to_owned() };
                let _ = call.host.record_checkpoint(name, attempt.to_be_bytes().to_vec()).await;
            }
            Moment::Answer => break,
        }
    }
    if shared.is_dead() {
        return std::future::pending().await;
    }
    shared.happened();
    if traps {
        shared.tell(|| format!("    the host panics in {} of {}", call.order.id.call, call.step));
        shared.land_call(number, false);
        drop(airborne);
        std::panic::resume_unwind(Box::new("the host panics"));
    }
    shared.land_call(number, fate.comes_to_nothing);
    drop(airborne);
    shared.will_answer(&call, &answer);
    if fate.twice {
        // An answer cannot come twice here; but a part that it has done can come after it.
        shared.count("call: a checkpoint came after its end");
        tokio::spawn(late(shared, call));
    }
    answer
}

/// A call tells of a part of its step when it is over.
async fn late(shared: Arc<Shared>, call: ComponentCall) {
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    if call.host.record_checkpoint("late".to_owned(), vec![2]).await.is_ok() {
        let text = format!("{:?} of {}", call.order.id, call.release);
        shared.judge(violated("a late answer changes nothing", text));
    }
}

/// The world has topics of its own; here the runtime signs them.
async fn with_topics(
    shared: &Arc<Shared>,
    call: &ComponentCall,
    answer: Result<CallResult, StepError>,
) -> Result<CallResult, StepError> {
    let Ok(CallResult::Suspended(mut suspension)) = answer else { return answer };
    for wake in &mut suspension.wakes {
        let WakeCondition::Callback(topic) = wake else { continue };
        let known = shared.state().releases.get(&call.release).and_then(|it| it.topics.get(topic).cloned());
        let signed = match known {
            Some(known) => known,
            None => match call.host.create_callback().await {
                Ok(callback) => callback.topic,
                Err(_) => continue,
            },
        };
        let own = std::mem::replace(topic, signed.clone());
        if let Some(seen) = shared.state().releases.get_mut(&call.release) {
            if let Some(witness) = &mut seen.witness {
                witness.know(signed.clone(), own.clone());
            }
            seen.topics.insert(own, signed.clone());
        }
        people::will_call_back(shared, signed);
    }
    Ok(CallResult::Suspended(suspension))
}

impl Shared {
    fn take_off(&self, call: &ComponentCall) -> Result<(Fate, u64, bool), Violation> {
        let (passed, wall) = (self.clock.passed(), self.clock.wall());
        if call.order.id.operation == Operation::Start && !matches!(call.order.call, Call::Resume { .. }) {
            let (runtime, release) = {
                let state = self.state();
                let seen = state.releases.get(&call.release).map(|it| &it.release);
                (state.runtime.clone(), seen.filter(|it| it.may_be_held(call.order.id)).cloned())
            };
            if let Some((runtime, release)) = runtime.zip(release) {
                self.is_let_through(&runtime, &release, call.order.id)?;
            }
        }
        let taken = self.state().take_off(call, passed, wall);
        if let Ok((fate, ..)) = &taken {
            let (verb, id) = (Verb::of(&call.order).name(), call.order.id);
            self.tell(|| {
                let (release, step) = (&call.release, &call.step);
                let (attempt, number) = (id.attempt, id.call);
                format!(
                    "  {release}: {verb} {step} (attempt {attempt}, call {number}) in {} ms: {:?}",
                    fate.answer_after, fate.answer
                )
            });
        }
        taken
    }

    /// A call has its effect.
    fn effect(&self, number: u64) {
        let judged = self.state().effect(number);
        self.judge(judged);
    }

    /// A call has ended by itself.
    fn land_call(&self, number: u64, comes_to_nothing: bool) {
        let passed = self.clock.passed();
        let mut state = self.state();
        let Some(flight) = state.flights.remove(&number) else { return };
        let Some(seen) = state.releases.get_mut(&flight.release) else { return };
        seen.call_ended_at = passed;
        if comes_to_nothing {
            seen.world.come_to_nothing(&flight.deed);
        }
    }

    /// A call was cut off: its effect happens now, or never will.
    fn cut(&self, number: u64) {
        let judged = {
            let mut state = self.state();
            let Some(flight) = state.flights.get(&number) else { return };
            let (may, will) = (flight.effect, flight.happens_anyway);
            let judged = if may && will { state.effect(number) } else { Ok(()) };
            if may {
                state.counts.add(if will {
                    "call: cut off, its effect had happened"
                } else {
                    "call: cut off, its effect had not happened"
                });
            }
            state.flights.remove(&number);
            judged
        };
        self.judge(judged);
    }
}

impl State {
    fn take_off(
        &mut self,
        call: &ComponentCall,
        passed: u64,
        wall: windlass_model::time::Timestamp,
    ) -> Result<(Fate, u64, bool), Violation> {
        let (id, name) = (call.order.id, format!("{:?} of {} in {}", call.order.id, call.step, call.release));
        let is_pending = self.on_the_way.values().any(|it| it.release == call.release);
        let Some(seen) = self.releases.get_mut(&call.release) else {
            return violated("what is decided is durable before it is done", name);
        };
        let Some(order) = seen.orders.get(&id) else {
            return violated("what is decided is durable before it is done", name);
        };
        let same = order.call == call.order.call
            && order.idempotency_key == call.order.idempotency_key
            && order.input == call.order.input
            && order.output == call.order.output;
        ensure(same, "a call gets what its journal holds", || format!("{:?}, not {order:?}", call.order))?;
        let wanted = seen.release.order(id).is_some() || seen.wanted_before.contains(&id);
        ensure(wanted, "what is not wanted any more is not begun", || {
            format!("{name}, in record {}, {is_pending}", seen.records.len())
        })?;
        ensure(seen.begun.insert(id), "no call is made twice", || name.clone())?;
        let is_forward = !seen.release.definition(id.step).finally && seen.release.may_be_held(id);
        if let Some(since) = self.tripped.filter(|_| is_forward) {
            ensure(since >= passed, "nothing passes an open breaker", || {
                format!("{name}, {} ms after it was opened", passed - since)
            })?;
        }
        let trouble = if self.healed { 0 } else { self.profile.trouble };
        let pin = seen.release.pin(id.step).clone();
        let mut fate = seen.world.fate(&mut self.dice, trouble, &call.order, &pin, wall);
        let deed = Deed::of(&call.order, &pin, seen.run_of(id.step));
        self.counts.add(match Verb::of(&call.order) {
            Verb::Start => "call: start",
            Verb::Resume => "call: resume",
            Verb::Cancel => "call: cancel",
            Verb::Rollback => "call: rollback",
            Verb::Find => "call: find",
        });
        if fate.answer_after == HANG {
            self.counts.add("call: hangs");
        }
        fate.effect_after = fate.effect_after.map(|it| it.min(fate.answer_after));
        let traps = self.profile.traps;
        let traps = self.misfortune(traps);
        let flight = Flight {
            release: call.release.clone(),
            id,
            deed,
            effect: fate.effect_after.is_some(),
            comes_to_nothing: fate.comes_to_nothing,
            happens_anyway: self.dice.permille(500),
        };
        let side_by_side = self.flights.len() < self.profile.calls_max;
        ensure(side_by_side, "no more calls side by side than may", || format!("{} are made", self.flights.len()))?;
        let number = self.next_number();
        self.flights.insert(number, flight);
        Ok((fate, number, traps))
    }

    fn effect(&mut self, number: u64) -> Result<(), Violation> {
        let Some(flight) = self.flights.get_mut(&number).filter(|it| it.effect) else { return Ok(()) };
        flight.effect = false;
        let Some(seen) = self.releases.get_mut(&flight.release) else { return Ok(()) };
        let happened = seen.world.happen(&flight.deed);
        happened.map_err(|it| Violation { rule: it.rule, what: format!("{}: {}", flight.release, it.what) })?;
        if flight.comes_to_nothing {
            seen.world.come_to_nothing(&flight.deed);
        }
        Ok(())
    }
}
