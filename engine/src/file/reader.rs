//! A CSV or JSON file as batches of typed rows, streamed: no more than one batch and one row is held.
//!
//! ```text
//! bytes -> decompressed -> csv / json scanner -> columns of text -> convert -> batch
//!                                    bad row -> error, or set aside <-'
//! ```

use std::sync::Arc;

use boathouse_storage::file::File;
use bytes::Bytes;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringBuilder},
        compute::filter_record_batch,
        datatypes::{FieldRef, SchemaRef},
    },
    common::ScalarValue,
    error::DataFusionError,
    execution::object_store::ObjectStoreRegistry,
};
use futures::{Stream, StreamExt, stream::BoxStream};

use super::{
    convert,
    csv::{self, Step},
    json::Value,
    options::FileFormat,
    partition,
    rejects::Rejects,
    scan::{Scan, header_names, open, unreadable},
};
use crate::{EngineError, error::did_you_mean, statement::data_type::sql_type};

/// Bytes of text in one batch.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes asked for at once.
const PIECE_BYTES_MIN: usize = 64 << 10;
/// Characters of a value that an error shows.
const SHOWN_MAX: usize = 100;

/// How to read files as rows.
#[derive(Debug)]
pub(crate) struct TextSource {
    pub(crate) stores: Arc<dyn ObjectStoreRegistry>,
    pub(crate) format: FileFormat,
    /// The columns wanted, in this order.
    pub(crate) schema: SchemaRef,
    /// All columns that a file may have. One that is not among them is a fault when `strict`, passed over otherwise.
    pub(crate) known: Vec<String>,
    /// What columns become that the header of a CSV file does not name; NULL those that are not here.
    pub(crate) defaults: Vec<(String, ScalarValue)>,
    /// Columns of `schema` whose values are in folder names.
    pub(crate) partition_columns: Vec<FieldRef>,
    pub(crate) strict: bool,
    /// Where bad rows go; `None`: the first one is an error.
    pub(crate) rejects: Option<Arc<Rejects>>,
    /// What the person may do about a bad row.
    pub(crate) hint: Option<String>,
}

/// Reads one file.
pub(crate) fn read(
    source: Arc<TextSource>,
    file: File,
    batch_rows: usize,
) -> impl Stream<Item = Result<RecordBatch, EngineError>> + Send {
    futures::stream::try_unfold(FileReader::new(source, file, batch_rows), |mut reader| async move {
        Ok(reader.next().await?.map(|batch| (batch, reader)))
    })
}

struct FileReader {
    source: Arc<TextSource>,
    file: File,
    batch_rows: usize,
    bytes: Option<BoxStream<'static, Result<Bytes, DataFusionError>>>,
    scan: Scan,
    /// Where in a CSV row each wanted column is, and how many values a row has.
    layout: Option<(Vec<Option<usize>>, usize)>,
    columns: Vec<StringBuilder>,
    /// For each column: the text that all its rows have, where the file's folder gives it.
    constants: Vec<Option<Option<String>>>,
    lines: Vec<u64>,
    /// The rows as they stand in the file, kept when bad ones are set aside.
    texts: Vec<String>,
    bytes_held: usize,
}

impl FileReader {
    fn new(source: Arc<TextSource>, file: File, batch_rows: usize) -> Self {
        let columns = source.schema.fields().iter().map(|_| StringBuilder::new()).collect();
        let scan = Scan::new(&source.format);
        let layout = match &scan {
            Scan::Csv(_) if !source.format.csv.header => {
                let place = |name: &String| source.known.iter().position(|known| known == name);
                let places = source.schema.fields().iter().map(|field| place(field.name())).collect();
                Some((places, source.known.len()))
            }
            _ => None,
        };
        Self {
            source,
            file,
            batch_rows,
            bytes: None,
            scan,
            layout,
            columns,
            constants: Vec::new(),
            lines: Vec::new(),
            texts: Vec::new(),
            bytes_held: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, EngineError> {
        loop {
            match self.scan.step() {
                Step::Row => {
                    if let Err(reason) = self.row()? {
                        self.bad_row(&reason).await?;
                    }
                    if self.lines.len() >= self.batch_rows || self.bytes_held >= BATCH_BYTES_MAX {
                        return self.flush().await.map(Some);
                    }
                }
                // A header that cannot be read is no row to be set aside.
                Step::Bad(reason) if self.layout.is_none() && matches!(self.scan, Scan::Csv(_)) => {
                    return Err(self.refused(self.scan.line(), reason));
                }
                Step::Bad(reason) => self.bad_row(reason).await?,
                Step::More => self.more().await?,
                Step::End if self.lines.is_empty() => return Ok(None),
                Step::End => return self.flush().await.map(Some),
            }
        }
    }

    async fn more(&mut self) -> Result<(), EngineError> {
        if self.bytes.is_none() {
            self.constants = constants(&self.source, &self.file)?;
            self.bytes = Some(open(self.source.stores.as_ref(), &self.source.format, &self.file).await?);
        }
        let Some(bytes) = &mut self.bytes else { return Ok(()) };
        // A row that is not whole is scanned again with more bytes: at least as many as it has, or long rows would cost
        // the square of their length.
        let wanted = self.scan.pending().max(PIECE_BYTES_MIN);
        let mut fed = 0;
        while fed < wanted {
            let next = bytes.next().await.transpose().map_err(|error| unreadable(&self.file, error))?;
            fed += next.as_ref().map_or(wanted, Bytes::len);
            self.scan.feed(next);
        }
        Ok(())
    }

    /// Takes the scanner's row. The inner error is a reason to reject it.
    fn row(&mut self) -> Result<Result<(), String>, EngineError> {
        match &self.scan {
            Scan::Csv(row) => {
                let Some((places, values)) = &self.layout else {
                    self.layout = Some(header(&self.source, &self.file, row)?);
                    return Ok(Ok(()));
                };
                if row.is_blank() && *values > 1 {
                    return Ok(Ok(()));
                }
                if row.len() != *values {
                    return Ok(Err(format!("it has {} values, not {values}", row.len())));
                }
                let fields = self.source.schema.fields().iter().zip(&self.constants);
                for ((column, place), (field, constant)) in self.columns.iter_mut().zip(places).zip(fields) {
                    let value = match constant {
                        Some(constant) => constant.as_deref(),
                        None => place.and_then(|place| row.value(place)),
                    };
                    let value = if field.data_type().is_string() { value } else { value.map(str::trim) };
                    self.bytes_held += value.map_or(1, str::len);
                    column.append_option(value);
                }
            }
            Scan::Json(row) => {
                let members = row.members();
                if self.source.strict
                    && let Some((name, _)) = members.iter().find(|(name, _)| !self.source.known.contains(name))
                {
                    return Ok(Err(unknown_column(name, &self.source.known)));
                }
                let fields = self.source.schema.fields().iter().zip(&self.constants);
                for (column, (field, constant)) in self.columns.iter_mut().zip(fields) {
                    if let Some(constant) = constant {
                        column.append_option(constant.as_deref());
                        continue;
                    }
                    let value = members.iter().find(|(name, _)| name == field.name()).map(|(_, value)| value);
                    let text = value.and_then(|value| member_text(value, field.data_type().is_nested()));
                    self.bytes_held += text.as_ref().map_or(1, String::len);
                    column.append_option(text);
                }
            }
        }
        self.lines.push(self.scan.line());
        if self.source.rejects.is_some() {
            let text = self.scan.text();
            self.bytes_held += text.len();
            self.texts.push(text);
        }
        Ok(Ok(()))
    }

    async fn bad_row(&mut self, reason: &str) -> Result<(), EngineError> {
        let line = self.scan.line();
        match self.source.rejects.clone() {
            Some(rejects) => rejects.add(&self.file.name, line, reason, &self.scan.text()).await,
            None => {
                // A row before it may be bad as well; the first one is reported.
                self.flush().await?;
                Err(self.refused(line, reason))
            }
        }
    }

    fn refused(&self, line: u64, reason: &str) -> EngineError {
        let mut error = EngineError::invalid(format!("bad row in \"{}\", line {line}: {reason}", self.file.name));
        error.hint = self.source.hint.clone();
        error
    }

    /// What a column that the file's header does not name becomes.
    fn default_of(&self, at: usize, column: &str) -> Option<&ScalarValue> {
        let (places, _) = self.layout.as_ref()?;
        let is_given =
            places.get(at).is_some_and(Option::is_some) || self.constants.get(at).is_some_and(Option::is_some);
        let default = self.source.defaults.iter().find(|(name, _)| name == column).filter(|_| !is_given);
        default.map(|(_, value)| value)
    }

    /// Converts the rows held and gives up the bad ones.
    async fn flush(&mut self) -> Result<RecordBatch, EngineError> {
        let rows = self.lines.len();
        let mut reasons: Vec<Option<String>> = vec![None; rows];
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let schema = Arc::clone(&self.source.schema);
        for (at, field) in schema.fields().iter().enumerate() {
            let text = self.columns[at].finish();
            let (values, bad) = match self.default_of(at, field.name()) {
                Some(default) => (default.to_array_of_size(rows)?, Vec::new()),
                None => convert::convert(&text, field)?,
            };
            for row in bad {
                let value = shortened(text.value(row));
                let reason = || {
                    format!(
                        "column \"{}\" is {}, but the value is \"{value}\"",
                        field.name(),
                        sql_type(field.data_type())
                    )
                };
                reasons[row].get_or_insert_with(reason);
            }
            if !field.is_nullable() && values.null_count() > 0 {
                let missing = || format!("column \"{}\" is NOT NULL, but the value is missing", field.name());
                for row in (0..rows).filter(|row| values.is_null(*row)) {
                    reasons[row].get_or_insert_with(missing);
                }
            }
            arrays.push(values);
        }
        let keep: BooleanArray = reasons.iter().map(|reason| Some(reason.is_none())).collect();
        for (row, reason) in reasons.iter().enumerate() {
            let Some(reason) = reason else { continue };
            match &self.source.rejects {
                Some(rejects) => rejects.add(&self.file.name, self.lines[row], reason, &self.texts[row]).await?,
                None => return Err(self.refused(self.lines[row], reason)),
            }
        }
        self.lines.clear();
        self.texts.clear();
        self.bytes_held = 0;
        batch(schema, arrays, rows, &keep).map_err(EngineError::from)
    }
}

/// The texts of the columns that the file's folder gives.
fn constants(source: &TextSource, file: &File) -> Result<Vec<Option<Option<String>>>, EngineError> {
    let mut texts = partition::texts(file, &source.partition_columns)?;
    let place = |name: &str| source.partition_columns.iter().position(|column| column.name() == name);
    Ok(source.schema.fields().iter().map(|field| place(field.name()).map(|at| texts[at].take())).collect())
}

fn batch(
    schema: SchemaRef,
    arrays: Vec<ArrayRef>,
    rows: usize,
    keep: &BooleanArray,
) -> Result<RecordBatch, DataFusionError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    if keep.true_count() == rows {
        return Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?);
    }
    // Bad rows hold NULL until they are taken out, in NOT NULL columns as well.
    let loose: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let loose = Arc::new(datafusion::arrow::datatypes::Schema::new(loose));
    let kept = filter_record_batch(&RecordBatch::try_new_with_options(loose, arrays, &options)?, keep)?;
    let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, kept.columns().to_vec(), &options)?)
}

/// Matches the names of the first line to the columns.
fn header(source: &TextSource, file: &File, row: &csv::Scanner) -> Result<(Vec<Option<usize>>, usize), EngineError> {
    let names = header_names(row);
    let refused = |reason: String| EngineError::invalid(format!("bad header in \"{}\": {reason}", file.name));
    if let Some(name) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)).map(|(_, name)| name) {
        return Err(refused(format!("two columns have the name \"{name}\"")));
    }
    let is = |name: &str, known: &str| name == known || name.eq_ignore_ascii_case(known);
    if source.strict
        && let Some(name) = names.iter().find(|name| !source.known.iter().any(|known| is(name, known)))
    {
        let error = refused(unknown_column(name, &source.known));
        return Err(error.with_hint("If the first line holds values, say HEADER false."));
    }
    let place = |wanted: &str| {
        names.iter().position(|name| name == wanted).or_else(|| names.iter().position(|name| is(name, wanted)))
    };
    let places = source.schema.fields().iter().map(|field| place(field.name())).collect();
    Ok((places, names.len()))
}

fn unknown_column(name: &str, known: &[String]) -> String {
    let hint = did_you_mean(name, known.iter().map(String::as_str)).map(|hint| format!(" ({hint})"));
    format!("there is no column \"{name}\"{}", hint.unwrap_or_default())
}

/// The text that a column is made from.
fn member_text(value: &Value, nested: bool) -> Option<String> {
    match value {
        Value::Null => None,
        // Text is no array: its JSON form will not decode as one.
        Value::Text(text) if nested => Some(serde_json::Value::String(text.clone()).to_string()),
        Value::Text(text) | Value::Plain(text) | Value::Nested(text) => Some(text.clone()),
    }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{}...", &value[..cut]),
        None => value.into(),
    }
}
