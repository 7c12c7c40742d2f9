//! Delta tables in a folder or a bucket: a delivery is one commit.
//!
//! ```text
//! <url>/<schema>/<table>/part-... .parquet
//! <url>/<schema>/<table>/_delta_log/00000000000000000012.json     txn (mart and version), rows that go, rows that come
//! ```
//! The table's log is the ledger: the commit that adds the rows holds two application transactions, which checkpoints keep.
//! One tells the version of the mart, by the id of its table; the other in which order such tables came, where a mart was
//! made anew under its name. The place is laid out as a lake, so Boathouse opens it as one; other readers open the table.

use std::sync::Arc;

use async_trait::async_trait;
use boathouse_storage::{
    Lake, Snapshot, StorageError,
    catalog::ExportMark,
    check_name,
    file::Location,
    write::{self, CommitInfo, NewTable, Publication, Rules},
};
use datafusion::arrow::{
    datatypes::{FieldRef, Schema},
    error::ArrowError,
};
use futures::{FutureExt, StreamExt};
use serde_json::json;

use super::{
    Delivery, Destination, Export, ExportMode, Progress,
    files::{folder, in_the_lake, outrun},
};
use crate::{
    Engine, EngineError, ErrorKind, Pins, RowStream,
    mart::Point,
    session::once,
    statement::{Context, rules},
};

/// Of a commit: which version of a mart its rows are.
const DELIVERED: &str = "boathouse-export:";
/// Of a commit: which one of the table it is.
const ORDER: &str = "boathouse-export-order:";
/// Tables that are named without a schema.
const MAIN: &str = "main";

/// Delta tables in a folder or a bucket, with the access that the lake has.
#[derive(Debug)]
pub struct DeltaExports {
    folder: Location,
}

impl DeltaExports {
    /// `url` is a folder (`./exports`, `/data/exports`) or a bucket (`s3://bucket/exports`).
    pub fn new(url: &str) -> Result<Self, EngineError> {
        Ok(Self { folder: folder(url)? })
    }

    fn place(&self, delivery: &Delivery) -> Result<Place, EngineError> {
        let (schema, table) = parts(&delivery.target)?;
        let own = delivery.engine.lake();
        // As a path, not as a URL: in a URL a name may also be another place.
        let text = format!("{}/", self.folder.absolute().trim_end_matches('/'));
        let lake = Arc::new(own.beside(&Location::parse(&text)?.folder_url())?);
        if lake.table_url(schema, table).as_str().starts_with(own.url().as_str()) {
            return Err(in_the_lake(self.folder.text()));
        }
        Ok(Place { lake, schema: schema.to_owned(), table: table.to_owned() })
    }
}

#[async_trait]
impl Destination for DeltaExports {
    fn kind(&self) -> &'static str {
        "files"
    }

    fn check(&self, export: &Export, columns: &[FieldRef]) -> Result<(), EngineError> {
        if export.mode == ExportMode::Merge {
            let error = EngineError::unsupported("Delta tables are not exported to with mode = \"merge\"");
            let hint = "Write replace or append; a destination of the kind boathouse merges, too.";
            return Err(error.with_hint(hint));
        }
        let (schema, table) = export.table.as_deref().map_or(Ok((MAIN, "table")), parts)?;
        check_name("schema", schema)?;
        check_name("table", table)?;
        write::check_new(&new_table(schema, table, columns)).map_err(EngineError::from)
    }

    async fn last(&self, delivery: &Delivery, _: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        let place = self.place(delivery)?;
        let Some(table) = place.find().await? else { return Ok(None) };
        let last = last(&table, delivery);
        if last.is_none() && delivery.mode == ExportMode::Replace {
            let message = format!("the table \"{}\" is there, and no export of the mart has made it", delivery.target);
            let hint = "Name another one with table in the export, or take that one away.";
            return Err(EngineError::new(ErrorKind::AlreadyExists, message).with_hint(hint));
        }
        Ok(last)
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let (place, own) = (self.place(delivery)?, delivery.clone());
        // Encoding is work for the threads of queries.
        delivery.engine.runtime().spawn(async move { place.deliver(&own, rows).await }).await?
    }
}

/// Where the table of an export is.
struct Place {
    lake: Arc<Lake>,
    schema: String,
    table: String,
}

impl Place {
    async fn find(&self) -> Result<Option<Arc<Snapshot>>, EngineError> {
        match self.lake.table(&self.schema, &self.table).await {
            Ok(table) => Ok(Some(table)),
            Err(StorageError::TableNotFound { .. } | StorageError::SchemaNotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream) -> Result<u64, EngineError> {
        let before = self.find().await?;
        if before.as_ref().and_then(|table| last(table, delivery)) != delivery.last {
            return Err(outrun(&delivery.target));
        }
        if before.is_none() {
            match self.lake.create_schema(&self.schema, None).await {
                Ok(()) | Err(StorageError::SchemaExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let info = CommitInfo {
            statement: Some(format!("export of mart {}, version {}", delivery.mart, delivery.mark.version)),
            publication: Some(Arc::new(publication(delivery, before.as_ref()))),
            ..CommitInfo::default()
        };
        let schema = rows.schema();
        let batches = rows.map(|batch| batch.map_err(|error| ArrowError::ExternalError(Box::new(error)))).boxed();
        let plan = once(schema, batches, Arc::default())
            .map_err(|error| EngineError::internal("the rows of an export cannot be planned").with_source(error))?;
        let context = context(&delivery.engine);
        let state = context.state.clone();
        let committed = match before.filter(|_| delivery.mode == ExportMode::Append) {
            Some(table) => {
                let rules = rules::of(&context, &table)?;
                write::append(&self.lake, &table, plan, &rules, state, &info).await
            }
            None => {
                let mut table = new_table(&self.schema, &self.table, &delivery.columns);
                table.replace = delivery.mode == ExportMode::Replace;
                write::create_as(&self.lake, &table, plan, &Rules::default(), state, &info).await
            }
        };
        let committed = committed.map_err(|error| match error {
            StorageError::TableExists { .. } => outrun(&delivery.target),
            error => error.into(),
        });
        if committed.is_ok() {
            delivery.pass(Point::RowsDelivered);
        }
        // A checkpoint may be due behind it.
        self.lake.idle().await;
        delivery.pass(Point::ExportCleaned);
        Ok(committed?.rows_inserted)
    }
}

fn context(engine: &Arc<Engine>) -> Context {
    Context::new(engine, &engine.session(), "", &Pins::new())
}

/// What the commit must pass, and what it says: it follows the version that was looked at, or there is none.
fn publication(delivery: &Delivery, before: Option<&Arc<Snapshot>>) -> Publication {
    let next = before.map_or(0, |table| table.version() + 1);
    let number = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    let of = of_mart(delivery) + &delivery.mark.table;
    let ExportMark { table, version } = &delivery.mark;
    let told = json!({ "mart": delivery.mart, "table": table, "version": version });
    let (target, points) = (delivery.target.clone(), delivery.points.clone());
    let look = move |staged: Arc<Snapshot>| {
        let follows = match staged.version() == next {
            true => {
                points.pass(Point::RowsBrought);
                Ok(())
            }
            false => {
                Err(StorageError::Conflict { table: target.clone(), source: "another version came between".into() })
            }
        };
        async move { follows }.boxed()
    };
    Publication::new(format!("{DELIVERED}{of}"), number(*version), told, look)
        .with(format!("{ORDER}{of}"), number(next))
}

/// What a table says was delivered last of a mart.
fn last(table: &Snapshot, delivery: &Delivery) -> Option<ExportMark> {
    let prefix = format!("{ORDER}{}", of_mart(delivery));
    let orders = table.transactions().filter_map(|(program, order)| Some((order, program.strip_prefix(&prefix)?)));
    let (_, id) = orders.max()?;
    let version = table.transaction(&format!("{DELIVERED}{}{id}", of_mart(delivery)))?;
    Some(ExportMark { table: id.to_owned(), version: u64::try_from(version).ok()? })
}

/// The lake and the mart, in front of the id of its table.
fn of_mart(delivery: &Delivery) -> String {
    format!("{}/{}/", delivery.lake, delivery.mart)
}

/// Schema and table.
fn parts(target: &str) -> Result<(&str, &str), EngineError> {
    let (schema, table) = target.split_once('.').unwrap_or((MAIN, target));
    if schema.is_empty() || table.is_empty() || table.contains('.') {
        let error = EngineError::invalid(format!("\"{target}\" is not the name of a table"));
        return Err(error.with_hint("Write table = \"schema.table\"."));
    }
    Ok((schema, table))
}

fn new_table(schema: &str, table: &str, columns: &[FieldRef]) -> NewTable {
    NewTable {
        schema_name: schema.to_owned(),
        name: table.to_owned(),
        schema: Arc::new(Schema::new(columns.to_vec())),
        partition_columns: Vec::new(),
        properties: Default::default(),
        comment: None,
        replace: false,
    }
}
