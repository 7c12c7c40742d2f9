//! Our scan against the rows that were written, and against the files that deltalake's own scan reads.

use std::{path::Path, sync::Arc};

use boathouse_storage::{Lake, StorageOptions, table::scan_reports};
use datafusion::{
    datasource::{MemTable, TableProvider},
    error::DataFusionError,
    execution::runtime_env::RuntimeEnvBuilder,
    physical_plan::{ExecutionPlan, collect},
    prelude::{SessionConfig, SessionContext},
};
use deltalake::open_table;
use url::Url;

use crate::{
    chance::{Chance, seeds},
    kind::Kind,
    log,
    predicate::{decidable, predicate, quoted},
    table::{RandomTable, lines},
};

const TABLES: u64 = 6;
const PREDICATES: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filtered_rows_are_those_that_were_written_from_no_more_files_than_the_library_reads() {
    let mut totals = Totals::default();
    for seed in seeds(TABLES) {
        let mut chance = Chance::new(seed);
        let table = RandomTable::new(&mut chance);
        let folder = tempfile::tempdir().unwrap();
        log::write(folder.path(), &table).await;
        let readers = Readers::open(&mut chance, folder.path(), &table).await;
        readers.check(seed, "SELECT * FROM t", true, &mut totals).await;
        let mut columns: Vec<_> = table.columns.iter().map(|(name, kind)| (quoted(name), *kind)).collect();
        columns.push(("id".to_owned(), Kind::BigInt));
        for _ in 0..PREDICATES {
            let files_too = chance.once_in(2);
            let choose = if files_too { decidable } else { predicate };
            let predicate = choose(&mut chance, &columns, 2);
            let what = if chance.once_in(3) { "*" } else { "id" };
            let sql = format!("SELECT {what} FROM t WHERE {predicate}");
            readers.check(seed, &sql, files_too, &mut totals).await;
        }
    }
    let faults = std::mem::take(&mut totals.faults);
    println!("{totals:?}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(totals.compared > 0, "the library gave no answer that could be compared");
    assert!(totals.ours_read < totals.files, "no file was ever left out");
}

/// How much was checked: printed, so that a run that checks nothing is seen.
#[derive(Debug, Default)]
struct Totals {
    queries: usize,
    /// Queries that both failed, as they must.
    failed: usize,
    /// Queries whose files could be compared with the library's.
    compared: usize,
    /// Queries in which the library is wrong or refuses the table.
    library_faults: usize,
    files: usize,
    ours_read: usize,
    library_read: usize,
    faults: Vec<String>,
}

/// The same table three times, in three sessions of the same settings.
struct Readers {
    ours: SessionContext,
    memory: SessionContext,
    library: SessionContext,
    about: String,
}

impl Readers {
    async fn open(chance: &mut Chance, folder: &Path, table: &RandomTable) -> Self {
        let pushdown = chance.once_in(2);
        let config = || {
            let config = SessionConfig::new().with_target_partitions(2);
            config.set_bool("datafusion.execution.parquet.pushdown_filters", pushdown)
        };
        let url = Url::from_directory_path(folder).unwrap();
        let home = folder.join("_lake");
        let lake = Lake::create(home.to_str().unwrap(), &StorageOptions::default()).await.unwrap();
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(lake.stores()).build_arc().unwrap();
        let ours = SessionContext::new_with_config_rt(config(), runtime);
        register(&ours, lake.table_at(&url, None).await.unwrap().provider().unwrap());
        let library = SessionContext::new_with_config(config());
        let opened = open_table(url).await.unwrap();
        opened.update_datafusion_session(&library.state()).unwrap();
        register(&library, opened.table_provider().await.unwrap());
        let memory = SessionContext::new_with_config(config());
        register(&memory, Arc::new(MemTable::try_new(table.schema(), vec![table.visible()]).unwrap()));
        let about = format!("{}, filters in the decoder: {pushdown}", table.about());
        Self { ours, memory, library, about }
    }

    async fn check(&self, seed: u64, sql: &str, files_too: bool, totals: &mut Totals) {
        totals.queries += 1;
        match self.compare(sql, files_too, totals).await {
            Ok(()) => {}
            Err(fault) => totals.faults.push(format!("seed {seed}: {sql}\n{fault}\n{}", self.about)),
        }
    }

    async fn compare(&self, sql: &str, files_too: bool, totals: &mut Totals) -> Result<(), String> {
        let (ours, expected) = (answer(&self.ours, sql).await, answer(&self.memory, sql).await);
        // An error of a row that pruning leaves out need not show.
        let Ok((expected, _)) = expected else {
            totals.failed += 1;
            return Ok(());
        };
        let (got, plan) = ours.map_err(|error| error.to_string())?;
        if got != expected {
            return Err(format!("rows {got:?}\ninstead of {expected:?}"));
        }
        let report = match &scan_reports(plan.as_ref())[..] {
            [] => return Ok(()),
            [report] => report.clone(),
            reports => return Err(format!("one scan expected: {reports:?}")),
        };
        match answer(&self.library, sql).await {
            Ok(_) if !files_too => Ok(()),
            Ok((rows, plan)) if rows == expected => {
                let read = library_files(plan.as_ref());
                totals.compared += 1;
                totals.files += report.files;
                totals.ours_read += report.files_read;
                totals.library_read += read;
                match report.files_read <= read {
                    true => Ok(()),
                    false => Err(format!("{} files read, the library reads {read}", report.files_read)),
                }
            }
            _ => {
                totals.library_faults += 1;
                Ok(())
            }
        }
    }
}

fn register(context: &SessionContext, table: Arc<dyn TableProvider>) {
    context.register_table("t", table).unwrap();
}

/// Rows as text, sorted, and the plan that gave them.
async fn answer(context: &SessionContext, sql: &str) -> Result<(Vec<String>, Arc<dyn ExecutionPlan>), DataFusionError> {
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let batches = collect(plan.clone(), context.task_ctx()).await?;
    Ok((lines(&batches), plan))
}

/// Files that the library's scan was left with.
fn library_files(plan: &dyn ExecutionPlan) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name("count_files_scanned"));
    own.map_or(0, |count| count.as_usize())
        + plan.children().iter().map(|child| library_files(child.as_ref())).sum::<usize>()
}
