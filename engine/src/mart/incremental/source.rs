//! What became of the tables that a query reads since the last run.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::{
    Snapshot,
    table::{ChangeFeed, Since},
};
use datafusion::{
    catalog::TableProvider,
    common::tree_node::TreeNodeRecursion,
    datasource::source_as_provider,
    logical_expr::{LogicalPlan, TableScan},
};

use super::basis::Basis;
use crate::{
    EngineError,
    catalog::{Scanned, TableName},
    statement::Context,
};

/// Versions whose commits are read for one source, at most.
const VERSIONS_MAX: u64 = 10_000;
/// Changes that are read in any case: with so few it makes no difference.
const CHANGED_BYTES_FREE: u64 = 8 << 20;

/// A table that a query reads.
pub(super) struct Source {
    /// As the plan names it: with the version, where the query names one.
    pub name: TableName,
    /// The version that the last run read.
    pub before: Option<u64>,
    pub now: u64,
    pub change: Change,
    /// The table as the last run read it, where it has the same columns and can be read: looked up when several changed.
    pub old: Option<Arc<dyn TableProvider>>,
}

/// What became of its rows.
pub(super) enum Change {
    /// They are the same.
    None,
    /// Some were added.
    Added(Arc<dyn TableProvider>),
    /// Some went, and perhaps some came.
    Changed(Arc<dyn TableProvider>),
    /// It cannot be told: why.
    Unknown(String),
}

impl Source {
    pub fn feed(&self) -> Option<&Arc<dyn TableProvider>> {
        match &self.change {
            Change::Added(feed) | Change::Changed(feed) => Some(feed),
            Change::None | Change::Unknown(_) => None,
        }
    }
}

/// The sources of a query, whose names `context` has bound.
pub(super) struct Sources<'a> {
    context: &'a Context,
    all: BTreeMap<TableName, Source>,
}

impl<'a> Sources<'a> {
    /// All tables that a plan reads, in its subqueries, too. The error is the reason why they cannot be compared.
    pub async fn of(context: &'a Context, plan: &LogicalPlan, basis: &Basis) -> Result<Self, String> {
        let mut scanned = BTreeMap::new();
        let mut strange = None;
        let walk = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                match scanned_by(context, scan) {
                    Some(found) => drop(scanned.insert(found.name.clone(), found)),
                    None => strange = Some(scan.table_name.to_string()),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walk.map_err(|error| error.to_string())?;
        if let Some(name) = strange {
            return Err(format!("it reads {name}, whose changes cannot be told: only tables of the lake tell theirs"));
        }
        let mut all = BTreeMap::new();
        for (name, Scanned { snapshot, is_past, .. }) in scanned {
            let (before, now) = (basis.inputs.get(&name.to_string()).copied(), snapshot.version());
            let change = match before {
                // The query names the version.
                _ if is_past => Change::None,
                Some(before) if before == now => Change::None,
                Some(before) if before < now => {
                    let feed = changes(context, &snapshot, before).await;
                    feed.unwrap_or_else(|error| Change::Unknown(error.to_string()))
                }
                Some(before) => Change::Unknown(format!("the last run read version {before}, and now it is {now}")),
                None => Change::Unknown("the last run did not read it".to_owned()),
            };
            all.insert(name.clone(), (snapshot, Source { name, before, now, change, old: None }));
        }
        let several = all.values().filter(|(_, source): &&(_, Source)| source.feed().is_some()).count() > 1;
        for (now, source) in all.values_mut().filter(|_| several) {
            source.old = old(context, now, source).await;
        }
        let all = all.into_iter().map(|(name, (_, source))| (name, source)).collect();
        Ok(Self { context, all })
    }

    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.all.values()
    }

    /// The table that a scan reads.
    pub fn of_scan(&self, scan: &TableScan) -> Option<&Source> {
        self.all.get(&scanned_by(self.context, scan)?.name)
    }

    /// The first table below a plan, in its subqueries, too, whose rows changed.
    pub fn changed_in(&self, plan: &LogicalPlan) -> Option<&Source> {
        let mut found = None;
        let walk = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                found = self.of_scan(scan).filter(|source| source.feed().is_some());
            }
            Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        debug_assert!(walk.is_ok(), "a look at a plan does not fail");
        found
    }
}

/// The version that the last run read.
async fn old(context: &Context, now: &Arc<Snapshot>, source: &Source) -> Option<Arc<dyn TableProvider>> {
    source.feed()?;
    let TableName { schema, name } = &source.name;
    let old = context.engine.lake().table_version(schema, name, source.before?).await.ok()?;
    if old.id() != now.id() || old.schema() != now.schema() {
        return None;
    }
    old.past_provider().ok()
}

fn scanned_by(context: &Context, scan: &TableScan) -> Option<Scanned> {
    let provider = source_as_provider(&scan.source).ok()?;
    context.pinned.scanned(&provider)
}

/// What became of the rows behind version `before`.
async fn changes(context: &Context, now: &Arc<Snapshot>, before: u64) -> Result<Change, EngineError> {
    if now.version() - before > VERSIONS_MAX {
        return Ok(Change::Unknown(format!("it has more than {VERSIONS_MAX} versions since the last run")));
    }
    let feed = ChangeFeed::new(context.engine.lake(), now, Since::Version(before + 1), true)?.by_files();
    let (changed, whole) = (feed.bytes().await?, now.size_bytes());
    if changed > CHANGED_BYTES_FREE && changed > whole / 2 {
        return Ok(Change::Unknown(format!(
            "{changed} bytes of changes are not less to read than the {whole} bytes of it"
        )));
    }
    Ok(match (feed.is_empty().await?, feed.only_inserts().await?) {
        (true, _) => Change::None,
        (false, true) => Change::Added(Arc::new(feed)),
        (false, false) => Change::Changed(Arc::new(feed)),
    })
}
