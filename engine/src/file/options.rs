//! What a statement says about files: format, compression, how CSV is written.
//!
//! One list of options for COPY, `read_csv` and its kin, and CREATE EXTERNAL TABLE. Names are Postgres' first; the names
//! that DuckDB and DataFusion have for the same thing are taken too.
//!
//! | option | other names | meaning | default |
//! |---|---|---|---|
//! | FORMAT | | `csv`, `json` (one object a line) or `parquet` | by the file's name |
//! | COMPRESSION | | `none`, `gzip`, `bzip2`, `xz`, `zstd`, of CSV and JSON | by the file's name |
//! | HEADER | HAS_HEADER | whether the first line of a CSV file names the columns | true |
//! | DELIMITER | DELIM, SEP | one character between CSV values; `\t` is a tab | `,` (tab for `.tsv`) |
//! | QUOTE | | around CSV values that need it; empty for none | `"` |
//! | ESCAPE | | before a quote inside quotes | the quote |
//! | NULL | NULLSTR, NULL_VALUE | unquoted text that is NULL in CSV | empty |

use boathouse_storage::file::{File, Location};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use super::csv::Dialect;
use crate::{EngineError, error::did_you_mean, parser::copy::OptionValue};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Json,
}

impl Format {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "csv" | "tsv" => Some(Self::Csv),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Json => "JSON",
        }
    }
}

/// Options as they were given; defaults come with the file's name.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileOptions {
    format: Option<Format>,
    compression: Option<FileCompressionType>,
    header: Option<bool>,
    delimiter: Option<u8>,
    quote: Option<Option<u8>>,
    escape: Option<u8>,
    null: Option<String>,
    /// Options that only CSV has, as given.
    csv_only: Vec<String>,
}

/// Options with their defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct FileFormat {
    pub(crate) format: Format,
    /// `None`: as each file's name says.
    compression: Option<FileCompressionType>,
    pub(crate) csv: Dialect,
}

impl FileFormat {
    pub(crate) fn compression_of(&self, file: &str) -> FileCompressionType {
        self.compression.unwrap_or_else(|| compression_of(&file.to_ascii_lowercase()).1)
    }
}

impl FileOptions {
    pub(crate) fn of_format(format: Format) -> Self {
        Self { format: Some(format), ..Self::default() }
    }

    pub(crate) const NAMES: &[&str] = &["FORMAT", "COMPRESSION", "HEADER", "DELIMITER", "QUOTE", "ESCAPE", "NULL"];

    /// Takes an option when it is one of these; `false` when it is not.
    pub(crate) fn set(&mut self, name: &str, value: &OptionValue) -> Result<bool, EngineError> {
        let upper = name.to_uppercase();
        let key = upper.strip_prefix("FORMAT.").unwrap_or(&upper);
        match key {
            "FORMAT" => self.format = Some(format(&text(key, value)?)?),
            "COMPRESSION" => self.compression = Some(compression(&text(key, value)?)?),
            "HEADER" | "HAS_HEADER" => self.header = Some(boolean(key, value)?),
            "DELIMITER" | "DELIM" | "SEP" => self.delimiter = Some(character(key, &text(key, value)?)?),
            "QUOTE" => {
                let quote = text(key, value)?;
                self.quote = Some(if quote.is_empty() { None } else { Some(character(key, &quote)?) });
            }
            "ESCAPE" => self.escape = Some(character(key, &text(key, value)?)?),
            "NULL" | "NULLSTR" | "NULL_VALUE" => self.null = Some(text(key, value)?),
            _ => return Ok(false),
        }
        if !matches!(key, "FORMAT" | "COMPRESSION") {
            self.csv_only.push(key.into());
        }
        Ok(true)
    }

    /// Fills in what the file's name says.
    pub(crate) fn of_file(&self, name: &str) -> Result<FileFormat, EngineError> {
        let lower = name.to_ascii_lowercase();
        let (stem, by_name) = compression_of(&lower);
        let extension = stem.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
        let Some(format) = self.format.or_else(|| Format::of_name(extension)) else {
            return Err(EngineError::invalid(format!("the format of \"{name}\" is not known")).with_hint(
                "Name it .parquet, .csv, .json, .ndjson or .jsonl (.gz and the like may follow), or say FORMAT.",
            ));
        };
        if format != Format::Csv
            && let Some(option) = self.csv_only.first()
        {
            return Err(EngineError::invalid(format!("option {option} is for CSV, not for {}", format.name())));
        }
        if format == Format::Parquet && self.compression.unwrap_or(by_name).is_compressed() {
            return Err(EngineError::unsupported(format!("a compressed Parquet file is not supported: \"{name}\""))
                .with_hint("Parquet compresses its pages; unpack the file."));
        }
        let standard = Dialect::default();
        let quote = self.quote.unwrap_or(standard.quote);
        let csv = Dialect {
            header: self.header.unwrap_or(standard.header),
            delimiter: self.delimiter.unwrap_or(if extension == "tsv" { b'\t' } else { standard.delimiter }),
            quote,
            escape: self.escape.or(quote).unwrap_or(standard.escape),
            null: self.null.clone().unwrap_or(standard.null),
        };
        if csv.quote == Some(csv.delimiter) {
            return Err(EngineError::invalid("DELIMITER and QUOTE are the same character"));
        }
        Ok(FileFormat { format, compression: self.compression, csv })
    }

    /// The format of files that were found: by the pattern when it says it, by the first file otherwise.
    pub(crate) fn of_files(&self, location: &Location, files: &[File]) -> Result<FileFormat, EngineError> {
        let name = location.file_name();
        match (self.of_file(&name), files.first()) {
            (Err(_), Some(file)) if self.format.is_none() => self.of_file(&file.name),
            (by_pattern, _) => by_pattern,
        }
    }
}

/// An option that nobody took.
pub(crate) fn unknown_option(name: &str, known: &[&str]) -> EngineError {
    let error = EngineError::invalid(format!("there is no option \"{}\" here", name.to_uppercase()));
    match did_you_mean(name, known.iter().copied()) {
        Some(hint) => error.with_hint(hint),
        None if known.is_empty() => error.with_hint("There are none: leave it out."),
        None => error.with_hint(format!("Options: {}.", known.join(", "))),
    }
}

/// The one text of an option.
pub(crate) fn text(name: &str, value: &OptionValue) -> Result<String, EngineError> {
    match value {
        OptionValue::Text(text) => Ok(text.clone()),
        OptionValue::None | OptionValue::Names(_) => {
            Err(EngineError::invalid(format!("option {name} needs one value")))
        }
    }
}

/// `HEADER`, `HEADER true`, `HEADER off`.
pub(crate) fn boolean(name: &str, value: &OptionValue) -> Result<bool, EngineError> {
    let text = match value {
        OptionValue::None => return Ok(true),
        other => text(name, other)?,
    };
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" | "yes" => Ok(true),
        "false" | "off" | "0" | "no" => Ok(false),
        _ => Err(EngineError::invalid(format!("option {name} is true or false, not \"{text}\""))),
    }
}

fn format(name: &str) -> Result<Format, EngineError> {
    Format::of_name(name).ok_or_else(|| {
        EngineError::unsupported(format!("format \"{name}\" is not supported"))
            .with_hint("Formats are parquet, csv and json (one object a line).")
    })
}

pub(crate) fn compression(name: &str) -> Result<FileCompressionType, EngineError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "none" | "uncompressed" => FileCompressionType::UNCOMPRESSED,
        "gzip" | "gz" => FileCompressionType::GZIP,
        "bzip2" | "bz2" => FileCompressionType::BZIP2,
        "xz" => FileCompressionType::XZ,
        "zstd" | "zst" => FileCompressionType::ZSTD,
        _ => {
            return Err(EngineError::unsupported(format!("compression \"{name}\" is not supported"))
                .with_hint("CSV and JSON take none, gzip, bzip2, xz and zstd."));
        }
    })
}

/// What the end of a name says, and the name without it.
pub(crate) fn compression_of(name: &str) -> (&str, FileCompressionType) {
    let known = [
        (".gz", FileCompressionType::GZIP),
        (".bz2", FileCompressionType::BZIP2),
        (".xz", FileCompressionType::XZ),
        (".zst", FileCompressionType::ZSTD),
    ];
    known
        .into_iter()
        .find_map(|(end, compression)| name.strip_suffix(end).map(|stem| (stem, compression)))
        .unwrap_or((name, FileCompressionType::UNCOMPRESSED))
}

fn character(name: &str, text: &str) -> Result<u8, EngineError> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(EngineError::invalid(format!("option {name} is one ASCII character, not \"{text}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_format_and_compression() {
        let of =
            |name: &str| FileOptions::default().of_file(name).map(|found| (found.format, found.compression_of(name)));
        assert_eq!(of("a.parquet").unwrap(), (Format::Parquet, FileCompressionType::UNCOMPRESSED));
        assert_eq!(of("A.CSV.GZ").unwrap(), (Format::Csv, FileCompressionType::GZIP));
        assert_eq!(of("*.jsonl").unwrap(), (Format::Json, FileCompressionType::UNCOMPRESSED));
        assert_eq!(FileOptions::default().of_file("a.tsv").unwrap().csv.delimiter, b'\t');
        assert!(of("a.txt").is_err());
    }

    #[test]
    fn an_option_of_csv_is_refused_elsewhere() {
        let mut options = FileOptions::default();
        assert!(options.set("format.has_header", &OptionValue::Text("false".into())).unwrap());
        assert!(!options.of_file("a.csv").unwrap().csv.header);
        assert!(options.of_file("a.json").is_err());
        assert!(!options.set("colour", &OptionValue::None).unwrap());
    }
}
