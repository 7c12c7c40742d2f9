//! GetFlightInfo of a query whose rows go to several streams.
//!
//! All streams are fed by one run of the query, through one bounded queue: each takes the next batch that is there. So every
//! row goes to one stream, joins and aggregates are made once, and a stream that nobody opens holds nothing up: the others get
//! its rows, be it one after the other or at once. It follows that a stream which breaks has taken its rows with it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightInfo};
use boathouse_engine::Prepared;
use bytes::Bytes;
use tonic::Status;

use super::{
    super::{flight::Shared, parameters, query, session::Caller},
    job::Terms,
    run::Work,
};

/// An info with an endpoint per part. Nothing runs yet.
pub fn spread(
    shared: &Shared,
    caller: &Caller,
    prepared: Prepared,
    batches: &[RecordBatch],
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let rows = parameters::rows(batches)?;
    let terms = Terms::new(caller, Arc::new(prepared), descriptor.clone(), rows.len())?;
    let schema = terms.schema_bytes.clone();
    let work = Work::Query { session: caller.session.clone(), parameters: rows };
    let job = shared.jobs.add(terms, work)?;
    Ok(query::flight_info(schema, job.tickets(&caller.user()), descriptor, Bytes::new()))
}
