//! A plugin that does what a plugin must not, in a whole gateway: it is stopped, and nobody else notices.

use crate::cli::ask;
use crate::fixtures::built;
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{Gateway, START_SECS};
use gateway::model::rest::{FAILED_TO_REST, REST_MAX, TRIAL_WAIT};
use gateway::model::retry::PLUGIN_WAITS;
use gateway::model::webhook::WebhookState;
use std::time::Duration;

fn config(receiver: &Receiver) -> String {
    format!(
        "[[plugin]]\nname = \"misbehave\"\ncomponent = {:?}\n[[source]]\nname = \"bad\"\nprovider = \"misbehave\"\nnormalizer = \
         \"misbehave\"\nauth = {{ scheme = \"none\" }}\n{FLEXPRICE}{}events = [\"*\", \"provider.test\"]\n",
        built("misbehave"),
        receiver.endpoint("app")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_misbehaves_is_stopped_while_two_hundred_others_are_delivered() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver)).await;
    let url = gateway.url("/in/bad");
    let mut bad = Vec::new();
    for what in [
        "loop",
        "panic",
        "memory",
        "huge output",
        "not JSON",
        "unknown type",
        "recurse",
        "exit",
        "host-call flood",
    ] {
        let answered = post(&url, &[], format!(r#"{{"do":"{what}"}}"#)).await;
        assert_eq!(answered.status, 200, "it is stored before anything runs");
        bad.push((what, answered.id().to_owned()));
    }
    for n in 0..200 {
        let body = canceled(&format!("subs_{n}"), "price");
        post_signed(&gateway.url("/in/flexprice"), &format!("msg_{n}"), START_SECS, &body).await;
    }
    gateway.settle().await;
    // On a machine that is busy otherwise, a well-behaved call may run out of its two seconds beside those that eat
    // processor and memory: then it is repeated as any other.
    for _ in 0..5 {
        if receiver.received().len() < 200 {
            gateway.advance(Duration::from_secs(60)).await;
        }
    }
    assert_eq!(receiver.received().len(), 200);
    for (what, id) in &bad {
        let story = gateway.story(id).await;
        assert!(story.events.is_empty(), "{what}: {:?}", story.webhook.state);
        assert!(
            !matches!(story.webhook.state, WebhookState::Dispatched { .. }),
            "{what}: {:?}",
            story.webhook.state
        );
    }
    // The plugin rests, and tries one webhook after each rest, by lot: what waits among those that it fails on gets its
    // turn. One in ten is drawn; that it is not in two hundred happens once in a thousand million.
    let answered = post(&url, &[], r#"{"do":"draft"}"#).await;
    let is_through = async || {
        let state = gateway.story(answered.id()).await.webhook.state;
        matches!(state, WebhookState::Dispatched { events: 1, .. })
    };
    for _ in 0..200 {
        gateway.advance(Duration::from_secs(300)).await;
        if is_through().await {
            break;
        }
    }
    assert!(is_through().await, "nothing was given up meanwhile");
    gateway.stop().await;
}

#[tokio::test]
async fn one_poisonous_webhook_ends_in_the_dead_letter_and_stops_nobody() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver)).await;
    let poison = post(&gateway.url("/in/bad"), &[], r#"{"do":"panic"}"#).await;
    gateway.settle().await;
    for (wait, failures) in [(1, 1), (10, 2), (60, 3), (300, 4)] {
        let story = gateway.story(poison.id()).await;
        assert!(
            matches!(story.webhook.state, WebhookState::Undispatched { failures: seen, .. } if seen == failures),
            "{:?}",
            story.webhook.state
        );
        gateway.advance(Duration::from_secs(wait)).await;
    }
    let story = gateway.story(poison.id()).await;
    let WebhookState::Dead { why, .. } = &story.webhook.state else { panic!("{:?}", story.webhook.state) };
    assert!(why.contains("misbehave") && why.contains("panic"), "{why}");

    let well = post(&gateway.url("/in/bad"), &[], r#"{"do":"draft"}"#).await;
    gateway.settle().await;
    assert!(matches!(gateway.story(well.id()).await.webhook.state, WebhookState::Dispatched { .. }));
    gateway.stop().await;
}

#[tokio::test]
async fn an_invalid_webhook_is_dead_at_once_and_unavailable_is_patient() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver)).await;
    let invalid = post(&gateway.url("/in/bad"), &[], r#"{"do":"invalid"}"#).await;
    let unavailable = post(&gateway.url("/in/bad"), &[], r#"{"do":"unavailable"}"#).await;
    gateway.settle().await;
    assert!(matches!(gateway.story(invalid.id()).await.webhook.state, WebhookState::Dead { .. }));
    let state = gateway.story(unavailable.id()).await.webhook.state;
    assert!(matches!(state, WebhookState::Undispatched { failures: 1, .. }), "{state:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_of_invalid_ends_a_rest() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver)).await;
    let url = gateway.url("/in/bad");
    for n in 0..FAILED_TO_REST {
        post(&url, &[], format!(r#"{{"do":"panic","n":{n}}}"#)).await;
    }
    gateway.settle().await;
    let mut invalid = Vec::new();
    for n in 0..20 {
        invalid.push(post(&url, &[], format!(r#"{{"do":"invalid","n":{n}}}"#)).await.id().to_owned());
    }
    let well = post(&url, &[], r#"{"do":"draft"}"#).await;
    gateway.settle().await;
    let waiting = async || {
        let mut waiting = Vec::new();
        for id in invalid.iter().map(String::as_str).chain([well.id()]) {
            if let WebhookState::Undispatched { .. } = gateway.story(id).await.webhook.state {
                waiting.push(id);
            }
        }
        waiting
    };
    assert_eq!(waiting().await.len(), 21, "the plugin rests");
    // One that fails may be drawn as the trial, by lot, and rests it again.
    for _ in 0..10 {
        if !waiting().await.is_empty() {
            gateway.advance(REST_MAX).await;
            gateway.advance(TRIAL_WAIT).await;
        }
    }
    assert_eq!(waiting().await, [""; 0]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_plugin_that_reaches_its_limits_on_large_bodies_alone_does_not_rest() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver)).await;
    let rests = async || {
        let plugins = gateway.client().plugins().await.unwrap().items;
        plugins.into_iter().find(|plugin| plugin.name == "misbehave").unwrap().rests_until.is_some()
    };
    let send = async |n: usize, pad: usize| {
        let body = format!(r#"{{"do":"huge output","n":{n},"pad":"{}"}}"#, "x".repeat(pad));
        assert_eq!(post(&gateway.url("/in/bad"), &[], body).await.status, 200);
        gateway.settle().await;
    };
    for n in 0..2 * FAILED_TO_REST {
        send(n, 64 << 10).await;
    }
    assert!(!rests().await, "anybody may send a large body");
    for n in 0..FAILED_TO_REST {
        send(n, 0).await;
    }
    assert!(rests().await);
    gateway.stop().await;
}

#[tokio::test]
async fn a_plugin_that_was_not_asked_is_not_well_again() {
    let [good, bad] = ["good", "bad"]
        .map(|name| format!("[[plugin]]\nname = \"{name}\"\ncomponent = {:?}\n", built("misbehave")));
    let gateway = Gateway::start(&format!(
        "{good}{bad}[[source]]\nname = \"in\"\nprovider = \"misbehave\"\nnormalizer = \"good\"\nplugins = [\"bad\"]\nauth = \
         {{ scheme = \"none\" }}\n"
    ))
    .await;
    for n in 0..FAILED_TO_REST {
        for what in ["handles", "nothing"] {
            let body = format!(r#"{{"do":"{what}","n":{n}}}"#);
            assert_eq!(post(&gateway.url("/in/in"), &[], body).await.status, 200);
            gateway.settle().await;
        }
    }
    let plugins = gateway.client().plugins().await.unwrap().items;
    let rests: Vec<_> = plugins.iter().filter(|plugin| plugin.rests_until.is_some()).collect();
    assert_eq!(rests.iter().map(|plugin| &*plugin.name).collect::<Vec<_>>(), ["bad"]);
    // Nor does what never comes to it wait for it, also while one is tried.
    for rest in 0..2 {
        for n in 0..3 {
            let body = format!(r#"{{"do":"nothing","n":"{rest}/{n}"}}"#);
            let answered = post(&gateway.url("/in/in"), &[], body).await;
            gateway.settle().await;
            let state = gateway.story(answered.id()).await.webhook.state;
            assert!(matches!(state, WebhookState::Dispatched { .. }), "{rest}/{n}: {state:?}");
        }
        gateway.clock.advance(REST_MAX);
        gateway.settle().await;
    }
    gateway.stop().await;
}

/// A source whose map fails on what says so, and an endpoint that takes events in order.
fn failing(receiver: &Receiver, on_failure: &str) -> String {
    format!(
        "[[plugin]]\nname = \"bad\"\ncomponent = {:?}\non_failure = \"{on_failure}\"\n[[source]]\nname = \"in\"\nprovider = \
         \"flexprice\"\nplugins = [\"bad\"]\nauth = {{ scheme = \"none\" }}\n{}ordering = \"entity\"\n",
        built("misbehave"),
        receiver.endpoint("app")
    )
}

async fn post_failing(gateway: &Gateway, n: usize) -> String {
    let body = format!(
        r#"{{"event_type":"subscription.updated","subscription":{{"id":"subs_1","updated_at":"2026-08-10T11:{n:02}:00Z","metadata":{{"do":"handles"}}}}}}"#
    );
    let id = post(&gateway.url("/in/in"), &[], body).await.id().to_owned();
    gateway.settle().await;
    id
}

#[tokio::test]
async fn a_step_that_may_be_skipped_is_waited_for_no_longer_because_it_rests() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&failing(&receiver, "skip")).await;
    for n in 0..4 * FAILED_TO_REST {
        post_failing(&gateway, n).await;
    }
    gateway.advance(REST_MAX).await;
    assert_eq!(receiver.received().len(), 0, "it has time to recover");
    gateway.advance(REST_MAX).await;
    let received =
        receiver.received().into_iter().map(|received| received.json()["data"]["occurred_at"].to_string());
    let received: Vec<_> = received.collect();
    assert_eq!(received.len(), 4 * FAILED_TO_REST, "also the one that is tried");
    let in_order_but = |tried: usize| [&received[..tried], &received[tried + 1..]].concat().is_sorted();
    assert!((0..received.len()).any(in_order_but), "all but the one that is tried: {received:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_redriven_dead_letter_waits_no_longer_for_what_rests_either() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&failing(&receiver, "reject")).await;
    let poison = post_failing(&gateway, 0).await;
    for wait in PLUGIN_WAITS {
        gateway.advance(wait).await;
    }
    assert!(matches!(gateway.story(&poison).await.webhook.state, WebhookState::Dead { .. }));
    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &failing(&receiver, "skip"), clock).await;
    for n in 0..FAILED_TO_REST {
        post_failing(&gateway, n + 1).await;
    }
    assert!(ask(&gateway, &["dead-letter", "redrive", "--all"]).await.status.success());
    gateway.settle().await;
    for (wait, is_through) in [(Duration::ZERO, false), (REST_MAX, false), (REST_MAX, true)] {
        gateway.advance(wait).await;
        let state = gateway.story(&poison).await.webhook.state;
        assert_eq!(matches!(state, WebhookState::Dispatched { .. }), is_through, "{state:?}");
    }
    gateway.stop().await;
}
