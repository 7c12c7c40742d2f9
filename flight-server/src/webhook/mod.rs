//! Webhooks: somebody outside hears when a mart that this server runs fails, and when it is well again.
//!
//! ```text
//! notice -> message (JSON) -> POST, signed --2xx-> delivered
//!                                          --else-> again, later and later, up to some hours -> given up, in the log
//! ```
//! Messages are signed as [Standard Webhooks](https://www.standardwebhooks.com) says, so receivers have libraries that check
//! them. `webhook-id` is the same for the same news: a receiver that keeps the ids acts once. Rows never leave the lake this
//! way; a message tells which tests failed, and where to look.

mod message;
mod options;
mod sender;
#[cfg(test)]
pub(crate) mod tests;

pub use options::WebhookOptions;
pub use sender::{WebhookTotals, Webhooks};
