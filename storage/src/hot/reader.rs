//! The Vortex part of a copy as Vortex reads it: by position, through the handle that the copy was opened with.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, Weak},
};

use datafusion::physical_plan::metrics::Count;
use futures::{FutureExt, future::BoxFuture};
use vortex::{
    array::buffer::BufferHandle,
    buffer::{Alignment, ByteBufferMut},
    error::VortexResult,
    io::{CoalesceConfig, VortexReadAt, session::RuntimeSessionExt},
    layout::LayoutReader,
};

use super::{CopyFile, file::VORTEX};

/// The reader of a copy's layout, shared by those who read the same file in the same scan.
pub(super) type SharedReader = Mutex<Option<Weak<dyn LayoutReader>>>;

/// Requests to one copy under way at once.
const READS_MAX: usize = 32;

pub(super) struct CopyReader {
    file: Arc<File>,
    length: u64,
    /// Bytes asked for.
    bytes: Count,
}

impl CopyReader {
    pub(super) fn new(copy: &CopyFile, bytes: Count) -> Self {
        Self { file: copy.file.clone(), length: copy.data_bytes, bytes }
    }
}

impl VortexReadAt for CopyReader {
    fn coalesce_config(&self) -> Option<CoalesceConfig> {
        Some(CoalesceConfig::file())
    }

    fn concurrency(&self) -> usize {
        READS_MAX
    }

    fn size(&self) -> BoxFuture<'static, VortexResult<u64>> {
        std::future::ready(Ok(self.length)).boxed()
    }

    fn read_at(
        &self,
        offset: u64,
        length: usize,
        alignment: Alignment,
    ) -> BoxFuture<'static, VortexResult<BufferHandle>> {
        self.bytes.add(length);
        let file = self.file.clone();
        let read = move || -> VortexResult<BufferHandle> {
            let mut buffer = ByteBufferMut::zeroed_aligned(length, alignment);
            file.read_exact_at(buffer.as_mut_slice(), offset)?;
            Ok(BufferHandle::new_host(buffer.freeze()))
        };
        VORTEX.handle().spawn_blocking(read).boxed()
    }
}
