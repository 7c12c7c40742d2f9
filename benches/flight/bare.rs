//! A server that does nothing but what every Flight server must: batches in memory, encoded and sent as arrow-flight does.

use std::{collections::HashMap, fs::File, path::Path, pin::Pin, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::reader::FileReader};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
    decode::FlightRecordBatchStream,
    encode::FlightDataEncoderBuilder,
    flight_service_server::{FlightService, FlightServiceServer},
};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::Result;

type Answers<T> = Pin<Box<dyn Stream<Item = std::result::Result<T, Status>> + Send>>;
type Answer<T> = std::result::Result<Response<T>, Status>;

/// Tables by name.
struct Bare(HashMap<String, Arc<(SchemaRef, Vec<RecordBatch>)>>);

/// What the child of [`super::servers::Server::bare`] runs.
pub async fn serve(folder: &Path) -> Result<()> {
    let mut tables = HashMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some("arrow"), Some(name)) = (path.extension().and_then(|e| e.to_str()), path.file_stem()) {
            tables.insert(name.to_string_lossy().into_owned(), Arc::new(read(&path)?));
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("port {}", listener.local_addr()?.port());
    let service = FlightServiceServer::new(Bare(tables)).max_decoding_message_size(usize::MAX);
    Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await?;
    Ok(())
}

/// The batches of an Arrow file.
pub fn read(path: &Path) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let file = FileReader::try_new(File::open(path)?, None)?;
    Ok((file.schema(), file.collect::<std::result::Result<_, _>>()?))
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let name = String::from_utf8_lossy(&request.get_ref().ticket).into_owned();
        let table = self.0.get(&name).cloned().ok_or_else(|| Status::not_found(name))?;
        let batches: Vec<_> = table.1.iter().cloned().map(Ok).collect();
        let encoder = FlightDataEncoderBuilder::new().with_schema(table.0.clone());
        Ok(Response::new(encoder.build(futures::stream::iter(batches)).map_err(Status::from).boxed()))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        let data = request.into_inner().map_err(|status| status.into());
        let mut batches = FlightRecordBatchStream::new_from_flight_data(data);
        while batches.try_next().await?.is_some() {}
        Ok(Response::new(futures::stream::empty().boxed()))
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        Err(Status::unimplemented("handshake"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        Err(Status::unimplemented("list_flights"))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        Err(Status::unimplemented("get_flight_info"))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Err(Status::unimplemented("poll_flight_info"))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        Err(Status::unimplemented("get_schema"))
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<Self::DoActionStream> {
        Err(Status::unimplemented("do_action"))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        Err(Status::unimplemented("list_actions"))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Err(Status::unimplemented("do_exchange"))
    }
}
