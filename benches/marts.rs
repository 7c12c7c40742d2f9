//! What running marts costs: `cargo bench -p boathouse-benches --profile dist --bench marts -- --scale 1 --runs 3`.
//!
//! Fifty marts over TPC-H, some on others, each with a test: all of them anew, beside the same queries by hand, and again
//! when nothing has changed. Then those that aggregate, over copies of the tables of which 1 % of the orders change: runs
//! that look at the changed rows, beside full ones of the same rows.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_benches::{Bench, Store, end, measure};
use boathouse_engine::{Definition, Engine, MartOptions, MartOutcome, Project};
use clap::Parser;

/// Fifty marts, beside their queries by hand
#[derive(Debug, Parser)]
struct Args {
    /// 1 is about 1 GB of text
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How often each is run, after a first time that fills caches; the best time counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// What cargo adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The first marts of the graph: what they group by, and what each row is taken from.
const FIRST: [(&str, &str); 10] = [
    ("l_shipdate", "lineitem"),
    ("l_suppkey", "lineitem"),
    ("l_partkey", "lineitem"),
    ("l_returnflag", "lineitem"),
    ("l_shipmode", "lineitem"),
    ("o_orderdate", "lineitem JOIN orders ON o_orderkey = l_orderkey"),
    ("o_custkey", "lineitem JOIN orders ON o_orderkey = l_orderkey"),
    ("o_orderpriority", "lineitem JOIN orders ON o_orderkey = l_orderkey"),
    ("p_brand", "lineitem JOIN part ON p_partkey = l_partkey"),
    ("s_nationkey", "lineitem JOIN supplier ON s_suppkey = l_suppkey"),
];
/// How many stand on each of these.
const BEHIND: usize = 4;

/// Name and query of each mart; those that are read come first.
fn queries() -> Vec<(String, String)> {
    let mut marts = Vec::new();
    for (at, (column, from)) in FIRST.iter().enumerate() {
        let query = format!(
            "SELECT {column} AS key, count(*) AS lines, sum(l_extendedprice * (1 - l_discount)) AS revenue
             FROM {from} GROUP BY {column}"
        );
        marts.push((format!("first_{at}"), query));
        for behind in 1..=BEHIND {
            let query = format!(
                "SELECT key, lines, revenue, rank() OVER (ORDER BY revenue DESC) AS place
                 FROM marts.first_{at} WHERE lines % {behind} = 0"
            );
            marts.push((format!("behind_{at}_{behind}"), query));
        }
    }
    marts
}

fn definitions() -> Result<Vec<Definition>> {
    let parse = |(name, query): &(String, String)| {
        let text = format!("/*---\nname = \"marts.{name}\"\n\n[[test]]\nnot_null = [\"key\"]\n---*/\n{query}");
        Definition::parse(name, &text).map_err(|fault| fault.to_string().into())
    };
    queries().iter().map(parse).collect()
}

#[tokio::main]
async fn main() -> ExitCode {
    end(run(&Args::parse()).await)
}

async fn run(args: &Args) -> Result<()> {
    let bench = Bench::tpch(Store::Folder, args.scale, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    let engine = &bench.engine;
    for schema in ["marts", "by_hand"] {
        engine.session().execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
    }
    let [mut full, mut tables, mut alone] = [Duration::MAX; 3];
    for round in 0..=args.runs {
        let times = [all(engine, true, "succeeded").await?, written(engine).await?, queried(engine).await?];
        if round > 0 {
            [full, tables, alone] = [full.min(times[0]), tables.min(times[1]), alone.min(times[2])];
        }
    }
    let count = queries().len();
    let [full, tables, alone] = [full, tables, alone].map(|time| time.as_secs_f64());
    println!("{count} marts anew: {full:.2} s");
    println!("  beside CREATE OR REPLACE TABLE AS by hand: {tables:.2} s, ratio {:.2}", full / tables);
    println!("  beside the queries alone: {alone:.2} s, ratio {:.2}", full / alone);
    let mut unchanged = Duration::MAX;
    for _ in 0..args.runs {
        unchanged = unchanged.min(all(engine, false, "skipped").await?);
    }
    let each = unchanged.as_secs_f64() * 1e3 / count as f64;
    println!("nothing changed: {:.0} ms, {each:.1} ms a mart", unchanged.as_secs_f64() * 1e3);
    changed(engine, args.runs).await
}

/// What becomes of 1 % of the orders in round `$1`, by which orders are chosen. Keys of new orders are far above all others.
const CHANGES: [(&str, &[&str]); 2] = [
    ("updated", &["UPDATE changed.lineitem SET l_extendedprice = l_extendedprice + 1 WHERE l_orderkey % 100 = $1"]),
    (
        "added",
        &[
            "INSERT INTO changed.orders SELECT o_orderkey + 100000000 * ($1 + 1), * EXCEPT (o_orderkey) FROM orders
             WHERE o_orderkey % 100 = $1",
            "INSERT INTO changed.lineitem SELECT l_orderkey + 100000000 * ($1 + 1), * EXCEPT (l_orderkey) FROM lineitem
             WHERE l_orderkey % 100 = $1",
        ],
    ),
];

/// The marts that aggregate, when 1 % of the orders changed: the best times of a run and of a full one.
async fn changed(engine: &Arc<Engine>, rounds: u64) -> Result<()> {
    let session = engine.session();
    session.execute("CREATE SCHEMA IF NOT EXISTS changed").await?;
    for table in ["lineitem", "orders"] {
        session.execute(&format!("DROP TABLE IF EXISTS changed.{table}")).await?;
        session.execute(&format!("CREATE TABLE changed.{table} SHALLOW CLONE {table}")).await?;
        let feed = format!("ALTER TABLE changed.{table} SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')");
        session.execute(&feed).await?;
    }
    let mut definitions = Vec::new();
    for (name, query) in queries().into_iter().filter(|(name, _)| name.starts_with("first")) {
        let query = query.replace("lineitem", "changed.lineitem").replace("JOIN orders", "JOIN changed.orders");
        let text = format!("/*---\nname = \"marts.changed_{name}\"\n---*/\n{query}");
        definitions.push(Definition::parse(&name, &text).map_err(|fault| fault.to_string())?);
    }
    let project = Project::open(engine, definitions, MartOptions::default()).await;
    let project = project.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let names = project.names();
    each(&project, &names, true).await?;
    for (what, statements) in CHANGES {
        let mut best = vec![[Duration::MAX; 2]; names.len()];
        for round in 0..=rounds {
            for sql in statements {
                session.execute(&sql.replace("$1", &round.to_string())).await?;
            }
            // The full run has nothing to do that the other did not, but it does all of it.
            let times = [each(&project, &names, false).await?, each(&project, &names, true).await?];
            for (at, best) in best.iter_mut().enumerate().filter(|_| round > 0) {
                *best = [best[0].min(times[0][at]), best[1].min(times[1][at])];
            }
        }
        println!("1 % of the orders {what}:");
        for (name, [run, full]) in names.iter().zip(&best) {
            let [run, full] = [run, full].map(|time| time.as_secs_f64() * 1e3);
            println!("  {name}: {run:.0} ms, full {full:.0} ms, ratio {:.1}", full / run);
        }
        let [run, full] = [0, 1].map(|at| best.iter().map(|times| times[at].as_secs_f64() * 1e3).sum::<f64>());
        println!("  together: {run:.0} ms, full {full:.0} ms, ratio {:.1}", full / run);
    }
    Ok(())
}

/// The time of each mart, run by itself.
async fn each(project: &Project, names: &[String], force: bool) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(names.len());
    for name in names {
        let started = Instant::now();
        let reports = project.run(std::slice::from_ref(name), force, |_| ()).await?;
        times.push(started.elapsed());
        match reports.first().map(|report| &report.outcome) {
            Some(MartOutcome::Succeeded { .. }) => {}
            other => return Err(format!("{name}: {other:?}").into()),
        }
    }
    Ok(times)
}

/// All marts, definitions read and checked anew, as the command line does.
async fn all(engine: &Arc<Engine>, force: bool, expected: &str) -> Result<Duration> {
    let started = Instant::now();
    let project = Project::open(engine, definitions()?, MartOptions::default()).await;
    let project = project.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let reports = project.run(&[], force, |_| ()).await?;
    let took = started.elapsed();
    for report in reports {
        if let MartOutcome::Failed(error) = &report.outcome {
            return Err(format!("{}: {error}", report.mart).into());
        }
        if report.outcome.word() != expected {
            return Err(format!("{} was {}, not {expected}", report.mart, report.outcome.word()).into());
        }
    }
    Ok(took)
}

/// What a script would do: each query into a table, without tests and without a record.
async fn written(engine: &Arc<Engine>) -> Result<Duration> {
    let started = Instant::now();
    for (name, query) in queries() {
        let query = query.replace("marts.", "by_hand.");
        engine.session().execute(&format!("CREATE OR REPLACE TABLE by_hand.{name} AS {query}")).await?;
    }
    Ok(started.elapsed())
}

async fn queried(engine: &Arc<Engine>) -> Result<Duration> {
    let mut whole = Duration::ZERO;
    for (_, query) in queries() {
        whole += measure(engine, &query, 1).await?.best;
    }
    Ok(whole)
}
