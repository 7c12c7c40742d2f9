//! A job at work.

use std::sync::Arc;

use arrow::array::RecordBatch;
use boathouse_engine::{Outcome, Prepared, ScalarValue, Session};
use futures::TryStreamExt;
use tonic::Status;

use super::{
    super::{flight::Shared, session::Caller, update},
    job::{End, Job},
};
use crate::status;

/// What a job does.
pub enum Work {
    /// A query, once per row of parameters.
    Query { session: Arc<Session>, parameters: Vec<Vec<ScalarValue>> },
    /// A statement with an effect, as DoPut would run it.
    Effect { caller: Caller, prepared: Prepared, batches: Vec<RecordBatch> },
}

/// Runs it in the background, until it is done or the job is ended. Nothing happens when it runs already.
pub fn start(shared: &Arc<Shared>, job: &Arc<Job>) {
    let Some(work) = job.begin() else { return };
    let (shared, job) = (shared.clone(), job.clone());
    tokio::spawn(async move {
        let run = shared.running.until_closed(status::guarded(run(&shared, &job, work)));
        let end = tokio::select! {
            biased;
            () = job.ended() => return,
            end = run => end,
        };
        job.end(end.map_err(|status| status::detailed(status, job.terms.query_id)));
    });
}

async fn run(shared: &Shared, job: &Job, work: Work) -> Result<End, Status> {
    match work {
        Work::Query { session, parameters } => {
            for parameters in parameters {
                let outcome = session.run(&job.terms.prepared, &parameters).await.map_err(status::from_engine)?;
                let Outcome::Rows(mut rows) = outcome else {
                    return Err(Status::internal("a query returned no rows"));
                };
                while let Some(batch) = rows.try_next().await.map_err(status::from_engine)? {
                    if batch.num_rows() == 0 {
                        continue;
                    }
                    // While there is no room nobody would look whether it was killed.
                    tokio::select! {
                        biased;
                        error = rows.cancelled() => return Err(status::from_engine(error)),
                        () = job.put(batch) => {}
                    }
                }
                job.has_run();
            }
            Ok(End::Rows)
        }
        Work::Effect { mut caller, prepared, batches } => {
            update::run(shared, &mut caller, prepared, &batches).await.map(End::Effect)
        }
    }
}
