//! Random tables in a lake, asked in SQL through the engine.

use boathouse_engine::{Outcome, Session};
use boathouse_tests::TestLake;

use crate::{
    chance::Chance,
    kind::Kind,
    log,
    predicate::{Columns, quoted},
    table::RandomTable,
};
use std::sync::Arc;

/// Two random tables `t` and `u`, and a session whose settings are up to chance.
pub struct RandomLake {
    lake: TestLake,
    session: Arc<Session>,
    pub t: RandomTable,
    pub u: RandomTable,
    settings: Vec<&'static str>,
}

impl RandomLake {
    pub async fn new(chance: &mut Chance) -> Self {
        let lake = TestLake::folder().await;
        let [t, u] = [RandomTable::new(chance), RandomTable::new(chance)];
        log::write(&lake.path().join("main/t"), &t).await;
        log::write(&lake.path().join("main/u"), &u).await;
        let session = lake.engine().session();
        let mut settings = vec![];
        for setting in ["SET batch_size = 64", "SET prefer_hash_join = false"] {
            if chance.once_in(3) {
                session.execute(setting).await.unwrap_or_else(|error| panic!("{setting}: {error}"));
                settings.push(setting);
            }
        }
        Self { lake, session, t, u, settings }
    }

    /// The rows as lines of text, sorted; or the error.
    pub async fn rows(&self, sql: &str) -> Result<Vec<String>, String> {
        let outcome = self.session.execute(sql).await.map_err(|error| error.to_string())?;
        let Outcome::Rows(rows) = outcome else { return Err(format!("no rows: {sql}")) };
        Ok(crate::table::lines(&rows.collect().await.map_err(|error| error.to_string())?))
    }

    /// How many rows a statement inserts, updates and deletes; or the error.
    pub async fn change(&self, sql: &str) -> Result<[u64; 3], String> {
        match self.session.execute(sql).await.map_err(|error| error.to_string())? {
            Outcome::Changed { inserted, updated, deleted, .. } => Ok([inserted, updated, deleted]),
            outcome => Err(format!("{outcome:?}: {sql}")),
        }
    }

    /// The counts of a statement that changes rows; of any other nothing.
    pub async fn run(&self, sql: &str) -> Result<Option<[u64; 3]>, String> {
        match self.session.execute(sql).await.map_err(|error| error.to_string())? {
            Outcome::Changed { inserted, updated, deleted, .. } => Ok(Some([inserted, updated, deleted])),
            _ => Ok(None),
        }
    }

    /// The newest version of `t`.
    pub fn version(&self) -> u64 {
        let log = std::fs::read_dir(self.lake.path().join("main/t/_delta_log")).expect("the log of a table");
        let names = log.map(|entry| entry.expect("a file of the log").file_name().to_string_lossy().into_owned());
        let commits = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        commits.max().expect("a table has versions")
    }

    /// What a person needs to see the fault again.
    pub fn about(&self) -> String {
        format!("{:?}\nt: {}\nu: {}", self.settings, self.t.about(), self.u.about())
    }
}

/// A table's columns as SQL names them behind an alias, `id` among them.
pub fn columns(alias: &str, table: &RandomTable) -> Vec<(String, Kind)> {
    let own = table.columns.iter().map(|(name, kind)| (format!("{alias}.{}", quoted(name)), *kind));
    own.chain([(format!("{alias}.id"), Kind::BigInt)]).collect()
}

/// Those of a type whose sums and comparisons do not depend on the order of the rows.
pub fn exact(columns: &Columns) -> Vec<(String, Kind)> {
    columns.iter().filter(|(_, kind)| kind.is_integer()).cloned().collect()
}
