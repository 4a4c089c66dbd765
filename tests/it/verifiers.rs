//! Requests that a plugin judges, before anything is stored.

use crate::fixtures::{SECRETS, built, grantee};
use billhook_event::Verified;
use billhook_tests::sender::post;
use billhook_tests::{Gateway, START_SECS};
use gateway::api::refused::RefusedQuery;
use gateway::store::Page;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;

const BODY: &str = r#"{"event":"paid"}"#;

fn acme(secrets: &str) -> String {
    format!(
        "[secrets]\nacme = {secrets}\n[[plugin]]\nname = \"acme-signed\"\ncomponent = {:?}\ngrants = \
         [\"secret:acme\"]\n[[source]]\nname = \"acme\"\nprovider = \"acme\"\nauth = {{ scheme = \"plugin\", plugin = \
         \"acme-signed\" }}\n",
        built("acme-signed")
    )
}

/// The headers of a request that Acme signed with `secret`.
fn signed(secret: &str, id: &str, at: u64, body: &str) -> [(&'static str, String); 3] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{id}.{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    [("acme-time", at.to_string()), ("acme-id", id.to_owned()), ("acme-signature", signature)]
}

/// Posts and answers status, headers and body.
async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: &str,
) -> (u16, reqwest::header::HeaderMap, String) {
    let client = gateway::client::http().unwrap();
    let mut request = client.request(method.parse().unwrap(), url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

async fn stored(gateway: &Gateway) -> usize {
    gateway.store().list_webhooks(false, Page { after: Vec::new(), n: 50 }).await.unwrap().rows.len()
}

#[tokio::test]
async fn a_plugin_vouches_for_every_live_secret_and_for_the_id() {
    let gateway = Gateway::start(&acme(r#"["new", "old"]"#)).await;
    let url = gateway.url("/in/acme");
    for (secret, id) in [("new", "msg_1"), ("old", "msg_2")] {
        let (status, _, body) = send("POST", &url, &signed(secret, id, START_SECS, BODY), BODY).await;
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        gateway.settle().await;
        let story = gateway.story(answer["id"].as_str().unwrap()).await;
        let head = &story.webhook.head;
        assert_eq!((head.verified, head.delivery_id.as_deref()), (Verified::Signature, Some(id)));
        assert_eq!(story.events[0].event.kind, "invoice.paid");
    }
    // The plugin vouches for the id, so another body under it is the same webhook.
    let other = r#"{"event":"other"}"#;
    let (_, _, body) = send("POST", &url, &signed("new", "msg_1", START_SECS, other), other).await;
    assert!(body.contains(r#""duplicate":true"#), "{body}");

    let challenge = r#"{"challenge":"c-1"}"#;
    let (status, headers, body) =
        send("POST", &url, &signed("new", "msg_3", START_SECS, challenge), challenge).await;
    assert_eq!((status, body.as_str()), (200, "c-1"));
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(stored(&gateway).await, 2, "of a challenge nothing is stored");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_plugin_refused_is_kept_with_its_cause_and_judged_again() {
    let gateway = Gateway::start(&acme(r#""wrong""#)).await;
    let headers = signed("right", "msg_1", START_SECS, BODY);
    let (status, _, body) = send("POST", &gateway.url("/in/acme"), &headers, BODY).await;
    assert_eq!(status, 401);
    assert!(!body.contains("live secret"), "a stranger is not told the cause: {body}");
    gateway.advance(Duration::from_secs(1)).await;
    let entries = gateway.client().refused_requests(&RefusedQuery::default()).await.unwrap().items;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(entry.cause, "the signature is that of no live secret");
    assert!(gateway.client().retry_refused(entry.id).await.is_err());

    let (dir, _, clock) = gateway.stop().await;
    clock.advance(Duration::from_secs(24 * 3600));
    let gateway = Gateway::start_in(dir, &acme(r#"["right", "wrong"]"#), clock).await;
    let taken = gateway.client().retry_refused(entry.id).await.unwrap();
    gateway.settle().await;
    let story = gateway.story(&taken.webhook.to_string()).await;
    assert_eq!(story.webhook.head.delivery_id.as_deref(), Some("msg_1"));
    assert_eq!(story.events[0].event.kind, "invoice.paid");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_gives_no_answer_has_the_sender_come_again() {
    let source = "[[source]]\nname = \"g\"\nprovider = \"flexprice\"\nauth = { scheme = \"plugin\", plugin = \"grantee\" }\n";
    let config = [SECRETS.to_owned(), grantee("grantee", "\"\"", ""), source.to_owned()];
    let gateway = Gateway::start(&config.concat()).await;
    let url = gateway.url("/in/g");
    let doing = |what: &str| [("x-do", what.to_owned())];
    for what in ["panic", "loop", "fail", "redirect"] {
        let (status, headers, body) = send("POST", &url, &doing(what), BODY).await;
        assert_eq!(status, 503, "{what}: {body}");
        assert_eq!(headers["retry-after"], "30", "{what}");
        assert!(!body.contains("grantee"), "a stranger is not told more: {body}");
    }
    assert_eq!(stored(&gateway).await, 0);
    gateway.advance(Duration::from_secs(1)).await;
    let entries = gateway.client().refused_requests(&RefusedQuery::default()).await.unwrap().items;
    let causes: Vec<&str> = entries.iter().map(|entry| entry.cause.as_str()).collect();
    for expected in [
        "trapped: panicked at tests/fixtures/grantee/src/lib.rs:",
        "over its limit: 100 ms on the processor (`cpu`)",
        "invalid: cannot say",
        "invalid: its output is wrong: a reply of status 302, which is neither 2xx nor 4xx",
    ] {
        let cause = causes.iter().find(|cause| cause.contains(expected));
        let cause = cause.unwrap_or_else(|| panic!("{expected}: {causes:?}"));
        assert!(cause.starts_with("plugin `grantee` 0.1.0 ("), "{cause}");
        assert!(cause.contains(") at `verify` of a request to the source `g`: "), "{cause}");
    }
    assert_eq!(causes.len(), 4);

    let (status, _, body) = send("POST", &url, &doing("kv"), BODY).await;
    assert_eq!((status, body.as_str()), (200, "bucket: false"), "nobody vouched for it yet");
    let path = gateway.url("/in/g/eu%2F1?hub=x%20y");
    let (status, _, body) = send("GET", &path, &doing("reflect"), "").await;
    assert_eq!(
        (status, body.as_str()),
        (200, "GET /eu%2F1 hub=x%20y 127.0.0.1"),
        "a challenge may come by GET"
    );
    assert_eq!(send("GET", &path, &doing(""), "").await.0, 405, "and nothing else");
    assert_eq!(send("PUT", &path, &doing("reflect"), "").await.0, 405);

    for (token, expected) in [("new-token", 200), ("old-token", 200), ("other", 401)] {
        let answered =
            post(&url, &[("x-do", "token"), ("x-token", token)], format!("{{\"a\":\"{token}\"}}")).await;
        assert_eq!(answered.status, expected, "{token}");
        if expected == 200 {
            let verified = gateway.story(answered.id()).await.webhook.head.verified;
            assert_eq!(verified, Verified::StaticHeader);
        }
    }
    gateway.stop().await;
}
