//! A writer on a folder, killed while it writes a file: the file is there under its name with `#` and digits, not whole.
//!
//! Nobody takes it for a commit, a data file or a document, nobody is in its way, and upkeep and VACUUM take it away once
//! it is older than any write that is under way. Here the folder is looked at without the store, which shows no such file.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use boathouse_engine::{Engine, EngineConfig};
use boathouse_storage::{
    Lake, StorageOptions,
    maintain::{Vacuum, clear_staged, vacuum},
};
use boathouse_tests::store::{Fate, RequestKind, RequestLog};

use crate::{ANEW, MAKE, ROWS, WRITE, place::answers};

/// As in a process of its own.
async fn engine(folder: &Path, log: &Arc<RequestLog>) -> Arc<Engine> {
    let url = folder.to_str().unwrap();
    let lake = Lake::open_layered(url, &StorageOptions::default(), Some(log.layer())).await.unwrap();
    Engine::on(lake, EngineConfig { threads: 1, memory_bytes_max: 64 << 20, ..EngineConfig::default() }).unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn unfinished(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    files(folder, &mut found);
    let names = found.iter().map(|path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.contains('#')).collect();
    names.sort_unstable();
    names
}

/// The first half of the file that a request was to write.
fn leave_half(path: &str) {
    let path = Path::new("/").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let staged = format!("{}#1218", path.display());
    fs::write(&staged, "{\"commitInfo\":{\"timest").unwrap();
    // VACUUM leaves alone what somebody wrote to within the last hour.
    let file = fs::File::options().write(true).open(staged).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
}

fn writes(kind: RequestKind) -> bool {
    matches!(kind, RequestKind::Put | RequestKind::Create | RequestKind::Multipart)
}

/// `before` makes what `statement` needs; it is killed at each file that it writes.
async fn check(before: &[&str], statement: &str, look: &str, write: &str) {
    let folder = tempfile::tempdir().unwrap();
    let alive = engine(&folder.path().canonicalize().unwrap(), &Arc::default()).await.session();
    for sql in before.iter().chain([&statement]) {
        answers(&alive, sql).await.unwrap();
    }
    let new = answers(&alive, look).await;
    let (mut at, mut logs) = (0, 0);
    loop {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let maker = engine(&root, &Arc::default()).await.session();
        for sql in before {
            answers(&maker, sql).await.unwrap();
        }
        let old = answers(&maker, look).await;
        let log = Arc::new(RequestLog::default());
        let writer = engine(&root, &log).await.session();
        let mut seen = 0;
        log.set_rule(move |request| {
            let now = seen;
            seen += usize::from(writes(request.kind));
            if now < at || (now == at && !writes(request.kind)) {
                return Fate::Served;
            }
            if now == at {
                leave_half(&request.path);
            }
            Fate::Refused
        });
        let done = answers(&writer, statement).await;
        let left = unfinished(&root);
        if left.is_empty() {
            assert!(done.is_ok() && at > 0, "{statement}: {done:?}");
            break;
        }
        let place = format!("{statement}: killed at file {at}, {left:?}: {done:?}");
        assert_eq!(left.len(), 1, "{place}");
        logs += usize::from(left[0].contains("_delta_log"));
        let found = answers(&engine(&root, &Arc::default()).await.session(), look).await;
        assert!(found == old || found == new, "{place}: {found:?}");
        go_on(&root, look, write, &place, &found).await;
        at += 1;
    }
    assert!(logs > 0, "{statement}: no death was at a commit");
}

/// A later process writes and cleans up.
async fn go_on(root: &Path, look: &str, write: &str, place: &str, found: &Result<String, String>) {
    let later = engine(root, &Arc::default()).await;
    let session = later.session();
    answers(&session, write).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    let written = answers(&session, look).await;
    assert_ne!(written, *found, "{place}: a later write is not there");
    let request = Vacuum { only_orphans: true, ..Vacuum::default() };
    let young = vacuum(later.lake(), "main", "t", &request).await.unwrap();
    assert!(young.files.is_empty(), "it may be under way: {place}: {young:?}");
    assert!(clear_staged(later.lake(), None).await.unwrap().files.is_empty(), "{place}");
    assert_eq!(unfinished(root).len(), 1, "{place}");
    let request = Vacuum { retain_hours: Some(0), any_retention: true, ..request };
    let in_table = vacuum(later.lake(), "main", "t", &Vacuum { dry_run: true, ..request }).await.unwrap();
    let gone = vacuum(later.lake(), "main", "t", &request).await.unwrap();
    assert_eq!(gone, in_table, "{place}");
    let elsewhere = clear_staged(later.lake(), Some(Duration::ZERO)).await.unwrap();
    let cleared = gone.files.iter().chain(&elsewhere.files).filter(|(name, _)| name.contains('#')).count();
    assert_eq!((unfinished(root), cleared), (vec![], 1), "{place}");
    let fresh = engine(root, &Arc::default()).await.session();
    assert_eq!(answers(&fresh, look).await, written, "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_file_is_nothing_and_goes() {
    let vectors = "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')";
    check(&[MAKE], "INSERT INTO t VALUES (6, 60)", ROWS, WRITE).await;
    check(&[MAKE, vectors], "DELETE FROM t WHERE id = 2", ROWS, WRITE).await;
    check(&[], MAKE, ROWS, ANEW).await;
}
