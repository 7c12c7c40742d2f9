//! When a mart is run by itself: at times of a clock on the wall, every so often, when what it reads changed.
//!
//! ```toml
//! refresh = { cron = "15 6 * * *", timezone = "Europe/Berlin" }   # at those times there, also when clocks change
//! refresh = { every = "1h" }                                       # at whole hours of UTC
//! refresh = { on_commit = true, at_most_every = "10min" }          # when a table that it reads has another version
//! refresh = { target_lag = "1h" }                                  # so that its rows are never farther behind what it reads
//! ```
//! A time at which a mart is to run is a tick. Ticks follow from the definition alone, so that all servers of a lake mean
//! the same ones, and none is lost with a process.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use super::{duration, header, lag::Lag};
use crate::{EngineError, error::did_you_mean};

/// How long after a run that a commit caused the next one may begin, unless the definition says.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// When a mart is run by itself.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    times: Option<Times>,
    /// When what it reads changed; a run begins no sooner than this after the one before.
    pub on_commit: Option<Duration>,
    /// How far its rows may be behind what it reads; then there is nothing else.
    pub lag: Option<Lag>,
    /// Where it stands in the definition.
    pub line: usize,
    /// Whether the last tick is made up for that passed while no server was there.
    pub catches_up: bool,
    /// Whether all that were missed are.
    all: bool,
}

#[derive(Debug, Clone)]
enum Times {
    Every(Duration),
    Cron { pattern: String, cron: Box<Cron>, zone: Tz },
}

impl Refresh {
    /// Checks what is written.
    pub fn of(written: header::Refresh) -> Result<Self, EngineError> {
        let header::Refresh { every, cron, timezone, on_commit, at_most_every, catch_up, target_lag } = written;
        let lag = target_lag.as_deref().map(Lag::of).transpose()?;
        let others = [("every", every.is_some()), ("cron", cron.is_some()), ("on_commit", on_commit)];
        if let Some((other, _)) = others.into_iter().find(|(_, given)| *given && lag.is_some()) {
            let hint = "Write one of them: with target_lag it runs when what it reads changed, early enough.";
            return Err(invalid(&format!("refresh has both target_lag and {other}"), hint));
        }
        let times = match (every, cron) {
            (Some(_), Some(_)) => {
                return Err(invalid("refresh has both every and cron", "Write one of them."));
            }
            (Some(every), None) if every.0.is_zero() => {
                return Err(invalid("refresh.every is no time at all", "Write 30s, 10min, 2h or 7d."));
            }
            (Some(every), None) => Some(Times::Every(every.0)),
            (None, Some(pattern)) => Some(Times::cron(pattern, timezone.as_deref())?),
            (None, None) => None,
        };
        if timezone.is_some() && !matches!(times, Some(Times::Cron { .. })) {
            return Err(invalid("refresh.timezone is there without cron", "Leave it out: every counts in UTC."));
        }
        if at_most_every.is_some() && !on_commit {
            return Err(invalid("refresh.at_most_every is there without on_commit", "Write on_commit = true, too."));
        }
        if times.is_none() && !on_commit && lag.is_none() {
            return Err(invalid("refresh says nothing", "Write every, cron, on_commit = true or target_lag."));
        }
        let catches_up = match catch_up.as_deref() {
            None | Some("latest" | "all") => true,
            Some("none") => false,
            Some(word) => {
                return Err(invalid(&format!("catch_up = \"{word}\" is not known"), "Write latest, all or none."));
            }
        };
        if catch_up.is_some() && times.is_none() {
            let hint = "Leave it out: what changed while no server was there is seen by the next one.";
            return Err(invalid("refresh.catch_up is there without every or cron", hint));
        }
        let on_commit = on_commit.then(|| at_most_every.map_or(AT_MOST_EVERY, |span| span.0));
        Ok(Self { times, on_commit, lag, line: 1, catches_up, all: catch_up.as_deref() == Some("all") })
    }

    /// The same, which stands at a line of the definition.
    pub fn at(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// All times that were missed can only be made up for where each has rows of its own: a run carries out every interval
    /// that is over and not done, however many that are.
    pub fn fits(self, has_intervals: bool) -> Result<Self, EngineError> {
        if self.all && !has_intervals {
            let hint = "Write latest: a run reads the newest versions, so more of them would publish the same rows.";
            return Err(invalid("catch_up = \"all\" is for marts with interval", hint));
        }
        Ok(self)
    }

    /// The last tick that is not after `now_ms`. Both are milliseconds since 1970, UTC.
    pub fn last_tick(&self, now_ms: i64) -> Option<i64> {
        match self.times.as_ref()? {
            Times::Every(every) => {
                let every = i64::try_from(every.as_millis()).ok()?;
                Some(now_ms.div_euclid(every).checked_mul(every)?)
            }
            Times::Cron { cron, zone, .. } => {
                let last = cron.find_previous_occurrence(&at(*zone, now_ms)?, true).ok()?;
                Some(last.timestamp_millis())
            }
        }
    }

    /// The first tick after `now_ms`.
    pub fn next_tick(&self, now_ms: i64) -> Option<i64> {
        match self.times.as_ref()? {
            Times::Every(every) => {
                let every = i64::try_from(every.as_millis()).ok()?;
                now_ms.div_euclid(every).checked_add(1)?.checked_mul(every)
            }
            Times::Cron { cron, zone, .. } => {
                let next = cron.find_next_occurrence(&at(*zone, now_ms)?, false).ok()?;
                Some(next.timestamp_millis())
            }
        }
    }
}

impl Times {
    fn cron(pattern: String, timezone: Option<&str>) -> Result<Self, EngineError> {
        let name = timezone.unwrap_or("UTC");
        let zone: Tz = name.parse().map_err(|_| {
            let hint = did_you_mean(name, TZ_VARIANTS.iter().map(|zone| zone.name()));
            let hint = hint.unwrap_or_else(|| "Write a name such as Europe/Berlin, Asia/Tokyo or UTC.".to_owned());
            invalid(&format!("timezone = \"{name}\" is not known"), &hint)
        })?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let hint = "Its fields are minute, hour, day of month, month and day of week: 15 6 * * MON-FRI.";
        let cron = parser.parse(&pattern).map_err(|error| {
            invalid(&format!("cron = \"{pattern}\" is not understood"), hint).with_detail(error.to_string())
        })?;
        let begin = at(zone, 0).and_then(|begin| cron.find_next_occurrence(&begin, true).ok());
        if begin.is_none() {
            return Err(invalid(&format!("cron = \"{pattern}\" is a time that never comes"), hint));
        }
        Ok(Self::Cron { pattern, cron: Box::new(cron), zone })
    }
}

fn at(zone: Tz, ms: i64) -> Option<DateTime<Tz>> {
    zone.timestamp_millis_opt(ms).single()
}

fn invalid(message: &str, hint: &str) -> EngineError {
    EngineError::invalid(message.to_owned()).with_hint(hint.to_owned())
}

/// As people are told of it.
impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lag) = self.lag {
            return write!(f, "{lag}");
        }
        match &self.times {
            Some(Times::Every(every)) => write!(f, "every {}", duration::text(*every))?,
            Some(Times::Cron { pattern, zone, .. }) => write!(f, "cron {pattern} {zone}")?,
            None => {}
        }
        match self.on_commit {
            Some(most) => {
                let and = if self.times.is_some() { ", " } else { "" };
                write!(f, "{and}on commit, at most every {}", duration::text(most))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn refresh(toml: &str) -> Result<Refresh, EngineError> {
        Refresh::of(toml::from_str(toml).unwrap())
    }

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn text(ms: i64) -> String {
        Utc.timestamp_millis_opt(ms).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Ticks after `from`, up to `to`.
    fn ticks(refresh: &Refresh, from: &str, to: &str) -> Vec<String> {
        let (mut at, to) = (ms(from), ms(to));
        let mut ticks = Vec::new();
        while let Some(next) = refresh.next_tick(at).filter(|next| *next <= to) {
            // Whoever looks then, or anywhere before the one after, means the same tick.
            assert_eq!(refresh.last_tick(next), Some(next));
            assert_eq!(refresh.last_tick(next + 999), Some(next));
            ticks.push(text(next));
            at = next;
        }
        ticks
    }

    #[test]
    fn every_counts_from_1970_so_that_all_servers_mean_the_same_ticks() {
        let hourly = refresh("every = \"1h\"").unwrap();
        assert_eq!(hourly.to_string(), "every 1h");
        assert_eq!(hourly.last_tick(ms("2026-03-01T10:59:59.999Z")), Some(ms("2026-03-01T10:00:00Z")));
        assert_eq!(
            ticks(&hourly, "2026-03-01T10:30:00Z", "2026-03-01T12:00:00Z"),
            ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"]
        );
    }

    #[test]
    fn cron_is_read_on_the_clock_of_its_place() {
        let tokyo = refresh("cron = \"15 6 * * *\"\ntimezone = \"Asia/Tokyo\"").unwrap();
        assert_eq!(tokyo.to_string(), "cron 15 6 * * * Asia/Tokyo");
        assert_eq!(
            ticks(&tokyo, "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"),
            ["2026-03-01T21:15:00Z", "2026-03-02T21:15:00Z"]
        );
        let weekdays = refresh("cron = \"0 9 * * MON-FRI\"").unwrap();
        // The fourth was a Saturday.
        assert_eq!(
            ticks(&weekdays, "2026-07-03T00:00:00Z", "2026-07-06T23:00:00Z"),
            ["2026-07-03T09:00:00Z", "2026-07-06T09:00:00Z"]
        );
    }

    #[test]
    fn a_time_of_the_day_comes_once_a_day_also_when_clocks_change() {
        // In the last night of March half past two is left out, and in that of October it comes twice.
        let berlin = refresh("cron = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"").unwrap();
        assert_eq!(
            ticks(&berlin, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        let autumn = ticks(&berlin, "2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(autumn.len(), 3, "{autumn:?}");
        assert_eq!((autumn[0].as_str(), autumn[2].as_str()), ("2026-10-24T00:30:00Z", "2026-10-26T01:30:00Z"));
        // A year of days, each once, whatever clocks do.
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"] {
            let daily = refresh(&format!("cron = \"15 2 * * *\"\ntimezone = \"{zone}\"")).unwrap();
            let zone: Tz = zone.parse().unwrap();
            let days = ticks(&daily, "2026-01-01T12:00:00Z", "2027-01-01T12:00:00Z");
            let mut local: Vec<_> =
                days.iter().map(|tick| zone.timestamp_millis_opt(ms(tick)).unwrap().date_naive()).collect();
            local.dedup();
            assert_eq!((days.len(), local.len()), (365, 365), "{zone}");
        }
        // Every quarter of an hour is so many times as the night is long.
        let quarters = refresh("cron = \"*/15 * * * *\"\ntimezone = \"Europe/Berlin\"").unwrap();
        assert_eq!(ticks(&quarters, "2026-10-24T22:00:00Z", "2026-10-25T03:00:00Z").len(), 20);
        assert_eq!(ticks(&quarters, "2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z").len(), 16);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_cure() {
        for (toml, expected) in [
            ("", "refresh says nothing\nHINT: Write every, cron, on_commit = true or target_lag."),
            ("target_lag = \"1h\"\nevery = \"1h\"", "refresh has both target_lag and every\nHINT: Write one of them"),
            ("target_lag = \"1h\"\ncron = \"0 6 * * *\"", "refresh has both target_lag and cron"),
            ("target_lag = \"downstream\"\non_commit = true", "refresh has both target_lag and on_commit"),
            ("target_lag = \"1h\"\nat_most_every = \"1h\"", "refresh.at_most_every is there without on_commit"),
            ("target_lag = \"1h\"\ncatch_up = \"none\"", "refresh.catch_up is there without every or cron"),
            ("target_lag = \"1 year\"", "refresh.target_lag: \"1 year\" is not a length of time"),
            ("every = \"0s\"", "refresh.every is no time at all"),
            ("every = \"1h\"\ncron = \"0 * * * *\"", "refresh has both every and cron"),
            ("every = \"1h\"\ntimezone = \"UTC\"", "refresh.timezone is there without cron"),
            ("every = \"1h\"\nat_most_every = \"1h\"", "refresh.at_most_every is there without on_commit"),
            ("on_commit = true\ncatch_up = \"none\"", "refresh.catch_up is there without every or cron"),
            ("every = \"1h\"\ncatch_up = \"some\"", "catch_up = \"some\" is not known"),
            ("cron = \"61 * * * *\"", "cron = \"61 * * * *\" is not understood\nDETAIL: "),
            ("cron = \"0 0 6 * * *\"", "cron = \"0 0 6 * * *\" is not understood"),
            ("cron = \"0 0 30 2 *\"", "cron = \"0 0 30 2 *\" is a time that never comes"),
            (
                "cron = \"0 6 * * *\"\ntimezone = \"Europe/Berln\"",
                "timezone = \"Europe/Berln\" is not known\nHINT: Did you mean \"Europe/Berlin\"?",
            ),
        ] {
            let text = refresh(toml).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{toml}\n{text}\nexpected {expected}");
        }
    }
}
