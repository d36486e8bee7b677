//! Waiting before anything begins: for a place in a concurrency group, or among a tenant's releases.
//!
//! A release does not see who else waits. Who does tells it that it has its place, or that a newer one goes on in its
//! stead; until then nothing of it starts, and no deadline counts.
//!
//! **Invariant:** a release is queued only before it has begun, so that one that is stopped while it is has nothing
//! to stop, to roll back or to run last.

use windlass_model::event::{Event, Outcome};
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use crate::input::Rejected;
use crate::release::{Release, ReleaseState};
use crate::wait::{Wait, WaitCause};

impl Release {
    /// Whether it waits for its place, and has not begun.
    pub fn is_queued(&self) -> bool {
        self.state == ReleaseState::Queued
    }

    /// Whether it waits for its turn, or ended while it did, so that nothing of it ever began.
    pub fn never_began(&self) -> bool {
        !self.admitted
    }

    /// The newer release that goes on in its stead, if it ended for one.
    pub fn superseded_by(&self) -> Option<&ReleaseId> {
        self.superseded_by.as_ref()
    }

    pub(crate) fn admit(&mut self, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        let mut events = Vec::new();
        self.must_be_queued()?;
        self.record(&mut events, Event::Admitted, now);
        Ok(events)
    }

    pub(crate) fn supersede(&mut self, by: ReleaseId, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        let mut events = Vec::new();
        self.must_be_queued()?;
        self.record(&mut events, Event::Superseded { by }, now);
        self.end(&mut events, Outcome::Canceled, now);
        Ok(events)
    }

    fn must_be_queued(&self) -> Result<(), Rejected> {
        if self.is_queued() {
            return Ok(());
        }
        Err(Rejected::WrongState { state: self.state.name(), reason: "it does not wait for its turn" })
    }

    /// Takes in that it begins: its time counts from here.
    pub(crate) fn take_admission(&mut self, at: Timestamp) {
        self.state = ReleaseState::Running;
        self.admitted = true;
        self.begin_phases(at);
    }

    /// The wait of a release that is queued. How long the queue is it does not know.
    pub(crate) fn queue_wait(&self) -> Option<Wait> {
        let claim = self.created.claim.as_ref().filter(|_| self.is_queued())?;
        let text = match &claim.group {
            Some(group) => format!("waits for its turn in group {}", group.name),
            None => format!("waits for its turn among the releases of tenant {}", claim.tenant),
        };
        Some(Wait {
            step: None,
            cause: WaitCause::Queue,
            text,
            owner: "the releases before it".to_owned(),
            until: None,
            action: format!("cancel {} --reason …", self.id()),
            others: Vec::new(),
        })
    }
}
