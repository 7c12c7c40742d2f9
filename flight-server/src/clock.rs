//! The time by which things expire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// The time of a server: that of the system, ahead of it by what a test has said. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicU64>,
}

impl Clock {
    pub fn now(&self) -> Instant {
        Instant::now() + self.ahead()
    }

    /// As people tell it.
    pub fn date(&self) -> SystemTime {
        SystemTime::now() + self.ahead()
    }

    /// Lets time pass at once.
    pub fn advance(&self, time: Duration) {
        self.ahead_ms.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// The same clock, not the same time.
impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ahead_ms, &other.ahead_ms)
    }
}

impl Eq for Clock {}
