//! The client and the admin API against each other, over real sockets and a real store.

use super::{Client, ClientError, http};
use crate::admin::{Admin, BODY_BYTES_MAX, EndpointInfo, Phase, router, serve};
use crate::api::delivery::{DeliveryQuery, DeliveryState, Outcome as SeenOutcome};
use crate::api::event::EventQuery;
use crate::api::problem::{MEDIA_TYPE, Problem};
use crate::api::redrive::{DeadLetter, DeadLetterQuery, Redrive, RedriveQuery};
use crate::api::webhook::WebhookState;
use crate::clock::Clock;
use crate::dispatch::rehearsal::Rehearsal;
use crate::model::Time;
use crate::model::attempt::{Attempt, Failure, Outcome};
use crate::model::dispatch::{Dispatch, NewEvent, Note, Run, Said};
use crate::model::endpoint::DISABLE_AFTER;
use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};
use crate::model::refused::Readmission;
use crate::model::secret::Secret;
use crate::model::webhook::{NewWebhook, WebhookHead};
use crate::plugins::roster::{Kept, Roster};
use crate::plugins::{self, Plugins};
use crate::store::sled::{Options, SledStore};
use crate::store::{AfterAttempt, AfterFailure, Committed, Finish, Shared};
use crate::worker::pulse::{Pulse, Pulses};
use crate::worker::{Wake, Woken};
use billhook_event::{PluginRef, Verified};
use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::Method;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

type HeaderText<'a> = (&'a str, &'a str);

const PRIVATE_KEY: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const TOKEN: &str = "correct-horse";
/// When things happened.
const NOW: Time = Time::from_secs(1_786_363_200);
/// When somebody asks about them.
const LATER: Time = Time::from_secs(1_786_363_260);

/// An admin API on a real socket over a real store, with nobody who dispatches or delivers.
struct Gateway {
    url: String,
    client: Client,
    store: Shared,
    dispatch: Woken,
    deliver: Woken,
    phase: watch::Sender<Phase>,
    pulse: Pulse,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Gateway {
    async fn start() -> Gateway {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store =
            tokio::task::spawn_blocking(|| SledStore::open(Options::at(path))).await.unwrap().unwrap();
        let store: Shared = Arc::new(store);
        let ((dispatch, dispatch_woken), (deliver, deliver_woken)) = (Wake::new(), Wake::new());
        let (replay, _) = Wake::new();
        let (phase, phase_seen) = watch::channel(Phase::Up);
        let pulses = Pulses::default();
        let pulse = pulses.begin("deliver", &deliver);
        let router = router(Admin {
            store: store.clone(),
            clock: Clock::manual(LATER),
            dispatch,
            deliver,
            replay,
            readmit: Arc::new(|_| Box::pin(async { Ok(Readmission::Unknown) })),
            sources: Vec::new(),
            endpoints: vec![EndpointInfo {
                id: EndpointId::derive("app"),
                name: "app".to_owned(),
                url: "https://app.example/?k=***".to_owned(),
                secrets: vec![Secret::new(PRIVATE_KEY)],
                disable_after: DISABLE_AFTER,
            }],
            plugins: Arc::new(Roster::new(
                Plugins::start(plugins::Options { instances: 1, ..plugins::Options::default() }).unwrap(),
                Kept::at(dir.path().join("plugins")),
                Clock::manual(LATER),
            )),
            rehearsal: Rehearsal::new(store.clone(), Clock::manual(LATER), Arc::default()),
            breakers: Arc::default(),
            shadows: Arc::default(),
            token: Secret::new(TOKEN),
            listens_on: Ipv4Addr::LOCALHOST.into(),
            phase: phase_seen,
            pulses,
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(router, listener, async {
            let _ = stopped.await;
        }));
        Gateway {
            client: Client::new(&url, Secret::new(TOKEN)).unwrap(),
            url,
            store,
            dispatch: dispatch_woken,
            deliver: deliver_woken,
            phase,
            pulse,
            stop,
            serving,
            _dir: dir,
        }
    }

    /// Asks without the typed client; gives the status and the code of the problem.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[HeaderText<'_>],
        body: String,
    ) -> (u16, String) {
        let mut request = http().unwrap().request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        if status == 200 {
            return (status, String::new());
        }
        let problem = answer.headers().get("content-type").is_some_and(|kind| kind == MEDIA_TYPE);
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
        let problem: Problem =
            if problem { answer.json().await.unwrap() } else { panic!("{status} without problem") };
        assert_eq!(problem.status, status);
        assert!(!problem.detail.is_empty() && !problem.detail.contains(TOKEN), "{problem:?}");
        (status, problem.code)
    }

    async fn accept(&self, number: u16) -> WebhookId {
        self.accept_at(NOW, number).await
    }

    async fn accept_at(&self, at: Time, number: u16) -> WebhookId {
        let id = WebhookId::new(at, number.into());
        let body = Bytes::from_static(b"{\"a\":1.10}");
        let head = WebhookHead {
            headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
            verified: Verified::Signature,
            ..WebhookHead::of("billing", "acme", NOW, &body)
        };
        self.store.accept(NewWebhook { id, head, body, key: None }, NOW).await.unwrap();
        id
    }

    /// A webhook through the pipeline: one event, owed to `app`.
    async fn dispatched(&self, number: u16) -> (WebhookId, EventId) {
        let webhook = self.accept(number).await;
        let leases = self.store.lease_webhooks(NOW, 1).await.unwrap();
        let event = EventId::derive(webhook, 0);
        let plugin =
            PluginRef { name: "acme".to_owned(), version: "1.0.0".to_owned(), digest: "d".to_owned() };
        let dispatch = Dispatch {
            run: Run {
                now: NOW,
                notes: vec![Note { plugin, event: None, said: Said::Drafts(1), took_us: 5 }],
                ..Run::default()
            },
            events: vec![NewEvent {
                id: event,
                kind: "invoice.paid".to_owned(),
                json: Bytes::from(format!(r#"{{"id":"{event}","amount":1.10}}"#)),
                entity: None,
                object: None,
                occurred_at: NOW,
                dropped: None,
                endpoints: vec![EndpointId::derive("app")],
            }],
            ..Dispatch::default()
        };
        assert_eq!(self.store.dispatched(&leases[0], dispatch, NOW).await.unwrap(), Committed::Done);
        (webhook, event)
    }

    /// A delivery that is dead after one attempt.
    async fn dead_delivery(&self, number: u16) -> (WebhookId, DeliveryId) {
        let (webhook, _) = self.dispatched(number).await;
        let lease = self.store.lease(EndpointId::derive("app"), NOW, 1).await.unwrap().remove(0);
        let attempt = Attempt {
            n: 1,
            at: NOW,
            took: Duration::from_micros(1500),
            outcome: Outcome::Failed(Failure::Status(500)),
            trial: false,
            webhook_id: lease.delivery.event.to_string(),
            retry_after: Some(Duration::from_secs(2)),
            answer: b"oops".to_vec(),
        };
        let id = lease.delivery.id;
        let after = AfterAttempt::Dead("all 1 attempts failed".to_owned());
        let finish = Finish { delivery: lease.delivery, attempt, after };
        assert_eq!(self.store.finish(finish, NOW).await.unwrap(), Committed::Done);
        (webhook, id)
    }

    async fn dead_webhook(&self, number: u16) -> WebhookId {
        let webhook = self.accept(number).await;
        self.give_up_all().await;
        webhook
    }

    /// Has every webhook die that waits for the pipeline.
    async fn give_up_all(&self) {
        for lease in self.store.lease_webhooks(LATER, 1000).await.unwrap() {
            let failed = self.store.dispatch_failed(&lease, "not JSON".to_owned(), AfterFailure::Dead, NOW);
            assert_eq!(failed.await.unwrap(), Committed::Done);
        }
    }
}

/// Whether a wake came since the last look.
async fn was_woken(woken: &mut Woken) -> bool {
    tokio::select! {
        biased;
        () = woken.woken() => true,
        () = std::future::ready(()) => false,
    }
}

fn code(refused: ClientError) -> (u16, String) {
    match refused {
        ClientError::Refused(problem) => (problem.status, problem.code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_gets_in_without_the_token_or_under_another_name() {
    let gateway = Gateway::start().await;
    let token = format!("Bearer {TOKEN}");
    let cases: [(&str, &[HeaderText<'_>], (u16, &str)); 8] = [
        ("/api/v1/stats", &[], (401, "unauthorized")),
        ("/api/v1/stats", &[("authorization", "Bearer wrong-horse")], (401, "unauthorized")),
        ("/api/v1/stats", &[("authorization", &token)], (200, "")),
        ("/api/v1/stats", &[("authorization", &token), ("host", "localhost:1")], (200, "")),
        ("/api/v1/stats", &[("authorization", &token), ("host", "rebound.example")], (421, "wrong_host")),
        ("/api/v1/nothing", &[], (401, "unauthorized")),
        ("/healthz", &[("host", "rebound.example")], (200, "")),
        ("/readyz", &[], (200, "")),
    ];
    for (path, headers, expected) in cases {
        let seen = gateway.ask(Method::GET, path, headers, String::new()).await;
        assert_eq!((seen.0, seen.1.as_str()), expected, "{path} {headers:?}");
    }
    let wrong = Client::new(&gateway.url, Secret::new("wrong")).unwrap().stats().await.unwrap_err();
    assert!(matches!(wrong, ClientError::Token { .. }), "{wrong:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_stable_code() {
    let gateway = Gateway::start().await;
    let nobody = EventId::derive(WebhookId::new(NOW, 99), 0);
    let dead = DeliveryId::derive(nobody, EndpointId::derive("app"), 0);
    let (unknown_event, unknown_delivery) =
        (format!("/events/{nobody}"), format!(r#"{{"delivery":"{dead}"}}"#));
    let long = " ".repeat(BODY_BYTES_MAX + 1);
    let redrive = "/dead-letters/redrive";
    let cases = [
        (Method::GET, "/nothing", "", (404, "no_route")),
        (Method::POST, "/events", "", (405, "method_not_allowed")),
        (Method::GET, "/events/evt_1", "", (400, "bad_id")),
        (Method::GET, "/webhooks/evt_01K2A3B4C5D6E7F8G9HAJBKCMD", "", (400, "bad_id")),
        (Method::GET, "/events/%ff", "", (400, "bad_id")),
        (Method::GET, "/endpoints/%ff", "", (400, "bad_id")),
        (Method::POST, "/endpoints/%ff/pause", "", (400, "bad_id")),
        (Method::POST, "/endpoints/%ff/rotate", "", (400, "bad_id")),
        (Method::GET, "/plugins/%ff", "", (400, "bad_id")),
        (Method::POST, "/plugins/%ff/swap", "", (400, "bad_id")),
        (Method::GET, &unknown_event, "", (404, "not_found")),
        (Method::GET, "/events?limit=0", "", (400, "bad_query")),
        (Method::GET, "/events?limit=201", "", (400, "bad_query")),
        (Method::GET, "/events?limit=many", "", (400, "bad_query")),
        (Method::GET, "/events?limit=200", "", (200, "")),
        (Method::GET, "/events?kind=invoice.paid", "", (400, "bad_query")),
        (Method::GET, "/webhooks?state=alive", "", (400, "bad_query")),
        (Method::GET, "/deliveries?state=sent", "", (400, "bad_query")),
        (Method::GET, "/deliveries?endpoint=nobody", "", (404, "unknown_endpoint")),
        (Method::GET, "/dead-letters?after=AQ", "", (400, "bad_cursor")),
        (Method::POST, redrive, "", (400, "bad_body")),
        (Method::POST, redrive, r#"{"all":false}"#, (400, "bad_body")),
        (Method::POST, redrive, r#"{"delivery":"whk_01K2A3B4C5D6E7F8G9HAJBKCMD"}"#, (400, "bad_body")),
        (Method::POST, redrive, r#"{"endpoint":"nobody"}"#, (404, "unknown_endpoint")),
        (Method::POST, redrive, &unknown_delivery, (404, "not_found")),
        (Method::POST, redrive, &long, (413, "too_large")),
    ];
    for (method, path, body, expected) in cases {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str())];
        let seen = gateway.ask(method, &format!("/api/v1{path}"), &headers, body.to_owned()).await;
        assert_eq!((seen.0, seen.1.as_str()), expected, "{path} {}", body.trim());
    }
}

#[tokio::test]
async fn who_sends_all_of_a_long_body_first_hears_why_it_is_refused() {
    let gateway = Gateway::start().await;
    let cases = [
        ("/plugins/acme/swap", "localhost", "wrong", "401", "unauthorized"),
        ("/plugins/acme/swap", "rebound.example", TOKEN, "421", "wrong_host"),
        ("/plugins/acme/swap?sha=1", "localhost", TOKEN, "400", "bad_query"),
        ("/dead-letters/redrive", "localhost", TOKEN, "413", "too_large"),
        ("/nothing", "localhost", TOKEN, "404", "no_route"),
        ("/stats", "localhost", TOKEN, "405", "method_not_allowed"),
    ];
    let body = vec![b' '; 12 << 20];
    for (path, host, token, status, code) in cases {
        let mut stream = TcpStream::connect(&gateway.url["http://".len()..]).await.unwrap();
        let head = format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.expect("all of the body is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let expected = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(code);
        assert!(expected, "{path}: {answer}");
    }
}

#[tokio::test]
async fn pages_join_without_gap_and_a_cursor_of_another_list_is_refused() {
    let gateway = Gateway::start().await;
    for number in 1..=3 {
        gateway.dispatched(number).await;
    }
    let mut query =
        EventQuery { kind: Some("invoice.paid".to_owned()), limit: Some(1), ..EventQuery::default() };
    let first = gateway.client.events(&query).await.unwrap();
    let others = [
        EventQuery { kind: None, after: first.next.clone(), ..query.clone() },
        EventQuery { kind: Some("invoice.voided".to_owned()), after: first.next.clone(), ..query.clone() },
        EventQuery { source: Some("billing".to_owned()), after: first.next.clone(), ..query.clone() },
    ];
    for other in others {
        assert_eq!(
            code(gateway.client.events(&other).await.unwrap_err()),
            (400, "bad_cursor".to_owned()),
            "{other:?}"
        );
    }
    let deliveries = DeliveryQuery { after: first.next.clone(), ..DeliveryQuery::default() };
    assert_eq!(code(gateway.client.deliveries(&deliveries).await.unwrap_err()).1, "bad_cursor");

    let mut seen = first.items;
    query.after = first.next;
    while query.after.is_some() {
        let page = gateway.client.events(&query).await.unwrap();
        seen.extend(page.items);
        query.after = page.next;
    }
    let webhooks = (1..=3).map(|number| WebhookId::new(NOW, number));
    let mut expected: Vec<_> = webhooks.map(|webhook| EventId::derive(webhook, 0)).collect();
    expected.sort_by(|a, b| b.cmp(a));
    assert_eq!(seen.iter().map(|event| event.id).collect::<Vec<_>>(), expected);
    let of = |kind: &str| EventQuery { kind: Some(kind.to_owned()), ..EventQuery::default() };
    assert_eq!(gateway.client.events(&of("invoice.voided")).await.unwrap().items, []);
    assert_eq!(code(gateway.client.events(&of("invoice.void")).await.unwrap_err()).1, "bad_query");
}

#[tokio::test]
async fn an_event_tells_the_whole_story_with_numbers_as_they_were_written() {
    let gateway = Gateway::start().await;
    let (webhook, delivery) = gateway.dead_delivery(1).await;
    let event = EventId::derive(webhook, 0);
    let story = gateway.client.event(event).await.unwrap();
    assert_eq!(story.webhook.id, webhook);
    assert_eq!(story.read_at, LATER);
    assert_eq!(story.run.as_ref().unwrap().notes.len(), 1);
    assert_eq!(story.events[0].event.get(), format!(r#"{{"id":"{event}","amount":1.10}}"#));
    let told = &story.events[0].deliveries[0];
    assert_eq!(told.delivery.endpoint.name.as_deref(), Some("app"));
    assert!(matches!(told.delivery.state, DeliveryState::Dead { .. }));
    assert!(matches!(told.attempts[0].outcome, SeenOutcome::Failed { status: Some(500), .. }));
    assert_eq!(told.attempts[0].retry_after_ms, Some(2000));
    assert_eq!(gateway.client.delivery(delivery).await.unwrap(), *told);
    let same = gateway.client.webhook(webhook).await.unwrap();
    assert_eq!(serde_json::to_string(&same).unwrap(), serde_json::to_string(&story).unwrap());
    let stats = gateway.client.stats().await.unwrap();
    assert_eq!((stats.webhooks, stats.events, stats.dead), (1, 1, 1));
}

#[tokio::test]
async fn a_dead_delivery_is_redriven_once_and_the_deliveries_are_woken() {
    let mut gateway = Gateway::start().await;
    let (webhook, dead) = gateway.dead_delivery(1).await;
    let page = gateway.client.dead_letters(&DeadLetterQuery::default()).await.unwrap();
    assert!(matches!(&page.items[..], [DeadLetter::Delivery(letter)] if letter.id == dead), "{page:?}");

    assert!(!was_woken(&mut gateway.deliver).await);
    let redriven = gateway.client.redrive(&Redrive::Delivery(dead), &RedriveQuery::default()).await.unwrap();
    assert_eq!((redriven.deliveries, redriven.webhooks, redriven.next), (1, 0, None));
    assert!(was_woken(&mut gateway.deliver).await);

    let story = gateway.client.webhook(webhook).await.unwrap();
    let [_, anew] = &story.events[0].deliveries[..] else { panic!("{story:?}") };
    assert_eq!((anew.delivery.resend, anew.attempts.len()), (1, 0));
    assert_eq!(anew.delivery.state, DeliveryState::Waiting { due: LATER });
    let endpoints = gateway.client.endpoints().await.unwrap();
    assert_eq!((endpoints.items[0].name.as_str(), endpoints.items[0].waiting), ("app", 1));

    let again = gateway.client.redrive(&Redrive::Delivery(dead), &RedriveQuery::default()).await.unwrap_err();
    assert_eq!(code(again), (409, "not_dead".to_owned()));
    let waiting = gateway
        .client
        .redrive(&Redrive::Delivery(anew.delivery.id), &RedriveQuery::default())
        .await
        .unwrap_err();
    assert_eq!(code(waiting), (409, "not_dead".to_owned()));
    assert!(!was_woken(&mut gateway.deliver).await);
}

#[tokio::test]
async fn a_dead_webhook_is_redriven_and_the_pipeline_is_woken() {
    let mut gateway = Gateway::start().await;
    let dead = gateway.dead_webhook(1).await;
    let redriven = gateway.client.redrive(&Redrive::Webhook(dead), &RedriveQuery::default()).await.unwrap();
    assert_eq!((redriven.deliveries, redriven.webhooks), (0, 1));
    assert!(was_woken(&mut gateway.dispatch).await);
    let story = gateway.client.webhook(dead).await.unwrap();
    assert!(matches!(story.webhook.state, WebhookState::Undispatched { failures: 0, .. }), "{story:?}");
    let again = gateway.client.redrive(&Redrive::Webhook(dead), &RedriveQuery::default()).await.unwrap_err();
    assert_eq!(code(again), (409, "not_dead".to_owned()));
}

#[tokio::test]
async fn dead_letters_list_webhooks_then_deliveries_over_pages_and_go_all_at_once() {
    let gateway = Gateway::start().await;
    let (_, first) = gateway.dead_delivery(1).await;
    let (_, second) = gateway.dead_delivery(2).await;
    let webhook = gateway.dead_webhook(3).await;
    for limit in 1..=3 {
        let mut seen = Vec::new();
        let mut query = DeadLetterQuery { limit: Some(limit), after: None };
        loop {
            let page = gateway.client.dead_letters(&query).await.unwrap();
            assert!(page.items.len() <= limit);
            seen.extend(page.items.into_iter().map(|letter| match letter {
                DeadLetter::Webhook(webhook) => webhook.id.to_string(),
                DeadLetter::Delivery(delivery) => delivery.id.to_string(),
            }));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        seen[1..].sort();
        let mut deliveries = [first.to_string(), second.to_string()];
        deliveries.sort();
        assert_eq!(seen, [vec![webhook.to_string()], deliveries.to_vec()].concat(), "pages of {limit}");
    }
    let redriven = gateway.client.redrive(&Redrive::All(true), &RedriveQuery::default()).await.unwrap();
    assert_eq!((redriven.deliveries, redriven.webhooks, redriven.next), (2, 1, None));
    assert_eq!(
        gateway
            .client
            .redrive(&Redrive::Endpoint("app".to_owned()), &RedriveQuery::default())
            .await
            .unwrap()
            .deliveries,
        0
    );
}

#[tokio::test]
async fn what_dies_again_while_all_is_redriven_is_not_met_again() {
    let gateway = Gateway::start().await;
    // One more than a request redrives.
    join_all((1..=501).map(|number| gateway.accept(number))).await;
    gateway.give_up_all().await;
    gateway.dead_delivery(502).await;
    let (mut query, mut seen) = (RedriveQuery::default(), Vec::new());
    loop {
        let redriven = gateway.client.redrive(&Redrive::All(true), &query).await.unwrap();
        seen.push((redriven.webhooks, redriven.deliveries));
        gateway.give_up_all().await;
        query.after = redriven.next;
        if query.after.is_none() || seen.len() > 3 {
            break;
        }
        let other = gateway.client.redrive(&Redrive::Endpoint("app".to_owned()), &query).await;
        assert_eq!(code(other.unwrap_err()), (400, "bad_cursor".to_owned()), "a cursor of another redrive");
    }
    assert_eq!(seen, [(500, 0), (1, 1)]);
}

#[tokio::test]
async fn what_waits_for_an_endpoint_is_counted_however_much_others_have() {
    let gateway = Gateway::start().await;
    gateway.dispatched(1).await;
    // Newer, and more than a page of the list looks at.
    let others: Vec<EndpointId> = (0..70).map(|n| EndpointId::derive(&format!("other-{n}"))).collect();
    let newer = gateway.accept_at(LATER, 2).await;
    let lease = gateway.store.lease_webhooks(NOW, 1).await.unwrap().remove(0);
    let events = (0..100).map(|index| NewEvent {
        id: EventId::derive(newer, index),
        kind: "invoice.paid".to_owned(),
        json: Bytes::from_static(b"{}"),
        entity: None,
        object: None,
        occurred_at: NOW,
        dropped: None,
        endpoints: others.clone(),
    });
    let run = Run { now: NOW, ..Run::default() };
    let dispatch = Dispatch { run, events: events.collect(), ..Dispatch::default() };
    assert_eq!(gateway.store.dispatched(&lease, dispatch, NOW).await.unwrap(), Committed::Done);
    let app = gateway.client.endpoint("app").await.unwrap();
    assert_eq!((app.waiting, app.waiting_more), (1, false));
}

#[tokio::test]
async fn readiness_follows_the_gateway_and_a_stop_ends_idle_connections() {
    let gateway = Gateway::start().await;
    let http = http().unwrap();
    let ready = async || {
        let answer = http.get(format!("{}/readyz", gateway.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ready().await, (200, r#"{"status":"ok"}"#.to_owned()));
    gateway.pulse.ended();
    assert_eq!(ready().await, (503, r#"{"status":"failed","loops":["deliver"]}"#.to_owned()));
    gateway.phase.send_replace(Phase::Stopping);
    assert_eq!(ready().await, (503, r#"{"status":"stopping"}"#.to_owned()));
    gateway.phase.send_replace(Phase::Up);
    gateway.store.close().await.unwrap();
    assert_eq!(ready().await, (503, r#"{"status":"failed","loops":["committer"]}"#.to_owned()));
    gateway.stop.send(()).unwrap();
    gateway.serving.await.unwrap();
    assert!(http.get(format!("{}/healthz", gateway.url)).send().await.is_err());
}
