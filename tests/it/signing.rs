//! What a receiver can check of a delivery: a signature under each live secret, shared or private.

use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{SECRET, post_signed};
use billhook_tests::{ADMIN_TOKEN, Gateway};
use gateway::clock::Clock;
use gateway::model::signature::{Signed, private_key, public_key, public_key_text, verify_v1a};
use serde_json::Value;
use std::time::Duration;

/// Two private keys: 64 bytes, as they are made, and the 32 that are the key alone.
const NEWER: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const OLDER: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

#[tokio::test]
async fn every_live_secret_signs_and_public_keys_are_told() {
    let receiver = Receiver::start().await;
    let endpoint = receiver.endpoint("app").replace(
        &format!("secret = \"{SECRET}\""),
        &format!("secret = [\"{NEWER}\", \"{OLDER}\", \"{SECRET}\"]"),
    );
    // The library reads the machine's clock, so the gateway must show it too.
    let clock = Clock::manual(Clock::system().now());
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_in(dir, &format!("{FLEXPRICE}{endpoint}"), clock.clone()).await;
    post_signed(&gateway.url("/in/flexprice"), "msg_1", clock.now().secs(), &canceled("subs_1", "price"))
        .await;
    gateway.settle().await;

    let client = gateway::client::http().unwrap();
    let request = client.get(format!("{}/api/v1/endpoints", gateway.admin_url())).bearer_auth(ADMIN_TOKEN);
    let told: Value = request.send().await.unwrap().json().await.unwrap();
    let keys = told["items"][0]["public_keys"].as_array().unwrap();
    let expected = [NEWER, OLDER].map(|key| public_key_text(&private_key(key).unwrap().verifying_key()));
    assert_eq!(keys, &expected);

    let received = receiver.received().remove(0);
    let versions: Vec<&str> = received
        .header("webhook-signature")
        .split(' ')
        .map(|signature| signature.split_once(',').unwrap().0)
        .collect();
    assert_eq!(versions, ["v1a", "v1a", "v1"]);
    for key in &expected {
        let signed = Signed {
            id: received.header("webhook-id"),
            timestamp: received.header("webhook-timestamp"),
            signature: received.header("webhook-signature"),
            body: &received.body,
        };
        let keys = [public_key(key).unwrap()];
        verify_v1a(&keys, signed, clock.now(), Duration::from_secs(300)).unwrap();
        let changed = Signed { body: b"{}", ..signed };
        verify_v1a(&keys, changed, clock.now(), Duration::from_secs(300)).unwrap_err();
    }
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(&received.body, &received.headers).unwrap();
    gateway.stop().await;
}
