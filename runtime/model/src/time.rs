//! Instants and lengths of time, as the journal and the workflow file write them.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no instant: write it as RFC 3339 does, for example `2026-03-01T12:00:00Z`")]
pub struct InvalidTimestamp(pub String);

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let instant: Option<jiff::Timestamp> = text.parse().ok();
        let millis = instant.and_then(|it| u64::try_from(it.as_millisecond()).ok());
        millis.map(Self).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = i64::try_from(self.0).ok().and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
        match instant {
            Some(instant) => write!(f, "{instant:.3}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A length of time in milliseconds, written `500ms`, `5s`, `45m`, `2h`, `1h30m`, `3d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub u64);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// Its milliseconds.
    pub fn as_millis(self) -> u64 {
        self.0
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> Self {
        std::time::Duration::from_millis(span.0)
    }
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in UNITS {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time: write a number and `ms`, `s`, `m`, `h` or `d`, for example `90s` or `1h30m`")]
pub struct InvalidSpan(pub String);

impl FromStr for Span {
    type Err = InvalidSpan;
    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let refuse = || InvalidSpan(text.to_owned());
        let mut rest = text;
        let mut total: u64 = 0;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let count: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (_, size) = UNITS.into_iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(refuse)?;
            if size >= smallest {
                return Err(refuse());
            }
            smallest = size;
            rest = &rest[letters..];
            total = count.checked_mul(size).and_then(|it| total.checked_add(it)).ok_or_else(refuse)?;
        }
        if smallest == u64::MAX {
            return Err(refuse());
        }
        Ok(Self(total))
    }
}

impl TryFrom<String> for Span {
    type Error = InvalidSpan;
    fn try_from(text: String) -> Result<Self, InvalidSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written_elsewhere() {
        for (text, millis) in
            [("2023-11-14T22:13:20Z", 1_700_000_000_000), ("2023-11-14T23:13:20.123456789+01:00", 1_700_000_000_123)]
        {
            assert_eq!(text.parse(), Ok(Timestamp(millis)), "{text}");
            let shown = Timestamp(millis).to_string();
            assert_eq!(shown.parse(), Ok(Timestamp(millis)), "{shown}");
        }
        for bad in ["", "now", "2023-11-14", "2023-11-14T22:13:20", "1969-12-31T23:59:59Z"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_read_back() {
        for (text, millis) in [("0s", 0), ("500ms", 500), ("5s", 5000), ("1h30m", 5_400_000), ("3d", 259_200_000)] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span.as_millis(), millis);
            assert_eq!(span.to_string(), text);
        }
        for bad in ["", "5", "s", "5 s", "-5s", "5m1h", "5s5s", "1.5h", "99999999999999999999d", "9999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
