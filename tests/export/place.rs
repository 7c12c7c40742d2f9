//! A lake with a table, a mart over it, and the settings of a destination.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::database::Database;

pub struct Place(tempfile::TempDir);

impl Place {
    /// `export` is what the mart's definition says of its export to `warehouse`.
    pub fn new(database: &Database, table: &str, export: &str, query: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path().join("marts")).unwrap();
        fs::create_dir(place.path().join("lake")).unwrap();
        let config = "marts = 'marts'\n[destinations.warehouse]\nkind = 'postgres'\nurl = '${WAREHOUSE}'\n";
        fs::write(place.path().join("boathouse.toml"), config).unwrap();
        place.define(export, query);
        place.sql(database, table);
        place
    }

    pub fn define(&self, export: &str, query: &str) {
        let text = format!("/*---\nexport = [{{ to = \"warehouse\", {export} }}]\n---*/\n{query}\n");
        fs::write(self.path().join("marts/m.rows.sql"), text).unwrap();
    }

    /// From now on the mart goes to the same database over TLS, if an authority vouches for it.
    pub fn encrypt(&self, ca: &Path) {
        let config = format!(
            "marts = 'marts'\n[destinations.warehouse]\nkind = 'postgres'\nurl = '${{WAREHOUSE}}?sslmode=require'\ntls_ca = '{}'\n",
            ca.display()
        );
        fs::write(self.path().join("boathouse.toml"), config).unwrap();
    }

    /// As if nothing was ever delivered, as far as the lake knows.
    pub fn forget_exports(&self) {
        let _ = fs::remove_dir_all(self.path().join("lake/_boathouse/exports"));
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, database: &Database, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BOATHOUSE_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.path()).env("WAREHOUSE", database.url());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn sql(&self, database: &Database, sql: &str) {
        let output = self.command(database, &["sql", "lake", "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", text(&output));
    }

    /// `boathouse mart ...`: what it printed, without times, and whether it went well.
    pub fn mart(&self, database: &Database, arguments: &[&str]) -> (String, bool) {
        let mut all = vec!["mart"];
        all.extend(arguments);
        all.extend(["--lake", "lake", "--config", "boathouse.toml"]);
        let output = self.command(database, &all).output().unwrap();
        (text(&output), output.status.success())
    }

    /// Runs the mart and delivers it, which goes well.
    pub fn run(&self, database: &Database) -> String {
        let (text, good) = self.mart(database, &["run"]);
        assert!(good, "{text}");
        text
    }
}

/// Without times.
pub fn text(output: &Output) -> String {
    let both = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    let lines = both.lines().map(|line| line.split_once("  Time: ").map_or(line, |(before, _)| before).trim_end());
    lines.collect::<Vec<_>>().join("\n")
}
