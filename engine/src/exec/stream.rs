//! Rows on their way from the CPU threads to the client.
//!
//! ```text
//! plan -> producer on the CPU threads (holds the permit) -> a few batches in a channel -> RowStream -> client
//! ```
//!
//! A slow client stops the producer at the channel's bound, and after a while others run in its place. Dropping the stream stops
//! it altogether.
//! A statement that is cancelled (killed, or out of time) says so at once: rows that wait in the channel are wanted by nobody.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    execution::SendableRecordBatchStream,
};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};

use super::{CpuRuntime, Permit, Stop, runtime::Task, wire::wire_batch};
use crate::{EngineError, ErrorKind, cache::Recording, error::convert};

/// Batches between producer and client.
const BATCHES_QUEUED_MAX: usize = 4;

/// Batches of one query. Dropping it cancels the query and frees its permit and memory. Every batch has exactly
/// [`RowStream::schema`].
#[derive(Debug)]
pub struct RowStream {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, EngineError>>,
    /// Overtakes the batches; `None` once it was told.
    cancelled: Option<oneshot::Receiver<EngineError>>,
    /// `None` for rows that were there from the start, and once the producer has ended.
    producer: Option<Task<()>>,
    ready_rows: Option<usize>,
}

impl RowStream {
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// All batches. For tests and small results: nothing bounds what it holds.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, EngineError> {
        self.try_collect().await
    }

    /// Waits until somebody cancels the statement while there are rows left of it; for who does not ask for rows just now. Never
    /// ends otherwise.
    pub async fn cancelled(&mut self) -> EngineError {
        if let Some(cancelled) = &mut self.cancelled
            && let Ok(error) = cancelled.await
        {
            self.end();
            return error;
        }
        // It has run to its end.
        self.cancelled = None;
        std::future::pending().await
    }

    /// No rows come any more.
    fn end(&mut self) {
        self.cancelled = None;
        self.batches.close();
        while self.batches.try_recv().is_ok() {}
    }

    /// How many rows there are, if they were there from the start.
    pub(crate) fn ready_rows(&self) -> Option<usize> {
        self.ready_rows
    }

    /// A result that is there already.
    pub(crate) fn of_batch(batch: RecordBatch) -> Self {
        Self::of_batches(batch.schema(), vec![batch])
    }

    /// A result that is there already, under its schema.
    pub(crate) fn of_batches(schema: SchemaRef, rows: Vec<RecordBatch>) -> Self {
        let (sender, batches) = mpsc::channel(rows.len().max(1));
        let ready_rows = Some(rows.iter().map(RecordBatch::num_rows).sum());
        for batch in rows {
            // There is room for all.
            let _ = sender.try_send(Ok(batch));
        }
        Self { schema, batches, cancelled: None, producer: None, ready_rows }
    }

    /// Starts to pull `rows` on the CPU threads. The permit is given back when they end or the stream is dropped. All rows
    /// are recorded, too, if there is a recording. `stop` is asked when the stream is dropped before its end.
    pub(crate) fn spawn(
        runtime: &CpuRuntime,
        schema: SchemaRef,
        rows: SendableRecordBatchStream,
        permit: Option<Arc<Permit>>,
        recording: Option<Recording>,
        stop: Option<Arc<Stop>>,
    ) -> Self {
        let (sender, batches) = mpsc::channel(BATCHES_QUEUED_MAX);
        let (cancel, cancelled) = oneshot::channel();
        let to = Client { batches: sender, cancel };
        let producer = runtime.spawn(produce(schema.clone(), rows, permit, recording, to)).stopping(stop);
        Self { schema, batches, cancelled: Some(cancelled), producer: Some(producer), ready_rows: None }
    }
}

/// Where rows go, and an end before their time.
struct Client {
    batches: mpsc::Sender<Result<RecordBatch, EngineError>>,
    cancel: oneshot::Sender<EngineError>,
}

async fn produce(
    schema: SchemaRef,
    mut rows: SendableRecordBatchStream,
    permit: Option<Arc<Permit>>,
    mut recording: Option<Recording>,
    Client { batches: sender, cancel }: Client,
) {
    let pull = async {
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| convert(error, None)).and_then(|batch| wire_batch(&batch, &schema))?;
            if batch.num_rows() == 0 {
                continue;
            }
            if let Some(recording) = &mut recording {
                recording.add(&batch);
            }
            if let Some(permit) = &permit {
                permit.live().add_rows(batch.num_rows());
            }
            let sending = sender.send(Ok(batch));
            let sent = match &permit {
                Some(permit) => permit.wait_for_client(sending).await,
                None => sending.await,
            };
            if sent.is_err() {
                // Nobody wants the rest, and a part of the rows is no result.
                recording = None;
                return Err(EngineError::new(ErrorKind::Cancelled, "the client went away"));
            }
        }
        Ok(())
    };
    let outcome = match &permit {
        Some(permit) => permit.bound(pull).await,
        None => pull.await,
    };
    // Memory and permit are free before the client learns of the end.
    drop(rows);
    if let Some(permit) = &permit {
        outcome.as_ref().map_or_else(|error| permit.live().failed(error), |()| permit.live().done());
    }
    drop(permit);
    match outcome {
        // Kept before the client learns of the end, too: who asks again then finds it.
        Ok(()) => recording.into_iter().for_each(Recording::finish),
        Err(error) => {
            drop(recording);
            if error.kind == ErrorKind::Cancelled {
                // Before the sender is dropped: who sees the end of the batches finds it.
                let _ = cancel.send(error);
                return;
            }
            let _ = sender.send(Err(error)).await;
        }
    }
}

impl Stream for RowStream {
    type Item = Result<RecordBatch, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(Some(error)) = self.poll_cancelled(context) {
            return Poll::Ready(Some(Err(error)));
        }
        match self.batches.poll_recv(context) {
            Poll::Ready(Some(batch)) => Poll::Ready(Some(batch)),
            Poll::Pending => Poll::Pending,
            // The channel is closed: by a producer that has ended, or by one that panicked.
            Poll::Ready(None) => match self.poll_cancelled(context) {
                Poll::Ready(Some(error)) => Poll::Ready(Some(Err(error))),
                _ => self.poll_producer(context),
            },
        }
    }
}

impl RowStream {
    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<Option<EngineError>> {
        let Some(cancelled) = &mut self.cancelled else { return Poll::Ready(None) };
        match Pin::new(cancelled).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(error)) => {
                self.end();
                Poll::Ready(Some(error))
            }
            Poll::Ready(Err(_)) => {
                self.cancelled = None;
                Poll::Ready(None)
            }
        }
    }

    fn poll_producer(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, EngineError>>> {
        let Some(producer) = self.producer.as_mut() else { return Poll::Ready(None) };
        match Pin::new(producer).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => {
                self.producer = None;
                Poll::Ready(ended.err().map(Err))
            }
        }
    }
}
