//! The store under test: makes the moves, and looks at all that can be seen.

use super::queue::{End, Event, KEY_TTL, Move, Queue, Told};
use futures_util::future::join_all;
use gateway::model::Time;
use gateway::model::attempt::{Attempt, Failure, Outcome};
use gateway::model::delivery::{Delivery, DeliveryState};
use gateway::model::dispatch::{Dispatch, EntityRead, NewEvent, Run};
use gateway::model::endpoint::{By, Gate, Turned};
use gateway::model::id::{DeliveryId, EndpointId, EventId, JobId, WebhookId};
use gateway::model::job::Job;
use gateway::model::webhook::{DedupeKey, NewWebhook, WebhookHead, WebhookState};
use gateway::store::sled::{Options, SledStore};
use gateway::store::{
    AfterAttempt, Answer, DeliveryFilter, EventFilter, Finish, Listing, Page, Store, WebhookLease,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SOURCE: &str = "acme";
const ENTITY: &str = "sub_1";
/// More than any case has of anything.
const ALL: usize = 10_000;

/// A store and what a gateway would have in its hands.
pub(super) struct Bench {
    pub(super) runtime: Runtime,
    /// `None` only while nobody has it open.
    store: Option<Box<dyn Store>>,
    hands: Hands,
    dir: TempDir,
}

/// The runs that were begun, by webhook, run and failures.
pub(super) type Hands = HashMap<(WebhookId, u32, u32), WebhookLease>;

pub(super) fn open(dir: &Path) -> Box<dyn Store> {
    Box::new(SledStore::open(Options { min_free: 0, ..Options::at(dir.join("store")) }).unwrap())
}

impl Bench {
    pub(super) fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Bench { runtime, store: Some(open(dir.path())), hands: Hands::new(), dir }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &**self.store.as_ref().unwrap()
    }

    pub(super) fn make(&mut self, made: &Move, queue: &Queue) -> Told {
        let Bench { runtime, store, hands, .. } = self;
        runtime.block_on(make(&**store.as_ref().unwrap(), made, queue, hands))
    }

    /// The process ends and the next one opens the store.
    pub(super) fn end(&mut self, end: End, queue: &Queue) -> Told {
        let store = self.store.take().unwrap();
        let mut copy = None;
        match end {
            End::Closed => self.runtime.block_on(store.close()).unwrap(),
            End::Dropped => {}
            End::Crashed => {
                // Its answer comes when everything before is durable.
                self.runtime.block_on(store.suspect(Vec::new())).unwrap();
                copy = Some(copied(self.dir.path()));
            }
        }
        drop(store);
        self.dir = copy.unwrap_or_else(|| std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap()));
        self.hands.clear();
        let store = open(self.dir.path());
        self.runtime.block_on(store.suspect(queue.suspects.clone())).unwrap();
        let clean = store.was_clean();
        self.store = Some(store);
        Told::WasClean(clean)
    }
}

/// The store's files as they are at one moment: as a process leaves them that is killed then.
fn copied(dir: &Path) -> TempDir {
    // The store's housekeeping may write while they are read: then they are read again.
    let mut before = files(&dir.join("store"));
    for _ in 0..100 {
        let again = files(&dir.join("store"));
        if before == again {
            break;
        }
        before = again;
    }
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in before {
        let to = copy.path().join("store").join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    copy
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => drop(
                    found.insert(path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap()),
                ),
            }
        }
    }
    found
}

fn webhook(id: WebhookId, body: u8, key: Option<u8>, received_at: Time) -> NewWebhook {
    let text = body_of(body);
    let head =
        WebhookHead { sha256: [body; 32], ..WebhookHead::of(SOURCE, SOURCE, received_at, text.as_bytes()) };
    let key = key.map(|key| DedupeKey { hash: [key; 16], until: received_at.plus(KEY_TTL) });
    NewWebhook { id, head, body: text.into(), key }
}

/// A webhook and a run of it that owes one event to the endpoint of that name.
pub(crate) fn placed(n: u128, endpoint: &str) -> (NewWebhook, Dispatch) {
    let id = WebhookId::new(super::START, n);
    let event = NewEvent {
        id: EventId::derive(id, 0),
        kind: "invoice.paid".into(),
        json: r#"{"occurred_at":"2026-08-10T12:00:00.000Z"}"#.into(),
        entity: None,
        object: None,
        occurred_at: id.time(),
        dropped: None,
        endpoints: vec![EndpointId::derive(endpoint)],
    };
    (webhook(id, 0, None, id.time()), Dispatch { events: vec![event], ..Dispatch::default() })
}

fn body_of(body: u8) -> String {
    format!("{{\"body\":{body}}}")
}

/// Makes one move and answers what the store said. `queue` is the queue after it.
pub(super) async fn make(store: &dyn Store, made: &Move, queue: &Queue, hands: &mut Hands) -> Told {
    let now = queue.now;
    match made {
        Move::Clock(_) => Told::Nothing,
        Move::Accept { body, key } => {
            let webhook = webhook(queue.last_id(), *body, *key, now);
            Told::Accepted(store.accept(webhook, now).await.unwrap())
        }
        Move::AcceptAgain(id) => {
            let known = &queue.webhooks[id];
            let webhook = webhook(*id, known.body, known.key, known.received_at);
            Told::Accepted(store.accept(webhook, now).await.unwrap())
        }
        Move::LeaseWebhooks(n) => {
            let leased = store.lease_webhooks(now, *n).await.unwrap();
            let leased = leased.into_iter().map(|lease| ((lease.id, lease.run, lease.failures), lease));
            let leased: Hands = leased.collect();
            let ids = leased.keys().copied().collect();
            for ((id, ..), lease) in &leased {
                assert_eq!(lease.body.as_deref(), Some(body_of(queue.webhooks[id].body).as_bytes()));
            }
            hands.extend(leased);
            Told::Webhooks(ids)
        }
        Move::Dispatch { id, events, stale } => {
            let newest = hands
                .iter()
                .filter(|((of, ..), _)| of == id)
                .max_by_key(|((_, run, failures), _)| (run, failures));
            let lease = newest.unwrap().1;
            let read = queue.entity - u64::from(!stale && !events.is_empty()) + u64::from(*stale);
            let events = (0..).zip(events).map(|(index, said)| NewEvent {
                id: EventId::derive(*id, index),
                kind: said.kind().into(),
                json: said.json().into(),
                entity: Some(ENTITY.into()),
                object: None,
                occurred_at: id.time(),
                dropped: said.endpoints.is_empty().then(|| ("nobody".into(), "a test".into())),
                endpoints: said.endpoints.clone(),
            });
            let entities = vec![EntityRead { entity: ENTITY.into(), version: read }];
            let run = Run { now, ..Run::default() };
            let dispatch = Dispatch { run, events: events.collect(), entities, ..Dispatch::default() };
            Told::Committed(vec![store.dispatched(lease, dispatch, now).await.unwrap()])
        }
        Move::DispatchLate { id, run, failures } => {
            let lease = &hands[&(*id, *run, *failures)];
            Told::Committed(vec![store.dispatched(lease, Dispatch::default(), now).await.unwrap()])
        }
        Move::Fail { id, after } => {
            let newest = hands
                .iter()
                .filter(|((of, ..), _)| of == id)
                .max_by_key(|((_, run, failures), _)| (run, failures));
            let lease = newest.unwrap().1;
            Told::Committed(vec![
                store.dispatch_failed(lease, "trap".into(), after.clone(), now).await.unwrap(),
            ])
        }
        Move::ReleaseWebhook(id) => {
            store.release_webhook(*id);
            Told::Nothing
        }
        Move::SetGate { endpoint, gate, expected } => {
            let turned = Turned { by: By::Operator, why: None, at: now };
            Told::Version(store.set_gate(*endpoint, gate.clone(), turned, *expected).await.unwrap())
        }
        Move::Lease { endpoint, n } => Told::Deliveries(lease(store, *endpoint, *n, queue).await),
        Move::Finish(ends) => {
            let ends = ends.iter().map(|(id, after)| {
                let mut delivery = queue.deliveries[id].delivery.clone();
                delivery.attempts -= 1;
                store.finish(finish(delivery, after.clone()), now)
            });
            let committed = join_all(ends).await;
            Told::Committed(committed.into_iter().map(Result::unwrap).collect())
        }
        Move::FinishLate(delivery) => {
            let finish = finish(delivery.clone(), AfterAttempt::Delivered);
            Told::Committed(vec![store.finish(finish, now).await.unwrap()])
        }
        Move::Release(id) => {
            store.release(*id);
            Told::Nothing
        }
        Move::Resend(id) => Told::Resent(store.resend(*id, now).await.unwrap()),
        Move::Redrive { select, n } => {
            Told::Moved(store.redrive(select.clone(), now, Page { after: Vec::new(), n: *n }).await.unwrap())
        }
        Move::AddJob(job) => Told::Job(store.add_job(job.clone()).await.unwrap().map(Box::new)),
        Move::StepJob { id, n } => Told::Job(store.step_job(*id, now, *n).await.unwrap().map(Box::new)),
        Move::CancelJob(id) => Told::Job(store.cancel_job(*id, now).await.unwrap().map(Box::new)),
        Move::End(_) => unreachable!("the process ends where the store is opened"),
    }
}

/// Leases as the deliver pass does, which reads the gate first.
async fn lease(store: &dyn Store, endpoint: EndpointId, n: usize, queue: &Queue) -> BTreeSet<DeliveryId> {
    if !Queue::passes(&store.gate(endpoint).await.unwrap().gate, queue.now) {
        return BTreeSet::new();
    }
    let leased = store.lease(endpoint, queue.now, n).await.unwrap();
    for lease in &leased {
        let event = &queue.events[&lease.delivery.event];
        // What was taken before is not of the model.
        let delivery = Delivery { stale: None, ..lease.delivery.clone() };
        assert_eq!(Some(&delivery), queue.deliveries.get(&delivery.id).map(|owed| &owed.delivery));
        assert_eq!(lease.event, event.said.json());
        assert_eq!((lease.kind.as_str(), lease.revision), (event.said.kind(), event.revision));
    }
    leased.into_iter().map(|lease| lease.delivery.id).collect()
}

fn finish(delivery: Delivery, after: AfterAttempt) -> Finish {
    let outcome = match &after {
        AfterAttempt::Delivered => Outcome::Delivered { status: 200 },
        AfterAttempt::Skipped(why) => Outcome::Skipped(why.clone()),
        AfterAttempt::RetryAt(_) | AfterAttempt::Held | AfterAttempt::PutOff(_) | AfterAttempt::Dead(_) => {
            Outcome::Failed(Failure::Status(500))
        }
    };
    let attempt = Attempt {
        n: delivery.attempts + 1,
        at: delivery.created,
        took: Duration::from_millis(12),
        outcome,
        trial: after == AfterAttempt::Held,
        webhook_id: delivery.event.to_string(),
        retry_after: None,
        // Some are rows of their own.
        answer: vec![b'a'; 100 * delivery.id.0[15] as usize % 700],
    };
    Finish { delivery, attempt, after }
}

/// All that can be seen of a queue from outside.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// State, duplicates, conflicts, body.
    webhooks: BTreeMap<WebhookId, (WebhookState, u32, u32, String)>,
    dead_webhooks: Vec<WebhookId>,
    /// Type, document, revision.
    events: BTreeMap<EventId, (String, String, u32)>,
    /// With the numbers of its attempts.
    deliveries: BTreeMap<DeliveryId, (Delivery, Vec<u32>)>,
    dead: BTreeSet<DeliveryId>,
    gates: BTreeMap<EndpointId, (Gate, u64)>,
    jobs: BTreeMap<JobId, Job>,
    running: Vec<JobId>,
    entity: u64,
    /// Webhooks, duplicates, undispatched, dead webhooks, events, waiting, delivered, dead.
    counters: [u64; 8],
}

impl Seen {
    /// What the store shows of everything that it has; gates are asked for by name.
    pub(super) async fn of(store: &dyn Store, queue: &Queue) -> Seen {
        let mut webhooks = BTreeMap::new();
        for row in all(store.list_webhooks(false, page())).await {
            let body = store.body(row.id).await.unwrap().unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            webhooks.insert(row.id, (row.state, row.duplicates, row.conflicts, body));
        }
        let events = all(store.list_events(EventFilter::default(), page())).await.into_iter();
        let text = |json: &[u8]| String::from_utf8(json.to_vec()).unwrap();
        let events = events.map(|row| (row.id, (row.kind, text(&row.json), row.revision))).collect();
        let mut deliveries = BTreeMap::new();
        for mut delivery in all(store.list_deliveries(DeliveryFilter::default(), page())).await {
            assert_eq!(store.delivery(delivery.id).await.unwrap().as_ref(), Some(&delivery));
            delivery.stale = None;
            if let DeliveryState::Skipped { why, .. } = &mut delivery.state {
                why.clear();
            }
            let attempts = store.attempts(delivery.id).await.unwrap();
            deliveries.insert(delivery.id, (delivery, attempts.iter().map(|attempt| attempt.n).collect()));
        }
        let dead = DeliveryFilter { state: Some("dead".into()), endpoint: None };
        let dead = all(store.list_deliveries(dead, page())).await.into_iter().map(|delivery| delivery.id);
        let mut gates = BTreeMap::new();
        for endpoint in queue.gates.keys() {
            let row = store.gate(*endpoint).await.unwrap();
            gates.extend((row.version > 0).then_some((*endpoint, (row.gate, row.version))));
        }
        let stats = store.stats().await.unwrap();
        let mut dead_webhooks: Vec<_> =
            all(store.list_webhooks(true, page())).await.into_iter().map(|row| row.id).collect();
        dead_webhooks.sort_unstable();
        Seen {
            webhooks,
            dead_webhooks,
            events,
            deliveries,
            dead: dead.collect(),
            gates,
            jobs: all(store.list_jobs(page())).await.into_iter().map(|job| (job.id, job)).collect(),
            running: store.running_jobs(ALL).await.unwrap().iter().map(|job| job.id).collect(),
            entity: store.entity(SOURCE, ENTITY).await.unwrap().version,
            counters: [
                stats.webhooks,
                stats.duplicates,
                stats.undispatched,
                stats.webhooks_dead,
                stats.events,
                stats.waiting,
                stats.delivered,
                stats.dead,
            ],
        }
    }

    /// What it should show.
    pub(super) fn expected(queue: &Queue) -> Seen {
        let webhooks = queue.webhooks.iter();
        let duplicates = webhooks.clone().map(|(_, webhook)| u64::from(webhook.duplicates)).sum();
        let undispatched = webhooks
            .clone()
            .filter(|(_, webhook)| matches!(webhook.state, WebhookState::Undispatched { .. }))
            .count();
        let mut deliveries = BTreeMap::new();
        for (id, owed) in &queue.deliveries {
            let mut delivery = owed.delivery.clone();
            if let DeliveryState::Skipped { why, .. } = &mut delivery.state {
                why.clear();
            }
            let attempts = (1..=delivery.attempts).collect();
            deliveries.insert(*id, (delivery, attempts));
        }
        let is = |name: &str| {
            queue.deliveries.values().filter(|owed| owed.delivery.state.name() == name).count() as u64
        };
        let dead: BTreeSet<_> = queue.dead(None).into_iter().collect();
        let event = |event: &Event| (event.said.kind().to_owned(), event.said.json(), event.revision);
        Seen {
            counters: [
                queue.webhooks.len() as u64,
                duplicates,
                undispatched as u64,
                queue.dead_webhooks().len() as u64,
                queue.events.len() as u64,
                is("waiting"),
                is("delivered"),
                dead.len() as u64,
            ],
            webhooks: webhooks
                .map(|(id, w)| (*id, (w.state.clone(), w.duplicates, w.conflicts, body_of(w.body))))
                .collect(),
            dead_webhooks: queue.dead_webhooks(),
            events: queue.events.iter().map(|(id, of)| (*id, event(of))).collect(),
            deliveries,
            dead,
            gates: queue.gates.clone(),
            jobs: queue.jobs.clone(),
            running: queue.jobs.values().filter(|job| job.is_running()).map(|job| job.id).collect(),
            entity: queue.entity,
        }
    }

    /// Part by part, so that a failure says which.
    pub(super) fn assert_is(&self, expected: &Seen) {
        assert_eq!(self.webhooks, expected.webhooks);
        assert_eq!(self.dead_webhooks, expected.dead_webhooks);
        assert_eq!(self.events, expected.events);
        assert_eq!(self.deliveries, expected.deliveries);
        assert_eq!(self.dead, expected.dead);
        assert_eq!(self.counters, expected.counters);
        assert_eq!(self, expected);
    }
}

fn page() -> Page {
    Page { after: Vec::new(), n: ALL }
}

async fn all<T>(listing: Answer<'_, Listing<T>>) -> Vec<T> {
    let listing = listing.await.unwrap();
    assert!(listing.next.is_none());
    listing.rows
}

/// Whoever sleeps until the store says that something is due sleeps for no longer than until it is.
pub(super) async fn timers_would_wake(store: &dyn Store, queue: &Queue) {
    let due = store.due(ALL).await.unwrap();
    let endpoints: BTreeSet<_> = queue.deliveries.values().map(|owed| owed.delivery.endpoint).collect();
    for endpoint in endpoints {
        let Some(first) = queue.line(endpoint, Time::MAX).into_iter().map(|(_, due, _)| due).min() else {
            continue;
        };
        let told = due.iter().find(|due| due.endpoint == endpoint);
        assert!(told.is_some_and(|told| told.oldest <= first), "{told:?}, and one is due at {first}");
    }
    if let Some((_, first, _)) = queue.webhook_line(Time::MAX).first() {
        let told = store.next_webhook_due().await.unwrap();
        assert!(told.is_some_and(|told| told <= *first), "{told:?}, and one is due at {first}");
    }
}

/// Everything that waits can be leased, once, and nothing else.
pub(super) async fn nothing_waits_unfound(store: &dyn Store, queue: &Queue) {
    let webhooks = store.lease_webhooks(Time::MAX, ALL).await.unwrap();
    let ids: Vec<_> = webhooks.iter().map(|lease| lease.id).collect();
    let unique: BTreeSet<_> = ids.iter().copied().collect();
    let expected: BTreeSet<_> = queue.webhook_line(Time::MAX).into_iter().map(|(.., id)| id).collect();
    assert_eq!((ids.len(), unique), (expected.len(), expected));
    let endpoints: BTreeSet<_> = queue.deliveries.values().map(|owed| owed.delivery.endpoint).collect();
    for endpoint in endpoints {
        let leased = store.lease(endpoint, Time::MAX, ALL).await.unwrap();
        let found: Vec<_> = leased.iter().map(|lease| lease.delivery.id).collect();
        let expected: Vec<_> = queue.line(endpoint, Time::MAX).into_iter().map(|(.., id)| id).collect();
        let set = |ids: &[DeliveryId]| ids.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!((found.len(), set(&found)), (expected.len(), set(&expected)));
    }
    assert_eq!(store.due(ALL).await.unwrap(), [], "all of it is leased");
    assert_eq!(store.next_webhook_due().await.unwrap(), None);
}
