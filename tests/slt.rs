//! Runs `slt/**/*.slt`, each file twice: through a `Session`, and through a real Flight server with the shell's client.
//!
//! `cargo test -p boathouse-tests --test slt -- [--complete] [--list] [--test-threads N] [NAME...]`: names are parts of
//! `statement/insert.slt session`. `--complete` runs files through a session and writes the answers into them: read the
//! difference before you believe it. How values are written: `src/slt/format.rs`; what files may use: `src/slt/run.rs`.

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use boathouse_tests::slt::{Through, Worlds, complete_file, run_file};
use futures::{FutureExt, StreamExt};

fn main() -> ExitCode {
    // One line is enough: what went wrong is told with the file's failures, and a panic in the product is one.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.join("slt");
    let all = cases(&root, arguments.complete);
    let found = all.len();
    let cases: Vec<Case> = all.into_iter().filter(|case| arguments.wants(&case.name)).collect();
    if arguments.list {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for the tests");
    let worlds = Arc::new(Worlds::new(&root, &tests.join("data")));
    let filtered = found - cases.len();
    runtime.block_on(run(&worlds, cases, &arguments, filtered))
}

struct Arguments {
    names: Vec<String>,
    complete: bool,
    list: bool,
    threads: usize,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { names: Vec::new(), complete: false, list: false, threads: 2 };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--complete" => arguments.complete = true,
                "--list" => arguments.list = true,
                "--test-threads" => {
                    let threads = words.next().and_then(|word| word.parse().ok()).filter(|n| *n > 0);
                    arguments.threads = threads.ok_or("--test-threads takes a number from 1")?;
                }
                // What the standard harness knows and what is so here anyway.
                "--nocapture" | "--no-capture" | "--quiet" | "-q" => {}
                flag if flag.starts_with('-') => return Err(format!("unknown argument {flag}")),
                _ => arguments.names.push(word),
            }
        }
        Ok(arguments)
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }
}

/// One run of one file.
struct Case {
    name: String,
    file: PathBuf,
    through: Through,
}

fn cases(root: &Path, complete: bool) -> Vec<Case> {
    let mut files = Vec::new();
    find(root, &mut files);
    files.sort();
    let ways: &[Through] = if complete { &[Through::Session] } else { &[Through::Session, Through::Server] };
    let case = |file: &PathBuf, through: Through| {
        let short = file.strip_prefix(root).unwrap_or(file).display();
        Case { name: format!("{short} {}", through.name()), file: file.clone(), through }
    };
    files.iter().flat_map(|file| ways.iter().map(move |through| case(file, *through))).collect()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder can be read to its end").path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

async fn run(worlds: &Arc<Worlds>, cases: Vec<Case>, arguments: &Arguments, filtered: usize) -> ExitCode {
    let started = Instant::now();
    println!("\nrunning {} tests", cases.len());
    let count = cases.len();
    let mut results = futures::stream::iter(cases)
        .map(|case| async move {
            let work = async {
                match arguments.complete {
                    true => complete_file(worlds, &case.file).await,
                    false => run_file(worlds, &case.file, case.through).await,
                }
            };
            // A panic in one file must not hide the others; its message is on standard error already.
            let result = AssertUnwindSafe(work).catch_unwind().await;
            (case.name, result.unwrap_or_else(|_| Err("panicked; see above".to_owned())))
        })
        .buffer_unordered(arguments.threads);
    let mut failures = Vec::new();
    while let Some((name, result)) = results.next().await {
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        failures.extend(result.err().map(|text| (name, text)));
    }
    if !failures.is_empty() {
        println!("\nfailures:");
        failures.iter().for_each(|(name, text)| println!("\n---- {name} ----\n{text}"));
        println!("\nfailures:");
        failures.iter().for_each(|(name, _)| println!("    {name}"));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        count - failures.len(),
        failures.len(),
        started.elapsed().as_secs_f64()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
