//! Profiles: what each ecosystem's receivers get, which answer they may give, and when they are asked again.

use crate::breadth::{hex_signature, source};
use crate::docs::{blocks, page};
use crate::line::{FLEXPRICE, canceled};
use base64::{Engine, engine::general_purpose::STANDARD};
use billhook_tests::receiver::{Answer, Received, Receiver};
use billhook_tests::sender::{SECRET, post, post_signed, sign};
use billhook_tests::{Gateway, START_SECS};
use gateway::api::redrive::DeadLetterQuery;
use gateway::model::delivery::DeliveryState;
use gateway::model::endpoint::Gate;
use gateway::model::id::EndpointId;
use gateway::store::Page;
use serde_json::{Value, json};
use std::time::Duration;

const SHARED: &str = "a shared secret";

const WINDBACK: &str = r#"
[[source]]
name = "windback"
provider = "windback"
auth = { scheme = "path-key" }
public_keys = ["pub_test"]
"#;

/// An endpoint of `receiver` that its path names.
fn endpoint(receiver: &Receiver, name: &str, settings: &str) -> String {
    format!("[[endpoint]]\nname = \"{name}\"\nurl = \"http://{}/{name}\"\n{settings}\n", receiver.addr)
}

/// One endpoint for each profile, and one for each format that is none.
fn endpoints(receiver: &Receiver) -> String {
    let ours = format!("secret = \"{SECRET}\"");
    let theirs = format!("secret = \"{SHARED}\"");
    let settings = [
        ("standard", &*ours),
        ("flexprice", &ours),
        ("abowire", ""),
        ("wingspan", &theirs),
        ("wingback", &ours),
        ("windback", ""),
    ];
    let profiles = settings.map(|(name, secret)| {
        endpoint(receiver, name, &format!("profile = \"{name}\"\n{secret}\nquery = {{ token = \"t0ken\" }}"))
    });
    let formats =
        ["cloudevents", "raw"].map(|name| endpoint(receiver, name, &format!("format = \"{name}\"\n{ours}")));
    [profiles.concat(), formats.concat()].concat()
}

/// A cancellation with all that Windback's custom webhook can say.
fn cancellation() -> Value {
    json!({
        "customer_email": "ada@example.com", "customer_name": "Ada", "event_type": "cancellation",
        "cancel_reason": "Pricey for two people", "mrr": 1999, "currency": "eur", "provider": "paddle",
        "plan_name": "Duo", "tenure_days": 41,
    })
}

/// Posts a webhook of Windback, whose senders are told nothing but that all is well, and finds its id.
async fn send(gateway: &Gateway, body: impl Into<Vec<u8>>) -> String {
    let answered = post(&gateway.url("/in/windback/pub_test"), &[], body).await;
    assert_eq!((answered.status, &answered.body["status"]), (200, &"ok".into()));
    let page = Page { after: Vec::new(), n: 100 };
    let webhooks = gateway.store().list_webhooks(false, page).await.unwrap().rows;
    let ours: Vec<_> = webhooks.iter().filter(|webhook| webhook.head.source == "windback").collect();
    assert_eq!(ours.len(), 1, "a test sends one");
    ours[0].id.to_string()
}

/// What arrived at an endpoint, in order.
fn at(received: &[Received], name: &str) -> Vec<Received> {
    let path = format!("/{name}");
    received.iter().filter(|request| request.path.split('?').next() == Some(&path)).cloned().collect()
}

#[tokio::test]
async fn every_profile_and_format_keeps_its_bytes_and_signs_as_its_receivers_expect() {
    let receiver = Receiver::scripted(vec![Answer::Status(500); 8]).await;
    let gateway = Gateway::start(&format!("{WINDBACK}{}", endpoints(&receiver))).await;
    let body = cancellation().to_string();
    send(&gateway, body.as_str()).await;
    gateway.settle().await;
    gateway.advance(Duration::from_secs(13)).await;
    let received = receiver.received();
    assert_eq!(received.len(), 16, "each of eight was tried twice");
    let types = [
        ("standard", "application/json"),
        ("flexprice", "application/json"),
        ("abowire", "application/json"),
        ("wingspan", "application/json"),
        ("wingback", "application/json"),
        ("windback", "application/json"),
        ("cloudevents", "application/cloudevents+json"),
        ("raw", "application/json"),
    ];
    for (name, content_type) in types {
        let [first, second] = &at(&received, name)[..] else { panic!("{name}") };
        assert_eq!(first.body, second.body, "{name}");
        for attempt in [first, second] {
            assert_eq!(attempt.header("content-type"), content_type, "{name}");
            assert!(attempt.header("webhook-id").starts_with("evt_"), "{name}");
            assert_eq!(attempt.header("webhook-id"), first.header("webhook-id"), "{name}");
            assert!(attempt.header("webhook-timestamp").parse::<u64>().unwrap() >= START_SECS, "{name}");
            let by_standard = ["standard", "flexprice", "wingback", "cloudevents", "raw"].contains(&name);
            assert_eq!(attempt.is_signed(SECRET), by_standard, "{name}");
            assert_eq!(attempt.headers.contains_key("webhook-signature"), by_standard, "{name}");
            let text = std::str::from_utf8(&attempt.body).unwrap();
            assert!(!text.contains("t0ken"), "{name} tells a secret of its URL: {text}");
            let hex = if name == "wingspan" { hex_signature(SHARED, text) } else { String::new() };
            assert_eq!(attempt.header("x-wingspan-signature"), hex, "{name}");
        }
    }
    let raw = &at(&received, "raw")[0];
    assert_eq!(raw.body, body, "the bytes as they came");
    assert_eq!(at(&received, "windback")[0].json(), cancellation(), "out as it came in");
    let event = &at(&received, "standard")[0].json()["data"];
    assert_eq!(&at(&received, "cloudevents")[0].json()["data"], event);
    for name in ["flexprice", "abowire", "wingspan"] {
        assert_eq!(&at(&received, name)[0].json()["event"], event, "{name}");
    }
    gateway.stop().await;
}

/// Whether what is shown is what was sent, but for ids and for what `"..."` stands for.
fn assert_shown(shown: &Value, sent: &Value, place: &str) {
    match (shown, sent) {
        (Value::Object(shown), Value::Object(sent)) => {
            if shown.contains_key("...") {
                assert!(!sent.is_empty(), "{place}");
                return;
            }
            assert_eq!(shown.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>(), "{place}");
            for (key, value) in shown {
                assert_shown(value, &sent[key], &format!("{place}/{key}"));
            }
        }
        (Value::String(shown), Value::String(sent))
            if place.ends_with("/id") || place.ends_with("/eventId") =>
        {
            assert_eq!(shown.len(), sent.len(), "{place}: {sent}");
            let pattern = |id: &str| id.replace(|c: char| c.is_ascii_alphanumeric(), "x");
            assert_eq!(pattern(shown), pattern(sent), "{place}: {sent}");
        }
        _ => assert_eq!(shown, sent, "{place}"),
    }
}

#[tokio::test]
async fn the_bodies_that_integrators_are_shown_are_those_that_are_sent() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{WINDBACK}{}", endpoints(&receiver))).await;
    let mut body = cancellation();
    body["provider_customer_id"] = "cus_9".into();
    body["provider_subscription_id"] = "sub_9".into();
    send(&gateway, body.to_string()).await;
    gateway.settle().await;
    let (received, text) = (receiver.received(), page("docs/integrators.md"));
    for name in ["cloudevents", "flexprice", "abowire", "wingspan", "wingback", "windback"] {
        let section = text.split(&format!("### `{name}`\n")).nth(1).unwrap_or_else(|| panic!("no {name}"));
        let shown: Value = serde_json::from_str(blocks(section, "json")[0]).unwrap();
        let sent = std::str::from_utf8(&at(&received, name)[0].body).unwrap().to_owned();
        let sent = sent.replace(&format!("http://{}/{name}", receiver.addr), "https://app.example.com/hooks");
        assert_shown(&shown, &serde_json::from_str(&sent).unwrap(), name);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn abowire_takes_200_only_and_is_asked_three_times_more_within_half_a_minute() {
    // 429 and 504 do not stretch a schedule of its own.
    let receiver = Receiver::scripted([202, 429, 504, 204, 200].map(Answer::Status)).await;
    let config = format!("{WINDBACK}{}", endpoint(&receiver, "app", "profile = \"abowire\""));
    let gateway = Gateway::start(&config).await;
    let webhook = send(&gateway, cancellation().to_string()).await;
    gateway.settle().await;
    for (n, wait) in [(1, 5u64), (2, 10), (3, 15)] {
        assert_eq!(receiver.received().len(), n);
        gateway.advance(Duration::from_millis(wait * 1000 - 1)).await;
        assert_eq!(receiver.received().len(), n, "attempt {} came too early", n + 1);
        gateway.advance(Duration::from_millis(1)).await;
    }
    assert_eq!(receiver.received().len(), 4);
    let story = gateway.story(&webhook).await;
    let DeliveryState::Dead { why, .. } = &story.events[0].deliveries[0].0.state else { panic!("not dead") };
    assert_eq!(why, "all 4 attempts failed, the last: HTTP 204");
    gateway.stop().await;
}

#[tokio::test]
async fn flexprice_takes_any_2xx_and_is_asked_ever_more_seldom() {
    let receiver = Receiver::scripted([429, 500, 202].map(Answer::Status)).await;
    let settings = format!("profile = \"flexprice\"\nsecret = \"{SECRET}\"");
    let config = format!("{WINDBACK}{}", endpoint(&receiver, "app", &settings));
    let gateway = Gateway::start(&config).await;
    let webhook = send(&gateway, cancellation().to_string()).await;
    gateway.settle().await;
    for (n, wait) in [(1, 10u64), (2, 30)] {
        assert_eq!(receiver.received().len(), n);
        gateway.advance(Duration::from_millis(wait * 800 - 1)).await;
        assert_eq!(receiver.received().len(), n, "attempt {} came too early", n + 1);
        gateway.advance(Duration::from_millis(wait * 400 + 1)).await;
    }
    assert_eq!(receiver.received().len(), 3);
    let story = gateway.story(&webhook).await;
    assert_eq!(story.events[0].deliveries[0].0.state.name(), "delivered");
    gateway.stop().await;
}

#[tokio::test]
async fn what_windback_would_drop_is_skipped_and_neither_sent_nor_dead() {
    let receiver = Receiver::start().await;
    let config = format!("{FLEXPRICE}{WINDBACK}{}", endpoint(&receiver, "app", "profile = \"windback\""));
    let gateway = Gateway::start(&config).await;
    let mut skipped = Vec::new();
    // More than would close the gate of an endpoint that fails.
    for n in 0..7 {
        let (now, body) = (gateway.clock.now().secs(), canceled(&format!("subs_{n}"), "price"));
        let answered = post_signed(&gateway.url("/in/flexprice"), &format!("msg_{n}"), now, &body).await;
        skipped.push(answered.id().to_owned());
        gateway.settle().await;
    }
    assert!(receiver.received().is_empty());
    for webhook in &skipped {
        let story = gateway.story(webhook).await;
        let (delivery, attempts) = &story.events[0].deliveries[0];
        let DeliveryState::Skipped { why, .. } = &delivery.state else { panic!("{delivery:?}") };
        assert_eq!(why, "the event lacks what this endpoint requires: `customer_email`");
        assert_eq!(attempts.len(), 1);
    }
    assert_eq!(gateway.store().gate(EndpointId::derive("app")).await.unwrap().gate, Gate::Open);
    let client = gateway.client();
    assert!(client.dead_letters(&DeadLetterQuery::default()).await.unwrap().items.is_empty());
    let query = gateway::api::delivery::DeliveryQuery { state: Some("skipped".into()), ..Default::default() };
    assert_eq!(client.deliveries(&query).await.unwrap().items.len(), 7);
    let stats = gateway.store().stats().await.unwrap();
    assert_eq!((stats.waiting, stats.delivered, stats.dead), (0, 0, 0));

    let webhook = send(&gateway, cancellation().to_string()).await;
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 1, "what is whole is sent");
    let story = gateway.story(&webhook).await;
    assert_eq!(story.events[0].deliveries[0].0.state.name(), "delivered");
    gateway.stop().await;
}

#[tokio::test]
async fn a_raw_webhook_goes_on_with_the_headers_that_were_asked_for() {
    let receiver = Receiver::start().await;
    let original =
        |headers: &str| format!("format = \"raw\"\nsignature = \"none\"\noriginal_headers = {headers}");
    let config = [
        source("wingspan", SHARED, &[]),
        FLEXPRICE.to_owned(),
        endpoint(&receiver, "some", &original("[\"X-Wingspan-Signature\"]")),
        endpoint(&receiver, "all", &original("[\"*\"]")),
        endpoint(
            &receiver,
            "ours",
            &format!("format = \"raw\"\nsecret = \"{SECRET}\"\noriginal_headers = [\"*\"]"),
        ),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let body = "{ \"eventId\":\"ev_1\", \"eventType\":\"InvoicePaid\",\r\n\"data\":{\"invoiceId\":\"inv_1\",\"amount\":10.50} }\n";
    let signature = hex_signature(SHARED, body);
    let headers = [
        ("x-wingspan-signature", signature.as_str()),
        ("x-trace", "abc"),
        ("authorization", "Bearer hunter2"),
        ("user-agent", "Wingspan/1"),
    ];
    assert_eq!(post(&gateway.url("/in/wingspan"), &headers, body).await.status, 200);
    gateway.settle().await;
    let received = receiver.received();
    for name in ["some", "all", "ours"] {
        let sent = &at(&received, name)[0];
        assert_eq!(sent.body, body, "{name}: byte for byte");
        assert_eq!(sent.header("content-type"), "application/json", "{name}");
        assert_eq!(sent.header("x-wingspan-signature"), hex_signature(SHARED, body), "{name}");
        assert_eq!(sent.header("x-trace"), if name == "some" { "" } else { "abc" }, "{name}");
        assert_eq!(sent.header("user-agent") == "Wingspan/1", name != "some", "{name}");
        assert!(!sent.headers.contains_key("authorization"), "what proves a sender is not kept");
        assert_eq!(sent.header("host"), receiver.addr.to_string(), "{name}");
        assert!(sent.header("webhook-id").starts_with("evt_"), "{name}");
        assert_eq!(sent.is_signed(SECRET), name == "ours", "{name}");
    }

    // A provider that signs as we do: its signature goes on with its id and time, or ours with ours.
    let body = canceled("subs_1", "price");
    post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, &body).await;
    gateway.settle().await;
    let received = receiver.received();
    let [all, ours] = ["all", "ours"].map(|name| at(&received, name).remove(1));
    assert_eq!(
        (all.header("webhook-id"), all.header("webhook-timestamp")),
        ("msg_1", &*START_SECS.to_string())
    );
    assert_eq!(
        all.header("webhook-signature"),
        sign(SECRET, "msg_1", &START_SECS.to_string(), body.as_bytes())
    );
    assert!(ours.header("webhook-id").starts_with("evt_") && ours.is_signed(SECRET));
    gateway.stop().await;
}

#[tokio::test]
async fn a_signature_of_the_body_may_be_spelled_as_the_receiver_reads_it() {
    let receiver = Receiver::start().await;
    let signature = |more: &str| {
        format!("secret = \"{SHARED}\"\nsignature = {{ header = \"X-Windback-Signature\"{more} }}")
    };
    let config = [
        WINDBACK.to_owned(),
        endpoint(&receiver, "hex", &signature(", prefix = \"sha256=\"")),
        endpoint(&receiver, "base64", &signature(", encoding = \"base64\"")),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    send(&gateway, cancellation().to_string()).await;
    gateway.settle().await;
    let received = receiver.received();
    for name in ["hex", "base64"] {
        let sent = &at(&received, name)[0];
        let hex = hex_signature(SHARED, std::str::from_utf8(&sent.body).unwrap());
        let expected = match name {
            "hex" => format!("sha256={hex}"),
            _ => STANDARD.encode(hex::decode(hex).unwrap()),
        };
        assert_eq!(sent.header("x-windback-signature"), expected);
        assert!(!sent.headers.contains_key("webhook-signature"));
    }
    gateway.stop().await;
}
