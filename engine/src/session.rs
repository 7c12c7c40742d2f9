//! One per client: its settings, its prepared statements, and the two calls that everything goes through.

mod ingest;
mod load;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    common::ScalarValue,
};
use parking_lot::Mutex;

use crate::{
    Engine, EngineError, Origin, Outcome, Prepared,
    catalog::{TableName, listing},
    exec::within,
    function::SessionUser,
    identity::{Identity, Right, Role},
    locate::locate,
    parser::{self, Concealed},
    queries::{Live, Phase},
    statement::{
        Context, Effect, Kept, Settings, Statement,
        once::Keyed,
        replay::{self, Bound},
    },
};

pub use self::load::Batches;
pub(crate) use self::load::once;

/// A client's session. Methods may be called at once; settings apply to statements prepared after them.
#[derive(Debug)]
pub struct Session {
    engine: Arc<Engine>,
    this: Weak<Session>,
    defaults: Settings,
    settings: Mutex<Settings>,
    prepared: Mutex<BTreeMap<String, Kept>>,
    identity: Mutex<Identity>,
}

/// A table or view as the catalog lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableEntry {
    pub schema: String,
    pub name: String,
    /// `TABLE` or `VIEW`.
    pub kind: &'static str,
    pub comment: Option<String>,
}

/// The columns of a table or view.
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumns {
    /// A column comment stands under the metadata key `comment`.
    pub schema: SchemaRef,
    /// Names of those that number the rows: `GENERATED ... AS IDENTITY`.
    pub numbered: Vec<String>,
    /// Names of those that tell the rows apart, in the order of the key, as the table's properties say. Not enforced.
    pub key: Vec<String>,
}

/// Table versions that a plan is bound to: `schema.table` (or a location) and version.
pub type Pins = Vec<(String, u64)>;

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, identity: Identity) -> Arc<Self> {
        let mut settings = Settings::new(engine.config());
        settings.config.options_mut().extensions.insert(SessionUser(identity.name().into()));
        Arc::new_cyclic(|this| Self {
            engine,
            this: this.clone(),
            defaults: settings.clone(),
            settings: Mutex::new(settings),
            prepared: Mutex::default(),
            identity: Mutex::new(identity),
        })
    }

    /// Who it acts for, with the role that they had when that was last said.
    pub fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// Its user has another role now; statements that run on go on. The user of a session stays the same.
    pub fn set_role(&self, role: Role) {
        self.identity.lock().set_role(role);
    }

    /// Plans one statement (a trailing `;` is fine). Never writes. The plan is bound to the newest version of each table.
    pub async fn prepare(&self, sql: &str) -> Result<Prepared, EngineError> {
        self.prepare_at(sql, &Pins::new()).await
    }

    /// Like [`Session::prepare`], bound to the versions given; tables not named there get their newest version.
    pub async fn prepare_at(&self, sql: &str, pins: &Pins) -> Result<Prepared, EngineError> {
        self.prepare_as(&Origin::default(), sql, pins).await
    }

    /// Like [`Session::prepare_at`], for a caller: by whom it is found while it is planned, and while it runs.
    pub async fn prepare_as(&self, origin: &Origin, sql: &str, pins: &Pins) -> Result<Prepared, EngineError> {
        let size = parser::check_size(sql, self.engine.config().sql_bytes_max);
        let given = size.and_then(|()| parser::conceal(sql));
        // What cannot be read as SQL is shown by its words.
        let shown = given.as_ref().map_or(sql, |given| &given.sql);
        let live = self.engine.queries().begin(origin, shown, Phase::Planning);
        let planned = async { self.plan(&live, given?, pins).await };
        planned.await.inspect_err(|error| live.failed(error))
    }

    async fn plan(&self, live: &Arc<Live>, given: Concealed<'_>, pins: &Pins) -> Result<Prepared, EngineError> {
        let mut context = Context::new(&self.engine, &self.this()?, &given.sql, pins);
        context.secrets = given.secrets.into();
        let (timeout, live) = (self.statement_timeout(), live.clone());
        let plan = async move {
            match within(timeout, live.until_killed(Statement::of_text(&context))).await {
                Ok(statement) => {
                    statement.check_right(&context.session.identity())?;
                    Ok(Prepared::new(context, statement, &live))
                }
                Err(error) => Err(locate(&context, error, false).await),
            }
        };
        self.engine.runtime().spawn(plan).await?
    }

    /// Runs a prepared statement with its parameters in order. Rows stream: dropping them cancels the query.
    pub async fn run(&self, prepared: &Prepared, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let (statement, live) = (prepared.statement.clone(), prepared.begin());
        self.check_again(&statement, &live)?;
        if let Some(rows) = statement.kept_rows(&prepared.context, parameters) {
            live.is_answered_from_cache();
            let outcome = Outcome::Rows(rows);
            live.answered(Ok(&outcome));
            return Ok(outcome);
        }
        let parameters = parameters.to_vec();
        if statement.is_instant() {
            live.enter(Phase::Executing);
            let context = prepared.context.clone();
            let run = async move {
                let outcome = match statement.run(&context, &parameters).await {
                    Ok(outcome) => Ok(outcome),
                    Err(error) => Err(locate(&context, error, false).await),
                };
                live.answered(outcome.as_ref());
                outcome
            };
            return self.engine.runtime().spawn(run).await?;
        }
        self.run_bound(prepared, live, Bound::Row(parameters)).await
    }

    /// Runs a statement that [takes rows](Prepared::takes_rows) once for all rows of parameters, a column per parameter in
    /// order: in one commit, or not at all.
    pub async fn run_rows(&self, prepared: &Prepared, rows: Vec<RecordBatch>) -> Result<Outcome, EngineError> {
        let live = prepared.begin();
        self.check_again(&prepared.statement, &live)?;
        self.run_bound(prepared, live, Bound::Rows(rows)).await
    }

    async fn run_bound(&self, prepared: &Prepared, live: Arc<Live>, bound: Bound) -> Result<Outcome, EngineError> {
        let statement = prepared.statement.clone();
        let (permits, timeout) = (self.engine.permits(), self.statement_timeout());
        let permit = match statement.waits_for_others() {
            true => permits.without_place(timeout, live),
            false => permits.acquire(timeout, live).await?,
        };
        let permit = Arc::new(permit);
        let mut context = prepared.context.for_run(permit.clone());
        let keyed = statement.keyed();
        context.idempotency_key = keyed.key(self.idempotency_key());
        let values = context.idempotency_key.as_ref().map(|_| bound.hash()).transpose();
        context.values = values.inspect_err(|error| permit.live().failed(error))?;
        let (session, stop) = (self.this()?, context.stop.clone());
        let run = async move {
            let outcome = match permit.bound(replay::run(&statement, &context, &bound)).await {
                // A definition is refused for what its text says; a query fails for its rows.
                Err(error) if statement.effect() == Effect::Define => Err(locate(&context, error, false).await),
                outcome => {
                    let is_done = matches!(outcome, Ok(Outcome::Changed { version: Some(_), .. } | Outcome::Done(_)));
                    if is_done && keyed == Keyed::Takes {
                        session.settings.lock().idempotency_key = None;
                    }
                    outcome
                }
            };
            permit.live().answered(outcome.as_ref());
            outcome
        };
        self.engine.runtime().spawn(run).stopping(stop).await?
    }

    /// What `SET parallel_endpoints` said: into how many streams a client wants the rows of a query.
    pub fn parallel_endpoints(&self) -> usize {
        self.settings.lock().parallel_endpoints
    }

    /// What `SET idempotency_key` said, until a statement took it.
    pub fn idempotency_key(&self) -> Option<String> {
        self.settings.lock().idempotency_key.clone()
    }

    /// As `SET idempotency_key`, with any text.
    pub fn set_idempotency_key(&self, key: Option<String>) {
        self.settings.lock().idempotency_key = key;
    }

    /// Prepares and runs one statement.
    pub async fn execute(&self, sql: &str) -> Result<Outcome, EngineError> {
        let prepared = self.prepare(sql).await?;
        self.run(&prepared, &[]).await
    }

    pub async fn schemas(&self) -> Result<Vec<String>, EngineError> {
        let lake = self.engine.lake().clone();
        self.engine.runtime().spawn(async move { listing::schemas(&lake).await }).await?
    }

    /// Tables and views of a schema, sorted by name; `information_schema` too.
    pub async fn tables(&self, schema: &str) -> Result<Vec<TableEntry>, EngineError> {
        let (context, schema) = (self.context("")?, schema.to_owned());
        self.engine.runtime().spawn(async move { listing::tables(&context, &schema).await }).await?
    }

    /// The same as far as listings tell: without the comments of tables, which lie in the tables.
    pub async fn table_names(&self, schema: &str) -> Result<Vec<TableEntry>, EngineError> {
        let (context, schema) = (self.context("")?, schema.to_owned());
        self.engine.runtime().spawn(async move { listing::names(&context, &schema).await }).await?
    }

    /// The columns of a table or view.
    pub async fn table_columns(&self, schema: &str, table: &str) -> Result<TableColumns, EngineError> {
        let (context, name) = (self.context("")?, TableName::new(schema, table));
        self.engine.runtime().spawn(async move { listing::columns(&context, &name).await }).await?
    }

    /// The role may have changed since a statement was planned, and a plan may come from another session.
    fn check_again(&self, statement: &Statement, live: &Live) -> Result<(), EngineError> {
        statement.check_right(&self.identity()).inspect_err(|error| live.failed(error))
    }

    /// An error unless the caller may change the lake; `title` is what they are about to do.
    pub(crate) fn check_change(&self, title: &str) -> Result<(), EngineError> {
        self.identity().check(&Right::Change, title)
    }

    /// Name and current value of every setting that SET accepts, sorted.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.list_settings().into_iter().map(|setting| (setting.name.to_owned(), setting.value)).collect()
    }

    /// Name and value of the settings that are not what the session started with, sorted.
    pub fn changed_settings(&self) -> Vec<(String, String)> {
        self.settings.lock().differences(&self.defaults)
    }

    /// Names of all SQL functions, sorted.
    pub fn functions(&self) -> Vec<String> {
        listing::functions(self.engine.template())
    }

    pub(crate) fn settings_now(&self) -> Settings {
        self.settings.lock().clone()
    }

    pub(crate) fn list_settings(&self) -> Vec<crate::statement::settings::Listed> {
        self.settings.lock().list(&self.defaults)
    }

    pub(crate) fn setting(&self, name: &str) -> Result<(&'static str, String), EngineError> {
        self.settings.lock().get(name)
    }

    /// Changes the settings; the second argument of `change` is what the session started with.
    pub(crate) fn change_settings(
        &self,
        change: impl FnOnce(&mut Settings, &Settings) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        change(&mut self.settings.lock(), &self.defaults)
    }

    /// Reads or changes the statements kept by PREPARE.
    pub(crate) fn change_prepared<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Kept>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        change(&mut self.prepared.lock())
    }

    /// The session's own limit, never longer than the engine's.
    fn statement_timeout(&self) -> Option<Duration> {
        let limits = [self.settings.lock().statement_timeout, self.engine.config().statement_timeout];
        limits.into_iter().flatten().min()
    }

    fn context(&self, sql: &str) -> Result<Context, EngineError> {
        Ok(Context::new(&self.engine, &self.this()?, sql, &Pins::new()))
    }

    /// Sessions are only made inside an `Arc`.
    fn this(&self) -> Result<Arc<Self>, EngineError> {
        self.this.upgrade().ok_or_else(|| EngineError::internal("the session has ended"))
    }
}
