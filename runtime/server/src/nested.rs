//! Releases inside of releases: what a step does that runs a workflow.
//!
//! For the engine it is a step like any other, whose calls are answered here instead of by a component: `start`
//! begins the inner release, or finds the one that a call before it began, and is suspended until that has ended;
//! `cancel` stops it, `rollback` rolls it back. Each can be repeated.
//!
//! The id of the inner release is in a checkpoint of the step, recorded before it begins; the inner release names the
//! step in its first event. When it ends, it says so, and is open until the outer one has recorded that.
//!
//! A step that is tried again, or run again, may begin a release each time. Each is kept as a part of that piece of work,
//! so that a rollback of the step rolls all of them back, the newest first.
//!
//! **Invariant:** whoever looks after the end sees the end: an inner release is told of only once its end is durable,
//! so an outer one that looked too early is suspended, or about to be, and is woken.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinError;
use windlass_engine::{
    Activity, CallOrder, CallResult, Callback, Input, Rejected, Release, ReleaseState, StepRun, Suspension, TopicMaker,
    WakeCondition,
};
use windlass_model::actor::Actor;
use windlass_model::digest::Digest;
use windlass_model::event::{Intervention, Operation, Outcome, Parent};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::parse::check_parameters;
use windlass_model::text::part_name;
use windlass_store::AppendError;

use crate::admission::Asked;
use crate::driver::{Message, NotTaken};
use crate::dry_run::{self, Place};
use crate::plans::KeptPlan;
use crate::runtime::{Runtime, RuntimeError, lock};

/// What a failure is called that is the store's, and not the other release's.
const UNREACHABLE: &str = "release-unreachable";

/// Which part of a piece of work the releases are that it began. In which attempts is in it, too: a line each,
/// `2 deploy-17`.
const PART: &str = "release";

/// How long to wait before an end is told again that could not be recorded; it doubles up to [`TOLD_AGAIN_MAX`].
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The longest of these waits.
const TOLD_AGAIN_MAX: Duration = Duration::from_secs(60);

/// How long a call waits before it tries again what the store could not do; it doubles up to [`TOLD_AGAIN_MAX`].
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A call of a step that runs a workflow.
pub(crate) struct NestedCall {
    pub(crate) runtime: Runtime,
    pub(crate) outer: ReleaseId,
    pub(crate) step: StepName,
    pub(crate) plan: Digest,
    pub(crate) requested_by: Actor,
    /// Whether the outer release is a rehearsal.
    pub(crate) rehearsal: bool,
    /// Whether the outer release is recorded.
    pub(crate) recorded: bool,
    /// Which step it is, and what it runs.
    pub(crate) place: Place,
    /// What the step's checkpoint says.
    pub(crate) begun: Begun,
    pub(crate) order: CallOrder,
    pub(crate) inbox: mpsc::UnboundedSender<Message>,
}

/// The releases that a step began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The oldest first.
    all: Vec<Began>,
    /// How many of them were begun before the step was last taken to its beginning.
    before: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Began {
    attempt: u32,
    release: ReleaseId,
    /// The checkpoint that names it.
    kept_as: String,
}

impl Began {
    fn read(line: &str, kept_as: &str) -> Option<Self> {
        let (attempt, release) = line.split_once(' ')?;
        Some(Self { attempt: attempt.parse().ok()?, release: release.parse().ok()?, kept_as: kept_as.to_owned() })
    }
}

impl Begun {
    pub(crate) fn of(run: &StepRun) -> Self {
        Self::read(run.all_recorded(), |name| run.checkpoints.contains_key(name))
    }

    /// Reads what a step recorded; `is_new` tells what of it was since the step was last taken to its beginning.
    fn read<'r>(recorded: impl IntoIterator<Item = (&'r str, &'r [u8])>, is_new: impl Fn(&str) -> bool) -> Self {
        let kept = recorded.into_iter().filter(|(name, _)| part_name(name) == PART);
        let began = kept.flat_map(|(name, text)| {
            let text = String::from_utf8_lossy(text);
            text.lines().filter_map(|line| Began::read(line, name)).collect::<Vec<_>>()
        });
        let mut all: Vec<_> = began.collect();
        all.sort_by_key(|it| it.attempt);
        let before = all.iter().filter(|it| !is_new(&it.kept_as)).count();
        Self { all, before }
    }

    /// The last.
    pub(crate) fn last(&self) -> Option<&ReleaseId> {
        self.all.last().map(|it| &it.release)
    }

    /// The newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &ReleaseId> {
        self.all.iter().rev().map(|it| &it.release)
    }

    /// The last since the step was last taken to its beginning.
    pub(crate) fn last_of_this_run(&self) -> Option<&ReleaseId> {
        self.of_this_run().map(|it| &it.release)
    }

    fn of_this_run(&self) -> Option<&Began> {
        self.all.get(self.before..).and_then(<[_]>::last)
    }

    /// Forgets the last of this run, which never came to be.
    fn forget(&mut self) {
        if self.all.len() > self.before {
            self.all.pop();
        }
    }

    /// What the checkpoint of this name has to say.
    fn written(&self, kept_as: &str) -> Vec<u8> {
        let own = self.all.iter().filter(|it| it.kept_as == kept_as);
        let lines: Vec<_> = own.map(|it| format!("{} {}", it.attempt, it.release)).collect();
        lines.join("\n").into_bytes()
    }
}

impl NestedCall {
    /// Makes it. What the store cannot do is no failure of the step: it would be over, and its release perhaps not.
    pub(crate) async fn make(mut self) -> Result<CallResult, StepError> {
        let dry_run = self.order.dry_run.clone();
        if let Some(problem) = dry_run.as_ref().and_then(|it| it.unknown.as_ref()) {
            return self.stand_in(format!("no release was begun: {problem}")).await;
        }
        let mut pause = TRIED_AGAIN_AFTER;
        loop {
            match self.attempt().await {
                Err(error) if error.code != UNREACHABLE && dry_run.as_ref().is_some_and(|it| it.reads_made_up) => {
                    return self.stand_in(format!("it failed, with values that are made up: {error}")).await;
                }
                Err(error) if error.code == UNREACHABLE => {
                    tracing::warn!(release = %self.outer, step = %self.step, %error, "it is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(TOLD_AGAIN_MAX);
                }
                other => return other,
            }
        }
    }

    /// Ends it in a dry run without what it would give.
    async fn stand_in(&self, note: String) -> Result<CallResult, StepError> {
        let inner = &self.runtime.inner;
        let shape = inner.shape_of_plan(self.plan)?;
        Ok(dry_run::stand_in(inner, self.place.clone(), shape, Vec::new(), 0, Some(note)).await)
    }

    async fn attempt(&mut self) -> Result<CallResult, StepError> {
        if self.order.id.operation == Operation::Rollback {
            return self.roll_back_all().await;
        }
        let inner = match self.begun.of_this_run().cloned() {
            Some(began) => self.inner(&began.release).await?.map(|it| (began, it)),
            None => None,
        };
        match (self.order.id.operation, inner) {
            (Operation::Cancel, Some((began, inner))) => self.cancel(began.release, &inner).await,
            // What is not there does not run.
            (Operation::Cancel, None) => Ok(CallResult::Done(serde_json::Value::Null)),
            (_, inner) => self.start(inner).await,
        }
    }

    /// The inner release, if it is there and is ours.
    async fn inner(&self, id: &ReleaseId) -> Result<Option<Box<Release>>, StepError> {
        self.runtime.inner.beginnings.settled(id).await;
        match self.runtime.release(id).await {
            Ok(release) => Ok(Some(release).filter(|it| it.created().parent.as_ref() == Some(&self.parent()))),
            Err(RuntimeError::UnknownRelease(_)) => Ok(None),
            // That does not pass by itself.
            Err(error @ RuntimeError::Journal { .. }) => {
                Err(StepError::host(FailureClass::Internal, "release-unreadable", error.to_string()))
            }
            Err(error) => Err(ours(&error)),
        }
    }

    fn parent(&self) -> Parent {
        Parent { release: self.outer.clone(), step: self.step.clone() }
    }

    async fn start(&mut self, inner: Option<(Began, Box<Release>)>) -> Result<CallResult, StepError> {
        let id = match inner {
            Some((began, release)) => match release.state() {
                ReleaseState::Ended { outcome: Outcome::Succeeded, outputs } => {
                    return Ok(CallResult::Done(outputs.clone()));
                }
                // One that an earlier attempt began, and that ended badly, is left as it is.
                ReleaseState::Ended { outcome, .. } if began.attempt == self.order.id.attempt => {
                    return Err(ended_badly(&release, *outcome));
                }
                ReleaseState::Ended { .. } => self.begin().await?,
                _ => began.release,
            },
            None => {
                self.begun.forget();
                self.begin().await?
            }
        };
        Ok(self.wait(&id, format!("release {id}")))
    }

    /// Begins another release.
    async fn begin(&mut self) -> Result<ReleaseId, StepError> {
        let kept = self.runtime.kept(self.plan).map_err(|it| ours(&it))?;
        let parameters = check_parameters(kept.plan().workflow(), (*self.order.input).clone())
            .map_err(|problems| StepError::host(FailureClass::Invalid, "parameters-refused", problems.join("; ")))?;
        loop {
            let release = self.runtime.inner.new_id(&kept).map_err(|it| ours(&RuntimeError::from(it)))?;
            let kept_as = format!("{PART}/{}", self.order.idempotency_key);
            self.begun.all.push(Began { attempt: self.order.id.attempt, release: release.clone(), kept_as });
            self.note().await?;
            let asked = Asked {
                rehearsal: self.rehearsal,
                dry_run: self.order.dry_run.is_some(),
                recorded: self.recorded,
                ..Asked::within(parameters.clone(), self.requested_by.clone(), Some(self.parent()))
            };
            match begin_to_the_end(&self.runtime, kept.clone(), release.clone(), asked).await {
                Ok(Ok(())) => return Ok(release),
                // Somebody else took the number.
                Ok(Err(RuntimeError::Append(AppendError::Conflict { .. }))) => self.begun.forget(),
                Ok(Err(error @ RuntimeError::Admission(_))) => {
                    return Err(StepError::host(FailureClass::Invalid, "group-refused", error.to_string()));
                }
                Ok(Err(error)) => return Err(ours(&error)),
                Err(error) => return Err(StepError::host(FailureClass::Internal, "host-panicked", error.to_string())),
            }
        }
    }

    /// Records which release it will be.
    async fn note(&self) -> Result<(), StepError> {
        let (answer, recorded) = oneshot::channel();
        let name = format!("{PART}/{}", self.order.idempotency_key);
        let value = self.begun.written(&name);
        let input = Input::CheckpointReached { call: self.order.id, name, value };
        let lost = || StepError::host(FailureClass::Canceled, "call-over", "the call is over");
        self.inbox.send(Message::Input { input, answer }).map_err(|_| lost())?;
        recorded.await.map_err(|_| lost())?.map_err(|_| lost())
    }

    async fn cancel(&self, id: ReleaseId, inner: &Release) -> Result<CallResult, StepError> {
        if inner.outcome().is_some() {
            return Ok(CallResult::Done(serde_json::Value::Null));
        }
        if matches!(inner.state(), ReleaseState::Queued | ReleaseState::Running | ReleaseState::Failing { .. }) {
            // If it refuses, it has just ended, and says so.
            let _refused = self.ask(&id, Intervention::Cancel { rollback: false }, "stopped").await?;
        }
        Ok(self.wait(&id, format!("release {id} is being stopped")))
    }

    /// Rolls back all that the step began, one after the other: each end wakes it, and it looks at all of them again.
    async fn roll_back_all(&self) -> Result<CallResult, StepError> {
        let mut partial = None;
        let mut left = self.begun.newest_first();
        while let Some(id) = left.next() {
            // As long as its outer release is kept, so is an inner one: what is not there never came to be.
            let Some(inner) = self.inner(id).await? else { continue };
            match self.roll_back(id, &inner).await {
                Ok(None) => {}
                Ok(Some(waits)) => return Ok(waits),
                // A person has said there what stays, and nothing more can come of it.
                Err(error) if error.code == code_of(Outcome::PartiallyRolledBack) => {
                    let _ = partial.get_or_insert(error);
                }
                Err(error) => return Err(and_those_before(error, left)),
            }
        }
        partial.map_or(Ok(CallResult::Done(serde_json::Value::Null)), Err)
    }

    /// Rolls one back; nothing to wait for if it is.
    async fn roll_back(&self, id: &ReleaseId, inner: &Release) -> Result<Option<CallResult>, StepError> {
        match inner.state() {
            // What was stopped before its turn came has done nothing.
            ReleaseState::Ended { .. } if inner.never_began() => return Ok(None),
            ReleaseState::Ended { outcome: Outcome::RolledBack, .. } => return Ok(None),
            ReleaseState::Ended { outcome: outcome @ Outcome::PartiallyRolledBack, .. } => {
                return Err(ended_badly(inner, *outcome));
            }
            ReleaseState::Ended { .. }
            | ReleaseState::Queued
            | ReleaseState::Running
            | ReleaseState::Failing { .. } => {
                if let Err(rejected) = self.ask(id, Intervention::Rollback, "rolled back").await? {
                    let message = format!("release {id} cannot be rolled back: {rejected}");
                    return Err(StepError::host(FailureClass::Rejected, "rollback-refused", message));
                }
            }
            ReleaseState::Canceling { .. } | ReleaseState::RollingBack { .. } | ReleaseState::Finishing { .. } => {}
        }
        Ok(Some(self.wait(id, format!("release {id} is being rolled back"))))
    }

    /// Asks something of the inner release; what it refuses is the answer.
    async fn ask(
        &self,
        id: &ReleaseId,
        intervention: Intervention,
        verb: &str,
    ) -> Result<Result<(), Rejected>, StepError> {
        let actor = Actor { name: self.outer.to_string(), groups: Vec::new(), authenticated: "release".to_owned() };
        let reason = format!("step {} of {} is {verb}", self.step, self.outer);
        match self.runtime.tell(id, Input::Intervene { actor, reason, intervention }).await {
            Ok(()) => Ok(Ok(())),
            Err(RuntimeError::NotTaken(NotTaken::Rejected(rejected))) => Ok(Err(rejected)),
            Err(error) => Err(ours(&error)),
        }
    }

    /// Waits until the inner release says that it has ended.
    fn wait(&self, id: &ReleaseId, status: String) -> CallResult {
        let topic = topic(id, self.order.id.operation, self.order.id.attempt);
        CallResult::Suspended(Suspension { state: Vec::new(), wakes: vec![WakeCondition::Callback(topic)], status })
    }
}

/// Releases that steps are about to begin in this process.
///
/// A call that begins one may be over before that is durable; whoever looks for the release then has to wait.
#[derive(Default)]
pub(crate) struct Beginnings {
    ids: Mutex<HashSet<ReleaseId>>,
    changed: Notify,
}

impl Beginnings {
    /// Waits until it is clear whether a release was begun.
    async fn settled(&self, id: &ReleaseId) {
        loop {
            let changed = self.changed.notified();
            if !lock(&self.ids).contains(id) {
                return;
            }
            changed.await;
        }
    }
}

/// Begins a release; goes on to the end of that when nobody waits for it any more.
async fn begin_to_the_end(
    runtime: &Runtime,
    kept: KeptPlan,
    id: ReleaseId,
    asked: Asked,
) -> Result<Result<(), RuntimeError>, JoinError> {
    let runtime = runtime.clone();
    lock(&runtime.inner.beginnings.ids).insert(id.clone());
    let begun = tokio::spawn(async move {
        let begun = runtime.begin_as(&kept, id.clone(), crate::clock::random_bytes(), asked).await;
        let beginnings = &runtime.inner.beginnings;
        lock(&beginnings.ids).remove(&id);
        beginnings.changed.notify_waiters();
        begun
    });
    begun.await
}

/// What an attempt waits for. It is no topic that anybody outside can call: those are signed. Not each call has its own:
/// who tells may know of an earlier one only, and one word may stand for two ends.
fn topic(inner: &ReleaseId, operation: Operation, attempt: u32) -> String {
    format!("release/{inner}/{}/{attempt}", operation.name())
}

fn ended_badly(release: &Release, outcome: Outcome) -> StepError {
    let class = if outcome == Outcome::Canceled { FailureClass::Canceled } else { FailureClass::Rejected };
    let failed = release.failures().next().map(|(step, error)| format!("{step}: {error}"));
    let why = failed.or_else(|| release.outputs_refused().map(str::to_owned));
    let why = why.map(|it| format!(": {it}")).unwrap_or_default();
    StepError::host(class, &code_of(outcome), format!("release {} was {}{why}", release.id(), passive(outcome)))
}

fn code_of(outcome: Outcome) -> String {
    format!("release-{}", outcome.word().replace('_', "-"))
}

/// `failed` as in `was not successful`.
fn passive(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Failed => "not successful",
        other => other.name(),
    }
}

/// An error of one rollback, with what has to wait for it.
fn and_those_before<'a>(mut error: StepError, left: impl Iterator<Item = &'a ReleaseId>) -> StepError {
    let left: Vec<_> = left.map(ToString::to_string).collect();
    if !left.is_empty() && error.code != UNREACHABLE {
        let names = left.join(", ");
        let _ = write!(error.message, "; begun before it, and not rolled back as long as it is not: {names}");
    }
    error
}

fn ours(error: &RuntimeError) -> StepError {
    StepError::host(FailureClass::Transient, UNREACHABLE, error.to_string())
}

/// Tells the release that `id` is a part of that it has ended, until that is recorded or is of no use.
pub(crate) async fn tell_parent(runtime: Runtime, id: ReleaseId, parent: Parent) {
    let mut pause = TOLD_AGAIN_AFTER;
    while let Err(error) = told(&runtime, &id, &parent).await {
        tracing::warn!(release = %id, outer = %parent.release, %error, "its end could not be told yet");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TOLD_AGAIN_MAX);
    }
}

async fn told(runtime: &Runtime, id: &ReleaseId, parent: &Parent) -> Result<(), RuntimeError> {
    let outer = match runtime.release(&parent.release).await {
        Err(RuntimeError::UnknownRelease(_)) => return Ok(()),
        other => other?,
    };
    let run = outer.index_of(&parent.step).map(|it| outer.step(it));
    let Some(Activity { operation, attempt, .. }) = run.and_then(|it| it.state.activity()) else {
        // Nothing of the step goes on; whatever begins next looks for itself.
        return Ok(());
    };
    let callback = Callback { topic: topic(id, *operation, *attempt), headers: Vec::new(), body: Vec::new() };
    let maker = TopicMaker { step: parent.step.clone(), operation: *operation, attempt: *attempt };
    match runtime.tell(&parent.release, Input::Callback { callback, maker }).await {
        // There is room when others of the step have been woken.
        Err(RuntimeError::NotTaken(NotTaken::Rejected(rejected))) if rejected != Rejected::TooManyCallbacks => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "release/0000000000000000000000000000000a";
    const SECOND: &str = "release/00000000000000000000000000000001";

    fn begun(recorded: &[(&'static str, &'static str)], new: &[&str]) -> Begun {
        let recorded = recorded.iter().map(|(name, text)| (*name, text.as_bytes()));
        Begun::read(recorded, |name| new.contains(&name))
    }

    fn ids<'b>(begun: impl Iterator<Item = &'b ReleaseId>) -> Vec<String> {
        begun.map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_step_began_is_known_in_the_order_of_its_attempts() {
        let recorded =
            [(SECOND, "3 deploy-9"), (FIRST, "1 deploy-4\n2 deploy-7"), ("part", "1 deploy-2"), ("other/1", "x")];
        let both = begun(&recorded, &[SECOND]);
        assert_eq!(ids(both.newest_first()), ["deploy-9", "deploy-7", "deploy-4"]);
        assert_eq!(ids(both.last_of_this_run().into_iter()), ["deploy-9"]);
        assert_eq!(String::from_utf8_lossy(&both.written(FIRST)), "1 deploy-4\n2 deploy-7");
        // What was written before each piece of work had its own, and what is none.
        assert_eq!(ids(begun(&[("release", "2 deploy-3")], &["release"]).newest_first()), ["deploy-3"]);
        assert_eq!(begun(&[(FIRST, "deploy-3\nx y\n")], &[FIRST]), Begun::default());
    }

    #[test]
    fn one_that_never_came_to_be_uncovers_none_of_an_earlier_run() {
        let mut begun = begun(&[(FIRST, "1 deploy-4"), (SECOND, "2 deploy-9")], &[SECOND]);
        begun.forget();
        assert_eq!(begun.last_of_this_run(), None, "deploy-4 is of the run before");
        begun.forget();
        assert_eq!(ids(begun.newest_first()), ["deploy-4"]);
    }
}
