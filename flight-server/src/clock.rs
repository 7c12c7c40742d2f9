//! The time by which things expire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// The time of a server: that of the system, or for tests one that stands still until it is moved. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    stopped: Option<(Instant, SystemTime)>,
    ahead_ms: Arc<AtomicU64>,
}

impl Clock {
    /// One that stands still.
    pub fn stopped() -> Self {
        Self { stopped: Some((Instant::now(), SystemTime::now())), ahead_ms: Arc::default() }
    }

    pub fn now(&self) -> Instant {
        self.stopped.map_or_else(Instant::now, |(now, _)| now) + self.ahead()
    }

    /// As people tell it.
    pub fn date(&self) -> SystemTime {
        self.stopped.map_or_else(SystemTime::now, |(_, date)| date) + self.ahead()
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
