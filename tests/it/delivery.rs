//! The way out: schedules, gates and isolation, with the clock pushed and nothing slept.

use crate::cli::{ask, text};
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::{SECRET, post_signed};
use billhook_tests::{ADMIN_TOKEN, Gateway, START_SECS, configuration};
use gateway::api::redrive::{DeadLetter, DeadLetterQuery, Redrive, RedriveQuery};
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::model::Time;
use gateway::model::delivery::DeliveryState;
use gateway::model::endpoint::Gate;
use gateway::model::id::EndpointId;
use gateway::plugins::Compiler;
use gateway::server::load::shipped;
use gateway::server::{Listeners, start};
use std::time::Duration;

pub(crate) async fn send(gateway: &Gateway, id: &str) -> String {
    let now = gateway.clock.now().secs();
    let body = canceled(id, "price");
    let answered = post_signed(&gateway.url("/in/flexprice"), &format!("msg_{id}"), now, &body).await;
    assert_eq!(answered.status, 200);
    answered.id().to_owned()
}

#[tokio::test]
async fn a_failing_endpoint_is_retried_on_schedule_until_it_takes_the_event() {
    let receiver = Receiver::scripted([500, 404, 302].map(Answer::Status)).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let webhook = send(&gateway, "subs_1").await;
    gateway.settle().await;
    // The default schedule is 5 s, 5 m, 30 m with up to a fifth of jitter either way.
    for (n, wait) in [(1, 5u64), (2, 300), (3, 1800)] {
        assert_eq!(receiver.received().len(), n);
        gateway.advance(Duration::from_millis(wait * 800 - 1)).await;
        assert_eq!(receiver.received().len(), n, "attempt {} came too early", n + 1);
        gateway.advance(Duration::from_millis(wait * 400 + 1)).await;
    }
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    for attempt in &received {
        assert_eq!(attempt.header("webhook-id"), received[0].header("webhook-id"), "the id is the same");
        assert_eq!(attempt.body, received[0].body, "the bytes are the same");
        assert!(attempt.is_signed(SECRET));
    }
    assert_ne!(received[0].header("webhook-timestamp"), received[3].header("webhook-timestamp"));
    let story = gateway.story(&webhook).await;
    let (delivery, attempts) = &story.events[0].deliveries[0];
    assert!(matches!(delivery.state, DeliveryState::Delivered { .. }));
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_dead_for_an_endpoint_that_is_gone_stays_where_it_is_seen() {
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let config = format!("{FLEXPRICE}{}schedule = []\n", receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    send(&gateway, "subs_1").await;
    gateway.settle().await;
    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &format!("{FLEXPRICE}{}", receiver.endpoint("other")), clock).await;
    let client = gateway.client();
    let redriven = client.redrive(&Redrive::All(true), &RedriveQuery::default()).await.unwrap();
    assert_eq!((redriven.deliveries, redriven.next), (0, None));
    assert_eq!(client.dead_letters(&DeadLetterQuery::default()).await.unwrap().items.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_schedule_that_is_used_up_ends_in_the_dead_letter_and_a_redrive_begins_it_anew() {
    let receiver = Receiver::scripted([500, 500, 500].map(Answer::Status)).await;
    let config = format!("{FLEXPRICE}{}schedule = [\"5s\", \"10s\"]\n", receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    send(&gateway, "subs_1").await;
    gateway.settle().await;
    gateway.advance(Duration::from_secs(6)).await;
    gateway.advance(Duration::from_secs(12)).await;
    assert_eq!(receiver.received().len(), 3);
    gateway.advance(Duration::from_secs(100_000)).await;
    assert_eq!(receiver.received().len(), 3, "dead is dead");

    let client = gateway.client();
    let dead = client.dead_letters(&DeadLetterQuery::default()).await.unwrap().items;
    let [DeadLetter::Delivery(delivery)] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!(
        client.redrive(&Redrive::Delivery(delivery.id), &RedriveQuery::default()).await.unwrap().deliveries,
        1
    );
    gateway.settle().await;
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    assert_eq!(
        received[3].header("webhook-id"),
        received[0].header("webhook-id"),
        "a redrive keeps the event id"
    );
    assert!(client.dead_letters(&DeadLetterQuery::default()).await.unwrap().items.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_nobody() {
    let hanging = Receiver::scripted(vec![Answer::Hang; 100]).await;
    let well = Receiver::start().await;
    let gateway =
        Gateway::start(&format!("{FLEXPRICE}{}{}", hanging.endpoint("hanging"), well.endpoint("well"))).await;
    for n in 0..50 {
        send(&gateway, &format!("subs_{n}")).await;
    }
    assert_eq!(well.got(50).await.len(), 50, "while the other one hangs");
    hanging.let_go();
    gateway.settle().await;
    assert_eq!(hanging.received().len(), 50);
    gateway.stop().await;
}

#[tokio::test]
async fn a_dead_endpoint_goes_to_trial_and_holds_its_deliveries_without_using_attempts() {
    let receiver = Receiver::scripted(vec![Answer::Close; 8]).await;
    let config = format!("{FLEXPRICE}{}concurrency = 1\n", receiver.endpoint("app"));
    let mut gateway = Gateway::start(&config).await;
    let mut webhooks = Vec::new();
    for n in 0..20 {
        webhooks.push(send(&gateway, &format!("subs_{n}")).await);
        gateway.settle().await;
    }
    let before = receiver.received().len();
    assert!(before <= 6, "{before} requests went to an endpoint that failed five times in a row");
    let gate = gateway.store().gate(EndpointId::derive("app")).await.unwrap();
    assert!(matches!(gate.gate, Gate::Trial { .. }), "{gate:?}");

    // A restart forgets no gate, and trials come one at a time.
    gateway = gateway.restart().await;
    gateway.advance(Duration::from_secs(31)).await;
    let tried = receiver.received().len();
    assert_eq!(tried, before + 1, "one trial");
    for _ in 0..20 {
        gateway.advance(Duration::from_secs(15 * 60)).await;
    }
    for webhook in &webhooks {
        let story = gateway.story(webhook).await;
        let (delivery, attempts) = &story.events[0].deliveries[0];
        assert!(matches!(delivery.state, DeliveryState::Delivered { .. }), "{delivery:?}");
        let counted = attempts.iter().filter(|attempt| !attempt.trial).count();
        assert!(counted <= 2, "held deliveries use no attempts: {attempts:?}");
    }
    assert_eq!(gateway.store().gate(EndpointId::derive("app")).await.unwrap().gate, Gate::Open);
    gateway.stop().await;
}

#[tokio::test]
async fn a_410_disables_the_endpoint_and_holds_what_waits() {
    let receiver = Receiver::scripted([Answer::Status(410)]).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let first = send(&gateway, "subs_1").await;
    gateway.settle().await;
    send(&gateway, "subs_2").await;
    gateway.advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(receiver.received().len(), 1);
    let gate = gateway.store().gate(EndpointId::derive("app")).await.unwrap();
    assert_eq!(gate.gate, Gate::Disabled);
    let story = gateway.story(&first).await;
    assert_eq!(story.events[0].deliveries[0].0.state.name(), "waiting");
    gateway.stop().await;
}

#[tokio::test]
async fn a_retry_after_is_waited_for_in_seconds_and_as_a_date() {
    let date = "Mon, 10 Aug 2026 13:00:00 GMT".to_owned();
    let receiver = Receiver::scripted([
        Answer::With(503, "retry-after", "120".to_owned(), b"busy".to_vec()),
        Answer::With(503, "retry-after", date, Vec::new()),
    ])
    .await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    send(&gateway, "subs_1").await;
    gateway.settle().await;
    gateway.advance(Duration::from_secs(119)).await;
    assert_eq!(receiver.received().len(), 1);
    gateway.advance(Duration::from_secs(1)).await;
    assert_eq!(receiver.received().len(), 2);
    let to_the_date = 13 * 3600 - 12 * 3600 - 120;
    gateway.advance(Duration::from_secs(to_the_date - 1)).await;
    assert_eq!(receiver.received().len(), 2);
    gateway.advance(Duration::from_secs(1)).await;
    assert_eq!(receiver.received().len(), 3);
    assert_eq!(gateway.clock.now().secs(), START_SECS + 3600);
    gateway.stop().await;
}

#[tokio::test]
async fn addresses_that_are_not_allowed_are_never_connected_to() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("billhook.toml");
    let text = configuration(dir.path(), &format!("{FLEXPRICE}{}", receiver.endpoint("app")));
    std::fs::write(&path, text).unwrap();
    let mut config = Config::load(Some(&path), &Environment::default(), &shipped()).unwrap();
    // As if the address were that of a name: it would not have been known when the file was read.
    config.network.allow.clear();
    let listeners = Listeners::bind(&config).await.unwrap();
    let clock = Clock::manual(Time::from_secs(START_SECS));
    let running = start(config, listeners, clock, Compiler::InProcess).await.unwrap();
    let (url, body) = (format!("http://{}/in/flexprice", running.ingest_addr()), canceled("subs_1", "price"));
    let answered = post_signed(&url, "msg_1", START_SECS, &body).await;
    running.settle().await;
    let story = running.store().story(answered.id().parse().unwrap()).await.unwrap().unwrap();
    let (_, attempts) = &story.events[0].deliveries[0];
    assert!(format!("{:?}", attempts[0].outcome).contains("Forbidden"), "{:?}", attempts[0]);
    assert!(receiver.received().is_empty());
    running.stop(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_gets_its_own_headers_its_authorization_and_its_query_in_every_attempt() {
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let settings = "headers = { \"X-Env\" = \"prod\", x-key = \"file:key\", User-Agent = \"billing\" }\nauth = { \
                    scheme = \"basic\", user = \"ada\", secret = \"file:key\" }\nquery = { token = \"a b&c\" }\n";
    let config = format!("{FLEXPRICE}{}{settings}", receiver.endpoint("app"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "hunter2\n").unwrap();
    let clock = Clock::manual(Time::from_secs(START_SECS));
    let gateway = Gateway::start_in(dir, &config, clock).await;
    send(&gateway, "subs_1").await;
    gateway.settle().await;
    gateway.advance(Duration::from_secs(6)).await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    for attempt in received {
        assert_eq!(attempt.path, "/hook?token=a+b%26c");
        assert_eq!((attempt.header("x-env"), attempt.header("x-key")), ("prod", "hunter2"));
        assert_eq!(attempt.header("user-agent"), "billing");
        assert_eq!(attempt.header("authorization"), "Basic YWRhOmh1bnRlcjI=");
        assert_eq!(attempt.header("content-type"), "application/json");
        assert!(attempt.is_signed(SECRET));
    }
    let request = gateway::client::http().unwrap().get(format!("{}/api/v1/endpoints", gateway.admin_url()));
    let told = request.bearer_auth(ADMIN_TOKEN).send().await.unwrap().text().await.unwrap();
    assert!(told.contains("token=***") && !told.contains("a+b"), "{told}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_bearer_token_is_sent_and_a_rule_makes_the_schedule() {
    let receiver = Receiver::scripted(vec![Answer::Status(500); 9]).await;
    let settings = "auth = { scheme = \"bearer\", secret = \"t0ken\" }\nschedule = { first = \"10s\", factor = 3, max = \
                    \"1m\", attempts = 4 }\n";
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}{settings}", receiver.endpoint("app"))).await;
    let webhook = send(&gateway, "subs_1").await;
    gateway.settle().await;
    for (n, wait) in [(1, 10u64), (2, 30), (3, 60)] {
        assert_eq!(receiver.received().len(), n);
        gateway.advance(Duration::from_millis(wait * 800 - 1)).await;
        assert_eq!(receiver.received().len(), n, "attempt {} came too early", n + 1);
        gateway.advance(Duration::from_millis(wait * 400 + 1)).await;
    }
    assert!(receiver.received().iter().all(|attempt| attempt.header("authorization") == "Bearer t0ken"));
    assert_eq!(receiver.received().len(), 4);
    let story = gateway.story(&webhook).await;
    assert_eq!(story.events[0].deliveries[0].0.state.name(), "dead");
    gateway.stop().await;
}

#[tokio::test]
async fn a_resend_arrives_once_more_under_the_same_id_with_the_same_bytes() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let webhook = send(&gateway, "subs_1").await;
    gateway.settle().await;
    let first = gateway.story(&webhook).await.events[0].deliveries[0].0.id.to_string();
    // The first try fails: a resend has the whole schedule, as a redrive has.
    receiver.then([Answer::Status(500)]);
    let told = text(&ask(&gateway, &["delivery", "resend", &first]).await.stdout);
    assert!(told.starts_with(&format!("{first} is sent again as dlv_")), "{told}");
    gateway.settle().await;
    let again = text(&ask(&gateway, &["delivery", "resend", &first]).await.stdout);
    assert!(again.contains("waits already as dlv_"), "{again}");
    gateway.advance(Duration::from_secs(6)).await;
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    for resent in &received[1..] {
        assert_eq!(resent.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(resent.body, received[0].body);
    }
    let deliveries = gateway.story(&webhook).await.events.remove(0).deliveries;
    let [(_, one), (second, two)] = &deliveries[..] else { panic!("{deliveries:?}") };
    assert_eq!((one.len(), two.len(), second.resend, second.state.name()), (1, 2, 1, "delivered"));
    gateway.stop().await;
}

#[tokio::test]
async fn until_the_last_delivery_has_ended_an_operator_is_told_that_the_gateway_stops() {
    let receiver = Receiver::scripted([Answer::Hang]).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    send(&gateway, "subs_1").await;
    receiver.got(1).await;
    let (ready, ingest) = (format!("{}/readyz", gateway.admin_url()), gateway.url("/in/flexprice"));
    let http = gateway::client::http().unwrap();
    let told = async || http.get(&ready).send().await.unwrap().text().await.unwrap();
    assert_eq!(told().await, r#"{"status":"ok"}"#);
    let stopping = tokio::spawn(gateway.stop());
    while told().await == r#"{"status":"ok"}"# {}
    assert_eq!(told().await, r#"{"status":"stopping"}"#);
    while http.get(&ingest).send().await.is_ok() {}
    assert_eq!(told().await, r#"{"status":"stopping"}"#, "the way in is closed");
    receiver.let_go();
    stopping.await.unwrap();
    assert!(http.get(&ready).send().await.is_err());
}

#[tokio::test]
async fn a_receiver_that_hangs_keeps_no_gateway_from_stopping_in_order() {
    let receiver = Receiver::scripted([Answer::Hang]).await;
    let gateway =
        Gateway::start(&format!("{FLEXPRICE}{}timeout = \"90s\"\n", receiver.endpoint("app"))).await;
    let webhook = send(&gateway, "subs_1").await;
    receiver.got(1).await;
    let (dir, config, clock) = gateway.stop_within(Duration::from_secs(6)).await;
    let gateway = Gateway::start_in(dir, &config, clock).await;
    assert!(gateway.store().was_clean());
    // What was given up is sent again, and was no failure.
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 2);
    let [(delivery, attempts)] = &gateway.story(&webhook).await.events[0].deliveries[..] else { panic!() };
    assert_eq!((delivery.state.name(), attempts.len()), ("delivered", 1));
    gateway.stop().await;
}
