//! Releases that wait and cost nothing but this: which, and until when.
//!
//! **Invariant:** a release is parked or driven, never both, and never neither while it is open.

use std::collections::{BTreeSet, HashMap};

use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

/// The open releases that nobody drives because there is nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    timers: BTreeSet<(Timestamp, ReleaseId)>,
    /// None waits for somebody to say something.
    until: HashMap<ReleaseId, Option<Timestamp>>,
}

impl Parking {
    pub(crate) fn put(&mut self, release: ReleaseId, until: Option<Timestamp>) {
        self.take(&release);
        if let Some(until) = until {
            self.timers.insert((until, release.clone()));
        }
        self.until.insert(release, until);
    }

    /// Takes a release out; tells whether it was there.
    pub(crate) fn take(&mut self, release: &ReleaseId) -> bool {
        let until = self.until.remove(release);
        if let Some(Some(until)) = until {
            self.timers.remove(&(until, release.clone()));
        }
        until.is_some()
    }

    pub(crate) fn has(&self, release: &ReleaseId) -> bool {
        self.until.contains_key(release)
    }

    /// Until when a release is parked, if it is; none within is until somebody says something.
    pub(crate) fn until(&self, release: &ReleaseId) -> Option<Option<Timestamp>> {
        self.until.get(release).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The release that is due first, if one is due at `now`; it stays where it is.
    pub(crate) fn due(&self, now: Timestamp) -> Option<ReleaseId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|(_, release)| release.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ReleaseId {
        ReleaseId::new("w".parse().expect("a name"), number)
    }

    #[test]
    fn the_first_due_comes_first_and_those_without_a_time_never() {
        let mut parking = Parking::default();
        assert!(parking.is_empty() && parking.next().is_none());
        parking.put(id(1), Some(Timestamp(30)));
        parking.put(id(2), Some(Timestamp(20)));
        parking.put(id(3), None);
        assert_eq!((parking.next(), parking.due(Timestamp(19))), (Some(Timestamp(20)), None));
        assert_eq!(parking.due(Timestamp(40)), Some(id(2)));
        assert!(parking.take(&id(2)) && !parking.take(&id(2)));
        assert_eq!(parking.due(Timestamp(40)), Some(id(1)));
        // Parked again with another time: the first one is forgotten.
        parking.put(id(1), Some(Timestamp(50)));
        assert_eq!((parking.next(), parking.due(Timestamp(40))), (Some(Timestamp(50)), None));
        parking.put(id(1), None);
        assert_eq!(parking.next(), None);
        assert!(parking.has(&id(1)) && parking.has(&id(3)) && !parking.is_empty());
    }
}
