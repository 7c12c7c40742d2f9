//! Why the shell stops a script or returns to its prompt.

use std::{error::Error, fmt, io};

use nu_ansi_term::{Color, Style};

use super::Screen;
use crate::client::ClientError;

/// A failed statement, command or write. [`fmt::Display`] is what the person reads after `ERROR: `.
#[derive(Debug)]
pub enum ShellError {
    /// The engine or the connection refused.
    Client(ClientError),
    /// A backslash command that cannot be carried out.
    Command(String),
    /// Ctrl-C.
    Cancelled,
    /// Results could not be written: to whom, and why.
    Output(String, io::Error),
    /// Who read the results went away (`| head`): no fault, but there is nothing more to do.
    ReaderGone,
    /// An error of a script, with its place: `load.sql:12`.
    At { place: String, error: Box<ShellError> },
}

impl ShellError {
    /// A failed write to `target`; a closed pipe is told apart.
    pub fn output(target: &str, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Output(target.to_owned(), error)
        }
    }

    /// The same error with its place in a script, unless it has one or the script has no name.
    pub fn at(self, source: &str, line: usize) -> Self {
        match self {
            error if source.is_empty() => error,
            Self::ReaderGone | Self::Cancelled | Self::At { .. } => self,
            error => Self::At { place: format!("{source}:{line}"), error: Box::new(error) },
        }
    }

    /// Whether the reader of the results went away.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, Self::ReaderGone)
    }

    /// Prints it to standard error as `ERROR: ...`, its place first.
    pub fn report(&self, screen: Screen) {
        let label = if screen.error_colors() { Color::Red.bold() } else { Style::new() }.paint("ERROR:");
        match self {
            Self::ReaderGone => {}
            Self::Cancelled => eprintln!("Cancelled."),
            Self::At { place, error } => eprintln!("{place}: {label} {error}"),
            error => eprintln!("{label} {error}"),
        }
    }
}

impl fmt::Display for ShellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "{error}"),
            Self::Command(text) => f.write_str(text),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Output(target, error) => write!(f, "could not write to {target}: {error}"),
            Self::ReaderGone => f.write_str("the reader of the results went away"),
            Self::At { place, error } => write!(f, "{place}: {error}"),
        }
    }
}

impl Error for ShellError {}

impl From<ClientError> for ShellError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
