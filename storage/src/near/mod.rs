//! Files brought near because somebody asked for it, and let go again: what CACHE and UNCACHE do.
//!
//! ```text
//!   a plan's scans ──> WantedFiles ──> bring: hot copies, as far as there is room ──> blocks of the rest, as far as there is
//!   a table        ──────────────────> release: its pin, its copies, its blocks
//!   a new version  ──────────────────> follow: what is pinned of its table, and what of that is missing or gone
//! ```
//!
//! Above the two tiers (`hot`, `warm`), which know nothing of each other. A file that has a copy needs no blocks. Nothing
//! here changes what a query answers.

mod bring;
mod follow;
mod release;
mod tier;
mod usage;
mod wanted;

pub use follow::Followed;
pub(crate) use follow::Follower;
pub use tier::{Brought, Released, Tier};
pub use wanted::WantedFiles;
