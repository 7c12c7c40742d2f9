//! INSERT and COPY: rows added to a table.
//!
//! Data files are written and added in one commit; `conform` holds their rows to the table's rules.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session, common::tree_node::TreeNodeRecursion, datasource::source_as_provider, logical_expr::LogicalPlan,
};

use super::{
    CommitInfo, Committed,
    alter::Altered,
    conflict::Reads,
    conform::{conform, query_error},
    data::{FileLayout, Held, Written, write_held, write_or_hold},
    group::commit_append,
    identity::numbered,
    near_store::near_store,
    once::done_before,
    rows::Rows,
    rules::Rules,
    transaction::{Operation, Transaction},
};
use crate::{Lake, Snapshot, StorageError, table::scanned_snapshot, task_context};

/// Appends what `plan` yields. Its columns are matched to the table's by name (any order); a missing column becomes NULL,
/// an unknown column, a NULL in a NOT NULL column or a type that could lose something is refused before a file is written.
/// Every row keeps `rules`, which are the target's.
///
/// Appends of others are no conflict: the commit is tried again behind theirs.
pub async fn append(
    lake: &Lake,
    target: &Arc<Snapshot>,
    plan: LogicalPlan,
    rules: &Rules,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let to = Destination { columns: target.schema(), layout: FileLayout::of_table(target), altered: None };
    append_to(lake, target, to, plan, rules, session, info).await
}

/// The same with a new definition of the table, which the rows are for, in the same commit.
pub async fn append_evolved(
    lake: &Lake,
    altered: Altered,
    plan: LogicalPlan,
    rules: &Rules,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let target = altered.base().clone();
    let to = Destination { columns: altered.schema()?, layout: altered.layout()?, altered: Some(altered) };
    append_to(lake, &target, to, plan, rules, session, info).await
}

/// What rows are written as.
struct Destination {
    columns: SchemaRef,
    layout: FileLayout,
    altered: Option<Altered>,
}

async fn append_to(
    lake: &Lake,
    target: &Arc<Snapshot>,
    to: Destination,
    plan: LogicalPlan,
    rules: &Rules,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Committed, StorageError> {
    let table = target.name();
    rules.check_complete(target)?;
    let store = near_store(lake.store_registry(), target)?;
    if let Some(done) = done_before(lake, target, info).await? {
        return Ok(done);
    }
    // What was read must be as it was at the version that was read.
    let read = scanned(&plan, target)?;
    let reads = if read.is_some() { Reads::Table } else { Reads::Nothing };
    let base = read.unwrap_or_else(|| target.clone());
    let plan = conform(table, &to.columns, rules, plan)?;
    let rows = Rows::plan(table, &plan, session.as_ref()).await?;
    let operation = Operation { name: "WRITE", parameters: parameters(target), ..Operation::default() };
    let mut transaction = Transaction::new(lake, &base, operation)?;
    transaction.reads(reads);
    let written = write_or_hold(&to.layout, &rows, &store, &task_context(session.as_ref())).await?;
    // By now the rows have their numbers.
    let altered = numbered(to.altered, target, rules)?;
    let held = match written {
        Written::Files(files) => {
            transaction.append_written(files)?;
            Held::default()
        }
        // Only a plain append can share a file.
        Written::Held(held)
            if altered.is_some()
                || info.idempotency_key.is_some()
                || info.publication.is_some()
                || !transaction.is_plain_append() =>
        {
            transaction.append_written(write_held(&to.layout, &[&held], &store).await?)?;
            Held::default()
        }
        Written::Held(held) => held,
    };
    if let Some(altered) = altered {
        altered.into_transaction(&mut transaction)?;
    }
    match info.publication {
        Some(_) => transaction.commit(lake, info).await,
        None => commit_append(lake, transaction, held, info).await,
    }
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
