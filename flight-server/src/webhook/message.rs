//! A message: what is sent, and its signature.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use boathouse_engine::mart::{Notice, NoticeKind};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// A message as it is sent, each time the same.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub id: String,
    pub body: String,
}

impl Message {
    /// `lake` says which lake it is about.
    pub fn of(notice: &Notice, lake: &str) -> Self {
        let Notice { id, kind, mart, owner, run, at_ms, error, tests, export } = notice;
        let tests: Vec<Value> =
            tests.iter().map(|(name, violations)| json!({ "name": name, "violations": violations })).collect();
        let body = json!({
            "type": format!("mart.{}", kind.word()),
            "timestamp": rfc3339(*at_ms),
            "data": {
                "lake": lake,
                "mart": mart,
                "owner": owner,
                "run_id": run,
                "error": error,
                "tests": tests,
                "export": export,
            },
            // What chat rooms show.
            "text": text(notice),
        });
        Self { id: id.clone(), body: body.to_string() }
    }

    /// The header `webhook-signature` for a time in seconds since 1970.
    pub fn signature(&self, key: &hmac::Key, timestamp: u64) -> String {
        let signed = format!("{}.{timestamp}.{}", self.id, self.body);
        format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes())))
    }
}

fn text(notice: &Notice) -> String {
    let Notice { kind, mart, error, export, .. } = notice;
    let to = export.as_deref().unwrap_or("a destination");
    match kind {
        NoticeKind::Late => format!("Mart {mart} is late{}", why(error.as_deref())),
        NoticeKind::Anomaly => format!("Mart {mart} is unusual{}", why(error.as_deref())),
        NoticeKind::Recovered => format!("Mart {mart} is well again"),
        NoticeKind::ExportRecovered => format!("Mart {mart} is exported to {to} again"),
        NoticeKind::ExportFailed => {
            format!("Mart {mart} is not exported to {to}{}; system.mart_exports tells more", why(error.as_deref()))
        }
        NoticeKind::Failed => {
            let why = why(error.as_deref());
            format!("Mart {mart} failed{why}. Its rows are those of the last good run; system.mart_runs tells more")
        }
    }
}

/// The first line, behind a colon.
fn why(error: Option<&str>) -> String {
    let first = error.and_then(|error| error.lines().next());
    first.map(|why| format!(": {why}")).unwrap_or_default()
}

fn rfc3339(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
