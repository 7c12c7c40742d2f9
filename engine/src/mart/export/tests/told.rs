//! Who hears of exports that fail.

use super::*;

/// Kind, export and error.
type Heard = Arc<Mutex<Vec<(&'static str, Option<String>, Option<String>)>>>;

#[tokio::test]
async fn a_destination_that_is_down_is_told_of_once_and_so_is_its_end_whoever_delivers() {
    let place = Place::new().await;
    place
        .execute("CREATE MART m.t WITH (refresh = (every = '1h'), owner = 'bi', export = [(to = 'kept')]) AS SELECT id FROM orders")
        .await;
    let heard = Heard::default();
    let server = || {
        let hears = heard.clone();
        let scheduler = Scheduler::new(&place.engine, None, place.options(Vec::new()));
        scheduler.telling(move |notice| hears.lock().push((notice.kind.word(), notice.export, notice.error)))
    };
    let (mut one, mut two) = (server(), server());
    *place.kept.is_down.lock() = true;
    for minute in 0..20 {
        place.now.store(BEGIN + minute * MINUTE, Ordering::SeqCst);
        for scheduler in [&mut one, &mut two] {
            scheduler.pass().await;
            scheduler.settle().await;
        }
    }
    let failed = ("export_failed", Some("kept/m.t".to_owned()), Some("nobody is there".to_owned()));
    assert_eq!(*heard.lock(), [failed]);
    // Somebody delivers by hand, and no server is there to see it.
    drop((one, two));
    *place.kept.is_down.lock() = false;
    let definitions = crate::mart::read_lake(&place.engine).await.unwrap();
    let project = Project::open(&place.engine, definitions, place.options(Vec::new())).await.unwrap();
    assert_eq!(told(&project.export(&[], None, false, |_| {}).await.unwrap()), "3 rows of v0");
    heard.lock().clear();
    let mut three = server();
    for _ in 0..3 {
        three.pass().await;
        three.settle().await;
    }
    assert_eq!(*heard.lock(), [("export_recovered", Some("kept/m.t".to_owned()), None)]);
}

#[tokio::test]
async fn what_is_refused_is_told_at_once() {
    let place = Place::new().await;
    place
        .execute("CREATE MART m.t WITH (refresh = (every = '1h'), export = [(to = 'kept')]) AS SELECT id FROM orders")
        .await;
    let heard: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let hears = heard.clone();
    let scheduler = Scheduler::new(&place.engine, None, place.options(Vec::new()));
    let mut scheduler = scheduler.telling(move |notice| hears.lock().push(notice.kind.word()));
    *place.kept.refuses.lock() = true;
    for hour in 0..5 {
        place.now.store(BEGIN + hour * 60 * MINUTE, Ordering::SeqCst);
        scheduler.pass().await;
        scheduler.settle().await;
        if hour == 2 {
            assert_eq!(*heard.lock(), ["export_failed"]);
            place.execute("INSERT INTO orders VALUES (4, 40)").await;
        }
    }
    // The next version is refused, too, which is no news.
    assert_eq!((*place.kept.asked.lock(), heard.lock().len()), (2, 1));
}
