//! The answer of a statement as that of a subcommand.

use crate::{
    client::Embedded,
    shell::{Out, Screen, Settings, Shell, output::Format},
};

/// Runs one statement and writes its rows as the shell does. False after an error, which is on standard error then.
pub(super) async fn show(client: Embedded, sql: &str, format: Format) -> bool {
    let screen = Screen::detect();
    let settings = Settings::new(format, false);
    let mut shell = Shell::new(Box::new(client), settings, screen, Out::standard(screen), false);
    let shown = async {
        shell.run_script(sql.as_bytes(), "").await?;
        shell.finish()
    };
    match shown.await {
        Ok(()) => true,
        Err(error) if error.is_reader_gone() => true,
        Err(error) => {
            error.report(screen);
            false
        }
    }
}
