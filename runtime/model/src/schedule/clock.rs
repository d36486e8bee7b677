//! When an expression comes in a zone: what a clock on the wall shows, turned into instants.
//!
//! An expression with a fixed hour and minute comes once for each time that it names: one that a clock change
//! skips comes at the first instant after it, one that is shown twice the first time only. One with a wildcard or
//! a step in hour or minute follows the time that passes: whenever the clock shows a matching time.
//!
//! **Invariant:** the instants of an expression are in order and differ, forwards as backwards.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset};
use jiff::{SignedDuration, Timestamp};

use super::expression::CronExpression;
use super::zone::Zone;

/// More than any clock was ever set back, or forwards: the date line was moved by a day.
const CHANGE_MAX: SignedDuration = SignedDuration::from_hours(26);

impl Zone {
    /// What the clock shows.
    pub(super) fn local(&self, at: Timestamp) -> DateTime {
        self.rules.to_offset(at).to_datetime(at)
    }

    /// When the clock shows this for the first time; where it never does, the first instant after what it skips.
    pub(super) fn first(&self, local: DateTime) -> Option<Timestamp> {
        let (offset, skipped_to): (Offset, Option<Offset>) = match self.rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, None),
            AmbiguousOffset::Fold { before, .. } => (before, None),
            AmbiguousOffset::Gap { before, after } => (before, Some(after)),
        };
        let at = offset.to_timestamp(local).ok()?;
        let Some(after) = skipped_to else { return Some(at) };
        let before_the_change = after.to_timestamp(local).ok()?;
        let mut changes = self.rules.following(before_the_change).take_while(|it| it.timestamp() <= at);
        changes.find(|it| it.offset() == after).map(|it| it.timestamp()).or(Some(at))
    }
}

impl CronExpression {
    /// The first instant after `after` at which it comes.
    pub(super) fn next(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        if self.is_elapsed { self.next_elapsed(zone, after) } else { self.next_fixed(zone, after) }
    }

    /// The last instant up to `until` at which it came.
    pub(super) fn previous(&self, zone: &Zone, until: Timestamp) -> Option<Timestamp> {
        if self.is_elapsed { self.previous_elapsed(zone, until) } else { self.previous_fixed(zone, until) }
    }

    fn next_fixed(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        // What the clock showed up to now came up to now: it shows nothing later for the first time earlier.
        let mut local = self.next_civil(next_second(zone.local(after))?)?;
        loop {
            match zone.first(local) {
                Some(at) if at > after => return Some(at),
                Some(_) | None => local = self.next_civil(next_second(local)?)?,
            }
        }
    }

    fn previous_fixed(&self, zone: &Zone, until: Timestamp) -> Option<Timestamp> {
        let mut local = self.previous_civil(zone.local(until).checked_add(CHANGE_MAX).ok()?)?;
        loop {
            match zone.first(local) {
                Some(at) if at <= until => return Some(at),
                Some(_) | None => local = self.previous_civil(local.checked_sub(SECOND).ok()?)?,
            }
        }
    }

    fn next_elapsed(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let mut from = floor(after)?.checked_add(SECOND).ok()?;
        loop {
            // Between two changes of the clock it is a straight line.
            let offset = zone.rules.to_offset(from);
            let end = zone.rules.following(from).next().map(|it| it.timestamp());
            let at = offset.to_timestamp(self.next_civil(offset.to_datetime(from))?).ok()?;
            match end {
                Some(end) if at >= end => from = end,
                Some(_) | None => return Some(at),
            }
        }
    }

    fn previous_elapsed(&self, zone: &Zone, until: Timestamp) -> Option<Timestamp> {
        let mut to = floor(until)?;
        loop {
            let offset = zone.rules.to_offset(to);
            let begin = zone.rules.preceding(to.checked_add(SECOND).ok()?).next().map(|it| it.timestamp());
            // The change may be within the second that follows.
            let begin = match begin {
                Some(begin) if begin > to => zone.rules.preceding(begin).next().map(|it| it.timestamp()),
                other => other,
            };
            let at = offset.to_timestamp(self.previous_civil(offset.to_datetime(to))?).ok()?;
            match begin {
                Some(begin) if at < begin => to = floor(begin.checked_sub(SECOND).ok()?)?,
                Some(_) | None => return Some(at),
            }
        }
    }
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn floor(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_millisecond().div_euclid(1000)).ok()
}

fn next_second(local: DateTime) -> Option<DateTime> {
    local.with().subsec_nanosecond(0).build().ok()?.checked_add(SECOND).ok()
}
