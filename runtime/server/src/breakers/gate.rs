//! Between one release's driver and the breakers: asks before a call is made, and tells how it ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use windlass_engine::{Call, CallId, CallResult, Due, Input, Release};
use windlass_model::breaker::BreakerKey;
use windlass_model::event::Operation;
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_store::{AppendError, StoreError};

use super::concerned::{Holders, holders};
use super::{Breakers, Refusal};
use crate::clock::now;
use crate::driver::{Calls, take};
use crate::runtime::Inner;

/// What an end says of the system that a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Evidence {
    /// It answered, whatever the answer was.
    Works,
    /// It did not, or not as one can work with.
    Fails(String),
    /// Nothing.
    None,
}

fn evidence(error: &StepError) -> Evidence {
    match error.class {
        FailureClass::Transient
        | FailureClass::RateLimited
        | FailureClass::TimedOut
        | FailureClass::Unauthenticated
        | FailureClass::Internal => Evidence::Fails(error.to_string()),
        FailureClass::NotFound | FailureClass::Conflict | FailureClass::Invalid | FailureClass::Rejected => {
            Evidence::Works
        }
        // What the operator does not allow, or somebody stopped, is no news of the other side.
        FailureClass::Forbidden | FailureClass::Canceled => Evidence::None,
    }
}

/// A call was let through. Whoever drops it without a word gives the probe back, if it was one.
struct Pass {
    breakers: Arc<Breakers>,
    keys: Vec<BreakerKey>,
    who: String,
}

impl Pass {
    /// Another one is given in its place.
    fn replaced(mut self) {
        self.keys.clear();
    }

    fn conclude(self, failure: Option<String>) {
        self.breakers.observe(&self.keys, &self.who, failure);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // After it was concluded this changes nothing: who has told how it ended is not the probe any more.
        self.breakers.abandon(&self.keys, &self.who);
    }
}

/// What the driver of one release knows of breakers.
pub(crate) struct Gate {
    inner: Arc<Inner>,
    passes: HashMap<CallId, Pass>,
    /// Calls that were let through and are asked about again before they are made.
    anew: HashSet<CallId>,
    /// Calls that wait for their turn among all that are made.
    queued: HashSet<CallId>,
    /// Whether a call was made here: then the release has begun, though its journal does not say so yet.
    has_begun: bool,
    asked: Vec<oneshot::Sender<()>>,
    /// Those that were told how something ended.
    told: Vec<BreakerKey>,
    /// Whether some step requires versions of services.
    requires: bool,
}

impl Gate {
    pub(crate) fn new(inner: Arc<Inner>, release: &Release) -> Self {
        let requires = release.plan().workflow().steps.iter().any(|it| !it.requires.is_empty());
        Self {
            inner,
            passes: HashMap::new(),
            anew: HashSet::new(),
            queued: HashSet::new(),
            has_begun: false,
            asked: Vec::new(),
            told: Vec::new(),
            requires,
        }
    }

    /// A call waits for its turn.
    pub(crate) fn queued(&mut self, call: CallId) {
        self.queued.insert(call);
    }

    /// The turn of a call has come, for which it waited after it was let through.
    pub(crate) fn ask_anew(&mut self, call: CallId) {
        self.queued.remove(&call);
        self.anew.insert(call);
    }

    /// A call was made.
    pub(crate) fn has_begun(&mut self) {
        self.has_begun = true;
    }

    /// Somebody wants the breakers to be asked again; that is done before anything else is.
    pub(crate) fn answer(&mut self, answer: oneshot::Sender<()>) {
        self.asked.push(answer);
    }

    /// Asks about every call that is about to be made, and about those that are held; tells whether something was
    /// recorded.
    pub(crate) async fn ask(&mut self, release: &mut Release, calls: &Calls) -> Result<bool, AppendError> {
        let before = release.records();
        // Who is let through now may not be any more when it can begin.
        if !calls.may_begin() {
            return Ok(false);
        }
        // A dry run does no work that anything holds, and what it comes to says nothing of anybody. Where no call begins any
        // more, none need be let through.
        if release.is_dry_run() || self.inner.is_winding_down() {
            for asked in self.asked.drain(..) {
                let _ = asked.send(());
            }
            return Ok(false);
        }
        if release.is_held() || !self.inner.breakers.is_quiet() || self.requires {
            // Recording takes its time, and what was let through before it may not be any more.
            while self.ask_once(release, calls).await? {
                self.anew.extend(self.passes.keys().filter(|it| !calls.has(it)));
            }
        }
        self.anew.clear();
        for asked in self.asked.drain(..) {
            let _ = asked.send(());
        }
        Ok(release.records() != before)
    }

    /// Asks about each call once; tells whether something was recorded.
    async fn ask_once(&mut self, release: &mut Release, calls: &Calls) -> Result<bool, AppendError> {
        let before = release.records();
        let held: Vec<CallId> = release.held_calls().map(|(call, _)| call).collect();
        for call in held {
            if !release.held_calls().any(|(it, _)| it == call) {
                continue;
            }
            let input = match self.admit(release, call) {
                Ok(()) => Input::CallLetThrough { call },
                Err(Refusal { hold, is_open }) => Input::CallHeld { call, hold, is_open },
            };
            // Refused is what something before it has settled.
            take(&self.inner, release, input).await?.ok();
        }
        let anew = std::mem::take(&mut self.anew);
        let is_new = |it: &CallId| {
            let is_let_through = self.passes.contains_key(it) && !anew.contains(it);
            !calls.has(it) && !is_let_through && release.may_be_held(*it)
        };
        let new: Vec<CallId> = release.calls().filter(is_new).collect();
        for call in new {
            // What was said of one may have ended the others.
            if !release.may_be_held(call) {
                continue;
            }
            if let Err(Refusal { hold, is_open }) = self.admit(release, call) {
                take(&self.inner, release, Input::CallHeld { call, hold, is_open }).await?.ok();
            }
        }
        Ok(release.records() != before)
    }

    fn admit(&mut self, release: &Release, call: CallId) -> Result<(), Refusal> {
        // One that is asked about again stays the probe that it may be, until it is refused.
        let before = self.passes.remove(&call);
        self.inner.services.admit(release, call.step).map_err(|hold| {
            // Whoever delivers that may have to be the probe that this release was.
            self.inner.breakers.abandon_release(release.id());
            Refusal { hold, is_open: false }
        })?;
        let keys = connections(release, call.step);
        let who = who(release, call.step);
        let breakers = &self.inner.breakers;
        // Releases that are under way go on to their end, however the breakers of the whole stand.
        let asks = !self.has_begun && !breakers.is_quiet();
        let of_release = if asks { holders(&self.inner, release, breakers.has_places()) } else { Holders::default() };
        breakers.admit(release.id(), &of_release, &keys, &who)?;
        if let Some(before) = before {
            before.replaced();
        }
        self.passes.insert(call, Pass { breakers: breakers.clone(), keys, who });
        Ok(())
    }

    /// Gives back what was let through and is not going on any more.
    pub(crate) fn forget(&mut self, release: &Release, calls: &Calls) {
        self.passes.retain(|id, _| calls.has(id) && release.order(*id).is_some());
        self.queued.retain(|id| calls.has(id));
    }

    /// Tells the breakers how a call ended. What is asked again and again how far it is tells only when it fails.
    pub(crate) fn ended(&mut self, release: &Release, call: CallId, result: &Result<CallResult, StepError>) {
        let pass = self.passes.remove(&call);
        if call.operation != Operation::Start || release.is_dry_run() || self.inner.breakers.is_quiet() {
            return;
        }
        let Some(order) = release.order(call) else { return };
        // What is not found is asked for next.
        let is_told = !matches!(order.call, Call::Resume { .. }) && !matches!(result, Ok(CallResult::NotFound));
        let failure = match result.as_ref().map_or_else(evidence, |_| Evidence::Works) {
            Evidence::Works if is_told => None,
            Evidence::Fails(text) => Some(text),
            Evidence::Works | Evidence::None => return,
        };
        self.tell(release, call.step, pass, failure);
    }

    /// Attempts that are over their time count as failures, but those whose turn never came, or whose call waits for one that
    /// was stopped: the other side was not asked.
    pub(crate) fn timing_out(&mut self, release: &Release, calls: &Calls) {
        if release.is_dry_run() || self.inner.breakers.is_quiet() {
            return;
        }
        for due in release.due(now()) {
            let Due::Deadline(step) = due else { continue };
            let state = &release.step(step).state;
            if state.activity().is_none_or(|it| it.operation != Operation::Start) {
                continue;
            }
            if release.calls().any(|it| it.step == step && (self.queued.contains(&it) || !calls.has(&it))) {
                continue;
            }
            let call = self.passes.keys().find(|it| it.step == step).copied();
            let pass = call.and_then(|it| self.passes.remove(&it));
            self.tell(release, step, pass, Some("timed-out (timed_out): the attempt took too long".to_owned()));
        }
    }

    fn tell(&mut self, release: &Release, step: StepIndex, pass: Option<Pass>, failure: Option<String>) {
        let keys = connections(release, step);
        match pass {
            Some(pass) => pass.conclude(failure),
            None => self.inner.breakers.observe(&keys, &who(release, step), failure),
        }
        self.told.extend(keys);
    }

    /// Makes durable what breakers did because of what they were told.
    pub(crate) async fn settle(&mut self) -> Result<(), StoreError> {
        self.inner.breakers.settle(&std::mem::take(&mut self.told)).await
    }
}

fn who(release: &Release, step: StepIndex) -> String {
    format!("{}/{}", release.id(), release.name_of(step))
}

/// The breakers of a step's connections.
pub(super) fn connections(release: &Release, step: StepIndex) -> Vec<BreakerKey> {
    // A workflow binds its connections itself, in a release of its own.
    let Some(uses) = release.definition(step).uses.action() else { return Vec::new() };
    let plugin = &uses.plugin;
    let mut keys: Vec<BreakerKey> = release
        .pin(step)
        .connections
        .values()
        .map(|it| BreakerKey::Connection { plugin: plugin.clone(), connection: it.clone() })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}
