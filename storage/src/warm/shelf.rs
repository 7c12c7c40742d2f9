//! Blocks of one kind: in memory, and in a part of the folder, which may be out of use for a while.
//!
//! Where a disk is full the library (foyer 0.22) waits for ever for a unit to write into, or its own bookkeeping panics,
//! after which whoever waits for it panics, too, or is told that all is well. So the disk is asked whether it has room for a
//! unit that was never written. Where it has none, or the library does not come to an end, nothing more is sent there, what
//! lies there is still read, and after a while (`outage`) the folder is opened anew: what the library runs, it runs on a
//! runtime of its own, which ends with it.

use std::{
    fs::{self, File},
    io::{self, Read},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, Device, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    Location, PsyncIoEngineConfig, RecoverMode, S3FifoConfig, Spawner, StorageFilter,
};
use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::{runtime::Runtime, sync::watch, time::timeout};
use tracing::{info, warn};

use super::{
    admission::Admission,
    blocks::{HEADER_BYTES, bytes_in},
    key::BlockKey,
    ledger::Ledger,
    outage::{Clock, Outage},
};
use crate::{CacheCounts, hot::Disk};

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
/// Reads and writes of the disk at once.
const DISK_THREADS_MAX: usize = 64;

/// Counts of all, and by table.
pub(super) type Both = (Arc<CacheCounts>, Arc<Ledger>);
type Kept = HybridCache<BlockKey, Bytes>;

/// Blocks of one kind, which do not push out those of another. Safe to use from many tasks.
pub(super) struct Shelf {
    kept: RwLock<Kept>,
    pub(super) admission: Arc<Admission>,
    /// What it can hold where blocks stay.
    pub(super) bytes_max: u64,
    memory_bytes: u64,
    place: Option<Place>,
    below: Mutex<Below>,
    /// All units were written once: what comes takes no more of the disk.
    is_whole: AtomicBool,
    clock: Clock,
}

/// A part of the folder.
#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    unit: u64,
    units: u64,
}

/// What lies below the memory.
#[derive(Default)]
struct Below {
    disk: Option<OpenDisk>,
    outage: Option<Outage>,
    /// Turns true when a disk that was closed is at rest.
    closing: Option<watch::Receiver<bool>>,
}

/// What the library runs for one folder. Dropping it waits, on a thread of its own, until nothing of it runs any more.
struct OpenDisk(Option<Running>);

struct Running {
    runtime: Runtime,
    /// Its files must stay open as long as something may be written to them: the library writes by their numbers.
    device: Arc<dyn Device>,
}

/// What a cache is built on: where its tasks run, and its files.
type Parts = (Spawner, Arc<dyn Device>);

impl Shelf {
    /// In a folder, with what it holds. `bytes`: on disk, and in memory.
    pub(super) async fn open(
        path: PathBuf,
        bytes: (u64, u64),
        block: u64,
        (both, clock): (&Both, Clock),
    ) -> foyer::Result<Arc<Self>> {
        let unit = UNIT_BYTES.min(bytes.0 / UNITS_MIN).max(2 * (block + HEADER_BYTES));
        let units = (bytes.0 / unit).max(UNITS_MIN);
        let place = Place { path, unit, units };
        place.prepare().map_err(foyer::Error::io_error)?;
        // One is always being written, and one empty.
        let room = ((units - 2) * unit).saturating_sub(bytes_in(&place.path));
        let places = usize::try_from(units * unit / (block + HEADER_BYTES)).unwrap_or(usize::MAX);
        let admission = Admission::new(room, places, both.clone());
        let (disk, parts) = place.start()?;
        let kept = place.load(parts, bytes.1, &admission).await?;
        let below = Below { disk: Some(disk), ..Below::default() };
        Ok(Arc::new(Self {
            kept: RwLock::new(kept),
            admission,
            bytes_max: (units - 2) * unit,
            memory_bytes: bytes.1,
            place: Some(place),
            below: Mutex::new(below),
            is_whole: AtomicBool::default(),
            clock,
        }))
    }

    pub(super) async fn in_memory(bytes: u64, (both, clock): (&Both, Clock)) -> foyer::Result<Arc<Self>> {
        let admission = Admission::new(0, 0, both.clone());
        Ok(Arc::new(Self {
            kept: RwLock::new(builder(bytes).build().await?),
            admission,
            bytes_max: bytes,
            memory_bytes: bytes,
            place: None,
            below: Mutex::default(),
            is_whole: AtomicBool::default(),
            clock,
        }))
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept.read().clone()
    }

    /// Waits until all that is on its way is on the disk, or until it is seen that it does not come there: then nothing more
    /// is sent there for a while.
    pub(super) async fn idle(self: &Arc<Self>) {
        if self.below.lock().outage.is_some() {
            // On its own: whoever waits may go away.
            let shelf = self.clone();
            let _ = tokio::spawn(async move { shelf.try_again().await }).await;
            return;
        }
        let kept = self.kept();
        if !is_written(&kept, WAIT_MAX).await || self.lacks_room(1) {
            self.begin_outage();
        }
    }

    fn begin_outage(&self) {
        let outage = &mut self.below.lock().outage;
        if outage.is_none() {
            warn!("warm blocks are kept in memory alone: the disk takes no more of them, and is tried again");
            *outage = Some(Outage::new((self.clock)()));
        }
    }

    /// Whether the disk has no room for so many units more, and they are still to be written for the first time.
    fn lacks_room(&self, units: u64) -> bool {
        let Some(place) = &self.place else { return false };
        let wanted = units * place.unit;
        let is_full = || Disk::of(&place.path).is_ok_and(|disk| disk.free < wanted);
        if self.is_whole.load(Ordering::Relaxed) || !is_full() {
            return false;
        }
        let is_whole = bytes_in(&place.path) + wanted > place.units * place.unit;
        if units == 1 {
            self.is_whole.store(is_whole, Ordering::Relaxed);
        }
        !is_whole
    }

    /// Where a block goes that has a right to its place on the disk. A disk that took nothing is tried again when it is time.
    pub(super) fn location(self: &Arc<Self>) -> Location {
        let due = self.below.lock().outage.as_ref().map(|outage| outage.is_due((self.clock)()));
        let Some(is_due) = due else {
            if !self.lacks_room(1) {
                return Location::Default;
            }
            self.begin_outage();
            return Location::InMem;
        };
        if is_due && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shelf = self.clone();
            runtime.spawn(async move { shelf.try_again().await });
        }
        Location::InMem
    }

    /// Whether blocks that stay lie on a disk.
    pub(super) fn has_disk(&self) -> bool {
        self.kept.read().is_hybrid()
    }

    pub(super) fn keeps(&self, key: &BlockKey) -> bool {
        let kept = self.kept.read();
        match kept.is_hybrid() {
            true => kept.storage().may_contains(key),
            false => kept.memory().contains(key),
        }
    }

    /// Why blocks are kept in memory alone for now, where they are.
    pub(super) fn trouble(&self) -> Option<String> {
        let below = self.below.lock();
        let wait = below.outage.as_ref()?.wait((self.clock)());
        let seconds = wait.as_secs();
        Some(format!("the disk takes no blocks, which are kept in memory alone; it is tried again in {seconds} s"))
    }

    /// Sends blocks to the disk again, if it is time and it takes them.
    async fn try_again(&self) {
        let begins = self.below.lock().outage.as_mut().is_some_and(|outage| outage.begin_try((self.clock)()));
        if !begins {
            return;
        }
        match self.revive().await {
            Ok(()) => {
                self.below.lock().outage = None;
                info!("warm blocks are kept on the disk again");
            }
            Err(error) => warn!(%error, "warm blocks are still kept in memory alone"),
        }
    }

    async fn revive(&self) -> foyer::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let other = |text: &str| foyer::Error::io_error(io::Error::other(text.to_owned()));
        if self.lacks_room(UNITS_MIN.min(place.units / 2)) {
            return Err(other("the disk is full"));
        }
        // Always anew: what of the library ended on a full disk, it does not tell.
        let memory = builder(self.memory_bytes).build().await?;
        *self.kept.write() = memory;
        let closed = {
            let mut below = self.below.lock();
            if let Some(mut disk) = below.disk.take() {
                below.closing = Some(disk.end(None));
            }
            below.closing.clone()
        };
        if let Some(mut closed) = closed
            && timeout(WAIT_MAX, closed.wait_for(|closed| *closed)).await.is_err()
        {
            return Err(other("a write to it does not end"));
        }
        place.prepare().map_err(foyer::Error::io_error)?;
        // That may have emptied one.
        self.is_whole.store(false, Ordering::Relaxed);
        let (mut disk, parts) = place.start()?;
        match place.load(parts, self.memory_bytes, &self.admission).await {
            Ok(kept) => {
                *self.kept.write() = kept;
                self.below.lock().disk = Some(disk);
                Ok(())
            }
            Err(error) => {
                // The next try waits for what this one began.
                self.below.lock().closing = Some(disk.end(None));
                Err(error)
            }
        }
    }
}

impl Place {
    /// Makes the folder ready to be opened.
    fn prepare(&self) -> io::Result<()> {
        shrink(&self.path, self.units)?;
        make_room(&self.path, self.units)
    }

    /// Opens its files, and starts what the library runs on.
    fn start(&self) -> foyer::Result<(OpenDisk, Parts)> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(DISK_THREADS_MAX)
            .thread_name("boathouse-warm")
            .enable_all()
            .build()
            .map_err(foyer::Error::io_error)?;
        let spawner = Spawner::from(runtime.handle().clone());
        let opened = FsDeviceBuilder::new(&self.path).with_capacity(size(self.units * self.unit)).build();
        let device = match opened {
            Ok(device) => device,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok((OpenDisk(Some(Running { runtime, device: device.clone() })), (spawner, device)))
    }

    /// What lies in its files can be had, and others can be put there. Where this fails something may run on for a while.
    async fn load(
        &self,
        (spawner, device): Parts,
        memory_bytes: u64,
        admission: &Arc<Admission>,
    ) -> foyer::Result<Kept> {
        let engine = BlockEngineConfig::new(device)
            .with_block_size(size(self.unit))
            .with_submit_queue_size_threshold(WAITING_BYTES_MAX)
            .with_reinsertion_filter(StorageFilter::new().with_condition(admission.stays()));
        builder(memory_bytes)
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(engine)
            .with_recover_mode(RecoverMode::Quiet)
            .with_spawner(spawner)
            .build()
            .await
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let below = self.below.get_mut();
        if let Some(mut disk) = below.disk.take() {
            // What is on its way may still come there.
            let kept = below.outage.is_none().then(|| self.kept.get_mut().clone());
            drop(disk.end(kept));
        }
    }
}

impl OpenDisk {
    /// Ends what runs, once all that waits in `kept` is written, where that is given. What this returns turns true when
    /// nothing can be written any more.
    fn end(&mut self, kept: Option<Kept>) -> watch::Receiver<bool> {
        let (ended, closed) = watch::channel(false);
        let Some(running) = self.0.take() else {
            ended.send_replace(true);
            return closed;
        };
        let waits = Arc::new(Mutex::new(Some(running)));
        let own = waits.clone();
        // A runtime must not be waited for where others run.
        let started = thread::Builder::new().name("boathouse-warm-end".into()).spawn(move || {
            if let Some(Running { runtime, device }) = own.lock().take() {
                if let Some(kept) = kept {
                    runtime.block_on(is_written(&kept, WAIT_MAX));
                }
                drop(runtime);
                drop(device);
            }
            ended.send_replace(true);
        });
        if started.is_err()
            && let Some(Running { runtime, device }) = waits.lock().take()
        {
            // Its files stay open for ever: better than that what is still written goes to others.
            runtime.shutdown_background();
            std::mem::forget(device);
        }
        closed
    }
}

impl Drop for OpenDisk {
    fn drop(&mut self) {
        drop(self.end(None));
    }
}

/// Whether all that waits in `kept` comes to the disk within this time. The library's own panic says that it does not.
async fn is_written(kept: &Kept, wait_max: Duration) -> bool {
    let written = AssertUnwindSafe(kept.storage().wait()).catch_unwind();
    matches!(timeout(wait_max, written).await, Ok(Ok(())))
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn builder(bytes: u64) -> foyer::HybridCacheBuilderPhaseStorage<BlockKey, Bytes, foyer::DefaultHasher> {
    HybridCacheBuilder::new()
        .with_name("warm")
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        .memory(size(bytes))
        // A block must fit into one part of it.
        .with_shards(1)
        .with_eviction_config(S3FifoConfig::default())
        .with_weighter(|_: &BlockKey, block: &Bytes| block.len())
        .storage()
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
