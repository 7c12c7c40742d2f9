//! Random logs: what is read of them must be what the Delta library reads, at every version.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch, is_not_null},
    datatypes::Int64Type,
};
use deltalake::{DeltaTable, checkpoints::create_checkpoint};
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};
use url::Url;

use super::{FileSet, LogState, Shape, advance, load, write_checkpoint};

const LOGS: u64 = 8;
const VERSIONS: usize = 14;

/// A small generator whose seed is printed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound as u64) as usize
    }
}

/// A table's folder and what its log says so far: path -> the `add` that counts.
struct Writer<'a> {
    folder: &'a Path,
    random: Random,
    alive: BTreeMap<String, Value>,
    dead: Vec<Value>,
    named: usize,
}

impl Writer<'_> {
    fn commit(&self, version: usize, actions: &[Value]) {
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        let name = format!("_delta_log/{version:020}.json");
        fs::write(self.folder.join(name), lines.join("\n")).unwrap();
    }

    fn first(&self) {
        let schema = json!({"type": "struct", "fields": [
            {"name": "id", "type": "long", "nullable": true, "metadata": {}},
            {"name": "p", "type": "string", "nullable": true, "metadata": {}},
        ]});
        let features = json!(["deletionVectors", "v2Checkpoint"]);
        self.commit(
            0,
            &[
                json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": features, "writerFeatures": features}}),
                json!({"metaData": {"id": "random", "format": {"provider": "parquet", "options": {}},
                "schemaString": schema.to_string(), "partitionColumns": ["p"], "configuration": {}, "createdTime": 0}}),
            ],
        );
    }

    fn new_add(&mut self) -> Value {
        self.named += 1;
        let (low, rows) = (self.random.below(50) as i64 - 25, 1 + self.random.below(9) as i64);
        let stats = json!({"numRecords": rows, "minValues": {"id": low}, "maxValues": {"id": low + rows},
            "nullCount": {"id": 0}});
        let (p, folder) = match self.random.below(3) {
            0 => (Value::Null, "p=__HIVE_DEFAULT_PARTITION__"),
            1 => (json!("a b"), "p=a%2520b"),
            _ => (json!("x=ü"), "p=x%253D%25C3%25BC"),
        };
        let mut add = json!({"path": format!("{folder}/part-{}.parquet", self.named), "partitionValues": {"p": p},
            "size": 100 + self.named, "modificationTime": self.named, "dataChange": true, "stats": stats.to_string()});
        if self.random.below(6) == 0 {
            add["stats"] = Value::Null;
        }
        add
    }

    fn remove_of(add: &Value) -> Value {
        let mut gone = json!({"path": add["path"], "dataChange": true, "deletionTimestamp": 1, "extendedFileMetadata": true,
            "partitionValues": add["partitionValues"], "size": add["size"]});
        if add.get("deletionVector").is_some() {
            gone["deletionVector"] = add["deletionVector"].clone();
        }
        json!({"remove": gone})
    }

    /// A commit of a few changes; no file is named twice but for a change of its deletion vector.
    fn next(&mut self, version: usize) {
        let mut actions = vec![json!({"commitInfo": {"operation": "WRITE", "version": version}})];
        let mut touched: Vec<String> = Vec::new();
        for _ in 0..self.random.below(5) {
            let known: Vec<String> = self.alive.keys().filter(|path| !touched.contains(path)).cloned().collect();
            let some = (!known.is_empty()).then(|| known[self.random.below(known.len())].clone());
            match (self.random.below(6), some) {
                (0, Some(path)) => {
                    let add = self.alive.remove(&path).unwrap();
                    actions.push(Self::remove_of(&add));
                    touched.push(path);
                    self.dead.push(add);
                }
                (1, _) if !self.dead.is_empty() => {
                    let add = self.dead.remove(0);
                    let path = add["path"].as_str().unwrap().to_owned();
                    if !touched.contains(&path) && !self.alive.contains_key(&path) {
                        actions.push(json!({"add": add}));
                        self.alive.insert(path.clone(), add);
                        touched.push(path);
                    }
                }
                (2, Some(path)) => {
                    let mut add = self.alive[&path].clone();
                    actions.push(Self::remove_of(&add));
                    let vector = format!("vector{:014}", self.random.below(1 << 20));
                    add["deletionVector"] = json!({"storageType": "u", "pathOrInlineDv": vector,
                        "offset": 1, "sizeInBytes": 36, "cardinality": 1});
                    actions.push(json!({"add": add}));
                    self.alive.insert(path.clone(), add);
                    touched.push(path);
                }
                // The same file said again, with other statistics.
                (3, Some(path)) => {
                    let mut add = self.alive[&path].clone();
                    add["stats"] = json!(json!({"numRecords": 77}).to_string());
                    actions.push(json!({"add": add}));
                    self.alive.insert(path.clone(), add);
                    touched.push(path);
                }
                _ => {
                    let add = self.new_add();
                    let path = add["path"].as_str().unwrap().to_owned();
                    actions.push(json!({"add": add}));
                    self.alive.insert(path.clone(), add);
                    touched.push(path);
                }
            }
        }
        if self.random.below(8) == 0 {
            actions.push(json!({"txn": {"appId": "x", "version": version}}));
        }
        self.commit(version, &actions);
    }

    /// Writes a checkpoint, or has the library write one, then maybe brings it into another form.
    async fn checkpoint(&mut self, store: &Arc<dyn ObjectStore>, version: usize) {
        forget_hint(self.folder);
        if self.random.below(3) > 0 {
            let (v2, stats_parsed) = (self.random.below(2) == 0, self.random.below(2) == 0);
            let stats_as_text = !stats_parsed || self.random.below(2) == 0;
            let shape = Shape {
                v2,
                stats_as_text,
                stats_parsed,
                removed_since_ms: 0,
                transactions_since_ms: None,
                processes_since_ms: 0,
            };
            let state = load(store, Some(version as u64)).await.unwrap();
            let written = write_checkpoint(store, &state, shape).await.unwrap().unwrap();
            assert!(written.actions >= state.files.len() as u64 + 2 && written.bytes > 0);
            assert_eq!(write_checkpoint(store, &state, shape).await.unwrap(), None, "there is one");
            // Nothing else is there that could tell it.
            let alone = without_commits(self.folder, version);
            let read = load(&alone, None).await.unwrap();
            assert_eq!((read.version, described(&read)), (version as u64, described(&state)), "{shape:?}");
            assert_eq!((&read.protocol, &read.metadata), (&state.protocol, &state.metadata));
            assert_eq!(read.transactions, state.transactions);
            if v2 {
                return;
            }
        } else {
            let mut table = DeltaTable::try_from_url(Url::from_directory_path(self.folder).unwrap()).await.unwrap();
            table.load_version(version as u64).await.unwrap();
            create_checkpoint(&table, None).await.unwrap();
        }
        let log = self.folder.join("_delta_log");
        let single = log.join(format!("{version:020}.checkpoint.parquet"));
        match self.random.below(4) {
            0 => {}
            1 => {
                let all = read(&single);
                let cut = all.num_rows() / 2;
                for (part, rows) in [(1, all.slice(0, cut)), (2, all.slice(cut, all.num_rows() - cut))] {
                    write(&log.join(format!("{version:020}.checkpoint.{part:010}.0000000002.parquet")), &rows);
                }
                fs::remove_file(single).unwrap();
                fs::remove_file(log.join("_last_checkpoint")).unwrap();
            }
            // The files in a sidecar, the rest as JSON.
            2 => {
                let all = read(&single);
                let adds = is_not_null(all.column_by_name("add").unwrap()).unwrap();
                fs::create_dir_all(log.join("_sidecars")).unwrap();
                let sidecar = format!("side-{version}.parquet");
                write(&log.join("_sidecars").join(&sidecar), &filter_record_batch(&all, &adds).unwrap());
                let size = fs::metadata(log.join("_sidecars").join(&sidecar)).unwrap().len();
                let first = fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
                let rest = [
                    json!({"checkpointMetadata": {"version": version}}),
                    json!({"sidecar": {"path": sidecar, "sizeInBytes": size, "modificationTime": 0}}),
                ];
                let rest: Vec<String> = rest.iter().map(Value::to_string).collect();
                let name = format!("{version:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json");
                fs::write(log.join(name), format!("{first}\n{}", rest.join("\n"))).unwrap();
                fs::remove_file(single).unwrap();
                fs::remove_file(log.join("_last_checkpoint")).unwrap();
            }
            // A hint at something else.
            _ => fs::write(log.join("_last_checkpoint"), r#"{"version":3,"size":1}"#).unwrap(),
        }
    }
}

/// The log with one checkpoint and no commit before it.
fn without_commits(folder: &Path, version: usize) -> Arc<dyn ObjectStore> {
    in_memory(folder, |other| other == version)
}

/// The log in a store that is no folder, of the versions that are `kept`.
fn in_memory(folder: &Path, kept: impl Fn(usize) -> bool) -> Arc<dyn ObjectStore> {
    let store = InMemory::new();
    for part in ["_delta_log", "_delta_log/_sidecars"] {
        let Ok(entries) = fs::read_dir(folder.join(part)) else { continue };
        for entry in entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()) {
            let name = entry.file_name().into_string().unwrap();
            let older = name.get(..20).and_then(|digits| digits.parse::<usize>().ok());
            if older.is_none_or(&kept) {
                let bytes = fs::read(entry.path()).unwrap();
                let path = format!("{part}/{name}").into();
                futures::executor::block_on(store.put(&path, bytes.into())).unwrap();
            }
        }
    }
    Arc::new(store)
}

/// The library fails where the hint lies.
fn forget_hint(folder: &Path) {
    drop(fs::remove_file(folder.join("_delta_log/_last_checkpoint")));
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn write(path: &Path, rows: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// One line a file: all that both say.
fn described(log: &LogState) -> Vec<String> {
    let files: &FileSet = &log.files;
    let (rows, partition, id) = (files.rows().unwrap(), files.partition(0).unwrap(), files.column(0).unwrap());
    let deleted = files.deleted().unwrap();
    let number = |array: Option<&dyn Array>, file: usize| {
        let array = array.filter(|array| array.is_valid(file))?;
        Some(array.as_primitive::<Int64Type>().value(file))
    };
    let line = |file: usize| {
        let p = partition.is_valid(file).then(|| partition.as_string::<i32>().value(file).to_owned());
        let bounds = (number(id.min.as_deref(), file), number(id.max.as_deref(), file));
        let counts = (number(Some(&rows), file), number(deleted.as_deref(), file));
        format!("{} {} {p:?} {bounds:?} {counts:?}", files.path(file), files.size(file))
    };
    let mut lines: Vec<String> = (0..files.len()).map(line).collect();
    lines.sort();
    lines
}

/// The same from the library.
async fn expected(folder: &Path, version: u64) -> Vec<String> {
    let mut table = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
    table.load_version(version).await.unwrap();
    let mut lines = Vec::new();
    for batch in table.snapshot().unwrap().add_actions_batches(false).unwrap() {
        let nested = |outer: &str, inner: &str| {
            let parent = batch.column_by_name(outer)?.as_struct_opt()?;
            let child = parent.column_by_name(inner)?.clone();
            let absent = parent.nulls().map(|nulls| BooleanArray::new(!nulls.inner(), None));
            Some(absent.map_or(child.clone(), |absent| arrow::compute::nullif(&child, &absent).unwrap()))
        };
        let number = |array: &Option<arrow::array::ArrayRef>, file: usize| {
            let array = array.as_ref().filter(|array| array.is_valid(file))?;
            array.as_primitive_opt::<Int64Type>().map(|array| array.value(file))
        };
        let column = |name: &str| batch.column_by_name(name).cloned();
        let (min, max) = (nested("min", "id"), nested("max", "id"));
        let (rows, deleted) = (column("num_records"), nested("deletion_vector", "cardinality"));
        let partition =
            nested("partition", "p").map(|p| arrow::compute::cast(&p, &arrow::datatypes::DataType::Utf8).unwrap());
        for file in 0..batch.num_rows() {
            let path = column("path").unwrap().as_string::<i32>().value(file).to_owned();
            let p =
                partition.as_ref().filter(|p| p.is_valid(file)).map(|p| p.as_string::<i32>().value(file).to_owned());
            let bounds = (number(&min, file), number(&max, file));
            let counts = (number(&rows, file), number(&deleted, file));
            lines.push(format!("{path} {} {p:?} {bounds:?} {counts:?}", number(&column("size_bytes"), file).unwrap()));
        }
    }
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_has_the_files_that_the_library_finds() {
    for seed in 1..=LOGS {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("_delta_log")).unwrap();
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut writer = Writer { folder: folder.path(), random, alive: BTreeMap::new(), dead: vec![], named: 0 };
        writer.first();
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let mut state = load(&store, None).await.unwrap();
        for version in 1..VERSIONS {
            writer.next(version);
            if writer.random.below(4) == 0 {
                writer.checkpoint(&store, version).await;
            }
            if writer.random.below(3) > 0 {
                state = advance(&store, &state).await.unwrap();
                assert_eq!(state.version, version as u64, "seed {seed}");
                let paths: Vec<String> =
                    described(&state).iter().map(|l| l.split(' ').next().unwrap().into()).collect();
                assert_eq!(paths, writer.alive.keys().cloned().collect::<Vec<_>>(), "seed {seed}, version {version}");
                assert_eq!(described(&state), described(&load(&store, None).await.unwrap()), "seed {seed}, {version}");
            }
        }
        let mut found = Vec::new();
        for version in 0..VERSIONS as u64 {
            found.push(described(&load(&store, Some(version)).await.unwrap()));
        }
        forget_hint(folder.path());
        for (version, found) in found.iter().enumerate() {
            assert_eq!(found, &expected(folder.path(), version as u64).await, "seed {seed}, version {version}");
        }
    }
}

#[tokio::test]
async fn a_long_log_in_a_folder_says_what_it_says_in_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("_delta_log")).unwrap();
    let mut writer =
        Writer { folder: folder.path(), random: Random(7), alive: BTreeMap::new(), dead: vec![], named: 0 };
    writer.first();
    (1..1000).for_each(|version| writer.next(version));
    let near: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let found = load(&near, None).await.unwrap();
    let far = load(&in_memory(folder.path(), |_| true), None).await.unwrap();
    assert_eq!((found.version, described(&found)), (far.version, described(&far)));
    assert_eq!(found.files.len(), writer.alive.len());
    let gap = folder.path().join(format!("_delta_log/{:020}.json", 700));
    fs::write(&gap, "{\"add\":").unwrap();
    let error = load(&near, None).await.unwrap_err();
    assert!(error.to_string().contains("700"), "{error}");
}
