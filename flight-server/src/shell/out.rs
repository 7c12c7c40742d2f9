//! Where results go: the terminal, a pipe, or a file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{
    Screen, Settings,
    output::Format,
    output::Look,
    page::{Page, pager_command},
};

/// The target of results. Messages such as `CREATE TABLE` go there too; errors and times never do.
pub struct Out {
    target: Target,
    /// A binary result is there, so nothing may follow.
    full: bool,
}

enum Target {
    Terminal(Screen),
    Stream(Box<dyn Write + Send>),
    File { path: PathBuf, writer: BufWriter<File>, whole: Option<Whole> },
}

/// A file that appears under its name only when all is in it.
struct Whole {
    partial: PathBuf,
    done: bool,
}

impl Out {
    /// Standard output.
    pub fn standard(screen: Screen) -> Self {
        if screen.output_is_terminal {
            Self { target: Target::Terminal(screen), full: false }
        } else {
            Self::stream(BufWriter::new(io::stdout()))
        }
    }

    pub fn stream(writer: impl Write + Send + 'static) -> Self {
        Self { target: Target::Stream(Box::new(writer)), full: false }
    }

    /// A file that shows results as they come, as `\o` wants it. Replaces one of that name.
    pub fn file(path: &Path) -> io::Result<Self> {
        let writer = BufWriter::new(File::create(path)?);
        Ok(Self { target: Target::File { path: path.to_owned(), writer, whole: None }, full: false })
    }

    /// A file that replaces one of that name at [`Out::finish`], and leaves nothing when that is never called.
    pub fn whole_file(path: &Path) -> io::Result<Self> {
        if path.exists() && !path.is_file() {
            // A device or a named pipe: there is nothing to replace.
            return Self::file(path);
        }
        let mut name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let partial = path.with_file_name(name);
        let writer = BufWriter::new(File::create(&partial)?);
        let whole = Some(Whole { partial, done: false });
        Ok(Self { target: Target::File { path: path.to_owned(), writer, whole }, full: false })
    }

    /// What error messages call it.
    pub fn name(&self) -> String {
        match &self.target {
            Target::Terminal(_) | Target::Stream(_) => "standard output".to_owned(),
            Target::File { path, .. } => format!("\"{}\"", path.display()),
        }
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self.target, Target::Terminal(_))
    }

    /// How results should look there.
    pub fn look(&self, settings: &Settings) -> Look {
        let Target::Terminal(screen) = &self.target else { return Look::default() };
        // A pager scrolls sideways, so cells may be long; without one they must leave room for their neighbours.
        let cell_width_max = if settings.pager { CELL_WIDTH_MAX_PAGED } else { screen.size().0.max(CELL_WIDTH_MIN) };
        Look { colors: screen.colors(), cell_width_max: Some(cell_width_max) }
    }

    /// Makes ready for one result, or says why it cannot go there.
    pub fn begin(&mut self, settings: &Settings) -> Result<Sheet<'_>, String> {
        if self.full {
            return Err(format!(
                "the format {} puts one result into a file, and {} has one",
                settings.format,
                self.name()
            ));
        }
        self.full = settings.format.is_binary();
        match &mut self.target {
            Target::Terminal(_) if settings.format.is_binary() => {
                self.full = false;
                Err(no_terminal(settings.format))
            }
            Target::Terminal(screen) => {
                let (columns, lines) = screen.size();
                let page = if settings.pager {
                    Page::with_pager(pager_command(), columns, lines)
                } else {
                    Page::without_pager()
                };
                Ok(Sheet::Page(page))
            }
            Target::Stream(writer) => Ok(Sheet::Stream(writer)),
            Target::File { writer, .. } => Ok(Sheet::Stream(writer)),
        }
    }

    /// Prints a line between results.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        match &mut self.target {
            Target::Terminal(_) => writeln!(io::stdout(), "{text}"),
            Target::Stream(writer) => writeln!(writer, "{text}").and_then(|()| writer.flush()),
            Target::File { writer, .. } => writeln!(writer, "{text}").and_then(|()| writer.flush()),
        }
    }

    /// All results are written: flushes, and gives a whole file its name.
    pub fn finish(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Terminal(_) => io::stdout().flush(),
            Target::Stream(writer) => writer.flush(),
            Target::File { path, writer, whole } => {
                writer.flush()?;
                if let Some(whole) = whole {
                    fs::rename(&whole.partial, path)?;
                    whole.done = true;
                }
                Ok(())
            }
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.done {
            // Best effort: the failure that led here is the one worth telling.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

const CELL_WIDTH_MAX_PAGED: usize = 1_000;
const CELL_WIDTH_MIN: usize = 20;

fn no_terminal(format: Format) -> String {
    format!(
        "{format} is bytes, which a terminal cannot show\n\
         HINT: Write it to a file (-o FILE or \\o FILE) or into a pipe."
    )
}

/// The place of one result.
pub enum Sheet<'a> {
    Page(Page),
    Stream(&'a mut (dyn Write + Send)),
}

impl Sheet<'_> {
    /// Whether text has appeared on the terminal.
    pub fn is_visible(&self) -> bool {
        match self {
            Self::Page(page) => page.is_visible(),
            Self::Stream(_) => false,
        }
    }

    /// Whether the person reads in a pager, at their own pace.
    pub fn is_paged(&self) -> bool {
        match self {
            Self::Page(page) => page.is_paged(),
            Self::Stream(_) => false,
        }
    }

    /// The result is complete.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Page(page) => page.finish(),
            Self::Stream(writer) => writer.flush(),
        }
    }
}

impl Write for Sheet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Page(page) => page.write(bytes),
            Self::Stream(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Page(page) => page.flush(),
            Self::Stream(writer) => writer.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_appears_only_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();

        let mut out = Out::whole_file(&path).unwrap();
        out.say("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(out);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let mut out = Out::whole_file(&path).unwrap();
        out.say("new").unwrap();
        out.finish().unwrap();
        drop(out);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_binary_result_fills_its_file_and_no_terminal_takes_one() {
        let settings = Settings::new(Format::Parquet, false);
        let mut out = Out::stream(Vec::new());
        assert!(out.begin(&settings).is_ok());
        let error = out.begin(&settings).err().unwrap();
        assert_eq!(error, "the format parquet puts one result into a file, and standard output has one");

        let mut screen = Screen::default();
        screen.output_is_terminal = true;
        assert!(Out::standard(screen).begin(&settings).err().unwrap().contains("a terminal cannot show"));
    }
}
