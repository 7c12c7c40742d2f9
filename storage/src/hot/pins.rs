//! Which copies are pinned: those of whole tables, kept in the folder of the copies, one Delta id a line; and of any table
//! those of some of its files, as far as somebody in this process said which.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::folder::TEMPORARY;

const NAME: &str = "pinned";

/// The pins of a folder.
#[derive(Debug, Default)]
pub(super) struct Pins {
    folder: PathBuf,
    /// As a whole.
    tables: BTreeSet<String>,
    /// The names of the copies that are pinned, of tables that were looked at.
    copies: HashMap<String, HashSet<String>>,
}

impl Pins {
    /// Those of before; none when the file is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.to_owned(), tables: read(folder)?, copies: HashMap::new() })
    }

    /// Whether the table is pinned as a whole.
    pub(super) fn is_whole(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    /// Whether anything of the table is pinned.
    pub(super) fn contains(&self, table: &str) -> bool {
        self.tables.contains(table) || self.copies.get(table).is_some_and(|copies| !copies.is_empty())
    }

    /// Whether the copy of this name is pinned, of a table. Until somebody looked at it, all copies of a pinned table are.
    pub(super) fn covers(&self, table: &str, name: &str) -> bool {
        self.copies.get(table).map_or_else(|| self.tables.contains(table), |copies| copies.contains(name))
    }

    /// Says which copies of a table are pinned. Returns those that were.
    pub(super) fn set_copies(&mut self, table: &str, copies: Option<HashSet<String>>) -> Option<HashSet<String>> {
        match copies {
            Some(copies) => self.copies.insert(table.to_owned(), copies),
            None => self.copies.remove(table),
        }
    }

    /// Whether somebody said which copies of the table are pinned.
    pub(super) fn knows(&self, table: &str) -> bool {
        self.copies.contains_key(table)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Pins a table as a whole or lets it go. It is so in this process even when it could not be written.
    pub(super) fn set(&mut self, table: &str, pinned: bool) -> io::Result<()> {
        self.copies.remove(table);
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
