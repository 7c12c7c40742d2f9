//! Intervals: the stretches of time, in UTC, that the rows of a mart are made in, one commit each.
//!
//! They have numbers, from 1970 on. A run carries out those that are over and not done; done are all from a first one to a
//! last one, so two numbers say which (`ledger`), and nothing lies between that would be forgotten.

use std::ops::Range;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use super::header;
use crate::{EngineError, error::did_you_mean};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// From the Monday before 1970 to its first day, a Thursday.
const DAYS_OF_WEEK_BEFORE: i64 = 3;

/// How long an interval is. Weeks begin on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    Hour,
    Day,
    Week,
    Month,
}

impl Grain {
    pub const ALL: [(&'static str, Self); 4] =
        [("hour", Self::Hour), ("day", Self::Day), ("week", Self::Week), ("month", Self::Month)];

    fn of(word: &str) -> Result<Self, EngineError> {
        let known = Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, of)| *of);
        known.ok_or_else(|| {
            let hint = did_you_mean(word, Self::ALL.map(|(word, _)| word));
            let hint = hint.unwrap_or_else(|| "Write hour, day, week or month.".to_owned());
            EngineError::invalid(format!("grain = \"{word}\" is not known")).with_hint(hint)
        })
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, of)| *of == self).map_or("", |(word, _)| word)
    }

    /// The number of the interval in which a time lies, in milliseconds since 1970.
    pub fn number(self, at_ms: i64) -> i64 {
        let day = at_ms.div_euclid(DAY_MS);
        match self {
            Self::Hour => at_ms.div_euclid(HOUR_MS),
            Self::Day => day,
            Self::Week => (day + DAYS_OF_WEEK_BEFORE).div_euclid(7),
            Self::Month => match DateTime::from_timestamp_millis(at_ms) {
                Some(time) => (i64::from(time.year()) - 1970) * 12 + i64::from(time.month0()),
                None => 0,
            },
        }
    }

    /// When an interval begins, in milliseconds since 1970.
    pub fn begin_ms(self, number: i64) -> i64 {
        match self {
            Self::Hour => number * HOUR_MS,
            Self::Day => number * DAY_MS,
            Self::Week => (number * 7 - DAYS_OF_WEEK_BEFORE) * DAY_MS,
            Self::Month => {
                let year = i32::try_from(1970 + number.div_euclid(12)).unwrap_or(i32::MAX);
                let month = u32::try_from(number.rem_euclid(12)).unwrap_or_default() + 1;
                let day = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or_default();
                day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
            }
        }
    }
}

/// `interval = { ... }` of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intervals {
    /// Where it stands.
    pub line: usize,
    /// Which the query compares with `$start` and `$end`.
    pub column: String,
    pub grain: Grain,
    /// Intervals before the newest that run again when inputs changed.
    pub lookback: u32,
    /// The number of the first one.
    pub start: i64,
}

impl Intervals {
    /// Checks what is written.
    pub fn of(written: &header::Interval, line: usize) -> Result<Self, EngineError> {
        let grain = Grain::of(&written.grain)?;
        let text = match &written.start {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let at_ms = time_ms(&text).ok_or_else(|| {
            let error = EngineError::invalid(format!("start = \"{text}\" is not a time in UTC"));
            error.with_hint("Write it as \"2026-01-01\" or \"2026-01-01 06:00\".")
        })?;
        if at_ms < 0 {
            return Err(EngineError::unsupported("an interval before 1970 is not supported"));
        }
        let start = grain.number(at_ms);
        if grain.begin_ms(start) != at_ms {
            let word = grain.word();
            let error = EngineError::invalid(format!("start = \"{text}\" is not the beginning of a {word}"));
            return Err(error.with_hint(format!("Its {word} begins with {}.", time_text(grain.begin_ms(start)))));
        }
        Ok(Self { line, column: written.column.clone(), grain, lookback: written.lookback, start })
    }

    /// What has an effect on rows.
    pub fn text(&self) -> String {
        let Self { column, grain, lookback, start, .. } = self;
        format!("{column} {} {lookback} {start}", grain.word())
    }

    /// For people.
    pub fn told(&self) -> String {
        let start = time_text(self.grain.begin_ms(self.start));
        format!("by {} of {}, from {start} on, {} again", self.grain.word(), self.column, self.lookback)
    }

    /// One for each number.
    pub fn each(&self, numbers: Range<i64>) -> impl DoubleEndedIterator<Item = Interval> + use<> {
        let grain = self.grain;
        numbers.map(move |number| Interval { grain, begin: number, end: number + 1 })
    }

    /// One of no time at all: it makes a table without rows, and the query can be looked at with it.
    pub fn empty(&self) -> Interval {
        Interval { grain: self.grain, begin: self.start, end: self.start }
    }

    /// The first that is not over at this time.
    pub fn current(&self, now_ms: i64) -> i64 {
        self.grain.number(now_ms)
    }
}

/// From the beginning of one to that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    grain: Grain,
    pub begin: i64,
    pub end: i64,
}

impl Interval {
    /// `$start`: the first moment.
    pub fn start_text(&self) -> String {
        time_text(self.grain.begin_ms(self.begin))
    }

    /// `$end`: the first moment behind it.
    pub fn end_text(&self) -> String {
        time_text(self.grain.begin_ms(self.end))
    }

    /// The condition that holds for a column of times in it.
    pub fn contains(&self, column: &str) -> String {
        format!("{column} >= TIMESTAMP '{}' AND {column} < TIMESTAMP '{}'", self.start_text(), self.end_text())
    }

    /// For people.
    pub fn name(&self) -> String {
        let start = self.start_text();
        match self.grain {
            Grain::Hour => start[..16].to_owned(),
            Grain::Day | Grain::Week => start[..10].to_owned(),
            Grain::Month => start[..7].to_owned(),
        }
    }

    /// Whether it has time in common with another stretch of it, in milliseconds since 1970.
    pub fn overlaps(&self, from_ms: i64, to_ms: i64) -> bool {
        self.grain.begin_ms(self.begin) < to_ms && self.grain.begin_ms(self.end) > from_ms
    }
}

/// `2026-01-01 00:00:00`
fn time_text(at_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Milliseconds since 1970, of a date or a time in UTC as people write them.
pub fn time_ms(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('Z');
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN));
    time.or_else(day).map(|time| time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        time_ms(text).unwrap()
    }

    #[test]
    fn a_time_lies_in_the_interval_that_begins_before_it() {
        for (grain, time, begin) in [
            (Grain::Hour, "2026-03-29 01:59:59", "2026-03-29 01:00"),
            (Grain::Day, "2024-02-29 23:59", "2024-02-29"),
            (Grain::Week, "2026-01-04 23:59", "2025-12-29"),
            (Grain::Week, "2026-01-05", "2026-01-05"),
            (Grain::Week, "1970-01-01", "1969-12-29"),
            (Grain::Month, "2024-12-31 23:00", "2024-12-01"),
            (Grain::Month, "1969-12-31", "1969-12-01"),
        ] {
            let number = grain.number(at(time));
            assert_eq!(time_text(grain.begin_ms(number)), time_text(at(begin)), "{grain:?} {time}");
            assert_eq!(grain.number(grain.begin_ms(number)), number);
            assert_eq!(grain.number(grain.begin_ms(number + 1) - 1), number);
        }
    }

    #[test]
    fn what_is_written_is_checked() {
        let of = |grain: &str, start: toml::Value| {
            let column = "t".to_owned();
            let written = header::Interval { column, grain: grain.to_owned(), lookback: 0, start };
            Intervals::of(&written, 1)
        };
        let text = |text: &str| toml::Value::String(text.to_owned());
        assert_eq!(of("month", text("2026-01-01")).unwrap().start, 56 * 12);
        let date = toml::Value::Datetime("2026-01-05".parse().unwrap());
        assert_eq!(of("week", date).unwrap().empty().start_text(), "2026-01-05 00:00:00");
        let fault = |grain: &str, start: &str| of(grain, text(start)).unwrap_err().to_string();
        assert_eq!(
            fault("week", "2026-01-01"),
            "start = \"2026-01-01\" is not the beginning of a week\nHINT: Its week begins with 2025-12-29 00:00:00."
        );
        assert!(fault("days", "2026-01-01").ends_with("HINT: Did you mean \"day\"?"));
        assert!(fault("day", "2026-01-01 00:00+02:00").contains("is not a time in UTC"));
        assert!(fault("day", "1960-01-01").contains("before 1970"));
    }

    #[test]
    fn an_interval_has_a_beginning_an_end_and_a_name() {
        let intervals = Intervals { line: 1, column: "t".into(), grain: Grain::Hour, lookback: 0, start: 5 };
        let interval = intervals.each(5..6).next().unwrap();
        assert_eq!(
            (interval.name().as_str(), interval.end_text().as_str()),
            ("1970-01-01 05:00", "1970-01-01 06:00:00")
        );
        assert!(interval.overlaps(at("1970-01-01"), at("1970-01-01 05:01")));
        assert!(!interval.overlaps(at("1970-01-01 06:00"), at("1970-01-02")));
        assert!(!interval.overlaps(at("1970-01-01"), at("1970-01-01 05:00")));
    }
}
