//! Room on the disk of the copies, which belongs to others as well.

use std::{io, path::Path};

use rustix::fs::statvfs;

/// Copies leave one part in so many of the disk free, or so many bytes when that is less.
const FREE_PARTS: u64 = 20;
const FREE_BYTES: u64 = 2 << 30;

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// Asks the disk on which a folder lies.
pub(crate) type AskDisk = fn(&Path) -> io::Result<Disk>;

impl Disk {
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let found = statvfs(folder)?;
        Ok(Self {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// May a copy of about so many bytes be made?
    pub(super) fn has_room_for(self, bytes: u64) -> bool {
        self.free.saturating_sub(bytes) >= (self.total / FREE_PARTS).min(FREE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_stays_free_of_a_small_disk_and_two_gigabytes_of_a_large_one() {
        let disk = Disk { free: 60, total: 1000 };
        assert!(disk.has_room_for(10) && !disk.has_room_for(11) && !disk.has_room_for(u64::MAX));
        let disk = Disk { free: 3 << 30, total: 1 << 40 };
        assert!(disk.has_room_for(1 << 30) && !disk.has_room_for((1 << 30) + 1));
        let real = Disk::of(&std::env::temp_dir()).unwrap();
        assert!(real.total > 0 && real.free <= real.total);
    }
}
