//! A file put together from the columns of its row groups.

use std::sync::Arc;

use datafusion::{
    catalog::Session,
    common::{Result, exec_datafusion_err, internal_err, runtime::SpawnedTask},
    error::DataFusionError,
};
use futures::StreamExt;
use object_store::{ObjectStore, path::Path};
use parquet::{
    file::{metadata::ParquetMetaData, properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::SchemaDescriptor,
};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    column::{GroupRows, piece},
    columns::{Columns, columns, notes},
    patches::Patches,
    stats,
};
use crate::{
    Snapshot, StorageError,
    table::RawFile,
    write::{conform::query_error, data::FileLayout, output::Output, parquet::properties_of},
};

/// What becomes of the rows of one file.
#[derive(Debug, Clone)]
pub(in crate::write) struct FileChange {
    /// Its position in the index.
    pub(in crate::write) file: usize,
    /// Rows that go, besides those that are hidden already.
    pub(in crate::write) gone: RoaringBitmap,
    pub(in crate::write) patches: Option<Arc<Patches>>,
}

/// A file that takes the place of another one.
#[derive(Debug, Clone)]
pub(in crate::write) struct Rewritten {
    /// The position in the index of the file before.
    pub(in crate::write) file: usize,
    /// Its path in the table's folder, and as the log has it.
    pub(in crate::write) path: Path,
    pub(in crate::write) url: String,
    pub(in crate::write) size: u64,
    pub(in crate::write) stats: String,
}

/// Writes the file anew into `store`, the table's folder. `None`, and nothing is written, for a file of which no row is
/// left or that cannot be written so. `threads` is how many columns are worked on at once.
pub(in crate::write) async fn rewrite(
    table: &Arc<Snapshot>,
    change: FileChange,
    store: Arc<dyn ObjectStore>,
    session: &dyn Session,
    threads: usize,
) -> Result<Option<Rewritten>, StorageError> {
    let source = table.raw_file(session, change.file).await?;
    let layout = FileLayout::of_table(table);
    let gone = &change.gone | &source.hidden;
    let patched = change.patches.as_ref().map(|patches| patches.columns()).unwrap_or_default();
    let Some(columns) = columns(table, &layout, &source.footer, patched, !gone.is_empty()) else { return Ok(None) };
    let (path, url) = place(table.files()?.path(change.file));
    let file = change.file;
    let work = Work { source: Arc::new(source), columns, gone, change, threads: threads.max(1) };
    let mut out = Output::at(store, path.clone());
    match work.run(&mut out).await {
        Ok(metadata) => {
            let size = out.size();
            out.finish().await?;
            let stats = stats::statistics(&metadata, layout.counted());
            Ok(Some(Rewritten { file, path, url, size, stats }))
        }
        Err(error) => {
            out.abort().await;
            Err(query_error(table.name(), error))
        }
    }
}

/// A new file beside the old one. One in another folder (of a table that was cloned) comes into the table's own.
fn place(old: &str) -> (Path, String) {
    let name = format!("part-00000-{}-c000.snappy.parquet", Uuid::new_v4());
    let folder = match old.rsplit_once('/') {
        Some((folder, _)) if !old.starts_with('/') && !old.contains("://") && !old.contains(":/") => folder,
        _ => "",
    };
    let url = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
    match Path::from_url_path(&url) {
        Ok(path) => (path, url),
        Err(_) => (Path::from(name.clone()), name),
    }
}

struct Work {
    source: Arc<RawFile>,
    columns: Columns,
    /// All rows that do not come into the new file.
    gone: RoaringBitmap,
    change: FileChange,
    threads: usize,
}

impl Work {
    async fn run(&self, out: &mut Output) -> Result<ParquetMetaData> {
        let leaves = SchemaDescriptor::new(self.columns.schema.clone());
        let properties: Arc<WriterProperties> = Arc::new(properties_of(&leaves).build());
        let mut writer = SerializedFileWriter::new(out.blocks(), self.columns.schema.clone(), properties.clone())?;
        let groups = self.source.footer.metadata().row_groups();
        let (mut first, mut kept) = (0u32, 0);
        for (group, metadata) in groups.iter().enumerate() {
            let count = u32::try_from(metadata.num_rows()).ok().and_then(|rows| first.checked_add(rows));
            let rows = first..count.ok_or_else(|| exec_datafusion_err!("a file with too many rows"))?;
            first = rows.end;
            if self.gone.range_cardinality(rows.clone()) == rows.len() as u64 {
                continue;
            }
            let patches = match &self.change.patches {
                Some(patches) => patches.among(self.change.file, rows.clone()).await?,
                None => Default::default(),
            };
            let rows = Arc::new(GroupRows::new(group, rows, &self.gone, patches));
            kept += rows.kept();
            let (source, properties) = (self.source.clone(), properties.clone());
            let work = self.columns.columns.clone().into_iter().map(move |column| {
                let piece = piece(source.clone(), column, rows.clone(), properties.clone());
                SpawnedTask::spawn(piece).join_unwind()
            });
            // As many at once as there are threads: each holds one encoded column.
            let mut pieces = futures::stream::iter(work).buffered(self.threads);
            let mut writer = writer.next_row_group()?;
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| DataFusionError::External(Box::new(error)))??;
                piece.append(&mut writer)?;
                out.send().await.map_err(external)?;
            }
            writer.close()?;
        }
        for note in notes(&self.source.footer) {
            writer.append_key_value_metadata(note);
        }
        let metadata = writer.close()?;
        out.send().await.map_err(external)?;
        if metadata.file_metadata().num_rows() != kept as i64 {
            return internal_err!("{} rows were written of {kept}", metadata.file_metadata().num_rows());
        }
        Ok(metadata)
    }
}

fn external(error: StorageError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
