//! Destinations that want the same order each time.

use datafusion::arrow::array::AsArray;

use super::*;

/// Looks at the first column of what comes, and keeps nothing.
#[derive(Debug)]
struct Ordered {
    is_ordered: bool,
    /// Rows that came, and how many came behind a greater one.
    seen: Mutex<(u64, u64)>,
}

#[async_trait]
impl Destination for Arc<Ordered> {
    fn kind(&self) -> &'static str {
        "ordered"
    }

    fn check(&self, _: &Export, _: &[FieldRef]) -> Result<(), EngineError> {
        Ok(())
    }

    fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    async fn deliver(&self, _: &Delivery, mut rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let mut last = String::new();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            for text in batch.column(0).as_string::<i32>().iter().flatten() {
                let mut seen = self.seen.lock();
                seen.0 += 1;
                seen.1 += u64::from(last.as_str() > text);
                text.clone_into(&mut last);
            }
        }
        Ok(self.seen.lock().0)
    }
}

const ROWS: u64 = 300_000;

/// Delivers more rows than fit into memory, and tells how many came behind a greater one.
async fn deliver(is_ordered: bool) -> u64 {
    let config = EngineConfig { memory_bytes_max: 32 << 20, threads: 1, ..EngineConfig::default() };
    let engine = Engine::open("memory://", config).await.unwrap();
    let ordered = Arc::new(Ordered { is_ordered, seen: Mutex::default() });
    let to: Arc<dyn Destination> = Arc::new(ordered.clone());
    let options =
        MartOptions { destinations: std::iter::once(("to".to_owned(), to)).collect(), ..MartOptions::default() };
    // Sixty megabytes.
    let text = format!(
        "/*---\nexport = [{{ to = \"to\", mode = \"append\" }}]\n---*/\n\
         SELECT repeat(md5(CAST(value AS VARCHAR)), 6) AS s, value AS id FROM generate_series(1, {ROWS})"
    );
    let definition = Definition::parse("m.t.sql", &text).unwrap();
    let project = Project::open(&engine, vec![definition], options).await.unwrap();
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    assert!(runs[0].outcome.is_good(), "{runs:?}");
    let reports = project.export_behind(&runs, |_| {}).await.unwrap();
    assert_eq!(told(&reports), format!("{ROWS} rows of v0"));
    let (rows, behind) = *ordered.seen.lock();
    assert_eq!(rows, ROWS);
    behind
}

#[tokio::test]
async fn rows_come_in_order_where_that_is_wanted_and_spill_where_they_must() {
    assert_eq!(deliver(true).await, 0);
    // Others are spared the sort.
    assert!(deliver(false).await > 1000);
}
