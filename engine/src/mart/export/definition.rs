//! What a definition says of exports: `[[export]]`, or `exports = [{ ... }]` in one line.

use toml::Spanned;

use super::super::{
    fault::Fault,
    header::{self, Block},
};
use crate::{EngineError, error::did_you_mean};

/// Where a mart's rows go, as its definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Where it stands in the file.
    pub(in crate::mart) line: usize,
    /// The name of a destination in the configuration.
    pub to: String,
    /// The place there, if one is named.
    pub table: Option<String>,
    pub mode: ExportMode,
    /// Columns that tell rows apart.
    pub key: Vec<String>,
}

/// What becomes of rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportMode {
    /// The mart's rows take the place of all.
    Replace,
    /// Each row takes the place of the one with its key, or is added. None is taken away.
    Merge,
    /// Rows that the mart did not have in the version before are added.
    Append,
}

impl ExportMode {
    const ALL: [Self; 3] = [Self::Replace, Self::Merge, Self::Append];

    /// As definitions have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Merge => "merge",
            Self::Append => "append",
        }
    }

    fn of(word: &str) -> Result<Self, EngineError> {
        Self::ALL.into_iter().find(|mode| mode.word() == word).ok_or_else(|| {
            let hint = did_you_mean(word, Self::ALL.into_iter().map(Self::word));
            let error = EngineError::invalid(format!("mode = \"{word}\" of an export is not known"));
            error.with_hint(hint.unwrap_or_else(|| "Write replace, merge or append.".to_owned()))
        })
    }
}

impl Export {
    /// The place in the destination: a table, a folder, or what the receiver is told.
    pub fn target<'a>(&'a self, mart: &'a str) -> &'a str {
        self.table.as_deref().unwrap_or(mart)
    }

    /// By which its state is found.
    pub(super) fn id(&self, mart: &str) -> String {
        format!("{}/{}", self.to, self.target(mart))
    }

    fn of(written: header::Export, line: usize) -> Result<Self, EngineError> {
        let header::Export { to, table, mode, key } = written;
        let mode = mode.as_deref().map_or(Ok(ExportMode::Replace), ExportMode::of)?;
        let key = key.map(|names| names.0).unwrap_or_default();
        match (mode, key.is_empty()) {
            (ExportMode::Merge, true) => {
                let error = EngineError::invalid("mode = \"merge\" of an export needs key");
                return Err(error.with_hint("Write key = \"id\", or a list: the columns that tell rows apart."));
            }
            (ExportMode::Replace | ExportMode::Append, false) => {
                let error = EngineError::invalid(format!("key has no meaning with mode = \"{}\"", mode.word()));
                return Err(error.with_hint("Leave it out, or write mode = \"merge\"."));
            }
            _ => {}
        }
        if let Some((at, twice)) = key.iter().enumerate().find(|(at, name)| key[..*at].contains(name)) {
            return Err(EngineError::invalid(format!(
                "column \"{twice}\" is twice in the key, at last as number {}",
                at + 1
            )));
        }
        if table.as_ref().is_some_and(|table| table.trim().is_empty()) {
            return Err(EngineError::invalid("table of an export is empty").with_hint("Leave it out, or name one."));
        }
        Ok(Self { line, to, table, mode, key })
    }
}

/// The exports of a definition, checked as far as that goes without destinations.
pub(in crate::mart) fn written(
    file: &str,
    block: &Block<'_>,
    mart: &str,
    written: Vec<Spanned<header::Export>>,
) -> Result<Vec<Export>, Fault> {
    let mut exports: Vec<Export> = Vec::new();
    for written in written {
        let line = block.line(written.span().start);
        let export = Export::of(written.into_inner(), line).map_err(|error| Fault::new(file, line, error))?;
        if exports.iter().any(|other| other.id(mart) == export.id(mart)) {
            let error = EngineError::invalid(format!("two exports go to the same place in \"{}\"", export.to));
            return Err(Fault::new(file, line, error.with_hint("Name another table for one of them.")));
        }
        exports.push(export);
    }
    Ok(exports)
}
