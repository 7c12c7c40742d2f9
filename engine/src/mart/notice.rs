//! What somebody should hear of: a mart that a server runs failed, is late or unusual, or is well again; and the same of its
//! exports.
//!
//! It is told once, not at every run that fails in the same way, by the server that carried the run out. What was told before
//! follows from the runs in the lake; a server that ended in between may tell something again, under the same name.

use boathouse_storage::catalog::{MartCause, MartDocument, MartRun, MartRunState, MartTest, MartTestState};

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The same for the same news, whoever tells it, and however often.
    pub id: String,
    pub kind: NoticeKind,
    pub mart: String,
    pub owner: Option<String>,
    /// The run that it is about; none when there was nothing to run.
    pub run: Option<String>,
    /// When it ended, in milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// Why it failed, how late it is, what is unusual.
    pub error: Option<String>,
    /// Names of tests that failed, and how many violations each found.
    pub tests: Vec<(String, u64)>,
    /// The export that it is about, `warehouse/sales.daily`.
    pub export: Option<String>,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A run failed for good, and the one before had not.
    Failed,
    /// Rows are published of which nothing is unusual, or found to be up to date, behind runs of which that was not so, or
    /// behind lateness.
    Recovered,
    /// Its rows are older than the definition promises.
    Late,
    /// Rows were published of which a test with on_violation = "warn" finds that a number is unusual.
    Anomaly,
    /// A destination refuses its rows, or could not be reached for a while.
    ExportFailed,
    /// The destination has its rows, behind such failures.
    ExportRecovered,
}

impl NoticeKind {
    /// As programs are told of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Late => "late",
            Self::Anomaly => "anomaly",
            Self::ExportFailed => "export_failed",
            Self::ExportRecovered => "export_recovered",
        }
    }
}

/// How a run of a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// It published rows.
    Rows,
    /// There was nothing to publish: the mart's rows are those of its inputs.
    Nothing,
    Failure,
}

/// What is to be told behind a run of a server. A mart is well when its last run published rows of which nothing is unusual:
/// only then it has recovered.
pub(super) fn of(mart: &str, document: &MartDocument, behind: Behind, now_ms: i64) -> Option<Notice> {
    let mut runs = document.runs.iter().rev().filter(counts);
    let last = runs.next()?;
    let before = runs.next();
    let notice = |kind: NoticeKind, of: &MartRun| Notice {
        id: format!("mart-{}-{}", kind.word(), of.id),
        kind,
        mart: mart.to_owned(),
        owner: document.definition.owner.clone(),
        run: Some(last.id.clone()),
        at_ms: last.ended_ms,
        error: None,
        tests: Vec::new(),
        export: None,
    };
    match behind {
        Behind::Failure if is_failed(last) && before.is_none_or(|before| !is_failed(before)) => {
            let tests = last.tests.iter().filter(|test| test.state == MartTestState::Failed);
            let tests = tests.map(|test| (test.name.clone(), test.violations)).collect();
            Some(Notice { error: last.error.clone(), tests, ..notice(NoticeKind::Failed, last) })
        }
        Behind::Failure => None,
        // Told under one name, however often there is nothing to publish.
        Behind::Nothing if is_failed(last) && document.published().is_none_or(|run| unusual(run).next().is_none()) => {
            let of = first_of_row(document, last);
            Some(Notice { run: None, at_ms: now_ms, ..notice(NoticeKind::Recovered, of) })
        }
        Behind::Nothing => None,
        Behind::Rows if is_well(last) => {
            let of = before.filter(|before| !is_well(before))?;
            Some(notice(NoticeKind::Recovered, first_of_row(document, of)))
        }
        Behind::Rows => {
            // What was unusual before was told.
            let is_told = |test: &MartTest| {
                before.is_some_and(|run| !is_failed(run) && unusual(run).any(|told| told.name == test.name))
            };
            let news: Vec<&MartTest> = unusual(last).filter(|test| !is_told(test)).collect();
            let first = news.first()?;
            let error = Some(format!("{}: {}", first.name, first.samples.join("; ")));
            let tests = news.iter().map(|test| (test.name.clone(), test.violations)).collect();
            Some(Notice { error, tests, ..notice(NoticeKind::Anomaly, last) })
        }
    }
}

/// Runs that are over; who ran a mart by hand has seen how it went.
fn counts(run: &&MartRun) -> bool {
    let is_final = match run.state {
        MartRunState::Succeeded => true,
        MartRunState::Failed => run.retry_ms.is_none(),
        MartRunState::Running | MartRunState::Blocked => false,
    };
    is_final && run.cause != MartCause::Person
}

fn is_failed(run: &MartRun) -> bool {
    run.state == MartRunState::Failed
}

fn is_well(run: &MartRun) -> bool {
    !is_failed(run) && unusual(run).next().is_none()
}

/// The numbers of published rows of which a test finds that they are unusual.
fn unusual(run: &MartRun) -> impl Iterator<Item = &MartTest> {
    run.tests.iter().filter(|test| test.value.is_some() && test.state == MartTestState::Warned)
}

/// The first of the runs behind which the mart was not well, one behind the other, of which this is the last.
fn first_of_row<'a>(document: &'a MartDocument, last: &'a MartRun) -> &'a MartRun {
    let until = document.runs.iter().position(|run| run.id == last.id).unwrap_or_default();
    let row = document.runs[..until].iter().rev().filter(counts);
    row.take_while(|run| !is_well(run)).last().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, state: MartRunState, cause: MartCause) -> MartRun {
        MartRun {
            id: id.to_owned(),
            state,
            ended_ms: 7,
            error: (state == MartRunState::Failed).then(|| "why".to_owned()),
            cause,
            ..MartRun::default()
        }
    }

    /// `f` failed, `s` succeeded, `u` with an unusual number, `b` blocked, `r` failed and is tried again, `p` failed for a person.
    fn told(runs: &str, behind: Behind) -> Option<String> {
        let runs = runs.chars().enumerate().map(|(at, letter)| {
            let id = format!("{letter}{at}");
            let (state, cause) = match letter {
                's' | 'u' => (MartRunState::Succeeded, MartCause::Commit),
                'b' => (MartRunState::Blocked, MartCause::Commit),
                'p' => (MartRunState::Failed, MartCause::Person),
                _ => (MartRunState::Failed, MartCause::Commit),
            };
            let test = |name: &str, state, value| MartTest {
                name: name.to_owned(),
                on_violation: "warn".to_owned(),
                state,
                violations: u64::from(state == MartTestState::Warned),
                samples: vec!["why".to_owned()],
                value,
            };
            let number = if letter == 'u' { MartTestState::Warned } else { MartTestState::Passed };
            // A test of rows that warns is in system.mart_tests, and no news.
            let tests = vec![test("rows", MartTestState::Warned, None), test("number", number, Some(1.0))];
            MartRun { retry_ms: (letter == 'r').then_some(9), tests, ..run(&id, state, cause) }
        });
        let document = MartDocument { runs: runs.collect(), ..MartDocument::default() };
        of("m.t", &document, behind, 8).map(|notice| notice.id)
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        assert_eq!(told("s", Behind::Rows), None);
        assert_eq!(told("f", Behind::Failure).unwrap(), "mart-failed-f0");
        assert_eq!(told("sf", Behind::Failure).unwrap(), "mart-failed-f1");
        assert_eq!(told("sff", Behind::Failure), None);
        assert_eq!(told("sffs", Behind::Rows).unwrap(), "mart-recovered-f1");
        assert_eq!(told("sffss", Behind::Rows), None);
        // Nothing had to be published: told under one name, however often.
        assert_eq!(told("sff", Behind::Nothing).unwrap(), "mart-recovered-f1");
        assert_eq!(told("ss", Behind::Nothing), None);
    }

    #[test]
    fn a_number_that_is_unusual_is_told_once_and_so_is_its_end() {
        assert_eq!(told("su", Behind::Rows).unwrap(), "mart-anomaly-u1");
        assert_eq!(told("suu", Behind::Rows), None);
        assert_eq!(told("suus", Behind::Rows).unwrap(), "mart-recovered-u1");
        assert_eq!(told("suuss", Behind::Rows), None);
        assert_eq!(told("su", Behind::Nothing), None);
        // A mart whose rows are unusual has not recovered from what was before.
        assert_eq!(told("sfu", Behind::Rows).unwrap(), "mart-anomaly-u2");
        assert_eq!(told("sfus", Behind::Rows).unwrap(), "mart-recovered-f1");
        assert_eq!(told("suf", Behind::Failure).unwrap(), "mart-failed-f2");
        assert_eq!(told("suf", Behind::Nothing), None);
        assert_eq!(told("sufu", Behind::Rows).unwrap(), "mart-anomaly-u3");
        assert_eq!(told("sufs", Behind::Rows).unwrap(), "mart-recovered-u1");
    }

    #[test]
    fn what_is_not_over_and_what_a_person_saw_is_not_told() {
        assert_eq!(told("sr", Behind::Failure), None);
        assert_eq!(told("srr", Behind::Failure), None);
        assert_eq!(told("srf", Behind::Failure).unwrap(), "mart-failed-f2");
        assert_eq!(told("sfrs", Behind::Rows).unwrap(), "mart-recovered-f1");
        assert_eq!(told("sp", Behind::Failure), None);
        assert_eq!(told("sfb", Behind::Failure).unwrap(), "mart-failed-f1");
        assert_eq!(told("sfpf", Behind::Failure), None);
    }
}
