//! All statements that have ended, in sums.

use std::{collections::BTreeMap, time::Duration};

use super::{QueryRecord, QueryState};
use crate::ErrorKind;

/// Upper bounds of the counts in [`Durations`], in microseconds; one more is for all that took longer.
const BOUNDS_US: [u64; 14] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    600_000_000,
];

/// How long statements took, as a histogram.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// Statements by time: those of each bound that are above the bound before.
    counts: [u64; BOUNDS_US.len() + 1],
    total: Duration,
}

impl Durations {
    fn add(&mut self, micros: u64) {
        let place = BOUNDS_US.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_US.len());
        self.counts[place] += 1;
        self.total += Duration::from_micros(micros);
    }

    /// Each bound in seconds with the number of statements that took no longer, ascending.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        BOUNDS_US.iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((Duration::from_micros(*bound).as_secs_f64(), *sum))
        })
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn total(&self) -> Duration {
        self.total
    }
}

/// Sums over all statements that have ended since the process began. Maps are by the statement's words (`SELECT`), which are
/// few; `unknown` is a statement that could not be planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryTotals {
    pub ended: BTreeMap<(&'static str, QueryState), u64>,
    pub durations: BTreeMap<&'static str, Durations>,
    pub errors: BTreeMap<ErrorKind, u64>,
    pub queued: Duration,
    pub planning: Duration,
    pub executing: Duration,
    pub rows: u64,
    pub bytes_read: u64,
    /// By the tier that it came from: hot, warm, and a far store with the requests that it got.
    pub bytes_hot: u64,
    pub bytes_warm: u64,
    pub bytes_fetched: u64,
    pub requests: u64,
    pub files_read: u64,
    pub files_skipped: u64,
    /// How often one ran again because another writer came first.
    pub replays: u64,
}

impl QueryTotals {
    pub(super) fn add(&mut self, query: &QueryRecord) {
        let statement = query.statement.unwrap_or("unknown");
        *self.ended.entry((statement, query.state)).or_default() += 1;
        let took = query.queued_us + query.planning_us + query.executing_us;
        self.durations.entry(statement).or_default().add(took);
        if let Some(kind) = query.error_kind {
            *self.errors.entry(kind).or_default() += 1;
        }
        self.queued += Duration::from_micros(query.queued_us);
        self.planning += Duration::from_micros(query.planning_us);
        self.executing += Duration::from_micros(query.executing_us);
        self.rows += query.rows;
        self.bytes_read += query.usage.bytes_read;
        self.bytes_hot += query.usage.bytes_hot;
        self.bytes_warm += query.usage.bytes_warm;
        self.bytes_fetched += query.usage.bytes_fetched;
        self.requests += query.usage.requests;
        self.files_read += query.usage.files_read;
        self.files_skipped += query.usage.files_skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_what_took_no_longer() {
        let mut durations = Durations::default();
        for micros in [1, 1_000, 1_001, 700_000_000] {
            durations.add(micros);
        }
        let cumulative: Vec<_> = durations.cumulative().collect();
        assert_eq!(cumulative[..2], [(0.001, 2), (0.0025, 3)]);
        assert_eq!(cumulative.last(), Some(&(600.0, 3)));
        assert_eq!((durations.count(), durations.total()), (4, Duration::from_micros(700_002_002)));
    }
}
