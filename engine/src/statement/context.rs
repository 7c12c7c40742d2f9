//! Where a statement is planned and run: the engine, the session, and a catalog of its own.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::{
    WantedFiles, task_context,
    write::{CommitTimes, Publication},
};
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::TableProvider,
    execution::{TaskContext, session_state::SessionState},
    logical_expr::{LogicalPlan, ScalarUDF, registry::FunctionRegistry},
    physical_plan::{ExecutionPlan, execute_stream},
    sql::sqlparser::ast::ObjectName,
};

use super::{Settings, once};
use crate::{
    Engine, EngineError, RowStream, Session,
    cache::{Form, PlanKey, Recording, Rights},
    catalog::{DEFAULT_CATALOG, Pinned, TableName, is_reserved, pinned_catalogs},
    error::{Place, convert},
    exec::{Permit, Stop, wire_schema},
    identity::Secret,
    locate::locate,
    queries::Phase,
    session::Pins,
};

/// What the statement files work with. Cheap to clone; clones share the pinned catalog.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub engine: Arc<Engine>,
    pub session: Arc<Session>,
    /// DataFusion's state with the session's settings and this statement's catalog.
    pub state: Arc<SessionState>,
    /// What this statement's names are bound to.
    pub pinned: Arc<Pinned>,
    /// The statement's text, for error places.
    pub sql: Arc<str>,
    /// Passwords that stood in the text, in order; in the text itself is `'***'`.
    pub secrets: Arc<[Secret]>,
    /// Whether rows may come from the result cache, and go there.
    pub result_cache: bool,
    /// What the plan of the statement's query depends on besides names; `None` when it is not to be kept.
    pub plan_key: Option<Arc<PlanKey>>,
    /// For a run of a statement that changes rows: it does so once for this key.
    pub idempotency_key: Option<String>,
    /// With a key: what is put in for the statement's parameters.
    pub values: Option<once::Values>,
    /// What a commit of this run has to pass.
    pub publication: Option<Arc<Publication>>,
    /// Versions that hold however often the statement runs again.
    fixed: Arc<Pins>,
    /// Relations that names stand for however often the statement runs again.
    given: Arc<[(TableName, Arc<dyn TableProvider>)]>,
    /// The settings of the session that differ from the engine's.
    changed: Arc<BTreeMap<&'static str, String>>,
    /// Held while the statement runs; absent while it is only planned.
    permit: Option<Arc<Permit>>,
    /// Asked when nobody waits for this run any more.
    pub stop: Option<Arc<Stop>>,
}

impl Context {
    pub fn new(engine: &Arc<Engine>, session: &Arc<Session>, sql: &str, pins: &Pins) -> Self {
        let pinned = Pinned::new(engine.lake().clone(), pins);
        let mut state = engine.template().clone();
        let Settings { config, result_cache, changed, .. } = session.settings_now();
        *state.config_mut() = config;
        if state.config_options().execution.time_zone != engine.template().config_options().execution.time_zone {
            update_functions(&mut state);
        }
        state.register_catalog_list(pinned_catalogs(&pinned));
        state.mark_start_execution();
        Self {
            engine: engine.clone(),
            session: session.clone(),
            state: Arc::new(state),
            pinned,
            sql: Arc::from(sql),
            secrets: Arc::default(),
            result_cache: result_cache && engine.results().is_on(),
            plan_key: None,
            idempotency_key: None,
            values: None,
            publication: None,
            fixed: Arc::default(),
            given: Arc::default(),
            changed,
            permit: None,
            stop: None,
        }
    }

    /// The same for the plan of a MERGE. DataFusion moves fields of structs below a join, and below the columns that are
    /// computed over it, under one name for both: "__datafusion_extracted_1 is ambiguous".
    pub fn for_merge(&self) -> Self {
        let mut state = (*self.state).clone();
        state.config_mut().options_mut().optimizer.enable_leaf_expression_pushdown = false;
        Self { state: Arc::new(state), ..self.clone() }
    }

    /// For a query whose plan may be kept, by the text that it was parsed from.
    pub fn of_query(&self, form: Form, sql: &str) -> Self {
        let rights = Rights::of(self.session.identity().role());
        let key = |text| Arc::new(PlanKey { form, text, settings: self.changed.clone(), rights });
        Self { plan_key: PlanKey::text(sql).map(key), ..self.clone() }
    }

    /// For a statement whose plan is not to be kept.
    pub fn of_no_query(&self) -> Self {
        Self { plan_key: None, ..self.clone() }
    }

    /// The same session with an empty catalog.
    pub fn fresh(&self) -> Self {
        Self::new(&self.engine, &self.session, &self.sql, &Pins::new())
    }

    /// The same, which reads these versions each time that it runs.
    pub fn fixed_at(self, pins: Pins) -> Self {
        Self { fixed: Arc::new(pins), ..self }.again()
    }

    /// The same, where these names stand for these relations each time that it runs.
    pub fn with_given(self, given: Vec<(TableName, Arc<dyn TableProvider>)>) -> Self {
        Self { given: given.into(), ..self }.again()
    }

    /// The same, whose commit has to pass an audit.
    pub fn publishing(&self, publication: Publication) -> Self {
        Self { publication: Some(Arc::new(publication)), ..self.clone() }
    }

    /// The same statement, run once more: its names are not bound yet.
    pub fn again(&self) -> Self {
        let pinned = Pinned::new(self.engine.lake().clone(), &self.fixed);
        for (name, relation) in self.given.iter() {
            pinned.keep_provider(name.clone(), relation.clone());
        }
        let mut state = self.state.as_ref().clone();
        state.register_catalog_list(pinned_catalogs(&pinned));
        state.mark_start_execution();
        Self { state: Arc::new(state), pinned, plan_key: None, ..self.clone() }
    }

    /// For a run: with the permit, and with the time of this run for `now()`.
    pub fn for_run(&self, permit: Arc<Permit>) -> Self {
        let mut state = self.state.as_ref().clone();
        state.mark_start_execution();
        let stop = Stop::new(permit.limit());
        let account = permit.live().runs_on(state.runtime_env(), &stop);
        state.config_mut().set_extension(stop.clone());
        state.config_mut().set_extension(account);
        Self { state: Arc::new(state), permit: Some(permit), stop: Some(stop), ..self.clone() }
    }

    /// The same, whose plans note the files that they read.
    pub fn wanting(&self, wanted: &Arc<WantedFiles>) -> Self {
        let mut state = self.state.as_ref().clone();
        state.config_mut().set_extension(wanted.clone());
        Self { state: Arc::new(state), ..self.clone() }
    }

    /// Says what the time goes to from here on.
    pub fn enter(&self, phase: Phase) {
        if let Some(permit) = &self.permit {
            permit.live().enter(phase);
        }
    }

    /// It runs again, because another writer came first.
    pub fn replayed(&self) {
        if let Some(permit) = &self.permit {
            permit.live().replayed();
        }
    }

    /// Where the times of its commits are noted, if somebody wants to know.
    pub fn commit_times(&self) -> Option<Arc<CommitTimes>> {
        self.permit.as_ref().and_then(|permit| permit.live().commit_times())
    }

    /// Under what a plan of this run is executed.
    pub fn task(&self) -> Arc<TaskContext> {
        task_context(self.state.as_ref())
    }

    /// Where names without a schema are looked up.
    pub fn default_schema(&self) -> &str {
        &self.state.config_options().catalog.default_schema
    }

    /// The same statement with other default schema, for the text of a view.
    pub fn with_default_schema(&self, schema: &str) -> Self {
        let mut state = self.state.as_ref().clone();
        let config = state.config().clone().with_default_catalog_and_schema(DEFAULT_CATALOG, schema);
        *state.config_mut() = config;
        Self { state: Arc::new(state), ..self.clone() }
    }

    /// The same statement about another text, for the text that EXECUTE runs.
    pub fn with_sql(&self, sql: &Arc<str>) -> Self {
        Self { sql: sql.clone(), ..self.clone() }
    }

    /// Schema and name of a table, what is left out filled in.
    pub fn table_name(&self, name: &ObjectName) -> Result<TableName, EngineError> {
        TableName::of_object(name, self.default_schema())
    }

    /// `schema` or `lake.schema`, which must be there; else an error that shows the place and the nearest name.
    pub async fn known_schema(&self, name: &ObjectName) -> Result<String, EngineError> {
        let parsed = self.table_name(name)?;
        let schema = match name.0.len() {
            1 => parsed.name,
            2 if parsed.schema == DEFAULT_CATALOG => parsed.name,
            _ => {
                return Err(
                    EngineError::invalid(format!("\"{name}\" is not the name of a schema")).at(&self.sql, place(name))
                );
            }
        };
        let known = is_reserved(&schema) || self.engine.lake().schemas().await?.contains(&schema);
        match known {
            true => Ok(schema),
            false => Err(self.pinned.unknown_schema(&schema).await.at(&self.sql, place(name))),
        }
    }

    /// Schema and name of a table or view that is there; else an error that shows the place and the nearest name.
    pub async fn known_table(&self, name: &ObjectName) -> Result<TableName, EngineError> {
        let table = self.table_name(name)?;
        match self.table_provider(&table).await {
            Ok(_) => Ok(table),
            Err(error) => Err(error.at(&self.sql, place(name))),
        }
    }

    /// An error of DataFusion's, with its place in this statement.
    pub fn error(&self, error: datafusion::error::DataFusionError) -> EngineError {
        convert(error, Some(&self.sql))
    }

    /// Types coerced, wildcards expanded, functions checked: what the plan really returns.
    pub fn analyze(&self, plan: LogicalPlan) -> Result<LogicalPlan, EngineError> {
        let options = self.state.config_options();
        self.state.analyzer().execute_and_check(plan, options, |_, _| {}).map_err(|error| self.error(error))
    }

    /// The schema under which the rows of an analyzed plan go to the client.
    pub fn wire_schema(&self, analyzed: &LogicalPlan) -> SchemaRef {
        wire_schema(analyzed.schema().as_arrow())
    }

    /// Optimizes and plans for execution.
    pub async fn physical_plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, EngineError> {
        match self.state.create_physical_plan(plan).await {
            Ok(physical) => Ok(physical),
            Err(error) => Err(locate(self, self.error(error), true).await),
        }
    }

    /// Runs a plan; rows come under `schema`, made by [`Context::wire_schema`], and go into the recording, if there is one.
    pub async fn execute_rows(
        &self,
        plan: &LogicalPlan,
        schema: SchemaRef,
        recording: Option<Recording>,
    ) -> Result<RowStream, EngineError> {
        self.execute_physical(self.physical_plan(plan).await?, schema, recording)
    }

    /// The same for a plan that is ready.
    pub fn execute_physical(
        &self,
        physical: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        recording: Option<Recording>,
    ) -> Result<RowStream, EngineError> {
        self.enter(Phase::Executing);
        let rows = execute_stream(physical, self.task()).map_err(|error| self.error(error))?;
        Ok(RowStream::spawn(self.engine.runtime(), schema, rows, self.permit.clone(), recording, self.stop.clone()))
    }
}

/// Where a name stands in the statement.
fn place(name: &ObjectName) -> Option<Place> {
    let first = name.0.first().and_then(|part| part.as_ident())?;
    let last = name.0.last().and_then(|part| part.as_ident())?;
    Place::of_token_span(first.span.union(&last.span))
}

/// Functions such as `now` keep the options that they were made with.
fn update_functions(state: &mut SessionState) {
    let options = state.config_options().clone();
    let updated: Vec<ScalarUDF> = state
        .scalar_functions()
        .values()
        .filter_map(|function| function.inner().with_updated_config(&options))
        .collect();
    for function in updated {
        // Only a name that is not there yet could fail.
        let _ = state.register_udf(Arc::new(function));
    }
}
