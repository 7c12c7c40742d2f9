//! Where a lake of a test lies, and the few things that every test does with it.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    datatypes::{DataType, Field, Schema},
    util::pretty::pretty_format_batches,
};
use boathouse_storage::{
    Lake, Snapshot, StorageError, StorageOptions,
    store::StoreLayer,
    write::{self, CommitInfo, Committed, NewTable, Rules},
};
use boathouse_tests::{TestS3, store::RequestLog};
use datafusion::{
    execution::{runtime_env::RuntimeEnvBuilder, session_state::SessionStateBuilder},
    prelude::{SessionConfig, SessionContext},
};
use object_store::{ObjectStore, memory::InMemory};
use tempfile::TempDir;

/// Makes a test on each kind of place from `async fn $name(place: Place)`.
#[macro_export]
macro_rules! on_every_place {
    ($($name:ident),+ $(,)?) => {
        mod folder { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::place::Place::folder()).await; })+ }
        mod memory { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::place::Place::memory()).await; })+ }
        mod s3 { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::place::Place::s3()).await; })+ }
    };
}

/// A place for a lake. Opened twice, it is the same lake for two processes.
pub struct Place {
    pub url: String,
    pub options: StorageOptions,
    pub folder: Option<TempDir>,
    memory: Option<Arc<dyn ObjectStore>>,
    pub s3: Option<TestS3>,
}

impl Place {
    pub fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap().to_owned();
        Self { url, options: StorageOptions::default(), folder: Some(folder), memory: None, s3: None }
    }

    pub fn memory() -> Self {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Self {
            url: "memory:///lake".into(),
            options: StorageOptions::default(),
            folder: None,
            memory: Some(memory),
            s3: None,
        }
    }

    pub fn s3() -> Self {
        let s3 = TestS3::start();
        Self { url: s3.url("a folder"), options: s3.options(), folder: None, memory: None, s3: Some(s3) }
    }

    pub async fn open(&self) -> Arc<Lake> {
        self.watched().await.0
    }

    /// The lake with a log of its requests.
    pub async fn watched(&self) -> (Arc<Lake>, Arc<RequestLog>) {
        let log = Arc::new(RequestLog::default());
        let (watch, memory) = (log.layer(), self.memory.clone());
        let layer: StoreLayer = Arc::new(move |inner| watch(memory.clone().unwrap_or(inner)));
        let lake = Lake::open_layered(&self.url, &self.options, Some(layer)).await.unwrap();
        log.take();
        (Arc::new(lake), log)
    }
}

pub fn info() -> CommitInfo {
    CommitInfo { statement: Some("a test".into()), ..CommitInfo::default() }
}

/// `name TYPE [NOT NULL]` for each column.
pub fn columns(columns: &[(&str, DataType, bool)]) -> Arc<Schema> {
    let fields = columns.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// `id BIGINT NOT NULL, name VARCHAR`.
pub fn people(name: &str) -> NewTable {
    NewTable {
        schema_name: "main".into(),
        name: name.into(),
        schema: columns(&[("id", DataType::Int64, false), ("name", DataType::Utf8, true)]),
        partition_columns: vec![],
        properties: BTreeMap::new(),
        comment: None,
        replace: false,
    }
}

/// A session over the lake's stores, with several streams per query.
pub fn session(lake: &Lake) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(lake.stores()).build_arc().unwrap();
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_runtime_env(runtime)
        .with_config(SessionConfig::new().with_target_partitions(3))
        .build();
    SessionContext::new_with_state(state)
}

/// Appends what a query yields that names no tables.
pub async fn insert(lake: &Lake, table: &str, sql: &str) -> Result<Committed, StorageError> {
    let target = lake.table("main", table).await?;
    insert_into(lake, &target, sql).await
}

pub async fn insert_into(lake: &Lake, target: &Arc<Snapshot>, sql: &str) -> Result<Committed, StorageError> {
    insert_by_rules(lake, target, sql, &Rules::default()).await
}

pub async fn insert_by_rules(
    lake: &Lake,
    target: &Arc<Snapshot>,
    sql: &str,
    rules: &Rules,
) -> Result<Committed, StorageError> {
    let session = session(lake);
    let plan = session.state().create_logical_plan(sql).await.unwrap();
    write::append(lake, target, plan, rules, Arc::new(session.state()), &info()).await
}

pub async fn create_as(lake: &Lake, table: &NewTable, sql: &str) -> Result<Committed, StorageError> {
    let session = session(lake);
    let plan = session.state().create_logical_plan(sql).await.unwrap();
    write::create_as(lake, table, plan, &Rules::default(), Arc::new(session.state()), &info()).await
}

/// Rows of a query over `t`, as text, one line a row, sorted.
pub async fn query(lake: &Lake, snapshot: &Arc<Snapshot>, sql: &str) -> Vec<String> {
    let session = session(lake);
    session.register_table("t", snapshot.provider().unwrap()).unwrap();
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let mut rows: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" "))
        .collect();
    rows.sort();
    rows
}

/// All rows of a table of `main`.
pub async fn rows(lake: &Lake, table: &str) -> Vec<String> {
    let snapshot = lake.table("main", table).await.unwrap();
    query(lake, &snapshot, "SELECT * FROM t").await
}

/// Error and causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
