//! Rows on their way to the client.
//!
//! A task takes batches from the engine, encodes them and puts them into a short queue; the connection takes them from it.
//! So one batch is encoded while the one before is sent, and a slow client slows the query instead of filling memory. When
//! the client goes away the queue closes, the task ends, and with it the query.

use std::{sync::Arc, vec};

use arrow::{array::RecordBatch, datatypes::Schema};
use arrow_flight::FlightData;
use boathouse_engine::{Outcome, Prepared, RowStream, ScalarValue, Session};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    encode::{self, Encoder},
    running::Run,
};
use crate::status;

/// Messages of one DoGet.
pub type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// Encoded messages waiting for the connection, of about 2 MiB each.
pub const MESSAGES_MAX: usize = 2;

/// A small result that is in memory.
pub fn batches(schema: &Schema, batches: &[RecordBatch]) -> Result<FlightStream, Status> {
    let mut encoder = Encoder::new();
    let mut messages = vec![Ok(encoder.schema(schema))];
    for batch in batches.iter().cloned().flat_map(encode::cut) {
        messages.extend(encoder.batch(&batch)?.into_iter().map(Ok));
    }
    Ok(futures::stream::iter(messages).boxed())
}

/// Runs a query once per row of parameters and streams the rows, one run after the other. Returns when the first run has
/// started, so that its errors are those of the call.
pub async fn rows(
    session: Arc<Session>,
    prepared: Prepared,
    parameters: Vec<Vec<ScalarValue>>,
    run: Run,
) -> Result<FlightStream, Status> {
    let mut query = Query { session, prepared, parameters: parameters.into_iter() };
    let first = tokio::select! {
        biased;
        reason = run.stopped() => return Err(reason),
        rows = query.next() => rows?,
    };
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    tokio::spawn(async move {
        let work = async {
            tokio::select! {
                biased;
                () = sender.closed() => Ok(()),
                reason = run.stopped() => Err(reason),
                result = query.send(first, &run, &sender) => result,
            }
        };
        // A task that only died would look like a clean end of the stream.
        if let Err(status) = status::guarded(work).await {
            let status = status::detailed(status, run.query_id());
            drop((query, run));
            // Fails when the client went away, which is fine.
            let _ = sender.send(Err(status)).await;
        }
    });
    Ok(messages(receiver))
}

/// Messages as another task encodes them.
pub fn messages(receiver: mpsc::Receiver<Result<FlightData, Status>>) -> FlightStream {
    ReceiverStream::new(receiver).boxed()
}

struct Query {
    session: Arc<Session>,
    prepared: Prepared,
    parameters: vec::IntoIter<Vec<ScalarValue>>,
}

impl Query {
    /// Starts the next run.
    async fn next(&mut self) -> Result<Option<RowStream>, Status> {
        let Some(parameters) = self.parameters.next() else {
            return Ok(None);
        };
        match self.session.run(&self.prepared, &parameters).await.map_err(status::from_engine)? {
            Outcome::Rows(rows) => Ok(Some(rows)),
            Outcome::Changed { .. } | Outcome::Done(_) => Err(Status::internal("a query returned no rows")),
        }
    }

    async fn send(
        &mut self,
        first: Option<RowStream>,
        to: &Run,
        sender: &mpsc::Sender<Result<FlightData, Status>>,
    ) -> Result<(), Status> {
        let mut encoder = Encoder::new();
        let mut messages = vec![encoder.schema(&self.prepared.schema())];
        let mut run = first;
        while let Some(mut rows) = run {
            loop {
                for message in messages.drain(..) {
                    if sender.send(Ok(message)).await.is_err() {
                        return Ok(());
                    }
                }
                let Some(batch) = rows.try_next().await.map_err(status::from_engine)? else {
                    break;
                };
                for part in encode::cut(batch).filter(|part| part.num_rows() > 0) {
                    let encoded = encoder.batch(&part)?;
                    to.sends(part.num_rows(), &encoded);
                    messages.extend(encoded);
                }
            }
            run = self.next().await?;
        }
        Ok(())
    }
}
