//! ALTER TABLE ... RENAME TO: another name for the folder in which a table lies.
//!
//! ```text
//! 1. the catalog document claims the new name        nobody's name has changed yet
//! 2. the new name is looked at: nothing has it       a CREATE that is under way sees the claim when it is done, as does
//! 3. the document gives the name to the folder       whoever sees the new table, and takes it back: then 3 does not happen
//! ```
//! No file is moved, so it is the same on a folder and on a bucket, and what others read or write meanwhile goes on. A CREATE
//! that is done after 3 has lost: its table is dropped. A crash
//! leaves the table under one of its names; a claim that it leaves harms nobody: the next CREATE or rename takes it over.

use uuid::Uuid;

use crate::{
    Lake, StorageError,
    catalog::{CatalogDocument, backoff},
    lake::check_name,
};

/// How often it starts over because another statement took the claim.
const ATTEMPTS_MAX: usize = 20;

/// Gives a table, or an external one, another name in its schema. `TableExists` when something has it already.
pub async fn rename_table(lake: &Lake, schema: &str, from: &str, to: &str) -> Result<(), StorageError> {
    check_name("table", to)?;
    for attempt in 0..ATTEMPTS_MAX {
        match rename(lake, schema, from, to).await {
            Err(StorageError::CatalogConflict { .. }) => tokio::time::sleep(backoff(attempt)).await,
            renamed => return renamed,
        }
    }
    Err(StorageError::CatalogConflict { name: schema.to_owned(), attempts: ATTEMPTS_MAX })
}

/// `CatalogConflict` when another statement took the claim.
async fn rename(lake: &Lake, schema: &str, from: &str, to: &str) -> Result<(), StorageError> {
    let missing = || StorageError::TableNotFound { table: format!("{schema}.{from}") };
    let taken = || StorageError::TableExists { table: format!("{schema}.{to}") };
    let id = match lake.catalog(schema).await?.external_tables.contains_key(from) {
        true => None,
        false => Some(lake.table(schema, from).await?.id().to_owned()),
    };
    let token = Uuid::new_v4().to_string();
    let claim = |document: &mut CatalogDocument| {
        if document.has_entry(to) {
            return Err(taken());
        }
        document.claims.insert(to.to_owned(), token.clone());
        Ok(())
    };
    lake.change_catalog(schema, &claim).await?;
    match lake.table(schema, to).await {
        Err(StorageError::TableNotFound { .. }) => {}
        found => {
            let release = |document: &mut CatalogDocument| {
                document.claims.retain(|_, by| *by != token);
                Ok(())
            };
            lake.change_document(schema, release).await?;
            return Err(found.err().unwrap_or_else(taken));
        }
    }
    let give = |document: &mut CatalogDocument| {
        if document.claims.get(to) != Some(&token) {
            return Err(StorageError::CatalogConflict { name: schema.to_owned(), attempts: 1 });
        }
        document.claims.remove(to);
        if document.has_entry(to) {
            return Err(taken());
        }
        let given = match &id {
            Some(id) => give_folder(document, from, to, id),
            None => {
                let table = document.external_tables.remove(from);
                table.map(|table| drop(document.external_tables.insert(to.to_owned(), table)))
            }
        };
        given.ok_or_else(missing)
    };
    lake.change_catalog(schema, &give).await.map(drop)
}

/// Nothing when the table with this id was dropped meanwhile.
fn give_folder(document: &mut CatalogDocument, from: &str, to: &str, id: &str) -> Option<()> {
    let folder = document.folder_of(from)?.to_owned();
    if document.dropped_tables.get(&folder).is_some_and(|ids| ids.iter().any(|dropped| dropped == id)) {
        return None;
    }
    document.renamed.remove(from);
    document.renamed.remove(to);
    if folder != to {
        document.renamed.insert(to.to_owned(), folder);
    }
    Some(())
}
