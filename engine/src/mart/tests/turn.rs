//! Rows that are made before it is known whose turn a run is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use boathouse_storage::catalog::{MartLease, MartRun};

use super::{
    super::point::{Point, Points},
    *,
};

const SUMS: &str = "/*---\n[[test]]\nnot_null = \"region\"\n---*/
SELECT region, sum(amount) AS revenue FROM orders GROUP BY region";

async fn project_at(engine: &Arc<Engine>, points: Points) -> Project {
    let definitions = vec![Definition::parse("marts/m.sums.sql", SUMS).unwrap()];
    Project::open(engine, definitions, MartOptions { points, ..options() }).await.unwrap()
}

async fn version(engine: &Arc<Engine>) -> u64 {
    engine.lake().table("m", "sums").await.unwrap().version()
}

/// A mart that was run, and has something to do.
async fn place() -> Arc<Engine> {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let project = project_at(&engine, Points::default()).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    execute(&engine, "INSERT INTO orders VALUES (4, 'c', 40)").await;
    engine
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_made_of_an_older_version_of_the_table_are_made_again() {
    let engine = place().await;
    let (writer, runtime) = (engine.clone(), tokio::runtime::Handle::current());
    let times = AtomicUsize::new(0);
    let points = Points::told_to(move |point| {
        // The lease is there, and the table has not been looked at again.
        if point == Point::RunTaken && times.fetch_add(1, Ordering::SeqCst) == 0 {
            let (writer, runtime) = (writer.clone(), runtime.clone());
            let write = std::thread::spawn(move || {
                runtime.block_on(execute(&writer, "INSERT INTO m.sums VALUES ('by hand', 1)"));
            });
            write.join().unwrap();
        }
    });
    let project = project_at(&engine, points).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(rows(&engine, "SELECT * FROM m.sums ORDER BY 1").await, "a 40\nb 20\nc 40");
    assert_eq!(version(&engine).await, 2, "that of the other one, and one of the run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_published_before_the_lease_is_taken() {
    let engine = place().await;
    // Another process is at it, and shows that it lives; a run of ours waits, and gives way.
    let lake = engine.lake().clone();
    let beat = AtomicU64::new(0);
    let claim = |beat| Claim { token: "other".to_owned(), holder: "process 1".to_owned(), beat };
    let at_it = |beat: u64| {
        let lake = lake.clone();
        async move {
            let lease = MartLease { claim: claim(beat), run: MartRun::default() };
            lake.change_mart("m.sums", |document| document.lease = Some(lease.clone())).await.unwrap();
        }
    };
    at_it(0).await;
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = seen.clone();
    let project = project_at(&engine, Points::told_to(move |point| told.lock().push(point))).await;
    let ours = run(&project);
    tokio::pin!(ours);
    let reports = loop {
        tokio::select! {
            reports = &mut ours => break reports,
            () = tokio::time::sleep(Duration::from_millis(5)) => at_it(beat.fetch_add(1, Ordering::SeqCst) + 1).await,
        }
    };
    assert_eq!(words(&reports), ["busy"]);
    assert_eq!(version(&engine).await, 0);
    assert!(seen.lock().is_empty(), "{:?}", seen.lock());
}

#[tokio::test]
async fn points_are_passed_in_their_order() {
    let engine = place().await;
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = seen.clone();
    let project = project_at(&engine, Points::told_to(move |point| told.lock().push(point))).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    let expected =
        [Point::RunTaken, Point::RunBegun, Point::RowsWritten, Point::RowsTested, Point::RowsPublished, Point::RunTold];
    assert_eq!(*seen.lock(), expected);
}
