//! `boathouse user`: the first user of a lake, made where the lake is. All others can be made in SQL.

use std::{path::PathBuf, process::ExitCode};

use boathouse_engine::{Engine, Role};

use super::login;
use crate::config::{Config, Flags};

/// The flags of `boathouse user`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Make a user; the password is asked for, or taken from BOATHOUSE_PASSWORD
    Create(Create),
}

/// The flags of `boathouse user create`.
#[derive(Debug, Clone, clap::Args)]
pub struct Create {
    /// The name to log in with
    pub name: String,
    /// A folder (./lake) or a bucket (s3://bucket/prefix)
    #[arg(long, value_name = "LAKE")]
    pub lake: String,
    /// What they may do: admin or reader
    #[arg(long, value_name = "ROLE", default_value = "admin", value_parser = role)]
    pub role: Role,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn role(text: &str) -> Result<Role, String> {
    Role::of_name(text).ok_or_else(|| "there are the roles admin and reader".to_owned())
}

/// Makes the user. Says so on standard output.
pub async fn run(args: Args) -> ExitCode {
    let Command::Create(create) = args.command;
    match make(&create).await {
        Ok(()) => {
            println!("user \"{}\" can log in, with the role {}", create.name, create.role.name());
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("ERROR: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn make(create: &Create) -> Result<(), String> {
    let config = Config::load(create.config.as_deref(), Flags::default()).map_err(|error| error.to_string())?;
    let engine = Engine::open(&create.lake, config.engine).await.map_err(|error| error.to_string())?;
    let password = login::password(&format!("Password for {}", create.name))?;
    let sql = format!(
        "CREATE USER \"{}\" PASSWORD '{}' ROLE {}",
        create.name.replace('"', "\"\""),
        password.reveal().replace('\'', "''"),
        create.role.name()
    );
    engine.session().execute(&sql).await.map(drop).map_err(|error| {
        // The person has written no statement whose line could be shown.
        let hint = error.hint.map(|hint| format!("\nHINT: {hint}")).unwrap_or_default();
        format!("{}{hint}", error.message)
    })
}
