//! Tables as flights: clients of plain Flight list them and read them by path, without SQL.

use arrow_flight::{Criteria, FlightDescriptor, FlightInfo, flight_descriptor::DescriptorType};
use futures::{StreamExt, stream::BoxStream};
use tonic::Status;

use super::{
    flight::Shared,
    metadata::{CATALOG, fits},
    query,
    session::Caller,
};
use crate::{status, ticket::Ticket};

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
pub async fn list(
    shared: &Shared,
    caller: &mut Caller,
    criteria: &Criteria,
) -> Result<BoxStream<'static, Result<FlightInfo, Status>>, Status> {
    let pattern = std::str::from_utf8(&criteria.expression);
    let pattern = pattern.map_err(|_| status::malformed("the criteria are not a pattern for names of tables"))?;
    let mut flights = Vec::new();
    for schema in caller.session.schemas().await.map_err(status::from_engine)? {
        for table in caller.session.tables(&schema).await.map_err(status::from_engine)? {
            if !pattern.is_empty() && !fits(&format!("{schema}.{}", table.name), pattern) {
                continue;
            }
            let descriptor = FlightDescriptor::new_path(vec![schema.clone(), table.name]);
            let Some(sql) = sql(&descriptor)? else { continue };
            // A damaged table must not hide the others; reading it tells what is wrong with it.
            if let Ok(info) = query::info(shared, caller, &Ticket::new(&sql, Vec::new()), descriptor).await {
                flights.push(Ok(info));
            }
        }
    }
    Ok(futures::stream::iter(flights).boxed())
}
