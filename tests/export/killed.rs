//! A process that delivers is killed, at any time: whoever comes next leaves each row in the database once.

use std::time::{Duration, Instant};

use crate::{database::Database, place::Place};

/// Times at which it is killed, over the time that it takes.
const KILLS: u32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_each_row_arrives_once() {
    let Some(database) = Database::start().await else { return };
    let table = "CREATE TABLE t AS SELECT value AS id FROM generate_series(1, 1000)";
    let place = Place::new(&database, table, "table = \"s.rows\", mode = \"append\"", "SELECT * FROM t");
    let arguments = ["mart", "export", "--lake", "lake", "--config", "boathouse.toml"];
    place.run(&database);
    let (mut rows, mut took) = (1000_u64, Duration::ZERO);
    for kill in 0..=KILLS {
        let (from, to) = (rows + 1, rows + 1000);
        place.sql(&database, &format!("INSERT INTO t SELECT value FROM generate_series({from}, {to})"));
        rows = to;
        // The run, without a destination to deliver to.
        let _ = place
            .command(&database, &["mart", "run", "--lake", "lake", "--config", "boathouse.toml"])
            .env("WAREHOUSE", "postgres://boathouse@127.0.0.1:1/postgres")
            .output()
            .unwrap();
        let began = Instant::now();
        let mut child = place.command(&database, &arguments).spawn().unwrap();
        if kill == 0 {
            assert!(child.wait().unwrap().success());
            took = began.elapsed();
        } else {
            tokio::time::sleep(took * kill / KILLS).await;
            // SIGKILL.
            let _ = child.kill();
            let _ = child.wait();
            // Its claim would be taken over after half a minute. What the lake knows of exports may be lost: the ledger is there.
            place.forget_exports();
            let (text, good) = place.mart(&database, &["export"]);
            assert!(good, "{text}");
        }
        let found = database.ask("SELECT count(*), count(DISTINCT id), max(id) FROM s.rows").await;
        assert_eq!(found, [format!("{rows}|{rows}|{rows}")], "kill {kill}");
        let twice = "SELECT version FROM s._boathouse_deliveries GROUP BY version HAVING count(*) > 1";
        assert_eq!(database.ask(twice).await, [""; 0], "kill {kill}");
    }
}
