//! Whether a mart is to run by itself now, by what the lake knows of its runs: any server comes to the same answer, also one
//! that has just begun.

use boathouse_storage::catalog::{MartCause, MartDocument, MartRun, MartRunState};

use super::refresh::Refresh;

/// A mart with a lag whose run has failed is run for the next change after this at the earliest.
const FAILED_PAUSE_MS: i64 = 60_000;

/// What a look at a mart found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now(Cause),
    /// Not before this time, in milliseconds since 1970, UTC.
    At(i64),
    /// Nothing is to be done for this cause any more.
    Done,
}

/// Why a mart is to run, and how often it was tried for that, with this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub cause: MartCause,
    pub attempt: u32,
}

impl Cause {
    /// Of a person.
    pub const PERSON: Self = Self { cause: MartCause::Person, attempt: 1 };
}

/// Whether the run of `tick` is to be carried out. `since_ms` is when the server began, `is_there` whether the mart was ever
/// published.
pub(super) fn tick(
    refresh: &Refresh,
    document: &MartDocument,
    tick: i64,
    now_ms: i64,
    since_ms: i64,
    is_there: bool,
) -> Due {
    let cause = MartCause::Tick(tick);
    if let Some(run) = document.runs.iter().rev().find(|run| run.cause == cause) {
        return again(run, now_ms);
    }
    // Rows that somebody has made since are no older than those of this tick would be.
    let is_fresh = |run: &MartRun| run.state == MartRunState::Succeeded && run.started_ms >= tick;
    if is_there && document.runs.iter().any(is_fresh) {
        return Due::Done;
    }
    if is_there && !refresh.catches_up && tick < since_ms {
        return Due::Done;
    }
    Due::Now(Cause { cause, attempt: 1 })
}

/// Whether a change of what the mart reads is to be followed by a run, at most every `most_ms`.
pub(super) fn commit(document: &MartDocument, most_ms: i64, now_ms: i64) -> Due {
    let first = Due::Now(Cause { cause: MartCause::Commit, attempt: 1 });
    let Some(last) = document.runs.last() else { return first };
    if last.cause == MartCause::Commit && last.state == MartRunState::Failed && last.retry_ms.is_some() {
        return again(last, now_ms);
    }
    match last.started_ms.saturating_add(most_ms) {
        next if next <= now_ms || last.state == MartRunState::Blocked => first,
        next => Due::At(next),
    }
}

/// Whether rows of other versions than those that are there now, which must be replaced from `begin_ms` on, are replaced
/// now; without that time at once.
pub(super) fn lag(document: &MartDocument, begin_ms: Option<i64>, now_ms: i64) -> Due {
    let first = Due::Now(Cause { cause: MartCause::Commit, attempt: 1 });
    let Some(last) = document.runs.last() else { return first };
    if last.cause == MartCause::Commit && last.state == MartRunState::Failed && last.retry_ms.is_some() {
        return again(last, now_ms);
    }
    let at_ms = match last.state {
        MartRunState::Failed => last.started_ms.saturating_add(FAILED_PAUSE_MS),
        MartRunState::Blocked => now_ms,
        MartRunState::Succeeded | MartRunState::Running => begin_ms.unwrap_or(now_ms),
    };
    if at_ms <= now_ms { first } else { Due::At(at_ms) }
}

/// What comes behind a run.
fn again(run: &MartRun, now_ms: i64) -> Due {
    let Cause { cause, attempt } = Cause { cause: run.cause, attempt: run.attempt };
    match (run.state, run.retry_ms) {
        (MartRunState::Blocked, _) => Due::Now(Cause { cause, attempt }),
        (MartRunState::Failed, Some(retry)) if retry <= now_ms => Due::Now(Cause { cause, attempt: attempt + 1 }),
        (MartRunState::Failed, Some(retry)) => Due::At(retry),
        (MartRunState::Failed | MartRunState::Succeeded | MartRunState::Running, _) => Due::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(more: &str) -> Refresh {
        Refresh::of(toml::from_str(&format!("every = \"1h\"\n{more}")).unwrap()).unwrap()
    }

    fn run(state: MartRunState, cause: MartCause, started_ms: i64) -> MartRun {
        MartRun { state, started_ms, ended_ms: started_ms, cause, ..MartRun::default() }
    }

    fn known(runs: &[MartRun]) -> MartDocument {
        MartDocument { runs: runs.to_vec(), ..MartDocument::default() }
    }

    const TICK: i64 = 3_600_000;
    const THIS: MartCause = MartCause::Tick(TICK);
    const FIRST: Due = Due::Now(Cause { cause: THIS, attempt: 1 });

    #[test]
    fn a_tick_is_carried_out_once() {
        let look = |runs: &[MartRun]| tick(&hourly(""), &known(runs), TICK, TICK + 50, 0, true);
        assert_eq!(look(&[]), FIRST);
        assert_eq!(look(&[run(MartRunState::Succeeded, MartCause::Tick(0), 5)]), FIRST);
        assert_eq!(look(&[run(MartRunState::Succeeded, THIS, TICK)]), Due::Done);
        assert_eq!(look(&[run(MartRunState::Failed, THIS, TICK)]), Due::Done);
        assert_eq!(look(&[run(MartRunState::Blocked, THIS, TICK)]), FIRST);
        // Somebody ran it meanwhile, or tried to.
        assert_eq!(look(&[run(MartRunState::Succeeded, MartCause::Person, TICK + 1)]), Due::Done);
        assert_eq!(look(&[run(MartRunState::Failed, MartCause::Person, TICK + 1)]), FIRST);
    }

    #[test]
    fn a_run_that_failed_for_want_of_something_is_tried_again_in_time() {
        let failed = MartRun { retry_ms: Some(TICK + 30), ..run(MartRunState::Failed, THIS, TICK) };
        let look = |now| tick(&hourly(""), &known(std::slice::from_ref(&failed)), TICK, now, 0, true);
        assert_eq!(look(TICK + 29), Due::At(TICK + 30));
        assert_eq!(look(TICK + 30), Due::Now(Cause { cause: THIS, attempt: 2 }));
    }

    #[test]
    fn what_was_missed_is_made_up_for_once_or_not_at_all() {
        let look = |refresh, is_there| tick(&refresh, &known(&[]), TICK, TICK + 50, TICK + 20, is_there);
        assert_eq!(look(hourly(""), true), FIRST);
        assert_eq!(look(hourly("catch_up = \"none\""), true), Due::Done);
        assert_eq!(look(hourly("catch_up = \"none\""), false), FIRST);
    }

    #[test]
    fn a_change_waits_for_the_time_between_two_runs() {
        let look = |runs: &[MartRun], now| commit(&known(runs), 100, now);
        let first = Due::Now(Cause { cause: MartCause::Commit, attempt: 1 });
        assert_eq!(look(&[], 0), first);
        let last = run(MartRunState::Succeeded, MartCause::Person, 1000);
        assert_eq!(look(std::slice::from_ref(&last), 1050), Due::At(1100));
        assert_eq!(look(&[last], 1100), first);
        let failed = MartRun { retry_ms: Some(1300), ..run(MartRunState::Failed, MartCause::Commit, 1000) };
        assert_eq!(look(std::slice::from_ref(&failed), 1200), Due::At(1300));
        assert_eq!(look(&[failed], 1300), Due::Now(Cause { cause: MartCause::Commit, attempt: 2 }));
    }
    #[test]
    fn rows_that_may_be_behind_are_replaced_in_time() {
        let first = Due::Now(Cause { cause: MartCause::Commit, attempt: 1 });
        assert_eq!(lag(&known(&[]), Some(50), 0), first);
        let good = known(&[run(MartRunState::Succeeded, MartCause::Commit, 10)]);
        assert_eq!(lag(&good, Some(50), 49), Due::At(50));
        assert_eq!([lag(&good, Some(50), 50), lag(&good, None, 11)], [first, first]);
        // The next change does not let a broken one run again and again.
        let failed = run(MartRunState::Failed, MartCause::Commit, 1000);
        assert_eq!(lag(&known(std::slice::from_ref(&failed)), Some(50), 2000), Due::At(61_000));
        let retried = MartRun { retry_ms: Some(1300), ..failed };
        let look = |now| lag(&known(std::slice::from_ref(&retried)), Some(50), now);
        assert_eq!(look(1200), Due::At(1300));
        assert_eq!(look(1300), Due::Now(Cause { cause: MartCause::Commit, attempt: 2 }));
        assert_eq!(lag(&known(&[run(MartRunState::Blocked, MartCause::Commit, 1000)]), Some(5000), 1001), first);
    }
}
