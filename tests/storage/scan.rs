//! What a query costs in requests: only files that it cannot do without are asked for.

use boathouse_storage::write;
use boathouse_tests::store::{Request, RequestKind};

use crate::{
    on_every_place,
    place::{Place, info, insert, people, query},
};

on_every_place!(questions_that_the_log_answers_read_no_file, a_limit_reads_only_enough_files);

async fn four_files(place: &Place) {
    let writer = place.open().await;
    write::create(&writer, &people("t"), &info()).await.unwrap();
    for first in [1, 11, 21, 31] {
        let sql = format!("SELECT value AS id, 'x' AS name FROM generate_series({first}, {first} + 9) AS s");
        insert(&writer, "t", &sql).await.unwrap();
    }
}

async fn questions_that_the_log_answers_read_no_file(place: Place) {
    four_files(&place).await;
    let (reader, log) = place.watched().await;
    let snapshot = reader.table("main", "t").await.unwrap();
    log.take();
    for (sql, expected) in [
        ("SELECT count(*) FROM t", "40"),
        ("SELECT count(name) FROM t", "40"),
        ("SELECT min(id), max(id) FROM t", "1 40"),
        ("SELECT id FROM t WHERE id > 40", ""),
    ] {
        assert_eq!(query(&reader, &snapshot, sql).await.join(","), expected, "{sql}");
        assert_eq!(files(&log.take()), Vec::<String>::new(), "{sql}");
    }
    // Text may have been cut, so the largest is read.
    assert_eq!(query(&reader, &snapshot, "SELECT max(name) FROM t").await, ["x"]);
    assert!(!files(&log.take()).is_empty());
}

async fn a_limit_reads_only_enough_files(place: Place) {
    four_files(&place).await;
    let (reader, log) = place.watched().await;
    let snapshot = reader.table("main", "t").await.unwrap();
    for (sql, rows, read) in [
        ("SELECT id FROM t LIMIT 10", 10, 1),
        ("SELECT id FROM t LIMIT 11", 11, 2),
        ("SELECT id FROM t WHERE id > 15 AND id < 18", 2, 1),
        ("SELECT t.id FROM (VALUES (25)) AS k JOIN t ON t.id = column1", 1, 1),
    ] {
        log.take();
        assert_eq!(query(&reader, &snapshot, sql).await.len(), rows, "{sql}");
        assert_eq!(files(&log.take()).len(), read, "{sql}");
    }
}

/// The data files that were asked for, each once.
fn files(requests: &[Request]) -> Vec<String> {
    let gets = requests.iter().filter(|request| request.kind == RequestKind::Get);
    let mut paths: Vec<String> =
        gets.filter(|get| get.path.ends_with(".parquet")).map(|get| get.path.clone()).collect();
    paths.sort();
    paths.dedup();
    paths
}
