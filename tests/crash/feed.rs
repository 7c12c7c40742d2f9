//! A change feed that tells what happened: each version is the one before it with its changes.

use boathouse_engine::Session;

use crate::place::answers;

/// Whether no row comes too often: of the version before and those that came, against those that went and those of the version.
fn comparison(version: u64) -> String {
    let before = version - 1;
    format!(
        "SELECT count(*) = 0 FROM (SELECT id, x FROM (
            SELECT id, x, 1 AS n FROM t@v{before}
            UNION ALL SELECT id, x, CASE WHEN _change_type IN ('insert', 'update_postimage') THEN 1 ELSE -1 END
                FROM table_changes('t', {version}, {version})
            UNION ALL SELECT id, x, -1 FROM t@v{version})
         GROUP BY id, x HAVING sum(n) <> 0)"
    )
}

/// Looks at all versions of the table `t` from `first` on. As many as there are must be told by the whole feed as well.
pub async fn check(session: &Session, first: u64, place: &str) {
    let mut version = first;
    loop {
        match answers(session, &format!("SELECT count(*) FROM t@v{version}")).await {
            Ok(_) => {}
            Err(error) => {
                assert!(error.contains("has no version"), "{place}: {error}");
                break;
            }
        }
        let same = answers(session, &comparison(version)).await.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!(same.contains("| true "), "{place}: the changes of version {version} are others");
        version += 1;
    }
    assert!(version > first, "{place}: no version keeps a feed");
    let told = "SELECT count(DISTINCT _commit_version), max(_commit_version)";
    let told = answers(session, &format!("{told} FROM table_changes('t', {first})")).await;
    let told = told.unwrap_or_else(|error| panic!("{place}: {error}"));
    let (versions, newest) = (version - first, version - 1);
    let cells: Vec<&str> = told.lines().nth(3).unwrap_or_default().split('|').map(str::trim).collect();
    assert_eq!(cells, ["", &versions.to_string(), &newest.to_string(), ""], "{place}:\n{told}");
}
