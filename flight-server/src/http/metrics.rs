//! What the server tells of itself. Names follow Prometheus' rules: a prefix, base units, `_total` for what only grows.

use std::{collections::BTreeMap, sync::Arc};

use boathouse_engine::{CacheUsage, Engine, LakeUsage, QueryState, QueryTotals, StoreUsage};

use super::exposition::{
    Exposition,
    Kind::{Counter, Gauge, Histogram},
};
use crate::service::Service;

/// All metrics, at this moment.
pub async fn gather(engine: &Arc<Engine>, service: &Service) -> String {
    let mut text = Exposition::default();
    text.metric("boathouse_build_info", Gauge, "The version that runs.")
        .add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    queries(&mut text, engine, &engine.query_totals());
    sent(&mut text, service);
    traces(&mut text, service);
    webhooks(&mut text, service);
    memory(&mut text, engine);
    caches(&mut text, &engine.cache_usages().await);
    lake(&mut text, engine);
    text.finish()
}

fn queries(text: &mut Exposition, engine: &Engine, totals: &QueryTotals) {
    let mut samples = text.metric("boathouse_queries_total", Counter, "Statements that have ended.");
    for ((statement, state), count) in &totals.ended {
        samples.add(&[("statement", statement), ("state", state.as_str())], count);
    }
    let mut samples =
        text.metric("boathouse_query_errors_total", Counter, "Statements that failed or were cancelled, by kind.");
    for (kind, count) in &totals.errors {
        samples.add(&[("kind", kind.as_str())], count);
    }
    let help = "Time of statements from their beginning to their last row, waiting included.";
    let mut samples = text.metric("boathouse_query_duration_seconds", Histogram, help);
    for (statement, times) in &totals.durations {
        let (sum, count) = (times.total().as_secs_f64(), times.count());
        samples.histogram(&[("statement", statement)], times.cumulative(), sum, count);
    }
    let mut samples = text.metric("boathouse_query_phase_seconds_total", Counter, "What that time went to.");
    let phases = [("queued", totals.queued), ("planning", totals.planning), ("executing", totals.executing)];
    for (phase, time) in phases {
        samples.add(&[("phase", phase)], time.as_secs_f64());
    }
    let mut active = BTreeMap::from([QueryState::Planning, QueryState::Queued, QueryState::Running].map(|s| (s, 0)));
    for query in engine.query_records() {
        if let Some(count) = active.get_mut(&query.state) {
            *count += 1;
        }
    }
    let mut samples = text.metric("boathouse_queries_active", Gauge, "Statements under way.");
    for (state, count) in active {
        samples.add(&[("state", state.as_str())], count);
    }
    text.one("boathouse_query_rows_total", Counter, "Rows that statements produced or changed.", totals.rows);
    text.one("boathouse_query_read_bytes_total", Counter, "Bytes of tables that statements read.", totals.bytes_read);
    let help = "Bytes of data files by where they came from: copies near by, blocks near by, a far store.";
    let mut samples = text.metric("boathouse_query_tier_bytes_total", Counter, help);
    let tiers = [("hot", totals.bytes_hot), ("warm", totals.bytes_warm), ("store", totals.bytes_fetched)];
    for (tier, bytes) in tiers {
        samples.add(&[("tier", tier)], bytes);
    }
    let help = "Requests to far stores for data files.";
    text.one("boathouse_query_store_requests_total", Counter, help, totals.requests);
    let mut samples = text.metric("boathouse_query_files_total", Counter, "Files of tables that statements met.");
    samples.add(&[("outcome", "read")], totals.files_read);
    samples.add(&[("outcome", "skipped")], totals.files_skipped);
    let help = "Times that a statement ran again because another writer came first.";
    text.one("boathouse_query_replays_total", Counter, help, totals.replays);
}

fn sent(text: &mut Exposition, service: &Service) {
    let sent = service.sent();
    text.one("boathouse_flight_sent_rows_total", Counter, "Rows encoded for clients.", sent.rows);
    text.one("boathouse_flight_sent_bytes_total", Counter, "Bytes of these rows.", sent.bytes);
    text.one("boathouse_flight_streams", Gauge, "Results that are being fetched.", service.streams());
    text.one(
        "boathouse_flight_sessions",
        Gauge,
        "Sessions that are kept for clients with cookies.",
        service.sessions(),
    );
}

fn traces(text: &mut Exposition, service: &Service) {
    let Some(totals) = service.traces() else { return };
    let mut samples = text.metric("boathouse_trace_spans_total", Counter, "Spans for OpenTelemetry.");
    for (outcome, count) in [("sent", totals.sent), ("failed", totals.failed), ("dropped", totals.dropped)] {
        samples.add(&[("outcome", outcome)], count);
    }
}

fn webhooks(text: &mut Exposition, service: &Service) {
    let Some(totals) = service.webhooks() else { return };
    let mut samples = text.metric("boathouse_webhooks_total", Counter, "Messages about marts.");
    for (outcome, count) in [("delivered", totals.delivered), ("failed", totals.failed), ("dropped", totals.dropped)] {
        samples.add(&[("outcome", outcome)], count);
    }
}

fn memory(text: &mut Exposition, engine: &Engine) {
    let memory = engine.memory();
    text.one("boathouse_memory_pool_used_bytes", Gauge, "What operators hold.", memory.pool_used);
    text.one("boathouse_memory_pool_limit_bytes", Gauge, "What they may hold.", memory.pool_limit);
    if let Some(resident) = memory.resident {
        text.one("process_resident_memory_bytes", Gauge, "Memory of the process, as the system counts it.", resident);
    }
}

fn caches(text: &mut Exposition, caches: &[CacheUsage]) {
    type Number = fn(&CacheUsage) -> Option<u64>;
    let numbers: [(&'static str, _, &str, Number); 7] = [
        ("boathouse_cache_bytes", Gauge, "What a cache holds.", |cache| Some(cache.bytes)),
        ("boathouse_cache_limit_bytes", Gauge, "What it may hold.", |cache| Some(cache.bytes_max)),
        ("boathouse_cache_entries", Gauge, "In how many parts.", |cache| cache.entries),
        ("boathouse_cache_hits_total", Counter, "Looks that found something.", |cache| Some(cache.hits)),
        ("boathouse_cache_misses_total", Counter, "Looks that found nothing.", |cache| Some(cache.misses)),
        ("boathouse_cache_evictions_total", Counter, "Parts that went for want of room.", |cache| {
            Some(cache.evictions)
        }),
        ("boathouse_cache_disk_off", Gauge, "1 while its folder takes nothing and is left alone.", |cache| {
            cache.disk_off.map(u64::from)
        }),
    ];
    for (name, kind, help, number) in numbers {
        let mut samples = text.metric(name, kind, help);
        for cache in caches {
            if let Some(number) = number(cache) {
                samples.add(&[("cache", cache.name)], number);
            }
        }
    }
}

fn lake(text: &mut Exposition, engine: &Engine) {
    let LakeUsage { commits, store: requests } = engine.lake_usage();
    text.one("boathouse_commits_total", Counter, "Versions that this process committed.", commits.committed);
    let help = "Versions that another writer committed first; most are followed by the next version.";
    text.one("boathouse_commit_conflicts_total", Counter, help, commits.conflicts);
    let mut samples = text.metric("boathouse_upkeep_runs_total", Counter, "Jobs of upkeep that found something to do.");
    for ((action, done), count) in engine.upkeep_totals() {
        samples.add(&[("action", action), ("outcome", if done { "done" } else { "failed" })], count);
    }
    let mut samples = text.metric("boathouse_mart_runs_total", Counter, "Runs of marts, by what became of them.");
    for (outcome, count) in engine.mart_totals() {
        samples.add(&[("outcome", outcome)], count);
    }
    let mut samples =
        text.metric("boathouse_mart_exports_total", Counter, "Deliveries of marts, by what became of them.");
    for (outcome, count) in engine.mart_export_totals() {
        samples.add(&[("outcome", outcome)], count);
    }
    store(text, &requests);
}

fn store(text: &mut Exposition, store: &StoreUsage) {
    let mut samples = text.metric("boathouse_store_requests_total", Counter, "Requests to the lake's stores.");
    let requests = [
        ("get", store.get),
        ("head", store.head),
        ("put", store.put),
        ("list", store.list),
        ("delete", store.delete),
        ("copy", store.copy),
    ];
    for (operation, count) in requests {
        samples.add(&[("operation", operation)], count);
    }
    let help = "Of these, requests that failed otherwise than by saying that something is there, or is not.";
    text.one("boathouse_store_request_failures_total", Counter, help, store.failed);
    text.one("boathouse_store_read_bytes_total", Counter, "Bytes asked of the stores.", store.bytes_read);
    text.one("boathouse_store_written_bytes_total", Counter, "Bytes sent to the stores.", store.bytes_written);
}
