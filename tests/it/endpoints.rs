//! The operator's hand on the gate of an endpoint, and the end of trying.

use crate::cli::{ask, text};
use crate::delivery::send;
use crate::line::FLEXPRICE;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::SECRET;
use billhook_tests::{ADMIN_TOKEN, Gateway};
use gateway::api::endpoint::{By, Endpoint, Gate, Turn};
use gateway::client::ClientError;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const HOUR: Duration = Duration::from_secs(3600);

async fn shown(gateway: &Gateway) -> Endpoint {
    gateway.client().endpoint("app").await.unwrap()
}

fn code(error: ClientError) -> (u16, String) {
    match error {
        ClientError::Refused(problem) => (problem.status, problem.code),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_endpoint_that_gives_nothing_but_failures_is_disabled_after_a_notice_and_enabled_by_hand() {
    let receiver = Receiver::scripted(vec![Answer::Status(500); 1000]).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    // One delivery alone: five of its attempts, the fifth after at most 3 h, put the endpoint on trial.
    let first = send(&gateway, "subs_1").await;
    gateway.settle().await;
    for _ in 0..4 {
        gateway.advance(HOUR * 3).await;
    }
    let Gate::Trial { since, .. } = shown(&gateway).await.gate else { panic!("not on trial") };
    let mut told = None;
    while shown(&gateway).await.gate != Gate::Disabled {
        let endpoint = shown(&gateway).await;
        let so_far = gateway.clock.now().since(since);
        assert!(so_far < HOUR * 121, "{endpoint:?}");
        assert_eq!(endpoint.disabled_at.is_some(), so_far >= HOUR * 60, "{so_far:?}");
        told = told.or(endpoint.disabled_at);
        gateway.advance(HOUR).await;
    }
    assert_eq!(told, Some(since.plus(HOUR * 120)));
    assert_eq!(gateway.clock.now().since(since), HOUR * 120);
    let turned = shown(&gateway).await.turned.unwrap();
    assert_eq!(turned.by, By::Gateway);
    assert_eq!(turned.why.as_deref(), Some("nothing but failures for 120 h, the last: HTTP 500"));

    let tried = receiver.received().len();
    send(&gateway, "subs_2").await;
    gateway.advance(HOUR * 1000).await;
    assert_eq!(receiver.received().len(), tried, "what waits is held");
    assert_eq!(gateway.story(&first).await.events[0].deliveries[0].0.state.name(), "waiting");

    receiver.recover();
    let enabled = text(&ask(&gateway, &["endpoint", "enable", "app", "--why", "mended"]).await.stdout);
    assert!(enabled.contains("open") && enabled.contains("by an operator") && enabled.contains("mended"));
    gateway.settle().await;
    assert_eq!(receiver.received().len(), tried + 2, "it goes on with what waited");
    gateway.stop().await;
}

#[tokio::test]
async fn how_long_an_endpoint_may_fail_is_its_own_setting() {
    let receiver = Receiver::scripted(vec![Answer::Status(500); 100]).await;
    let config = format!("{FLEXPRICE}{}disable_after = \"2h\"\n", receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    for n in 0..5 {
        send(&gateway, &format!("subs_{n}")).await;
    }
    gateway.settle().await;
    for (minutes, disabled) in [(61, false), (54, false), (5, true)] {
        gateway.advance(Duration::from_secs(minutes * 60)).await;
        assert_eq!(shown(&gateway).await.gate == Gate::Disabled, disabled, "{minutes}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_pause_holds_what_comes_over_a_restart_until_it_is_resumed() {
    let receiver = Receiver::start().await;
    let mut gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let paused = text(&ask(&gateway, &["endpoint", "pause", "app", "--why", "deploy"]).await.stdout);
    assert!(paused.contains("paused") && paused.contains("billhook endpoint resume app"), "{paused}");
    send(&gateway, "subs_1").await;
    gateway = gateway.restart().await;
    let second = send(&gateway, "subs_2").await;
    gateway.advance(HOUR * 100).await;
    assert_eq!(receiver.received().len(), 0);
    let told = text(&ask(&gateway, &["webhook", "show", &second.to_string()]).await.stdout);
    assert!(told.contains("app: waits: attempt 1 is due now, but the endpoint is paused"), "{told}");
    let listed = text(&ask(&gateway, &["endpoint", "ls"]).await.stdout);
    for expected in ["app", "paused", "2", "by an operator", "deploy"] {
        assert!(listed.contains(expected), "no {expected:?} in:\n{listed}");
    }
    let repeated = gateway.client().pause("app", &Turn { why: Some("again".to_owned()) }).await.unwrap();
    assert_eq!(repeated.turned.unwrap().why.as_deref(), Some("deploy"), "a repeat changes nothing");
    let wrong = gateway.client().enable("app", &Turn::default()).await.unwrap_err();
    assert_eq!(code(wrong), (409, "wrong_gate".to_owned()));
    assert!(ask(&gateway, &["endpoint", "resume", "app"]).await.status.success());
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_answered_410_is_back_once_it_is_enabled() {
    let receiver = Receiver::scripted([Answer::Status(410)]).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    send(&gateway, "subs_1").await;
    gateway.advance(HOUR).await;
    let gone = text(&ask(&gateway, &["endpoint", "show", "app"]).await.stdout);
    assert!(gone.contains("disabled") && gone.contains("410 Gone") && gone.contains("the gateway"), "{gone}");
    let resumed = gateway.client().resume("app", &Turn::default()).await.unwrap_err();
    assert_eq!(code(resumed), (409, "wrong_gate".to_owned()));
    gateway.client().enable("app", &Turn::default()).await.unwrap();
    gateway.settle().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    let unknown = gateway.client().endpoint("nobody").await.unwrap_err();
    assert_eq!(code(unknown), (404, "unknown_endpoint".to_owned()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_test_event_goes_the_way_of_all_others_and_tells_what_came_of_it() {
    let receiver = Receiver::start().await;
    let config = format!(
        "{FLEXPRICE}{}events = [\"invoice.paid\"]\n{}schedule = []\n\
         [[endpoint]]\nname = \"offers\"\nurl = \"{}\"\nprofile = \"windback\"\n",
        receiver.endpoint("app"),
        receiver.endpoint("once"),
        receiver.url()
    );
    let gateway = Gateway::start(&config).await;
    let told = ask(&gateway, &["endpoint", "test", "app"]).await;
    let shown = text(&told.stdout);
    assert!(told.status.success() && shown.contains("delivered") && shown.contains("HTTP 200"), "{shown}");
    let received = receiver.received();
    assert_eq!(received[0].json()["type"], "provider.test");
    assert_eq!(received[0].json()["data"]["provider_event_type"], "billhook.test");
    assert!(received[0].is_signed(SECRET));
    let event = received[0].header("webhook-id");
    let story = text(&ask(&gateway, &["event", "show", event]).await.stdout);
    assert!(story.contains("provider.test") && story.contains("HTTP 200"), "{story}");

    receiver.then([Answer::Status(500)]);
    let told = ask(&gateway, &["endpoint", "test", "app"]).await;
    assert!(!told.status.success() && text(&told.stdout).contains("HTTP 500"));
    assert!(text(&told.stderr).contains("billhook event show evt_"), "{}", text(&told.stderr));
    gateway.client().pause("app", &Turn::default()).await.unwrap();
    let held = ask(&gateway, &["endpoint", "test", "app"]).await;
    assert!(held.status.success() && text(&held.stdout).contains("is not open"));

    // What has ended does not go on.
    receiver.then([Answer::Status(500)]);
    for (name, end) in [
        ("offers", "offers is not sent test events: "),
        ("once", "once has not taken it, and is not asked again: the only attempt failed: HTTP 500"),
    ] {
        let told = ask(&gateway, &["endpoint", "test", name]).await;
        let said = text(&told.stderr);
        assert!(!told.status.success() && said.contains(end) && !said.contains("goes on"), "{said}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_order_is_carried_out_although_who_gave_it_hangs_up() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    assert!(ask(&gateway, &["endpoint", "pause", "app"]).await.status.success());
    send(&gateway, "subs_1").await;
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 0);
    let url: url::Url = gateway.admin_url().parse().unwrap();
    let address = (url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let order = format!(
        "POST /api/v1/endpoints/app/resume HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(order.as_bytes()).await.unwrap();
    drop(stream);
    // Not settled, which would wake whoever sends.
    tokio::time::timeout(Duration::from_secs(60), receiver.got(1)).await.expect("somebody is woken");
    gateway.stop().await;
}
