//! Encoded pages that wait for the row group that they belong to.
//!
//! The library compresses a page into room for what it may take at worst and gives the rest back, which allocators do not
//! take for less than half of it: a column chunk that waits would hold up to twice its bytes. Here it is copied into room of
//! its size, and that of the next page is there again.

use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{PageKey, PageStore, PageStoreArgs, PageStoreFactory},
    errors::ParquetError,
};

/// Makes the room for the pages of each column.
#[derive(Debug)]
pub(super) struct TightPages;

impl PageStoreFactory for TightPages {
    fn create(&self, _: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>, ParquetError> {
        Ok(Box::new(Pages::default()))
    }
}

/// Pages of one column; one that was taken is empty.
#[derive(Debug, Default)]
struct Pages {
    pages: Vec<Bytes>,
    bytes: usize,
}

impl PageStore for Pages {
    fn put(&mut self, page: Bytes) -> Result<PageKey, ParquetError> {
        self.bytes += page.len();
        self.pages.push(Bytes::copy_from_slice(&page));
        Ok(PageKey::new(self.pages.len() as u64 - 1))
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes, ParquetError> {
        let place = usize::try_from(key.get()).ok().and_then(|at| self.pages.get_mut(at));
        let page = place.ok_or_else(|| ParquetError::General(format!("there is no page {}", key.get())))?;
        let page = std::mem::take(page);
        self.bytes -= page.len();
        Ok(page)
    }

    fn memory_size(&self) -> usize {
        self.bytes
    }
}
