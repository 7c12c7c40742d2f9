//! The cold tier: what a table's policy calls old lies in large, densely written files under a cheaper storage class. The same
//! policy says until which age files are hot.
//!
//! ```text
//! properties --policy--> which files are old --plan--> partitions --cool, one at a time--> commits that change no row
//! ```

mod cool;
mod plan;
mod policy;

pub use cool::cool;
pub(crate) use plan::young_files;
pub use plan::{Partition, PartitionTiers, TierSize, tiers_of};
pub use policy::TierPolicy;
