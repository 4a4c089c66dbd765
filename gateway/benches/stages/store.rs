//! Commits on sled in a temporary directory, `n` asked for at once. `TMPDIR` says on which disk; `/dev/shm` leaves the
//! disk out.

use crate::typical::{BODIES, TYPICAL, head};
use crate::{NOW, RUNTIME};
use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use gateway::model::attempt::{Attempt, Outcome};
use gateway::model::delivery::Delivery;
use gateway::model::dispatch::{Dispatch, EntityRead, NewEvent, Note, Run, Said};
use gateway::model::id::{EndpointId, EventId, WebhookId};
use gateway::model::webhook::{Accepted, DedupeKey, NewWebhook};
use gateway::store::sled::{Options, SledStore};
use gateway::store::{
    AfterAttempt, Committed, Delivering, Dispatching, Finish, Intake, Upkeep, WebhookLease,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

#[divan::bench(args = [1, 32], max_time = 10)]
fn accept(bencher: Bencher<'_, '_>, n: u64) {
    let store = Opened::new();
    bencher.counter(ItemsCount::new(n)).with_inputs(|| store.webhooks(n)).bench_local_values(|webhooks| {
        store.accept(webhooks);
    });
}

#[divan::bench(args = [1, 32], max_time = 10)]
fn dispatched(bencher: Bencher<'_, '_>, n: u64) {
    let store = Opened::new();
    bencher.counter(ItemsCount::new(n)).with_inputs(|| store.runs(n)).bench_local_values(|runs| {
        store.dispatched(runs);
    });
}

#[divan::bench(args = [1, 32], max_time = 10)]
fn finish(bencher: Bencher<'_, '_>, n: u64) {
    let store = Opened::new();
    bencher.counter(ItemsCount::new(n)).with_inputs(|| store.attempts(n)).bench_local_values(|finishes| {
        store.finish(finishes);
    });
}

/// A store with one endpoint, and a number for the next webhook.
struct Opened {
    store: Arc<SledStore>,
    next: AtomicU64,
    endpoint: EndpointId,
    _dir: TempDir,
}

impl Opened {
    fn new() -> Opened {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = Options { min_free: 0, ..Options::at(dir.path().join("store")) };
        let store = Arc::new(SledStore::open(options).expect("the store opens"));
        Opened { store, next: AtomicU64::new(1), endpoint: EndpointId::derive("app"), _dir: dir }
    }

    fn webhooks(&self, n: u64) -> Vec<NewWebhook> {
        let body = Bytes::from_static(BODIES[0].2.as_bytes());
        let webhook = |number: u64| {
            let id = WebhookId::new(NOW, number.into());
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let key = DedupeKey { hash, until: NOW.plus(Duration::from_secs(30 * 86_400)) };
            NewWebhook { id, head: head("flexprice", None, &body), body: body.clone(), key: Some(key) }
        };
        (0..n).map(|_| webhook(self.next.fetch_add(1, Relaxed))).collect()
    }

    fn accept(&self, webhooks: Vec<NewWebhook>) {
        self.at_once(webhooks, |store, webhook| async move {
            assert_eq!(store.accept(webhook, NOW).await.expect("an answer"), Accepted::New);
        });
    }

    /// Webhooks that were accepted and leased, each with the run that is to be committed.
    fn runs(&self, n: u64) -> Vec<(WebhookLease, Dispatch)> {
        self.accept(self.webhooks(n));
        let leases = RUNTIME.block_on(self.store.lease_webhooks(NOW, n as usize)).expect("leases");
        assert_eq!(leases.len() as u64, n, "what was accepted is due");
        leases.into_iter().map(|lease| (lease.clone(), self.run(&lease))).collect()
    }

    fn run(&self, lease: &WebhookLease) -> Dispatch {
        let event = &TYPICAL.chosen;
        let entity = format!("subs_{}", lease.id);
        let note = |plugin: usize, event, said| Note {
            plugin: TYPICAL.chosen.plugins[plugin].clone(),
            event,
            said,
            took_us: 40,
        };
        let patch = r#"{"annotations":{"by":"cancel-strategy"}}"#.to_owned();
        Dispatch {
            run: Run {
                now: NOW,
                notes: vec![note(0, None, Said::Drafts(1)), note(1, Some(0), Said::Patch(patch))],
                ..Run::default()
            },
            events: vec![NewEvent {
                id: EventId::derive(lease.id, 0),
                kind: event.kind.clone(),
                json: serde_json::to_vec(event).expect("an event is JSON").into(),
                entity: Some(entity.clone()),
                object: None,
                occurred_at: NOW,
                dropped: None,
                endpoints: vec![self.endpoint],
            }],
            entities: vec![EntityRead { entity, version: 0 }],
            ..Dispatch::default()
        }
    }

    fn dispatched(&self, runs: Vec<(WebhookLease, Dispatch)>) {
        self.at_once(runs, |store, (lease, dispatch)| async move {
            let committed = store.dispatched(&lease, dispatch, NOW).await.expect("an answer");
            assert_eq!(committed, Committed::Done);
        });
    }

    /// Deliveries that were leased and taken by their endpoint.
    fn attempts(&self, n: u64) -> Vec<Finish> {
        self.dispatched(self.runs(n));
        let leases = RUNTIME.block_on(self.store.lease(self.endpoint, NOW, n as usize)).expect("leases");
        assert_eq!(leases.len() as u64, n, "what was dispatched is due");
        let finish = |delivery: Delivery| Finish {
            attempt: Attempt {
                n: delivery.attempts + 1,
                at: NOW,
                took: Duration::from_millis(12),
                outcome: Outcome::Delivered { status: 204 },
                trial: false,
                webhook_id: delivery.event.to_string(),
                retry_after: None,
                answer: Vec::new(),
            },
            delivery,
            after: AfterAttempt::Delivered,
        };
        leases.into_iter().map(|lease| finish(lease.delivery)).collect()
    }

    fn finish(&self, finishes: Vec<Finish>) {
        self.at_once(finishes, |store, finish| async move {
            assert_eq!(store.finish(finish, NOW).await.expect("an answer"), Committed::Done);
        });
    }

    /// Asks for one commit an item, all at once, and waits for all of them.
    fn at_once<T, F, C>(&self, items: Vec<T>, verb: F)
    where
        F: Fn(Arc<SledStore>, T) -> C,
        C: Future<Output = ()> + Send + 'static,
    {
        RUNTIME.block_on(async {
            let commits = items.into_iter().map(|item| verb(Arc::clone(&self.store), item));
            let mut commits: JoinSet<()> = commits.collect();
            while let Some(committed) = commits.join_next().await {
                committed.expect("it is committed");
            }
        });
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        RUNTIME.block_on(self.store.close()).expect("the store closes");
    }
}
