//! Folders, buckets and memory behind one `ObjectStore`.
//!
//! A store is opened once per scheme and host, rooted at the bucket or the file system (Delta tables need absolute paths),
//! and kept in [`Stores`], which DataFusion asks for it too. Behaviour is added by wrapping, one wrapper a file.

mod classed;
mod counted;
mod durable;
mod path;
mod s3;
mod staged;
mod stores;

pub(crate) use classed::ClassedStore;
pub use counted::StoreUsage;
pub(crate) use path::{folder_url, is_not_found, object_path};
pub(crate) use staged::{Staged, delete_staged, old_staged};
pub use stores::{StoreLayer, Stores};
