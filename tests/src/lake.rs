//! A lake of one test: gone when it is dropped.

use std::{path::Path, sync::Arc};

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use boathouse_engine::{Engine, EngineConfig, Outcome};
use tempfile::TempDir;

/// A fresh lake and the engine over it. Build tables through [`TestLake::run`], the product's own writes.
///
/// What fails here fails the test: every method panics with the statement and the error.
#[derive(Debug)]
pub struct TestLake {
    engine: Arc<Engine>,
    folder: Option<TempDir>,
}

impl TestLake {
    /// In memory.
    pub async fn memory() -> Self {
        let engine = Engine::create("memory://", config()).await.unwrap_or_else(|e| panic!("memory://: {e}"));
        Self { engine, folder: None }
    }

    /// In a temporary folder.
    pub async fn folder() -> Self {
        Self::folder_with(config()).await
    }

    /// In a temporary folder, with these settings.
    pub async fn folder_with(config: EngineConfig) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = folder.path().to_str().expect("a temporary folder has a UTF-8 name");
        let engine = Engine::create(url, config).await.unwrap_or_else(|e| panic!("{url}: {e}"));
        Self { engine, folder: Some(folder) }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The lake's folder; of a lake in memory there is none.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("this lake lies in memory").path()
    }

    /// Runs statements, one after the other, each in a new session; gives the last one's rows.
    pub async fn run(&self, script: &str) -> Vec<RecordBatch> {
        let mut rows = Vec::new();
        for sql in boathouse_engine::parser::split(script) {
            rows = match self.engine.session().execute(sql).await {
                Ok(Outcome::Rows(rows)) => rows.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")),
                Ok(Outcome::Changed { .. } | Outcome::Done(_)) => Vec::new(),
                Err(e) => panic!("{sql}\n{e}"),
            };
        }
        rows
    }

    /// Like [`TestLake::run`], with the rows as a table of text.
    pub async fn text(&self, script: &str) -> String {
        pretty_format_batches(&self.run(script).await).expect("rows can be printed").to_string()
    }

    /// The error text of a statement that must fail, before or while its rows come.
    pub async fn error(&self, sql: &str) -> String {
        match self.engine.session().execute(sql).await {
            Ok(Outcome::Rows(rows)) => match rows.collect().await {
                Ok(_) => panic!("this did not fail: {sql}"),
                Err(error) => error.to_string(),
            },
            Ok(_) => panic!("this did not fail: {sql}"),
            Err(error) => error.to_string(),
        }
    }
}

/// Small and the same on every machine: two threads, little memory.
pub fn config() -> EngineConfig {
    EngineConfig { threads: 2, memory_bytes_max: 1 << 30, ..EngineConfig::default() }
}
