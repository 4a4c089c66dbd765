//! The way in, through a whole gateway: what is remembered of a webhook, and what is not.

use billhook_tests::sender::{post, post_signed};
use billhook_tests::{Gateway, START_SECS};
use std::path::Path;
use std::time::Duration;

const SIGNED: &str = r#"
[[source]]
name = "flexprice"
provider = "flexprice"
auth = { scheme = "standard-webhooks", secret = "whsec_dGhpcyBpcyBhIHRlc3Qgc2VjcmV0IG9mIDMyIGJ5dGU=" }
"#;

const SECRETS: &str = r#"
[[source]]
name = "by-query"
provider = "flexprice"
auth = { scheme = "query", name = "token", secret = "n0t-to-be-kept" }

[[source]]
name = "by-header"
provider = "wingback"
auth = { scheme = "header", header = "x-proof", secret = "n0t-to-be-kept" }
"#;

const BODY: &str = r#"{"event_type":"customer.created","customer":{"id":"cust_1"}}"#;

#[tokio::test]
async fn an_id_is_known_after_a_restart_and_for_thirty_days() {
    let gateway = Gateway::start(SIGNED).await;
    let first = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    assert_eq!((first.status, &first.body["duplicate"]), (200, &false.into()));

    let gateway = gateway.restart().await;
    let again = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, BODY).await;
    assert_eq!((again.status, again.id(), &again.body["duplicate"]), (200, first.id(), &true.into()));

    let month = Duration::from_secs(30 * 24 * 60 * 60);
    gateway.advance(month - Duration::from_secs(1)).await;
    let late = START_SECS + month.as_secs();
    let again = post_signed(&gateway.url("/in/flexprice"), "msg_1", late, BODY).await;
    assert_eq!((again.status, again.id()), (200, first.id()));

    gateway.advance(Duration::from_secs(1)).await;
    let forgotten = post_signed(&gateway.url("/in/flexprice"), "msg_1", late, BODY).await;
    assert_eq!((forgotten.status, &forgotten.body["duplicate"]), (200, &false.into()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_secret_that_proves_a_sender_is_nowhere_on_disk() {
    let gateway = Gateway::start(SECRETS).await;
    let by_query = post(&gateway.url("/in/by-query?shop=kept-as-sent&token=n0t-to-be-kept"), &[], BODY).await;
    assert_eq!(by_query.status, 200, "{by_query:?}");
    let headers = [("x-proof", "n0t-to-be-kept"), ("authorization", "Bearer n0t-to-be-kept")];
    let by_header =
        post(&gateway.url("/in/by-header/v1.customer.created"), &headers, r#"{"id":"Cust_1"}"#).await;
    assert_eq!(by_header.status, 200, "{by_header:?}");
    let refused = post(&gateway.url("/in/by-query?token=n0t-to-be-kept-either"), &[], BODY).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    gateway.settle().await;
    let (dir, ..) = gateway.stop().await;
    assert!(holds(&dir.path().join("data"), b"kept-as-sent"), "the test looks where the store writes");
    assert!(!holds(&dir.path().join("data"), b"n0t-to-be-kept"));
}

/// Whether any file below `dir` holds these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}
