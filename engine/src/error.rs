//! The error that people see: what, where, and what to do about it.
//!
//! Everything below (DataFusion, storage, Arrow) is translated here, once, exhaustively, so that no caller looks into a
//! library's error. A text never repeats its cause: `Display` prints message, excerpt, detail and hint; the cause stays
//! in `source` for the log.

mod datafusion;
mod excerpt;
mod memory;
mod nearest;
mod phrase;
mod planning;
mod schema;
mod storage;

use std::fmt;

pub(crate) use self::{
    datafusion::convert,
    excerpt::{Place, token_place},
    nearest::{did_you_mean, did_you_mean_quoted},
    planning::misplaced_subquery,
};

/// What the reader should do. A new kind needs a caller that acts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// Fix the statement.
    InvalidSql,
    NotFound,
    AlreadyExists,
    Denied,
    Unsupported,
    /// Retry the statement.
    Conflict,
    /// Ask for less.
    Exhausted,
    /// Retry later.
    Unavailable,
    Cancelled,
    /// Restore the data.
    Corrupt,
    /// Report it.
    Internal,
}

impl ErrorKind {
    /// As programs are told of it: `NOT_FOUND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSql => "INVALID_SQL",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Conflict => "CONFLICT",
            Self::Exhausted => "EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Cancelled => "CANCELLED",
            Self::Corrupt => "CORRUPT",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A failed statement. `Display` prints message, `LINE n:` with carets, `DETAIL:` and `HINT:`, without the source.
#[derive(Debug)]
pub struct EngineError {
    pub kind: ErrorKind,
    /// One sentence, no full stop, names in double quotes.
    pub message: String,
    /// `LINE 3: ...` and the carets under it.
    pub excerpt: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), excerpt: None, detail: None, hint: None, source: None }
    }

    /// The statement is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidSql, message)
    }

    /// The statement is right SQL that this product does not carry out.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A broken invariant of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Without the line: it belongs to another text than the statement's.
    pub(crate) fn without_excerpt(mut self) -> Self {
        self.excerpt = None;
        self
    }

    /// Shows the line of `sql` at `place` with carets, unless an excerpt is there already.
    pub(crate) fn at(mut self, sql: &str, place: impl Into<Option<Place>>) -> Self {
        if self.excerpt.is_none()
            && let Some(place) = place.into()
        {
            self.excerpt = excerpt::excerpt(sql, place);
        }
        self
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "\nDETAIL: {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
