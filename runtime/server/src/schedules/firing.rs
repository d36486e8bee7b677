//! Starts the releases of schedules.
//!
//! A firing is three writes: the intent (`pending`, which names the release and the salt that it will carry), the
//! release, and that it was started. Whoever finds an intent looks whether the release with that salt is there; so
//! a firing that was cut off anywhere is neither lost nor made twice.

use windlass_engine::Input;
use windlass_model::actor::Actor;
use windlass_model::check::{Copies, OnCopies, check_copies};
use windlass_model::event::{Event, Intervention};
use windlass_model::name::{ReleaseId, ScheduleName};
use windlass_model::parse::{Planned, check_parameters, validate_all};
use windlass_model::problem::{Severity, Source};
use windlass_model::schedule::{Overlap, Schedule};
use windlass_model::time::{Span, Timestamp};
use windlass_store::AppendError;

use super::book::Book;
use super::record::{Asked, Outcome, Pending, Record};
use crate::clock::now;
use crate::driver::NotTaken;
use crate::runtime::{Runtime, RuntimeError};

/// A clock that goes back by more than this was wrong before: what it covered then does not count.
const CLOCK_BACK_MAX: Span = Span::seconds(3600);

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// The next firing.
    pub(crate) at: Option<Timestamp>,
    /// Whether the end of a release may let one start.
    pub(crate) is_queued: bool,
}

impl Runtime {
    /// Makes all firings that are due, in their order, and tells what to wait for.
    pub(crate) async fn fire_due(&self) -> Result<Next, RuntimeError> {
        self.settle_all().await?;
        loop {
            while self.fire_first_due().await? {}
            // What waits has its turn after all that is due, so that the newest is known where only that counts.
            let is_queued = self.start_queued().await?;
            let at = self.book().await?.first().map(|(at, _)| *at);
            if at.is_none_or(|at| at > now()) {
                return Ok(Next { at, is_queued });
            }
        }
    }

    /// Makes the firing that comes first of all schedules, if it is due; tells whether it was.
    async fn fire_first_due(&self) -> Result<bool, RuntimeError> {
        let mut book = self.book().await?;
        match book.first().cloned() {
            Some((at, name)) if at <= now() => self.fire_first(&mut book, &name).await.map(|()| true),
            Some(_) | None => Ok(false),
        }
    }

    /// Finishes what was cut off, and forgets a time that the clock has only shown by mistake.
    async fn settle_all(&self) -> Result<(), RuntimeError> {
        let mut book = self.book().await?;
        let cut_off: Vec<Record> = book.records().filter(|it| it.pending.is_some()).cloned().collect();
        for record in cut_off {
            self.settle(&mut book, record).await?;
        }
        let wrong: Vec<Record> = book.records().filter(|it| it.covered > now() + CLOCK_BACK_MAX).cloned().collect();
        for mut record in wrong {
            tracing::warn!(schedule = %record.schedule.name, "the clock was set back");
            record.covered = now();
            book.put(&**self.store(), record).await?;
        }
        Ok(())
    }

    async fn settle(&self, book: &mut Book, mut record: Record) -> Result<(), RuntimeError> {
        let Some(pending) = record.pending.take() else { return Ok(()) };
        let journal = self.store().journal(&pending.release)?;
        let first = journal.first().and_then(|it| it.events.first());
        if matches!(first, Some(Event::ReleaseCreated(created)) if created.salt == pending.salt) {
            record.tell(pending.asked, now(), Outcome::Started { release: pending.release.clone() });
            book.put(&**self.store(), record).await?;
            // Nobody looks after it, where the store failed after all was written.
            if self.drives() && self.store().outline(&pending.release)?.is_some_and(|it| it.open) {
                self.reach(&pending.release, |_| ());
            }
            return Ok(());
        }
        self.start(book, record, pending.asked).await.map(|_| ())
    }

    /// Makes the firing that comes first, or says that it is too late for it.
    async fn fire_first(&self, book: &mut Book, name: &ScheduleName) -> Result<(), RuntimeError> {
        let Some(mut record) = book.get(name.as_str()).cloned() else { return Ok(()) };
        let now = now();
        let due = record.schedule.due(record.covered, now);
        let first = due.fire.first().copied();
        if let Some((missed, until)) = due.missed {
            // The next look finds the one after it, when it is its turn among all schedules.
            record.covered = first.map_or(until, |it| Timestamp(it.as_millis().saturating_sub(1)));
            record.tell(Asked { due: missed, by: None }, now, Outcome::Missed { until });
            return Ok(book.put(&**self.store(), record).await?);
        }
        let Some(first) = first else { return Ok(()) };
        record.covered = first;
        if record.has_fired(first) {
            return Ok(book.put(&**self.store(), record).await?);
        }
        self.consider(book, record, Asked { due: first, by: None }).await.map(|_| ())
    }

    /// Starts a release, or what is done instead while the last one runs; tells what became of it, if it is clear.
    pub(crate) async fn consider(
        &self,
        book: &mut Book,
        mut record: Record,
        asked: Asked,
    ) -> Result<Option<Outcome>, RuntimeError> {
        let running = self.running(&record)?;
        match (record.schedule.overlap, running.first()) {
            (Overlap::Allow, _) | (Overlap::Skip, None) => self.start(book, record, asked).await.map(Some),
            (Overlap::Skip, Some(running)) => {
                let outcome = Outcome::Skipped { reason: format!("{running} still runs") };
                record.tell(asked, now(), outcome.clone());
                book.put(&**self.store(), record).await?;
                Ok(Some(outcome))
            }
            (Overlap::Queue | Overlap::CancelRunning, None) if record.queued.is_empty() => {
                self.start(book, record, asked).await.map(Some)
            }
            (Overlap::Queue | Overlap::CancelRunning, _) => {
                record.queue(asked, now());
                book.put(&**self.store(), record).await?;
                Ok(None)
            }
        }
    }

    /// The releases of a schedule that have not ended, the last first.
    pub(crate) fn running(&self, record: &Record) -> Result<Vec<ReleaseId>, RuntimeError> {
        let mut running = Vec::new();
        for release in record.releases() {
            if self.store().outline(release)?.is_some_and(|it| it.open) {
                running.push(release.clone());
            }
        }
        Ok(running)
    }

    /// Starts what has waited for a release to end, where it has; tells whether something still waits.
    async fn start_queued(&self) -> Result<bool, RuntimeError> {
        let mut book = self.book().await?;
        let waiting: Vec<Record> = book.records().filter(|it| !it.queued.is_empty()).cloned().collect();
        for mut record in waiting {
            let running = self.running(&record)?;
            if running.is_empty() {
                record.releases().for_each(|it| {
                    book.canceled.remove(it);
                });
                let asked = record.queued.remove(0);
                self.start(&mut book, record, asked).await?;
            } else if record.schedule.overlap == Overlap::CancelRunning {
                for release in running {
                    if !book.canceled.contains(&release) && self.cancel_for(&record.schedule.name, &release).await {
                        book.canceled.insert(release);
                    }
                }
            }
        }
        Ok(book.records().any(|it| !it.queued.is_empty()))
    }

    /// Asks a release to end; tells whether it was asked, so that it need not be again.
    async fn cancel_for(&self, schedule: &ScheduleName, release: &ReleaseId) -> bool {
        let reason = format!("schedule `{schedule}` starts a newer release");
        let intervention = Intervention::Cancel { rollback: false };
        let asked = self.tell(release, Input::Intervene { actor: Actor::windlass(), reason, intervention }).await;
        match asked {
            Ok(()) => true,
            // It is about to end, or being rolled back: there is nothing to cancel.
            Err(RuntimeError::NotTaken(NotTaken::Rejected(error))) => {
                tracing::info!(%release, %schedule, %error, "this release is not canceled");
                true
            }
            Err(error) => {
                tracing::warn!(%release, %schedule, %error, "this release could not be canceled");
                false
            }
        }
    }

    /// Starts a release. What it changes in `record`, and what was changed in it before, is written with it.
    pub(crate) async fn start(
        &self,
        book: &mut Book,
        mut record: Record,
        asked: Asked,
    ) -> Result<Outcome, RuntimeError> {
        let (nested, parameters) = match self.plan_of(&record.schedule) {
            Ok(planned) => planned,
            Err(error) => return self.give_up(book, record, asked, error).await,
        };
        let requester = record.requester(&asked);
        let has_triggers = self.check_triggers(&nested);
        let plan = self.keep_nested(nested).await?;
        let rehearsal = record.schedule.workflow.copies.is_some();
        let may_start = match rehearsal {
            // What it shows is what others have to have shown.
            true => Ok(Vec::new()),
            false => has_triggers
                .and_then(|()| self.check_rehearsed(&plan))
                .and_then(|()| self.check_services(&plan, &parameters)),
        };
        match may_start {
            Ok(_) => {}
            Err(
                error @ (RuntimeError::NotRehearsed(_) | RuntimeError::NoRollbackTrigger(_) | RuntimeError::Service(_)),
            ) => {
                return self.give_up(book, record, asked, error.to_string()).await;
            }
            Err(error) => return Err(error),
        }
        let release = loop {
            let release = self.inner.new_id(&plan)?;
            let salt = crate::clock::random_bytes();
            record.pending = Some(Pending { asked: asked.clone(), release: release.clone(), salt });
            book.put(&**self.store(), record.clone()).await?;
            let begun = crate::admission::Asked::within(parameters.clone(), requester.clone(), None);
            let begun = crate::admission::Asked { rehearsal, ..begun };
            match self.begin_as(&plan, release.clone(), salt, begun).await {
                Ok(()) => break release,
                // Somebody else began a release with this number.
                Err(RuntimeError::Append(AppendError::Conflict { .. })) => {}
                Err(error @ RuntimeError::Admission(_)) => {
                    let outcome = Outcome::Failed { error: error.to_string() };
                    record.pending = None;
                    record.tell(asked, now(), outcome.clone());
                    book.put(&**self.store(), record).await?;
                    return Ok(outcome);
                }
                Err(error) => {
                    // Perhaps it was begun: whoever comes next looks.
                    book.is_stale = true;
                    return Err(error);
                }
            }
        };
        let outcome = Outcome::Started { release };
        record.pending = None;
        record.tell(asked, now(), outcome.clone());
        book.put(&**self.store(), record).await?;
        Ok(outcome)
    }

    /// No release can be started: that is what became of the firing.
    async fn give_up(
        &self,
        book: &mut Book,
        mut record: Record,
        asked: Asked,
        error: String,
    ) -> Result<Outcome, RuntimeError> {
        tracing::warn!(schedule = %record.schedule.name, %error, "a release could not be started");
        let outcome = Outcome::Failed { error };
        record.pending = None;
        record.tell(asked, now(), outcome.clone());
        book.put(&**self.store(), record).await?;
        Ok(outcome)
    }

    /// The plan as of now, and what a release of it begins with.
    pub(crate) fn plan_of(&self, schedule: &Schedule) -> Result<(Planned, serde_json::Value), String> {
        let source = Source::new(schedule.workflow.file.clone(), schedule.workflow.text.clone());
        let (catalog, none) = (self.catalog(), Copies::new());
        let copies = schedule.workflow.copies.as_ref();
        let catalog = OnCopies { catalog: &catalog, copies: copies.unwrap_or(&none) };
        let (nested, files) = validate_all(&source, &schedule.workflow.files, &catalog);
        let Some(nested) = nested else {
            let errors = files.iter().flat_map(|file| {
                let errors = file.problems.iter().filter(|it| it.severity == Severity::Error);
                errors.map(|it| format!("{}:{it}", file.source.name()))
            });
            return Err(errors.take(3).collect::<Vec<_>>().join("; "));
        };
        if let Some(copies) = copies {
            let problems = check_copies(&nested.plan, &nested.inner, copies);
            if !problems.is_empty() {
                return Err(problems.join("; "));
            }
        }
        let parameters = check_parameters(nested.plan.workflow(), schedule.parameters.clone());
        parameters.map(|it| (nested, it)).map_err(|problems| problems.join("; "))
    }
}
