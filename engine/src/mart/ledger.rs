//! Which intervals of a mart are done, and what is left for a run.
//!
//! It stands in the commits that hold the rows, as an application transaction, of which Delta keeps the last number. Done are
//! all intervals from one to another: a commit adds one that lies next to them, or does one of them again. So one number says
//! it all, whichever commits other processes made, or did not make, before.

use super::interval::{Grain, Interval, Intervals};

/// The program under whose name a mart's commits tell which intervals are done.
pub(super) const DONE: &str = "boathouse-mart-intervals";
/// The program under whose name they tell for which inputs those of the lookback are done.
pub(super) const SEEN: &str = "boathouse-mart-intervals-inputs";
/// Nothing is done.
pub(super) const NOTHING: i64 = 0;

/// Two numbers of intervals and a grain are one number.
const BITS: u32 = 30;
const MASK: i64 = (1 << BITS) - 1;

/// The intervals from `start` to before `end` are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ledger {
    grain: Grain,
    pub start: i64,
    pub end: i64,
}

impl Ledger {
    /// What a commit says of it, for a definition. Nothing when it speaks of other intervals: of another length, or of some
    /// that lie before those of the definition.
    pub fn of(said: Option<i64>, intervals: &Intervals) -> Self {
        let nothing = Self { grain: intervals.grain, start: intervals.start, end: intervals.start };
        let Some(said) = said.filter(|said| *said > NOTHING) else { return nothing };
        let (grain, start, end) = (said >> (2 * BITS), (said >> BITS) & MASK, said & MASK);
        let same = Grain::ALL.get(usize::try_from(grain).unwrap_or(usize::MAX)).map(|(_, grain)| *grain);
        match same == Some(intervals.grain) && start < end && intervals.start <= end {
            true => Self { grain: intervals.grain, start, end },
            false => nothing,
        }
    }

    /// As a commit says it.
    pub fn number(self) -> i64 {
        let grain = Grain::ALL.iter().position(|(_, grain)| *grain == self.grain).unwrap_or_default();
        match self.start < self.end {
            true => (grain as i64) << (2 * BITS) | self.start << BITS | self.end,
            false => NOTHING,
        }
    }

    /// The same when an interval is done, too; `None` when it lies apart.
    pub fn with(self, interval: &Interval) -> Option<Self> {
        let near = interval.begin <= self.end && interval.end >= self.start;
        near.then(|| Self { start: self.start.min(interval.begin), end: self.end.max(interval.end), ..self })
    }

    /// Whether an interval is not done, and others are.
    pub fn is_news(self, interval: &Interval) -> bool {
        self.start < self.end && (interval.begin >= self.end || interval.end <= self.start)
    }

    /// Intervals that are done and run again: those of the lookback.
    pub fn again(self, intervals: &Intervals) -> Vec<Interval> {
        let first = (self.end - i64::from(intervals.lookback)).max(self.start).max(intervals.start);
        intervals.each(first..self.end).collect()
    }

    /// Intervals that are over at a time and not done. Those before the ones that are done, where the definition begins
    /// earlier now, begin with the last, next to these.
    pub fn left(self, intervals: &Intervals, now_ms: i64) -> Vec<Interval> {
        let earlier = intervals.each(intervals.start..self.start.max(intervals.start)).rev();
        earlier.chain(intervals.each(self.end..intervals.current(now_ms))).collect()
    }

    /// Those that are done and have time in common with a stretch of it.
    pub fn done_within(self, intervals: &Intervals, from_ms: i64, to_ms: i64) -> Vec<Interval> {
        intervals
            .each(self.start.max(intervals.start)..self.end)
            .filter(|interval| interval.overlaps(from_ms, to_ms))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(start: i64, lookback: u32) -> Intervals {
        Intervals { line: 1, column: "t".into(), grain: Grain::Day, lookback, start }
    }

    fn numbers(intervals: Vec<Interval>) -> Vec<i64> {
        intervals.iter().map(|interval| interval.begin).collect()
    }

    const DAY_MS: i64 = 24 * 3_600_000;

    #[test]
    fn a_number_says_what_is_done() {
        let spec = days(10, 0);
        let mut ledger = Ledger::of(None, &spec);
        assert_eq!((ledger.start, ledger.end, ledger.number()), (10, 10, NOTHING));
        for interval in spec.each(10..14) {
            ledger = ledger.with(&interval).unwrap();
            assert_eq!(Ledger::of(Some(ledger.number()), &spec), ledger);
        }
        assert_eq!((ledger.start, ledger.end), (10, 14));
        // One of them again, and one apart.
        assert_eq!(ledger.with(&spec.each(11..12).next().unwrap()), Some(ledger));
        assert_eq!(ledger.with(&spec.each(15..16).next().unwrap()), None);
        let far = Ledger { grain: Grain::Month, start: MASK - 1, end: MASK };
        let months = Intervals { grain: Grain::Month, ..days(0, 0) };
        assert_eq!(Ledger::of(Some(far.number()), &months), far);
        // Intervals of another length are others.
        assert_eq!(Ledger::of(Some(ledger.number()), &months).number(), NOTHING);
    }

    #[test]
    fn what_is_left_is_what_is_over_and_not_done() {
        let spec = days(10, 2);
        let none = Ledger::of(None, &spec);
        assert_eq!(numbers(none.left(&spec, 13 * DAY_MS)), [10, 11, 12]);
        assert_eq!(numbers(none.left(&spec, 13 * DAY_MS - 1)), [10, 11]);
        assert!(none.left(&spec, 5 * DAY_MS).is_empty() && none.again(&spec).is_empty());
        let done = Ledger { grain: Grain::Day, start: 10, end: 13 };
        assert_eq!(numbers(done.left(&spec, 14 * DAY_MS)), [13]);
        assert!(done.left(&spec, 12 * DAY_MS).is_empty());
        assert_eq!(numbers(done.again(&spec)), [11, 12]);
        assert_eq!(numbers(done.again(&days(10, 99))), [10, 11, 12]);
        assert_eq!(numbers(done.done_within(&spec, 11 * DAY_MS, 12 * DAY_MS)), [11]);
        // It begins earlier, it begins later, and it begins behind all that is done.
        let early = days(8, 99);
        assert_eq!(numbers(done.left(&early, 14 * DAY_MS)), [9, 8, 13]);
        assert_eq!(numbers(done.again(&days(12, 99))), [12]);
        let late = days(14, 0);
        assert_eq!(Ledger::of(Some(done.number()), &late), Ledger::of(None, &late));
    }

    #[test]
    fn whatever_ends_between_two_commits_nothing_is_forgotten() {
        let spec = days(8, 0);
        let mut ledger = Ledger { grain: Grain::Day, start: 10, end: 12 };
        let mut done: Vec<i64> = vec![10, 11];
        // Each run ends behind its first commit.
        for now in 13..20 {
            let Some(next) = ledger.left(&spec, now * DAY_MS).into_iter().next() else { continue };
            ledger = ledger.with(&next).unwrap();
            done.push(next.begin);
        }
        done.sort_unstable();
        assert_eq!(done, (ledger.start..ledger.end).collect::<Vec<_>>());
        assert_eq!(done.first(), Some(&8));
    }
}
