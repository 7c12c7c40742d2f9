//! Tables as flights: clients of plain Flight list them and read them by path, without SQL.

use std::{future::Future, sync::Arc};

use arrow_flight::{Criteria, FlightDescriptor, FlightInfo, flight_descriptor::DescriptorType};
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    encode,
    flight::Shared,
    metadata::{CATALOG, fits},
    query,
    session::Caller,
};
use crate::status;

/// Tables that are planned ahead of the client.
const TABLES_AT_ONCE: usize = 4;

/// The query that a path stands for: `schema/table`, or `table` in the session's schema. `None` for a command.
pub fn sql(descriptor: &FlightDescriptor) -> Result<Option<String>, Status> {
    if descriptor.r#type != DescriptorType::Path as i32 {
        return Ok(None);
    }
    let parts: &[String] = match descriptor.path.as_slice() {
        [catalog, rest @ ..] if rest.len() == 2 && catalog == CATALOG => rest,
        parts => parts,
    };
    if parts.is_empty() || parts.len() > 2 {
        let given = descriptor.path.join("/");
        return Err(status::malformed(&format!("the path \"{given}\" is not one of schema and table")));
    }
    let quoted: Vec<String> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    Ok(Some(format!("SELECT * FROM {}", quoted.join("."))))
}

/// Tables and views of the lake; the criteria are a pattern as of LIKE for `schema.table`.
///
/// They are planned as the client takes them, a few ahead. Nothing is read of those whose names do not fit.
pub async fn list(
    shared: &Arc<Shared>,
    caller: &Caller,
    criteria: &Criteria,
) -> Result<BoxStream<'static, Result<FlightInfo, Status>>, Status> {
    let pattern = String::from_utf8(criteria.expression.to_vec());
    let pattern = pattern.map_err(|_| status::malformed("the criteria are not a pattern for names of tables"))?;
    let schemas = caller.session.schemas().await.map_err(status::from_engine)?;
    let listing = Arc::new(Listing { shared: shared.clone(), caller: caller.apart(), pattern });
    let of_schema = listing.clone();
    let names = stream::iter(schemas).then(move |schema| {
        let listing = of_schema.clone();
        async move { listing.names(schema).await }
    });
    let names = names.flat_map(|names| match names {
        Ok(names) => stream::iter(names).map(Ok).boxed(),
        Err(status) => stream::iter([Err(status)]).boxed(),
    });
    let flights = names.map(move |name| {
        let listing = listing.clone();
        async move { listing.flight(name?).await }
    });
    let flights = flights.buffered(TABLES_AT_ONCE);
    Ok(flights.filter_map(|flight| std::future::ready(flight.transpose())).boxed())
}

/// A listing that a client takes.
struct Listing {
    shared: Arc<Shared>,
    caller: Caller,
    pattern: String,
}

impl Listing {
    /// Paths of those in a schema that are asked for.
    async fn names(&self, schema: String) -> Result<Vec<Vec<String>>, Status> {
        let names = self.guarded(async { self.caller.session.table_names(&schema).await.map_err(status::from_engine) });
        let names = match names.await {
            Err(status) if status.code() == Code::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let is_asked_for = |name: &String| self.pattern.is_empty() || fits(&format!("{schema}.{name}"), &self.pattern);
        let names = names.into_iter().map(|entry| entry.name).filter(is_asked_for);
        Ok(names.map(|name| vec![schema.clone(), name]).collect())
    }

    /// `None` for a table that cannot be planned: it must not hide the others, and reading it tells what is wrong with it.
    async fn flight(&self, path: Vec<String>) -> Result<Option<FlightInfo>, Status> {
        // Each can be cancelled for itself.
        let mut caller = self.caller.apart();
        caller.query_id = Uuid::new_v4();
        let work = async {
            let descriptor = FlightDescriptor::new_path(path);
            let Some(sql) = sql(&descriptor)? else { return Ok(None) };
            let prepared = caller.prepare(&sql).await?;
            let schema = encode::schema_bytes(&query::schema(&prepared))?;
            let ticket = query::ticket(&query::planned(&caller, &prepared, &sql), &caller.user());
            Ok(Some(query::flight_info(schema, vec![ticket], descriptor, Bytes::new())))
        };
        match self.guarded(work).await {
            Err(status) if is_of_the_table(status.code()) => Ok(None),
            flight => flight,
        }
    }

    /// It goes on behind the answer of its call.
    async fn guarded<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let work = status::guarded(self.shared.running.until_closed(work)).await;
        work.map_err(|status| status::detailed(status, self.caller.query_id))
    }
}

/// Whether others may be found well.
fn is_of_the_table(code: Code) -> bool {
    !matches!(code, Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::ResourceExhausted)
}
