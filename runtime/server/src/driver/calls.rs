//! The calls that a release's driver has going.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use windlass_engine::{CallId, CallResult, Release};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::name::ReleaseId;

use super::Message;
use crate::breakers::Gate;
use crate::call::{make_call, takes_turns};
use crate::runtime::Inner;

/// What comes of a call.
pub(super) enum Came {
    /// It may be made now.
    Turn(CallId),
    /// It was made.
    End(CallId, Result<CallResult, StepError>),
    /// Nothing that anybody wants to know, or one that was stopped is over, and what waited for that may begin.
    Nothing,
}

/// What comes of the task of a call.
enum Done {
    Turn(CallId, OwnedSemaphorePermit),
    End(CallId, Result<CallResult, StepError>),
}

/// The calls that are made, or wait for their turn among all that are.
///
/// **Invariant:** of a step one call is made at a time: what undoes an effect does not begin while that may still come about.
#[derive(Default)]
pub(crate) struct Calls {
    tasks: JoinSet<Done>,
    /// None for the one that has ended at once. In order, so that a simulation tells the same story again.
    in_flight: BTreeMap<CallId, Option<AbortHandle>>,
    /// Tasks of calls that were stopped and may not have noticed, with their steps.
    stopping: HashMap<task::Id, StepIndex>,
    /// What the call came to that ended before it needed a task; the next thing to be looked at.
    ended: Option<(CallId, Result<CallResult, StepError>)>,
    /// Permits to make calls, as far as they have not been used.
    turns: HashMap<CallId, OwnedSemaphorePermit>,
}

impl Calls {
    /// Whether this one is going on.
    pub(crate) fn has(&self, call: &CallId) -> bool {
        self.in_flight.contains_key(call)
    }

    /// Whether none is, and nothing is left of those that were stopped.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.stopping.is_empty()
    }

    /// Starts the calls that are missing and stops the rest. One that cannot be made at once waits for its turn, and
    /// breakers are asked again before it is made.
    pub(super) fn match_up(
        &mut self,
        inner: &Arc<Inner>,
        release: &Release,
        sender: &mpsc::UnboundedSender<Message>,
        gate: &mut Gate,
    ) {
        self.in_flight.retain(|id, task| {
            let wanted = release.wants(*id);
            if let (false, Some(task)) = (wanted, task) {
                task.abort();
                self.stopping.insert(task.id(), id.step);
            }
            wanted
        });
        let is_missing = |it: &CallId| !self.has(it) && !self.stopping.values().any(|step| *step == it.step);
        let missing: Vec<CallId> = release.calls().filter(is_missing).collect();
        // Then the driver has nothing else to do.
        let is_only = self.is_empty() && missing.len() == 1;
        for id in missing {
            if inner.is_winding_down() {
                break;
            }
            let Some(order) = release.order(id) else { continue };
            let takes_turns = takes_turns(release, id.step);
            let permit = || inner.permits.clone().try_acquire_owned().ok();
            let turn = if takes_turns { self.turns.remove(&id).or_else(permit) } else { None };
            let task = if takes_turns && turn.is_none() {
                let turn = inner.permits.clone().acquire_owned();
                gate.queued(id);
                Some(self.tasks.spawn(async move { Done::Turn(id, turn.await.expect("permits are never closed")) }))
            } else {
                gate.has_begun();
                let mut call = make_call(inner.clone(), release, order, turn, sender.clone());
                self.ended = if is_only { at_once(release.id(), &mut call).map(|it| (id, it)) } else { None };
                match self.ended {
                    Some(_) => None,
                    None => Some(self.tasks.spawn(async move { Done::End(id, call.await) })),
                }
            };
            self.in_flight.insert(id, task);
        }
        // What is held or not wanted any more lets others have their turns.
        self.turns.clear();
    }

    /// Waits for something to come of one of them; for ever where there is none.
    pub(super) async fn next(&mut self, release: &Release) -> Came {
        if let Some((call, result)) = self.ended.take() {
            self.in_flight.remove(&call);
            return Came::End(call, result);
        }
        let Some(joined) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        if self.stopping.remove(&id).is_some() {
            return Came::Nothing;
        }
        match joined {
            Ok((_, Done::Turn(call, turn))) => {
                self.in_flight.remove(&call);
                self.turns.insert(call, turn);
                Came::Turn(call)
            }
            Ok((_, Done::End(call, result))) => {
                self.in_flight.remove(&call);
                Came::End(call, result)
            }
            Err(error) => self.panicked(release, &error),
        }
    }

    /// What it means for a release that the host's own code panicked in the task of a call: it is still in flight by our
    /// book, and is taken out of it as a failure of ours.
    fn panicked(&mut self, release: &Release, error: &JoinError) -> Came {
        // Others may have ended meanwhile, and not been looked at.
        let is_task = |it: &Option<AbortHandle>, id: task::Id| it.as_ref().is_some_and(|it| it.id() == id);
        let Some(call) = self.in_flight.iter().find(|(_, it)| is_task(it, error.id())).map(|(call, _)| *call) else {
            return Came::Nothing;
        };
        self.in_flight.remove(&call);
        if release.wants(call) { Came::End(call, Err(host_panicked(release.id()))) } else { Came::Nothing }
    }
}

/// Makes a call up to where it has to wait, and gives its result if it never has to: a task of its own, and the waking of
/// another thread for it, take longer than a short call. A guest that computes waits for others every few milliseconds.
fn at_once(
    release: &ReleaseId,
    call: &mut BoxFuture<'static, Result<CallResult, StepError>>,
) -> Option<Result<CallResult, StepError>> {
    catch_unwind(AssertUnwindSafe(|| call.now_or_never())).unwrap_or_else(|_| Some(Err(host_panicked(release))))
}

fn host_panicked(release: &ReleaseId) -> StepError {
    tracing::error!(%release, "the host panicked in a call");
    StepError::host(
        FailureClass::Internal,
        "host-panicked",
        "the host itself failed while it ran this call; please report it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_need_not_wait_is_made_at_once() {
        let release = "payments-3".parse().expect("an id");
        let mut done = async { Ok(CallResult::NotFound) }.boxed();
        assert!(matches!(at_once(&release, &mut done), Some(Ok(CallResult::NotFound))));
        let mut panics = async { panic!("this is a test") }.boxed();
        let Some(Err(error)) = at_once(&release, &mut panics) else { panic!("it has ended") };
        assert_eq!(error.code, "host-panicked");
        let mut waits = async {
            tokio::task::yield_now().await;
            Ok(CallResult::NotFound)
        }
        .boxed();
        assert!(at_once(&release, &mut waits).is_none());
        assert_eq!(waits.await, Ok(CallResult::NotFound));
    }
}
