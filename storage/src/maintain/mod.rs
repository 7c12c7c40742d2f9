//! What keeps tables small and quick: rows in few large files, no files that nobody needs, a short log.

mod checkpoint;
mod optimize;
mod vacuum;
mod zorder;

pub(crate) use checkpoint::committed;
pub use optimize::{Optimize, Optimized, optimize};
pub use vacuum::{RETENTION_HOURS_MIN, Vacuum, Vacuumed, vacuum};
