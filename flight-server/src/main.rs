//! The `boathouse` binary: parses the command line, starts the logs, runs the subcommand.

use std::process::ExitCode;

use boathouse_flight_server::{allocator, cli, log};
use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Planning follows the nesting of a statement.
const STACK_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    allocator::keep();
    let cli = cli::Cli::parse();
    if !matches!(cli.command, cli::Command::Serve(_)) {
        allocator::take_small_pages();
    }
    if let Err(text) = log::start() {
        eprintln!("ERROR: {text}");
        return ExitCode::FAILURE;
    }
    let runtime = match Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ERROR: could not start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(cli.command));
    // A statement that was given up must not hold up the exit.
    runtime.shutdown_background();
    code
}
