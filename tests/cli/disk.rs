//! A disk that fills: while a query spills, while rows are written. The server says which folder it was, leaves nothing
//! behind, and goes on.
//!
//! Two ways to a full disk. A limit on the size of any file, which works everywhere: the write that passes it fails half
//! way. And a real disk of a few megabytes, in a mount namespace of its own, where the system lets us make one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{boathouse, served::Served};

/// `boathouse serve` on `<folder>/lake`, spilling to `<folder>/spill`, with little memory.
struct Server {
    served: Served,
    /// The folder as the server names it, and as this test sees it.
    named: PathBuf,
    folder: PathBuf,
}

impl Server {
    /// `prepare` is a shell's commands before the server's; `$1` is the folder.
    fn start(launcher: &[&str], prepare: &str, folder: &Path, is_own_disk: bool) -> Self {
        let script = format!(
            "{prepare} && mkdir -p \"$1/lake\" \"$1/spill\" && exec \"$0\" serve \"$1/lake\" --listen 127.0.0.1:0"
        );
        let mut words: Vec<&str> = launcher.to_vec();
        let binary = env!("CARGO_BIN_EXE_boathouse");
        words.extend(["sh", "-c", &script, binary, folder.to_str().unwrap()]);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env("BOATHOUSE_SPILL_FOLDER", folder.join("spill"))
            .env("BOATHOUSE_MEMORY", "24MiB")
            // One sort at a time: two of them may run out of memory before the disk is full.
            .env("BOATHOUSE_THREADS", "1")
            .env("BOATHOUSE_FILE_ROOTS", folder);
        let served = Served::start(command);
        // A mount of the server's own is seen through the server.
        let seen = if is_own_disk {
            format!("/proc/{}/root{}", served.id(), folder.display()).into()
        } else {
            folder.to_owned()
        };
        Self { served, named: folder.to_owned(), folder: seen }
    }

    fn rows(&self, sql: &str) -> String {
        boathouse(["sql", &self.served.url, "--format", "csv", "-c", sql]).stdout()
    }

    /// What a statement that must fail says.
    fn error(&self, sql: &str) -> String {
        let output = boathouse(["sql", &self.served.url, "-c", sql]).output();
        assert_eq!(output.status.code(), Some(1), "this did not fail: {sql}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.folder.join(below), &mut found);
        found.sort();
        found
    }

    /// Other threads of a failed statement end after it, and their files with them.
    fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.files(""));
            std::thread::yield_now();
        }
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    // What is listed may be gone a moment later.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, found),
            path => found.push(path),
        }
    }
}

/// Some 40 bytes a row that do not compress.
const MUCH: &str = "SELECT v, sha256(CAST(v AS VARCHAR)) AS hash FROM generate_series(1, 400000) AS t (v)";
/// Some 7 bytes a row as text.
const LONG: &str = "SELECT value FROM generate_series(1, 1200000)";

fn a_full_disk_is_told_and_survived(server: &Server) {
    server.rows("CREATE TABLE kept AS SELECT 1 AS a");
    server.rows("CREATE TABLE target (v BIGINT, hash BINARY)");
    let before = server.files("lake");

    let told = server.error(&format!("SELECT v FROM ({MUCH}) AS rows ORDER BY hash"));
    assert!(told.contains("the disk of the spill folder") && told.contains("/spill\" is full"), "{told}");
    assert!(told.contains("HINT: ") && told.contains("os error"), "{told}");
    assert_eq!(server.rows("SELECT a FROM kept"), "a\n1\n");
    server.wait_for("what was spilled is gone", |server| server.files("spill").is_empty());

    let out = |name: &str| server.named.join("out").join(name).display().to_string();
    for (sql, named) in [
        (format!("INSERT INTO target {MUCH}"), "main.target".to_owned()),
        (format!("CREATE TABLE made AS {MUCH}"), "main.made".to_owned()),
        (format!("CREATE OR REPLACE TABLE kept AS {MUCH}"), "main.kept".to_owned()),
        (format!("COPY ({MUCH}) TO '{}'", out("all.parquet")), "all.parquet".to_owned()),
        (format!("COPY ({LONG}) TO '{}'", out("all.csv")), "all.csv".to_owned()),
    ] {
        let told = server.error(&sql);
        assert!(told.contains(&named) && told.contains("HINT: Free some space"), "{sql}: {told}");
        assert_eq!(server.rows("SELECT a FROM kept"), "a\n1\n", "{sql}");
        assert_eq!(server.rows("SELECT count(*) AS n FROM target"), "n\n0\n", "{sql}");
    }
    assert!(!server.rows("SHOW TABLES").contains("made"));
    server.wait_for("nothing half-written stays", |server| {
        server.files("lake") == before && server.files("out").is_empty()
    });
    server.rows("INSERT INTO target VALUES (1, NULL)");
    assert_eq!(server.rows("SELECT count(*) AS n FROM target"), "n\n1\n");
}

#[test]
fn a_write_that_fails_half_way_is_told_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    // The signal that comes with the limit would end the process; a full disk sends none.
    let limit = "trap '' XFSZ && ulimit -f 2048";
    let server = Server::start(&[], limit, folder.path(), false);
    a_full_disk_is_told_and_survived(&server);
}

#[test]
fn a_disk_that_is_really_full_is_told_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=6m tmpfs \"$0\"";
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let tried = Command::new(unshare[0]).args(&unshare[1..]).args(["sh", "-c", mount]).arg(folder.path()).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this system lets nobody mount a disk of their own; only the limit on files was tested");
        return;
    }
    let server = Server::start(&unshare, "mount -t tmpfs -o size=6m tmpfs \"$1\"", folder.path(), true);
    a_full_disk_is_told_and_survived(&server);
}
