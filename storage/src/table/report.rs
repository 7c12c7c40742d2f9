//! What a scan read and what it could leave out.
//!
//! The scan puts its counts among the metrics of its plan node, so that plain `EXPLAIN ANALYZE` shows them; here they
//! are collected again from an executed plan. The table and its version stand in the labels of the counts.

use datafusion::physical_plan::{
    ExecutionPlan,
    metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricCategory, MetricType, MetricValue, MetricsSet},
};

use crate::hot::FILES_HOT;

const FILES: &str = "files";
const SKIPPED_BY_PARTITION: &str = "files_skipped_by_partition";
const SKIPPED_BY_STATISTICS: &str = "files_skipped_by_statistics";
const READ: &str = "files_read";
const BYTES_SCANNED: &str = "bytes_scanned";
/// From copies near by.
pub(crate) const BYTES_HOT: &str = "bytes_hot";
/// From blocks near by, of a store that is far.
pub(crate) const BYTES_WARM: &str = "bytes_warm";
/// From a far store, in whole blocks where they are kept.
pub(crate) const BYTES_FETCHED: &str = "bytes_fetched";
/// Sent to a far store for these.
pub(crate) const REQUESTS: &str = "requests";
/// The reader's own count, by the statistics of the log.
const PARTS_PRUNED: &str = "files_ranges_pruned_statistics";

const TABLE: &str = "table";
const VERSION: &str = "version";
const SCAN: &str = "scan";

/// One scan of one table in one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanReport {
    pub table: String,
    pub version: u64,
    /// Files in the table.
    pub files: usize,
    /// Files whose partition values do not match.
    pub files_skipped_by_partition: usize,
    /// Files whose statistics rule out a match.
    pub files_skipped_by_statistics: usize,
    /// Files that the scan was left with; a LIMIT may make it fewer than all the others.
    pub files_read: usize,
    /// Of these, files that were read from their copies on local disk.
    pub files_hot: usize,
    /// Files, or parts of large ones, that filters found while running left out of these before they were opened.
    pub parts_skipped_while_running: usize,
    /// Bytes of Parquet and of copies fetched, after row groups and pages were left out.
    pub bytes_read: usize,
    /// Of these, bytes of copies.
    pub bytes_hot: usize,
    /// Bytes of blocks near by, of files in a far store.
    pub bytes_warm: usize,
    /// Bytes that were fetched from a far store, and the requests (GET) for them. A folder is not far.
    pub bytes_fetched: usize,
    pub requests: usize,
}

/// The scans of an executed plan, in the order of the plan.
pub fn scan_reports(plan: &dyn ExecutionPlan) -> Vec<ScanReport> {
    let mut found = Vec::new();
    collect(plan, &mut found);
    found.into_iter().map(|(_, report)| report).collect()
}

/// The counts of one plan node of a scan. A scan over several stores has several nodes with the same `scan` number.
#[derive(Debug, Clone)]
pub(crate) struct ScanCounts {
    pub(crate) table: String,
    pub(crate) version: u64,
    pub(crate) scan: u64,
    pub(crate) files: usize,
    pub(crate) by_partition: usize,
    pub(crate) by_statistics: usize,
    pub(crate) read: usize,
}

impl ScanCounts {
    /// Registers the counts among a node's metrics.
    pub(crate) fn register(&self, metrics: &ExecutionPlanMetricsSet) {
        let counts = [
            (FILES, self.files),
            (SKIPPED_BY_PARTITION, self.by_partition),
            (SKIPPED_BY_STATISTICS, self.by_statistics),
            (READ, self.read),
        ];
        for (name, count) in counts {
            MetricBuilder::new(metrics)
                .with_type(MetricType::Summary)
                .with_category(MetricCategory::Rows)
                .with_new_label(TABLE, self.table.clone())
                .with_new_label(VERSION, self.version.to_string())
                .with_new_label(SCAN, self.scan.to_string())
                .global_counter(name)
                .add(count);
        }
    }
}

/// The scans that these metrics are of. Those that have files and opened none have not begun, and are left out.
pub(crate) fn reports_of(scans: &[ExecutionPlanMetricsSet]) -> Vec<ScanReport> {
    let mut found = Vec::new();
    for metrics in scans.iter().map(ExecutionPlanMetricsSet::clone_inner) {
        let begun = metrics.sum_by_name(BYTES_SCANNED).is_some();
        if let Some((scan, report)) = read_report(&metrics).filter(|(_, report)| begun || report.files_read == 0) {
            add(scan, report, &mut found);
        }
    }
    found.into_iter().map(|(_, report)| report).collect()
}

fn collect(plan: &dyn ExecutionPlan, found: &mut Vec<(u64, ScanReport)>) {
    if let Some(metrics) = plan.metrics()
        && let Some((scan, report)) = read_report(&metrics)
    {
        add(scan, report, found);
    }
    for child in plan.children() {
        collect(child.as_ref(), found);
    }
}

fn add(scan: u64, report: ScanReport, found: &mut Vec<(u64, ScanReport)>) {
    match found.iter_mut().find(|(known, _)| *known == scan) {
        Some((_, known)) => {
            known.files += report.files;
            known.files_skipped_by_partition += report.files_skipped_by_partition;
            known.files_skipped_by_statistics += report.files_skipped_by_statistics;
            known.files_read += report.files_read;
            known.files_hot += report.files_hot;
            known.parts_skipped_while_running += report.parts_skipped_while_running;
            known.bytes_read += report.bytes_read;
            known.bytes_hot += report.bytes_hot;
            known.bytes_warm += report.bytes_warm;
            known.bytes_fetched += report.bytes_fetched;
            known.requests += report.requests;
        }
        None => found.push((scan, report)),
    }
}

fn parts_skipped(metrics: &MetricsSet) -> usize {
    let pruned = metrics.iter().map(|metric| match metric.value() {
        MetricValue::PruningMetrics { name, pruning_metrics } if name == PARTS_PRUNED => pruning_metrics.pruned(),
        _ => 0,
    });
    pruned.sum()
}

fn read_report(metrics: &MetricsSet) -> Option<(u64, ScanReport)> {
    let first = metrics.iter().find(|metric| metric.value().name() == FILES)?;
    let label = |name: &str| first.labels().iter().find(|label| label.name() == name).map(|label| label.value());
    let count = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
    let report = ScanReport {
        table: label(TABLE)?.to_owned(),
        version: label(VERSION)?.parse().ok()?,
        files: count(FILES),
        files_skipped_by_partition: count(SKIPPED_BY_PARTITION),
        files_skipped_by_statistics: count(SKIPPED_BY_STATISTICS),
        files_read: count(READ),
        files_hot: count(FILES_HOT),
        parts_skipped_while_running: parts_skipped(metrics),
        bytes_read: count(BYTES_SCANNED),
        bytes_hot: count(BYTES_HOT),
        bytes_warm: count(BYTES_WARM),
        bytes_fetched: count(BYTES_FETCHED),
        requests: count(REQUESTS),
    };
    Some((label(SCAN)?.parse().ok()?, report))
}
