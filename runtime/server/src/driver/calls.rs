//! The calls that a release's driver has going.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use windlass_engine::{CallId, CallResult, Release};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::name::ReleaseId;

use super::Message;
use crate::breakers::Gate;
use crate::call::{make_call, takes_turns};
use crate::runtime::Inner;
use crate::supervise::{Panicked, caught_now};

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

/// Kept by everything that goes on for a call; what waits for it ends with the last of that.
pub(crate) type GoingOn = oneshot::Sender<Infallible>;

/// Ends when nothing of a call goes on any more.
type Gone = oneshot::Receiver<Infallible>;

/// The calls that are made, or wait for their turn among all that are.
///
/// **Invariant:** no call of a release begins while one that was stopped may still have an effect: what undoes that must
/// not come before it.
#[derive(Default)]
pub(crate) struct Calls {
    tasks: JoinSet<Done>,
    /// In order, so that a simulation tells the same story again.
    in_flight: BTreeMap<CallId, Flight>,
    /// Tasks of calls that were stopped and may not have noticed.
    stopping: HashSet<task::Id>,
    /// What may be left of calls beside their tasks: a tool that is being killed.
    leftovers: FuturesUnordered<Gone>,
    /// What the call came to that ended before it needed a task; the next thing to be looked at.
    ended: Option<(CallId, Result<CallResult, StepError>)>,
    /// Permits to make calls, as far as they have not been used.
    turns: HashMap<CallId, OwnedSemaphorePermit>,
}

/// How a call is made.
enum Flight {
    /// It has ended, which nobody has looked at.
    Ended,
    /// In a task, or it waits for its turn in one.
    Task(AbortHandle, Gone),
}

impl Calls {
    /// Whether this one is going on.
    pub(crate) fn has(&self, call: &CallId) -> bool {
        self.in_flight.contains_key(call)
    }

    /// Whether none is, and nothing is left of those that were stopped.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.may_begin()
    }

    /// Whether one may begin: nothing is left of those that were stopped.
    pub(crate) fn may_begin(&self) -> bool {
        self.stopping.is_empty() && self.leftovers.is_empty()
    }

    /// Stops the calls that are not wanted any more.
    pub(super) fn stop_unwanted(&mut self, release: &Release) {
        for (_, flight) in self.in_flight.extract_if(.., |id, _| !release.wants(*id)) {
            if let Flight::Task(task, gone) = flight {
                self.stopping.insert(task.id());
                self.leftovers.extend(stop(&task, gone));
            }
        }
    }

    /// Stops all, and waits until nothing is left of them.
    pub(crate) async fn stop_all(mut self) {
        for flight in std::mem::take(&mut self.in_flight).into_values() {
            if let Flight::Task(task, gone) = flight {
                self.leftovers.extend(stop(&task, gone));
            }
        }
        self.tasks.shutdown().await;
        while self.leftovers.next().await.is_some() {}
    }

    /// Starts the calls that are missing. One that cannot be made at once waits for its turn, and breakers are asked again
    /// before it is made. `is_free` says that the driver has nothing else to do.
    pub(super) fn begin_missing(
        &mut self,
        inner: &Arc<Inner>,
        release: &Release,
        sender: &mpsc::UnboundedSender<Message>,
        gate: &mut Gate,
        is_free: bool,
    ) {
        // Asking may have ended something.
        self.stop_unwanted(release);
        let missing: Vec<CallId> = release.calls().filter(|it| !self.has(it)).collect();
        let at_once = is_free && self.is_empty() && missing.len() == 1;
        for id in missing {
            if inner.is_winding_down() || !self.may_begin() {
                break;
            }
            let Some(order) = release.order(id) else { continue };
            let takes_turns = takes_turns(release, id.step);
            let permit = || inner.permits.clone().try_acquire_owned().ok();
            let (going_on, gone) = oneshot::channel();
            let turn = if takes_turns { self.turns.remove(&id).or_else(permit) } else { None };
            let flight = if takes_turns && turn.is_none() {
                let turn = inner.permits.clone().acquire_owned();
                gate.queued(id);
                let wait = async move { Done::Turn(id, turn.await.expect("permits are never closed")) };
                Flight::Task(self.tasks.spawn(wait), gone)
            } else {
                gate.has_begun();
                let call = make_call(inner.clone(), release, order, turn, sender.clone(), going_on);
                self.make(release.id(), id, call, gone, at_once)
            };
            self.in_flight.insert(id, flight);
        }
        // What is held or not wanted any more lets others have their turns.
        self.turns.clear();
    }

    /// Makes a call, up to where it has to wait if that is to be done `at_once`, and the rest of it in a task: a task, and
    /// the waking of another thread for it, take longer than a short call does. A guest that computes waits for others
    /// every few milliseconds.
    fn make(&mut self, release: &ReleaseId, id: CallId, mut call: Making, gone: Gone, at_once: bool) -> Flight {
        if at_once && let Some(result) = made_at_once(release, &mut call) {
            self.ended = Some((id, result));
            drop(call);
            self.leave(gone);
            return Flight::Ended;
        }
        Flight::Task(self.tasks.spawn(async move { Done::End(id, call.await) }), gone)
    }

    /// Waits for what may be left of a call.
    fn leave(&mut self, mut gone: Gone) {
        if gone.try_recv() == Err(TryRecvError::Empty) {
            self.leftovers.push(gone);
        }
    }

    /// Waits for something to come of one of them; for ever where there is none.
    pub(super) async fn next(&mut self, release: &Release) -> Came {
        if let Some((call, result)) = self.ended.take() {
            self.in_flight.remove(&call);
            return Came::End(call, result);
        }
        let joined = tokio::select! {
            biased;
            Some(joined) = self.tasks.join_next_with_id() => joined,
            Some(_) = self.leftovers.next() => return Came::Nothing,
            else => return std::future::pending().await,
        };
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        if self.stopping.remove(&id) {
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
        let is_it = |flight: &Flight| matches!(flight, Flight::Task(task, _) if task.id() == error.id());
        let Some(call) = self.in_flight.iter().find(|(_, it)| is_it(it)).map(|(call, _)| *call) else {
            return Came::Nothing;
        };
        if let Some(Flight::Task(_, gone)) = self.in_flight.remove(&call) {
            self.leave(gone);
        }
        if release.wants(call) { Came::End(call, Err(host_panicked(release.id()))) } else { Came::Nothing }
    }
}

/// Stops a task, and gives what then has to be waited for: nothing, where the call had ended by itself.
fn stop(task: &AbortHandle, gone: Gone) -> Option<Gone> {
    let is_over = task.is_finished();
    task.abort();
    (!is_over).then_some(gone)
}

type Making = BoxFuture<'static, Result<CallResult, StepError>>;

/// What a call comes to that need not wait.
fn made_at_once(release: &ReleaseId, call: &mut Making) -> Option<Result<CallResult, StepError>> {
    caught_now(|| call.now_or_never()).unwrap_or_else(|Panicked| Some(Err(host_panicked(release))))
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
        assert!(matches!(made_at_once(&release, &mut done), Some(Ok(CallResult::NotFound))));
        let mut panics = async { panic!("this is a test") }.boxed();
        let Some(Err(error)) = made_at_once(&release, &mut panics) else { panic!("it has ended") };
        assert_eq!(error.code, "host-panicked");
        let mut waits = async {
            tokio::task::yield_now().await;
            Ok(CallResult::NotFound)
        }
        .boxed();
        assert!(made_at_once(&release, &mut waits).is_none());
        assert_eq!(waits.await, Ok(CallResult::NotFound));
    }
}
