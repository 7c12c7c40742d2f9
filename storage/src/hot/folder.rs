//! The folder of copies: what lies in it, what may come in, what has to go.
//!
//! A copy comes in once its original was read twice, and only in place of copies that were used less often than its
//! original was read: one large scan, or a scan of more than fits run again and again, pushes nothing out. Counts are
//! halved now and then, so that what was of use long ago goes at last. Several processes may share a folder: files
//! appear under their name whole, and one that vanished is forgotten when it is missed.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::Utc;
use tracing::{debug, warn};
use uuid::Uuid;

use super::{CopyFile, CopyKey, Look, counts::Counts, key::fnv, pins::Pins};
use crate::{
    TableCacheUsage,
    near::{Released, Tier},
    store::folder_url,
};

/// Originals whose reads are counted.
const COUNTED_MAX: usize = 1 << 16;
/// Reads of an original before it gets a copy.
const READS_MIN: u32 = 2;
/// Copies whose handle stays open between scans.
const HANDLES_MAX: usize = 128;

const COPY: &str = "hot";
pub(super) const TEMPORARY: &str = "tmp";

/// Where copies are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotOptions {
    /// A folder on local disk, of one lake or of several.
    pub folder: PathBuf,
    /// What the copies may weigh.
    pub bytes_max: u64,
}

impl HotOptions {
    /// A folder of this lake's own where the user's programs keep what can be made again; `None` when there is no such
    /// place.
    pub fn in_user_cache(lake: &str, bytes_max: u64) -> Option<Self> {
        Some(Self { folder: user_cache_folder("hot", lake)?, bytes_max })
    }
}

/// Where the user's programs keep what can be made again, the folder of one lake for things of one `kind`.
pub(crate) fn user_cache_folder(kind: &str, lake: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    let id = fnv(&[folder_url(lake).ok()?.as_str().as_bytes()]);
    Some(cache.join("boathouse").join(kind).join(format!("{id:032x}")))
}

/// A copy, as its originals' table tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopySize {
    pub(crate) bytes: u64,
    /// When a scan of this process last read it, in milliseconds since 1970, UTC.
    pub(crate) read_ms: Option<i64>,
}

/// What there is to do after a file was asked for.
#[derive(Debug)]
pub(super) enum Found {
    /// Use this; it is already checked.
    Copy(Arc<CopyFile>),
    /// Open the copy, which is checked.
    Closed,
    /// There is a copy that nobody checked since the process began.
    Unchecked,
    /// There is none, and there should be.
    Wanted,
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    path: PathBuf,
    bytes_max: u64,
    bytes: u64,
    copies: HashMap<String, Copy>,
    /// How often an original without a copy was read.
    reads: HashMap<String, u32>,
    /// Originals that get no copy.
    refused: HashSet<String>,
    /// Whose files always get copies.
    pinned: Pins,
    asked: u64,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct Copy {
    bytes: u64,
    uses: u32,
    read_ms: Option<i64>,
    checked: bool,
    /// Known once it is checked, or when some table is pinned.
    table: Option<String>,
    handle: Option<Arc<CopyFile>>,
}

impl Folder {
    /// Makes the folder where it is missing, lists it, and deletes what another process left half done.
    pub(super) fn open(options: &HotOptions) -> io::Result<Self> {
        fs::create_dir_all(&options.folder)?;
        let mut folder = Self { path: options.folder.clone(), bytes_max: options.bytes_max, ..Self::default() };
        folder.pinned = Pins::open(&options.folder)?;
        for entry in fs::read_dir(&options.folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            match path.extension().and_then(|kind| kind.to_str()) {
                Some(TEMPORARY) => remove_unlocked(&path),
                Some(COPY) => {
                    let Ok(meta) = fs::metadata(&path) else { continue };
                    // Whose copy it is matters only where some have more right to their place than others.
                    let known = || CopyFile::open(&path).ok().map(|copy| copy.key().table.clone());
                    let table = if folder.pinned.is_empty() { None } else { known() };
                    folder.put(name.to_owned(), Copy { table, ..Copy::found(meta.len()) });
                }
                _ => {}
            }
        }
        while folder.bytes > folder.bytes_max {
            // Pinned ones go last.
            let least = folder.copies.iter().min_by_key(|(name, copy)| (folder.worth(name, copy), *name));
            let Some(name) = least.map(|(name, _)| name.clone()) else { break };
            folder.evict(&name);
        }
        Ok(folder)
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A name that no other process uses.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join(format!("{}.{TEMPORARY}", Uuid::new_v4()))
    }

    /// Counts one read of the original of `key` and says what there is.
    pub(super) fn read(&mut self, key: &CopyKey) -> Found {
        self.age();
        let name = key.file_name();
        if let Some(copy) = self.copies.get_mut(&name) {
            copy.uses = copy.uses.saturating_add(1);
            if copy.checked {
                copy.read_ms = Some(Utc::now().timestamp_millis());
            }
            return match (&copy.handle, copy.checked) {
                (Some(handle), _) if handle.key() == key => Found::Copy(handle.clone()),
                (Some(_), _) => Found::Nothing,
                (None, true) => Found::Closed,
                (None, false) => Found::Unchecked,
            };
        }
        if self.refused.contains(&name) {
            return Found::Nothing;
        }
        let is_pinned = self.pinned.covers(&key.table, &name);
        let reads = self.reads.entry(name).or_default();
        *reads = reads.saturating_add(1);
        match *reads >= READS_MIN || is_pinned {
            true => Found::Wanted,
            false => Found::Nothing,
        }
    }

    /// May a copy of about so many bytes come in?
    pub(super) fn admits(&self, key: &CopyKey, bytes: u64) -> bool {
        let name = key.file_name();
        let reads = self.reads.get(&name).copied().unwrap_or(0);
        self.victims(bytes, self.rank(&key.table, &name, reads), self.bytes_max).is_some()
    }

    /// Takes in the whole and checked copy that lies at `from`; false when others have more right to the place.
    pub(super) fn admit(&mut self, key: &CopyKey, from: &Path, bytes: u64) -> io::Result<bool> {
        let name = key.file_name();
        let uses = self.reads.get(&name).copied().unwrap_or(0);
        self.forget(&name);
        let Some(victims) = self.victims(bytes, self.rank(&key.table, &name, uses), self.bytes_max) else {
            return Ok(false);
        };
        victims.iter().for_each(|victim| self.evict(victim));
        fs::rename(from, self.path_of(&name))?;
        self.reads.remove(&name);
        self.put(
            name,
            Copy { bytes, uses, read_ms: None, checked: true, table: Some(key.table.clone()), handle: None },
        );
        Ok(true)
    }

    /// A copy that lies there already, checked and found right.
    pub(super) fn adopt(&mut self, key: &CopyKey, bytes: u64) {
        let name = key.file_name();
        let uses = self.copies.get(&name).map_or(0, |copy| copy.uses).max(self.reads.remove(&name).unwrap_or(0));
        self.forget(&name);
        self.put(
            name,
            Copy { bytes, uses, read_ms: None, checked: true, table: Some(key.table.clone()), handle: None },
        );
    }

    /// Keeps the handle for the next scan.
    pub(super) fn keep_open(&mut self, name: &str, handle: &Arc<CopyFile>) {
        if self.copies.values().filter(|copy| copy.handle.is_some()).count() >= HANDLES_MAX {
            self.copies.values_mut().for_each(|copy| copy.handle = None);
        }
        if let Some(copy) = self.copies.get_mut(name) {
            copy.handle = Some(handle.clone());
        }
    }

    /// Deletes a copy that is not what it should be, or that has vanished.
    pub(super) fn discard(&mut self, name: &str) {
        self.forget(name);
        remove(&self.path_of(name));
    }

    pub(super) fn refuse(&mut self, key: &CopyKey) {
        let name = key.file_name();
        self.reads.remove(&name);
        if self.refused.len() < COUNTED_MAX {
            self.refused.insert(name);
        }
    }

    pub(super) fn is_refused(&self, name: &str) -> bool {
        self.refused.contains(name)
    }

    /// After a failure: the original has to be read twice again.
    pub(super) fn start_over(&mut self, key: &CopyKey) {
        self.reads.remove(&key.file_name());
    }

    /// Pins a table as a whole, or lets it go.
    pub(super) fn set_pinned(&mut self, table: &str, pinned: bool) {
        if let Err(error) = self.pinned.set(table, pinned) {
            warn!(folder = %self.path.display(), %error, "pinned tables are forgotten at the next start");
        }
    }

    /// Whether a table is pinned as a whole.
    pub(super) fn is_pinned(&self, table: &str) -> bool {
        self.pinned.is_whole(table)
    }

    /// Whether it matters to the pins which files a table has.
    pub(super) fn is_followed(&self, table: &str) -> bool {
        self.pinned.is_whole(table) || self.pinned.knows(table)
    }

    /// See [`Pins::begin_look`].
    pub(super) fn begin_look(&mut self, table: &str, version: u64) -> Option<Look> {
        self.pinned.begin_look(table, version)
    }

    pub(super) fn is_current(&self, look: &Look) -> bool {
        self.pinned.is_current(look)
    }

    pub(super) fn end_looks(&mut self, table: &str) {
        self.pinned.end_looks(table);
    }

    /// The copies of a table that are pinned from now on, by name (`None`: of none is it said any more), of those of `files`,
    /// which the table has now. Copies of files that it no longer has go, and those that are not pinned any more and are
    /// seldom read; what a query reads stays until the table is looked at again. Returns how many went, and their bytes.
    /// `None`, and nothing is done, when the look is over.
    pub(super) fn settle(
        &mut self,
        look: &Look,
        files: &HashSet<String>,
        pinned: Option<HashSet<String>>,
    ) -> Option<(u64, u64)> {
        if !self.is_current(look) {
            return None;
        }
        let table = look.table();
        let before = self.pinned.set_copies(table, pinned).unwrap_or_default();
        let goes = |(name, copy): &(&String, &Copy)| {
            let aged = || before.contains(*name) && !self.pinned.covers(table, name) && copy.uses < READS_MIN;
            copy.table.as_deref() == Some(table) && !copy.is_read() && (!files.contains(*name) || aged())
        };
        let gone: Vec<(String, u64)> =
            self.copies.iter().filter(goes).map(|(name, copy)| (name.clone(), copy.bytes)).collect();
        gone.iter().for_each(|(name, _)| self.discard(name));
        Some((gone.len() as u64, gone.iter().map(|(_, bytes)| bytes).sum()))
    }

    /// The copy of a file goes, unless it is pinned or queries read it.
    pub(super) fn discard_unwanted(&mut self, key: &CopyKey) {
        let name = key.file_name();
        let is_unwanted = |copy: &Copy| !copy.is_read() && copy.uses < READS_MIN;
        if !self.pinned.covers(&key.table, &name) && self.copies.get(&name).is_some_and(is_unwanted) {
            self.discard(&name);
        }
    }

    /// Somebody asked for a copy: it may come in as though its original had been read twice.
    pub(super) fn ask(&mut self, key: &CopyKey) {
        let name = key.file_name();
        if !self.copies.get(&name).is_some_and(|copy| copy.checked) {
            let reads = self.reads.entry(name).or_default();
            *reads = (*reads).max(READS_MIN);
        }
    }

    /// What the checked copy of a file weighs.
    pub(super) fn bytes_of(&self, key: &CopyKey) -> Option<u64> {
        self.copies.get(&key.file_name()).filter(|copy| copy.checked).map(|copy| copy.bytes)
    }

    /// What there is of each table that was asked for.
    pub(super) fn table_usages(&self) -> Vec<TableCacheUsage> {
        let mut held: HashMap<&str, (u64, u64)> = HashMap::new();
        for copy in self.copies.values() {
            let (copies, bytes) = held.entry(copy.table.as_deref().unwrap_or_default()).or_default();
            (*copies, *bytes) = (*copies + 1, *bytes + copy.bytes);
        }
        self.counts.usages(|table| (held.get(table).copied().unwrap_or_default(), self.pinned.contains(table)))
    }

    /// Names and paths of copies whose table is not known.
    pub(super) fn unknown(&self) -> Vec<(String, PathBuf)> {
        let unknown = self.copies.iter().filter(|(_, copy)| copy.table.is_none());
        unknown.map(|(name, _)| (name.clone(), self.path_of(name))).collect()
    }

    /// Says whose copies some are that were not known.
    pub(super) fn owned(&mut self, owners: Vec<(String, String)>) {
        for (name, owner) in owners {
            if let Some(copy) = self.copies.get_mut(&name) {
                copy.table = Some(owner);
            }
        }
    }

    /// Deletes the copies of a table, and ends the looks at it. Of those that are being read the disk keeps the room until they
    /// are closed.
    pub(super) fn release(&mut self, table: &str) -> Released {
        self.pinned.end_looks(table);
        self.pinned.set_copies(table, None);
        let mut released = Released { tier: Tier::Hot, files: 0, bytes: 0, bytes_later: 0 };
        let of_table = self.copies.iter().filter(|(_, copy)| copy.table.as_deref() == Some(table));
        let gone: Vec<String> = of_table
            .map(|(name, copy)| {
                released.files += 1;
                released.bytes += copy.bytes;
                released.bytes_later += if copy.is_read() { copy.bytes } else { 0 };
                name.clone()
            })
            .collect();
        gone.iter().for_each(|name| self.discard(name));
        released
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.copies.get(name).is_some_and(|copy| copy.checked)
    }

    pub(super) fn size_of(&self, name: &str) -> Option<CopySize> {
        let copy = self.copies.get(name).filter(|copy| copy.checked)?;
        Some(CopySize { bytes: copy.bytes, read_ms: copy.read_ms })
    }

    /// Copies, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.copies.len() as u64, self.bytes)
    }

    fn rank(&self, table: &str, name: &str, reads: u32) -> u32 {
        if self.pinned.covers(table, name) { u32::MAX } else { reads }
    }

    fn worth(&self, name: &str, copy: &Copy) -> u32 {
        self.rank(copy.table.as_deref().unwrap_or_default(), name, copy.uses)
    }

    /// The copies that make room for `bytes`, each of less worth than `rank`; `None` when they do not suffice.
    fn victims(&self, bytes: u64, rank: u32, bytes_max: u64) -> Option<Vec<String>> {
        let mut excess = (self.bytes.checked_add(bytes)?).saturating_sub(bytes_max);
        if excess == 0 {
            return Some(vec![]);
        }
        if bytes > bytes_max {
            return None;
        }
        let mut less: Vec<(u32, &String, u64)> =
            self.copies.iter().map(|(name, copy)| (self.worth(name, copy), name, copy.bytes)).collect();
        // Of two that are read in turn, one may be a read ahead.
        less.retain(|(worth, _, _)| worth.saturating_add(1) < rank);
        less.sort_unstable();
        let mut victims = vec![];
        for (_, name, bytes) in less {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            victims.push(name.clone());
        }
        (excess == 0).then_some(victims)
    }

    fn evict(&mut self, name: &str) {
        debug!(name, "a hot copy makes room");
        let table = self.copies.get(name).and_then(|copy| copy.table.clone());
        self.counts.evicted(table.as_deref());
        self.discard(name);
    }

    fn put(&mut self, name: String, copy: Copy) {
        self.bytes = self.bytes.saturating_add(copy.bytes);
        self.copies.insert(name, copy);
    }

    fn forget(&mut self, name: &str) {
        if let Some(copy) = self.copies.remove(name) {
            self.bytes = self.bytes.saturating_sub(copy.bytes);
        }
    }

    /// Halves all counts once each copy was asked for some times, or when too many originals are counted.
    fn age(&mut self) {
        self.asked += 1;
        if self.asked < 1024 + 8 * self.copies.len() as u64 && self.reads.len() < COUNTED_MAX {
            return;
        }
        self.asked = 0;
        self.copies.values_mut().for_each(|copy| copy.uses /= 2);
        self.reads.retain(|_, reads| {
            *reads /= 2;
            *reads > 0
        });
    }
}

impl Copy {
    /// By a query, as far as it is known: through the handle that is kept.
    fn is_read(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| Arc::strong_count(handle) > 1)
    }

    fn found(bytes: u64) -> Self {
        Self { bytes, uses: 0, read_ms: None, checked: false, table: None, handle: None }
    }
}

/// A writer holds a lock on what it writes: without one, the writer is gone.
fn remove_unlocked(path: &Path) {
    if File::open(path).is_ok_and(|file| file.try_lock().is_ok()) {
        remove(path);
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            debug!(path = %path.display(), %error, "a hot copy could not be deleted");
        }
        _ => {}
    }
}
