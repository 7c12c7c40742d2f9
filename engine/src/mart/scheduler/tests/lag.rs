//! Marts whose rows may be so far behind what they read, and no farther.

use boathouse_storage::catalog::MartRun;

use super::*;

const SECOND: i64 = 1000;

async fn insert(place: &Place) {
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
}

#[tokio::test]
async fn a_change_is_in_the_rows_in_time_and_without_one_nothing_runs() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { target_lag = \"1h\" }", SUM);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    assert_eq!(place.runs("m.total").await, [(MartCause::Commit, "succeeded", 1)]);
    assert_eq!(place.number("SELECT count(*) FROM system.marts WHERE refresh = 'target lag 1h'").await, 1);
    for hours in [1, 2, 5] {
        place.at(hours * HOUR);
        turn(&mut scheduler).await;
    }
    assert_eq!(place.runs("m.total").await.len(), 1);
    insert(&place).await;
    // Ten seconds are kept in hand.
    let due = 6 * HOUR - 10 * SECOND;
    for ms in [5 * HOUR + 5 * SECOND, 5 * HOUR + MINUTE, due - SECOND] {
        place.at(ms);
        let next_ms = turn(&mut scheduler).await;
        assert_eq!(next_ms, (ms + 10 * SECOND).min(due));
        // More changes do not put it off.
        insert(&place).await;
    }
    assert_eq!(place.version("total").await, 0);
    place.at(due);
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 1);
    assert_eq!(place.number("SELECT total FROM m.total").await, 90);
    turn(&mut scheduler).await;
    turn(&mut place.scheduler()).await;
    assert_eq!(place.version("total").await, 1);
}

#[tokio::test]
async fn a_server_that_begins_counts_from_the_last_run() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { target_lag = \"1h\" }", SUM);
    turn(&mut place.scheduler()).await;
    insert(&place).await;
    place.at(HOUR / 2);
    turn(&mut place.scheduler()).await;
    assert_eq!(place.version("total").await, 0);
    place.at(HOUR - 10 * SECOND);
    turn(&mut place.scheduler()).await;
    assert_eq!(place.version("total").await, 1);
    // Another definition does not wait.
    place.write("m.total", "refresh = { target_lag = \"1h\" }", "SELECT sum(amount) + 1 AS total FROM orders");
    place.at(HOUR + MINUTE);
    turn(&mut place.scheduler()).await;
    assert_eq!(place.version("total").await, 2);
}

#[tokio::test]
async fn a_mart_that_takes_long_begins_early() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { target_lag = \"1h\" }", SUM);
    turn(&mut place.scheduler()).await;
    // Twenty minutes, and half as much again.
    let long = |run: &mut MartRun| run.ended_ms = run.started_ms + 20 * MINUTE;
    place.engine.lake().change_mart("m.total", |document| document.runs.iter_mut().for_each(long)).await.unwrap();
    insert(&place).await;
    let mut scheduler = place.scheduler();
    place.at(30 * MINUTE - 11 * SECOND);
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 0);
    place.at(30 * MINUTE - 10 * SECOND);
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 1);
}

#[tokio::test]
async fn one_that_follows_those_that_read_it_has_the_smallest_lag() {
    let place = Place::new().await;
    let downstream = "refresh = { target_lag = \"downstream\" }";
    place.write("m.base", downstream, SUM);
    place.write("m.hour", "refresh = { target_lag = \"1h\" }", "SELECT total FROM m.base");
    place.write("m.day", "refresh = { target_lag = \"1d\" }", "SELECT total FROM m.base");
    // Nobody reads this one.
    place.write("m.alone", downstream, SUM);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    turn(&mut scheduler).await;
    let versions = async || {
        let mut versions = Vec::new();
        for mart in ["base", "hour", "day", "alone"] {
            versions.push(place.version(mart).await);
        }
        versions
    };
    // What was never published is.
    assert_eq!(versions().await, [0, 0, 0, 0]);
    insert(&place).await;
    place.at(HOUR - 21 * SECOND);
    turn(&mut scheduler).await;
    assert_eq!(versions().await, [0, 0, 0, 0]);
    place.at(HOUR - 20 * SECOND);
    turn(&mut scheduler).await;
    turn(&mut scheduler).await;
    assert_eq!(versions().await, [1, 1, 0, 0]);
    for hours in 2..23 {
        place.at(hours * HOUR);
        turn(&mut scheduler).await;
    }
    assert_eq!(versions().await, [1, 1, 0, 0]);
    place.at(24 * HOUR);
    turn(&mut scheduler).await;
    assert_eq!(versions().await, [1, 1, 1, 0]);
    // With nobody left who needs it, it rests.
    fs::remove_file(place.folder.path().join("m.hour.sql")).unwrap();
    fs::remove_file(place.folder.path().join("m.day.sql")).unwrap();
    insert(&place).await;
    place.at(100 * HOUR);
    turn(&mut scheduler).await;
    assert_eq!(versions().await, [1, 1, 1, 0]);
}

#[tokio::test]
async fn a_mart_cannot_be_newer_than_what_it_reads() {
    let place = Place::new().await;
    place.write("m.base", "refresh = { target_lag = \"1d\" }", SUM);
    place.write("m.fast", "owner = \"x\"\nrefresh = { target_lag = \"1h\" }", "SELECT total FROM m.base");
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    let fault = &scheduler.faults()[0];
    let expected =
        "m.fast.sql:3: target_lag is 1h, and that of mart \"m.base\", which it reads, is 1d\nHINT: Write a longer";
    assert!(fault.contains(expected), "{fault}");
    assert_eq!(place.runs("m.base").await.len(), 1);
    assert_eq!(place.runs("m.fast").await, [(MartCause::Commit, "failed", 1)]);
}
