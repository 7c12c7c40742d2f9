//! How runs and tests of marts are told to people.

use std::fmt::Write;

use boathouse_engine::{
    EngineError, MartOutcome,
    mart::{ExportOutcome, ExportReport, MartTest, MartTestState, Report},
};

/// A mart of a run, with what its tests found and what went wrong. Names are as wide as `width`.
pub(crate) fn report(report: &Report, width: usize) -> String {
    let Report { mart, outcome, tests, intervals, took } = report;
    let what = match outcome {
        MartOutcome::Succeeded { rows, version } => {
            let intervals = match *intervals as u64 {
                0 => String::new(),
                count => format!(", {count} {}", plural(count, "interval")),
            };
            format!("{rows} {}, version {version}{intervals}{}", plural(*rows, "row"), passed(tests))
        }
        MartOutcome::Skipped { version } => format!("version {version} is up to date"),
        MartOutcome::Failed(_) => "nothing was published".to_owned(),
        MartOutcome::Blocked { by } => format!("{by} was not published"),
        MartOutcome::Busy { holder } => format!("another process runs it: {holder}"),
    };
    let ms = took.as_secs_f64() * 1000.0;
    let mut text = format!("{mart:width$}  {:<9}  {what}  Time: {ms:.1} ms\n", outcome.word());
    text.push_str(&violations(tests));
    if let MartOutcome::Failed(error) = outcome {
        text.push_str(&indented(error));
    }
    text
}

/// An export, with what went wrong. Names of marts are as wide as `width`.
pub(crate) fn exported(report: &ExportReport, width: usize) -> String {
    let ExportReport { mart, to, target, outcome, took } = report;
    let what = match outcome {
        ExportOutcome::Delivered { rows, version } => format!(", {rows} {}, version {version}", plural(*rows, "row")),
        ExportOutcome::UpToDate { version } => format!(", has version {version}"),
        ExportOutcome::NotPublished => ", the mart has no rows yet".to_owned(),
        ExportOutcome::Busy { holder } => format!(", another process delivers: {holder}"),
        ExportOutcome::Failed(_) => String::new(),
    };
    let ms = took.as_secs_f64() * 1000.0;
    let mut text = format!("{mart:width$}  {:<9}  to {to}: {target}{what}  Time: {ms:.1} ms\n", outcome.word());
    if let ExportOutcome::Failed(error) = outcome {
        text.push_str(&indented(error));
    }
    text
}

fn passed(tests: &[MartTest]) -> String {
    match tests.iter().filter(|test| test.state == MartTestState::Passed).count() as u64 {
        0 => String::new(),
        count => format!(", {count} {} passed", plural(count, "test")),
    }
}

/// Tests that found something, a line each, with some of what they found.
pub(super) fn violations(tests: &[MartTest]) -> String {
    let mut text = String::new();
    for test in tests.iter().filter(|test| test.violations > 0) {
        let (state, count) = (test.state.word(), test.violations);
        let _ = writeln!(text, "  {state} {}: {count} {}", test.name, plural(count, "violation"));
        for sample in &test.samples {
            let _ = writeln!(text, "    {sample}");
        }
    }
    text
}

/// An error below the line that it belongs to.
pub(super) fn indented(error: &EngineError) -> String {
    error.to_string().lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}

pub(super) fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
