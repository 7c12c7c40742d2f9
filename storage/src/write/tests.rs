//! Which commits may follow which: one table at one version, a rival that commits first, and ours behind it.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use datafusion::logical_expr::{Expr, col, lit};
use deltalake::kernel::{Add, Metadata, MetadataExt};
use object_store::ObjectStoreExt;

use super::{
    CommitInfo, NewTable,
    conflict::{Collision, Reads},
    create,
    data::Held,
    group::commit_append,
    transaction::{Operation, Transaction},
};
use crate::{Lake, Snapshot, StorageError, StorageOptions, log::commit_path, table::table_store};

/// What one side does to the table, whose files are `a`, `b` (p = 1, ids 0 to 9 and 10 to 19) and `c` (p = 2, 20 to 29).
#[derive(Debug, Clone, Default)]
struct Deed {
    reads: Option<(Vec<Expr>, Vec<&'static str>)>,
    blind: bool,
    /// Names, and whether the rows go too.
    removes: Vec<(&'static str, bool)>,
    /// Partition, first id, whether the rows are new.
    adds: Vec<(i64, i64, bool)>,
    redefines: bool,
}

fn append(p: i64, id: i64) -> Deed {
    Deed { blind: true, adds: vec![(p, id, true)], ..Deed::default() }
}

fn change(filters: Vec<Expr>, files: &[&'static str], removes: &[&'static str], adds: &[(i64, i64)]) -> Deed {
    Deed {
        reads: Some((filters, files.to_vec())),
        removes: removes.iter().map(|file| (*file, true)).collect(),
        adds: adds.iter().map(|(p, id)| (*p, *id, true)).collect(),
        ..Deed::default()
    }
}

fn compaction(removes: &[&'static str]) -> Deed {
    Deed {
        reads: Some((vec![lit(false)], removes.to_vec())),
        removes: removes.iter().map(|file| (*file, false)).collect(),
        adds: vec![(1, 0, false)],
        ..Deed::default()
    }
}

fn file(name: &str, p: i64, id: i64, data_change: bool) -> Add {
    let stats = format!(
        r#"{{"numRecords":10,"minValues":{{"id":{id}}},"maxValues":{{"id":{}}},"nullCount":{{"id":0}}}}"#,
        id + 9
    );
    Add {
        path: name.to_owned(),
        partition_values: [("p".to_owned(), Some(p.to_string()))].into(),
        size: 100,
        modification_time: 1,
        data_change,
        stats: Some(stats),
        ..Add::default()
    }
}

struct Table {
    lake: Lake,
    base: Arc<Snapshot>,
}

impl Table {
    async fn new(properties: &[(&str, &str)]) -> Self {
        let lake = Lake::open("memory://", &StorageOptions::default()).await.unwrap();
        let fields = [Field::new("p", DataType::Int64, true), Field::new("id", DataType::Int64, true)];
        let table = NewTable {
            schema_name: "main".into(),
            name: "t".into(),
            schema: Arc::new(Schema::new(fields.to_vec())),
            partition_columns: vec!["p".into()],
            properties: properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            comment: None,
            replace: false,
        };
        create(&lake, &table, &CommitInfo::default()).await.unwrap();
        let base = lake.table("main", "t").await.unwrap();
        let mut first = Transaction::new(&lake, &base, Operation { name: "WRITE", ..Operation::default() }).unwrap();
        for (name, p, id) in [("a", 1, 0), ("b", 1, 10), ("c", 2, 20)] {
            first.add(file(name, p, id, true)).unwrap();
        }
        first.commit(&lake, &CommitInfo::default()).await.unwrap();
        let base = lake.table("main", "t").await.unwrap();
        Self { lake, base }
    }

    fn position(&self, name: &str) -> usize {
        let files = self.base.files().unwrap();
        (0..files.len()).find(|at| files.path(*at) == name).unwrap()
    }

    async fn commit(&self, operation: &'static str, deed: &Deed) -> Result<u64, StorageError> {
        let operation = Operation { name: operation, ..Operation::default() };
        let mut transaction = Transaction::new(&self.lake, &self.base, operation)?;
        match &deed.reads {
            _ if deed.blind => transaction.reads(Reads::Nothing),
            Some((filters, files)) => {
                let files = files.iter().map(|file| self.position(file)).collect();
                transaction.reads(Reads::Rows { filters: filters.clone(), files });
            }
            None => {}
        }
        for (name, data_change) in &deed.removes {
            transaction.remove(self.position(name), *data_change)?;
        }
        for (p, id, data_change) in &deed.adds {
            transaction.add(file(&uuid::Uuid::new_v4().to_string(), *p, *id, *data_change))?;
        }
        if deed.redefines {
            let metadata: Metadata = self.base.log().metadata.clone();
            transaction.set_metadata(metadata.with_description("other".to_owned()).unwrap());
        }
        Ok(transaction.commit(&self.lake, &CommitInfo::default()).await?.version)
    }
}

async fn outcome(properties: &[(&str, &str)], rival: &Deed, ours: &Deed) -> Result<u64, Collision> {
    let table = Table::new(properties).await;
    table.commit("RIVAL", rival).await.unwrap();
    match table.commit("OURS", ours).await {
        Ok(version) => Ok(version),
        Err(StorageError::Conflict { source, .. }) => Err(*source.downcast().unwrap()),
        Err(error) => panic!("{error:?}"),
    }
}

fn read_file(file: &str) -> Result<u64, Collision> {
    Err(Collision::ReadFile { version: 2, operation: "RIVAL".into(), file: file.into() })
}

fn removed_twice(file: &str) -> Result<u64, Collision> {
    Err(Collision::RemovedTwice { version: 2, operation: "RIVAL".into(), file: file.into() })
}

fn new_rows() -> Result<u64, Collision> {
    Err(Collision::NewRows { version: 2, operation: "RIVAL".into() })
}

#[tokio::test]
async fn a_commit_follows_a_rival_only_when_what_it_relies_on_still_holds() {
    let redefinition = Deed { redefines: true, ..Deed::default() };
    let definition = || Err(Collision::Definition { version: 2, operation: "RIVAL".into() });
    let all = Deed::default;
    // Of rows with ids below 10, which are in file a.
    let low = || vec![col("id").lt(lit(10_i64))];
    let in_p1 = || vec![col("p").eq(lit(1_i64))];
    let delete_a = || change(low(), &["a"], &["a"], &[]);
    let cases: Vec<(&str, Deed, Deed, Result<u64, Collision>)> = vec![
        ("appends follow appends", append(1, 0), append(1, 0), Ok(3)),
        ("an append follows a delete", delete_a(), append(1, 0), Ok(3)),
        ("an append follows a compaction", compaction(&["a", "b"]), append(1, 0), Ok(3)),
        ("nothing follows another definition", redefinition.clone(), append(1, 0), definition()),
        ("a redefinition is no exception", redefinition.clone(), redefinition.clone(), definition()),
        ("a rule for all rows and an append", append(1, 0), redefinition.clone(), new_rows()),
        ("rows are deleted once", delete_a(), delete_a(), removed_twice("a")),
        ("deletes of different files", delete_a(), change(vec![col("id").gt(lit(19_i64))], &["c"], &["c"], &[]), Ok(3)),
        ("a file that was only read", delete_a(), change(in_p1(), &["a", "b"], &["b"], &[]), read_file("a")),
        ("a file that was only moved", compaction(&["a"]), change(in_p1(), &["a", "b"], &["b"], &[]), Ok(3)),
        ("two compactions", compaction(&["a", "b"]), compaction(&["b"]), removed_twice("b")),
        ("a compaction behind a delete", delete_a(), compaction(&["a", "b"]), removed_twice("a")),
        ("a delete behind a compaction", compaction(&["a", "b"]), delete_a(), removed_twice("a")),
        ("a compaction behind an append", append(1, 0), compaction(&["a", "b"]), Ok(3)),
        ("a compaction behind an update", change(vec![], &["c"], &["c"], &[(1, 5)]), compaction(&["a", "b"]), Ok(3)),
        ("blind appends come after", append(1, 5), delete_a(), Ok(3)),
        ("an update puts rows where they match", change(vec![], &["c"], &["c"], &[(1, 5)]), delete_a(), new_rows()),
        ("by statistics they cannot match", change(vec![], &["c"], &["c"], &[(1, 20)]), delete_a(), Ok(3)),
        (
            "by partition they cannot match",
            change(vec![], &["c"], &["c"], &[(2, 5)]),
            change(in_p1(), &["a", "b"], &["a"], &[]),
            Ok(3),
        ),
        (
            "by partition they can",
            change(vec![], &["c"], &["c"], &[(1, 50)]),
            change(in_p1(), &["a", "b"], &["a"], &[]),
            new_rows(),
        ),
        (
            "no filter matches all",
            change(vec![], &["c"], &["c"], &[(2, 50)]),
            change(vec![], &["a"], &["a"], &[]),
            new_rows(),
        ),
        ("the whole table and an update", change(vec![], &["c"], &["c"], &[(2, 50)]), all(), read_file("c")),
        ("the whole table and a merge that only adds", Deed { adds: vec![(2, 50, true)], ..all() }, all(), new_rows()),
        ("the whole table and an append", append(1, 0), all(), Ok(3)),
        ("the whole table and a compaction", compaction(&["a"]), all(), Ok(3)),
    ];
    for (name, rival, ours, expected) in cases {
        assert_eq!(outcome(&[], &rival, &ours).await, expected, "{name}");
    }
}

#[tokio::test]
async fn serializable_tables_count_blind_appends_too() {
    let serializable = [("delta.isolationLevel", "Serializable")];
    let delete = change(vec![col("id").lt(lit(10_i64))], &["a"], &["a"], &[]);
    assert_eq!(outcome(&serializable, &append(1, 5), &delete).await, new_rows());
    assert_eq!(outcome(&serializable, &append(1, 50), &delete).await, Ok(3));
    assert_eq!(outcome(&serializable, &append(1, 5), &append(1, 5)).await, Ok(3));
    assert_eq!(outcome(&serializable, &append(1, 5), &compaction(&["a"])).await, Ok(3));
}

#[tokio::test]
async fn append_only_tables_keep_their_rows() {
    let table = Table::new(&[("delta.appendOnly", "true")]).await;
    let gone = table.commit("DELETE", &change(vec![], &["a"], &["a"], &[])).await;
    assert!(matches!(gone, Err(StorageError::AppendOnly { .. })), "{gone:?}");
    table.commit("OPTIMIZE", &compaction(&["a"])).await.unwrap();
}

#[tokio::test]
async fn the_cached_snapshot_is_the_one_that_a_load_gives() {
    let table = Table::new(&[]).await;
    table.commit("RIVAL", &append(2, 40)).await.unwrap();
    table.commit("OURS", &change(vec![col("id").lt(lit(10_i64))], &["a"], &["a"], &[(1, 3)])).await.unwrap();
    let cached = table.lake.table("main", "t").await.unwrap();
    let loaded = table.lake.table_version("main", "t", 3).await.unwrap();
    let paths = |snapshot: &Snapshot| {
        let files = snapshot.files().unwrap();
        let mut paths: Vec<String> = (0..files.len()).map(|file| files.path(file).to_owned()).collect();
        paths.sort();
        paths
    };
    assert_eq!((cached.version(), paths(&cached).len()), (3, 4));
    assert_eq!(paths(&cached), paths(&loaded));
    let names: BTreeMap<_, _> = cached.properties().clone();
    assert_eq!(&names, loaded.properties());
}

#[tokio::test]
async fn appends_that_wait_share_a_commit_and_each_has_its_own_outcome() {
    let table = Table::new(&[]).await;
    let append = |id: i64| {
        let operation = Operation { name: "WRITE", inserted: 10, ..Operation::default() };
        let mut append = Transaction::new(&table.lake, &table.base, operation).unwrap();
        append.reads(Reads::Nothing);
        append.add(file(&format!("new{id}"), 1, id, true)).unwrap();
        append
    };
    let info = CommitInfo { statement: Some("INSERT".to_owned()), ..CommitInfo::default() };
    let waiting = table.lake.groups().hold(table.base.location().as_str()).await;
    let mut appends: Vec<_> =
        (0..4).map(|id| Box::pin(commit_append(&table.lake, append(id), Held::default(), &info))).collect();
    for append in &mut appends {
        assert!(futures::poll!(append).is_pending());
    }
    // Its caller goes away.
    drop(appends.pop());
    drop(waiting);
    for committed in futures::future::join_all(appends).await {
        let committed = committed.unwrap();
        assert_eq!((committed.version, committed.rows_inserted), (2, 10));
    }
    let newest = table.lake.table("main", "t").await.unwrap();
    assert_eq!((newest.version(), newest.file_count()), (2, 6));

    // One of the next three knows the table by an old definition: the others do not suffer.
    table.commit("ALTER", &Deed { redefines: true, ..Deed::default() }).await.unwrap_err();
    let old = append(10);
    let fresh = Table { base: newest, lake: table.lake };
    fresh.commit("ALTER", &Deed { redefines: true, ..Deed::default() }).await.unwrap();
    let fresh = Table { base: fresh.lake.table("main", "t").await.unwrap(), lake: fresh.lake };
    let waiting = fresh.lake.groups().hold(fresh.base.location().as_str()).await;
    let new = |id: i64| {
        let mut append =
            Transaction::new(&fresh.lake, &fresh.base, Operation { name: "WRITE", ..Operation::default() }).unwrap();
        append.reads(Reads::Nothing);
        append.add(file(&format!("new{id}"), 1, id, true)).unwrap();
        append
    };
    let mut appends: Vec<_> = [new(11), old, new(12)]
        .map(|append| Box::pin(commit_append(&fresh.lake, append, Held::default(), &info)))
        .into();
    for append in &mut appends {
        assert!(futures::poll!(append).is_pending());
    }
    drop(waiting);
    let outcomes = futures::future::join_all(appends).await;
    assert!(matches!(outcomes[1], Err(StorageError::Conflict { .. })), "{outcomes:?}");
    assert_eq!((outcomes[0].as_ref().unwrap().version, outcomes[2].as_ref().unwrap().version), (4, 4));
}

#[tokio::test]
async fn an_append_that_waited_behind_another_does_not_run_into_it() {
    let table = Table::new(&[]).await;
    let append = |id: i64| {
        let operation = Operation { name: "WRITE", ..Operation::default() };
        let mut append = Transaction::new(&table.lake, &table.base, operation).unwrap();
        append.reads(Reads::Nothing);
        append.add(file(&format!("new{id}"), 1, id, true)).unwrap();
        append
    };
    let info = CommitInfo::default();
    let before = table.lake.usage().commits;
    for (id, version) in [(0, 2), (1, 3)] {
        // Both were made on version 1.
        let committed = commit_append(&table.lake, append(id), Held::default(), &info).await.unwrap();
        assert_eq!(committed.version, version);
    }
    let after = table.lake.usage().commits;
    assert_eq!((after.committed - before.committed, after.conflicts - before.conflicts), (2, 0));

    // What this process does not know of yet is followed all the same.
    let store = table_store(table.lake.store_registry(), table.base.location()).unwrap();
    let rival =
        br#"{"add":{"path":"rival","partitionValues":{"p":"1"},"size":1,"modificationTime":1,"dataChange":true}}"#;
    store.put(&commit_path(4), rival.to_vec().into()).await.unwrap();
    let committed = commit_append(&table.lake, append(2), Held::default(), &info).await.unwrap();
    assert_eq!((committed.version, table.lake.usage().commits.conflicts - before.conflicts), (5, 1));
}

#[tokio::test]
async fn few_rows_of_appends_that_wait_share_a_file() {
    let table = Table::new(&[]).await;
    let append = |p: i64, ids: &[i64]| {
        let operation = Operation { name: "WRITE", ..Operation::default() };
        let mut append = Transaction::new(&table.lake, &table.base, operation).unwrap();
        append.reads(Reads::Nothing);
        let columns = [vec![p; ids.len()], ids.to_vec()].map(|values| Arc::new(Int64Array::from(values)) as _);
        let rows = RecordBatch::try_new(table.base.schema(), columns.to_vec()).unwrap();
        (append, Held::of(vec![rows]))
    };
    let info = CommitInfo::default();
    let commit = |(append, held)| Box::pin(commit_append(&table.lake, append, held, &info));
    let waiting = table.lake.groups().hold(table.base.location().as_str()).await;
    let mut appends = vec![commit(append(1, &[100])), commit(append(2, &[200])), commit(append(1, &[101, 102]))];
    let mut gone = commit(append(1, &[999]));
    for append in appends.iter_mut().chain([&mut gone]) {
        assert!(futures::poll!(append).is_pending());
    }
    // Its caller goes away, and its rows with it.
    drop(gone);
    drop(waiting);
    let committed = futures::future::join_all(appends).await;
    let committed: Vec<_> =
        committed.into_iter().map(|one| one.unwrap()).map(|c| (c.version, c.rows_inserted)).collect();
    assert_eq!(committed, [(2, 1), (2, 1), (2, 2)]);
    let newest = table.lake.table("main", "t").await.unwrap();
    let files = newest.files().unwrap();
    let rows: Vec<_> = (3..files.len()).map(|file| files.visible_rows(file)).collect();
    assert_eq!((newest.version(), rows.len()), (2, 2), "one file of each partition");
    assert_eq!(rows.into_iter().flatten().sum::<u64>(), 4);
    let history = table.lake.history(&newest, 1).await.unwrap();
    assert_eq!((history[0].metrics["numFiles"].as_str(), history[0].metrics["numOutputRows"].as_str()), ("2", "4"));
}

#[tokio::test]
async fn features_that_are_not_honoured_are_named() {
    let protocol = |reader: i32, writer: i32, features: &[&str]| -> deltalake::kernel::Protocol {
        let mut text = serde_json::json!({ "minReaderVersion": reader, "minWriterVersion": writer });
        if writer == 7 {
            text["writerFeatures"] = features.into();
        }
        serde_json::from_value(text).unwrap()
    };
    let none = deltalake::kernel::StructType::try_new([]).unwrap();
    for (protocol, expected) in [
        (protocol(1, 2, &[]), None),
        (protocol(1, 5, &[]), None),
        (protocol(1, 6, &[]), None),
        (protocol(1, 7, &["appendOnly", "changeDataFeed"]), None),
        (protocol(1, 7, &["rowTracking", "icebergCompatV1", "appendOnly"]), Some("icebergCompatV1, rowTracking")),
        (protocol(1, 8, &[]), Some("writer version 8 of the protocol")),
    ] {
        let found = super::protocol::check("t", &protocol, &none).err().map(|error| match error {
            StorageError::UnsupportedFeature { features, .. } => features,
            other => panic!("{other}"),
        });
        assert_eq!(found.as_deref(), expected);
    }
}
