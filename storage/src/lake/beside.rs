//! Another place that is reached as this lake is: where its rows are delivered to.

use url::Url;

use super::{Lake, io_error, open_error};
use crate::{StorageError, store::folder_url};

/// It is written to, and hardly read.
const FOOTER_BYTES_MAX: u64 = 1 << 20;

impl Lake {
    /// A lake at another place, with the access that this one has and through its stores. A folder is made when it is missing;
    /// nobody is asked whether a bucket is there. It keeps no copies near by.
    pub fn beside(&self, url: &Url) -> Result<Self, StorageError> {
        let root = folder_url(url.as_str())?;
        if let ("file", Ok(path)) = (root.scheme(), root.to_file_path()) {
            std::fs::create_dir_all(&path).map_err(|source| open_error(&root, io_error(&path, source)))?;
        }
        Self::of_parts(root, self.stores.clone(), (None, None), FOOTER_BYTES_MAX)
    }
}
