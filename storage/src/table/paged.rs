//! Readers of files of which a scan wants the first rows alone.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::datasource::{listing::PartitionedFile, physical_plan::parquet::ParquetRowSelection};
use futures::{FutureExt, future::BoxFuture};
use parquet::{
    arrow::{
        arrow_reader::{ArrowReaderOptions, RowSelection},
        async_reader::AsyncFileReader,
    },
    errors::Result,
    file::metadata::{PageIndexPolicy, ParquetMetaData},
};

/// A reader that always knows where the pages lie: the library asks for that only where a filter may leave some out, and reads
/// whole row groups else, whatever rows it is told to read.
pub(super) struct Paged(Box<dyn AsyncFileReader + Send>);

impl Paged {
    /// `reader`, or one that knows the pages where the first rows of the file are wanted.
    pub(super) fn of(
        file: &PartitionedFile,
        reader: Box<dyn AsyncFileReader + Send>,
    ) -> Box<dyn AsyncFileReader + Send> {
        let selected = file.extensions.get::<ParquetRowSelection>();
        match selected.is_some_and(|rows| is_of_first_rows(rows.selection())) {
            true => Box::new(Self(reader)),
            false => reader,
        }
    }
}

fn is_of_first_rows(rows: &RowSelection) -> bool {
    rows.as_mask().is_none() && rows.iter().map(|run| run.skip).eq([false, true])
}

impl AsyncFileReader for Paged {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.0.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.0.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let options = options.cloned().unwrap_or_default().with_page_index_policy(PageIndexPolicy::Optional);
        async move { self.0.get_metadata(Some(&options)).await }.boxed()
    }
}
