//! What plugins are granted: buckets that commit with their run, secrets, hosts.

use crate::fixtures::{SECRETS, grantee};
use crate::line::canceled;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::post;
use billhook_tests::{Gateway, START_SECS};
use gateway::model::Time;
use gateway::model::kv::{Bucket, KvEntry, KvKey};
use gateway::model::webhook::WebhookState;
use std::time::Duration;
use tokio::task::JoinSet;

/// A plugin called `name` and a source of that name which has it.
fn line(name: &str, act: &str, more: &str) -> String {
    format!(
        "{}[[source]]\nname = \"{name}\"\nprovider = \"flexprice\"\nauth = {{ scheme = \"none\" }}\nplugins = \
         [\"{name}\"]\ndedupe = []\n",
        grantee(name, act, more)
    )
}

async fn kept(gateway: &Gateway, plugin: &str, key: &str) -> Option<KvEntry> {
    let bucket = Bucket { plugin: plugin.to_owned(), name: "seen".to_owned() };
    let key = KvKey { bucket, key: key.to_owned() };
    gateway.store().kv(&key, gateway.clock.now()).await.unwrap()
}

/// Posts one cancellation and says why its event was dropped, if it was.
async fn dropped(gateway: &Gateway, source: &str) -> Option<String> {
    let url = gateway.url(&format!("/in/{source}"));
    let answered = post(&url, &[], canceled("subs_1", "price")).await;
    gateway.settle().await;
    let story = gateway.story(answered.id()).await;
    assert_eq!(story.events.len(), 1, "{source}: {:?}", story.webhook.state);
    story.events[0].event.dropped.clone().map(|(_, why)| why)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_at_once_see_each_other_through_what_they_commit() {
    let receiver = Receiver::start().await;
    let config = [
        SECRETS.to_owned(),
        line("once", "\"once\", ttl_ms = 60000", ""),
        line("count", "\"count\"", ""),
        receiver.endpoint("app"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for source in ["once", "count"] {
        let mut posts = JoinSet::new();
        for _ in 0..20 {
            let url = gateway.url(&format!("/in/{source}"));
            posts.spawn(async move { post(&url, &[], canceled("subs_1", "price")).await.id().to_owned() });
        }
        let ids = posts.join_all().await;
        gateway.settle().await;
        // Whoever met a conflict too often steps back for a second.
        for _ in 0..20 {
            gateway.advance(Duration::from_secs(1)).await;
        }
        let mut kept = 0;
        for id in ids {
            let story = gateway.story(&id).await;
            assert!(
                matches!(story.webhook.state, WebhookState::Dispatched { .. }),
                "{:?}",
                story.webhook.state
            );
            match &story.events[0].event.dropped {
                None => kept += 1,
                Some((plugin, why)) => assert_eq!((plugin.as_str(), why.as_str()), ("once", "seen before")),
            }
        }
        assert_eq!(kept, if source == "once" { 1 } else { 20 }, "{source}");
    }
    assert_eq!(kept(&gateway, "count", "subs_1").await.unwrap().value, "20", "no count is lost");
    assert_eq!(dropped(&gateway, "once").await.as_deref(), Some("seen before"));
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(dropped(&gateway, "once").await, None, "its time is over");
    let gateway = gateway.restart().await;
    assert_eq!(dropped(&gateway, "once").await.as_deref(), Some("seen before"), "a restart forgets nothing");
    gateway.stop().await;
}

#[tokio::test]
async fn a_bucket_is_its_plugins_own_and_has_its_bounds() {
    let cases = [
        ("read", "\"read\"", Some("nothing")),
        ("readagain", "\"read again\"", Some("true true")),
        ("others", "\"open others\"", Some("[false, false]")),
        ("longvalue", "\"long value\"", Some("over its quota: 32768 bytes of a value")),
        ("longkey", "\"long key\"", Some("over its quota: 512 bytes of a key")),
        ("many", "\"many\"", Some("over its quota: 100 keys written in one run")),
        ("once", "\"once\"", None),
    ];
    let lines = cases.iter().map(|(name, act, _)| line(name, act, ""));
    let failing = line("fails", "\"set and fail\"", "on_failure = \"skip\"");
    let gateway = Gateway::start(&[SECRETS.to_owned(), lines.collect(), failing].concat()).await;
    assert_eq!(dropped(&gateway, "once").await, None);
    for (source, _, expected) in cases {
        let expected = if source == "once" { Some("seen before") } else { expected };
        assert_eq!(dropped(&gateway, source).await.as_deref(), expected, "{source}");
    }
    assert!(kept(&gateway, "many", "0").await.is_some(), "what was written before the bound stays");
    assert_eq!(dropped(&gateway, "fails").await, None, "it goes on without the plugin");
    assert_eq!(kept(&gateway, "fails", "subs_1").await, None, "a call that fails leaves nothing");
    gateway.stop().await;
}

/// What the plugin said to the one event of a new webhook.
async fn asked(gateway: &Gateway, source: &str) -> String {
    let url = gateway.url(&format!("/in/{source}"));
    let answered = post(&url, &[], canceled("subs_1", "price")).await;
    gateway.settle().await;
    let story = gateway.story(answered.id()).await;
    assert_eq!(story.events.len(), 1, "{source}: {:?}", story.webhook.state);
    let event: serde_json::Value = serde_json::from_slice(&story.events[0].event.json).unwrap();
    event["annotations"][source].as_str().unwrap_or_else(|| panic!("{event}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_host_is_asked_and_no_other() {
    let host = Receiver::start().await;
    let asking = |name: &str, act: &str, url: &str| line(name, &format!("\"{act}\", url = \"{url}\""), "");
    let config = [
        SECRETS.to_owned(),
        asking("ask", "ask", &host.url()),
        line("hasty", &format!("\"ask\", ttl_ms = 50, url = \"{}\"", host.url()), ""),
        asking("ungranted", "ask", &format!("http://localhost:{}/", host.addr.port())),
        asking("often", "ask too often", &host.url()),
        asking("badly", "ask badly", &host.url()),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    host.then([Answer::With(418, "x-answer", "yes".to_owned(), b"a teapot".to_vec())]);
    assert_eq!(asked(&gateway, "ask").await, "418 yes a teapot");
    let got = host.received();
    assert_eq!((got[0].header("authorization"), &got[0].body[..]), ("new-token", &b"question"[..]));

    let elsewhere = format!("{}/elsewhere", host.url());
    host.then([Answer::With(302, "location", elsewhere, Vec::new())]);
    assert_eq!(asked(&gateway, "ask").await, "302 - ");
    assert_eq!(host.received().len(), 2, "a redirect is not followed");
    host.then([Answer::With(200, "x-answer", "long".to_owned(), vec![b'x'; (1 << 20) + 1])]);
    assert_eq!(asked(&gateway, "ask").await, "longer than 1048576 bytes");
    host.then([Answer::Close]);
    assert!(asked(&gateway, "ask").await.starts_with("failed: "));
    host.then([Answer::Hang]);
    assert_eq!(asked(&gateway, "hasty").await, "nobody answered in time");

    let before = host.received().len();
    assert_eq!(asked(&gateway, "ungranted").await, "denied: `http:localhost` is not granted");
    assert_eq!(asked(&gateway, "badly").await, "denied: `host` is the gateway's");
    assert_eq!(host.received().len(), before);
    assert_eq!(asked(&gateway, "often").await, "10 denied: more than 10 requests in one call");
    assert_eq!(gateway.clock.now(), Time::from_secs(START_SECS));
    gateway.stop().await;
}

#[tokio::test]
async fn limits_are_those_of_the_configuration() {
    let limits = "limits = { cpu = \"50ms\", wall = \"1m\", memory = \"2MiB\", host_calls = 50, handles = 3, log_lines = 1 }";
    let gateway = Gateway::start(&[SECRETS.to_owned(), line("many", "\"many\"", limits)].concat()).await;
    let answered = post(&gateway.url("/in/many"), &[], canceled("subs_1", "price")).await;
    gateway.settle().await;
    let state = gateway.story(answered.id()).await.webhook.state;
    let WebhookState::Undispatched { last: Some(why), .. } = state else { panic!("{state:?}") };
    assert!(why.starts_with("plugin `many` 0.1.0 ("), "{why}");
    let id = answered.id();
    assert!(
        why.ends_with(&format!(") at `filter` of {id}: over its limit: 50 host calls (`host_calls`)")),
        "{why}"
    );
    gateway.stop().await;
}
