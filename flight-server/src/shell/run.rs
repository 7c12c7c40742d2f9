//! Runs statements and commands one after another, and prints what they give.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::Arc,
};

use futures::{StreamExt, future::BoxFuture};

use super::{
    Out, Screen, Settings, ShellError,
    command::{self, Command},
    complete::SharedNames,
    describe,
    output::Format,
    progress,
    script::{Item, Splitter},
    watch::Watch,
};
use crate::client::{Answer, Client, Parts, Rows};

/// How deep `\i` may nest: a file that includes itself must end.
const INCLUDES_MAX: usize = 16;

/// A client, the person's settings, and where results go.
pub struct Shell {
    client: Arc<dyn Client>,
    pub settings: Settings,
    screen: Screen,
    out: Out,
    /// Ctrl-C cancels the statement; otherwise it ends the process.
    interactive: bool,
    pub(super) names: SharedNames,
    /// Whether a statement may have changed the names.
    pub(super) names_changed: bool,
    includes: usize,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Quit,
}

impl Shell {
    pub fn new(client: Box<dyn Client>, settings: Settings, screen: Screen, out: Out, interactive: bool) -> Self {
        let names = SharedNames::default();
        Self { client: client.into(), settings, screen, out, interactive, names, names_changed: true, includes: 0 }
    }

    /// Waits for what goes on behind statements that have ended.
    pub async fn idle(&self) {
        self.client.idle().await;
    }

    pub(super) fn client(&self) -> &Arc<dyn Client> {
        &self.client
    }

    pub(super) fn screen(&self) -> Screen {
        self.screen
    }

    /// Runs all that `reader` holds, up to the first error; `source`, unless it is empty, names it in errors.
    pub async fn run_script(&mut self, mut reader: impl BufRead + Send, source: &str) -> Result<Flow, ShellError> {
        let mut splitter = Splitter::default();
        let mut line = String::new();
        loop {
            line.clear();
            let length = reader.read_line(&mut line).map_err(|error| unreadable(source, error))?;
            let items = if length > 0 { splitter.line(&line) } else { splitter.end().into_iter().collect() };
            for item in items {
                if self.run_item(item, source).await? == Flow::Quit {
                    return Ok(Flow::Quit);
                }
            }
            if length == 0 {
                return Ok(Flow::Continue);
            }
        }
    }

    /// Runs one statement or command; its error tells the place in `source`.
    async fn run_item(&mut self, item: Item, source: &str) -> Result<Flow, ShellError> {
        match item {
            Item::Statement { sql, line } => {
                self.run_statement(&sql).await.map(|()| Flow::Continue).map_err(|error| error.at(source, line))
            }
            Item::Command { text, line } => self.run_text_command(&text).await.map_err(|error| error.at(source, line)),
        }
    }

    async fn run_text_command(&mut self, text: &str) -> Result<Flow, ShellError> {
        let command = command::parse(text).map_err(ShellError::Command)?;
        self.run_command(command).await
    }

    /// Runs one statement and prints what it gives.
    pub async fn run_statement(&mut self, sql: &str) -> Result<(), ShellError> {
        let mut watch = Watch::new(self.screen.errors_are_terminal, self.interactive);
        let answer = watch.wait(self.client.run(sql)).await??;
        watch.progress.clear();
        match answer {
            Answer::Rows(rows) => match self.print_rows(rows, &mut watch).await {
                // The person has closed the pager.
                Err(ShellError::ReaderGone) if self.interactive && self.out.is_terminal() => {}
                result => result?,
            },
            Answer::Changed { rows, parts } => {
                self.names_changed = true;
                self.tell(&changed(rows, parts))?;
            }
            Answer::Done(tag) => {
                self.names_changed = true;
                self.tell(&tag)?;
            }
        }
        if self.settings.timing {
            let time = progress::time(watch.time());
            watch.progress.stop();
            if self.interactive {
                println!("{time}");
            } else {
                eprintln!("{time}");
            }
        }
        Ok(())
    }

    async fn print_rows(&mut self, mut rows: Rows, watch: &mut Watch) -> Result<(), ShellError> {
        let target = self.out.name();
        let failed = |error| ShellError::output(&target, error);
        let look = self.out.look(&self.settings);
        let format = self.settings.format;
        let mut sheet = self.out.begin(&self.settings).map_err(ShellError::Command)?;
        let mut printer = format.printer(rows.schema(), look).map_err(failed)?;
        while let Some(batch) = watch.wait(rows.next()).await? {
            let batch = batch?;
            watch.progress.rows += batch.num_rows() as u64;
            watch.progress.clear();
            let printed = printer.batch(&batch, &mut sheet);
            watch.reader_sets_pace = sheet.is_paged();
            printed.map_err(failed)?;
            if sheet.is_visible() {
                watch.progress.stop();
            }
        }
        watch.progress.clear();
        printer.end(&mut sheet).map_err(failed)?;
        watch.reader_sets_pace = sheet.is_paged();
        sheet.finish().map_err(failed)
    }

    /// A command tag or a count: for people, not for programs that read the results.
    fn tell(&mut self, text: &str) -> Result<(), ShellError> {
        if !self.settings.format.is_for_people() {
            return Ok(());
        }
        let target = self.out.name();
        self.out.say(text).map_err(|error| ShellError::output(&target, error))
    }

    /// Answers a command that changed a setting.
    fn confirm(&self, text: &str) {
        if self.interactive {
            println!("{text}");
        }
    }

    /// All results are written.
    pub fn finish(&mut self) -> Result<(), ShellError> {
        let target = self.out.name();
        self.out.finish().map_err(|error| ShellError::output(&target, error))
    }

    pub(super) fn run_command(&mut self, command: Command) -> BoxFuture<'_, Result<Flow, ShellError>> {
        // Boxed because a file that is included may include others.
        Box::pin(async move {
            match command {
                Command::Describe(name) => {
                    let sql = describe::table(&name).map_err(ShellError::Command)?;
                    self.run_quietly(&sql).await?;
                }
                Command::Relations { kind, pattern } => {
                    self.run_quietly(&describe::relations(kind, pattern.as_deref())).await?;
                }
                Command::Schemas => self.run_quietly(&describe::schemas()).await?,
                Command::Functions(pattern) => self.run_quietly(&describe::functions(pattern.as_deref())).await?,
                Command::Timing(on) => {
                    self.settings.timing = on.unwrap_or(!self.settings.timing);
                    self.confirm(&format!("Timing is {}.", on_off(self.settings.timing)));
                }
                Command::Pager(on) => {
                    self.settings.pager = on.unwrap_or(!self.settings.pager);
                    self.confirm(&format!("The pager is {}.", on_off(self.settings.pager)));
                }
                Command::Expanded(on) => {
                    let on = on.unwrap_or(self.settings.format != Format::Line);
                    self.set_format(if on { Format::Line } else { Format::Table });
                }
                Command::Format(Some(format)) => self.set_format(format),
                Command::Format(None) => self.tell(&format!("The format is {}.", self.settings.format))?,
                Command::Include(path) => return self.include(&path).await,
                Command::Output(path) => self.redirect(path.as_deref())?,
                Command::Help => self.tell(&command::help())?,
                Command::Quit => return Ok(Flow::Quit),
            }
            Ok(Flow::Continue)
        })
    }

    /// The statement behind a command: without its time.
    async fn run_quietly(&mut self, sql: &str) -> Result<(), ShellError> {
        let timing = std::mem::take(&mut self.settings.timing);
        self.names_changed = true;
        let result = self.run_statement(sql).await;
        self.settings.timing = timing;
        result
    }

    fn set_format(&mut self, format: Format) {
        self.settings.format = format;
        self.confirm(&format!("The format is {format}."));
    }

    async fn include(&mut self, path: &str) -> Result<Flow, ShellError> {
        if self.includes == INCLUDES_MAX {
            return Err(ShellError::Command(format!("\"{path}\" is included more than {INCLUDES_MAX} files deep")));
        }
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        self.includes += 1;
        let result = self.run_script(BufReader::new(file), path).await;
        self.includes -= 1;
        result
    }

    fn redirect(&mut self, path: Option<&str>) -> Result<(), ShellError> {
        self.finish()?;
        self.out = match path {
            None => Out::standard(self.screen),
            Some(path) => {
                Out::file(Path::new(path)).map_err(|error| ShellError::output(&format!("\"{path}\""), error))?
            }
        };
        Ok(())
    }
}

/// What is said of rows that a statement changed.
fn changed(rows: u64, parts: Option<Parts>) -> String {
    let noun = if rows == 1 { "row" } else { "rows" };
    match parts {
        None => format!("{rows} {noun} changed"),
        // Others went for those that came.
        Some(Parts { inserted, deleted, .. }) if rows == inserted && deleted > 0 => {
            format!("{rows} {noun} inserted, {deleted} deleted")
        }
        Some(Parts { inserted, updated, deleted }) => {
            format!("{rows} {noun} changed ({inserted} inserted, {updated} updated, {deleted} deleted)")
        }
    }
}

fn unreadable(source: &str, error: std::io::Error) -> ShellError {
    ShellError::Command(format!("could not read \"{source}\": {error}"))
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_with_their_parts() {
        let parts = |inserted, updated, deleted| Some(Parts { inserted, updated, deleted });
        assert_eq!(changed(1, None), "1 row changed");
        assert_eq!(changed(7, parts(3, 2, 2)), "7 rows changed (3 inserted, 2 updated, 2 deleted)");
        assert_eq!(changed(1, parts(1, 0, 4)), "1 row inserted, 4 deleted");
        assert_eq!(changed(0, parts(0, 0, 4)), "0 rows inserted, 4 deleted");
        assert_eq!(changed(2, parts(2, 0, 0)), "2 rows changed (2 inserted, 0 updated, 0 deleted)");
    }
}
