//! `boathouse connect`: what to paste into a client for it to reach a server.
//!
//! The texts lie beside this file. Those that are programs run as they are printed, and the tests of the clients do so.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::config::LISTEN;

/// The arguments of `boathouse connect`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What is to connect
    pub client: Client,
    /// The server
    #[arg(default_value_t = format!("grpc://{LISTEN}"))]
    pub url: String,
}

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
pub fn run(args: &Args) -> ExitCode {
    match text(args.client, &args.url) {
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

/// The text for a server at `grpc://host:port`; `None` for other addresses.
fn text(client: Client, url: &str) -> Option<String> {
    let address = url.strip_prefix("grpc://")?.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
    let url = format!("grpc://{address}");
    let parts = [("{url}", url.as_str()), ("{address}", address), ("{host}", host), ("{port}", port)];
    Some(parts.iter().fold(client.template().to_owned(), |text, (name, value)| text.replace(name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_address_and_no_placeholder_stays() {
        for client in Client::value_variants() {
            let text = text(*client, "grpc://lake.example:4242/").unwrap();
            assert!(text.contains("lake.example") && text.contains("4242"), "{client:?}: {text}");
            for name in ["{url}", "{address}", "{host}", "{port}"] {
                assert!(!text.contains(name), "{client:?}: {text}");
            }
        }
    }

    #[test]
    fn what_is_no_address_gets_no_text() {
        for url in ["lake.example:4242", "grpc://lake.example", "grpc://:1", "grpc://h:port", "grpc+tls://h:1", ""] {
            assert_eq!(text(Client::Python, url), None, "{url}");
        }
        assert!(text(Client::Jdbc, "grpc://[::1]:1").unwrap().contains("//[::1]:1/"));
    }
}
