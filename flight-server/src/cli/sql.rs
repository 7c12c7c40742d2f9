//! `boathouse sql`: the shell on a lake or on a server, for a person or a script.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::login::LoginFlags;
use crate::{
    client,
    config::{Config, Flags},
    shell::{Flow, Out, Screen, Settings, Shell, ShellError, interact, output::Format},
    tls::ClientTls,
};

/// How long the end waits for a checkpoint that is being written.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// The flags of `boathouse sql`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A folder (./lake), a bucket (s3://bucket/prefix), memory://, or a server (grpc://host:port, grpc+tls://host:port)
    #[arg(value_name = "LAKE")]
    pub lake: String,
    /// Run these statements and end; may be given several times
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    pub command: Vec<String>,
    /// Run the statements of this file and end; may be given several times
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// How results are written
    #[arg(long, value_enum, default_value = "table", hide_possible_values = false)]
    pub format: Format,
    /// Write results to this file, which appears once all statements have succeeded
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// For grpc+tls://: the authority of the server's certificate, in PEM [default: those of the system]
    #[arg(long, value_name = "FILE", env = "BOATHOUSE_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// A certificate to show, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub login: LoginFlags,
}

/// Runs the shell: interactive when nothing else is asked for and both ends are a terminal, else to the first error.
pub async fn run(args: Args) -> ExitCode {
    let screen = Screen::detect();
    let has_input = !args.command.is_empty() || !args.file.is_empty();
    let interactive = !has_input && args.output.is_none() && screen.is_interactive();
    match open(&args, screen, interactive).await {
        Ok(mut shell) => {
            let result = if interactive { interact(&mut shell).await } else { run_inputs(&args, &mut shell).await };
            settle(&shell).await;
            match result {
                Ok(()) => ExitCode::SUCCESS,
                // `boathouse sql ... | head` is no failure.
                Err(error) if error.is_reader_gone() => ExitCode::SUCCESS,
                Err(error) => fail(&error, screen),
            }
        }
        Err(error) => fail(&error, screen),
    }
}

/// Gives work behind the statements some time to end. Ctrl-C ends the wait.
async fn settle(shell: &Shell) {
    let idle = tokio::time::timeout(SETTLE_MAX, shell.idle());
    tokio::select! {
        _ = idle => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn fail(error: &ShellError, screen: Screen) -> ExitCode {
    error.report(screen);
    ExitCode::FAILURE
}

async fn open(args: &Args, screen: Screen, interactive: bool) -> Result<Shell, ShellError> {
    let login = args.login.login(&args.lake).map_err(ShellError::Command)?;
    let config = Config::load(args.config.as_deref(), Flags::default())
        .map_err(|error| ShellError::Command(error.to_string()))?;
    let certificate = args.tls_cert.clone().zip(args.tls_key.clone());
    let tls = ClientTls { ca: args.tls_ca.clone(), certificate };
    let mut engine = config.engine.clone();
    engine.storage.warm = config.warm(&args.lake);
    let client = client::connect_with(&args.lake, engine, &tls, login).await?;
    let out = match &args.output {
        Some(path) => {
            Out::whole_file(path).map_err(|error| ShellError::output(&format!("\"{}\"", path.display()), error))?
        }
        None => Out::standard(screen),
    };
    Ok(Shell::new(client, Settings::new(args.format, interactive), screen, out, interactive))
}

async fn run_inputs(args: &Args, shell: &mut Shell) -> Result<(), ShellError> {
    for sql in &args.command {
        if shell.run_script(sql.as_bytes(), "").await? == Flow::Quit {
            return shell.finish();
        }
    }
    for path in &args.file {
        if run_file(path, shell).await? == Flow::Quit {
            return shell.finish();
        }
    }
    if args.command.is_empty() && args.file.is_empty() {
        shell.run_script(BufReader::new(io::stdin()), "stdin").await?;
    }
    shell.finish()
}

async fn run_file(path: &Path, shell: &mut Shell) -> Result<Flow, ShellError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| ShellError::Command(format!("could not read \"{name}\": {error}")))?;
    shell.run_script(BufReader::new(file), &name).await
}
