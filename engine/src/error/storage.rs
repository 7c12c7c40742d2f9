//! Faults below SQL, from the lake.

use boathouse_storage::{StorageError, StoreReason};

use super::{EngineError, ErrorKind, datafusion::store_fault, phrase};

impl From<StorageError> for EngineError {
    fn from(error: StorageError) -> Self {
        let message = error.to_string();
        // The query's own fault says more than that a write needed it.
        if let StorageError::Query { source, .. } = error {
            return super::convert(*source, None);
        }
        if let StorageError::ConstantFault { source, .. } = error {
            return constant_fault(message, super::convert(*source, None));
        }
        if let Some(converted) = data_file(&error) {
            return converted.with_source(error);
        }
        let kind = kind(&error);
        let mut converted = Self::new(kind, message);
        if let Some(cause) = std::error::Error::source(&error) {
            converted.detail = Some(root_text(cause));
        }
        if let StorageError::RuleViolated { row, .. } = &error {
            converted.detail = Some(row.clone());
        }
        if let StorageError::NotComputed { reason, row, .. } = &error {
            converted.detail = Some(format!("{}. {row}", reason.trim_end_matches('.')));
        }
        if let StorageError::MatchedTwice { values, .. } = &error
            && !values.is_empty()
        {
            converted.detail = Some(format!("The row is {values}."));
        }
        if let StorageError::NoChanges { since: Some(since), .. } = &error {
            converted.detail = Some(format!("It keeps one since version {since}."));
        }
        converted.hint = hint(&error).map(str::to_owned);
        // A store that failed below says better what to do.
        if matches!(kind, ErrorKind::Unavailable | ErrorKind::Corrupt)
            && let Some(reason) = StoreReason::of(&error)
        {
            let (kind, _, hint) = store_fault(reason);
            converted.kind = kind;
            converted.hint = converted.hint.or(hint.map(str::to_owned));
        }
        converted.with_source(error)
    }
}

/// What is wrong with a value goes below what it is for; other faults are not the statement's.
fn constant_fault(message: String, fault: EngineError) -> EngineError {
    match fault.kind {
        ErrorKind::InvalidSql => EngineError { message, detail: Some(fault.message), ..fault },
        _ => fault,
    }
}

/// No catch-all here: a new variant must be given its kind.
fn kind(error: &StorageError) -> ErrorKind {
    match error {
        StorageError::InvalidUrl { .. }
        | StorageError::InvalidName { .. }
        | StorageError::TypeMismatch { .. }
        | StorageError::UnsupportedType { .. }
        | StorageError::UnknownColumn { .. }
        | StorageError::DuplicateColumn { .. }
        | StorageError::NullValue { .. }
        | StorageError::EmptyPartition { .. }
        | StorageError::RuleViolated { .. }
        | StorageError::NotComputed { .. }
        | StorageError::ConstantFault { .. }
        | StorageError::Refused { .. }
        | StorageError::IdentityGiven { .. }
        | StorageError::NumbersExhausted { .. }
        | StorageError::InvalidChange { .. }
        | StorageError::MatchedTwice { .. }
        | StorageError::InvalidTable { .. }
        | StorageError::SchemaNotEmpty { .. }
        | StorageError::SchemaRequired { .. }
        | StorageError::ClonesExist { .. }
        | StorageError::AppendOnly { .. }
        | StorageError::RetentionTooShort { .. }
        | StorageError::LogTooShort { .. }
        | StorageError::NoChanges { .. }
        | StorageError::ChangesUnreadable { .. }
        | StorageError::ChangesBackwards { .. }
        | StorageError::Query { .. } => ErrorKind::InvalidSql,
        StorageError::SchemaNotFound { .. }
        | StorageError::TableNotFound { .. }
        | StorageError::VersionNotFound { .. }
        | StorageError::VersionOutside { .. }
        | StorageError::VersionCleanedUp { .. }
        | StorageError::FilesMissing { .. }
        | StorageError::NotDropped { .. }
        | StorageError::TimeOutside { .. } => ErrorKind::NotFound,
        StorageError::OpenLake { .. }
        | StorageError::Store { .. }
        | StorageError::TableUnreachable { .. }
        | StorageError::Undecided { .. }
        | StorageError::Archived { .. }
        | StorageError::Write { .. } => ErrorKind::Unavailable,
        StorageError::SchemaExists { .. }
        | StorageError::TableExists { .. }
        | StorageError::KeyForgotten { .. }
        | StorageError::KeyReused { .. } => ErrorKind::AlreadyExists,
        StorageError::ReadTable { .. } | StorageError::DataFile { .. } | StorageError::Catalog { .. } => {
            ErrorKind::Corrupt
        }
        StorageError::UnsupportedFeature { .. } | StorageError::CatalogFormat { .. } => ErrorKind::Unsupported,
        StorageError::Conflict { .. } | StorageError::CatalogConflict { .. } => ErrorKind::Conflict,
        StorageError::Internal { .. } => ErrorKind::Internal,
    }
}

fn hint(error: &StorageError) -> Option<&'static str> {
    match error {
        StorageError::Conflict { .. } | StorageError::CatalogConflict { .. } => Some("Run the statement again."),
        StorageError::OpenLake { .. } if StoreReason::of(error) == Some(StoreReason::NotFound) => {
            Some("Check the path or the bucket's name; a folder that is not there must be made first.")
        }
        StorageError::KeyReused { .. } => Some(
            "SET another idempotency_key for it; the statement that is to have the first answer is sent as it was.",
        ),
        StorageError::AppendOnly { .. } => Some("It has the property 'delta.appendOnly'."),
        StorageError::RetentionTooShort { .. } => Some(
            "Writes and queries of others may still need the files. When there are none, SET vacuum_retention_check = false.",
        ),
        StorageError::LogTooShort { .. } => {
            Some("Write RETAIN with fewer hours, so that it ends after the oldest commit in the log.")
        }
        StorageError::Undecided { .. } => Some("Look at the table before the statement is run again."),
        StorageError::VersionOutside { .. }
        | StorageError::VersionCleanedUp { .. }
        | StorageError::TimeOutside { .. } => Some("DESCRIBE HISTORY lists the table's versions."),
        StorageError::InvalidChange { reason, .. } if reason.contains("delta.columnMapping.mode\" first") => Some(
            "ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name') sets it; readers must know column mapping \
             from then on.",
        ),
        StorageError::MatchedTwice { .. } => {
            Some("Leave one row of the source for each row: GROUP BY the key, or add to the condition.")
        }
        StorageError::IdentityGiven { .. } => Some("Leave the column out of a list of columns, or write DEFAULT."),
        StorageError::FilesMissing { .. } => Some("VACUUM deletes the files of old versions; choose a newer version."),
        StorageError::NoChanges { since: None, .. } => Some(
            "ALTER TABLE t SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true') makes it keep one from then on.",
        ),
        StorageError::NoChanges { since: Some(_), .. } => Some("Begin there."),
        StorageError::ChangesUnreadable { .. } => {
            Some("Read up to the version before that change, and from it on, in two queries.")
        }
        StorageError::ChangesBackwards { .. } => Some("Write the older version first."),
        StorageError::NotDropped { .. } => Some("SHOW DROPPED TABLES lists those that can be brought back."),
        StorageError::ClonesExist { clones, .. } if clones.contains("(dropped") => {
            Some("DROP TABLE clone PURGE, also of one that is dropped already: it reads files of this table.")
        }
        StorageError::ClonesExist { .. } => Some("Drop the clones first: they read files of this table."),
        StorageError::SchemaNotEmpty { .. } => Some("DROP SCHEMA ... CASCADE drops what it holds too."),
        _ => None,
    }
}

/// A data file that cannot be read, anywhere in a chain of causes: table, version and file, and what ails it.
pub(super) fn data_file(error: &(dyn std::error::Error + 'static)) -> Option<EngineError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(named @ StorageError::Archived { files, .. }) = error.downcast_ref::<StorageError>() {
            return Some(archived(named, files));
        }
        if let Some(named @ StorageError::DataFile { source, .. }) = error.downcast_ref::<StorageError>() {
            let mut found = phrase::parquet(&root_text(&**source));
            match StoreReason::of(&**source) {
                None => {}
                Some(StoreReason::NotFound) => {
                    found = found.with_hint(phrase::DATA_FILE_GONE);
                }
                Some(reason) => {
                    let (kind, _, hint) = store_fault(reason);
                    (found.kind, found.hint) = (kind, hint.map(str::to_owned));
                }
            }
            found.message = named.to_string();
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Which files, and how they come back.
fn archived(named: &StorageError, files: &[String]) -> EngineError {
    const SHOWN_MAX: usize = 20;
    let mut shown = files.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if files.len() > SHOWN_MAX {
        shown.push_str(&format!(" and {} more", files.len() - SHOWN_MAX));
    }
    EngineError::new(ErrorKind::Unavailable, named.to_string()).with_detail(format!("Archived: {shown}.")).with_hint(
        "Restore them (aws s3api restore-object --bucket BUCKET --key FILE --restore-request Days=7), wait until that is \
         done, and run the statement again; or leave them out by a condition on partition columns.",
    )
}

/// The innermost cause in one line: the chain above it only says where it passed.
pub(super) fn root_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    one_line(&root.to_string())
}

/// First line of a text, shortened.
pub(super) fn one_line(text: &str) -> String {
    const LENGTH_MAX: usize = 400;
    let line = text.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(LENGTH_MAX) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line.to_owned(),
    }
}
