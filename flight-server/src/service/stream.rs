//! Rows on their way to the client.
//!
//! A task takes batches from the engine, encodes them and puts them into a short queue; the connection takes them from it.
//! So one batch is encoded while the one before is sent, and a slow client slows the query instead of filling memory. When
//! the client goes away the queue closes, the task ends, and with it the query.

use std::{future::Future, sync::Arc, vec};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use arrow_flight::FlightData;
use boathouse_engine::{Outcome, Prepared, RowStream, ScalarValue, Session};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

use super::{
    encode::{self, Encoder},
    running::{Run, Running},
};
use crate::status;

/// Messages of one DoGet.
pub type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// Encoded messages waiting for the connection, of about 2 MiB each.
const MESSAGES_MAX: usize = 2;

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
    let run = Arc::new(run);
    let mut query = Query { session, prepared, parameters: parameters.into_iter(), rows: None, _run: run.clone() };
    tokio::select! {
        biased;
        reason = run.stopped() => return Err(reason),
        begun = query.begin() => begun?,
    };
    let about = About { schema: query.prepared.schema(), query_id: run.query_id(), server: run.server().clone() };
    Ok(deliver(query, about, async move { run.stopped().await }))
}

/// Rows that go to one client, as they come.
pub trait Source: Send + 'static {
    /// The next ones; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Result<Option<RecordBatch>, Status>> + Send;
}

/// What is said of rows besides them.
pub struct About {
    pub schema: SchemaRef,
    /// By which a client finds what went wrong.
    pub query_id: Uuid,
    /// Counts what is sent.
    pub server: Arc<Running>,
}

/// Sends all rows of a source, unless there is a reason to stop. The source is dropped before the client learns of an end that
/// is an error.
pub fn deliver(
    mut source: impl Source,
    about: About,
    stopped: impl Future<Output = Status> + Send + 'static,
) -> FlightStream {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    tokio::spawn(async move {
        let work = async {
            tokio::select! {
                biased;
                () = sender.closed() => Ok(()),
                reason = stopped => Err(reason),
                result = send(&mut source, &about, &sender) => result,
            }
        };
        // A task that only died would look like a clean end of the stream.
        if let Err(status) = status::guarded(work).await {
            let status = status::detailed(status, about.query_id);
            drop(source);
            // Fails when the client went away, which is fine.
            let _ = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver).boxed()
}

async fn send(
    source: &mut impl Source,
    about: &About,
    sender: &mpsc::Sender<Result<FlightData, Status>>,
) -> Result<(), Status> {
    let mut encoder = Encoder::new();
    if sender.send(Ok(encoder.schema(&about.schema))).await.is_err() {
        return Ok(());
    }
    while let Some(batch) = source.next().await? {
        for part in encode::cut(batch).filter(|part| part.num_rows() > 0) {
            let encoded = encoder.batch(&part)?;
            about.server.sends(part.num_rows(), &encoded);
            for message in encoded {
                if sender.send(Ok(message)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

struct Query {
    session: Arc<Session>,
    prepared: Prepared,
    /// Of the runs to come.
    parameters: vec::IntoIter<Vec<ScalarValue>>,
    rows: Option<RowStream>,
    /// It counts as running as long as this is here.
    _run: Arc<Run>,
}

impl Query {
    /// Starts the next run, if there is one.
    async fn begin(&mut self) -> Result<(), Status> {
        let Some(parameters) = self.parameters.next() else { return Ok(()) };
        match self.session.run(&self.prepared, &parameters).await.map_err(status::from_engine)? {
            Outcome::Rows(rows) => self.rows = Some(rows),
            Outcome::Changed { .. } | Outcome::Done(_) => return Err(Status::internal("a query returned no rows")),
        }
        Ok(())
    }
}

impl Source for Query {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        while let Some(rows) = &mut self.rows {
            if let Some(batch) = rows.try_next().await.map_err(status::from_engine)? {
                return Ok(Some(batch));
            }
            self.rows = None;
            self.begin().await?;
        }
        Ok(None)
    }
}
