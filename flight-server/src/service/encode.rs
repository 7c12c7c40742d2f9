//! Batches to messages of the wire.
//!
//! Not `FlightDataEncoder`: that one changes schemas on the way (it announces `LargeList` as `List`) and cuts by the memory
//! behind a slice instead of the slice. The engine gives batches in their wire schema, so they are sent as they are.

use arrow::{
    array::RecordBatch,
    datatypes::Schema,
    error::ArrowError,
    ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
};
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use tonic::Status;

use crate::status;

/// Aim for messages of this size. Clients take no more than 4 or 16 MiB, and a row is never cut.
pub const MESSAGE_BYTES_AIM: usize = 2 << 20;

/// Encodes the batches of one stream.
pub struct Encoder {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    pub fn new() -> Self {
        Self {
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
            context: IpcWriteContext::default(),
        }
    }

    /// The first message of a stream.
    pub fn schema(&self, schema: &Schema) -> FlightData {
        SchemaAsIpc::new(schema, &self.options).into()
    }

    /// A batch, which should be one that [`cut`] gave.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<FlightData>, Status> {
        let encoded = self.generator.encode(batch, &mut self.dictionaries, &self.options, &mut self.context);
        let (dictionaries, batch) = encoded.map_err(|error| status::internal(&error))?;
        Ok(dictionaries.into_iter().chain([batch]).map(FlightData::from).collect())
    }
}

/// Cuts a batch into slices of about [`MESSAGE_BYTES_AIM`], in order.
pub fn cut(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let mut rest = vec![batch];
    std::iter::from_fn(move || {
        loop {
            let batch = rest.pop()?;
            let rows = batch.num_rows();
            if rows < 2 || size(&batch) <= MESSAGE_BYTES_AIM {
                return Some(batch);
            }
            rest.push(batch.slice(rows / 2, rows - rows / 2));
            rest.push(batch.slice(0, rows / 2));
        }
    })
}

/// A schema as FlightInfo, GetSchema and prepared statements carry it.
pub fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    message.map(|IpcMessage(bytes)| bytes).map_err(|error| status::internal(&error))
}

/// Bytes of the rows in a slice, not of the buffers that it shares.
fn size(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, StringArray},
        compute::concat_batches,
    };

    use super::*;

    fn batch(lengths: impl IntoIterator<Item = usize>) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(lengths.into_iter().map(|n| "x".repeat(n))));
        RecordBatch::try_from_iter([("text", texts)]).unwrap()
    }

    #[test]
    fn skewed_rows_are_cut_to_small_messages_in_order() {
        let whole = batch((0..1000).map(|row| if row % 100 == 7 { 1 << 20 } else { row % 10 }));
        let parts: Vec<_> = cut(whole.clone()).collect();
        assert!(parts.len() > 4);
        assert!(parts.iter().all(|part| size(part) <= MESSAGE_BYTES_AIM));
        assert_eq!(concat_batches(&whole.schema(), &parts).unwrap(), whole);
    }

    #[test]
    fn a_small_slice_of_a_large_batch_is_one_message() {
        let slice = batch((0..64).map(|_| 1 << 20)).slice(3, 1);
        assert_eq!(cut(slice.clone()).collect::<Vec<_>>(), std::slice::from_ref(&slice));
        let messages = Encoder::new().batch(&slice).unwrap();
        assert!(messages[0].data_body.len() < (1 << 20) + 4096);
    }
}
