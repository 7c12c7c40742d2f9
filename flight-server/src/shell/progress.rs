//! The line that says that a long statement is alive: elapsed time and rows so far, on standard error.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// Statements shorter than this show no progress.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// The progress of one statement. Drawn over itself; cleared before anything else is printed.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    enabled: bool,
    drawn: bool,
    pub rows: u64,
}

impl Progress {
    /// A statement starts now. Not `enabled`: nothing is ever drawn (standard error is not a terminal).
    pub fn start(enabled: bool) -> Self {
        Self { started: Instant::now(), enabled, drawn: false, rows: 0 }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Draws the line, once the statement has taken long enough.
    pub fn draw(&mut self) {
        let elapsed = self.elapsed();
        if !self.enabled || elapsed < SHOWN_AFTER {
            return;
        }
        // A progress line that cannot be drawn is no reason to fail a statement.
        let _ = write!(io::stderr(), "\r\x1b[K{}", text(elapsed, self.rows));
        let _ = io::stderr().flush();
        self.drawn = true;
    }

    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }

    /// Results appear on the terminal now: they are the progress.
    pub fn stop(&mut self) {
        self.clear();
        self.enabled = false;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn text(elapsed: Duration, rows: u64) -> String {
    let seconds = elapsed.as_secs();
    let time = if seconds < 60 {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    };
    let rows = if rows == 0 { String::new() } else { format!("  {} rows", grouped(rows)) };
    format!("running {time}{rows}  (Ctrl-C cancels)")
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time as `\timing` prints it.
pub fn time(elapsed: Duration) -> String {
    let millis = elapsed.as_secs_f64() * 1e3;
    if millis < 1e3 {
        format!("Time: {millis:.1} ms")
    } else if millis < 60e3 {
        format!("Time: {millis:.0} ms ({:.1} s)", millis / 1e3)
    } else {
        let seconds = elapsed.as_secs();
        format!("Time: {millis:.0} ms ({}:{:02}:{:02})", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_statement_shows_no_progress() {
        let mut progress = Progress::start(true);
        progress.draw();
        assert!(!progress.drawn);
        progress.started -= SHOWN_AFTER;
        progress.draw();
        assert!(progress.drawn);
    }

    #[test]
    fn times_and_rows_read_easily_at_every_size() {
        assert_eq!(text(Duration::from_millis(1_250), 0), "running 1.2 s  (Ctrl-C cancels)");
        assert_eq!(text(Duration::from_secs(3_725), 1_234_567), "running 1:02:05  1,234,567 rows  (Ctrl-C cancels)");
        assert_eq!(time(Duration::from_micros(12_340)), "Time: 12.3 ms");
        assert_eq!(time(Duration::from_millis(2_500)), "Time: 2500 ms (2.5 s)");
        assert_eq!(time(Duration::from_secs(61)), "Time: 61000 ms (0:01:01)");
    }
}
