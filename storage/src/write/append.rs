//! INSERT and COPY: rows added to a table.
//!
//! Data files are written and added in one commit. Tables with rules on their rows (CHECK constraints, generated columns,
//! invariants) go through the library's write plan, which checks them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::Schema;
use datafusion::{
    catalog::Session,
    common::tree_node::TreeNodeRecursion,
    datasource::source_as_provider,
    execution::{SessionState, SessionStateBuilder},
    logical_expr::LogicalPlan,
};
use deltalake::{
    delta_datafusion::{SessionFallbackPolicy, planner::DeltaPlanner},
    kernel::Add,
    operations::write::WriteBuilder,
    protocol::SaveMode,
};

use super::{
    CommitInfo, Committed,
    commit::{CommitLog, GENERATED_KEY, INVARIANT_KEY, properties},
    conflict::Reads,
    conform::{conform, query_error},
    data::{FileLayout, write_rows},
    group::commit_append,
    parquet::{target_file_size, writer_properties},
    rows::Rows,
    transaction::{Operation, Transaction},
};
use crate::{
    Lake, Snapshot, StorageError, maintain,
    table::{log_store, scanned_snapshot, table_store},
};

/// Appends what `plan` yields. Its columns are matched to the table's by name (any order); a missing column becomes NULL,
/// an unknown column, a NULL in a NOT NULL column or a type that could lose something is refused before a file is written.
///
/// Appends of others are no conflict: the commit is tried again behind theirs.
pub async fn append(
    lake: &Lake,
    target: &Arc<Snapshot>,
    plan: LogicalPlan,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let table = target.name();
    // What was read must be as it was at the version that was read.
    let read = scanned(&plan, target)?;
    let reads = if read.is_some() { Reads::Table } else { Reads::Nothing };
    let base = read.unwrap_or_else(|| target.clone());
    let plan = conform(table, &insertable(target, &plan), plan)?;
    let rows = Rows::plan(table, &plan, session.as_ref()).await?;
    if has_rules(target) {
        return through_library(lake, target, &rows, session.as_ref(), info).await;
    }
    let operation = Operation { name: "WRITE", parameters: parameters(target), ..Operation::default() };
    let mut transaction = Transaction::new(lake, &base, operation)?;
    transaction.reads(reads);
    let store = table_store(lake.store_registry(), target.location())?;
    let files = write_rows(&FileLayout::of_table(target), &rows, &store, &session.task_ctx()).await?;
    let operation = transaction.operation_mut();
    operation.inserted = files.iter().map(rows_in).sum();
    let bytes: u64 = files.iter().filter_map(|file| u64::try_from(file.size).ok()).sum();
    let metrics = [("numFiles", files.len() as u64), ("numOutputRows", operation.inserted), ("numOutputBytes", bytes)];
    operation.metrics = metrics.map(|(name, count)| (name.to_owned(), count)).into();
    transaction.add_written(files)?;
    commit_append(lake, transaction, info).await
}

/// The version of the target that the query reads, if it reads it.
fn scanned(plan: &LogicalPlan, target: &Snapshot) -> Result<Option<Arc<Snapshot>>, StorageError> {
    let mut found: Option<Arc<Snapshot>> = None;
    let walk = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(snapshot) = scanned_snapshot(&*provider)
            && snapshot.location() == target.location()
            && found.as_ref().is_none_or(|found| found.version() > snapshot.version())
        {
            found = Some(snapshot.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walk.map_err(|error| query_error(target.name(), error))?;
    Ok(found)
}

fn parameters(target: &Snapshot) -> BTreeMap<String, String> {
    let columns: Vec<_> = target.partition_columns().iter().map(|name| format!("{name:?}")).collect();
    let partition_by = format!("[{}]", columns.join(","));
    [("mode".to_owned(), "Append".to_owned()), ("partitionBy".to_owned(), partition_by)].into()
}

/// Are there rules on its rows that only the library checks?
fn has_rules(target: &Snapshot) -> bool {
    let schema = target.log().metadata.schema_string();
    target.properties().keys().any(|key| key.starts_with("delta.constraints."))
        || [GENERATED_KEY, INVARIANT_KEY].iter().any(|rule| schema.contains(rule))
}

fn rows_in(file: &Add) -> u64 {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rows {
        num_records: u64,
    }
    let stats = file.stats.as_deref().and_then(|stats| serde_json::from_str::<Rows>(stats).ok());
    stats.map_or(0, |stats| stats.num_records)
}

async fn through_library(
    lake: &Lake,
    target: &Arc<Snapshot>,
    rows: &Rows,
    session: &dyn Session,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let table = target.name();
    let source = rows.source().map_err(|error| query_error(table, error))?;
    let log = CommitLog::new(log_store(lake.store_registry(), target.location())?, Some(target.clone()));
    let written = WriteBuilder::new(log.clone(), Some(target.write_state().await?))
        .with_input_plan(source)
        .with_session_state(Arc::new(write_session(session)))
        .with_session_fallback_policy(SessionFallbackPolicy::RequireSessionState)
        .with_save_mode(SaveMode::Append)
        .with_writer_properties(writer_properties())
        .with_target_file_size(target_file_size())
        .with_commit_properties(properties(info, true))
        .await;
    match (written, log.committed()) {
        // A commit that is in the log happened, whatever failed after it.
        (written, Some(committed)) => {
            if let Ok(written) = written {
                if let Ok(state) = written.snapshot() {
                    target.library().keep(state.snapshot().clone()).await;
                }
                maintain::after_commit(written, committed.version);
            }
            Ok(committed)
        }
        (Ok(_), None) => {
            Err(StorageError::Internal { message: format!("a write to \"{table}\" ended without a commit") })
        }
        (Err(error), None) => Err(rows.error(table).unwrap_or_else(|| log.write_error(table, error))),
    }
}

/// The columns that an append must yield: all but the generated ones that the query leaves to the table.
fn insertable(target: &Snapshot, plan: &LogicalPlan) -> Schema {
    let kernel = target.columns();
    let generated = |name: &str| kernel.field(name).is_some_and(|field| field.metadata().contains_key(GENERATED_KEY));
    let given = |name: &str| plan.schema().fields().iter().any(|field| field.name() == name);
    let schema = target.schema();
    let fields = schema.fields().iter().filter(|field| given(field.name()) || !generated(field.name()));
    Schema::new(fields.cloned().collect::<Vec<_>>())
}

/// A session with the caller's runtime and settings, and a planner that knows the library's plan nodes.
fn write_session(session: &dyn Session) -> SessionState {
    // The expressions in constraints name columns as they are.
    let config = session.config().clone().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(session.runtime_env().clone())
        .with_query_planner(DeltaPlanner::new())
        .build()
}
