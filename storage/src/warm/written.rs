//! Files that are being written: what goes to the store becomes blocks once it is there, so that the first query after a write
//! asks the store for nothing of them.
//!
//! The size of a file is part of its blocks' keys and known at its end, so its bytes are held until then: of all writes
//! together no more than [`HELD_BYTES_MAX`]. A file that does not fit in is only written.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use object_store::{PutPayload, path::Path};

use super::{
    Blocks, TableMark,
    key::{BlockKey, FileKey},
    layout::Layout,
};

/// Memory for files that are being written.
const HELD_BYTES_MAX: u64 = 64 << 20;
/// One write puts so much of the cache's room into it and no more.
const PART: u64 = 8;

/// Folders of a table's folder that hold none of its rows.
const OTHER_FOLDERS: [&str; 2] = ["_delta_log", "_change_data"];

/// The files of one write.
pub(crate) struct Written {
    blocks: Arc<Blocks>,
    table: TableMark,
    /// Of the store.
    url: String,
    /// The table's folder in it.
    folder: Path,
    /// Bytes that may still become blocks.
    room: AtomicU64,
}

/// One file that is being written. Gives its memory back when it is dropped.
pub(crate) struct BeingWritten {
    write: Arc<Written>,
    path: Path,
    /// What was sent so far, in order; `None` once it was too much.
    parts: Option<Vec<Bytes>>,
    bytes: u64,
}

/// Memory that files being written take.
#[derive(Debug, Default)]
pub(super) struct HeldBytes(AtomicU64);

impl Written {
    /// Into the folder of a table, of the store at `url`.
    pub(crate) fn new(blocks: Arc<Blocks>, table: TableMark, url: &str, folder: Path) -> Arc<Self> {
        let room = AtomicU64::new(blocks.fill_bytes_max() / PART);
        Arc::new(Self { blocks, table, url: url.to_owned(), folder, room })
    }

    /// A file of the table's folder is begun. `None` for one that holds no rows of the table (the log, vectors, the feed).
    pub(crate) fn begin(self: &Arc<Self>, path: &Path) -> Option<BeingWritten> {
        let folder = path.parts().next();
        let is_other = folder.is_some_and(|folder| OTHER_FOLDERS.contains(&folder.as_ref()));
        let of_rows = path.extension() == Some("parquet") && !is_other;
        let path = self.folder.parts().chain(path.parts()).collect();
        of_rows.then(|| BeingWritten { write: self.clone(), path, parts: Some(Vec::new()), bytes: 0 })
    }
}

impl BeingWritten {
    /// The next bytes of the file.
    pub(crate) fn add(&mut self, payload: &PutPayload) {
        let Some(parts) = &mut self.parts else { return };
        let bytes = payload.content_length() as u64;
        if self.write.blocks.held.take(bytes) {
            self.bytes += bytes;
            parts.extend(payload.iter().cloned());
        } else {
            self.parts = None;
            self.write.blocks.held.give_back(std::mem::take(&mut self.bytes));
        }
    }

    /// The file is there.
    pub(crate) fn done(mut self) {
        let (Some(parts), write) = (self.parts.take(), &self.write) else { return };
        let less = |room: u64| room.checked_sub(self.bytes);
        if write.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return;
        }
        let (file, layout) = (FileKey::new(&write.url, self.path.as_ref(), self.bytes), Layout::of(self.bytes));
        for number in layout.all() {
            let key = BlockKey { file: file.clone(), number };
            write.blocks.put_written(key, cut(&parts, &layout.span(number)), write.table);
        }
    }
}

impl Drop for BeingWritten {
    fn drop(&mut self) {
        self.write.blocks.held.give_back(self.bytes);
    }
}

impl HeldBytes {
    fn take(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= HELD_BYTES_MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A copy of a range of what the parts are together: a block must not keep the memory of its neighbours.
fn cut(parts: &[Bytes], span: &Range<u64>) -> Bytes {
    let mut block = BytesMut::with_capacity(usize::try_from(span.end - span.start).unwrap_or(0));
    let mut at = 0;
    for part in parts {
        let (start, end) = (at, at + part.len() as u64);
        at = end;
        let inside = span.start.max(start)..span.end.min(end);
        if inside.start < inside.end {
            let place = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
            block.extend_from_slice(&part[place(inside.start)..place(inside.end)]);
        }
    }
    block.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_cut_from_the_parts_that_it_lies_in() {
        let parts = [&b"abc"[..], b"", b"defg", b"h"].map(Bytes::from_static);
        for (span, bytes) in [(0..8, "abcdefgh"), (0..3, "abc"), (2..4, "cd"), (6..8, "gh"), (3..3, "")] {
            assert_eq!(cut(&parts, &span), bytes.as_bytes(), "{span:?}");
        }
    }

    #[test]
    fn memory_for_files_being_written_is_bounded_and_comes_back() {
        let held = HeldBytes::default();
        assert!(held.take(HELD_BYTES_MAX - 1) && !held.take(2) && held.take(1));
        held.give_back(HELD_BYTES_MAX);
        assert!(held.take(HELD_BYTES_MAX));
    }
}
