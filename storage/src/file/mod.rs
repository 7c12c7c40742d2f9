//! Files that people name by path, beside the tables: `FROM 'path/*.parquet'`, COPY, external tables.
//!
//! [`Location`] is where they are, perhaps with wildcards; [`list`] finds them, [`read`] streams one, [`Upload`] writes one
//! so that nobody sees half of it. Whether a person may name a path is the engine's to decide: it looks at
//! [`Location::url`] and [`File::url`], in which links and `..` of local paths are resolved.

mod list;
mod location;
mod upload;

#[cfg(test)]
mod tests;

pub use list::{File, list, read};
pub use location::Location;
pub use upload::{Upload, delete_folder, is_empty, rename, take_back};
