//! Which folder a table's name stands for.
//!
//! A table lies in the folder of its name until it is renamed: no object store moves a folder in one step, so the document
//! says where the table of the new name lies. The folder's own name is nobody's then, and a table that is made under it
//! gets another folder.

use super::{CatalogDocument, KeptTable};

impl CatalogDocument {
    /// The folder in which the table of a name lies, or would lie. None when the folder of that name is another table's.
    pub fn folder_of<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match self.renamed.get(name) {
            Some(folder) => Some(folder),
            None if self.is_renamed(name) => None,
            None => Some(name),
        }
    }

    /// The name of the table in a folder. None when the folder's name is given to a table in another one.
    pub fn name_of<'a>(&'a self, folder: &'a str) -> Option<&'a str> {
        let given = self.renamed.iter().find(|(_, lies_in)| *lies_in == folder).map(|(name, _)| name.as_str());
        given.or_else(|| (!self.renamed.contains_key(folder)).then_some(folder))
    }

    /// Whether the table in a folder has another name than the folder.
    pub fn is_renamed(&self, folder: &str) -> bool {
        self.renamed.values().any(|lies_in| lies_in == folder)
    }

    /// Whether a view or an external table has the name.
    pub fn has_entry(&self, name: &str) -> bool {
        self.views.contains_key(name) || self.external_tables.contains_key(name)
    }

    /// The folder of the table that was the last to be dropped under a name, of those that can be brought back.
    pub fn kept_folder(&self, name: &str) -> Option<&str> {
        let named = self.kept_tables.iter().filter(|(folder, kept)| kept.name(folder) == name);
        named.max_by_key(|(_, kept)| kept.dropped_ms).map(|(folder, _)| folder.as_str())
    }
}

impl KeptTable {
    /// The name it was dropped under; `folder` is the one that it lies in.
    pub fn name<'a>(&'a self, folder: &'a str) -> &'a str {
        self.name.as_deref().unwrap_or(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(renamed: &[(&str, &str)]) -> CatalogDocument {
        let renamed = renamed.iter().map(|(name, folder)| ((*name).to_owned(), (*folder).to_owned())).collect();
        CatalogDocument { renamed, ..CatalogDocument::default() }
    }

    #[test]
    fn a_folder_has_one_name_and_a_name_one_folder() {
        let none = document(&[]);
        assert_eq!((none.folder_of("t"), none.name_of("t")), (Some("t"), Some("t")));
        let one = document(&[("u", "t")]);
        assert_eq!((one.folder_of("u"), one.folder_of("t")), (Some("t"), None));
        // What another engine makes at "u" has no name while that is given away.
        assert_eq!((one.name_of("t"), one.name_of("u")), (Some("u"), None));
        let swapped = document(&[("old", "t"), ("t", "new")]);
        assert_eq!(["old", "t", "new"].map(|name| swapped.folder_of(name)), [Some("t"), Some("new"), None]);
        assert_eq!(["t", "new"].map(|folder| swapped.name_of(folder)), [Some("old"), Some("t")]);
    }
}
