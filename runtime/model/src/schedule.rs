//! Schedules: when releases are started by themselves, and what happens when that time was missed or when the
//! last release still runs.
//!
//! **Invariant:** nothing here reads a clock: what is due is a function of two instants.
//! **Invariant:** a schedule never comes at the same instant twice; an instant names a firing.

mod calendar;
mod clock;
mod expression;
mod field;
mod once;
mod zone;

use std::collections::BTreeMap;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::Copies;
use crate::name::ScheduleName;
use crate::problem::Problem;
use crate::time::{Span, Timestamp};

pub use self::expression::{CronExpression, EXPRESSION_BYTES_MAX, render_cron};
pub use self::once::{InvalidTime, Once};
pub use self::zone::{UnknownZone, Zone};

/// A firing that is looked at no later than this is not late.
pub const GRACE: Span = Span::seconds(60);

/// How many missed firings can be made up for.
pub const CATCH_UP_MAX: u32 = 1000;

/// How many firings are looked at to say what was missed within [`GRACE`].
const ON_TIME_MAX: usize = 1000;

/// Starts releases of a workflow at times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// When.
    pub times: Times,
    /// Of what.
    pub workflow: ScheduledWorkflow,
    /// What the releases begin with: an object.
    pub parameters: Value,
    /// What happens when firings were missed.
    pub catch_up: CatchUp,
    /// What happens when the last release still runs.
    pub overlap: Overlap,
    /// Nothing comes before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// Nothing comes from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// Whether nothing comes until somebody says so; what would have come meanwhile is not made up for.
    pub paused: bool,
}

/// A workflow file as it was when the schedule was made. Its plan is made anew for each release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledWorkflow {
    /// The file's name, for messages.
    pub file: String,
    /// The file.
    pub text: String,
    /// The workflow files that it uses, by where they are from its folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Of a drill: which connections lead to copies of those that the files name. Its releases are rehearsals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
}

/// The times of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenTimes", into = "WrittenTimes")]
pub enum Times {
    /// Again and again.
    Cron {
        /// Which times of a clock on the wall.
        expression: CronExpression,
        /// Where the wall is.
        zone: Zone,
    },
    /// Once.
    Once(Once),
}

/// How times are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrittenTimes {
    Cron { expression: String, zone: String },
    Once { at: String, zone: String },
}

/// What happens when firings were missed, because nothing ran or the clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// The last of them comes late.
    #[default]
    Latest,
    /// All of them come late, in order, but for those before the last so many.
    All(u32),
}

/// What happens when the last release still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// No release is started.
    Skip,
    /// It is started when the last one has ended.
    Queue,
    /// It is started beside it.
    Allow,
    /// The last one is canceled; when it has ended, the newest is started.
    CancelRunning,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The firings to make, in order.
    pub fire: Vec<Timestamp>,
    /// The first and the last firing that are passed over.
    pub missed: Option<(Timestamp, Timestamp)>,
}

/// Why there are no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimes {
    /// The expression is none.
    #[error("{problem}")]
    Cron {
        /// The expression.
        text: String,
        /// What is wrong, with its place in it.
        problem: Box<Problem>,
    },
    /// The zone is none.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// The time is none.
    #[error(transparent)]
    Time(#[from] InvalidTime),
    /// It is not clear which.
    #[error("a schedule has either a cron expression or one time (`at`)")]
    NotOne,
}

impl Times {
    /// Reads times as people write them: an expression or one time. Without a zone an expression is in UTC.
    pub fn parse(cron: Option<&str>, at: Option<&str>, zone: Option<&str>) -> Result<Self, InvalidTimes> {
        let zone = zone.map(str::parse::<Zone>).transpose()?;
        match (cron, at) {
            (Some(text), None) => match CronExpression::parse(text) {
                Ok(expression) => Ok(Self::Cron { expression, zone: zone.unwrap_or_else(Zone::utc) }),
                Err(problem) => Err(InvalidTimes::Cron { text: text.to_owned(), problem }),
            },
            (None, Some(at)) => Ok(Self::Once(Once::parse(at, zone.as_ref())?)),
            (Some(_), Some(_)) | (None, None) => Err(InvalidTimes::NotOne),
        }
    }

    /// The first instant after `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { expression, zone } => expression.next(zone, once::instant(after)?).and_then(once::timestamp),
            Self::Once(once) => Some(once.at()).filter(|it| *it > after),
        }
    }

    /// The last instant up to `until`.
    pub fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { expression, zone } => {
                expression.previous(zone, once::instant(until)?).and_then(once::timestamp)
            }
            Self::Once(once) => Some(once.at()).filter(|it| *it <= until),
        }
    }

    /// The zone in which they are meant and shown.
    pub fn zone(&self) -> &Zone {
        match self {
            Self::Cron { zone, .. } => zone,
            Self::Once(once) => once.zone(),
        }
    }

    /// An instant with the offset and the zone.
    pub fn show(&self, at: Timestamp) -> String {
        show(at, self.zone())
    }

    /// Whether the clock on the wall skips the time that this firing stands for.
    pub fn is_moved(&self, at: Timestamp) -> bool {
        match (self, once::instant(at)) {
            (Self::Cron { expression, zone }, Some(instant)) => !expression.matches(zone.local(instant)),
            (Self::Cron { .. } | Self::Once(_), _) => false,
        }
    }
}

/// An instant as a clock in a zone shows it, with the offset: `2026-12-01T22:00:00+01:00[Europe/Berlin]`.
pub fn show(at: Timestamp, zone: &Zone) -> String {
    once::instant(at).map_or_else(|| at.to_string(), |it| it.to_zoned(zone.rules.clone()).to_string())
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expression, zone } => write!(f, "{expression} in {zone}"),
            Self::Once(once) => write!(f, "once at {}", show(once.at(), once.zone())),
        }
    }
}

impl TryFrom<WrittenTimes> for Times {
    type Error = String;
    fn try_from(written: WrittenTimes) -> Result<Self, String> {
        let zone = |it: String| it.parse::<Zone>().map_err(|error| error.to_string());
        match written {
            WrittenTimes::Cron { expression, zone: name } => {
                Ok(Self::Cron { expression: expression.try_into()?, zone: zone(name)? })
            }
            WrittenTimes::Once { at, zone: name } => {
                Once::parse(&at, Some(&zone(name)?)).map(Self::Once).map_err(|error| error.to_string())
            }
        }
    }
}

impl From<Times> for WrittenTimes {
    fn from(times: Times) -> Self {
        match times {
            Times::Cron { expression, zone } => Self::Cron { expression: expression.into(), zone: zone.into() },
            Times::Once(once) => Self::Once { at: once.as_str().to_owned(), zone: once.zone().to_string() },
        }
    }
}

impl Schedule {
    /// The first instant after `after` at which it comes, paused or not.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = match self.starts {
            Some(starts) => after.max(Timestamp(starts.as_millis().saturating_sub(1))),
            None => after,
        };
        self.times.next_after(after).filter(|it| self.ends.is_none_or(|ends| *it < ends))
    }

    /// The last instant up to `until` at which it came, paused or not.
    pub fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        let until = match self.ends {
            Some(ends) => until.min(Timestamp(ends.as_millis().saturating_sub(1))),
            None => until,
        };
        self.times.last_until(until).filter(|it| self.starts.is_none_or(|starts| *it >= starts))
    }

    /// What is due at `now`, where everything up to `covered` was looked at.
    pub fn due(&self, covered: Timestamp, now: Timestamp) -> Due {
        let Some(first) = self.next_after(covered).filter(|it| *it <= now && !self.paused) else {
            return Due::default();
        };
        let late_from = Timestamp(now.as_millis().saturating_sub(GRACE.as_millis()));
        let late_max = match self.catch_up {
            CatchUp::None => 0,
            CatchUp::Latest => 1,
            CatchUp::All(max) => usize::try_from(max).unwrap_or(usize::MAX),
        };
        let (mut fire, mut late) = (Vec::new(), 0);
        let mut at = self.last_until(now);
        while let Some(it) = at.filter(|it| *it > covered) {
            let is_late = it < late_from;
            // What is on time stands for what was missed before it.
            let is_made_up_for = late < late_max && (self.catch_up != CatchUp::Latest || fire.is_empty());
            if (is_late && !is_made_up_for) || fire.len() >= ON_TIME_MAX + late_max {
                break;
            }
            late += usize::from(is_late);
            fire.push(it);
            at = self.last_until(Timestamp(it.as_millis().saturating_sub(1)));
        }
        fire.reverse();
        let last_missed = match fire.first() {
            Some(it) => at.filter(|_| *it > first),
            None => self.last_until(now),
        };
        Due { fire, missed: last_missed.map(|last| (first, last)) }
    }
}

/// Why a text is no way of catching up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no way of catching up: write `none`, `latest`, `all`, or `all:N` for the last N, {CATCH_UP_MAX} at most"
)]
pub struct InvalidCatchUp(pub String);

impl FromStr for CatchUp {
    type Err = InvalidCatchUp;
    fn from_str(text: &str) -> Result<Self, InvalidCatchUp> {
        match text {
            "none" => Ok(Self::None),
            "latest" => Ok(Self::Latest),
            "all" => Ok(Self::All(CATCH_UP_MAX)),
            other => {
                let count = other.strip_prefix("all:").and_then(|it| it.parse().ok());
                let count = count.filter(|it| (1..=CATCH_UP_MAX).contains(it));
                count.map(Self::All).ok_or_else(|| InvalidCatchUp(other.to_owned()))
            }
        }
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Latest => f.write_str("latest"),
            Self::All(max) => write!(f, "all:{max}"),
        }
    }
}

impl TryFrom<String> for CatchUp {
    type Error = InvalidCatchUp;
    fn try_from(text: String) -> Result<Self, InvalidCatchUp> {
        text.parse()
    }
}

impl From<CatchUp> for String {
    fn from(it: CatchUp) -> String {
        it.to_string()
    }
}

impl Overlap {
    /// Every policy.
    pub const ALL: [Overlap; 4] = [Self::Skip, Self::Queue, Self::Allow, Self::CancelRunning];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Allow => "allow",
            Self::CancelRunning => "cancel_running",
        }
    }
}

impl FromStr for Overlap {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == text.replace('-', "_")).ok_or_else(|| {
            let names = crate::problem::listed(Self::ALL.map(Self::name));
            format!("`{text}` is no way to treat a release that still runs: accepted are {names}")
        })
    }
}
