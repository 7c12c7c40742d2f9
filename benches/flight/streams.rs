//! Large streams, in both directions.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, ipc::writer::FileWriter};
use boathouse_benches::measure;
use boathouse_engine::{Engine, EngineConfig};
use boathouse_flight_server::tpch;

use super::{Args, Result, bare, client::Client, servers::Server};

/// One stream holds this part of the cache at most; a stream of 10 million rows of `lineitem` takes 1.6 GB.
const RESULT_CACHE_BYTES: u64 = 16 * (4 << 30);
/// `lineitem` at scale 1.
const LINEITEM_ROWS: f64 = 6_000_000.0;
/// Names of the streams, and their queries.
const STREAMS: [(&str, &str); 2] = [("lineitem", "SELECT * FROM lineitem"), ("integers", "SELECT * FROM integers")];

/// A lake, and the same rows as Arrow files: the batches that Boathouse sends.
pub struct Data {
    pub lake: PathBuf,
    files: PathBuf,
}

impl Data {
    /// Made once for a number of rows.
    pub async fn make(args: &Args, folder: &Path) -> Result<Self> {
        let data = Self { lake: folder.join("lake"), files: folder.join("files") };
        // The mark is written last: what a run left that was killed is made again.
        let mark = folder.join("_complete");
        if mark.exists() {
            return Ok(data);
        }
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(&data.files)?;
        let started = Instant::now();
        data.load(args).await?;
        let server = Server::boathouse(args, &data.lake, 0)?;
        let client = Client::connect(&server.address).await?;
        for (name, sql) in STREAMS {
            let mut file = None;
            let write = |batch: RecordBatch| {
                let writer = match &mut file {
                    Some(writer) => writer,
                    None => {
                        let path = data.files.join(format!("{name}.arrow"));
                        file.insert(FileWriter::try_new_buffered(File::create(path)?, &batch.schema())?)
                    }
                };
                Ok(writer.write(&batch)?)
            };
            let read = client.query(sql, write).await?;
            file.ok_or("a table without rows")?.finish()?;
            println!("{name}: {} rows, {:.2} GB", read.rows, gigabytes(read.bytes));
        }
        fs::write(mark, "")?;
        println!("made in {:.0} s", started.elapsed().as_secs_f64());
        Ok(data)
    }

    async fn load(&self, args: &Args) -> Result<()> {
        let engine = Engine::create(&self.lake.to_string_lossy(), EngineConfig::default()).await?;
        let session = engine.session();
        tpch::load(&session, args.rows as f64 / LINEITEM_ROWS, |_, _, _| ()).await?;
        let integers = format!(
            "CREATE TABLE integers AS SELECT value AS a, value * 7919 % 1000003 AS b, -value AS c, value % 10 AS d
             FROM generate_series(1, {})",
            args.rows
        );
        session.execute(&integers).await?;
        Ok(())
    }
}

/// Prints a line for each server and stream.
pub async fn run(args: &Args, data: &Data) -> Result<()> {
    for (name, sql) in STREAMS {
        println!("\nDoGet of {name}, one stream");
        let bare = get(args, &Server::bare(&data.files)?, name, None).await?;
        show("bare arrow-flight", bare, bare);
        match Server::pyarrow(args, &data.files) {
            Ok(server) => show("pyarrow", get(args, &server, name, None).await?, bare),
            Err(error) => println!("  pyarrow is left out: {error}"),
        }
        let cached = get(args, &Server::boathouse(args, &data.lake, RESULT_CACHE_BYTES)?, name, Some(sql)).await?;
        show("boathouse, rows in its result cache", cached, bare);
        let queried = get(args, &Server::boathouse(args, &data.lake, 0)?, name, Some(sql)).await?;
        show("boathouse, rows from files", queried, bare);
        let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
        let engine = Engine::open(&data.lake.to_string_lossy(), config).await?;
        let alone = measure(&engine, sql, usize::try_from(args.runs)?).await?;
        println!("  the query alone, in this process: {:.2} s", alone.best.as_secs_f64());
    }
    for (name, _) in STREAMS {
        println!("\nDoPut of {name}, one stream");
        let (_, batches) = bare::read(&data.files.join(format!("{name}.arrow")))?;
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() as u64;
        let bare = put(args, &Server::bare(&data.files)?, &batches).await?;
        show("bare arrow-flight, thrown away", (bytes, bare), (bytes, bare));
        match Server::pyarrow(args, &data.files) {
            Ok(server) => show("pyarrow, thrown away", (bytes, put(args, &server, &batches).await?), (bytes, bare)),
            Err(error) => println!("  pyarrow is left out: {error}"),
        }
        let server = Server::boathouse(args, &data.lake, 0)?;
        let client = Client::connect(&server.address).await?;
        let mut best = Duration::MAX;
        for _ in 0..args.runs {
            best = best.min(client.ingest("sent", &batches).await?);
        }
        show("boathouse, a new table on the disk", (bytes, best), (bytes, bare));
        client.query("DROP TABLE sent PURGE", |_| Ok(())).await?;
    }
    Ok(())
}

/// Bytes, and the best time of some runs.
async fn get(args: &Args, server: &Server, name: &'static str, sql: Option<&str>) -> Result<(u64, Duration)> {
    let client = Client::connect(&server.address).await?;
    let (mut bytes, mut best) = (0, Duration::MAX);
    // The first run fills caches and is not counted.
    for run in 0..=args.runs {
        let read = match sql {
            Some(sql) => client.query(sql, |_| Ok(())).await?,
            None => client.get(name).await?,
        };
        if read.rows < args.rows / 2 {
            return Err(format!("{} sent {} rows of {name}", server.name, read.rows).into());
        }
        bytes = read.bytes;
        best = if run == 0 { best } else { best.min(read.whole) };
    }
    Ok((bytes, best))
}

async fn put(args: &Args, server: &Server, batches: &[RecordBatch]) -> Result<Duration> {
    let client = Client::connect(&server.address).await?;
    let mut best = Duration::MAX;
    for _ in 0..args.runs {
        best = best.min(client.put(batches).await?);
    }
    Ok(best)
}

fn show(name: &str, (bytes, time): (u64, Duration), base: (u64, Duration)) {
    let seconds = time.as_secs_f64();
    let ratio = base.1.as_secs_f64() / seconds;
    println!("  {name}: {seconds:.2} s, {:.2} GB/s, {ratio:.2} of the bare one", gigabytes(bytes) / seconds);
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
