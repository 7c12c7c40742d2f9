//! Where warm blocks are kept, and how many.

use std::path::PathBuf;

use crate::hot::user_cache_folder;

/// Where blocks are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmOptions {
    /// A folder on local disk, of one lake. One process uses it at a time; others keep blocks in memory alone.
    pub folder: PathBuf,
    /// What the folder may weigh. 0 keeps nothing, in memory neither.
    pub bytes_max: u64,
    /// What blocks in memory may weigh.
    pub memory_bytes_max: u64,
}

impl WarmOptions {
    /// A folder of this lake's own where the user's programs keep what can be made again; `None` when there is no such
    /// place.
    pub fn in_user_cache(lake: &str, bytes_max: u64, memory_bytes_max: u64) -> Option<Self> {
        Some(Self { folder: user_cache_folder("warm", lake)?, bytes_max, memory_bytes_max })
    }
}
