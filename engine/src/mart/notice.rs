//! What somebody should hear of: a mart that a server runs failed, is late or unusual, or is well again.
//!
//! It is told once, not at every run that fails in the same way, by the server that carried the run out. What was told before
//! follows from the runs in the lake; a server that ended in between may tell something again, under the same name.

use boathouse_storage::catalog::{MartCause, MartDocument, MartRun, MartRunState};

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
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A run failed for good, and the one before had not.
    Failed,
    /// Rows are published, or found to be up to date, behind a run that failed, or behind lateness.
    Recovered,
    /// Its rows are older than the definition promises.
    Late,
    /// Rows were published of which a test with on_violation = "warn" finds that a number is unusual.
    Anomaly,
}

impl NoticeKind {
    /// As programs are told of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Late => "late",
            Self::Anomaly => "anomaly",
        }
    }
}

/// What is to be told behind a run of a server. `is_good` says that the mart is up to date.
pub(super) fn of(mart: &str, document: &MartDocument, is_good: bool, now_ms: i64) -> Option<Notice> {
    // Who ran it by hand has seen how it went.
    let counts = |run: &&MartRun| {
        let is_final = match run.state {
            MartRunState::Succeeded => true,
            MartRunState::Failed => run.retry_ms.is_none(),
            MartRunState::Running | MartRunState::Blocked => false,
        };
        is_final && run.cause != MartCause::Person
    };
    let mut runs = document.runs.iter().rev().filter(counts);
    let last = runs.next()?;
    let before = runs.next().map(|run| run.state);
    let owner = document.definition.owner.clone();
    let notice = |kind: NoticeKind, failed: &MartRun| Notice {
        id: format!("mart-{}-{}", kind.word(), failed.id),
        kind,
        mart: mart.to_owned(),
        owner: owner.clone(),
        run: None,
        at_ms: now_ms,
        error: None,
        tests: Vec::new(),
    };
    let failed = |run: &MartRun| run.state == MartRunState::Failed;
    match (is_good, failed(last)) {
        (false, true) if before != Some(MartRunState::Failed) => {
            let tests =
                last.tests.iter().filter(|test| test.state == boathouse_storage::catalog::MartTestState::Failed);
            Some(Notice {
                run: Some(last.id.clone()),
                at_ms: last.ended_ms,
                error: last.error.clone(),
                tests: tests.map(|test| (test.name.clone(), test.violations)).collect(),
                ..notice(NoticeKind::Failed, last)
            })
        }
        // Nothing had to be published.
        (true, true) => Some(notice(NoticeKind::Recovered, first_of_row(document, last, counts))),
        (true, false) if before == Some(MartRunState::Failed) => {
            let failed = document.runs.iter().rev().filter(counts).find(|run| failed(run))?;
            let (run, at_ms) = (Some(last.id.clone()), last.ended_ms);
            Some(Notice { run, at_ms, ..notice(NoticeKind::Recovered, first_of_row(document, failed, counts)) })
        }
        _ => None,
    }
}

/// The first of the runs that failed one behind the other, of which this is the last.
fn first_of_row<'a>(document: &'a MartDocument, last: &'a MartRun, counts: impl Fn(&&MartRun) -> bool) -> &'a MartRun {
    let until = document.runs.iter().position(|run| run.id == last.id).unwrap_or_default();
    let row = document.runs[..until].iter().rev().filter(|run| counts(run));
    row.take_while(|run| run.state == MartRunState::Failed).last().unwrap_or(last)
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

    /// `f` failed, `s` succeeded, `b` blocked, `r` failed and is tried again, `p` failed for a person.
    fn told(runs: &str, is_good: bool) -> Option<String> {
        let runs = runs.chars().enumerate().map(|(at, letter)| {
            let id = format!("{letter}{at}");
            let (state, cause) = match letter {
                's' => (MartRunState::Succeeded, MartCause::Commit),
                'b' => (MartRunState::Blocked, MartCause::Commit),
                'p' => (MartRunState::Failed, MartCause::Person),
                _ => (MartRunState::Failed, MartCause::Commit),
            };
            MartRun { retry_ms: (letter == 'r').then_some(9), ..run(&id, state, cause) }
        });
        let document = MartDocument { runs: runs.collect(), ..MartDocument::default() };
        of("m.t", &document, is_good, 8).map(|notice| notice.id)
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        assert_eq!(told("s", true), None);
        assert_eq!(told("f", false).unwrap(), "mart-failed-f0");
        assert_eq!(told("sf", false).unwrap(), "mart-failed-f1");
        assert_eq!(told("sff", false), None);
        assert_eq!(told("sffs", true).unwrap(), "mart-recovered-f1");
        assert_eq!(told("sffss", true), None);
        // Nothing had to be published: told under one name, however often.
        assert_eq!(told("sff", true).unwrap(), "mart-recovered-f1");
    }

    #[test]
    fn what_is_not_over_and_what_a_person_saw_is_not_told() {
        assert_eq!(told("sr", false), None);
        assert_eq!(told("srr", false), None);
        assert_eq!(told("srf", false).unwrap(), "mart-failed-f2");
        assert_eq!(told("sfrs", true).unwrap(), "mart-recovered-f1");
        assert_eq!(told("sp", false), None);
        assert_eq!(told("sfb", false).unwrap(), "mart-failed-f1");
        assert_eq!(told("sfpf", false), None);
    }
}
