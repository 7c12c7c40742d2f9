//! A server, over Flight SQL.
//!
//! A statement is one GetFlightInfo: the server runs it there when it has an effect and says so in `app_metadata`
//! ([`Note`]); otherwise one DoGet streams its rows. The server's cookie makes all calls of a client one session. A password
//! is sent once, in a handshake, for a session token; the server may send a newer one with any answer.

use std::{error::Error, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Schema, SchemaRef},
};
use arrow_flight::{
    FlightDescriptor, FlightInfo, IpcMessage,
    decode::FlightRecordBatchStream,
    error::FlightError,
    flight_service_client::FlightServiceClient,
    sql::{CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTables, CommandStatementQuery, ProstMessageExt, SqlInfo},
};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use boathouse_engine::ErrorKind;
use futures::TryStreamExt;
use parking_lot::Mutex;
use prost::Message;
use tonic::{
    Request, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::{Channel, Endpoint},
};

use super::{Answer, Client, ClientError, Login, Names, Rows, TableNames};
use crate::{service::Note, status, tls::ClientTls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server slices what it sends; only a single huge row comes near this.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// HTTP/2 windows: large enough to keep a fast link busy.
const WINDOW_BYTES: u32 = 8 << 20;

/// A session of a server.
#[derive(Debug)]
pub struct Remote {
    pub(super) flight: FlightServiceClient<Channel>,
    location: String,
    cookie: Mutex<Option<String>>,
    /// The header of that name; a password or a token.
    authorization: Mutex<Option<AsciiMetadataValue>>,
}

impl Remote {
    /// Connects to `grpc://host:port`, or with TLS to `grpc+tls://host:port` (also `grpcs`), and logs in.
    pub async fn connect(location: &str, login: Login) -> Result<Self, ClientError> {
        Self::connect_with(location, &ClientTls::default(), login).await
    }

    /// Like [`Remote::connect`], with what an encrypted connection trusts and shows.
    pub async fn connect_with(location: &str, tls: &ClientTls, login: Login) -> Result<Self, ClientError> {
        let (encrypted, address) = match location.split_once("://") {
            Some((_, "")) | None => return Err(not_an_address(location)),
            Some(("grpc" | "grpc+tcp", _)) if *tls != ClientTls::default() => {
                let text = "certificates are for encrypted connections\nHINT: Write grpc+tls://host:port.";
                return Err(ClientError::new(ErrorKind::InvalidSql, text));
            }
            Some(("grpc" | "grpc+tcp", address)) => (false, address),
            Some(("grpc+tls" | "grpcs", address)) => (true, address),
            Some(_) => return Err(not_an_address(location)),
        };
        let endpoint = Endpoint::from_shared(format!("http://{}", address.trim_end_matches('/')))
            .map_err(|_| not_an_address(location))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let channel = match encrypted {
            false => endpoint.connect().await,
            true => {
                let connector =
                    tls.load().map_err(|error| ClientError::new(ErrorKind::InvalidSql, error.to_string()))?;
                endpoint.connect_with_connector(connector).await
            }
        };
        let channel = channel.map_err(|error| unreachable_server(location, &error))?;
        let flight = FlightServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let client =
            Self { flight, location: location.to_owned(), cookie: Mutex::default(), authorization: Mutex::default() };
        client.log_in(&login).await?;
        Ok(client)
    }

    async fn log_in(&self, login: &Login) -> Result<(), ClientError> {
        let header = match login {
            Login::None => return Ok(()),
            Login::Password { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
            }
            Login::Token(token) => format!("Bearer {}", token.reveal()),
        };
        let wrong = |_| ClientError::new(ErrorKind::InvalidSql, "the token has characters that no token has");
        let mut header = AsciiMetadataValue::try_from(header).map_err(wrong)?;
        header.set_sensitive(true);
        *self.authorization.lock() = Some(header);
        let hello = self.request(futures::stream::empty());
        let answer = self.flight.clone().handshake(hello).await.map_err(|status| self.failed(&status))?;
        self.remember(answer.metadata());
        Ok(())
    }

    async fn info(&self, command: impl ProstMessageExt) -> Result<FlightInfo, ClientError> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let response = self.flight.clone().get_flight_info(self.request(descriptor)).await;
        let response = response.map_err(|status| self.failed(&status))?;
        self.remember(response.metadata());
        Ok(response.into_inner())
    }

    /// The rows behind an info. Only the first endpoint: our server gives one.
    async fn rows(&self, info: FlightInfo) -> Result<Rows, ClientError> {
        let schema = schema(&info)?;
        let ticket = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket);
        let ticket = ticket.ok_or_else(|| ClientError::new(ErrorKind::Internal, "the server gave no ticket"))?;
        let response = self.flight.clone().do_get(self.request(ticket)).await;
        let data = response.map_err(|status| self.failed(&status))?.into_inner();
        let location = self.location.clone();
        let batches = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from))
            .map_err(move |error| broken_stream(&location, error));
        Ok(Rows::new(schema, batches))
    }

    async fn table(&self, command: impl ProstMessageExt) -> Result<Vec<RecordBatch>, ClientError> {
        let info = self.info(command).await?;
        self.rows(info).await?.collect().await
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(cookie) = self.cookie.lock().as_ref().and_then(|cookie| cookie.parse().ok()) {
            request.metadata_mut().insert("cookie", cookie);
        }
        if let Some(authorization) = self.authorization.lock().clone() {
            request.metadata_mut().insert("authorization", authorization);
        }
        request
    }

    pub(super) fn remember(&self, metadata: &MetadataMap) {
        if let Some(token) = metadata.get("authorization") {
            let mut token = token.clone();
            token.set_sensitive(true);
            *self.authorization.lock() = Some(token);
        }
        for value in metadata.get_all("set-cookie") {
            if let Some(pair) = value.to_str().ok().and_then(|value| value.split(';').next()) {
                let (name, id) = pair.split_once('=').unwrap_or((pair, ""));
                *self.cookie.lock() = (!id.is_empty()).then(|| format!("{name}={id}"));
            }
        }
    }

    pub(super) fn failed(&self, status: &Status) -> ClientError {
        self.remember(status.metadata());
        error(&self.location, status)
    }
}

#[async_trait]
impl Client for Remote {
    async fn run(&self, sql: &str) -> Result<Answer, ClientError> {
        let info = self.info(CommandStatementQuery { query: sql.to_owned(), transaction_id: None }).await?;
        Ok(match Note::read(&info.app_metadata) {
            Some(Note::Changed { rows, parts }) => Answer::Changed { rows, parts },
            Some(Note::Done { tag }) => Answer::Done(tag),
            None => Answer::Rows(self.rows(info).await?),
        })
    }

    async fn names(&self) -> Result<Names, ClientError> {
        let mut names = Names::default();
        for batch in self.table(CommandGetDbSchemas::default()).await? {
            names.schemas.extend(strings(&batch, 1));
        }
        for batch in self.table(CommandGetTables { include_schema: true, ..Default::default() }).await? {
            let schemas = batch.column(4).as_binary::<i32>();
            for (row, (schema, name)) in strings(&batch, 1).into_iter().zip(strings(&batch, 2)).enumerate() {
                let columns = Schema::try_from(IpcMessage(schemas.value(row).to_vec().into()))
                    .map(|columns| columns.fields().iter().map(|field| field.name().clone()).collect())
                    .unwrap_or_default();
                names.tables.push(TableNames { schema, name, columns });
            }
        }
        let kinds = [
            SqlInfo::SqlNumericFunctions,
            SqlInfo::SqlStringFunctions,
            SqlInfo::SqlDatetimeFunctions,
            SqlInfo::SqlSystemFunctions,
        ];
        let infos = CommandGetSqlInfo { info: kinds.iter().map(|kind| *kind as u32).collect() };
        for batch in self.table(infos).await? {
            let lists = batch.column(1).as_union().child(4).as_list::<i32>();
            names.functions.extend(lists.values().as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        names.functions.sort_unstable();
        if let Answer::Rows(rows) = self.run("SHOW SETTINGS").await? {
            for batch in rows.collect().await? {
                names.settings.extend(strings(&batch, 0));
            }
        }
        Ok(names)
    }

    /// A server waits by itself.
    async fn idle(&self) {}

    fn location(&self) -> &str {
        &self.location
    }
}

fn schema(info: &FlightInfo) -> Result<SchemaRef, ClientError> {
    Schema::try_from(IpcMessage(info.schema.clone()))
        .map(Arc::new)
        .map_err(|error| ClientError::new(ErrorKind::Internal, format!("the server's schema is malformed: {error}")))
}

fn strings(batch: &RecordBatch, column: usize) -> Vec<String> {
    let column = batch.column(column).as_string_opt::<i32>();
    column.into_iter().flatten().flatten().map(str::to_owned).collect()
}

fn broken_stream(location: &str, cause: FlightError) -> ClientError {
    match cause {
        FlightError::Tonic(status) => error(location, &status),
        other => ClientError::new(ErrorKind::Internal, format!("the server's answer is malformed: {other}")),
    }
}

/// A status with a cause was made on this side: the connection failed, not the statement.
fn error(location: &str, status: &Status) -> ClientError {
    match status.source() {
        Some(cause) => unreachable_server(location, cause),
        // The server's transport refuses what is over its limit, in its own words.
        None if status.message().contains("message length too large") => {
            let text = format!(
                "the statement is longer than the server takes\nDETAIL: {}\nHINT: Load large data with COPY ... FROM a file.",
                status.message().trim_start_matches("Error, ")
            );
            ClientError::new(ErrorKind::Exhausted, text)
        }
        None => ClientError::new(status::kind(status.code()), status.message()),
    }
}

fn unreachable_server(location: &str, error: &(dyn Error + 'static)) -> ClientError {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = format!(
        "could not reach the server at {location}\nDETAIL: {cause}\nHINT: Is it running? Start it with: boathouse serve LAKE"
    );
    ClientError::new(ErrorKind::Unavailable, text)
}

fn not_an_address(location: &str) -> ClientError {
    let text = format!("\"{location}\" is not an address of a server\nHINT: Write it as grpc://host:port.");
    ClientError::new(ErrorKind::InvalidSql, text)
}
