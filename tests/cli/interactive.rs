//! The shell at a terminal: several lines, progress, Ctrl-C, the pager, history, colours; and the demo's progress.
//!
//! The terminal is one of our own making. A process gets it as the terminal that Ctrl-C comes from by leaving its session
//! and opening it; the test binary calls itself for that ([`at_the_terminal`]), and then becomes the shell.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use nix::{
    pty::{Winsize, openpty},
    unistd::{setsid, ttyname},
};

use crate::{boathouse, served::Served};

/// Long enough for the busiest machine; waiting ends as soon as the text is there.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Tells the test binary which terminal to open.
const TERMINAL: &str = "TERMINAL_OF_THE_TEST";
/// What to type after `boathouse` there, a word a line.
const ARGUMENTS: &str = "ARGUMENTS_OF_THE_TEST";

/// `boathouse` at a terminal of 24 lines by 100 columns.
struct Terminal {
    child: Child,
    keys: File,
    chunks: Receiver<Vec<u8>>,
    /// What appeared and was not waited for yet.
    screen: String,
}

impl Terminal {
    /// The shell on an empty lake. `data` is the person's data folder.
    fn open(data: &Path, pager: &str, colors: bool) -> Self {
        let no_color = if colors { "" } else { "1" };
        Self::start(&["sql", "memory://"], &[("NO_COLOR", no_color), ("PAGER", pager)], data)
    }

    fn start(arguments: &[&str], variables: &[(&str, &str)], data: &Path) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(Some(&size), None).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "interactive::at_the_terminal", "--nocapture"])
            .env(TERMINAL, ttyname(&ends.slave).unwrap())
            .env(ARGUMENTS, arguments.join("\n"))
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .env("XDG_DATA_HOME", data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let keys = File::from(ends.master);
        let mut output = keys.try_clone().unwrap();
        let (sender, chunks) = channel();
        let slave = ends.slave;
        std::thread::spawn(move || {
            // The terminal ends with the last process that has it open: with the shell, once it has come.
            let mut slave = Some(slave);
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                slave = None;
                if sender.send(chunk[..length].to_vec()).is_err() {
                    return;
                }
            }
            drop(slave);
        });
        Self { child, keys, chunks, screen: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until `text` appears after what was waited for before; gives what appeared until then.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.screen.find(text) {
                return self.screen.drain(..at + text.len()).collect();
            }
            let chunk = self.chunks.recv_timeout(WAIT_MAX);
            let chunk = chunk.unwrap_or_else(|_| panic!("no {text:?} after {:?}", self.screen));
            let chunk = String::from_utf8_lossy(&chunk).into_owned();
            // A terminal answers where its cursor is.
            for _ in chunk.matches("\x1b[6n") {
                self.press("\x1b[1;1R");
            }
            self.screen.push_str(&chunk);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test: what [`Terminal::open`] starts. Without its variable there is nothing to do.
#[test]
fn at_the_terminal() {
    let Some(name) = std::env::var_os(TERMINAL) else { return };
    setsid().unwrap();
    // The first terminal that the head of a session opens becomes the session's own.
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let error = Command::new(env!("CARGO_BIN_EXE_boathouse"))
        .args(std::env::var(ARGUMENTS).unwrap().lines())
        .env_remove(TERMINAL)
        .stdin(terminal.try_clone().unwrap())
        .stdout(terminal.try_clone().unwrap())
        .stderr(terminal)
        .exec();
    panic!("the shell did not start: {error}");
}

#[test]
fn a_person_types_cancels_pages_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let paged = folder.path().join("paged");
    let mut terminal = Terminal::open(folder.path(), &format!("dd of={} status=none", paged.display()), false);
    terminal.wait_for("shows help");
    terminal.wait_for("lake> ");

    // A statement goes on until its semicolon.
    terminal.press("SELECT 40 +\r");
    terminal.wait_for("   -> ");
    terminal.press("2 AS answer;\r");
    terminal.wait_for("     42");
    terminal.wait_for("(1 row)");
    terminal.wait_for("Time: ");

    // A long statement shows that it runs; Ctrl-C ends it and nothing else.
    terminal.wait_for("lake> ");
    terminal.press("SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000) b;\r");
    terminal.wait_for("(Ctrl-C cancels)");
    terminal.press("\x03");
    terminal.wait_for("Cancelled.");

    // An error does not end the shell either.
    terminal.wait_for("lake> ");
    terminal.press("SELEC 1;\r");
    terminal.wait_for("ERROR: syntax error");

    // Tab completes.
    terminal.wait_for("lake> ");
    terminal.press("\\tim\t");
    terminal.wait_for("\\timing");
    terminal.press("\r");
    terminal.wait_for("Timing is off.");
    terminal.wait_for("lake> ");
    terminal.press("\\timing on\r");
    terminal.wait_for("Timing is on.");

    // A long result goes to the pager.
    terminal.wait_for("lake> ");
    terminal.press("SELECT * FROM generate_series(1, 5000);\r");
    terminal.wait_for("Time: ");
    assert!(std::fs::read_to_string(&paged).unwrap().ends_with("  5000\n(5000 rows)\n\n"));

    terminal.wait_for("lake> ");
    terminal.press("\\q\r");
    assert!(terminal.child.wait().unwrap().success());
    let history = std::fs::read_to_string(folder.path().join("boathouse/history")).unwrap();
    assert!(history.contains("SELECT 40 +") && history.contains("2 AS answer;"), "{history}");
}

#[test]
fn what_is_typed_and_what_fails_has_colours() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(folder.path(), "cat", true);
    terminal.wait_for("lake");
    terminal.press("SELECT 1 AS one;\r");
    terminal.wait_for("\x1b[1;34mSELECT");
    terminal.wait_for("\x1b[35m1");
    // The head of the result.
    terminal.wait_for("\x1b[1mone\x1b[0m");
    terminal.wait_for("lake");
    terminal.press("SELECT nothing;\r");
    terminal.wait_for("\x1b[1;31mERROR:\x1b[0m ");
}

#[test]
fn statements_of_another_day_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(folder.path(), "cat", false);
    terminal.wait_for("shows help");
    for sql in ["SELECT 'the first';", "SELECT 'the second';"] {
        terminal.wait_for("lake> ");
        terminal.press(&format!("{sql}\r"));
        terminal.wait_for("Time: ");
    }
    terminal.wait_for("lake> ");
    terminal.press("\\q\r");
    assert!(terminal.child.wait().unwrap().success());

    let mut terminal = Terminal::open(folder.path(), "cat", false);
    terminal.wait_for("lake> ");
    for sql in ["\\q", "SELECT 'the second';", "SELECT 'the first';"] {
        terminal.press("\x1b[A");
        terminal.wait_for(sql);
    }
    terminal.press("\r");
    terminal.wait_for(" the first\r\n(1 row)");
}

#[test]
fn the_demo_shows_how_far_the_load_is() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let arguments = ["demo", "--scale", "0.01", "--lake", lake.to_str().unwrap()];
    let mut terminal = Terminal::start(&arguments, &[("NO_COLOR", "1")], folder.path());
    terminal.wait_for("== Loading TPC-H at scale 0.01");
    // About as many rows as all tables have, and the time so far.
    terminal.wait_for("/86,642 rows 00:00:");
    terminal.wait_for("lineitem ");
    terminal.wait_for(" rows  in ");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    std::fs::create_dir(&lake).unwrap();
    let lake = lake.to_str().unwrap();
    let create = ["user", "create", "root", "--lake", lake];
    boathouse(create).variable("BOATHOUSE_PASSWORD", "größe of it").stdout();
    let server = Served::lake(lake, &[]);
    let shell = ["sql", &server.url, "--user", "root"];
    let open = || Terminal::start(&shell, &[("NO_COLOR", "1"), ("PAGER", "cat")], folder.path());

    let mut terminal = open();
    terminal.wait_for("Password of root: ");
    // A slip is taken back, and then all of it.
    terminal.press("nonsensex\x7f\x15größe of it\r");
    let shown = terminal.wait_for("lake> ");
    assert!(!shown.contains("nonsense") && !shown.contains("of it"), "{shown:?}");
    terminal.press("SELECT current_user AS who;\r");
    terminal.wait_for(" root");
    terminal.wait_for("lake> ");
    terminal.press("\\q\r");
    assert!(terminal.child.wait().unwrap().success());

    let mut terminal = open();
    terminal.wait_for("Password of root: ");
    terminal.press("another\r");
    let shown = terminal.wait_for("wrong user name or password");
    assert!(!shown.contains("another"), "{shown:?}");

    let mut terminal = open();
    terminal.wait_for("Password of root: ");
    terminal.press("\x03");
    terminal.wait_for("no password was given");
    assert!(!terminal.child.wait().unwrap().success());
}
