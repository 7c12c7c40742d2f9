//! Whether an export is to be delivered by itself now, by what the lake knows of it: any server comes to the same answer.

use std::time::Duration;

use boathouse_storage::catalog::{ExportMark, MartExport};

use crate::{EngineError, ErrorKind};

/// A destination that is not there is tried again after so long, and then after twice as long each time, up to the second:
/// for as long as it takes.
const WAIT: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// Not before this time, in milliseconds since 1970, UTC.
    At(i64),
    /// The destination has it, or would refuse it again.
    Done,
}

/// Whether `mark` is the version that is wanted, or a later one of the same table.
pub(super) fn covers(mark: Option<&ExportMark>, wanted: &ExportMark) -> bool {
    mark.is_some_and(|mark| mark.table == wanted.table && mark.version >= wanted.version)
}

/// `since_ms`: what could have been refused because of a definition or a setting was told anew at this time.
pub(super) fn due(state: Option<&MartExport>, wanted: &ExportMark, now_ms: i64, since_ms: i64) -> Due {
    let Some(state) = state else { return Due::Now };
    let delivered = state.delivered.as_ref().map(|delivered| &delivered.mark);
    if covers(delivered, wanted) {
        return Due::Done;
    }
    match &state.failed {
        None => Due::Now,
        Some(failed) => match failed.retry_ms {
            Some(at_ms) if now_ms < at_ms => Due::At(at_ms),
            Some(_) => Due::Now,
            None if failed.version == wanted.version && failed.at_ms >= since_ms => Due::Done,
            None => Due::Now,
        },
    }
}

/// When to try again behind the failure of this number, from 1; never by itself what would fail in the same way.
pub(super) fn retry_ms(error: &EngineError, attempts: u32, now_ms: i64) -> Option<i64> {
    let comes_back = matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::Conflict | ErrorKind::Exhausted | ErrorKind::Cancelled
    );
    let doubled = WAIT.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    let wait_ms = i64::try_from(doubled.min(WAIT_MAX).as_millis()).unwrap_or(i64::MAX);
    comes_back.then(|| now_ms.saturating_add(wait_ms))
}

#[cfg(test)]
mod tests {
    use boathouse_storage::catalog::{ExportDelivered, ExportFailed};

    use super::*;

    fn mark(table: &str, version: u64) -> ExportMark {
        ExportMark { table: table.to_owned(), version }
    }

    fn delivered(version: u64) -> MartExport {
        let delivered = ExportDelivered { mark: mark("a", version), rows: None, at_ms: 0 };
        MartExport { delivered: Some(delivered), ..MartExport::default() }
    }

    fn failed(version: u64, retry_ms: Option<i64>) -> MartExport {
        let failed = ExportFailed { version, attempts: 1, at_ms: 50, error: "e".to_owned(), retry_ms };
        MartExport { failed: Some(failed), ..delivered(1) }
    }

    #[test]
    fn a_version_is_delivered_once() {
        assert_eq!(due(None, &mark("a", 0), 100, 0), Due::Now);
        assert_eq!(due(Some(&delivered(3)), &mark("a", 3), 100, 0), Due::Done);
        assert_eq!(due(Some(&delivered(3)), &mark("a", 2), 100, 0), Due::Done);
        assert_eq!(due(Some(&delivered(3)), &mark("a", 4), 100, 0), Due::Now);
        // Another table of the same name.
        assert_eq!(due(Some(&delivered(3)), &mark("b", 0), 100, 0), Due::Now);
    }

    #[test]
    fn what_failed_is_tried_again_in_time_or_when_something_changed() {
        let wanted = mark("a", 3);
        assert_eq!(due(Some(&failed(3, Some(200))), &wanted, 100, 0), Due::At(200));
        assert_eq!(due(Some(&failed(3, Some(200))), &wanted, 200, 0), Due::Now);
        assert_eq!(due(Some(&failed(3, None)), &wanted, 1000, 0), Due::Done);
        assert_eq!(due(Some(&failed(3, None)), &wanted, 1000, 60), Due::Now);
        assert_eq!(due(Some(&failed(3, None)), &mark("a", 4), 1000, 0), Due::Now);
    }

    #[test]
    fn waits_grow_to_a_quarter_of_an_hour_and_never_end() {
        let down = EngineError::new(ErrorKind::Unavailable, "down");
        let seconds = |attempts| retry_ms(&down, attempts, 0).map(|ms| ms / 1000);
        assert_eq!([1, 2, 3, 6, 40, 4000].map(seconds), [30, 60, 120, 900, 900, 900].map(Some));
        assert_eq!(retry_ms(&EngineError::invalid("no such column"), 1, 0), None);
    }
}
