//! The normalizers of the large providers, through a whole gateway: the manifest alone makes it read them.

use crate::breadth::hex_signature;
use crate::ingest::{holds, vectors};
use base64::{Engine, engine::general_purpose::STANDARD};
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{Answered, post};
use billhook_tests::{Gateway, START_SECS};
use gateway::clock::Clock;
use gateway::model::Time;
use serde_json::{Value, json};
use std::time::Duration;

const SECRET: &str = "whsec_kept-as-it-is-written";

/// A provider, as the rows of the published map call it.
struct Provider {
    name: &'static str,
    in_map: &'static str,
    rows: usize,
    /// A body that names an event and has an object without a state.
    body: fn(&str) -> Value,
}

const PROVIDERS: [Provider; 3] = [
    Provider {
        name: "stripe",
        in_map: "stripe",
        rows: 31,
        body: |name| json!({ "id": name, "type": name, "data": { "object": { "id": "x" } } }),
    },
    Provider {
        name: "paddle",
        in_map: "paddle billing",
        rows: 23,
        body: |name| json!({ "event_id": name, "event_type": name, "data": { "id": "x" } }),
    },
    Provider {
        name: "chargebee",
        in_map: "chargebee",
        rows: 26,
        body: |name| json!({ "id": name, "event_type": name, "content": { "customer": { "id": "x" } } }),
    },
];

/// A source whose sender proves itself as the preset of its provider says.
fn source(name: &str, provider: &str, more: &str) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nprovider = \"{provider}\"\nauth = {{ scheme = \"{provider}\", {more} }}\n"
    )
}

/// The header that a provider signs a body with at a second.
fn signed(provider: &str, secret: &str, seconds: u64, body: &str) -> (&'static str, String) {
    match provider {
        "stripe" => {
            let signature = hex_signature(secret, &format!("{seconds}.{body}"));
            ("stripe-signature", format!("t={seconds},v1={signature},v0={signature}"))
        }
        "paddle" => {
            let signature = hex_signature(secret, &format!("{seconds}:{body}"));
            ("paddle-signature", format!("ts={seconds};h1={signature}"))
        }
        // It signs nothing.
        _ => ("authorization", format!("Basic {}", STANDARD.encode(format!("{provider}:{secret}")))),
    }
}

async fn send(gateway: &Gateway, provider: &str, body: &Value) -> Answered {
    let body = body.to_string();
    let (header, value) = signed(provider, SECRET, START_SECS, &body);
    post(&gateway.url(&format!("/in/{provider}")), &[(header, &value)], body).await
}

#[tokio::test]
async fn a_signature_is_taken_in_time_and_for_its_body_only() {
    let cases = [("stripe", 300), ("paddle", 5)];
    let secret = format!("secret = [\"an-older-one\", \"{SECRET}\"]");
    let sources = cases.map(|(provider, _)| source(provider, provider, &secret)).concat();
    let gateway = Gateway::start(&sources).await;
    for (provider, tolerance) in cases {
        let url = gateway.url(&format!("/in/{provider}"));
        let body = |id: &str| json!({ "id": id, "event_id": id }).to_string();
        let (early, late) = (START_SECS - tolerance - 1, START_SECS + tolerance + 1);
        let cases = [
            (SECRET, START_SECS, body("ev_1"), body("ev_1"), 200),
            ("an-older-one", START_SECS - tolerance, body("ev_2"), body("ev_2"), 200),
            ("a stranger's", START_SECS, body("ev_3"), body("ev_3"), 401),
            (SECRET, START_SECS, body("ev_4"), body("ev_5"), 401),
            (SECRET, early, body("ev_6"), body("ev_6"), 401),
            (SECRET, late, body("ev_7"), body("ev_7"), 401),
        ];
        for (secret, at, of, sent, status) in cases {
            let (header, value) = signed(provider, secret, at, &of);
            let answered = post(&url, &[(header, &value)], sent.as_str()).await;
            assert_eq!(answered.status, status, "{provider} {sent}: {answered:?}");
        }
        let (header, value) = signed(provider, SECRET, START_SECS, &body("ev_1"));
        assert_eq!(post(&url, &[], body("ev_1")).await.status, 401);
        let other = value.replace("v1=", "v2=").replace("h1=", "h2=");
        assert_eq!(post(&url, &[(header, &other)], body("ev_1")).await.status, 401);
        // Another attempt at the same event is signed anew.
        let (header, value) = signed(provider, SECRET, START_SECS + 1, &body("ev_1"));
        assert_eq!(post(&url, &[(header, &value)], body("ev_1")).await.body["duplicate"], true);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_password_is_taken_under_the_name_that_the_preset_or_the_operator_gives() {
    let secret = format!("secret = \"{SECRET}\"");
    let named = source("named", "chargebee", &format!("user = \"billing\", {secret}"));
    let gateway = Gateway::start(&format!("{}{named}", source("chargebee", "chargebee", &secret))).await;
    let cases = [
        ("chargebee", "chargebee", SECRET, 200),
        ("chargebee", "chargebee", "guessed", 401),
        ("chargebee", "billing", SECRET, 401),
        ("named", "billing", SECRET, 200),
        ("named", "chargebee", SECRET, 401),
    ];
    let body = json!({ "id": "ev_1", "event_type": "customer_created" }).to_string();
    for (source, user, password, status) in cases {
        let credentials = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let url = gateway.url(&format!("/in/{source}"));
        let answered = post(&url, &[("authorization", &credentials)], body.as_str()).await;
        assert_eq!(answered.status, status, "{source} {user}: {answered:?}");
    }
    assert_eq!(post(&gateway.url("/in/chargebee"), &[], body.as_str()).await.status, 401);
    // Only the credentials are a secret, and an event is known by its id whatever else has changed since.
    let again = json!({ "id": "ev_1", "event_type": "customer_created", "webhook_status": "failed" });
    let answered = send(&gateway, "chargebee", &again).await;
    assert_eq!((answered.status, &answered.body["duplicate"]), (200, &true.into()));
    gateway.settle().await;
    let head = gateway.story(answered.id()).await.webhook.head;
    assert_eq!((head.header("authorization"), head.event_name.as_deref()), (None, Some("customer_created")));
    gateway.stop().await;
}

#[tokio::test]
async fn the_presets_judge_the_published_vectors_as_their_providers_do() {
    for provider in ["stripe", "paddle"] {
        let mut vectors = vectors(provider);
        vectors.sort_by_key(|vector| vector.now);
        let Some(first) = vectors.first().and_then(|vector| vector.now) else { continue };
        let secret = |secret: &str| format!("secret = {secret:?}");
        let sources = vectors.iter().enumerate();
        let sources = sources.map(|(n, vector)| source(&format!("s{n}"), provider, &secret(&vector.secret)));
        let clock = Clock::manual(Time::from_secs(first));
        let dir = tempfile::tempdir().unwrap();
        let gateway = Gateway::start_in(dir, &sources.collect::<String>(), clock.clone()).await;
        for (n, vector) in vectors.iter().enumerate() {
            clock.advance(Time::from_secs(vector.now.unwrap()).since(clock.now()));
            let headers: Vec<_> =
                vector.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answered = post(&gateway.url(&format!("/in/s{n}")), &headers, vector.body()).await;
            let expected = if vector.expected == "valid" { 200 } else { 401 };
            assert_eq!(answered.status, expected, "{provider} {}: {answered:?}", vector.name);
        }
        gateway.stop().await;
    }
}

/// The events that a row of the map names, in full, each with the types that it may have.
fn expanded(names: &str, types: &str) -> Vec<(String, Vec<String>)> {
    let first = names.split([' ', ',']).next().unwrap();
    let parts = names.split(" / ").flat_map(|part| part.split(", "));
    let names = parts.flat_map(|part| {
        let name = match part {
            // Its own name is longer than the row tells.
            "scheduled_cancellation_removed" => format!("subscription_{part}"),
            part if part.starts_with('.') => format!("{}{part}", first.rsplit_once('.').unwrap().0),
            part if part.starts_with('_') => format!("{}{part}", first.rsplit_once('_').unwrap().0),
            part if part.contains('.') || part == first => part.to_owned(),
            part => format!("{}{part}", &first[..=first.rfind(['.', '_']).unwrap()]),
        };
        match name.strip_suffix('*') {
            Some(family) => ["created", "updated"].map(|verb| format!("{family}{verb}")).to_vec(),
            None => vec![name],
        }
    });
    let names: Vec<_> = names.collect();
    let mut family = "";
    let types = types.split(" / ").map(|part| match part.rsplit_once('.') {
        Some((before, _)) => {
            family = before;
            part.to_owned()
        }
        None => format!("{family}.{part}"),
    });
    let types: Vec<_> = types.collect();
    match names.len() == types.len() {
        true => names.into_iter().zip(types.into_iter().map(|kind| vec![kind])).collect(),
        false => names.into_iter().map(|name| (name, types.clone())).collect(),
    }
}

#[test]
fn rows_of_the_map_are_read_as_they_are_meant() {
    let cases = [
        (
            "customer.created / updated",
            "customer.created / updated",
            "customer.created=customer.created customer.updated=customer.updated",
        ),
        ("a.b.updated, .moved", "dispute.updated", "a.b.updated=dispute.updated a.b.moved=dispute.updated"),
        ("a.pending_applied / _expired", "x.y", "a.pending_applied=x.y a.pending_expired=x.y"),
        ("payment_source_added / deleted", "x.a / b", "payment_source_added=x.a payment_source_deleted=x.b"),
        (
            "product.* / price.*",
            "product.*",
            "product.created=product.* product.updated=product.* price.created=product.* price.updated=product.*",
        ),
        ("adjustment.created", "a.b / c.d", "adjustment.created=a.b|c.d"),
    ];
    for (names, types, expected) in cases {
        let rows = expanded(names, types);
        let rows: Vec<_> = rows.iter().map(|(name, types)| format!("{name}={}", types.join("|"))).collect();
        assert_eq!(rows.join(" "), expected);
    }
}

#[tokio::test]
async fn every_row_of_the_published_map_has_its_type() {
    let Some(dir) = std::env::var_os("BILLHOOK_PROVIDERS_DIR") else {
        println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
        return;
    };
    let map = std::fs::read_to_string(std::path::Path::new(&dir).join("event_map.tsv")).unwrap();
    let config: String = PROVIDERS
        .iter()
        .map(|Provider { name, .. }| {
            format!("[[source]]\nname = \"{name}\"\nprovider = \"{name}\"\nauth = {{ scheme = \"none\" }}\n")
        })
        .collect();
    let gateway = Gateway::start(&config).await;
    for Provider { name, in_map, rows, body } in PROVIDERS {
        let of_provider: Vec<Vec<_>> = map
            .lines()
            .map(|line| line.split('\t').collect())
            .filter(|row: &Vec<&str>| row[0] == in_map)
            .collect();
        assert_eq!(of_provider.len(), rows, "{name}");
        for (event, types) in of_provider.iter().flat_map(|row| expanded(row[1], row[2])) {
            let answered = post(&gateway.url(&format!("/in/{name}")), &[], body(&event).to_string()).await;
            gateway.settle().await;
            let story = gateway.story(answered.id()).await;
            let kind = &story.events.first().unwrap_or_else(|| panic!("{name} {event}: no event")).event.kind;
            let is_meant = |meant: &String| match meant.strip_suffix('*') {
                Some(family) => kind.starts_with(family),
                None => kind == meant,
            };
            assert!(types.iter().any(is_meant), "{name} {event} is {kind} and not {types:?}");
        }
    }
    gateway.stop().await;
}

const STRATEGY: &str = "[[plugin]]\nname = \"cancel-strategy\"\nconfig = { currency = \"USD\" }\n";

#[tokio::test]
async fn a_decision_to_cancel_calls_for_a_strategy_and_a_failed_payment_for_dunning() {
    let receiver = Receiver::start().await;
    let ending = json!({
        "id": "sub_1", "customer": "cus_1", "status": "active", "cancel_at_period_end": true,
        "start_date": START_SECS - 400 * 86_400, "current_period_end": START_SECS + 86_400,
        "cancellation_details": { "reason": "cancellation_requested", "feedback": "too_expensive" },
    });
    let involuntary = json!({
        "id": "sub_2", "status": "canceled", "ended_at": START_SECS,
        "cancellation_details": { "reason": "payment_failed" },
    });
    let stripe = |name: &str, object: &Value, previous: &Value| {
        json!({
            "id": format!("{name} {object}"), "type": name, "created": START_SECS,
            "data": { "object": object, "previous_attributes": previous },
        })
    };
    let paddle = |name: &str, data: &Value| json!({ "event_id": name, "event_type": name, "data": data });
    let chargebee = |name: &str, more: &Value| {
        let mut subscription = more.clone();
        subscription["id"] = name.into();
        json!({ "id": name, "event_type": name, "content": { "subscription": subscription } })
    };
    let cases = [
        (
            "stripe",
            stripe("customer.subscription.updated", &ending, &json!({ "cancel_at_period_end": false })),
            ("subscription.cancel_scheduled", "retention", Some("discount")),
        ),
        (
            "stripe",
            stripe("customer.subscription.deleted", &involuntary, &json!(null)),
            ("subscription.canceled", "dunning", None),
        ),
        (
            "stripe",
            stripe("invoice.payment_failed", &json!({ "id": "in_1", "attempt_count": 1 }), &json!(null)),
            ("payment.failed", "dunning", None),
        ),
        (
            "paddle",
            paddle(
                "subscription.updated",
                &json!({ "id": "sub_3", "scheduled_change": { "action": "cancel" } }),
            ),
            ("subscription.cancel_scheduled", "retention", Some("feedback_request")),
        ),
        (
            "paddle",
            paddle("transaction.payment_failed", &json!({ "id": "txn_1", "status": "past_due" })),
            ("payment.failed", "dunning", None),
        ),
        (
            "chargebee",
            chargebee(
                "subscription_cancellation_scheduled",
                &json!({ "cancel_reason_code": "Needs a break" }),
            ),
            ("subscription.cancel_scheduled", "retention", Some("pause_option")),
        ),
        (
            "chargebee",
            chargebee("subscription_cancelled", &json!({ "cancel_reason": "no_card" })),
            ("subscription.canceled", "dunning", None),
        ),
    ];
    let sources = PROVIDERS.iter().map(|provider| {
        let more = format!("secret = \"{SECRET}\"");
        source(provider.name, provider.name, &more) + "plugins = [\"cancel-strategy\"]\n"
    });
    let config = format!("{STRATEGY}{}{}", sources.collect::<String>(), receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    for (n, (provider, body, (kind, retention, primary))) in cases.into_iter().enumerate() {
        assert_eq!(send(&gateway, provider, &body).await.status, 200);
        gateway.settle().await;
        let event = &receiver.received()[n].json()["data"];
        assert_eq!((&event["provider"], &event["type"]), (&provider.into(), &kind.into()), "{body}");
        assert_eq!(event["retention"]["kind"], retention, "{event}");
        assert_eq!(event["retention"]["primary"].as_str(), primary, "{event}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_notification_is_known_by_its_event_and_traced_by_its_own_id() {
    let gateway = Gateway::start(&source("paddle", "paddle", &format!("secret = \"{SECRET}\""))).await;
    let notification = |id: &str| json!({ "event_id": "evt_1", "event_type": "customer.created", "notification_id": id, "data": { "id": "ctm_1" } });
    let first = send(&gateway, "paddle", &notification("ntf_1")).await;
    let replayed = send(&gateway, "paddle", &notification("ntf_2")).await;
    assert_eq!((replayed.id(), &replayed.body["duplicate"]), (first.id(), &true.into()));
    gateway.settle().await;
    let story = gateway.story(first.id()).await;
    let event: Value = serde_json::from_slice(&story.events[0].event.json).unwrap();
    assert_eq!(
        (&event["provider_event_id"], &event["provider_delivery_id"]),
        (&"evt_1".into(), &"ntf_1".into())
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_payment_can_be_confirmed_with_is_not_stored() {
    let gateway = Gateway::start(&source("stripe", "stripe", &format!("secret = \"{SECRET}\""))).await;
    let token = "pi_1_secret_n0t-to-be-kept";
    let body = json!({
        "id": "evt_1", "type": "payment_intent.succeeded",
        "data": { "object": { "id": "pi_1", "client_secret": token, "description": "kept-as-sent" } },
    });
    let answered = send(&gateway, "stripe", &body).await;
    gateway.advance(Duration::from_secs(1)).await;
    assert_eq!(gateway.story(answered.id()).await.events[0].event.kind, "payment.succeeded");
    let (dir, ..) = gateway.stop().await;
    assert!(holds(&dir.path().join("data"), b"kept-as-sent"), "the test looks where the store writes");
    assert!(!holds(&dir.path().join("data"), token.as_bytes()));
}
