//! A delivery: rows into a temporary table, then into the target, and the ledger, in one transaction.

use std::pin::pin;

use arrow::datatypes::{FieldRef, Schema};
use boathouse_engine::{
    EngineError, ErrorKind, RowStream,
    mart::{Delivery, ExportMode},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio_postgres::{Client, CopyInSink, Transaction};

use super::{
    connect::failed,
    encode::{BEGIN, END, Rows},
    fit, ledger,
    types::PgType,
};

pub(super) const STAGING: &str = "pg_temp.boathouse_staging";
/// Bytes that are sent together.
const PIECE_BYTES: usize = 64 << 10;
/// Of a longer name PostgreSQL takes the beginning, which may be another table's.
const NAME_BYTES_MAX: usize = 63;

/// A table of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub schema: String,
    pub table: String,
}

impl Place {
    /// `schema.table`, or a table in `public`.
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let (schema, table) = text.split_once('.').unwrap_or(("public", text));
        if schema.is_empty() || table.is_empty() || table.contains('.') || text.contains('\0') {
            let error = EngineError::invalid(format!("\"{text}\" is not the name of a table"));
            return Err(error.with_hint("Write table = \"schema.table\"."));
        }
        [schema, table]
            .into_iter()
            .try_for_each(|name| short(name, "Write table = \"schema.table\" with a shorter one."))?;
        Ok(Self { schema: schema.to_owned(), table: table.to_owned() })
    }

    pub fn sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

/// Refuses a name that the database would cut off.
pub(super) fn short(name: &str, hint: &str) -> Result<(), EngineError> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the name \"{name}\" is longer than {NAME_BYTES_MAX} bytes, which PostgreSQL cuts off");
    Err(EngineError::unsupported(message).with_hint(hint))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Delivers the rows, all or none.
pub(super) async fn deliver(
    client: &mut Client,
    place: &Place,
    delivery: &Delivery,
    rows: RowStream,
) -> Result<u64, EngineError> {
    let schema = rows.schema();
    let columns = columns(&schema)?;
    let sql = format!("CREATE TEMP TABLE boathouse_staging ({})", defined(&columns, |_| false));
    client.batch_execute(&sql).await.map_err(|error| failed("make a temporary table", error))?;
    let staged = stage(client, &columns, rows).await?;
    ledger::make(client, place).await?;
    let wrong = |error| failed("begin a transaction", error);
    let transaction = client.transaction().await.map_err(wrong)?;
    let lock = format!("boathouse {}", place.sql());
    let locked = transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&lock]).await;
    locked.map_err(|error| failed("wait for another delivery", error))?;
    // Where the target has the other one of the two types, a time is that of UTC, whatever the server's zone is.
    let zone = transaction.batch_execute("SET LOCAL TIME ZONE 'UTC'").await;
    zone.map_err(|error| failed("set the time zone", error))?;
    if ledger::last(&transaction, place, delivery).await? != delivery.last {
        let message = format!("another process has delivered to {} meanwhile", place.sql());
        return Err(EngineError::new(ErrorKind::Conflict, message));
    }
    apply(&transaction, place, delivery, &columns).await?;
    ledger::write(&transaction, place, delivery, staged).await?;
    transaction.commit().await.map_err(|error| failed("commit", error))?;
    Ok(staged)
}

/// Names and types.
fn columns(schema: &Schema) -> Result<Vec<(String, PgType)>, EngineError> {
    schema.fields().iter().map(|field| Ok((field.name().clone(), PgType::of(field)?))).collect()
}

fn defined(columns: &[(String, PgType)], is_required: impl Fn(&str) -> bool) -> String {
    let each = columns.iter().map(|(name, kind)| {
        let required = if is_required(name) { " NOT NULL" } else { "" };
        format!("{} {}{required}", quoted(name), kind.sql())
    });
    each.collect::<Vec<_>>().join(", ")
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// Rows into the temporary table; a piece at a time, no faster than the server takes them.
async fn stage(client: &Client, columns: &[(String, PgType)], mut rows: RowStream) -> Result<u64, EngineError> {
    let wrong = |error| failed("take rows", error);
    let names = list(columns.iter().map(|(name, _)| name));
    let sql = format!("COPY {STAGING} ({names}) FROM STDIN (FORMAT binary)");
    let sink: CopyInSink<Bytes> = client.copy_in(&*sql).await.map_err(wrong)?;
    let mut sink = pin!(sink);
    let mut piece = BEGIN.to_vec();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let rows = Rows::of(&batch)?;
        for row in 0..batch.num_rows() {
            rows.write(row, &mut piece)?;
            if piece.len() >= PIECE_BYTES {
                sink.feed(Bytes::from(std::mem::take(&mut piece))).await.map_err(wrong)?;
            }
        }
    }
    piece.extend_from_slice(END);
    sink.feed(Bytes::from(piece)).await.map_err(wrong)?;
    sink.as_mut().finish().await.map_err(wrong)
}

/// From the temporary table to the target, which is made where there is none.
async fn apply(
    transaction: &Transaction<'_>,
    place: &Place,
    delivery: &Delivery,
    columns: &[(String, PgType)],
) -> Result<(), EngineError> {
    let target = place.sql();
    let is_there = ledger::is_there(transaction, &target).await?;
    if !is_there {
        let sql = create(place, delivery, columns);
        transaction.batch_execute(&sql).await.map_err(|error| failed("make the table", error))?;
    }
    if delivery.mode == ExportMode::Merge {
        fit::keys(transaction, &delivery.key).await?;
    }
    if is_there && delivery.mode == ExportMode::Replace {
        // TRUNCATE would take the rows away from those who read meanwhile.
        let deleted = transaction.batch_execute(&format!("DELETE FROM {target}")).await;
        deleted.map_err(|error| failed("delete the rows that were there", error))?;
    }
    let names = list(columns.iter().map(|(name, _)| name));
    let mut sql = format!("INSERT INTO {target} AS kept ({names}) SELECT {names} FROM {STAGING}");
    if delivery.mode == ExportMode::Merge {
        sql.push_str(&on_conflict(delivery, columns));
    }
    transaction.batch_execute(&sql).await.map_err(|error| failed("add the rows", error))?;
    if is_there { fit::values(transaction, &target).await } else { Ok(()) }
}

fn create(place: &Place, delivery: &Delivery, columns: &[(String, PgType)]) -> String {
    let field = |name: &str| delivery.columns.iter().find(|field: &&FieldRef| field.name() == name);
    let required = |name: &str| field(name).is_some_and(|field| !field.is_nullable());
    let key = match delivery.mode {
        ExportMode::Merge => format!(", PRIMARY KEY ({})", list(&delivery.key)),
        ExportMode::Replace | ExportMode::Append => String::new(),
    };
    format!("CREATE TABLE {} ({}{key})", place.sql(), defined(columns, required))
}

/// What becomes of rows whose key is there. Those that are the same are left alone: a new version of each would be work for
/// nothing.
fn on_conflict(delivery: &Delivery, columns: &[(String, PgType)]) -> String {
    let others = || columns.iter().filter(|(name, _)| !delivery.key.contains(name));
    let key = list(&delivery.key);
    if others().next().is_none() {
        return format!(" ON CONFLICT ({key}) DO NOTHING");
    }
    let set: Vec<String> = others().map(|(name, _)| format!("{0} = EXCLUDED.{0}", quoted(name))).collect();
    let of = |from: &str| others().map(|(name, _)| format!("{from}.{}", quoted(name))).collect::<Vec<_>>().join(", ");
    format!(
        " ON CONFLICT ({key}) DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})",
        set.join(", "),
        of("kept"),
        of("EXCLUDED")
    )
}
