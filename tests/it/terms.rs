//! On which terms an endpoint takes events: how fast, in which order, and what comes too late.

use crate::cli::{ask, text};
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::{Answer, Received, Receiver};
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{Gateway, START_SECS};
use gateway::model::rest::FAILED_TO_REST;
use std::time::Duration;

/// Sends a cancellation of `subscription` that happened in `second` of the minute before the start.
async fn send(gateway: &Gateway, message: &str, subscription: &str, second: u64) -> String {
    let body = canceled(subscription, "price").replace("11:59:00Z", &format!("11:59:{second:02}Z"));
    let url = gateway.url("/in/flexprice");
    let answered = post_signed(&url, message, gateway.clock.now().secs(), &body).await;
    assert_eq!(answered.status, 200);
    answered.id().to_owned()
}

fn config(receiver: &Receiver, settings: &str) -> String {
    format!("{FLEXPRICE}{}{settings}\n", receiver.endpoint("app"))
}

/// The subscriptions of what arrived, with the seconds in which they were cancelled.
fn told(received: &[Received]) -> Vec<String> {
    let one = |received: &Received| {
        let json = received.json();
        let at = json["timestamp"].as_str().unwrap();
        format!("{}@{}", json["data"]["subscription"]["id"].as_str().unwrap(), &at[17..19])
    };
    received.iter().map(one).collect()
}

#[tokio::test]
async fn a_rate_spreads_what_is_owed_and_a_429_slows_it() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver, "rate = \"2/s\"")).await;
    for n in 0..5 {
        send(&gateway, &format!("msg_{n}"), &format!("subs_{n}"), n).await;
    }
    gateway.settle().await;
    for (millis, n) in [(0, 2), (499, 2), (1, 3), (500, 4), (500, 5)] {
        gateway.advance(Duration::from_millis(millis)).await;
        assert_eq!(receiver.received().len(), n, "after {millis} ms more");
    }
    receiver.then([Answer::Status(429)]);
    gateway.advance(Duration::from_secs(5)).await;
    for n in 5..9 {
        send(&gateway, &format!("msg_{n}"), &format!("subs_{n}"), n).await;
        gateway.settle().await;
    }
    // Half of it from now on: one a second, and the one that was refused after a minute.
    for (millis, n) in [(0, 6), (999, 6), (1, 7), (1000, 8), (1000, 9), (50_000, 9), (10_000, 10)] {
        gateway.advance(Duration::from_millis(millis)).await;
        assert_eq!(receiver.received().len(), n, "after {millis} ms more");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_retried_holds_its_own_entity_and_no_other_also_over_a_restart() {
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let config = config(&receiver, "ordering = \"entity\"\nschedule = [\"1m\", \"2m\"]");
    let mut gateway = Gateway::start(&config).await;
    let mut webhooks = vec![send(&gateway, "msg_1", "subs_a", 1).await];
    gateway.settle().await;
    for (n, subscription) in ["subs_a", "subs_b", "subs_a", "subs_b"].into_iter().enumerate() {
        webhooks.push(send(&gateway, &format!("msg_{}", n + 2), subscription, n as u64 + 2).await);
        gateway.settle().await;
    }
    assert_eq!(told(&receiver.received()), ["subs_a@01", "subs_b@03", "subs_b@05"]);
    let mut stories = Vec::new();
    for webhook in &webhooks {
        let story = gateway.client().webhook(webhook.parse().unwrap()).await.unwrap();
        stories.extend(story.events.into_iter().flat_map(|event| event.deliveries));
    }
    let first = Some(stories[0].delivery.id);
    let behind: Vec<_> = stories.iter().map(|story| story.behind).collect();
    assert_eq!(behind, [None, first, None, first, None], "each says what it waits for");
    gateway = gateway.restart().await;
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 3);
    receiver.then([Answer::Status(500), Answer::Status(500)]);
    gateway.advance(Duration::from_secs(72)).await;
    assert_eq!(told(&receiver.received()[3..]), ["subs_a@01"]);
    // The last attempt fails too: what is dead makes room.
    gateway.advance(Duration::from_secs(144)).await;
    assert_eq!(told(&receiver.received()[4..]), ["subs_a@01", "subs_a@02", "subs_a@04"]);
    send(&gateway, "msg_9", "subs_a", 9).await;
    gateway.settle().await;
    assert_eq!(told(&receiver.received()[7..]), ["subs_a@09"]);
    assert!(receiver.received().iter().all(|received| received.headers.get("billhook-stale").is_none()));
    gateway.stop().await;
}

#[tokio::test]
async fn the_events_of_an_entity_are_sent_one_at_a_time() {
    let receiver = Receiver::scripted(vec![Answer::Hang; 2]).await;
    let gateway = Gateway::start(&config(&receiver, "ordering = \"entity\"")).await;
    for (n, subscription) in ["subs_a", "subs_a", "subs_b"].into_iter().enumerate() {
        send(&gateway, &format!("msg_{n}"), subscription, n as u64).await;
    }
    receiver.got(2).await;
    let mut under_way = told(&receiver.received());
    under_way.sort();
    assert_eq!(under_way, ["subs_a@00", "subs_b@02"]);
    receiver.let_go();
    gateway.settle().await;
    assert_eq!(told(&receiver.received()[2..]), ["subs_a@01"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_side_by_side_is_sent_in_the_order_of_arrival() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver, "ordering = \"entity\"")).await;
    let mut expected = Vec::new();
    for n in 0..60 {
        send(&gateway, &format!("msg_{n}"), &format!("subs_{}", n % 2), n).await;
        expected.push(format!("subs_{}@{n:02}", n % 2));
    }
    gateway.settle().await;
    let told = told(&receiver.received());
    for subscription in ["subs_0", "subs_1"] {
        let of = |all: &[String]| {
            all.iter().filter(|one| one.starts_with(subscription)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(of(&told), of(&expected));
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_of_another_source_that_rests_changes_no_order() {
    let receiver = Receiver::start().await;
    let broken = "[[plugin]]\nname = \"wingback\"\nlimits = { host_calls = 1 }\n\
                  [[source]]\nname = \"wb\"\nprovider = \"wingback\"\nauth = { scheme = \"none\" }\n";
    let config = format!("{broken}{}", config(&receiver, "ordering = \"entity\""));
    let gateway = Gateway::start(&config).await;
    let mut expected = Vec::new();
    for n in 0..40 {
        // A replay goes by the time of arrival.
        gateway.advance(Duration::from_millis(1)).await;
        send(&gateway, &format!("msg_{n}"), "subs_a", n).await;
        expected.push(format!("subs_a@{n:02}"));
    }
    gateway.settle().await;
    for n in 0..FAILED_TO_REST {
        let body = format!(r#"{{"id":"Cont_{n}"}}"#);
        post(&gateway.url("/in/wb/v1.contract.cancellation.scheduled"), &[], body).await;
        gateway.settle().await;
    }
    let waits = text(&ask(&gateway, &["webhook", "ls", "--limit", "100"]).await.stdout);
    assert!(waits.contains("host_calls"), "{waits}");
    let replay = ["replay", "reprocess", "--resend", "--source", "flexprice"];
    assert!(ask(&gateway, &replay).await.status.success());
    gateway.settle().await;
    assert_eq!(told(&receiver.received()[40..]), expected);
    gateway.stop().await;
}

#[tokio::test]
async fn what_comes_after_a_later_one_is_marked_in_a_header_and_in_its_story() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver, "")).await;
    for (message, second) in [("msg_1", 10), ("msg_2", 5), ("msg_3", 10)] {
        let webhook = send(&gateway, message, "subs_a", second).await;
        gateway.settle().await;
        let received = receiver.received().pop().unwrap();
        let is_stale = second < 10;
        let marked = received.headers.get("billhook-stale").map(|value| value.to_str().unwrap());
        assert_eq!(marked, is_stale.then_some("true"), "{message}");
        let story = text(&ask(&gateway, &["event", "show", received.header("webhook-id")]).await.stdout);
        assert_eq!(story.contains("is later and was taken before"), is_stale, "{story}");
        let delivery = gateway.story(&webhook).await.events[0].deliveries[0].0.id.to_string();
        let shown = text(&ask(&gateway, &["delivery", "show", &delivery]).await.stdout);
        assert_eq!(shown.contains("is later and was taken before"), is_stale, "{shown}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_comes_after_a_later_one_is_skipped_where_the_endpoint_wants_none_of_it() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&config(&receiver, "stale = \"skip\"")).await;
    send(&gateway, "msg_1", "subs_a", 10).await;
    gateway.settle().await;
    let late = send(&gateway, "msg_2", "subs_a", 5).await;
    send(&gateway, "msg_3", "subs_b", 5).await;
    gateway.settle().await;
    assert_eq!(told(&receiver.received()), ["subs_a@10", "subs_b@05"]);
    let skipped = gateway.story(&late).await.events[0].deliveries[0].0.clone();
    let newest = receiver.received()[0].header("webhook-id").to_owned();
    assert_eq!(skipped.state.name(), "skipped");
    let listed = text(&ask(&gateway, &["delivery", "ls", "--state", "skipped"]).await.stdout);
    assert!(listed.contains(&format!("stale: {newest} is later")), "{listed}");

    assert!(ask(&gateway, &["delivery", "resend", &skipped.id.to_string()]).await.status.success());
    gateway.settle().await;
    let resent = &receiver.received()[2];
    assert_eq!(told(std::slice::from_ref(resent)), ["subs_a@05"], "what is asked for by hand is sent");
    assert_eq!(resent.header("billhook-stale"), "true");
    assert_eq!(gateway.clock.now().secs(), START_SECS);
    gateway.stop().await;
}

#[tokio::test]
async fn a_time_that_was_wrong_makes_nothing_stale_once_it_is_mended() {
    let receiver = Receiver::start().await;
    let read_by = |normalizer: &str| {
        let source = "[[source]]\nname = \"in\"\nprovider = \"stripe\"\nauth = { scheme = \"none\" }\n";
        format!("{source}normalizer = \"{normalizer}\"\n{}stale = \"skip\"\n", receiver.endpoint("app"))
    };
    // Both read it, each with a time of its own.
    let body = |id: &str, created: u64| {
        format!(
            r#"{{"id":"{id}","object":"event","type":"customer.updated","created":{created},
                "data":{{"object":{{"id":"cus_1","object":"customer"}}}},
                "event_type":"customer_changed","occurred_at":4102444800,"content":{{"customer":{{"id":"cus_1"}}}}}}"#
        )
    };
    let gateway = Gateway::start(&read_by("chargebee")).await;
    assert_eq!(post(&gateway.url("/in/in"), &[], body("ev_1", 1_700_000_000)).await.status, 200);
    gateway.settle().await;
    assert_eq!(receiver.received()[0].json()["timestamp"], "2100-01-01T00:00:00.000Z");
    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &read_by("stripe"), clock).await;
    assert!(ask(&gateway, &["replay", "reprocess"]).await.status.success());
    gateway.settle().await;
    let mended = receiver.received().pop().unwrap();
    assert_eq!(mended.json()["timestamp"], "2023-11-14T22:13:20.000Z");
    assert_eq!(mended.headers.get("billhook-stale"), None, "it is not older than itself");
    assert_eq!(post(&gateway.url("/in/in"), &[], body("ev_2", 1_700_000_060)).await.status, 200);
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 3, "what comes after it is sent");
    gateway.stop().await;
}

#[tokio::test]
async fn what_waits_behind_an_event_that_a_rerun_ends_is_sent_at_once() {
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let filtered = |rules: &str| {
        format!(
            "[[plugin]]\nname = \"event-filter\"\nconfig = {{ drop = [{rules}] }}\n{}",
            config(&receiver, "ordering = \"entity\"\nschedule = [\"1h\"]")
                .replace("\"cancel-strategy\"]", "\"event-filter\"]")
        )
    };
    let gateway = Gateway::start(&filtered("")).await;
    let first = gateway.clock.now();
    send(&gateway, "msg_1", "subs_a", 1).await;
    gateway.settle().await;
    gateway.advance(Duration::from_secs(1)).await;
    send(&gateway, "msg_2", "subs_a", 2).await;
    gateway.settle().await;
    assert_eq!(told(&receiver.received()), ["subs_a@01"]);
    let (dir, _, clock) = gateway.stop().await;
    let rule = "{ name = \"none\", types = [\"subscription.canceled\"] }";
    let gateway = Gateway::start_in(dir, &filtered(rule), clock).await;
    let only_the_first = ["replay", "reprocess", "--until", &first.to_string()];
    assert!(ask(&gateway, &only_the_first).await.status.success());
    // Not settled, which would wake whoever sends.
    let sent = tokio::time::timeout(Duration::from_secs(60), receiver.got(2)).await;
    assert_eq!(told(&sent.expect("somebody is woken")[1..]), ["subs_a@02"]);

    // Neither the one that was withdrawn nor a test is sent again in bulk.
    assert!(ask(&gateway, &["endpoint", "test", "app"]).await.status.success());
    gateway.settle().await;
    let counted = text(&ask(&gateway, &["replay", "resend", "--dry-run"]).await.stdout);
    assert!(counted.contains(": 1; nothing was moved"), "{counted}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_happened_to_one_invoice_makes_nothing_of_another_stale() {
    let receiver = Receiver::start().await;
    let source = "[[source]]\nname = \"in\"\nprovider = \"stripe\"\nauth = { scheme = \"none\" }\n";
    let config = format!("{source}{}stale = \"skip\"\n", receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    let customer = r#","customer":"cus_1""#;
    for (n, (kind, invoice, customer, second)) in [
        ("invoice.paid", "in_b", customer, 60),
        ("invoice.paid", "in_a", customer, 10),
        ("invoice.finalized", "in_a", customer, 5),
        ("invoice.finalized", "in_c", "", 5),
    ]
    .into_iter()
    .enumerate()
    {
        let created = 1_700_000_000 + second;
        let body = format!(
            r#"{{"id":"evt_{n}","object":"event","type":"{kind}","created":{created},
                "data":{{"object":{{"id":"{invoice}","object":"invoice"{customer}}}}}}}"#
        );
        assert_eq!(post(&gateway.url("/in/in"), &[], body).await.status, 200);
        gateway.settle().await;
    }
    let about = |received: &Received| {
        let json = received.json();
        let of = |pointer| json.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        [of("/type"), of("/data/invoice/id"), of("/data/ordering_key")].join(" ")
    };
    assert_eq!(
        receiver.received().iter().map(about).collect::<Vec<_>>(),
        [
            "invoice.paid in_b stripe:in:cus_1",
            "invoice.paid in_a stripe:in:cus_1",
            "invoice.finalized in_c stripe:in:in_c"
        ],
        "of one invoice what came late is skipped, and one of nobody is its own"
    );
    gateway.stop().await;
}
