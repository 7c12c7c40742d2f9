//! Logs: to standard error, so that standard output holds results alone.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Without `BOATHOUSE_LOG`: warnings, but not the Delta kernel's, which reports as errors what its callers expect (a folder
/// that is not a table yet) and what they report themselves.
const FILTER_DEFAULT: &str = "warn,buoyant_kernel=off";

/// Logs what `BOATHOUSE_LOG` asks for (`info`, `boathouse_engine=debug`), warnings by default.
pub fn start() -> Result<(), String> {
    let filter = match std::env::var("BOATHOUSE_LOG") {
        Ok(filter) if !filter.trim().is_empty() => EnvFilter::try_new(&filter)
            .map_err(|error| format!("BOATHOUSE_LOG is \"{filter}\", which is not a log filter: {error}"))?,
        _ => EnvFilter::new(FILTER_DEFAULT),
    };
    let colors = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colors).init();
    // A library may panic and catch it: that is a line of the log, not a trace across a person's results.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}
