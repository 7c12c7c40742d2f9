//! Another place that is reached as this lake is: where its rows are delivered to.

use std::sync::Arc;

use parking_lot::Mutex;
use url::Url;

use super::{Lake, io_error, open_error};
use crate::{
    StorageError,
    catalog::Documents,
    near::Follower,
    store::folder_url,
    table::{FooterCache, Snapshots},
};

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
        let stores = self.stores.clone();
        let follower = Follower::new(None, None, stores.clone());
        let near = (None, None, follower.clone());
        Ok(Self {
            snapshots: Arc::new(Snapshots::new(root.clone(), stores.clone(), near)),
            follower,
            groups: Arc::default(),
            background: Arc::default(),
            commits: Arc::default(),
            hot: None,
            warm: None,
            documents: Documents::new(&root, &stores)?,
            users: Documents::new(&root, &stores)?,
            marts: Documents::new(&root, &stores)?,
            exports: Documents::new(&root, &stores)?,
            footers: FooterCache::new(FOOTER_BYTES_MAX),
            root,
            stores,
            locks: Mutex::default(),
        })
    }
}
