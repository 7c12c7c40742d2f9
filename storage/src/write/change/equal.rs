//! Rows that go because rows that come have the same values in some columns.
//!
//! ```text
//!   rows that come ──> data files, in no commit yet ──> their values ──> rows of the table that are like one of them
//! ```
//! The values are read from the files, so that the query of the statement runs once, whatever chance and time do to its
//! rows. Of partition columns the log knows them: then whole files go, and none is read. NULL is a value like any other.

use std::{collections::HashSet, sync::Arc};

use arrow::{array::ArrayRef, datatypes::SchemaRef};
use datafusion::{
    catalog::Session,
    common::{Column, JoinType, NullEquality, Result as QueryResult, ScalarValue},
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    physical_plan::execute_stream,
};
use deltalake::kernel::{Action as LogAction, Add};
use futures::StreamExt;
use serde_json::json;

use super::{
    Action,
    commit::WholeFiles,
    exec::{ChangeExec, Done, Roles},
    gone::AddressPlaces,
};
use crate::{
    Snapshot, StorageError, log,
    table::{Addressed, FileIndex, log_error},
    task_context,
    write::{commit::refusal, conform::query_error, provenance::lines_of},
};

/// What the rows in `come`, files that were written for this statement, are like in `columns`: rows are noted in `done`,
/// whole files are returned.
pub(super) async fn take_equal(
    target: &Addressed,
    columns: &[String],
    come: &[Add],
    session: &dyn Session,
    schema: &SchemaRef,
    done: &Arc<Done>,
) -> Result<WholeFiles, StorageError> {
    let table = target.snapshot();
    if come.is_empty() {
        return Ok(WholeFiles::default());
    }
    let come = Arc::new(of_files(table, come).await?);
    if columns.iter().all(|column| table.partition_columns().contains(column)) {
        let files = like(come.files()?, table.files()?, columns);
        let files = files.map_err(|error| query_error(table.name(), error))?;
        return WholeFiles::of(table, files, session).await;
    }
    let plan = rows_like(&come, target, columns)?;
    let query = session.create_physical_plan(&plan).await;
    let query = query.map_err(|error| refusal(&error).unwrap_or_else(|| query_error(table.name(), error)))?;
    let roles = Roles {
        addresses: Some(AddressPlaces { file: 0, row: 1 }),
        action: Err(Action::Delete),
        columns: None,
        fed: table.keeps_feed(),
        patched: None,
    };
    let taken = Arc::new(ChangeExec::new(query, roles, table, schema.clone(), done.clone()));
    let failed = |error| refusal(&error).unwrap_or_else(|| query_error(table.name(), error));
    let mut rows = execute_stream(taken, task_context(session)).map_err(failed)?;
    while let Some(batch) = rows.next().await {
        batch.map_err(failed)?;
    }
    Ok(WholeFiles::default())
}

/// The files as if they were a table like `table`.
async fn of_files(table: &Arc<Snapshot>, files: &[Add]) -> Result<Snapshot, StorageError> {
    let metadata = table.log().metadata.clone();
    let definition = [LogAction::Protocol(table.protocol().clone()), LogAction::Metadata(metadata)];
    let actions = definition.into_iter().chain(files.iter().cloned().map(LogAction::Add));
    let staged = log::staged(None, lines_of(&json!({}), actions)?).await;
    let staged = staged.map_err(|error| log_error(table.name(), table.location(), error))?;
    Ok(Snapshot::new(table.name().to_owned(), table.location().clone(), staged, table.library().clone()))
}

/// The files of a table that have the partition values of one that comes.
fn like(come: &FileIndex, there: &FileIndex, columns: &[String]) -> QueryResult<Vec<usize>> {
    fn values<'a>(index: &'a FileIndex, columns: &[String]) -> Vec<&'a ArrayRef> {
        let of = |column: &String| index.partitions().iter().find(|(name, _)| name == column).map(|(_, values)| values);
        columns.iter().filter_map(of).collect()
    }
    let row = |values: &[&ArrayRef], file: usize| -> QueryResult<Vec<ScalarValue>> {
        values.iter().map(|values| ScalarValue::try_from_array(values, file)).collect()
    };
    let new = values(come, columns);
    let wanted = (0..come.len()).map(|file| row(&new, file)).collect::<QueryResult<HashSet<_>>>()?;
    let old = values(there, columns);
    let mut found = Vec::new();
    for file in 0..there.len() {
        if wanted.contains(&row(&old, file)?) {
            found.push(file);
        }
    }
    Ok(found)
}

/// The addresses of the rows that are like one that comes. What comes is the side that is held in memory.
fn rows_like(come: &Arc<Snapshot>, target: &Addressed, columns: &[String]) -> Result<LogicalPlan, StorageError> {
    const COME: &str = "come";
    const THERE: &str = "there";
    let of = |relation: &str| -> Vec<Column> {
        columns.iter().map(|column| Column::new(Some(relation.to_owned()), column)).collect()
    };
    let there = |name: &str| Expr::Column(Column::new(Some(THERE.to_owned()), name));
    let (new, old) = (provider_as_source(come.provider()?), provider_as_source(target.provider()));
    let plan = || {
        let old = LogicalPlanBuilder::scan(THERE, old, None)?.build()?;
        LogicalPlanBuilder::scan(COME, new, None)?
            .project(of(COME).into_iter().map(Expr::Column))?
            .distinct()?
            .join_detailed(old, JoinType::RightSemi, (of(COME), of(THERE)), None, NullEquality::NullEqualsNull)?
            .project([there(target.file_column()), there(target.row_column())])?
            .build()
    };
    plan().map_err(|error| query_error(target.snapshot().name(), error))
}
