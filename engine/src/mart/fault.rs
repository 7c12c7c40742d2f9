//! What is wrong with a definition: where, what, and the cure.

use std::fmt;

use crate::EngineError;

/// A fault of one definition. Prints `file:line: message`, then the line, detail and hint.
#[derive(Debug)]
pub struct Fault {
    pub file: String,
    /// From 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    pub error: Box<EngineError>,
}

impl Fault {
    pub(super) fn new(file: &str, line: impl Into<Option<usize>>, error: EngineError) -> Self {
        let line = line.into().or_else(|| excerpt_line(&error));
        Self { file: file.to_owned(), line, error: Box::new(error) }
    }
}

/// The line that an error shows.
fn excerpt_line(error: &EngineError) -> Option<usize> {
    let (number, _) = error.excerpt.as_deref()?.strip_prefix("LINE ")?.split_once(':')?;
    number.parse().ok()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.error),
            None => write!(f, "{}: {}", self.file, self.error),
        }
    }
}

impl std::error::Error for Fault {}
