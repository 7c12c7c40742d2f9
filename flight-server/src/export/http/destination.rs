//! Batches on their way.

use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef};
use async_trait::async_trait;
use boathouse_engine::{
    EngineError, ErrorKind, RowStream,
    mart::{Delivery, Destination, Export, ExportMode, Progress},
};
use bytes::Bytes;
use futures::StreamExt;
use reqwest::{
    Client, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};

use super::{HttpOptions, rows::Held};

/// A receiver may ask for so much patience at most.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Posts rows to a receiver.
#[derive(Debug)]
pub struct HttpExports {
    options: HttpOptions,
    client: Client,
}

/// Why a POST was not taken.
struct Refused {
    error: EngineError,
    /// What the receiver said of when to come again.
    wait: Option<Duration>,
}

impl HttpExports {
    /// The error is a text for people.
    pub fn new(options: HttpOptions) -> Result<Self, String> {
        let client = Client::builder().timeout(options.timeout).redirect(Policy::none()).build();
        let client = client.map_err(|error| format!("batches cannot be sent: {error}"))?;
        Ok(Self { options, client })
    }

    fn headers(&self, delivery: &Delivery) -> Result<HeaderMap, EngineError> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| EngineError::invalid("a header of an export cannot be sent"))
        };
        for (name, secret) in &self.options.headers {
            let mut value = value(secret.reveal())?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        if let Some(path) = &self.options.authorization_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("could not read the file \"{}\"", path.display());
                EngineError::new(ErrorKind::Unavailable, message).with_detail(error.to_string())
            })?;
            let mut value = value(text.trim())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("boathouse-mart", value(&percent_encoded(&delivery.mart))?);
        headers.insert("boathouse-version", HeaderValue::from(delivery.mark.version));
        headers.insert("boathouse-mode", HeaderValue::from_static(delivery.mode.word()));
        Ok(headers)
    }

    /// Sends a batch until it is taken, or for as long as there are waits.
    async fn send(&self, headers: &HeaderMap, key: &str, body: Bytes) -> Result<(), EngineError> {
        let mut waits = self.options.waits.iter();
        loop {
            let Err(Refused { error, wait }) = self.post(headers, key, body.clone()).await else { return Ok(()) };
            let next = Some(&error).filter(|error| error.kind == ErrorKind::Unavailable).and_then(|_| waits.next());
            let Some(next) = next else { return Err(error) };
            let wait = wait.map_or(*next, |wait| wait.min(RETRY_AFTER_MAX).max(*next));
            tracing::info!(key, %error, ?wait, "a batch is sent again");
            tokio::time::sleep(wait).await;
        }
    }

    /// One attempt. The error does not tell the URL, which may hold a secret.
    async fn post(&self, headers: &HeaderMap, key: &str, body: Bytes) -> Result<(), Refused> {
        let request = self.client.post(self.options.url.clone()).headers(headers.clone());
        let answer = request.header("idempotency-key", key).body(body).send().await;
        let answer = answer.map_err(|error| {
            let error = error.without_url();
            let told = EngineError::new(ErrorKind::Unavailable, "the receiver cannot be reached");
            Refused { error: told.with_detail(root(&error)).with_source(error), wait: None }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let error = EngineError::new(kind(status), format!("the receiver answered {status} to batch \"{key}\""));
        Err(Refused { error, wait: wait.map(Duration::from_secs) })
    }
}

#[async_trait]
impl Destination for HttpExports {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn check(&self, export: &Export, columns: &[FieldRef]) -> Result<(), EngineError> {
        if export.mode == ExportMode::Replace {
            let error = EngineError::unsupported("a receiver of batches is not exported to with mode = \"replace\"");
            let hint = "Write mode = \"merge\" and key, or mode = \"append\": it gets all rows once, then those that are new \
                        or changed.";
            return Err(error.with_hint(hint));
        }
        if export.table.is_some() {
            let error = EngineError::invalid("table has no meaning for a receiver of batches");
            return Err(error.with_hint("Leave it out: where batches go the url of the destination says."));
        }
        // The order must be the same each time, and there is none among maps.
        if let Some(column) = columns.iter().find(|column| matches!(column.data_type(), DataType::Map(..))) {
            let error =
                EngineError::unsupported(format!("column \"{}\" is a map, which batches cannot hold", column.name()));
            return Err(error.with_hint("Take it apart in the query."));
        }
        Ok(())
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn is_ordered(&self) -> bool {
        true
    }

    async fn deliver(&self, delivery: &Delivery, mut rows: RowStream, progress: &Progress) -> Result<u64, EngineError> {
        let headers = self.headers(delivery)?;
        let (most, mut held) = (self.options.batch_rows.get(), Held::default());
        let mut skip = usize::try_from(progress.rows()).unwrap_or(usize::MAX);
        let (mut first, mut count) = (progress.rows(), progress.rows());
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let mut at = skip.min(batch.num_rows());
            skip -= at;
            while at < batch.num_rows() {
                let length = (most - held.rows).min(batch.num_rows() - at);
                held.add(&batch.slice(at, length))?;
                at += length;
                count += length as u64;
                if held.rows == most {
                    self.batch(&headers, delivery, &mut held, first, progress).await?;
                    first = count;
                }
            }
        }
        if skip > 0 {
            return Err(EngineError::internal("a delivery that was interrupted had more rows"));
        }
        if held.rows > 0 {
            self.batch(&headers, delivery, &mut held, first, progress).await?;
        }
        Ok(count)
    }
}

impl HttpExports {
    /// Sends what is held; `first` rows came before it.
    async fn batch(
        &self,
        headers: &HeaderMap,
        delivery: &Delivery,
        held: &mut Held,
        first: u64,
        progress: &Progress,
    ) -> Result<(), EngineError> {
        let count = held.rows as u64;
        // With the count: after the setting for it changed, a key does not stand for other rows.
        let key = format!("{}/{first}+{count}", percent_encoded(&delivery.name()));
        self.send(headers, &key, Bytes::from(held.take())).await?;
        progress.acknowledged(count).await
    }
}

/// A name as a header can hold it.
fn percent_encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::CONTROLS).to_string()
}

fn kind(status: StatusCode) -> ErrorKind {
    match status {
        // The first attempt under the same key may be under way still.
        StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            ErrorKind::Unavailable
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        status if status.is_server_error() => ErrorKind::Unavailable,
        _ => ErrorKind::InvalidSql,
    }
}

fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}
