//! The shell at a terminal: read, run, print, again.

use reedline::{Reedline, Signal};

use super::{
    Shell, ShellError, command,
    editor::{LakePrompt, editor},
    run::Flow,
    script::{self, Item},
};

/// Reads statements from the terminal until the person quits. Failed ones are reported and do not end it.
pub async fn interact(shell: &mut Shell) -> Result<(), ShellError> {
    println!("Boathouse {} on {}. \\? shows help.\n", env!("CARGO_PKG_VERSION"), shell.client().location());
    let mut editor = editor(shell.names.clone(), shell.screen().colors());
    shell.renew_names();
    loop {
        let text = match read(&mut editor)? {
            Signal::Success(text) => text,
            Signal::CtrlD => break,
            _ => continue,
        };
        if let Err(error) = editor.sync_history() {
            tracing::warn!("the history is not kept: {error}");
        }
        match run(shell, &text).await {
            Ok(Flow::Quit) => break,
            Ok(Flow::Continue) => {}
            Err(error) => error.report(shell.screen()),
        }
        shell.renew_names();
    }
    shell.finish()
}

fn read(editor: &mut Reedline) -> Result<Signal, ShellError> {
    // The editor waits for keys; other tasks go on meanwhile.
    tokio::task::block_in_place(|| editor.read_line(&LakePrompt))
        .map_err(|error| ShellError::Command(format!("could not read from the terminal: {error}")))
}

async fn run(shell: &mut Shell, text: &str) -> Result<Flow, ShellError> {
    if let Some(command) = command::plain_word(text) {
        return shell.run_command(command).await;
    }
    for item in script::items(text) {
        let flow = match item {
            Item::Statement { sql, .. } => shell.run_statement(&sql).await.map(|()| Flow::Continue)?,
            Item::Command { text, .. } => {
                let command = command::parse(&text).map_err(ShellError::Command)?;
                shell.run_command(command).await?
            }
        };
        if flow == Flow::Quit {
            return Ok(flow);
        }
    }
    Ok(Flow::Continue)
}

impl Shell {
    /// Asks for the names anew, in the background, when a statement may have changed them.
    fn renew_names(&mut self) {
        if !std::mem::take(&mut self.names_changed) {
            return;
        }
        let (client, names) = (self.client().clone(), self.names.clone());
        tokio::spawn(async move {
            match client.names().await {
                Ok(new) => *names.write() = new.into(),
                Err(error) => tracing::debug!("names for completion: {error}"),
            }
        });
    }
}
