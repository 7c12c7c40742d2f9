//! What the names of a statement stood for, so exactly that it can be told whether they still do.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot,
    catalog::{ExternalTable, View},
};
use datafusion::catalog::TableProvider;

use super::{At, Pinned, Relation, TableName, travel::Travel};
use crate::{EngineError, statement::Context};

/// A name that a plan rests on, and what it stood for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Dependency {
    name: TableName,
    /// What the name stands for when it is one that this process made for a table at a version.
    travel: Option<Travel>,
    identity: Identity,
}

/// Equal only for the same rows under the same columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// A Delta table at one version: the number of the loaded snapshot, which no other snapshot of the process has.
    Table(u64),
    /// A Delta table elsewhere, with the entry that says where.
    External(Arc<ExternalTable>, u64),
    View(Arc<View>),
}

/// A table that can be named exactly, and scanned.
#[derive(Debug, Clone)]
pub(super) struct Exact {
    pub name: TableName,
    pub identity: Identity,
    pub provider: Arc<dyn TableProvider>,
}

/// A table that a plan scans.
#[derive(Debug, Clone)]
pub(crate) struct Scanned {
    pub name: TableName,
    pub snapshot: Arc<Snapshot>,
    /// The query names the version.
    pub is_past: bool,
}

impl Dependency {
    /// Text that planning had to read because of this name.
    pub fn text_bytes(&self) -> usize {
        match &self.identity {
            Identity::View(view) => view.sql.len(),
            Identity::Table(_) | Identity::External(..) => 0,
        }
    }
}

impl Pinned {
    /// All names that were looked up, sorted; `None` when one of them cannot be told exactly.
    pub fn dependencies(&self) -> Option<Arc<[Dependency]>> {
        if !self.travels_are_fixed() {
            return None;
        }
        let mut found = Vec::new();
        for (name, relation) in self.relations() {
            let identity = match relation {
                Relation::View(view) => Identity::View(view),
                Relation::Table(_) | Relation::External(_) => self.exact(&name)?.identity,
            };
            found.push(Dependency { travel: self.travel_of(&name), name, identity });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Some(found.into())
    }

    /// What all names that were looked up stand for, told so that another process understands it: equal texts, equal rows.
    /// `None` when that cannot be told.
    pub fn lasting(&self) -> Option<Vec<String>> {
        if !self.travels_are_fixed() {
            return None;
        }
        let mut texts: Vec<String> = self.pins().iter().map(|(name, version)| format!("at {name} {version}")).collect();
        for (name, relation) in self.relations() {
            texts.push(match relation {
                Relation::View(view) => format!("view {name} {:?} {}", view.columns, view.sql),
                Relation::Table(table) => format!("table {name} {} {}", table.id(), table.version()),
                // Its version is among the pins, if it is a table that has versions.
                Relation::External(external) => self.exact(&name).map(|_| format!("external {name} {external:?}"))?,
            });
        }
        texts.sort();
        Some(texts)
    }

    /// What all names that were looked up stand for, versions aside: equal texts, the same tables and views, with the same
    /// columns. `None` when one is no table or view of the lake.
    pub fn standing(&self) -> Option<Vec<String>> {
        if !self.travels_are_fixed() {
            return None;
        }
        let mut texts = Vec::new();
        for (name, relation) in self.relations() {
            texts.push(match relation {
                Relation::View(view) => format!("view {name} {:?} {}", view.columns, view.sql),
                Relation::Table(table) => format!("table {name} {} {}", table.id(), table.schema_text()),
                Relation::External(_) => return None,
            });
        }
        texts.sort();
        Some(texts)
    }

    /// The table of the lake whose rows a provider scans; `None` when it scans something else, such as changes.
    pub fn scanned(&self, provider: &Arc<dyn TableProvider>) -> Option<Scanned> {
        let name = self.exact_name(provider)?;
        let travel = self.travel_of(&name);
        match self.known_relation(&name)? {
            Relation::Table(snapshot) if travel.as_ref().is_none_or(|travel| travel.changes_from.is_none()) => {
                let is_past = travel.is_some_and(|travel| matches!(travel.at, Some(At::Version(_))));
                Some(Scanned { name, snapshot, is_past })
            }
            _ => None,
        }
    }

    /// The name under which a table was found, when it is one that can be told exactly.
    pub fn exact_name(&self, provider: &Arc<dyn TableProvider>) -> Option<TableName> {
        self.find_exact(|exact| std::ptr::addr_eq(Arc::as_ptr(&exact.provider), Arc::as_ptr(provider)))
            .map(|exact| exact.name)
    }

    pub fn exact_provider(&self, name: &TableName) -> Option<Arc<dyn TableProvider>> {
        self.exact(name).map(|exact| exact.provider)
    }

    fn exact(&self, name: &TableName) -> Option<Exact> {
        self.find_exact(|exact| exact.name == *name)
    }
}

impl Context {
    /// Whether all names still stand for the same, by the lookups that planning would make. Each name stays bound to what
    /// was found, for this statement.
    pub async fn still_holds(&self, names: &[Dependency]) -> Result<bool, EngineError> {
        for travel in names.iter().filter_map(|known| known.travel.as_ref()) {
            self.pinned.travel(travel.clone());
        }
        let looked_up = futures::future::try_join_all(names.iter().map(|known| self.identity(&known.name))).await?;
        Ok(looked_up.iter().zip(names).all(|(found, known)| found.as_ref() == Some(&known.identity)))
    }

    async fn identity(&self, name: &TableName) -> Result<Option<Identity>, EngineError> {
        match self.pinned.relation(name).await? {
            None => Ok(None),
            Some(Relation::View(view)) => Ok(Some(Identity::View(view))),
            Some(Relation::Table(_) | Relation::External(_)) => {
                self.table_provider(name).await?;
                Ok(self.pinned.exact(name).map(|exact| exact.identity))
            }
        }
    }
}
