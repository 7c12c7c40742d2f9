//! How long memory that queries gave back stays with the process.
//!
//! The binary takes its memory from mimalloc, which gives back to the system what was free for a second. A server that
//! answers one query after the other then has most of its memory cleared and handed out anew by the system again and
//! again: TPC-H at scale 1 over hot copies takes 1.13 of the time so that it takes when memory is kept
//! (`benches/compare tpch`, with `MIMALLOC_PURGE_DELAY=-1` for the second). So it is kept for longer, and given back at once
//! when queries are short of it.

#![expect(unsafe_code, reason = "the options of the allocator are functions of C")]

use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds for which free memory stays.
const KEPT_MILLIS: c_long = 10_000;

/// To be called before other threads start. Who sets `MIMALLOC_PURGE_DELAY` is heard.
pub fn keep() {
    // SAFETY: the function takes two numbers; one that is no option is ignored. No other thread reads options yet.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MILLIS) }
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
}
