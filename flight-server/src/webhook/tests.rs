//! Messages against a receiver on this machine.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use boathouse_engine::{
    Secret,
    mart::{Notice, NoticeKind},
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

use super::{WebhookOptions, WebhookTotals, Webhooks, message::Message};

fn notice(kind: NoticeKind) -> Notice {
    Notice {
        id: format!("mart-{}-1", kind.word()),
        kind,
        mart: "m.t".to_owned(),
        owner: Some("bi@example.com".to_owned()),
        run: Some("7".to_owned()),
        at_ms: 1_767_225_600_123,
        error: Some("the test \"a\" failed\nHINT: more".to_owned()),
        tests: vec![("a".to_owned(), 3)],
        export: matches!(kind, NoticeKind::ExportFailed | NoticeKind::ExportRecovered)
            .then(|| "warehouse/x".to_owned()),
    }
}

/// Head and body of a request.
async fn read(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).await.unwrap();
        assert!(count > 0, "the request ended early");
        bytes.extend_from_slice(&more[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = header(head, "content-length").parse::<usize>().unwrap();
        if body.len() >= length {
            return (head.to_owned(), body.to_owned());
        }
    }
}

pub(crate) fn header(head: &str, name: &str) -> String {
    let value = head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
    value.unwrap_or_else(|| panic!("no {name} in {head}")).1.to_owned()
}

/// Answers requests with these statuses, one after the other, and keeps them.
pub(crate) async fn receiver(statuses: &'static [u16]) -> (Url, Arc<Mutex<Vec<(String, String)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/secret-path", listener.local_addr().unwrap()).parse().unwrap();
    let got: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let kept = got.clone();
    tokio::spawn(async move {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read(&mut stream).await;
            kept.lock().push(request);
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, got)
}

async fn until(hooks: &Webhooks, done: impl Fn(WebhookTotals) -> bool) -> WebhookTotals {
    for _ in 0..6000 {
        if done(hooks.totals()) {
            return hooks.totals();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", hooks.totals());
}

#[tokio::test]
async fn a_message_is_sent_until_it_is_taken_and_is_signed() {
    let (url, got) = receiver(&[500, 429, 204]).await;
    let secret = Secret::new(format!("whsec_{}", STANDARD.encode([7; 32])));
    let waits = vec![Duration::from_millis(1); 4];
    let options = WebhookOptions { waits, ..WebhookOptions::checked(url.as_str(), Some(secret)).unwrap() };
    let hooks = Webhooks::new(options, "s3://lake").unwrap();
    hooks.send(&notice(NoticeKind::Failed));
    let totals = until(&hooks, |totals| totals.delivered == 1).await;
    assert_eq!(totals, WebhookTotals { delivered: 1, failed: 0, dropped: 0 });
    let got = got.lock().clone();
    assert_eq!(got.len(), 3);
    for (head, body) in &got {
        assert!(head.starts_with("POST /hooks/secret-path HTTP/1.1"), "{head}");
        assert_eq!(header(head, "webhook-id"), "mart-failed-1");
        assert_eq!(header(head, "content-type"), "application/json");
        let signed = format!("mart-failed-1.{}.{body}", header(head, "webhook-timestamp"));
        let signature = header(head, "webhook-signature");
        let signature = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    }
    let body: Value = serde_json::from_str(&got[0].1).unwrap();
    assert_eq!((&body["type"], &body["timestamp"]), (&"mart.failed".into(), &"2026-01-01T00:00:00.123Z".into()));
    let data = &body["data"];
    assert_eq!((&data["lake"], &data["mart"], &data["run_id"]), (&"s3://lake".into(), &"m.t".into(), &"7".into()));
    assert_eq!(data["tests"], serde_json::json!([{ "name": "a", "violations": 3 }]));
    let text =
        "Mart m.t failed: the test \"a\" failed. Its rows are those of the last good run; system.mart_runs tells more";
    assert_eq!(body["text"], text);
}

#[tokio::test]
async fn what_nobody_takes_is_given_up() {
    let (url, got) = receiver(&[500, 302, 410]).await;
    let options = WebhookOptions { waits: vec![Duration::from_millis(1); 2], ..WebhookOptions::to(url) };
    let hooks = Webhooks::new(options, "lake").unwrap();
    hooks.send(&notice(NoticeKind::Recovered));
    let totals = until(&hooks, |totals| totals.failed == 1).await;
    assert_eq!(totals, WebhookTotals { delivered: 0, failed: 1, dropped: 0 });
    assert_eq!(got.lock().len(), 3);
    assert!(!got.lock()[0].0.contains("webhook-signature"));
    // Nobody listens there any more.
    hooks.send(&notice(NoticeKind::Failed));
    until(&hooks, |totals| totals.failed == 2).await;
}

#[test]
fn a_signature_is_that_of_the_standard() {
    // The example of the specification.
    let key = WebhookOptions::key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), "{\"test\": 2432232314}".to_owned());
    let signature = Message { id, body }.signature(&key, 1_614_265_330);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn settings_that_cannot_be_used_are_refused_without_telling_them() {
    let checked = |url: &str, secret: Option<&str>| {
        WebhookOptions::checked(url, secret.map(|secret| Secret::new(secret.to_owned()))).unwrap_err()
    };
    assert!(checked("ftp://host/x", None).starts_with("the URL of the webhook is not one"));
    let error = checked("https://host/x", Some("hush"));
    assert!(error.contains("whsec_") && !error.contains("hush"), "{error}");
    assert!(checked("https://host/x", Some("whsec_c2hvcnQ=")).contains("24 to 64 random bytes"));
}

#[test]
fn news_is_said_in_a_line() {
    for (kind, kind_text, text) in [
        (NoticeKind::Late, "mart.late", "Mart m.t is late: its rows are 3h old"),
        (NoticeKind::Anomaly, "mart.anomaly", "Mart m.t is unusual: its rows are 3h old"),
        (NoticeKind::Recovered, "mart.recovered", "Mart m.t is well again"),
        (
            NoticeKind::ExportFailed,
            "mart.export_failed",
            "Mart m.t is not exported to warehouse/x: its rows are 3h old; system.mart_exports tells more",
        ),
        (NoticeKind::ExportRecovered, "mart.export_recovered", "Mart m.t is exported to warehouse/x again"),
    ] {
        let error = Some("its rows are 3h old\nand more".to_owned());
        let message = Message::of(&Notice { error, ..notice(kind) }, "./lake");
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!((body["type"].as_str(), body["text"].as_str()), (Some(kind_text), Some(text)));
        assert_eq!(body["data"]["export"].as_str(), text.contains("warehouse").then_some("warehouse/x"));
    }
}
