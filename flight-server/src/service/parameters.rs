//! Parameters that a client binds: rows of an Arrow stream, a column per parameter, in order.

use arrow::array::RecordBatch;
use arrow_flight::{FlightData, decode::FlightRecordBatchStream, error::FlightError};
use boathouse_engine::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

use crate::status;

/// Memory for the parameters of one call.
const BYTES_MAX: usize = 256 << 20;

/// Reads the batches of a DoPut. `first` is its first message, which holds the command and maybe the schema.
pub async fn read(
    first: FlightData,
    rest: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> Result<Vec<RecordBatch>, Status> {
    let head = (!first.data_header.is_empty()).then_some(Ok(first));
    let data = futures::stream::iter(head).chain(rest).map_err(FlightError::from);
    let mut stream = FlightRecordBatchStream::new_from_flight_data(data);
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.try_next().await.map_err(unreadable)? {
        bytes += batch.get_array_memory_size();
        if bytes > BYTES_MAX {
            return Err(Status::resource_exhausted(format!(
                "parameters take more than {} MiB\nHINT: Bind fewer rows at once, or load files with COPY.",
                BYTES_MAX >> 20
            )));
        }
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// One row per run of the statement. Without any, the statement runs once without parameters.
pub fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
            rows.push(values.collect::<Result<_, _>>().map_err(|error| status::malformed(&error.to_string()))?);
        }
    }
    if rows.is_empty() {
        rows.push(Vec::new());
    }
    Ok(rows)
}

pub fn unreadable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => status::malformed(&format!("unreadable rows: {other}")),
    }
}
