//! The one error that the shell prints.

use std::{error::Error, fmt};

use boathouse_engine::{EngineError, ErrorKind};

/// Why a statement or a connection failed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientError {
    pub kind: ErrorKind,
    /// The whole text without the word `ERROR`: message, `LINE`, carets, `DETAIL`, `HINT`.
    pub text: String,
}

impl ClientError {
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ClientError {}

impl From<EngineError> for ClientError {
    fn from(error: EngineError) -> Self {
        Self { kind: error.kind, text: error.to_string() }
    }
}
