//! One field of a cron expression: what may stand in it, and what is wrong with what does.
//!
//! Each comma-separated item is given to the crate `cron` by itself, which decides; what is here says which item
//! it was, why, and what would be accepted. Days of the week are counted as crontab counts them (0 and 7 are
//! Sunday); the crate counts them from 1, so they are translated.

use std::str::FromStr;

use crate::problem::{Problem, did_you_mean};

/// Which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
    Year,
}

/// In the order of the crate `cron`.
pub(super) const FIELDS: [Field; 7] =
    [Field::Second, Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek, Field::Year];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const LONG_DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
            Self::Year => "year",
        }
    }

    /// The numbers that may stand in it.
    fn range(self) -> (u32, u32) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
            Self::Year => (1970, 2100),
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &DAYS,
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth | Self::Year => &[],
        }
    }

    /// What would be accepted.
    pub(super) fn accepted(self) -> String {
        let (first, last) = self.range();
        let numbers = match self {
            Self::Month => format!("{first} to {last} or `jan` to `dec`"),
            Self::DayOfWeek => format!("{first} to {last} (0 and 7 are Sunday) or `sun` to `sat`"),
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth | Self::Year => format!("{first} to {last}"),
        };
        format!("{} is {numbers}, `*`, a list `A,B`, a range `A-B` or a step `*/N`, `A-B/N`", self.name())
    }

    /// How the crate writes an item of this field; the problem, without a place, if it is none.
    pub(super) fn translate(self, item: &str) -> Result<String, Box<Problem>> {
        let translated = match self {
            Self::DayOfWeek => days_of_week(item).ok_or(()),
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth | Self::Month | Self::Year => {
                Ok(item.to_owned())
            }
        };
        match translated {
            Ok(it) if self.is_accepted(&it) => Ok(it),
            Ok(_) | Err(()) => Err(Box::new(self.refusal(item))),
        }
    }

    /// Whether the crate takes this in this field.
    fn is_accepted(self, item: &str) -> bool {
        let text: Vec<&str> = FIELDS.iter().map(|it| if *it == self { item } else { "*" }).collect();
        // A blank would make two fields of it.
        !item.is_empty() && !item.contains(char::is_whitespace) && cron::Schedule::from_str(&text.join(" ")).is_ok()
    }

    fn refusal(self, item: &str) -> Problem {
        let name = self.name();
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        let (first, last) = self.range();
        let number = |it: &str| it.parse::<u32>().ok();
        let value = |it: &str| {
            let known = self.names().iter().position(|name| it.to_ascii_lowercase().starts_with(name));
            number(it).or_else(|| known.and_then(|at| u32::try_from(at).ok()))
        };
        let ends: Vec<&str> = base.split('-').collect();
        let outside = ends.iter().find(|it| number(it).is_some_and(|it| it < first || it > last));
        let message = if item.is_empty() {
            format!("the {name} has an empty item in its list")
        } else if let Some(outside) = outside {
            format!("`{outside}` is no {name}: it is from {first} to {last}")
        } else if step.is_some_and(|it| number(it) == Some(0)) {
            format!("a step of 0 in the {name} never comes on")
        } else if let Some(step) = step.and_then(number).filter(|it| *it > last) {
            format!("a step of {step} is more than the {name} has")
        } else if let [from, to] = ends.as_slice()
            && let (Some(first_value), Some(last_value)) = (value(from), value(to))
            && first_value > last_value
        {
            format!(
                "the range `{base}` of the {name} ends before it begins; write it as two: `{from}-{last},{first}-{to}`"
            )
        } else if matches!(self, Self::DayOfMonth | Self::DayOfWeek) && item.contains(['L', 'W', '#']) {
            format!("`{item}` is no {name}: `L`, `W` and `#` are of other crons and are not known here")
        } else if self != Self::DayOfMonth && self != Self::DayOfWeek && item.contains('?') {
            format!("`?` stands for a day of the month or of the week, not for the {name}")
        } else {
            format!("`{item}` is no {name}")
        };
        let mut problem = Problem::error("bad-cron-field", message);
        problem.labelled(format!("in the field of the {name}")).note(format!("accepted: the {}", self.accepted()));
        problem.suggest_some(did_you_mean(base, self.names().iter().copied()));
        problem
    }
}

/// 0 to 7, of a number or a name.
fn day_of_week(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let named = DAYS.iter().position(|it| *it == lower).or_else(|| LONG_DAYS.iter().position(|it| *it == lower));
    match named {
        Some(at) => u32::try_from(at).ok(),
        None if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) => {
            text.parse().ok().filter(|it| *it <= 7)
        }
        None => None,
    }
}

/// An item as the numbers of the crate, which counts from 1, Sunday. `*` and `?` stay.
fn days_of_week(item: &str) -> Option<String> {
    let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
    if matches!(base, "*" | "?") {
        return Some(item.to_owned());
    }
    let (from, to) = match (base.split_once('-'), step) {
        (Some((from, to)), _) => (day_of_week(from)?, day_of_week(to)?),
        (None, None) => (day_of_week(base)?, day_of_week(base)?),
        // `1/2` is every other day from Monday on.
        (None, Some(_)) => (day_of_week(base)?, 6),
    };
    // `fri-sun` ends with the Sunday after it.
    let to = if to == 0 && from > 0 { 7 } else { to };
    let step = match step {
        Some(step) => step.parse::<usize>().ok().filter(|it| (1..=7).contains(it))?,
        None => 1,
    };
    let days: Vec<String> = (from..=to).step_by(step).map(|it| (it % 7 + 1).to_string()).collect();
    (!days.is_empty()).then(|| days.join(","))
}
