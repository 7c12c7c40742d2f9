//! One result on a terminal: printed when it fits the screen, handed to a pager when it does not.
//!
//! Up to a screenful is held back; as soon as a line is too long or there are too many, the pager starts and the rest
//! streams into it, so a long result costs a screenful of memory here.

use std::{
    env,
    io::{self, Write},
    process::{Child, ChildStdin, Command, Stdio},
};

use unicode_width::UnicodeWidthChar;

/// Lines kept free below a result: its time, a blank line, the prompt.
const LINES_FREE: usize = 3;

/// A writer for one result on the terminal.
pub struct Page {
    /// Columns and lines of the terminal; `None` once text is printed as it comes.
    fits: Option<(usize, usize)>,
    /// The pager's command.
    command: String,
    held: Vec<u8>,
    measure: Measure,
    pager: Option<(Child, ChildStdin)>,
}

impl Page {
    /// A page that starts `command` when the text is larger than `columns` by `lines`.
    pub fn with_pager(command: String, columns: usize, lines: usize) -> Self {
        let mut page = Self::without_pager();
        page.command = command;
        page.fits = Some((columns, lines.saturating_sub(LINES_FREE).max(1)));
        page
    }

    /// A page that prints everything as it comes.
    pub fn without_pager() -> Self {
        Self { fits: None, command: String::new(), held: Vec::new(), measure: Measure::default(), pager: None }
    }

    /// Whether text has appeared on the terminal.
    pub fn is_visible(&self) -> bool {
        self.fits.is_none()
    }

    /// Whether the person reads in a pager, at their own pace.
    pub fn is_paged(&self) -> bool {
        self.pager.is_some()
    }

    /// Prints what is held, or waits until the pager is closed.
    pub fn finish(mut self) -> io::Result<()> {
        self.release()?;
        if let Some((mut child, input)) = self.pager.take() {
            drop(input);
            child.wait()?;
        }
        io::stdout().flush()
    }

    fn release(&mut self) -> io::Result<()> {
        self.fits = None;
        let held = std::mem::take(&mut self.held);
        self.forward(&held)
    }

    fn forward(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.pager {
            Some((_, input)) => input.write_all(bytes),
            None => io::stdout().write_all(bytes),
        }
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some((columns, lines)) = self.fits else {
            self.forward(bytes)?;
            return Ok(bytes.len());
        };
        self.held.extend_from_slice(bytes);
        self.measure.take(bytes);
        if self.measure.width_max > columns || self.measure.lines > lines {
            self.pager = start(&self.command);
            self.release()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // After a failed statement the person may still be reading what came before.
        if let Some((mut child, input)) = self.pager.take() {
            drop(input);
            let _ = child.wait();
        }
    }
}

/// `$PAGER`, or `less -S`.
pub fn pager_command() -> String {
    env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty()).unwrap_or("less -S".to_owned())
}

/// `None` when the pager cannot be started: then the result is printed.
fn start(command: &str) -> Option<(Child, ChildStdin)> {
    let mut words = command.split_whitespace();
    let mut pager = Command::new(words.next()?);
    pager.args(words).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        // Let colours through.
        pager.env("LESS", "R");
    }
    let mut child = pager.spawn().ok()?;
    let input = child.stdin.take()?;
    Some((child, input))
}

/// Counts lines, and how wide the widest is, without escape sequences.
#[derive(Debug, Default)]
struct Measure {
    lines: usize,
    width: usize,
    width_max: usize,
    in_escape: bool,
}

impl Measure {
    fn take(&mut self, bytes: &[u8]) {
        for c in String::from_utf8_lossy(bytes).chars() {
            match c {
                '\n' => {
                    self.lines += 1;
                    self.width = 0;
                }
                '\x1b' => self.in_escape = true,
                // A colour ends with its letter.
                c if self.in_escape => self.in_escape = !c.is_ascii_alphabetic(),
                c => self.width += c.width().unwrap_or(0),
            }
            self.width_max = self.width_max.max(self.width);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn colours_have_no_width_and_wide_characters_two() {
        let mut measure = Measure::default();
        measure.take("ab\n\x1b[2mNULL\x1b[0m\n日本語\n".as_bytes());
        assert_eq!((measure.lines, measure.width_max), (3, 6));
    }

    /// A page on a terminal of 80 by 24, with a pager that writes what it is shown into a file.
    fn page(file: &Path) -> Page {
        Page::with_pager(format!("dd of={} status=none", file.display()), 80, 24)
    }

    #[test]
    fn a_short_result_is_held_until_it_is_finished_and_needs_no_pager() {
        let folder = tempfile::tempdir().unwrap();
        let mut page = page(&folder.path().join("seen"));
        page.write_all(b"one\ntwo\n").unwrap();
        assert!(!page.is_visible());
        assert_eq!(page.held, b"one\ntwo\n");
        page.held.clear();
        page.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_result_longer_or_wider_than_the_screen_goes_to_the_pager_whole() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("long", "a line\n".repeat(1_000)), ("wide", format!("one\n{}\n", "x".repeat(81)))] {
            let file = folder.path().join(name);
            let mut page = page(&file);
            for line in text.split_inclusive('\n') {
                page.write_all(line.as_bytes()).unwrap();
            }
            assert!(page.is_paged(), "{name}");
            page.finish().unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn a_pager_that_is_closed_early_ends_the_result() {
        let mut page = Page::with_pager("true".to_owned(), 80, 24);
        let line = [b'x'; 1_000];
        let error = (0..100_000).find_map(|_| page.write_all(&line).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
