//! Which copies are pinned: those of whole tables, kept in the folder of the copies, one Delta id a line; and of any table
//! those of some of its files, as far as somebody in this process said which.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::folder::TEMPORARY;

const NAME: &str = "pinned";

/// A look at what is pinned of a table. It is over once another one began, or the table was let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    table: String,
    number: u64,
}

/// The look at a table that began last, and at which version.
#[derive(Debug)]
struct LastLook {
    version: u64,
    number: u64,
}

/// The pins of a folder.
#[derive(Debug, Default)]
pub(super) struct Pins {
    folder: PathBuf,
    /// As a whole.
    tables: BTreeSet<String>,
    /// The names of the copies that are pinned, of tables that were looked at.
    copies: HashMap<String, HashSet<String>>,
    /// By table; of tables that were let go there is none.
    looks: HashMap<String, LastLook>,
    looks_begun: u64,
}

impl Pins {
    /// Those of before; none when the file is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.to_owned(), tables: read(folder)?, ..Self::default() })
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

    /// A look at a version of a table begins; `None` when a newer version was looked at.
    pub(super) fn begin_look(&mut self, table: &str, version: u64) -> Option<Look> {
        if self.looks.get(table).is_some_and(|last| last.version > version) {
            return None;
        }
        self.looks_begun += 1;
        self.looks.insert(table.to_owned(), LastLook { version, number: self.looks_begun });
        Some(Look { table: table.to_owned(), number: self.looks_begun })
    }

    /// Whether a look is not over yet.
    pub(super) fn is_current(&self, look: &Look) -> bool {
        self.looks.get(&look.table).is_some_and(|last| last.number == look.number)
    }

    /// No look that began before says anything of the table any more, and any version may be looked at next.
    pub(super) fn end_looks(&mut self, table: &str) {
        self.looks.remove(table);
    }

    /// Pins a table as a whole or lets it go. It is so in this process even when it could not be written.
    pub(super) fn set(&mut self, table: &str, pinned: bool) -> io::Result<()> {
        self.copies.remove(table);
        if !pinned {
            self.end_looks(table);
        }
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

impl Look {
    /// The Delta id of the table.
    pub(super) fn table(&self) -> &str {
        &self.table
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_over_when_a_newer_one_begins_or_the_table_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut pins = Pins::open(folder.path()).unwrap();
        let fourth = pins.begin_look("t", 4).unwrap();
        let other = pins.begin_look("u", 9).unwrap();
        let fifth = pins.begin_look("t", 5).unwrap();
        assert_eq!((pins.is_current(&fourth), pins.is_current(&fifth)), (false, true));
        // An older version says nothing any more, the same one does: time goes by.
        assert_eq!(pins.begin_look("t", 4), None);
        assert!(pins.is_current(&fifth));
        let again = pins.begin_look("t", 5).unwrap();
        assert_eq!((pins.is_current(&fifth), pins.is_current(&again)), (false, true));
        pins.set("t", true).unwrap();
        assert!(pins.is_current(&again), "a pin ends no look");
        pins.set("t", false).unwrap();
        assert_eq!((pins.is_current(&again), pins.is_current(&other)), (false, true));
        let after = pins.begin_look("t", 1).unwrap();
        assert_eq!((pins.is_current(&again), pins.is_current(&after)), (false, true));
    }
}
