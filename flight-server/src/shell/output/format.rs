//! The list of formats, and the printer that belongs to each.

use std::{fmt, io, str::FromStr};

use arrow::datatypes::SchemaRef;
use clap::ValueEnum;

use super::{Look, Printer, binary, csv, json, line, markdown, table};

/// How a result is written. The names are those of `--format` and `\format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns
    Table,
    /// One line per value
    Line,
    /// Comma-separated values with a heading (RFC 4180; NULL is empty, an empty text is "")
    Csv,
    /// One array of objects
    Json,
    /// One object per line
    Ndjson,
    /// A Markdown table
    Markdown,
    /// A Parquet file
    Parquet,
    /// An Arrow IPC stream
    Arrow,
}

impl Format {
    pub const ALL: [Self; 8] =
        [Self::Table, Self::Line, Self::Csv, Self::Json, Self::Ndjson, Self::Markdown, Self::Parquet, Self::Arrow];

    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Line => "line",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Markdown => "markdown",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// Whether people read it: then row counts and command tags belong between the results.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Line)
    }

    /// Whether it is bytes, which no terminal should see, and of which a file holds one result.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }

    /// A printer for one result.
    pub fn printer(self, schema: SchemaRef, look: Look) -> io::Result<Box<dyn Printer>> {
        Ok(match self {
            Self::Table => Box::new(table::Table::new(schema, look)),
            Self::Line => Box::new(line::Line::new(schema, look)),
            Self::Csv => Box::new(csv::Csv::new(schema)),
            Self::Json => Box::new(json::Json::array()),
            Self::Ndjson => Box::new(json::Json::lines()),
            Self::Markdown => Box::new(markdown::Markdown::new(schema)),
            Self::Parquet => Box::new(binary::Parquet::new(schema)?),
            Self::Arrow => Box::new(binary::ArrowStream::new(schema)?),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown format \"{name}\"; there are {names}")
        })
    }
}
