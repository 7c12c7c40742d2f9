//! Messages on their way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use boathouse_engine::mart::Notice;
use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};

use super::{WebhookOptions, message::Message};

/// Messages on their way at once; more are dropped.
const WAITING_MAX: usize = 1000;

/// Sends messages. Any number of tasks may at once.
#[derive(Debug)]
pub struct Webhooks {
    options: WebhookOptions,
    lake: String,
    client: Client,
    key: Option<hmac::Key>,
    waiting: AtomicUsize,
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// What became of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookTotals {
    /// The receiver has taken them.
    pub delivered: u64,
    /// Given up after the last attempt.
    pub failed: u64,
    /// Too many were on their way.
    pub dropped: u64,
}

/// Equal to itself alone.
impl PartialEq for Webhooks {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Webhooks {
    /// `lake` is what receivers are told of where a mart lies. The error is a text for people.
    pub fn new(options: WebhookOptions, lake: &str) -> Result<Arc<Self>, String> {
        let key = options.secret.as_ref().map(WebhookOptions::key).transpose()?;
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key));
        let client = Client::builder().timeout(options.timeout).redirect(Policy::none()).build();
        let client = client.map_err(|error| format!("webhooks cannot be sent: {error}"))?;
        let [delivered, failed, dropped] = [0; 3].map(AtomicU64::new);
        let (lake, waiting) = (lake.to_owned(), AtomicUsize::new(0));
        Ok(Arc::new(Self { options, lake, client, key, waiting, delivered, failed, dropped }))
    }

    /// Sends a message in the background. Must be called inside a runtime.
    pub fn send(self: &Arc<Self>, notice: &Notice) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return tracing::warn!(id = notice.id, "a webhook was dropped: too many are on their way");
        }
        let (hooks, message) = (self.clone(), Message::of(notice, &self.lake));
        tokio::spawn(async move {
            hooks.deliver(&message).await;
            hooks.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// What became of messages so far.
    pub fn totals(&self) -> WebhookTotals {
        let [delivered, failed, dropped] =
            [&self.delivered, &self.failed, &self.dropped].map(|count| count.load(Ordering::Relaxed));
        WebhookTotals { delivered, failed, dropped }
    }

    async fn deliver(&self, message: &Message) {
        let mut waits = self.options.waits.iter();
        loop {
            let Err(error) = self.post(message).await else {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                return tracing::debug!(id = message.id, "a webhook was delivered");
            };
            let Some(wait) = waits.next() else {
                self.failed.fetch_add(1, Ordering::Relaxed);
                return tracing::warn!(id = message.id, error, "a webhook was given up");
            };
            tracing::info!(id = message.id, error, ?wait, "a webhook is sent again");
            tokio::time::sleep(*wait).await;
        }
    }

    /// One attempt. The error does not tell the URL, which may hold a secret.
    async fn post(&self, message: &Message) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self
            .client
            .post(self.options.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", message.signature(key, now));
        }
        let answer = request.body(message.body.clone()).send().await;
        match answer.map_err(reqwest::Error::without_url) {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the receiver answered {}", answer.status())),
            Err(error) => Err(error.to_string()),
        }
    }
}
