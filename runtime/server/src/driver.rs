//! Drives one release: carries inputs to the engine, records what it decides, and keeps the calls
//! going that should be going on.

mod calls;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use windlass_engine::{Input, Rejected, Release};
use windlass_model::concurrency::{Claim, Priority, Standing};
use windlass_model::event::Record;
use windlass_store::{Append, AppendError, Outline, Rest, StoreError};

use crate::admission::Door;
use crate::attendance::{CLOCK_LOOK, is_unwatched, may_park};
use crate::breakers::Gate;
use crate::clock::{dice, now};
use crate::nested::tell_parent;
use crate::rehearsal;
use crate::runtime::{Inner, Runtime};
use crate::supervise::caught;
use crate::view::state_name;
use calls::Came;
pub(crate) use calls::{Calls, GoingOn};

/// Something for the release.
pub(crate) enum Message {
    /// An input that somebody waits for.
    Input {
        /// What happened.
        input: Input,
        /// Told when it is recorded, or why not.
        answer: oneshot::Sender<Result<(), NotTaken>>,
    },
    /// Somebody wants to see it.
    Show(oneshot::Sender<Box<Release>>),
    /// What holds its calls may let them through; told when it was asked.
    Ask(oneshot::Sender<()>),
    /// No call is to begin any more; told when none is made, and that is recorded.
    WindDown(oneshot::Sender<()>),
}

/// What is said to whoever asks for something at which the host panics.
pub(crate) const HOST_FAILED: &str =
    "the host itself failed at it, and whether it was is not known: look before you ask again, and please report it";

/// Why an input was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotTaken {
    /// The engine refused it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It could not be recorded.
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
}

/// Why a driver ends in the midst of something.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A record could not be written.
    Store(AppendError),
    /// The host's own code panicked.
    Host,
}

impl From<AppendError> for Failed {
    fn from(error: AppendError) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// How a driver comes by a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// From its journal: calls that it tells of may have been begun by whoever wrote it.
    TakenOver,
    /// From this process, which has begun no call yet.
    Fresh,
}

/// Drives `release` until it ends or may be parked. `inbox` is where its messages come in. After an error calls may still
/// be going on.
pub(crate) async fn drive(
    calls: &mut Calls,
    inner: &Arc<Inner>,
    release: &mut Release,
    inbox: &mut mpsc::UnboundedReceiver<Message>,
    sender: &mpsc::UnboundedSender<Message>,
    changed: &watch::Sender<u64>,
    beginning: Beginning,
) -> Result<(), Failed> {
    let mut telling: Option<BoxFuture<'static, ()>> = None;
    let mut waiting: Vec<oneshot::Sender<Result<(), NotTaken>>> = Vec::new();
    let mut winding_down: Vec<oneshot::Sender<()>> = Vec::new();
    let mut gate = Gate::new(inner.clone(), release);
    let mut is_expected = false;
    let mut door = Door::new(inner.clone(), release);
    if beginning == Beginning::TakenOver {
        // Never refused.
        let _ = take_driving(inner, release, Input::TakenOver, calls).await?;
    }
    changed.send_replace(release.records());
    loop {
        inner.services.note(inner, release).await?;
        // One that had ended may run again.
        if !std::mem::replace(&mut is_expected, release.outcome().is_none()) {
            inner.services.expect(inner, release);
        }
        calls.stop_unwanted(release);
        let began = door.look(release, !calls.is_empty()).await?;
        if gate.ask(release, calls).await? || began {
            changed.send_replace(release.records());
        }
        let is_free = inbox.is_empty() && telling.is_none() && release.wake_at().is_none_or(|it| it > now());
        calls.begin_missing(inner, release, sender, &mut gate, is_free);
        gate.forget(release, calls);
        if inner.is_winding_down() && calls.is_empty() {
            let before = release.records();
            if let Some(record) = release.leave_alone(now()) {
                append(inner, release, before, record).await?;
                changed.send_replace(release.records());
            }
            for asked in winding_down.drain(..) {
                // Whoever asked may not have waited so long.
                let _ = asked.send(());
            }
        }
        if release.is_untold() && telling.is_none() && calls.is_empty() {
            let runtime = Runtime { inner: inner.clone() };
            telling = Some(match release.created().parent.clone() {
                Some(parent) => tell_parent(runtime, release.id().clone(), parent).boxed(),
                None if release.created().rehearsal => rehearsal::keep(runtime, release).boxed(),
                // What it delivered has been written.
                None => async {}.boxed(),
            });
        }
        let is_idle = !release.is_open() || may_park(release, changed);
        if inbox.is_empty() && is_idle && telling.is_none() && calls.is_empty() {
            if release.outcome().is_some() && release.plan().promises() {
                inner.services.forget(release.id());
            }
            return Ok(());
        }
        let input = tokio::select! {
            biased;
            came = calls.next(release) => match came {
                // While it waited what had let it through may have thought better of it.
                Came::Turn(call) => {
                    gate.ask_anew(call);
                    continue;
                }
                Came::End(call, result) => {
                    gate.ended(release, call, &result);
                    Input::CallEnded { call, result, dice: dice() }
                }
                Came::Nothing => continue,
            },
            message = inbox.recv() => match message {
                Some(Message::Input { input, answer }) => {
                    waiting.push(answer);
                    input
                }
                Some(Message::Show(answer)) => {
                    let _ = answer.send(Box::new(release.clone()));
                    continue;
                }
                Some(Message::Ask(answer)) => {
                    gate.answer(answer);
                    continue;
                }
                Some(Message::WindDown(answer)) => {
                    winding_down.push(answer);
                    continue;
                }
                None => return Ok(()),
            },
            () = async { telling.as_mut().expect("it is asked for only then").await }, if telling.is_some() => {
                telling = None;
                Input::ParentTold
            }
            // Who watched it has gone, so that it may be parked.
            () = changed.closed(), if !is_unwatched(changed) => continue,
            () = sleep_until(release) => {
                gate.timing_out(release, calls);
                Input::Tick { dice: dice() }
            }
        };
        // What it did to breakers is durable before it is recorded: the next process must not find a failure that opened
        // one, and the breaker closed.
        let taking = async {
            gate.settle().await?;
            Ok(take_driving(inner, release, input, calls).await?)
        };
        // Whoever waits must not ask again as if nobody had looked at it: it may be recorded.
        let taken = caught(taking).await.unwrap_or(Err(Failed::Host));
        let answer = match &taken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(rejected)) => Err(NotTaken::Rejected(rejected.clone())),
            Err(Failed::Store(error)) => Err(NotTaken::NotRecorded(error.to_string())),
            Err(Failed::Host) => Err(NotTaken::NotRecorded(HOST_FAILED.to_owned())),
        };
        for waiting in waiting.drain(..) {
            let _ = waiting.send(answer.clone());
        }
        taken?.ok();
        changed.send_replace(release.records());
    }
}

/// Lets the engine decide on an input and records the answer.
pub(crate) async fn take(
    inner: &Inner,
    release: &mut Release,
    input: Input,
) -> Result<Result<(), Rejected>, AppendError> {
    take_by(inner, release, |it| it.decide(input, now())).await
}

/// As [`take`], by the driver that makes these calls. When it makes none any more, what is decided is left to the next
/// process, which is said in the same record: this one may end right after it.
async fn take_driving(
    inner: &Inner,
    release: &mut Release,
    input: Input,
    calls: &Calls,
) -> Result<Result<(), Rejected>, AppendError> {
    if inner.is_winding_down() && calls.is_empty() {
        take_by(inner, release, |it| it.decide_last(input, now())).await
    } else {
        take(inner, release, input).await
    }
}

/// As [`take`], in a process that drives no releases.
pub(crate) async fn take_unattended(
    inner: &Inner,
    release: &mut Release,
    input: Input,
) -> Result<Result<(), Rejected>, AppendError> {
    take_by(inner, release, |it| it.decide_unattended(input, now())).await
}

async fn take_by(
    inner: &Inner,
    release: &mut Release,
    decide: impl FnOnce(&mut Release) -> Result<Option<Record>, Rejected>,
) -> Result<Result<(), Rejected>, AppendError> {
    let (before, was_over) = (release.records(), release.outcome().is_some());
    match decide(release) {
        Err(rejected) => {
            tracing::debug!(release = %release.id(), %rejected, "an input was refused");
            Ok(Err(rejected))
        }
        Ok(None) => Ok(Ok(())),
        Ok(Some(record)) => record_all(inner, release, (before, was_over), record).await.map(Ok),
    }
}

/// Records what was decided, after what it means for breakers. One whose record then cannot be written ends for a
/// second time, and counts twice.
async fn record_all(
    inner: &Inner,
    release: &Release,
    (before, was_over): (u64, bool),
    record: Record,
) -> Result<(), AppendError> {
    if !was_over && release.outcome().is_some() {
        inner.breakers.release_ended(release).await?;
    }
    append(inner, release, before, record).await
}

/// Records what happened, with the outline that follows from it.
pub(crate) async fn append(inner: &Inner, release: &Release, expected: u64, record: Record) -> Result<(), AppendError> {
    let outline = outline(release);
    inner.store.append(Append { release: release.id().clone(), expected, record, outline: Some(outline) }).await
}

/// What ends the wait of an open release in which nothing is going on.
pub(crate) fn rest(release: &Release) -> Option<Rest> {
    if !release.is_open() || release.calls().next().is_some() {
        return None;
    }
    if release.is_held() {
        return Some(Rest::ForBreaker(release.wake_at()));
    }
    Some(release.wake_at().map_or(Rest::ForInput, Rest::Until))
}

/// What lists show of a release; follows from its journal.
pub fn outline(release: &Release) -> Outline {
    Outline {
        release: release.id().clone(),
        state: state_name(release),
        since: release.updated_at(),
        created_at: release.created_at(),
        updated_at: release.updated_at(),
        requested_by: release.created().requested_by.name.clone(),
        headline: release.headline(),
        // One that others are still to be told of is not over.
        open: release.is_open() || release.is_untold(),
        rest: rest(release),
        review: release.has_open_review(),
        promises: release.outcome().is_none() && !release.is_dry_run() && release.plan().promises(),
        standing: standing(release).map(Box::new),
        rehearsal: release.created().rehearsal,
        dry_run: release.is_dry_run(),
    }
}

/// How an open release stands in its queues, where that is not how most do.
fn standing(release: &Release) -> Option<Standing> {
    if release.outcome().is_some() || release.is_dry_run() {
        return None;
    }
    let (created, tenant) = (release.created(), release.plan().workflow().tenant.clone());
    let (admitted, counted) = (!release.is_queued(), created.parent.is_none());
    match &created.claim {
        Some(claim) => Some(Standing { claim: claim.clone(), admitted, counted }),
        None if counted && tenant.is_none() => None,
        None => {
            let claim = Claim { group: None, tenant: tenant.unwrap_or_default(), priority: Priority::default() };
            Some(Standing { claim, admitted, counted })
        }
    }
}

async fn sleep_until(release: &Release) {
    match release.wake_at() {
        Some(at) => {
            let wait = Duration::from_millis(at.as_millis().saturating_sub(now().as_millis()));
            // Not for longer than this at once, so that a clock that is set is noticed.
            tokio::time::sleep(wait.min(CLOCK_LOOK)).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
