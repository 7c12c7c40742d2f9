//! Rows to the bytes of a file: Parquet, CSV, JSON lines, Arrow.
//!
//! CSV is written so that COPY FROM reads the same rows back: an empty text is quoted, NULL is not.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, RecordBatch},
        datatypes::{DataType, SchemaRef},
        error::ArrowError,
        ipc::writer::FileWriter,
        json::LineDelimitedWriter,
        util::display::{ArrayFormatter, FormatOptions},
    },
    error::DataFusionError,
    parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties},
};

use super::csv::Dialect;
use crate::EngineError;

/// Rows of one row group: what a Parquet writer holds at most.
const ROW_GROUP_ROWS_MAX: usize = 512 * 1024;

/// What is written.
#[derive(Debug, Clone)]
pub(crate) enum Encoding {
    Parquet(Compression),
    Csv(Dialect),
    Json,
    Arrow,
}

/// Encodes batches; the bytes made so far are taken away after each.
pub(crate) enum Writer {
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Csv(CsvWriter),
    Json(Vec<u8>),
    Arrow(Box<FileWriter<Vec<u8>>>),
}

impl Writer {
    pub(crate) fn new(encoding: &Encoding, schema: &SchemaRef) -> Result<Self, EngineError> {
        Ok(match encoding {
            Encoding::Parquet(compression) => {
                let properties = WriterProperties::builder()
                    .set_compression(*compression)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties));
                Self::Parquet(Box::new(writer.map_err(DataFusionError::from)?))
            }
            Encoding::Csv(dialect) => Self::Csv(CsvWriter::new(dialect.clone(), schema)?),
            Encoding::Json => Self::Json(Vec::new()),
            Encoding::Arrow => {
                Self::Arrow(Box::new(FileWriter::try_new(Vec::new(), schema).map_err(DataFusionError::from)?))
            }
        })
    }

    /// Adds rows; gives the bytes that are ready.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, EngineError> {
        match self {
            Self::Parquet(writer) => {
                writer.write(batch).map_err(DataFusionError::from)?;
                writer.sync().map_err(DataFusionError::from)?;
                Ok(std::mem::take(writer.inner_mut()))
            }
            Self::Csv(writer) => {
                writer.write(batch).map_err(DataFusionError::from)?;
                Ok(std::mem::take(&mut writer.bytes))
            }
            Self::Json(_) => {
                let mut writer = LineDelimitedWriter::new(Vec::new());
                writer.write(batch).map_err(DataFusionError::from)?;
                writer.finish().map_err(DataFusionError::from)?;
                Ok(writer.into_inner())
            }
            Self::Arrow(writer) => {
                writer.write(batch).map_err(DataFusionError::from)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    /// The last bytes of the file.
    pub(crate) fn finish(self) -> Result<Vec<u8>, EngineError> {
        match self {
            Self::Parquet(mut writer) => {
                writer.finish().map_err(DataFusionError::from)?;
                Ok(std::mem::take(writer.inner_mut()))
            }
            Self::Csv(writer) => Ok(writer.bytes),
            Self::Json(bytes) => Ok(bytes),
            Self::Arrow(mut writer) => {
                writer.finish().map_err(DataFusionError::from)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

/// Values with delimiters between them.
pub(crate) struct CsvWriter {
    dialect: Dialect,
    bytes: Vec<u8>,
}

impl CsvWriter {
    fn new(dialect: Dialect, schema: &SchemaRef) -> Result<Self, EngineError> {
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let given = crate::statement::data_type::sql_type(field.data_type());
            return Err(EngineError::unsupported(format!(
                "column \"{}\" is {given}, which CSV cannot hold",
                field.name()
            ))
            .with_hint("Write Parquet or JSON, or take the column apart in the query."));
        }
        let mut writer = Self { dialect, bytes: Vec::new() };
        if writer.dialect.header {
            for (n, field) in schema.fields().iter().enumerate() {
                writer.delimit(n);
                writer.text(field.name())?;
            }
            writer.bytes.push(b'\n');
        }
        Ok(writer)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let options = FormatOptions::default();
        let columns: Vec<(&ArrayRef, ArrayFormatter<'_>)> = batch
            .columns()
            .iter()
            .map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &options)?)))
            .collect::<Result<_, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            for (n, (column, format)) in columns.iter().enumerate() {
                self.delimit(n);
                if column.is_null(row) && !matches!(column.data_type(), DataType::Null) {
                    self.bytes.extend_from_slice(self.dialect.null.as_bytes());
                } else if !matches!(column.data_type(), DataType::Null) {
                    self.text(&format.value(row).try_to_string()?)
                        .map_err(|error| ArrowError::CsvError(error.message))?;
                }
            }
            self.bytes.push(b'\n');
        }
        Ok(())
    }

    fn delimit(&mut self, column: usize) {
        if column > 0 {
            self.bytes.push(self.dialect.delimiter);
        }
    }

    /// A value, in quotes when it would be read as something else without them.
    fn text(&mut self, value: &str) -> Result<(), EngineError> {
        let special = |byte: u8| {
            byte == self.dialect.delimiter || matches!(byte, b'\n' | b'\r') || Some(byte) == self.dialect.quote
        };
        let spaced = value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace);
        let quoted = value == self.dialect.null || value.is_empty() || spaced || value.bytes().any(special);
        let Some(quote) = self.dialect.quote else {
            if value == self.dialect.null || value.bytes().any(special) {
                let message = format!("the value \"{value}\" cannot be written as CSV without quotes");
                return Err(EngineError::invalid(message).with_hint("Choose another QUOTE, DELIMITER or NULL."));
            }
            self.bytes.extend_from_slice(value.as_bytes());
            return Ok(());
        };
        if !quoted {
            self.bytes.extend_from_slice(value.as_bytes());
            return Ok(());
        }
        self.bytes.push(quote);
        for byte in value.bytes() {
            if byte == quote || byte == self.dialect.escape {
                self.bytes.push(self.dialect.escape);
            }
            self.bytes.push(byte);
        }
        self.bytes.push(quote);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::{
        array::{Int64Array, StringArray},
        datatypes::{Field, Schema},
    };

    use super::*;

    fn csv(dialect: Dialect) -> String {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b,c", DataType::Int64, true),
        ]));
        let a = StringArray::from(vec![Some("say \"hi\""), Some(""), None, Some("x\ny")]);
        let b = Int64Array::from(vec![Some(1), None, Some(3), Some(4)]);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(a), Arc::new(b)]).unwrap();
        let mut writer = Writer::new(&Encoding::Csv(dialect), &schema).unwrap();
        let mut bytes = writer.write(&batch).unwrap();
        bytes.extend(writer.finish().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn null_and_empty_text_differ() {
        assert_eq!(csv(Dialect::default()), "a,\"b,c\"\n\"say \"\"hi\"\"\",1\n\"\",\n,3\n\"x\ny\",4\n");
        let dialect = Dialect { header: false, delimiter: b';', null: "NA".into(), ..Dialect::default() };
        assert_eq!(csv(dialect), "\"say \"\"hi\"\"\";1\n\"\";NA\nNA;3\n\"x\ny\";4\n");
    }
}
