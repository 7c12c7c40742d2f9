//! Copies that go bad after they were checked, that were wrong from the start, or that should not be made: they cost
//! time, never a row.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch},
    datatypes::Int64Type,
};
use datafusion::prelude::SessionContext;

use super::{add_hot, append, features::rewrite_log, hot_copies, open, originals, random::Random, register_hot, run};
use crate::{
    HotOptions,
    hot::{Disk, HotCopies},
};

const QUESTION: &str = "SELECT count(*) AS n, sum(a) AS a, sum(b % 1000) AS b FROM hot";

/// One file a commit, each of `rows` rows that do not pack.
async fn noise(folder: &Path, files: usize, rows: usize) {
    let mut random = Random(7);
    for _ in 0..files {
        let mut column = || Arc::new((0..rows).map(|_| Some(random.next() as i64 >> 6)).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter(vec![("a", column() as ArrayRef), ("b", column())]).unwrap();
        append(folder, vec![batch], &[]).await;
    }
}

/// What the question is answered, and how many files came from copies.
async fn ask(context: &SessionContext, question: &str) -> (Vec<i64>, usize) {
    let (found, reports) = run(context, question).await;
    let number = |at: usize| found[0].column(at).as_primitive::<Int64Type>().value(0);
    ((0..found[0].num_columns()).map(number).collect(), reports[0].files_hot)
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "hot")).collect()
}

/// Changes bytes of a file in place, so that whoever has it open sees it.
fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[tokio::test]
async fn a_copy_that_rots_after_its_check_costs_no_row() {
    type Rot = fn(&Path, u64);
    let rots: [(&str, Rot); 4] = [
        ("a byte", |path, length| overwrite(path, length / 3, &[fs::read(path).unwrap()[length as usize / 3] ^ 4])),
        ("zeros", |path, length| overwrite(path, 0, &vec![0; length as usize])),
        ("cut off", |path, length| fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap()),
        ("empty", |path, _| fs::write(path, "").unwrap()),
    ];
    let folder = tempfile::tempdir().unwrap();
    noise(folder.path(), 2, 3000).await;
    for (name, rot) in rots {
        for read_before in [false, true] {
            let (context, copied) = (SessionContext::new(), tempfile::tempdir().unwrap());
            let hot = add_hot(&context, folder.path(), copied.path()).await;
            context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
            let (expected, _) = ask(&context, &QUESTION.replace("hot", "t")).await;
            if read_before {
                assert_eq!(ask(&context, QUESTION).await, (expected.clone(), 2), "{name}");
            }
            copies(copied.path()).iter().for_each(|path| rot(path, fs::metadata(path).unwrap().len()));
            assert_eq!(ask(&context, QUESTION).await.0, expected, "{name}");
            assert_eq!(hot.usage().entries, Some(0), "{name}: dropped");
            ask(&context, QUESTION).await;
            hot.idle().await;
            assert_eq!(ask(&context, QUESTION).await, (expected, 2), "{name}: made anew");
        }
    }
}

#[tokio::test]
async fn rot_in_the_midst_of_a_copy_doubles_no_row() {
    let folder = tempfile::tempdir().unwrap();
    noise(folder.path(), 1, 800_000).await;
    let hide = "SELECT count(*) AS n, sum(a) AS a, sum(b) AS b FROM hot WHERE a % 3 = 0";
    for (at, question) in [(9, QUESTION), (7, hide), (5, QUESTION)] {
        let (context, copied) = (SessionContext::new(), tempfile::tempdir().unwrap());
        let _hot = add_hot(&context, folder.path(), copied.path()).await;
        context.register_table("t", open(folder.path()).await.provider().unwrap()).unwrap();
        let (expected, _) = ask(&context, &question.replace("hot", "t")).await;
        let [copy] = copies(copied.path()).try_into().unwrap();
        let length = fs::metadata(&copy).unwrap().len();
        assert!(length > 8 << 20, "more than is read at once: {length}");
        overwrite(&copy, length / 10 * at, b"rotten");
        assert_eq!(ask(&context, question).await, (expected, 1));
    }
}

#[tokio::test]
async fn a_copy_with_another_number_of_rows_than_the_log_says_is_dropped() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    noise(folder.path(), 1, 50).await;
    let context = SessionContext::new();
    let hot = add_hot(&context, folder.path(), copied.path()).await;
    let question = "SELECT count(a) AS n FROM hot WHERE a % 2 >= -1";
    assert_eq!(ask(&context, question).await, (vec![50], 1));
    let count = |rows: usize| format!(r#"\"numRecords\":{rows}"#);
    rewrite_log(folder.path(), |line| line.replace(&count(50), &count(51)));
    register_hot(&context, folder.path(), &hot).await;
    for _ in 0..3 {
        assert_eq!(ask(&context, question).await, (vec![50], 0));
        hot.idle().await;
        assert_eq!((copies(copied.path()).len(), hot.usage().entries), (0, Some(0)));
    }
}

#[tokio::test]
async fn no_copies_are_made_on_a_disk_that_is_nearly_full() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    noise(folder.path(), 2, 50).await;
    let context = SessionContext::new();
    let options = HotOptions { folder: copied.path().to_owned(), bytes_max: 1 << 30 };
    let hot = HotCopies::open_on(&options, |_| Ok(Disk { free: 2 << 30, total: 100 << 30 })).unwrap();
    let snapshot = register_hot(&context, folder.path(), &hot).await;
    hot.make_all(originals(&snapshot, context.runtime_env().object_store_registry.as_ref()).unwrap()).await;
    assert_eq!(fs::read_dir(copied.path()).unwrap().count(), 0);
    // Copies that are there already are read.
    drop(hot);
    drop(add_hot(&context, folder.path(), copied.path()).await);
    let hot = HotCopies::open_on(&options, |_| Ok(Disk { free: 2 << 30, total: 100 << 30 })).unwrap();
    register_hot(&context, folder.path(), &hot).await;
    let (expected, _) = ask(&context, QUESTION).await;
    hot.idle().await;
    assert_eq!(ask(&context, QUESTION).await, (expected, 2));
}

#[tokio::test]
async fn pinned_tables_are_pinned_after_a_restart() {
    let (pinned, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copied = tempfile::tempdir().unwrap();
    noise(pinned.path(), 1, 500).await;
    noise(other.path(), 1, 500).await;
    let context = SessionContext::new();
    let id = open(pinned.path()).await.id().to_owned();
    let weight = {
        let hot = add_hot(&context, pinned.path(), copied.path()).await;
        let snapshot = register_hot(&context, other.path(), &hot).await;
        hot.make_all(originals(&snapshot, context.runtime_env().object_store_registry.as_ref()).unwrap()).await;
        assert_eq!(hot.usage().entries, Some(2));
        hot.usage().bytes / 2
    };
    // With room for one, that of the pinned table stays.
    let hot = hot_copies(copied.path(), weight + weight / 2);
    register_hot(&context, pinned.path(), &hot).await;
    ask(&context, QUESTION).await;
    hot.idle().await;
    assert_eq!(ask(&context, QUESTION).await.1, 1);
    // It gets a copy when it is read first.
    copies(copied.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    let hot = hot_copies(copied.path(), 1 << 30);
    register_hot(&context, pinned.path(), &hot).await;
    ask(&context, QUESTION).await;
    hot.idle().await;
    assert_eq!(hot.usage().entries, Some(1));
    hot.unpin(&id);
    copies(copied.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    let hot = hot_copies(copied.path(), 1 << 30);
    register_hot(&context, pinned.path(), &hot).await;
    ask(&context, QUESTION).await;
    hot.idle().await;
    assert_eq!(hot.usage().entries, Some(0), "one read is not enough for a table that is not pinned");
}
