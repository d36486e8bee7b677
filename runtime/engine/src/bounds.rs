//! How much one step may put into the journal of its release.
//!
//! A step may suspend as often as it has to, for weeks. What its suspensions keep is written down each time, and a
//! plugin that asks to be woken at once, again and again, would fill the disk: so the bytes are counted, not the times.

use windlass_model::event::{Event, Wake};
use windlass_model::failure::{FailureClass, RetryAdvice, StepError};

use crate::input::Rejected;
use crate::step::StepRun;

/// What the suspensions of one attempt, and what wakes it, may take of the journal.
pub const SUSPENDED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What an entry takes beside what it keeps. A step that keeps little can suspend half a million times: every ten
/// seconds for two months.
const ENTRY_BYTES: u64 = 128;

/// Parts that can be remembered of one run of a step; what an earlier run recorded does not count.
pub const CHECKPOINTS_MAX: usize = 1000;

/// The bytes that they may have together.
pub const CHECKPOINT_BYTES_MAX: usize = 16 * 1024 * 1024;

impl StepRun {
    /// Counts what an event of the step takes.
    pub(crate) fn count(&mut self, event: &Event) {
        match event {
            Event::AttemptStarted { .. } => self.suspended_bytes = 0,
            Event::Suspended { .. } | Event::Resumed { .. } => self.suspended_bytes += bytes_of(event),
            _ => {}
        }
    }

    /// Why it cannot suspend with this event; nothing if it can.
    pub(crate) fn suspended_too_much(&self, event: &Event) -> Option<StepError> {
        if self.suspended_bytes.saturating_add(bytes_of(event)) <= SUSPENDED_BYTES_MAX {
            return None;
        }
        let message = format!(
            "this attempt has suspended so often, with so much to keep, that it fills the journal ({SUSPENDED_BYTES_MAX} bytes are the most): the plugin has to wait longer, or keep less"
        );
        let error = StepError::engine(FailureClass::Internal, "suspended-too-much", message);
        Some(StepError { advice: RetryAdvice::Never, ..error })
    }

    /// Whether one more part can be remembered.
    pub(crate) fn has_room_for_checkpoint(&self, name: &str, value: &[u8]) -> Result<(), Rejected> {
        let others = self.checkpoints.iter().filter(|(it, _)| it.as_str() != name);
        let (count, bytes) =
            others.fold((0, 0), |(count, bytes), (name, it)| (count + 1, bytes + name.len() + it.len()));
        if count >= CHECKPOINTS_MAX || bytes + name.len() + value.len() > CHECKPOINT_BYTES_MAX {
            return Err(Rejected::TooManyCheckpoints);
        }
        Ok(())
    }
}

fn bytes_of(event: &Event) -> u64 {
    let kept = match event {
        Event::Suspended { state, topics, status, .. } => {
            state.len() + status.len() + topics.iter().map(String::len).sum::<usize>()
        }
        Event::Resumed { wake: Wake::Callback { topic, headers, body }, .. } => {
            topic.len() + body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
        _ => 0,
    };
    kept as u64 + ENTRY_BYTES
}
