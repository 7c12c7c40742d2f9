//! What one statement uses: the memory that its operators hold, and what its scans read.
//!
//! An [`Account`] lies among the extensions of a session's configuration, where every scan that is planned in the session
//! finds it. Plans that run under [`task_context`] take their memory through it; it hands on to the pool that all share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use datafusion::{
    catalog::Session,
    common::Result,
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
        runtime_env::RuntimeEnv,
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use parking_lot::Mutex;

use crate::{
    table::{ScanProgress, reports_of},
    warm::Meters,
};

/// Scans of one statement that are looked at; one that plans more of them is counted for the first of them.
const SCANS_MAX: usize = 1_000;

/// One statement's account. Safe to read while the statement runs.
pub struct Account {
    runtime: Arc<RuntimeEnv>,
    memory: Arc<Memory>,
    scans: Mutex<Vec<Scan>>,
    /// What is fetched and is no scan's.
    meters: Meters,
    /// The most that [`Account::progress`] ever was, as bits: those of numbers that are not negative are ordered as they are.
    progress: AtomicU64,
}

#[derive(Clone)]
struct Scan {
    metrics: ExecutionPlanMetricsSet,
    progress: Arc<ScanProgress>,
}

/// What an account says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most that operators held at once, as far as they tell the pool.
    pub memory_bytes_peak: u64,
    /// Bytes of Parquet and of copies that scans of tables fetched.
    pub bytes_read: u64,
    /// Of these, bytes of copies near by.
    pub bytes_hot: u64,
    /// Bytes of blocks near by, of data files in a far store.
    pub bytes_warm: u64,
    /// Bytes of data files that were fetched from a far store, and the requests (GET) for them.
    pub bytes_fetched: u64,
    pub requests: u64,
    /// Files of tables that scans were left with.
    pub files_read: u64,
    /// Files that partitions or statistics ruled out.
    pub files_skipped: u64,
}

impl Account {
    /// On the memory and the stores of `runtime`.
    pub fn open(runtime: &RuntimeEnv) -> Arc<Self> {
        let memory = Arc::new(Memory {
            pool: runtime.memory_pool.clone(),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let runtime = Arc::new(RuntimeEnv { memory_pool: memory.clone(), ..runtime.clone() });
        Arc::new(Self {
            runtime,
            memory,
            scans: Mutex::default(),
            meters: Meters::default(),
            progress: AtomicU64::new(0),
        })
    }

    /// What was used so far. Scans that were planned and not begun do not count.
    pub fn usage(&self) -> Usage {
        let scans: Vec<_> = self.scans.lock().iter().map(|scan| scan.metrics.clone()).collect();
        let mut usage =
            Usage { memory_bytes_peak: self.memory.peak.load(Ordering::Relaxed) as u64, ..Usage::default() };
        for report in reports_of(&scans) {
            usage.files_skipped += (report.files_skipped_by_partition + report.files_skipped_by_statistics) as u64;
            usage.files_read += report.files_read as u64;
            usage.bytes_read += report.bytes_read as u64;
            usage.bytes_hot += report.bytes_hot as u64;
            usage.bytes_warm += report.bytes_warm as u64;
            usage.bytes_fetched += report.bytes_fetched as u64;
            usage.requests += report.requests as u64;
        }
        usage.bytes_warm += self.meters.warm.value() as u64;
        usage.bytes_fetched += self.meters.store.value() as u64;
        usage.requests += self.meters.requests.value() as u64;
        usage
    }

    /// The share of the bytes of its tables' files that its scans have done with, from 0 to 1; it never goes back. `None`
    /// when it reads no files of tables, as far as it is planned.
    pub fn progress(&self) -> Option<f64> {
        let scans: Vec<_> = self.scans.lock().iter().map(|scan| scan.progress.clone()).collect();
        let add = |(done, all): (u64, u64), (more_done, more): (u64, u64)| (done + more_done, all + more);
        let (done, all) = scans.iter().map(|scan| scan.bytes()).fold((0, 0), add);
        if all == 0 {
            return None;
        }
        let bits = (done as f64 / all as f64).to_bits();
        Some(f64::from_bits(self.progress.fetch_max(bits, Ordering::Relaxed).max(bits)))
    }

    /// For what is fetched and is no scan's.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Notes a scan that was planned in `session`.
    pub(crate) fn note(session: &dyn Session, metrics: &ExecutionPlanMetricsSet, progress: &Arc<ScanProgress>) {
        if let Some(account) = session.config().get_extension::<Self>() {
            let mut scans = account.scans.lock();
            if scans.len() < SCANS_MAX {
                scans.push(Scan { metrics: metrics.clone(), progress: progress.clone() });
            }
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// How plans of `session` run: with the memory of its account, when it has one.
pub fn task_context(session: &dyn Session) -> Arc<TaskContext> {
    let task = TaskContext::from(session);
    Arc::new(match session.config().get_extension::<Account>() {
        Some(account) => task.with_runtime(account.runtime.clone()),
        None => task,
    })
}

/// The shared pool, as one statement uses it.
#[derive(Debug)]
struct Memory {
    pool: Arc<dyn MemoryPool>,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Memory {
    fn grew(&self, additional: usize) {
        let used = self.used.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

impl MemoryPool for Memory {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
        self.grew(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.pool.try_grow(reservation, additional)?;
        self.grew(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn each_account_has_its_own_peak_of_one_pool() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1_000));
        let shared = RuntimeEnv { memory_pool: pool.clone(), ..RuntimeEnv::default() };
        let (first, second) = (Account::open(&shared), Account::open(&shared));
        let reserve = |account: &Account| MemoryConsumer::new("a").register(&account.runtime.memory_pool);
        let (a, b) = (reserve(&first), reserve(&second));
        a.try_grow(600).unwrap();
        a.shrink(500);
        b.try_grow(300).unwrap();
        assert!(b.try_grow(700).is_err());
        assert_eq!(pool.reserved(), 400);
        assert_eq!((first.usage().memory_bytes_peak, second.usage().memory_bytes_peak), (600, 300));
        drop((a, b));
        assert_eq!(pool.reserved(), 0);
    }
}
