//! A change feed as DataFusion scans it.
//!
//! Change files and data files are two scans under one union: the former have a column that says what happened to each
//! row, the latter the same answer for all rows. Version and time of the commit are constants of each file, by which files
//! of other commits are left out. Rows stream; files are opened in parallel as those of any table.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result},
    datasource::{TableType, table_schema::TableSchema},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::{ExecutionPlan, union::UnionExec},
};
use parquet::arrow::arrow_reader::RowSelection;
use tokio::sync::OnceCell;

use super::{
    kind::{CHANGE_TYPE, COMMIT_TIMESTAMP, COMMIT_VERSION},
    load::{Loaded, Since, load},
    readable::nullable,
};
use crate::{
    Lake, Snapshot, StorageError,
    table::{
        FileIndex, deletion,
        prune::{Pruned, is_partition_filter, prune},
        scan::TableScan,
        table_store,
    },
};

/// The rows that the versions from one on to that of a snapshot changed, under the columns of the snapshot. What the log
/// says of them is read once, by the first scan or by [`ChangeFeed::check`].
#[derive(Debug)]
pub struct ChangeFeed {
    to: Arc<Snapshot>,
    since: Since,
    given_end: bool,
    /// Also of commits that kept no feed.
    by_files: bool,
    store: Arc<dyn object_store::ObjectStore>,
    /// The table's columns, then those of the feed.
    schema: SchemaRef,
    told: TableScan,
    whole: TableScan,
    loaded: OnceCell<Loaded>,
}

/// The feed that `provider` scans, when it is one.
pub fn change_feed(provider: &dyn TableProvider) -> Option<&ChangeFeed> {
    provider.downcast_ref::<ChangeFeed>()
}

impl ChangeFeed {
    /// Of the table of `to`, up to its version. `given_end`: someone asked for this version by name or by time.
    pub fn new(lake: &Lake, to: &Arc<Snapshot>, since: Since, given_end: bool) -> Result<Self, StorageError> {
        let store = table_store(lake.store_registry(), to.location())?;
        let columns = nullable(to.schema().fields());
        let kind: FieldRef = Arc::new(Field::new(CHANGE_TYPE, DataType::Utf8, true));
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let constants: [FieldRef; 2] = [
            Arc::new(Field::new(COMMIT_VERSION, DataType::Int64, false)),
            Arc::new(Field::new(COMMIT_TIMESTAMP, utc, false)),
        ];
        let all = columns.iter().cloned().chain([kind.clone()]).chain(constants.clone());
        let schema = Arc::new(Schema::new(all.collect::<Vec<_>>()));
        let in_log = to.partition_columns();
        let partitions = in_log.iter().filter_map(|name| columns.iter().find(|field| field.name() == name).cloned());
        let partitions: Vec<FieldRef> = partitions.chain(constants).collect();
        let in_files: Vec<FieldRef> = columns.iter().filter(|field| !in_log.contains(field.name())).cloned().collect();
        let layout = |in_files: Vec<FieldRef>, partitions: Vec<FieldRef>| {
            TableSchema::builder(Arc::new(Schema::new(in_files))).with_table_partition_cols(partitions).build()
        };
        let told = layout(in_files.iter().cloned().chain([kind.clone()]).collect(), partitions.clone());
        let whole = layout(in_files, partitions.into_iter().chain([kind.clone()]).collect());
        // With the names that files have.
        let stored = nullable(to.arrow_schema().fields());
        let stored: Fields = stored.iter().cloned().chain([kind]).collect();
        let scan = |layout| TableScan::of_commits(to, &schema, layout, Arc::new(Schema::new(stored.clone())));
        Ok(Self {
            told: scan(told)?,
            whole: scan(whole)?,
            to: to.clone(),
            since,
            given_end,
            by_files: false,
            store,
            schema,
            loaded: OnceCell::new(),
        })
    }

    /// The same, also of commits that kept no feed: rows that they left in place may be told as deleted and inserted again
    /// then, where their file was written anew. What came less what went is the difference of the two versions all the same.
    pub fn by_files(self) -> Self {
        Self { by_files: true, ..self }
    }

    /// Whether rows only came. Reads the log, with the errors of [`ChangeFeed::check`].
    pub async fn only_inserts(&self) -> Result<bool, StorageError> {
        let loaded = self.loaded().await?;
        Ok(loaded.told.len() == 0 && !loaded.takes)
    }

    /// The size of the files that tell of changed rows, in bytes; one that only got another deletion vector counts for
    /// nothing. Reads the log, with the errors of [`ChangeFeed::check`].
    pub async fn bytes(&self) -> Result<u64, StorageError> {
        let loaded = self.loaded().await?;
        let is_whole = |file: &usize| loaded.counterparts.get(*file).is_none_or(Option::is_none);
        let whole = (0..loaded.whole.len()).filter(is_whole).map(|file| loaded.whole.size(file));
        Ok((0..loaded.told.len()).map(|file| loaded.told.size(file)).chain(whole).sum())
    }

    /// Whether no row came or went. Reads the log, with the errors of [`ChangeFeed::check`].
    pub async fn is_empty(&self) -> Result<bool, StorageError> {
        let loaded = self.loaded().await?;
        Ok(loaded.told.len() == 0 && loaded.whole.len() == 0)
    }

    /// Reads the log. `NoChanges` where the table kept no feed, `ChangesUnreadable` where its columns do not fit, and the
    /// errors of versions that the log does not have.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.loaded().await.map(drop)
    }

    async fn loaded(&self) -> Result<&Loaded, StorageError> {
        self.loaded.get_or_try_init(|| load(&self.store, &self.to, self.since, self.given_end, self.by_files)).await
    }

    /// Columns of which every file has one value.
    fn constants(&self) -> Vec<String> {
        let partitions = self.to.partition_columns().iter().cloned();
        partitions.chain([COMMIT_VERSION, COMMIT_TIMESTAMP].map(str::to_owned)).collect()
    }

    /// The rows of data files that came or went. A file that is there with two deletion vectors is left out when they say
    /// the same.
    async fn whole_rows(
        &self,
        session: &dyn Session,
        loaded: &Loaded,
        mut pruned: Pruned,
    ) -> Result<(Pruned, HashMap<usize, RowSelection>)> {
        let index = &loaded.whole;
        let counterpart = |file: &usize| loaded.counterparts.get(*file).copied().flatten();
        let mut looked_at = pruned.kept.clone();
        looked_at.extend(pruned.kept.iter().filter_map(counterpart));
        looked_at.sort_unstable();
        looked_at.dedup();
        let stores = &session.runtime_env().object_store_registry;
        let mut seen = deletion::row_selections(&self.to, stores.as_ref(), index, &looked_at).await?;
        let mut changed = Vec::new();
        pruned.kept.retain(|file| {
            let Some(other) = counterpart(file) else { return true };
            // A file without a vector is seen whole.
            let Some(others) = seen.get(&other) else { return false };
            let mut rows = deletion::hidden(others);
            if let Some(own) = seen.get(file) {
                rows -= deletion::hidden(own);
            }
            if rows.is_empty() {
                return false;
            }
            changed.push((*file, deletion::only(&rows, others.row_count() + deletion::hidden(others).len() as usize)));
            true
        });
        seen.retain(|file, _| pruned.kept.contains(file));
        seen.extend(changed);
        Ok((pruned, seen))
    }
}

#[async_trait]
impl TableProvider for ChangeFeed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let constants = self.constants();
        let support = filters.iter().map(|filter| match is_partition_filter(filter, &constants) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let loaded = self.loaded().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let constants = self.constants();
        let limit = limit.filter(|_| filters.iter().all(|filter| is_partition_filter(filter, &constants)));
        let pruned = |index: &FileIndex| prune(index, &self.schema, filters, session);
        let told = pruned(&loaded.told)?;
        let (whole, selections) = self.whole_rows(session, loaded, pruned(&loaded.whole)?).await?;
        let mut plans = Vec::with_capacity(2);
        if !told.kept.is_empty() {
            let none = HashMap::new();
            plans.push(self.told.plan_files(session, &loaded.told, &told, none, (projection, filters, limit))?);
        }
        if !whole.kept.is_empty() || plans.is_empty() {
            let query = (projection, filters, limit);
            plans.push(self.whole.plan_files(session, &loaded.whole, &whole, selections, query)?);
        }
        match plans.len() {
            1 => plans.pop().ok_or_else(|| DataFusionError::Internal("a feed without a plan".to_owned())),
            _ => UnionExec::try_new(plans),
        }
    }
}
