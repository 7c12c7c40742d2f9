//! A delivery of a mart, killed at each request that changes something in the lake or among files: the next process brings it
//! to its end, and nothing gets there twice. What a destination does is one step that is there or is not; whether anybody heard
//! of it makes no difference.

use std::{
    cmp,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use boathouse_engine::{
    Definition, EngineError, MartOptions, Project, RowStream,
    mart::{
        Clock, Delivery, DeltaExports, Destination, Export, ExportMark, FileExports, FileFormat, LeaseTimes, Progress,
    },
};
use boathouse_tests::store::{Fate, Request, RequestKind, RequestLog};
use datafusion::arrow::{
    array::AsArray,
    datatypes::{FieldRef, Int64Type},
};
use futures::StreamExt;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use parking_lot::Mutex;

use crate::{
    mart::die_behind,
    place::{answers, copy, engine, engine_at, session},
};

async fn ids(mut rows: RowStream) -> Result<Vec<i64>, EngineError> {
    let mut ids = Vec::new();
    while let Some(batch) = rows.next().await {
        ids.extend(batch?.column(0).as_primitive::<Int64Type>().values());
    }
    Ok(ids)
}

/// A database: rows and ledger in one step.
#[derive(Debug, Clone, Default)]
struct Database {
    rows: Arc<Mutex<Vec<i64>>>,
    ledger: Arc<Mutex<Vec<ExportMark>>>,
}

#[async_trait]
impl Destination for Database {
    fn kind(&self) -> &'static str {
        "database"
    }

    fn check(&self, _: &Export, _: &[FieldRef]) -> Result<(), EngineError> {
        Ok(())
    }

    async fn last(&self, _: &Delivery, _: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        Ok(self.ledger.lock().last().cloned())
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let ids = ids(rows).await?;
        let mut ledger = self.ledger.lock();
        assert_eq!(ledger.last(), delivery.last.as_ref());
        ledger.push(delivery.mark.clone());
        self.rows.lock().extend(&ids);
        Ok(ids.len() as u64)
    }
}

/// A receiver of batches that knows their names again.
#[derive(Debug, Clone, Default)]
struct Receiver(Arc<Mutex<BTreeMap<String, Vec<i64>>>>);

#[async_trait]
impl Destination for Receiver {
    fn kind(&self) -> &'static str {
        "receiver"
    }

    fn check(&self, _: &Export, _: &[FieldRef]) -> Result<(), EngineError> {
        Ok(())
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn is_ordered(&self) -> bool {
        true
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, progress: &Progress) -> Result<u64, EngineError> {
        let ids = ids(rows).await?;
        let mut first = usize::try_from(progress.rows()).unwrap();
        for batch in ids[first..].chunks(2) {
            let name = format!("{}/{first}", delivery.name());
            let known = self.0.lock().insert(name, batch.to_vec());
            assert!(known.is_none_or(|known| known == batch), "other rows under a name that was used");
            progress.acknowledged(batch.len() as u64).await?;
            first += batch.len();
        }
        Ok(ids.len() as u64)
    }
}

/// A table of three rows.
async fn place() -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    answers(&*session(&store).await, "CREATE TABLE t AS SELECT value AS id FROM generate_series(1, 3)").await.unwrap();
    store
}

const MORE: &str = "INSERT INTO t VALUES (4), (5), (6), (7), (8)";

async fn project(store: &Arc<InMemory>, log: &Arc<RequestLog>, mode: &str, to: Arc<dyn Destination>) -> Project {
    let engine = engine(store, log).await;
    let [beat, dead_after, look] = [10, 60, 5].map(Duration::from_millis);
    let options = MartOptions {
        lease: LeaseTimes { beat, dead_after, look },
        clock: Clock::of(|| 0),
        destinations: [("to".to_owned(), to)].into_iter().collect(),
        ..MartOptions::default()
    };
    let text = format!("/*---\nexport = [{{ to = \"to\", mode = \"{mode}\" }}]\n---*/\nSELECT id FROM t");
    let definition = Definition::parse("m.rows.sql", &text).unwrap();
    Project::open(&engine, vec![definition], options).await.unwrap()
}

/// Runs the mart, and delivers it to a destination which takes it.
async fn begin(store: &Arc<InMemory>, mode: &str, to: Arc<dyn Destination>) {
    let project = project(store, &Arc::default(), mode, to).await;
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    let reports = project.export_behind(&runs, |_| {}).await.unwrap();
    assert!(reports[0].outcome.is_good(), "{reports:?}");
}

/// One process's delivery. `None` when it did not come so far.
async fn export(
    store: &Arc<InMemory>,
    log: &Arc<RequestLog>,
    mode: &str,
    to: Arc<dyn Destination>,
) -> Option<&'static str> {
    let project = project(store, log, mode, to).await;
    let reports = project.export(&[], None, false, |_| {}).await.ok()?;
    reports.first().map(|report| report.outcome.word())
}

fn changes(sent: &[Request]) -> Vec<usize> {
    let reads = |kind: RequestKind| matches!(kind, RequestKind::Get | RequestKind::Head | RequestKind::List);
    (0..sent.len()).filter(|at| !reads(sent[*at].kind)).collect()
}

async fn run(store: &Arc<InMemory>, mode: &str, to: Arc<dyn Destination>) {
    let run = project(store, &Arc::default(), mode, to).await.run(&[], false, |_| {}).await.unwrap();
    assert!(run[0].outcome.is_good(), "{run:?}");
}

/// A lake in which version 1 is to be delivered to a destination that has version 0.
async fn behind(mode: &str, to: Arc<dyn Destination>) -> Arc<InMemory> {
    let store = place().await;
    begin(&store, mode, to.clone()).await;
    answers(&*session(&store).await, MORE).await.unwrap();
    run(&store, mode, to).await;
    store
}

/// Dies at each change, and looks whether the next process makes it good.
async fn check<D: Destination + Clone + Default + 'static>(rows: impl Fn(&D) -> Vec<i64>) {
    let mode = "append";
    let of = |to: D| -> Arc<dyn Destination> { Arc::new(to) };
    let (to, log) = (D::default(), Arc::new(RequestLog::default()));
    let store = behind(mode, of(to.clone())).await;
    assert_eq!(export(&store, &log, mode, of(to.clone())).await, Some("delivered"));
    assert_eq!(rows(&to), [1, 2, 3, 4, 5, 6, 7, 8]);
    let mut words = Vec::new();
    for at in changes(&log.take()) {
        let (to, log) = (D::default(), Arc::new(RequestLog::default()));
        let store = behind(mode, of(to.clone())).await;
        die_behind(&log, at);
        let _ = export(&store, &log, mode, of(to.clone())).await;
        // Every other time there is a newer version by then.
        let all: &[i64] = if at % 2 == 0 { &[1, 2, 3, 4, 5, 6, 7, 8] } else { &[1, 2, 3, 4, 5, 6, 7, 8, 9] };
        if all.len() > 8 {
            answers(&*session(&store).await, "INSERT INTO t VALUES (9)").await.unwrap();
            run(&store, mode, of(to.clone())).await;
        }
        let again = export(&store, &Arc::default(), mode, of(to.clone())).await;
        assert!(matches!(again, Some("delivered" | "up to date")), "request {at}: {again:?}");
        assert_eq!(rows(&to), all, "request {at}");
        assert_eq!(export(&store, &Arc::default(), mode, of(to.clone())).await, Some("up to date"), "request {at}");
        words.extend(again);
    }
    assert!(words.contains(&"delivered"), "{words:?}: faults of too few kinds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_to_a_database() {
    let rows = |to: &Database| {
        let versions: Vec<u64> = to.ledger.lock().iter().map(|mark| mark.version).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}: a version was delivered twice");
        let mut rows = to.rows.lock().clone();
        rows.sort_unstable();
        rows
    };
    check(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_in_batches() {
    let rows = |to: &Receiver| {
        let mut rows: Vec<i64> = to.0.lock().values().flatten().copied().collect();
        rows.sort_unstable();
        rows
    };
    check(rows).await;
}

/// The rows of the files that the manifest lists.
async fn listed(store: &Arc<InMemory>) -> String {
    let bytes = store.get(&Path::from("exports/m.rows/manifest.json")).await.unwrap().bytes().await.unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let session = session(store).await;
    let mut text = format!("version {}\n", manifest["version"]);
    for entry in manifest["entries"].as_array().unwrap() {
        let sql = format!("SELECT id FROM 'memory:///exports/m.rows/{}' ORDER BY id", entry["path"].as_str().unwrap());
        text.push_str(&answers(&session, &sql).await.unwrap());
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_of_files() {
    let files =
        || -> Arc<dyn Destination> { Arc::new(FileExports::new("memory:///exports", FileFormat::Parquet).unwrap()) };
    let start = behind("replace", files()).await;
    let (end, log) = (copy(&start), Arc::new(RequestLog::default()));
    let old = listed(&start).await;
    assert_eq!(export(&end, &log, "replace", files()).await, Some("delivered"));
    let new = listed(&end).await;
    assert_ne!(old, new);
    let mut found = [0_usize; 2];
    for at in changes(&log.take()) {
        let (store, log) = (copy(&start), Arc::new(RequestLog::default()));
        die_behind(&log, at);
        let _ = export(&store, &log, "replace", files()).await;
        let between = listed(&store).await;
        assert!(between == old || between == new, "request {at}: {between}");
        found[usize::from(between == new)] += 1;
        let again = export(&store, &Arc::default(), "replace", files()).await;
        assert!(matches!(again, Some("delivered" | "up to date")), "request {at}: {again:?}");
        assert_eq!(listed(&store).await, new, "request {at}");
        assert_eq!(export(&store, &Arc::default(), "replace", files()).await, Some("up to date"), "request {at}");
    }
    assert!(found.iter().all(|count| *count > 0), "{found:?}: faults of too few kinds");
}

/// The rows of the Delta table, and its version, as another process finds them, if it is there.
async fn shared(store: &Arc<InMemory>) -> Option<(String, u64)> {
    let engine = engine_at("memory:///share", store, &Arc::default()).await;
    let rows = answers(&engine.session(), "SELECT id FROM m.rows ORDER BY id").await.ok()?;
    Some((rows, engine.lake().table("m", "rows").await.unwrap().version()))
}

/// A lake in which version 0 is to be delivered, and nothing is at the destination.
async fn first(mode: &str, to: Arc<dyn Destination>) -> Arc<InMemory> {
    let store = place().await;
    run(&store, mode, to).await;
    store
}

/// The commit is the delivery: what comes behind it, or before, makes no difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_to_a_delta_table() {
    let delta = || -> Arc<dyn Destination> { Arc::new(DeltaExports::new("memory:///share").unwrap()) };
    for (mode, is_first) in [("append", false), ("replace", false), ("append", true), ("replace", true)] {
        let start = if is_first { first(mode, delta()).await } else { behind(mode, delta()).await };
        let (end, log) = (copy(&start), Arc::new(RequestLog::default()));
        let old = shared(&start).await;
        assert_eq!(export(&end, &log, mode, delta()).await, Some("delivered"));
        let new = shared(&end).await;
        let version = |found: &Option<(String, u64)>| found.as_ref().map_or(0, |(_, version)| version + 1);
        assert_eq!(version(&new), version(&old) + 1, "one delivery is one commit");
        // What became of the table, and what the next process had to do: before the commit, and behind it.
        let mut found = BTreeSet::new();
        let is_at_the_share = |request: &Request| request.path.starts_with("share/");
        let sent: Vec<Request> = log.take().into_iter().filter(is_at_the_share).collect();
        for at in changes(&sent) {
            let (store, log) = (copy(&start), Arc::new(RequestLog::default()));
            // How often a claim is told to be alive in between depends on the time.
            let mut seen = 0;
            log.set_rule(move |request| {
                seen += usize::from(is_at_the_share(request));
                match seen.cmp(&(at + 1)) {
                    cmp::Ordering::Less => Fate::Served,
                    cmp::Ordering::Equal if is_at_the_share(request) => Fate::AnswerLost,
                    _ => Fate::Refused,
                }
            });
            let _ = export(&store, &log, mode, delta()).await;
            let between = shared(&store).await;
            assert!(between == old || between == new, "{mode}, request {at}: {between:?}");
            let again = export(&store, &Arc::default(), mode, delta()).await.unwrap_or("nothing");
            assert_eq!(shared(&store).await, new, "{mode}, request {at}");
            found.insert((between == new, again));
            assert_eq!(
                export(&store, &Arc::default(), mode, delta()).await,
                Some("up to date"),
                "{mode}, request {at}"
            );
        }
        let expected = [(false, "delivered"), (true, "up to date")];
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            expected,
            "{mode}, first: {is_first}: faults of too few kinds"
        );
    }
}
