//! Connections, and what a server says when it does not do what it is told.

use boathouse_engine::{EngineError, ErrorKind};
use tokio_postgres::{Client, Connection, Error, NoTls, Socket, tls::TlsStream};

use super::{options::PostgresOptions, tls::Tls};

impl PostgresOptions {
    /// A connection, which ends with the client.
    pub(super) async fn connect(&self) -> Result<Client, EngineError> {
        let mut config = self.config.clone();
        if let Some(path) = &self.password_file {
            let password = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("could not read the password file \"{}\"", path.display());
                EngineError::new(ErrorKind::Unavailable, message).with_detail(error.to_string())
            })?;
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
                Ok(keep(client, connection))
            }
            Some(files) => {
                let tls = Tls::load(files).map_err(|error| EngineError::invalid(error.to_string()))?;
                let (client, connection) = config.connect(tls).await.map_err(refused)?;
                Ok(keep(client, connection))
            }
        }
    }
}

fn keep<S: TlsStream + Unpin + Send + 'static>(client: Client, connection: Connection<Socket, S>) -> Client {
    tokio::spawn(async move {
        // Whoever uses the client hears of it, too.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a database ended");
        }
    });
    client
}

/// Why there is no connection.
fn refused(error: Error) -> EngineError {
    if let Some(why) = untrusted(&error) {
        return EngineError::new(ErrorKind::Unavailable, "the certificate of the database is not trusted")
            .with_detail(why)
            .with_hint(
                "tls_ca names the authority that vouches for it; it must be one for the host that the url names.",
            )
            .with_source(error);
    }
    let told = failed("connect", error);
    match told.kind {
        ErrorKind::Unavailable => EngineError { message: "the database cannot be reached".to_owned(), ..told },
        _ => told,
    }
}

/// What is wrong with the certificate that the server has shown.
fn untrusted(error: &Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        let inner = found.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if let Some(error @ rustls::Error::InvalidCertificate(_)) =
            inner.and_then(|error| error.downcast_ref::<rustls::Error>())
        {
            return Some(error.to_string());
        }
        cause = found.source();
    }
    None
}

/// What went wrong while it was to `action`.
pub(super) fn failed(action: &str, error: Error) -> EngineError {
    let Some(told) = error.as_db_error() else {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), root);
        let message = format!("the connection to the database broke: could not {action}");
        return EngineError::new(ErrorKind::Unavailable, message).with_detail(cause).with_source(error);
    };
    let code = told.code().code().to_owned();
    let mut found = EngineError::new(kind(&code), format!("the database could not {action}: {}", told.message()));
    let place = [("table", told.table()), ("column", told.column()), ("constraint", told.constraint())];
    let place: Vec<String> = place.iter().filter_map(|(what, name)| Some(format!("{what} \"{}\"", (*name)?))).collect();
    let detail = told.detail().map(str::to_owned).or_else(|| (!place.is_empty()).then(|| place.join(", ")));
    let detail = detail.map_or_else(|| format!("SQLSTATE {code}"), |detail| format!("{detail} (SQLSTATE {code})"));
    found.detail = Some(detail);
    found.hint = hint(&code).map(str::to_owned).or_else(|| told.hint().map(str::to_owned));
    found.with_source(error)
}

fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

fn kind(code: &str) -> ErrorKind {
    match code {
        // A standby that was not made the first server yet; a lock that was not there in time.
        "25006" | "55P03" => ErrorKind::Unavailable,
        "42501" => ErrorKind::Denied,
        _ => match code.get(..2) {
            Some("08" | "53" | "57" | "58") => ErrorKind::Unavailable,
            Some("40") => ErrorKind::Conflict,
            Some("28") => ErrorKind::Denied,
            _ => ErrorKind::InvalidSql,
        },
    }
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "42P10" => "A merge needs a unique index over the columns of key: CREATE UNIQUE INDEX ON the table (...).",
        "21000" => {
            "The rows of the mart are not unique in the columns of key: name more columns, or test = unique in the mart."
        }
        "42703" => {
            "The table has other columns than the mart: ALTER TABLE ... ADD COLUMN, or drop it; it is made anew then."
        }
        "42501" => "The user needs CREATE and USAGE on the schema, and INSERT, UPDATE, DELETE and SELECT on the table.",
        _ => return None,
    })
}
