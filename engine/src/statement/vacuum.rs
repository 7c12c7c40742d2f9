//! ```text
//! VACUUM [TABLE] name [RETAIN number HOURS] [DRY RUN]
//! ```
//! Deletes the files that no version within the retention needs: older versions can no longer be read. DRY RUN lists them
//! instead. Fewer than 168 hours are refused unless the setting `vacuum_retention_check` is off.

use std::sync::Arc;

use boathouse_storage::maintain::{self, Vacuum as Request};
use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    common::ScalarValue,
};

use super::{Context, Effect, Outcome, name, restore::table_of_lake, show::internal};
use crate::{EngineError, RowStream, catalog::TableName, parser};

#[derive(Debug)]
pub(crate) struct Vacuum {
    name: TableName,
    request: Request,
}

impl Vacuum {
    pub async fn plan(context: &Context, vacuum: parser::Vacuum) -> Result<Self, EngineError> {
        let name = name::target(context, &vacuum.name)?;
        let found = table_of_lake(context, &name, "VACUUM").await;
        found.map_err(|error| error.at(&context.sql, name::place(&vacuum.name)))?;
        let any_retention = !context.session.settings_now().vacuum_retention_check;
        Ok(Self {
            name,
            request: Request {
                retain_hours: vacuum.hours,
                dry_run: vacuum.dry_run,
                any_retention,
                ..Request::default()
            },
        })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let done = maintain::vacuum(lake, &self.name.schema, &self.name.name, &self.request).await?;
        if !self.request.dry_run {
            return Ok(Outcome::Done("VACUUM"));
        }
        let paths = StringArray::from_iter_values(done.files.iter().map(|(path, _)| path));
        let sizes = Int64Array::from_iter_values(done.files.iter().map(|(_, size)| *size as i64));
        let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(sizes)];
        let batch = RecordBatch::try_new(self.schema(), columns).map_err(internal)?;
        Ok(Outcome::Rows(RowStream::of_batch(batch)))
    }

    pub fn effect(&self) -> Effect {
        if self.request.dry_run { Effect::Rows } else { Effect::Define }
    }

    pub fn schema(&self) -> SchemaRef {
        match self.request.dry_run {
            true => Arc::new(Schema::new(vec![
                Field::new("path", DataType::Utf8, false),
                Field::new("size_bytes", DataType::Int64, false),
            ])),
            false => Arc::new(Schema::empty()),
        }
    }
}
