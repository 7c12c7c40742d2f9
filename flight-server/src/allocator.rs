//! How long memory that queries gave back stays with the process, and in which pages it comes.
//!
//! The binary takes its memory from mimalloc, which gives back to the system what was free for a second. A server that
//! answers one query after the other then has most of its memory cleared and handed out anew by the system again and
//! again: TPC-H at scale 1 over hot copies takes 1.13 of the time so that it takes when memory is kept
//! (`benches/compare tpch`, with `MIMALLOC_PURGE_DELAY=-1` for the second). So it is kept for longer, and given back at once
//! when queries are short of it.
//!
//! Each thread takes its memory in a place of its own, and mimalloc asks for huge pages, so that a few bytes of a thread
//! are 2 MB, which the system clears first. A server uses them again and again: warm, over hot copies, TPC-H at scale 1 takes
//! 11.0 s of CPU with huge pages, 11.5 without. What runs a few statements and ends does not: TPC-H once takes 4.4 s and
//! 3.7, MERGE of 1 % of `lineitem` 1.39 and 1.05, and 394 MB and 295. So only a server has them.

#![expect(unsafe_code, reason = "the allocator and the system are asked in C")]

#[cfg(target_os = "linux")]
use std::env;
use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds for which free memory stays.
const KEPT_MILLIS: c_long = 10_000;
/// The allocator's own variable: it asks for huge pages at 1, and turns them off at 0.
#[cfg(target_os = "linux")]
const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";

/// To be called before other threads start. Who sets `MIMALLOC_PURGE_DELAY` is heard.
pub fn keep() {
    // SAFETY: the function takes two numbers; one that is no option is ignored. No other thread reads options yet.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MILLIS) }
}

/// From now on the system gives the process no huge pages; where it cannot be asked, it gives them as it likes. Who sets
/// `MIMALLOC_ALLOW_THP` is heard.
pub fn take_small_pages() {
    #[cfg(target_os = "linux")]
    if env::var_os(HUGE_PAGES).is_none() {
        const YES: libc::c_ulong = 1;
        const UNUSED: libc::c_ulong = 0;
        // SAFETY: the call takes numbers alone, and changes how memory is given that is not in use yet.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, YES, UNUSED, UNUSED, UNUSED) };
    }
}

/// Gives back all memory that is free. Takes some milliseconds a gigabyte; any thread may call it, at any time.
pub fn release() {
    // SAFETY: it takes no pointers, and locks what it looks at.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: the function takes and returns a number.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1_000, "the allocator's own default");
        keep();
        assert_eq!(delay(), KEPT_MILLIS);
        release();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_takes_small_pages_has_no_huge_ones() {
        take_small_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let told = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        assert_eq!(told.map(str::trim), Some("0"), "{status}");
    }
}
