//! `manifest.json`: which files are the rows of a mart, and which version of it they are.
//!
//! Its `entries` are as Redshift's COPY wants them; who loads with other tools takes `path` from them.

use boathouse_storage::{
    catalog::ExportMark,
    file::{self, Location, Upload},
};
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Delivery,
    files::{Folder, below, delete_folders},
};
use crate::EngineError;

const NAME: &str = "manifest.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub entries: Vec<Entry>,
    pub meta: Sum,
    pub mart: String,
    /// The mart's table: one that was made anew under the same name has another id.
    pub table_id: String,
    pub version: u64,
    pub format: String,
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub url: String,
    /// From the folder of the manifest.
    pub path: String,
    pub mandatory: bool,
    pub meta: EntryMeta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryMeta {
    pub content_length: u64,
    pub record_count: u64,
}

/// Of all files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub content_length: u64,
    pub record_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    pub name: String,
    pub r#type: String,
}

impl Entry {
    pub fn new(url: &Url, path: String, content_length: u64, record_count: u64) -> Self {
        let meta = EntryMeta { content_length, record_count };
        Self { url: url.to_string(), path, mandatory: true, meta }
    }

    fn folder(&self) -> &str {
        self.path.split_once('/').map_or("", |(folder, _)| folder)
    }
}

impl Manifest {
    pub fn of(delivery: &Delivery, format: &str, entries: Vec<Entry>) -> Self {
        let columns = delivery.columns.iter().map(|field| Column {
            name: field.name().clone(),
            r#type: crate::statement::data_type::sql_type(field.data_type()),
        });
        let meta = Sum {
            content_length: entries.iter().map(|entry| entry.meta.content_length).sum(),
            record_count: entries.iter().map(|entry| entry.meta.record_count).sum(),
        };
        Self {
            entries,
            meta,
            mart: delivery.mart.clone(),
            table_id: delivery.mark.table.clone(),
            version: delivery.mark.version,
            format: format.to_owned(),
            columns: columns.collect(),
        }
    }

    pub fn mark(&self) -> ExportMark {
        ExportMark { table: self.table_id.clone(), version: self.version }
    }
}

/// The manifest in a folder, if there is one.
pub(super) async fn read(stores: &dyn ObjectStoreRegistry, place: &Folder) -> Result<Option<Manifest>, EngineError> {
    let location = Location::parse(&format!("{}{NAME}", place.text))?;
    let Some(found) = file::list(stores, &location).await?.into_iter().next() else { return Ok(None) };
    let bytes: Vec<Bytes> = file::read(stores, &found).await?.try_collect().await?;
    let manifest = serde_json::from_slice(&bytes.concat()).map_err(|error| {
        let message = format!("\"{}\" is not a manifest of an export", found.name);
        let hint = "Name another folder with table in the export, or take the file away.";
        EngineError::invalid(message).with_detail(error.to_string()).with_hint(hint)
    })?;
    Ok(Some(manifest))
}

/// Puts it in place of the one that is there.
pub(super) async fn replace(
    stores: &dyn ObjectStoreRegistry,
    place: &Folder,
    manifest: &Manifest,
) -> Result<(), EngineError> {
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|error| EngineError::internal("a manifest has no JSON form").with_source(error))?;
    let mut upload = Upload::new(stores, &below(&place.url, NAME)?)?;
    upload.write(Bytes::from(text)).await?;
    Ok(upload.finish().await?)
}

/// Takes folders away that neither this manifest lists nor the one before, and that are no later version's.
pub(super) async fn clean(
    stores: &dyn ObjectStoreRegistry,
    place: &Folder,
    manifest: &Manifest,
    before: Option<&Manifest>,
) {
    let listed = |folder: &str| {
        let entries = manifest.entries.iter().chain(before.iter().flat_map(|before| &before.entries));
        entries.into_iter().any(|entry| entry.folder() == folder)
    };
    // Of one whose version is the same or later another process may be about to write the manifest.
    let version = |folder: &str| folder.strip_prefix('v')?.split_once('-')?.0.parse::<u64>().ok();
    let is_old = |folder: &str| version(folder).is_some_and(|old| old < manifest.version) && !listed(folder);
    delete_folders(stores, place, is_old).await;
}
