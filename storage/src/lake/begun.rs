//! Marks of tables that are being made together with their rows.
//!
//! Who dies in the middle of a CREATE TABLE AS leaves data files in a folder without a log, where no VACUUM comes. Nothing
//! about them says whose they are: people keep Parquet files in folders of a lake, and of a table that is copied into it the
//! log may come last. So `<lake>/_boathouse/begun/<uuid>.json` stands from before the first file until the commit is in the
//! log. What the dead leave is taken away by [`crate::maintain::clear_begun`].

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Lake, check_name};
use crate::{
    StorageError,
    store::{is_not_found, object_path},
};

const FOLDERS: [&str; 2] = ["_boathouse", "begun"];

/// Where the table is to lie.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    schema: String,
    folder: String,
}

/// A table that was begun and is not known to be made.
#[derive(Debug)]
pub struct Begun {
    pub(crate) mark: Path,
    pub(crate) schema: String,
    pub(crate) folder: String,
    /// By the store's clock, as are the times of files.
    pub(crate) since: DateTime<Utc>,
}

impl Lake {
    /// The place of a new mark.
    pub(crate) fn new_mark(&self) -> Result<(Arc<dyn ObjectStore>, Path), StorageError> {
        Ok((self.stores.get(&self.root)?, self.begun_folder()?.join(format!("{}.json", Uuid::new_v4()))))
    }

    /// Says with a mark that files are about to be written for a table that is not there yet.
    pub(crate) async fn note_begun(&self, mark: &Path, schema: &str, folder: &str) -> Result<(), StorageError> {
        let text = serde_json::to_vec(&Mark { schema: schema.to_owned(), folder: folder.to_owned() });
        let text = text.map_err(|error| StorageError::Internal { message: format!("a mark has no text: {error}") })?;
        match self.stores.get(&self.root)?.put(mark, text.into()).await {
            Ok(_) => Ok(()),
            Err(source) => {
                Err(StorageError::Store { action: "create table", path: format!("{schema}.{folder}"), source })
            }
        }
    }

    /// Takes a mark away. One that stays is taken away by upkeep.
    pub(crate) async fn forget_begun(&self, mark: &Path) {
        let Ok(store) = self.stores.get(&self.root) else { return };
        match store.delete(mark).await {
            Err(error) if !is_not_found(&error) => tracing::debug!(%mark, %error, "a mark of a new table stays"),
            _ => {}
        }
    }

    /// All marks that stand.
    pub(crate) async fn all_begun(&self) -> Result<Vec<Begun>, StorageError> {
        let (store, folder) = (self.stores.get(&self.root)?, self.begun_folder()?);
        let failed = |source| StorageError::Store { action: "read the marks in", path: folder.to_string(), source };
        let listed: Vec<_> = store.list(Some(&folder)).try_collect().await.map_err(failed)?;
        let mut begun = Vec::with_capacity(listed.len());
        for found in listed {
            let text = match store.get(&found.location).await {
                Ok(text) => text.bytes().await.map_err(failed)?,
                // The table was made meanwhile.
                Err(error) if is_not_found(&error) => continue,
                Err(error) => return Err(failed(error)),
            };
            match serde_json::from_slice::<Mark>(&text) {
                Ok(Mark { schema, folder }) => {
                    check_name("schema", &schema)?;
                    check_name("table", &folder)?;
                    begun.push(Begun { mark: found.location, schema, folder, since: found.last_modified });
                }
                Err(error) => tracing::warn!(mark = %found.location, %error, "a mark of a new table is damaged"),
            }
        }
        Ok(begun)
    }

    fn begun_folder(&self) -> Result<Path, StorageError> {
        Ok(FOLDERS.iter().fold(object_path(&self.root)?, |path, folder| path.join(*folder)))
    }
}

/// The place that its files lie in, as a name.
impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.folder)
    }
}
