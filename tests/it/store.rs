//! The conformance suite of the store: what every implementation of the port must do, case by case.

use billhook_event::{PluginRef, Time, Verified};
use bytes::Bytes;
use gateway::model::attempt::{ANSWER_BYTES_MAX, Attempt, Failure, Outcome};
use gateway::model::delivery::{Delivery, DeliveryState};
use gateway::model::dispatch::{Dispatch, EntityRead, NewEvent, Note, Run, Said};
use gateway::model::endpoint::{By, Gate, Turned};
use gateway::model::id::{DeliveryId, EndpointId, EventId, JobId, RefusedId, WebhookId};
use gateway::model::job::{Job, JobState, RUNNING_MAX, Select, What};
use gateway::model::kv::{Bucket, KvEntry, KvKey, KvRun, KvUsage};
use gateway::model::refused::{KEPT_MAX, Presented, RefusedHead, RefusedRequest};
use gateway::model::rotation::Rotation;
use gateway::model::secret::Secret;
use gateway::model::source::Place;
use gateway::model::webhook::{Accepted, DedupeKey, NewWebhook, WebhookHead, WebhookState};
use gateway::store::sled::{Options, SledStore};
use gateway::store::{
    AfterAttempt, AfterFailure, Committed, DeliveryFilter, DeliveryLease, EventFilter, Finish, Health,
    KV_SWEEP, Page, Redrive, Resent, Shared, StoreError, WebhookLease,
};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_does_what_every_store_must() {
    exercise(|dir| Arc::new(SledStore::open(Options { min_free: 0, ..Options::at(dir) }).unwrap())).await;
}

#[tokio::test]
async fn a_second_opener_is_told_that_somebody_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let _first = SledStore::open(Options::at(dir.path())).unwrap();
    let error = SledStore::open(Options::at(dir.path())).unwrap_err();
    assert!(error.to_string().ends_with("another process has it open"), "{error}");
}

#[tokio::test]
async fn below_the_floor_only_intake_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (app, kind) = (EndpointId::derive("app"), "invoice.paid");
    let store: Shared =
        Arc::new(SledStore::open(Options { min_free: 0, ..Options::at(dir.path()) }).unwrap());
    store.accept(webhook(1, b"{}"), at(0)).await.unwrap();
    run(&store, &[(kind, &[app])], at(1)).await;
    store.close().await.unwrap();
    drop(store);
    let store: Shared =
        Arc::new(SledStore::open(Options { min_free: u64::MAX, ..Options::at(dir.path()) }).unwrap());
    assert_eq!(store.health(), Health::Full);
    assert!(matches!(store.accept(webhook(2, b"{}"), at(1)).await, Err(StoreError::Full { .. })));
    let refused = store.refuse(vec![refusal(1, "acme", 10)]).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "strangers fill no disk");
    let lease = store.lease(app, at(1), 1).await.unwrap().remove(0);
    let done = store.finish(finished(&lease.delivery, AfterAttempt::Delivered), at(1)).await.unwrap();
    assert_eq!(done, Committed::Done);
}

/// Runs every case on a store of its own. `make_store` opens the store in a directory, or makes one; a store that
/// was dropped there before must be found again.
pub(crate) async fn exercise(make_store: impl Fn(&Path) -> Shared) {
    type Case = for<'a> fn(&'a Bench<'a>) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
    let cases: &[(&str, Case)] = &[
        ("accept, duplicate, conflict", |b| Box::pin(accept_duplicate_conflict(b))),
        ("a repeat of the same webhook is new again", |b| Box::pin(a_repeat_is_new_again(b))),
        ("equal keys in one group", |b| Box::pin(equal_keys_in_one_group(b))),
        ("keys expire", |b| Box::pin(keys_expire(b))),
        ("a duplicate is known after a reopen", |b| Box::pin(a_duplicate_is_known_after_a_reopen(b))),
        ("webhooks are leased oldest due first", |b| Box::pin(webhooks_are_leased_oldest_due_first(b))),
        ("concurrent leases share nothing", |b| Box::pin(concurrent_leases_share_nothing(b))),
        ("a run commits all or nothing, and once", |b| Box::pin(a_run_commits_all_or_nothing_and_once(b))),
        ("another version of an entity is a conflict", |b| Box::pin(another_version_is_a_conflict(b))),
        ("what plugins keep commits with its run", |b| Box::pin(what_plugins_keep_commits(b))),
        ("an entry that is another is a conflict", |b| Box::pin(another_entry_is_a_conflict(b))),
        ("entries end and buckets are counted", |b| Box::pin(entries_end_and_are_counted(b))),
        ("a failed run waits, is deferred, or is dead", |b| Box::pin(a_failed_run(b))),
        ("what waits is hurried, by source", |b| Box::pin(what_waits_is_hurried(b))),
        ("suspects count one failure", |b| Box::pin(suspects_count_one_failure(b))),
        ("deliveries move as their attempts say", |b| Box::pin(deliveries_move(b))),
        ("urgent deliveries go first", |b| Box::pin(urgent_deliveries_go_first(b))),
        ("the events of an entity are leased in order", |b| Box::pin(an_entity_goes_in_order(b))),
        ("a resend goes behind what waits", |b| Box::pin(a_resend_goes_behind(b))),
        ("a reprocess leaves no gap in a line", |b| Box::pin(a_reprocess_leaves_no_gap(b))),
        ("what is older than what was taken is told", |b| Box::pin(what_is_stale_is_told(b))),
        ("due tells one row an endpoint", |b| Box::pin(due_tells_one_row_an_endpoint(b))),
        ("a finish after the lease moved is lost", |b| Box::pin(a_finish_after_the_lease_moved(b))),
        ("redrive makes new deliveries, once", |b| Box::pin(redrive_makes_new_deliveries(b))),
        ("a resend follows the newest delivery", |b| Box::pin(a_resend_follows_the_newest(b))),
        ("what is placed is dispatched from the start", |b| Box::pin(what_is_placed_is_dispatched(b))),
        ("a job moves what it selects, once", |b| Box::pin(a_job_moves_what_it_selects_once(b))),
        ("a job selects by what is set", |b| Box::pin(a_job_selects_by_what_is_set(b))),
        ("a job is stored once and ends when canceled", |b| Box::pin(a_job_is_stored_once(b))),
        ("a reprocess keeps what stays as it is", |b| Box::pin(a_reprocess_keeps_what_stays(b))),
        ("a reprocess makes a revision of what was sent", |b| Box::pin(a_reprocess_makes_a_revision(b))),
        ("a reprocess ends what is no longer told", |b| Box::pin(a_reprocess_ends_what_is_not_told(b))),
        ("redrive in bulk is bounded", |b| Box::pin(redrive_in_bulk_is_bounded(b))),
        ("redrive in bulk meets nothing twice", |b| Box::pin(redrive_in_bulk_meets_nothing_twice(b))),
        ("what waits is counted", |b| Box::pin(what_waits_is_counted(b))),
        ("so many jobs go on at once", |b| Box::pin(so_many_jobs_go_on_at_once(b))),
        ("a redriven webhook runs again", |b| Box::pin(a_redriven_webhook_runs_again(b))),
        ("gates have versions", |b| Box::pin(gates_have_versions(b))),
        ("rotations have versions", |b| Box::pin(rotations_have_versions(b))),
        ("a gate and a finish in one group", |b| Box::pin(a_gate_and_a_finish_in_one_group(b))),
        ("bodies of every length", |b| Box::pin(bodies_of_every_length(b))),
        ("events, notes and answers of every length", |b| Box::pin(long_rows(b))),
        ("a large duplicate leaves nothing", |b| Box::pin(a_large_duplicate_leaves_nothing(b))),
        ("refused requests are kept, listed and forgotten", |b| Box::pin(refused_requests_are_kept(b))),
        ("the newest refused of each source are kept", |b| Box::pin(the_newest_refused_are_kept(b))),
        ("lists are pages from the newest", |b| Box::pin(lists_are_pages_from_the_newest(b))),
        ("counters equal a full scan", |b| Box::pin(counters_equal_a_full_scan(b))),
        ("a story is whole", |b| Box::pin(a_story_is_whole(b))),
        ("the clean mark", |b| Box::pin(the_clean_mark(b))),
        ("after close everything is refused", |b| Box::pin(after_close_everything_is_refused(b))),
    ];
    for (name, case) in cases {
        println!("case: {name}");
        let dir = tempfile::tempdir().unwrap();
        case(&Bench { dir: dir.path(), make_store: &make_store }).await;
    }
}

struct Bench<'a> {
    dir: &'a Path,
    make_store: &'a dyn Fn(&Path) -> Shared,
}

impl Bench<'_> {
    fn open(&self) -> Shared {
        (self.make_store)(self.dir)
    }
}

/// The second `n` of the suite.
fn at(n: u64) -> Time {
    Time::from_secs(1_790_000_000 + n)
}

/// A webhook that arrives in second `n`.
fn webhook(n: u64, body: &'static [u8]) -> NewWebhook {
    sized(n, Bytes::from_static(body))
}

fn sized(n: u64, body: Bytes) -> NewWebhook {
    let head = WebhookHead {
        query: "tenant=1".into(),
        headers: vec![("content-type".into(), b"application/json".to_vec())],
        delivery_id: Some(format!("msg_{n}")),
        verified: Verified::Signature,
        ..WebhookHead::of("acme", "acme", at(n), &body)
    };
    NewWebhook { id: WebhookId::new(at(n), n.into()), head, body, key: None }
}

fn keyed(webhook: NewWebhook, key: u8, until: Time) -> NewWebhook {
    NewWebhook { key: Some(DedupeKey { hash: [key; 16], until }), ..webhook }
}

fn event(webhook: WebhookId, index: u32, kind: &str, endpoints: &[EndpointId]) -> NewEvent {
    NewEvent {
        id: EventId::derive(webhook, index),
        kind: kind.into(),
        json: format!("{{\"type\":\"{kind}\",\"index\":{index}}}").into(),
        entity: Some("sub_1".into()),
        object: None,
        occurred_at: webhook.time(),
        dropped: None,
        endpoints: endpoints.to_vec(),
    }
}

fn dispatch(webhook: WebhookId, now: Time, events: &[(&str, &[EndpointId])]) -> Dispatch {
    let events = (0..).zip(events).map(|(index, (kind, endpoints))| event(webhook, index, kind, endpoints));
    Dispatch { run: Run { now, ..Run::default() }, events: events.collect(), ..Dispatch::default() }
}

async fn lease_one(store: &Shared, now: Time) -> WebhookLease {
    let mut leased = store.lease_webhooks(now, 1).await.unwrap();
    assert_eq!(leased.len(), 1, "a webhook is due");
    leased.remove(0)
}

/// Leases the next webhook and commits a run of it.
async fn run(store: &Shared, events: &[(&str, &[EndpointId])], now: Time) -> WebhookLease {
    let lease = lease_one(store, now).await;
    let committed = store.dispatched(&lease, dispatch(lease.id, now, events), now).await.unwrap();
    assert_eq!(committed, Committed::Done);
    lease
}

async fn lease_delivery(store: &Shared, endpoint: EndpointId, now: Time) -> DeliveryLease {
    let mut leased = store.lease(endpoint, now, 1).await.unwrap();
    assert_eq!(leased.len(), 1, "a delivery is due");
    leased.remove(0)
}

fn finished(delivery: &Delivery, after: AfterAttempt) -> Finish {
    let outcome = match after {
        AfterAttempt::Delivered => Outcome::Delivered { status: 200 },
        _ => Outcome::Failed(Failure::Status(500)),
    };
    let attempt = Attempt {
        n: delivery.attempts + 1,
        at: at(0),
        took: Duration::from_millis(12),
        outcome,
        trial: after == AfterAttempt::Held,
        webhook_id: delivery.event.to_string(),
        retry_after: None,
        answer: b"ok".to_vec(),
    };
    Finish { delivery: delivery.clone(), attempt, after }
}

async fn finish(store: &Shared, lease: &DeliveryLease, after: AfterAttempt, now: Time) -> Delivery {
    assert_eq!(store.finish(finished(&lease.delivery, after), now).await.unwrap(), Committed::Done);
    store.delivery(lease.delivery.id).await.unwrap().unwrap()
}

fn all() -> Page {
    up_to(1000)
}

fn up_to(n: usize) -> Page {
    Page { after: Vec::new(), n }
}

async fn accept_duplicate_conflict(bench: &Bench<'_>) {
    let store = bench.open();
    let first = keyed(webhook(1, b"{}"), 7, at(100));
    let id = first.id;
    assert_eq!(store.accept(first, at(1)).await.unwrap(), Accepted::New);
    let again = store.accept(keyed(webhook(2, b"{}"), 7, at(100)), at(2)).await.unwrap();
    assert_eq!(again, Accepted::Duplicate { first: id, same_body: true });
    let other = store.accept(keyed(webhook(3, b"[]"), 7, at(100)), at(3)).await.unwrap();
    assert_eq!(other, Accepted::Duplicate { first: id, same_body: false });
    assert_eq!(store.accept(keyed(webhook(4, b"{}"), 8, at(100)), at(4)).await.unwrap(), Accepted::New);
    for n in [5, 6] {
        assert_eq!(
            store.accept(webhook(n, b"{}"), at(n)).await.unwrap(),
            Accepted::New,
            "no key, no duplicate"
        );
    }
    let stored = store.webhook(id).await.unwrap().unwrap();
    assert_eq!((stored.duplicates, stored.conflicts), (2, 1));
    assert_eq!(stored.head, webhook(1, b"{}").head);
    assert_eq!(store.webhook(webhook(2, b"").id).await.unwrap().map(|_| ()), None);
    assert_eq!(store.body(id).await.unwrap().unwrap(), "{}");
}

async fn a_repeat_is_new_again(bench: &Bench<'_>) {
    let store = bench.open();
    for _ in 0..2 {
        let accepted = store.accept(keyed(webhook(1, b"{}"), 7, at(100)), at(1)).await.unwrap();
        assert_eq!(accepted, Accepted::New);
    }
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.webhooks, stats.duplicates, stats.undispatched), (1, 0, 1));
}

async fn equal_keys_in_one_group(bench: &Bench<'_>) {
    let store = bench.open();
    for round in 0..4_u8 {
        let mut arrivals = JoinSet::new();
        for n in 0..64 {
            let store = store.clone();
            let webhook = keyed(webhook(u64::from(round) * 64 + n, b"{}"), round, at(1000));
            arrivals.spawn(async move { (webhook.id, store.accept(webhook, at(0)).await.unwrap()) });
        }
        let answers = arrivals.join_all().await;
        let new: Vec<_> = answers.iter().filter(|(_, accepted)| *accepted == Accepted::New).collect();
        assert_eq!(new.len(), 1);
        let duplicate = Accepted::Duplicate { first: new[0].0, same_body: true };
        assert_eq!(answers.iter().filter(|(_, accepted)| *accepted == duplicate).count(), 63);
    }
}

async fn keys_expire(bench: &Bench<'_>) {
    let store = bench.open();
    // A key that lets its arrival sweep the ledger, and one that does not.
    for key in [16, 17] {
        let first = keyed(webhook(key.into(), b"{}"), key, at(100));
        let id = first.id;
        store.accept(first, at(1)).await.unwrap();
        let late = store.accept(keyed(webhook(200, b"{}"), key, at(300)), at(99)).await.unwrap();
        assert_eq!(late, Accepted::Duplicate { first: id, same_body: true });
        let n = u64::from(key) + 1000;
        let next = keyed(webhook(n, b"{}"), key, at(300));
        let id = next.id;
        assert_eq!(store.accept(next, at(100)).await.unwrap(), Accepted::New);
        let again = store.accept(keyed(webhook(200, b"{}"), key, at(300)), at(299)).await.unwrap();
        assert_eq!(again, Accepted::Duplicate { first: id, same_body: true });
    }
}

async fn a_duplicate_is_known_after_a_reopen(bench: &Bench<'_>) {
    let store = bench.open();
    let first = keyed(webhook(1, b"{}"), 7, at(100));
    let id = first.id;
    store.accept(first, at(1)).await.unwrap();
    drop(store);
    let store = bench.open();
    let again = store.accept(keyed(webhook(2, b"{}"), 7, at(100)), at(2)).await.unwrap();
    assert_eq!(again, Accepted::Duplicate { first: id, same_body: true });
    assert_eq!(store.body(id).await.unwrap().unwrap(), "{}");
}

async fn webhooks_are_leased_oldest_due_first(bench: &Bench<'_>) {
    let store = bench.open();
    assert_eq!(store.next_webhook_due().await.unwrap(), None);
    for n in [3, 1, 2, 9] {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    }
    assert_eq!(store.next_webhook_due().await.unwrap(), Some(at(1)));
    let first = store.lease_webhooks(at(5), 2).await.unwrap();
    assert_eq!(first.iter().map(|lease| lease.head.received_at).collect::<Vec<_>>(), [at(1), at(2)]);
    assert_eq!(store.next_webhook_due().await.unwrap(), Some(at(3)));
    let second = store.lease_webhooks(at(5), 10).await.unwrap();
    assert_eq!(second.iter().map(|lease| lease.id).collect::<Vec<_>>(), [webhook(3, b"").id]);
    assert_eq!(store.next_webhook_due().await.unwrap(), Some(at(9)));
    assert_eq!((second[0].failures, second[0].run), (0, 0));
    store.release_webhook(first[1].id);
    assert_eq!(lease_one(&store, at(5)).await.id, first[1].id);
    drop(store);
    let store = bench.open();
    assert_eq!(
        store.lease_webhooks(at(9), 10).await.unwrap().len(),
        4,
        "a process that is gone holds nothing"
    );
}

async fn concurrent_leases_share_nothing(bench: &Bench<'_>) {
    let store = bench.open();
    for n in 0..50 {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    }
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leased = store.lease_webhooks(at(100), 3).await.unwrap();
                if leased.is_empty() {
                    return mine;
                }
                for lease in leased {
                    let run = dispatch(lease.id, at(100), &[("invoice.paid", &[])]);
                    assert_eq!(store.dispatched(&lease, run, at(100)).await.unwrap(), Committed::Done);
                    mine.push(lease.id);
                }
            }
        });
    }
    let ids: Vec<WebhookId> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (50, 50));
}

async fn a_run_commits_all_or_nothing_and_once(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    let lease = lease_one(&store, at(2)).await;
    let events: [(&str, &[EndpointId]); 2] = [("invoice.paid", &[app, crm]), ("payment.succeeded", &[app])];
    let mut run = dispatch(lease.id, at(2), &events);
    let plugin = PluginRef { name: "acme".into(), version: "1".into(), digest: "00".into() };
    run.run.notes.push(Note { plugin, event: None, said: Said::Drafts(2), took_us: 31 });

    let mut unlucky = run.clone();
    unlucky.entities.push(EntityRead { entity: "sub_1".into(), version: 9 });
    assert_eq!(store.dispatched(&lease, unlucky, at(2)).await.unwrap(), Committed::Conflict);
    assert!(store.list_events(EventFilter::default(), all()).await.unwrap().rows.is_empty());
    assert!(store.due(10).await.unwrap().is_empty());
    assert!(store.lease_webhooks(at(2), 1).await.unwrap().is_empty(), "it is still leased");

    assert_eq!(store.dispatched(&lease, run.clone(), at(2)).await.unwrap(), Committed::Done);
    let stored = store.webhook(lease.id).await.unwrap().unwrap();
    assert_eq!(stored.state, WebhookState::Dispatched { events: 2, at: at(2) });
    assert_eq!(stored.run, Some(run.run.clone()));
    assert_eq!(store.webhook_of(EventId::derive(lease.id, 1)).await.unwrap(), Some(lease.id));
    let deliveries = store.list_deliveries(DeliveryFilter::default(), all()).await.unwrap().rows;
    assert_eq!(deliveries.len(), 3);
    assert!(
        deliveries.iter().all(|d| d.state == DeliveryState::Waiting { due: at(2) } && d.created == at(2))
    );
    let before = store.stats().await.unwrap();

    assert_eq!(store.dispatched(&lease, run, at(3)).await.unwrap(), Committed::LeaseLost);
    let after = store.stats().await.unwrap();
    assert_eq!((after.events, after.waiting, after.undispatched), (2, 3, 0));
    assert_eq!((before.events, before.waiting, before.undispatched), (2, 3, 0));
    assert!(store.lease_webhooks(at(9), 1).await.unwrap().is_empty());
    assert_eq!(store.next_webhook_due().await.unwrap(), None);
}

fn kv_key(plugin: &str, bucket: &str, key: &str) -> KvKey {
    let bucket = Bucket { plugin: plugin.into(), name: bucket.into() };
    KvKey { bucket, key: key.into() }
}

fn kv_entry(value: &[u8], version: u64, until: Option<Time>) -> Option<KvEntry> {
    Some(KvEntry { value: Bytes::copy_from_slice(value), version, until })
}

/// Commits a run over a webhook of its own that does this to what plugins keep.
async fn keep(store: &Shared, n: u64, kv: KvRun) -> Committed {
    store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    let lease = lease_one(store, at(n)).await;
    let run = Dispatch { kv, ..dispatch(lease.id, at(n), &[]) };
    let committed = store.dispatched(&lease, run, at(n)).await.unwrap();
    if committed == Committed::Conflict {
        let empty = dispatch(lease.id, at(n), &[]);
        assert_eq!(
            store.dispatched(&lease, empty, at(n)).await.unwrap(),
            Committed::Done,
            "it is still leased"
        );
    }
    committed
}

async fn what_plugins_keep_commits(bench: &Bench<'_>) {
    let store = bench.open();
    let [mine, of_another, in_another] =
        [kv_key("p", "seen", "a"), kv_key("q", "seen", "a"), kv_key("p", "other", "a")];
    let noise: Vec<u8> = std::iter::repeat_with(rand::random).take(32 << 10).collect();
    let long = kv_key("p", "seen", "long");
    let writes = vec![(mine.clone(), kv_entry(b"1", 7, None)), (long.clone(), kv_entry(&noise, 8, None))];
    assert_eq!(keep(&store, 1, KvRun { expects: vec![], writes }).await, Committed::Done);
    assert_eq!(store.kv(&mine, at(1)).await.unwrap(), kv_entry(b"1", 7, None));
    assert_eq!(store.kv(&long, at(1)).await.unwrap(), kv_entry(&noise, 8, None));
    for other in [of_another, in_another, kv_key("p", "seen", "b")] {
        assert_eq!(store.kv(&other, at(1)).await.unwrap(), None, "{other:?}");
    }

    // A run that is not committed leaves nothing.
    store.accept(webhook(2, b"{}"), at(2)).await.unwrap();
    let lease = lease_one(&store, at(2)).await;
    let kv = KvRun { expects: vec![], writes: vec![(mine.clone(), None)] };
    let mut run = Dispatch { kv, ..dispatch(lease.id, at(2), &[]) };
    run.entities.push(EntityRead { entity: "sub_1".into(), version: 9 });
    assert_eq!(store.dispatched(&lease, run.clone(), at(2)).await.unwrap(), Committed::Conflict);
    assert!(store.kv(&mine, at(2)).await.unwrap().is_some());
    run.entities.clear();
    assert_eq!(store.dispatched(&lease, run, at(2)).await.unwrap(), Committed::Done);
    assert_eq!(store.kv(&mine, at(2)).await.unwrap(), None, "removed with the run that is");
    store.close().await.unwrap();
    drop(store);
    let store = bench.open();
    assert_eq!(store.kv(&long, at(2)).await.unwrap(), kv_entry(&noise, 8, None), "after a reopen");
    assert_eq!(store.kv(&mine, at(2)).await.unwrap(), None);
}

async fn another_entry_is_a_conflict(bench: &Bench<'_>) {
    let store = bench.open();
    let key = kv_key("p", "seen", "a");
    let swap = |expected: Option<u64>, version, until| KvRun {
        expects: vec![(key.clone(), expected)],
        writes: vec![(key.clone(), kv_entry(b"x", version, until))],
    };
    assert_eq!(keep(&store, 1, swap(Some(1), 5, None)).await, Committed::Conflict, "there is none");
    assert_eq!(keep(&store, 2, swap(None, 5, None)).await, Committed::Done);
    assert_eq!(keep(&store, 3, swap(None, 6, None)).await, Committed::Conflict, "there is one");
    assert_eq!(keep(&store, 4, swap(Some(6), 7, None)).await, Committed::Conflict, "there is another");
    assert_eq!(store.kv(&key, at(4)).await.unwrap(), kv_entry(b"x", 5, None));
    assert_eq!(keep(&store, 5, swap(Some(5), 6, Some(at(10)))).await, Committed::Done);
    assert_eq!(keep(&store, 9, swap(None, 7, None)).await, Committed::Conflict, "not over yet");
    assert_eq!(keep(&store, 10, swap(Some(6), 7, None)).await, Committed::Conflict, "it is over");
    assert_eq!(keep(&store, 11, swap(None, 7, None)).await, Committed::Done);
}

async fn entries_end_and_are_counted(bench: &Bench<'_>) {
    let store = bench.open();
    let key = |n: u64| kv_key("p", "seen", &format!("{n:03}"));
    let bucket = key(0).bucket;
    for run in 0..4 {
        let writes = (0..100).map(|n| (key(run * 100 + n), kv_entry(b"1234567", 1 + n, Some(at(100)))));
        let kv = KvRun { expects: vec![], writes: writes.collect() };
        assert_eq!(keep(&store, run, kv).await, Committed::Done);
    }
    let lives_on = KvRun { expects: vec![], writes: vec![(key(0), kv_entry(b"", 9, None))] };
    assert_eq!(keep(&store, 5, lives_on).await, Committed::Done);
    let usage = |keys, bytes| KvUsage { keys, bytes };
    assert_eq!(store.kv_usage(&bucket, at(99)).await.unwrap(), usage(400, 399 * 10 + 3));
    assert!(store.kv(&key(1), at(99)).await.unwrap().is_some());
    assert_eq!(store.kv(&key(1), at(100)).await.unwrap(), None, "over, whether it is forgotten or not");
    let left = 399 - KV_SWEEP as u64;
    assert_eq!(store.kv_usage(&bucket, at(100)).await.unwrap(), usage(left + 1, left * 10 + 3), "bounded");
    assert_eq!(store.kv_usage(&bucket, at(100)).await.unwrap(), usage(1, 3));
    assert_eq!(store.kv(&key(0), at(1_000)).await.unwrap(), kv_entry(b"", 9, None));
    assert_eq!(store.kv_usage(&kv_key("q", "seen", "a").bucket, at(1)).await.unwrap(), KvUsage::default());
}

async fn another_version_is_a_conflict(bench: &Bench<'_>) {
    let store = bench.open();
    let read = |version| EntityRead { entity: "sub_1".into(), version };
    for n in [5, 3, 7] {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    }
    assert_eq!(store.entity("acme", "sub_1").await.unwrap().version, 0);
    let leases = store.lease_webhooks(at(10), 10).await.unwrap();
    // In the order of arrival: the row keeps the latest event, whatever came last.
    for (lease, version) in [(&leases[1], 0), (&leases[0], 1)] {
        let mut run = dispatch(lease.id, at(10), &[("invoice.paid", &[])]);
        run.entities.push(read(version + 1));
        assert_eq!(
            store.dispatched(lease, run.clone(), at(10)).await.unwrap(),
            Committed::Conflict,
            "{version}"
        );
        run.entities = vec![read(version)];
        assert_eq!(store.dispatched(lease, run, at(10)).await.unwrap(), Committed::Done);
    }
    let entity = store.entity("acme", "sub_1").await.unwrap();
    assert_eq!(entity.version, 2);
    assert_eq!(entity.last["invoice.paid"], (at(5), EventId::derive(leases[1].id, 0)));
    assert_eq!(store.entity("other", "sub_1").await.unwrap().version, 0);

    // Two runs that read the same version: one of them commits.
    store.accept(webhook(8, b"{}"), at(8)).await.unwrap();
    let fourth = lease_one(&store, at(10)).await;
    let run = |lease: &WebhookLease| {
        let mut run = dispatch(lease.id, at(10), &[("payment.failed", &[])]);
        run.entities.push(read(2));
        run
    };
    let (a, b) = tokio::join!(
        store.dispatched(&leases[2], run(&leases[2]), at(10)),
        store.dispatched(&fourth, run(&fourth), at(10))
    );
    let answers = [a.unwrap(), b.unwrap()];
    assert!(answers.contains(&Committed::Done) && answers.contains(&Committed::Conflict), "{answers:?}");
}

async fn a_failed_run(bench: &Bench<'_>) {
    let store = bench.open();
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    let lease = lease_one(&store, at(1)).await;
    let retry = AfterFailure::RetryAt(at(10));
    let failed = store.dispatch_failed(&lease, "trap".into(), retry.clone(), at(2)).await.unwrap();
    assert_eq!(failed, Committed::Done);
    let again = store.dispatch_failed(&lease, "trap".into(), retry, at(2)).await.unwrap();
    assert_eq!(again, Committed::LeaseLost);
    assert!(store.lease_webhooks(at(9), 1).await.unwrap().is_empty());
    assert_eq!(store.next_webhook_due().await.unwrap(), Some(at(10)));

    let lease = lease_one(&store, at(10)).await;
    assert_eq!(lease.failures, 1);
    let defer = AfterFailure::Defer(at(20));
    assert_eq!(
        store.dispatch_failed(&lease, "breaker".into(), defer, at(10)).await.unwrap(),
        Committed::Done
    );
    let lease = lease_one(&store, at(20)).await;
    assert_eq!(lease.failures, 1, "deferring counts nothing");
    let state = store.webhook(lease.id).await.unwrap().unwrap().state;
    assert_eq!(state, WebhookState::Undispatched { failures: 1, due: at(20), last: Some("breaker".into()) });

    let dead = store.dispatch_failed(&lease, "invalid".into(), AfterFailure::Dead, at(21)).await.unwrap();
    assert_eq!(dead, Committed::Done);
    assert!(store.lease_webhooks(at(99), 1).await.unwrap().is_empty());
    let rows = store.list_webhooks(true, all()).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, WebhookState::Dead { why: "invalid".into(), at: at(21) });
    let late = store.dispatched(&lease, dispatch(lease.id, at(22), &[]), at(22)).await.unwrap();
    assert_eq!(late, Committed::LeaseLost);
}

async fn what_waits_is_hurried(bench: &Bench<'_>) {
    let store = bench.open();
    let mut ids = Vec::new();
    for n in 1..=6 {
        let mut webhook = webhook(n, b"{}");
        webhook.head.source = if n % 2 == 0 { "acme" } else { "other" }.into();
        store.accept(webhook, at(n)).await.unwrap();
        let lease = lease_one(&store, at(n)).await;
        let retry = AfterFailure::RetryAt(at(100 + n));
        store.dispatch_failed(&lease, "trap".into(), retry, at(n)).await.unwrap();
        ids.push(lease.id);
    }
    let (mut after, mut looks) = (Some(Vec::new()), 0);
    while let Some(from) = after {
        let page = Page { after: from, n: 2 };
        after = store.hurry_webhooks(vec!["acme".into()], page, at(50)).await.unwrap();
        looks += 1;
        assert!(looks < 10, "it ends");
    }
    let leases = store.lease_webhooks(at(50), 9).await.unwrap();
    let leased: BTreeSet<WebhookId> = leases.iter().map(|lease| lease.id).collect();
    assert_eq!(leased, BTreeSet::from([ids[1], ids[3], ids[5]]));
    assert!(leases.iter().all(|lease| lease.failures == 1), "what was counted stays counted");
    let done = store.dispatched(&leases[0], dispatch(leases[0].id, at(50), &[]), at(50)).await.unwrap();
    assert_eq!(done, Committed::Done);
    assert_eq!(store.next_webhook_due().await.unwrap(), Some(at(101)), "others wait as before");
    let again = Page { after: Vec::new(), n: 99 };
    assert_eq!(store.hurry_webhooks(vec!["acme".into()], again, at(51)).await.unwrap(), None);
    assert_eq!(store.lease_webhooks(at(200), 9).await.unwrap().len(), 3);
}

async fn suspects_count_one_failure(bench: &Bench<'_>) {
    let store = bench.open();
    for n in [1, 2] {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    }
    run(&store, &[], at(1)).await;
    let ids = vec![webhook(1, b"").id, webhook(2, b"").id, webhook(3, b"").id, webhook(2, b"").id];
    assert_eq!(store.suspect(ids).await.unwrap(), 1, "one is dispatched, one unknown, one named twice");
    drop(store);
    let store = bench.open();
    let lease = lease_one(&store, at(3)).await;
    assert_eq!((lease.id, lease.failures), (webhook(2, b"").id, 1));
}

async fn deliveries_move(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    run(&store, &[("invoice.paid", &[app])], at(2)).await;

    let lease = lease_delivery(&store, app, at(2)).await;
    assert_eq!(
        (lease.kind.as_str(), &lease.event[..]),
        ("invoice.paid", &br#"{"type":"invoice.paid","index":0}"#[..])
    );
    assert!(store.lease(app, at(2), 9).await.unwrap().is_empty(), "it is leased");
    assert!(store.due(9).await.unwrap().is_empty());
    store.release(lease.delivery.id);
    assert_eq!(store.due(9).await.unwrap()[0].oldest, at(2));

    let lease = lease_delivery(&store, app, at(2)).await;
    let moved = finish(&store, &lease, AfterAttempt::RetryAt(at(30)), at(3)).await;
    assert_eq!((moved.attempts, moved.step, moved.state), (1, 1, DeliveryState::Waiting { due: at(30) }));
    assert_eq!(store.due(9).await.unwrap()[0].oldest, at(30));
    assert!(store.lease(app, at(29), 9).await.unwrap().is_empty(), "it is not due");

    let lease = lease_delivery(&store, app, at(30)).await;
    let moved = finish(&store, &lease, AfterAttempt::Held, at(31)).await;
    assert_eq!((moved.attempts, moved.step, moved.state), (2, 1, DeliveryState::Waiting { due: at(30) }));

    let lease = lease_delivery(&store, app, at(32)).await;
    let moved = finish(&store, &lease, AfterAttempt::Delivered, at(33)).await;
    assert_eq!((moved.attempts, moved.step, moved.state), (3, 2, DeliveryState::Delivered { at: at(33) }));
    assert!(store.due(9).await.unwrap().is_empty());
    let attempts = store.attempts(moved.id).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(attempts[2], finished(&lease.delivery, AfterAttempt::Delivered).attempt);

    store.accept(webhook(40, b"{}"), at(40)).await.unwrap();
    run(&store, &[("invoice.paid", &[app])], at(40)).await;
    let lease = lease_delivery(&store, app, at(40)).await;
    let moved = finish(&store, &lease, AfterAttempt::Dead("enough".into()), at(41)).await;
    assert_eq!(moved.state, DeliveryState::Dead { at: at(41), why: "enough".into() });
    assert!(store.due(9).await.unwrap().is_empty());
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.delivered, stats.dead), (0, 1, 1));

    store.accept(webhook(50, b"{}"), at(50)).await.unwrap();
    run(&store, &[("invoice.paid", &[app])], at(50)).await;
    let lease = lease_delivery(&store, app, at(50)).await;
    // Longer than a row of sled's may be, and in both the state and the attempt.
    let why = "no address, ".repeat(600);
    let skipped = Outcome::Skipped(why.clone());
    let mut finish = finished(&lease.delivery, AfterAttempt::Skipped(why.clone()));
    finish.attempt.outcome = skipped.clone();
    assert_eq!(store.finish(finish, at(51)).await.unwrap(), Committed::Done);
    let moved = store.delivery(lease.delivery.id).await.unwrap().unwrap();
    assert_eq!(moved.state, DeliveryState::Skipped { at: at(51), why });
    assert_eq!(store.attempts(moved.id).await.unwrap()[0].outcome, skipped);
    assert!(store.due(9).await.unwrap().is_empty());
    assert_eq!(
        store.redrive(Redrive::Deliveries(app), at(52), up_to(9)).await.unwrap().count,
        1,
        "the dead one"
    );
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.delivered, stats.dead), (1, 1, 0));
}

async fn urgent_deliveries_go_first(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let kinds = ["invoice.paid", "subscription.canceled", "payment.failed"];
    for (n, kind) in (1..).zip(kinds) {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        run(&store, &[(kind, &[app])], at(n)).await;
    }
    let leased = store.lease(app, at(9), 9).await.unwrap();
    let order: Vec<&str> = leased.iter().map(|lease| lease.kind.as_str()).collect();
    assert_eq!(order, ["subscription.canceled", "payment.failed", "invoice.paid"]);
}

/// Commits webhook `n`: one event of `entity`, which `app` takes in order. Answers its delivery to `app`.
async fn commit_about(
    store: &Shared,
    n: u64,
    entity: &str,
    kind: &str,
    endpoints: &[EndpointId],
) -> DeliveryId {
    store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    let lease = lease_one(store, at(n)).await;
    let event = NewEvent { entity: Some(entity.into()), ..event(lease.id, 0, kind, endpoints) };
    let id = event.id;
    let ordered = vec![EndpointId::derive("app")];
    let dispatch = Dispatch { events: vec![event], ordered, ..Dispatch::default() };
    assert_eq!(store.dispatched(&lease, dispatch, at(n)).await.unwrap(), Committed::Done);
    DeliveryId::derive(id, EndpointId::derive("app"), 0)
}

async fn leased(store: &Shared, endpoint: EndpointId, now: Time) -> Vec<DeliveryLease> {
    store.lease(endpoint, now, 99).await.unwrap()
}

fn ids(leases: &[DeliveryLease]) -> Vec<DeliveryId> {
    leases.iter().map(|lease| lease.delivery.id).collect()
}

async fn an_entity_goes_in_order(bench: &Bench<'_>) {
    let mut store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    let a1 = commit_about(&store, 1, "a", "invoice.paid", &[app, crm]).await;
    let a2 = commit_about(&store, 2, "a", "subscription.canceled", &[app, crm]).await;
    let b1 = commit_about(&store, 3, "b", "invoice.paid", &[app]).await;
    let b2 = commit_about(&store, 4, "b", "invoice.paid", &[app]).await;
    let a3 = commit_about(&store, 5, "a", "invoice.paid", &[app]).await;
    for (n, count) in [(9, 5), (4, 4), (1, 1)] {
        assert_eq!(store.waiting(app, n).await.unwrap(), count, "who stands behind another waits too");
    }
    assert_eq!(leased(&store, crm, at(9)).await[0].kind, "subscription.canceled", "nobody else is held");
    let first = leased(&store, app, at(9)).await;
    assert_eq!(ids(&first), [a1, b1], "an urgent one waits for its entity's turn");
    assert!(leased(&store, app, at(99)).await.is_empty(), "while they are under way");
    for (id, first) in [(a1, None), (a2, Some(a1)), (a3, Some(a1)), (b1, None), (b2, Some(b1))] {
        assert_eq!(store.ahead_of(id).await.unwrap(), first);
    }
    assert!(!store.due(9).await.unwrap().iter().any(|due| due.endpoint == app));

    // A retry holds its own entity and no other.
    finish(&store, &first[0], AfterAttempt::RetryAt(at(50)), at(10)).await;
    finish(&store, &first[1], AfterAttempt::Delivered, at(10)).await;
    let next = leased(&store, app, at(11)).await;
    assert_eq!(ids(&next), [b2]);
    store.release(b2);
    drop(store);
    store = bench.open();
    let again = leased(&store, app, at(12)).await;
    assert_eq!(ids(&again), [b2], "after a restart too");
    finish(&store, &again[0], AfterAttempt::Delivered, at(12)).await;
    let retried = leased(&store, app, at(50)).await;
    assert_eq!((ids(&retried), retried[0].delivery.attempts), (vec![a1], 1));
    finish(&store, &retried[0], AfterAttempt::PutOff(at(51)), at(50)).await;
    assert!(leased(&store, app, at(50)).await.is_empty());
    let held = leased(&store, app, at(51)).await;
    assert_eq!(ids(&held), [a1], "a trial leaves it at its place");

    // A dead one and a skipped one release the next.
    finish(&store, &held[0], AfterAttempt::Dead("x".into()), at(51)).await;
    assert_eq!(store.ahead_of(a1).await.unwrap(), None, "it waits no more");
    assert_eq!(store.ahead_of(a3).await.unwrap(), Some(a2));
    let second = leased(&store, app, at(51)).await;
    assert_eq!(ids(&second), [a2]);
    finish(&store, &second[0], AfterAttempt::Skipped("x".into()), at(52)).await;
    let third = leased(&store, app, at(52)).await;
    assert_eq!(ids(&third), [a3]);
    finish(&store, &third[0], AfterAttempt::Delivered, at(53)).await;
    let a4 = commit_about(&store, 60, "a", "invoice.paid", &[app]).await;
    assert_eq!(ids(&leased(&store, app, at(60)).await), [a4], "a line that was empty begins anew");
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.delivered, stats.dead), (1 + 2, 3, 1));
}

async fn a_resend_goes_behind(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let dead = commit_about(&store, 1, "a", "invoice.paid", &[app]).await;
    let lease = lease_delivery(&store, app, at(1)).await;
    finish(&store, &lease, AfterAttempt::Dead("x".into()), at(1)).await;
    let waits = commit_about(&store, 2, "a", "invoice.paid", &[app]).await;
    let under_way = lease_delivery(&store, app, at(2)).await;
    assert_eq!(store.redrive(Redrive::Delivery(dead), at(3), up_to(9)).await.unwrap().count, 1);
    let last = commit_about(&store, 4, "a", "invoice.paid", &[app]).await;
    let event = lease.delivery.event;
    let redriven = DeliveryId::derive(event, app, 1);
    assert_eq!(store.resend(dead, at(4)).await.unwrap(), Resent::Waits(redriven));
    assert!(leased(&store, app, at(9)).await.is_empty());
    assert_eq!(under_way.delivery.id, waits);
    finish(&store, &under_way, AfterAttempt::Delivered, at(5)).await;
    for id in [redriven, last] {
        let lease = lease_delivery(&store, app, at(9)).await;
        assert_eq!(lease.delivery.id, id);
        assert!(leased(&store, app, at(9)).await.is_empty());
        finish(&store, &lease, AfterAttempt::Delivered, at(9)).await;
    }
    // With nobody before it it is due at once.
    assert_eq!(store.resend(dead, at(10)).await.unwrap(), Resent::New(DeliveryId::derive(event, app, 2)));
    assert_eq!(lease_delivery(&store, app, at(10)).await.delivery.resend, 2);
}

async fn a_reprocess_leaves_no_gap(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let gone = commit_about(&store, 1, "sub_1", "invoice.paid", &[app]).await;
    let next = commit_about(&store, 2, "sub_1", "invoice.paid", &[app]).await;
    let last = commit_about(&store, 3, "sub_1", "invoice.paid", &[app]).await;
    let select = Select { until: Some(at(1)), ..Select::default() };
    let again = job(4, What::Reprocess { resend: false }, select);
    store.add_job(again.clone()).await.unwrap();
    assert_eq!(worked_off(&store, again.id, 9).await.moved, 1);
    let lease = lease_one(&store, at(999)).await;
    assert_eq!(lease.id, webhook(1, b"").id);
    let now_dropped = NewEvent {
        dropped: Some(("event-filter".into(), "x".into())),
        ..event(lease.id, 0, "invoice.paid", &[])
    };
    let dispatch = Dispatch { events: vec![now_dropped], ordered: vec![app], ..Dispatch::default() };
    assert_eq!(store.dispatched(&lease, dispatch, at(5)).await.unwrap(), Committed::Done);
    assert_eq!(store.delivery(gone).await.unwrap().unwrap().state.name(), "skipped");
    for id in [next, last] {
        let leases = leased(&store, app, at(9)).await;
        assert_eq!(ids(&leases), [id]);
        finish(&store, &leases[0], AfterAttempt::Delivered, at(9)).await;
    }
}

async fn what_is_stale_is_told(bench: &Bench<'_>) {
    let mut store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    // The time of arrival is that of happening: `late` comes last and happened first.
    let late = |n: u64, kind: &'static str, entity: &'static str, happened: u64| {
        let store = store.clone();
        async move {
            store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
            let lease = lease_one(&store, at(n)).await;
            let occurred_at = at(happened);
            let entity = Some(entity.to_owned());
            let event = NewEvent { entity, occurred_at, ..event(lease.id, 0, kind, &[crm]) };
            let id = event.id;
            let dispatch = Dispatch { events: vec![event], ..Dispatch::default() };
            assert_eq!(store.dispatched(&lease, dispatch, at(n)).await.unwrap(), Committed::Done);
            id
        }
    };
    let retried = late(10, "invoice.paid", "a", 10).await;
    let newest = late(20, "invoice.voided", "a", 20).await;
    let leases = leased(&store, crm, at(20)).await;
    assert!(leases.iter().all(|lease| lease.delivery.stale.is_none()), "nothing was taken yet");
    finish(&store, &leases[0], AfterAttempt::RetryAt(at(30)), at(21)).await;
    late(25, "invoice.paid", "a", 15).await;
    let delivered = finish(&store, &leases[1], AfterAttempt::Delivered, at(25)).await;
    assert_eq!((leases[0].delivery.event, leases[1].delivery.event), (retried, newest));
    assert_eq!(delivered.stale, None);
    // In memory since before the newest was taken, read again for a retry, and made afterwards.
    let expected = |n, happened| [("invoice.paid", "a", n, happened, Some(newest))];
    for (kind, entity, n, happened, stale) in expected(26, 19).into_iter().chain([
        ("invoice.paid", "a", 27, 20, None),
        ("payment.failed", "a", 28, 1, None),
        ("invoice.paid", "b", 29, 1, None),
    ]) {
        let id = late(n, kind, entity, happened).await;
        let mut leases = leased(&store, crm, at(29)).await;
        leases.retain(|lease| lease.delivery.event == id || lease.delivery.created == at(25));
        for lease in leases {
            let is_early = lease.delivery.created == at(25);
            let stale = if is_early { Some(newest) } else { stale };
            assert_eq!(lease.delivery.stale, stale, "{kind} {entity} {happened}");
            let finished = finish(&store, &lease, AfterAttempt::Dead("x".into()), at(29)).await;
            assert_eq!(finished.stale, stale, "it is kept");
        }
    }
    let leases = leased(&store, crm, at(30)).await;
    assert_eq!((leases[0].delivery.event, leases[0].delivery.stale), (retried, Some(newest)));
    drop(leases);
    let not_there = late(31, "invoice.paid", "a", 1).await;
    store.close().await.unwrap();
    drop(store);
    store = bench.open();
    let leases = leased(&store, crm, at(31)).await;
    assert_eq!(leases.iter().filter(|lease| lease.delivery.stale == Some(newest)).count(), 2);
    assert!(leases.iter().any(|lease| lease.delivery.event == not_there), "after a restart too");
    assert!(leased(&store, app, at(31)).await.is_empty());
}

async fn due_tells_one_row_an_endpoint(bench: &Bench<'_>) {
    let store = bench.open();
    let endpoints: Vec<EndpointId> = (0..5).map(|n| EndpointId::derive(&format!("e{n}"))).collect();
    for n in 1..=20 {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        run(&store, &[("invoice.paid", &endpoints), ("payment.failed", &endpoints[..1])], at(n)).await;
    }
    let due = store.due(100).await.unwrap();
    assert_eq!(due.len(), 5);
    assert!(due.iter().all(|row| row.oldest == at(1)));
    assert_eq!(store.due(2).await.unwrap().len(), 2);
    // All but the two newest of one endpoint are leased.
    assert_eq!(store.lease(endpoints[1], at(18), 100).await.unwrap().len(), 18);
    let row = store.due(100).await.unwrap().into_iter().find(|row| row.endpoint == endpoints[1]).unwrap();
    assert_eq!(row.oldest, at(19));
}

async fn a_finish_after_the_lease_moved(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    run(&store, &[("invoice.paid", &[app])], at(1)).await;
    let late = lease_delivery(&store, app, at(1)).await;
    store.release(late.delivery.id);
    let lease = lease_delivery(&store, app, at(1)).await;
    finish(&store, &lease, AfterAttempt::RetryAt(at(5)), at(2)).await;
    let lost = store.finish(finished(&late.delivery, AfterAttempt::Delivered), at(3)).await.unwrap();
    assert_eq!(lost, Committed::LeaseLost);
    assert_eq!(store.attempts(late.delivery.id).await.unwrap().len(), 1);

    // The same while somebody else has it: neither the delivery nor the lease is touched.
    let lease = lease_delivery(&store, app, at(5)).await;
    let lost = store.finish(finished(&late.delivery, AfterAttempt::Delivered), at(6)).await.unwrap();
    assert_eq!(lost, Committed::LeaseLost);
    assert!(store.lease(app, at(6), 1).await.unwrap().is_empty(), "it is still leased");
    finish(&store, &lease, AfterAttempt::Delivered, at(7)).await;
    let again = store.finish(finished(&lease.delivery, AfterAttempt::Delivered), at(8)).await.unwrap();
    assert_eq!(again, Committed::LeaseLost);
    assert_eq!(store.stats().await.unwrap().delivered, 1);
}

/// Makes a delivery to `endpoint` in second `n` and lets it die.
async fn dead_delivery(store: &Shared, n: u64, endpoint: EndpointId) -> DeliveryId {
    store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
    run(store, &[("invoice.paid", &[endpoint])], at(n)).await;
    let lease = lease_delivery(store, endpoint, at(n)).await;
    finish(store, &lease, AfterAttempt::Dead("enough".into()), at(n)).await;
    lease.delivery.id
}

async fn redrive_makes_new_deliveries(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let id = dead_delivery(&store, 1, app).await;
    let moved = store.redrive(Redrive::Delivery(id), at(50), up_to(1)).await.unwrap();
    assert_eq!((moved.count, moved.next), (1, None));
    let moved = store.redrive(Redrive::Delivery(id), at(51), up_to(1)).await.unwrap();
    assert_eq!(moved.count, 0, "it has left the dead letters");

    let old = store.delivery(id).await.unwrap().unwrap();
    assert!(matches!(old.state, DeliveryState::Dead { .. }));
    let lease = lease_delivery(&store, app, at(50)).await;
    let new = &lease.delivery;
    assert_ne!(new.id, id);
    assert_eq!((new.event, new.resend, new.attempts, new.step), (old.event, 1, 0, 0));
    assert_eq!(new.created, at(50));
    finish(&store, &lease, AfterAttempt::Dead("still".into()), at(52)).await;
    assert_eq!(store.redrive(Redrive::Deliveries(app), at(60), up_to(10)).await.unwrap().count, 1);
    let lease = lease_delivery(&store, app, at(60)).await;
    assert_eq!(lease.delivery.resend, 2);
    finish(&store, &lease, AfterAttempt::Delivered, at(61)).await;
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.dead, stats.waiting, stats.delivered), (0, 0, 1));
}

async fn a_resend_follows_the_newest(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    let id = DeliveryId::derive(EventId::derive(webhook(1, b"").id, 0), app, 0);
    assert_eq!(store.resend(id, at(1)).await.unwrap(), Resent::Unknown);
    run(&store, &[("invoice.paid", &[app])], at(1)).await;
    assert_eq!(store.resend(id, at(2)).await.unwrap(), Resent::Waits(id), "it waits itself");
    let first = lease_delivery(&store, app, at(2)).await;
    finish(&store, &first, AfterAttempt::Delivered, at(2)).await;

    let second = DeliveryId::derive(first.delivery.event, app, 1);
    assert_eq!(store.resend(id, at(3)).await.unwrap(), Resent::New(second));
    assert_eq!(store.resend(id, at(4)).await.unwrap(), Resent::Waits(second), "a repeat makes no other");
    assert_eq!(store.delivery(id).await.unwrap().unwrap().state, DeliveryState::Delivered { at: at(2) });
    let lease = lease_delivery(&store, app, at(4)).await;
    let Delivery { resend, created, attempts, step, event, .. } = lease.delivery;
    assert_eq!((resend, created, attempts, step, event), (1, at(3), 0, 0, first.delivery.event));
    assert_eq!(lease.event, first.event, "the same bytes");
    finish(&store, &lease, AfterAttempt::Dead("x".into()), at(5)).await;

    let third = DeliveryId::derive(first.delivery.event, app, 2);
    assert_eq!(store.resend(id, at(6)).await.unwrap(), Resent::New(third), "after the newest");
    assert_eq!(store.redrive(Redrive::Deliveries(app), at(7), up_to(9)).await.unwrap().count, 0);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.delivered, stats.dead), (1, 1, 0), "what was dead is so no more");
    drop(store);
    let store = bench.open();
    assert_eq!(lease_delivery(&store, app, at(8)).await.delivery.id, third);
}

async fn what_is_placed_is_dispatched(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let id = webhook(1, b"").id;
    let dispatch = dispatch(id, at(1), &[("provider.test", &[app])]);
    for placed in [Committed::Done, Committed::LeaseLost] {
        assert_eq!(store.place(webhook(1, b"{}"), dispatch.clone(), at(1)).await.unwrap(), placed);
    }
    assert!(store.lease_webhooks(at(9), 9).await.unwrap().is_empty(), "no pipeline reads it");
    let story = store.story(id).await.unwrap().unwrap();
    assert_eq!(story.webhook.state, WebhookState::Dispatched { events: 1, at: at(1) });
    assert_eq!((story.events.len(), story.body.as_deref()), (1, Some(&b"{}"[..])));
    assert_eq!(
        lease_delivery(&store, app, at(1)).await.delivery.id,
        DeliveryId::derive(EventId::derive(id, 0), app, 0)
    );
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.webhooks, stats.undispatched, stats.events, stats.waiting), (1, 0, 1, 1));
}

fn job(n: u64, what: What, select: Select) -> Job {
    Job {
        id: JobId::new(at(n), n.into()),
        what,
        select,
        configured: None,
        rate: "100/s".parse().unwrap(),
        created: at(n),
        key: None,
        state: JobState::Running,
        cursor: None,
        looked: 0,
        moved: 0,
    }
}

/// Steps a job to its end, `n` at a time.
async fn worked_off(store: &Shared, id: JobId, n: usize) -> Job {
    loop {
        let job = store.step_job(id, at(900), n).await.unwrap().unwrap();
        if !job.is_running() {
            return job;
        }
    }
}

async fn a_job_moves_what_it_selects_once(bench: &Bench<'_>) {
    let mut store = bench.open();
    let app = EndpointId::derive("app");
    for n in 1..=9 {
        dead_delivery(&store, n, app).await;
    }
    let redrive = job(50, What::Redrive, Select::default());
    let id = redrive.id;
    let first = store.count_job(redrive.clone(), 100).await.unwrap();
    assert_eq!((first.count, first.more), (9, false));
    let capped = store.count_job(redrive.clone(), 4).await.unwrap();
    assert_eq!((capped.count, capped.more), (4, true));
    assert_eq!(store.stats().await.unwrap().dead, 9, "a count moves nothing");
    store.add_job(redrive.clone()).await.unwrap();
    for moved in [4, 8] {
        let job = store.step_job(id, at(60), 4).await.unwrap().unwrap();
        assert_eq!((job.moved, job.is_running()), (moved, true));
        // What it moved dies again before it comes by.
        for lease in store.lease(app, at(60), 2).await.unwrap() {
            assert_eq!(lease.delivery.resend, 1);
            finish(&store, &lease, AfterAttempt::Dead("again".into()), at(60)).await;
        }
        drop(store);
        store = bench.open();
        assert_eq!(store.running_jobs(9).await.unwrap(), [job], "it goes on where it stood");
    }
    let job = worked_off(&store, id, 4).await;
    assert_eq!((job.moved, job.state), (9, JobState::Done { at: at(900) }));
    assert_eq!(store.step_job(id, at(901), 4).await.unwrap(), Some(job.clone()), "done is done");
    assert!(store.running_jobs(9).await.unwrap().is_empty());
    let rows = store.list_deliveries(DeliveryFilter::default(), all()).await.unwrap().rows;
    assert_eq!(rows.iter().filter(|row| row.resend == 1).count(), 9);
    assert_eq!(rows.len(), 18, "each under one new number");
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.dead), (5, 4));
}

async fn a_job_selects_by_what_is_set(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    for n in 1..=6 {
        let kind = if n % 2 == 0 { "invoice.paid" } else { "payment.failed" };
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        run(&store, &[(kind, &[app, crm])], at(n)).await;
        for (endpoint, after) in [(app, AfterAttempt::Delivered), (crm, AfterAttempt::Dead("x".into()))] {
            let lease = lease_delivery(&store, endpoint, at(n)).await;
            finish(&store, &lease, after, at(n)).await;
        }
    }
    store.accept(webhook(7, b"{}"), at(7)).await.unwrap();
    let some = Select::default;
    let cases = [
        (What::Resend, some(), 12),
        (What::Redrive, some(), 6),
        (What::Reprocess { resend: false }, some(), 6),
        (What::Resend, Select { state: Some("delivered".into()), ..some() }, 6),
        (What::Resend, Select { state: Some("skipped".into()), ..some() }, 0),
        (What::Redrive, Select { endpoint: Some(app), ..some() }, 0),
        (What::Redrive, Select { endpoint: Some(crm), since: Some(at(3)), ..some() }, 4),
        (What::Resend, Select { since: Some(at(2)), until: Some(at(4)), ..some() }, 6),
        (What::Resend, Select { since: Some(at(5)), until: Some(at(4)), ..some() }, 0),
        (What::Resend, Select { kind: Some("invoice.paid".into()), ..some() }, 6),
        (What::Resend, Select { source: Some("acme".into()), ..some() }, 12),
        (What::Resend, Select { source: Some("shop".into()), ..some() }, 0),
        (What::Reprocess { resend: false }, Select { kind: Some("invoice.paid".into()), ..some() }, 3),
        (What::Reprocess { resend: false }, Select { state: Some("dead".into()), ..some() }, 0),
        (What::Reprocess { resend: false }, Select { endpoint: Some(crm), until: Some(at(1)), ..some() }, 1),
        (What::Reprocess { resend: false }, Select { source: Some("shop".into()), ..some() }, 0),
    ];
    for (what, select, count) in cases {
        let counted = store.count_job(job(50, what, select.clone()), 100).await.unwrap();
        assert_eq!((counted.count, counted.more), (count, false), "{what:?} {select:?}");
    }
    let early = job(4, What::Redrive, some());
    assert_eq!(store.count_job(early, 100).await.unwrap().count, 4, "what came later is not part of it");
}

async fn a_job_is_stored_once(bench: &Bench<'_>) {
    let store = bench.open();
    for n in 1..=3 {
        dead_delivery(&store, n, EndpointId::derive("app")).await;
    }
    let named = Job { key: Some([7; 16]), ..job(50, What::Redrive, Select::default()) };
    for n in [50, 50, 51] {
        let again = Job { id: JobId::new(at(n), n.into()), ..named.clone() };
        assert_eq!(store.add_job(again).await.unwrap(), Some(named.clone()));
    }
    store.step_job(named.id, at(60), 1).await.unwrap();
    for n in [61, 62] {
        let canceled = store.cancel_job(named.id, at(n)).await.unwrap().unwrap();
        assert_eq!((canceled.state, canceled.moved), (JobState::Canceled { at: at(61) }, 1));
        assert_eq!(store.step_job(named.id, at(n), 9).await.unwrap(), Some(canceled));
    }
    assert_eq!(store.stats().await.unwrap().dead, 2);
    let later = job(70, What::Resend, Select::default());
    store.add_job(later.clone()).await.unwrap();
    let listed = store.list_jobs(all()).await.unwrap().rows;
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [later.id, named.id]);
    assert_eq!(store.running_jobs(9).await.unwrap(), [later]);
    let nobody = JobId::new(at(99), 9);
    assert_eq!(store.job(nobody).await.unwrap(), None);
    assert_eq!(store.step_job(nobody, at(99), 9).await.unwrap(), None);
    assert_eq!(store.cancel_job(nobody, at(99)).await.unwrap(), None);
}

/// Reprocesses everything: one run of each webhook that gives `events`, each saying `said`.
async fn rerun(store: &Shared, n: u64, resend: bool, events: &[(&str, &[EndpointId])], said: &str) {
    let again = job(n, What::Reprocess { resend }, Select::default());
    store.add_job(again.clone()).await.unwrap();
    let done = worked_off(store, again.id, 100).await;
    assert!(done.moved > 0);
    let now = at(900 + n);
    for lease in store.lease_webhooks(now, 100).await.unwrap() {
        let mut run = dispatch(lease.id, now, events);
        run.events.iter_mut().for_each(|event| event.json = said.to_owned().into());
        assert_eq!(store.dispatched(&lease, run, now).await.unwrap(), Committed::Done);
    }
}

async fn a_reprocess_keeps_what_stays(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    run(&store, &[("invoice.paid", &[app])], at(1)).await;
    let lease = lease_delivery(&store, app, at(1)).await;
    let (event, first) = (lease.delivery.event, lease.event.clone());
    finish(&store, &lease, AfterAttempt::Delivered, at(1)).await;
    let same = r#"{"type":"invoice.paid","index":0,"replayed":true,"plugins":[{"name":"acme"}]}"#;

    rerun(&store, 10, false, &[("invoice.paid", &[app, crm])], same).await;
    assert!(store.lease(app, at(999), 9).await.unwrap().is_empty(), "it has it");
    let fresh = lease_delivery(&store, crm, at(999)).await;
    assert_eq!((fresh.delivery.resend, &fresh.event, fresh.webhook_id()), (0, &first, event.to_string()));

    rerun(&store, 20, true, &[("invoice.paid", &[app, crm])], same).await;
    let again = lease_delivery(&store, app, at(999)).await;
    assert_eq!((again.delivery.resend, &again.event, again.webhook_id()), (1, &first, event.to_string()));
    assert!(store.lease(crm, at(999), 9).await.unwrap().is_empty(), "what waits is not doubled");
    finish(&store, &again, AfterAttempt::Delivered, at(999)).await;

    // A second reprocess is not bound by what the one before was asked for.
    rerun(&store, 30, false, &[("invoice.paid", &[app])], same).await;
    assert!(store.lease(app, at(999), 9).await.unwrap().is_empty());
    assert_eq!(finish(&store, &fresh, AfterAttempt::Delivered, at(999)).await.state.name(), "delivered");
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.events, stats.waiting, stats.delivered, stats.undispatched), (1, 0, 3, 0));
}

async fn a_reprocess_makes_a_revision(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm, erp] = ["app", "crm", "erp"].map(EndpointId::derive);
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    run(&store, &[("invoice.paid", &[app])], at(1)).await;
    let event = EventId::derive(webhook(1, b"").id, 0);
    // Nothing was sent: the waiting delivery tells the new document, under the plain id.
    rerun(&store, 10, false, &[("invoice.paid", &[app, crm, erp])], r#"{"v":1}"#).await;
    let first = lease_delivery(&store, app, at(999)).await;
    assert_eq!((first.delivery.resend, &first.event[..]), (0, &br#"{"v":1}"#[..]));
    assert_eq!(first.webhook_id(), event.to_string());
    finish(&store, &first, AfterAttempt::Dead("x".into()), at(999)).await;
    // One that a worker has is as good as sent.
    let under_way = lease_delivery(&store, crm, at(999)).await;

    rerun(&store, 20, false, &[("payment.failed", &[app, crm])], r#"{"v":2}"#).await;
    for endpoint in [app, crm] {
        let second = lease_delivery(&store, endpoint, at(999)).await;
        assert_eq!((second.delivery.resend, &second.event[..]), (1, &br#"{"v":2}"#[..]));
        assert_eq!((second.webhook_id(), second.kind.as_str()), (format!("{event}-r2"), "payment.failed"));
        finish(&store, &second, AfterAttempt::Delivered, at(999)).await;
    }
    assert!(store.lease(erp, at(999), 9).await.unwrap().is_empty(), "it gets it no more");
    let late = store.finish(finished(&under_way.delivery, AfterAttempt::Delivered), at(999)).await.unwrap();
    assert_eq!(late, Committed::Done, "it was taken, although it should not be");
    let story = store.story(webhook(1, b"").id).await.unwrap().unwrap();
    let states = |endpoint| {
        let deliveries = story.events[0].deliveries.iter().map(|(delivery, _)| delivery);
        deliveries.filter(|d| d.endpoint == endpoint).map(|d| d.state.name()).collect::<Vec<_>>()
    };
    assert_eq!(states(app), ["dead", "delivered"]);
    assert_eq!(states(crm), ["delivered", "delivered"]);
    assert_eq!(states(erp), ["skipped"]);

    rerun(&store, 30, false, &[("payment.failed", &[app])], r#"{"v":3}"#).await;
    assert_eq!(lease_delivery(&store, app, at(999)).await.webhook_id(), format!("{event}-r3"));
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.waiting, stats.delivered, stats.dead), (1, 3, 0), "no dead letter is left to redrive");
}

async fn a_reprocess_ends_what_is_not_told(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let said = r#"{"v":1}"#;
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    run(&store, &[("invoice.paid", &[app]), ("payment.failed", &[app])], at(1)).await;
    rerun(&store, 10, false, &[("invoice.paid", &[app])], said).await;
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.events, stats.waiting), (2, 1), "the second event is kept, and is owed to nobody");
    let left = store.lease(app, at(999), 9).await.unwrap();
    assert_eq!(left.iter().map(|lease| lease.kind.as_str()).collect::<Vec<_>>(), ["invoice.paid"]);
    store.release(left[0].delivery.id);

    // A filter drops an event that says the same: nobody sends what a worker could have had a moment ago.
    store.add_job(job(20, What::Reprocess { resend: false }, Select::default())).await.unwrap();
    worked_off(&store, job(20, What::Resend, Select::default()).id, 9).await;
    assert!(store.lease(app, at(0), 9).await.unwrap().is_empty(), "a look that makes it ready");
    let lease = lease_one(&store, at(990)).await;
    let mut dropping = dispatch(lease.id, at(990), &[("invoice.paid", &[])]);
    dropping.events[0].json = said.into();
    dropping.events[0].dropped = Some(("only-usd".into(), "it is in EUR".into()));
    assert_eq!(store.dispatched(&lease, dropping, at(990)).await.unwrap(), Committed::Done);
    assert!(store.lease(app, at(999), 9).await.unwrap().is_empty());

    // Told again, it is owed again, although it says what it said.
    rerun(&store, 30, false, &[("invoice.paid", &[app])], said).await;
    assert_eq!(lease_delivery(&store, app, at(999)).await.event, said);
}

async fn redrive_in_bulk_is_bounded(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    for n in 1..=5 {
        dead_delivery(&store, n, app).await;
    }
    dead_delivery(&store, 6, crm).await;
    let moved = store.redrive(Redrive::Deliveries(app), at(50), up_to(3)).await.unwrap();
    assert_eq!((moved.count, moved.next.is_some()), (3, true));
    let moved = store.redrive(Redrive::Deliveries(app), at(50), up_to(3)).await.unwrap();
    assert_eq!((moved.count, moved.next), (2, None));
    assert_eq!(store.stats().await.unwrap().dead, 1);
    let moved = store.redrive(Redrive::Deliveries(crm), at(50), up_to(3)).await.unwrap();
    assert_eq!((moved.count, moved.next), (1, None));
    assert_eq!(store.lease(app, at(50), 10).await.unwrap().len(), 5);
    assert_eq!(store.lease(crm, at(50), 10).await.unwrap().len(), 1);
}

async fn redrive_in_bulk_meets_nothing_twice(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    for n in 1..=5 {
        dead_delivery(&store, n, app).await;
        let then = at(n + 10);
        store.accept(webhook(n + 10, b"{}"), then).await.unwrap();
        let lease = lease_one(&store, then).await;
        store.dispatch_failed(&lease, "invalid".into(), AfterFailure::Dead, then).await.unwrap();
    }
    for select in [Redrive::Deliveries(app), Redrive::Webhooks] {
        let (mut page, mut count) = (up_to(2), 0);
        for pages in 1.. {
            let moved = store.redrive(select.clone(), at(50), page.clone()).await.unwrap();
            count += moved.count;
            // All of it dies again, and may stand behind the end of the page.
            for lease in store.lease(app, at(50), 9).await.unwrap() {
                finish(&store, &lease, AfterAttempt::Dead("again".into()), at(50)).await;
            }
            for lease in store.lease_webhooks(at(50), 9).await.unwrap() {
                let failed = store.dispatch_failed(&lease, "again".into(), AfterFailure::Dead, at(50));
                failed.await.unwrap();
            }
            let Some(next) = moved.next else { break };
            assert!(pages < 9, "{select:?} does not end");
            page.after = next;
        }
        assert_eq!(count, 5, "{select:?}");
    }
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.dead, stats.webhooks_dead), (5, 5));
}

async fn what_waits_is_counted(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm, erp] = ["app", "crm", "erp"].map(EndpointId::derive);
    for n in 1..=5 {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        run(&store, &[("invoice.paid", &[app, crm])], at(n)).await;
    }
    let lease = lease_delivery(&store, app, at(9)).await;
    finish(&store, &lease, AfterAttempt::Delivered, at(9)).await;
    lease_delivery(&store, app, at(9)).await;
    for (endpoint, n, count) in [(app, 9, 4), (app, 4, 4), (app, 3, 3), (crm, 9, 5), (erp, 9, 0)] {
        assert_eq!(store.waiting(endpoint, n).await.unwrap(), count, "{endpoint} up to {n}");
    }
}

async fn so_many_jobs_go_on_at_once(bench: &Bench<'_>) {
    let store = bench.open();
    let numbered = |n: u64| Job {
        id: JobId::new(at(n), n.into()),
        key: Some([n as u8; 16]),
        ..job(0, What::Redrive, Select::default())
    };
    let most = RUNNING_MAX as u64;
    for n in 1..=most {
        assert_eq!(store.add_job(numbered(n)).await.unwrap(), Some(numbered(n)));
    }
    let more = numbered(most + 1);
    assert_eq!(store.add_job(more.clone()).await.unwrap(), None);
    assert_eq!(store.job(more.id).await.unwrap(), None);
    assert_eq!(store.add_job(numbered(1)).await.unwrap(), Some(numbered(1)), "one that there is");
    store.cancel_job(numbered(1).id, at(500)).await.unwrap();
    assert_eq!(store.add_job(more.clone()).await.unwrap(), Some(more));
}

async fn a_redriven_webhook_runs_again(bench: &Bench<'_>) {
    let store = bench.open();
    for n in [1, 2] {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        let lease = lease_one(&store, at(n)).await;
        store.dispatch_failed(&lease, "invalid".into(), AfterFailure::Dead, at(n)).await.unwrap();
    }
    let stale = WebhookLease {
        id: webhook(1, b"").id,
        head: Arc::new(webhook(1, b"").head),
        body: None,
        failures: 0,
        run: 0,
    };
    assert_eq!(store.redrive(Redrive::Webhook(stale.id), at(10), up_to(1)).await.unwrap().count, 1);
    assert_eq!(store.redrive(Redrive::Webhook(stale.id), at(10), up_to(1)).await.unwrap().count, 0);
    let lease = lease_one(&store, at(10)).await;
    assert_eq!((lease.id, lease.run, lease.failures), (stale.id, 1, 0));
    let late = store.dispatched(&stale, dispatch(stale.id, at(11), &[]), at(11)).await.unwrap();
    assert_eq!(late, Committed::LeaseLost);
    assert!(store.lease_webhooks(at(11), 1).await.unwrap().is_empty(), "the newer lease stands");
    let events: [(&str, &[EndpointId]); 1] = [("invoice.paid", &[EndpointId::derive("app")])];
    let done = store.dispatched(&lease, dispatch(lease.id, at(12), &events), at(12)).await.unwrap();
    assert_eq!(done, Committed::Done);
    let moved = store.redrive(Redrive::Webhooks, at(20), up_to(10)).await.unwrap();
    assert_eq!((moved.count, moved.next), (1, None));
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.webhooks_dead, stats.undispatched, stats.waiting), (0, 1, 1));
}

fn turned(n: u64) -> Turned {
    Turned { by: By::Operator, why: Some(format!("change {n}")), at: at(n) }
}

async fn gates_have_versions(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    let row = store.gate(app).await.unwrap();
    assert_eq!((row.gate, row.version, row.turned), (Gate::Open, 0, None));
    assert_eq!(store.set_gate(app, Gate::Paused, turned(1), 0).await.unwrap(), Some(1));
    assert_eq!(store.set_gate(app, Gate::Open, turned(1), 0).await.unwrap(), None, "somebody was faster");
    let trial = Gate::Trial { since: at(1), at: at(30), wait: Duration::from_secs(30) };
    assert_eq!(store.set_gate(app, trial.clone(), turned(2), 1).await.unwrap(), Some(2));
    drop(store);
    let store = bench.open();
    let row = store.gate(app).await.unwrap();
    assert_eq!((row.gate, row.version, row.turned), (trial, 2, Some(turned(2))));
    assert_eq!(store.gate(EndpointId::derive("crm")).await.unwrap().version, 0);
}

async fn rotations_have_versions(bench: &Bench<'_>) {
    let mut store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    let to = |name: &str, before: Option<&Rotation>, now| {
        let configured = [Secret::new("a".repeat(5000))];
        Rotation::to(Secret::new(name), before, &configured, Duration::from_secs(9), [1; 16], now).unwrap()
    };
    let first = to("b", None, at(1));
    for (expected, answered) in [(1, None), (0, Some(1)), (0, None)] {
        assert_eq!(store.rotate(app, first.clone(), expected).await.unwrap(), answered);
    }
    let second = to("c", Some(&first), at(2));
    assert_eq!(store.rotate(app, second.clone(), 1).await.unwrap(), Some(2));
    for _ in 0..2 {
        let row = store.rotation(app).await.unwrap();
        assert_eq!((row.version, row.rotation.as_deref()), (2, Some(&second)));
        let never = store.rotation(crm).await.unwrap();
        assert_eq!((never.version, never.rotation), (0, None));
        drop(store);
        store = bench.open();
    }
}

async fn a_gate_and_a_finish_in_one_group(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    for n in 1..=20 {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        run(&store, &[("invoice.paid", &[app])], at(n)).await;
        let lease = lease_delivery(&store, app, at(n)).await;
        let (done, version) = tokio::join!(
            store.finish(finished(&lease.delivery, AfterAttempt::RetryAt(at(900))), at(n)),
            store.set_gate(app, Gate::Paused, turned(n), n - 1),
        );
        assert_eq!((done.unwrap(), version.unwrap()), (Committed::Done, Some(n)));
    }
    assert_eq!(store.stats().await.unwrap().waiting, 20);
}

fn noise(len: usize) -> Bytes {
    (0..len).map(|n| (n * 31 + n / 251) as u8).collect::<Vec<u8>>().into()
}

async fn bodies_of_every_length(bench: &Bench<'_>) {
    let store = bench.open();
    let lens = [0, 1, 4095, 4096, 4097, 8192, 8193, 128 << 10, (128 << 10) + 1, 300_000, 4 << 20];
    let mut arrivals = JoinSet::new();
    for (n, len) in (1..).zip(lens) {
        let store = store.clone();
        arrivals.spawn(async move { store.accept(sized(n, noise(len)), at(n)).await.unwrap() });
    }
    assert!(arrivals.join_all().await.iter().all(|accepted| *accepted == Accepted::New));
    drop(store);
    let store = bench.open();
    for (n, len) in (1..).zip(lens) {
        let id = sized(n, Bytes::new()).id;
        assert!(store.body(id).await.unwrap().unwrap() == noise(len), "{len}");
        assert_eq!(store.webhook(id).await.unwrap().unwrap().head.body_len, len as u64);
    }
    assert_eq!(store.body(webhook(99, b"").id).await.unwrap(), None);
}

async fn long_rows(bench: &Bench<'_>) {
    let store = bench.open();
    let app = EndpointId::derive("app");
    for (n, len) in (1..).zip([100, 4000, 4096, 5000, 100_000, 200_000]) {
        let mut arrival = webhook(n, b"{}");
        arrival.head.headers.push(("x-long".into(), vec![b'x'; len]));
        let head = arrival.head.clone();
        store.accept(arrival, at(n)).await.unwrap();
        let lease = lease_one(&store, at(n)).await;
        assert_eq!(*lease.head, head);

        let mut run = dispatch(lease.id, at(n), &[("invoice.paid", &[app]), ("invoice.paid", &[])]);
        run.events[0].json = format!("\"{}\"", "j".repeat(len)).into();
        run.events[1].json = format!("\"{}\"", "k".repeat(len)).into();
        let plugin = PluginRef { name: "p".into(), version: "1".into(), digest: "00".into() };
        run.run.notes.push(Note { plugin, event: Some(0), said: Said::Patch("p".repeat(len)), took_us: 1 });
        let mut unlucky = run.clone();
        unlucky.entities.push(EntityRead { entity: "sub_1".into(), version: 999 });
        assert_eq!(store.dispatched(&lease, unlucky, at(n)).await.unwrap(), Committed::Conflict);
        assert_eq!(store.dispatched(&lease, run.clone(), at(n)).await.unwrap(), Committed::Done);
        assert_eq!(store.dispatched(&lease, run.clone(), at(n)).await.unwrap(), Committed::LeaseLost);
        assert_eq!(store.webhook(lease.id).await.unwrap().unwrap().run.unwrap(), run.run);

        let leased = lease_delivery(&store, app, at(n)).await;
        assert_eq!(leased.event, run.events[0].json);
        let mut end = finished(&leased.delivery, AfterAttempt::Delivered);
        end.attempt.answer = vec![b'a'; len.min(ANSWER_BYTES_MAX)];
        assert_eq!(store.finish(end.clone(), at(n)).await.unwrap(), Committed::Done);
        assert_eq!(store.attempts(leased.delivery.id).await.unwrap(), [end.attempt]);
        let story = store.story(lease.id).await.unwrap().unwrap();
        assert_eq!(story.events[1].event.json, run.events[1].json);
    }
}

async fn a_large_duplicate_leaves_nothing(bench: &Bench<'_>) {
    let store = bench.open();
    let body = noise(1 << 20);
    let mut arrivals = JoinSet::new();
    for n in 1..=4 {
        let (store, webhook) = (store.clone(), keyed(sized(n, body.clone()), 7, at(100)));
        arrivals.spawn(async move { (webhook.id, store.accept(webhook, at(n)).await.unwrap()) });
    }
    let answers = arrivals.join_all().await;
    let new: Vec<WebhookId> =
        answers.iter().filter(|(_, a)| *a == Accepted::New).map(|(id, _)| *id).collect();
    assert_eq!(new.len(), 1);
    for (id, _) in answers {
        let stored = store.body(id).await.unwrap();
        assert_eq!(stored.is_some_and(|stored| stored == body), id == new[0]);
    }
    assert_eq!(store.stats().await.unwrap().duplicates, 3);
}

/// A request that `source` refused in second `n`.
fn refusal(n: u64, source: &str, body: usize) -> RefusedRequest {
    let place = Place::Header("x-secret".to_owned());
    let head = RefusedHead {
        at: at(n),
        source: source.into(),
        cause: "no signature matches".into(),
        remote: [192, 0, 2, 7].into(),
        path: format!("/in/{source}"),
        query: "tenant=1".into(),
        headers: vec![("x-long".into(), vec![b'h'; body / 4])],
        presented: (0..n % 2).map(|_| Presented::new(place.clone(), "hush", [7; 16])).collect(),
        sha256: [9; 32],
        body_len: body as u64,
        whole: true,
    };
    RefusedRequest { id: RefusedId::new(at(n), n.into()), head, body: vec![b'b'; body].into() }
}

async fn refused_requests_are_kept(bench: &Bench<'_>) {
    let store = bench.open();
    store.refuse(Vec::new()).await.unwrap();
    let requests: Vec<_> = [(1, "acme", 0), (2, "globex", 10), (3, "acme", 5000), (4, "acme", 65_536)]
        .map(|(n, source, body)| refusal(n, source, body))
        .into();
    for _ in 0..2 {
        store.refuse(requests.clone()).await.unwrap();
    }
    drop(store);
    let store = bench.open();
    for request in &requests {
        assert_eq!(store.refused(request.id).await.unwrap().as_ref(), Some(request));
    }
    let list = async |source: Option<&str>, page: Page| {
        let listing = store.list_refused(source.map(str::to_owned), page).await.unwrap();
        let seconds = listing.rows.iter().map(|(id, head)| {
            let whole = requests.iter().find(|request| request.id == *id).unwrap();
            assert_eq!(*head, whole.head);
            head.at.secs() - at(0).secs()
        });
        (seconds.collect::<Vec<_>>(), listing.next)
    };
    assert_eq!(list(None, all()).await, (vec![4, 3, 2, 1], None));
    assert_eq!(list(Some("acme"), all()).await, (vec![4, 3, 1], None));
    assert_eq!(list(Some("globex"), all()).await, (vec![2], None));
    assert_eq!(list(Some("acm"), all()).await, (vec![], None));
    let (first, next) = list(Some("acme"), Page { after: Vec::new(), n: 2 }).await;
    let (second, end) = list(Some("acme"), Page { after: next.unwrap(), n: 2 }).await;
    assert_eq!((first, second, end), (vec![4, 3], vec![1], None));

    let id = requests[2].id;
    assert!(store.forget_refused(id).await.unwrap());
    assert!(!store.forget_refused(id).await.unwrap());
    assert_eq!(store.refused(id).await.unwrap(), None);
    assert_eq!(list(None, all()).await.0, [4, 2, 1]);
    assert_eq!(list(Some("acme"), all()).await.0, [4, 1]);
    assert_eq!(store.stats().await.unwrap().webhooks, 0);
}

async fn the_newest_refused_are_kept(bench: &Bench<'_>) {
    let store = bench.open();
    let most = KEPT_MAX as u64;
    store.refuse(vec![refusal(0, "globex", 10)]).await.unwrap();
    // In one go, and more than one commit may hold.
    store.refuse((1..=most + 10).map(|n| refusal(n, "acme", 9000)).collect()).await.unwrap();
    for n in most + 11..most + 20 {
        store.refuse(vec![refusal(n, "acme", 10)]).await.unwrap();
    }
    let kept = store.list_refused(Some("acme".to_owned()), all()).await.unwrap().rows;
    let ids: Vec<_> = kept.into_iter().map(|(id, _)| id).collect();
    let expected: Vec<_> = (20..most + 20).rev().map(|n| refusal(n, "acme", 0).id).collect();
    assert_eq!(ids, expected);
    assert_eq!(store.refused(refusal(19, "acme", 0).id).await.unwrap(), None);
    assert!(store.refused(refusal(0, "globex", 0).id).await.unwrap().is_some());
}

async fn lists_are_pages_from_the_newest(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    for n in 1..=30 {
        let mut arrival = webhook(n, b"{}");
        arrival.head.source = if n % 3 == 0 { "third" } else { "acme" }.into();
        store.accept(arrival, at(n)).await.unwrap();
        let kind = if n % 2 == 0 { "invoice.paid" } else { "invoice.voided" };
        run(&store, &[(kind, &[app, crm])], at(n)).await;
        let lease = lease_delivery(&store, app, at(n)).await;
        let after = if n % 5 == 0 { AfterAttempt::Dead("x".into()) } else { AfterAttempt::Delivered };
        finish(&store, &lease, after, at(n)).await;
    }
    for n in 31..=33 {
        store.accept(webhook(n, b"{}"), at(n)).await.unwrap();
        let lease = lease_one(&store, at(n)).await;
        store.dispatch_failed(&lease, "x".into(), AfterFailure::Dead, at(n)).await.unwrap();
    }

    for page in [1, 7, 1000] {
        let rows = pages(page, |page| store.list_webhooks(false, page)).await;
        let times: Vec<Time> = rows.iter().map(|row| row.head.received_at).collect();
        assert_eq!(times, (1..=33).rev().map(at).collect::<Vec<_>>(), "pages of {page}");
        let dead = pages(page, |page| store.list_webhooks(true, page)).await;
        assert_eq!(dead.iter().map(|row| row.head.received_at).collect::<Vec<_>>(), [at(33), at(32), at(31)]);

        let events = [
            (None, None, 30),
            (Some("invoice.paid"), None, 15),
            (None, Some("third"), 10),
            (Some("invoice.paid"), Some("third"), 5),
            (Some("payment.failed"), None, 0),
        ];
        for (kind, source, expected) in events {
            let filter = EventFilter { kind: kind.map(str::to_owned), source: source.map(str::to_owned) };
            let rows = pages(page, |page| store.list_events(filter.clone(), page)).await;
            assert_eq!(rows.len(), expected, "{filter:?}");
            assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.occurred_at)), "{filter:?}");
        }
        let deliveries = [
            (None, None, 60),
            (None, Some(app), 30),
            (Some("delivered"), None, 24),
            (Some("waiting"), None, 30),
            (Some("waiting"), Some(app), 0),
            (Some("dead"), None, 6),
            (Some("dead"), Some(app), 6),
            (Some("dead"), Some(crm), 0),
        ];
        for (state, endpoint, expected) in deliveries {
            let filter = DeliveryFilter { state: state.map(str::to_owned), endpoint };
            let rows = pages(page, |page| store.list_deliveries(filter.clone(), page)).await;
            assert_eq!(rows.len(), expected, "{filter:?}");
            assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.created)), "{filter:?}");
        }
    }
}

/// Reads every page of a list.
async fn pages<'a, T>(
    n: usize,
    list: impl Fn(Page) -> gateway::store::Answer<'a, gateway::store::Listing<T>>,
) -> Vec<T> {
    let (mut rows, mut after) = (Vec::new(), Vec::new());
    for _ in 0..10_000 {
        let page = list(Page { after, n }).await.unwrap();
        assert!(page.rows.len() <= n);
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = next,
            None => return rows,
        }
    }
    panic!("the pages do not end")
}

async fn counters_equal_a_full_scan(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    for n in 1..=60 {
        let key = (n % 50) as u8;
        store.accept(keyed(webhook(n, b"{}"), key, at(1000)), at(n)).await.unwrap();
    }
    for n in 0..40_u32 {
        let lease = lease_one(&store, at(100)).await;
        let events: [(&str, &[EndpointId]); 2] = [("invoice.paid", &[app, crm]), ("payment.failed", &[app])];
        match n % 5 {
            0 => drop(store.dispatch_failed(&lease, "x".into(), AfterFailure::Dead, at(100)).await.unwrap()),
            1 => drop(
                store
                    .dispatch_failed(&lease, "x".into(), AfterFailure::RetryAt(at(999)), at(100))
                    .await
                    .unwrap(),
            ),
            _ => drop(store.dispatched(&lease, dispatch(lease.id, at(100), &events), at(100)).await.unwrap()),
        }
    }
    for (n, lease) in store.lease(app, at(200), 30).await.unwrap().iter().enumerate() {
        let after = match n % 4 {
            0 => AfterAttempt::Delivered,
            1 => AfterAttempt::Dead("x".into()),
            2 => AfterAttempt::Skipped("x".into()),
            _ => AfterAttempt::RetryAt(at(999)),
        };
        finish(&store, lease, after, at(200)).await;
    }
    store.redrive(Redrive::Deliveries(app), at(300), up_to(4)).await.unwrap();
    store.redrive(Redrive::Webhooks, at(300), up_to(2)).await.unwrap();
    drop(store);
    let store = bench.open();

    let stats = store.stats().await.unwrap();
    let webhooks = pages(16, |page| store.list_webhooks(false, page)).await;
    let in_state =
        |wanted: fn(&WebhookState) -> bool| webhooks.iter().filter(|row| wanted(&row.state)).count() as u64;
    assert_eq!(stats.webhooks, webhooks.len() as u64);
    assert_eq!(stats.duplicates, webhooks.iter().map(|row| u64::from(row.duplicates)).sum::<u64>());
    assert_eq!(stats.undispatched, in_state(|state| matches!(state, WebhookState::Undispatched { .. })));
    assert_eq!(stats.webhooks_dead, in_state(|state| matches!(state, WebhookState::Dead { .. })));
    assert_eq!(
        stats.events,
        pages(16, |page| store.list_events(EventFilter::default(), page)).await.len() as u64
    );
    for (state, counted) in [("waiting", stats.waiting), ("delivered", stats.delivered), ("dead", stats.dead)]
    {
        let filter = DeliveryFilter { state: Some(state.into()), endpoint: None };
        let listed = pages(16, |page| store.list_deliveries(filter.clone(), page)).await;
        assert_eq!(counted, listed.len() as u64, "{state}");
        assert!(counted > 0, "{state}");
    }
    assert!(stats.disk_bytes > 0);
}

async fn a_story_is_whole(bench: &Bench<'_>) {
    let store = bench.open();
    let [app, crm] = ["app", "crm"].map(EndpointId::derive);
    store.accept(webhook(1, b"{\"a\":1}"), at(1)).await.unwrap();
    let lease = lease_one(&store, at(1)).await;
    let mut ran = dispatch(lease.id, at(1), &[("invoice.paid", &[app, crm]), ("invoice.voided", &[])]);
    ran.events[1].dropped = Some(("only-paid".into(), "not paid".into()));
    store.dispatched(&lease, ran, at(1)).await.unwrap();
    let first = lease_delivery(&store, app, at(1)).await;
    finish(&store, &first, AfterAttempt::RetryAt(at(3)), at(2)).await;
    let second = lease_delivery(&store, app, at(3)).await;
    finish(&store, &second, AfterAttempt::Dead("x".into()), at(4)).await;
    store.redrive(Redrive::Delivery(first.delivery.id), at(5), up_to(1)).await.unwrap();

    let story = store.story(lease.id).await.unwrap().unwrap();
    assert_eq!(story.body.unwrap(), "{\"a\":1}");
    assert_eq!(story.webhook.state, WebhookState::Dispatched { events: 2, at: at(1) });
    assert_eq!(story.events.len(), 2);
    assert_eq!(story.events[1].event.dropped, Some(("only-paid".into(), "not paid".into())));
    let deliveries = &story.events[0].deliveries;
    let resends: Vec<_> =
        deliveries.iter().map(|(delivery, attempts)| (delivery.resend, attempts.len())).collect();
    assert_eq!(resends.len(), 3);
    assert_eq!(resends[2], (1, 0), "oldest first: {resends:?}");
    assert!(resends[..2].contains(&(0, 2)) && resends[..2].contains(&(0, 0)), "{resends:?}");
    assert!(store.story(webhook(9, b"").id).await.unwrap().is_none());
}

async fn the_clean_mark(bench: &Bench<'_>) {
    let store = bench.open();
    assert!(store.was_clean(), "a new store");
    store.accept(webhook(1, b"{}"), at(1)).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = bench.open();
    assert!(store.was_clean(), "it was closed");
    drop(store);
    let store = bench.open();
    assert!(!store.was_clean(), "it was dropped");
    assert!(store.webhook(webhook(1, b"").id).await.unwrap().is_some());
}

async fn after_close_everything_is_refused(bench: &Bench<'_>) {
    let store = bench.open();
    assert_eq!(store.health(), Health::Well);
    let accepted = store.accept(webhook(1, b"{}"), at(1));
    let (accepted, closed) = tokio::join!(accepted, store.close());
    assert_eq!((accepted.unwrap(), closed.unwrap()), (Accepted::New, ()), "what is queued is committed");
    assert!(matches!(store.accept(webhook(2, b"{}"), at(2)).await, Err(StoreError::Closed(_))));
    assert!(matches!(store.webhook(webhook(1, b"").id).await, Err(StoreError::Closed(_))));
    assert!(matches!(store.close().await, Err(StoreError::Closed(_))));
    assert!(matches!(store.health(), Health::Failed(_)));
}
