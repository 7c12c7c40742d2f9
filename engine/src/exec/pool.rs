//! The memory that all queries share.
//!
//! Two limits hold. What operators say they use stays under the pool's bytes. And what the process really uses, with all
//! that nobody counts (rows on their way, decoded pages, encoded answers, what the allocator keeps), stays under the
//! process's: beyond it operators get next to nothing more, so those that can spill do.
//!
//! Who can spill gets no more than a multiple of what is still free: the first may take most of the pool, each next one
//! finds a share, and nothing is kept for those that ask for nothing. (A fair pool divides by the number of operators,
//! most of which hold little; a greedy one leaves nothing to those that come late.) The rule is that of dynamic thresholds
//! for shared buffers: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use datafusion::{
    common::{DataFusionError, Result},
    execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation, human_readable_size},
};

use super::process::ProcessMemory;

/// What one operator that can spill may hold, as a multiple of what stays free.
const MULTIPLE_OF_FREE: usize = 4;

/// Below this a limit is for operators only: the program itself takes about so much, and other work may share its process.
const WATCHED_BYTES_MIN: usize = 256 << 20;

/// A pool for operators, and a watch over the process.
#[derive(Debug)]
pub(super) struct SharedPool {
    /// For what operators count.
    bytes_max: usize,
    used: AtomicUsize,
    process_bytes_max: usize,
    process: Option<ProcessMemory>,
    /// Gives free memory back to the system.
    release: Option<fn()>,
}

impl SharedPool {
    /// For a process that may take so much. A quarter is for what nobody counts.
    pub fn new(process_bytes_max: usize) -> Self {
        let process = (process_bytes_max >= WATCHED_BYTES_MIN).then(|| ProcessMemory::new(process_bytes_max / 64));
        let bytes_max = if process.is_some() { process_bytes_max / 4 * 3 } else { process_bytes_max };
        Self { bytes_max, used: AtomicUsize::new(0), process_bytes_max, process, release: None }
    }

    /// With what the allocator keeps given back before anything is refused for it.
    pub fn releasing(self, release: Option<fn()>) -> Self {
        Self { release, ..self }
    }

    /// What is free for this reservation, if `used` is in use.
    fn available(&self, reservation: &MemoryReservation, used: usize) -> usize {
        let free = self.bytes_max.saturating_sub(used);
        if !reservation.consumer().can_spill() {
            return free;
        }
        // The largest `x` with `size + x <= MULTIPLE * (free - x)`.
        let share = (MULTIPLE_OF_FREE * free).saturating_sub(reservation.size()) / (MULTIPLE_OF_FREE + 1);
        share.min(free)
    }

    /// Refuses what would make the process too large, though the pool has room. An eighth of the limit is always given:
    /// what the allocator keeps from earlier queries is in the process's memory and yet free.
    fn check_process(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        const ALWAYS: usize = 8;
        let Some(process) = &self.process else { return Ok(()) };
        let fits = |resident: usize| resident.saturating_add(additional) <= self.process_bytes_max;
        let mut resident = process.resident();
        if !fits(resident)
            && let Some(release) = self.release
            && process.may_release()
        {
            release();
            resident = process.resident_now();
        }
        if fits(resident) || self.reserved().saturating_add(additional) <= self.process_bytes_max / ALWAYS {
            process.grant(additional);
            return Ok(());
        }
        Err(refusal(reservation, additional, &format!("the process uses {}", human_readable_size(resident)), self))
    }
}

fn refusal(reservation: &MemoryReservation, additional: usize, state: &str, pool: &SharedPool) -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!(
        "\"{}\" holds {} and asked for {} more; {state} of the {} allowed",
        reservation.consumer().name(),
        human_readable_size(reservation.size()),
        human_readable_size(additional),
        human_readable_size(pool.process_bytes_max),
    ))
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        if let Some(process) = &self.process {
            process.grant(additional);
        }
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.check_process(reservation, additional)?;
        let grow = |used| (additional <= self.available(reservation, used)).then_some(used + additional);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow) {
            Ok(_) => Ok(()),
            Err(used) => {
                let state = format!("all queries hold {}", human_readable_size(used));
                Err(refusal(reservation, additional, &state, self))
            }
        }
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", human_readable_size(self.reserved()), human_readable_size(self.bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
        Arc::new(SharedPool::new(bytes))
    }

    /// Grows by steps until refused.
    fn fill(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(1_000).is_ok() {}
        reservation.size()
    }

    #[test]
    fn those_that_spill_leave_something_to_the_next() {
        let pool = pool(1_000_000);
        let spilling = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second, third) = (spilling("first"), spilling("second"), spilling("third"));
        assert_eq!(fill(&first), 800_000);
        assert_eq!(fill(&second), 160_000);
        assert_eq!(fill(&third), 32_000);
        let fixed = MemoryConsumer::new("fixed").register(&pool);
        assert_eq!(fill(&fixed), 8_000);
        first.free();
        assert_eq!(fill(&third), 665_000);
        drop((first, second, third, fixed));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_refusal_says_who_asked_and_for_how_much() {
        let pool = pool(1 << 20);
        let reservation = MemoryConsumer::new("CrossJoinExec").register(&pool);
        let error = reservation.try_grow(2 << 20).unwrap_err().to_string();
        for part in
            ["\"CrossJoinExec\" holds 0.0 B", "asked for 2.0 MB more", "all queries hold 0.0 B of the 1024.0 KB"]
        {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_nobody_counts_is_seen() {
        let pool = pool(WATCHED_BYTES_MIN);
        let reservation = MemoryConsumer::new("a").register(&pool);
        let uncounted = vec![1_u8; WATCHED_BYTES_MIN];
        reservation.try_grow(WATCHED_BYTES_MIN / 8).unwrap();
        let error = reservation.try_grow(1 << 20).unwrap_err().to_string();
        assert!(error.contains("the process uses "), "{error}");
        assert!(uncounted.iter().all(|byte| *byte == 1));
    }
}
