//! One time, as it was written: a clock on the wall in a zone, or an instant with its offset.

use std::fmt;

use jiff::Timestamp as Instant;
use jiff::civil::Time;
use jiff::fmt::temporal::{Pieces, PiecesOffset, TimeZoneAnnotationKind};

use super::zone::Zone;
use crate::time::Timestamp;

/// A time that comes once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    text: String,
    zone: Zone,
    at: Timestamp,
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no time: {reason}")]
pub struct InvalidTime {
    /// What was given.
    pub given: String,
    /// What is wrong with it, and what would be accepted.
    pub reason: String,
}

const ACCEPTED: &str = "write `2026-12-01T22:00[Europe/Berlin]`, or with an offset `2026-12-01T22:00+01:00`, or in UTC `2026-12-01T21:00Z`";

impl Once {
    /// Reads a time. `zone` is the one it is meant in where the text names none; both may be given if they agree.
    ///
    /// A time that a clock change skips is the first instant after it; one that is shown twice is the first,
    /// unless its offset is given.
    pub fn parse(text: &str, zone: Option<&Zone>) -> Result<Self, InvalidTime> {
        let refuse = |reason: String| InvalidTime { given: text.to_owned(), reason };
        let pieces = Pieces::parse(text).map_err(|_| refuse(ACCEPTED.to_owned()))?;
        let time = pieces.time().ok_or_else(|| refuse(format!("the time of day is missing; {ACCEPTED}")))?;
        let local = pieces.date().to_datetime(Time::new(time.hour(), time.minute(), time.second(), 0).unwrap_or(time));
        let named: Option<Zone> = match pieces.time_zone_annotation().map(|it| it.kind()) {
            Some(TimeZoneAnnotationKind::Named(name)) => {
                Some(name.as_str().parse().map_err(|it: super::zone::UnknownZone| refuse(it.to_string()))?)
            }
            Some(_) => return Err(refuse(format!("an offset is no zone; {ACCEPTED}"))),
            None => None,
        };
        if let (Some(named), Some(zone)) = (&named, zone)
            && named != zone
        {
            return Err(refuse(format!("it names zone {named}, and the zone given beside it is {zone}")));
        }
        let is_utc = matches!(pieces.offset(), Some(PiecesOffset::Zulu));
        let known = named.or_else(|| zone.cloned());
        let (zone, at) = match (known, pieces.to_numeric_offset()) {
            (Some(zone), None) => {
                let at = zone.first(local).ok_or_else(|| refuse(ACCEPTED.to_owned()))?;
                (zone, at)
            }
            (zone, Some(offset)) => {
                let at = offset.to_timestamp(local).map_err(|_| refuse(ACCEPTED.to_owned()))?;
                let zone = zone.unwrap_or_else(Zone::utc);
                let found = zone.rules.to_offset(at);
                if !is_utc && zone != Zone::utc() && found != offset {
                    return Err(refuse(format!("in {zone} the offset is {found} then, not {offset}")));
                }
                (zone, at)
            }
            (None, None) => return Err(refuse(format!("it does not say in which zone; {ACCEPTED}"))),
        };
        let at = timestamp(at).ok_or_else(|| refuse("it is before 1970".to_owned()))?;
        Ok(Self { text: text.to_owned(), zone, at })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The zone it is shown in.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn timestamp(at: Instant) -> Option<Timestamp> {
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

pub(super) fn instant(at: Timestamp) -> Option<Instant> {
    i64::try_from(at.as_millis()).ok().and_then(|it| Instant::from_millisecond(it).ok())
}
