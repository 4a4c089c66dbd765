//! What is particular about a provider, through a whole gateway: each proves itself in the way that its plugin's
//! manifest presets, and events that nobody wants are filtered.

use crate::ingest::holds;
use billhook_tests::receiver::{Received, Receiver};
use billhook_tests::sender::post;
use billhook_tests::{ADMIN_TOKEN, Gateway};
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::plugins::manifest::Manifest;
use gateway::plugins::shipped;
use gateway::server::load;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use toml::Value;

const TOKEN: &str = "n0t-to-be-kept";

/// A source of a shipped provider, with the preset of its manifest.
pub(crate) fn source(provider: &str, secret: &str, plugins: &[&str]) -> String {
    let manifest = Manifest::of(provider, &shipped::component(provider).unwrap()).unwrap();
    let mut auth = manifest.providers[0].auth.clone().unwrap();
    auth.insert("secret".to_owned(), secret.into());
    let mut source = toml::Table::new();
    source.insert("name".to_owned(), provider.into());
    source.insert("provider".to_owned(), provider.into());
    source.insert("plugins".to_owned(), plugins.to_vec().into());
    source.insert("auth".to_owned(), auth.into());
    let file = toml::Table::from_iter([("source".to_owned(), Value::Array(vec![source.into()]))]);
    toml::to_string(&file).unwrap()
}

pub(crate) fn hex_signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn types(received: &[Received]) -> Vec<String> {
    received.iter().map(|delivery| delivery.json()["type"].as_str().unwrap().to_owned()).collect()
}

fn wingspan(event: &str, name: &str, amount: &str) -> String {
    format!(
        r#"{{"eventId":"{event}","eventType":"{name}","data":{{"invoiceId":"inv_1","memberId":"mem_1","amount":{amount},"currency":"USD","events":{{"paidAt":"2026-08-10T11:00:00.000Z"}}}}}}"#
    )
}

#[tokio::test]
async fn wingspan_signs_the_body_in_hex_and_is_known_by_its_event_id() {
    let receiver = Receiver::start().await;
    let config = format!("{}{}", source("wingspan", "shared secret", &[]), receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    let url = gateway.url("/in/wingspan");
    let send = async |body: &str, secret: &str| {
        post(&url, &[("x-wingspan-signature", &hex_signature(secret, body))], body).await
    };
    let body = wingspan("ev_1", "PayablePaid", "1250.10");
    assert_eq!(send(&body, "another secret").await.status, 401);
    assert_eq!(post(&url, &[], body.as_str()).await.status, 401);
    let first = send(&body, "shared secret").await;
    assert_eq!(first.status, 200, "{first:?}");
    let again = send(&wingspan("ev_1", "PayablePaid", "1250.1"), "shared secret").await;
    assert_eq!((again.id(), &again.body["duplicate"]), (first.id(), &true.into()));
    send(&wingspan("ev_2", "InvoicePaid", "1"), "shared secret").await;
    gateway.settle().await;

    let received = receiver.received();
    assert_eq!(received.len(), 2);
    let (out, incoming) = match received[0].json()["data"]["provider_event_type"] == "PayablePaid" {
        true => (&received[0], &received[1]),
        false => (&received[1], &received[0]),
    };
    let event = &out.json()["data"];
    assert_eq!(event["type"], "payment.succeeded");
    assert_eq!((&event["verified"], &event["provider_event_id"]), (&"signature".into(), &"ev_1".into()));
    assert_eq!(event["payment"]["direction"], "outbound");
    assert_eq!(event["payment"]["amount"]["amount_minor"], 125_010);
    assert_eq!(event["payment"]["amount"]["original"], "1250.10", "the text of the number");
    assert_eq!(incoming.json()["data"]["payment"]["direction"], "inbound");
    gateway.stop().await;
}

#[tokio::test]
async fn a_bare_invoice_is_named_by_the_path() {
    let receiver = Receiver::start().await;
    let config = format!("{}{}", source("wingspan", "shared secret", &[]), receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    let body = r#"{"invoiceId":"inv_1","status":"Open","events":{"openedAt":"2026-08-10T11:00:00Z"}}"#;
    let signature = hex_signature("shared secret", body);
    let headers = [("x-wingspan-signature", signature.as_str())];
    for path in ["/in/wingspan/InvoiceSent", "/in/wingspan/PayableApproved", "/in/wingspan"] {
        assert_eq!(post(&gateway.url(path), &headers, body).await.body["duplicate"], false, "{path}");
    }
    gateway.settle().await;
    let mut seen = types(&receiver.received());
    seen.sort();
    assert_eq!(seen, ["invoice.approved", "invoice.finalized", "invoice.sent"]);
    gateway.stop().await;
}

fn abowire(name: &str, payload: &str) -> String {
    let (component, action) = name.split_once(':').unwrap();
    format!(
        r#"{{"id":"hook","eventArn":"arn","component":"{component}","action":"{action}","userId":"usr_1","timestamp":"2026-08-10T11:00:00Z","origin":"app","destination":"https://hooks.example.com/in/abowire?token={TOKEN}","payload":{payload}}}"#
    )
}

#[tokio::test]
async fn abowires_token_is_stored_neither_from_the_query_nor_from_the_destination_in_the_body() {
    let receiver = Receiver::start().await;
    let config = format!("{}{}", source("abowire", TOKEN, &[]), receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    let body = abowire("subscriber:create", r#"{"id":"sbr_1","email":"ada@example.com"}"#);
    let url = gateway.url(&format!("/in/abowire?shop=kept-as-sent&token={TOKEN}"));
    assert_eq!(post(&gateway.url("/in/abowire?token=guessed"), &[], body.as_str()).await.status, 401);
    let first = post(&url, &[], body.as_str()).await;
    assert_eq!(first.status, 200, "{first:?}");
    let again = post(&url, &[], body.as_str()).await;
    assert_eq!(again.id(), first.id(), "nothing but the body identifies a delivery");
    gateway.settle().await;

    let event = &receiver.received()[0].json()["data"];
    assert_eq!((&event["type"], &event["verified"]), (&"customer.created".into(), &"query_token".into()));
    assert_eq!(event["actor"], serde_json::json!({ "id": "usr_1", "kind": "user" }));
    let story = gateway.story(first.id()).await;
    assert_eq!(story.webhook.head.query, "shop=kept-as-sent");
    let stored = String::from_utf8(story.body.unwrap().to_vec()).unwrap();
    assert!(stored.contains(r#""destination":"***""#), "{stored}");
    let (dir, ..) = gateway.stop().await;
    assert!(holds(&dir.path().join("data"), b"kept-as-sent"), "the test looks where the store writes");
    assert!(!holds(&dir.path().join("data"), TOKEN.as_bytes()));
}

#[tokio::test]
async fn a_bulk_array_gives_a_delivery_for_each_element() {
    let receiver = Receiver::start().await;
    let config = format!("{}{}", source("abowire", TOKEN, &[]), receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    let body = abowire("subscription:bulk-disable", r#"[{"id":"lic_1"},{"id":"lic_2"},{"id":"lic_3"}]"#);
    let answered = post(&gateway.url(&format!("/in/abowire?token={TOKEN}")), &[], body).await;
    gateway.settle().await;
    let received = receiver.received();
    let mut seen: Vec<_> = received
        .iter()
        .map(|delivery| delivery.json()["data"]["license"]["id"].as_str().unwrap().to_owned())
        .collect();
    seen.sort();
    assert_eq!(seen, ["lic_1", "lic_2", "lic_3"]);
    assert_eq!(types(&received), ["license.disabled"; 3]);
    assert_eq!(gateway.story(answered.id()).await.events.len(), 3);
    gateway.stop().await;
}

const FILTER: &str = r#"
[[plugin]]
name = "event-filter"
[plugin.config]
keep = [{ types = ["wingspan/InvoicePaid"] }]
drop = [
    { types = ["notification.*"] },
    { name = "small change", types = ["payment.*"], where = [
        { pointer = "/payment/amount/currency", equals = "USD" },
        { pointer = "/payment/amount/amount_minor", less = 100 },
    ] },
]
"#;

#[tokio::test]
async fn an_event_that_a_rule_drops_is_not_delivered_and_its_story_names_the_rule() {
    let receiver = Receiver::start().await;
    let source = source("wingspan", "shared secret", &["event-filter"]);
    let gateway = Gateway::start(&format!("{FILTER}{source}{}", receiver.endpoint("app"))).await;
    let mut dropped = Vec::new();
    for (id, name, amount) in [
        ("ev_1", "InvoiceEmailViewed", "5"),
        ("ev_2", "PayablePaid", "0.99"),
        ("ev_3", "PayablePaid", "1.00"),
        ("ev_4", "InvoicePaid", "0.99"),
    ] {
        let body = wingspan(id, name, amount);
        let headers = [("x-wingspan-signature", &*hex_signature("shared secret", &body))];
        let answered = post(&gateway.url("/in/wingspan"), &headers, body.as_str()).await;
        gateway.settle().await;
        let event = gateway.story(answered.id()).await.events.remove(0);
        assert_eq!(event.deliveries.is_empty(), event.event.dropped.is_some(), "{name}");
        dropped.push(event.event.dropped.map(|(plugin, why)| {
            assert_eq!(plugin, "event-filter");
            (event.event.id.to_string(), why)
        }));
    }
    assert_eq!(receiver.received().len(), 2);
    let reasons: Vec<_> =
        dropped.iter().map(|dropped| dropped.as_ref().map(|(_, why)| why.as_str())).collect();
    let expected = [Some("rule drop[0] matches"), Some("rule `small change` (drop[1]) matches"), None, None];
    assert_eq!(reasons, expected);

    let (event, why) = dropped[1].clone().unwrap();
    let shown = tokio::process::Command::new(env!("CARGO_BIN_EXE_billhook"))
        .args(["--url", &gateway.admin_url(), "event", "show", &event])
        .env("BILLHOOK_ADMIN_TOKEN", ADMIN_TOKEN)
        .env("NO_COLOR", "1")
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("event-filter") && shown.contains(&why), "{shown}");
    gateway.stop().await;
}

#[test]
fn a_filter_that_cannot_be_meant_is_refused_when_it_is_read() {
    let cases = [
        ("dorp = []", "config.dorp: there is no such key"),
        ("drop = [{ type = [\"*\"] }]", "config.drop[0].type: there is no such key"),
        ("drop = [{ types = [\"invoice.payed\"] }]", "config.drop[0].types[0]: \"invoice.payed\" is none of"),
        ("drop = [{ types = [\"wingspan/\"] }]", "config.drop[0].types[0]: "),
        ("drop = [{ types = [\"wingspan/Invoice*\"] }]", "matches: A canonical type, `family.*`, `*`"),
        (
            "keep = [{ where = [{ pointer = \"customer\", exists = true }] }]",
            "matches: Where the field is in the event",
        ),
        ("keep = [{ where = [{ pointer = \"/customer\" }] }]", "config.keep[0].where[0]: "),
        ("keep = [{ where = [{ pointer = \"/a\", less = \"much\" }] }]", "config.keep[0].where[0].less: "),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("billhook.toml");
    for (rules, expected) in cases {
        let text = format!("[[plugin]]\nname = \"event-filter\"\n[plugin.config]\n{rules}\n");
        std::fs::write(&path, text).unwrap();
        let refused = Config::load(Some(&path), &Environment::default(), &load::shipped()).unwrap_err();
        assert!(refused.to_string().contains(expected), "{rules}: {refused}");
    }
}
