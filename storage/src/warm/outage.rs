//! How long a disk that took nothing is left alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Between the first try and the next; each that fails makes it twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(1800);

/// Tells what time it is.
pub(super) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A time in which the disk is left alone.
#[derive(Debug)]
pub(super) struct Outage {
    next: Instant,
    pause: Duration,
}

impl Outage {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now + PAUSE_MIN, pause: PAUSE_MIN }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// How long it is until the next try.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Whether a try may begin now; the next one may not for a longer time, should this one fail or never end.
    pub(super) fn begin_try(&mut self, now: Instant) -> bool {
        if !self.is_due(now) {
            return false;
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.next = now + self.pause;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_further_and_further_apart_but_never_end() {
        let begin = Instant::now();
        let mut outage = Outage::new(begin);
        let mut tries = Vec::new();
        for second in 0..4 * 3600 {
            if outage.begin_try(begin + Duration::from_secs(second)) {
                tries.push(second);
            }
        }
        assert_eq!(tries, [60, 180, 420, 900, 1860, 3660, 5460, 7260, 9060, 10860, 12660]);
        assert_eq!(outage.wait(begin + Duration::from_secs(12661)), Duration::from_secs(1799));
    }
}
