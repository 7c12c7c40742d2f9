use datafusion::{
    arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
    },
    catalog::memory::MemorySourceConfig,
    execution::{memory_pool::GreedyMemoryPool, runtime_env::RuntimeEnvBuilder},
    physical_plan::{Partitioning, collect, repartition::RepartitionExec},
};

use super::*;

const BATCHES: i64 = 40;
const ROWS: i64 = 1000;

fn input() -> Arc<dyn ExecutionPlan> {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let batch = |at: i64| {
        let numbers = Int64Array::from_iter_values(at * ROWS..(at + 1) * ROWS);
        RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap()
    };
    let batches: Vec<RecordBatch> = (0..BATCHES).map(batch).collect();
    let rows = MemorySourceConfig::try_new_exec(&[batches], schema.clone(), None).unwrap();
    // Cannot be run twice.
    Arc::new(RepartitionExec::try_new(rows, Partitioning::RoundRobinBatch(1)).unwrap())
}

fn context(memory_bytes: usize) -> Arc<TaskContext> {
    let pool = Arc::new(GreedyMemoryPool::new(memory_bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
    Arc::new(TaskContext::default().with_runtime(runtime))
}

async fn sum(rows: SendableRecordBatchStream) -> i64 {
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let numbers = |batch: &RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().clone();
    let numbers: Vec<i64> = batches.iter().flat_map(|batch| numbers(batch).values().to_vec()).collect();
    assert!(numbers.is_sorted() && numbers.len() == (BATCHES * ROWS) as usize);
    numbers.into_iter().sum()
}

const SUM: i64 = (BATCHES * ROWS) * (BATCHES * ROWS - 1) / 2;

#[tokio::test]
async fn every_reader_gets_all_rows_from_memory_and_from_a_file() {
    for (memory_bytes, spilled) in [(10 << 20, false), (64 << 10, true), (0, true)] {
        let context = context(memory_bytes);
        let first = SharedExec::new(0, input()).read_by(3);
        let readers = [first.again(), first.again()];
        let streams = [&readers[1], &first, &readers[0]].map(|reader| reader.execute(0, context.clone()).unwrap());
        for rows in streams {
            assert_eq!(sum(rows).await, SUM);
        }
        assert_eq!(first.metrics().unwrap().spill_count().unwrap_or_default() > 0, spilled, "{memory_bytes}");
        // The last has read: nothing is kept.
        assert!(first.rows.kept[0].lock().is_none());
        assert_eq!(context.memory_pool().reserved(), 0);
    }
}

#[tokio::test]
async fn a_reader_that_leaves_early_takes_nothing_from_the_others() {
    let context = context(10 << 20);
    let first = SharedExec::new(0, input()).read_by(3);
    let (second, third) = (first.again(), first.again());
    // One is dropped before it was polled, one after its first batch.
    drop(first.execute(0, context.clone()).unwrap());
    let mut rows = second.execute(0, context.clone()).unwrap();
    assert!(rows.try_next().await.unwrap().unwrap().num_rows() > 0);
    drop(rows);
    assert_eq!(sum(third.execute(0, context.clone()).unwrap()).await, SUM);
    assert_eq!(context.memory_pool().reserved(), 0);
}

#[tokio::test]
async fn readers_that_wait_for_each_other_end() {
    let context = context(10 << 20);
    let first = SharedExec::new(0, input()).read_by(2);
    let second = first.again();
    let (left, right) = (first.execute(0, context.clone()).unwrap(), second.execute(0, context.clone()).unwrap());
    let (left, right) = tokio::join!(tokio::spawn(sum(left)), tokio::spawn(sum(right)));
    assert_eq!([left.unwrap(), right.unwrap()], [SUM, SUM]);
}

#[tokio::test]
async fn every_reader_is_told_of_a_fault() {
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    let context = context(10 << 20);
    let first = SharedExec::new(0, input()).read_by(2);
    let second = first.again();
    let rows = stream::iter([exec_err!("the store went away")]);
    let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(first.schema(), rows));
    let manager = SpillManager::new(context.runtime_env(), SpillMetrics::new(&first.metrics, 0), first.schema());
    let reservation = MemoryConsumer::new("test").register(context.memory_pool());
    let kept = async move { keep(rows, reservation, manager).await.map(Arc::new).map_err(Arc::new) }.boxed().shared();
    *first.rows.kept[0].lock() = Some((kept, 2));
    for reader in [first, second] {
        let error = collect(Arc::new(reader), context.clone()).await.unwrap_err();
        assert!(error.to_string().contains("the store went away"), "{error}");
    }
}
