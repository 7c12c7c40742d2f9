//! INSERT and COPY: rows added to a table.
//!
//! The library's write plan checks CHECK constraints and fills and checks generated columns, which is why appends go
//! through it and not through a `DataSink`.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::{
    catalog::Session,
    execution::{SessionState, SessionStateBuilder},
    logical_expr::LogicalPlan,
};
use deltalake::{
    delta_datafusion::{SessionFallbackPolicy, planner::DeltaPlanner},
    operations::write::WriteBuilder,
    protocol::SaveMode,
};

use super::{
    CommitInfo, Committed,
    commit::{CommitLog, GENERATED_KEY, properties},
    conform::{conform, query_error},
    parquet::{target_file_size, writer_properties},
    rows::Rows,
};
use crate::{Lake, Snapshot, StorageError, maintain, table::log_store};

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
    let plan = conform(table, &insertable(target, &plan), plan)?;
    let rows = Rows::plan(table, &plan, session.as_ref()).await?;
    let source = rows.source().map_err(|error| query_error(table, error))?;
    let log = CommitLog::new(log_store(lake.store_registry(), target.location())?, Some(target.clone()));
    let written = WriteBuilder::new(log.clone(), Some(target.write_state().await?))
        .with_input_plan(source)
        .with_session_state(Arc::new(write_session(session.as_ref())))
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
