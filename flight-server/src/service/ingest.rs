//! Bulk ingestion: the rows of a DoPut into a table, in one commit.
//!
//! Rows are decoded as the engine asks for them, so a client that is faster than the lake is held up by flow control. They
//! are committed only when the client has ended its stream itself: one that dies or cancels leaves nothing.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use arrow_flight::{
    FlightData,
    decode::{DecodedPayload, FlightDataDecoder},
    error::FlightError,
    sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption},
};
use boathouse_engine::{Existing, Ingest};
use futures::{Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tonic::Status;

use super::{metadata::CATALOG, parameters::unreadable, session::Caller, whole::Whole};
use crate::status;

/// DoPut of rows; returns the number of them.
pub async fn put(
    caller: &Caller,
    command: CommandStatementIngest,
    first: FlightData,
    rest: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    whole: Whole,
) -> Result<i64, Status> {
    let ingest = read(command)?;
    let head = (!first.data_header.is_empty()).then_some(Ok(first));
    let data = futures::stream::iter(head).chain(rest).map_err(FlightError::from);
    let mut decoder = FlightDataDecoder::new(data.boxed());
    let schema = schema(&mut decoder).await?;
    // The engine passes errors on in its own words; the client gets the one that was there first.
    let failed: Arc<Mutex<Option<Status>>> = Arc::default();
    let rows = rows(decoder, whole).map_err({
        let failed = failed.clone();
        move |status| {
            let text = status.message().to_owned();
            *failed.lock() = Some(status);
            ArrowError::ExternalError(text.into())
        }
    });
    let count = caller.session.ingest(&caller.origin(), ingest, schema, rows.boxed()).await;
    let count = count.map_err(|error| failed.lock().take().unwrap_or_else(|| status::from_engine(error)))?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

/// What the command asks for; what it asks for and cannot have is refused by name.
fn read(command: CommandStatementIngest) -> Result<Ingest, Status> {
    if let Some(catalog) = command.catalog.filter(|catalog| !catalog.is_empty() && catalog != CATALOG) {
        let hint = format!("There is one catalog, \"{CATALOG}\".");
        return Err(Status::not_found(format!("catalog \"{catalog}\" does not exist\nHINT: {hint}")));
    }
    if command.temporary {
        return Err(status::unsupported("temporary tables are", "Ingest into a table, and drop it afterwards."));
    }
    if let Some(option) = command.options.keys().min() {
        return Err(status::unsupported(&format!("the option \"{option}\" of ingestion is"), "Leave it out."));
    }
    let options = command.table_definition_options.ok_or_else(|| status::malformed("no table definition options"))?;
    let create = match options.if_not_exist() {
        TableNotExistOption::Create => true,
        TableNotExistOption::Fail => false,
        TableNotExistOption::Unspecified => return Err(status::malformed("not said what to do without the table")),
    };
    let existing = match options.if_exists() {
        TableExistsOption::Fail => Existing::Fail,
        TableExistsOption::Append => Existing::Append,
        TableExistsOption::Replace => Existing::Replace,
        TableExistsOption::Unspecified => return Err(status::malformed("not said what to do about a table there")),
    };
    let schema = command.schema.filter(|schema| !schema.is_empty());
    Ok(Ingest { schema, table: command.table, create, existing })
}

async fn schema(decoder: &mut FlightDataDecoder) -> Result<SchemaRef, Status> {
    while let Some(message) = decoder.try_next().await.map_err(unreadable)? {
        match message.payload {
            DecodedPayload::None => {}
            DecodedPayload::Schema(schema) => return Ok(schema),
            DecodedPayload::RecordBatch(_) => return Err(status::malformed("rows before their schema")),
        }
    }
    Err(status::malformed("no schema of rows to ingest"))
}

/// The batches, then an end that is an error unless all has come.
fn rows(decoder: FlightDataDecoder, whole: Whole) -> impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static {
    futures::stream::try_unfold((decoder, whole), async |(mut decoder, whole)| {
        while let Some(message) = decoder.try_next().await.map_err(unreadable)? {
            match message.payload {
                DecodedPayload::None => {}
                DecodedPayload::RecordBatch(batch) => return Ok(Some((batch, (decoder, whole)))),
                DecodedPayload::Schema(_) => return Err(status::malformed("a second schema among the rows")),
            }
        }
        if whole.is_whole() {
            return Ok(None);
        }
        Err(Status::cancelled("the client went away in the middle of its rows: none of them was written"))
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array};

    use super::*;

    #[tokio::test]
    async fn rows_without_the_clients_own_end_are_an_error() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        for ended in [true, false] {
            let data = futures::stream::iter([Ok(batch.clone())]);
            let data = arrow_flight::encode::FlightDataEncoderBuilder::new().build(data);
            let mut decoder = FlightDataDecoder::new(data);
            assert_eq!(schema(&mut decoder).await.unwrap(), batch.schema());
            let rows = rows(decoder, Whole::known(ended)).collect::<Vec<_>>().await;
            assert_eq!(rows[0].as_ref().unwrap(), &batch);
            let end = rows.get(1).map(|end| end.as_ref().unwrap_err().code());
            assert_eq!(end, (!ended).then_some(tonic::Code::Cancelled));
        }
    }
}
