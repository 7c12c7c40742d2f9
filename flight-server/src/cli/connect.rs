//! `boathouse connect`: what to paste into a client for it to reach a server.
//!
//! The texts lie beside this file. Those that are programs run as they are printed, and the tests of the clients do so.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use boathouse_engine::ErrorKind;
use clap::ValueEnum;
use tokio::time::timeout;

use crate::{
    client::{Client as _, Login, Remote},
    config::LISTEN,
    tls::ClientTls,
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
    /// Authorities that vouch for the server, in PEM; left out, the client trusts those that its system trusts
    #[arg(long = "tls-ca", value_name = "FILE")]
    pub ca: Option<PathBuf>,
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
        None if asks_for_credentials(args).await => Some(SOMEONE),
        None => None,
    };
    let ca = args.ca.as_ref().map(|path| path.to_string_lossy().into_owned());
    match Server::at(&args.url, user, ca.as_deref()) {
        Some(server) => {
            print!("{}", server.text(args.client));
            ExitCode::SUCCESS
        }
        None => {
            let hint = "Write it as grpc://host:port, or grpc+tls://host:port for a server with a certificate; --tls-ca is \
                        for the latter.";
            eprintln!("ERROR: \"{}\" is not the address of a server\nHINT: {hint}", args.url);
            ExitCode::FAILURE
        }
    }
}

/// Whether a server is there that sends strangers away.
async fn asks_for_credentials(args: &Args) -> bool {
    let tls = ClientTls { ca: args.ca.clone(), certificate: None };
    let ask = async { Remote::connect_with(&args.url, &tls, Login::None).await?.run("SELECT 1").await };
    match timeout(ANSWER_MAX, ask).await {
        Ok(Err(error)) => error.kind == ErrorKind::Denied,
        Ok(Ok(_)) | Err(_) => false,
    }
}

/// What a client must know of a server.
struct Server<'a> {
    address: &'a str,
    host: &'a str,
    port: &'a str,
    encrypted: bool,
    /// The user, when it asks for one.
    user: Option<&'a str>,
    /// The file of its authority, when the client's system does not know it.
    ca: Option<&'a str>,
}

impl<'a> Server<'a> {
    /// The one at `grpc://host:port` or `grpc+tls://host:port`; `None` for other addresses.
    fn at(url: &'a str, user: Option<&'a str>, ca: Option<&'a str>) -> Option<Self> {
        let (encrypted, address) = match url.split_once("://")? {
            ("grpc" | "grpc+tcp", address) if ca.is_none() => (false, address),
            ("grpc+tls" | "grpcs", address) => (true, address),
            _ => return None,
        };
        let address = address.trim_end_matches('/');
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
        Some(Self { address, host, port, encrypted, user, ca })
    }

    /// A client's template with the server's parts. A line that begins with a mark is for servers of that kind alone: those
    /// that ask for credentials (`{auth}`) and that do not (`{open}`), those of an authority of their own (`{ca}`), those of
    /// either (`{options}`) and of neither (`{bare}`).
    fn text(&self, client: Client) -> String {
        let (auth, ca) = (self.user.is_some(), self.ca.is_some());
        let marks =
            [("{auth}", auth), ("{open}", !auth), ("{ca}", ca), ("{options}", auth || ca), ("{bare}", !auth && !ca)];
        let lines = client.template().split_inclusive('\n').filter_map(|line| {
            let mark = marks.iter().find_map(|(mark, wanted)| Some((line.strip_prefix(mark)?, wanted)));
            mark.map_or(Some(line), |(rest, wanted)| wanted.then_some(rest))
        });
        let text: String = lines.collect();
        let url = format!("{}://{}", if self.encrypted { "grpc+tls" } else { "grpc" }, self.address);
        let choose = |encrypted: &'static str, plain: &'static str| if self.encrypted { encrypted } else { plain };
        let node_credentials = match (self.encrypted, self.ca) {
            (false, _) => "grpc.credentials.createInsecure()".to_owned(),
            (true, None) => "grpc.credentials.createSsl()".to_owned(),
            (true, Some(file)) => format!("grpc.credentials.createSsl(readFileSync(\"{file}\"))"),
        };
        let parts = [
            ("{url}", url.as_str()),
            ("{address}", self.address),
            ("{host}", self.host),
            ("{port}", self.port),
            ("{user}", self.user.unwrap_or_default()),
            ("{ca_file}", self.ca.unwrap_or_default()),
            ("{encrypted}", choose("true", "false")),
            ("{on}", choose("on", "off")),
            ("{insecure}", choose("", "?insecure=true")),
            ("{go_tls}", choose("?tls=enabled", "")),
            ("{node_credentials}", node_credentials.as_str()),
        ];
        parts.iter().fold(text, |text, (name, value)| text.replace(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_address_and_no_placeholder_stays() {
        for client in Client::value_variants() {
            for (url, ca) in [
                ("grpc://lake.example:4242/", None),
                ("grpc+tls://lake.example:4242", None),
                ("grpcs://lake.example:4242", Some("own.pem")),
            ] {
                for user in [None, Some("franz")] {
                    let text = Server::at(url, user, ca).unwrap().text(*client);
                    assert!(text.contains("lake.example") && text.contains("4242"), "{client:?}: {text}");
                    assert_eq!(text.contains("franz"), user.is_some(), "{client:?}: {text}");
                    for name in ["{url}", "{address}", "{host}", "{port}", "{user}", "{ca", "{auth}", "{open}"] {
                        assert!(!text.contains(name), "{client:?}: {text}");
                    }
                    for name in ["{options}", "{bare}", "{encrypted}", "{on}", "{insecure}", "{go_tls}", "{node_cred"] {
                        assert!(!text.contains(name), "{client:?}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_for_an_encrypted_server_is_another_one() {
        for client in Client::value_variants() {
            let text = |url: &str, ca| Server::at(url, None, ca).unwrap().text(*client);
            let (plain, encrypted) = (text("grpc://h:1", None), text("grpc+tls://h:1", None));
            assert_ne!(plain, encrypted, "{client:?}");
            let own = text("grpc+tls://h:1", Some("own.pem"));
            let knows = !matches!(client, Client::Superset | Client::Grafana | Client::Go);
            assert_eq!(own.contains("own.pem"), knows, "{client:?}: {own}");
        }
    }

    #[test]
    fn what_is_no_address_gets_no_text() {
        for url in ["lake.example:4242", "grpc://lake.example", "grpc://:1", "grpc://h:port", "https://h:1", ""] {
            assert!(Server::at(url, None, None).is_none(), "{url}");
        }
        assert!(Server::at("grpc://h:1", None, Some("own.pem")).is_none());
        assert!(Server::at("grpc://[::1]:1", None, None).unwrap().text(Client::Jdbc).contains("//[::1]:1/"));
    }
}
