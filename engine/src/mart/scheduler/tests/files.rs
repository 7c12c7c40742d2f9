//! Marts of files, and statements that name them.

use super::*;

#[tokio::test]
async fn a_statement_cannot_define_a_mart_of_a_file_again() {
    let place = Place::new().await;
    place.write("m.total", "refresh = { every = \"1h\" }", SUM);
    let mut scheduler = place.scheduler();
    turn(&mut scheduler).await;
    for sql in ["CREATE MART m.total AS SELECT 1 AS a", "CREATE OR REPLACE MART m.total AS SELECT 1 AS a"] {
        let text = place.engine.session().execute(sql).await.unwrap_err().to_string();
        let file = place.folder.path().join("m.total.sql");
        let expected = format!("mart \"m.total\" is defined by a file already: {}\nLINE 1: ", file.display());
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("HINT: Give one of them another name, or delete the file."), "{text}");
    }
    place.execute("CREATE MART IF NOT EXISTS m.total AS SELECT 1 AS a").await;
    fs::remove_file(place.folder.path().join("m.total.sql")).unwrap();
    turn(&mut scheduler).await;
    place.execute("CREATE MART m.total AS SELECT 7 AS total").await;
    place.execute("REFRESH MART m.total").await;
    assert_eq!(place.number("SELECT total FROM m.total").await, 7);
}
