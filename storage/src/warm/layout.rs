//! Which blocks of a file a range of bytes needs.
//!
//! Blocks are of one size, counted from the beginning. The end of a file is a block of its own besides: footers and
//! indexes of pages lie there, which are read far more often than the rows before them and must not cost a whole block.

use std::ops::Range;

/// With the key and its header it fills a MiB on disk.
pub(super) const BLOCK_BYTES: u64 = (1 << 20) - (4 << 10);
/// A footer of a file with some hundred columns and row groups, with its indexes of pages.
pub(super) const TAIL_BYTES: u64 = 128 << 10;
/// One request fetches neighbours of so many bytes at most.
const RUN_BYTES_MAX: u64 = 8 << 20;
/// The number of the block at the end of a file.
pub(super) const TAIL: u32 = u32::MAX;

/// A file cut into blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub size: u64,
    pub block: u64,
    pub tail: u64,
}

impl Layout {
    pub fn of(size: u64) -> Self {
        Self { size, block: BLOCK_BYTES, tail: TAIL_BYTES }
    }

    /// Where a block lies in the file.
    pub fn span(&self, number: u32) -> Range<u64> {
        match number {
            TAIL => self.size.saturating_sub(self.tail)..self.size,
            _ => {
                let start = u64::from(number) * self.block;
                start.min(self.size)..(start + self.block).min(self.size)
            }
        }
    }

    /// The blocks that hold a range which is not empty and lies in the file: the tail alone, or neighbours.
    pub fn blocks(&self, range: &Range<u64>) -> Vec<u32> {
        if self.size > self.tail && range.start >= self.span(TAIL).start {
            return vec![TAIL];
        }
        // The numbers stay below that of the tail for files of up to four petabytes.
        let number = |offset: u64| u32::try_from(offset / self.block).unwrap_or(TAIL - 1);
        (number(range.start)..=number(range.end - 1)).collect()
    }

    /// All blocks of the file, the tail last.
    pub fn all(&self) -> impl Iterator<Item = u32> + use<> {
        let blocks = u32::try_from(self.size.div_ceil(self.block)).unwrap_or(TAIL - 1);
        (0..blocks).chain((self.size > self.tail).then_some(TAIL))
    }

    /// Blocks, sorted, as runs of neighbours that one request fetches.
    pub fn runs(&self, blocks: &[u32]) -> Vec<Vec<u32>> {
        let mut runs: Vec<Vec<u32>> = Vec::new();
        for number in blocks {
            match runs.last_mut() {
                Some(run)
                    if run.last().is_some_and(|last| last + 1 == *number && *number != TAIL)
                        && (run.len() as u64 + 1) * self.block <= RUN_BYTES_MAX =>
                {
                    run.push(*number);
                }
                _ => runs.push(vec![*number]),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_get_their_blocks_and_neighbours_one_request() {
        let layout = Layout { size: 1050, block: 100, tail: 80 };
        assert_eq!((layout.span(0), layout.span(10), layout.span(TAIL)), (0..100, 1000..1050, 970..1050));
        for (range, blocks) in [
            (0..1, vec![0]),
            (99..101, vec![0, 1]),
            (100..300, vec![1, 2]),
            (969..1050, vec![9, 10]),
            (970..971, vec![TAIL]),
            (1049..1050, vec![TAIL]),
        ] {
            assert_eq!(layout.blocks(&range), blocks, "{range:?}");
        }
        assert_eq!(layout.all().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, TAIL]);
        assert_eq!(Layout { size: 80, ..layout }.all().collect::<Vec<_>>(), [0]);
        assert_eq!(Layout { size: 0, ..layout }.all().count(), 0);
        // A file that is no longer than its tail is one block.
        assert_eq!(Layout { size: 80, ..layout }.blocks(&(0..80)), [0]);
        assert_eq!(layout.runs(&[1, 2, 4, 5, 6, TAIL]), [vec![1, 2], vec![4, 5, 6], vec![TAIL]]);
        let wide = Layout { block: RUN_BYTES_MAX / 2, ..layout };
        assert_eq!(wide.runs(&[1, 2, 3]), [vec![1, 2], vec![3]]);
    }
}
