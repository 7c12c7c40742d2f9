//! Blocks that somebody asked to have near by, whoever reads them how often.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Blocks, TableMark, key::BlockKey};
use crate::near::{Brought, Tier};

/// What one statement asked for. Safe to share between tasks.
#[derive(Debug)]
pub(crate) struct Fill {
    /// Bytes that may still come in.
    room: AtomicU64,
    /// Bytes of each block that was read.
    blocks: Mutex<HashMap<BlockKey, u64>>,
    /// Files that were not read for want of room, and their bytes.
    left: Mutex<(u64, u64)>,
}

impl Fill {
    /// For so many bytes at most.
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { room: AtomicU64::new(bytes_max), blocks: Mutex::default(), left: Mutex::default() })
    }

    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.room.load(Ordering::Relaxed) >= bytes
    }

    /// A whole file stays away.
    pub(crate) fn leave(&self, bytes: u64) {
        let mut left = self.left.lock();
        *left = (left.0 + 1, left.1 + bytes);
    }

    /// Blocks that were read: those that are not on the disk go there, as far as there is room. Waits for it, so that no
    /// more is on its way than memory is meant for.
    pub(super) async fn take(&self, blocks: &Blocks, table: TableMark, read: Vec<(BlockKey, Bytes)>) {
        let new: Vec<(BlockKey, Bytes)> = {
            let mut known = self.blocks.lock();
            read.into_iter().filter(|(key, block)| known.insert(key.clone(), block.len() as u64).is_none()).collect()
        };
        if new.is_empty() {
            return;
        }
        // Those that were fetched may be on their way.
        blocks.idle().await;
        for (key, block) in new {
            let bytes = block.len() as u64;
            let less = |room: u64| room.checked_sub(bytes);
            if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                blocks.keep(key, block, table);
            }
        }
        blocks.idle().await;
    }

    /// What of all that is there now.
    pub(crate) async fn settled(&self, blocks: &Blocks) -> Brought {
        blocks.idle().await;
        let mut brought = Brought::none(Tier::Warm);
        (brought.files_left, brought.bytes_left) = *self.left.lock();
        let known = self.blocks.lock();
        let (mut files, mut partly) = (HashSet::new(), HashSet::new());
        for (key, bytes) in known.iter() {
            files.insert(&key.file);
            match blocks.keeps(key) {
                true => brought.bytes += bytes,
                false => {
                    partly.insert(&key.file);
                    brought.bytes_left += bytes;
                }
            }
        }
        brought.files = (files.len() - partly.len()) as u64;
        brought.files_left += partly.len() as u64;
        brought
    }
}
