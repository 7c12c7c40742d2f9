//! Which actions of a log a checkpoint keeps, and how they become its rows.
//!
//! Delta protocol, "Action Reconciliation". Commits come from the newest to the oldest and then the checkpoint before them:
//! the first that is said of a file, of a program's transactions or of a domain counts. A removed file is kept as long as
//! VACUUM must know of it.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StructArray, new_null_array},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef},
    error::ArrowError,
};
use bytes::Bytes;
use serde_json::Value;

use super::{
    action::is_of_process,
    checkpoint::json_rows,
    chunk::vector_id,
    columns::{action_fields, actions, conform, rows_of},
    file_set::key,
    parsed::{ParsedFields, parse_partitions, parse_stats, stats_text},
    raw::identity,
    stats::child,
};

/// Actions of JSON become rows in pieces of this size.
const PIECE_ACTIONS: usize = 4096;

/// What a checkpoint keeps of the past, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// A V2 checkpoint: its files are in sidecars.
    pub(crate) v2: bool,
    pub(crate) stats_as_text: bool,
    pub(crate) stats_parsed: bool,
    /// Files that were removed before are forgotten.
    pub(crate) removed_since_ms: i64,
    /// Transactions of programs that were older are forgotten, if any.
    pub(crate) transactions_since_ms: Option<i64>,
    /// The same of processes of ours ([`PROCESS`](super::PROCESS)), of which there can be many: never longer than this.
    pub(crate) processes_since_ms: i64,
}

/// Sees all actions of a version, from the newest on, and keeps those that count.
#[derive(Debug)]
pub(super) struct Reconciler {
    shape: Shape,
    parsed: ParsedFields,
    seen: HashSet<String>,
    transactions: HashSet<String>,
    domains: HashSet<String>,
}

impl Reconciler {
    pub(super) fn new(shape: Shape, parsed: ParsedFields) -> Self {
        let (seen, transactions, domains) = (HashSet::new(), HashSet::new(), HashSet::new());
        Self { shape, parsed, seen, transactions, domains }
    }

    /// The schema of the rows that it gives.
    pub(super) fn schema(&self) -> SchemaRef {
        let add = |field: &Arc<Field>| match field.name().as_str() {
            "add" => Arc::new(Field::new("add", DataType::Struct(self.add_fields()), true)),
            _ => field.clone(),
        };
        Arc::new(Schema::new(actions().fields().iter().map(add).collect::<Fields>()))
    }

    fn add_fields(&self) -> Fields {
        let Self { shape, parsed, .. } = self;
        let base = action_fields("add");
        let base = base.iter().filter(|field| shape.stats_as_text || field.name() != "stats").cloned();
        let partitions = parsed.partitions.iter().filter(|_| shape.stats_parsed);
        let partitions = partitions.map(|fields| ("partitionValues_parsed", fields.clone()));
        let stats = shape.stats_parsed.then(|| ("stats_parsed", parsed.stats.clone()));
        let parsed = partitions.chain(stats);
        base.chain(parsed.map(|(name, fields)| Arc::new(Field::new(name, DataType::Struct(fields), true)))).collect()
    }

    /// The rows of a file of JSON actions.
    pub(super) fn json(&mut self, bytes: &Bytes) -> Result<Vec<RecordBatch>, String> {
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        for action in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
            let mut action = action.map_err(|error| error.to_string())?;
            if !self.keeps(&action) {
                continue;
            }
            for name in ["add", "remove"] {
                // Anything else than text tells nothing.
                if let Some(fields) = action.get_mut(name).and_then(Value::as_object_mut) {
                    fields.retain(|name, value| name != "stats" || value.is_string());
                }
            }
            kept.push(action);
            if kept.len() == PIECE_ACTIONS {
                rows.push(self.finished(rows_of(&kept).map_err(in_words)?).map_err(in_words)?);
                kept.clear();
            }
        }
        if !kept.is_empty() {
            rows.push(self.finished(rows_of(&kept).map_err(in_words)?).map_err(in_words)?);
        }
        Ok(rows)
    }

    /// The rows of a batch of another checkpoint.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, String> {
        let mut rows = Vec::new();
        for (name, text) in [("txn", false), ("domainMetadata", false), ("add", true), ("remove", true)] {
            let Some(column) = batch.column_by_name(name).filter(|column| column.null_count() < column.len()) else {
                continue;
            };
            match text {
                false => {
                    let one = RecordBatch::try_from_iter([(name, column.clone())]).map_err(in_words)?;
                    let mut said = json_rows(&one)?;
                    said.retain(|action| self.keeps(action));
                    for piece in said.chunks(PIECE_ACTIONS) {
                        rows.push(self.finished(rows_of(piece).map_err(in_words)?).map_err(in_words)?);
                    }
                }
                true => rows.extend(self.files(name, column).map_err(in_words)?),
            }
        }
        Ok(rows)
    }

    /// Is it the newest word, and one that a checkpoint keeps? What the table is comes from elsewhere.
    fn keeps(&mut self, action: &Value) -> bool {
        let said = |name: &str| action.get(name).filter(|value| value.is_object());
        let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_i64);
        if let Some(add) = said("add") {
            identity(add).is_some_and(|key| self.seen.insert(key))
        } else if let Some(gone) = said("remove") {
            let young = number(gone, "deletionTimestamp").unwrap_or(0) > self.shape.removed_since_ms;
            identity(gone).is_some_and(|key| self.seen.insert(key)) && young
        } else if let Some(transaction) = said("txn") {
            let Some(app_id) = transaction.get("appId").and_then(Value::as_str) else { return false };
            let since = match is_of_process(app_id) {
                true => self.shape.transactions_since_ms.max(Some(self.shape.processes_since_ms)),
                false => self.shape.transactions_since_ms,
            };
            // One without a time may be young.
            let young =
                since.is_none_or(|since| number(transaction, "lastUpdated").is_none_or(|updated| updated > since));
            self.transactions.insert(app_id.to_owned()) && young
        } else if let Some(domain) = said("domainMetadata") {
            let removed = domain.get("removed").and_then(Value::as_bool).unwrap_or(false);
            let name = domain.get("domain").and_then(Value::as_str);
            name.is_some_and(|name| self.domains.insert(name.to_owned())) && !removed
        } else {
            false
        }
    }

    /// The files of a column `add` or `remove`.
    fn files(&mut self, name: &str, column: &ArrayRef) -> Result<Option<RecordBatch>, ArrowError> {
        let given = column.as_struct_opt().ok_or_else(|| ArrowError::SchemaError(format!("{name} is no struct")))?;
        let ours = conform(column, &DataType::Struct(action_fields(name)))?;
        let paths = text(ours.as_struct(), "path");
        let vectors = ours.as_struct().column_by_name("deletionVector").and_then(|vectors| vectors.as_struct_opt());
        let deleted =
            ours.as_struct().column_by_name("deletionTimestamp").and_then(|d| d.as_primitive_opt::<Int64Type>());
        let keeps = (0..ours.len()).map(|row| {
            // A row of another action has an add without a path.
            if paths.is_none_or(|paths| paths.is_null(row)) {
                return false;
            }
            let path = paths.map(|paths| paths.value(row)).unwrap_or_default();
            let vector = vectors.and_then(|vectors| vector_of(vectors, row));
            let young =
                deleted.is_none_or(|deleted| deleted.is_valid(row) && deleted.value(row) > self.shape.removed_since_ms);
            self.seen.insert(key(path, vector)) && young
        });
        let keeps: BooleanArray = keeps.map(Some).collect();
        if keeps.true_count() == 0 {
            return Ok(None);
        }
        let ours = match child(given, "stats_parsed")?.filter(|_| name == "add") {
            Some(parsed) => with_stats_of(ours.as_struct(), &parsed)?,
            None => ours,
        };
        let columns = actions().fields().iter().map(|field| match field.name() == name {
            true => ours.clone(),
            false => new_null_array(field.data_type(), ours.len()),
        });
        let rows = RecordBatch::try_new(actions().clone(), columns.collect())?;
        self.finished(filter_record_batch(&rows, &keeps)?).map(Some)
    }

    /// Rows of [`actions`] with what is parsed of their files. They are no news for anyone who reads the checkpoint.
    fn finished(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = self.schema();
        let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match field.name().as_str() {
            "add" => self.finished_adds(&unchanging(column.as_struct())?),
            "remove" => Ok(Arc::new(unchanging(column.as_struct())?) as ArrayRef),
            _ => Ok(column.clone()),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
        RecordBatch::try_new(schema.clone(), columns)
    }

    fn finished_adds(&self, adds: &StructArray) -> Result<ArrayRef, ArrowError> {
        let fields = self.add_fields();
        let array = |field: &Arc<Field>| match field.name().as_str() {
            "stats_parsed" => match text(adds, "stats") {
                Some(stats) => parse_stats(stats, &self.parsed.stats),
                None => Ok(new_null_array(field.data_type(), adds.len())),
            },
            "partitionValues_parsed" => {
                let values = adds.column_by_name("partitionValues").and_then(|values| values.as_map_opt());
                match (values, &self.parsed.partitions) {
                    (Some(values), Some(fields)) => parse_partitions(values, fields),
                    _ => Ok(new_null_array(field.data_type(), adds.len())),
                }
            }
            name => {
                Ok(adds.column_by_name(name).cloned().unwrap_or_else(|| new_null_array(field.data_type(), adds.len())))
            }
        };
        let arrays = fields.iter().map(array).collect::<Result<Vec<_>, ArrowError>>()?;
        Ok(Arc::new(StructArray::try_new(fields, arrays, adds.nulls().cloned())?))
    }
}

/// Files of which `dataChange` is false.
fn unchanging(files: &StructArray) -> Result<StructArray, ArrowError> {
    let (fields, mut arrays, nulls) = files.clone().into_parts();
    if let Some((at, _)) = fields.find("dataChange") {
        arrays[at] = Arc::new(BooleanArray::from(vec![false; files.len()]));
    }
    StructArray::try_new(fields, arrays, nulls)
}

/// Adds whose statistics are text: where they have none, what `parsed` says.
fn with_stats_of(adds: &StructArray, parsed: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (fields, mut arrays, nulls) = adds.clone().into_parts();
    let (Some((at, _)), Some(parsed)) = (fields.find("stats"), parsed.as_struct_opt()) else {
        return Ok(Arc::new(adds.clone()));
    };
    let said = stats_text(parsed)?;
    let had = cast(&arrays[at], &DataType::Utf8)?;
    let had = had.as_string::<i32>().clone();
    let both: StringArray = had.iter().zip(&said).map(|(had, said)| had.or(said)).collect();
    arrays[at] = Arc::new(both);
    Ok(Arc::new(StructArray::try_new(fields, arrays, nulls)?))
}

fn text<'a>(parent: &'a StructArray, name: &str) -> Option<&'a StringArray> {
    parent.column_by_name(name).and_then(|values| values.as_string_opt::<i32>())
}

/// The id of the deletion vector in a row.
fn vector_of(vectors: &StructArray, row: usize) -> Option<String> {
    let (kind, place) = (text(vectors, "storageType")?, text(vectors, "pathOrInlineDv")?);
    if vectors.is_null(row) || kind.is_null(row) || place.is_null(row) {
        return None;
    }
    let offset = vectors.column_by_name("offset").and_then(|offsets| offsets.as_primitive_opt::<Int32Type>());
    let offset = offset.filter(|offset| offset.is_valid(row)).map(|offset| offset.value(row));
    Some(vector_id(kind.value(row), place.value(row), offset))
}

fn in_words(error: ArrowError) -> String {
    error.to_string()
}
