//! One copy on disk: a Vortex file, and behind it whose copy it is and a checksum.
//!
//! ```text
//!   Vortex file | Arrow schema (IPC) | CopyAbout (JSON) | CRC-32 of each block of the Vortex file
//!               | tail: 3 lengths, CRC-32 of all before it, magic
//! ```
//!
//! Everything is read through the handle that the tail was read through, so that a file replaced or deleted meanwhile
//! is never mixed with another. The whole is checked before a copy is used, each block again whenever it is read.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, LazyLock, OnceLock},
};

use arrow::{
    datatypes::{Schema, SchemaRef},
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use crc32fast::Hasher;
use datafusion::physical_plan::metrics::Count;
use serde::{Deserialize, Serialize};
use vortex::{
    VortexSessionDefault,
    buffer::{Alignment, ByteBuffer, ByteBufferMut},
    file::{Footer, OpenOptionsSessionExt},
    io::{VortexReadAt, session::RuntimeSessionExt},
    session::VortexSession,
};

use super::{CopyKey, copies::OpenCount, reader::CopyReader};

/// What Vortex knows of encodings and layouts. Work runs on the runtime of whoever asks.
pub(super) static VORTEX: LazyLock<VortexSession> = LazyLock::new(|| VortexSession::default().with_tokio());

/// Changes whenever older copies must not be read any more.
const MAGIC: [u8; 8] = *b"BHcopy\x02\n";
const TAIL_BYTES: u64 = 8 + 4 + 4 + 4 + 8;
const CHECK_BYTES: usize = 1 << 20;
/// What has a checksum of its own: the least that is read from disk.
const BLOCK_BYTES: u64 = 64 << 10;

/// What a copy says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CopyAbout {
    pub(super) key: CopyKey,
    pub(super) rows: u64,
    /// Of the original when the copy was made, where the store has one.
    pub(super) e_tag: Option<String>,
}

/// An open copy.
#[derive(Debug)]
pub(crate) struct CopyFile {
    pub(super) file: Arc<File>,
    /// Length of the Vortex part.
    pub(super) data_bytes: u64,
    pub(super) about: CopyAbout,
    pub(super) schema: SchemaRef,
    pub(super) footer: OnceLock<Footer>,
    checksum: u32,
    /// Of each block of the Vortex part.
    pub(super) blocks: Arc<[u32]>,
    /// Held only for its end.
    _count: Option<OpenCount>,
}

impl CopyFile {
    /// Opens a copy and reads its end. Its checksum is not looked at: see [`CopyFile::check`].
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let tail_at = length.checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it is too short"))?;
        let mut tail = [0; TAIL_BYTES as usize];
        file.read_exact_at(&mut tail, tail_at)?;
        let mut rest = tail.as_slice();
        let data_bytes = u64::from_le_bytes(take(&mut rest)?);
        let schema_bytes = u32::from_le_bytes(take(&mut rest)?);
        let about_bytes = u32::from_le_bytes(take(&mut rest)?);
        let checksum = u32::from_le_bytes(take(&mut rest)?);
        let blocks_bytes = data_bytes.div_ceil(BLOCK_BYTES) * 4;
        let described = data_bytes.checked_add(u64::from(schema_bytes) + u64::from(about_bytes) + blocks_bytes);
        if rest != MAGIC || described != Some(tail_at) {
            return Err(damaged("its end is not that of a copy"));
        }
        let mut schema = vec![0; schema_bytes as usize];
        file.read_exact_at(&mut schema, data_bytes)?;
        let mut about = vec![0; about_bytes as usize];
        file.read_exact_at(&mut about, data_bytes + u64::from(schema_bytes))?;
        let mut blocks = vec![0; usize::try_from(blocks_bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut blocks, tail_at - blocks_bytes)?;
        let blocks = blocks.as_chunks().0.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        let reader = StreamReader::try_new(schema.as_slice(), None).map_err(io::Error::other)?;
        let about = serde_json::from_slice(&about)?;
        let (schema, footer) = (reader.schema(), OnceLock::new());
        Ok(Self { file: Arc::new(file), data_bytes, about, schema, footer, checksum, blocks, _count: None })
    }

    /// Counts as open for as long as it lives.
    pub(super) fn counted(self, count: OpenCount) -> Self {
        Self { _count: Some(count), ..self }
    }

    pub(crate) fn key(&self) -> &CopyKey {
        &self.about.key
    }

    /// Reads all of the copy and compares the checksum.
    pub(crate) fn check(&self) -> io::Result<()> {
        let length = self.bytes()?;
        let end = length.checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it is too short"))? + 16;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; CHECK_BYTES];
        let mut at = 0;
        while at < end {
            let count = usize::try_from(end - at).map_or(CHECK_BYTES, |left| left.min(CHECK_BYTES));
            self.file.read_exact_at(&mut buffer[..count], at)?;
            hasher.update(&buffer[..count]);
            at += count as u64;
        }
        match hasher.finalize() == self.checksum {
            true => Ok(()),
            false => Err(damaged("its checksum does not match")),
        }
    }

    /// Is the Vortex part one that this release reads, with the rows that the copy says it has?
    pub(super) async fn check_layout(&self) -> io::Result<()> {
        let reader: Arc<dyn VortexReadAt> = Arc::new(CopyReader::new(self, [Count::new(), Count::new()]));
        let opened = VORTEX.open_options().with_file_size(self.data_bytes).open_read(reader).await;
        let rows = opened.map_err(|error| io::Error::other(error.to_string()))?.row_count();
        match rows == self.about.rows {
            true => Ok(()),
            false => Err(damaged("it has another number of rows")),
        }
    }

    /// The tag of the original when the copy was made.
    pub(super) fn e_tag(&self) -> Option<&str> {
        self.about.e_tag.as_deref()
    }

    /// Size on disk.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Reads a part of the Vortex part with the blocks that it touches. Returns them, and where in them the part begins; an
/// error when a block is not what was written.
pub(super) fn read_blocks(
    file: &File,
    blocks: &[u32],
    data_bytes: u64,
    offset: u64,
    length: usize,
    alignment: Alignment,
) -> io::Result<(ByteBuffer, usize)> {
    let end = offset.checked_add(length as u64).filter(|end| *end <= data_bytes);
    let end = end.ok_or_else(|| damaged("it is shorter than it says"))?;
    let (first, start) = (offset / BLOCK_BYTES, offset / BLOCK_BYTES * BLOCK_BYTES);
    let end = end.next_multiple_of(BLOCK_BYTES).min(data_bytes);
    let mut buffer = ByteBufferMut::zeroed_aligned((end - start) as usize, alignment);
    file.read_exact_at(buffer.as_mut_slice(), start)?;
    let sums = blocks.get(first as usize..).unwrap_or_default();
    for (at, block) in buffer.as_slice().chunks(BLOCK_BYTES as usize).enumerate() {
        if sums.get(at) != Some(&crc32fast::hash(block)) {
            return Err(damaged("the checksum of a block does not match"));
        }
    }
    Ok((buffer.freeze(), (offset - start) as usize))
}

/// Writes a copy: the Vortex part first, then the end.
#[derive(Debug)]
pub(super) struct CopyWriter {
    file: File,
    hasher: Hasher,
    written: u64,
    /// Of the blocks of the Vortex part that are whole; and of the one that is not.
    blocks: Vec<u32>,
    block: Hasher,
    /// Why a write failed: Vortex keeps it to itself.
    failed: Option<ErrorKind>,
}

impl CopyWriter {
    /// Makes a new file; an error when there is one.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        // Shows others that somebody is at work.
        file.try_lock()?;
        Ok(Self { file, hasher: Hasher::new(), written: 0, blocks: vec![], block: Hasher::new(), failed: None })
    }

    /// Writes a piece of the Vortex part.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        let mut at = self.written;
        while !left.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - at % BLOCK_BYTES).unwrap_or(usize::MAX);
            let (head, rest) = left.split_at(room.min(left.len()));
            self.block.update(head);
            at += head.len() as u64;
            if at.is_multiple_of(BLOCK_BYTES) {
                self.blocks.push(std::mem::take(&mut self.block).finalize());
            }
            left = rest;
        }
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            self.failed = Some(error.kind());
            return Err(error);
        }
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// The fault of the disk, if there was one.
    pub(super) fn fault(&self) -> Option<io::Error> {
        self.failed.map(io::Error::from)
    }

    /// Writes the end. Returns the length of the file, which is on disk in full.
    pub(super) fn finish(mut self, schema: &Schema, about: &CopyAbout) -> io::Result<u64> {
        let data_bytes = self.written;
        let mut described = Vec::new();
        let mut writer = StreamWriter::try_new(&mut described, schema).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)?;
        drop(writer);
        let about = serde_json::to_vec(about)?;
        let length = |part: &[u8]| u32::try_from(part.len()).map_err(io::Error::other);
        let lengths = [length(&described)?.to_le_bytes(), length(&about)?.to_le_bytes()];
        if !data_bytes.is_multiple_of(BLOCK_BYTES) {
            self.blocks.push(std::mem::take(&mut self.block).finalize());
        }
        let blocks: Vec<u8> = self.blocks.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        self.put(&described)?;
        self.put(&about)?;
        self.put(&blocks)?;
        self.put(&data_bytes.to_le_bytes())?;
        self.put(lengths.as_flattened())?;
        let checksum = self.hasher.clone().finalize();
        self.put(&checksum.to_le_bytes())?;
        self.put(&MAGIC)?;
        self.file.sync_all()?;
        Ok(self.written)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> io::Result<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk().ok_or_else(|| damaged("its end is cut off"))?;
    *bytes = rest;
    Ok(*head)
}

fn damaged(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}
