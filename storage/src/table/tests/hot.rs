//! Copies of files: read instead of them, made when they are worth it, never believed blindly.

use std::{
    collections::HashSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    util::pretty::pretty_format_batches,
};
use datafusion::prelude::SessionContext;

use super::{add_hot, append, hot_copies, originals, register_hot, rows, run};
use crate::{
    HotOptions,
    hot::{CopyKey, Disk, HotCopies, Tried},
    table::copy_keys,
};

const QUESTION: &str = "SELECT id, name FROM hot WHERE name <> 'name 7' ORDER BY id";

async fn numbers(folder: &Path, files: i64) {
    for file in 0..files {
        let batch = RecordBatch::try_from_iter(vec![
            ("id", Arc::new(Int64Array::from_iter_values(file * 100..file * 100 + 50)) as ArrayRef),
            ("name", Arc::new(StringArray::from_iter_values((0..50).map(|n| format!("name {n}"))))),
        ]);
        append(folder, vec![batch.unwrap()], &[]).await;
    }
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // Beside them lies the list of pinned tables.
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "hot")).collect()
}

/// How many files of the question came from copies; the rows must be right.
async fn ask(context: &SessionContext, expected: &[RecordBatch]) -> usize {
    let (found, reports) = run(context, QUESTION).await;
    assert_eq!(
        pretty_format_batches(&found).unwrap().to_string(),
        pretty_format_batches(expected).unwrap().to_string()
    );
    reports[0].files_hot
}

#[tokio::test]
async fn copies_are_read_and_reported() {
    let (folder, hot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 3).await;
    let context = SessionContext::new();
    let kept = add_hot(&context, folder.path(), hot.path()).await;
    assert_eq!(copies(hot.path()).len(), 3);
    let (batches, reports) = run(&context, "SELECT name FROM hot WHERE id >= 120 AND name <> 'name 30'").await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 78);
    assert_eq!((reports[0].files_read, reports[0].files_hot), (2, 2));
    assert!(reports[0].bytes_read > 0);
    let shown = rows(&context, "EXPLAIN ANALYZE SELECT name FROM hot WHERE id >= 120").await;
    assert!(shown.contains("files_hot=2"), "{shown}");
    let usage = kept.usage();
    assert_eq!((usage.entries, usage.hits, usage.misses), (Some(3), 4, 0));
    let bytes: u64 = copies(hot.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(usage.bytes, bytes);
}

#[tokio::test]
async fn the_second_read_makes_a_copy_that_outlives_the_process() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 3).await;
    let context = SessionContext::new();
    {
        let hot = hot_copies(copied.path(), 1 << 30);
        register_hot(&context, folder.path(), &hot).await;
        let (expected, _) = run(&context, QUESTION).await;
        hot.idle().await;
        assert_eq!(copies(copied.path()).len(), 0, "one read is not enough");
        assert_eq!(ask(&context, &expected).await, 0);
        hot.idle().await;
        assert_eq!(ask(&context, &expected).await, 3);
    }
    let hot = hot_copies(copied.path(), 1 << 30);
    register_hot(&context, folder.path(), &hot).await;
    let (expected, reports) = run(&context, QUESTION).await;
    assert_eq!(reports[0].files_hot, 0, "nobody has checked the copies yet");
    hot.idle().await;
    assert_eq!(ask(&context, &expected).await, 3);
    let made: Vec<_> = copies(copied.path());
    assert_eq!(made.len(), 3, "the copies are those of before: {made:?}");
}

#[tokio::test]
async fn a_damaged_copy_is_not_believed() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("truncated", |path| File::options().write(true).open(path).unwrap().set_len(700).unwrap()),
        ("empty", |path| fs::write(path, "").unwrap()),
        ("garbage", |path| fs::write(path, vec![0xA5; 5000]).unwrap()),
        ("longer", |path| fs::write(path, [fs::read(path).unwrap(), vec![0]].concat()).unwrap()),
        ("a byte in the data", |path| flip(path, |length| length / 3)),
        ("a byte in the end", |path| flip(path, |length| length - 40)),
    ];
    let folder = tempfile::tempdir().unwrap();
    numbers(folder.path(), 2).await;
    for (name, damage) in damages {
        let copied = tempfile::tempdir().unwrap();
        let context = SessionContext::new();
        drop(add_hot(&context, folder.path(), copied.path()).await);
        context.deregister_table("hot").unwrap();
        copies(copied.path()).iter().for_each(|path| damage(path));
        let hot = hot_copies(copied.path(), 1 << 30);
        register_hot(&context, folder.path(), &hot).await;
        let (expected, _) = run(&context, QUESTION).await;
        assert_eq!(expected.iter().map(RecordBatch::num_rows).sum::<usize>(), 98, "{name}");
        hot.idle().await;
        assert_eq!(hot.usage().hits, 0, "{name}");
        for _ in 0..2 {
            ask(&context, &expected).await;
            hot.idle().await;
        }
        assert_eq!(ask(&context, &expected).await, 2, "{name}: made anew");
    }
}

fn flip(path: &Path, at: fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_copy_that_vanished_is_not_missed() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 2).await;
    let context = SessionContext::new();
    let hot = add_hot(&context, folder.path(), copied.path()).await;
    copies(copied.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    let (expected, reports) = run(&context, QUESTION).await;
    assert_eq!((expected.iter().map(RecordBatch::num_rows).sum::<usize>(), reports[0].files_hot), (98, 0));
    ask(&context, &expected).await;
    hot.idle().await;
    assert_eq!(ask(&context, &expected).await, 2, "the table is pinned");
}

#[tokio::test]
async fn the_folder_is_cleared_of_what_was_half_done_and_of_nothing_else() {
    let copied = tempfile::tempdir().unwrap();
    let [stale, held, other] = ["a.tmp", "b.tmp", "notes.txt"].map(|name| copied.path().join(name));
    [&stale, &held, &other].iter().for_each(|path| fs::write(path, "x").unwrap());
    let at_work = File::open(&held).unwrap();
    at_work.lock().unwrap();
    let hot = hot_copies(copied.path(), 1 << 30);
    assert_eq!((stale.exists(), held.exists(), other.exists()), (false, true, true));
    assert_eq!(hot.usage().entries, Some(0));
}

#[tokio::test]
async fn copies_never_weigh_more_than_they_may() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 6).await;
    let context = SessionContext::new();
    let one = {
        let hot = add_hot(&context, folder.path(), copied.path()).await;
        hot.usage().bytes / 6
    };
    // A smaller bound after a restart.
    let hot = hot_copies(copied.path(), one * 3 + one / 2);
    assert_eq!(hot.usage().entries, Some(3));
    register_hot(&context, folder.path(), &hot).await;
    let (expected, _) = run(&context, QUESTION).await;
    for _ in 0..5 {
        hot.idle().await;
        let usage = hot.usage();
        let lie: u64 = copies(copied.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(usage.bytes <= usage.bytes_max && lie == usage.bytes, "{lie} bytes lie there, {usage:?}");
        assert!(ask(&context, &expected).await <= 3);
    }
    hot.idle().await;
    let before = hot.usage();
    for _ in 0..3 {
        assert_eq!(ask(&context, &expected).await, 3);
        hot.idle().await;
    }
    assert_eq!(hot.usage().evictions, before.evictions, "going round more than fits pushes nothing out");
}

#[tokio::test]
async fn two_processes_share_a_folder() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 3).await;
    let (first, second) = (SessionContext::new(), SessionContext::new());
    let (one, two) = (hot_copies(copied.path(), 1 << 30), hot_copies(copied.path(), 1 << 30));
    register_hot(&first, folder.path(), &one).await;
    register_hot(&second, folder.path(), &two).await;
    let (expected, _) = run(&first, QUESTION).await;
    for _ in 0..2 {
        futures::join!(ask(&first, &expected), ask(&second, &expected));
    }
    futures::join!(one.idle(), two.idle());
    assert_eq!((ask(&first, &expected).await, ask(&second, &expected).await), (3, 3));
    assert_eq!(copies(copied.path()).len(), 3);
}

#[tokio::test]
async fn a_table_made_anew_never_gets_the_copies_of_the_old_one() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 1).await;
    let context = SessionContext::new();
    let hot = add_hot(&context, folder.path(), copied.path()).await;
    // The same name, size and time of the file; another table.
    let log = folder.path().join("_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&log).unwrap();
    let id = register_hot(&context, folder.path(), &hot).await.id().to_owned();
    fs::write(&log, text.replace(&id, "00000000-0000-4000-8000-000000000000")).unwrap();
    register_hot(&context, folder.path(), &hot).await;
    let (expected, reports) = run(&context, QUESTION).await;
    assert_eq!((reports[0].files_read, reports[0].files_hot), (1, 0));
    hot.idle().await;
    ask(&context, &expected).await;
    hot.idle().await;
    assert_eq!(ask(&context, &expected).await, 1);
}

#[tokio::test]
async fn a_file_whose_copy_makes_the_maker_panic_is_named_and_the_others_come() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 3).await;
    let context = SessionContext::new();
    let options = HotOptions { folder: copied.path().to_owned(), bytes_max: 1 << 30 };
    let ask = |_: &Path| match ASKED.fetch_add(1, Ordering::Relaxed) {
        1 => panic!("the second file is not liked"),
        _ => Ok(Disk { free: 1 << 50, total: 1 << 50 }),
    };
    let hot = HotCopies::open_on(&options, ask).unwrap();
    let snapshot = register_hot(&context, folder.path(), &hot).await;
    let files = originals(&snapshot, context.runtime_env().object_store_registry.as_ref()).unwrap();
    let paths: Vec<String> = files.iter().map(|file| file.key.path.clone()).collect();
    let (brought, rest) = hot.bring(files).await;
    assert_eq!((brought.files, brought.files_left), (2, 1));
    let [(path, reason)] = &brought.failed[..] else { panic!("{brought:?}") };
    assert_eq!((path, &rest[0].key.path), (&paths[1], &paths[1]));
    assert!(reason.contains("the second file is not liked"), "{reason}");
    // Queries do not make it panic again and again.
    for _ in 0..3 {
        let (_, reports) = run(&context, QUESTION).await;
        hot.idle().await;
        assert_eq!((reports[0].files_hot, ASKED.load(Ordering::Relaxed)), (2, 3));
    }
}

#[tokio::test]
async fn a_pinned_table_gives_up_copies_of_files_that_it_no_longer_has_but_for_those_being_read() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 3).await;
    let context = SessionContext::new();
    let hot = add_hot(&context, folder.path(), copied.path()).await;
    let snapshot = register_hot(&context, folder.path(), &hot).await;
    let keys = copy_keys(&snapshot).unwrap();
    let names: Vec<String> = keys.iter().map(CopyKey::file_name).collect();
    // The second and the third are gone; a query reads the third.
    let being_read = hot.read(&keys[2], "main.t", None, || None).unwrap();
    let files = HashSet::from([names[0].clone()]);
    let look = hot.begin_look(snapshot.id(), snapshot.version()).unwrap();
    let table = (&look, "main.t");
    assert_eq!(hot.settle(table, &files, Some(files.clone())).await.unwrap().0, 1);
    let there = || hot.sizes(&keys).iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(there(), [true, false, true]);
    being_read.check().unwrap();
    drop(being_read);
    assert_eq!(hot.settle(table, &files, Some(files.clone())).await.unwrap().0, 1);
    assert_eq!(there(), [true, false, false]);
    // Read once, a file of before gets no copy any more.
    let original = || panic!("nobody wants it");
    assert!(hot.read(&keys[1], "main.t", None, original).is_none());
    // What is young no more goes, unless it is read often.
    assert_eq!(hot.settle(table, &files, Some(HashSet::new())).await.unwrap().0, 1);
    assert_eq!(there(), [false; 3]);
}

#[tokio::test]
async fn a_look_that_is_over_pins_nothing_and_makes_nothing() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 2).await;
    let context = SessionContext::new();
    let hot = hot_copies(copied.path(), 1 << 30);
    let snapshot = register_hot(&context, folder.path(), &hot).await;
    let mut files = originals(&snapshot, context.runtime_env().object_store_registry.as_ref()).unwrap();
    let (second, first) = (files.pop().unwrap(), files.pop().unwrap());
    let names: HashSet<String> = [&first, &second].iter().map(|file| file.key.file_name()).collect();
    let look = hot.begin_look(snapshot.id(), snapshot.version()).unwrap();
    assert!(hot.settle((&look, "main.t"), &names, Some(names.clone())).await.is_some());
    assert!(matches!(hot.make(&look, first).await, Tried::There(bytes) if bytes > 0));
    assert_eq!(hot.release(snapshot.id()).await.files, 1);
    assert_eq!(hot.make(&look, second).await, Tried::Over);
    assert_eq!(hot.settle((&look, "main.t"), &names, Some(names.clone())).await, None);
    assert!(!hot.is_followed(snapshot.id()));
    assert_eq!(copies(copied.path()).len(), 0);
    // An older version takes nothing away from a newer one.
    let newer = hot.begin_look(snapshot.id(), snapshot.version() + 1).unwrap();
    assert_eq!(hot.begin_look(snapshot.id(), snapshot.version()), None);
    assert!(hot.is_current(&newer));
}

#[tokio::test]
async fn a_copy_that_gets_no_place_says_whether_it_is_for_lack_of_room() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    numbers(folder.path(), 2).await;
    let context = SessionContext::new();
    let hot = hot_copies(&copied.path().join("gone"), 1 << 30);
    let snapshot = register_hot(&context, folder.path(), &hot).await;
    let files = originals(&snapshot, context.runtime_env().object_store_registry.as_ref()).unwrap();
    // What is not there any more fails.
    let look = hot.begin_look(snapshot.id(), snapshot.version()).unwrap();
    fs::remove_file(folder.path().join(files[1].path.filename().unwrap())).unwrap();
    assert_eq!(hot.make(&look, files[1].clone()).await, Tried::Failed);
    assert!(matches!(hot.make(&look, files[0].clone()).await, Tried::There(_)));
    // So does what is larger than all the room there is.
    let hot = hot_copies(&copied.path().join("small"), files[0].key.size - 1);
    let look = hot.begin_look(snapshot.id(), snapshot.version()).unwrap();
    assert_eq!(hot.make(&look, files[0].clone()).await, Tried::Failed);
    // A full disk has room for none.
    let options = HotOptions { folder: copied.path().join("full"), bytes_max: 1 << 30 };
    let hot = HotCopies::open_on(&options, |_: &Path| Ok(Disk { free: 0, total: 1 << 50 })).unwrap();
    let look = hot.begin_look(snapshot.id(), snapshot.version()).unwrap();
    assert_eq!(hot.make(&look, files[0].clone()).await, Tried::NoRoom);
}
