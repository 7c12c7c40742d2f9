//! The one client of all servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use arrow_flight::{
    FlightDescriptor, Ticket,
    decode::FlightRecordBatchStream,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    flight_service_client::FlightServiceClient,
    sql::{
        CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
        client::FlightSqlServiceClient,
    },
};
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

use super::Result;

/// One stream, read to its end.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    pub rows: u64,
    /// Of the messages' bodies.
    pub bytes: u64,
    pub first_row: Duration,
    pub whole: Duration,
}

pub struct Client {
    channel: Channel,
}

impl Client {
    pub async fn connect(address: &str) -> Result<Self> {
        Ok(Self { channel: Endpoint::from_shared(address.to_owned())?.connect().await? })
    }

    fn sql(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel.clone())
    }

    /// Runs a query and hands over its batches.
    pub async fn query(&self, sql: &str, each: impl FnMut(RecordBatch) -> Result<()>) -> Result<Read> {
        let started = Instant::now();
        let ticket = self.ticket(sql).await?;
        self.read(ticket, started, each).await
    }

    /// Of a query's only endpoint.
    pub async fn ticket(&self, sql: &str) -> Result<Ticket> {
        let info = self.sql().execute(sql.to_owned(), None).await?;
        let [endpoint] = &info.endpoint[..] else { return Err("more than one endpoint".into()) };
        Ok(endpoint.ticket.clone().ok_or("an endpoint without a ticket")?)
    }

    /// A table of a server that only sends.
    pub async fn get(&self, table: &'static str) -> Result<Read> {
        self.read(Ticket { ticket: table.into() }, Instant::now(), |_| Ok(())).await
    }

    /// Begins a stream that nobody reads.
    pub async fn hold(&self, ticket: Ticket) -> Result<impl Sized + use<>> {
        Ok(FlightServiceClient::new(self.channel.clone()).do_get(ticket).await?.into_inner())
    }

    async fn read(
        &self,
        ticket: Ticket,
        started: Instant,
        mut each: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<Read> {
        let mut client = FlightServiceClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        let data = client.do_get(ticket).await?.into_inner().map_err(FlightError::from).inspect_ok(move |data| {
            counted.fetch_add(data.data_body.len() as u64, Ordering::Relaxed);
        });
        let mut batches = FlightRecordBatchStream::new_from_flight_data(data);
        let (mut rows, mut first_row) = (0, None);
        while let Some(batch) = batches.try_next().await? {
            first_row.get_or_insert_with(|| started.elapsed());
            rows += batch.num_rows() as u64;
            each(batch)?;
        }
        let whole = started.elapsed();
        Ok(Read { rows, bytes: bytes.load(Ordering::Relaxed), first_row: first_row.unwrap_or(whole), whole })
    }

    /// Sends batches to a server that only takes them.
    pub async fn put(&self, batches: &[RecordBatch]) -> Result<Duration> {
        let started = Instant::now();
        let batches: Vec<_> = batches.iter().cloned().map(Ok).collect();
        let descriptor = FlightDescriptor::new_path(vec!["rows".to_owned()]);
        let data = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor));
        let data = data.build(futures::stream::iter(batches));
        // What cannot be encoded ends the stream, and the server says that it is short.
        let data = futures::StreamExt::filter_map(data, |data| std::future::ready(data.ok()));
        let answers = FlightServiceClient::new(self.channel.clone()).do_put(data).await?.into_inner();
        answers.try_collect::<Vec<_>>().await?;
        Ok(started.elapsed())
    }

    /// Makes a table anew of batches: they are on the disk at the end.
    pub async fn ingest(&self, table: &str, batches: &[RecordBatch]) -> Result<Duration> {
        let started = Instant::now();
        let options = TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create.into(),
            if_exists: TableExistsOption::Replace.into(),
        };
        let command = CommandStatementIngest {
            table_definition_options: Some(options),
            table: table.to_owned(),
            ..CommandStatementIngest::default()
        };
        let expected: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let batches: Vec<_> = batches.iter().cloned().map(Ok).collect();
        let rows = self.sql().execute_ingest(command, futures::stream::iter(batches)).await?;
        if usize::try_from(rows)? != expected {
            return Err(format!("{rows} rows arrived of {expected}").into());
        }
        Ok(started.elapsed())
    }
}
