//! Files in a folder or a bucket, as warehouses load them: each version in a folder of its own, then a manifest that lists them.
//!
//! ```text
//! <url>/<mart>/v00000000000000000012-1f6e9c4a/part-00000.parquet ...
//! <url>/<mart>/manifest.json      replaced in one step when all of them are whole
//! ```
//! The manifest is the ledger: it says which version of the mart the files are. A folder that no manifest came to list is
//! what a process left that ended; it goes when a later version is delivered, as do those of versions before the last but one,
//! which somebody may still load.

use std::sync::Arc;

use async_trait::async_trait;
use boathouse_storage::{
    catalog::ExportMark,
    file::{self, Location, Upload},
};
use bytes::Bytes;
use datafusion::{
    arrow::datatypes::{FieldRef, Schema, SchemaRef},
    execution::object_store::ObjectStoreRegistry,
    parquet::basic::Compression,
};
use futures::StreamExt;
use url::Url;
use uuid::Uuid;

use super::{
    Delivery, Destination, Export, ExportMode, Progress,
    manifest::{self, Entry, Manifest},
};
use crate::{
    EngineError, ErrorKind, RowStream,
    file::{
        csv::Dialect,
        writer::{Encoding, Writer},
    },
    mart::Point,
};

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Fewer bytes are no piece of their own.
const PIECE_BYTES_MIN: usize = 1 << 20;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Parquet,
    /// With a header; NULL is nothing, an empty text is `""`.
    Csv,
}

impl FileFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::Parquet => Encoding::Parquet(Compression::SNAPPY),
            Self::Csv => Encoding::Csv(Dialect::default()),
        }
    }
}

/// A folder or a bucket, with the access that the lake has.
#[derive(Debug)]
pub struct FileExports {
    folder: Location,
    format: FileFormat,
}

impl FileExports {
    /// `url` is a folder (`./exports`, `/data/exports`) or a bucket (`s3://bucket/exports`).
    pub fn new(url: &str, format: FileFormat) -> Result<Self, EngineError> {
        Ok(Self { folder: folder(url)?, format })
    }

    fn place(&self, target: &str) -> Result<Folder, EngineError> {
        checked(target)?;
        // As a path, not as a URL: in a URL a name may also be another place.
        let text = format!("{}/{target}/", self.folder.absolute().trim_end_matches('/'));
        let url = Location::parse(&text)?.folder_url();
        Ok(Folder { text, url })
    }
}

/// The folder of a destination, checked.
pub(super) fn folder(url: &str) -> Result<Location, EngineError> {
    let folder = Location::parse(url)?;
    if folder.has_wildcards() {
        return Err(EngineError::invalid(format!("\"{url}\" is not a folder: it has wildcards")));
    }
    // The place is told in manifests and in errors.
    if !folder.url().username().is_empty() || folder.url().password().is_some() {
        let error = EngineError::invalid("the url has a user or a password in it");
        return Err(error.with_hint("Leave them out: a bucket is reached as [s3] says."));
    }
    Ok(folder)
}

/// Where the files of an export are.
#[derive(Debug)]
pub(super) struct Folder {
    /// As [`Location`] takes it, with a slash at the end.
    pub text: String,
    pub url: Url,
}

/// Refuses what is not the name of a folder in that of the destination.
fn checked(target: &str) -> Result<(), EngineError> {
    let is_name = |part: &str| {
        let is_odd = |letter: char| letter.is_control() || ['*', '?', '[', '%', '\\'].contains(&letter);
        !part.is_empty() && !part.starts_with('.') && !part.contains(is_odd)
    };
    if target.split('/').all(is_name) {
        return Ok(());
    }
    let error = EngineError::invalid(format!("\"{target}\" is not the name of a folder"));
    Err(error.with_hint("Write table = a name, or folders with / between, which lie in that of the destination."))
}

#[async_trait]
impl Destination for FileExports {
    fn kind(&self) -> &'static str {
        "files"
    }

    fn check(&self, export: &Export, columns: &[FieldRef]) -> Result<(), EngineError> {
        if export.mode != ExportMode::Replace {
            let error =
                EngineError::unsupported(format!("files are not exported with mode = \"{}\"", export.mode.word()));
            let hint =
                "Leave it out: a manifest lists the files with all rows; the warehouse merges them or adds them.";
            return Err(error.with_hint(hint));
        }
        export.table.as_deref().map_or(Ok(()), checked)?;
        let schema: SchemaRef = Arc::new(Schema::new(columns.to_vec()));
        Writer::new(&self.format.encoding(), &schema).map(drop)
    }

    async fn last(&self, delivery: &Delivery, _: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        let (lake, place) = (delivery.engine.lake(), self.place(&delivery.target)?);
        if place.url.as_str().starts_with(lake.url().as_str()) {
            return Err(in_the_lake(self.folder.text()));
        }
        let found = manifest::read(lake.stores().as_ref(), &place).await?;
        match found {
            // Another lake's, or another mart's.
            Some(found) if found.mart != delivery.mart => Err(taken(&found, delivery)),
            found => Ok(found.map(|manifest| manifest.mark())),
        }
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let stores = delivery.engine.lake().stores();
        let place = self.place(&delivery.target)?;
        let id = Uuid::new_v4().simple().to_string();
        let folder = format!("v{:020}-{}/", delivery.mark.version, &id[..8]);
        let (on, url, format) = (stores.clone(), below(&place.url, &folder)?, self.format);
        // Encoding is work for the threads of queries.
        let written = async move { write(on.as_ref(), &url, &folder, format, rows).await };
        let entries = delivery.engine.runtime().spawn(written).await??;
        let before = manifest::read(stores.as_ref(), &place).await?;
        if before.as_ref().map(Manifest::mark) != delivery.last {
            return Err(outrun(&delivery.target));
        }
        delivery.pass(Point::RowsBrought);
        let manifest = Manifest::of(delivery, self.format.extension(), entries);
        manifest::replace(stores.as_ref(), &place, &manifest).await?;
        delivery.pass(Point::RowsDelivered);
        manifest::clean(stores.as_ref(), &place, &manifest, before.as_ref()).await;
        delivery.pass(Point::ExportCleaned);
        Ok(manifest.meta.record_count)
    }
}

pub(super) fn in_the_lake(place: &str) -> EngineError {
    let message = format!("\"{place}\" lies in the lake, whose folders are its schemas and tables");
    EngineError::new(ErrorKind::Denied, message).with_hint("Choose a place outside of the lake.")
}

/// What others delivered between the look and the delivery.
pub(super) fn outrun(target: &str) -> EngineError {
    EngineError::new(ErrorKind::Conflict, format!("another process has delivered to \"{target}\" meanwhile"))
}

fn taken(found: &Manifest, delivery: &Delivery) -> EngineError {
    let message = format!("the folder \"{}\" has the rows of mart \"{}\"", delivery.target, found.mart);
    EngineError::new(ErrorKind::AlreadyExists, message).with_hint("Name another one with table in the export.")
}

pub(super) fn below(folder: &Url, name: &str) -> Result<Url, EngineError> {
    folder.join(name).map_err(|error| EngineError::internal("the name of a file cannot be made").with_source(error))
}

/// Writes the files of one version, at least one.
async fn write(
    stores: &dyn ObjectStoreRegistry,
    url: &Url,
    folder: &str,
    format: FileFormat,
    mut rows: RowStream,
) -> Result<Vec<Entry>, EngineError> {
    let schema = rows.schema();
    let mut entries = Vec::new();
    let mut next = rows.next().await.transpose()?;
    loop {
        let name = format!("part-{:05}.{}", entries.len(), format.extension());
        let (place, encoding) = (below(url, &name)?, format.encoding());
        let mut upload = Upload::new(stores, &place)?;
        let mut writer = Writer::new(&encoding, &schema)?;
        let (mut bytes, mut count, mut piece) = (0_u64, 0_u64, Vec::new());
        while let Some(batch) = next.take() {
            count += batch.num_rows() as u64;
            piece.extend(writer.write(&batch)?);
            next = rows.next().await.transpose()?;
            if piece.len() >= PIECE_BYTES_MIN {
                bytes += piece.len() as u64;
                upload.write(Bytes::from(std::mem::take(&mut piece))).await?;
            }
            if bytes >= FILE_BYTES_MAX {
                break;
            }
        }
        piece.extend(writer.finish()?);
        bytes += piece.len() as u64;
        upload.write(Bytes::from(piece)).await?;
        upload.finish().await?;
        entries.push(Entry::new(&place, format!("{folder}{name}"), bytes, count));
        if next.is_none() {
            return Ok(entries);
        }
    }
}

/// Takes the folders away that nobody needs any more, as far as that works.
pub(super) async fn delete_folders(stores: &dyn ObjectStoreRegistry, place: &Folder, is_old: impl Fn(&str) -> bool) {
    let Ok(location) = Location::parse(&format!("{}**/*", place.text)) else { return };
    let Ok(files) = file::list(stores, &location).await else { return };
    let mut folders: Vec<String> = Vec::new();
    for found in files {
        let path = found.url.path().strip_prefix(place.url.path()).unwrap_or_default();
        if let Some((folder, _)) = path.split_once('/')
            && is_old(folder)
            && !folders.iter().any(|known| known == folder)
        {
            folders.push(folder.to_owned());
        }
    }
    for folder in folders {
        if let Ok(url) = below(&place.url, &format!("{folder}/")) {
            file::delete_folder(stores, &url).await;
        }
    }
}
