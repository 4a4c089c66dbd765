//! The rows of the matrix that take many calls: what is too much only together, and what leaves others no room.

use crate::fixtures::{SECRETS, built, grantee};
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{Gateway, START_SECS};
use gateway::api::webhook::WebhookQuery;
use gateway::dispatch::SOURCE_RUNS_MAX;
use gateway::dispatch::pipeline::STEP_BYTES_MAX;
use gateway::model::webhook::WebhookState;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_gives_too_much_for_one_webhook_is_over_its_limit() {
    for on_failure in ["reject", "skip"] {
        let config = format!(
            "[[plugin]]\nname = \"misbehave\"\ncomponent = {:?}\non_failure = {on_failure:?}\n[[source]]\nname = \"bad\"\n\
             provider = \"misbehave\"\nnormalizer = \"misbehave\"\nauth = {{ scheme = \"none\" }}\nplugins = [\"misbehave\"]\n",
            built("misbehave")
        );
        let gateway = Gateway::start(&config).await;
        let answered = post(&gateway.url("/in/bad"), &[], r#"{"do":"bulk"}"#).await;
        gateway.settle().await;
        let state = gateway.story(answered.id()).await.webhook.state;
        let WebhookState::Undispatched { last: Some(why), failures: 1, .. } = &state else {
            panic!("{state:?}")
        };
        let limit = "over its limit: 8388608 bytes of patches and reasons for one webhook; it gave ";
        assert!(why.starts_with("plugin `misbehave`") && why.contains(limit), "{why}");
        for wait in [1, 10, 60, 300] {
            gateway.advance(Duration::from_secs(wait)).await;
        }
        let story = gateway.story(answered.id()).await;
        let bytes: usize = story.events.iter().map(|event| event.event.json.len()).sum();
        match story.webhook.state {
            WebhookState::Dead { .. } => assert_eq!((on_failure, bytes), ("reject", 0)),
            WebhookState::Dispatched { events: 200, .. } => {
                assert_eq!(on_failure, "skip");
                assert!(bytes > STEP_BYTES_MAX / 4 && bytes < STEP_BYTES_MAX, "{bytes}");
            }
            state => panic!("{on_failure}: {state:?}"),
        }
        let listed = gateway.client().webhooks(&WebhookQuery::default()).await.unwrap().items;
        assert_eq!(listed.len(), 1);
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_waits_for_a_host_holds_up_no_other() {
    let host = Receiver::scripted(std::iter::repeat_n(Answer::Hang, 2 * SOURCE_RUNS_MAX)).await;
    let receiver = Receiver::start().await;
    let act = format!("\"ask\", ttl_ms = 60000, url = \"{}\"", host.url());
    let config = format!(
        "{SECRETS}{}[[source]]\nname = \"waits\"\nprovider = \"flexprice\"\nauth = {{ scheme = \"none\" }}\nplugins = \
         [\"waits\"]\n{FLEXPRICE}{}",
        grantee("waits", &act, "limits = { wall = \"60s\" }"),
        receiver.endpoint("app")
    );
    let gateway = Gateway::start(&config).await;
    for n in 0..2 * SOURCE_RUNS_MAX {
        let body = canceled(&format!("subs_{n}"), "price");
        assert_eq!(post(&gateway.url("/in/waits"), &[], body).await.status, 200);
    }
    host.got(SOURCE_RUNS_MAX).await;
    post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, &canceled("other", "price")).await;
    receiver.got(1).await;
    assert_eq!(host.received().len(), SOURCE_RUNS_MAX, "none of them has ended");
    assert_eq!(receiver.received()[0].json()["data"]["subscription"]["id"], "other");
    host.let_go();
    gateway.stop().await;
}
