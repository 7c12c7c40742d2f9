//! Rows that a client streams into a table, in one commit.

use std::sync::Arc;

use datafusion::arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::StreamExt;

use super::{
    Session,
    load::{Batches, once},
};
use crate::{EngineError, Origin, Outcome, queries::Phase, statement::Ingest};

impl Session {
    /// Writes all of `rows` as `ingest` says, in one commit, in bounded memory. An error in the stream ends it, and nothing
    /// of it is in the lake then: a source that was cut off must end with an error. Dropping the future stops it, too.
    /// Gives the number of rows written.
    pub async fn ingest(
        &self,
        origin: &Origin,
        ingest: Ingest,
        schema: SchemaRef,
        rows: Batches,
    ) -> Result<u64, EngineError> {
        let live = self.engine.queries().begin(origin, &ingest.describe(), Phase::Queued);
        live.is_a("INGEST");
        self.check_change("ingest rows").inspect_err(|error| live.failed(error))?;
        let permit = Arc::new(self.engine.permits().acquire(self.statement_timeout(), live).await?);
        let mut context = self.context(&ingest.describe())?.for_run(permit.clone());
        if ingest.appends() {
            context.idempotency_key = self.settings.lock().idempotency_key.clone();
        }
        let (session, stop) = (self.this()?, context.stop.clone());
        let work = async move {
            // What a client says of its columns is not believed: the table's NOT NULL is checked. What it says besides types,
            // such as pandas of its index, is its own business.
            let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
            let read = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
            let under = read.clone();
            let rows = futures::stream::unfold((rows, permit.clone()), async |(mut rows, permit)| {
                let batch = permit.wait_for_client(rows.next()).await?;
                Some((batch, (rows, permit)))
            });
            let rows = rows.map(move |batch| RecordBatch::try_new(under.clone(), batch?.columns().to_vec())).boxed();
            let plan = once(read, rows, Arc::default()).map_err(|error| context.error(error))?;
            let outcome = permit.bound(ingest.run(&context, &schema, plan)).await;
            permit.live().answered(outcome.as_ref());
            match outcome? {
                Outcome::Changed { inserted, version, .. } => {
                    if context.idempotency_key.is_some() && version.is_some() {
                        session.settings.lock().idempotency_key = None;
                    }
                    Ok(inserted)
                }
                Outcome::Rows(_) | Outcome::Done(_) => Err(EngineError::internal("an ingestion without a count")),
            }
        };
        self.engine.runtime().spawn(work).stopping(stop).await?
    }
}
