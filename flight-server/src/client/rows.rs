//! Rows on their way to the person.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};

use super::ClientError;

/// A stream of batches with one schema. Dropping it cancels the statement.
pub struct Rows {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, ClientError>>,
}

impl Rows {
    pub fn new(
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch, ClientError>> + Send + 'static,
    ) -> Self {
        Self { schema, batches: batches.boxed() }
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// All batches. For tests and small results: nothing bounds what it holds.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, ClientError> {
        self.batches.try_collect().await
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}
