//! Small queries: of one client, of many at once, and beside clients that do not read.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Args, Result, client::Client, servers::Server, streams::Data};

const ROUND_TRIPS: usize = 2_000;
/// Streams that nobody reads.
const HELD: usize = 8;
/// What a server has when nothing is said.
const RESULT_CACHE_BYTES: u64 = 64 << 20;

pub async fn run(args: &Args, data: &Data) -> Result<()> {
    alone(&Server::boathouse(args, &data.lake, RESULT_CACHE_BYTES)?, "as it comes").await?;
    let server = Server::boathouse(args, &data.lake, 0)?;
    let client = alone(&server, "without its result cache").await?;
    crowd(args, &server).await?;
    held(&server, &client).await
}

/// One client, which asks again and again.
async fn alone(server: &Server, how: &str) -> Result<Client> {
    let client = Client::connect(&server.address).await?;
    println!("\nOne client of a server {how}");
    for sql in ["SELECT 1", "SELECT * FROM lineitem LIMIT 10"] {
        let mut first_rows = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            first_rows.push(client.query(sql, |_| Ok(())).await?.first_row);
        }
        println!("  {sql}: first row after {}", spread(&mut first_rows));
    }
    Ok(client)
}

/// Everyone on a connection of their own, one small query after the other.
async fn crowd(args: &Args, server: &Server) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..args.clients {
        clients.push(Client::connect(&server.address).await?);
    }
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let mut tasks = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            let (mut times, mut errors) = (Vec::new(), 0);
            while Instant::now() < until {
                let key = (number * 7919 + times.len() * 31) % 1_000_000;
                let sql = format!("SELECT o_orderkey, o_totalprice FROM orders WHERE o_orderkey = {key}");
                match client.query(&sql, |_| Ok(())).await {
                    Ok(read) => times.push(read.whole),
                    Err(_) => errors += 1,
                }
            }
            (times, errors)
        });
    }
    let (mut all, mut counts, mut errors) = (Vec::new(), Vec::new(), 0);
    while let Some(ended) = tasks.join_next().await {
        let (times, failed) = ended?;
        counts.push(times.len());
        errors += failed;
        all.extend(times);
    }
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    println!("\n{} clients, lookups in orders for {} s", args.clients, args.seconds);
    println!("  {} queries, {errors} errors, {}", all.len(), spread(&mut all));
    println!("  queries of a client: {least} to {most}");
    Ok(())
}

/// What streams that nobody reads cost others, and the memory that they hold.
async fn held(server: &Server, client: &Client) -> Result<()> {
    const SQL: &str = "SELECT * FROM integers";
    println!("\nBeside {HELD} streams that nobody reads");
    let alone = best(client, SQL).await?;
    let before = server.resident_mb();
    let mut streams = Vec::new();
    for _ in 0..HELD {
        let slow = Client::connect(&server.address).await?;
        let ticket = slow.ticket("SELECT * FROM lineitem").await?;
        streams.push((slow.hold(ticket).await?, slow));
    }
    let beside = best(client, SQL).await?;
    println!("  {SQL}: {:.2} s alone, {:.2} s beside them", alone.as_secs_f64(), beside.as_secs_f64());
    if let (Some(before), Some(after)) = (before, server.resident_mb()) {
        println!("  memory of the server: {before:.0} MB before, {after:.0} MB with them");
    }
    Ok(())
}

async fn best(client: &Client, sql: &str) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        best = best.min(client.query(sql, |_| Ok(())).await?.whole);
    }
    Ok(best)
}

/// `0.41 ms at the median, 0.80 ms at the 99th percentile, 3.10 ms at most`
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    format!("{:.2} ms at the median, {:.2} ms at the 99th percentile, {:.2} ms at most", at(0.5), at(0.99), at(1.0))
}
