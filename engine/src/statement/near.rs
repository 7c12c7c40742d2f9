//! What CACHE and UNCACHE share: the lakes on which they can do something, and their answers.

use std::sync::Arc;

use boathouse_storage::{Brought, Released, Snapshot, Tier};
use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use super::{Context, Outcome, show::internal};
use crate::{EngineError, RowStream};

/// Files that an answer names.
const FAILED_NAMED_MAX: usize = 20;

/// The columns of CACHE: a row for each tier that the lake has.
pub(super) fn brought_schema() -> SchemaRef {
    schema(&["files", "bytes", "files_left", "bytes_left"], Some("failed"))
}

/// The columns of UNCACHE.
pub(super) fn released_schema() -> SchemaRef {
    schema(&["files", "bytes", "bytes_later"], None)
}

fn schema(numbers: &[&str], text: Option<&str>) -> SchemaRef {
    let tier = Field::new("tier", DataType::Utf8, false);
    let numbers = numbers.iter().map(|name| Field::new(*name, DataType::Int64, false));
    let text = text.map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(Schema::new([tier].into_iter().chain(numbers).chain(text).collect::<Vec<_>>()))
}

/// An error where the lake keeps nothing near by.
pub(super) fn check_tiers(context: &Context, statement: &str) -> Result<(), EngineError> {
    let lake = context.engine.lake();
    if !lake.near_tiers().is_empty() {
        return Ok(());
    }
    let hint = match lake.url().scheme() {
        "memory" => "A lake in memory is as near as can be.",
        "file" => {
            "Set [hot] bytes in the configuration, or BOATHOUSE_HOT_BYTES, for copies of data files that scan faster."
        }
        _ => "Set [warm] bytes or [hot] bytes in the configuration, or BOATHOUSE_WARM_BYTES or BOATHOUSE_HOT_BYTES.",
    };
    let message = format!("{statement} needs data files that are kept near by, and this lake keeps none");
    Err(EngineError::unsupported(message).with_hint(hint))
}

pub(super) fn brought(tiers: &[Brought]) -> Result<Outcome, EngineError> {
    let numbers: [fn(&Brought) -> u64; 4] = [|of| of.files, |of| of.bytes, |of| of.files_left, |of| of.bytes_left];
    let failed: StringArray = tiers.iter().map(failed).collect();
    answer(brought_schema(), tiers, |of| of.tier, &numbers, Some(Arc::new(failed)))
}

/// Which files could not be made ready, and why; NULL where all could.
fn failed(of: &Brought) -> Option<String> {
    let named = of.failed.iter().take(FAILED_NAMED_MAX).map(|(path, reason)| format!("{path}: {reason}"));
    let more = of.failed.len().saturating_sub(FAILED_NAMED_MAX);
    let more = (more > 0).then(|| format!("and {more} more"));
    (!of.failed.is_empty()).then(|| named.chain(more).collect::<Vec<_>>().join("; "))
}

pub(super) fn released(tiers: &[Released]) -> Result<Outcome, EngineError> {
    let numbers: [fn(&Released) -> u64; 3] = [|of| of.files, |of| of.bytes, |of| of.bytes_later];
    answer(released_schema(), tiers, |of| of.tier, &numbers, None)
}

/// Gives up what is near of tables that were dropped: what is pinned for a table that is gone would never make room for others.
pub(super) async fn let_go(context: &Context, tables: &[Arc<Snapshot>]) {
    for table in tables {
        if let Err(error) = context.engine.lake().release_files(table).await {
            tracing::debug!(table = table.name(), %error, "what is near of a dropped table stays");
        }
    }
}

fn answer<T>(
    schema: SchemaRef,
    tiers: &[T],
    tier: fn(&T) -> Tier,
    numbers: &[fn(&T) -> u64],
    text: Option<ArrayRef>,
) -> Result<Outcome, EngineError> {
    let names = StringArray::from_iter_values(tiers.iter().map(|of| tier(of).word()));
    let numbers = numbers.iter().map(|number| {
        let values = tiers.iter().map(|of| i64::try_from(number(of)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
    });
    let columns = [Arc::new(names) as ArrayRef].into_iter().chain(numbers).chain(text).collect();
    let batch = RecordBatch::try_new(schema, columns).map_err(internal)?;
    Ok(Outcome::Rows(RowStream::of_batch(batch)))
}
