//! `system.mart_exports`: what destinations outside of the lake have of its marts, whichever process delivered it.

use std::sync::Arc;

use boathouse_storage::{
    Lake,
    catalog::{ExportsDocument, MartExport},
};
use datafusion::arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::marts::{READS_AT_ONCE, numbers, text, texts, time, times};
use crate::EngineError;

pub(super) fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("mart", false),
        text("destination", false),
        text("kind", false),
        text("target", false),
        text("mode", false),
        text("state", false),
        number("version"),
        number("rows"),
        Field::new("delivered_at", time(), true),
        number("rows_of_next"),
        number("attempts"),
        text("error", true),
        Field::new("failed_at", time(), true),
        Field::new("retry_at", time(), true),
    ]))
}

/// The exports of all marts that ever were exported, by name.
pub(super) async fn all(lake: &Lake) -> Result<Vec<(String, Arc<ExportsDocument>)>, EngineError> {
    let names = lake.exported_marts().await?;
    let read = stream::iter(names).map(|name| async move {
        let document = lake.mart_exports(&name).await?;
        Ok((name, document))
    });
    read.buffered(READS_AT_ONCE).try_collect().await
}

/// A row per export.
pub(super) fn rows(schema: &SchemaRef, marts: &[(String, Arc<ExportsDocument>)]) -> Result<RecordBatch, ArrowError> {
    let all: Vec<(&String, &MartExport)> =
        marts.iter().flat_map(|(name, document)| document.exports.values().map(move |export| (name, export))).collect();
    let texts_of = |of: fn(&MartExport) -> Option<String>| texts(all.iter().map(|(_, export)| of(export)));
    let delivered = || all.iter().map(|(_, export)| export.delivered.as_ref());
    let failed = || all.iter().map(|(_, export)| export.failed.as_ref());
    let columns = vec![
        texts(all.iter().map(|(name, _)| Some((*name).clone()))),
        texts_of(|export| Some(export.destination.clone())),
        texts_of(|export| Some(export.kind.clone())),
        texts_of(|export| Some(export.target.clone())),
        texts_of(|export| Some(export.mode.clone())),
        texts_of(|export| Some(state(export).to_owned())),
        numbers(delivered().map(|delivered| Some(delivered?.mark.version))),
        numbers(delivered().map(|delivered| delivered?.rows)),
        times(delivered().map(|delivered| Some(delivered?.at_ms)))?,
        numbers(all.iter().map(|(_, export)| export.part.as_ref().map(|part| part.rows))),
        numbers(failed().map(|failed| Some(u64::from(failed?.attempts)))),
        texts_of(|export| export.failed.as_ref().map(|failed| failed.error.clone())),
        times(failed().map(|failed| Some(failed?.at_ms)))?,
        times(failed().map(|failed| failed?.retry_ms))?,
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

fn state(export: &MartExport) -> &'static str {
    match export {
        MartExport { claim: Some(_), .. } => "running",
        MartExport { failed: Some(_), .. } => "failed",
        MartExport { delivered: Some(_), .. } => "delivered",
        // Who began it is gone.
        MartExport { .. } => "pending",
    }
}
