//! What is told besides failures: rows that are too old, and numbers that are unusual.

use parking_lot::Mutex;

use super::*;

type Heard = Arc<Mutex<Vec<(String, &'static str, Option<String>)>>>;

fn telling(place: &Place, heard: &Heard) -> Scheduler {
    let hears = heard.clone();
    place.scheduler().telling(move |notice| hears.lock().push((notice.mart, notice.kind.word(), notice.error)))
}

#[tokio::test]
async fn rows_that_grow_old_are_told_of_once_whoever_looks() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { every = \"1d\" }\nfreshness = { warn = \"2h\", error = \"6h\" }", SUM);
    let heard = Heard::default();
    let mut scheduler = telling(&place, &heard);
    turn(&mut scheduler).await;
    for hours in [1, 3, 4, 7, 8] {
        place.at(hours * HOUR);
        turn(&mut scheduler).await;
        // Another server, or this one after a restart.
        turn(&mut telling(&place, &heard)).await;
    }
    let late = "SELECT count(*) FROM system.marts WHERE late = 'error' AND freshness = 'warn after 2h, error after 6h'";
    assert_eq!(place.number(late).await, 1);
    place.execute("INSERT INTO orders VALUES (2, 20)").await;
    place.at(24 * HOUR);
    turn(&mut scheduler).await;
    assert_eq!(place.version("total").await, 1);
    turn(&mut scheduler).await;
    turn(&mut telling(&place, &heard)).await;
    let told = |kind, why: Option<&str>| ("m.total".to_owned(), kind, why.map(str::to_owned));
    let expected = [
        told("late", Some("its rows are 3h old, and freshness.warn is 2h")),
        told("late", Some("its rows are 7h old, and freshness.error is 6h")),
        told("recovered", None),
    ];
    assert_eq!(*heard.lock(), expected);
    assert_eq!(place.engine.lake().mart("m.total").await.unwrap().late, None);
}

#[tokio::test]
async fn an_unusual_number_is_told_of_and_a_test_may_refuse_it() {
    let place = Place::new().await;
    let test =
        |more: &str| format!("refresh = {{ every = \"1h\" }}\n[[test]]\nanomaly = \"row_count\"\nmin_runs = 3\n{more}");
    place.write("m.warns", &test("on_violation = \"warn\""), "SELECT * FROM orders");
    place.write("m.fails", &test(""), "SELECT * FROM orders");
    let heard = Heard::default();
    let mut scheduler = telling(&place, &heard);
    for hour in 0..3 {
        place.at(hour * HOUR);
        turn(&mut scheduler).await;
        place.execute("INSERT INTO orders VALUES (2, 20)").await;
    }
    assert_eq!((place.version("warns").await, place.version("fails").await), (2, 2));
    assert!(heard.lock().is_empty());
    place.execute("INSERT INTO orders SELECT value AS id, value AS amount FROM generate_series(1, 100)").await;
    for hour in 3..5 {
        place.at(hour * HOUR);
        turn(&mut scheduler).await;
        place.execute("INSERT INTO orders VALUES (2, 20)").await;
    }
    assert_eq!(place.number("SELECT count(*) FROM m.warns").await, 105);
    assert_eq!(place.number("SELECT count(*) FROM m.fails").await, 3);
    let mut heard = heard.lock().clone();
    heard.sort();
    let told: Vec<(&str, &str)> = heard.iter().map(|(mart, kind, _)| (mart.as_str(), *kind)).collect();
    // The new level is a usual one at once: among 1, 2, 3 and 104 a number lies far from the mean.
    assert_eq!(told, [("m.fails", "failed"), ("m.warns", "anomaly"), ("m.warns", "recovered")]);
    assert_eq!(
        heard[1].2.as_deref(),
        Some("anomaly(row_count): 104; the last 3 runs had 2 on average, from -1 to 5 is usual")
    );
    let document = place.engine.lake().mart("m.warns").await.unwrap();
    let values: Vec<Option<f64>> = document.runs.iter().map(|run| run.tests[0].value).collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 104.0, 105.0].map(Some));
}

#[tokio::test]
async fn a_mart_has_recovered_when_its_number_is_usual_again() {
    let place = Place::new().await;
    let block = "refresh = { every = \"1h\" }\n[[test]]\nanomaly = \"max(amount)\"\nsigma = 1\nmin_runs = 3\non_violation = \"warn\"\n\
                 [[test]]\nexpect = \"amount >= 0\"";
    place.write("m.watched", block, "SELECT * FROM orders");
    let heard = Heard::default();
    let mut scheduler = telling(&place, &heard);
    let mut hour = 0;
    let mut run = async |change: &str| {
        place.execute(change).await;
        place.at(hour * HOUR);
        hour += 1;
        turn(&mut scheduler).await;
        heard.lock().drain(..).map(|(_, kind, _)| kind).collect::<Vec<_>>()
    };
    for _ in 0..6 {
        assert_eq!(run("INSERT INTO orders VALUES (2, 5)").await, [""; 0]);
    }
    assert_eq!(run("INSERT INTO orders VALUES (3, -1)").await, ["failed"]);
    // Published, and still not as it should be.
    assert_eq!(run("UPDATE orders SET amount = 900 WHERE amount = -1").await, ["anomaly"]);
    assert_eq!(run("INSERT INTO orders VALUES (2, 4)").await, [""; 0]);
    assert_eq!(run("DELETE FROM orders WHERE amount = 900").await, ["recovered"]);
    assert_eq!(run("INSERT INTO orders VALUES (2, 4)").await, [""; 0]);
}
