//! What all of these tests do: a table is written, opened, read.

use std::{path::Path, sync::Arc};

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use datafusion::{physical_plan::collect, prelude::SessionContext};
use deltalake::{DeltaTable, protocol::SaveMode};
use url::Url;

use super::super::{ScanReport, Snapshot, library::Library, originals, scan_reports, table_store};
use crate::{
    HotOptions, StorageOptions,
    hot::{Disk, HotCopies},
    log,
    store::Stores,
};

/// Appends `batches` as one commit; makes the table when it is not there.
pub(super) async fn append(folder: &Path, batches: Vec<RecordBatch>, partition_columns: &[&str]) {
    std::fs::create_dir_all(folder).unwrap();
    let table = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
    table
        .write(batches)
        .with_save_mode(SaveMode::Append)
        .with_schema_mode(deltalake::operations::write::SchemaMode::Merge)
        .with_partition_columns(partition_columns.iter().copied())
        .await
        .unwrap();
}

pub(super) async fn open(folder: &Path) -> Arc<Snapshot> {
    Arc::new(load(folder).await)
}

pub(super) async fn load(folder: &Path) -> Snapshot {
    let url = Url::from_directory_path(folder).unwrap();
    let stores = Arc::new(Stores::new(StorageOptions::default(), None));
    let log = log::load(&table_store(&stores, &url).unwrap(), None).await.unwrap();
    let library = Library::new("main.t".into(), url.clone(), stores);
    Snapshot::new("main.t".into(), url, log, Arc::new(library))
}

pub(super) fn hot_copies(folder: &Path, bytes_max: u64) -> Arc<HotCopies> {
    let ample = |_: &Path| Ok(Disk { free: 1 << 50, total: 1 << 50 });
    HotCopies::open_on(&HotOptions { folder: folder.to_owned(), bytes_max }, ample).unwrap()
}

/// The table once more, as `hot`: its files may have copies in `hot`.
pub(super) async fn register_hot(context: &SessionContext, folder: &Path, hot: &Arc<HotCopies>) -> Arc<Snapshot> {
    let snapshot = Arc::new(load(folder).await.with_hot(Some(hot.clone())));
    context.deregister_table("hot").unwrap();
    context.register_table("hot", snapshot.provider().unwrap()).unwrap();
    snapshot
}

/// The table once more, as `hot`: every file is read from a copy, which lies in `copies`.
pub(super) async fn add_hot(context: &SessionContext, folder: &Path, copies: &Path) -> Arc<HotCopies> {
    let hot = hot_copies(copies, 1 << 30);
    let snapshot = register_hot(context, folder, &hot).await;
    let originals = originals(&snapshot, context.runtime_env().object_store_registry.as_ref()).unwrap();
    hot.pin(snapshot.id());
    hot.make_all(originals).await;
    hot
}

/// A session in which the table is called `t`.
pub(super) async fn session(folder: &Path) -> SessionContext {
    let context = SessionContext::new();
    context.register_table("t", open(folder).await.provider().unwrap()).unwrap();
    context
}

pub(super) async fn rows(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// The rows of a query and what its scans did.
pub(super) async fn run(context: &SessionContext, sql: &str) -> (Vec<RecordBatch>, Vec<ScanReport>) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(plan.clone(), context.task_ctx()).await.unwrap();
    (batches, scan_reports(plan.as_ref()))
}
