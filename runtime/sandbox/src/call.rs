//! One call of an action, from the request to the report.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;
use wasmtime::{Store, UpdateDeadline};
use windlass_bindings::windlass::plugin::step_types as wit;
use windlass_model::connection::{Connection, Tool};
use windlass_model::dry_run::Would;
use windlass_model::event::{Operation, Wake};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::grant::Denial;
use windlass_model::name::{ActionName, RoleName, ToolName};
use windlass_model::time::Timestamp;

use crate::busy;
use crate::cassette::{Arguments, Deck, Player, RecordedCall, Recorder, Seeded, Tape, outcome_of};
use crate::host::StepHost;
use crate::outcome::{self, Answer, CallOutcome};
use crate::plugin::{Plugin, ReadyAction};
use crate::sandbox::Inner;
use crate::shared::Shared;
use crate::state::CallState;
use crate::stop::{Limit, broken};

/// Which function of the plugin is called.
#[derive(Debug, Clone, PartialEq)]
pub enum CallKind {
    /// The action begins.
    Start,
    /// The operation that suspended goes on.
    Resume {
        /// What it suspended with.
        state: Vec<u8>,
        /// What woke it.
        wake: Wake,
    },
    /// The action is stopped.
    Cancel {
        /// What it suspended with; none if its call was cut off.
        state: Option<Vec<u8>>,
    },
    /// The action's effect is undone.
    Rollback,
    /// The operation's effect is looked for.
    Find,
}

/// What the operator granted and bound for a step.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Connections by the role to which the step binds them.
    pub connections: BTreeMap<RoleName, Connection>,
    /// The tools that are declared here.
    pub tools: BTreeMap<ToolName, Tool>,
}

/// One call of an action on behalf of a step.
pub struct CallRequest {
    /// Which function.
    pub kind: CallKind,
    /// The operation it begins or goes on with.
    pub operation: Operation,
    /// Action of the plugin.
    pub action: ActionName,
    /// The release.
    pub release: String,
    /// The step.
    pub step: String,
    /// From 1; counts the attempts of the operation.
    pub attempt: u32,
    /// The same for every attempt of a logical call.
    pub idempotency_key: String,
    /// When the attempt ends, waits included.
    pub deadline: Option<Timestamp>,
    /// Whether writes are stopped.
    pub dry_run: bool,
    /// The step's input.
    pub input: Arc<Value>,
    /// The forward operation's output, for `cancel` and `rollback`.
    pub output: Option<Arc<Value>>,
    /// More, by name; see [`context`].
    pub context: Vec<(String, String)>,
    /// What it may reach.
    pub access: Arc<Access>,
    /// Where what it does goes. Kept until nothing of the call goes on any more, also where [`Sandbox::call`] was dropped and
    /// a tool is being killed.
    pub host: Arc<dyn StepHost>,
    /// Whether it is recorded, or played again.
    pub tape: Tape,
}

/// What a call is told beside its arguments, as the contract names it: who asked for the release, and the idempotency keys of
/// all logical calls of `start` of its step, oldest first.
pub fn context(actor: impl Into<String>, start_keys: &[String]) -> Vec<(String, String)> {
    vec![("actor".to_owned(), actor.into()), ("start-keys".to_owned(), start_keys.join(" "))]
}

/// What one call came to.
#[derive(Debug)]
pub struct CallReport {
    /// How it ended.
    pub result: Result<CallOutcome, StepError>,
    /// What it used.
    pub usage: Usage,
    /// What it asked for and was denied.
    pub denials: Vec<Denial>,
    /// What it would have written, in a dry run: the first [`WOULD_MAX`](windlass_model::dry_run::WOULD_MAX) of it.
    pub would: Vec<Would>,
    /// How much more of that there was.
    pub omitted: u64,
    /// All of it, where it was to be recorded.
    pub recorded: Option<Box<RecordedCall>>,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// From start to end.
    pub wall: Duration,
    /// While guest code and what it called at once were running.
    pub cpu: Duration,
    /// Most bytes of memory and tables.
    pub memory_peak_bytes: u64,
    /// Log, progress and standard output and error.
    pub log_bytes: u64,
    /// HTTP requests.
    pub http_requests: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of responses.
    pub response_bytes: u64,
    /// Tools run.
    pub tool_calls: u64,
}

pub(crate) async fn call(
    sandbox: &Arc<Inner>,
    plugin: &Arc<Plugin>,
    request: CallRequest,
    player: Option<Arc<Player>>,
) -> CallReport {
    let action = match ready(plugin, &request) {
        Ok(action) => action,
        Err(error) => {
            let (usage, denials, would) = (Usage::default(), Vec::new(), Vec::new());
            return CallReport { result: Err(error), usage, denials, would, omitted: 0, recorded: None };
        }
    };
    let permit = sandbox.permits.acquire_many(plugin.weight.min(sandbox.instances_max)).await;
    let running = sandbox.ticker.run();
    let CallRequest { kind, operation, host, access, dry_run, .. } = &request;
    let shared = Arc::new(Shared::new(
        Arc::clone(sandbox),
        Arc::clone(host),
        Arc::clone(access),
        action.limits,
        Some((Arc::clone(plugin), request.action.clone())),
        *dry_run,
        match (&request.tape, player) {
            (_, Some(player)) => Deck::Player(player),
            (Tape::Record, None) => Deck::Recorder(Arc::new(Recorder::new(Seeded::seed()))),
            (Tape::StandIn(recorded), None) => Deck::Player(Arc::new(Player::stand_in(recorded.clone()))),
            (Tape::Off, None) => Deck::None,
        },
    ));
    let arguments = shared.recorder().map(|_| Arguments::of(&request));
    let (kind, operation) = (kind.clone(), *operation);
    let argument = argument(request);
    let ended = until_the_end(&shared, answer(&shared, plugin, kind, &argument)).await;
    for tool in shared.take_tools() {
        // The task ends when its tool is dead; the instance that held the tool is gone.
        let _ = tool.await;
    }
    drop(running);
    drop(permit);
    let result = match ended {
        Ok(answer) => outcome::judge(answer, &shared, action, operation),
        Err(error) => Err(outcome::fallen(&error, &shared)),
    }
    .map_err(|error| outcome::blamed_on_denial(error, &shared))
    .map_err(|error| StepError { without_effect: !shared.may_have_changed(), ..error });
    let denials = shared.denials().0.into_iter().map(|(_, denial)| denial).collect();
    let (would, omitted) = shared.take_would();
    let recorded = shared.recorder().zip(arguments).map(|(recorder, arguments)| {
        let hide = |text: String| shared.host.hide(text);
        let outcome = outcome_of(&result, &hide);
        Box::new(recorder.finish(arguments, outcome, &shared.scrubber(), &hide))
    });
    let result = result.map_err(|error| outcome::with_credential(error, &shared));
    CallReport { result, usage: shared.usage(), denials, would, omitted, recorded }
}

/// The action, if the request makes sense.
fn ready<'a>(plugin: &'a Plugin, request: &CallRequest) -> Result<&'a ReadyAction, StepError> {
    let CallRequest { kind, action: name, access, input, .. } = request;
    let refuse = |code: &str, message: String| Err(StepError::not_called(FailureClass::Invalid, code, message));
    let Some(ready) = plugin.actions.get(name) else {
        let known: Vec<&str> = plugin.actions.keys().map(ActionName::as_str).collect();
        let plugin = &plugin.manifest.name;
        return refuse(
            "unknown-action",
            format!("plugin `{plugin}` has no action `{name}`; it has {}", known.join(", ")),
        );
    };
    let (implemented, function) = match kind {
        CallKind::Start | CallKind::Resume { .. } => (true, "start"),
        CallKind::Cancel { .. } => (ready.action.cancel, "cancel"),
        CallKind::Rollback => (ready.action.rollback, "rollback"),
        CallKind::Find => (ready.action.find, "find"),
    };
    if !implemented {
        let plugin = &plugin.manifest.name;
        return refuse("not-implemented", format!("action `{plugin}/{name}` does not implement `{function}`"));
    }
    for (role, need) in &ready.action.connections {
        if need.required && !access.connections.contains_key(role) {
            return refuse(
                "connection-missing",
                format!("the step binds no connection to the role `{role}`, which action `{name}` needs"),
            );
        }
    }
    if *kind == CallKind::Start
        && let Some(problems) = ready.input.problems(input)
    {
        return refuse("input-breaks-schema", format!("the input is not what action `{name}` takes: {problems}"));
    }
    Ok(ready)
}

fn argument(request: CallRequest) -> wit::Call {
    wit::Call {
        action: request.action.as_str().to_owned(),
        operation: match request.operation {
            Operation::Start => wit::Operation::Start,
            Operation::Cancel => wit::Operation::Cancel,
            Operation::Rollback => wit::Operation::Rollback,
        },
        release: request.release,
        step: request.step,
        attempt: request.attempt,
        idempotency_key: request.idempotency_key,
        deadline: request.deadline.map(Timestamp::as_millis),
        dry_run: request.dry_run,
        input: request.input.to_string(),
        output: request.output.map(|it| it.to_string()),
        context: request.context,
    }
}

/// A store with this call's limits; what it is dropped with goes with it.
pub(crate) fn open_store(shared: &Arc<Shared>) -> Store<CallState> {
    let mut store = Store::new(&shared.sandbox.engine, CallState::new(Arc::clone(shared)));
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().shared.check_cpu()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_hostcall_fuel(largest_transfer(shared));
    store
}

/// What a guest may hand over at once. The strings of an answer count against their own limits
/// afterwards; this bounds what the host copies before it can look.
fn largest_transfer(shared: &Shared) -> usize {
    const SLACK: u64 = 2 * 1024 * 1024;
    let largest = [Limit::Output, Limit::Log, Limit::State, Limit::RequestBytes].map(|it| it.of(&shared.limits));
    usize::try_from(largest.into_iter().max().unwrap_or(0) + SLACK).unwrap_or(usize::MAX)
}

async fn answer(shared: &Arc<Shared>, plugin: &Plugin, kind: CallKind, call: &wit::Call) -> wasmtime::Result<Answer> {
    let (mut store, instance) = busy::made(|| async {
        let mut store = open_store(shared);
        let instance = plugin.pre.instantiate_async(&mut store).await?;
        Ok((store, instance))
    })
    .await?;
    let step = instance.windlass_plugin_step();
    Ok(match kind {
        CallKind::Start => step.call_start(&mut store, call).await?.map(Some),
        CallKind::Resume { state, wake } => step.call_resume(&mut store, call, &state, &event(wake)).await?.map(Some),
        CallKind::Cancel { state } => step.call_cancel(&mut store, call, state.as_deref()).await?.map(Some),
        CallKind::Rollback => step.call_rollback(&mut store, call).await?.map(Some),
        CallKind::Find => step.call_find(&mut store, call).await?,
    })
}

fn event(wake: Wake) -> wit::Event {
    match wake {
        Wake::Timer => wit::Event::Timer,
        Wake::Callback { topic, headers, body } => wit::Event::Callback(wit::CallbackEvent { topic, headers, body }),
    }
}

/// Runs a guest until it answers, something ends the call, or its time is over.
pub(crate) async fn until_the_end<T>(
    shared: &Shared,
    guest: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let mut guest = pin!(guest);
    let guest = std::future::poll_fn(|context| match shared.metered(|| guest.as_mut().poll(context)) {
        // A body or a tool that hit a limit meanwhile ends the call whatever the guest made of it.
        Poll::Ready(Ok(_)) if let Some(stopped) = shared.stopped() => {
            Poll::Ready(Err(crate::stop::Stop(stopped.clone()).into()))
        }
        other => other,
    });
    tokio::select! {
        biased;
        answer = guest => answer,
        () = shared.ended.notified() => Err(match shared.stopped() {
            Some(stopped) => crate::stop::Stop(stopped.clone()),
            None => shared.stop(broken("stopped", "the call was stopped")),
        }.into()),
        () = tokio::time::sleep(Duration::from_millis(shared.limits.wall_ms)) => Err(shared.hit(Limit::Wall).into()),
    }
}
