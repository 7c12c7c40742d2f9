//! How much memory the process has, as the system counts it.

use std::{
    fs,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// A reading is good for this long, if little was granted since.
const GOOD_FOR: Duration = Duration::from_millis(5);
/// To look for free memory takes time, and finds none so soon after the last look.
const RELEASED_EVERY: Duration = Duration::from_millis(250);
/// Where the system does not tell.
const PAGE_BYTES: usize = 4096;
/// The entry of the auxiliary vector that holds the size of a page.
const AT_PAGESZ: usize = 6;

/// The resident memory of this process; a reading costs some microseconds, so it is made now and then only.
#[derive(Debug)]
pub(super) struct ProcessMemory {
    page_bytes: usize,
    started: Instant,
    /// Microseconds from the start to the last reading.
    read_at: AtomicU64,
    resident: AtomicUsize,
    /// Given out since the last reading, as if all of it were in use.
    granted: AtomicUsize,
    granted_max: usize,
    /// Microseconds from the start to the last time that free memory was given back; 0 before the first.
    released_at: AtomicU64,
}

impl ProcessMemory {
    /// Reads anew when `granted_max` bytes were given out since the last time.
    pub fn new(granted_max: usize) -> Self {
        let page_bytes = fs::read("/proc/self/auxv").ok().and_then(|vector| page_bytes(&vector)).unwrap_or(PAGE_BYTES);
        let memory = Self {
            page_bytes,
            started: Instant::now(),
            read_at: AtomicU64::new(0),
            resident: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
            granted_max,
            released_at: AtomicU64::new(0),
        };
        memory.read();
        memory
    }

    /// Bytes in memory now, with what was granted since the last reading; 0 where the system does not tell.
    pub fn resident(&self) -> usize {
        let since = self.now().saturating_sub(self.read_at.load(Ordering::Relaxed));
        if since >= GOOD_FOR.as_micros() as u64 || self.granted.load(Ordering::Relaxed) >= self.granted_max {
            self.read();
        }
        match self.resident.load(Ordering::Relaxed) {
            0 => 0,
            resident => resident.saturating_add(self.granted.load(Ordering::Relaxed)),
        }
    }

    /// The same, read anew.
    pub fn resident_now(&self) -> usize {
        self.read();
        self.resident.load(Ordering::Relaxed)
    }

    /// Whether free memory may be given back now: true for one caller at a time, and not too often.
    pub fn may_release(&self) -> bool {
        let (now, last) = (self.now().max(1), self.released_at.load(Ordering::Relaxed));
        (last == 0 || now.saturating_sub(last) >= RELEASED_EVERY.as_micros() as u64)
            && self.released_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Somebody is about to use so much more.
    pub fn grant(&self, bytes: usize) {
        self.granted.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) {
        self.read_at.store(self.now(), Ordering::Relaxed);
        self.granted.store(0, Ordering::Relaxed);
        let pages = fs::read_to_string("/proc/self/statm").ok().and_then(|text| resident_pages(&text)).unwrap_or(0);
        self.resident.store(pages * self.page_bytes, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// `12345 678 ...`: all pages, then those in memory.
fn resident_pages(statm: &str) -> Option<usize> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// Pairs of words, key and value.
fn page_bytes(auxv: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let pairs = auxv.chunks_exact(2 * WORD).map(|pair| pair.split_at(WORD));
    pairs.filter_map(|(key, value)| Some((word(key)?, word(value)?))).find(|(key, _)| *key == AT_PAGESZ).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_system_are_read() {
        assert_eq!(resident_pages("55932 4821 2104 5 0 9000 0\n"), Some(4821));
        assert_eq!(resident_pages(""), None);
        let words = [3_usize, 64, 6, 16384, 0, 0].map(usize::to_ne_bytes).concat();
        assert_eq!(page_bytes(&words), Some(16384));
        assert_eq!(page_bytes(&[]), None);
    }

    #[test]
    fn memory_is_given_back_now_and_then() {
        let memory = ProcessMemory::new(usize::MAX);
        assert!(memory.may_release());
        assert!(!memory.may_release());
        memory.released_at.store(0, Ordering::Relaxed);
        assert!(memory.may_release());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_in_use_shows() {
        let memory = ProcessMemory::new(usize::MAX);
        let block = vec![1_u8; 64 << 20];
        memory.read();
        assert!(memory.resident() > block.len());
        assert!(block.iter().all(|byte| *byte == 1));
    }
}
