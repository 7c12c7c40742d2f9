//! Files that writers on a folder did not finish, outside of tables: in the folders of the system, of schemas, and of
//! tables that are not there yet. Those of a table are VACUUM's to look at.

use std::time::Duration;

use chrono::Utc;

use super::vacuum::{RETENTION_HOURS_MIN, Vacuumed};
use crate::{
    Lake, StorageError,
    store::{delete_staged, old_staged},
};

/// Deletes them, and says which. What is younger than `retention` stays; `None` is the shortest one that VACUUM takes.
pub async fn clear_staged(lake: &Lake, retention: Option<Duration>) -> Result<Vacuumed, StorageError> {
    let cutoff = Utc::now() - retention.unwrap_or(Duration::from_secs(RETENTION_HOURS_MIN * 3600));
    let staged = old_staged(lake.url(), cutoff).await?;
    delete_staged(lake.url(), &staged).await?;
    Ok(Vacuumed::default().with(&staged))
}
