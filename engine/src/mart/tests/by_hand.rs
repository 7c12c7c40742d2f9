//! Tables of marts that somebody changes by hand.

use super::*;

#[tokio::test]
async fn a_full_mart_whose_rows_somebody_changed_is_not_up_to_date() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let project =
        project(&engine, &[("m.revenue", REVENUE), ("m.total", "SELECT sum(revenue) AS total FROM m.revenue")]);
    let project = project.await;
    run(&project).await;
    let mut version = 0;
    for (change, commits) in [
        ("INSERT INTO m.revenue VALUES ('z', 7)", 1),
        ("UPDATE m.revenue SET revenue = 0 WHERE region = 'a'", 1),
        ("DELETE FROM m.revenue", 1),
        ("DELETE FROM m.revenue WHERE region = 'b'; COMMENT ON COLUMN m.revenue.region IS 'mine'", 2),
        ("INSERT INTO m.revenue VALUES ('z', 7); OPTIMIZE m.revenue", 2),
    ] {
        execute(&engine, change).await;
        let changes: Vec<Change> = project.plan(&[]).await.unwrap().into_iter().map(|planned| planned.change).collect();
        assert_eq!(changes, [Change::Rows, Change::Upstream(vec!["m.revenue".into()])], "{change}");
        assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"], "{change}");
        assert_eq!(rows(&engine, "SELECT * FROM m.revenue ORDER BY 1").await, "a 40\nb 20", "{change}");
        version += commits + 1;
        assert_eq!(engine.lake().table("m", "revenue").await.unwrap().version(), version, "{change}");
        assert_eq!(words(&run(&project).await), ["skipped", "skipped"], "{change}");
    }
    // What changes no rows is none of its business.
    for change in ["OPTIMIZE m.revenue ZORDER BY (region)", "COMMENT ON COLUMN m.revenue.revenue IS 'mine'"] {
        execute(&engine, change).await;
        version += 1;
        assert_eq!(engine.lake().table("m", "revenue").await.unwrap().version(), version, "{change}");
        assert_eq!(project.plan(&["m.revenue".into()]).await.unwrap()[0].change, Change::UpToDate, "{change}");
        assert_eq!(words(&project.run(&["m.revenue".into()], false, |_| {}).await.unwrap()), ["skipped"], "{change}");
    }
    // What is known of the last run may be lost.
    execute(&engine, "INSERT INTO m.revenue VALUES ('z', 7)").await;
    engine.lake().change_mart("m.revenue", |document| *document = Default::default()).await.unwrap();
    assert_eq!(words(&run(&project).await), ["succeeded", "succeeded"]);
    assert_eq!(rows(&engine, "SELECT * FROM m.revenue ORDER BY 1").await, "a 40\nb 20");
}

#[tokio::test]
async fn where_rows_stay_those_of_others_stay_too() {
    let engine = engine().await;
    execute(&engine, ORDERS).await;
    let mart = "/*---\nstrategy = \"merge\"\nkey = \"id\"\n---*/\nSELECT id, amount FROM orders";
    let project = project(&engine, &[("m.kept", mart)]).await;
    run(&project).await;
    execute(&engine, "INSERT INTO m.kept VALUES (9, 90)").await;
    assert_eq!(project.plan(&[]).await.unwrap()[0].change, Change::UpToDate);
    assert_eq!(words(&run(&project).await), ["skipped"]);
    execute(&engine, "UPDATE orders SET amount = 11 WHERE id = 1").await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
    assert_eq!(rows(&engine, "SELECT * FROM m.kept ORDER BY 1").await, "1 11\n2 20\n3 30\n9 90");
}
