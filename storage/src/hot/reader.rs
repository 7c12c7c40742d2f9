//! The Vortex part of a copy as Vortex reads it: by position, through the handle that the copy was opened with.

use std::{
    fs::File,
    sync::{Arc, Mutex, Weak},
};

use datafusion::physical_plan::metrics::Count;
use futures::{FutureExt, future::BoxFuture};
use vortex::{
    array::buffer::BufferHandle,
    buffer::{Alignment, ByteBuffer},
    error::VortexResult,
    io::{CoalesceConfig, VortexReadAt, session::RuntimeSessionExt},
    layout::LayoutReader,
};

use super::{
    CopyFile,
    file::{VORTEX, read_blocks},
};

/// The reader of a copy's layout, shared by those who read the same file in the same scan.
pub(super) type SharedReader = Mutex<Option<Weak<dyn LayoutReader>>>;

/// Requests to one copy under way at once.
const READS_MAX: usize = 32;

pub(super) struct CopyReader {
    file: Arc<File>,
    blocks: Arc<[u32]>,
    length: u64,
    /// Of bytes asked for.
    counts: [Count; 2],
}

impl CopyReader {
    pub(super) fn new(copy: &CopyFile, counts: [Count; 2]) -> Self {
        Self { file: copy.file.clone(), blocks: copy.blocks.clone(), length: copy.data_bytes, counts }
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
        self.counts.iter().for_each(|count| count.add(length));
        let (file, blocks, data_bytes) = (self.file.clone(), self.blocks.clone(), self.length);
        let read = move || -> VortexResult<BufferHandle> {
            let (buffer, at) = read_blocks(&file, &blocks, data_bytes, offset, length, alignment)?;
            Ok(BufferHandle::new_host(match alignment.is_offset_aligned(at) {
                true => buffer.slice_with_alignment(at..at + length, alignment),
                false => ByteBuffer::copy_from_aligned(&buffer.as_slice()[at..at + length], alignment),
            }))
        };
        VORTEX.handle().spawn_blocking(read).boxed()
    }
}
