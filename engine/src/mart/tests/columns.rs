//! Columns of marts that a table cannot have.

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
