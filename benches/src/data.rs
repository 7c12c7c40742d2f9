//! Lakes to measure on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use boathouse_engine::{Engine, EngineConfig, EngineError, StorageOptions};
use boathouse_flight_server::tpch;
use boathouse_tests::TestS3;

/// Where a lake lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A folder, kept for the next run.
    Folder,
    /// An S3 endpoint in this process, over a temporary folder: requests, signatures and HTTP are real, the network is not.
    S3,
}

impl Store {
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::S3 => "s3",
        }
    }
}

/// An open lake with data in it.
pub struct Bench {
    pub engine: Arc<Engine>,
    /// How to reach it.
    pub storage: StorageOptions,
    /// Kept alive as long as the lake.
    _s3: Option<TestS3>,
}

impl Bench {
    /// TPC-H at a scale. A folder lake is made once under `cache`, which belongs under `target`.
    pub async fn tpch(store: Store, scale: f64, cache: &Path) -> Result<Self, EngineError> {
        match store {
            Store::Folder => Self::folder(scale, &cache.join(format!("tpch-{scale}"))).await,
            Store::S3 => {
                let s3 = TestS3::start();
                let config = EngineConfig { storage: s3.options(), ..EngineConfig::default() };
                let engine = Engine::create(&s3.url("bench"), config).await?;
                load(&engine, scale).await?;
                Ok(Self { engine, storage: s3.options(), _s3: Some(s3) })
            }
        }
    }

    async fn folder(scale: f64, folder: &Path) -> Result<Self, EngineError> {
        // The mark is written last: a run that was killed while loading leaves none, and the next one loads again.
        let mark: PathBuf = folder.join("_complete");
        let engine = Engine::create(&folder.to_string_lossy(), EngineConfig::default()).await?;
        if !mark.exists() {
            load(&engine, scale).await?;
            fs::write(&mark, "").unwrap_or_else(|error| panic!("{}: {error}", mark.display()));
        }
        Ok(Self { engine, storage: StorageOptions::default(), _s3: None })
    }
}

async fn load(engine: &Arc<Engine>, scale: f64) -> Result<(), EngineError> {
    let started = Instant::now();
    let loaded = tpch::load(&engine.session(), scale, |_, _, _| ()).await?;
    let rows: u64 = loaded.iter().map(|table| table.rows).sum();
    println!("loaded {rows} rows in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
