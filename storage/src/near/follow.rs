//! Pins follow their tables: what is pinned is always the files that a table has now.
//!
//! ```text
//!   a newer version is known ──┐
//!   upkeep: time went by ──────┴──> look: copies of files that are gone go, new files get theirs (hot tier)
//! ```
//!
//! A table is pinned as a whole (CACHE TABLE), or its policy pins what is young (SET TIER). Behind commits and reads this goes
//! on in the background, one look at a table at a time; of versions that come meanwhile the last one is looked at.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Weak},
};

use chrono::Utc;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

use super::bring::through_blocks;
use crate::{
    Snapshot, StorageError,
    hot::{CopyKey, HotCopies, Original},
    maintain::{TierPolicy, young_files},
    store::Stores,
    table::{copy_keys, originals_of},
    warm::{Blocks, Meters},
};

/// After so many files of a table that got no copy the rest gets none in this look: there is most likely no room.
const LEFT_MAX: usize = 16;

/// What one look at a table's pins did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Copies that are pinned and there, and their bytes.
    pub pinned: u64,
    pub bytes_pinned: u64,
    /// Those of them that were made.
    pub made: u64,
    pub bytes_made: u64,
    /// Copies that went.
    pub gone: u64,
    pub bytes_gone: u64,
}

/// Keeps the pins of one lake right. Safe to call from many tasks; dropping it ends the work at the next file.
pub(crate) struct Follower {
    hot: Option<Arc<HotCopies>>,
    warm: Option<Arc<Blocks>>,
    stores: Arc<Stores>,
    /// Milliseconds since 1970, UTC.
    now_ms: fn() -> i64,
    /// Tables that are being looked at, by Delta id, and the version to look at then.
    looking: Mutex<HashMap<String, Option<Arc<Snapshot>>>>,
    running: watch::Sender<usize>,
}

/// What is to be done about a table once it was looked at.
struct Due {
    missing: Vec<Original>,
    followed: Followed,
}

impl Follower {
    pub(crate) fn new(hot: Option<Arc<HotCopies>>, warm: Option<Arc<Blocks>>, stores: Arc<Stores>) -> Arc<Self> {
        let now_ms = || Utc::now().timestamp_millis();
        Arc::new(Self { hot, warm, stores, now_ms, looking: Mutex::default(), running: watch::Sender::new(0) })
    }

    /// A version of a table is the newest that is known. Returns at once. Does nothing outside of a Tokio runtime.
    pub(crate) fn newest(self: &Arc<Self>, snapshot: &Arc<Snapshot>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.concerns(snapshot) {
            return;
        }
        {
            let mut looking = self.looking.lock();
            if let Some(next) = looking.get_mut(snapshot.id()) {
                let is_newer = next.as_ref().is_none_or(|next| next.version() <= snapshot.version());
                if is_newer {
                    *next = Some(snapshot.clone());
                }
                return;
            }
            looking.insert(snapshot.id().to_owned(), None);
            self.running.send_modify(|running| *running += 1);
        }
        let (follower, table) = (Arc::downgrade(self), snapshot.id().to_owned());
        runtime.spawn(follow(Looking { follower, table, is_over: false }, snapshot.clone()));
    }

    /// The table of an id is another one now, of the same place and history: its pin goes over.
    pub(crate) fn replaced(self: &Arc<Self>, before: &Snapshot, now: &Snapshot, is_its_heir: bool) {
        let Some(hot) = self.hot.as_ref().filter(|hot| before.id() != now.id() && hot.is_followed(before.id())) else {
            return;
        };
        if is_its_heir && hot.is_pinned(before.id()) {
            hot.pin(now.id());
        }
        let (hot, id, follower) = (hot.clone(), before.id().to_owned(), self.clone());
        self.running.send_modify(|running| *running += 1);
        tokio::spawn(async move {
            hot.release(&id).await;
            hot.forget(&id);
            follower.running.send_modify(|running| *running -= 1);
        });
    }

    /// Waits until nothing is looked at any more.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as this.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Looks at a version now, and waits until its pinned files have their copies, as far as there is room. `now_ms`:
    /// milliseconds since 1970, UTC.
    pub(crate) async fn look(&self, snapshot: &Snapshot, now_ms: i64) -> Result<Followed, StorageError> {
        let Due { missing, mut followed } = self.settle(snapshot, now_ms).await?;
        let mut left = 0;
        for original in missing {
            match self.make(original).await {
                Some(bytes) => {
                    followed.made += 1;
                    followed.bytes_made += bytes;
                }
                None => left += 1,
            }
            if left >= LEFT_MAX {
                break;
            }
        }
        followed.pinned += followed.made;
        followed.bytes_pinned += followed.bytes_made;
        Ok(followed)
    }

    /// Whether the pins of a table depend on its version.
    pub(crate) fn concerns(&self, snapshot: &Snapshot) -> bool {
        let Some(hot) = &self.hot else { return false };
        TierPolicy::may_pin(snapshot) || hot.is_followed(snapshot.id())
    }

    /// Says what is pinned from now on, and gives back what the table has no more.
    async fn settle(&self, snapshot: &Snapshot, now_ms: i64) -> Result<Due, StorageError> {
        let mut due = Due { missing: Vec::new(), followed: Followed::default() };
        let Some(hot) = &self.hot else { return Ok(due) };
        let query = |source| StorageError::Query { table: snapshot.name().to_owned(), source: Box::new(source) };
        let keys = copy_keys(snapshot).map_err(query)?;
        let names: Vec<String> = keys.iter().map(CopyKey::file_name).collect();
        // What another writer has made nonsense of pins nothing.
        let policy = TierPolicy::of(snapshot).ok().flatten();
        let pinned: Option<Vec<usize>> = match hot.is_pinned(snapshot.id()) {
            true => Some((0..names.len()).collect()),
            false => policy.map(|policy| young_files(snapshot.files().ok(), &policy, now_ms)),
        };
        let copies = pinned.as_ref().map(|pinned| pinned.iter().filter_map(|file| names.get(*file).cloned()).collect());
        let files: HashSet<String> = names.into_iter().collect();
        let (gone, bytes_gone) = hot.settle((snapshot.id(), snapshot.name()), &files, copies).await;
        (due.followed.gone, due.followed.bytes_gone) = (gone, bytes_gone);
        let pinned = pinned.unwrap_or_default();
        let there = hot.sizes(&keys);
        let mut missing = Vec::new();
        for file in pinned {
            match there.get(file).copied().flatten() {
                Some(copy) => {
                    due.followed.pinned += 1;
                    due.followed.bytes_pinned += copy.bytes;
                }
                None if keys.get(file).is_some_and(|key| hot.is_refused(key)) => {}
                None => missing.push(file),
            }
        }
        missing.sort_by_key(|file| std::cmp::Reverse(keys.get(*file).map(|key| key.modified_ms)));
        due.missing = originals_of(snapshot, self.stores.as_ref(), missing.into_iter()).map_err(query)?;
        Ok(due)
    }

    /// What the copy weighs; `None` when there is none in the end.
    async fn make(&self, original: Original) -> Option<u64> {
        let hot = self.hot.as_ref()?;
        hot.make(through_blocks(self.warm.as_ref(), &original, &Meters::default())).await
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("running", &*self.running.borrow()).finish_non_exhaustive()
    }
}

/// A table that is being looked at; it is not any more when this is dropped.
struct Looking {
    follower: Weak<Follower>,
    table: String,
    /// Nobody else may be kept from looking at it any more.
    is_over: bool,
}

impl Looking {
    /// The version that came meanwhile. When there is none this is over.
    fn next(&mut self) -> Option<Arc<Snapshot>> {
        let follower = self.follower.upgrade()?;
        let mut looking = follower.looking.lock();
        let next = looking.get_mut(&self.table).and_then(Option::take);
        if next.is_none() {
            looking.remove(&self.table);
            self.is_over = true;
        }
        next
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.upgrade() {
            if !self.is_over {
                follower.looking.lock().remove(&self.table);
            }
            follower.running.send_modify(|running| *running -= 1);
        }
    }
}

/// Looks at a table until no newer version comes. Holds neither the lake's copies nor a version while a copy is made: who
/// closes the lake does not wait for those of a large table.
async fn follow(mut looking: Looking, first: Arc<Snapshot>) {
    let mut next = Some(first);
    while let Some(snapshot) = next.take().or_else(|| looking.next()) {
        let settled = match looking.follower.upgrade() {
            Some(follower) => follower.settle(&snapshot, (follower.now_ms)()).await,
            None => return,
        };
        let table = snapshot.name().to_owned();
        drop(snapshot);
        let missing = match settled {
            Ok(due) => due.missing,
            Err(error) => {
                tracing::debug!(table, %error, "what is pinned of a table is not looked at");
                continue;
            }
        };
        let mut left = 0;
        for original in missing {
            let Some(follower) = looking.follower.upgrade() else { return };
            left += usize::from(follower.make(original).await.is_none());
            let is_stale = follower.looking.lock().get(&looking.table).is_some_and(Option::is_some);
            if is_stale || left >= LEFT_MAX {
                break;
            }
        }
    }
}
