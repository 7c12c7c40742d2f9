//! Files written anew against the rows that they must have, and which of their bytes were copied.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StructArray},
    compute::{concat_batches, interleave_record_batch},
    datatypes::{DataType, Field, Fields},
};
use bytes::Bytes;
use datafusion::{
    execution::{memory_pool::GreedyMemoryPool, runtime_env::RuntimeEnvBuilder},
    prelude::SessionContext,
};
use deltalake::{DeltaTable, protocol::SaveMode};
use object_store::ObjectStore;
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        reader::{FileReader, SerializedFileReader},
    },
};
use roaring::RoaringBitmap;
use url::Url;

use super::{FileChange, Patches, Rewritten, rewrite, write_decoded};
use crate::{Lake, Snapshot, StorageOptions, table::table_store};

const ROWS: usize = 100;
const GROUP_ROWS: usize = 23;
/// Of `id`, `name`, `nested` and `tags`.
const ID: usize = 0;
const NAME: usize = 1;
const NESTED: usize = 2;

/// A table of one file with several row groups of several pages.
struct Table {
    lake: Lake,
    snapshot: Arc<Snapshot>,
    context: SessionContext,
    _folder: tempfile::TempDir,
}

fn rows() -> RecordBatch {
    let text = |row: usize| (!row.is_multiple_of(7)).then(|| format!("name {}", row % 11));
    let numbers: ArrayRef = Arc::new((0..ROWS).map(|row| (row % 5 > 0).then_some(row as i64)).collect::<Int64Array>());
    let inner = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
    let tags = Int64Array::from_iter_values(0..ROWS as i64 * 2);
    let tags = arrow::array::ListArray::try_new(
        Arc::new(Field::new("element", DataType::Int64, true)),
        arrow::buffer::OffsetBuffer::from_lengths([2; ROWS]),
        Arc::new(tags),
        None,
    );
    RecordBatch::try_from_iter_with_nullable(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as ArrayRef, true),
        ("name", Arc::new((0..ROWS).map(text).collect::<StringArray>()) as _, true),
        ("nested", Arc::new(StructArray::new(inner, vec![numbers], None)) as _, true),
        ("tags", Arc::new(tags.unwrap()) as _, true),
    ])
    .unwrap()
}

impl Table {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("main/t");
        fs::create_dir_all(&place).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(5)
            .set_write_batch_size(5)
            .set_statistics_enabled(EnabledStatistics::Page)
            .build();
        let table = DeltaTable::try_from_url(Url::from_directory_path(&place).unwrap()).await.unwrap();
        let write = table.write([rows()]).with_save_mode(SaveMode::Append).with_writer_properties(properties);
        write.await.unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), &StorageOptions::default()).await.unwrap();
        let snapshot = lake.table("main", "t").await.unwrap();
        Self { lake, snapshot, context: SessionContext::new(), _folder: folder }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        table_store(self.lake.store_registry(), self.snapshot.location()).unwrap()
    }

    fn file(&self, path: &str) -> Bytes {
        let folder = self.snapshot.location().to_file_path().unwrap();
        Bytes::from(fs::read(folder.join(Path::new(path))).unwrap())
    }

    fn old(&self) -> Bytes {
        self.file(self.snapshot.files().unwrap().path(0))
    }

    fn patches(&self, columns: &[usize], changed: &[(u32, Vec<ArrayRef>)]) -> Arc<Patches> {
        let patches = Patches::new(&self.snapshot.schema(), columns.to_vec(), &self.context.runtime_env());
        for (row, values) in changed {
            patches.add(&[0], vec![*row], values.clone()).unwrap();
        }
        Arc::new(patches)
    }

    async fn rewrite(&self, change: FileChange) -> Option<Rewritten> {
        rewrite(&self.snapshot, change, self.store(), &self.context.state(), 2).await.unwrap()
    }
}

fn change(gone: &[u32], patches: Option<Arc<Patches>>) -> FileChange {
    FileChange { file: 0, gone: RoaringBitmap::from_iter(gone), patches }
}

fn read(file: Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = reader.schema().clone();
    let batches = reader.build().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// The rows of `old` without those in `gone`.
fn without(old: &RecordBatch, gone: &[u32]) -> RecordBatch {
    let kept = (0..ROWS).filter(|row| !gone.contains(&(*row as u32))).map(|row| (0, row)).collect::<Vec<_>>();
    interleave_record_batch(&[old], &kept).unwrap()
}

/// Whether the bytes of a column in a row group are the same in both files.
fn same_bytes(one: &Bytes, other: &Bytes, groups: (usize, usize), leaf: usize) -> bool {
    let bytes = |file: &Bytes, group: usize| {
        let reader = SerializedFileReader::new(file.clone()).unwrap();
        let (start, length) = reader.metadata().row_group(group).column(leaf).byte_range();
        file.slice(start as usize..(start + length) as usize)
    };
    bytes(one, groups.0) == bytes(other, groups.1)
}

#[tokio::test]
async fn a_row_that_changes_keeps_its_place_and_its_other_columns_their_bytes() {
    let table = Table::new().await;
    let name = |text: &str| vec![Arc::new(StringArray::from(vec![text])) as ArrayRef];
    let patches = table.patches(&[NAME], &[(99, name("z")), (24, name("b")), (0, name("a"))]);
    let written = table.rewrite(change(&[], Some(patches))).await.unwrap();
    let (old, new) = (table.old(), table.file(&written.url));
    let (before, after) = (read(old.clone()), read(new.clone()));
    let names: Vec<_> = after.column(NAME).as_string::<i32>().iter().collect();
    assert_eq!((names[0], names[24], names[99]), (Some("a"), Some("b"), Some("z")));
    for row in (0..ROWS).filter(|row| ![0, 24, 99].contains(row)) {
        let names = before.column(NAME).as_string::<i32>();
        assert_eq!(after.column(NAME).as_string::<i32>().slice(row, 1), names.slice(row, 1), "row {row}");
    }
    for column in [ID, NESTED, 3] {
        assert_eq!(after.column(column), before.column(column));
    }
    for group in 0..5 {
        for leaf in [0, 2, 3] {
            assert!(same_bytes(&old, &new, (group, group), leaf), "row group {group}, column {leaf}");
        }
        // No name changes in the others.
        assert_eq!(same_bytes(&old, &new, (group, group), 1), ![0, 1, 4].contains(&group), "row group {group}");
    }
    let stats: serde_json::Value = serde_json::from_str(&written.stats).unwrap();
    assert_eq!(
        (&stats["numRecords"], &stats["minValues"]["name"], &stats["maxValues"]["name"]),
        (&100.into(), &"a".into(), &"z".into())
    );
    assert_eq!((&stats["maxValues"]["nested"]["n"], &stats["nullCount"]["nested"]["n"]), (&99.into(), &20.into()));
    assert_eq!(written.size, new.len() as u64);
}

#[tokio::test]
async fn row_groups_in_which_no_row_goes_are_copied() {
    let table = Table::new().await;
    // The second row group loses a row, the third all of them.
    let gone: Vec<u32> = [30].into_iter().chain(46..69).collect();
    let written = table.rewrite(change(&gone, None)).await.unwrap();
    let (old, new) = (table.old(), table.file(&written.url));
    let (before, after) = (read(old.clone()), read(new.clone()));
    assert_eq!(after.columns(), without(&before, &gone).columns());
    for leaf in 0..4 {
        let same = [(0, 0), (1, 1), (3, 2), (4, 3)].map(|groups| same_bytes(&old, &new, groups, leaf));
        assert_eq!(same, [true, false, true, true], "column {leaf}");
    }
    // Bounds are those of the rows that are left.
    let stats: serde_json::Value = serde_json::from_str(&written.stats).unwrap();
    assert_eq!((&stats["numRecords"], &stats["maxValues"]["id"]), (&76.into(), &99.into()));
}

#[tokio::test]
async fn bounds_follow_the_rows_that_are_left() {
    let table = Table::new().await;
    let gone: Vec<u32> = (0..3).chain(97..100).collect();
    let written = table.rewrite(change(&gone, None)).await.unwrap();
    let stats: serde_json::Value = serde_json::from_str(&written.stats).unwrap();
    assert_eq!((&stats["minValues"]["id"], &stats["maxValues"]["id"]), (&3.into(), &96.into()));
}

#[tokio::test]
async fn rows_go_and_change_at_once() {
    let table = Table::new().await;
    for seed in 0..20u32 {
        let gone: Vec<u32> = (0..ROWS as u32).filter(|row| (row * 31 + seed * 17) % (2 + seed) == 0).collect();
        let stays = |row: &u32| !gone.contains(row);
        let changed: Vec<u32> = (0..ROWS as u32).filter(stays).filter(|row| (row + seed) % 3 == 0).collect();
        let value = |row: u32| Arc::new(Int64Array::from(vec![row.is_multiple_of(2).then_some(i64::from(row) + 1000)]));
        let text = |row: u32| Arc::new(StringArray::from(vec![format!("new {row}")]));
        let changed: Vec<(u32, Vec<ArrayRef>)> =
            changed.into_iter().map(|row| (row, vec![text(row) as _, value(row) as _])).collect();
        let patches = table.patches(&[NAME, ID], &changed);
        let mut expected = rows();
        for (at, column) in [(0, NAME), (1, ID)] {
            let new: BTreeMap<u32, &ArrayRef> = changed.iter().map(|(row, values)| (*row, &values[at])).collect();
            let arrays: Vec<ArrayRef> = (0..ROWS as u32)
                .map(|row| {
                    new.get(&row).map_or_else(|| expected.column(column).slice(row as usize, 1), |v| (*v).clone())
                })
                .collect();
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            let mut columns = expected.columns().to_vec();
            columns[column] = arrow::compute::concat(&arrays).unwrap();
            expected = RecordBatch::try_new(expected.schema(), columns).unwrap();
        }
        let expected = without(&expected, &gone);
        let written = table.rewrite(change(&gone, Some(patches.clone()))).await.unwrap();
        assert_eq!(read(table.file(&written.url)).columns(), expected.columns(), "seed {seed}");
        // The long way leads to the same rows.
        let changes = vec![change(&gone, Some(patches))];
        let decoded = write_decoded(&table.snapshot, changes, &table.store(), &table.context.state()).await.unwrap();
        let [decoded] = decoded.as_slice() else { panic!("{decoded:?}") };
        assert_eq!(read(table.file(&decoded.path)).columns(), expected.columns(), "seed {seed}");
        let number = |stats: &str| serde_json::from_str::<serde_json::Value>(stats).unwrap()["numRecords"].clone();
        assert_eq!(number(&written.stats), number(decoded.stats.as_ref().unwrap()));
    }
}

#[tokio::test]
async fn values_without_room_in_memory_are_the_same() {
    let table = Table::new().await;
    let pool = Arc::new(GreedyMemoryPool::new(1));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
    let patches = Patches::new(&table.snapshot.schema(), vec![ID], &runtime);
    for start in [50u32, 0, 25, 75] {
        let numbers: Vec<u32> = (start..start + 25).collect();
        let values = Int64Array::from_iter_values(numbers.iter().map(|row| -i64::from(*row)));
        // Of two files in turn.
        let files: Vec<usize> = numbers.iter().map(|row| (*row as usize / 5) % 2).collect();
        patches.add(&files, numbers, vec![Arc::new(values)]).unwrap();
    }
    let found = patches.among(0, 13..62).await.unwrap();
    let expected: Vec<u32> = (13..62).filter(|row| (row / 5) % 2 == 0).collect();
    assert_eq!(found.within(0..100).map(|(row, ..)| row).collect::<Vec<_>>(), expected);
    let values: Vec<&ArrayRef> = found.values(0).collect();
    for (row, piece, place) in found.within(0..100) {
        let value = values[piece].as_primitive::<arrow::datatypes::Int64Type>().value(place);
        assert_eq!(value, -i64::from(row));
    }
}
