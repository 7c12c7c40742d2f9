//! Whether rows stay what they are in a table that somebody else made.

use boathouse_engine::EngineError;
use tokio_postgres::Transaction;

use super::{
    connect::failed,
    load::{STAGING, quoted},
};

/// Columns that both tables have, with types that are not the same: name, type there, type of the rows.
const OTHER_TYPES: &str = "SELECT own.attname, format_type(kept.atttypid, kept.atttypmod), format_type(own.atttypid, own.atttypmod) \
     FROM pg_attribute AS own JOIN pg_attribute AS kept ON kept.attname = own.attname \
     WHERE own.attrelid = to_regclass($1) AND kept.attrelid = to_regclass($2) AND own.attnum > 0 AND NOT kept.attisdropped \
     AND (own.atttypid, own.atttypmod) <> (kept.atttypid, kept.atttypmod) ORDER BY own.attnum";

/// Refuses rows of which a column of the target holds something else: a database rounds 1.5 to go into an integer, and 1.005
/// into `numeric(10, 2)`, and says nothing. Behind the rows themselves, which it has refused by then where it knows no way.
pub(super) async fn values(transaction: &Transaction<'_>, target: &str) -> Result<(), EngineError> {
    let wrong = |error| failed("compare the rows with the types of the table", error);
    for row in transaction.query(OTHER_TYPES, &[&STAGING, &target]).await.map_err(wrong)? {
        let text = |at: usize| row.try_get::<_, String>(at).map_err(wrong);
        let (name, there, own) = (text(0)?, text(1)?, text(2)?);
        let column = quoted(&name);
        let sql = format!(
            "SELECT 1 FROM {STAGING} WHERE CAST(CAST({column} AS {there}) AS {own}) IS DISTINCT FROM {column} LIMIT 1"
        );
        if transaction.query_opt(&sql, &[]).await.map_err(wrong)?.is_some() {
            let message =
                format!("column \"{name}\" of {target} is {there}, which does not hold a value of {own} as it is");
            let hint =
                format!("ALTER TABLE ... ALTER COLUMN ... TYPE {own}, or CAST it in the query where a loss is meant.");
            return Err(EngineError::invalid(message).with_hint(hint));
        }
    }
    Ok(())
}

/// Refuses NULL in a key: to a unique index no NULL is another one's equal, and a merge would add its row each time.
pub(super) async fn keys(transaction: &Transaction<'_>, key: &[String]) -> Result<(), EngineError> {
    let wrong = |error| failed("look for NULL in the key", error);
    for name in key {
        let sql = format!("SELECT 1 FROM {STAGING} WHERE {} IS NULL LIMIT 1", quoted(name));
        if transaction.query_opt(&sql, &[]).await.map_err(wrong)?.is_some() {
            let message = format!("a row has NULL in column \"{name}\" of the key, which PostgreSQL cannot merge by");
            let hint = "Leave such rows out in the query, or give them a value with coalesce.";
            return Err(EngineError::invalid(message).with_hint(hint));
        }
    }
    Ok(())
}
