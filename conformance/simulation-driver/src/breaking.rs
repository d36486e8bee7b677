//! What the ends of calls do to the breakers of their connections, read a second time.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_engine::{CallId, CallResult};
use windlass_model::event::{Event, Operation, Record};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::name::ReleaseId;
use windlass_server::components::ComponentCall;
use windlass_simulation::violation::{Violation, ensure};
use windlass_store::{DocumentKind, MemoryStore, Store as _};

use crate::shared::{Shared, State};

/// Calls that failed, with how their breakers stood before those were told.
#[derive(Default)]
pub(crate) struct Failed(BTreeMap<(ReleaseId, CallId), (StepError, Vec<Breaker>)>);

/// A breaker, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Breaker {
    key: String,
    /// When it last changed, and why.
    changed: Option<(u64, String)>,
}

/// A breaker's document.
#[derive(Deserialize)]
struct Document {
    phase: String,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    at: windlass_model::time::Timestamp,
    why: String,
}

/// Whether somebody who hears of it thinks less of the other side.
fn speaks_against_the_other_side(error: &StepError) -> bool {
    !matches!(
        error.class,
        FailureClass::NotFound
            | FailureClass::Conflict
            | FailureClass::Invalid
            | FailureClass::Rejected
            | FailureClass::Forbidden
            | FailureClass::Canceled
    )
}

impl Failed {
    /// Nobody who is alive has heard of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Shared {
    /// A call is about to answer.
    pub(crate) fn will_answer(&self, call: &ComponentCall, answer: &Result<CallResult, StepError>) {
        let Err(error) = answer else { return };
        if call.order.id.operation != Operation::Start || !speaks_against_the_other_side(error) {
            return;
        }
        let runtime = self.state().runtime.clone();
        let Some(runtime) = runtime else { return };
        let keys = self.state().keys(call);
        // One that only people open and close does nothing by itself.
        let breakers = runtime.breakers().into_iter().filter(|it| keys.contains(&it.key) && it.settings.is_some());
        let breakers: Vec<Breaker> = breakers
            .map(|it| Breaker { changed: it.history.last().map(|it| (it.at.as_millis(), it.why.clone())), key: it.key })
            .collect();
        self.state().failed.0.insert((call.release.clone(), call.order.id), (error.clone(), breakers));
    }
}

impl State {
    /// The breakers of a call's connections.
    fn keys(&self, call: &ComponentCall) -> Vec<String> {
        let Some(seen) = self.releases.get(&call.release) else { return Vec::new() };
        let connections = seen.release.pin(call.order.id.step).connections.values();
        connections.map(|it| format!("connection:link/{it}")).collect()
    }

    /// A record is durable: whatever opened a breaker opened it durably. All that open by themselves do so at the first
    /// failure.
    pub(crate) fn has_opened(&mut self, disk: &MemoryStore, id: &ReleaseId, record: &Record) -> Result<(), Violation> {
        for event in &record.events {
            if let Event::AttemptStarted { step, operation: Operation::Cancel | Operation::Rollback, .. } = event {
                // The call that failed had been stopped before it did, and nobody heard of it.
                let index = self.releases.get(id).and_then(|it| it.release.index_of(step));
                self.failed.0.retain(|(release, call), _| release != id || Some(call.step) != index);
            }
            let Event::AttemptFailed { step, error, .. } = event else { continue };
            let Some(index) = self.releases.get(id).and_then(|it| it.release.index_of(step)) else { continue };
            let of_it = |(release, call): &(ReleaseId, CallId), told: &StepError| {
                release == id && call.step == index && told == error
            };
            let call = self.failed.0.iter().find(|(key, (told, _))| of_it(key, told)).map(|(key, _)| key.clone());
            let Some((_, breakers)) = call.and_then(|it| self.failed.0.remove(&it)) else { continue };
            for before in breakers {
                let document = disk.document(DocumentKind::Breaker, &before.key).ok().flatten();
                let document = document.and_then(|it| serde_json::from_slice::<Document>(&it).ok());
                let told = document.as_ref().is_some_and(|it| {
                    let changed = it.changes.last().map(|it| (it.at.as_millis(), it.why.clone()));
                    it.phase != "closed" || changed != before.changed
                });
                ensure(told, "what opened a breaker opened it durably", || {
                    format!("{id}/{step} failed with {error}, and {} is closed on the disk", before.key)
                })?;
                self.counts.add("breaker: a failure was recorded, and it had opened");
            }
        }
        Ok(())
    }
}
