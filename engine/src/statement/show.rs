//! ```text
//! SHOW SCHEMAS [LIKE 'pattern']
//! SHOW { TABLES | VIEWS } [{IN | FROM} schema] [LIKE 'pattern']
//! SHOW DROPPED TABLES [{IN | FROM} schema] [LIKE 'pattern']
//! SHOW COLUMNS {IN | FROM} table [LIKE 'pattern']     of a version, too: t@v3, t VERSION AS OF 3
//! SHOW CREATE { TABLE | VIEW } name                   also of a version
//! SHOW { SETTINGS | ALL } [LIKE 'pattern']      SHOW name
//! SHOW FUNCTIONS [LIKE 'pattern']
//! SHOW MARTS [LIKE 'pattern']      SHOW CREATE MART name
//! SHOW { USERS | TOKENS } [LIKE 'pattern']      an admin sees all, everyone else their own
//! ```
//! Patterns are those of LIKE, in any case.

mod create;
mod marts;

use boathouse_storage::write;
use datafusion::{arrow::datatypes::SchemaRef, common::ScalarValue, execution::session_state::SessionState};

use super::{
    Context, Outcome,
    describe::{COLUMNS, column_rows},
    rows::{Row, keep_like, some, text_batch, text_schema},
};
use crate::{
    EngineError, RowStream,
    catalog::{
        TableAt, TableName, listing,
        system::{tokens_seen_by, users_seen_by},
    },
    parser,
};

#[derive(Debug)]
pub(crate) struct Show {
    what: What,
    like: Option<String>,
    schema: SchemaRef,
}

#[derive(Debug)]
enum What {
    Schemas,
    Tables { schema: String, views_only: bool },
    DroppedTables(Option<String>),
    Columns(TableAt),
    Create(TableAt),
    Settings,
    Setting(&'static str),
    Functions,
    Users,
    Tokens,
    Marts,
    CreateMart(TableName),
}

impl Show {
    pub async fn plan(context: &Context, ast: parser::Show) -> Result<Self, EngineError> {
        use parser::Show as Ast;
        let (what, like, columns): (_, _, &[&str]) = match ast {
            Ast::Schemas { like } => (What::Schemas, like, &["schema_name"]),
            Ast::Tables { schema, like, views_only } => {
                let schema = match schema {
                    Some(name) => context.known_schema(&name).await?,
                    None => context.default_schema().to_owned(),
                };
                (What::Tables { schema, views_only }, like, &["schema_name", "table_name", "table_type", "comment"])
            }
            Ast::DroppedTables { schema, like } => {
                let schema = match schema {
                    Some(name) => Some(context.known_schema(&name).await?),
                    None => None,
                };
                (What::DroppedTables(schema), like, &["schema_name", "table_name", "dropped_at", "kept_until"])
            }
            Ast::Columns { table, like } => (What::Columns(TableAt::find(context, &table).await?), like, COLUMNS),
            Ast::Create { table } => (What::Create(TableAt::find(context, &table).await?), None, &["create_statement"]),
            Ast::Settings { like } => (What::Settings, like, &["name", "value", "default", "description"]),
            Ast::Functions { like } => (What::Functions, like, &["function_name", "function_type", "description"]),
            Ast::Marts { like } => (What::Marts, like, marts::COLUMNS),
            Ast::CreateMart { mart } => {
                (What::CreateMart(marts::known(context, &mart).await?), None, &["create_statement"])
            }
            Ast::Users { like } => (What::Users, like, &["name", "role", "state"]),
            Ast::Tokens { like } => (What::Tokens, like, &["name", "user_name", "expires_at"]),
            Ast::Setting { name } => {
                let name: Vec<&str> = name.iter().map(|ident| ident.value.as_str()).collect();
                let (name, _) = context.session.setting(&name.join("."))?;
                return Ok(Self { what: What::Setting(name), like: None, schema: text_schema(&[name]) });
            }
        };
        Ok(Self { what, like, schema: text_schema(columns) })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let rows = self.rows(context).await?;
        let batch = text_batch(&self.schema, &rows).map_err(internal)?;
        let named_by = usize::from(matches!(self.what, What::Tables { .. } | What::DroppedTables(_)));
        let batch = keep_like(batch, named_by, self.like.as_deref()).map_err(internal)?;
        Ok(Outcome::Rows(RowStream::of_batch(batch)))
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    async fn rows(&self, context: &Context) -> Result<Vec<Row>, EngineError> {
        Ok(match &self.what {
            What::Schemas => {
                listing::schemas(context.engine.lake()).await?.into_iter().map(|name| vec![Some(name)]).collect()
            }
            What::Tables { schema, views_only } => listing::tables(context, schema)
                .await?
                .into_iter()
                .filter(|entry| !views_only || entry.kind == "VIEW")
                .map(|entry| vec![Some(entry.schema), Some(entry.name), some(entry.kind), entry.comment])
                .collect(),
            What::DroppedTables(Some(schema)) => dropped_tables(context, schema).await?,
            // Who looks for a table that is gone may not know where it was.
            What::DroppedTables(None) => {
                let mut rows = Vec::new();
                for schema in context.engine.lake().schemas().await? {
                    rows.extend(dropped_tables(context, &schema).await?);
                }
                rows
            }
            What::Columns(table) => column_rows(&context.table_provider(&table.name(context)).await?.schema()),
            What::Create(table) => vec![vec![Some(create::statement(context, table).await?)]],
            What::CreateMart(mart) => vec![vec![Some(marts::statement(context, mart).await?)]],
            What::Marts => marts::rows(context).await?,
            What::Settings => context
                .session
                .list_settings()
                .into_iter()
                .map(|setting| vec![some(setting.name), Some(setting.value), Some(setting.default), some(setting.doc)])
                .collect(),
            What::Setting(name) => vec![vec![Some(context.session.setting(name)?.1)]],
            What::Functions => functions(&context.state),
            What::Users => {
                let (document, caller) = (context.engine.users().newest().await?, context.session.identity());
                let state = |disabled| some(if disabled { "disabled" } else { "enabled" });
                let users = users_seen_by(&document, &caller).into_iter();
                users.map(|(name, user)| vec![some(name), some(user.role.name()), state(user.disabled)]).collect()
            }
            What::Tokens => {
                let (document, caller) = (context.engine.users().newest().await?, context.session.identity());
                let tokens = tokens_seen_by(&document, &caller).into_iter();
                tokens.map(|token| vec![some(&token.name), some(&token.user), time(token.expires_ms)]).collect()
            }
        })
    }
}

/// Schema, name, when it was dropped and until when it is kept, of every table that can be brought back.
async fn dropped_tables(context: &Context, schema: &str) -> Result<Vec<Row>, EngineError> {
    let tables = write::dropped_tables(context.engine.lake(), schema).await?;
    let row = |table: write::DroppedTable| {
        vec![some(schema), Some(table.name), time(table.dropped_ms), time(table.kept_until_ms)]
    };
    Ok(tables.into_iter().map(row).collect())
}

/// A time as these answers write it.
pub(super) fn time(ms: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_millis(ms);
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Name, kind and description of every function, sorted.
pub(crate) fn functions(state: &SessionState) -> Vec<Row> {
    let describe = |text: Option<&str>| {
        text.map(|text| text.split("\n\n").next().unwrap_or(text).split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let mut rows: Vec<Row> = Vec::new();
    for (name, function) in state.scalar_functions() {
        let text = function.documentation().map(|doc| doc.description.as_str());
        rows.push(vec![some(name), some("scalar"), describe(text)]);
    }
    for (name, function) in state.aggregate_functions() {
        let text = function.documentation().map(|doc| doc.description.as_str());
        rows.push(vec![some(name), some("aggregate"), describe(text)]);
    }
    for (name, function) in state.window_functions() {
        let text = function.documentation().map(|doc| doc.description.as_str());
        rows.push(vec![some(name), some("window"), describe(text)]);
    }
    rows.extend(state.higher_order_functions().keys().map(|name| vec![some(name), some("higher-order"), None]));
    rows.extend(listing::table_functions(state).into_iter().map(|name| vec![Some(name), some("table"), None]));
    rows.sort();
    rows.dedup();
    rows
}

pub(super) fn internal(error: datafusion::arrow::error::ArrowError) -> EngineError {
    EngineError::internal("could not build an answer").with_source(error)
}
