//! How a bench ends.

use std::{fmt::Display, process::ExitCode};

/// The exit code of a bench; an error is told on standard error.
pub fn end(done: Result<(), impl Display>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}
