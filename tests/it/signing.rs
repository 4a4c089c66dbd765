//! What a receiver can check of a delivery: a signature under each live secret, shared or private.

use crate::cli::{ask, text};
use crate::delivery::send;
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{SECRET, post_signed};
use billhook_tests::{ADMIN_TOKEN, Gateway};
use gateway::api::endpoint::Rotate;
use gateway::client::ClientError;
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

const HOUR: Duration = Duration::from_secs(3600);

/// Which of `secrets` signed the newest delivery, and how many signatures it has.
async fn signed(gateway: &Gateway, receiver: &Receiver, n: usize, secrets: &[&str]) -> (Vec<bool>, usize) {
    send(gateway, &format!("subs_{n}")).await;
    gateway.settle().await;
    let received = receiver.received().pop().unwrap();
    let count = received.header("webhook-signature").split(' ').count();
    (secrets.iter().map(|secret| received.is_signed(secret)).collect(), count)
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one_and_then_alone_until_the_file_says_otherwise() {
    let receiver = Receiver::start().await;
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let mut gateway = Gateway::start(&config).await;
    let told = ask(&gateway, &["endpoint", "rotate-secret", "app", "--overlap", "2h"]).await;
    let new = text(&told.stdout).trim().to_owned();
    assert!(told.status.success() && new.starts_with("whsec_"), "{}", text(&told.stderr));
    assert_eq!(signed(&gateway, &receiver, 1, &[&new, SECRET]).await, (vec![true, true], 2));
    let newest = receiver.received()[0].clone();
    let first = newest.header("webhook-signature").split(' ').next().unwrap().to_owned();
    let mut alone = newest.clone();
    alone.headers.insert("webhook-signature", first.parse().unwrap());
    assert!(alone.is_signed(&new), "the newest comes first");

    let shown = text(&ask(&gateway, &["endpoint", "show", "app"]).await.stdout);
    for expected in
        ["rotated 2026-08-10T12:00:00.000Z", "from the configuration, until 2026-08-10T14:00:00.000Z"]
    {
        assert!(shown.contains(expected), "{shown}");
    }
    let told = format!("{shown}{}", text(&told.stderr));
    assert!(!told.contains(&new) && !told.contains(SECRET), "{told}");

    gateway = gateway.restart().await;
    gateway.advance(HOUR).await;
    assert_eq!(signed(&gateway, &receiver, 2, &[&new, SECRET]).await, (vec![true, true], 2));
    gateway.advance(HOUR).await;
    assert_eq!(signed(&gateway, &receiver, 3, &[&new, SECRET]).await, (vec![true, false], 1));
    gateway = gateway.restart().await;
    assert_eq!(signed(&gateway, &receiver, 4, &[&new, SECRET]).await, (vec![true, false], 1));

    // Another secret in the file counts from then on.
    let other = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    let (dir, _, clock) = gateway.stop().await;
    let endpoint = receiver.endpoint("app").replace(SECRET, other);
    gateway = Gateway::start_in(dir, &format!("{FLEXPRICE}{endpoint}"), clock).await;
    assert_eq!(signed(&gateway, &receiver, 5, &[&new, SECRET, other]).await, (vec![false, false, true], 1));
    gateway.stop().await;
}

#[tokio::test]
async fn a_rotation_takes_a_secret_of_ones_own_or_makes_a_private_key_that_nobody_sees() {
    let receiver = Receiver::start().await;
    let settings = "events = [\"invoice.paid\"]\nprofile = \"wingspan\"\nsecret";
    let wingspan = receiver.endpoint("body").replace("secret", settings);
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}{wingspan}", receiver.endpoint("app"))).await;
    let own = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    std::fs::write(gateway.dir().join("own"), format!("{own}\n")).unwrap();
    let path = format!("file:{}", gateway.dir().join("own").display());
    let told =
        ask(&gateway, &["endpoint", "rotate-secret", "app", "--overlap", "0s", "--secret", &path]).await;
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert_eq!(text(&told.stdout), "", "who brings it knows it");
    assert_eq!(signed(&gateway, &receiver, 1, &[own, SECRET]).await.0, [true, false]);

    let told = ask(&gateway, &["endpoint", "rotate-secret", "app", "--v1a"]).await;
    let key = text(&told.stdout).trim().to_owned();
    assert!(key.starts_with("whpk_") && !text(&told.stderr).contains("whsk_"), "{key}");
    send(&gateway, "subs_2").await;
    gateway.settle().await;
    let received = receiver.received().pop().unwrap();
    let said = Signed {
        id: received.header("webhook-id"),
        timestamp: received.header("webhook-timestamp"),
        signature: received.header("webhook-signature"),
        body: &received.body,
    };
    verify_v1a(&[public_key(&key).unwrap()], said, gateway.clock.now(), HOUR).unwrap();
    assert!(received.is_signed(own), "the one before signs too");
    assert_eq!(gateway.client().endpoint("app").await.unwrap().public_keys, [key]);

    let long = Rotate { overlap_ms: Some(8 * 24 * 3_600_000), ..Rotate::default() };
    let bad = Rotate { secret: Some("hunter2".to_owned()), ..Rotate::default() };
    let known = Rotate { secret: Some(own.to_owned()), ..Rotate::default() };
    for (name, asked, status, code) in [
        ("app", long, 400, "bad_body"),
        ("app", bad, 400, "bad_body"),
        ("app", known, 409, "not_rotated"),
        ("body", Rotate::default(), 409, "not_rotated"),
        ("nobody", Rotate::default(), 404, "unknown_endpoint"),
    ] {
        let Err(ClientError::Refused(problem)) = gateway.client().rotate(name, &asked).await.map(|_| ())
        else {
            panic!("{name} {code} is not refused")
        };
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{}", problem.detail);
        assert!(!problem.detail.contains("hunter2"));
    }
    let literal = ask(&gateway, &["endpoint", "rotate-secret", "app", "--secret", own]).await;
    assert!(!literal.status.success() && text(&literal.stderr).contains("seen by everybody"));
    gateway.stop().await;
}
