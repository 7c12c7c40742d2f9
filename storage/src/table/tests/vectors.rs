//! Deletion vectors in the log and in files of their own, one or several in a file, in every combination with what else
//! a table may have: the rows that they hide never come up, and the Delta library is not asked.

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch},
    datatypes::Int64Type,
};
use datafusion::prelude::SessionContext;
use roaring::RoaringTreemap;
use url::Url;

use super::{
    add_hot, append,
    features::{hide_rows_1_and_4, rewrite_log},
    load, open, run, widening,
};
use crate::table::Snapshot;

const UUID: &str = "d2c639aa-8816-431a-aaf6-d3fe2512ff61";
/// The same in base 85.
const UUID_LETTERS: &str = "^-aqEH.-t@S}K{vb[*k^";

/// A file of vectors. Returns its bytes, and of each vector where it begins and how long it is.
pub(super) fn file_of(vectors: &[RoaringTreemap]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut bytes, mut places) = (vec![1], vec![]);
    for rows in vectors {
        let mut vector = 1_681_511_377_u32.to_le_bytes().to_vec();
        rows.serialize_into(&mut vector).unwrap();
        places.push((bytes.len(), vector.len()));
        bytes.extend(u32::try_from(vector.len()).unwrap().to_be_bytes());
        bytes.extend(&vector);
        bytes.extend(crc32fast::hash(&vector).to_be_bytes());
    }
    (bytes, places)
}

/// Two files of a thousand numbers, which hide some rows each: rows 0 to 99 and all that divide by seven; and the last.
/// `kind` is the storage type of the vectors, which lie in one file.
async fn hidden(folder: &Path, kind: &str) -> Vec<i64> {
    let numbers = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + 1000)) as ArrayRef;
    for from in [0, 1000] {
        append(folder, vec![RecordBatch::try_from_iter([("n", numbers(from))]).unwrap()], &[]).await;
    }
    let vectors: [RoaringTreemap; 2] =
        [(0..1000).filter(|row| *row < 100 || row % 7 == 0).collect(), [999].into_iter().collect()];
    let (bytes, places) = file_of(&vectors);
    let (path, text) = match kind {
        "u" => (folder.join(format!("ab/deletion_vector_{UUID}.bin")), format!("ab{UUID_LETTERS}")),
        _ => {
            let path = folder.join("other vectors");
            (path.clone(), Url::from_file_path(path).unwrap().to_string())
        }
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    for (version, ((offset, size), rows)) in places.iter().zip(&vectors).enumerate() {
        let vector = serde_json::json!({
            "storageType": kind, "pathOrInlineDv": text, "offset": offset, "sizeInBytes": size, "cardinality": rows.len(),
        });
        give(folder, version, &vector);
    }
    (0..2000).filter(|n| !vectors[(n / 1000) as usize].contains(*n as u64 % 1000)).collect()
}

/// Gives the file that a commit adds a deletion vector.
pub(super) fn give(folder: &Path, version: usize, vector: &serde_json::Value) {
    let commit = folder.join(format!("_delta_log/{version:020}.json"));
    let lines = fs::read_to_string(&commit).unwrap();
    let lines = lines.lines().map(|line| {
        let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
        if action["add"].is_object() {
            action["add"]["deletionVector"] = vector.clone();
        }
        if action["protocol"].is_object() {
            let features = serde_json::json!(["deletionVectors"]);
            action["protocol"] = serde_json::json!({
                "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features,
            });
        }
        action.to_string()
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    fs::write(commit, lines).unwrap();
}

async fn numbers(context: &SessionContext, sql: &str) -> Vec<i64> {
    let (batches, _) = run(context, sql).await;
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn register(context: &SessionContext, name: &str, snapshot: &Arc<Snapshot>) {
    context.deregister_table(name).unwrap();
    context.register_table(name, snapshot.provider().unwrap()).unwrap();
}

#[tokio::test]
async fn vectors_in_files_hide_their_rows_without_the_library() {
    for kind in ["u", "p"] {
        let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = hidden(folder.path(), kind).await;
        let context = SessionContext::new();
        let snapshot = open(folder.path()).await;
        register(&context, "t", &snapshot);
        let _hot = add_hot(&context, folder.path(), copied.path()).await;
        for table in ["t", "hot"] {
            assert_eq!(
                numbers(&context, &format!("SELECT n FROM {table} ORDER BY n")).await,
                expected,
                "{kind} {table}"
            );
            let some = numbers(&context, &format!("SELECT n FROM {table} WHERE n > 990 AND n < 1002 ORDER BY n")).await;
            assert_eq!(some, expected.iter().copied().filter(|n| *n > 990 && *n < 1002).collect::<Vec<_>>());
            let count = numbers(&context, &format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(count, [expected.len() as i64]);
        }
        assert_eq!(snapshot.library().files(), 0, "the library was loaded");
    }
}

#[tokio::test]
async fn a_vector_is_read_once_for_all_versions() {
    let folder = tempfile::tempdir().unwrap();
    let expected = hidden(folder.path(), "u").await;
    let context = SessionContext::new();
    let first = load(folder.path()).await;
    let library = first.library().clone();
    register(&context, "t", &Arc::new(first));
    assert_eq!(numbers(&context, "SELECT n FROM t ORDER BY n").await, expected);
    let more: ArrayRef = Arc::new(Int64Array::from(vec![5000]));
    append(folder.path(), vec![RecordBatch::try_from_iter([("n", more)]).unwrap()], &[]).await;
    fs::remove_file(folder.path().join(format!("ab/deletion_vector_{UUID}.bin"))).unwrap();
    let fresh = load(folder.path()).await;
    let next = Snapshot::new("main.t".into(), fresh.location().clone(), fresh.log().clone(), library);
    register(&context, "t", &Arc::new(next));
    assert_eq!(numbers(&context, "SELECT n FROM t ORDER BY n").await, [expected, vec![5000]].concat());
    register(&context, "t", &Arc::new(fresh));
    let error = context.sql("SELECT n FROM t").await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains(&format!("ab/deletion_vector_{UUID}.bin")), "{error}");
}

#[tokio::test]
async fn a_damaged_vector_is_an_error_that_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    hidden(folder.path(), "u").await;
    let file = folder.path().join(format!("ab/deletion_vector_{UUID}.bin"));
    let whole = fs::read(&file).unwrap();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, &str); 4] = [
        (|bytes| bytes[0] = 2, "version 1"),
        (|bytes| bytes[1] ^= 1, "its file says"),
        (|bytes| bytes[30] ^= 1, "checksum"),
        (|bytes| bytes.truncate(40), ""),
    ];
    for (damage, text) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let context = SessionContext::new();
        register(&context, "t", &open(folder.path()).await);
        let error = context.sql("SELECT n FROM t").await.unwrap().collect().await.unwrap_err();
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            said.push_str(&format!(": {next}"));
            cause = next.source();
        }
        assert!(said.contains(UUID) && said.contains("main.t") && said.contains(text), "{text:?} is not in: {said}");
    }
}

#[tokio::test]
async fn vectors_and_wider_types_go_together() {
    let folder = tempfile::tempdir().unwrap();
    widening::widened(folder.path(), &[]).await;
    hide_rows_1_and_4(folder.path());
    let commit = folder.path().join("_delta_log/00000000000000000001.json");
    let text = fs::read_to_string(&commit).unwrap();
    fs::write(&commit, text.replace(r#":["typeWidening""#, r#":["deletionVectors","typeWidening""#)).unwrap();
    let (context, copied) = (SessionContext::new(), tempfile::tempdir().unwrap());
    register(&context, "t", &open(folder.path()).await);
    let _hot = add_hot(&context, folder.path(), copied.path()).await;
    for table in ["t", "hot"] {
        let found = numbers(&context, &format!("SELECT id FROM {table} ORDER BY id")).await;
        assert_eq!(found, [0, 2, 3, 5, 6, 7, 8, 9]);
        let found = numbers(&context, &format!("SELECT int_long FROM {table} WHERE byte_int < 7 ORDER BY 1")).await;
        assert_eq!(found, [0, 2, 5, 6]);
    }
}

#[tokio::test]
async fn a_vector_that_hides_more_than_there_is_says_so() {
    let folder = tempfile::tempdir().unwrap();
    hidden(folder.path(), "u").await;
    rewrite_log(folder.path(), |line| line.replace(r#"\"numRecords\":1000"#, r#"\"numRecords\":900"#));
    let context = SessionContext::new();
    register(&context, "t", &open(folder.path()).await);
    let error = context.sql("SELECT n FROM t").await.unwrap().collect().await.unwrap_err();
    let cause = format!("{error:?}");
    assert!(cause.contains("it hides row 994 of a file with 900 rows"), "{cause}");
}
