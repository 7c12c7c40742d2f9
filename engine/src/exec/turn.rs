//! Whose turn it is on a table, among the statements that run again.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// One line of waiting statements for each table, first come, first served. As many as there are tables waited for.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits until no other statement of this process has the turn on a table; it ends when the guard is dropped. Whoever
    /// has one on another table must not ask.
    pub async fn take(&self, table: &str) -> OwnedMutexGuard<()> {
        let line = self.line(table);
        line.lock_owned().await
    }

    /// Whether somebody has the turn on a table.
    #[cfg(test)]
    pub fn is_taken(&self, table: &str) -> bool {
        self.line(table).try_lock().is_err()
    }

    fn line(&self, table: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut lines = self.0.lock();
        if let Some(line) = lines.get(table).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(tokio::sync::Mutex::new(()));
        lines.insert(table.to_owned(), Arc::downgrade(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_on_a_table_and_nothing_is_kept_for_tables_that_nobody_waits_for() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut second = Box::pin(turns.take("a"));
        assert!((&mut second).now_or_never().is_none());
        let other = turns.take("b").now_or_never().expect("another table");
        drop(first);
        let second = second.now_or_never().expect("its turn");
        drop((second, other));
        let _third = turns.take("c").await;
        assert_eq!(turns.0.lock().keys().collect::<Vec<_>>(), ["c"]);
    }
}
