//! From AST to statement, and from statement to what it does.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{Schema, SchemaRef},
    },
    common::ScalarValue,
    logical_expr::LogicalPlan,
    sql::sqlparser::ast::{self, ObjectType},
};
use futures::{FutureExt, future::BoxFuture};

use super::{
    Context, Counted, Effect, Outcome,
    alter_table::AlterTable,
    cache_select::CacheSelect,
    cache_table::CacheTable,
    clone_table::CloneTable,
    copy::{CopyFrom, CopyTo},
    create_external_table::CreateExternalTable,
    create_table::CreateTable,
    delete::Delete,
    describe::Describe,
    drop_table::DropTable,
    explain::Explain,
    insert::{Evolution, Insert},
    kill_query::KillQuery,
    mart::ChangeMart,
    merge::Merge,
    optimize::Optimize,
    prepare::{Deallocate, Execute, Prepare},
    query::Query,
    refresh_mart::RefreshMart,
    rename_table::RenameTable,
    restore::Restore,
    schema::{CreateSchema, DropSchema},
    set::Set,
    show::Show,
    token::ChangeToken,
    truncate::Truncate,
    uncache_table::UncacheTable,
    undrop_table::UndropTable,
    update::Update,
    user::ChangeUser,
    vacuum::Vacuum,
    view::{CreateView, DropView},
};
use crate::{
    EngineError, RowStream,
    cache::Form,
    parser::{self, Ast, Cache, Recover, copy::Copy, create::Create},
};

/// A planned statement. Closed on purpose: no `_` in the matches below.
#[derive(Debug)]
pub(crate) enum Statement {
    Query(Query),
    Explain(Explain),
    Show(Show),
    Describe(Describe),
    Set(Set),
    Prepare(Prepare),
    Execute(Execute),
    Deallocate(Deallocate),
    CreateTable(CreateTable),
    CreateExternalTable(CreateExternalTable),
    CloneTable(CloneTable),
    DropTable(DropTable),
    AlterTable(AlterTable),
    RenameTable(RenameTable),
    UndropTable(UndropTable),
    Restore(Restore),
    CreateSchema(CreateSchema),
    DropSchema(DropSchema),
    CreateView(CreateView),
    DropView(DropView),
    Insert(Insert),
    Delete(Delete),
    Update(Update),
    Merge(Merge),
    Truncate(Truncate),
    CopyFrom(CopyFrom),
    CopyTo(CopyTo),
    Optimize(Optimize),
    Vacuum(Vacuum),
    CacheTable(CacheTable),
    CacheSelect(CacheSelect),
    UncacheTable(UncacheTable),
    KillQuery(KillQuery),
    User(ChangeUser),
    Token(ChangeToken),
    Mart(ChangeMart),
    RefreshMart(RefreshMart),
}

impl Statement {
    /// The context's text, as it was planned before when that plan still holds, else parsed and planned.
    pub async fn of_text(context: &Context) -> Result<Self, EngineError> {
        let as_query = context.of_query(Form::Query, &context.sql);
        if let Some(query) = Query::recall(&as_query).await {
            return Ok(Self::Query(query));
        }
        let ast = parser::parse(&context.sql)?;
        if !ast.is_query() {
            return Self::plan(context, ast).await;
        }
        let statement = Self::plan(&as_query, ast).await?;
        if let Self::Query(query) = &statement {
            query.keep(&as_query)?;
        }
        Ok(statement)
    }

    /// The rows of an earlier run that this run would give, if they are kept.
    pub fn kept_rows(&self, context: &Context, parameters: &[ScalarValue]) -> Option<RowStream> {
        let (query, parameters) = self.query(parameters)?;
        query.kept_rows(context, parameters)
    }

    /// Whether [`Statement::kept_rows`] would give some; for EXPLAIN.
    pub fn has_kept_rows(&self, context: &Context, parameters: &[ScalarValue]) -> bool {
        let query = self.query(parameters);
        query.is_some_and(|(query, parameters)| query.has_kept_rows(context, parameters))
    }

    /// The query whose rows are the statement's, and its parameters: those given, or those that the statement brings.
    pub fn query<'a>(&'a self, parameters: &'a [ScalarValue]) -> Option<(&'a Query, &'a [ScalarValue])> {
        match self {
            Self::Query(query) => Some((query, parameters)),
            Self::Execute(execute) => execute.query(),
            Self::Explain(_)
            | Self::Show(_)
            | Self::Describe(_)
            | Self::Set(_)
            | Self::Prepare(_)
            | Self::Deallocate(_)
            | Self::CreateTable(_)
            | Self::CreateExternalTable(_)
            | Self::CloneTable(_)
            | Self::DropTable(_)
            | Self::AlterTable(_)
            | Self::RenameTable(_)
            | Self::UndropTable(_)
            | Self::Restore(_)
            | Self::CreateSchema(_)
            | Self::DropSchema(_)
            | Self::CreateView(_)
            | Self::DropView(_)
            | Self::Insert(_)
            | Self::Delete(_)
            | Self::Update(_)
            | Self::Merge(_)
            | Self::Truncate(_)
            | Self::CopyFrom(_)
            | Self::CopyTo(_)
            | Self::Optimize(_)
            | Self::Vacuum(_)
            | Self::CacheTable(_)
            | Self::CacheSelect(_)
            | Self::UncacheTable(_)
            | Self::KillQuery(_)
            | Self::User(_)
            | Self::Token(_)
            | Self::Mart(_)
            | Self::RefreshMart(_) => None,
        }
    }

    /// Reads and checks; changes nothing.
    pub fn plan(context: &Context, ast: Ast) -> BoxFuture<'_, Result<Self, EngineError>> {
        async move {
            Ok(match ast {
                Ast::Sql(statement) => return Self::plan_sql(context, *statement).await,
                Ast::Evolve(statement) => match *statement {
                    ast::Statement::Insert(insert) => {
                        Self::Insert(Insert::plan(context, insert, Evolution::Asked).await?)
                    }
                    ast::Statement::Merge(merge) => Self::Merge(Merge::plan(context, merge, true).await?),
                    other => return Err(not_supported(&first_words(&other))),
                },
                Ast::ByName(statement) => match *statement {
                    ast::Statement::Insert(insert) => {
                        Self::Insert(Insert::plan(context, insert, Evolution::ByName).await?)
                    }
                    other => return Err(not_supported(&first_words(&other))),
                },
                Ast::Replace(replace) => Self::Insert(Insert::plan_replace(context, *replace).await?),
                Ast::Explain(explain) => Self::Explain(Explain::plan(context, explain).await?),
                Ast::Show(show) => Self::Show(Show::plan(context, show).await?),
                Ast::Describe(describe) => Self::Describe(Describe::plan(context, describe).await?),
                Ast::Cache(Cache::Table(table)) => Self::CacheTable(CacheTable::plan(context, table).await?),
                Ast::Cache(Cache::Select(query)) => Self::CacheSelect(CacheSelect::plan(context, *query).await?),
                Ast::Uncache(uncache) => Self::UncacheTable(UncacheTable::plan(context, uncache).await?),
                Ast::Vacuum(vacuum) => Self::Vacuum(Vacuum::plan(context, vacuum).await?),
                Ast::Kill(kill) => Self::KillQuery(KillQuery::plan(context, kill)?),
                Ast::User(change) => Self::User(ChangeUser::plan(context, change).await?),
                Ast::Token(change) => Self::Token(ChangeToken::plan(context, change).await?),
                Ast::Recover(Recover::Restore { table, to }) => Self::Restore(Restore::plan(context, table, to).await?),
                Ast::Recover(Recover::Undrop { table }) => Self::UndropTable(UndropTable::plan(context, table).await?),
                Ast::Reset(name) => Self::Set(Set::plan_reset(name)?),
                Ast::Create(create) => match *create {
                    Create::Table(table) => Self::CreateTable(CreateTable::plan(context, table).await?),
                    Create::ExternalTable(table) => {
                        Self::CreateExternalTable(CreateExternalTable::plan(context, table).await?)
                    }
                    Create::Clone(clone) => Self::CloneTable(CloneTable::plan(context, clone).await?),
                    Create::View(view) => Self::CreateView(CreateView::plan(context, view).await?),
                    Create::Schema(schema) => Self::CreateSchema(CreateSchema::plan(context, schema).await?),
                    Create::Unsupported(clause) => return Err(not_supported(&clause.clause)),
                },
                Ast::Mart(change) => return Self::plan_mart(context, *change).await,
                Ast::Alter(alter) => Self::AlterTable(AlterTable::plan(context, *alter).await?),
                Ast::Rename(rename) => Self::RenameTable(RenameTable::plan(context, rename).await?),
                Ast::Copy(copy) => match *copy {
                    Copy::From(copy) => Self::CopyFrom(CopyFrom::plan(context, copy).await?),
                    Copy::To(copy) => Self::CopyTo(CopyTo::plan(context, copy).await?),
                    Copy::Unsupported(clause) => return Err(not_supported(&clause.clause)),
                },
            })
        }
        .boxed()
    }

    async fn plan_sql(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        Ok(match statement {
            ast::Statement::Query(query) => Self::Query(Query::plan(context, *query).await?),
            ast::Statement::Insert(insert) => {
                Self::Insert(Insert::plan(context, insert, Evolution::IfTheTableSays).await?)
            }
            ast::Statement::Delete(delete) => Self::Delete(Delete::plan(context, delete).await?),
            ast::Statement::Update(update) => Self::Update(Update::plan(context, update).await?),
            ast::Statement::Merge(merge) => Self::Merge(Merge::plan(context, merge, false).await?),
            ast::Statement::Truncate(truncate) => Self::Truncate(Truncate::plan(context, truncate).await?),
            optimize @ ast::Statement::OptimizeTable { .. } => Self::Optimize(Optimize::plan(context, optimize).await?),
            ast::Statement::Set(set) => Self::Set(Set::plan(context, set).await?),
            ast::Statement::Use(target) => Self::Set(Set::plan_use(context, target).await?),
            ast::Statement::Prepare { name, data_types, statement } => {
                Self::Prepare(Prepare::plan(context, name, data_types, *statement).await?)
            }
            execute @ ast::Statement::Execute { .. } => Self::Execute(Execute::plan(context, execute).await?),
            ast::Statement::Deallocate { name, .. } => Self::Deallocate(Deallocate::plan(context, name)?),
            ast::Statement::Drop { object_type: ObjectType::Table, .. } => {
                Self::DropTable(DropTable::plan(context, statement).await?)
            }
            ast::Statement::Drop { object_type: ObjectType::View, .. } => {
                Self::DropView(DropView::plan(context, statement).await?)
            }
            ast::Statement::Drop { object_type: ObjectType::Schema, .. } => {
                Self::DropSchema(DropSchema::plan(context, statement).await?)
            }
            other => return Err(not_supported(&first_words(&other))),
        })
    }

    /// Does it. Called at most once per run of the statement.
    pub fn run<'a>(
        &'a self,
        context: &'a Context,
        parameters: &'a [ScalarValue],
    ) -> BoxFuture<'a, Result<Outcome, EngineError>> {
        async move {
            match self {
                Self::Query(statement) => statement.run(context, parameters).await,
                Self::Explain(statement) => statement.run(context, parameters).await,
                Self::Show(statement) => statement.run(context, parameters).await,
                Self::Describe(statement) => statement.run(context, parameters).await,
                Self::Set(statement) => statement.run(context, parameters).await,
                Self::Prepare(statement) => statement.run(context, parameters).await,
                Self::Execute(statement) => statement.run(context, parameters).await,
                Self::Deallocate(statement) => statement.run(context, parameters).await,
                Self::CreateTable(statement) => statement.run(context, parameters).await,
                Self::CreateExternalTable(statement) => statement.run(context, parameters).await,
                Self::CloneTable(statement) => statement.run(context, parameters).await,
                Self::DropTable(statement) => statement.run(context, parameters).await,
                Self::AlterTable(statement) => statement.run(context, parameters).await,
                Self::RenameTable(statement) => statement.run(context, parameters).await,
                Self::UndropTable(statement) => statement.run(context, parameters).await,
                Self::Restore(statement) => statement.run(context, parameters).await,
                Self::CreateSchema(statement) => statement.run(context, parameters).await,
                Self::DropSchema(statement) => statement.run(context, parameters).await,
                Self::CreateView(statement) => statement.run(context, parameters).await,
                Self::DropView(statement) => statement.run(context, parameters).await,
                Self::Insert(statement) => statement.run(context, parameters).await,
                Self::Delete(statement) => statement.run(context, parameters).await,
                Self::Update(statement) => statement.run(context, parameters).await,
                Self::Merge(statement) => statement.run(context, parameters).await,
                Self::Truncate(statement) => statement.run(context, parameters).await,
                Self::CopyFrom(statement) => statement.run(context, parameters).await,
                Self::CopyTo(statement) => statement.run(context, parameters).await,
                Self::Optimize(statement) => statement.run(context, parameters).await,
                Self::Vacuum(statement) => statement.run(context, parameters).await,
                Self::CacheTable(statement) => statement.run(context, parameters).await,
                Self::CacheSelect(statement) => statement.run(context, parameters).await,
                Self::UncacheTable(statement) => statement.run(context, parameters).await,
                Self::KillQuery(statement) => statement.run(context, parameters).await,
                Self::User(statement) => statement.run(context, parameters).await,
                Self::Token(statement) => statement.run(context, parameters).await,
                Self::Mart(statement) => statement.run(context, parameters).await,
                Self::RefreshMart(statement) => statement.run(context, parameters).await,
            }
        }
        .boxed()
    }

    /// Does what was planned in this very context, a moment ago: what [`Statement::run`] binds anew, because a plan may be
    /// old, is not bound a second time.
    pub async fn run_planned(&self, context: &Context) -> Result<Outcome, EngineError> {
        if let Self::Merge(merge) = self {
            return merge.run_planned(context, &[]).await;
        }
        match self.insert() {
            Some(insert) => insert.run_planned(context, &[]).await,
            None => self.run(context, &[]).await,
        }
    }

    /// Does it for all rows of parameters at once.
    pub async fn run_rows(&self, context: &Context, batches: &[RecordBatch]) -> Result<Outcome, EngineError> {
        match self.insert() {
            Some(insert) => insert.run_rows(context, batches).await,
            None => Err(EngineError::internal("a statement that cannot take rows of parameters got some")),
        }
    }

    /// The plain INSERT that it is.
    pub fn insert(&self) -> Option<&Insert> {
        if let Self::Insert(insert) = self { Some(insert) } else { None }
    }

    pub fn effect(&self) -> Effect {
        match self {
            Self::Query(_)
            | Self::Explain(_)
            | Self::Show(_)
            | Self::Describe(_)
            | Self::CacheTable(_)
            | Self::CacheSelect(_)
            | Self::UncacheTable(_) => Effect::Rows,
            Self::Execute(execute) => execute.effect(),
            Self::Insert(_)
            | Self::Delete(_)
            | Self::Update(_)
            | Self::Merge(_)
            | Self::Truncate(_)
            | Self::CopyFrom(_)
            | Self::CopyTo(_)
            | Self::Restore(_) => Effect::Change,
            Self::Set(_)
            | Self::Prepare(_)
            | Self::Deallocate(_)
            | Self::CreateTable(_)
            | Self::CreateExternalTable(_)
            | Self::CloneTable(_)
            | Self::DropTable(_)
            | Self::AlterTable(_)
            | Self::RenameTable(_)
            | Self::UndropTable(_)
            | Self::CreateSchema(_)
            | Self::DropSchema(_)
            | Self::CreateView(_)
            | Self::DropView(_)
            | Self::Optimize(_)
            | Self::KillQuery(_)
            | Self::User(_)
            | Self::Mart(_)
            | Self::RefreshMart(_) => Effect::Define,
            Self::Vacuum(vacuum) => vacuum.effect(),
            Self::Token(token) => token.effect(),
        }
    }

    /// What it tells of the rows that it changes.
    pub fn counted(&self) -> Counted {
        match self {
            Self::Execute(execute) => execute.inner().counted(),
            Self::Merge(_) => Counted::Apart,
            _ if self.insert().is_some_and(Insert::replaces) => Counted::Inserted,
            _ => Counted::Sum,
        }
    }

    /// Whether it only touches this process: it needs no permit.
    pub fn is_instant(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Prepare(_) | Self::Deallocate(_) | Self::KillQuery(_))
    }

    /// The rows' schema on the wire; empty for a statement without rows.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Query(query) => query.schema(),
            Self::Explain(explain) => explain.schema(),
            Self::Show(show) => show.schema(),
            Self::Describe(describe) => describe.schema(),
            Self::Execute(execute) => execute.schema(),
            Self::Set(_)
            | Self::Prepare(_)
            | Self::Deallocate(_)
            | Self::CreateTable(_)
            | Self::CreateExternalTable(_)
            | Self::CloneTable(_)
            | Self::DropTable(_)
            | Self::AlterTable(_)
            | Self::RenameTable(_)
            | Self::UndropTable(_)
            | Self::Restore(_)
            | Self::CreateSchema(_)
            | Self::DropSchema(_)
            | Self::CreateView(_)
            | Self::DropView(_)
            | Self::Insert(_)
            | Self::Delete(_)
            | Self::Update(_)
            | Self::Merge(_)
            | Self::Truncate(_)
            | Self::CopyFrom(_)
            | Self::CopyTo(_)
            | Self::Optimize(_)
            | Self::KillQuery(_)
            | Self::User(_)
            | Self::Mart(_)
            | Self::RefreshMart(_) => Arc::new(Schema::empty()),
            Self::Vacuum(vacuum) => vacuum.schema(),
            Self::CacheTable(cache) => cache.schema(),
            Self::CacheSelect(cache) => cache.schema(),
            Self::UncacheTable(uncache) => uncache.schema(),
            Self::Token(token) => token.schema(),
        }
    }

    /// One field per parameter, named `1`, `2`, ...
    pub fn parameters(&self) -> Schema {
        match self.source() {
            Some(plan) if !matches!(self, Self::Execute(_)) => super::parameter::schema(plan),
            _ => Schema::empty(),
        }
    }

    /// The query that a statement reads, for EXPLAIN and for its parameters.
    pub fn source(&self) -> Option<&LogicalPlan> {
        match self {
            Self::Query(query) => Some(query.source()),
            Self::Explain(explain) => explain.source(),
            Self::Execute(execute) => execute.source(),
            Self::Insert(insert) => insert.source(),
            Self::Delete(delete) => Some(delete.source()),
            Self::Update(update) => Some(update.source()),
            Self::Merge(merge) => Some(merge.source()),
            Self::CreateTable(create) => create.source(),
            Self::CopyTo(copy) => copy.source(),
            Self::CacheTable(cache) => Some(cache.source()),
            Self::CacheSelect(cache) => Some(cache.source()),
            Self::Truncate(_)
            | Self::CopyFrom(_)
            | Self::Show(_)
            | Self::Describe(_)
            | Self::Set(_)
            | Self::Prepare(_)
            | Self::Deallocate(_)
            | Self::CreateExternalTable(_)
            | Self::CloneTable(_)
            | Self::DropTable(_)
            | Self::AlterTable(_)
            | Self::RenameTable(_)
            | Self::UndropTable(_)
            | Self::Restore(_)
            | Self::CreateSchema(_)
            | Self::DropSchema(_)
            | Self::CreateView(_)
            | Self::DropView(_)
            | Self::Optimize(_)
            | Self::Vacuum(_)
            | Self::UncacheTable(_)
            | Self::KillQuery(_)
            | Self::User(_)
            | Self::Token(_)
            | Self::Mart(_)
            | Self::RefreshMart(_) => None,
        }
    }
}

fn not_supported(what: &str) -> EngineError {
    EngineError::unsupported(format!("{what} is not supported"))
        .with_hint("The statements are listed in the README, with their grammar.")
}

/// `CREATE INDEX` of `CREATE INDEX i ON t (a)`.
fn first_words(statement: &ast::Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> =
        text.split_whitespace().take(2).take_while(|word| word.chars().all(|c| c.is_ascii_uppercase())).collect();
    if words.is_empty() { "this statement".to_owned() } else { words.join(" ") }
}
