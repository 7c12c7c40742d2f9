//! Tiers: where the files of a table lie by their age, what that costs, and the move of what is old to where it is cheap.
//!
//! ```text
//! policy of a table (storage: `TierPolicy`) --> old files of each partition --cool.rs, one at a time--> commits
//!                                                                           --status.rs-----------> system.tiers, plans
//! ```

mod cool;
mod price;
mod status;

pub use boathouse_storage::maintain::{PartitionTiers, TierPolicy, TierSize};
pub(crate) use cool::cool_table;
pub use cool::{Cooled, TierRun};
pub use price::{LOCAL_CLASS, MoveCost, Prices, STANDARD_CLASS};
pub use status::TableTiers;
pub(crate) use status::now_ms;
