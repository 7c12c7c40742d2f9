//! A file's bytes, decompressed and cut into rows, whatever its format.

use boathouse_storage::file::{self, File};
use bytes::Bytes;
use datafusion::{error::DataFusionError, execution::object_store::ObjectStoreRegistry};
use futures::{StreamExt, stream::BoxStream};

use super::{
    csv::{self, Step},
    json,
    options::{FileFormat, Format},
};
use crate::EngineError;

/// Opens a file's bytes, decompressed.
pub(super) async fn open(
    stores: &dyn ObjectStoreRegistry,
    format: &FileFormat,
    file: &File,
) -> Result<BoxStream<'static, Result<Bytes, DataFusionError>>, EngineError> {
    let bytes = file::read(stores, file).await?;
    let bytes = bytes.map(|bytes| bytes.map_err(|error| DataFusionError::External(Box::new(error)))).boxed();
    Ok(format.compression_of(&file.name).convert_stream(bytes)?)
}

/// Either scanner.
pub(super) enum Scan {
    Csv(csv::Scanner),
    Json(json::Scanner),
}

impl Scan {
    pub(super) fn new(format: &FileFormat) -> Self {
        match format.format {
            Format::Json => Scan::Json(json::Scanner::default()),
            Format::Csv | Format::Parquet => Scan::Csv(csv::Scanner::new(format.csv.clone())),
        }
    }

    pub(super) fn step(&mut self) -> Step {
        match self {
            Scan::Csv(scanner) => scanner.step(),
            Scan::Json(scanner) => scanner.step(),
        }
    }

    pub(super) fn feed(&mut self, bytes: Option<Bytes>) {
        match (self, bytes) {
            (Scan::Csv(scanner), Some(bytes)) => scanner.feed(&bytes),
            (Scan::Csv(scanner), None) => scanner.end(),
            (Scan::Json(scanner), Some(bytes)) => scanner.feed(&bytes),
            (Scan::Json(scanner), None) => scanner.end(),
        }
    }

    pub(super) fn pending(&self) -> usize {
        match self {
            Scan::Csv(scanner) => scanner.pending(),
            Scan::Json(scanner) => scanner.pending(),
        }
    }

    pub(super) fn line(&self) -> u64 {
        match self {
            Scan::Csv(scanner) => scanner.line(),
            Scan::Json(scanner) => scanner.line(),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Scan::Csv(scanner) => scanner.text(),
            Scan::Json(scanner) => scanner.text(),
        }
    }
}

/// The values of a CSV header. A column without a name is called by its place.
pub(super) fn header_names(row: &csv::Scanner) -> Vec<String> {
    let name = |n: usize| match row.value(n).unwrap_or_default().trim() {
        "" => format!("column_{}", n + 1),
        name => name.to_string(),
    };
    (0..row.len()).map(name).collect()
}

/// A file whose bytes cannot be had or decompressed.
pub(super) fn unreadable(file: &File, error: DataFusionError) -> EngineError {
    let error = EngineError::from(error);
    if error.message.contains(&file.name) {
        return error;
    }
    EngineError { message: format!("could not read \"{}\": {}", file.name, error.message), ..error }
}
