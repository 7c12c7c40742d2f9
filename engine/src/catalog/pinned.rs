//! The catalog of one statement: what its names are bound to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use boathouse_storage::Lake;
use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider},
    error::Result,
};
use parking_lot::Mutex;

use super::{DEFAULT_CATALOG, Relation, TableName, dependency::Exact, travel::Travels};
use crate::session::Pins;

/// Everything that a statement has looked up. Each name is looked up once.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(super) lake: Arc<Lake>,
    /// Versions asked for from outside.
    wanted: HashMap<String, u64>,
    inner: Mutex<Inner>,
    pub(super) travels: Mutex<Travels>,
}

#[derive(Debug, Default)]
struct Inner {
    relations: HashMap<TableName, Relation>,
    providers: HashMap<TableName, Arc<dyn TableProvider>>,
    /// Those of the providers that scan one snapshot.
    exact: Vec<Exact>,
    pins: BTreeMap<String, u64>,
}

impl Pinned {
    pub fn new(lake: Arc<Lake>, wanted: &Pins) -> Arc<Self> {
        Arc::new(Self {
            lake,
            wanted: wanted.iter().cloned().collect(),
            inner: Mutex::default(),
            travels: Mutex::default(),
        })
    }

    /// Versions of the tables read so far, by name.
    pub fn pins(&self) -> Pins {
        self.inner.lock().pins.iter().map(|(name, version)| (name.clone(), *version)).collect()
    }

    pub(super) fn wanted(&self, name: &str) -> Option<u64> {
        self.wanted.get(name).copied()
    }

    pub(super) fn pin(&self, name: String, version: u64) {
        self.inner.lock().pins.insert(name, version);
    }

    pub(super) fn known_relation(&self, name: &TableName) -> Option<Relation> {
        self.inner.lock().relations.get(name).cloned()
    }

    /// Keeps what was found first, so that two lookups at once agree.
    pub(super) fn keep_relation(&self, name: &TableName, relation: Relation) -> Relation {
        self.inner.lock().relations.entry(name.clone()).or_insert(relation).clone()
    }

    pub(super) fn provider(&self, name: &TableName) -> Option<Arc<dyn TableProvider>> {
        self.inner.lock().providers.get(name).cloned()
    }

    /// Everything that was looked up.
    pub(super) fn relations(&self) -> Vec<(TableName, Relation)> {
        self.inner.lock().relations.iter().map(|(name, relation)| (name.clone(), relation.clone())).collect()
    }

    pub(super) fn keep_exact(&self, exact: Exact) {
        self.inner.lock().exact.push(exact);
    }

    pub(super) fn find_exact(&self, wanted: impl Fn(&Exact) -> bool) -> Option<Exact> {
        self.inner.lock().exact.iter().find(|exact| wanted(exact)).cloned()
    }

    /// Makes a name known to the planner.
    pub(crate) fn keep_provider(&self, name: TableName, provider: Arc<dyn TableProvider>) {
        self.inner.lock().providers.entry(name).or_insert(provider);
    }
}

/// [`Pinned`] as the planner wants to see it.
pub(crate) fn pinned_catalogs(pinned: &Arc<Pinned>) -> Arc<dyn CatalogProviderList> {
    Arc::new(PinnedCatalogs(pinned.clone()))
}

#[derive(Debug)]
struct PinnedCatalogs(Arc<Pinned>);

impl CatalogProviderList for PinnedCatalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![DEFAULT_CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == DEFAULT_CATALOG).then(|| Arc::new(PinnedCatalog(self.0.clone())) as _)
    }
}

#[derive(Debug)]
struct PinnedCatalog(Arc<Pinned>);

impl CatalogProvider for PinnedCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.inner.lock().providers.keys().map(|name| name.schema.clone()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(PinnedSchema { pinned: self.0.clone(), schema: name.to_owned() }))
    }
}

#[derive(Debug)]
struct PinnedSchema {
    pinned: Arc<Pinned>,
    schema: String,
}

#[async_trait]
impl SchemaProvider for PinnedSchema {
    fn table_names(&self) -> Vec<String> {
        let inner = self.pinned.inner.lock();
        inner.providers.keys().filter(|name| name.schema == self.schema).map(|name| name.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.pinned.provider(&TableName::new(&self.schema, name)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.pinned.provider(&TableName::new(&self.schema, name)).is_some()
    }
}
