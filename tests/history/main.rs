//! Several processes write to one lake at once, and the history that they leave is checked: serializable, no update lost, no
//! row doubled, no money made, each read a version that was due.
//!
//! ```text
//! operation.rs  the nth statement of a writer, in SQL and as a function of rows; a seed decides
//! worker.rs     a writer: a process of its own, which writes down what it begins and what it is told (record.rs); on a folder
//!               its requests fail now and then, some after they were carried out
//! run.rs        starts the writers on a folder or on S3, kills some, lets requests fail on S3, collects versions
//! check.rs      replays the operations in the order of versions
//! ```
//! `BOATHOUSE_TEST_OPERATIONS=2500` lets each writer do that many, `BOATHOUSE_TEST_WRITERS=4` sets how many there are,
//! `BOATHOUSE_TEST_SEED=7` another seed. `cargo test --workspace --test history -- s3` runs what has that in its name.

mod check;
mod operation;
mod record;
mod run;
mod worker;

use std::{panic::AssertUnwindSafe, process::ExitCode, time::Instant};

use boathouse_tests::TestS3;
use futures::FutureExt;

use crate::{
    run::{Place, Plan, WRITER},
    worker::Orders,
};

const NAMES: [&str; 2] = ["processes_on_a_folder_are_serializable", "processes_on_s3_are_serializable"];
const WRITERS: u64 = 3;
/// Of each writer on a folder; half as many on S3, where each takes longer.
const OPERATIONS: u64 = 40;

fn main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if let Ok(orders) = std::env::var(WRITER) {
        runtime.block_on(worker::work(&Orders::of_text(&orders)));
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &&&str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let names: Vec<&str> = NAMES.iter().filter(wanted).copied().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        names.iter().for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    runtime.block_on(run_all(&names))
}

async fn run_all(names: &[&str]) -> ExitCode {
    let began = Instant::now();
    println!("\nrunning {} tests", names.len());
    let mut failed = 0;
    for name in names {
        let plan = Plan {
            seed: number("BOATHOUSE_TEST_SEED", 1),
            writers: number("BOATHOUSE_TEST_WRITERS", WRITERS),
            operations: number(
                "BOATHOUSE_TEST_OPERATIONS",
                if *name == NAMES[0] { OPERATIONS } else { OPERATIONS / 2 },
            ),
        };
        let place = match *name == NAMES[0] {
            true => Place::Folder(tempfile::tempdir().expect("a temporary folder")),
            false => Place::S3(TestS3::start()),
        };
        let passed = AssertUnwindSafe(run::run(place, &plan)).catch_unwind().await.is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!(
        "\ntest result: {}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        names.len() - failed,
        NAMES.len() - names.len(),
        began.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}
