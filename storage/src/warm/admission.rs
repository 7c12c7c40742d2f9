//! Which blocks are kept on disk.
//!
//! While there is room all are. Then a block comes in when it is fetched for the second time within as many other fetches as
//! there are places: a scan of more than fits pushes nothing out, however often it runs. A block whose turn to go has come
//! stays once more when it was of use since, as long as no more stays than comes in.

use std::{
    collections::HashSet,
    fmt,
    hash::BuildHasher,
    sync::{Arc, Weak},
};

use foyer::{DefaultHasher, StorageFilterCondition, StorageFilterResult};
use parking_lot::Mutex;

use super::{key::BlockKey, ledger::Ledger};
use crate::CacheCounts;

/// Judges the blocks of one folder. Safe to call from many threads.
pub(super) struct Admission {
    state: Mutex<State>,
    counts: Arc<CacheCounts>,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
struct State {
    /// Bytes of the folder that hold no block.
    room: u64,
    /// Fetched and not kept.
    seen: Recent,
    /// Of use since they were kept.
    used: Recent,
    /// Let go, and still there until others are written over them.
    released: Recent,
    /// Bytes that came in, less those that stayed when it was their turn to go.
    may_stay: u64,
}

impl Admission {
    /// For a folder with `room` left, which has places for so many blocks.
    pub fn new(room: u64, places: usize, (counts, ledger): (Arc<CacheCounts>, Arc<Ledger>)) -> Arc<Self> {
        let recent = || Recent { max: places.max(1), ..Recent::default() };
        let state = State { room, seen: recent(), used: recent(), released: recent(), may_stay: 0 };
        Arc::new(Self { state: Mutex::new(state), counts, ledger })
    }

    /// A block was fetched: is it kept on disk?
    pub fn admits(&self, key: &BlockKey, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let admitted = state.room >= bytes || state.seen.contains(hash(key));
        if admitted {
            state.enter(bytes);
        } else {
            state.seen.insert(hash(key));
        }
        admitted
    }

    /// A block that was just written comes in.
    pub fn enter(&self, bytes: u64) {
        self.state.lock().enter(bytes);
    }

    /// A block that somebody asked for comes in.
    pub fn force(&self, key: &BlockKey, bytes: u64) {
        let mut state = self.state.lock();
        state.enter(bytes);
        state.used.insert(hash(key));
    }

    /// A block was let go: what it takes is room for others when it is its turn to go.
    pub fn forget(&self, key: &BlockKey) {
        let mut state = self.state.lock();
        state.used.remove(hash(key));
        state.seen.remove(hash(key));
        state.released.insert(hash(key));
    }

    /// A block was of use.
    pub fn used(&self, key: &BlockKey) {
        self.state.lock().used.insert(hash(key));
    }

    /// Asks whether a block whose turn to go has come stays.
    pub fn stays(self: &Arc<Self>) -> impl StorageFilterCondition + use<> {
        Stays(Arc::downgrade(self))
    }
}

impl State {
    fn enter(&mut self, bytes: u64) {
        self.room = self.room.saturating_sub(bytes);
        self.may_stay += bytes;
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("room", &self.state.lock().room).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Stays(Weak<Admission>);

impl StorageFilterCondition for Stays {
    fn filter(&self, _: &Arc<foyer::Statistics>, hash: u64, bytes: usize) -> StorageFilterResult {
        let Some(admission) = self.0.upgrade() else { return StorageFilterResult::Reject };
        let mut state = admission.state.lock();
        let bytes = bytes as u64;
        // One that came again lies behind this one.
        if state.released.remove(hash) {
            state.room += bytes;
            return StorageFilterResult::Reject;
        }
        if state.used.remove(hash) && state.may_stay >= bytes {
            state.may_stay -= bytes;
            return StorageFilterResult::Admit;
        }
        drop(state);
        admission.counts.removed(true);
        admission.ledger.went(hash, true);
        StorageFilterResult::Reject
    }
}

/// As the library hashes it.
pub(super) fn hash(key: &BlockKey) -> u64 {
    DefaultHasher::default().hash_one(key)
}

/// The last `max` to two times `max` of what was inserted.
#[derive(Debug, Default)]
struct Recent {
    new: HashSet<u64>,
    old: HashSet<u64>,
    max: usize,
}

impl Recent {
    fn insert(&mut self, hash: u64) {
        if self.new.len() >= self.max {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(hash);
    }

    fn contains(&self, hash: u64) -> bool {
        self.new.contains(&hash) || self.old.contains(&hash)
    }

    fn remove(&mut self, hash: u64) -> bool {
        let new = self.new.remove(&hash);
        self.old.remove(&hash) || new
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::FileKey, *};

    fn key(number: u32) -> BlockKey {
        BlockKey { file: FileKey::new("s3://b/", "f", 1 << 30), number }
    }

    #[test]
    fn with_room_all_come_in_then_what_is_fetched_again_soon() {
        let admission = Admission::new(25, 4, Default::default());
        let admitted = |numbers: std::ops::Range<u32>| {
            numbers.filter(|number| admission.admits(&key(*number), 10)).collect::<Vec<_>>()
        };
        assert_eq!(admitted(0..2), [0, 1]);
        // No room: once is not enough, and a scan of many times what fits is forgotten before it comes again.
        assert_eq!(admitted(2..100), [0; 0]);
        assert_eq!(admitted(2..100), [0; 0]);
        assert_eq!(admitted(97..100), [97, 98, 99]);
    }

    #[test]
    fn what_was_of_use_stays_but_never_more_than_comes_in() {
        let admission = Admission::new(20, 4, Default::default());
        let (condition, statistics) = (admission.stays(), Arc::new(foyer::Statistics::new(foyer::Throttle::default())));
        let stays = |number| condition.filter(&statistics, hash(&key(number)), 10).is_admitted();
        assert!(admission.admits(&key(0), 10) && admission.admits(&key(1), 10));
        (0..3).for_each(|number| admission.used(&key(number)));
        assert_eq!([0, 0, 1, 2, 3].map(stays), [true, false, true, false, false]);
    }

    #[test]
    fn what_was_let_go_is_room_once_its_turn_has_come_and_no_eviction() {
        let counts = Arc::new(CacheCounts::default());
        let admission = Admission::new(20, 4, (counts.clone(), Arc::default()));
        let (condition, statistics) = (admission.stays(), Arc::new(foyer::Statistics::new(foyer::Throttle::default())));
        assert!(admission.admits(&key(0), 10) && admission.admits(&key(1), 10));
        admission.used(&key(0));
        admission.forget(&key(0));
        assert!(!admission.admits(&key(2), 10), "it still lies there");
        assert!(!condition.filter(&statistics, hash(&key(0)), 10).is_admitted());
        assert!(admission.admits(&key(3), 10));
        assert_eq!(counts.fill(crate::CacheUsage::default()).evictions, 0);
    }
}
