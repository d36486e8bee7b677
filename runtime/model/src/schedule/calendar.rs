//! The times of a calendar and a clock on the wall that an expression matches, forwards and backwards; no zone yet.

use cron::TimeUnitSpec as _;
use jiff::civil::{Date, DateTime, Time};

use super::expression::CronExpression;

impl CronExpression {
    /// Whether the fields of days match; year and month are looked at elsewhere.
    pub(super) fn matches_day(&self, date: Date) -> bool {
        let of_month = self.fields.days_of_month().includes(number(date.day()));
        let of_week = self.fields.days_of_week().includes(number(date.weekday().to_sunday_one_offset()));
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }

    /// The first matching time that is not before `from`.
    pub(super) fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let from = match from.subsec_nanosecond() {
            0 => from,
            _ => from.with().subsec_nanosecond(0).build().ok()?.checked_add(jiff::Span::new().seconds(1)).ok()?,
        };
        let mut earliest = from;
        loop {
            let date = self.next_date(earliest.date())?;
            let time = if date == earliest.date() { earliest.time() } else { Time::midnight() };
            if let Some(time) = self.next_time(time) {
                return Some(date.to_datetime(time));
            }
            earliest = date.tomorrow().ok()?.to_datetime(Time::midnight());
        }
    }

    /// The last matching time that is not after `until`.
    pub(super) fn previous_civil(&self, until: DateTime) -> Option<DateTime> {
        let mut latest = until;
        loop {
            let date = self.previous_date(latest.date())?;
            let time = if date == latest.date() { latest.time() } else { Time::constant(23, 59, 59, 0) };
            if let Some(time) = self.previous_time(time) {
                return Some(date.to_datetime(time));
            }
            latest = date.yesterday().ok()?.to_datetime(Time::constant(23, 59, 59, 0));
        }
    }

    fn next_date(&self, from: Date) -> Option<Date> {
        let first_year = u32::try_from(from.year()).unwrap_or(0);
        for year in self.fields.years().range(first_year..).copied_years() {
            let first_month = if year == from.year() { from.month() } else { 1 };
            for month in self.fields.months().range(number(first_month)..).filter_map(small) {
                let first = Date::new(year, month, 1).ok()?;
                let begin = if (year, month) == (from.year(), from.month()) { from.day() } else { 1 };
                let mut days = (begin..=first.days_in_month()).filter_map(|day| Date::new(year, month, day).ok());
                if let Some(date) = days.find(|it| self.matches_day(*it)) {
                    return Some(date);
                }
            }
        }
        None
    }

    fn previous_date(&self, until: Date) -> Option<Date> {
        let last_year = u32::try_from(until.year()).ok()?;
        for year in self.fields.years().range(..=last_year).rev().copied_years() {
            let last_month = if year == until.year() { until.month() } else { 12 };
            for month in self.fields.months().range(..=number(last_month)).rev().filter_map(small) {
                let first = Date::new(year, month, 1).ok()?;
                let end = if (year, month) == (until.year(), until.month()) { until.day() } else { 31 };
                let days = 1..=first.days_in_month().min(end);
                let mut days = days.rev().filter_map(|day| Date::new(year, month, day).ok());
                if let Some(date) = days.find(|it| self.matches_day(*it)) {
                    return Some(date);
                }
            }
        }
        None
    }

    fn next_time(&self, from: Time) -> Option<Time> {
        for hour in self.fields.hours().range(number(from.hour())..).filter_map(small) {
            let minutes_from = if hour == from.hour() { from.minute() } else { 0 };
            for minute in self.fields.minutes().range(number(minutes_from)..).filter_map(small) {
                let same = (hour, minute) == (from.hour(), from.minute());
                let seconds_from = if same { from.second() } else { 0 };
                if let Some(second) = self.fields.seconds().range(number(seconds_from)..).find_map(small) {
                    return Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }

    fn previous_time(&self, until: Time) -> Option<Time> {
        for hour in self.fields.hours().range(..=number(until.hour())).rev().filter_map(small) {
            let minutes_until = if hour == until.hour() { until.minute() } else { 59 };
            for minute in self.fields.minutes().range(..=number(minutes_until)).rev().filter_map(small) {
                let same = (hour, minute) == (until.hour(), until.minute());
                let seconds_until = if same { until.second() } else { 59 };
                if let Some(second) = self.fields.seconds().range(..=number(seconds_until)).rev().find_map(small) {
                    return Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }
}

/// The numbers of a calendar are never negative.
fn number(it: i8) -> u32 {
    u32::try_from(it).unwrap_or(0)
}

fn small(it: u32) -> Option<i8> {
    i8::try_from(it).ok()
}

trait Years: Iterator<Item = u32> + Sized {
    fn copied_years(self) -> impl Iterator<Item = i16> {
        self.filter_map(|it| i16::try_from(it).ok())
    }
}

impl<I: Iterator<Item = u32>> Years for I {}
