//! Rows as text or bytes: one file per family of formats.
//!
//! A [`Printer`] takes the batches of one result and writes them as they come, so memory stays bounded by a batch however
//! long the result is (the table format measures its columns on the first rows only). Printers know nothing of terminals,
//! pagers or files; the caller says through [`Look`] whether colours and cutting are wanted.

mod binary;
mod cell;
mod csv;
mod format;
mod json;
mod line;
mod markdown;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use arrow::array::RecordBatch;

pub use format::Format;

/// How the reader sees the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Dim NULLs and headings with ANSI colours.
    pub colors: bool,
    /// Cells wider than this are cut with `…`. `None`: nothing is cut, which is right for files and pipes.
    pub cell_width_max: Option<usize>,
}

/// Writes one result. Call [`Printer::batch`] any number of times (zero for an empty result), then [`Printer::end`] once.
pub trait Printer: Send {
    /// Takes a batch of the schema that the printer was made for.
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()>;
    /// Writes what is still held, and the footer.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}
