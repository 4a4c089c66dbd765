//! The rows of the matrix that take many calls: what is too much only together, and what leaves others no room.

use crate::fixtures::built;
use billhook_tests::Gateway;
use billhook_tests::sender::post;
use gateway::api::webhook::WebhookQuery;
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
