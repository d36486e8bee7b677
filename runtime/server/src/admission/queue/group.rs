//! A concurrency group: its rules, and what has begun of it.

use std::collections::BTreeSet;

use windlass_model::concurrency::QueueOrder;
use windlass_model::name::ReleaseId;

use crate::admission::line::Place;

/// The rules of a group are those of its newest release.
#[derive(Debug, Clone, Default)]
pub(in crate::admission) struct GroupState {
    pub(in crate::admission) order: QueueOrder,
    pub(in crate::admission) limit: u32,
    pub(super) newest: Option<Place>,
    /// The newest that has begun, be it over or not.
    pub(super) begun: Option<Place>,
    /// Those that were let in as they came, and whose first record is not known to be durable: nobody gives way to
    /// what may never come to be.
    pub(super) beginning: BTreeSet<Place>,
    pub(in crate::admission) members: BTreeSet<ReleaseId>,
    pub(in crate::admission) running: u32,
}

impl GroupState {
    pub(super) fn has_room(&self) -> bool {
        self.running < self.limit
    }

    /// One of it has begun, and that is durable.
    pub(super) fn begins(&mut self, place: Place) {
        self.beginning.remove(&place);
        if self.begun.as_ref().is_none_or(|it| *it < place) {
            self.begun = Some(place);
        }
    }
}
