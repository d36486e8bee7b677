//! The review of a rollback: open from its beginning until somebody has said what its cause was.

use windlass_model::actor::Actor;
use windlass_model::cause::{CAUSE_TEXT_BYTES_MAX, RollbackCause};
use windlass_model::event::Event;
use windlass_model::time::Timestamp;

use crate::input::Rejected;
use crate::release::Release;

/// A cause that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenCause {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// The cause.
    pub cause: RollbackCause,
}

impl Release {
    /// The cause of its rollback, once somebody has given it; the last one that was given.
    pub fn cause(&self) -> Option<&GivenCause> {
        self.cause.as_ref()
    }

    /// Whether it was rolled back, and nobody has said why it had to be. A rehearsal has to be.
    pub fn has_open_review(&self) -> bool {
        self.rollback().is_some() && !self.created.rehearsal && self.cause.is_none()
    }

    pub(crate) fn give_cause(
        &mut self,
        actor: Actor,
        cause: RollbackCause,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        if self.rollback().is_none() || self.created.rehearsal {
            return Err(Rejected::NoReview);
        }
        let texts = [Some(&cause.cause), cause.risk.as_ref(), cause.runbook.as_ref()];
        let is_good = |it: &String| !it.trim().is_empty() && it.len() <= CAUSE_TEXT_BYTES_MAX;
        if !texts.into_iter().flatten().all(is_good) {
            return Err(Rejected::NoCause);
        }
        let mut events = Vec::new();
        self.record(&mut events, Event::CauseGiven { actor, cause: Box::new(cause) }, now);
        Ok(events)
    }
}
