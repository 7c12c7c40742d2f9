//! What somebody should hear of an export: that its destination refuses the rows, or is not there for a while, and that it has
//! them again.
//!
//! It is told once. What was told stands in the document of the mart's exports, so that of several servers one tells it, also
//! across restarts, and the end is told whoever delivered in the end.

use boathouse_storage::catalog::MartExport;

use crate::mart::{Definition, Notice, NoticeKind, fingerprint};

/// A destination that is not there is told of behind so many attempts: a minute and a half.
const ATTEMPTS: u32 = 3;

/// What is to be told of a state, and was not: `export` names it. Changes the state to one of which it was told.
pub(super) fn news(definition: &Definition, export: &str, state: &mut MartExport, now_ms: i64) -> Option<Notice> {
    let mart = definition.name();
    let notice = |kind: NoticeKind, of: &str, error: Option<String>| Notice {
        id: format!("mart-{}-{of}", kind.word()),
        kind,
        mart: mart.clone(),
        owner: definition.owner.clone(),
        run: None,
        at_ms: now_ms,
        error,
        tests: Vec::new(),
        export: Some(export.to_owned()),
    };
    match (&state.failed, &state.told) {
        (Some(failed), None) if failed.retry_ms.is_none() || failed.attempts >= ATTEMPTS => {
            // A name for a header, which names of places are not.
            let of = fingerprint::of([mart.as_str(), export, &failed.at_ms.to_string()]);
            let of = of.get(..16).unwrap_or_default().to_owned();
            let told = notice(NoticeKind::ExportFailed, &of, Some(failed.error.clone()));
            state.told = Some(of);
            Some(told)
        }
        (None, Some(of)) => {
            let told = notice(NoticeKind::ExportRecovered, of, None);
            state.told = None;
            Some(told)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use boathouse_storage::catalog::ExportFailed;

    use super::*;

    fn failed(attempts: u32, retry_ms: Option<i64>) -> Option<ExportFailed> {
        Some(ExportFailed { version: 3, attempts, at_ms: 7, error: "why".to_owned(), retry_ms })
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let definition = Definition::parse("m.t.sql", "/*---\nowner = \"me\"\n---*/ SELECT 1 AS a").unwrap();
        let mut state = MartExport::default();
        let mut look = |failed: Option<ExportFailed>| {
            state.failed = failed;
            news(&definition, "x/ü", &mut state, 9)
        };
        assert_eq!(look(None), None);
        assert_eq!(look(failed(2, Some(50))), None);
        let notice = look(failed(3, Some(50))).unwrap();
        assert_eq!((notice.kind, notice.error.as_deref()), (NoticeKind::ExportFailed, Some("why")));
        assert_eq!((notice.owner.as_deref(), notice.export.as_deref()), (Some("me"), Some("x/ü")));
        assert!(notice.id.starts_with("mart-export_failed-") && notice.id.is_ascii(), "{}", notice.id);
        assert_eq!(look(failed(4, None)), None);
        let notice = look(None).unwrap();
        assert_eq!((notice.kind, notice.error), (NoticeKind::ExportRecovered, None));
        assert_eq!(look(None), None);
        // What is refused is not tried again, so there is nothing to wait for.
        assert_eq!(look(failed(1, None)).unwrap().kind, NoticeKind::ExportFailed);
    }
}
