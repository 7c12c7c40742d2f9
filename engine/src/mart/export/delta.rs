//! Delta tables in a folder or a bucket: a delivery is one commit.
//!
//! ```text
//! <url>/<schema>/<table>/part-... .parquet
//! <url>/<schema>/<table>/_delta_log/00000000000000000012.json     txn (mart and version), rows that go, rows that come
//! ```
//! The table's log is the ledger: the commit that adds the rows holds two application transactions, which checkpoints keep
//! unless the table says for how long. One tells the version of the mart, by the id of its table; the other in which order
//! such tables came, where a mart was made anew under its name. A property of the table tells which mart's exports made it:
//! nobody else may replace its rows. The place is laid out as a lake, so Boathouse opens it as one.

use std::sync::{Arc, Weak};

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
use parking_lot::Mutex;
use serde_json::json;

use super::{
    Delivery, Destination, Export, ExportMode, Progress,
    files::{folder, in_the_lake, outrun},
};
use crate::{
    Engine, EngineError, ErrorKind, Pins, RowStream,
    mart::{Point, publish::kept_properties},
    session::once,
    statement::{Context, rules},
};

/// Of a commit: which version of a mart its rows are.
const DELIVERED: &str = "boathouse-export:";
/// Of a commit: which one of the table it is.
const ORDER: &str = "boathouse-export-order:";
/// Property of a table: the lake and the mart whose export made it.
const MADE_BY: &str = "boathouse-export.madeBy";
/// Tables that are named without a schema.
const MAIN: &str = "main";

/// Delta tables in a folder or a bucket, with the access that the lake has.
#[derive(Debug)]
pub struct DeltaExports {
    folder: Location,
    /// The place, as the engine reaches it that asked last.
    opened: Mutex<Option<(Weak<Engine>, Arc<Lake>)>>,
}

impl DeltaExports {
    /// `url` is a folder (`./exports`, `/data/exports`) or a bucket (`s3://bucket/exports`).
    pub fn new(url: &str) -> Result<Self, EngineError> {
        Ok(Self { folder: folder(url)?, opened: Mutex::default() })
    }

    fn place(&self, delivery: &Delivery) -> Result<Place, EngineError> {
        let (schema, table) = parts(&delivery.target)?;
        let (own, root) = (delivery.engine.lake().url(), self.folder.folder_url());
        // Before anything is made there.
        if format!("{root}{schema}/{table}/").starts_with(own.as_str()) {
            return Err(in_the_lake(self.folder.text()));
        }
        Ok(Place { lake: self.lake(&delivery.engine)?, schema: schema.to_owned(), table: table.to_owned() })
    }

    fn lake(&self, engine: &Arc<Engine>) -> Result<Arc<Lake>, EngineError> {
        let mut opened = self.opened.lock();
        if let Some((known, lake)) = opened.as_ref()
            && known.ptr_eq(&Arc::downgrade(engine))
        {
            return Ok(lake.clone());
        }
        let lake = Arc::new(engine.lake().beside(&self.folder.folder_url())?);
        *opened = Some((Arc::downgrade(engine), lake.clone()));
        Ok(lake)
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

    async fn last(&self, delivery: &Delivery, known: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        let Some(table) = self.place(delivery)?.find().await? else { return Ok(None) };
        check_maker(&table, delivery)?;
        let last = last(&table, delivery);
        if last.is_none() && known.is_some() && delivery.mode == ExportMode::Append && delivery.again_ms.is_none() {
            let message = format!("the table \"{}\" does not tell which rows of the mart it has", delivery.target);
            let hint = format!(
                "Bring it in order, then boathouse mart export {} --again delivers all rows into it.",
                delivery.mart
            );
            return Err(EngineError::unsupported(message).with_hint(hint));
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
            Err(StorageError::SchemaNotFound { .. }) => Ok(None),
            Err(StorageError::TableNotFound { .. }) => {
                match self.lake.catalog(&self.schema).await?.has_entry(&self.table) {
                    true => {
                        let message =
                            format!("\"{}.{}\" is a view there, or a table elsewhere", self.schema, self.table);
                        let error = EngineError::new(ErrorKind::AlreadyExists, message);
                        Err(error.with_hint("Name another one with table in the export."))
                    }
                    false => Ok(None),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream) -> Result<u64, EngineError> {
        let before = self.find().await?;
        if let Some(table) = &before {
            check_maker(table, delivery)?;
        }
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
            publication: Some(Arc::new(self.publication(delivery, before.as_ref()))),
            ..CommitInfo::default()
        };
        let schema = rows.schema();
        let batches = rows.map(|batch| batch.map_err(|error| ArrowError::ExternalError(Box::new(error)))).boxed();
        let plan = once(schema, batches, Arc::default())
            .map_err(|error| EngineError::internal("the rows of an export cannot be planned").with_source(error))?;
        let context = context(&delivery.engine);
        let state = context.state.clone();
        let (appended, replaced) = match delivery.mode {
            ExportMode::Append => (before, None),
            _ => (None, before),
        };
        let committed = match appended {
            Some(table) => {
                let rules = rules::of(&context, &table)?;
                write::append(&self.lake, &table, plan, &rules, state, &info).await
            }
            None => {
                let mut table = new_table(&self.schema, &self.table, &delivery.columns);
                if let Some(before) = &replaced {
                    table.properties = kept_properties(before, &delivery.columns).into_iter().collect();
                    table.comment = before.comment().map(str::to_owned);
                }
                table.properties.insert(MADE_BY.to_owned(), maker(delivery));
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

    /// What the commit must pass, and what it says: it follows the version that was looked at, or there is none.
    fn publication(&self, delivery: &Delivery, before: Option<&Arc<Snapshot>>) -> Publication {
        let next = before.map_or(0, |table| table.version() + 1);
        let number = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
        let of = of_mart(delivery) + &delivery.mark.table;
        let ExportMark { table, version } = &delivery.mark;
        let told = json!({ "mart": delivery.mart, "table": table, "version": version });
        let id = before.map(|table| table.id().to_owned());
        let (lake, schema, table) = (self.lake.clone(), self.schema.clone(), self.table.clone());
        let (target, points) = (delivery.target.clone(), delivery.points.clone());
        let look = move |staged: Arc<Snapshot>| {
            let (lake, schema, table, id) = (lake.clone(), schema.clone(), table.clone(), id.clone());
            let (target, points) = (target.clone(), points.clone());
            async move {
                // A number may also be that of another table, which was made under the name meanwhile.
                let follows = match &id {
                    _ if staged.version() != next => false,
                    Some(id) => lake.table(&schema, &table).await?.id() == id,
                    None => true,
                };
                if !follows {
                    let source = "another version came between".into();
                    return Err(StorageError::Conflict { table: target, source });
                }
                points.pass(Point::RowsBrought);
                Ok(())
            }
            .boxed()
        };
        Publication::new(format!("{DELIVERED}{of}"), number(*version), told, look)
            .with(format!("{ORDER}{of}"), number(next))
    }
}

fn context(engine: &Arc<Engine>) -> Context {
    Context::new(engine, &engine.session(), "", &Pins::new())
}

/// What a table says was delivered last of a mart. The lake may lie elsewhere by now: the id of the mart's table tells, too.
fn last(table: &Snapshot, delivery: &Delivery) -> Option<ExportMark> {
    let orders = table.transactions().filter_map(|(program, order)| {
        let of = program.strip_prefix(ORDER)?;
        let mut parts = of.splitn(3, '/');
        let (lake, mart, id) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = mart == delivery.mart && (lake == delivery.lake || id == delivery.mark.table);
        ours.then_some((order, of, id))
    });
    let (_, of, id) = orders.max()?;
    let version = table.transaction(&format!("{DELIVERED}{of}"))?;
    Some(ExportMark { table: id.to_owned(), version: u64::try_from(version).ok()? })
}

/// Nobody's rows are replaced but those of this mart's exports, and nothing is added to what another one replaces.
fn check_maker(table: &Snapshot, delivery: &Delivery) -> Result<(), EngineError> {
    let made_by = table.properties().get(MADE_BY);
    let ours = made_by.is_some_and(|made_by| {
        let mart = made_by.split_once('/').map(|(_, mart)| mart);
        *made_by == maker(delivery) || (mart == Some(delivery.mart.as_str()) && last(table, delivery).is_some())
    });
    let target = &delivery.target;
    let message = match made_by {
        _ if ours => return Ok(()),
        None if delivery.mode == ExportMode::Append => return Ok(()),
        None => format!("the table \"{target}\" is there, and no export of the mart has made it"),
        Some(made_by) => {
            let mart = made_by.split_once('/').map_or(made_by.as_str(), |(_, mart)| mart);
            format!("the table \"{target}\" was made by the exports of another mart, \"{mart}\"")
        }
    };
    let hint = "Name another one with table in the export, or take that one away.";
    Err(EngineError::new(ErrorKind::AlreadyExists, message).with_hint(hint))
}

/// The lake and the mart.
fn maker(delivery: &Delivery) -> String {
    format!("{}/{}", delivery.lake, delivery.mart)
}

/// The same, in front of the id of the mart's table.
fn of_mart(delivery: &Delivery) -> String {
    maker(delivery) + "/"
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
