//! One per process: the lake, memory, threads.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::{CacheUsage, Lake, LakeUsage};
use datafusion::{
    execution::{FunctionRegistry, SessionStateBuilder, session_state::SessionState},
    optimizer::{Analyzer, AnalyzerRule},
};
use uuid::Uuid;

use crate::{
    EngineConfig, EngineError, MemoryUsage, QueryRecord, QueryTotals, Session,
    cache::{Plans, Results},
    exec::{CpuRuntime, Permits, Turns, runtime_env},
    function::{extremes, now, users, version},
    identity::{Identity, Users},
    mart,
    optimizer::{
        CheapConjunctsFirst, CorrelatedSubqueries, DecimalsToFloats, OrderByAll, OrderedGroups, Planner,
        QuickConjuncts, QuickDecimals, RuntimeFilters, SharedReaders, SpillingJoins, UnknownIn, WholeTimestamps,
        YieldingRows, physical_rules,
    },
    queries::Queries,
    statement::{data_type::MapTypes, settings},
    upkeep::Records,
};

/// An open lake with the means to query it. Share it with `Arc`; make one per process and lake.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    lake: Arc<Lake>,
    /// Functions, rules and the runtime that every statement starts from.
    template: SessionState,
    permits: Permits,
    turns: Turns,
    plans: Plans,
    results: Arc<Results>,
    runtime: CpuRuntime,
    upkeep: Records,
    marts: mart::Totals,
    marts_in_files: mart::InFiles,
    users: Users,
    queries: Arc<Queries>,
}

impl Engine {
    /// Opens the lake at `url` (`./lake`, `s3://bucket/prefix`, `memory://`) and starts the CPU threads.
    pub async fn open(url: &str, config: EngineConfig) -> Result<Arc<Self>, EngineError> {
        let lake = Lake::open(url, &config.storage_bounded()).await?;
        Self::on(lake, config)
    }

    /// Like [`Engine::open`], but makes the folder when it is missing.
    pub async fn create(url: &str, config: EngineConfig) -> Result<Arc<Self>, EngineError> {
        let lake = Lake::create(url, &config.storage_bounded()).await?;
        Self::on(lake, config)
    }

    /// On a lake that is open.
    pub fn on(lake: Lake, config: EngineConfig) -> Result<Arc<Self>, EngineError> {
        let runtime = CpuRuntime::new(config.threads)?;
        // First of all rules: the library's make types equal. The last ones need that.
        let mut analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
            vec![Arc::new(OrderByAll), Arc::new(DecimalsToFloats), Arc::new(WholeTimestamps)];
        analyzer.extend(Analyzer::new().rules);
        analyzer.push(Arc::new(CorrelatedSubqueries));
        analyzer.push(Arc::new(UnknownIn));
        let mut template = SessionStateBuilder::new()
            .with_config(settings::base_config(&config))
            .with_runtime_env(runtime_env(&config, &lake)?)
            .with_default_features()
            .with_analyzer_rules(analyzer)
            .with_type_planner(Arc::new(MapTypes))
            .with_query_planner(Arc::new(Planner))
            .with_optimizer_rule(Arc::new(QuickDecimals))
            .with_physical_optimizer_rules(physical_rules())
            .with_physical_optimizer_rule(Arc::new(CheapConjunctsFirst))
            .with_physical_optimizer_rule(Arc::new(RuntimeFilters))
            .with_physical_optimizer_rule(Arc::new(OrderedGroups))
            .with_physical_optimizer_rule(Arc::new(SpillingJoins))
            .with_physical_optimizer_rule(Arc::new(YieldingRows))
            .with_physical_optimizer_rule(Arc::new(QuickConjuncts))
            .with_physical_optimizer_rule(Arc::new(SharedReaders))
            .build();
        template.register_udf(Arc::new(now()))?;
        template.register_udf(Arc::new(version()))?;
        for function in users() {
            template.register_udf(Arc::new(function))?;
        }
        for function in extremes() {
            template.register_udaf(function)?;
        }
        let permits = Permits::new(config.statements_running_max);
        let plans = Plans::new(config.plan_cache_bytes_max);
        let results = Results::new(config.result_cache_bytes_max);
        let (upkeep, marts) = (Records::default(), mart::Totals::default());
        let (lake, queries, turns) = (Arc::new(lake), Arc::default(), Turns::default());
        let users = Users::new(&lake, config.threads);
        Ok(Arc::new(Self {
            config,
            lake,
            template,
            permits,
            turns,
            plans,
            results,
            runtime,
            upkeep,
            marts,
            marts_in_files: mart::InFiles::default(),
            users,
            queries,
        }))
    }

    /// A new client at the lake itself, who may do all: default settings, no prepared statements.
    pub fn session(self: &Arc<Self>) -> Arc<Session> {
        self.session_of(Identity::local())
    }

    /// The same for a user.
    pub fn session_of(self: &Arc<Self>, identity: Identity) -> Arc<Session> {
        Session::new(self.clone(), identity)
    }

    /// Those who may use the lake.
    pub fn users(&self) -> &Users {
        &self.users
    }

    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    pub fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    /// What the caches of the lake and of this engine hold.
    pub async fn cache_usages(&self) -> Vec<CacheUsage> {
        let mut usages = self.lake.cache_usages().await;
        usages.extend([self.plans.usage(), self.results.usage()]);
        usages
    }

    /// Waits until nothing is done any more behind statements that have ended, such as checkpoints. A process that does not
    /// wait for it loses them, and no more.
    pub async fn idle(&self) {
        self.lake.idle().await;
    }

    /// What the lake was asked for, and what was committed to it.
    pub fn lake_usage(&self) -> LakeUsage {
        self.lake.usage()
    }

    /// Memory at this moment.
    pub fn memory(&self) -> MemoryUsage {
        MemoryUsage::of(self.template.runtime_env())
    }

    /// How many jobs of upkeep there were, by what they did and whether they succeeded.
    pub fn upkeep_totals(&self) -> BTreeMap<(&'static str, bool), u64> {
        self.upkeep.totals()
    }

    /// How many runs of marts ended in this process, by what became of them.
    pub fn mart_totals(&self) -> BTreeMap<&'static str, u64> {
        self.marts.all()
    }

    /// How many deliveries of marts ended in this process, by what became of them.
    pub fn mart_export_totals(&self) -> BTreeMap<&'static str, u64> {
        self.marts.exports()
    }

    /// The statements that ended lately, oldest first, then those that run.
    pub fn query_records(&self) -> Vec<Arc<QueryRecord>> {
        self.queries.all()
    }

    /// How far the statement of this id is: the share of the bytes of its tables' files that it has done with, from 0 to 1,
    /// which never goes back for one run. `None` when it does not run, is not planned yet or reads no files of tables.
    pub fn query_progress(&self, id: Uuid) -> Option<f64> {
        self.queries.progress(id)
    }

    /// Sums over all statements that have ended.
    pub fn query_totals(&self) -> QueryTotals {
        self.queries.totals()
    }

    /// Statements running or waiting now.
    pub fn statements_active(&self) -> usize {
        self.permits.active()
    }

    pub(crate) fn template(&self) -> &SessionState {
        &self.template
    }

    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// Of statements that run again.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.plans
    }

    pub(crate) fn results(&self) -> &Arc<Results> {
        &self.results
    }

    pub(crate) fn queries(&self) -> &Arc<Queries> {
        &self.queries
    }

    /// What upkeep did.
    pub(crate) fn upkeep(&self) -> &Records {
        &self.upkeep
    }

    pub(crate) fn mart_totals_kept(&self) -> &mart::Totals {
        &self.marts
    }

    pub(crate) fn marts_in_files(&self) -> &mart::InFiles {
        &self.marts_in_files
    }

    pub(crate) fn runtime(&self) -> &CpuRuntime {
        &self.runtime
    }
}

#[cfg(test)]
mod tests;
