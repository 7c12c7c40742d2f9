//! Where batches go.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use boathouse_engine::Secret;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

const BATCH_ROWS: usize = 500;

/// Where batches go, and how.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, Secret)>,
    /// Holds the value of the header `Authorization`. Read at each delivery: it may be changed there.
    pub(super) authorization_file: Option<PathBuf>,
    pub(super) batch_rows: NonZeroUsize,
    /// How long one POST may take. Default: 30 seconds.
    pub timeout: Duration,
    /// How long after a POST that failed the next one is sent; there are so many more as there are waits. Then the delivery has
    /// failed, and goes on later.
    pub waits: Vec<Duration>,
}

impl HttpOptions {
    /// Checks what is written. The error does not tell the URL, which may hold a secret.
    pub fn checked(
        url: &Secret,
        headers: Vec<(String, Secret)>,
        authorization_file: Option<PathBuf>,
        batch_rows: Option<usize>,
    ) -> Result<Self, String> {
        let parsed = Url::parse(url.reveal()).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = parsed.ok_or("the url is not one: write https://host/path")?;
        let mut checked = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let wrong = || format!("the header \"{name}\" cannot be sent");
            let key: HeaderName = name.parse().map_err(|_| wrong())?;
            HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            if ["content-type", "content-length", "idempotency-key"].contains(&key.as_str()) {
                return Err(format!("the header \"{name}\" is set by each batch: leave it out"));
            }
            if key == "authorization" && authorization_file.is_some() {
                return Err("there is a header Authorization, and authorization_file: leave one of them out".to_owned());
            }
            checked.push((key, value));
        }
        let batch_rows = NonZeroUsize::new(batch_rows.unwrap_or(BATCH_ROWS));
        let batch_rows = batch_rows.ok_or("batch_rows is 0: at least 1 is needed")?;
        let waits = [1, 5, 15].map(Duration::from_secs).to_vec();
        let (headers, timeout) = (checked, Duration::from_secs(30));
        Ok(Self { url, headers, authorization_file, batch_rows, timeout, waits })
    }
}
