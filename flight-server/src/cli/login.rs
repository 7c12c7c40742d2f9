//! Credentials on the command line: never as an argument that others on the machine can see, unless the person wants it so.

use std::io::{self, IsTerminal, Write};

use boathouse_engine::Secret;
use crossterm::{
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    terminal,
};

use crate::client::Login;

/// The flags of every command that reaches a server.
#[derive(Debug, Clone, clap::Args)]
pub struct LoginFlags {
    /// The user to log in to a server as; the password is asked for, or taken from BOATHOUSE_PASSWORD
    #[arg(long, value_name = "NAME", env = "BOATHOUSE_USER", hide_env = true)]
    pub user: Option<String>,
    /// An access token to log in to a server with
    #[arg(long, value_name = "TOKEN", env = "BOATHOUSE_TOKEN", hide_env = true, conflicts_with = "user", value_parser = secret)]
    pub token: Option<Secret>,
}

impl LoginFlags {
    /// The credentials for `target`; asks for a password when there is a person to ask.
    pub fn login(&self, target: &str) -> Result<Login, String> {
        if !is_server(target) {
            return Ok(Login::None);
        }
        match (&self.user, &self.token) {
            (_, Some(token)) => Ok(Login::Token(token.clone())),
            (Some(user), None) => {
                Ok(Login::Password { user: user.clone(), password: password(&format!("Password of {user}"))? })
            }
            (None, None) => Ok(Login::None),
        }
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Whether a target is a server's address, not a lake.
fn is_server(target: &str) -> bool {
    target.starts_with("grpc")
}

/// From BOATHOUSE_PASSWORD, or typed at the terminal, where it is not shown.
pub fn password(prompt: &str) -> Result<Secret, String> {
    if let Ok(password) = std::env::var("BOATHOUSE_PASSWORD") {
        return Ok(Secret::new(password));
    }
    if !io::stdin().is_terminal() {
        return Err("there is nobody to ask for the password\nHINT: Set BOATHOUSE_PASSWORD.".to_owned());
    }
    let failed = |error: io::Error| format!("could not read a password: {error}");
    // Before anyone is asked: who types ahead must not see the password either.
    terminal::enable_raw_mode().map_err(failed)?;
    eprint!("{prompt}: ");
    let typed = io::stderr().flush().and_then(|()| typed());
    // In any case, or the terminal stays dumb.
    let restored = terminal::disable_raw_mode();
    eprintln!();
    restored.map_err(failed)?;
    typed.map_err(failed)?.map(Secret::new).ok_or_else(|| "no password was given".to_owned())
}

/// A line of keys; `None` when the person gives up.
fn typed() -> io::Result<Option<String>> {
    let mut text = String::new();
    loop {
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(Some(text)),
            KeyCode::Esc => return Ok(None),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(None),
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => text.clear(),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(char) => text.push(char),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_servers() {
        let args = LoginFlags { user: None, token: Some(Secret::new("t")) };
        assert_eq!(args.login("./lake"), Ok(Login::None));
        assert_eq!(args.login("grpc://h:1"), Ok(Login::Token(Secret::new("t"))));
    }
}
