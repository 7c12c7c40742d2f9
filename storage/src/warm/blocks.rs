//! Where blocks are kept.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foyer::{HybridCacheProperties, Location};
use object_store::ObjectMeta;
use tracing::{debug, info, warn};

use super::{
    WarmOptions,
    admission::hash,
    flight::Flights,
    key::{BlockKey, FileKey},
    layout::{BLOCK_BYTES, Layout, TAIL, TAIL_BYTES},
    ledger::{Ledger, TableMark},
    outage::Clock,
    shelf::{Both, Shelf},
    written::HeldBytes,
};
use crate::{CacheCounts, CacheUsage, TableCacheUsage, hot::Disk};

/// Another form of what lies in the folder gets another name.
const FORM: &str = "1";
/// A folder that may weigh less is of no use.
const BYTES_MIN: u64 = 64 << 20;
/// Tails get this part of the room.
const TAILS_PART: u64 = 16;
/// A block is read from a disk in less, but for one that does not answer any more.
const READ_MAX: Duration = Duration::from_secs(15);
/// A block's key and header on disk.
pub(super) const HEADER_BYTES: u64 = 4 << 10;

/// Blocks in memory and in a folder. Every method may be called from many tasks at once.
pub(crate) struct Blocks {
    rows: Arc<Shelf>,
    tails: Arc<Shelf>,
    pub(super) flights: Flights,
    folder: Option<Held>,
    options: WarmOptions,
    counts: Arc<CacheCounts>,
    ledger: Arc<Ledger>,
    pub(super) held: HeldBytes,
}

impl Blocks {
    /// `None` when nothing is to be kept. With a folder that cannot be used, or that another process uses,
    /// blocks are kept in memory alone. Works inside a Tokio runtime only.
    pub(crate) async fn open(options: &WarmOptions) -> Option<Arc<Self>> {
        Self::open_with(options, Arc::new(Instant::now)).await
    }

    /// Like [`Blocks::open`], by another clock.
    pub(crate) async fn open_with(options: &WarmOptions, clock: Clock) -> Option<Arc<Self>> {
        if options.bytes_max == 0 {
            return None;
        }
        let (counts, ledger) = Both::default();
        let both = (counts.clone(), ledger.clone());
        let mut options = options.clone();
        let folder = match Held::new(&mut options) {
            Ok(folder) => Some(folder),
            Err(error) => {
                let folder = options.folder.display();
                match error.kind() {
                    // As when a shell is opened beside a server.
                    io::ErrorKind::WouldBlock => info!(%folder, %error, "warm blocks are kept in memory alone"),
                    _ => warn!(%folder, %error, "warm blocks are kept in memory alone"),
                }
                None
            }
        };
        let mut shelves = Vec::with_capacity(2);
        for (name, block, part) in [("tails", TAIL_BYTES, 1), ("rows", BLOCK_BYTES, TAILS_PART - 1)] {
            let bytes = (options.bytes_max / TAILS_PART * part, options.memory_bytes_max / TAILS_PART * part);
            let place = folder.as_ref().map(|folder| folder.path.join(format!("{name}-{FORM}")));
            let shelf = match place {
                Some(place) => match Shelf::open(place.clone(), bytes, block, (&both, clock.clone())).await {
                    Ok(shelf) => Ok(shelf),
                    Err(error) => {
                        warn!(folder = %place.display(), %error, "warm blocks are kept in memory alone");
                        Shelf::in_memory(bytes.1, (&both, clock.clone())).await
                    }
                },
                None => Shelf::in_memory(bytes.1, (&both, clock.clone())).await,
            };
            shelves.push(shelf.inspect_err(|error| warn!(%error, "no warm blocks")).ok()?);
        }
        let (rows, tails) = (shelves.pop()?, shelves.pop()?);
        Some(Arc::new(Self {
            rows,
            tails,
            flights: Flights::default(),
            folder,
            options,
            counts,
            ledger,
            held: HeldBytes::default(),
        }))
    }

    fn shelf(&self, key: &BlockKey) -> &Arc<Shelf> {
        if key.number == TAIL { &self.tails } else { &self.rows }
    }

    /// May be there. Says no for certain.
    pub(super) fn may_have(&self, key: &BlockKey) -> bool {
        self.shelf(key).kept().contains(key)
    }

    /// A table by its Delta id, and the name that it has now.
    pub(crate) fn mark(&self, id: &str, name: &str) -> TableMark {
        self.ledger.mark(id, name)
    }

    /// The block of a table's file, if it is there and whole.
    pub(super) async fn get(&self, key: &BlockKey, table: TableMark) -> Option<Bytes> {
        let (shelf, kept) = (self.shelf(key), self.shelf(key).kept());
        let found = match kept.contains(key) {
            true => match tokio::time::timeout(READ_MAX, kept.get(key)).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    debug!(?key, %error, "a warm block cannot be read");
                    None
                }
                Err(_) => {
                    debug!(?key, "a warm block is not read in time");
                    None
                }
            },
            false => None,
        };
        self.counts.asked(found.is_some());
        let is_counted = self.ledger.asked(table, hash(key), found.is_some());
        let Some(found) = found else {
            self.ledger.went(hash(key), false);
            return None;
        };
        let block = found.value().clone();
        shelf.admission.used(key);
        if !is_counted && shelf.keeps(key) {
            self.came(key, &block, table);
        }
        Some(block)
    }

    /// Keeps a block that was fetched, in memory at least.
    pub(super) fn put(&self, key: BlockKey, block: Bytes, table: TableMark) {
        let shelf = self.shelf(&key);
        let is_admitted = shelf.admission.admits(&key, block.len() as u64 + HEADER_BYTES);
        let location = if is_admitted { shelf.location() } else { Location::InMem };
        if is_admitted || !shelf.has_disk() {
            self.came(&key, &block, table);
        }
        let properties = HybridCacheProperties::default().with_location(location);
        shelf.kept().insert_with_properties(key, block, properties);
    }

    /// Keeps a block that somebody asked for, on the disk where there is a folder.
    pub(super) fn keep(&self, key: BlockKey, block: Bytes, table: TableMark) {
        let shelf = self.shelf(&key);
        if shelf.keeps(&key) {
            return shelf.admission.used(&key);
        }
        self.came(&key, &block, table);
        shelf.admission.force(&key, block.len() as u64 + HEADER_BYTES);
        let properties = HybridCacheProperties::default().with_location(shelf.location());
        shelf.kept().insert_with_properties(key, block, properties);
    }

    /// Keeps a block of a file that was just written, which nobody has read.
    pub(super) fn put_written(&self, key: BlockKey, block: Bytes, table: TableMark) {
        let shelf = self.shelf(&key);
        shelf.admission.enter(block.len() as u64 + HEADER_BYTES);
        self.came(&key, &block, table);
        let properties = HybridCacheProperties::default().with_location(shelf.location());
        shelf.kept().insert_with_properties(key, block, properties);
    }

    fn came(&self, key: &BlockKey, block: &Bytes, table: TableMark) {
        if self.ledger.came(table, hash(key), key, block.len() as u64) {
            self.ledger.look(|key| self.keeps(key));
        }
    }

    /// What is kept of each table whose files were read, in no order.
    pub(crate) fn table_usages(&self) -> Vec<TableCacheUsage> {
        self.ledger.look(|key| self.keeps(key));
        let (mut usages, trouble) = (self.ledger.usages(), self.trouble());
        usages.iter_mut().for_each(|usage| usage.trouble.clone_from(&trouble));
        usages
    }

    /// Why blocks are kept in memory alone for now, where they are.
    fn trouble(&self) -> Option<String> {
        self.rows.trouble().or_else(|| self.tails.trouble())
    }

    /// Whether blocks that stay lie on a disk.
    pub(crate) fn has_disk(&self) -> bool {
        self.rows.has_disk()
    }

    /// Whether a block is where it stays: on the disk, where there is a folder.
    pub(super) fn keeps(&self, key: &BlockKey) -> bool {
        self.shelf(key).keeps(key)
    }

    /// What one statement may ask for.
    pub(crate) fn fill_bytes_max(&self) -> u64 {
        self.rows.bytes_max
    }

    /// Gives up the blocks of a file of the store at `url`. Returns their bytes, of the file.
    pub(crate) fn release(&self, url: &str, meta: &ObjectMeta) -> u64 {
        let file = FileKey::new(url, meta.location.as_ref(), meta.size);
        let layout = Layout::of(meta.size);
        let mut bytes = 0;
        for number in layout.all() {
            let key = BlockKey { file: file.clone(), number };
            let (shelf, span) = (self.shelf(&key), layout.span(number));
            if shelf.keeps(&key) {
                shelf.admission.forget(&key);
                bytes += span.end - span.start;
            }
            if self.may_have(&key) {
                shelf.kept().remove(&key);
                self.ledger.went(hash(&key), false);
            }
        }
        bytes
    }

    /// Waits until what is to be kept on disk is there, or can be seen not to come there. A disk that took nothing is tried
    /// again when it is time.
    pub(crate) async fn idle(&self) {
        for shelf in [&self.rows, &self.tails] {
            shelf.idle().await;
        }
    }

    pub(crate) fn usage(&self) -> CacheUsage {
        let memory = [&self.rows, &self.tails].map(|shelf| shelf.kept().memory().usage() as u64);
        let place = match &self.folder {
            Some(folder) => folder.path.display().to_string(),
            None => "memory".to_owned(),
        };
        let usage = CacheUsage {
            name: "warm blocks",
            place,
            entries: None,
            bytes: self.folder.as_ref().map_or(0, |folder| bytes_in(&folder.path)) + memory.iter().sum::<u64>(),
            bytes_max: self.folder.as_ref().map_or(0, |_| self.options.bytes_max) + self.options.memory_bytes_max,
            disk_off: self.folder.as_ref().map(|_| self.trouble().is_some()),
            ..CacheUsage::default()
        };
        self.counts.fill(usage)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A folder that no other process uses.
struct Held {
    path: PathBuf,
    _lock: File,
}

impl Held {
    /// Makes the folder where it is missing. Others need the disk, too: of what is free on it, blocks take half at most.
    fn new(options: &mut WarmOptions) -> io::Result<Self> {
        let path = &options.folder;
        fs::create_dir_all(path)?;
        let lock = File::create(path.join("lock"))?;
        let taken = |_| io::Error::new(io::ErrorKind::WouldBlock, "another process uses the folder");
        lock.try_lock().map_err(taken)?;
        options.bytes_max = options.bytes_max.min(bytes_in(path) + Disk::of(path)?.free / 2);
        if options.bytes_max < BYTES_MIN {
            return Err(io::Error::other(format!("fewer than {} MiB are of no use", BYTES_MIN >> 20)));
        }
        Ok(Self { path: path.clone(), _lock: lock })
    }
}

/// What the files of a folder take on the disk: they have holes.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
            Ok(meta) => on_disk(&meta),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(unix)]
fn on_disk(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}

#[cfg(not(unix))]
fn on_disk(meta: &fs::Metadata) -> u64 {
    meta.len()
}
