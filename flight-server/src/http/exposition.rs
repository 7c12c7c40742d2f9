//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

/// The type of this text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    Gauge,
    Histogram,
}

/// A text that is being written.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// Names and values of labels.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a metric; its samples follow. `help` is one line.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> Samples<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Samples { text: &mut self.text, name }
    }

    /// A metric of one sample without labels.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help).add(&[], value);
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// The samples of one metric.
pub struct Samples<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Samples<'_> {
    pub fn add(&mut self, labels: Labels<'_>, value: impl Display) {
        self.sample("", labels, value);
    }

    /// One histogram: each bound with the count up to it, ascending, then the sum and the count of all.
    pub fn histogram(&mut self, labels: Labels<'_>, buckets: impl Iterator<Item = (f64, u64)>, sum: f64, count: u64) {
        let mut bucket = |bound: &str, count: u64| {
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound)]).collect();
            self.sample("_bucket", &labels, count);
        };
        for (bound, count) in buckets {
            bucket(&bound.to_string(), count);
        }
        bucket("+Inf", count);
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, count);
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_prometheus_reads_it() {
        let mut text = Exposition::default();
        text.one("up_seconds", Kind::Gauge, "How long.", 1.5);
        let mut samples = text.metric("bytes_total", Kind::Counter, "All.");
        samples.add(&[("place", "C:\\x \"y\"\n"), ("kind", "a")], 3);
        let mut samples = text.metric("took_seconds", Kind::Histogram, "Times.");
        samples.histogram(&[("kind", "a")], [(0.5, 1), (10.0, 2)].into_iter(), 11.25, 3);
        let expected = [
            "# HELP up_seconds How long.",
            "# TYPE up_seconds gauge",
            "up_seconds 1.5",
            "# HELP bytes_total All.",
            "# TYPE bytes_total counter",
            "bytes_total{place=\"C:\\\\x \\\"y\\\"\\n\",kind=\"a\"} 3",
            "# HELP took_seconds Times.",
            "# TYPE took_seconds histogram",
            "took_seconds_bucket{kind=\"a\",le=\"0.5\"} 1",
            "took_seconds_bucket{kind=\"a\",le=\"10\"} 2",
            "took_seconds_bucket{kind=\"a\",le=\"+Inf\"} 3",
            "took_seconds_sum{kind=\"a\"} 11.25",
            "took_seconds_count{kind=\"a\"} 3",
            "",
        ];
        assert_eq!(text.finish(), expected.join("\n"));
    }
}
