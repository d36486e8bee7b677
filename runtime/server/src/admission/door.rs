//! Between one release's driver and those who wait: asks whether it may begin, and tells when it is over.

use std::sync::Arc;

use windlass_engine::{Input, Release};
use windlass_store::AppendError;

use super::entrant;
use super::queue::Turn;
use crate::clock::now;
use crate::driver::take;
use crate::runtime::{Inner, Runtime};

/// What the driver of one release knows of admission.
pub(crate) struct Door {
    runtime: Runtime,
    was_open: bool,
}

impl Door {
    pub(crate) fn new(inner: Arc<Inner>, release: &Release) -> Self {
        let runtime = Runtime { inner };
        let was_open = release.outcome().is_none();
        let door = Self { runtime, was_open };
        // Whoever drove it before may have been cut off before it said so.
        if was_open && !release.is_queued() {
            door.take_place(release);
        } else if !was_open {
            door.give_back(release);
        }
        door
    }

    /// Asks whether one that is queued may begin, and tells what has changed; tells whether something was recorded. One
    /// that is over keeps its place for as long as calls of it are `going_on`.
    pub(crate) async fn look(&mut self, release: &mut Release, going_on: bool) -> Result<bool, AppendError> {
        let before = release.records();
        if release.is_queued() && !self.runtime.inner.is_winding_down() {
            let input = match self.turn(release) {
                Turn::Begin => Some(Input::Admitted),
                Turn::GiveWay(by) => Some(Input::Superseded { by }),
                Turn::Wait | Turn::Unknown => None,
            };
            if let Some(input) = input {
                // Never refused: it is queued.
                take(&self.runtime.inner, release, input).await?.ok();
            }
        }
        let is_open = release.outcome().is_none();
        if is_open != self.was_open && (is_open || !going_on) {
            self.was_open = is_open;
            if is_open {
                self.take_place(release);
            } else {
                self.give_back(release);
            }
        }
        Ok(release.records() != before)
    }

    fn turn(&self, release: &Release) -> Turn {
        let (turn, stirred) = {
            let mut queue = self.runtime.inner.admission.queue();
            if !queue.has(release.id()) {
                queue.restore(entrant(release), false);
            }
            let mut stirred = queue.stand(release.id(), now());
            stirred.retain(|it| it != release.id());
            (queue.turn(release.id()), stirred)
        };
        self.runtime.stir(stirred);
        turn
    }

    /// It goes on, whatever the limits: what has begun is never held.
    fn take_place(&self, release: &Release) {
        let admission = &self.runtime.inner.admission;
        if admission.concerns(release) {
            let stirred = admission.queue().resume(entrant(release), now());
            if !stirred.is_empty() {
                self.runtime.stir(stirred);
            }
        }
    }

    fn give_back(&self, release: &Release) {
        let admission = &self.runtime.inner.admission;
        if admission.concerns(release) {
            let stirred = admission.queue().leave(release.id(), !was_queued(release), now());
            self.runtime.stir(stirred);
        }
    }
}

/// Whether it ended without having begun.
fn was_queued(release: &Release) -> bool {
    release.created().claim.is_some() && !release.has_begun()
}
