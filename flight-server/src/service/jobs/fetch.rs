//! DoGet of a job: its rows, each to one stream.

use std::sync::Arc;

use arrow::array::RecordBatch;
use boathouse_engine::Effect;
use tokio::sync::mpsc;
use tonic::Status;

use super::{
    super::{
        encode::{self, Encoder},
        flight::Shared,
        session::Caller,
        stream::{FlightStream, MESSAGES_MAX, messages},
    },
    job::{Job, Told},
    run,
};
use crate::status;

/// Streams what is there and what comes. Once per part: rows that went out are forgotten.
pub fn rows(shared: &Arc<Shared>, caller: &Caller, id: &str, part: u32) -> Result<FlightStream, Status> {
    let job = shared.jobs.find(&caller.user(), id)?;
    job.terms.prepared.check_right(&caller.session.identity()).map_err(status::from_engine)?;
    if job.terms.prepared.effect() != Effect::Rows {
        return Err(status::malformed(
            "this statement has a count when it is done\nHINT: Poll until there is no descriptor.",
        ));
    }
    if let Told::Failed(status) = job.told() {
        return Err(status);
    }
    let part = usize::try_from(part).unwrap_or(usize::MAX);
    if !job.open_part(part) {
        return Err(Status::not_found(
            "this part of the result was fetched already: a result that was polled for is fetched once\nHINT: Run the \
             statement again.",
        ));
    }
    // The first one of the parts.
    run::start(shared, &job);
    let fetch = Fetch { shared: shared.clone(), job, part };
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    tokio::spawn(async move {
        let work = async {
            tokio::select! {
                biased;
                () = sender.closed() => Ok(()),
                result = fetch.shared.running.until_closed(fetch.send(&sender)) => result,
            }
        };
        // A task that only died would look like a clean end of the stream.
        if let Err(status) = status::guarded(work).await {
            let status = status::detailed(status, fetch.job.terms.query_id);
            drop(fetch);
            // Fails when the client went away, which is fine.
            let _ = sender.send(Err(status)).await;
        }
    });
    Ok(messages(receiver))
}

/// A part on its way.
struct Fetch {
    shared: Arc<Shared>,
    job: Arc<Job>,
    part: usize,
}

impl Fetch {
    async fn send(&self, sender: &mpsc::Sender<Result<arrow_flight::FlightData, Status>>) -> Result<(), Status> {
        let mut encoder = Encoder::new();
        if sender.send(Ok(encoder.schema(&self.job.terms.schema))).await.is_err() {
            return Ok(());
        }
        while let Some(batch) = self.job.take().await {
            for part in encode::cut(batch?).filter(|part: &RecordBatch| part.num_rows() > 0) {
                let encoded = encoder.batch(&part)?;
                self.shared.running.sends(part.num_rows(), &encoded);
                for message in encoded {
                    if sender.send(Ok(message)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.job.close_part(self.part);
        self.shared.jobs.leave(&self.job);
    }
}
