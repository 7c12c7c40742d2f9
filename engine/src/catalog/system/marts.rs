//! `system.marts`, `system.mart_columns`, `system.mart_runs` and `system.mart_tests`: what is written down in the lake about its marts, whichever
//! process ran them.

use std::sync::Arc;

use boathouse_storage::{
    Lake,
    catalog::{MartColumn, MartDocument, MartRun, MartRunState, MartTest},
};
use datafusion::arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{EngineError, mart::is_unknown};

/// Documents read together.
pub(super) const READS_AT_ONCE: usize = 16;

pub(super) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

/// Of `system.marts`.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("name", false),
        text("strategy", false),
        text("refresh", true),
        text("state", true),
        text("description", true),
        text("owner", true),
        text("tags", true),
        text("reads", false),
        Field::new("version", DataType::Int64, true),
        Field::new("rows", DataType::Int64, true),
        Field::new("published_at", time(), true),
        text("freshness", true),
        text("late", true),
        text("definition", false),
    ]))
}

/// Of `system.mart_columns`.
pub(super) fn column_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("mart", false),
        text("name", false),
        Field::new("position", DataType::Int64, false),
        text("data_type", false),
        Field::new("not_null", DataType::Boolean, false),
        text("description", true),
        text("owner", true),
        text("tags", true),
    ]))
}

/// Of `system.mart_runs`.
pub(super) fn run_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("mart", false),
        text("run_id", false),
        text("state", false),
        text("cause", false),
        Field::new("attempt", DataType::Int64, false),
        Field::new("started_at", time(), false),
        Field::new("ended_at", time(), true),
        Field::new("rows", DataType::Int64, true),
        Field::new("version", DataType::Int64, true),
        text("inputs", false),
        text("error", true),
        Field::new("retry_at", time(), true),
    ]))
}

/// Of `system.mart_tests`.
pub(super) fn test_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("mart", false),
        text("run_id", false),
        text("test", false),
        text("state", false),
        text("on_violation", false),
        Field::new("violations", DataType::Int64, false),
        text("samples", true),
        Field::new("value", DataType::Float64, true),
        Field::new("tested_at", time(), false),
    ]))
}

/// All marts that ever ran, or that a statement made, by name.
pub(crate) async fn all(lake: &Lake) -> Result<Vec<(String, Arc<MartDocument>)>, EngineError> {
    let names = lake.marts().await?;
    let read = stream::iter(names).map(|name| async move {
        let document = lake.mart(&name).await?;
        Ok::<_, EngineError>((name, document))
    });
    let mut marts: Vec<(String, Arc<MartDocument>)> = read.buffered(READS_AT_ONCE).try_collect::<Vec<_>>().await?;
    // Those that were dropped have left a document that says nothing.
    marts.retain(|(_, document)| !is_unknown(document));
    Ok(marts)
}

/// A row per mart.
pub(super) fn rows(schema: &SchemaRef, marts: &[(String, Arc<MartDocument>)]) -> Result<RecordBatch, ArrowError> {
    let texts = |of: fn(&MartDocument) -> Option<String>| texts(marts.iter().map(|(_, mart)| of(mart)));
    let published = || marts.iter().map(|(_, mart)| mart.published());
    let columns = vec![
        self::texts(marts.iter().map(|(name, _)| Some(name.clone()))),
        texts(|mart| Some(mart.definition.strategy.clone())),
        texts(|mart| mart.definition.refresh.clone()),
        texts(|mart| match mart.lease {
            Some(_) => Some("running".to_owned()),
            None => mart.runs.last().map(|run| run.state.word().to_owned()),
        }),
        texts(|mart| mart.definition.description.clone()),
        texts(|mart| mart.definition.owner.clone()),
        texts(|mart| Some(mart.definition.tags.join(", ")).filter(|tags| !tags.is_empty())),
        texts(|mart| Some(mart.definition.reads.join(", "))),
        numbers(published().map(|run| run?.version)),
        numbers(published().map(|run| run.map(|run| run.rows))),
        times(published().map(|run| run.map(|run| run.ended_ms)))?,
        texts(|mart| mart.definition.freshness.clone()),
        texts(|mart| mart.late.as_ref().map(|late| late.level.word().to_owned())),
        texts(|mart| Some(mart.definition.text.clone())),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// A row per column of each mart, in their order; those without an owner of their own have the mart's.
pub(super) fn column_rows(
    schema: &SchemaRef,
    marts: &[(String, Arc<MartDocument>)],
) -> Result<RecordBatch, ArrowError> {
    let listed: Vec<(&String, &MartDocument, usize, &MartColumn)> = marts
        .iter()
        .flat_map(|(name, mart)| {
            let columns = mart.definition.columns.iter().enumerate();
            columns.map(move |(at, column)| (name, mart.as_ref(), at, column))
        })
        .collect();
    let texts = |of: fn(&MartColumn) -> Option<String>| texts(listed.iter().map(|(.., column)| of(column)));
    let owners = listed.iter().map(|(_, mart, _, column)| column.owner.clone().or(mart.definition.owner.clone()));
    let columns: Vec<ArrayRef> = vec![
        self::texts(listed.iter().map(|(name, ..)| Some((*name).clone()))),
        texts(|column| Some(column.name.clone())),
        numbers(listed.iter().map(|(_, _, at, _)| Some(*at as u64 + 1))),
        texts(|column| Some(column.data_type.clone())),
        Arc::new(BooleanArray::from_iter(listed.iter().map(|(.., column)| Some(column.not_null)))),
        texts(|column| column.description.clone()),
        self::texts(owners),
        texts(|column| Some(column.tags.join(", ")).filter(|tags| !tags.is_empty())),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// A row per run that is known, oldest first, then the one that goes on.
pub(super) fn run_rows(schema: &SchemaRef, marts: &[(String, Arc<MartDocument>)]) -> Result<RecordBatch, ArrowError> {
    let runs: Vec<(&String, &MartRun)> = marts
        .iter()
        .flat_map(|(name, mart)| {
            mart.runs.iter().chain(mart.lease.as_ref().map(|lease| &lease.run)).map(move |run| (name, run))
        })
        .collect();
    let texts = |of: fn(&MartRun) -> Option<String>| texts(runs.iter().map(|(_, run)| of(run)));
    let ended = |run: &MartRun| (run.state != MartRunState::Running).then_some(run.ended_ms);
    let columns = vec![
        self::texts(runs.iter().map(|(name, _)| Some((*name).clone()))),
        texts(|run| Some(run.id.clone())),
        texts(|run| Some(run.state.word().to_owned())),
        texts(|run| Some(run.cause.word().to_owned())),
        numbers(runs.iter().map(|(_, run)| Some(u64::from(run.attempt)))),
        times(runs.iter().map(|(_, run)| Some(run.started_ms)))?,
        times(runs.iter().map(|(_, run)| ended(run)))?,
        numbers(runs.iter().map(|(_, run)| run.version.map(|_| run.rows))),
        numbers(runs.iter().map(|(_, run)| run.version)),
        texts(|run| {
            let inputs = run.inputs.iter().map(|input| format!("{}@v{}", input.table, input.version));
            Some(inputs.collect::<Vec<_>>().join(", "))
        }),
        texts(|run| run.error.clone()),
        times(runs.iter().map(|(_, run)| run.retry_ms))?,
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// A row per test of each of these runs.
pub(super) fn test_rows(schema: &SchemaRef, marts: &[(String, Arc<MartDocument>)]) -> Result<RecordBatch, ArrowError> {
    let runs = marts.iter().flat_map(|(name, mart)| mart.runs.iter().map(move |run| (name, run)));
    let tests: Vec<(&String, &MartRun, &MartTest)> =
        runs.flat_map(|(name, run)| run.tests.iter().map(move |test| (name, run, test))).collect();
    let texts = |of: fn(&MartTest) -> Option<String>| texts(tests.iter().map(|(_, _, test)| of(test)));
    let columns = vec![
        self::texts(tests.iter().map(|(name, ..)| Some((*name).clone()))),
        self::texts(tests.iter().map(|(_, run, _)| Some(run.id.clone()))),
        texts(|test| Some(test.name.clone())),
        texts(|test| Some(test.state.word().to_owned())),
        texts(|test| Some(test.on_violation.clone())),
        numbers(tests.iter().map(|(_, _, test)| Some(test.violations))),
        texts(|test| Some(test.samples.join("\n")).filter(|samples| !samples.is_empty())),
        Arc::new(tests.iter().map(|(_, _, test)| test.value).collect::<Float64Array>()),
        times(tests.iter().map(|(_, run, _)| Some(run.ended_ms)))?,
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

pub(super) fn texts(texts: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(texts.collect::<StringArray>())
}

pub(super) fn numbers(numbers: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(numbers.map(|number| number.and_then(|n| i64::try_from(n).ok())).collect::<Int64Array>())
}

pub(super) fn times(ms: impl Iterator<Item = Option<i64>>) -> Result<ArrayRef, ArrowError> {
    let times: ArrayRef = Arc::new(ms.collect::<TimestampMillisecondArray>().with_timezone("UTC"));
    cast(&times, &time())
}
