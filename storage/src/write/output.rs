//! Bytes of a file on their way from an encoder, which knows nothing of stores, to the store.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use object_store::{ObjectStore, path::Path};
use parking_lot::Mutex;

use crate::{StorageError, file::Upload};

/// Bytes are collected in pieces of this size: one that grows would be copied again and again, and be twice too large.
const BLOCK_BYTES: usize = 1 << 20;

/// A file being written. It appears, whole, at [`Output::finish`]; one that is dropped leaves nothing.
pub(super) struct Output {
    blocks: Blocks,
    upload: Upload,
    size: u64,
}

impl Output {
    pub(super) fn at(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { blocks: Blocks::default(), upload: Upload::at(store, path), size: 0 }
    }

    /// Where the encoder writes to.
    pub(super) fn blocks(&self) -> Blocks {
        self.blocks.clone()
    }

    /// How much was sent.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Sends what was written.
    pub(super) async fn send(&mut self) -> Result<(), StorageError> {
        for bytes in self.blocks.take() {
            self.size += bytes.len() as u64;
            self.upload.write(bytes).await?;
        }
        Ok(())
    }

    /// Makes the file visible.
    pub(super) async fn finish(self) -> Result<(), StorageError> {
        self.upload.finish().await
    }

    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }
}

/// What was written and not sent yet.
#[derive(Clone, Default)]
pub(super) struct Blocks(Arc<Mutex<(Vec<Bytes>, BytesMut)>>);

impl Blocks {
    fn take(&self) -> Vec<Bytes> {
        let (full, open) = &mut *self.0.lock();
        let mut taken = std::mem::take(full);
        if !open.is_empty() {
            taken.push(open.split().freeze());
        }
        taken
    }
}

impl io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (full, open) = &mut *self.0.lock();
        if open.capacity() == open.len() {
            if !open.is_empty() {
                full.push(open.split().freeze());
            }
            open.reserve(BLOCK_BYTES);
        }
        let written = bytes.len().min(open.capacity() - open.len());
        open.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
