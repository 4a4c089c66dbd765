//! A real event from a provider to a verified delivery.

use crate::cli::{ask, text};
use billhook_tests::Gateway;
use billhook_tests::START_SECS;
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::{SECRET, post, post_signed, sign};
use gateway::api::redrive::DeadLetterQuery;
use gateway::model::webhook::WebhookState;

pub(crate) const FLEXPRICE: &str = r#"
[[plugin]]
name = "cancel-strategy"

[[source]]
name = "flexprice"
provider = "flexprice"
auth = { scheme = "standard-webhooks", secret = "whsec_dGhpcyBpcyBhIHRlc3Qgc2VjcmV0IG9mIDMyIGJ5dGU=" }
plugins = ["cancel-strategy"]
"#;

fn windback(receiver: &Receiver) -> String {
    format!(
        "[[plugin]]\nname = \"cancel-strategy\"\n[[source]]\nname = \"windback\"\nprovider = \"windback\"\nauth = {{ scheme = \
         \"path-key\" }}\npublic_keys = [\"pub_test\"]\nplugins = [\"cancel-strategy\"]\n{}",
        receiver.endpoint("app")
    )
}

pub(crate) fn canceled(id: &str, reason: &str) -> String {
    format!(
        r#"{{"event_type":"subscription.cancelled","subscription":{{"id":"{id}","customer_id":"cust_{id}","currency":"usd","cancelled_at":"2026-08-10T11:59:00Z","subscription_status":"cancelled","metadata":{{"cancellation_reason":"{reason}","cancellation_type":"immediate"}}}}}}"#
    )
}

#[tokio::test]
async fn a_signed_cancellation_arrives_as_a_signed_event_with_a_strategy() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let body = canceled("subs_1", "Too expensive for our team");
    let answered = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, &body).await;
    assert_eq!(answered.status, 200);
    gateway.settle().await;

    let received = receiver.received();
    assert_eq!(received.len(), 1);
    let delivery = received[0].json();
    assert_eq!(delivery["type"], "subscription.canceled");
    assert_eq!(delivery["timestamp"], "2026-08-10T11:59:00.000Z");
    let event = &delivery["data"];
    assert_eq!(event["id"], received[0].header("webhook-id"));
    assert_eq!(event["provider_event_type"], "subscription.cancelled");
    assert_eq!(event["provider_delivery_id"], "msg_1");
    assert_eq!(event["verified"], "signature");
    assert_eq!(event["subscription"]["id"], "subs_1");
    assert_eq!(event["cancellation"]["provider_reason"], "Too expensive for our team");
    assert_eq!(event["retention"]["primary"], "discount");
    assert_eq!(event["retention"]["variants"].as_array().map(Vec::len), Some(9));
    assert_eq!(event["raw"]["webhook"], answered.id());
    assert!(received[0].is_signed(SECRET));

    let story = gateway.story(answered.id()).await;
    assert!(
        matches!(story.webhook.state, WebhookState::Dispatched { events: 1, .. }),
        "{:?}",
        story.webhook.state
    );
    assert_eq!(story.body.as_deref(), Some(body.as_bytes()), "the body is kept as it came");
    assert_eq!(story.events[0].deliveries[0].0.state.name(), "delivered");
    assert_eq!(story.events[0].deliveries[0].1.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn what_we_send_is_accepted_by_the_library_of_standard_webhooks() {
    let receiver = Receiver::start().await;
    // That library reads the machine's clock, so the gateway must show it too.
    let clock = gateway::clock::Clock::manual(gateway::clock::Clock::system().now());
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let gateway = Gateway::start_in(tempfile::tempdir().unwrap(), &config, clock.clone()).await;
    post_signed(&gateway.url("/in/flexprice"), "msg_1", clock.now().secs(), &canceled("subs_1", "price"))
        .await;
    gateway.settle().await;
    let received = receiver.received();
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(&received[0].body, &received[0].headers).unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn the_windback_path_takes_three_shapes_and_always_answers_ok() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&windback(&receiver)).await;
    let url = gateway.url("/api/v1/webhooks/custom/pub_test");
    let ok = serde_json::json!({"status": "ok"});
    let shapes = [
        r#"{"customer_email":"a@example.com","event_type":"cancellation","cancel_reason":"It is broken","mrr":4999,"provider":"paddle"}"#,
        r#"{"customer_email":"b@example.com","provider_subscription_id":"sub_b","mrr_cents":4900,"cancel_reason":"too_expensive"}"#,
        r#"{"customer_email":"c@example.com","event_type":"subscription.canceled","reason":"not using it","metadata":{"subscription_id":"sub_c"}}"#,
        r#"{"customer_email":"d@example.com","event_type":"payment_failed"}"#,
    ];
    for body in shapes {
        let answered = post(&url, &[], body).await;
        assert_eq!((answered.status, &answered.body), (200, &ok), "{body}");
    }
    for (path, body) in [("pub_wrong", shapes[0]), ("pub_test", r#"{"customer_name":"No Email"}"#)] {
        let answered = post(&gateway.url(&format!("/api/v1/webhooks/custom/{path}")), &[], body).await;
        assert_eq!((answered.status, &answered.body), (200, &ok), "{path} {body}");
    }
    gateway.settle().await;
    let mut seen: Vec<_> = receiver
        .received()
        .iter()
        .map(|r| r.json())
        .map(|j| {
            (
                j["type"].as_str().unwrap().to_owned(),
                j["data"]["retention"]["primary"].as_str().map(str::to_owned),
            )
        })
        .collect();
    seen.sort();
    let canceled = |strategy: &str| ("subscription.canceled".to_owned(), Some(strategy.to_owned()));
    let expected = [
        ("payment.failed".to_owned(), None),
        canceled("discount"),
        canceled("founder_email"),
        canceled("unused_feature"),
    ];
    assert_eq!(seen, expected);
    gateway.stop().await;
}

#[tokio::test]
async fn a_rerun_of_a_long_batch_takes_none_of_its_own_events_for_an_earlier_one() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&windback(&receiver)).await;
    let event = |of: usize, kind: &str| {
        format!(
            r#"{{"customer_email":"{of}@example.com","event_type":"{kind}","occurred_at":"2026-08-10T12:00:00Z"}}"#
        )
    };
    let mut batch = vec![event(0, "payment_recovered")];
    batch.extend((1..100).map(|of| event(of, "payment_failed")));
    batch.push(event(0, "payment_failed"));
    let url = gateway.url("/api/v1/webhooks/custom/pub_test");
    post(&url, &[], format!("[{}]", batch.join(","))).await;
    gateway.settle().await;
    let received = receiver.received().len();
    assert_eq!(received, batch.len());
    assert!(ask(&gateway, &["replay", "reprocess"]).await.status.success());
    gateway.settle().await;
    assert_eq!(receiver.received().len(), received, "nothing changed");
    gateway.stop().await;
}

#[tokio::test]
async fn a_recovered_payment_names_the_failure_that_it_makes_good() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&windback(&receiver)).await;
    let url = gateway.url("/api/v1/webhooks/custom/pub_test");
    for (event_type, email) in [
        ("payment_recovered", "a@example.com"),
        ("payment_failed", "A@example.com"),
        ("payment_recovered", "a@example.com"),
        ("payment_recovered", "a@example.com"),
        ("payment_failed", "a@example.com"),
    ] {
        gateway.advance(std::time::Duration::from_secs(100_000)).await;
        post(&url, &[], format!(r#"{{"customer_email":"{email}","event_type":"{event_type}"}}"#)).await;
        gateway.settle().await;
    }
    let received: Vec<_> = receiver.received().iter().map(|r| r.json()["data"].clone()).collect();
    let recovers: Vec<_> = received.iter().map(|event| event["recovers"].as_str()).collect();
    assert_eq!(
        recovers,
        [None, None, received[1]["id"].as_str(), None, None],
        "in whatever case the address is"
    );
    assert!(ask(&gateway, &["replay", "reprocess"]).await.status.success());
    gateway.settle().await;
    assert_eq!(
        receiver.received().len(),
        5,
        "a rerun knows what the first run knew, although more came since"
    );
    let shown = ask(&gateway, &["event", "show", received[2]["id"].as_str().unwrap()]).await;
    let failed = format!("recovers     {}", received[1]["id"].as_str().unwrap());
    assert!(text(&shown.stdout).contains(&failed), "{}", text(&shown.stdout));
    let none = ask(&gateway, &["event", "ls", "--type", "payment.recoverd"]).await;
    assert!(text(&none.stderr).contains("no canonical type"), "{}", text(&none.stderr));
    assert_eq!(received[1]["retention"]["kind"], "dunning");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_later_and_is_through_earlier_knows_what_came_before_it() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&windback(&receiver)).await;
    let url = gateway.url("/api/v1/webhooks/custom/pub_test");
    let item =
        |kind: &str, n| format!(r#"{{"customer_email":"{n}@example.com","event_type":"payment_{kind}"}}"#);
    let batch: Vec<_> = (0..400).map(|n| item("failed", n)).collect();
    post(&url, &[], format!("[{}]", batch.join(","))).await;
    for n in [399, 398] {
        post(&url, &[], item("recovered", n)).await;
    }
    gateway.settle().await;
    let received: Vec<_> = receiver.received().iter().map(|r| r.json()["data"].clone()).collect();
    assert_eq!(received.len(), 402);
    for n in [399, 398] {
        let of = |kind: &str| {
            let email = format!("{n}@example.com");
            received
                .iter()
                .find(|event| event["type"] == kind && event["customer"]["email"] == *email)
                .unwrap()
        };
        assert_eq!(of("payment.recovered")["recovers"], of("payment.failed")["id"], "{n}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_reprocess_finds_what_was_mended_before_it() {
    let receiver = Receiver::start().await;
    let read_by = |normalizer: &str| {
        let public_keys = "public_keys = [\"pub_test\"]";
        windback(&receiver).replace(public_keys, &format!("normalizer = \"{normalizer}\"\n{public_keys}"))
    };
    let mut gateway = Gateway::start(&read_by("windback")).await;
    for (normalizer, event_type) in [
        ("windback", "payment_succeeded"),
        ("chargebee", "payment_failed"),
        ("windback", "payment_recovered"),
    ] {
        let (dir, _, clock) = gateway.stop().await;
        gateway = Gateway::start_in(dir, &read_by(normalizer), clock).await;
        gateway.advance(std::time::Duration::from_secs(100_000)).await;
        let url = gateway.url("/api/v1/webhooks/custom/pub_test");
        post(&url, &[], format!(r#"{{"customer_email":"a@b.c","event_type":"{event_type}"}}"#)).await;
        gateway.settle().await;
    }
    let recovered = receiver.received().pop().unwrap().json();
    assert_eq!(
        (&recovered["type"], &recovered["data"]["recovers"]),
        (&"payment.recovered".into(), &serde_json::Value::Null)
    );
    assert!(ask(&gateway, &["replay", "reprocess"]).await.status.success());
    gateway.settle().await;
    let told =
        |kind: &str| receiver.received().into_iter().rfind(|told| told.json()["type"] == kind).unwrap();
    let (failed, again) = (told("payment.failed").json(), told("payment.recovered"));
    assert_eq!(failed["data"]["customer"]["email"], "a@b.c", "it is read by its own normalizer now");
    assert_eq!(again.json()["data"]["recovers"], failed["data"]["id"]);
    assert!(again.header("webhook-id").ends_with("-r2"));
    gateway.stop().await;
}

#[tokio::test]
async fn an_update_that_plans_no_end_takes_a_planned_one_back_once() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let updated = |at: &str, rest: &str| {
        format!(
            r#"{{"event_type":"subscription.updated","subscription":{{"id":"subs_1","updated_at":"{at}",{rest}}}}}"#
        )
    };
    let ending =
        r#""subscription_status":"active","cancel_at_period_end":true,"cancelled_at":"2026-08-10T11:10:00Z""#;
    let going_on = r#""subscription_status":"active","cancel_at_period_end":false"#;
    let ended = r#""subscription_status":"cancelled","cancel_at_period_end":false"#;
    let bodies = [
        updated("2026-08-10T11:00:00Z", going_on),
        updated("2026-08-10T11:10:00Z", ending),
        updated("2026-08-10T11:05:00Z", going_on),
        updated("2026-08-10T11:20:00Z", ended),
        updated("2026-08-10T11:20:00Z", r#""subscription_status":"active""#),
        updated("2026-08-10T11:20:00Z", going_on),
        updated("2026-08-10T11:30:00Z", going_on),
        canceled("subs_1", "Too expensive for our team"),
        updated("2026-08-10T11:59:30Z", going_on),
    ];
    for (n, body) in bodies.iter().enumerate() {
        post_signed(&gateway.url("/in/flexprice"), &format!("msg_{n}"), START_SECS, body).await;
        gateway.settle().await;
    }
    let received: Vec<_> = receiver.received().iter().map(|r| r.json()["data"].clone()).collect();
    let types: Vec<_> = received.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        ("subscription.updated", "no end was planned"),
        ("subscription.cancel_scheduled", "an end is planned"),
        ("subscription.updated", "it is from before that"),
        ("subscription.updated", "it has ended"),
        ("subscription.updated", "it does not tell"),
        ("subscription.cancel_unscheduled", "no end is planned any more"),
        ("subscription.updated", "that was told"),
        ("subscription.canceled", "it ends after all"),
        ("subscription.updated", "it goes on after an end"),
    ];
    assert_eq!(types, expected.map(|(kind, _)| kind));
    assert_eq!(received[7]["retention"]["kind"], "retention", "nothing was decided about this end before");
    gateway.stop().await;
}

#[tokio::test]
async fn wingback_sends_an_id_and_the_path_says_what_happened() {
    let receiver = Receiver::start().await;
    let config = format!(
        "[[source]]\nname = \"wingback\"\nprovider = \"wingback\"\nauth = {{ scheme = \"header\", header = \"wb-secret\", secret = \
         \"open sesame\" }}\n{}",
        receiver.endpoint("app")
    );
    let gateway = Gateway::start(&config).await;
    let url = gateway.url("/in/wingback/v1.contract.cancellation.scheduled");
    assert_eq!(post(&url, &[("wb-secret", "open barley")], "{}").await.status, 401);
    let body = r#"{"id":"Cont_a8032d52-0288-4ab0-95f5-fdcc03120f03"}"#;
    let first = post(&url, &[("wb-secret", "open sesame")], body).await;
    let second = post(&url, &[("wb-secret", "open sesame")], body).await;
    assert_ne!(first.id(), second.id(), "an id-only body repeats legitimately");
    gateway.settle().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    let delivery = received[0].json();
    assert_eq!(delivery["type"], "subscription.cancel_scheduled");
    assert!(delivery["data"]["occurred_at"].is_null(), "an id says no time");
    assert_eq!(delivery["timestamp"], "2026-08-10T12:00:00.000Z", "so the envelope has that of its arrival");
    let story = gateway.story(first.id()).await;
    assert!(
        story.webhook.head.headers.iter().all(|(name, _)| name != "wb-secret"),
        "the secret is not stored"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn an_authentic_body_is_never_refused_and_what_cannot_be_read_is_dead_and_visible() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 5] =
        [b"", b"not json", b"\xff\xfe", deep.as_bytes(), br#"{"event_type":1,"event_type":2}"#];
    let mut ids = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let (id, timestamp) = (format!("msg_{n}"), START_SECS.to_string());
        let signature = sign(SECRET, &id, &timestamp, body);
        let headers =
            [("webhook-id", &*id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
        let answered = post(&gateway.url("/in/flexprice"), &headers, *body).await;
        assert_eq!(answered.status, 200);
        ids.push(answered.id().to_owned());
    }
    gateway.settle().await;
    for (id, body) in ids.iter().zip(bodies) {
        let story = gateway.story(id).await;
        assert_eq!(story.body.as_deref(), Some(body), "nothing authentic is lost");
        assert!(
            !matches!(story.webhook.state, WebhookState::Undispatched { .. }),
            "{:?}",
            story.webhook.state
        );
    }
    let dead = gateway.client().dead_letters(&DeadLetterQuery::default()).await.unwrap();
    assert_eq!(dead.items.len(), 4, "all but the last");
    gateway.stop().await;
}

#[tokio::test]
async fn sixty_four_posts_of_one_webhook_give_one_event_and_sixty_four_oks() {
    let receiver = Receiver::start().await;
    let mut gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let body = canceled("subs_1", "price");
    let mut first: Option<String> = None;
    for _ in 0..2 {
        let url = gateway.url("/in/flexprice");
        let posts = (0..64).map(|_| {
            let (url, body) = (url.clone(), body.clone());
            tokio::spawn(async move { post_signed(&url, "msg_1", START_SECS, &body).await })
        });
        for post in posts.collect::<Vec<_>>() {
            let answered = post.await.unwrap();
            assert_eq!(answered.status, 200);
            let id = first.get_or_insert_with(|| answered.id().to_owned());
            assert_eq!(answered.id(), id);
        }
        gateway.settle().await;
        assert_eq!(receiver.received().len(), 1);
        gateway = gateway.restart().await;
    }
    let story = gateway.story(&first.unwrap()).await;
    assert_eq!(story.webhook.duplicates, 127);
    gateway.stop().await;
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_duplicate_and_counted_as_a_conflict() {
    let gateway = Gateway::start(FLEXPRICE).await;
    let url = gateway.url("/in/flexprice");
    let first = post_signed(&url, "msg_1", START_SECS, &canceled("subs_1", "price")).await;
    let second = post_signed(&url, "msg_1", START_SECS, &canceled("subs_1", "cost")).await;
    assert_eq!((second.status, second.id(), &second.body["duplicate"]), (200, first.id(), &true.into()));
    let story = gateway.story(first.id()).await;
    assert_eq!((story.webhook.duplicates, story.webhook.conflicts), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_events_are_kept_and_go_only_to_who_asks_for_them() {
    let (everything, curious) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "{FLEXPRICE}{}{}events = [\"provider.unmapped\"]\n",
        everything.endpoint("everything"),
        curious.endpoint("curious")
    );
    let gateway = Gateway::start(&config).await;
    let body = r#"{"event_type":"quantum.entangled","subscription":{"id":"subs_1"}}"#;
    post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, body).await;
    gateway.settle().await;
    assert_eq!(everything.received().len(), 0);
    assert_eq!(curious.received()[0].json()["data"]["provider_event_type"], "quantum.entangled");
    gateway.stop().await;
}

#[tokio::test]
async fn a_cancellation_that_was_scheduled_is_won_back_once() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let scheduled = r#"{"event_type":"subscription.updated","subscription":{"id":"subs_1","customer_id":"c","cancel_at_period_end":true,"cancelled_at":"2026-08-01T00:00:00Z","cancel_at":"2026-08-10T00:00:00Z","metadata":{"cancellation_reason":"price","cancellation_type":"end_of_period"}}}"#;
    for (id, body) in [("msg_1", scheduled), ("msg_2", &canceled("subs_1", "price"))] {
        post_signed(&gateway.url("/in/flexprice"), id, START_SECS, body).await;
        gateway.settle().await;
    }
    let received = receiver.received();
    let kinds: Vec<_> = received.iter().map(|r| r.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["subscription.cancel_scheduled", "subscription.canceled"]);
    assert_eq!(received[0].json()["data"]["retention"]["primary"], "discount");
    assert!(received[1].json()["data"]["retention"].is_null(), "the decision was known");
    gateway.stop().await;
}
