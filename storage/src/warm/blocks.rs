//! Where blocks are kept.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    HybridCacheProperties, Location, PsyncIoEngineConfig, RecoverMode, S3FifoConfig, StorageFilter,
};
use object_store::ObjectMeta;
use tracing::{debug, info, warn};

use super::{
    WarmOptions,
    admission::{Admission, hash},
    flight::Flights,
    key::{BlockKey, FileKey},
    layout::{BLOCK_BYTES, Layout, TAIL, TAIL_BYTES},
    ledger::{Ledger, TableMark},
    written::HeldBytes,
};
use crate::{CacheCounts, CacheUsage, TableCacheUsage, hot::Disk};

/// Another form of what lies in the folder gets another name.
const FORM: &str = "1";
/// A folder that may weigh less is of no use.
const BYTES_MIN: u64 = 64 << 20;
/// Tails get this part of the room.
const TAILS_PART: u64 = 16;
/// What the folder is written and emptied in.
const UNIT_BYTES: u64 = 16 << 20;
/// With fewer units there is nothing to choose from.
const UNITS_MIN: u64 = 4;
/// Blocks that wait to be written; more are not kept.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What tells whether a unit holds something.
const PAGE_BYTES: usize = 4 << 10;
/// What waits to be written is written in less, but for a disk that takes nothing any more.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// A block's key and header on disk.
const HEADER_BYTES: u64 = 4 << 10;

/// Blocks in memory and in a folder. Every method may be called from many tasks at once.
pub(crate) struct Blocks {
    rows: Shelf,
    tails: Shelf,
    pub(super) flights: Flights,
    folder: Option<Held>,
    options: WarmOptions,
    counts: Arc<CacheCounts>,
    ledger: Arc<Ledger>,
    pub(super) held: HeldBytes,
}

/// Blocks of one kind, which do not push out those of another.
struct Shelf {
    kept: HybridCache<BlockKey, Bytes>,
    admission: Arc<Admission>,
    /// What it can hold where blocks stay.
    bytes_max: u64,
    /// The disk takes nothing any more.
    is_stuck: AtomicBool,
}

/// Counts of all, and by table.
type Both = (Arc<CacheCounts>, Arc<Ledger>);

impl Blocks {
    /// `None` when nothing is to be kept. With a folder that cannot be used, or that another process uses,
    /// blocks are kept in memory alone. Works inside a Tokio runtime only.
    pub(crate) async fn open(options: &WarmOptions) -> Option<Arc<Self>> {
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
                Some(place) => match Shelf::open(&place, bytes, block, &both).await {
                    Ok(shelf) => Ok(shelf),
                    Err(error) => {
                        warn!(folder = %place.display(), %error, "warm blocks are kept in memory alone");
                        Shelf::in_memory(bytes.1, &both).await
                    }
                },
                None => Shelf::in_memory(bytes.1, &both).await,
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

    fn shelf(&self, key: &BlockKey) -> &Shelf {
        if key.number == TAIL { &self.tails } else { &self.rows }
    }

    /// May be there. Says no for certain.
    pub(super) fn may_have(&self, key: &BlockKey) -> bool {
        self.shelf(key).kept.contains(key)
    }

    /// A table by its Delta id, and the name that it has now.
    pub(crate) fn mark(&self, id: &str, name: &str) -> TableMark {
        self.ledger.mark(id, name)
    }

    /// The block of a table's file, if it is there and whole.
    pub(super) async fn get(&self, key: &BlockKey, table: TableMark) -> Option<Bytes> {
        let shelf = self.shelf(key);
        let found = match shelf.kept.contains(key) {
            true => shelf.kept.get(key).await.unwrap_or_else(|error| {
                debug!(?key, %error, "a warm block cannot be read");
                None
            }),
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
        if is_admitted || !shelf.kept.is_hybrid() {
            self.came(&key, &block, table);
        }
        let properties = HybridCacheProperties::default().with_location(location);
        shelf.kept.insert_with_properties(key, block, properties);
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
        shelf.kept.insert_with_properties(key, block, properties);
    }

    /// Keeps a block of a file that was just written, which nobody has read.
    pub(super) fn put_written(&self, key: BlockKey, block: Bytes, table: TableMark) {
        let shelf = self.shelf(&key);
        shelf.admission.enter(block.len() as u64 + HEADER_BYTES);
        self.came(&key, &block, table);
        let properties = HybridCacheProperties::default().with_location(shelf.location());
        shelf.kept.insert_with_properties(key, block, properties);
    }

    fn came(&self, key: &BlockKey, block: &Bytes, table: TableMark) {
        if self.ledger.came(table, hash(key), key, block.len() as u64) {
            self.ledger.look(|key| self.keeps(key));
        }
    }

    /// What is kept of each table whose files were read, in no order.
    pub(crate) fn table_usages(&self) -> Vec<TableCacheUsage> {
        self.ledger.look(|key| self.keeps(key));
        self.ledger.usages()
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
                shelf.admission.forget(&key, span.end - span.start + HEADER_BYTES);
                bytes += span.end - span.start;
            }
            if self.may_have(&key) {
                shelf.kept.remove(&key);
                self.ledger.went(hash(&key), false);
            }
        }
        bytes
    }

    /// Waits until what is to be kept on disk is there, or can be seen not to come there.
    pub(crate) async fn idle(&self) {
        for shelf in [&self.rows, &self.tails] {
            shelf.idle().await;
        }
    }

    pub(crate) fn usage(&self) -> CacheUsage {
        let memory = [&self.rows, &self.tails].map(|shelf| shelf.kept.memory().usage() as u64);
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

impl Shelf {
    /// In a folder, with what it holds. `bytes`: on disk, and in memory.
    async fn open(place: &Path, bytes: (u64, u64), block: u64, both: &Both) -> foyer::Result<Self> {
        let unit = UNIT_BYTES.min(bytes.0 / UNITS_MIN).max(2 * (block + HEADER_BYTES));
        let units = (bytes.0 / unit).max(UNITS_MIN);
        shrink(place, units).and_then(|()| make_room(place, units)).map_err(foyer::Error::io_error)?;
        // One is always being written, and one empty.
        let room = ((units - 2) * unit).saturating_sub(bytes_in(place));
        let places = usize::try_from(units * unit / (block + HEADER_BYTES)).unwrap_or(usize::MAX);
        let admission = Admission::new(room, places, both.clone());
        let capacity = usize::try_from(units * unit).unwrap_or(usize::MAX);
        let device = FsDeviceBuilder::new(place).with_capacity(capacity).build()?;
        let engine = BlockEngineConfig::new(device)
            .with_block_size(usize::try_from(unit).unwrap_or(usize::MAX))
            .with_submit_queue_size_threshold(WAITING_BYTES_MAX)
            .with_reinsertion_filter(StorageFilter::new().with_condition(admission.stays()));
        let kept = builder(bytes.1)
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(engine)
            .with_recover_mode(RecoverMode::Quiet);
        Ok(Self {
            kept: kept.build().await?,
            admission,
            bytes_max: (units - 2) * unit,
            is_stuck: AtomicBool::new(false),
        })
    }

    async fn in_memory(bytes: u64, both: &Both) -> foyer::Result<Self> {
        let admission = Admission::new(0, 0, both.clone());
        Ok(Self { kept: builder(bytes).build().await?, admission, bytes_max: bytes, is_stuck: AtomicBool::new(false) })
    }

    /// Waits until all that is on its way is on the disk. Where a disk is full the library waits for ever for a unit to
    /// write into: then nothing more is sent there until the folder is opened anew.
    async fn idle(&self) {
        if self.is_stuck.load(Ordering::Relaxed) {
            return;
        }
        let waited = tokio::time::timeout(WAIT_MAX, self.kept.storage().wait()).await;
        if waited.is_err() && !self.is_stuck.swap(true, Ordering::Relaxed) {
            warn!("warm blocks are kept in memory alone: the disk takes no more of them");
        }
    }

    /// Where a block goes that has a right to its place on the disk.
    fn location(&self) -> Location {
        if self.is_stuck.load(Ordering::Relaxed) { Location::InMem } else { Location::Default }
    }

    fn keeps(&self, key: &BlockKey) -> bool {
        match self.kept.is_hybrid() {
            true => self.kept.storage().may_contains(key),
            false => self.kept.memory().contains(key),
        }
    }
}

fn builder(bytes: u64) -> foyer::HybridCacheBuilderPhaseStorage<BlockKey, Bytes, foyer::DefaultHasher> {
    HybridCacheBuilder::new()
        .with_name("warm")
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        .memory(usize::try_from(bytes).unwrap_or(usize::MAX))
        // A block must fit into one part of it.
        .with_shards(1)
        .with_eviction_config(S3FifoConfig::default())
        .with_weighter(|_: &BlockKey, block: &Bytes| block.len())
        .storage()
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

/// Deletes units that are too many since the folder may weigh less.
fn shrink(place: &Path, units: u64) -> io::Result<()> {
    fs::create_dir_all(place)?;
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit('-').next());
        if number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number >= units) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Empties a unit when all hold something: the library begins to write into an empty one, and empties others only then. A
/// process that was killed may have left none.
fn make_room(place: &Path, units: u64) -> io::Result<()> {
    let mut oldest: Option<(SystemTime, PathBuf)> = None;
    let mut full = 0;
    for entry in fs::read_dir(place)? {
        let (path, changed) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.modified()?)))?;
        let mut first = [0; PAGE_BYTES];
        match File::open(&path)?.read_exact(&mut first) {
            Ok(()) if first.iter().any(|byte| *byte != 0) => {}
            // Empty, or shorter than it should be.
            _ => return Ok(()),
        }
        full += 1;
        if oldest.as_ref().is_none_or(|(known, _)| changed < *known) {
            oldest = Some((changed, path));
        }
    }
    match oldest {
        Some((_, path)) if full >= units => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// What the files of a folder take on the disk: they have holes.
fn bytes_in(folder: &Path) -> u64 {
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
