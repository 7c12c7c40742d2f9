//! Lakes in memory that can be copied as they are, and engines over them that know nothing of one another.

use std::sync::Arc;

use boathouse_engine::{Engine, EngineConfig, Outcome, Session, parser};
use boathouse_storage::{Lake, StorageOptions, catalog::CatalogDocument, store::StoreLayer};
use boathouse_tests::store::RequestLog;
use datafusion::arrow::util::pretty::pretty_format_batches;
use object_store::{ObjectStore, memory::InMemory};

/// An engine as in a process of its own: nothing is in its caches. Its requests go through `log`.
pub async fn engine(store: &Arc<InMemory>, log: &Arc<RequestLog>) -> Arc<Engine> {
    engine_at("memory:///lake", store, log).await
}

/// The same on another lake of the store.
pub async fn engine_at(url: &str, store: &Arc<InMemory>, log: &Arc<RequestLog>) -> Arc<Engine> {
    let (store, watch) = (store.clone(), log.layer());
    let layer: StoreLayer = Arc::new(move |_| watch(store.clone() as Arc<dyn ObjectStore>));
    let lake = Lake::open_layered(url, &StorageOptions::default(), Some(layer)).await.unwrap();
    let config = EngineConfig { threads: 1, memory_bytes_max: 64 << 20, ..EngineConfig::default() };
    Engine::on(lake, config).unwrap()
}

/// A client of such an engine, whose requests are all served.
pub async fn session(store: &Arc<InMemory>) -> Arc<Session> {
    engine(store, &Arc::new(RequestLog::default())).await.session()
}

/// The answers of statements; the first error.
pub async fn answers(session: &Session, script: &str) -> Result<String, String> {
    let mut text = String::new();
    for sql in parser::split(script) {
        match session.execute(sql).await.map_err(|error| error.to_string())? {
            Outcome::Rows(rows) => {
                let rows = rows.collect().await.map_err(|error| error.to_string())?;
                text.push_str(&pretty_format_batches(&rows).unwrap().to_string());
            }
            // Which version it became says nothing about the rows.
            Outcome::Changed { inserted, updated, deleted, .. } => {
                text.push_str(&format!("{inserted} {updated} {deleted}"))
            }
            Outcome::Done(tag) => text.push_str(tag),
        }
        text.push('\n');
    }
    Ok(text)
}

pub fn copy(store: &InMemory) -> Arc<InMemory> {
    Arc::new(store.fork())
}

/// What a dead process said it was about to use counts no more.
pub async fn a_day_passes(store: &Arc<InMemory>) {
    let engine = engine(store, &Arc::default()).await;
    let age = |document: &mut CatalogDocument| {
        document.holds.values_mut().flatten().for_each(|hold| hold.since_ms -= 25 * 3_600_000);
        Ok(())
    };
    for schema in engine.lake().schemas().await.unwrap() {
        engine.lake().change_catalog(&schema, &age).await.unwrap();
    }
}
