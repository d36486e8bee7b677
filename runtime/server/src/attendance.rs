//! Who looks after a release: a driver while there is something to do, the parking while it only waits.
//!
//! A release that waits for a time or for somebody is dropped from memory; its journal is all that is left of it,
//! and an entry that says when to look again. An input or the time brings it back.
//!
//! **Invariant:** an entry in `driven` is made, and taken away, under its lock together with the parking's.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use windlass_engine::{Input, Release};
use windlass_model::name::ReleaseId;
use windlass_model::time::{Span, Timestamp};
use windlass_store::{Rest, StoreError};

use crate::clock::now;
use crate::driver::{self, Beginning, Calls, Failed, HOST_FAILED, Message, NotTaken};
use crate::parking::Parking;
use crate::runtime::{Inner, Runtime, RuntimeError, lock};
use crate::supervise::{self, PANIC_RETRY, caught};

/// A shorter wait than this is not worth leaving memory for.
const PARK_MIN: Duration = Duration::from_secs(1);

/// How long a release whose record could not be written waits before it tries again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// How many drivers are asked to take an input: one may have failed, several in a row have not by chance.
const TELL_ATTEMPTS_MAX: usize = 8;

/// Parked releases that are brought back at the same time.
pub(crate) const AWAKENING_MAX: usize = 64;

/// Who looks after a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attended {
    /// A driver.
    Driven,
    /// The parking, until this time, or until somebody says something.
    Parked(Option<Timestamp>),
    /// Nobody: it has ended, or this process does not drive releases.
    ByNobody,
}

/// Which releases are driven and which only wait.
#[derive(Default)]
pub(crate) struct Attendance {
    driven: HashMap<ReleaseId, Handle>,
    parked: Parking,
}

#[derive(Clone)]
pub(crate) struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    /// Those who watch the release subscribe to it.
    change: watch::Sender<u64>,
}

impl Handle {
    /// Whether its driver is there. One that panicked has left its handle behind.
    fn is_attended(&self) -> bool {
        !self.inbox.is_closed()
    }

    /// Whether the message could be sent.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.inbox.send(message).is_ok()
    }
}

/// What a new driver needs beside its release.
pub(crate) struct Desk {
    inbox: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    change: watch::Sender<u64>,
}

impl Attendance {
    /// Those who drive releases.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.driven.values()
    }

    /// Nobody sits at this desk any more. Whoever has taken its place stays.
    fn clear(&mut self, id: &ReleaseId, desk: &Desk) {
        if self.driven.get(id).is_some_and(|it| it.inbox.same_channel(&desk.inbox)) {
            self.driven.remove(id);
        }
    }
}

fn desk() -> (Handle, Desk) {
    let (inbox, messages) = mpsc::unbounded_channel();
    let change = watch::Sender::new(0);
    (Handle { inbox: inbox.clone(), change: change.clone() }, Desk { inbox, messages, change })
}

impl Runtime {
    /// Takes over every open release, as another process left it.
    pub(crate) fn take_over(&self) -> Result<(), RuntimeError> {
        for id in self.inner.store.open_releases()? {
            let Some(outline) = self.inner.store.outline(&id)? else { continue };
            if outline.promises
                && let Ok(release) = self.inner.replay(&id)
            {
                self.inner.services.expect(&self.inner, &release);
            }
            self.inner.admission.restore(&outline);
            match outline.rest {
                // Nothing was going on that could have been cut off.
                Some(rest) => {
                    let release = outline.release;
                    lock(&self.inner.attendance).parked.put(release.clone(), rest.until());
                    // It asks breakers and services again, and they know then that it waits.
                    if matches!(rest, Rest::ForBreaker(_)) {
                        self.reach(&release, |_| ());
                    }
                }
                None => match self.inner.replay(&outline.release) {
                    Ok(release) => self.drive(release, Beginning::TakenOver),
                    // One journal that cannot be read must not keep the others from going on.
                    Err(error) => {
                        self.cannot_go_on(&outline.release, &error);
                        if passes(&error) {
                            self.look_later(&outline.release);
                        }
                    }
                },
            }
        }
        self.admission_is_complete();
        supervise::keep("keeping time", &self.inner, keep_time);
        supervise::keep("looking after breakers", &self.inner, crate::breakers::keep);
        Ok(())
    }

    /// Says so, and takes a release out of use whose journal is damaged: it is listed as such, and nothing comes back
    /// to it again and again.
    pub(crate) fn cannot_go_on(&self, id: &ReleaseId, error: &RuntimeError) {
        tracing::error!(release = %id, %error, "this release cannot go on");
        let Some(disk) = self.inner.disk.clone().filter(|_| self.drives() && !passes(error)) else { return };
        let (runtime, id) = (self.clone(), id.clone());
        tokio::task::spawn_blocking(move || match disk.quarantine_if_damaged(&id) {
            Ok(None) => {}
            Ok(Some(what)) => {
                tracing::error!(
                    release = %id,
                    what,
                    "this release is in quarantine: all others go on; `windlass store check` lists it"
                );
                runtime.is_out_of_use(&id);
            }
            Err(error) => tracing::error!(release = %id, %error, "this release is left as it is"),
        });
    }

    /// Nobody need wait for a release that is not there, or not any more.
    fn is_out_of_use(&self, id: &ReleaseId) {
        self.inner.services.forget(id);
        let stirred = self.inner.admission.queue().leave(id, false, now());
        self.stir(stirred);
    }

    /// Goes on with a release in a task of its own.
    pub(crate) fn drive(&self, release: Release, beginning: Beginning) {
        if !self.inner.options.drive {
            return;
        }
        let (handle, desk) = desk();
        {
            let mut attendance = lock(&self.inner.attendance);
            attendance.parked.take(release.id());
            attendance.driven.insert(release.id().clone(), handle);
        }
        self.drive_from(desk, release, beginning);
    }

    fn drive_from(&self, desk: Desk, release: Release, beginning: Beginning) {
        desk.change.send_replace(release.records());
        let runtime = self.clone();
        tokio::spawn(async move { runtime.attend(release, desk, beginning).await });
    }

    /// A release is about to be created. What is said to it from the moment on at which it is durable waits until its
    /// driver is told so: whoever brought it back from its journal meanwhile would be a second one. None where nothing
    /// is driven, or somebody is there already.
    pub(crate) fn expect(&self, id: &ReleaseId) -> Option<Desk> {
        let mut attendance = lock(&self.inner.attendance);
        if !self.inner.options.drive || attendance.driven.get(id).is_some_and(Handle::is_attended) {
            return None;
        }
        let (handle, desk) = desk();
        attendance.driven.insert(id.clone(), handle);
        Some(desk)
    }

    /// What was expected was created.
    pub(crate) fn drive_expected(&self, desk: Option<Desk>, release: Release) {
        match desk {
            Some(desk) => {
                lock(&self.inner.attendance).parked.take(release.id());
                self.drive_from(desk, release, Beginning::Fresh);
            }
            None => self.drive(release, Beginning::Fresh),
        }
    }

    /// What was expected was not created, as far as anybody knows. Who has said something to it asks again.
    pub(crate) fn not_created(&self, desk: Option<Desk>, id: &ReleaseId) {
        if let Some(desk) = desk {
            lock(&self.inner.attendance).clear(id, &desk);
        }
    }

    /// Drives a release until it ends or rests.
    async fn attend(self, mut release: Release, mut desk: Desk, beginning: Beginning) {
        let id = release.id().clone();
        let mut beginning = beginning;
        loop {
            let mut calls = Calls::default();
            let (messages, sender) = (&mut desk.messages, &desk.inbox);
            let driving =
                driver::drive(&mut calls, &self.inner, &mut release, messages, sender, &desk.change, beginning);
            let driven = caught(driving).await.unwrap_or(Err(Failed::Host));
            // Before anybody else may drive it.
            calls.stop_all().await;
            match driven {
                Ok(()) if self.leave(&id, &release, &desk) => break,
                // Something came in between.
                Ok(()) => beginning = Beginning::Fresh,
                // What it was doing is dropped; from the journal it goes on when it can be written again.
                Err(Failed::Store(error)) => {
                    tracing::error!(release = %id, %error, "this release could not be recorded and waits for the store");
                    break self.drop_for_now(&id, &desk, STORE_RETRY);
                }
                Err(Failed::Host) => {
                    self.host_failed_at(&id);
                    break self.drop_for_now(&id, &desk, PANIC_RETRY);
                }
            }
        }
        lock(&self.inner.logs).remove(&id);
        drop((release, desk));
        self.inner.changed.notify_waiters();
    }

    fn host_failed_at(&self, id: &ReleaseId) {
        let again_in = PANIC_RETRY;
        tracing::error!(release = %id, ?again_in, "the host itself failed at this release; please report it");
    }

    /// Ends the driving of a release that cannot be driven now, and comes back to it later.
    fn drop_for_now(&self, id: &ReleaseId, desk: &Desk, wait: Duration) {
        let mut attendance = lock(&self.inner.attendance);
        attendance.clear(id, desk);
        attendance.parked.put(id.clone(), Some(now() + span(wait)));
        self.inner.timer.notify_one();
    }

    /// Ends the driving of a release that has ended or rests; false if somebody wants something of it after all.
    fn leave(&self, id: &ReleaseId, release: &Release, desk: &Desk) -> bool {
        let mut attendance = lock(&self.inner.attendance);
        if !desk.messages.is_empty() {
            return false;
        }
        if release.is_open() {
            let Some(rest) = driver::rest(release).filter(|_| is_unwatched(&desk.change)) else { return false };
            attendance.parked.put(id.clone(), rest.until());
            self.inner.timer.notify_one();
        }
        attendance.clear(id, desk);
        true
    }

    /// Does something with who drives a release; brings it back if it is parked or has ended.
    ///
    /// It is done under the lock, so that a driver that is about to leave sees it: one that had just been brought
    /// back for this would otherwise find nothing to do, and be gone before it is told what.
    pub(crate) fn reach<T>(&self, id: &ReleaseId, act: impl FnOnce(&Handle) -> T) -> T {
        let mut attendance = lock(&self.inner.attendance);
        attendance.parked.take(id);
        if let Some(handle) = attendance.driven.get(id).filter(|it| it.is_attended()) {
            return act(handle);
        }
        let (handle, desk) = desk();
        let done = act(&handle);
        attendance.driven.insert(id.clone(), handle);
        drop(attendance);
        let (runtime, id) = (self.clone(), id.clone());
        tokio::spawn(async move { runtime.bring_back(id, desk).await });
        done
    }

    async fn bring_back(self, id: ReleaseId, mut desk: Desk) {
        let permit = self.inner.awakening.acquire().await;
        match self.inner.replay(&id) {
            Ok(release) => {
                drop(permit);
                // After a failure of the store calls may have been cut off; after a rest there was none, and this
                // changes nothing.
                self.attend(release, desk, Beginning::TakenOver).await;
            }
            Err(error) => {
                match &error {
                    // It was to be begun, and could not be recorded.
                    RuntimeError::UnknownRelease(_) => {
                        tracing::debug!(release = %id, "there is no such release");
                        self.is_out_of_use(&id);
                    }
                    _ => self.cannot_go_on(&id, &error),
                }
                {
                    let mut attendance = lock(&self.inner.attendance);
                    attendance.clear(&id, &desk);
                    if passes(&error) {
                        attendance.parked.put(id.clone(), Some(now() + span(STORE_RETRY)));
                        self.inner.timer.notify_one();
                    }
                }
                desk.messages.close();
                while let Some(message) = desk.messages.recv().await {
                    if let Message::Input { answer, .. } = message {
                        let _ = answer.send(Err(NotTaken::NotRecorded(error.to_string())));
                    }
                }
                self.inner.changed.notify_waiters();
            }
        }
    }

    /// Looks at a release when the store may say how it stands; now it cannot.
    pub(crate) fn look_later(&self, id: &ReleaseId) {
        let mut attendance = lock(&self.inner.attendance);
        if self.inner.options.drive && !attendance.driven.contains_key(id) {
            attendance.parked.put(id.clone(), Some(now() + span(STORE_RETRY)));
            self.inner.timer.notify_one();
        }
    }

    /// Gives an input to a release; returns when it is recorded.
    pub async fn tell(&self, id: &ReleaseId, input: Input) -> Result<(), RuntimeError> {
        if self.inner.store.outline(id)?.is_none() {
            // Of one in quarantine this says why.
            self.inner.store.journal(id)?;
            return Err(RuntimeError::UnknownRelease(id.clone()));
        }
        if !self.inner.options.drive {
            let mut release = self.inner.replay(id)?;
            return Ok(driver::take_unattended(&self.inner, &mut release, input).await?.map_err(NotTaken::from)?);
        }
        for _ in 0..TELL_ATTEMPTS_MAX {
            let (answer, answered) = oneshot::channel();
            let message = Message::Input { input: input.clone(), answer };
            let sent = self.reach(id, |handle| handle.send(message));
            // A driver that failed drops what it did not look at; then another one is asked.
            if sent && let Ok(answer) = answered.await {
                return Ok(answer?);
            }
        }
        Err(NotTaken::NotRecorded(HOST_FAILED.to_owned()).into())
    }

    /// Lets a release ask its breakers again; the answer comes when it has.
    pub(crate) fn ask_again(&self, id: &ReleaseId) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        // A driver that fails drops it, and asks when it is brought back.
        self.reach(id, |handle| handle.send(Message::Ask(answer)));
        answered
    }

    /// The release as its driver has it; none when nobody drives it.
    pub(crate) async fn driven(&self, id: &ReleaseId) -> Option<Box<Release>> {
        let (answer, answered) = oneshot::channel();
        {
            // Under the lock, so that a driver that is about to leave sees it. What is sent while its receiver is
            // dropped stays in the channel for as long as anybody has a sender, and is never answered.
            let attendance = lock(&self.inner.attendance);
            attendance.driven.get(id)?.inbox.send(Message::Show(answer)).ok()?;
        }
        answered.await.ok()
    }

    /// Tells when a release changes; none when it has ended. One that somebody looks at stays in memory.
    pub(crate) fn changes(&self, id: &ReleaseId) -> Option<watch::Receiver<u64>> {
        let is_parked = {
            let attendance = lock(&self.inner.attendance);
            if let Some(handle) = attendance.driven.get(id).filter(|it| it.is_attended()) {
                return Some(handle.change.subscribe());
            }
            attendance.parked.has(id)
        };
        is_parked.then(|| self.reach(id, |handle| handle.change.subscribe()))
    }

    /// Who looks after a release.
    pub fn attends(&self, id: &ReleaseId) -> Attended {
        let attendance = lock(&self.inner.attendance);
        match (attendance.driven.contains_key(id), attendance.parked.until(id)) {
            (true, _) => Attended::Driven,
            (false, Some(until)) => Attended::Parked(until),
            (false, None) => Attended::ByNobody,
        }
    }

    /// How many open releases are driven, and how many are parked.
    pub fn attended(&self) -> (usize, usize) {
        let attendance = lock(&self.inner.attendance);
        (attendance.driven.len(), attendance.parked.len())
    }

    /// Waits until no release is open any more.
    pub async fn all_ended(&self) {
        loop {
            let changed = self.inner.changed.notified();
            {
                let attendance = lock(&self.inner.attendance);
                if attendance.driven.is_empty() && attendance.parked.is_empty() {
                    return;
                }
            }
            changed.await;
        }
    }
}

/// Whether reading a release may work later: the disk failed, and nothing that was written is damaged.
fn passes(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Store(StoreError::Io { .. } | StoreError::Database { .. }))
}

/// Whether a driver may leave a release: it rests long enough, and nobody watches it.
pub(crate) fn may_park(release: &Release, change: &watch::Sender<u64>) -> bool {
    is_unwatched(change)
        && driver::rest(release).is_some_and(|it| it.until().is_none_or(|it| it > now() + span(PARK_MIN)))
}

pub(crate) fn is_unwatched(change: &watch::Sender<u64>) -> bool {
    change.receiver_count() == 0
}

fn span(duration: Duration) -> Span {
    Span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Brings parked releases back when their time has come, the one that is due first being the first, for as long
/// as the runtime is there.
async fn keep_time(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let next = {
            let attendance = lock(&strong.attendance);
            attendance.parked.due(now()).map(Next::Due).unwrap_or_else(|| Next::At(attendance.parked.next()))
        };
        match next {
            Next::Due(release) => {
                Runtime { inner: strong }.reach(&release, |_| ());
            }
            Next::At(at) => {
                let timer = strong.timer.clone();
                drop(strong);
                let parked = timer.notified();
                match at {
                    Some(at) => {
                        let wait = at.as_millis().saturating_sub(now().as_millis());
                        // Not for longer than this at once, so that a clock that is set is noticed.
                        let wait = Duration::from_millis(wait).min(CLOCK_LOOK);
                        let _ = tokio::time::timeout(wait, parked).await;
                    }
                    None => {
                        let _ = tokio::time::timeout(CLOCK_LOOK * 60, parked).await;
                    }
                }
            }
        }
    }
}

/// How long a timer sleeps before it looks at the clock again.
pub(crate) const CLOCK_LOOK: Duration = Duration::from_secs(60);

enum Next {
    Due(ReleaseId),
    At(Option<Timestamp>),
}
