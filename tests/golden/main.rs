//! Tables that other engines wrote give the rows that those engines read.
//!
//! The tables lie beside the repository (`../shared/golden`), not in it; where they are missing, the test says so and
//! passes. Each case is read whole and then once more through filters, so that file and row group pruning meet the
//! statistics that Spark and others write.

mod case;

use std::{path::PathBuf, sync::Arc};

use boathouse_storage::{Lake, Snapshot, StorageError, StorageOptions};
use boathouse_tests::rows::{column_names, first_values, multiset};
use datafusion::{
    arrow::{datatypes::DataType, record_batch::RecordBatch},
    execution::runtime_env::RuntimeEnvBuilder,
    prelude::{ParquetReadOptions, SessionConfig, SessionContext, col, lit},
};
use futures::{StreamExt, stream};
use url::Url;

use self::case::{Case, Kind};

/// More rows than this are compared whole, but not filtered.
const FILTERED_ROWS_MAX: usize = 10_000;

/// Cases that cannot work yet: the case, the difference that a person sees, the reason.
const CANNOT_WORK_YET: [(&str, &str, &str); 1] = [(
    "kernel_golden/data-reader-partition-values",
    "as_timestamp=1631124671000000",
    "a partition value has no time zone in the log; it is taken as UTC, the writer meant its own (Pacific) zone",
)];

/// What a person sees of tables that must be refused, or of which nobody says what they hold: the case, and the rows or
/// the error.
const OUTCOMES: [(&str, &str); 18] = [
    // Logs of tests that never wrote the data files.
    ("kernel_golden/canonicalized-paths-normal-a", "some/unqualified/absolute/path not found"),
    ("kernel_golden/canonicalized-paths-normal-b", "some/unqualified/absolute/path not found"),
    ("kernel_golden/canonicalized-paths-special-a", "some/unqualified/with space/p@#h not found"),
    ("kernel_golden/canonicalized-paths-special-b", "some/unqualified/with space/p@#h not found"),
    ("kernel_golden/log-replay-special-characters-b", "special p@#h not found"),
    // Data files of one byte.
    ("kernel_golden/checkpoint", "file length is 1"),
    ("kernel_golden/delete-re-add-same-file-different-transactions", "file length is 1"),
    // Logs without a protocol, without metadata, or with metadata that lacks its schema.
    ("kernel_golden/data-reader-absolute-paths-escaped-chars", "it has no metaData action"),
    ("kernel_golden/deltalog-commit-info", "schemaString"),
    ("kernel_golden/deltalog-state-reconstruction-from-checkpoint-missing-metadata", "it has no metaData action"),
    ("kernel_golden/deltalog-state-reconstruction-from-checkpoint-missing-protocol", "schemaString"),
    ("kernel_golden/deltalog-state-reconstruction-without-metadata", "it has no metaData action"),
    ("kernel_golden/deltalog-state-reconstruction-without-protocol", "it has no protocol action"),
    ("kernel_golden/update-deleted-directory", "schemaString"),
    ("kernel_golden/deltalog-invalid-protocol-version", "Reader features must not be present"),
    ("kernel_golden/versions-not-contiguous", "version 1 of the log is missing"),
    // Folders without a log.
    ("kernel_golden/hive", "does not exist"),
    ("kernel_golden/no-delta-log-folder", "does not exist"),
];

/// Reads every case; a failure names all cases that went wrong.
#[tokio::test(flavor = "multi_thread")]
async fn golden_tables_give_their_rows() {
    let Some((folder, cases)) = case::unpack() else {
        println!("the golden tables are not here; nothing was checked");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let lake = Lake::create(&home.path().display().to_string(), &StorageOptions::default()).await.unwrap();
    let golden = Arc::new(Golden { lake, folder });
    let mut failures = vec![];
    for (case, outcome) in golden.check_all(&cases).await {
        let expected = CANNOT_WORK_YET.iter().find(|(name, _, _)| *name == case.name);
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => failures.push(format!("{}: works now, take it off the list", case.name)),
            (Err(error), Some((_, text, _))) if error.contains(text) => {}
            (Err(error), _) => failures.push(format!("{}: {error}", case.name)),
        }
    }
    for (name, _, _) in CANNOT_WORK_YET {
        assert!(cases.iter().any(|case| case.name == name), "no case is called {name}");
    }
    println!("{} cases, {} failures", cases.len(), failures.len());
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

struct Golden {
    lake: Lake,
    folder: PathBuf,
}

impl Golden {
    async fn check_all<'a>(self: &Arc<Self>, cases: &'a [Arc<Case>]) -> Vec<(&'a Arc<Case>, Result<(), String>)> {
        let checks = cases.iter().map(|case| async move {
            let (golden, checked) = (self.clone(), case.clone());
            let outcome = tokio::spawn(async move { golden.check(&checked).await }).await;
            (case, outcome.unwrap_or_else(|error| Err(format!("ended by a panic: {error}"))))
        });
        stream::iter(checks).buffer_unordered(4).collect().await
    }

    async fn check(&self, case: &Case) -> Result<(), String> {
        let opened = self.open(case).await;
        match case.kind {
            Kind::Error => match opened.and_then(|snapshot| snapshot.provider().map(|_| ())) {
                Ok(()) => Err("opened, but should be refused".into()),
                Err(error) => outcome(case, &chain(error)),
            },
            Kind::NoAnswer => {
                let rows = match opened {
                    Ok(snapshot) => self.read(&snapshot).await,
                    Err(error) => Err(chain(error)),
                };
                outcome(case, &rows.map_or_else(|error| error, |rows| format!("{} rows", multiset(&rows).len())))
            }
            Kind::Read => self.compare(case, &opened.map_err(chain)?).await,
        }
    }

    async fn open(&self, case: &Case) -> Result<Arc<Snapshot>, StorageError> {
        let url = Url::from_directory_path(self.folder.join(&case.table)).unwrap();
        self.lake.table_at(&url, case.version).await
    }

    async fn compare(&self, case: &Case, snapshot: &Arc<Snapshot>) -> Result<(), String> {
        let got = self.read(snapshot).await?;
        let expected = self.expected(case).await?;
        if !expected.is_empty() && column_names(&got) != column_names(&expected) {
            return Err(format!("columns {:?} instead of {:?}", column_names(&got), column_names(&expected)));
        }
        let (got_rows, expected_rows) = (multiset(&got), multiset(&expected));
        if got_rows != expected_rows {
            let odd = got_rows.iter().find(|row| expected_rows.binary_search(row).is_err());
            let missing = expected_rows.iter().find(|row| got_rows.binary_search(row).is_err());
            let (n, m) = (got_rows.len(), expected_rows.len());
            return Err(format!("{n} rows instead of {m}\n  not expected: {odd:?}\n  missing: {missing:?}"));
        }
        self.compare_filtered(snapshot, got).await
    }

    /// Each comparison with values of the table gives the same rows from the files as from memory.
    async fn compare_filtered(&self, snapshot: &Arc<Snapshot>, all: Vec<RecordBatch>) -> Result<(), String> {
        let context = self.session();
        let rows: usize = all.iter().map(RecordBatch::num_rows).sum();
        if rows > FILTERED_ROWS_MAX {
            return Ok(());
        }
        for (column, value) in first_values(&all, if rows > 200 { 1 } else { 3 }) {
            let name = || col(datafusion::common::Column::new_unqualified(column.clone()));
            let value = || lit(value.clone());
            let filters = [
                name().eq(value()),
                name().lt(value()),
                name().gt_eq(value()),
                name().is_null(),
                name().not_eq(value()),
            ];
            for filter in filters {
                let table = context.read_table(snapshot.provider().map_err(chain)?).map_err(chain)?;
                let got = table.filter(filter.clone()).map_err(chain)?.collect().await.map_err(chain)?;
                let memory = context.read_batches(all.clone()).map_err(chain)?;
                let expected = memory.filter(filter.clone()).map_err(chain)?.collect().await.map_err(chain)?;
                if multiset(&got) != multiset(&expected) {
                    return Err(format!("other rows WHERE {filter}"));
                }
            }
        }
        Ok(())
    }

    async fn read(&self, snapshot: &Arc<Snapshot>) -> Result<Vec<RecordBatch>, String> {
        let table = self.session().read_table(snapshot.provider().map_err(chain)?).map_err(chain)?;
        let batches = table.collect().await.map_err(chain)?;
        for batch in &batches {
            for (field, column) in snapshot.schema().fields().iter().zip(batch.columns()) {
                if *field.data_type() != without_views(column.data_type()) {
                    return Err(format!(
                        "column {} comes as {}, not as {}",
                        field.name(),
                        column.data_type(),
                        field.data_type()
                    ));
                }
            }
        }
        Ok(batches)
    }

    async fn expected(&self, case: &Case) -> Result<Vec<RecordBatch>, String> {
        let files = case.expected_files(&self.folder);
        let mut batches = vec![];
        for file in files {
            let options = ParquetReadOptions::default();
            let rows = self.session().read_parquet(file, options).await.map_err(chain)?;
            batches.extend(rows.collect().await.map_err(chain)?);
        }
        Ok(batches)
    }

    fn session(&self) -> SessionContext {
        let config = SessionConfig::new().set_str("datafusion.execution.parquet.coerce_int96", "us");
        let config = config.set_bool("datafusion.execution.parquet.schema_force_view_types", false);
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(self.lake.stores()).build_arc().unwrap();
        SessionContext::new_with_config_rt(config, runtime)
    }
}

/// Compares with [`OUTCOMES`].
fn outcome(case: &Case, seen: &str) -> Result<(), String> {
    match OUTCOMES.iter().find(|(name, _)| *name == case.name) {
        Some((_, text)) if seen.contains(text) => Ok(()),
        expected => Err(format!("{seen:?} instead of {expected:?}")),
    }
}

/// The error as a person sees it, with its causes.
fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Scans give texts and bytes as views.
fn without_views(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        kind => kind.clone(),
    }
}
