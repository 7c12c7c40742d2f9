//! The hot copies of one lake, as scans and the lake see them.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tracing::{debug, warn};

use super::{
    CopyFile, CopyKey, HotOptions, Look, Original,
    disk::{AskDisk, Disk},
    folder::{CopySize, Folder, Found},
    maker::{Job, Maker},
};
use crate::{
    CacheUsage, TableCacheUsage,
    near::{Brought, Released, Tier},
};

/// Copies that plans may hold open at once; files beyond are read as Parquet.
const OPEN_MAX: usize = 512;

/// Copies on local disk. Every method may be called from many tasks at once; dropping it ends the making.
pub(crate) struct HotCopies {
    shared: Arc<Shared>,
    maker: Maker,
    options: HotOptions,
}

/// What became of a copy that a look at a table wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It is there, and weighs so many bytes.
    There(u64),
    /// Others have more right to the room, or the disk has none.
    NoRoom,
    /// This file got none, whatever room there is.
    Failed,
    /// The look is over: nothing is made for it any more.
    Over,
}

/// What scans and the maker share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: Mutex<Folder>,
    open: Arc<AtomicUsize>,
    /// Partitions of scans that run now.
    pub(super) scans: AtomicU64,
    pub(super) ask_disk: AskDisk,
}

/// Counts a copy as open while it lives.
#[derive(Debug)]
pub(super) struct OpenCount(Arc<AtomicUsize>);

/// Says that a scan runs, while it lives.
#[derive(Debug)]
pub(super) struct ScanRuns(Arc<Shared>);

impl HotCopies {
    /// `None` when copies are off, or when the folder cannot be used: that costs time, and is only warned of.
    pub(crate) fn open(options: &HotOptions) -> Option<Arc<Self>> {
        if options.bytes_max == 0 {
            return None;
        }
        Self::open_on(options, Disk::of)
    }

    /// Like [`HotCopies::open`], on a disk that says of itself what `ask` returns.
    pub(crate) fn open_on(options: &HotOptions, ask: AskDisk) -> Option<Arc<Self>> {
        match Folder::open(options) {
            Ok(folder) => {
                let (folder, open) = (Mutex::new(folder), Arc::default());
                let shared = Arc::new(Shared { folder, open, scans: AtomicU64::new(0), ask_disk: ask });
                Some(Arc::new(Self { maker: Maker::new(shared.clone()), shared, options: options.clone() }))
            }
            Err(error) => {
                warn!(folder = %options.folder.display(), %error, "no hot copies: the folder cannot be used");
                None
            }
        }
    }

    /// The copy to read instead of `original`, if there is one. Counts the read; may start the making of a copy. `rows`
    /// are those of the original, where the log tells: a copy with another number is dropped, and no other is made.
    pub(crate) fn read(
        &self,
        key: &CopyKey,
        name: &str,
        rows: Option<u64>,
        original: impl FnOnce() -> Option<Original>,
    ) -> Option<Arc<CopyFile>> {
        let found = self.shared.folder.lock().read(key);
        let copy = match found {
            Found::Copy(copy) => Some(copy),
            Found::Closed => self.shared.open_copy(key),
            Found::Unchecked | Found::Wanted => {
                if let Some(original) = original() {
                    self.maker.wish(Job { original });
                }
                None
            }
            Found::Nothing => None,
        };
        let mut folder = self.shared.folder.lock();
        let copy = copy.filter(|copy| {
            let same = rows.is_none_or(|rows| rows == copy.about.rows);
            if !same {
                debug!(path = key.path, "a hot copy has another number of rows than the log says");
                folder.discard(&key.file_name());
                folder.refuse(key);
            }
            same
        });
        folder.counts.asked(&key.table, name, copy.is_some());
        copy
    }

    /// Makes the copies that are missing among `originals`, whose table is pinned, and waits until all are there.
    pub(crate) async fn make_all(&self, originals: Vec<Original>) {
        for original in originals {
            self.maker.order(Job { original }).await;
        }
        self.idle().await;
    }

    /// Makes one copy for a look, where it is missing and may come in, and waits for it.
    pub(crate) async fn make(&self, look: &Look, original: Original) -> Tried {
        if !self.is_current(look) {
            return Tried::Over;
        }
        let key = original.key.clone();
        let fault = self.maker.carry_out(Job { original }).await;
        let mut folder = self.shared.folder.lock();
        if !folder.is_current(look) {
            // Who let the table go did not see a copy that was not there yet.
            folder.discard_unwanted(&key);
            return Tried::Over;
        }
        let fails = || fault.is_some() || folder.is_refused(&key.file_name()) || key.size > self.options.bytes_max;
        match folder.bytes_of(&key) {
            Some(bytes) => Tried::There(bytes),
            None if fails() => Tried::Failed,
            None => Tried::NoRoom,
        }
    }

    /// Makes the copies that are missing among `originals`, as though those had been read twice, and says what is there.
    /// Also: those that have none in the end. At most one copy more is made when it is given up.
    pub(crate) async fn bring(&self, originals: Vec<Original>) -> (Brought, Vec<Original>) {
        let mut brought = Brought::none(Tier::Hot);
        for original in &originals {
            let key = &original.key;
            {
                let mut folder = self.shared.folder.lock();
                folder.ask(key);
                folder.counts.know(&key.table, &original.name);
            }
            if let Some(reason) = self.maker.carry_out(Job { original: original.clone() }).await {
                brought.failed.push((key.path.clone(), reason));
            }
        }
        let folder = self.shared.folder.lock();
        let (there, rest): (Vec<_>, Vec<_>) =
            originals.into_iter().partition(|original| folder.bytes_of(&original.key).is_some());
        brought.files = there.len() as u64;
        brought.bytes = there.iter().filter_map(|original| folder.bytes_of(&original.key)).sum();
        brought.files_left = rest.len() as u64;
        brought.bytes_left = rest.iter().map(|original| original.key.size).sum();
        (brought, rest)
    }

    /// Lets a table go, by its Delta id, with its copies.
    pub(crate) async fn release(&self, table: &str) -> Released {
        self.unpin(table);
        self.learn_owners().await;
        self.shared.folder.lock().release(table)
    }

    /// A table is not told of any more.
    pub(crate) fn forget(&self, table: &str) {
        self.shared.folder.lock().counts.forget(table);
    }

    /// A look at a version of a table, by its Delta id, begins, and those before it are over; `None` when a newer version was
    /// looked at.
    pub(crate) fn begin_look(&self, table: &str, version: u64) -> Option<Look> {
        self.shared.folder.lock().begin_look(table, version)
    }

    /// Whether no other look at the table began since, and nobody let it go.
    pub(crate) fn is_current(&self, look: &Look) -> bool {
        self.shared.folder.lock().is_current(look)
    }

    /// No look that began before says anything of a table any more, and any version may be looked at next.
    pub(crate) fn end_looks(&self, table: &str) {
        self.shared.folder.lock().end_looks(table);
    }

    /// What is pinned of a table of this name from now on, and told of it: see `Folder::settle`.
    pub(crate) async fn settle(
        &self,
        (look, name): (&Look, &str),
        files: &HashSet<String>,
        pinned: Option<HashSet<String>>,
    ) -> Option<(u64, u64)> {
        self.learn_owners().await;
        let mut folder = self.shared.folder.lock();
        let gone = folder.settle(look, files, pinned)?;
        folder.counts.know(look.table(), name);
        Some(gone)
    }

    /// Whether a file gets no copy, ever.
    pub(crate) fn is_refused(&self, key: &CopyKey) -> bool {
        self.shared.folder.lock().is_refused(&key.file_name())
    }

    /// Whether it matters to the pins which files a table has, given by its Delta id.
    pub(crate) fn is_followed(&self, table: &str) -> bool {
        self.shared.folder.lock().is_followed(table)
    }

    /// Whose copies some are stands in them alone.
    async fn learn_owners(&self) {
        let unknown = self.shared.folder.lock().unknown();
        if unknown.is_empty() {
            return;
        }
        let read = move || -> Vec<(String, String)> {
            let owner = |(name, path)| Some((name, CopyFile::open(path).ok()?.key().table.clone()));
            unknown.iter().filter_map(|(name, path)| owner((name.clone(), path))).collect()
        };
        let owners = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        self.shared.folder.lock().owned(owners);
    }

    pub(crate) fn is_pinned(&self, table: &str) -> bool {
        self.shared.folder.lock().is_pinned(table)
    }

    /// The files of a table, by its Delta id, get copies when they are read first, and keep them.
    pub(crate) fn pin(&self, table: &str) {
        self.shared.folder.lock().set_pinned(table, true);
    }

    pub(crate) fn unpin(&self, table: &str) {
        self.shared.folder.lock().set_pinned(table, false);
    }

    /// Deletes a copy that could not be read. Another one is made once its original has been read twice again.
    pub(super) fn drop_damaged(&self, copy: &CopyFile) {
        let mut folder = self.shared.folder.lock();
        folder.discard(&copy.key().file_name());
        folder.start_over(copy.key());
    }

    /// Waits until nothing is left to make or to check.
    pub(crate) async fn idle(&self) {
        self.maker.idle().await;
    }

    pub(super) fn scan_runs(&self) -> ScanRuns {
        self.shared.scans.fetch_add(1, Ordering::Relaxed);
        ScanRuns(self.shared.clone())
    }

    /// The copies of some originals, those that are known and checked.
    pub(crate) fn sizes(&self, keys: &[CopyKey]) -> Vec<Option<CopySize>> {
        let folder = self.shared.folder.lock();
        keys.iter().map(|key| folder.size_of(&key.file_name())).collect()
    }

    /// What there is of each table whose files were read, in no order.
    pub(crate) fn table_usages(&self) -> Vec<TableCacheUsage> {
        self.shared.folder.lock().table_usages()
    }

    pub(crate) fn usage(&self) -> CacheUsage {
        let folder = self.shared.folder.lock();
        let (entries, bytes) = folder.size();
        CacheUsage {
            name: "hot copies",
            place: self.options.folder.display().to_string(),
            entries: Some(entries),
            bytes,
            bytes_max: self.options.bytes_max,
            ..folder.counts.all()
        }
    }
}

impl fmt::Debug for HotCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotCopies").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Shared {
    /// Opens a copy that was checked. One that is not what it should be is forgotten.
    fn open_copy(&self, key: &CopyKey) -> Option<Arc<CopyFile>> {
        let count = self.open.fetch_add(1, Ordering::Relaxed);
        let counted = OpenCount(self.open.clone());
        if count >= OPEN_MAX {
            return None;
        }
        let name = key.file_name();
        let path = self.folder.lock().path_of(&name);
        match CopyFile::open(&path) {
            Ok(copy) if copy.key() == key => {
                let copy = Arc::new(copy.counted(counted));
                self.folder.lock().keep_open(&name, &copy);
                Some(copy)
            }
            Ok(_) => None,
            Err(error) => {
                debug!(path = %path.display(), %error, "a hot copy cannot be opened");
                self.folder.lock().discard(&name);
                None
            }
        }
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ScanRuns {
    fn drop(&mut self) {
        self.0.scans.fetch_sub(1, Ordering::Relaxed);
    }
}
