//! What runs and what has ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{Live, Origin, Phase, QueryRecord, QueryTotals};
use crate::{EngineError, Identity, Role};

/// Statements that are kept after they have ended.
const ENDED_MAX: usize = 1_000;

/// The statements of one engine. Safe to use from many threads.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    begun: AtomicU64,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// By the order in which they began.
    live: BTreeMap<u64, Weak<Live>>,
    /// As they ended.
    ended: VecDeque<Arc<QueryRecord>>,
    totals: QueryTotals,
}

impl Queries {
    /// A statement begins.
    pub fn begin(self: &Arc<Self>, origin: &Origin, sql: &str, phase: Phase) -> Arc<Live> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let live = Arc::new(Live::new(self, number, origin, sql, phase));
        self.lists.lock().live.insert(number, Arc::downgrade(&live));
        live
    }

    /// All that are known: those that have ended as they ended, then those that run as they began.
    pub fn all(&self) -> Vec<Arc<QueryRecord>> {
        let (ended, live) = self.now();
        ended.into_iter().chain(live.iter().map(|live| live.record())).collect()
    }

    /// Those that a user may see: an admin all, everyone else their own.
    pub fn seen_by(&self, caller: &Identity) -> Vec<Arc<QueryRecord>> {
        let mut all = self.all();
        all.retain(|query| may_see(caller, &query.origin));
        all
    }

    /// Ends all running statements of this id that the caller may see, whoever runs them.
    pub fn kill(&self, id: Uuid, caller: &Identity) -> Result<(), EngineError> {
        let (mut ended, mut live) = self.now();
        ended.retain(|query| may_see(caller, &query.origin));
        live.retain(|live| may_see(caller, live.origin()));
        let mut found = false;
        for live in live.iter().filter(|live| live.origin().query_id == id) {
            live.kill();
            found = true;
        }
        if found {
            return Ok(());
        }
        Err(match ended.iter().rev().find(|query| query.origin.query_id == id).map(|query| query.state) {
            Some(state) => EngineError::not_found(format!("query \"{id}\" has ended: it is {}", state.as_str()))
                .with_hint("There is nothing left to kill."),
            None => EngineError::not_found(format!("query \"{id}\" does not exist"))
                .with_hint("SELECT query_id, sql FROM system.queries WHERE ended_at IS NULL lists what runs."),
        })
    }

    /// The progress of the statement of this id that began last, if one runs.
    pub fn progress(&self, id: Uuid) -> Option<f64> {
        // The last owner of a statement may be here: it must not be dropped under the lock.
        let live: Vec<_> = self.lists.lock().live.values().filter_map(Weak::upgrade).collect();
        live.iter().rev().find(|live| live.origin().query_id == id)?.progress()
    }

    /// Sums over what has ended.
    pub fn totals(&self) -> QueryTotals {
        self.lists.lock().totals.clone()
    }

    /// A statement runs again, because another writer came first.
    pub(super) fn replayed(&self) {
        self.lists.lock().totals.replays += 1;
    }

    /// A statement that was planned only: nothing is kept of it.
    pub(super) fn forget(&self, number: u64) {
        self.lists.lock().live.remove(&number);
    }

    pub(super) fn ended(&self, number: u64, record: Arc<QueryRecord>) {
        record.log();
        if let Some(trace) = &record.origin.trace {
            (trace.tell)(&record);
        }
        let mut lists = self.lists.lock();
        lists.live.remove(&number);
        lists.totals.add(&record);
        if lists.ended.len() >= ENDED_MAX {
            lists.ended.pop_front();
        }
        lists.ended.push_back(record);
    }

    /// What has ended, and what runs. The lock is free when the latter is dropped: the last owner of a statement may be here.
    fn now(&self) -> (VecDeque<Arc<QueryRecord>>, Vec<Arc<Live>>) {
        let lists = self.lists.lock();
        (lists.ended.clone(), lists.live.values().filter_map(Weak::upgrade).collect())
    }
}

fn may_see(caller: &Identity, origin: &Origin) -> bool {
    caller.role() == Role::Admin || origin.user.as_deref() == Some(caller.name())
}
