//! One scenario: a counterpart, a proxy with its fault, and a host that makes a release's calls.

mod probe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;
use windlass_model::connection::{Authentication, Connection, SecretReference};
use windlass_model::digest::Digest;
use windlass_model::event::{Operation, Wake};
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::manifest::{Action, Effect};
use windlass_model::name::RoleName;
use windlass_sandbox::cassette::{RecordedCall, Tape};
use windlass_sandbox::{Access, CallKind, CallOutcome, CallRequest, WakeUp};

pub(crate) use self::probe::Seen;
use crate::between::Between;
use crate::counterpart::Counterpart;
use crate::file::{Case, Credential, Preparation, filled, filled_text};
use crate::memory::Memory;
use crate::proxy::Proxy;
use crate::scenario::Plan;
use crate::secret::credential_header;
use crate::suite::Suite;
use crate::transcript::{Event, Record, answered, shown};
use crate::{Broken, SECRET_NAME, wire};

/// A wait is not sat out for longer than this at first, and for longer the longer it has waited already: a counterpart whose
/// jobs take seconds is not asked for each of them a hundred times.
const HURRY: Duration = Duration::from_millis(40);
const HURRY_MAX: Duration = Duration::from_millis(250);

/// An action that waits more often, or for longer, does not end.
const SUSPENSIONS_MAX: usize = 300;
const WAITED_MAX: Duration = Duration::from_secs(20);

/// Attempts of an operation.
const ATTEMPTS_MAX: u32 = 4;

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finish {
    Done(Value),
    NotFound,
    Failed(StepError),
    /// A person has to look.
    Person(StepError),
    /// It waits, at the suspension at which it was to be left.
    Waits {
        state: Vec<u8>,
    },
    /// The host ended the call while a request was held.
    CutOff,
    /// It did not end, or nothing can wake it.
    Stuck(String),
}

impl Finish {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Done(output) => format!("it is done with {output}"),
            Self::NotFound => "`find` finds nothing".to_owned(),
            Self::Failed(error) => format!("it fails: {error}"),
            Self::Person(error) => format!("a person is asked: {error}"),
            Self::Waits { .. } => "it waits".to_owned(),
            Self::CutOff => "it was cut off".to_owned(),
            Self::Stuck(why) => why.clone(),
        }
    }

    /// The failure if the plugin did not answer as a plugin should: a trap, a limit, a broken contract.
    pub(crate) fn crash(&self) -> Option<&StepError> {
        match self {
            Self::Failed(error) | Self::Person(error) if is_crash(error) => Some(error),
            _ => None,
        }
    }
}

/// Whether it is a host that tells the failure, and not of something that a plugin cannot help.
fn is_crash(error: &StepError) -> bool {
    error.origin == FailureOrigin::Host && !matches!(error.code.as_str(), "request-denied" | "wall-limit")
}

/// Where a walk through an operation is interrupted, by the suspension from 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Interruption {
    /// It ends there.
    pub(crate) leave_at: Option<usize>,
    /// The call that goes on from there is made twice from the same state, as after a crash before its end was recorded.
    pub(crate) twice_at: Option<usize>,
}

/// A connection to nowhere yet, which may do all.
fn connection_of(role: &RoleName, authentication: Authentication) -> Connection {
    Connection {
        name: role.as_str().parse().expect("a role's name is one of a connection"),
        base_url: None,
        authentication,
        properties: BTreeMap::new(),
        allow: Vec::new(),
        reads: Vec::new(),
        plugins: Vec::new(),
        private_network: true,
        needs_rollback_trigger: false,
    }
}

pub(crate) struct Scene<'s> {
    suite: &'s Suite<'s>,
    pub(crate) case: &'s Case,
    action: &'s Action,
    counterpart: Option<Counterpart>,
    proxy: Option<Proxy>,
    between: Option<Between>,
    access: Arc<Access>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) record: Record,
    pub(crate) input: Value,
    kept: BTreeMap<String, Value>,
    pub(crate) before: Seen,
    /// What each probe counted last, as it is shown.
    counted: Mutex<BTreeMap<String, String>>,
    pub(crate) dry_run: bool,
    salt: String,
    round: u32,
    attempt: u32,
    waited: bool,
    /// How long waits took.
    pub(crate) waited_for: Duration,
    /// The function of the last call.
    pub(crate) last_function: &'static str,
    /// Calls, where they are recorded.
    pub(crate) calls: Option<Vec<RecordedCall>>,
    /// The first failure of an attempt, whatever came of it.
    pub(crate) first_failure: Option<StepError>,
}

impl<'s> Scene<'s> {
    /// Starts the counterpart and prepares it. `name` is what keys are made of, so that a scenario has the same each time.
    pub(crate) async fn open(
        suite: &'s Suite<'s>,
        case: &'s Case,
        action: &'s Action,
        plan: Option<Plan>,
        name: &str,
    ) -> Result<Self, Broken> {
        let record = Record::default();
        let counterpart = Counterpart::start(suite.file, suite.ours).await?;
        let proxy = match &counterpart {
            None => None,
            Some(it) => {
                let credentials = suite.file.asked().map(|(_, it)| credential_header(&it.credential).0).collect();
                let plan = if let Some(Plan::Request(plan)) = plan { Some(plan) } else { None };
                let proxy = Proxy::start(wire::authority(&it.base), credentials, plan, record.clone()).await;
                Some(proxy.map_err(|error| Broken::Counterpart(format!("the suite's proxy: {error}")))?)
            }
        };
        let of_runs = if let Some(Plan::Run(plan)) = plan { Some(plan) } else { None };
        let between = Between::start(suite.file, suite.ours, of_runs, record.clone()).await?;
        let memory = Arc::new(Memory::new(record.clone()));
        let mut scene = Self {
            suite,
            case,
            action,
            counterpart,
            proxy,
            between,
            access: Arc::default(),
            memory,
            record,
            input: case.input.clone(),
            kept: BTreeMap::new(),
            before: Seen::new(),
            counted: Mutex::default(),
            dry_run: false,
            salt: format!("{} {name}", case.title()),
            round: 1,
            attempt: 1,
            waited: false,
            waited_for: Duration::ZERO,
            last_function: "start",
            calls: None,
            first_failure: None,
        };
        scene.access = Arc::new(scene.granted()?);
        for preparation in &case.prepare {
            scene.prepare(preparation).await?;
        }
        scene.input = filled(&case.input, &scene.kept);
        scene.before = scene.probe("before").await?;
        Ok(scene)
    }

    /// What somebody else does after the action was done.
    pub(crate) async fn change_before_rollback(&mut self) -> Result<(), Broken> {
        let case = self.case;
        for preparation in &case.before_rollback {
            self.prepare(preparation).await?;
        }
        Ok(())
    }

    async fn prepare(&mut self, preparation: &Preparation) -> Result<(), Broken> {
        let (what, answer) = match (&preparation.path, &preparation.run) {
            (Some(path), _) => self.request(preparation, path).await?,
            (None, run) => {
                let run: Vec<String> = run.iter().flatten().map(|it| filled_text(it, &self.kept)).collect();
                let printed = self.run(&run).await.map_err(Broken::Tool)?;
                let line = run.join(" ");
                self.record.add(Event::PreparedBy { run: line.clone() });
                (line, printed)
            }
        };
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        for (name, pointer) in &preparation.keep {
            let found = value.pointer(pointer).ok_or_else(|| {
                Broken::Counterpart(format!("the answer to `{what}` has nothing at `{pointer}`: {value}"))
            })?;
            self.kept.insert(name.clone(), found.clone());
        }
        Ok(())
    }

    /// A request of a preparation: what it is, and the body of the answer.
    async fn request(&self, preparation: &Preparation, path: &str) -> Result<(String, Vec<u8>), Broken> {
        let path = filled_text(path, &self.kept);
        let method = preparation
            .method
            .parse()
            .map_err(|_| Broken::Counterpart(format!("`{}` is no HTTP method", preparation.method)))?;
        let (kind, body) = match (&preparation.json, &preparation.form) {
            (Some(json), _) => ("application/json", filled(json, &self.kept).to_string()),
            (None, Some(form)) => {
                let mut body = url::form_urlencoded::Serializer::new(String::new());
                body.extend_pairs(form.iter().map(|(name, value)| (name, filled_text(value, &self.kept))));
                ("application/x-www-form-urlencoded", body.finish())
            }
            (None, None) => ("", String::new()),
        };
        let answer = self.ask(method, &path, kind, body).await?;
        let request = format!("{} {path}", preparation.method);
        self.record.add(Event::Prepared { request: request.clone(), status: answer.status });
        if answer.status >= 400 {
            let said = answered(&answer.body);
            return Err(Broken::Counterpart(format!("`{request}` was answered with {}: {said}", answer.status)));
        }
        Ok((request, answer.body.to_vec()))
    }

    /// A run of a tool beside the plugin: what it printed.
    async fn run(&self, run: &[String]) -> Result<Vec<u8>, String> {
        match &self.between {
            Some(between) => between.ask(self.suite.file, run).await,
            None => Err("there are no tools".to_owned()),
        }
    }

    /// A request beside the plugin, with the credential of the first connection.
    async fn ask(
        &self,
        method: hyper::Method,
        path: &str,
        kind: &'static str,
        body: String,
    ) -> Result<wire::Answer, Broken> {
        let Some(counterpart) = &self.counterpart else {
            return Err(Broken::Counterpart("there is none".to_owned()));
        };
        let mut headers = HeaderMap::new();
        if let Some((_, connection)) = self.suite.file.asked().next() {
            let (name, value) = credential_header(&connection.credential);
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                headers.insert(name, value);
            }
        }
        headers.insert("accept", HeaderValue::from_static("application/json"));
        if !kind.is_empty() {
            headers.insert("content-type", HeaderValue::from_static(kind));
        }
        let authority = wire::authority(&counterpart.base);
        wire::exchange(&authority, method, path, headers, body.into()).await.map_err(Broken::Counterpart)
    }

    /// How many requests the plugin made and tools it ran.
    pub(crate) fn reached(&self) -> usize {
        self.proxy.as_ref().map_or(0, Proxy::requests) + self.between.as_ref().map_or(0, Between::runs)
    }

    /// What an operator would let it reach.
    fn granted(&self) -> Result<Access, Broken> {
        let mut access = Access::default();
        if let Some(between) = &self.between {
            let of_tools = self.suite.file.connections.iter().filter(|(_, it)| it.kubeconfig.is_some());
            for (role, connection) in of_tools {
                let kubeconfig = SecretReference::File(between.kubeconfig(role));
                let connection = Connection {
                    base_url: None,
                    properties: connection.properties.clone(),
                    ..connection_of(role, Authentication::Kubeconfig { kubeconfig })
                };
                access.connections.insert(role.clone(), connection);
            }
            let names: Vec<_> = access.connections.values().map(|it| it.name.clone()).collect();
            access.tools = between
                .declared(self.suite.manifest, &names)
                .map_err(|error| Broken::Tool(format!("the tools: {error}")))?;
        }
        for (role, connection) in self.suite.file.asked() {
            let (Some(counterpart), Some(proxy)) = (&self.counterpart, &self.proxy) else { continue };
            let secret = SecretReference::Environment(SECRET_NAME.to_owned());
            let below = counterpart.base.path().trim_end_matches('/');
            let base = format!("http://{}{below}{}", proxy.address, connection.path);
            let authentication = match &connection.credential {
                Credential::Bearer => Authentication::Bearer { token: secret },
                Credential::Basic(username) => Authentication::Basic { username: username.clone(), password: secret },
                Credential::Header(header) => Authentication::Header { header: header.clone(), value: secret },
            };
            let connection = Connection {
                base_url: Some(base.trim_end_matches('/').to_owned()),
                properties: connection.properties.clone(),
                ..connection_of(role, authentication)
            };
            access.connections.insert(role.clone(), connection);
        }
        Ok(access)
    }

    /// As a release's: another for each operation, and for an attempt after a definite answer.
    fn key(&self, operation: Operation) -> String {
        self.key_of_round(operation, self.round)
    }

    fn key_of_round(&self, operation: Operation, round: u32) -> String {
        let of = format!("{} {} {}", self.salt, operation.name(), round);
        Digest::of(of.as_bytes()).to_string().chars().skip("sha256:".len()).take(32).collect()
    }

    /// One call in a new instance; none if it was cut off while a request was held.
    pub(crate) async fn call(
        &mut self,
        kind: CallKind,
        operation: Operation,
        output: Option<&Value>,
    ) -> Option<Result<CallOutcome, StepError>> {
        let function = match &kind {
            CallKind::Start => "start",
            CallKind::Resume { .. } => "resume",
            CallKind::Cancel { .. } => "cancel",
            CallKind::Rollback => "rollback",
            CallKind::Find => "find",
        };
        self.last_function = function;
        if matches!(kind, CallKind::Rollback) {
            self.between.iter().for_each(Between::roll_back);
            self.proxy.iter().for_each(Proxy::roll_back);
        }
        let start_keys: Vec<String> =
            (1..=self.round).map(|round| self.key_of_round(Operation::Start, round)).collect();
        let state = match &kind {
            CallKind::Resume { state, .. } | CallKind::Cancel { state: Some(state) } => Some(shown(state)),
            _ => None,
        };
        let key = self.key(operation);
        self.record.add(Event::Called {
            function: function.to_owned(),
            key: key.clone(),
            dry_run: self.dry_run,
            state,
        });
        let request = CallRequest {
            kind,
            operation,
            action: self.case.action.clone(),
            release: "certify-1".to_owned(),
            step: self.case.action.to_string(),
            attempt: self.attempt,
            idempotency_key: key,
            deadline: None,
            dry_run: self.dry_run,
            input: Arc::new(self.input.clone()),
            output: output.cloned().map(Arc::new),
            context: windlass_sandbox::context("windlass plugin certify", &start_keys),
            access: Arc::clone(&self.access),
            host: self.memory.clone(),
            tape: if self.calls.is_some() { Tape::Record } else { Tape::Off },
        };
        let held = async {
            match (&self.proxy, &self.between) {
                (Some(proxy), _) if proxy.cuts_off() => proxy.held().await,
                (_, Some(between)) if between.cuts_off() => between.held().await,
                _ => std::future::pending().await,
            }
        };
        let report = tokio::select! {
            report = self.suite.sandbox.call(self.suite.plugin, request) => Some(report),
            () = held => None,
        };
        if let Some(between) = &self.between {
            between.tell();
        }
        let Some(report) = report else {
            self.record.add(Event::CutOff {});
            return None;
        };
        if let (Some(calls), Some(recorded)) = (&mut self.calls, report.recorded) {
            calls.push(*recorded);
        }
        self.record.add(match &report.result {
            Ok(CallOutcome::Done(output)) => Event::Done { output: output.clone() },
            Ok(CallOutcome::NotFound) => Event::NotFound {},
            Ok(CallOutcome::Suspended { state, status, .. }) => {
                Event::Suspended { status: status.clone(), state: shown(state) }
            }
            Err(error) => Event::Failed { error: error.clone() },
        });
        if let Err(error) = &report.result {
            self.first_failure.get_or_insert_with(|| error.clone());
        }
        Some(report.result)
    }

    /// An operation from its first call to its end, through its waits. Each call has an instance of its own, and of a wait
    /// nothing is left but the bytes of its state.
    pub(crate) async fn walk(
        &mut self,
        first: CallKind,
        operation: Operation,
        output: Option<&Value>,
        interruption: Interruption,
    ) -> Result<Finish, Broken> {
        let mut kind = first;
        let mut suspensions = 0;
        let mut waited = Duration::ZERO;
        loop {
            let mut result = self.call(kind.clone(), operation, output).await;
            if suspensions > 0 && interruption.twice_at == Some(suspensions) {
                result = self.call(kind.clone(), operation, output).await;
            }
            match result {
                None => return Ok(Finish::CutOff),
                Some(Ok(CallOutcome::Done(output))) => return Ok(Finish::Done(output)),
                Some(Ok(CallOutcome::NotFound)) => return Ok(Finish::NotFound),
                Some(Err(error)) => return Ok(Finish::Failed(error)),
                Some(Ok(CallOutcome::Suspended { state, wakes, .. })) => {
                    suspensions += 1;
                    if interruption.leave_at == Some(suspensions) {
                        return Ok(Finish::Waits { state });
                    }
                    if suspensions > SUSPENSIONS_MAX || waited > WAITED_MAX {
                        let seconds = waited.as_secs();
                        let why = format!("it waits for ever: {suspensions} times in {seconds} s so far");
                        return Ok(Finish::Stuck(why));
                    }
                    if !std::mem::replace(&mut self.waited, true) {
                        for request in &self.case.while_waiting {
                            self.prepare(request).await?;
                        }
                    }
                    let Some(wake) = self.wake(&wakes, &mut waited).await else {
                        return Ok(Finish::Stuck("it waits for a callback, and the case has no `callback`".to_owned()));
                    };
                    kind = CallKind::Resume { state, wake };
                }
            }
        }
    }

    async fn wake(&mut self, wakes: &[WakeUp], waited: &mut Duration) -> Option<Wake> {
        let topic = wakes.iter().find_map(|it| if let WakeUp::Callback(topic) = it { Some(topic) } else { None });
        if let (Some(topic), Some(body)) = (topic, &self.case.callback) {
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            return Some(Wake::Callback { topic: topic.clone(), headers, body: body.clone().into_bytes() });
        }
        let is_timed = wakes.iter().any(|it| !matches!(it, WakeUp::Callback(_)));
        if is_timed {
            // The counterpart's clock goes on meanwhile; nobody waits as long as a release would.
            let wait = (*waited / 10).clamp(HURRY, HURRY_MAX);
            tokio::time::sleep(wait).await;
            *waited += wait;
            self.waited_for += wait;
        }
        is_timed.then_some(Wake::Timer)
    }

    /// Goes on as where somebody has it tried again after a definite answer: that is new work.
    pub(crate) fn start_anew(&mut self) {
        self.attempt += 1;
        self.round += 1;
    }

    /// Does as a host does: tries again as the plugin advises, with the same key after an answer in doubt, and looks for
    /// the effect first where the action writes and can look.
    pub(crate) async fn persevere(&mut self, interruption: Interruption) -> Result<Finish, Broken> {
        let mut look_first = false;
        loop {
            if look_first {
                match self.walk(CallKind::Find, Operation::Start, None, interruption).await? {
                    Finish::NotFound => {}
                    Finish::Failed(error) => {
                        if let Some(end) = self.judge(error) {
                            return Ok(end);
                        }
                        continue;
                    }
                    other => return Ok(other),
                }
            }
            let error = match self.walk(CallKind::Start, Operation::Start, None, interruption).await? {
                Finish::Failed(error) => error,
                other => return Ok(other),
            };
            let definite = error.class.is_definite();
            if let Some(end) = self.judge(error) {
                return Ok(end);
            }
            self.round += u32::from(definite);
            look_first = !definite && self.action.effect == Effect::Write && self.action.find;
        }
    }

    /// The end, unless another attempt is worth it.
    fn judge(&mut self, error: StepError) -> Option<Finish> {
        use FailureClass::{RateLimited, TimedOut, Transient};
        let another = match error.advice {
            RetryAdvice::Never => false,
            RetryAdvice::Pause => return Some(Finish::Person(error)),
            RetryAdvice::After(_) => true,
            // Nobody repeats by himself what may have been done and cannot be looked for.
            RetryAdvice::ByPolicy
                if !error.class.is_definite() && self.action.effect == Effect::Write && !self.action.find =>
            {
                return Some(Finish::Person(error));
            }
            RetryAdvice::ByPolicy => matches!(error.class, Transient | RateLimited | TimedOut),
        };
        if !another || is_crash(&error) {
            return Some(Finish::Failed(error));
        }
        if self.attempt >= ATTEMPTS_MAX {
            return Some(Finish::Stuck(format!("{ATTEMPTS_MAX} attempts have failed, the last with {error}")));
        }
        self.attempt += 1;
        None
    }
}
