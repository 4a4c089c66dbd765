//! Plugins of an endpoint: they say whether a delivery is sent, and change it before it is signed.

use crate::fixtures::{SECRETS, built, grantee};
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::{SECRET, post_signed};
use billhook_tests::{Gateway, START_SECS};
use gateway::api::plugin::SwapQuery;
use gateway::model::attempt::{Attempt, Failure, Outcome};
use gateway::model::delivery::DeliveryState;
use gateway::model::endpoint::Gate;
use gateway::model::id::EndpointId;
use std::time::Duration;

/// Posts one cancellation and answers its webhook.
async fn cancel(gateway: &Gateway) -> String {
    let url = gateway.url("/in/flexprice");
    let answered = post_signed(&url, "msg_1", START_SECS, &canceled("subs_1", "price")).await;
    gateway.settle().await;
    answered.id().to_owned()
}

/// The one delivery of a webhook, and its attempts.
async fn delivery(gateway: &Gateway, webhook: &str) -> (DeliveryState, Vec<Attempt>) {
    let story = gateway.story(webhook).await;
    let (delivery, attempts) = &story.events[0].deliveries[0];
    (delivery.state.clone(), attempts.clone())
}

fn endpoint(receiver: &Receiver, plugin: &str) -> String {
    format!("{}plugins = [\"{plugin}\"]\n", receiver.endpoint("app"))
}

#[tokio::test]
async fn what_a_transform_makes_is_what_is_signed_and_sent_in_every_attempt() {
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let chat = format!(
        "[[plugin]]\nname = \"chat\"\ncomponent = {:?}\nconfig = {{ room = \"billing\" }}\n",
        built("chat")
    );
    let gateway = Gateway::start(&[FLEXPRICE.to_owned(), chat, endpoint(&receiver, "chat")].concat()).await;
    let webhook = cancel(&gateway).await;
    gateway.advance(Duration::from_secs(10)).await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.path, "/hook/rooms/billing");
        assert_eq!(request.body, "subscription.canceled from flexprice");
        assert_eq!(request.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(request.header("x-loud"), "no");
        assert!(request.is_signed(SECRET));
    }
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert!(matches!(delivery(&gateway, &webhook).await.0, DeliveryState::Delivered { .. }));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_the_gateways_stays_the_gateways() {
    let receiver = Receiver::start().await;
    let own = format!("{}headers = {{ \"X-Own\" = \"ours\" }}\n", endpoint(&receiver, "meddler"));
    let config = [SECRETS.to_owned(), FLEXPRICE.to_owned(), grantee("meddler", "\"meddle\"", ""), own];
    let gateway = Gateway::start(&config.concat()).await;
    cancel(&gateway).await;
    let request = &receiver.received()[0];
    assert_eq!(request.path, "/hook/below?x=1");
    assert_eq!(request.header("x-told"), "[true, true, true, true, true, false]", "all but its own");
    assert_eq!((request.header("x-own"), request.header("x-kept")), ("ours", "mine"));
    assert_eq!(request.header("x-seen"), "2", "what the configuration sets is not shown");
    assert!(
        request.header("x-raw").starts_with("Some("),
        "the webhook is there: {}",
        request.header("x-raw")
    );
    assert!(request.is_signed(SECRET) && request.header("user-agent").starts_with("Billhook/"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_drop_ends_the_delivery_as_skipped() {
    for (act, why) in [
        ("drop at sending", "the plugin `p` dropped it: not worth it"),
        ("read", "the plugin `p` dropped it: nothing"),
        ("once", "the plugin `p` dropped it: a delivery is made: it can only be read"),
    ] {
        let receiver = Receiver::start().await;
        let plugin = grantee("p", &format!("\"{act}\""), "");
        let config = [SECRETS.to_owned(), FLEXPRICE.to_owned(), plugin, endpoint(&receiver, "p")];
        let gateway = Gateway::start(&config.concat()).await;
        let webhook = cancel(&gateway).await;
        let (state, attempts) = delivery(&gateway, &webhook).await;
        assert!(
            matches!(&state, DeliveryState::Skipped { why: told, .. } if told == why),
            "{act}: {state:?}"
        );
        assert_eq!(attempts.len(), 1);
        assert!(receiver.received().is_empty());
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_transform_that_fails_is_asked_again_and_then_by_its_way_to_fail() {
    let cases = [
        ("panic at sending", "reject", 5, false),
        ("panic at sending", "send-untransformed", 5, true),
        ("refuse at sending", "reject", 1, false),
        ("refuse at sending", "send-untransformed", 1, true),
    ];
    for (act, on_failure, attempts_made, sent) in cases {
        let receiver = Receiver::start().await;
        let plugin = grantee("p", &format!("\"{act}\""), &format!("on_failure = \"{on_failure}\""));
        let config = [SECRETS.to_owned(), FLEXPRICE.to_owned(), plugin, endpoint(&receiver, "p")];
        let gateway = Gateway::start(&config.concat()).await;
        let webhook = cancel(&gateway).await;
        for (wait, made) in [(1, 2), (10, 3), (60, 4), (300, 5)] {
            if attempts_made == 1 {
                break;
            }
            assert_eq!(delivery(&gateway, &webhook).await.1.len(), made - 1, "{act} {on_failure}");
            gateway.advance(Duration::from_secs(wait)).await;
        }
        let (state, attempts) = delivery(&gateway, &webhook).await;
        assert_eq!(attempts.len(), attempts_made, "{act} {on_failure}");
        if sent {
            assert!(matches!(state, DeliveryState::Delivered { .. }), "{state:?}");
            assert_eq!(receiver.received()[0].json()["type"], "subscription.canceled");
        } else {
            assert!(receiver.received().is_empty());
            let DeliveryState::Dead { why, .. } = &state else { panic!("{state:?}") };
            let about = format!(") at `transform` of {webhook} for the endpoint `app`: ");
            assert!(why.starts_with("plugin `p` 0.1.0 (") && why.contains(&about), "{why}");
        }
        if let Outcome::Failed(failure) = &attempts[0].outcome {
            let Failure::Plugin { why, failures: 1, .. } = failure else { panic!("{failure:?}") };
            let is_panic =
                why.contains("panicked at tests/fixtures/grantee/src/lib.rs:") && why.contains("not today");
            assert!(is_panic || why.ends_with("invalid: never"), "{why}");
        }
        let gate = gateway.store().gate(EndpointId::derive("app")).await.unwrap().gate;
        assert_eq!(gate, Gate::Open, "it says nothing about the endpoint");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_transform_that_keeps_failing_rests_until_its_time_or_another_build() {
    let receiver = Receiver::start().await;
    let plugin = grantee("p", "\"panic at sending\"", "");
    let config = [SECRETS.to_owned(), FLEXPRICE.to_owned(), plugin, endpoint(&receiver, "p")];
    let gateway = Gateway::start(&config.concat()).await;
    let url = gateway.url("/in/flexprice");
    let mut webhooks = Vec::new();
    for n in 0..8 {
        let body = canceled(&format!("subs_{n}"), "price");
        webhooks.push(post_signed(&url, &format!("msg_{n}"), START_SECS, &body).await.id().to_owned());
        gateway.settle().await;
    }
    let attempts = async || {
        let mut all = Vec::new();
        for webhook in &webhooks {
            let (state, attempts) = delivery(&gateway, webhook).await;
            assert!(matches!(state, DeliveryState::Waiting { .. }), "{state:?}");
            all.push(attempts.len());
        }
        all
    };
    assert_eq!(attempts().await, [1, 1, 1, 1, 1, 0, 0, 0], "five have failed: it rests");
    gateway.advance(Duration::from_secs(29)).await;
    let tried: usize = attempts().await.iter().sum();
    gateway.advance(Duration::from_secs(1)).await;
    assert_eq!(attempts().await.iter().sum::<usize>(), tried + 1, "one is tried when its rest is over");
    gateway.advance(Duration::from_secs(59)).await;
    assert_eq!(attempts().await.iter().sum::<usize>(), tried + 1, "and it rests for twice as long");

    // The same component with an empty custom section (core specification, 5.5.3) at its end: another build.
    let other = [&std::fs::read(built("grantee")).unwrap()[..], &[0, 3, 2, b'n', b'o']].concat();
    gateway.client().swap_plugin("p", other, &SwapQuery::default()).await.unwrap();
    gateway.settle().await;
    assert!(attempts().await[5..].iter().any(|made| *made > 0), "another build is tried at once");
    gateway.stop().await;
}
