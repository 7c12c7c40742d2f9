//! What a block is a part of.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use foyer::{Code, Error};

/// One file that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    /// `scheme://host/path`.
    url: Arc<str>,
    size: u64,
}

impl FileKey {
    /// Of a path in the store of a URL, with the size that the log gives it.
    pub(crate) fn new(store: &str, path: &str, size: u64) -> Self {
        Self { url: format!("{}/{path}", store.trim_end_matches('/')).into(), size }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// One block of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BlockKey {
    pub file: FileKey,
    pub number: u32,
}

/// As it lies on disk: the key is compared as a whole before a block is used.
impl Code for BlockKey {
    fn encode(&self, writer: &mut impl Write) -> Result<(), Error> {
        self.number.encode(writer)?;
        self.file.size.encode(writer)?;
        self.file.url.to_string().encode(writer)
    }

    fn decode(reader: &mut impl Read) -> Result<Self, Error> {
        let (number, size) = (u32::decode(reader)?, u64::decode(reader)?);
        Ok(Self { file: FileKey { url: String::decode(reader)?.into(), size }, number })
    }

    fn estimated_size(&self) -> usize {
        size_of::<u32>() + 2 * size_of::<u64>() + self.file.url.len()
    }
}
