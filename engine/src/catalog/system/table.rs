//! Names to tables of `system`.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{TableProvider, streaming::StreamingTable},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::stream;

use super::caches;
use crate::{Engine, catalog::TableName, statement::Context};

/// Tables of `system`, sorted.
pub(crate) const TABLES: &[&str] = &["caches"];

/// One of the tables.
pub(crate) fn table(context: &Context, name: &TableName) -> Option<Arc<dyn TableProvider>> {
    if name.schema != "system" || name.name != "caches" {
        return None;
    }
    let source = Source { schema: caches::schema(), engine: context.engine.clone() };
    let table = StreamingTable::try_new(source.schema.clone(), vec![Arc::new(source)]).ok()?;
    Some(Arc::new(table))
}

/// `caches`, about to be read.
struct Source {
    schema: SchemaRef,
    engine: Arc<Engine>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("system.caches")
    }
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, engine) = (self.schema.clone(), self.engine.clone());
        let batch = async move { Ok(caches::rows(&schema, &engine.cache_usages().await)?) };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream::once(batch)))
    }
}
