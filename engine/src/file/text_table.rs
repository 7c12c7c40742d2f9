//! CSV and JSON files as a table.

use std::sync::Arc;

use async_trait::async_trait;
use boathouse_storage::file::File;
use datafusion::{
    arrow::datatypes::{Schema, SchemaRef},
    catalog::{Session, TableProvider},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt, TryStreamExt};

use super::{
    reader::{self, TextSource},
    rejects::Rejects,
};

/// Files that are read anew by each scan. Which ones is fixed when the statement is planned.
#[derive(Debug)]
pub(crate) struct TextTable {
    pub(crate) source: Arc<TextSource>,
    pub(crate) files: Vec<File>,
}

#[async_trait]
impl TableProvider for TextTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.source.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.source.schema.project(columns)?),
            None => Arc::clone(&self.source.schema),
        };
        let source = Arc::new(self.source.with_schema(Arc::clone(&schema)));
        let partitions = groups(&self.files, state.config().target_partitions())
            .into_iter()
            .map(|files| Arc::new(TextPartition { source: Arc::clone(&source), files }) as Arc<dyn PartitionStream>)
            .collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, None, false, limit)?))
    }
}

/// Files dealt out to `count` readers at most, largest first, so that all end at about the same time.
fn groups(files: &[File], count: usize) -> Vec<Vec<File>> {
    let mut groups: Vec<(u64, Vec<File>)> = vec![(0, Vec::new()); files.len().min(count.max(1))];
    let mut sorted: Vec<&File> = files.iter().collect();
    sorted.sort_by_key(|file| std::cmp::Reverse(file.meta.size));
    for file in sorted {
        if let Some((size, group)) = groups.iter_mut().min_by_key(|(size, group)| (*size, group.len())) {
            *size += file.meta.size;
            group.push(file.clone());
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

impl TextTable {
    /// How many streams a scan has.
    pub(crate) fn readers(files: &[File], partitions: usize) -> usize {
        groups(files, partitions).len()
    }
}

#[derive(Debug)]
struct TextPartition {
    source: Arc<TextSource>,
    files: Vec<File>,
}

impl PartitionStream for TextPartition {
    fn schema(&self) -> &SchemaRef {
        &self.source.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch_rows = context.session_config().batch_size();
        let (source, rejects) = (Arc::clone(&self.source), self.source.rejects.clone());
        let batches = futures::stream::iter(self.files.clone())
            .flat_map(move |file| reader::read(Arc::clone(&source), file, batch_rows).boxed());
        let end = futures::stream::once(done(rejects)).try_filter_map(|()| async { Ok(None) });
        let stream = batches.chain(end).map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.source.schema), stream))
    }
}

async fn done(rejects: Option<Arc<Rejects>>) -> Result<(), crate::EngineError> {
    match rejects {
        Some(rejects) => rejects.done().await,
        None => Ok(()),
    }
}

impl TextSource {
    /// The same files, read for fewer columns.
    fn with_schema(&self, schema: Arc<Schema>) -> Self {
        Self {
            stores: Arc::clone(&self.stores),
            format: self.format.clone(),
            schema,
            known: self.known.clone(),
            defaults: self.defaults.clone(),
            partition_columns: self.partition_columns.clone(),
            strict: self.strict,
            rejects: self.rejects.clone(),
            hint: self.hint.clone(),
        }
    }
}
