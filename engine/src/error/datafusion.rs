//! DataFusion's errors in our words: the root cause, its kind, its place in the statement.

use datafusion::{
    common::{DataFusionError, Diagnostic},
    sql::sqlparser::parser::ParserError,
};

use boathouse_storage::StoreReason;

use super::{
    EngineError, ErrorKind, Place, memory,
    phrase::{self, tidy},
    schema,
    storage::{data_file, one_line, root_text},
};

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        convert(error, None)
    }
}

/// Carries one of our errors through DataFusion; [`convert`] takes it out again.
impl From<EngineError> for DataFusionError {
    fn from(error: EngineError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Translates an error; with the statement's text the place of the fault is shown when DataFusion knows it.
pub(crate) fn convert(error: DataFusionError, sql: Option<&str>) -> EngineError {
    let place = error.diagnostic().and_then(place).or_else(|| schema::place(&error, sql?));
    let help = error.diagnostic().and_then(help);
    let mut converted = unwrap(error);
    if converted.hint.is_none() {
        converted.hint = help;
    }
    match sql {
        Some(sql) => converted.at(sql, place),
        None => converted,
    }
}

fn place(diagnostic: &Diagnostic) -> Option<Place> {
    diagnostic.span.and_then(Place::of_span)
}

fn help(diagnostic: &Diagnostic) -> Option<String> {
    let help = diagnostic.helps.first()?;
    Some(capitalised(&help.message))
}

/// Peels wrappers off until something says what went wrong. No catch-all: a new variant must be placed.
fn unwrap(error: DataFusionError) -> EngineError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => unwrap(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => convert(first, None),
            None => EngineError::internal("an empty collection of errors"),
        },
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => unwrap(inner),
            Err(shared) => from_shared(shared),
        },
        DataFusionError::External(inner) => from_external(inner),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SQL(inner, _) => from_parser(*inner),
        DataFusionError::SchemaError(inner, _) => schema::convert(*inner),
        DataFusionError::Plan(text) => phrase::planning(&text),
        DataFusionError::Configuration(text) => EngineError::invalid(tidy(&text)),
        DataFusionError::NotImplemented(text) => unsupported(&text),
        DataFusionError::Execution(text) => EngineError::invalid(tidy(&text)),
        DataFusionError::ResourcesExhausted(text) => exhausted(&text),
        DataFusionError::ObjectStore(inner) => from_store(*inner),
        DataFusionError::ParquetError(inner) => from_parquet(*inner),
        DataFusionError::IoError(inner) => from_io(inner),
        DataFusionError::ExecutionJoin(inner) => from_join(*inner),
        DataFusionError::Internal(text) => internal(&text),
        DataFusionError::Substrait(text) | DataFusionError::Ffi(text) => EngineError::internal(tidy(&text)),
    }
}

/// The library calls a call with wrong arguments an internal fault.
fn internal(text: &str) -> EngineError {
    let said = phrase::planning(text);
    if said.hint.is_some() { said } else { EngineError::internal(said.message) }
}

/// What is written in a wrong place is told as not supported.
fn unsupported(text: &str) -> EngineError {
    // The rest is the tree of the statement.
    if text.starts_with("Unsupported ast node") {
        return EngineError::unsupported("an expression of this kind is not supported");
    }
    let said = phrase::planning(text);
    if said.hint.is_some() { said } else { EngineError::unsupported(said.message) }
}

/// An error that several streams hold can only be looked at.
fn from_shared(shared: std::sync::Arc<DataFusionError>) -> EngineError {
    let copied = match shared.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<EngineError>().map(copy),
        DataFusionError::IoError(inner) => carried(inner),
        DataFusionError::ResourcesExhausted(text) => Some(exhausted(text)),
        DataFusionError::Execution(text) | DataFusionError::Plan(text) => Some(EngineError::invalid(tidy(text))),
        DataFusionError::NotImplemented(text) => Some(EngineError::unsupported(tidy(text))),
        DataFusionError::ArrowError(inner, _) => {
            Some(carried(&**inner).unwrap_or_else(|| EngineError::invalid(tidy(&inner.to_string()))))
        }
        DataFusionError::ParquetError(inner) => data_file(&**inner).or_else(|| {
            Some(EngineError::new(ErrorKind::Corrupt, "could not read a Parquet file").with_detail(root_text(&**inner)))
        }),
        DataFusionError::ObjectStore(inner) => Some(
            EngineError::new(ErrorKind::Unavailable, "could not read from storage").with_detail(root_text(&**inner)),
        ),
        _ => None,
    };
    copied
        .unwrap_or_else(|| EngineError::internal(tidy(&shared.find_root().message())))
        .with_source(DataFusionError::Shared(shared))
}

fn from_external(inner: Box<dyn std::error::Error + Send + Sync>) -> EngineError {
    let inner = match inner.downcast::<EngineError>() {
        Ok(error) => return *error,
        Err(other) => other,
    };
    let inner = match inner.downcast::<boathouse_storage::StorageError>() {
        Ok(error) => return (*error).into(),
        Err(other) => other,
    };
    let inner = match inner.downcast::<DataFusionError>() {
        Ok(error) => return convert(*error, None),
        Err(other) => other,
    };
    if let Some(ours) = carried(&*inner) {
        return ours;
    }
    // A library that we cannot name, above a store that we know.
    if let Some(reason) = StoreReason::of(&*inner) {
        let (kind, message, hint) = store_fault(reason);
        let mut error = EngineError::new(kind, message).with_detail(root_text(&*inner));
        error.hint = hint.map(str::to_owned);
        return error.with_source(inner);
    }
    EngineError::internal(root_text(&*inner)).with_source(inner)
}

fn from_arrow(error: datafusion::arrow::error::ArrowError) -> EngineError {
    use datafusion::arrow::error::ArrowError;
    match error {
        ArrowError::ExternalError(inner) => from_external(inner),
        ArrowError::DivideByZero => EngineError::invalid("division by zero"),
        ArrowError::ArithmeticOverflow(text) => EngineError::invalid(format!("value out of range: {}", tidy(&text))),
        ArrowError::CastError(text) | ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => {
            EngineError::invalid(tidy(&text))
        }
        ArrowError::ParseError(text) => EngineError::invalid(tidy(&text)),
        ArrowError::CsvError(text) => EngineError::new(ErrorKind::Corrupt, format!("bad CSV: {}", tidy(&text))),
        ArrowError::JsonError(text) => EngineError::new(ErrorKind::Corrupt, format!("bad JSON: {}", tidy(&text))),
        ArrowError::ParquetError(text) => phrase::parquet(&text),
        ArrowError::IoError(_, inner) => from_io(inner),
        ArrowError::MemoryError(text) => exhausted(&text),
        ArrowError::NotYetImplemented(text) => EngineError::unsupported(tidy(&text)),
        ArrowError::OffsetOverflowError(_) => {
            EngineError::new(ErrorKind::Exhausted, "a column's values need more than 2 GiB in one batch")
                .with_hint("Set a smaller batch_size.")
        }
        other @ (ArrowError::SchemaError(_)
        | ArrowError::IpcError(_)
        | ArrowError::CDataInterface(_)
        | ArrowError::AvroError(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError) => EngineError::internal(tidy(&other.to_string())).with_source(other),
    }
}

fn from_parser(error: ParserError) -> EngineError {
    match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => EngineError::invalid(tidy(&text)),
        ParserError::RecursionLimitExceeded => super::EngineError::invalid("the statement is nested too deep"),
    }
}

/// The library tells in words only that the allowed disk space is used up.
const SPILL_LIMIT: &str = "disk space during the spilling process has exceeded";

fn from_io(error: std::io::Error) -> EngineError {
    use std::io::ErrorKind as Io;
    let text = error.to_string();
    if text.contains(SPILL_LIMIT) {
        // What follows names a setting that a session cannot change.
        return exhausted(text.split(" Please try").next().unwrap_or(&text)).with_source(error);
    }
    match error.kind() {
        Io::UnexpectedEof | Io::InvalidData => {
            EngineError::new(ErrorKind::Corrupt, "a file is damaged").with_detail(error.to_string()).with_source(error)
        }
        _ => from_store(error),
    }
}

/// One of our errors on its way through writers, which wrap it as they like.
fn carried(error: &(dyn std::error::Error + 'static)) -> Option<EngineError> {
    if let Some(ours) = error.downcast_ref::<EngineError>() {
        return Some(copy(ours));
    }
    // What an I/O error was made of is not among its causes.
    if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return carried(inner);
    }
    match error.downcast_ref::<DataFusionError>() {
        Some(DataFusionError::External(inner)) => carried(inner.as_ref()),
        Some(DataFusionError::IoError(inner)) => carried(inner),
        Some(DataFusionError::ArrowError(inner, _)) => carried(&**inner),
        _ => match error.downcast_ref::<datafusion::arrow::error::ArrowError>() {
            Some(datafusion::arrow::error::ArrowError::IoError(_, inner)) => carried(inner),
            _ => error.source().and_then(carried),
        },
    }
}

/// All but the source, which has one owner.
fn copy(error: &EngineError) -> EngineError {
    EngineError {
        kind: error.kind,
        message: error.message.clone(),
        excerpt: error.excerpt.clone(),
        detail: error.detail.clone(),
        hint: error.hint.clone(),
        source: None,
    }
}

fn from_join(error: tokio::task::JoinError) -> EngineError {
    if error.is_cancelled() {
        EngineError::new(ErrorKind::Cancelled, "the statement was cancelled")
    } else {
        EngineError::internal("a task of the statement failed").with_source(error)
    }
}

/// Kind, sentence and hint of a store's fault.
pub(super) fn store_fault(reason: StoreReason) -> (ErrorKind, &'static str, Option<&'static str>) {
    match reason {
        StoreReason::NotFound => {
            let hint = "Another process may have removed it; run the statement again.";
            (ErrorKind::NotFound, "a file that the statement reads is not there", Some(hint))
        }
        StoreReason::Denied => {
            let hint = "Check the keys and their rights on the bucket, or the rights on the folder.";
            (ErrorKind::Denied, "storage refused access", Some(hint))
        }
        StoreReason::Archived => {
            let hint = "Restore it in the bucket, wait until that is done, and run the statement again.";
            (ErrorKind::Unavailable, "a file that the statement reads lies in an archive", Some(hint))
        }
        StoreReason::AlreadyExists => (ErrorKind::Conflict, "another writer was there first", None),
        StoreReason::Full => (ErrorKind::Exhausted, "the disk is full", Some("Free some space, or ask for less.")),
        StoreReason::Unsupported => (ErrorKind::Unsupported, "storage does not support what the statement needs", None),
        StoreReason::Unavailable => (ErrorKind::Unavailable, "could not read from storage", None),
    }
}

fn from_store(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    if let Some(ours) = carried(&error) {
        return ours;
    }
    let (kind, message, hint) = store_fault(StoreReason::of(&error).unwrap_or(StoreReason::Unavailable));
    let mut converted = EngineError::new(kind, message).with_detail(root_text(&error));
    converted.hint = hint.map(str::to_owned);
    converted.with_source(error)
}

/// A file that is damaged, unless its store failed below it.
fn from_parquet(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    if let Some(found) = data_file(&error) {
        return found.with_source(error);
    }
    if StoreReason::of(&error).is_some() {
        return from_store(error);
    }
    phrase::parquet(&root_text(&error)).with_source(error)
}

/// Out of memory or out of disk for spilling, with what to do about it.
fn exhausted(text: &str) -> EngineError {
    let disk = text.contains("disk") || text.contains("Disk");
    let (message, hint) = if disk {
        (
            "the statement needs more disk for spilling than is allowed".to_owned(),
            "Ask for less (a filter, fewer columns, a LIMIT), or give the process more spill space.",
        )
    } else {
        let asked = memory::asked(text).map(|what| format!(": {what} asked for it")).unwrap_or_default();
        (
            format!("the statement needs more memory than is allowed{asked}"),
            "Ask for less (a filter, fewer columns, a LIMIT), run fewer statements at once, or give the process more memory (--memory).",
        )
    };
    EngineError::new(ErrorKind::Exhausted, message).with_detail(in_one_line(text)).with_hint(hint)
}

/// The pool names its largest consumers line by line.
fn in_one_line(text: &str) -> String {
    one_line(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => {
            let rest: String = characters.collect();
            let end = if rest.ends_with(['.', '?', '!']) { "" } else { "." };
            first.to_uppercase().to_string() + &rest + end
        }
        None => String::new(),
    }
}
