//! The near tiers by name, and what came into them or went.

/// A place near by in which parts of the lake are kept a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Vortex copies of data files on local disk.
    Hot,
    /// Blocks of data files of a far store, on local disk and in memory.
    Warm,
}

impl Tier {
    /// `hot`, `warm`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
        }
    }
}

/// What of the files that were asked for is in one tier now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    pub tier: Tier,
    /// Files that are there, with all that was asked of them.
    pub files: u64,
    /// What they take there.
    pub bytes: u64,
    /// Files that are not, or not with all: others have the room, or the tier cannot hold them.
    pub files_left: u64,
    /// What of them is missing, in bytes of the lake.
    pub bytes_left: u64,
    /// Those among them that could not be made ready, by their paths, and why.
    pub failed: Vec<(String, String)>,
}

impl Brought {
    /// Nothing yet.
    pub(crate) fn none(tier: Tier) -> Self {
        Self { tier, files: 0, bytes: 0, files_left: 0, bytes_left: 0, failed: Vec::new() }
    }
}

/// What one tier had of a table, and gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    pub tier: Tier,
    pub files: u64,
    pub bytes: u64,
    /// What of them the disk gets back later only: when others are written over them, or when nobody reads them any more.
    pub bytes_later: u64,
}
