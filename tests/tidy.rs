//! The rules of this repository that a compiler does not hold: who may name what, how long things are, what must not
//! stand anywhere. Each failure names the file and the rule; the lists of exceptions below may only get shorter.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// Library, and the crates of ours that may name it. `tests` and `benches` may name all.
const MAY_NAME: [(&str, &[&str]); 12] = [
    ("deltalake", &["storage"]),
    ("object_store", &["storage"]),
    ("datafusion", &["storage", "engine"]),
    ("tonic", &["flight-server"]),
    ("arrow-flight", &["flight-server"]),
    ("prost", &["flight-server"]),
    ("clap", &["flight-server"]),
    ("reedline", &["flight-server"]),
    ("indicatif", &["flight-server"]),
    ("boathouse-storage", &["engine"]),
    ("boathouse-engine", &["flight-server"]),
    ("boathouse-flight-server", &["flight-server"]),
];

/// Files longer than [`LINES_MAX`], and how long they may be. A number here may fall, never rise.
const LONG_FILES: [(&str, usize); 0] = [];
const LINES_MAX: usize = 500;

/// Functions longer than [`FUNCTION_LINES_MAX`]: file and function.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];
const FUNCTION_LINES_MAX: usize = 100;

/// Title pages that hold functions, and how many. A number here may fall, never rise.
const TITLE_PAGES_WITH_FUNCTIONS: [(&str, usize); 1] = [("flight-server/src/client/mod.rs", 1)];

#[test]
fn only_the_right_crate_names_a_library() {
    let mut faults = Vec::new();
    for member in ["storage", "engine", "flight-server"] {
        let manifest = read(&root().join(member).join("Cargo.toml"));
        for (library, crates) in MAY_NAME.iter().filter(|(_, crates)| !crates.contains(&member)) {
            if manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(library)) {
                faults.push(format!("{member}/Cargo.toml names {library}; only these may: {crates:?}"));
            }
            let named = Regex::new(&format!(r"(^|[^:\w]){}::", library.replace('-', "_"))).unwrap();
            for (path, text) in sources(member) {
                // A crate's own modules may have a library's name.
                let own = text.contains(&format!("mod {library};"));
                if let Some(line) = code_lines(&text).find(|(_, line)| !own && named.is_match(line)) {
                    faults.push(format!("{path}:{} names {library}; only these may: {crates:?}", line.0));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn storage_makes_no_session_and_parses_no_sql() {
    let forbidden = Regex::new(r"SessionContext|DFParser|sqlparser|parse_sql_expr").unwrap();
    report(&lines_with("storage", &forbidden, |_| true));
}

#[test]
fn nothing_commits_outside_write_and_maintain() {
    let commits =
        Regex::new(r"CommitBuilder|CommitProperties|DeltaOps|deltalake::operations|write_commit_entry").unwrap();
    report(&lines_with("storage", &commits, |path| !path.contains("/write/") && !path.contains("/maintain/")));
}

#[test]
fn a_title_page_holds_no_logic() {
    let mut faults = Vec::new();
    let is_title = |path: &str| path.ends_with("/mod.rs") || path.ends_with("src/lib.rs");
    for (path, text) in all_sources().filter(|(path, _)| is_title(path) && !is_unit_test(path)) {
        let count = functions(&text).len();
        let allowed = TITLE_PAGES_WITH_FUNCTIONS.iter().find(|(file, _)| *file == path).map_or(0, |(_, n)| *n);
        if count > allowed {
            faults
                .push(format!("{path} holds {count} functions, {allowed} allowed: move them into a file of their own"));
        }
    }
    report(&faults);
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, String)> = all_sources().map(|(path, text)| (text.lines().count(), path)).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    println!("the longest files:");
    lengths.iter().take(10).for_each(|(lines, path)| println!("{lines:5} {path}"));
    let allowed = |path: &str| LONG_FILES.iter().find(|(file, _)| *file == path).map_or(LINES_MAX, |(_, n)| *n);
    let long = lengths.iter().filter(|(lines, path)| *lines > allowed(path));
    report(
        &long.map(|(lines, path)| format!("{path} has {lines} lines, {} allowed", allowed(path))).collect::<Vec<_>>(),
    );
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for (path, text) in all_sources() {
        for (name, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX && !LONG_FUNCTIONS.contains(&(path.as_str(), name.as_str())) {
                faults.push(format!("{path}: function {name} has {lines} lines, {FUNCTION_LINES_MAX} allowed"));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = all_sources().filter(|(path, text)| !text.starts_with("//!") && !is_unit_test(path));
    report(&silent.map(|(path, _)| format!("{path} does not start with //!")).collect::<Vec<_>>());
}

#[test]
fn names_say_something() {
    let empty = ["utils", "util", "common", "helpers", "helper", "manager", "misc", "v2"];
    let mut faults = Vec::new();
    for (path, _) in all_sources() {
        if path.trim_end_matches(".rs").split('/').any(|part| empty.contains(&part)) {
            faults.push(format!("{path}: name it by what it holds"));
        }
    }
    report(&faults);
}

#[test]
fn nothing_is_left_to_do_and_nothing_speaks_of_one_machine() {
    let marks = ["todo!", "unimplemented!", "dbg!(", "TODO", "FIXME", "XXX", "#[ignore", "/home/", "/Users/"];
    let mut faults = Vec::new();
    for path in texts() {
        // The list above is no fault.
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        for (index, line) in read(&path).lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                faults.push(format!("{}:{}: {mark}", short(&path), index + 1));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_statement_has_its_sql_test() {
    let folder = root().join("engine/src/statement");
    let tests = root().join("tests/slt/statement");
    // A statement's file is one that plans; dispatch.rs only passes on.
    let plans = |path: &Path| read(path).contains("fn plan(") && stem(path) != "dispatch";
    let files = entries(&folder);
    let statements = files
        .iter()
        .filter(|path| if path.is_dir() { entries(path).iter().any(|path| plans(path)) } else { plans(path) });
    let names: BTreeSet<String> = statements.map(|path| stem(path)).collect();
    assert!(names.len() > 10, "statements are found no more: {names:?}");
    let missing = names.iter().filter(|name| !tests.join(format!("{name}.slt")).exists());
    report(&missing.map(|name| format!("tests/slt/statement/{name}.slt is missing")).collect::<Vec<_>>());
}

#[test]
fn the_queries_with_answers_are_those_of_sql_tpch() {
    for number in 1..=22 {
        let sql = read(&root().join(format!("sql/tpch/q{number:02}.sql")));
        let query = sql.split_once('\n').expect("a comment, then the query").1.trim_end();
        let test = read(&root().join(format!("tests/slt/tpch/q{number:02}.slt")));
        assert!(test.contains(&format!("\n{query}\n----\n")), "q{number:02}.slt: run make_answers.py again");
    }
}

#[test]
fn the_profiles_are_those_of_the_readme() {
    let manifest = read(&root().join("Cargo.toml"));
    let profile = |name: &str| -> BTreeSet<String> {
        let (_, rest) = manifest.split_once(&format!("\n[profile.{name}]\n")).unwrap_or_else(|| panic!("no {name}"));
        rest.lines().take_while(|line| !line.starts_with('[')).map(str::to_owned).filter(|l| !l.is_empty()).collect()
    };
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
    // For deployment and figures: everything optimized, across crates.
    let dist = ["inherits = \"release\"", "opt-level = 3", "lto = \"thin\"", "codegen-units = 1"];
    assert_eq!(profile("dist"), lines(&dist));
    // For a first look: quick to build, and fast where every value passes.
    assert!(lines(&["opt-level = 1", "lto = \"off\"", "codegen-units = 16"]).is_subset(&profile("release")));
    for inner in ["arrow-arith", "datafusion-physical-plan", "datafusion-functions", "parquet", "zstd-sys"] {
        assert!(profile(&format!("release.package.{inner}")).contains("opt-level = 3"), "{inner}");
    }
    let readme = read(&root().join("README.md"));
    for command in
        ["cargo run --release -- demo", "cargo build --profile dist", "cargo bench -p boathouse-benches --profile dist"]
    {
        assert!(readme.contains(command), "README names no {command:?}");
    }
    assert!(readme.contains("`release` profile"), "README says what the release profile is for");
}

#[test]
fn the_readme_and_its_checks_are_as_promised() {
    let readme = read(&root().join("README.md"));
    let (first, _) = readme.split_once("\n# Reference\n").expect("a reference part");
    assert!(first.lines().count() <= 100, "two screens before the reference");
    for part in ["cargo test --workspace", "adbc_driver_flightsql", "dbapi.connect(\"grpc://", "## Map of the tree"] {
        assert!(first.contains(part), "README lacks {part}");
    }
    assert!(read(&root().join("LICENSE")).contains("Apache License"));
    let checks = read(&root().join(".ci/run"));
    let steps: Vec<_> = checks.lines().filter_map(|line| line.strip_prefix("step cargo ")).collect();
    let expected =
        ["fmt --check", "clippy --workspace --all-targets --locked -- -D warnings", "test --workspace --locked"];
    assert_eq!(steps, expected);
}

#[test]
fn the_top_level_is_fixed() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "benches",
        "boathouse-demo",
        "boathouse-demo-files",
        "engine",
        "flight-server",
        "sql",
        "storage",
        "target",
        "tests",
    ];
    let names = entries(&root()).into_iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    let strange: Vec<String> = names.filter(|name| !name.starts_with('.') && !known.contains(&name.as_str())).collect();
    report(&strange);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Every Rust file of a member: path from the root, and text.
fn sources(member: &str) -> impl Iterator<Item = (String, String)> + use<> {
    let mut files = Vec::new();
    walk(&root().join(member), &mut files);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.into_iter().map(|path| (short(&path), read(&path)))
}

fn all_sources() -> impl Iterator<Item = (String, String)> {
    ["storage", "engine", "flight-server", "tests", "benches"].into_iter().flat_map(sources)
}

/// Every text that a person wrote.
fn texts() -> Vec<PathBuf> {
    let mut files = Vec::new();
    ["storage", "engine", "flight-server", "tests", "benches", "sql", ".ci"]
        .iter()
        .for_each(|f| walk(&root().join(f), &mut files));
    files.extend(["README.md", "Cargo.toml"].map(|name| root().join(name)));
    let kinds = ["rs", "sql", "slt", "toml", "md", "py"];
    files.retain(|path| path.extension().is_none_or(|extension| kinds.iter().any(|kind| extension == *kind)));
    files.retain(|path| !path.starts_with(root().join("tests/data")));
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        match path.is_dir() {
            true if stem(&path) == "target" => {}
            true => walk(&path, files),
            false => files.push(path),
        }
    }
}

/// Numbered lines that are neither comment nor unit test (those stand last in a file).
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Unit tests that outgrew their file: `x/tests.rs`, `x/tests/y.rs`.
fn is_unit_test(path: &str) -> bool {
    path.contains("/src/") && (path.ends_with("/tests.rs") || path.contains("/tests/"))
}

fn lines_with(member: &str, forbidden: &Regex, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in sources(member).filter(|(path, _)| !is_unit_test(path) && counts(path)) {
        let found = code_lines(&text).filter(|(_, line)| forbidden.is_match(line));
        faults.extend(found.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
    }
    faults
}

/// Functions with a body, outside unit tests, and their lengths: rustfmt puts the last brace under the first word.
fn functions(text: &str) -> Vec<(String, usize)> {
    let head = Regex::new(r"^(\s*)(?:pub(?:\([a-z]+\))? )?(?:const )?(?:async )?fn (\w+)").unwrap();
    let lines: Vec<&str> = code_lines(text).map(|(_, line)| line).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(parts) = head.captures(line) else { continue };
        let end = format!("{}}}", &parts[1]);
        let declared = |line: &&str| line.trim_end().ends_with(';') && !line.contains('{');
        let rest = &lines[index..];
        let body = rest.iter().position(|line| line.trim_end().ends_with(['{', '}']));
        if rest.iter().take(body.unwrap_or(rest.len()) + 1).any(declared) {
            continue;
        }
        let length = rest.iter().position(|line| *line == end).map_or(1, |last| last + 1);
        let one_line = line.trim_end().ends_with('}');
        found.push((parts[2].to_owned(), if one_line { 1 } else { length }));
    }
    found
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
