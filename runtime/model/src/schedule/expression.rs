//! Cron expressions: read by the crate `cron`, with the words and the rules of crontab.
//!
//! Five fields (minute, hour, day of the month, month, day of the week), six (a second before them) or seven (a
//! year after them), or a word such as `@daily`.
//!
//! **Invariant:** an expression that was read comes at least once in some year.

use std::fmt;
use std::str::FromStr;

use cron::TimeUnitSpec as _;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::field::{FIELDS, Field};
use crate::problem::{Color, Extent, Problem, Source, did_you_mean, listed, render};

/// The longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1000;

const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A cron expression.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpression {
    text: String,
    pub(super) fields: Box<cron::Schedule>,
    /// Whether a day has to match only one of the fields of days, as crontab has it where both are restricted.
    pub(super) either_day: bool,
    /// Whether it follows the time that really passes, because hour or minute has a wildcard or a step.
    pub(super) is_elapsed: bool,
}

impl CronExpression {
    /// Reads an expression. The problem's place is in `text`.
    pub fn parse(text: &str) -> Result<Self, Box<Problem>> {
        let source = Source::new("cron", text);
        let refuse_boxed = |extent: Extent, mut problem: Box<Problem>| {
            problem.place = source.place(extent);
            Err(problem)
        };
        let refuse = |extent: Extent, problem: Problem| refuse_boxed(extent, Box::new(problem));
        let whole = Extent { start: 0, end: text.len() };
        if text.len() > EXPRESSION_BYTES_MAX {
            let message = format!("{} bytes are no cron expression; {EXPRESSION_BYTES_MAX} at most", text.len());
            return refuse(Extent::default(), Problem::error("long-cron", message));
        }
        let mut given: Vec<(Extent, &str)> = text.split_whitespace().map(|it| (extent_of(text, it), it)).collect();
        if let [(extent, word)] = given.as_slice()
            && word.starts_with('@')
        {
            let Some((_, fields)) = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) else {
                let names = WORDS.map(|(name, _)| name);
                let mut problem = Problem::error("unknown-cron-word", format!("`{word}` is no word for a schedule"));
                problem.note(format!("accepted: {}", listed(names))).suggest_some(did_you_mean(word, names));
                return refuse(*extent, problem);
            };
            given = fields.split_whitespace().map(|it| (*extent, it)).collect();
        }
        let fields: &[Field] = match given.len() {
            5 => &FIELDS[1..6],
            6 => &FIELDS[..6],
            7 => &FIELDS,
            count => {
                let plural = if count == 1 { "" } else { "s" };
                let mut problem =
                    Problem::error("cron-field-count", format!("{count} field{plural} are no cron expression"));
                problem
                    .note("accepted: 5 fields (minute, hour, day of the month, month, day of the week), 6 (a second before them) or 7 (a year after them), or a word such as `@daily`")
                    .suggest("`0 22 * * 1-5` is 22:00 from Monday to Friday");
                let extent = given.get(7).map_or(whole, |(first, _)| Extent { start: first.start, end: text.len() });
                return refuse(extent, problem);
            }
        };
        let mut translated: [String; 7] = ["0", "*", "*", "*", "*", "*", "*"].map(str::to_owned);
        for (field, (extent, given)) in fields.iter().zip(&given) {
            let mut items = Vec::new();
            let mut start = extent.start;
            for item in given.split(',') {
                match field.translate(item) {
                    Ok(it) => items.push(it),
                    Err(problem) => {
                        let end = start + item.len();
                        // An empty item is marked where the next comma is.
                        return refuse_boxed(
                            Extent { start, end: end.max(start + usize::from(item.is_empty())) },
                            problem,
                        );
                    }
                }
                start += item.len() + 1;
            }
            translated[*field as usize] = items.join(",");
        }
        let of = |field: Field| fields.iter().position(|it| *it == field).map(|at| given[at].1).unwrap_or_default();
        let place = |field: Field| fields.iter().position(|it| *it == field).map(|at| given[at].0).unwrap_or(whole);
        let schedule = match cron::Schedule::from_str(&translated.join(" ")) {
            Ok(schedule) => schedule,
            Err(error) => return refuse(whole, Problem::error("bad-cron", error.to_string())),
        };
        let is_open = |it: &str| it.starts_with(['*', '?']);
        let is_elapsed = [Field::Minute, Field::Hour].iter().any(|it| of(*it).contains(['*', '/']));
        let expression = Self {
            text: given_text(text),
            fields: Box::new(schedule),
            either_day: !is_open(of(Field::DayOfMonth)) && !is_open(of(Field::DayOfWeek)),
            is_elapsed,
        };
        if expression.next_civil(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).is_none() {
            let (days, months) = (place(Field::DayOfMonth), place(Field::Month));
            let mut problem =
                Problem::error("cron-never-comes", "no year that it names has such a day, so it never comes");
            problem.labelled(format!("day {} of month {}", of(Field::DayOfMonth), of(Field::Month)));
            problem
                .note("accepted: a day that at least one of the months has (29 in February is one, every fourth year)");
            return refuse(Extent { start: days.start, end: months.end }, problem);
        }
        Ok(expression)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it follows the time that really passes; else it comes once for each time of day that it names.
    pub fn is_elapsed(&self) -> bool {
        self.is_elapsed
    }

    /// Whether the fields match a time of a calendar and a clock on the wall.
    pub(super) fn matches(&self, local: DateTime) -> bool {
        let number = |it: i8| u32::try_from(it).unwrap_or(u32::MAX);
        self.fields.years().includes(u32::try_from(local.year()).unwrap_or(0))
            && self.fields.months().includes(number(local.month()))
            && self.matches_day(local.date())
            && self.fields.hours().includes(number(local.hour()))
            && self.fields.minutes().includes(number(local.minute()))
            && self.fields.seconds().includes(number(local.second()))
    }
}

/// The text with one blank between its fields.
fn given_text(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where `part`, which is a part of it, is in `text`.
fn extent_of(text: &str, part: &str) -> Extent {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    Extent { start, end: start + part.len() }
}

/// A problem of an expression as people read it, with the expression and a caret.
pub fn render_cron(text: &str, problem: &Problem, color: Color) -> String {
    render(&Source::new("cron", text), std::slice::from_ref(problem), color)
}

impl FromStr for CronExpression {
    type Err = Box<Problem>;
    fn from_str(text: &str) -> Result<Self, Box<Problem>> {
        Self::parse(text)
    }
}

impl TryFrom<String> for CronExpression {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|problem| problem.to_string())
    }
}

impl From<CronExpression> for String {
    fn from(expression: CronExpression) -> String {
        expression.text
    }
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronExpression {}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
