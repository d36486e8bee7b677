//! Making a call of a component: what it is called with, and what the operator lets it reach.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use windlass_engine::{Call, CallOrder, CallResult, Release, Suspension, WakeCondition};
use windlass_model::digest::Digest;
use windlass_model::event::Operation;
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::name::ActionName;
use windlass_model::plan::{Pin, Runs};
use windlass_model::workflow::Step;
use windlass_sandbox::cassette::Tape;
use windlass_sandbox::{Access, CallKind, CallOutcome, CallRequest, Plugin, WakeUp};

use crate::components::{ComponentCall, Components};
use crate::driver::{GoingOn, Message};
use crate::dry_run::{self, Place, Shape};
use crate::nested::{Begun, NestedCall};
use crate::runtime::{Inner, Runtime, lock};
use crate::step_host::CallHost;
use crate::topic::redacted;

impl Inner {
    /// A component that is ready to be called.
    pub(crate) async fn plugin(&self, digest: Digest) -> Result<Arc<Plugin>, StepError> {
        let cell = lock(&self.plugins).entry(digest).or_default().clone();
        let fail = |code: &str, message: String| StepError::not_called(FailureClass::Internal, code, message);
        cell.get_or_try_init(|| async {
            let bytes = self
                .store
                .blob(&digest)
                .map_err(|error| fail("component-unreadable", error.to_string()))?
                .ok_or_else(|| fail("component-missing", format!("component {digest} is not in the store")))?;
            let sandbox = self.components.sandbox().map_err(|error| fail("component-refused", error.to_string()))?;
            sandbox.prepare(&bytes).await.map_err(|error| fail("component-refused", error.to_string()))
        })
        .await
        .cloned()
    }

    /// What the operator lets a step reach, as of now.
    fn access(&self, step: &Step, action: &ActionName, pin: &Pin, plugin: &Plugin) -> Result<Access, StepError> {
        let catalog = self.catalog.read().unwrap_or_else(PoisonError::into_inner);
        let mut connections = BTreeMap::new();
        for (role, name) in &pin.connections {
            let connection = catalog.connections.get(name).ok_or_else(|| {
                let message = format!("connection `{name}`, which step `{}` is pinned to, is not declared any more; add it again with `windlass connection add {name} …`", step.name);
                StepError::not_called(FailureClass::Forbidden, "connection-missing", message)
            })?;
            connections.insert(role.clone(), connection.clone());
        }
        let needs = plugin.manifest().actions.get(action).map(|it| &it.tools);
        let tools = needs
            .into_iter()
            .flatten()
            .filter_map(|(name, _)| Some((name.clone(), catalog.tools.get(name)?.clone())))
            .collect();
        Ok(Access { connections, tools })
    }
}

/// Whether a call waits for its turn among those that are made: what runs a workflow does nothing itself.
pub(crate) fn takes_turns(release: &Release, step: StepIndex) -> bool {
    !matches!(release.pin(step).runs, Runs::Plan(_))
}

/// Makes a call of a component; everything it needs of the release is taken before it begins. `turn` is kept as long as
/// the call is made, `going_on` until nothing of it is left.
pub(crate) fn make_call(
    inner: Arc<Inner>,
    release: &Release,
    order: CallOrder,
    turn: Option<OwnedSemaphorePermit>,
    inbox: mpsc::UnboundedSender<Message>,
    going_on: GoingOn,
) -> BoxFuture<'static, Result<CallResult, StepError>> {
    let plan = release.plan().clone();
    let id = release.id().clone();
    let index = order.id.step;
    let (at, step) = (release.definition_index(index), release.name_of(index));
    let run = release.step(index);
    let uses = release.definition(index).uses.clone();
    if let Runs::Plan(plan) = release.pin(index).runs {
        let call = NestedCall {
            runtime: Runtime { inner },
            outer: id,
            step,
            plan,
            requested_by: release.created().requested_by.clone(),
            rehearsal: release.created().rehearsal,
            recorded: release.created().recorded,
            place: Place {
                release: release.id().clone(),
                step: release.name_of(index),
                uses,
                input: Arc::clone(&order.input),
            },
            begun: Begun::of(run),
            order,
            inbox,
        };
        return call.make().boxed();
    }
    let checkpoints = run.all_recorded().into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let is_recorded = release.created().recorded;
    let actor = release.created().requested_by.name.clone();
    async move {
        let _turn = turn;
        let host = CallHost {
            release: id.clone(),
            step: step.clone(),
            call: order.id,
            checkpoints,
            log: inner.log(&id),
            topics: inner.topics.clone(),
            callbacks: inner.options.callbacks.clone(),
            inbox,
            _going_on: going_on,
        };
        let sandbox = match &inner.components {
            Components::Sandboxed(sandbox) => sandbox,
            Components::Elsewhere(calls) => {
                return calls.call(ComponentCall { release: id, step, order, host: Arc::new(host) }).await;
            }
        };
        let (definition, pin) = (plan.step(at), plan.pin(at));
        let uses = definition.uses.action().expect("what runs a component is an action");
        let plugin = inner.plugin(pin.runs.digest()).await?;
        let dry_run = order.dry_run.clone();
        let input = Arc::clone(&order.input);
        let place = Place { release: id.clone(), step: step.clone(), uses: definition.uses.clone(), input };
        let shape = || Shape::Action(plugin.clone(), uses.action.to_string());
        if let Some(problem) = dry_run.as_ref().and_then(|it| it.unknown.as_ref()) {
            let note = format!("its plugin was not called: {problem}");
            return Ok(dry_run::stand_in(&inner, place, shape(), Vec::new(), 0, Some(note)).await);
        }
        let access = inner.access(definition, &uses.action, pin, &plugin)?;
        let kind = match order.call {
            Call::Find => CallKind::Find,
            Call::Resume { state, wake } => CallKind::Resume { state: state.to_vec(), wake },
            Call::Begin { state } => match order.id.operation {
                Operation::Start => CallKind::Start,
                Operation::Cancel => CallKind::Cancel { state: state.map(|it| it.to_vec()) },
                Operation::Rollback => CallKind::Rollback,
            },
        };
        let request = CallRequest {
            kind,
            operation: order.id.operation,
            action: uses.action.clone(),
            release: id.to_string(),
            step: step.to_string(),
            attempt: order.id.attempt,
            idempotency_key: order.idempotency_key,
            deadline: order.deadline,
            dry_run: dry_run.is_some(),
            input: order.input,
            output: order.output,
            context: windlass_sandbox::context(actor, &order.start_keys),
            access: Arc::new(access),
            host: Arc::new(host),
            tape: match &inner.options.recordings {
                Some(library) => Tape::StandIn(library.of(&plugin, &uses.action)),
                None if is_recorded => Tape::Record,
                None => Tape::Off,
            },
        };
        let mut report = sandbox.call(&plugin, request).await;
        if let Some(recorded) = report.recorded.take() {
            inner.keep_recording(&id, &step, &plugin, &uses.action, *recorded).await;
        }
        let result = match &dry_run {
            Some(dry_run) => {
                return dry_run::settle(&inner, place, shape(), dry_run, report).await.map_err(without_topics);
            }
            None => report.result,
        };
        let result = result.map(|outcome| match outcome {
            CallOutcome::Done(value) => CallResult::Done(value),
            CallOutcome::NotFound => CallResult::NotFound,
            CallOutcome::Suspended { state, wakes, status } => CallResult::Suspended(Suspension {
                state,
                status: redacted(status),
                wakes: wakes
                    .into_iter()
                    .map(|it| match it {
                        WakeUp::After(span) => WakeCondition::After(span),
                        WakeUp::At(at) => WakeCondition::At(at),
                        WakeUp::Callback(topic) => WakeCondition::Callback(topic),
                    })
                    .collect(),
            }),
        });
        result.map_err(without_topics)
    }
    .boxed()
}

fn without_topics(error: StepError) -> StepError {
    StepError {
        message: redacted(error.message),
        details: error.details.into_iter().map(|(name, value)| (name, redacted(value))).collect(),
        ..error
    }
}
