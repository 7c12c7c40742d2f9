//! `boathouse connect`: what to paste into a client for it to reach a server.
//!
//! The texts lie beside this file. Those that are programs run as they are printed, and the tests of the clients do so.

use std::{process::ExitCode, time::Duration};

use boathouse_engine::ErrorKind;
use clap::ValueEnum;
use tokio::time::timeout;

use crate::{
    client::{Client as _, Login, Remote},
    config::LISTEN,
};

/// The arguments of `boathouse connect`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What is to connect
    pub client: Client,
    /// The server
    #[arg(default_value_t = format!("grpc://{LISTEN}"))]
    pub url: String,
    /// The user to log in as; left out, the server is asked whether it wants one
    #[arg(long, value_name = "NAME", env = "BOATHOUSE_USER", hide_env = true)]
    pub user: Option<String>,
}

/// How long the server has to say whether it asks for credentials.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Stands for the name of a user that was not given.
const SOMEONE: &str = "NAME";

/// Clients that are known to speak Flight SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// ADBC, with the interface that all databases have in Python
    Python,
    Pandas,
    Polars,
    /// The JDBC driver, for Java and what stands on it
    Jdbc,
    Dbeaver,
    Tableau,
    /// Power BI, through ODBC
    Powerbi,
    /// Apache Superset, through SQLAlchemy
    Superset,
    Grafana,
    R,
    Node,
    Go,
}

impl Client {
    fn template(self) -> &'static str {
        match self {
            Self::Python => include_str!("connect/python.txt"),
            Self::Pandas => include_str!("connect/pandas.txt"),
            Self::Polars => include_str!("connect/polars.txt"),
            Self::Jdbc => include_str!("connect/jdbc.txt"),
            Self::Dbeaver => include_str!("connect/dbeaver.txt"),
            Self::Tableau => include_str!("connect/tableau.txt"),
            Self::Powerbi => include_str!("connect/powerbi.txt"),
            Self::Superset => include_str!("connect/superset.txt"),
            Self::Grafana => include_str!("connect/grafana.txt"),
            Self::R => include_str!("connect/r.txt"),
            Self::Node => include_str!("connect/node.txt"),
            Self::Go => include_str!("connect/go.txt"),
        }
    }
}

/// Prints the text on standard output.
pub async fn run(args: &Args) -> ExitCode {
    let user = match &args.user {
        Some(user) => Some(user.as_str()),
        None if asks_for_credentials(&args.url).await => Some(SOMEONE),
        None => None,
    };
    match text(args.client, &args.url, user) {
        Some(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("ERROR: \"{}\" is not the address of a server\nHINT: Write it as grpc://host:port.", args.url);
            ExitCode::FAILURE
        }
    }
}

/// Whether a server is there that sends strangers away.
async fn asks_for_credentials(url: &str) -> bool {
    let ask = async { Remote::connect(url, Login::None).await?.run("SELECT 1").await };
    match timeout(ANSWER_MAX, ask).await {
        Ok(Err(error)) => error.kind == ErrorKind::Denied,
        Ok(Ok(_)) | Err(_) => false,
    }
}

/// The text for a server at `grpc://host:port`, with the user's name if it asks for one; `None` for other addresses. Lines
/// of a template are for servers that ask (`{auth}`), for those that do not (`{open}`), or for both.
fn text(client: Client, url: &str, user: Option<&str>) -> Option<String> {
    let address = url.strip_prefix("grpc://")?.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
    let url = format!("grpc://{address}");
    let (ours, others) = if user.is_some() { ("{auth}", "{open}") } else { ("{open}", "{auth}") };
    let lines = client.template().split_inclusive('\n').filter(|line| !line.starts_with(others));
    let text: String = lines.map(|line| line.strip_prefix(ours).unwrap_or(line)).collect();
    let user = user.unwrap_or_default();
    let parts = [("{url}", url.as_str()), ("{address}", address), ("{host}", host), ("{port}", port), ("{user}", user)];
    Some(parts.iter().fold(text, |text, (name, value)| text.replace(name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_address_and_no_placeholder_stays() {
        for client in Client::value_variants() {
            for user in [None, Some("franz")] {
                let text = text(*client, "grpc://lake.example:4242/", user).unwrap();
                assert!(text.contains("lake.example") && text.contains("4242"), "{client:?}: {text}");
                assert_eq!(text.contains("franz"), user.is_some(), "{client:?}: {text}");
                for name in ["{url}", "{address}", "{host}", "{port}", "{user}", "{auth}", "{open}"] {
                    assert!(!text.contains(name), "{client:?}: {text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_address_gets_no_text() {
        for url in ["lake.example:4242", "grpc://lake.example", "grpc://:1", "grpc://h:port", "grpc+tls://h:1", ""] {
            assert_eq!(text(Client::Python, url, None), None, "{url}");
        }
        assert!(text(Client::Jdbc, "grpc://[::1]:1", None).unwrap().contains("//[::1]:1/"));
    }
}
