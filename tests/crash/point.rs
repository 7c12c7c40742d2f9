//! A process that runs marts and delivers them is ended at every point that the code names, each time it is passed: the next
//! one finds what was there before or what the run makes, and brings it to its end without doing anything twice.
//!
//! The process is this test once more, which aborts at its point: no destructor runs, no task ends, as with kill -9. Points
//! are those of [`Point::ALL`], and each must have ended a process: a new one is tested, or the test fails.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use boathouse_engine::{
    Definition, Engine, EngineConfig, MartOptions, MartOutcome, Project,
    mart::{Clock, DeltaExports, Destination, ExportOutcome, FileExports, FileFormat, LeaseTimes, Point, Points},
};
use futures::{StreamExt, stream};

use crate::place::answers;

/// Rows that are put aside, and a table that each run writes anew; the newest version lies in files.
const SUMS: &str = "/*---
export = [{ to = \"files\" }]
[[test]]
unique = \"g\"
[[test]]
expect = \"x < 1000\"
on_violation = \"quarantine\"
---*/
SELECT id % 2 AS g, sum(x) AS x FROM t GROUP BY 1";

/// Days, each a commit of its own; what is new is added to a Delta table.
const DAYS: &str = "/*---
strategy = \"append\"
interval = { column = \"ts\", grain = \"day\", start = \"1970-01-01\" }
export = [{ to = \"share\", mode = \"append\" }]
---*/
SELECT g, x, ts FROM (SELECT id AS g, x, to_timestamp(id * 43200) AS ts FROM t) AS days
WHERE ts >= $start AND ts < $end";

/// The point, how often it is passed before, and the folder of lake and destinations.
const DIES_AT: &str = "BOATHOUSE_TEST_DIES_AT";
const PLACE: &str = "BOATHOUSE_TEST_PLACE";

/// The signal of a process that aborts.
const ABORTED: i32 = 6;
/// Points that are tried together.
const AT_ONCE: usize = 4;
const DAY_MS: i64 = 86_400_000;

async fn engine(folder: &Path) -> Arc<Engine> {
    let config = EngineConfig { threads: 1, memory_bytes_max: 64 << 20, ..EngineConfig::default() };
    Engine::create(folder.to_str().unwrap(), config).await.unwrap()
}

/// Runs both marts on a day, and delivers them: a word for each, the deliveries behind the runs.
async fn run(place: &Path, day: i64, points: Points) -> Vec<String> {
    let engine = engine(&place.join("lake")).await;
    let to = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let files: Arc<dyn Destination> = Arc::new(FileExports::new(&to("files"), FileFormat::Csv).unwrap());
    let share: Arc<dyn Destination> = Arc::new(DeltaExports::new(&to("share")).unwrap());
    // Long enough for a slow disk: who does not hear of its own beat for half of the time gives up.
    let [beat, dead_after, look] = [200, 4000, 50].map(Duration::from_millis);
    let options = MartOptions {
        clock: Clock::of(move || day * DAY_MS),
        lease: LeaseTimes { beat, dead_after, look },
        destinations: [("files".to_owned(), files), ("share".to_owned(), share)].into_iter().collect(),
        points,
    };
    let definitions = [("m.sums.sql", SUMS), ("m.days.sql", DAYS)];
    let definitions = definitions.map(|(file, text)| Definition::parse(file, text).unwrap()).to_vec();
    let project = Project::open(&engine, definitions, options).await.unwrap();
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    let exports = project.export(&[], None, false, |_| {}).await.unwrap();
    engine.idle().await;
    let runs = runs.iter().map(|report| match &report.outcome {
        MartOutcome::Failed(error) => format!("{} failed: {error}", report.mart),
        outcome => format!("{} {}", report.mart, outcome.word()),
    });
    let exports = exports.iter().map(|report| match &report.outcome {
        ExportOutcome::Failed(error) => format!("{} not exported: {error}", report.mart),
        outcome => format!("{} {}", report.mart, outcome.word()),
    });
    runs.chain(exports).collect()
}

/// What is in the lake and at the destinations: of each, what it shows and how often it was changed.
async fn found(place: &Path) -> BTreeMap<&'static str, (String, u64)> {
    let lake = engine(&place.join("lake")).await;
    let mut found = BTreeMap::new();
    for (name, sql) in [
        ("sums", "SELECT * FROM m.sums ORDER BY g"),
        ("sums_quarantine", "SELECT g, x FROM m.sums_quarantine ORDER BY g"),
        ("days", "SELECT * FROM m.days ORDER BY g"),
    ] {
        let rows = answers(&lake.session(), sql).await.unwrap();
        // An attempt that was cut short may have put rows aside, which the next one puts in the place of those.
        let version = if name == "sums_quarantine" { 0 } else { lake.lake().table("m", name).await.unwrap().version() };
        found.insert(name, (rows, version));
    }
    let share = engine(&place.join("share")).await;
    let rows = answers(&share.session(), "SELECT * FROM m.days ORDER BY g").await.unwrap();
    found.insert("share", (rows, share.lake().table("m", "days").await.unwrap().version()));
    let files = place.join("files/m.sums");
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(files.join("manifest.json")).unwrap()).unwrap();
    let entries = manifest["entries"].as_array().unwrap().iter();
    let texts = entries.map(|entry| fs::read_to_string(files.join(entry["path"].as_str().unwrap())).unwrap());
    let mut lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort();
    found.insert("files", (lines.join("\n"), manifest["version"].as_u64().unwrap()));
    found
}

/// One that will be ended: it does what a server does.
#[tokio::main]
async fn dies(at: &str, place: &Path) {
    let (name, before) = at.split_once('/').unwrap();
    let (name, left) = (name.to_owned(), AtomicUsize::new(before.parse().unwrap()));
    let points = Points::told_to(move |point| {
        if point.name() == name
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        {
            std::process::abort();
        }
    });
    run(place, 4, points).await;
}

/// Starts this test as another process.
async fn start(point: Point, before: usize, place: &Path) -> ExitStatus {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "point::a_process_that_is_ended_at_every_point_by_name"]);
    process.env(DIES_AT, format!("{}/{before}", point.name())).env(PLACE, place);
    process.stdout(Stdio::null()).stderr(Stdio::null());
    tokio::task::spawn_blocking(move || process.status().unwrap()).await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() { copy(&entry, &to) } else { assert!(fs::copy(&entry, &to).is_ok(), "{entry:?}") }
    }
}

/// The place in which version 0 is delivered of all, and there is more to do.
async fn begin(place: &Path) {
    let lake = engine(&place.join("lake")).await;
    let make = "CREATE TABLE t AS SELECT value AS id, value * 10 AS x FROM generate_series(1, 3)";
    answers(&lake.session(), make).await.unwrap();
    let words = run(place, 2, Points::default()).await;
    let good = |word: &String| word.ends_with("succeeded") || word.ends_with("delivered");
    assert!(words.iter().all(good), "{words:?}");
    let more = "INSERT INTO t VALUES (4, 40), (5, 50), (6, 60), (7, 2000)";
    answers(&lake.session(), more).await.unwrap();
    lake.idle().await;
}

/// Ends a process at the point, after it was passed so often, and checks what comes behind. Whether it came so far.
async fn check(start_from: &Path, point: Point, before: usize, ends: &Ends, to: &Path) -> bool {
    copy(start_from, to);
    let status = start(point, before, to).await;
    let place = format!("{}, passed {before} times before", point.name());
    if status.success() {
        assert!(before > 0, "no run and no delivery passes {place}");
        return false;
    }
    assert_eq!(status.signal(), Some(ABORTED), "{place}: {status}");
    let between = found(to).await;
    for (name, (rows, version)) in &between {
        let ((old, first), (new, last)) = (&ends.old[name], &ends.new[name]);
        // Each day is a commit, so a day may be there and the next one not.
        let whole = rows == old || rows == new || (*name == "days" && version > first && version < last);
        assert!(whole, "{place}: {name}\n{rows}");
    }
    let words = run(to, 4, Points::default()).await;
    let good = ["succeeded", "skipped", "delivered", "up to date"];
    assert!(words.iter().all(|word| good.iter().any(|good| word.ends_with(good))), "{place}: {words:?}");
    assert_eq!(found(to).await, ends.new, "{place}");
    let words = run(to, 4, Points::default()).await;
    let idle = |word: &String| word.ends_with("skipped") || word.ends_with("up to date");
    assert!(words.iter().all(idle), "{place}: {words:?}");
    assert_eq!(found(to).await, ends.new, "{place}: a run that had nothing to do");
    true
}

struct Ends {
    old: BTreeMap<&'static str, (String, u64)>,
    new: BTreeMap<&'static str, (String, u64)>,
}

#[test]
fn a_process_that_is_ended_at_every_point_by_name() {
    if let (Ok(at), Ok(place)) = (std::env::var(DIES_AT), std::env::var(PLACE)) {
        return dies(&at, &PathBuf::from(place));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let begun = folder.path().join("begun");
        begin(&begun).await;
        let whole = folder.path().join("whole");
        copy(&begun, &whole);
        let old = found(&whole).await;
        run(&whole, 4, Points::default()).await;
        let ends = Ends { old, new: found(&whole).await };
        for (name, (rows, version)) in &ends.new {
            assert!(*rows != ends.old[name].0, "{name} is as it was before, {version}");
        }
        // Most of the time they wait for the lease of the one that was ended.
        let points = stream::iter(Point::ALL).map(|point| check_all(*point, &begun, &ends, folder.path()));
        let ended: Vec<usize> = points.buffered(AT_ONCE).collect().await;
        // Two runs, one of them with two intervals, and two deliveries.
        let times: Vec<(Point, usize)> = Point::ALL.iter().copied().zip(ended).collect();
        assert!(times.iter().all(|(_, times)| *times > 0), "{times:?}: a point at which no process was ended");
        let of = |point: Point| times.iter().find(|(known, _)| *known == point).map(|(_, times)| *times);
        assert_eq!((of(Point::RowsPublished), of(Point::RowsDelivered)), (Some(3), Some(2)), "{times:?}");
    });
}

/// Ends processes at a point, the first time that it is passed, the second time, and so on; how often that was.
async fn check_all(point: Point, begun: &Path, ends: &Ends, folder: &Path) -> usize {
    for before in 0.. {
        let place = folder.join(format!("{}-{before}", point.name()));
        let came_so_far = check(begun, point, before, ends, &place).await;
        fs::remove_dir_all(&place).unwrap();
        if !came_so_far {
            return before;
        }
    }
    0
}
