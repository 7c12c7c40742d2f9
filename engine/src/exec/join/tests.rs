//! Joins that do not fit give the rows of those that do.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Int32Array, Int64Array, RecordBatch, StringArray},
        compute::SortOptions,
        datatypes::{DataType, Field, Schema, SchemaRef},
        util::display::{ArrayFormatter, FormatOptions},
    },
    catalog::memory::{DataSourceExec, MemorySourceConfig},
    common::{JoinSide, JoinType, NullEquality},
    execution::{SessionStateBuilder, TaskContext, config::SessionConfig, runtime_env::RuntimeEnvBuilder},
    logical_expr::Operator,
    physical_expr::{
        LexOrdering, PhysicalExprRef, PhysicalSortExpr,
        expressions::{BinaryExpr, col},
    },
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, Partitioning, collect, execute_stream_partitioned,
        joins::{
            HashJoinExec, HashJoinExecBuilder, PartitionMode,
            utils::{ColumnIndex, JoinFilter},
        },
        repartition::RepartitionExec,
    },
    prelude::{ParquetReadOptions, SessionContext},
};
use futures::TryStreamExt;

use super::SpillingJoinExec;
use crate::{exec::pool::SharedPool, optimizer::SpillingJoins};

const CASES: u64 = 160;

/// A small generator whose seed is printed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

const TYPES: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::RightSemi,
    JoinType::LeftAnti,
    JoinType::RightAnti,
    JoinType::LeftMark,
    JoinType::RightMark,
];

fn schema(side: &str) -> SchemaRef {
    let field = |name: &str, kind| Field::new(format!("{side}_{name}"), kind, true);
    Arc::new(Schema::new(vec![
        field("key", DataType::Int32),
        field("word", DataType::Utf8),
        Field::new(format!("{side}_id"), DataType::Int64, false),
    ]))
}

/// Rows in batches, in `partitions` lists.
fn table(
    random: &mut Random,
    schema: &SchemaRef,
    rows: usize,
    keys: usize,
    partitions: usize,
) -> Vec<Vec<RecordBatch>> {
    let mut lists = vec![Vec::new(); partitions];
    let (mut done, nulls) = (0, random.pick(&[0, 3, 10]));
    while done < rows {
        let count = (1 + random.below(40)).min(rows - done);
        let mut key = || (nulls == 0 || random.below(nulls) > 0).then(|| random.below(keys) as i32);
        let numbers: Vec<_> = (0..count).map(|_| key()).collect();
        let words: Vec<_> = (0..count).map(|_| key().map(|key| format!("a word {}", key % 3))).collect();
        let ids = (done..done + count).map(|id| id as i64);
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(Int32Array::from(numbers)),
                Arc::new(StringArray::from(words)),
                Arc::new(Int64Array::from_iter_values(ids)),
            ],
        );
        lists[random.below(partitions)].push(batch.unwrap());
        done += count;
    }
    lists
}

fn scan(lists: &[Vec<RecordBatch>], schema: &SchemaRef) -> Arc<dyn ExecutionPlan> {
    MemorySourceConfig::try_new_exec(lists, schema.clone(), None).unwrap()
}

/// `left_id < right_id`, for pairs whose keys are equal.
fn filter() -> JoinFilter {
    let both = Schema::new(vec![Field::new("l", DataType::Int64, false), Field::new("r", DataType::Int64, false)]);
    let less = BinaryExpr::new(col("l", &both).unwrap(), Operator::Lt, col("r", &both).unwrap());
    let columns = vec![ColumnIndex { index: 2, side: JoinSide::Left }, ColumnIndex { index: 2, side: JoinSide::Right }];
    JoinFilter::new(Arc::new(less), columns, Arc::new(both))
}

/// A join of every kind that there is.
fn random_join(random: &mut Random) -> HashJoinExec {
    let (left, right) = (schema("l"), schema("r"));
    let mode = random.pick(&[PartitionMode::Partitioned, PartitionMode::CollectLeft]);
    let partitions = random.pick(&[1, 3]);
    let keys = random.pick(&[1, 7, 200]);
    let sizes = if keys == 1 { [0, 1, 90] } else { [0, 30, 300] };
    let (left_rows, right_rows) = (random.pick(&sizes), random.pick(&sizes));
    let built = if mode == PartitionMode::CollectLeft { 1 } else { partitions };
    let mut inputs = [(&left, left_rows, built), (&right, right_rows, partitions)]
        .map(|(schema, rows, partitions)| scan(&table(random, schema, rows, keys, partitions), schema));
    let names: &[&str] = random.pick(&[&["key"] as &[_], &["word"], &["key", "word"]]);
    let key = |side: &str, schema: &SchemaRef| -> Vec<PhysicalExprRef> {
        names.iter().map(|name| col(&format!("{side}_{name}"), schema).unwrap()).collect()
    };
    let (left_keys, right_keys) = (key("l", &left), key("r", &right));
    if mode == PartitionMode::Partitioned {
        for (input, keys) in inputs.iter_mut().zip([&left_keys, &right_keys]) {
            let hash = Partitioning::Hash(keys.clone(), partitions);
            *input = Arc::new(RepartitionExec::try_new(input.clone(), hash).unwrap());
        }
    }
    let [left, right] = inputs;
    let kind = random.pick(&TYPES);
    let equality = random.pick(&[NullEquality::NullEqualsNothing, NullEquality::NullEqualsNull]);
    let join = HashJoinExecBuilder::new(left, right, left_keys.into_iter().zip(right_keys).collect(), kind)
        .with_partition_mode(mode)
        .with_null_equality(equality)
        .with_filter((random.below(2) == 0).then(filter))
        .build()
        .unwrap();
    let width = join.schema().fields().len();
    match random.below(3) {
        0 => join.with_projection(Some((0..1 + random.below(4)).map(|_| random.below(width)).collect())).unwrap(),
        _ => join,
    }
}

fn context(bytes: Option<usize>) -> Arc<TaskContext> {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = bytes {
        runtime = runtime.with_memory_pool(Arc::new(SharedPool::new(bytes)));
    }
    let config =
        SessionConfig::new().with_batch_size(16).with_target_partitions(3).with_sort_spill_reservation_bytes(0);
    Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime.build_arc().unwrap()))
}

/// All rows as text, in order.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = lines(batches);
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_the_same_with_and_without_memory() {
    let (mut split, mut rounds) = (0, 0);
    for seed in 1..=CASES {
        let again = || Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let join = Arc::new(random_join(&mut again()));
        let mut random = again();
        let fresh = random_join(&mut random);
        // From all in memory over whole files to a round for every few rows.
        let bytes = random.pick(&[1 << 30, 20_000, 12_000, 6_000, 0]);
        let case = format!("seed {seed}, {bytes} bytes: {join:?}");
        let expected = collect(join.clone(), context(None)).await.unwrap();
        let spilling = Arc::new(SpillingJoinExec::new(Arc::new(fresh)).unwrap());
        let found =
            tokio::time::timeout(std::time::Duration::from_secs(60), collect(spilling.clone(), context(Some(bytes))));
        let found = found.await.expect(&case).unwrap_or_else(|error| panic!("{error}, {case}"));
        assert_eq!(sorted(&found), sorted(&expected), "{case}");
        for batch in &found {
            assert_eq!(batch.schema(), join.schema(), "{case}");
        }
        let metrics = spilling.metrics().unwrap();
        if metrics.spill_count().unwrap_or(0) > 0 {
            split += 1;
            rounds += usize::from(bytes == 0);
            assert_eq!(metrics.output_rows(), Some(found.iter().map(RecordBatch::num_rows).sum()), "{case}");
        } else {
            assert!(bytes > 0 || nothing_to_build(&random_join(&mut again())).await, "{case}");
        }
    }
    assert!(split > 40 && rounds > 15, "{split} of {CASES} were split, {rounds} of them into rounds");
}

/// The build side has no rows.
async fn nothing_to_build(join: &HashJoinExec) -> bool {
    let rows = collect(join.left().clone(), context(None)).await.unwrap();
    rows.iter().all(|batch| batch.num_rows() == 0)
}

#[tokio::test]
async fn the_order_of_the_probe_side_and_the_limit_are_kept() {
    let mut random = Random(77);
    let (left, right) = (schema("l"), schema("r"));
    let builds = table(&mut random, &left, 500, 50, 1);
    let probes = table(&mut random, &right, 500, 50, 1);
    let order = PhysicalSortExpr::new(col("r_id", &right).unwrap(), SortOptions::default());
    let source = MemorySourceConfig::try_new(&probes, right.clone(), None).unwrap();
    let source = source.try_with_sort_information(vec![LexOrdering::new(vec![order]).unwrap()]).unwrap();
    let on = vec![(col("l_key", &left).unwrap(), col("r_key", &right).unwrap())];
    for fetch in [None, Some(23)] {
        let join = HashJoinExecBuilder::new(
            scan(&builds, &left),
            DataSourceExec::from_data_source(source.clone()),
            on.clone(),
            JoinType::Right,
        )
        .with_partition_mode(PartitionMode::CollectLeft)
        .with_fetch(fetch)
        .build()
        .unwrap();
        let spilling = SpillingJoinExec::new(Arc::new(join)).unwrap();
        assert!(spilling.properties().output_ordering().is_some());
        let mut streams = execute_stream_partitioned(Arc::new(spilling), context(Some(64 << 10))).unwrap();
        let batches: Vec<_> = streams.remove(0).try_collect().await.unwrap();
        let ids: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(5).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
            .collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(fetch.is_none_or(|fetch| ids.len() == fetch), "{}", ids.len());
        assert!(ids.len() >= 23);
    }
}

/// One partition of the build side is too large and gives no keys to filter by; the others wait for all to give theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_from_the_other_partitions_lose_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("{}/{name}.parquet", folder.path().display());
    let session = |bytes: usize| {
        let config = SessionConfig::new().with_target_partitions(3).with_batch_size(64);
        let mut config = config.with_sort_spill_reservation_bytes(0);
        let optimizer = &mut config.options_mut().optimizer;
        optimizer.hash_join_single_partition_threshold = 0;
        optimizer.hash_join_single_partition_threshold_rows = 0;
        optimizer.enable_join_dynamic_filter_pushdown = true;
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(SharedPool::new(bytes)));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.build_arc().unwrap())
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(SpillingJoins));
        SessionContext::new_with_state(state.build())
    };
    let writer = session(1 << 30);
    // All rows of `a` but five have one key, and so one partition.
    let a = "SELECT CASE WHEN value < 5 THEN value ELSE 7 END AS k, value AS v FROM generate_series(0, 3000)";
    // In no order that the plan would count on: a sort would want memory too.
    let b = "SELECT value % 50 AS k, value * 37 % 4001 AS w FROM generate_series(0, 4000)";
    for (name, sql) in [("a", a), ("b", b)] {
        writer.sql(sql).await.unwrap().write_parquet(&path(name), Default::default(), None).await.unwrap();
    }
    for (bytes, spills) in [(1 << 30, false), (120_000, true), (60_000, true)] {
        let session = session(bytes);
        for name in ["a", "b"] {
            session.register_parquet(name, path(name), ParquetReadOptions::default()).await.unwrap();
        }
        let sql = "SELECT b.k, a.v, b.w FROM a JOIN b ON a.k = b.k";
        let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let run = collect(plan.clone(), session.task_ctx());
        let rows = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("nobody waits for ever");
        let count: usize = rows.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(count, 5 * 80 + 1 + 2_996 * 80, "{bytes} bytes");
        let mut join = plan;
        while !join.is::<SpillingJoinExec>() {
            join = join.children()[0].clone();
        }
        assert_eq!(join.output_partitioning().partition_count(), 3);
        assert_eq!(join.metrics().unwrap().spill_count().unwrap_or(0) > 0, spills, "{bytes} bytes");
    }
}
