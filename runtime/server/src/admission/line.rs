//! Those that wait in one line, by class.

use std::collections::BTreeSet;

use windlass_model::concurrency::{Priority, QueueOrder};
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use super::queue::{AGEING, rank};

/// A place among those that wait: the one that was started first comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) created_at: Timestamp,
    pub(crate) release: ReleaseId,
}

impl Place {
    /// How urgent it is by now: less is more urgent.
    pub(super) fn class(&self, priority: Priority, now: Timestamp) -> i64 {
        let waited = now.since(self.created_at).0 / AGEING.0;
        priority as i64 - i64::try_from(waited).unwrap_or(i64::MAX)
    }
}

/// Those that wait in one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    classes: [BTreeSet<Place>; Priority::ALL.len()],
}

impl Line {
    pub(super) fn add(&mut self, priority: Priority, place: Place) {
        self.classes[priority as usize].insert(place);
    }

    pub(super) fn remove(&mut self, priority: Priority, place: &Place) {
        self.classes[priority as usize].remove(place);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.iter().all(BTreeSet::is_empty)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.classes.iter().flatten()
    }

    /// Who of it goes first.
    pub(super) fn head(&self, order: QueueOrder, now: Timestamp) -> Option<(Priority, &Place)> {
        let firsts = Priority::ALL.into_iter().filter_map(|(_, priority)| {
            let class = &self.classes[priority as usize];
            let first = match order {
                QueueOrder::Unordered | QueueOrder::OldestFirst => class.first(),
                QueueOrder::NewestFirst | QueueOrder::LatestOnly => class.last(),
            };
            Some((priority, first?))
        });
        firsts.min_by_key(|(priority, place)| rank(order, *priority, place, now))
    }
}
