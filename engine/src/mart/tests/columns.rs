//! Columns of marts: those that a table cannot have, and those that tell its rows apart.

use super::*;

#[tokio::test]
async fn a_column_that_a_table_cannot_have_is_found_before_a_run() {
    let engine = engine().await;
    for (text, expected) in [
        (
            "SELECT 1 AS a,\n 2 AS \"a b\"",
            "marts/m.t.sql:2: table \"m.t\" cannot be made: column \"a b\" has ' ' in its name; name it with AS",
        ),
        (
            "/*---\nowner = \"count(*)\"\n---*/\nSELECT max(a) AS a,\n COUNT(*)\nFROM (SELECT 1 AS a) AS t",
            "marts/m.t.sql:5: table \"m.t\" cannot be made: column \"count(*)\" has '(' in its name; name it with AS",
        ),
        (
            "/*---\n[[column]]\nname = \"a=b\"\n---*/\nSELECT 1 AS \"a=b\"",
            "marts/m.t.sql:2: table \"m.t\" cannot be made: column \"a=b\" has '=' in its name; name it with AS",
        ),
    ] {
        let fault = opened(&engine, &[("m.t", text)]).await.map(drop).unwrap_err();
        assert_eq!(fault, expected);
    }
    assert!(engine.lake().marts().await.unwrap().is_empty());
    let project = project(&engine, &[("m.t", "SELECT 1 AS \"a-ä\"")]).await;
    assert_eq!(words(&run(&project).await), ["succeeded"]);
}

#[tokio::test]
async fn the_table_tells_by_which_columns_its_rows_are_known() {
    let engine = engine().await;
    execute(&engine, "CREATE TABLE news (id BIGINT, day BIGINT, v BIGINT); INSERT INTO news VALUES (1, 1, 1)").await;
    let key = async |text: &str| {
        let project = project(&engine, &[("m.t", text)]).await;
        assert_eq!(words(&run(&project).await), ["succeeded"], "{text}");
        let table = engine.lake().table("m", "t").await.unwrap();
        table.properties().get("boathouse.primaryKey").cloned()
    };
    let query = "SELECT id, day, v FROM news";
    assert_eq!(key(query).await, None);
    let block = |toml: &str, query: &str| format!("/*---\n{toml}\n---*/\n{query}");
    // A test that fails the run holds for every version; one that only warns does not.
    assert_eq!(key(&block("[[test]]\nunique = \"id\"\non_violation = \"warn\"", query)).await, None);
    assert_eq!(key(&block("[[test]]\nunique = [\"id\", \"day\"]", query)).await.as_deref(), Some("id, day"));
    assert_eq!(key(&block("[[test]]\nunique = \"id\"", query)).await.as_deref(), Some("id"));
    // Without a table that would be made anew.
    let merge = |key: &str| block(&format!("strategy = \"merge\"\nkey = {key}"), query);
    assert_eq!(key(&merge("[\"day\", \"id\"]")).await.as_deref(), Some("day, id"));
    // What nobody says any more stays what a person may have set.
    assert_eq!(key(&block("", query)).await.as_deref(), Some("day, id"));
}
