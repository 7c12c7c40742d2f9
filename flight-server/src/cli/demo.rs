//! `boathouse demo`: a lake with TPC-H in it, made and queried before the person's eyes.
//!
//! Makes the folder, loads the tables ([`crate::tpch`]), runs the scripts of `sql/demo` in their order, the marts of
//! `sql/marts`, then the example of `sql/retail`, and ends with what to type next. It may be run again on its own lake, whose
//! tables are then made anew; it refuses to touch another's.

mod folder;
mod marts;
mod retail;
mod script;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_engine::{Engine, EngineConfig, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use nu_ansi_term::Style;

use crate::{
    client::{ClientError, Embedded},
    shell::output::Look,
    tpch::{self, TABLES},
};

/// The flags of `boathouse demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How much data: 1 is about 1 GB of text, 0.1 a tenth of it
    #[arg(long, default_value_t = 0.1, value_parser = scale)]
    pub scale: f64,
    /// The folder of the lake; made when it is missing
    #[arg(long, value_name = "FOLDER", default_value = "./boathouse-demo")]
    pub lake: PathBuf,
}

const SCALE_MIN: f64 = 0.001;
const SCALE_MAX: f64 = 100.0;

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (SCALE_MIN..=SCALE_MAX).contains(&scale) => Ok(scale),
        _ => Err(format!("a number from {SCALE_MIN} to {SCALE_MAX}")),
    }
}

/// Wide enough for what EXPLAIN ANALYZE says of a scan; the metrics of an operator go on and on.
const CELL_WIDTH_MAX: usize = 140;

/// Runs the demo. Texts go to `out`, the progress bar to standard error when that is a terminal.
pub async fn run(
    args: &Args,
    config: EngineConfig,
    look: Look,
    out: &mut (dyn Write + Send),
) -> Result<(), ClientError> {
    let look = Look { cell_width_max: Some(CELL_WIDTH_MAX), ..look };
    let lake = folder::check(&args.lake)?;
    let engine = Engine::create(&lake, config).await?;
    folder::check_tables(&engine, &lake).await?;
    retail::check(&engine, &lake).await?;
    load(&engine, args.scale, &lake, look, out).await?;
    let client = Embedded::new(&engine, &lake);
    for (name, text) in script::SCRIPTS {
        script::run(&client, name, text, &lake, look, out).await?;
    }
    marts::run(&engine, look, out).await?;
    retail::run(&engine, &lake, look, out).await?;
    farewell(&args.lake, look, out)
}

async fn load(
    engine: &Arc<Engine>,
    scale: f64,
    lake: &str,
    look: Look,
    out: &mut (dyn Write + Send),
) -> Result<(), ClientError> {
    say(out, &heading(look, &format!("Loading TPC-H at scale {scale} into {lake}")))?;
    let rows_about: u64 = TABLES.iter().map(|table| table.rows_about(scale)).sum();
    // Hidden by itself when standard error is not a terminal.
    let bar = ProgressBar::new(rows_about).with_style(style());
    bar.enable_steady_tick(Duration::from_millis(100));
    let started = Instant::now();
    let shown = bar.clone();
    let loaded = tpch::load(&engine.session(), scale, move |table, rows, before| {
        shown.set_message(table.name);
        shown.set_position(before + rows);
    })
    .await;
    bar.finish_and_clear();
    let loaded = loaded?;
    for table in &loaded {
        say(out, &format!("{:>12} rows  {:<9} {:>7} ms\n", table.rows, table.table.name, table.time.as_millis()))?;
    }
    let rows: u64 = loaded.iter().map(|table| table.rows).sum();
    let seconds = started.elapsed().as_secs_f64();
    say(out, &format!("{rows:>12} rows  in {seconds:.1} s, one commit for each table\n"))
}

fn style() -> ProgressStyle {
    // A template that is wrong would show in every run; the default is the fallback that needs no panic.
    ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos}/{human_len} rows {elapsed_precise}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn heading(look: Look, text: &str) -> String {
    let bold = if look.colors { Style::new().bold() } else { Style::new() };
    format!("\n{}\n\n", bold.paint(format!("== {text}")))
}

fn farewell(lake: &Path, look: Look, out: &mut (dyn Write + Send)) -> Result<(), ClientError> {
    let folder = lake.to_string_lossy();
    let lake = quoted_for_shell(&folder);
    let boathouse = command();
    say(out, &heading(look, "What next"))?;
    let text = format!(
        "\
A SQL shell on this lake (\\? lists its commands):

    {boathouse} sql {lake}

A Flight SQL server, and the shell on it from another terminal:

    {boathouse} serve {lake}
    {boathouse} sql grpc://127.0.0.1:32010

Python, while the server runs:

    pip install adbc-driver-flightsql pyarrow
    python -c '
from adbc_driver_flightsql import dbapi
with dbapi.connect(\"grpc://127.0.0.1:32010\") as connection, connection.cursor() as cursor:
    cursor.execute(\"SELECT o_orderyear, count(*) FROM orders GROUP BY 1 ORDER BY 1\")
    print(cursor.fetch_arrow_table())'
"
    );
    say(out, &text)?;
    say(out, &retail::next(&boathouse, &folder))
}

/// How the person started this program, so that what is printed can be pasted.
fn command() -> String {
    if std::env::var_os("CARGO").is_some() {
        return "cargo run --release --".to_owned();
    }
    std::env::args().next().map_or_else(|| "boathouse".to_owned(), |name| quoted_for_shell(&name))
}

fn quoted_for_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn say(out: &mut (dyn Write + Send), text: &str) -> Result<(), ClientError> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritable)
}

/// Nobody sees the demo any more (`boathouse demo | head`): there is nothing to go on for.
fn unwritable(error: io::Error) -> ClientError {
    ClientError::new(ErrorKind::Cancelled, format!("could not write to standard output: {error}"))
}
