//! The caches against those who would have them lie: rows must always be those that a run would give.

mod fresh;
mod kept;
mod random;

use std::sync::Arc;

use boathouse_storage::CacheUsage;
use datafusion::arrow::{array::RecordBatch, util::pretty::pretty_format_batches};

use crate::{Engine, EngineConfig, EngineError, Outcome, RowStream, Session};

fn config() -> EngineConfig {
    EngineConfig { memory_bytes_max: 256 << 20, threads: 2, ..EngineConfig::default() }
}

async fn engine() -> Arc<Engine> {
    Engine::open("memory://", config()).await.unwrap()
}

async fn rows(session: &Session, sql: &str) -> Result<RowStream, EngineError> {
    match session.execute(sql).await? {
        Outcome::Rows(rows) => Ok(rows),
        other => panic!("{sql} gave {other:?}"),
    }
}

async fn all(session: &Session, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
    rows(session, sql).await?.collect().await
}

/// The rows as text, in their order.
async fn text(session: &Session, sql: &str) -> String {
    match all(session, sql).await {
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn run(session: &Session, statements: &[&str]) {
    for sql in statements {
        if let Err(error) = session.execute(sql).await {
            panic!("{sql}: {error}");
        }
    }
}

/// Whether the statement's rows would come from the cache.
async fn is_kept(session: &Session, sql: &str) -> bool {
    text(session, &format!("EXPLAIN {sql}")).await.contains("result cache: hit")
}

async fn usage(engine: &Engine, name: &str) -> CacheUsage {
    engine.cache_usages().await.into_iter().find(|usage| usage.name == name).unwrap()
}
