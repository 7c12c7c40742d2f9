//! Rows to a server, in one commit.

use arrow::array::RecordBatch;
use arrow_flight::{
    FlightData, FlightDescriptor,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    sql::{CommandStatementIngest, DoPutUpdateResult, ProstMessageExt},
};
use boathouse_engine::{EngineError, RowStream};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use prost::Message;
use tokio::sync::oneshot;

use super::{ClientError, Remote};

impl Remote {
    /// Brings rows into a table, and gives their number. Where they end in an error nothing is committed.
    pub(crate) async fn ingest(&self, command: CommandStatementIngest, rows: RowStream) -> Result<u64, EngineError> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let schema = rows.schema();
        let rows = rows.map_err(|error| FlightError::ExternalError(Box::new(error)));
        let data = FlightDataEncoderBuilder::new().with_schema(schema).with_flight_descriptor(Some(descriptor));
        let (tell, mut told) = oneshot::channel();
        let data = unbroken(data.build::<BoxStream<'_, Result<RecordBatch, FlightError>>>(rows.boxed()).boxed(), tell);
        let put = async {
            let status = |status| self.failed(&status);
            let answer = self.flight.clone().do_put(self.request(data)).await.map_err(status)?;
            self.remember(answer.metadata());
            let result = answer.into_inner().message().await.map_err(status)?;
            let result = result.and_then(|result| DoPutUpdateResult::decode(&*result.app_metadata).ok());
            let wrong =
                || ClientError::new(boathouse_engine::ErrorKind::Internal, "the server did not tell what it took");
            result.ok_or_else(wrong)
        };
        tokio::select! {
            result = put => match result {
                Ok(result) => Ok(u64::try_from(result.record_count).unwrap_or_default()),
                Err(error) => Err(EngineError::new(error.kind, error.text)),
            },
            Ok(error) = &mut told => Err(error),
        }
    }
}

/// What is sent. After an error nothing comes any more, not even an end: for the server that would be all there is.
fn unbroken(
    data: BoxStream<'static, Result<FlightData, FlightError>>,
    tell: oneshot::Sender<EngineError>,
) -> impl futures::Stream<Item = FlightData> + Send + 'static {
    stream::unfold((data, Some(tell)), |(mut data, mut tell)| async move {
        match data.next().await? {
            Ok(message) => Some((message, (data, tell))),
            Err(error) => {
                if let Some(tell) = tell.take() {
                    let _ = tell.send(reason(error));
                }
                std::future::pending().await
            }
        }
    })
}

fn reason(error: FlightError) -> EngineError {
    let wrong = |text: String| EngineError::internal(format!("rows could not be sent: {text}"));
    match error {
        FlightError::ExternalError(cause) => match cause.downcast::<EngineError>() {
            Ok(error) => *error,
            Err(cause) => wrong(cause.to_string()),
        },
        other => wrong(other.to_string()),
    }
}
