//! Schedules at work: kept in the store, fired by the process that serves.
//!
//! **Invariant:** all that changes a schedule does so with the book in hand, one after the other.
//! **Invariant:** while nothing is due nothing is done: one timer of the wall clock is set, and that is all.

mod book;
mod drills;
mod firing;
mod record;
mod view;
mod wall_timer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify};
use windlass_model::actor::Actor;
use windlass_model::schedule::Schedule;
use windlass_model::time::Timestamp;

use self::book::Book;
pub use self::drills::{DRILLED_WITHIN, DrillView};
use self::firing::Next;
use self::record::{Asked, Deleted, Record};
pub use self::view::{ChangeView, FiringTime, FiringView, ScheduleView};
use self::wall_timer::WallTimer;
use crate::clock::now;
use crate::runtime::{Inner, Runtime, RuntimeError};
use crate::supervise;

/// How long it takes until something is tried again after the store has failed.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// How many firings are told at once.
pub const TIMES_MAX: usize = 1000;

/// What cannot be done with a schedule.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such schedule.
    #[error("there is no schedule `{name}`; {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// All its times are over, or outside of its bounds.
    #[error("schedule `{name}` would never come again: {times}; name a time that is still to come")]
    NeverComes {
        /// Which.
        name: String,
        /// Its times.
        times: String,
    },
    /// Not as things are.
    #[error("{0}")]
    NotNow(String),
}

/// The schedules of an installation.
#[derive(Default)]
pub(crate) struct Schedules {
    book: Mutex<Book>,
    is_loaded: AtomicBool,
    /// Told when a schedule has changed.
    told: Arc<Notify>,
    fires: AtomicBool,
}

/// The book, as it is in the store.
struct OpenBook<'s>(MutexGuard<'s, Book>);

impl std::ops::Deref for OpenBook<'_> {
    type Target = Book;
    fn deref(&self) -> &Book {
        &self.0
    }
}

impl std::ops::DerefMut for OpenBook<'_> {
    fn deref_mut(&mut self) -> &mut Book {
        &mut self.0
    }
}

impl Runtime {
    async fn book(&self) -> Result<OpenBook<'_>, RuntimeError> {
        let schedules = &self.inner.schedules;
        let mut book = schedules.book.lock().await;
        if book.is_stale || !schedules.is_loaded.load(Ordering::Acquire) {
            *book = Book::load(&**self.store())?;
            schedules.is_loaded.store(true, Ordering::Release);
        }
        Ok(OpenBook(book))
    }

    /// Fires schedules from now on, for as long as the runtime is there. A runtime that does not drive releases
    /// fires none.
    pub fn fire_schedules(&self) {
        if self.drives() && !self.inner.schedules.fires.swap(true, Ordering::AcqRel) {
            supervise::keep("firing schedules", &self.inner, keep_firing);
        }
    }

    /// Whether this process fires schedules.
    pub fn fires_schedules(&self) -> bool {
        self.inner.schedules.fires.load(Ordering::Acquire)
    }

    /// All schedules, by name.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, RuntimeError> {
        Ok(self.book().await?.records().map(|it| self.schedule_view(it)).collect())
    }

    /// The schedules that were deleted last, the last one last.
    pub async fn deleted_schedules(&self) -> Result<Vec<ScheduleView>, RuntimeError> {
        Ok(self.book().await?.all_deleted().into_iter().map(|it| self.schedule_view(it)).collect())
    }

    /// A schedule.
    pub async fn schedule(&self, name: &str) -> Result<ScheduleView, RuntimeError> {
        let book = self.book().await?;
        Ok(self.schedule_view(known(&book, name)?))
    }

    /// The next firings of a schedule after a time.
    pub async fn schedule_times(
        &self,
        name: &str,
        after: Timestamp,
        count: usize,
    ) -> Result<Vec<FiringTime>, RuntimeError> {
        let book = self.book().await?;
        Ok(FiringTime::of(&known(&book, name)?.schedule, after, count))
    }

    /// Keeps a schedule in place of the one of its name, if there is one. Its workflow and parameters were checked.
    ///
    /// What was due before is not made up for; what waits for a release to end waits no longer.
    pub async fn set_schedule(&self, schedule: Schedule, by: Actor) -> Result<ScheduleView, RuntimeError> {
        let mut book = self.book().await?;
        let now = now();
        if schedule.next_after(now).is_none() {
            let (name, times) = (schedule.name.to_string(), schedule.times.to_string());
            return Err(ScheduleError::NeverComes { name, times }.into());
        }
        let mut record = Record::new(schedule, by.clone(), now);
        match book.get(record.schedule.name.as_str()) {
            None => {
                if let Some((before, deleted)) =
                    book.deleted(&record.schedule.name).and_then(|it| Some((it, it.deleted.clone()?)))
                {
                    record.history.clone_from(&before.history);
                    record.changes.clone_from(&before.changes);
                    let why = if deleted.reason.is_empty() { String::new() } else { format!(": {}", deleted.reason) };
                    record.changed(deleted.by, deleted.at, format!("deleted{why}"));
                }
                record.changed(by, now, "set");
            }
            // One or the other would start what nobody asked for.
            Some(before) if before.schedule.workflow.copies.is_some() != record.schedule.workflow.copies.is_some() => {
                let is = if before.schedule.workflow.copies.is_some() { "a drill" } else { "a schedule of releases" };
                let name = &record.schedule.name;
                return Err(ScheduleError::NotNow(format!(
                    "`{name}` is {is} already: take another name, or delete that one first (`windlass schedule delete {name}`)"
                ))
                .into());
            }
            Some(before) => {
                record.schedule.paused = before.schedule.paused;
                record.pending.clone_from(&before.pending);
                record.history.clone_from(&before.history);
                record.changes.clone_from(&before.changes);
                record.changed(by, now, format!("set anew; before it was {}", before.schedule.times));
            }
        }
        self.put(&mut book, record).await
    }

    /// Lets a schedule rest, or go on. What would have come meanwhile is not made up for.
    pub async fn pause_schedule(&self, name: &str, paused: bool, by: Actor) -> Result<ScheduleView, RuntimeError> {
        let mut book = self.book().await?;
        let mut record = known(&book, name)?.clone();
        if record.schedule.paused == paused {
            let state = if paused { "paused already" } else { "not paused" };
            return Err(ScheduleError::NotNow(format!("schedule `{name}` is {state}")).into());
        }
        record.schedule.paused = paused;
        record.covered = record.covered.max(now());
        record.changed(by, now(), if paused { "paused" } else { "resumed" });
        self.put(&mut book, record).await
    }

    /// Deletes a schedule: it fires no more, and who did that and why is kept. Its releases stay.
    pub async fn delete_schedule(&self, name: &str, by: Actor, reason: &str) -> Result<(), RuntimeError> {
        let mut book = self.book().await?;
        let record = known(&book, name)?.clone();
        tracing::info!(schedule = %name, by = %by.name, authenticated = %by.authenticated, "a schedule is deleted");
        let deleted = Deleted { at: now(), by, reason: reason.trim().to_owned() };
        book.delete(&**self.store(), record, deleted).await?;
        drop(book);
        self.inner.schedules.told.notify_one();
        Ok(())
    }

    /// Starts a release of a schedule now, by its rules for one that still runs.
    pub async fn run_schedule(&self, name: &str, by: Actor) -> Result<ScheduleView, RuntimeError> {
        let mut book = self.book().await?;
        let record = known(&book, name)?.clone();
        if !self.fires_schedules() {
            let reason = "no process fires schedules here: start `windlass serve` first";
            return Err(ScheduleError::NotNow(reason.to_owned()).into());
        }
        self.consider(&mut book, record, Asked { due: now(), by: Some(by) }).await?;
        let view = self.schedule_view(known(&book, name)?);
        drop(book);
        self.inner.schedules.told.notify_one();
        Ok(view)
    }

    async fn put(&self, book: &mut Book, record: Record) -> Result<ScheduleView, RuntimeError> {
        let view = self.schedule_view(&record);
        book.put(&**self.store(), record).await?;
        self.inner.schedules.told.notify_one();
        Ok(view)
    }

    fn schedule_view(&self, record: &Record) -> ScheduleView {
        ScheduleView::of(record, self.fires_schedules(), now())
    }
}

fn known<'b>(book: &'b Book, name: &str) -> Result<&'b Record, ScheduleError> {
    book.get(name).ok_or_else(|| {
        let known: Vec<String> = book.records().map(|it| format!("`{}`", it.schedule.name)).collect();
        let known =
            if known.is_empty() { "there are none".to_owned() } else { format!("there is {}", known.join(", ")) };
        ScheduleError::Unknown { name: name.to_owned(), known }
    })
}

/// Fires what is due when it is.
async fn keep_firing(inner: Weak<Inner>) {
    let timer = match WallTimer::new() {
        Ok(timer) => timer,
        Err(error) => return tracing::error!(%error, "there is no timer, so no schedule is fired"),
    };
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let (told, ended) = (strong.schedules.told.clone(), strong.changed.clone());
        // An end that comes while we look counts too.
        let ended = ended.notified();
        let fired = Runtime { inner: strong }.fire_due().await;
        match fired {
            Ok(Next { at, is_queued }) => {
                let sleep = async {
                    match at {
                        Some(at) => timer.until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    slept = sleep => if let Err(error) = slept {
                        tracing::error!(%error, "the timer of the schedules failed");
                        tokio::time::sleep(STORE_RETRY).await;
                    },
                    () = told.notified() => {}
                    () = ended, if is_queued => {}
                }
            }
            Err(error) => {
                tracing::error!(%error, "a schedule could not be fired; it is tried again");
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}
