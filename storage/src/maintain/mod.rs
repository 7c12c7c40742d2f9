//! What looks after tables: rows in few large files, old ones where it is cheap, no files that nobody needs, a short log, old versions that come back.

mod begun;
mod checkpoint;
mod optimize;
mod pace;
mod restore;
mod rewrite;
mod staged;
mod tier;
mod vacuum;
mod zorder;

pub use begun::{begun, clear_begun};
pub(crate) use checkpoint::committed;
pub use checkpoint::{checkpoint_due, write_checkpoint};
pub use optimize::{Optimize, Optimized, optimize};
pub use pace::Pace;
pub use restore::restore;
pub(crate) use restore::{brought_back, check_there, vector_of};
pub use staged::clear_staged;
pub(crate) use tier::young_files;
pub use tier::{Partition, PartitionTiers, TierPolicy, TierSize, cool, tiers_of};
pub use vacuum::{RETENTION_HOURS_MIN, Vacuum, Vacuumed, vacuum};

pub use crate::lake::Begun;
