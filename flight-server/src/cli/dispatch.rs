//! From the command line to the subcommand.

use std::{path::Path, process::ExitCode};

use boathouse_engine::ErrorKind;

use super::{Command, connect, demo, mart, serve, sql, tier, user};
use crate::{
    client::ClientError,
    config::{Config, Flags},
    shell::{Screen, output::Look},
};

/// Runs a subcommand to its end.
pub async fn run(command: Command) -> ExitCode {
    let lake = match &command {
        Command::Demo(_) | Command::Connect(_) => None,
        Command::Serve(args) => Some(args.lake.as_str()),
        Command::Sql(args) => Some(args.lake.as_str()),
        Command::Mart(args) => Some(args.command.lake()),
        Command::Tier(args) => Some(args.command.lake()),
        Command::User(args) => match &args.command {
            user::Command::Create(create) => Some(create.lake.as_str()),
        },
    };
    if let Some(text) = lake.and_then(missing) {
        return fail(&text);
    }
    match command {
        Command::Demo(args) => match run_demo(&args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        },
        Command::Serve(args) => serve::run(args).await,
        Command::Sql(args) => sql::run(args).await,
        Command::User(args) => user::run(args).await,
        Command::Mart(args) => mart::run(args).await,
        Command::Tier(args) => tier::run(args).await,
        Command::Connect(args) => connect::run(&args).await,
    }
}

fn fail(text: &str) -> ExitCode {
    eprintln!("ERROR: {text}");
    ExitCode::FAILURE
}

/// What to say when `lake` is a folder that is not there: most often a slip, so it is not made in passing.
fn missing(lake: &str) -> Option<String> {
    let is_missing = !lake.contains("://") && !Path::new(lake).exists();
    is_missing.then(|| {
        format!("there is no lake at \"{lake}\"\nHINT: An empty folder is an empty lake: mkdir -p '{lake}'. For one with data: boathouse demo.")
    })
}

async fn run_demo(args: &demo::Args) -> Result<(), ClientError> {
    let config = Config::load(None, Flags::default())
        .map_err(|error| ClientError::new(ErrorKind::InvalidSql, error.to_string()))?;
    let screen = Screen::detect();
    let cell_width_max = screen.output_is_terminal.then(|| screen.size().0);
    let look = Look { colors: screen.colors(), cell_width_max };
    demo::run(args, config.engine, look, &mut std::io::stdout()).await
}
