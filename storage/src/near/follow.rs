//! Pins follow their tables: what is pinned is always the files that a table has now.
//!
//! ```text
//!   a newer version is known ──┐
//!   upkeep: time went by ──────┴──> look: copies of files that are gone go, new files get theirs (hot tier)
//! ```
//!
//! A table is pinned as a whole (CACHE TABLE), or its policy pins what is young (SET TIER). Behind commits and reads this goes
//! on in the background, one look at a table at a time; of versions that come meanwhile the last one is looked at. A look is
//! over once another one at the same or a newer version begins, or when the table is let go.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::ControlFlow,
    sync::{Arc, Weak},
};

use chrono::Utc;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

use super::bring::through_blocks;
use crate::{
    Snapshot, StorageError,
    hot::{CopyKey, HotCopies, Look, Original, Tried},
    maintain::{TierPolicy, young_files},
    store::Stores,
    table::{copy_keys, originals_of},
    warm::{Blocks, Meters},
};

/// After so many files in turn that found no room, each smaller than those before, the rest gets no copy in this look.
const LEFT_MAX: usize = 16;
/// After so many files in turn of which making a copy failed the rest gets none either: the store is most likely away.
const FAILED_MAX: usize = 64;

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
    looking: Mutex<HashMap<String, Option<Begun>>>,
    running: watch::Sender<usize>,
}

/// A version, and the look at it.
type Begun = (Arc<Snapshot>, Look);

/// What is to be done about a table once it was looked at.
#[derive(Default)]
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
        let (running, first) = {
            let mut looking = self.looking.lock();
            // Now, and not once there is time: who lets the table go from here on ends it.
            let Some(look) = self.begin(snapshot) else { return };
            let first = (snapshot.clone(), look);
            if let Some(next) = looking.get_mut(snapshot.id()) {
                *next = Some(first);
                return;
            }
            looking.insert(snapshot.id().to_owned(), None);
            (Running::new(&self.running), first)
        };
        let (follower, table) = (Arc::downgrade(self), snapshot.id().to_owned());
        runtime.spawn(follow(Looking { follower, table, is_over: false, _running: running }, first));
    }

    /// The table of an id is another one now, of the same place and history: its pin goes over.
    pub(crate) fn replaced(&self, before: &Snapshot, now: &Snapshot, is_its_heir: bool) {
        let Some(hot) = &self.hot else { return };
        if before.id() == now.id() {
            if now.version() < before.version() {
                // Somebody put an older log back.
                hot.end_looks(now.id());
            }
            return;
        }
        hot.end_looks(before.id());
        if !hot.is_followed(before.id()) {
            return;
        }
        if is_its_heir && hot.is_pinned(before.id()) {
            hot.pin(now.id());
        }
        let (hot, id, running) = (hot.clone(), before.id().to_owned(), Running::new(&self.running));
        tokio::spawn(async move {
            hot.release(&id).await;
            hot.forget(&id);
            drop(running);
        });
    }

    /// A look at a version begins, and those before it are over; `None` when a newer version was looked at.
    pub(crate) fn begin(&self, snapshot: &Snapshot) -> Option<Look> {
        self.hot.as_ref()?.begin_look(snapshot.id(), snapshot.version())
    }

    /// Waits until nothing is looked at any more.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as this.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Looks at a version now, and waits until its pinned files have their copies, as far as there is room, or the look is
    /// over. `now_ms`: milliseconds since 1970, UTC.
    pub(crate) async fn look(&self, snapshot: &Snapshot, look: &Look, now_ms: i64) -> Result<Followed, StorageError> {
        let Due { missing, mut followed } = self.settle(snapshot, look, now_ms).await?;
        let mut room = Room::default();
        for original in missing {
            match self.make(look, original, &mut room).await {
                ControlFlow::Continue(Some(bytes)) => {
                    followed.made += 1;
                    followed.bytes_made += bytes;
                }
                ControlFlow::Continue(None) => {}
                ControlFlow::Break(()) => break,
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

    /// Says what is pinned from now on, and gives back what the table has no more. Does nothing when the look is over.
    async fn settle(&self, snapshot: &Snapshot, look: &Look, now_ms: i64) -> Result<Due, StorageError> {
        let mut due = Due::default();
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
        let Some(gone) = hot.settle((look, snapshot.name()), &files, copies).await else { return Ok(due) };
        (due.followed.gone, due.followed.bytes_gone) = gone;
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

    /// What the copy weighs; `None` when there is none in the end. Tells whether it is of use to go on.
    async fn make(&self, look: &Look, original: Original, room: &mut Room) -> ControlFlow<(), Option<u64>> {
        let Some(hot) = &self.hot else { return ControlFlow::Break(()) };
        let bytes = original.key.size;
        if !room.may_take(bytes) {
            return ControlFlow::Continue(None);
        }
        let tried = hot.make(look, through_blocks(self.warm.as_ref(), &original, &Meters::default())).await;
        room.note(bytes, tried)
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("running", &*self.running.borrow()).finish_non_exhaustive()
    }
}

/// What a look has learnt of the room that is left.
#[derive(Default)]
struct Room {
    /// The smallest file that found none.
    least: Option<u64>,
    /// Files that found none, and files that failed, since one got its copy.
    left: usize,
    failed: usize,
}

impl Room {
    /// What is not smaller than a file that found no room finds none.
    fn may_take(&self, bytes: u64) -> bool {
        self.least.is_none_or(|least| bytes < least)
    }

    /// What became of a file of so many bytes.
    fn note(&mut self, bytes: u64, tried: Tried) -> ControlFlow<(), Option<u64>> {
        match tried {
            Tried::There(copied) => {
                (self.left, self.failed) = (0, 0);
                return ControlFlow::Continue(Some(copied));
            }
            Tried::NoRoom => {
                self.least = Some(bytes);
                self.left += 1;
            }
            Tried::Failed => self.failed += 1,
            Tried::Over => return ControlFlow::Break(()),
        }
        match self.left >= LEFT_MAX || self.failed >= FAILED_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(None),
        }
    }
}

/// Counts what runs, while it lives, whichever way that ends.
struct Running(watch::Sender<usize>);

impl Running {
    fn new(running: &watch::Sender<usize>) -> Self {
        running.send_modify(|running| *running += 1);
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// A table that is being looked at; it is not any more when this is dropped.
struct Looking {
    follower: Weak<Follower>,
    table: String,
    /// Nobody else may be kept from looking at it any more.
    is_over: bool,
    /// Until after the table is noted as one that nobody looks at.
    _running: Running,
}

impl Looking {
    /// The version that came meanwhile. When there is none this is over.
    fn next(&mut self) -> Option<Begun> {
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
        if !self.is_over
            && let Some(follower) = self.follower.upgrade()
        {
            follower.looking.lock().remove(&self.table);
        }
    }
}

/// Looks at a table until no newer version comes. Holds no version while copies are made, and the lake's copies for one file at
/// a time: after the lake was closed the one that is being made is the last.
async fn follow(mut looking: Looking, first: Begun) {
    let mut next = Some(first);
    while let Some((snapshot, look)) = next.take().or_else(|| looking.next()) {
        let settled = match looking.follower.upgrade() {
            Some(follower) => follower.settle(&snapshot, &look, (follower.now_ms)()).await,
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
        let mut room = Room::default();
        for original in missing {
            let Some(follower) = looking.follower.upgrade() else { return };
            if follower.make(&look, original, &mut room).await.is_break() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_fail_or_are_too_large_keep_no_others_from_their_copies() {
        let mut room = Room::default();
        for _ in 0..2 * LEFT_MAX {
            assert!(room.note(100, Tried::Failed).is_continue());
        }
        for _ in 0..FAILED_MAX {
            // Those that are no smaller are not even tried.
            let _ = room.may_take(50).then(|| room.note(50, Tried::NoRoom));
        }
        assert_eq!((room.may_take(49), room.may_take(50), room.left), (true, false, 1));
        assert_eq!(room.note(10, Tried::There(7)), ControlFlow::Continue(Some(7)));
        assert_eq!((room.left, room.failed), (0, 0));
        let left = (1..50).rev().take_while(|bytes| room.note(*bytes, Tried::NoRoom).is_continue());
        assert_eq!(left.count(), LEFT_MAX - 1);
        assert!(Room::default().note(1, Tried::Over).is_break());
        let mut away = Room::default();
        let failed = (0..1000).take_while(|_| away.note(1, Tried::Failed).is_continue());
        assert_eq!(failed.count(), FAILED_MAX - 1);
    }

    #[tokio::test]
    async fn what_panics_does_not_run_for_ever() {
        let follower = Follower::new(None, None, Arc::new(Stores::new(crate::StorageOptions::default(), None)));
        let running = Running::new(&follower.running);
        assert_eq!(*follower.running.borrow(), 1);
        let ended: tokio::task::JoinHandle<()> = tokio::spawn(async move {
            let _running = running;
            panic!("as a library might");
        });
        assert!(ended.await.is_err());
        follower.idle().await;
    }
}
