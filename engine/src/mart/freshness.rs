//! How old a mart's rows may be, judged apart from its runs: a mart that nobody runs any more is late, too.
//!
//! ```toml
//! freshness = { warn = "2h", error = "6h" }
//! ```
//! It counts from the end of the last run that published rows. Being late is told once, at each of the two; what was told is
//! in the mart's document, so that of several servers one tells it, also across restarts.

use std::{fmt, time::Duration};

use boathouse_storage::catalog::{MartDocument, MartLate, MartLateness};

use super::{
    duration, header,
    notice::{Notice, NoticeKind},
};
use crate::EngineError;

/// What the definition promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freshness {
    warn: Option<Duration>,
    error: Option<Duration>,
}

impl Freshness {
    /// Checks what is written.
    pub fn of(written: &header::Promise) -> Result<Self, EngineError> {
        let (warn, error) = (written.warn.map(|span| span.0), written.error.map(|span| span.0));
        let invalid = |message: &str, hint: &str| Err(EngineError::invalid(message).with_hint(hint));
        match (warn, error) {
            (None, None) => invalid("freshness says nothing", "Write warn, error or both: { warn = \"2h\" }."),
            (Some(warn), Some(error)) if warn >= error => {
                invalid("freshness.warn does not come before freshness.error", "Write a shorter warn.")
            }
            _ if warn.or(error).is_some_and(|time| time.is_zero()) => {
                invalid("freshness is no time at all", "Write 30s, 10min, 2h or 7d.")
            }
            _ => Ok(Self { warn, error }),
        }
    }

    /// How late a mart is whose rows are so old.
    fn judged(self, age_ms: i64) -> Option<(MartLateness, Duration)> {
        let is_over = |most: &Duration| i128::from(age_ms) > i128::try_from(most.as_millis()).unwrap_or(i128::MAX);
        let error = self.error.filter(is_over).map(|most| (MartLateness::Error, most));
        error.or_else(|| self.warn.filter(is_over).map(|most| (MartLateness::Warn, most)))
    }
}

/// As people are told of it.
impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = [("warn", self.warn), ("error", self.error)];
        let said =
            said.into_iter().filter_map(|(word, after)| Some(format!("{word} after {}", duration::text(after?))));
        f.write_str(&said.collect::<Vec<_>>().join(", "))
    }
}

/// What became of a mart's lateness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    Late(MartLate, Notice),
    /// It is late no more.
    OnTime(Notice),
}

/// From when the age of a mart's rows counts, and what names that: the run that published them, or its first that did not.
fn since(document: &MartDocument) -> Option<(i64, &str)> {
    let first = || document.runs.first().map(|run| (run.started_ms, run.id.as_str()));
    document.published().map(|run| (run.ended_ms, run.id.as_str())).or_else(first)
}

/// How late a mart is, for people.
pub(super) fn lateness(freshness: Freshness, document: &MartDocument, now_ms: i64) -> Option<MartLateness> {
    let (since_ms, _) = since(document)?;
    freshness.judged(now_ms.saturating_sub(since_ms)).map(|(level, _)| level)
}

/// What is to be told of a mart's age, and was not told.
pub(super) fn news(mart: &str, freshness: Freshness, document: &MartDocument, now_ms: i64) -> Option<News> {
    let (since_ms, run) = since(document)?;
    let notice = |id: String, kind: NoticeKind, error: Option<String>| Notice {
        id,
        kind,
        mart: mart.to_owned(),
        owner: document.definition.owner.clone(),
        run: document.published().map(|run| run.id.clone()),
        at_ms: now_ms,
        error,
        tests: Vec::new(),
        export: None,
    };
    match (freshness.judged(now_ms.saturating_sub(since_ms)), &document.late) {
        (Some((level, most)), told) => {
            let is_told = told.as_ref().is_some_and(|told| told.run == run && told.level >= level);
            // As exact as what was promised, so that it is never told to be younger than that.
            let exact = if most.as_secs().is_multiple_of(60) { 60 } else { 1 };
            let age_s = now_ms.saturating_sub(since_ms).unsigned_abs() / 1000;
            let age = duration::text(Duration::from_secs(age_s / exact * exact));
            let word = level.word();
            let why = format!("its rows are {age} old, and freshness.{word} is {}", duration::text(most));
            let late = MartLate { run: run.to_owned(), level, since_ms: now_ms };
            let notice = || notice(format!("mart-late-{run}-{word}"), NoticeKind::Late, Some(why));
            (!is_told).then(|| News::Late(late, notice()))
        }
        (None, Some(told)) => {
            let id = format!("mart-on-time-{}-{run}", told.run);
            Some(News::OnTime(notice(id, NoticeKind::Recovered, None)))
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use boathouse_storage::catalog::{MartRun, MartRunState};

    use super::*;

    fn promise(toml: &str) -> Result<Freshness, EngineError> {
        Freshness::of(&toml::from_str(toml).unwrap())
    }

    fn run(id: &str, state: MartRunState, at_ms: i64) -> MartRun {
        MartRun { id: id.to_owned(), state, started_ms: at_ms, ended_ms: at_ms, ..MartRun::default() }
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn lateness_is_told_once_at_each_level_and_so_is_its_end() {
        let promise = promise("warn = \"2h\"\nerror = \"6h\"").unwrap();
        assert_eq!(promise.to_string(), "warn after 2h, error after 6h");
        let mut document = MartDocument::default();
        assert_eq!(news("m.t", promise, &document, 99 * HOUR), None);
        document.push(run("a", MartRunState::Succeeded, 0));
        document.push(run("b", MartRunState::Failed, HOUR));
        assert_eq!(news("m.t", promise, &document, 2 * HOUR), None);
        let mut told = Vec::new();
        for now_ms in [2 * HOUR + 1, 3 * HOUR, 6 * HOUR + 1, 7 * HOUR] {
            if let Some(News::Late(late, notice)) = news("m.t", promise, &document, now_ms) {
                document.late = Some(late);
                told.push((notice.id, notice.error.unwrap()));
            }
        }
        let expected = [
            ("mart-late-a-warn", "its rows are 2h old, and freshness.warn is 2h"),
            ("mart-late-a-error", "its rows are 6h old, and freshness.error is 6h"),
        ];
        assert_eq!(told, expected.map(|(id, why)| (id.to_owned(), why.to_owned())));
        document.push(run("c", MartRunState::Succeeded, 8 * HOUR));
        let Some(News::OnTime(notice)) = news("m.t", promise, &document, 8 * HOUR) else { panic!() };
        assert_eq!((notice.id.as_str(), notice.kind), ("mart-on-time-a-c", NoticeKind::Recovered));
        document.late = None;
        assert_eq!(news("m.t", promise, &document, 8 * HOUR), None);
        assert_eq!(lateness(promise, &document, 11 * HOUR), Some(MartLateness::Warn));
    }

    #[test]
    fn an_age_is_told_in_seconds_where_the_promise_has_some() {
        let promise = promise("warn = \"90s\"").unwrap();
        let mut document = MartDocument::default();
        document.push(run("a", MartRunState::Succeeded, 0));
        let Some(News::Late(_, notice)) = news("m.t", promise, &document, 91_500) else { panic!() };
        assert_eq!(notice.error.as_deref(), Some("its rows are 91s old, and freshness.warn is 90s"));
    }

    #[test]
    fn one_that_was_never_published_is_late_from_its_first_run_on() {
        let promise = promise("error = \"1h\"").unwrap();
        let mut document = MartDocument::default();
        document.push(run("a", MartRunState::Failed, 0));
        assert!(matches!(news("m.t", promise, &document, HOUR + 1), Some(News::Late(..))));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (toml, expected) in [
            ("", "freshness says nothing\nHINT: "),
            ("warn = \"2h\"\nerror = \"2h\"", "freshness.warn does not come before freshness.error\nHINT: "),
            ("warn = \"0s\"\nerror = \"2h\"", "freshness is no time at all\nHINT: "),
        ] {
            let text = promise(toml).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{toml}\n{text}");
        }
    }
}
