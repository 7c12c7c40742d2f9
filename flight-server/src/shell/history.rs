//! The history file, without the statements that hold passwords.

use std::{io, path::PathBuf};

use boathouse_engine::parser;
use reedline::{FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, Result, SearchQuery};

/// A history that forgets passwords: a statement with one is run and then gone.
pub struct DiscreetHistory(FileBackedHistory);

impl DiscreetHistory {
    /// The last `count` statements of this file and those to come.
    pub fn with_file(count: usize, file: PathBuf) -> Result<Self> {
        FileBackedHistory::with_file(count, file).map(Self)
    }
}

impl History for DiscreetHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if parser::redact(&item.command_line, usize::MAX).secret { Ok(item) } else { self.0.save(item) }
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(&mut self, id: HistoryItemId, updater: &dyn Fn(HistoryItem) -> HistoryItem) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history");
        let mut history = DiscreetHistory::with_file(10, file.clone()).unwrap();
        for sql in
            ["SELECT 1;", "CREATE USER ann PASSWORD 'hunter22';", "create user ann password 'hunter22", "SELECT 2;"]
        {
            history.save(HistoryItem::from_command_line(sql)).unwrap();
        }
        history.sync().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "SELECT 1;\nSELECT 2;\n");
    }
}
