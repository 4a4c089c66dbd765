//! A real store, real sockets, a clock of the test's own.

use super::*;
use crate::model::attempt::{Attempt, Failure, Outcome};
use crate::model::delivery::{Delivery, DeliveryState};
use crate::model::dispatch::{Dispatch, NewEvent};
use crate::model::endpoint::{By, DISABLE_AFTER, Endpoint, Gate, Terms, Turned};
use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};
use crate::model::profile::Manner;
use crate::model::retry::Schedule;
use crate::model::secret::Secret;
use crate::model::signature::{sign_v1, standard_key};
use crate::model::webhook::{NewWebhook, WebhookHead};
use crate::outbound::address::Policy;
use crate::store::sled::{Options as SledOptions, SledStore};
use crate::worker::{Stopper, Wake};
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const START: Time = Time::from_secs(1_800_000_000);
const SECRETS: [&str; 2] = [
    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
];

/// What a receiver answers.
#[derive(Clone)]
enum Say {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// 200 once the rig's gate is open.
    Hang,
}

/// A request as a receiver got it.
struct Heard {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A receiver that says what it was told to in turn, and then 200.
struct Receiver {
    port: u16,
    says: Arc<Mutex<VecDeque<Say>>>,
    /// The events that it does not take, whatever it was told to say.
    rejects: Arc<Mutex<HashSet<String>>>,
    heard: mpsc::UnboundedReceiver<Heard>,
    lets_go: watch::Sender<bool>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let says = Arc::new(Mutex::new(VecDeque::new()));
        let (hears, heard) = mpsc::unbounded_channel();
        let (lets_go, goes) = watch::channel(false);
        let rejects: Arc<Mutex<HashSet<String>>> = Arc::default();
        let (told, rejected) = (says.clone(), rejects.clone());
        let answer = move |uri: http::Uri, headers: HeaderMap, body: Bytes| {
            let say = match rejected.lock().unwrap().contains(headers["webhook-id"].to_str().unwrap()) {
                true => Say::Status(422),
                false => told.lock().unwrap().pop_front().unwrap_or(Say::Status(200)),
            };
            // A test may have ended before its last request.
            let _ = hears.send(Heard { path: uri.path().to_owned(), headers, body });
            let mut goes = goes.clone();
            async move {
                match say {
                    Say::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
                    Say::RetryAfter(status, wait) => {
                        (StatusCode::from_u16(status).unwrap(), [("retry-after", wait)]).into_response()
                    }
                    Say::Hang => {
                        let _ = goes.wait_for(|goes| *goes).await;
                        StatusCode::OK.into_response()
                    }
                }
            }
        };
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async { axum::serve(listener, router).await });
        Receiver { port, says, rejects, heard, lets_go }
    }

    fn say(&self, says: impl IntoIterator<Item = Say>) {
        self.says.lock().unwrap().extend(says);
    }

    /// The requests since the last call.
    fn heard(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

/// A deliver pass over a store of its own, with a clock that stands still.
struct Rig {
    store: Shared,
    clock: Clock,
    wake: Wake,
    deliver: Deliver,
    stopper: Stopper,
    runs: JoinHandle<Result<(), StoreError>>,
    webhooks: u128,
    /// What the next event is.
    kind: &'static str,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// With endpoints that post to `receiver` under their name, changed by `tweak`.
    async fn start(receiver: &Receiver, names: &[&str], tweak: impl Fn(&mut Endpoint)) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let store: Shared = Arc::new(SledStore::open(SledOptions::at(dir.path().join("store"))).unwrap());
        let endpoints = names.iter().map(|name| {
            let mut endpoint = endpoint(name, receiver.port);
            tweak(&mut endpoint);
            endpoint
        });
        let endpoints = Arc::new(Endpoints::new(endpoints.collect()).unwrap());
        let policy = Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], own: Vec::new() };
        let outbound = Outbound::new(policy).unwrap();
        let clock = Clock::manual(START);
        let deliver = Deliver::new(store.clone(), clock.clone(), outbound, endpoints);
        let (wake, woken) = Wake::new();
        let (stopper, stop) = Stop::new();
        let runs = tokio::spawn(deliver.clone().run(woken, stop));
        Rig { store, clock, wake, deliver, stopper, runs, webhooks: 0, kind: "invoice.paid", _dir: dir }
    }

    /// Stores an event that is owed to `names`, without waking anybody.
    async fn owe(&mut self, names: &[&str]) -> Vec<DeliveryId> {
        self.webhooks += 1;
        let (id, now) = (WebhookId::new(self.clock.now(), self.webhooks), self.clock.now());
        let (head, body) = (WebhookHead::of("shop", "acme", now, b"{}"), Bytes::from_static(b"{}"));
        self.store.accept(NewWebhook { id, head, body, key: None }, now).await.unwrap();
        let lease = self.store.lease_webhooks(now, 1).await.unwrap().remove(0);
        let event = NewEvent {
            id: EventId::derive(id, 0),
            kind: self.kind.to_owned(),
            json: r#"{"occurred_at":"2026-08-10T12:00:00.000Z", "total": 0.10}"#.into(),
            entity: None,
            object: None,
            occurred_at: Time::from_secs(1_786_363_200),
            dropped: None,
            endpoints: names.iter().map(|name| EndpointId::derive(name)).collect(),
        };
        let deliveries =
            event.endpoints.iter().map(|endpoint| DeliveryId::derive(event.id, *endpoint, 0)).collect();
        self.store
            .dispatched(&lease, Dispatch { events: vec![event], ..Dispatch::default() }, now)
            .await
            .unwrap();
        deliveries
    }

    async fn owe_one(&mut self, name: &str) -> DeliveryId {
        self.owe(&[name]).await.remove(0)
    }

    async fn settle(&self) {
        self.wake.settled().await;
    }

    async fn push(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        self.settle().await;
    }

    async fn delivery(&self, id: DeliveryId) -> Delivery {
        self.store.delivery(id).await.unwrap().unwrap()
    }

    async fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.store.attempts(id).await.unwrap()
    }

    /// Seconds until a delivery is due.
    async fn due_in(&self, id: DeliveryId) -> u64 {
        match self.delivery(id).await.state {
            DeliveryState::Waiting { due } => due.since(self.clock.now()).as_secs(),
            state => panic!("{state:?}"),
        }
    }

    async fn gate(&self, name: &str) -> Gate {
        self.store.gate(EndpointId::derive(name)).await.unwrap().gate
    }

    async fn set_gate(&self, name: &str, gate: Gate) {
        let id = EndpointId::derive(name);
        let version = self.store.gate(id).await.unwrap().version;
        let turned = Turned { by: By::Operator, why: None, at: self.clock.now() };
        assert!(self.store.set_gate(id, gate, turned, version).await.unwrap().is_some());
    }
}

fn endpoint(name: &str, port: u16) -> Endpoint {
    Endpoint {
        id: EndpointId::derive(name),
        name: name.to_owned(),
        url: format!("http://127.0.0.1:{port}/{name}").parse().unwrap(),
        secrets: SECRETS.map(Secret::new).to_vec(),
        events: Vec::new(),
        sources: Vec::new(),
        plugins: Vec::new(),
        schedule: Schedule { jitter: false, ..Schedule::default() },
        timeout: Duration::from_secs(15),
        concurrency: 8,
        manner: Manner::default(),
        disable_after: DISABLE_AFTER,
        terms: Terms::default(),
    }
}

fn failed(attempts: &[Attempt]) -> Vec<Option<Failure>> {
    let failure = |attempt: &Attempt| match &attempt.outcome {
        Outcome::Failed(failure) => Some(failure.clone()),
        Outcome::Delivered { .. } | Outcome::Skipped(_) => None,
    };
    attempts.iter().map(failure).collect()
}

#[tokio::test]
async fn a_delivery_is_retried_on_schedule_with_the_same_bytes_until_it_is_taken() {
    let mut receiver = Receiver::start().await;
    receiver.say([Say::Status(500), Say::Status(302)]);
    let mut rig = Rig::start(&receiver, &["app"], |_| {}).await;
    let id = rig.owe_one("app").await;
    rig.settle().await;
    rig.push(4).await;
    assert_eq!(receiver.heard.len(), 1, "not before it is due");
    rig.push(1).await;
    rig.push(300).await;
    let event = rig.delivery(id).await.event.to_string();
    let body = r#"{"type":"invoice.paid","timestamp":"2026-08-10T12:00:00.000Z","data":{"occurred_at":"2026-08-10T12:00:00.000Z", "total": 0.10}}"#;
    let sent = receiver.heard();
    for (heard, after) in sent.iter().zip([0, 5, 305]) {
        assert_eq!(
            (heard.path.as_str(), &heard.headers["content-type"]),
            ("/app", &"application/json".parse().unwrap())
        );
        assert_eq!(heard.body, body);
        let at = START.secs() + after;
        let signatures =
            SECRETS.map(|secret| sign_v1(&standard_key(secret).unwrap(), &event, at, body.as_bytes()));
        assert_eq!(heard.headers["webhook-id"], event);
        assert_eq!(heard.headers["webhook-timestamp"], at.to_string());
        assert_eq!(heard.headers["webhook-signature"], signatures.join(" "));
    }
    assert_eq!(sent.len(), 3);
    let attempts = rig.attempts(id).await;
    assert_eq!(failed(&attempts), [Some(Failure::Status(500)), Some(Failure::Status(302)), None]);
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(rig.delivery(id).await.state, DeliveryState::Delivered { .. }));
    rig.push(1_000_000).await;
    assert!(receiver.heard().is_empty(), "what is delivered is done");
}

#[tokio::test]
async fn what_falls_due_is_sent_without_a_wake() {
    let mut receiver = Receiver::start().await;
    receiver.say([Say::Status(500)]);
    let mut rig = Rig::start(&receiver, &["app"], |_| {}).await;
    rig.owe_one("app").await;
    rig.settle().await;
    receiver.heard();
    rig.clock.advance(Duration::from_secs(5));
    assert_eq!(receiver.heard.recv().await.unwrap().path, "/app");
}

#[tokio::test]
async fn the_receivers_wish_for_a_longer_wait_is_met() {
    // The clock stands at 2027-01-15T08:00:00Z.
    let cases = [
        (Say::RetryAfter(503, "120"), 120),
        (Say::RetryAfter(503, "Fri, 15 Jan 2027 08:03:00 GMT"), 180),
        (Say::RetryAfter(503, "1"), 5),
        (Say::RetryAfter(503, "86400"), 3600),
        (Say::RetryAfter(429, "7"), 60),
        (Say::Status(429), 60),
        (Say::Status(502), 60),
        (Say::Status(504), 60),
        (Say::Status(500), 5),
    ];
    for (say, wait) in cases {
        let receiver = Receiver::start().await;
        receiver.say([say]);
        let mut rig = Rig::start(&receiver, &["app"], |_| {}).await;
        let id = rig.owe_one("app").await;
        rig.settle().await;
        assert_eq!(rig.due_in(id).await, wait);
    }
}

#[tokio::test]
async fn the_end_of_the_schedule_is_the_dead_letter() {
    let mut receiver = Receiver::start().await;
    receiver.say([Say::Status(500), Say::Status(503)]);
    let waits = vec![Duration::from_secs(5)];
    let mut rig = Rig::start(&receiver, &["app"], |endpoint| endpoint.schedule.waits = waits.clone()).await;
    let id = rig.owe_one("app").await;
    rig.settle().await;
    rig.push(5).await;
    let DeliveryState::Dead { why, .. } = rig.delivery(id).await.state else { panic!("not dead") };
    assert_eq!(why, "all 2 attempts failed, the last: HTTP 503");
    rig.push(1_000_000).await;
    assert_eq!(receiver.heard().len(), 2);
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_nobody() {
    // Each has its own slot and three times as many of the 256 as they all leave.
    const HUNG: usize = 6 + 242;
    let mut receiver = Receiver::start().await;
    let hung: Vec<String> = (0..6).map(|i| format!("hung-{i}")).collect();
    let mut names: Vec<&str> = hung.iter().map(String::as_str).collect();
    names.push("well");
    let mut rig = Rig::start(&receiver, &names, |endpoint| endpoint.concurrency = 100).await;
    receiver.say(vec![Say::Hang; HUNG + 14]);
    for _ in 0..50 {
        rig.owe(&names[..6]).await;
    }
    rig.wake.wake();
    for _ in 0..HUNG {
        assert!(receiver.heard.recv().await.unwrap().path.starts_with("/hung"));
    }
    for _ in 0..20 {
        rig.owe_one("well").await;
    }
    rig.wake.wake();
    // And there are some for another, though it hangs too.
    for _ in 0..11 {
        assert_eq!(receiver.heard.recv().await.unwrap().path, "/well");
    }
    receiver.lets_go.send_replace(true);
    rig.settle().await;
    assert_eq!(receiver.heard().len(), 300 + 20 - HUNG - 11, "the rest follows");
}

#[tokio::test]
async fn an_endpoint_alone_has_as_many_under_way_as_it_may() {
    let mut receiver = Receiver::start().await;
    receiver.say(vec![Say::Hang; 100]);
    let mut rig = Rig::start(&receiver, &["app"], |endpoint| endpoint.concurrency = 100).await;
    for _ in 0..101 {
        rig.owe_one("app").await;
    }
    rig.wake.wake();
    for _ in 0..100 {
        receiver.heard.recv().await.unwrap();
    }
    assert_eq!(receiver.heard.len(), 0);
    receiver.lets_go.send_replace(true);
    rig.settle().await;
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn a_dead_endpoint_holds_what_it_is_owed_without_using_attempts() {
    let mut receiver = Receiver::start().await;
    receiver.say(vec![Say::Status(500); 7]);
    let mut rig = Rig::start(&receiver, &["app", "other"], |endpoint| endpoint.concurrency = 1).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(rig.owe_one("app").await);
    }
    rig.settle().await;
    assert_eq!(receiver.heard().len(), 5, "five failures in a row close the gate");
    let (since, wait) = (rig.clock.now(), Duration::from_secs(30));
    assert_eq!(rig.gate("app").await, Gate::Trial { since, at: since.plus(wait), wait });
    rig.push(29).await;
    assert_eq!(receiver.heard().len(), 0);
    for wait in [60, 120] {
        rig.push(if wait == 60 { 1 } else { 60 }).await;
        assert_eq!(receiver.heard().len(), 1, "one at a time");
        let wait = Duration::from_secs(wait);
        let at = rig.clock.now().plus(wait);
        assert_eq!(rig.gate("app").await, Gate::Trial { since, at, wait });
    }
    let (mut trials, mut steps) = (0, 0);
    for id in &ids {
        trials += rig.attempts(*id).await.iter().filter(|attempt| attempt.trial).count();
        steps += rig.delivery(*id).await.step;
    }
    assert_eq!((trials, steps), (2, 5), "trials use no step of the schedule");
    let other = rig.owe_one("other").await;
    rig.settle().await;
    assert!(
        matches!(rig.delivery(other).await.state, DeliveryState::Delivered { .. }),
        "nobody else is held"
    );
    assert_eq!(receiver.heard().len(), 1);
    rig.push(120).await;
    assert_eq!(rig.gate("app").await, Gate::Open);
    assert_eq!(receiver.heard().len(), 20, "the first success opens the gate for all");
    for id in ids {
        assert!(matches!(rig.delivery(id).await.state, DeliveryState::Delivered { .. }));
    }
}

#[tokio::test]
async fn trials_come_to_what_waits_behind_any_number_that_fail_for_their_content() {
    // Cancellations go before all else that waits.
    for kind in ["invoice.paid", "subscription.canceled"] {
        let receiver = Receiver::start().await;
        let mut rig = Rig::start(&receiver, &["app"], |endpoint| endpoint.concurrency = 1).await;
        rig.kind = kind;
        for _ in 0..20 {
            let id = rig.owe_one("app").await;
            let event = rig.delivery(id).await.event.to_string();
            receiver.rejects.lock().unwrap().insert(event);
        }
        rig.kind = "invoice.paid";
        let good = rig.owe_one("app").await;
        rig.settle().await;
        assert!(matches!(rig.gate("app").await, Gate::Trial { .. }));
        let mut trials = 0;
        while !matches!(rig.delivery(good).await.state, DeliveryState::Delivered { .. }) {
            assert!(trials < 20, "{kind}: each is tried before one is tried again");
            rig.push(15 * 60).await;
            trials += 1;
        }
    }
}

#[tokio::test]
async fn a_410_disables_the_endpoint_until_it_is_opened_by_hand() {
    let mut receiver = Receiver::start().await;
    receiver.say([Say::Status(410)]);
    let mut rig = Rig::start(&receiver, &["app"], |endpoint| endpoint.concurrency = 1).await;
    let ids = [rig.owe_one("app").await, rig.owe_one("app").await];
    rig.settle().await;
    assert_eq!(rig.gate("app").await, Gate::Disabled);
    rig.push(1_000_000).await;
    assert_eq!(receiver.heard().len(), 1);
    for id in ids {
        let delivery = rig.delivery(id).await;
        assert!(
            matches!(delivery.state, DeliveryState::Waiting { .. }) && delivery.step == 0,
            "{delivery:?}"
        );
    }
    rig.set_gate("app", Gate::Open).await;
    rig.settle().await;
    for id in ids {
        assert!(matches!(rig.delivery(id).await.state, DeliveryState::Delivered { .. }));
    }
}

#[tokio::test]
async fn what_is_paused_or_not_configured_waits() {
    let mut receiver = Receiver::start().await;
    let mut rig = Rig::start(&receiver, &["app"], |_| {}).await;
    rig.set_gate("app", Gate::Paused).await;
    let waits = rig.owe(&["app", "forgotten"]).await;
    rig.settle().await;
    rig.push(1_000_000).await;
    assert!(receiver.heard().is_empty());
    rig.set_gate("app", Gate::Open).await;
    rig.settle().await;
    assert!(matches!(rig.delivery(waits[0]).await.state, DeliveryState::Delivered { .. }));
    assert!(matches!(rig.delivery(waits[1]).await.state, DeliveryState::Waiting { .. }));
}

#[tokio::test]
async fn stopping_leases_nothing_more_and_finishes_what_is_under_way() {
    let mut receiver = Receiver::start().await;
    receiver.say([Say::Hang]);
    let mut rig = Rig::start(&receiver, &["app"], |endpoint| endpoint.concurrency = 1).await;
    let ids = [rig.owe_one("app").await, rig.owe_one("app").await];
    rig.wake.wake();
    receiver.heard.recv().await.unwrap();
    rig.stopper.stop();
    rig.wake.wake();
    receiver.lets_go.send_replace(true);
    rig.runs.await.unwrap().unwrap();
    let states = [rig.store.delivery(ids[0]).await, rig.store.delivery(ids[1]).await]
        .map(|row| row.unwrap().unwrap().state);
    assert!(states.iter().any(|state| matches!(state, DeliveryState::Delivered { .. })), "{states:?}");
    assert!(states.iter().any(|state| matches!(state, DeliveryState::Waiting { .. })), "{states:?}");
    assert!(receiver.heard().is_empty());
}

#[tokio::test]
async fn a_pass_that_dies_gives_its_leases_back() {
    let mut receiver = Receiver::start().await;
    receiver.say([Say::Hang]);
    let mut rig = Rig::start(&receiver, &["app"], |_| {}).await;
    let id = rig.owe_one("app").await;
    rig.wake.wake();
    let first = receiver.heard.recv().await.unwrap();
    rig.runs.abort();
    assert!((&mut rig.runs).await.unwrap_err().is_cancelled());
    let (wake, woken) = Wake::new();
    let (_stopper, stop) = Stop::new();
    rig.runs = tokio::spawn(rig.deliver.clone().run(woken, stop));
    wake.settled().await;
    let second = receiver.heard().remove(0);
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    assert!(matches!(rig.delivery(id).await.state, DeliveryState::Delivered { .. }));
    assert_eq!(rig.attempts(id).await.len(), 1, "what nobody recorded did not happen");
}
