//! Which tables are pinned, kept in the folder of the copies: one Delta id a line.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::folder::TEMPORARY;

const NAME: &str = "pinned";

/// The pinned tables of a folder.
#[derive(Debug, Default)]
pub(super) struct Pins {
    folder: PathBuf,
    tables: BTreeSet<String>,
}

impl Pins {
    /// Those of before; none when the file is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.to_owned(), tables: read(folder)? })
    }

    pub(super) fn contains(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Pins a table or lets it go. It is so in this process even when it could not be written.
    pub(super) fn set(&mut self, table: &str, pinned: bool) -> io::Result<()> {
        let change = |tables: &mut BTreeSet<String>| match pinned {
            true => tables.insert(table.to_owned()),
            false => tables.remove(table),
        };
        if !change(&mut self.tables) {
            return Ok(());
        }
        // Other processes may share the folder.
        let mut all = read(&self.folder)?;
        change(&mut all);
        let temporary = self.folder.join(format!("{}.{TEMPORARY}", uuid::Uuid::new_v4()));
        let text: String = all.iter().map(|table| format!("{table}\n")).collect();
        fs::write(&temporary, text)?;
        fs::rename(&temporary, self.folder.join(NAME))
    }
}

fn read(folder: &Path) -> io::Result<BTreeSet<String>> {
    match fs::read(folder.join(NAME)) {
        // Damaged names are of no table.
        Ok(text) => Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}
