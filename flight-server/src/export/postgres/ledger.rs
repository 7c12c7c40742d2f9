//! `_boathouse_deliveries`: which versions of which marts a database has, a row each, written with the rows themselves.

use boathouse_engine::{
    EngineError,
    mart::{Delivery, ExportMark},
};
use tokio_postgres::{Client, GenericClient};

use super::{connect::failed, load::Place};

const NAME: &str = "_boathouse_deliveries";

/// The ledger's table, in the schema of the target.
fn table(place: &Place) -> String {
    Place { schema: place.schema.clone(), table: NAME.to_owned() }.sql()
}

/// Whether there is a table; `name` as SQL writes it.
pub(super) async fn is_there(client: &(impl GenericClient + Sync), name: &str) -> Result<bool, EngineError> {
    let found = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name]).await;
    let found = found.and_then(|row| row.try_get::<_, bool>(0));
    found.map_err(|error| failed("look for a table", error))
}

/// Makes the ledger, where there is none, and the schema that it lies in.
pub(super) async fn make(client: &mut Client, place: &Place) -> Result<(), EngineError> {
    let name = table(place);
    if is_there(client, &name).await? {
        return Ok(());
    }
    let wrong = |error| failed("make the ledger of deliveries", error);
    let transaction = client.transaction().await.map_err(wrong)?;
    // Two processes that make one at once would be in each other's way.
    transaction.batch_execute("SELECT pg_advisory_xact_lock(hashtextextended('boathouse', 0))").await.map_err(wrong)?;
    let schema = transaction.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&place.schema]).await;
    if schema.map_err(wrong)?.is_none() {
        let sql = format!("CREATE SCHEMA {}", super::load::quoted(&place.schema));
        transaction.batch_execute(&sql).await.map_err(|error| failed("make the schema", error))?;
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {name} (mart text NOT NULL, target text NOT NULL, \
         number bigint GENERATED ALWAYS AS IDENTITY, lake text NOT NULL, table_id text NOT NULL, version bigint NOT NULL, \
         mode text NOT NULL, rows bigint NOT NULL, delivered_at timestamptz NOT NULL DEFAULT now(), \
         PRIMARY KEY (mart, target, number))"
    );
    transaction.batch_execute(&sql).await.map_err(wrong)?;
    transaction.commit().await.map_err(wrong)
}

/// The last version that was delivered to a target, of the mart's table or of an earlier one of this lake. A table that is
/// not there (any more) has none, and gets all rows.
pub(super) async fn last(
    client: &(impl GenericClient + Sync),
    place: &Place,
    delivery: &Delivery,
) -> Result<Option<ExportMark>, EngineError> {
    let name = table(place);
    let sql = format!(
        "SELECT table_id, version FROM {name} WHERE mart = $1 AND target = $2 AND (lake = $3 OR table_id = $4) \
         AND to_regclass($5) IS NOT NULL ORDER BY number DESC LIMIT 1"
    );
    let wrong = |error| failed("read the ledger of deliveries", error);
    let Delivery { mart, target, lake, mark, .. } = delivery;
    let Some(row) = client.query_opt(&sql, &[mart, target, lake, &mark.table, &place.sql()]).await.map_err(wrong)?
    else {
        return Ok(None);
    };
    let (table, version) = (row.try_get(0).map_err(wrong)?, row.try_get::<_, i64>(1).map_err(wrong)?);
    Ok(Some(ExportMark { table, version: u64::try_from(version).unwrap_or_default() }))
}

/// Writes down a delivery.
pub(super) async fn write(
    client: &(impl GenericClient + Sync),
    place: &Place,
    delivery: &Delivery,
    rows: u64,
) -> Result<(), EngineError> {
    let sql = format!(
        "INSERT INTO {} (mart, target, lake, table_id, version, mode, rows) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        table(place)
    );
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let Delivery { mart, target, lake, mark, .. } = delivery;
    let (version, mode, rows) = (number(mark.version), delivery.mode.word(), number(rows));
    let written = client.execute(&sql, &[mart, target, lake, &mark.table, &version, &mode, &rows]).await;
    written.map(drop).map_err(|error| failed("write into the ledger of deliveries", error))
}
