//! A fake world for the engine: a virtual clock and components that do what a script says.
//!
//! After every decision it replays the journal and compares, so every test is also a test of replay.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::{
    Call, CallId, CallResult, Callback, Input, Rejected, Release, Stage, StepState, Suspension, TopicMaker,
    WakeCondition,
};
use windlass_model::actor::Actor;
use windlass_model::concurrency::Claim;
use windlass_model::digest::Digest;
use windlass_model::dry_run::{DryRun, Origin, Would};
use windlass_model::event::{Created, Intervention, Operation, Parent, Record};
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::manifest::Effect;
use windlass_model::name::ReleaseId;
use windlass_model::plan::{Pin, Plan, Runs};
use windlass_model::template::Template;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::{ActionRef, Connections, OnFailure, RetryPolicy, RollbackPart, Step, Uses, Workflow};

/// What a component does when it is called.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    Done(Value),
    Suspends(u64),
    Fails(FailureClass),
    FailsFor(FailureClass, RetryAdvice),
    /// The host is sure that this call changed nothing.
    FailsBefore(FailureClass),
    /// The host finds out before it calls anybody that it cannot.
    IsNotCalled,
    /// It has its effect, and the answer is lost.
    LosesItsAnswer,
    /// The call never ends by itself.
    Hangs,
    NotFound,
    /// Until one of these topics is called.
    Waits(&'static [&'static str]),
    /// Suspends with so many bytes to keep, and wants to go on at once.
    Hoards(usize),
    /// In a dry run: it was stopped, and this stands for its output.
    WouldDo(Value),
}

pub(crate) fn fails(class: FailureClass) -> Vec<Does> {
    vec![Does::Fails(class); 20]
}

/// A workflow in a line: `build -> deploy; build -> notify`.
pub(crate) fn workflow(text: &str) -> Workflow {
    let mut steps: Vec<Step> = Vec::new();
    for chain in text.split(';') {
        let mut before: Option<String> = None;
        for name in chain.split("->").map(str::trim) {
            let at = steps.iter().position(|it| it.name.as_str() == name).unwrap_or_else(|| {
                steps.push(step(name));
                steps.len() - 1
            });
            if let Some(before) = before {
                steps[at].needs.push(before.parse().expect("a name"));
            }
            before = Some(name.to_owned());
        }
    }
    Workflow {
        name: "w".parse().expect("a name"),
        description: None,
        parameters: BTreeMap::new(),
        phases: Vec::new(),
        phase_rules: BTreeMap::new(),
        concurrency: None,
        tenant: None,
        deadline: None,
        rollback: None,
        steps,
        outputs: BTreeMap::new(),
        output_types: BTreeMap::new(),
    }
}

fn step(name: &str) -> Step {
    // A struct read from its written form, so that a field more does not break every test.
    serde_json::from_value(json!({
        "name": name, "phase": null, "needs": [], "uses": {"plugin": "p", "action": "a", "version": "*"},
        "connections": "unbound", "with": {}, "when": null, "retry": retry(), "timeout": null, "gates": [],
        "on_failure": "fail", "rollback": "automatic",
    }))
    .unwrap_or_else(|_| Step {
        name: name.parse().expect("a name"),
        phase: None,
        needs: Vec::new(),
        uses: Uses::Action(ActionRef {
            plugin: "p".parse().expect("a name"),
            action: "a".parse().expect("a name"),
            version: semver_any(),
        }),
        connections: Connections::Unbound,
        with: Template::Plain(json!({})),
        for_each: None,
        when: None,
        retry: retry(),
        timeout: None,
        gates: Vec::new(),
        on_failure: OnFailure::Fail,
        rollback: RollbackPart::Automatic,
        delay: None,
        mandatory: false,
        pivot: false,
        rollback_after: Vec::new(),
        finally: false,
        requires: Vec::new(),
        delivers: None,
    })
}

fn semver_any() -> semver::VersionReq {
    semver::VersionReq::STAR
}

fn retry() -> RetryPolicy {
    RetryPolicy { attempts: 3, backoff: Span::seconds(4), max_backoff: Span::seconds(60), ..RetryPolicy::default() }
}

pub(crate) fn actor(name: &str, groups: &[&str]) -> Actor {
    Actor {
        name: name.to_owned(),
        groups: groups.iter().map(ToString::to_string).collect(),
        authenticated: "test".to_owned(),
    }
}

/// The fake world.
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) release: Release,
    pub(crate) journal: Vec<Record>,
    pub(crate) now: Timestamp,
    /// What each call does: `build`, `build:rollback`, `build:cancel`, `build:find`; `Done` when empty.
    pub(crate) script: BTreeMap<String, VecDeque<Does>>,
    /// What happened, a line each.
    pub(crate) log: Vec<String>,
    /// Effects by step: how many logical calls did something.
    pub(crate) effects: BTreeMap<String, Vec<String>>,
    /// The keys under which a step was begun, in order.
    started: BTreeMap<String, Vec<String>>,
    /// What each step gives; its name where nothing is said.
    pub(crate) outputs: BTreeMap<String, Value>,
    in_flight: BTreeMap<CallId, Does>,
}

/// Which kind of release it is.
enum Kind {
    Usual(Option<Claim>),
    Rehearsal,
    DryRun,
    Inner,
}

/// Which pins the steps have.
#[derive(Clone, Copy)]
pub(crate) struct Pins {
    pub(crate) effect: Effect,
    pub(crate) cancel: bool,
    pub(crate) rollback: bool,
    pub(crate) find: bool,
}

impl Default for Pins {
    fn default() -> Self {
        Self { effect: Effect::Write, cancel: true, rollback: true, find: true }
    }
}

impl World {
    pub(crate) fn new(workflow: Workflow, pins: Pins, script: &[(&str, Vec<Does>)]) -> Self {
        let pin = Pin {
            runs: Runs::Component(Digest::of(b"p")),
            version: semver::Version::new(1, 0, 0),
            effect: pins.effect,
            cancel: pins.cancel,
            rollback: pins.rollback,
            find: pins.find,
            connections: BTreeMap::new(),
        };
        let pins = vec![pin; workflow.steps.len()];
        let plan = Arc::new(Plan::new(workflow, pins).expect("a plan"));
        Self::of(plan, json!({"version": "1.0.0", "dangerous": false}), script)
    }

    /// Of a plan that was made elsewhere.
    pub(crate) fn of(plan: Arc<Plan>, parameters: Value, script: &[(&str, Vec<Does>)]) -> Self {
        Self::created(plan, parameters, Kind::Usual(None), script)
    }

    /// As [`Self::new`], of a rehearsal.
    pub(crate) fn rehearsal(workflow: Workflow, script: &[(&str, Vec<Does>)]) -> Self {
        let usual = Self::new(workflow, Pins::default(), &[]);
        Self::created(usual.plan, json!({}), Kind::Rehearsal, script)
    }

    /// As [`Self::new`], of a dry run.
    pub(crate) fn dry_run(workflow: Workflow, pins: Pins, script: &[(&str, Vec<Does>)]) -> Self {
        let usual = Self::new(workflow, pins, &[]);
        Self::created(usual.plan, json!({"version": "1.0.0", "dangerous": false}), Kind::DryRun, script)
    }

    /// As [`Self::new`], of a release inside of another one.
    pub(crate) fn inner(workflow: Workflow) -> Self {
        let usual = Self::new(workflow, Pins::default(), &[]);
        Self::created(usual.plan, json!({"version": "1.0.0", "dangerous": false}), Kind::Inner, &[])
    }

    /// Of a release that has to be admitted.
    pub(crate) fn with_claim(
        plan: Arc<Plan>,
        parameters: Value,
        script: &[(&str, Vec<Does>)],
        claim: Option<Claim>,
    ) -> Self {
        Self::created(plan, parameters, Kind::Usual(claim), script)
    }

    fn created(plan: Arc<Plan>, parameters: Value, kind: Kind, script: &[(&str, Vec<Does>)]) -> Self {
        let created = Created {
            release: "w-1".parse::<ReleaseId>().expect("an id"),
            plan: Digest::of(&plan.to_json()),
            components: Vec::new(),
            parameters,
            requested_by: actor("rita", &[]),
            salt: [1; 16],
            parent: matches!(kind, Kind::Inner)
                .then(|| Parent { release: "outer-1".parse().expect("an id"), step: "it".parse().expect("a name") }),
            rehearsal: matches!(kind, Kind::Rehearsal),
            dry_run: matches!(kind, Kind::DryRun),
            recorded: false,
            claim: if let Kind::Usual(claim) = kind { claim } else { None },
        };
        let now = Timestamp(1_000_000);
        let (release, record) = Release::create(plan.clone(), created, now);
        let script = script.iter().map(|(name, does)| ((*name).to_owned(), does.iter().cloned().collect())).collect();
        let journal = vec![record];
        Self {
            plan,
            release,
            journal,
            now,
            script,
            log: Vec::new(),
            effects: BTreeMap::new(),
            started: BTreeMap::new(),
            outputs: BTreeMap::new(),
            in_flight: BTreeMap::new(),
        }
    }

    /// Gives an input to the engine, and checks that the journal tells the same.
    pub(crate) fn tell(&mut self, input: Input) -> Result<(), Rejected> {
        let before = self.release.clone();
        match self.release.decide(input, self.now) {
            Err(rejected) => {
                assert_eq!(self.release, before, "a refused input changes nothing");
                Err(rejected)
            }
            Ok(None) => Ok(()),
            Ok(Some(record)) => {
                self.journal.push(record);
                let replayed =
                    Release::replay(self.plan.clone(), &self.journal).expect("a journal that can be replayed");
                assert_eq!(replayed, self.release, "the journal tells the same");
                Ok(())
            }
        }
    }

    /// Ends the process and takes the release over from its journal.
    pub(crate) fn crash(&mut self) {
        // The other side goes on where it was: what it was about to answer, it answers the next who ask.
        for (id, does) in std::mem::take(&mut self.in_flight) {
            let key = self.key(id);
            if !matches!(does, Does::Hangs | Does::NotFound) {
                self.script.entry(key).or_default().push_front(does);
            }
        }
        self.release = Release::replay(self.plan.clone(), &self.journal).expect("a journal that can be replayed");
        self.tell(Input::TakenOver).expect("taking over is never refused");
    }

    /// One thing happens: a call begins, a call ends, or time passes. False when nothing can.
    pub(crate) fn turn(&mut self) -> bool {
        let wanted: Vec<CallId> = self.release.calls().collect();
        self.in_flight.retain(|id, _| wanted.contains(id));
        if let Some(id) = wanted.iter().find(|it| !self.in_flight.contains_key(it)) {
            self.begin(*id);
            return true;
        }
        let ending =
            self.in_flight.iter().find(|(_, does)| !matches!(does, Does::Hangs)).map(|(id, does)| (*id, does.clone()));
        if let Some((id, does)) = ending {
            self.in_flight.remove(&id);
            let result = answer(does);
            self.tell(Input::CallEnded { call: id, result, dice: u64::MAX }).expect("a wanted call is not late");
            return true;
        }
        match self.release.wake_at() {
            Some(at) => {
                self.now = self.now.max(at);
                self.tell(Input::Tick { dice: u64::MAX }).expect("a tick is never refused");
                true
            }
            None => false,
        }
    }

    /// Under which name the script says what a call does; what is looked for is the step's own.
    fn key(&self, id: CallId) -> String {
        let name = self.release.name_of(id.step).to_string();
        match id.operation {
            Operation::Start => name,
            Operation::Cancel => format!("{name}:cancel"),
            Operation::Rollback => format!("{name}:rollback"),
        }
    }

    fn begin(&mut self, id: CallId) {
        let order = self.release.order(id).expect("a wanted call has an order");
        let name = self.release.name_of(id.step).to_string();
        let verb = match (&order.call, id.operation) {
            (Call::Find, _) => "find",
            (Call::Resume { .. }, Operation::Start) => "resume",
            (_, Operation::Start) => "run",
            (_, Operation::Cancel) => "cancel",
            (_, Operation::Rollback) => "rollback",
        };
        let key = if verb == "find" { format!("{name}:find") } else { self.key(id) };
        // Every item of a step gives the same.
        let given = self.outputs.get(&name).or_else(|| self.outputs.get(name.split('.').next().unwrap_or_default()));
        let output = || Does::Done(given.cloned().unwrap_or_else(|| json!({"step": name})));
        // Whoever undoes it knows all keys under which it was begun, and perhaps one that was cut off before.
        let started = self.started.entry(name.clone()).or_default();
        if id.operation == Operation::Start && started.last() != Some(&order.idempotency_key) {
            started.push(order.idempotency_key.clone());
        }
        let mut keys = order.start_keys.iter();
        assert!(started.iter().all(|it| keys.any(|key| key == it)), "{name}: {:?} of {started:?}", order.start_keys);
        if id.operation == Operation::Start {
            assert_eq!(order.start_keys.last(), Some(&order.idempotency_key), "{name}");
        }
        let done = self.effects.entry(name.clone()).or_default();
        let default = match verb {
            // The other side knows what was done under this key.
            "find" if done.contains(&order.idempotency_key) => {
                let next = self.script.get_mut(&name).and_then(VecDeque::pop_front);
                next.unwrap_or_else(output)
            }
            "find" => Does::NotFound,
            _ => output(),
        };
        let does = self.script.get_mut(&key).and_then(VecDeque::pop_front).unwrap_or(default);
        let acts = self.release.pin(id.step).effect != Effect::Read;
        if verb == "run"
            && acts
            && !matches!(does, Does::Fails(_) | Does::FailsFor(..) | Does::FailsBefore(_) | Does::IsNotCalled)
        {
            done.push(order.idempotency_key.clone());
        }
        let end = match &does {
            Does::Fails(class) | Does::FailsFor(class, _) => format!(": fails ({class})"),
            Does::IsNotCalled => ": is not called".to_owned(),
            Does::FailsBefore(class) => format!(": fails before it does anything ({class})"),
            Does::Suspends(_) | Does::Waits(_) | Does::Hoards(_) => ": suspends".to_owned(),
            Does::LosesItsAnswer => ": loses its answer".to_owned(),
            Does::Hangs => ": hangs".to_owned(),
            Does::NotFound => ": nothing".to_owned(),
            Does::WouldDo(_) => ": would".to_owned(),
            Does::Done(_) => String::new(),
        };
        self.log.push(format!("{verb} {name}{end}"));
        self.in_flight.insert(id, does);
    }

    /// Lets things happen until the release ends or waits for a person.
    pub(crate) fn run(&mut self) -> &mut Self {
        for _ in 0..10_000 {
            if !self.turn() {
                let waits = self.release.waits();
                let words = waits
                    .iter()
                    .map(|it| match &it.step {
                        Some(step) => format!("{step}: {}", it.text),
                        None => it.text.clone(),
                    })
                    .collect::<Vec<_>>()
                    .join("; ");
                self.log.push(match self.release.outcome() {
                    Some(outcome) => outcome.name().to_owned(),
                    None => format!("waits for {words}"),
                });
                if self.release.outcome().is_none() {
                    assert!(!waits.is_empty(), "nothing waits without a cause: {:?}", self.release);
                }
                return self;
            }
        }
        panic!("it never ends: {:#?}", self.log);
    }

    /// Calls a topic that the first attempt of `start` of a step made.
    pub(crate) fn call_back(&mut self, step: &str, topic: &str) -> Result<(), Rejected> {
        self.call_back_to(step, topic, Operation::Start, 1)
    }

    pub(crate) fn call_back_to(
        &mut self,
        step: &str,
        topic: &str,
        operation: Operation,
        attempt: u32,
    ) -> Result<(), Rejected> {
        let callback = Callback {
            topic: topic.to_owned(),
            headers: vec![("x-from".to_owned(), "outside".to_owned())],
            body: topic.as_bytes().to_vec(),
        };
        let maker = TopicMaker { step: step.parse().expect("a name"), operation, attempt };
        self.tell(Input::Callback { callback, maker })
    }

    pub(crate) fn vote(&mut self, step: &str, actor: Actor, approved: bool) -> Result<(), Rejected> {
        self.tell(Input::Vote { step: step.parse().expect("a name"), actor, approved, comment: "because".to_owned() })
    }

    pub(crate) fn intervene(&mut self, intervention: Intervention) -> Result<(), Rejected> {
        self.tell(Input::Intervene { actor: actor("ana", &[]), reason: "because".to_owned(), intervention })
    }

    pub(crate) fn state(&self, step: &str) -> &StepState {
        let index = self.release.index_of(&step.parse().expect("a name")).expect("a step");
        &self.release.step(index).state
    }

    pub(crate) fn is_suspended(&self, step: &str) -> bool {
        let index = self.release.index_of(&step.parse().expect("a name"));
        let state = index.map(|it| &self.release.step(it).state);
        state.and_then(StepState::activity).is_some_and(|it| matches!(it.stage, Stage::Suspended { .. }))
    }

    pub(crate) fn story(&self) -> String {
        self.log.join("\n") + "\n"
    }
}

fn answer(does: Does) -> Result<CallResult, StepError> {
    let error = |class, advice| StepError {
        origin: FailureOrigin::Plugin,
        class,
        code: "scripted".to_owned(),
        message: "as scripted".to_owned(),
        advice,
        details: Vec::new(),
        without_effect: false,
    };
    match does {
        Does::Done(value) => Ok(CallResult::Done(value)),
        Does::WouldDo(output) => {
            let would = vec![Would { what: "POST https://ci/".to_owned(), body: String::new(), body_bytes: 0 }];
            let dry_run = DryRun { would, omitted: 0, origin: Origin::Schema, note: None };
            Ok(CallResult::WouldDo { output, dry_run: Box::new(dry_run) })
        }
        Does::Suspends(seconds) => Ok(CallResult::Suspended(Suspension {
            state: vec![1, 2, 3],
            wakes: vec![WakeCondition::After(Span::seconds(seconds))],
            status: "outside".to_owned(),
        })),
        Does::Waits(topics) => Ok(CallResult::Suspended(Suspension {
            state: vec![4],
            wakes: topics.iter().map(|it| WakeCondition::Callback((*it).to_owned())).collect(),
            status: "to be called back".to_owned(),
        })),
        Does::Hoards(bytes) => Ok(CallResult::Suspended(Suspension {
            state: vec![5; bytes],
            wakes: vec![WakeCondition::After(Span(0))],
            status: String::new(),
        })),
        Does::NotFound => Ok(CallResult::NotFound),
        Does::Fails(class) => Err(error(class, RetryAdvice::ByPolicy)),
        Does::FailsFor(class, advice) => Err(error(class, advice)),
        Does::FailsBefore(class) => Err(StepError { without_effect: true, ..error(class, RetryAdvice::ByPolicy) }),
        Does::IsNotCalled => Err(StepError::not_called(FailureClass::Invalid, "not-called", "the host asked nobody")),
        Does::LosesItsAnswer => Err(error(FailureClass::Transient, RetryAdvice::ByPolicy)),
        Does::Hangs => unreachable!("a call that hangs does not end"),
    }
}

/// Runs a workflow and compares what happened.
pub(crate) fn check(workflow: Workflow, script: &[(&str, Vec<Does>)], expected: &expect_test::Expect) {
    let mut world = World::new(workflow, Pins::default(), script);
    world.run();
    expected.assert_eq(&world.story());
}
