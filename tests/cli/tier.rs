//! `boathouse tier`: what is old is planned, moved and shown.

use std::path::Path;

use crate::{Call, boathouse};

const MAKE: &str = "CREATE TABLE sold PARTITIONED BY (day) AS \
                    SELECT value AS id, DATE '2020-01-01' + CAST(value % 2 AS INT) AS day FROM generate_series(1, 10)";
const POLICY: &str = "ALTER TABLE sold SET TIER (cold_after = '90 days', on = day)";

fn sql(folder: &Path, sql: &str) -> String {
    boathouse(["sql", "lake", "--format", "csv", "-c", sql]).folder(folder).stdout()
}

fn tier(folder: &Path, arguments: &[&str]) -> Call {
    boathouse(["tier"].iter().chain(arguments)).folder(folder)
}

#[test]
fn what_is_old_is_planned_moved_once_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("lake")).unwrap();
    std::fs::write(folder.join("dear.toml"), "[tier.prices]\nLOCAL = 1073741824.0\n").unwrap();
    sql(folder, MAKE);
    sql(folder, "CREATE TABLE other AS SELECT 1 AS id");
    let text = tier(folder, &["plan", "lake", "sold"]).text();
    assert!(
        text.starts_with("exit code 1") && text.contains("table \"main.sold\" has no tier policy\nHINT: "),
        "{text}"
    );
    let text = tier(folder, &["run", "lake", "main.sold"]).text();
    assert!(text.contains("table \"main.sold\" has no tier policy"), "{text}");
    let text = tier(folder, &["plan", "lake", "missing"]).text();
    assert!(text.contains("table \"main.missing\" does not exist"), "{text}");

    sql(folder, POLICY);
    let before = sql(folder, "SELECT * FROM sold ORDER BY id");
    let due = "SELECT sum(bytes_due) AS bytes FROM system.tiers WHERE table_name = 'main.sold'";
    let bytes = sql(folder, due).lines().nth(1).unwrap().to_owned();
    let plan = tier(folder, &["plan", "lake", "--config", "dear.toml"]).stdout();
    for part in ["main.sold  cold after 90 days by day", "day=2020-01-01", "day=2020-01-02", "1 file, "] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    // A byte costs one.
    let all = format!("2 files, {bytes} bytes, cost {bytes}.0000 -> {bytes}.0000, once 0.0000, never pays\n");
    assert!(plan.contains(&all) && !plan.contains("main.other"), "{all}: {plan}");
    assert_eq!(sql(folder, due).lines().nth(1), Some(bytes.as_str()), "a plan moves nothing");

    sql(folder, "ALTER TABLE sold SET TIER (hot = '36500 days', cold_after = '40000 days', on = day)");
    let plan = tier(folder, &["plan", "lake"]).stdout();
    let policy = "main.sold  hot for 36500 days, cold after 40000 days by day\n";
    assert!(plan.contains(policy) && plan.matches("hot: 1 file, ").count() == 2, "{policy}: {plan}");
    assert!(plan.contains("0 files, 0 bytes, cost 0.0000 -> 0.0000\n"), "{plan}");
    sql(folder, POLICY);
    let run = tier(folder, &["run", "lake"]).stdout();
    assert!(
        run.contains("main.sold  day=2020-01-01  1 file, ") && run.contains("partitions moved: 2, failed: 0"),
        "{run}"
    );
    assert_eq!(tier(folder, &["run", "lake"]).stdout(), "partitions moved: 0, failed: 0\n");
    assert_eq!(sql(folder, "SELECT * FROM sold ORDER BY id"), before);
    let status = tier(folder, &["status", "lake"]).stdout();
    let sold = status.lines().find(|line| line.contains("main.sold")).unwrap();
    assert!(sold.contains("cold") && sold.contains("LOCAL") && status.contains("main.other"), "{status}");
    let status = tier(folder, &["status", "lake", "sold"]).stdout();
    assert!(!status.contains("main.other"), "{status}");
}
