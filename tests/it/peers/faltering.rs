//! A store that can be out for a while: every verb is refused as busy, and counted.

use bytes::Bytes;
use gateway::model::Time;
use gateway::model::attempt::Attempt;
use gateway::model::delivery::Delivery;
use gateway::model::dispatch::{Dispatch, Entity};
use gateway::model::endpoint::{Gate, Turned};
use gateway::model::id::{DeliveryId, EndpointId, EventId, JobId, RefusedId, WebhookId};
use gateway::model::job::Job;
use gateway::model::kv::{Bucket, KvEntry, KvKey, KvUsage};
use gateway::model::refused::{RefusedHead, RefusedRequest};
use gateway::model::rotation::Rotation;
use gateway::model::stats::Stats;
use gateway::model::webhook::{Accepted, NewWebhook};
use gateway::store::{
    AfterFailure, Answer, Committed, Counted, Delivering, DeliveryFilter, DeliveryLease, Dispatching, Due,
    EventFilter, Finish, GateRow, Health, Intake, Listing, Moved, Page, Reading, Redrive, Replaying, Resent,
    RotationRow, Selection, Shared, Store, StoreError, StoredEvent, StoredWebhook, Story, Upkeep,
    WebhookLease,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A store and whether it is out.
pub(super) struct Faltering {
    store: Shared,
    is_out: AtomicBool,
    refused: AtomicUsize,
}

impl Faltering {
    pub(super) fn over(store: Shared) -> Faltering {
        Faltering { store, is_out: AtomicBool::new(false), refused: AtomicUsize::new(0) }
    }

    pub(super) fn set_out(&self, is_out: bool) {
        self.is_out.store(is_out, Ordering::SeqCst);
    }

    /// How many verbs were refused so far.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Refuses while it is out.
    fn through<'a, T: Send + 'a>(&'a self, verb: impl FnOnce(&'a Shared) -> Answer<'a, T>) -> Answer<'a, T> {
        if self.is_out.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Box::pin(async { Err(StoreError::Busy(0)) });
        }
        verb(&self.store)
    }
}

/// All verbs do the same, and there are many.
macro_rules! verbs {
    ($($part:ident { $(fn $verb:ident($($name:ident: $of:ty),*) -> $answer:ty;)* })*) => {$(
        impl $part for Faltering {
            $(fn $verb(&self, $($name: $of),*) -> Answer<'_, $answer> {
                self.through(|store| store.$verb($($name),*))
            })*
        }
    )*};
}

verbs! {
    Intake {
        fn accept(webhook: NewWebhook, now: Time) -> Accepted;
        fn refuse(requests: Vec<RefusedRequest>) -> ();
        fn forget_refused(id: RefusedId) -> bool;
    }
    Replaying {
        fn add_job(job: Job) -> Option<Job>;
        fn step_job(id: JobId, now: Time, n: usize) -> Option<Job>;
        fn cancel_job(id: JobId, now: Time) -> Option<Job>;
        fn count_job(job: Job, cap: u64) -> Counted;
        fn select_webhooks(job: Job, n: usize) -> Selection;
        fn running_jobs(n: usize) -> Vec<Job>;
        fn job(id: JobId) -> Option<Job>;
        fn list_jobs(page: Page) -> Listing<Job>;
    }
    Reading {
        fn webhook(id: WebhookId) -> Option<StoredWebhook>;
        fn story(id: WebhookId) -> Option<Story>;
        fn webhook_of(id: EventId) -> Option<WebhookId>;
        fn list_webhooks(dead: bool, page: Page) -> Listing<StoredWebhook>;
        fn list_events(filter: EventFilter, page: Page) -> Listing<StoredEvent>;
        fn list_deliveries(filter: DeliveryFilter, page: Page) -> Listing<Delivery>;
        fn delivery(id: DeliveryId) -> Option<Delivery>;
        fn waiting(endpoint: EndpointId, n: usize) -> usize;
        fn ahead_of(id: DeliveryId) -> Option<DeliveryId>;
        fn attempts(id: DeliveryId) -> Vec<Attempt>;
        fn list_refused(source: Option<String>, page: Page) -> Listing<(RefusedId, RefusedHead)>;
        fn refused(id: RefusedId) -> Option<RefusedRequest>;
        fn stats() -> Stats;
    }
}

impl Dispatching for Faltering {
    fn lease_webhooks(&self, now: Time, n: usize) -> Answer<'_, Vec<WebhookLease>> {
        self.through(|store| store.lease_webhooks(now, n))
    }

    fn next_webhook_due(&self) -> Answer<'_, Option<Time>> {
        self.through(|store| store.next_webhook_due())
    }

    fn body(&self, id: WebhookId) -> Answer<'_, Option<Bytes>> {
        self.through(|store| store.body(id))
    }

    fn entity(&self, source: &str, entity: &str) -> Answer<'_, Entity> {
        self.through(|store| store.entity(source, entity))
    }

    fn dispatched(&self, lease: &WebhookLease, dispatch: Dispatch, now: Time) -> Answer<'_, Committed> {
        self.through(|store| store.dispatched(lease, dispatch, now))
    }

    fn dispatch_failed(
        &self,
        lease: &WebhookLease,
        why: String,
        after: AfterFailure,
        now: Time,
    ) -> Answer<'_, Committed> {
        self.through(|store| store.dispatch_failed(lease, why, after, now))
    }

    fn place(&self, webhook: NewWebhook, dispatch: Dispatch, now: Time) -> Answer<'_, Committed> {
        self.through(|store| store.place(webhook, dispatch, now))
    }

    fn release_webhook(&self, id: WebhookId) {
        self.store.release_webhook(id);
    }

    fn kv(&self, key: &KvKey, now: Time) -> Answer<'_, Option<KvEntry>> {
        self.through(|store| store.kv(key, now))
    }

    fn kv_usage(&self, bucket: &Bucket, now: Time) -> Answer<'_, KvUsage> {
        self.through(|store| store.kv_usage(bucket, now))
    }

    fn hurry_webhooks(&self, sources: Vec<String>, page: Page, now: Time) -> Answer<'_, Option<Vec<u8>>> {
        self.through(|store| store.hurry_webhooks(sources, page, now))
    }

    fn suspect(&self, ids: Vec<WebhookId>) -> Answer<'_, usize> {
        self.through(|store| store.suspect(ids))
    }
}

impl Delivering for Faltering {
    fn due(&self, n: usize) -> Answer<'_, Vec<Due>> {
        self.through(|store| store.due(n))
    }

    fn lease(&self, endpoint: EndpointId, now: Time, n: usize) -> Answer<'_, Vec<DeliveryLease>> {
        self.through(|store| store.lease(endpoint, now, n))
    }

    fn release(&self, id: DeliveryId) {
        self.store.release(id);
    }

    fn finish(&self, finish: Finish, now: Time) -> Answer<'_, Committed> {
        self.through(|store| store.finish(finish, now))
    }

    fn gate(&self, endpoint: EndpointId) -> Answer<'_, GateRow> {
        self.through(|store| store.gate(endpoint))
    }

    fn set_gate(
        &self,
        endpoint: EndpointId,
        gate: Gate,
        turned: Turned,
        expected: u64,
    ) -> Answer<'_, Option<u64>> {
        self.through(|store| store.set_gate(endpoint, gate, turned, expected))
    }

    fn rotation(&self, endpoint: EndpointId) -> Answer<'_, RotationRow> {
        self.through(|store| store.rotation(endpoint))
    }

    fn rotate(&self, endpoint: EndpointId, rotation: Rotation, expected: u64) -> Answer<'_, Option<u64>> {
        self.through(|store| store.rotate(endpoint, rotation, expected))
    }

    fn resend(&self, id: DeliveryId, now: Time) -> Answer<'_, Resent> {
        self.through(|store| store.resend(id, now))
    }

    fn redrive(&self, select: Redrive, now: Time, page: Page) -> Answer<'_, Moved> {
        self.through(|store| store.redrive(select, now, page))
    }
}

impl Upkeep for Faltering {
    fn health(&self) -> Health {
        self.store.health()
    }

    fn was_clean(&self) -> bool {
        self.store.was_clean()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}

impl Store for Faltering {}
