//! DoGet of a job: its rows, each to one stream.

use std::sync::Arc;

use arrow::array::RecordBatch;
use boathouse_engine::Effect;
use tonic::Status;

use super::{
    super::{
        flight::Shared,
        session::Caller,
        stream::{About, FlightStream, Source, deliver},
    },
    job::{Job, Told},
    run,
};
use crate::status;

/// Streams what is there and what comes. Once per part: rows that went out are forgotten.
pub fn rows(shared: &Arc<Shared>, caller: &mut Caller, id: &str, part: u32) -> Result<FlightStream, Status> {
    let job = shared.jobs.find(&caller.user(), id)?;
    caller.is_for(job.terms.query_id);
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
    let running = shared.running.clone();
    let about = About { schema: job.terms.schema.clone(), query_id: job.terms.query_id, server: running.clone() };
    Ok(deliver(Fetch { shared: shared.clone(), job, part }, about, async move { running.ended().await }))
}

/// A part on its way.
struct Fetch {
    shared: Arc<Shared>,
    job: Arc<Job>,
    part: usize,
}

impl Source for Fetch {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        self.job.take().await.transpose()
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.job.close_part(self.part);
        self.shared.jobs.leave(&self.job);
    }
}
