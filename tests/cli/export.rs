//! `boathouse mart` with exports to a folder.

use std::{fs, path::Path};

use crate::{Call, boathouse};

struct Place(tempfile::TempDir);

impl Place {
    fn new(export: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path().join("lake")).unwrap();
        fs::create_dir(place.path().join("marts")).unwrap();
        place.define(export);
        let config = "marts = 'marts'\n[destinations.bucket]\nkind = 'files'\nurl = '${OUT}/exports'\nformat = 'csv'\n";
        fs::write(place.path().join("boathouse.toml"), config).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn define(&self, export: &str) {
        let text = format!("/*---\nowner = \"bi\"\n\n[[export]]\n{export}\n---*/\nSELECT 1 AS id, 'x' AS name\n");
        fs::write(self.path().join("marts/m.rows.sql"), text).unwrap();
    }

    fn call(&self, arguments: &[&str]) -> Call {
        let more = ["--lake", "lake", "--config", "boathouse.toml"];
        boathouse(["mart"].iter().chain(arguments).chain(&more))
            .folder(self.path())
            .variable("OUT", self.path().to_str().unwrap())
    }
}

#[test]
fn a_run_delivers_and_a_second_one_finds_that_nothing_is_to_be_done() {
    let place = Place::new("to = \"bucket\"");
    let planned = place.call(&["plan"]).stdout();
    assert!(planned.contains("\n        exports to bucket: m.rows, replace\n"), "{planned}");
    let run = place.call(&["run"]).stdout();
    assert!(run.contains("\nm.rows  delivered  to bucket: m.rows, 1 row, version 0  Time: "), "{run}");
    let folder = place.path().join("exports/m.rows");
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let (_, path) = manifest.split_once("\"path\": \"").unwrap();
    let file = fs::read_to_string(folder.join(path.split('"').next().unwrap())).unwrap();
    assert_eq!(file, "id,name\n1,x\n");
    let run = place.call(&["run"]).stdout();
    assert!(run.contains("\nm.rows  up to date  to bucket: m.rows, has version 0  Time: "), "{run}");
    let export = place.call(&["export", "m.rows", "--to", "bucket", "--again"]).stdout();
    assert!(export.starts_with("m.rows  delivered  to bucket: m.rows, 1 row, version 0  Time: "), "{export}");
    let text = place.call(&["export", "--to", "bukket"]).text();
    assert!(text.contains("ERROR: no export goes to \"bukket\"\nHINT: Did you mean \"bucket\"?"), "{text}");
}

#[test]
fn a_fault_tells_file_line_and_cure_and_nothing_runs() {
    let place = Place::new("to = \"warehouse\"");
    let text = place.call(&["run"]).text();
    let expected = "ERROR: marts/m.rows.sql:4: there is no destination \"warehouse\"\nHINT: There are bucket.";
    assert!(text.contains(expected), "{text}");
    place.define("to = \"bucket\"\nmode = \"merge\"");
    let text = place.call(&["plan"]).text();
    assert!(text.contains("ERROR: marts/m.rows.sql:4: mode = \"merge\" of an export needs key\nHINT: "), "{text}");
    place.define("to = \"bucket\"\nmode = \"merge\"\nkey = \"id\"");
    let text = place.call(&["plan"]).text();
    assert!(text.contains("ERROR: marts/m.rows.sql:4: files are not exported with mode = \"merge\"\nHINT: "), "{text}");
    assert!(!place.path().join("lake/m").exists() && !place.path().join("exports").exists());
    let config = "marts = 'marts'\n[destinations.bucket]\nkind = 'files'\nurl = '${NOT_SET_HERE}'\n";
    fs::write(place.path().join("boathouse.toml"), config).unwrap();
    let text = place.call(&["plan"]).text();
    assert!(text.contains("ERROR: [destinations.bucket]: the variable NOT_SET_HERE is not set"), "{text}");
}

#[test]
fn who_looks_at_marts_needs_no_destination() {
    let place = Place::new("to = \"warehouse\"");
    assert_eq!(place.call(&["graph"]).stdout(), "m.rows\n");
    assert_eq!(place.call(&["docs", "site"]).stdout(), "1 mart in site: open index.html\n");
    assert!(place.path().join("site/marts/m.rows.html").exists());
    let text = place.call(&["test"]).text();
    assert!(text.contains("m.rows  not tested") && !text.contains("destination"), "{text}");
}
