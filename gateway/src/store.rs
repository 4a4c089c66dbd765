//! The store: the only port. Its verbs say what is atomic, what is durable and what a repeat does.
//!
//! Rules for all verbs: one atomic commit each; `now` is an argument; the answer comes when the commit is durable,
//! except for those marked *applied*, whose answer comes when the commit is visible and whose durability comes with
//! the next group's sync; a repeat with the same ids changes nothing and answers the same; reads are bounded by `n`.
//! No verb assumes that this process is the only one. Dropping a verb's future does not undo its commit.
//!
//! Leases are taken in memory by an embedded store: a process that dies holds none, and everything that was leased
//! is due again.

pub mod crash;
pub mod sled;

use crate::model::attempt::Attempt;
use crate::model::delivery::Delivery;
use crate::model::dispatch::{Dispatch, Entity, Run};
use crate::model::endpoint::{Gate, Turned};
use crate::model::id::{DeliveryId, EndpointId, EventId, JobId, RefusedId, WebhookId};
use crate::model::job::Job;
use crate::model::kv::{Bucket, KvEntry, KvKey, KvUsage};
use crate::model::refused::{RefusedHead, RefusedRequest};
use crate::model::rotation::Rotation;
use crate::model::stats::Stats;
use crate::model::webhook::{Accepted, NewWebhook, WebhookHead, WebhookState};
use billhook_event::Time;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What every verb returns: boxed, so that the traits can be used as objects.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Free space is below the floor; nothing was written. Passes when space is freed.
    #[error("free space is below `store.min_free` ({free} bytes left, {floor} wanted)")]
    Full {
        /// Free bytes.
        free: u64,
        /// The floor in bytes.
        floor: u64,
    },
    /// The committer's queue is full; nothing was written. Passes.
    #[error("the store's queue of {0} commits is full")]
    Busy(usize),
    /// The store is closing or has failed; the process should end.
    #[error("the store is closed: {0}")]
    Closed(String),
    /// A row cannot be read back.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was written by a newer version.
    #[error("the store has schema {found}, this version knows {known}: use the version that wrote it")]
    Newer {
        /// What was found.
        found: u32,
        /// What we know.
        known: u32,
    },
    /// The store was written by an earlier build, in another form.
    #[error(
        "the store has schema {found}, of a build before this one, which reads {known} alone: deliver what it holds with \
         the build that wrote it, and start with another `data_dir`"
    )]
    Older {
        /// What was found.
        found: u32,
        /// What we know.
        known: u32,
    },
    /// The store cannot be opened.
    #[error("cannot open the store at {path}: {why}")]
    Open {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
}

/// Webhooks in.
pub trait Intake {
    /// Stores a webhook and its dedupe key, durably, unless the key is known and has not expired. The key and the
    /// visible head are one commit; a large body is staged before. Equal keys in one group: the first wins. A
    /// duplicate of a webhook that is not durable yet is answered when it is.
    fn accept(&self, webhook: NewWebhook, now: Time) -> Answer<'_, Accepted>;
    /// Keeps refused requests, each whole or not at all. *Applied*. Of a source that then has more than
    /// [`KEPT_MAX`](crate::model::refused::KEPT_MAX), the oldest are forgotten.
    fn refuse(&self, requests: Vec<RefusedRequest>) -> Answer<'_, ()>;
    /// Forgets a refused request; whether there was one. *Applied*.
    fn forget_refused(&self, id: RefusedId) -> Answer<'_, bool>;
}

/// A webhook leased for a run of the pipeline. Dropping it without an answer leaves it leased until
/// [`Dispatching::release_webhook`] or a restart.
#[derive(Clone, Debug)]
pub struct WebhookLease {
    /// Which.
    pub id: WebhookId,
    /// Its head.
    pub head: Arc<WebhookHead>,
    /// Its body; `None` once it has aged out.
    pub body: Option<Bytes>,
    /// Failed runs so far, and unclean ends of the process during one.
    pub failures: u32,
    /// 0 for the first run, one more for each reprocess or redrive.
    pub run: u32,
}

/// What a commit that needs a lease answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is committed.
    Done,
    /// Somebody else did it meanwhile; nothing was written.
    LeaseLost,
    /// What the run read has changed meanwhile; nothing was written, run again.
    Conflict,
}

/// What becomes of a webhook whose run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Run again then; one failure is counted.
    RetryAt(Time),
    /// Run again then; nothing is counted: a plugin that keeps failing is not this webhook's fault.
    Defer(Time),
    /// Dead letter.
    Dead,
}

impl fmt::Display for AfterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AfterFailure::RetryAt(at) => write!(f, "again at {at}"),
            AfterFailure::Defer(at) => write!(f, "again at {at}, not counted"),
            AfterFailure::Dead => f.write_str("dead letter"),
        }
    }
}

/// The pipeline.
pub trait Dispatching {
    /// Leases up to `n` undispatched webhooks that are due, oldest due first.
    fn lease_webhooks(&self, now: Time, n: usize) -> Answer<'_, Vec<WebhookLease>>;
    /// When the next undispatched webhook that is not leased is due.
    fn next_webhook_due(&self) -> Answer<'_, Option<Time>>;
    /// The body; `None` once it has aged out.
    fn body(&self, id: WebhookId) -> Answer<'_, Option<Bytes>>;
    /// What is remembered of an entity of a source; the empty row with version 0 if nothing is.
    fn entity(&self, source: &str, entity: &str) -> Answer<'_, Entity>;
    /// What a plugin keeps under a key, unless its time is over at `now`.
    fn kv(&self, key: &KvKey, now: Time) -> Answer<'_, Option<KvEntry>>;
    /// How full a bucket is. Forgets up to [`KV_SWEEP`] entries whose time is over before it counts. *Applied*.
    fn kv_usage(&self, bucket: &Bucket, now: Time) -> Answer<'_, KvUsage>;
    /// Commits a run: events, deliveries (due now), entity rows, what its plugins keep, notes and
    /// "dispatched". *Applied*. All or nothing; a repeat answers `LeaseLost` and writes nothing. An entity or an entry
    /// that is not what the run took it for is a `Conflict`.
    ///
    /// A later run of the same webhook keeps what stays the same (see
    /// [`says_the_same`](crate::model::dispatch::says_the_same)): the document, its deliveries and their states. Where
    /// it differs the new document takes its place and is owed to all its endpoints anew; if something of the old one
    /// was sent, as the next revision. Deliveries that wait for what is no longer told end as skipped.
    fn dispatched(&self, lease: &WebhookLease, dispatch: Dispatch, now: Time) -> Answer<'_, Committed>;
    /// Commits a failed run. *Applied*.
    fn dispatch_failed(
        &self,
        lease: &WebhookLease,
        why: String,
        after: AfterFailure,
        now: Time,
    ) -> Answer<'_, Committed>;
    /// Stores a webhook together with its first run, which is dispatched from the start: what the gateway makes itself
    /// and no pipeline reads. Both are short: together less than a commit may hold. A repeat answers `LeaseLost` and
    /// writes nothing.
    fn place(&self, webhook: NewWebhook, dispatch: Dispatch, now: Time) -> Answer<'_, Committed>;
    /// Gives a lease back: due as before, nothing counted.
    fn release_webhook(&self, id: WebhookId);
    /// Makes webhooks of `sources` that wait for a later time due now; their failures stay counted. Looks at up to
    /// `page.n` of all that wait, in the order in which they are due, and answers where the next call goes on.
    /// *Applied*.
    fn hurry_webhooks(&self, sources: Vec<String>, page: Page, now: Time) -> Answer<'_, Option<Vec<u8>>>;
    /// Counts one failure to each webhook that is still undispatched: they were in the pipeline when the process
    /// died.
    fn suspect(&self, ids: Vec<WebhookId>) -> Answer<'_, usize>;
}

/// Entries whose time is over that one look at a bucket forgets: more than one run writes.
pub const KV_SWEEP: usize = 256;

/// Work that is due at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// When its oldest waiting delivery was or is due.
    pub oldest: Time,
}

/// A delivery leased for an attempt, whose number is taken: `delivery.attempts + 1`.
#[derive(Clone, Debug)]
pub struct DeliveryLease {
    /// The delivery.
    pub delivery: Delivery,
    /// The event's canonical type.
    pub kind: String,
    /// When the event happened, else when its webhook was received.
    pub occurred_at: Time,
    /// The event as it was stored at dispatch, `billhook.event/1`.
    pub event: Bytes,
    /// See [`StoredEvent::revision`].
    pub revision: u32,
}

impl DeliveryLease {
    /// What the receiver knows it by: the event's id, and what tells a later revision of it from what was sent before.
    pub fn webhook_id(&self) -> String {
        self.delivery.event.webhook_id(self.revision)
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// The endpoint took it.
    Delivered,
    /// Try again then; the step of the schedule is used up.
    RetryAt(Time),
    /// The endpoint was disabled: it waits as before, at the same step.
    Held,
    /// Try again then, at the same step: a trial failed, or that it was not sent is not the endpoint's doing.
    PutOff(Time),
    /// Dead letter.
    Dead(String),
    /// It is not worth sending, for this reason; final.
    Skipped(String),
}

/// An attempt and what follows from it.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The delivery, as it was leased.
    pub delivery: Delivery,
    /// The attempt.
    pub attempt: Attempt,
    /// What follows.
    pub after: AfterAttempt,
}

/// The gate of an endpoint and its version; by default open, as one that was never changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateRow {
    /// The gate.
    pub gate: Gate,
    /// Grows with each change; 0: never changed, open.
    pub version: u64,
    /// The last change: who, why and when.
    pub turned: Option<Turned>,
}

/// The secrets of an endpoint once they were rotated, and their version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationRow {
    /// The rotation; `None`: there never was one, and what is configured counts.
    pub rotation: Option<Arc<Rotation>>,
    /// Grows with each rotation; 0: never rotated.
    pub version: u64,
}

/// The way out.
pub trait Delivering {
    /// One row per endpoint with waiting deliveries that are not leased, whatever their due time and gate.
    fn due(&self, n: usize) -> Answer<'_, Vec<Due>>;
    /// Leases up to `n` deliveries of `endpoint` that are due, in the order of lane and due time. The caller
    /// respects the gate.
    ///
    /// Of an entity whose events the endpoint takes in order ([`Dispatch::ordered`]) only the first that waits is due,
    /// whatever the lane of those behind it; each of them is due once the one before it has ended, a resend once all
    /// that waited before it have. A delivery whose event is older than one of its entity and family that the endpoint
    /// has taken by now says so ([`Delivery::stale`]).
    fn lease(&self, endpoint: EndpointId, now: Time, n: usize) -> Answer<'_, Vec<DeliveryLease>>;
    /// Gives a lease back: due as before, no attempt used.
    fn release(&self, id: DeliveryId);
    /// Records an attempt and the next state together. *Applied*. `LeaseLost` if the delivery moved meanwhile.
    fn finish(&self, finish: Finish, now: Time) -> Answer<'_, Committed>;
    /// The gate of an endpoint.
    fn gate(&self, endpoint: EndpointId) -> Answer<'_, GateRow>;
    /// Sets a gate, with who did it and why, if its version is still `expected`; answers the new version, `None` if
    /// somebody was faster, as a repeat is told. *Applied*.
    fn set_gate(
        &self,
        endpoint: EndpointId,
        gate: Gate,
        turned: Turned,
        expected: u64,
    ) -> Answer<'_, Option<u64>>;
    /// The rotated secrets of an endpoint. Every attempt asks.
    fn rotation(&self, endpoint: EndpointId) -> Answer<'_, RotationRow>;
    /// Stores a rotation if its version is still `expected`; answers the new version, `None` if somebody was faster, as
    /// a repeat is told.
    fn rotate(&self, endpoint: EndpointId, rotation: Rotation, expected: u64) -> Answer<'_, Option<u64>>;
    /// Makes a new delivery of the same event to the same endpoint: the next delivery number, the same event id, the
    /// full schedule from the start. What was dead leaves the dead letters. While the newest delivery of the two still
    /// waits none is made and that one is answered, so a repeat makes no second.
    fn resend(&self, id: DeliveryId, now: Time) -> Answer<'_, Resent>;
    /// Makes new deliveries of the dead ones that `select` names: a new delivery number, the same event id, the
    /// full schedule from the start. At most `page.n`, oldest first; where the next page begins is told. What is redriven
    /// leaves the dead letters (the old delivery keeps its state), so a repeat moves nothing but what died since; the pages
    /// that follow one never move what that one made.
    fn redrive(&self, select: Redrive, now: Time, page: Page) -> Answer<'_, Moved>;
}

/// What became of a wish to send a delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    /// This one was made.
    New(DeliveryId),
    /// This one waits already: the one that was asked for, or a later one.
    Waits(DeliveryId),
    /// There is no such delivery.
    Unknown,
}

/// Which dead letters to redrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redrive {
    /// One dead delivery.
    Delivery(DeliveryId),
    /// One dead webhook: it goes through the pipeline again.
    Webhook(WebhookId),
    /// Every dead delivery of an endpoint.
    Deliveries(EndpointId),
    /// Every dead webhook.
    Webhooks,
}

/// How much a bulk verb moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How many.
    pub count: usize,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Vec<u8>>,
}

/// What a job would move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How many it is.
    pub count: u64,
    /// Whether it may be more: the count was ended early.
    pub more: bool,
}

/// Some of the webhooks that a job would move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Which, in the order of their arrival.
    pub ids: Vec<WebhookId>,
    /// How many were looked at for that.
    pub looked: u64,
    /// The cursor of a job that goes on from here; `None` when nothing follows.
    pub next: Option<[u8; 16]>,
}

/// What an operator has done in bulk.
pub trait Replaying {
    /// Stores a job. A job with the same id or key is not stored twice: the first is answered. `None`: nothing was
    /// stored, since [`RUNNING_MAX`](crate::model::job::RUNNING_MAX) jobs go on.
    fn add_job(&self, job: Job) -> Answer<'_, Option<Job>>;
    /// Takes a job up to `n` things further and answers where it stands; `None` if there is no such job. What is moved
    /// and the cursor behind it are one commit, so that nothing is moved twice or left out, however often the process
    /// ends. What the job made itself is never moved by it. Bounded in what it looks at: a step may move nothing.
    fn step_job(&self, id: JobId, now: Time, n: usize) -> Answer<'_, Option<Job>>;
    /// Ends a job where it stands; one that has ended stays as it is. Answers the job.
    fn cancel_job(&self, id: JobId, now: Time) -> Answer<'_, Option<Job>>;
    /// Counts what a job would move if it were stored now, up to `cap`; writes nothing.
    fn count_job(&self, job: Job, cap: u64) -> Answer<'_, Counted>;
    /// The next webhooks that a reprocess like this would move, up to `n`; writes nothing. Bounded in what it looks
    /// at: there may be none although more follow.
    fn select_webhooks(&self, job: Job, n: usize) -> Answer<'_, Selection>;
    /// The oldest `n` jobs that go on.
    fn running_jobs(&self, n: usize) -> Answer<'_, Vec<Job>>;
    /// One job.
    fn job(&self, id: JobId) -> Answer<'_, Option<Job>>;
    /// Jobs, newest first.
    fn list_jobs(&self, page: Page) -> Answer<'_, Listing<Job>>;
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its id.
    pub id: EventId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// Its canonical type.
    pub kind: String,
    /// The source.
    pub source: String,
    /// When it happened, else was received.
    pub occurred_at: Time,
    /// The plugin that dropped it and why.
    pub dropped: Option<(String, String)>,
    /// 1, and one more for each reprocess that changed what it says after something of it was sent.
    pub revision: u32,
    /// The whole event, `billhook.event/1`.
    pub json: Bytes,
}

/// A webhook as it is stored.
#[derive(Clone, Debug)]
pub struct StoredWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Its head.
    pub head: WebhookHead,
    /// Where it stands.
    pub state: WebhookState,
    /// The newest run of the pipeline.
    pub run: Option<Run>,
    /// Duplicates that arrived since.
    pub duplicates: u32,
    /// Duplicates with another body.
    pub conflicts: u32,
}

/// Everything about one webhook, read as one snapshot.
#[derive(Clone, Debug)]
pub struct Story {
    /// The webhook.
    pub webhook: StoredWebhook,
    /// Its body, if it is still there.
    pub body: Option<Bytes>,
    /// Its events with their deliveries and attempts.
    pub events: Vec<EventStory>,
}

/// An event with all that became of it.
#[derive(Clone, Debug)]
pub struct EventStory {
    /// The event.
    pub event: StoredEvent,
    /// Its deliveries, oldest first, each with its attempts in order.
    pub deliveries: Vec<(Delivery, Vec<Attempt>)>,
}

/// A page to read.
#[derive(Clone, Debug)]
pub struct Page {
    /// The last key of the page before; empty: from the start.
    pub after: Vec<u8>,
    /// At most this many rows.
    pub n: usize,
}

/// A page that was read.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// Where the next page begins; `None`: this was the last. A page may be empty and not the last.
    pub next: Option<Vec<u8>>,
}

/// Which deliveries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// `waiting`, `delivered`, `skipped` or `dead`.
    pub state: Option<String>,
    /// Only of this endpoint.
    pub endpoint: Option<EndpointId>,
}

/// Which events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of this canonical type.
    pub kind: Option<String>,
    /// Only of this source.
    pub source: Option<String>,
}

/// Reading for people. Reads at most `64 n` rows a page.
pub trait Reading {
    /// One webhook.
    fn webhook(&self, id: WebhookId) -> Answer<'_, Option<StoredWebhook>>;
    /// Everything about one webhook.
    fn story(&self, id: WebhookId) -> Answer<'_, Option<Story>>;
    /// The webhook that an event came from.
    fn webhook_of(&self, id: EventId) -> Answer<'_, Option<WebhookId>>;
    /// Webhooks, newest first; only dead ones if `dead`.
    fn list_webhooks(&self, dead: bool, page: Page) -> Answer<'_, Listing<StoredWebhook>>;
    /// Events, newest first.
    fn list_events(&self, filter: EventFilter, page: Page) -> Answer<'_, Listing<StoredEvent>>;
    /// Deliveries, newest first.
    fn list_deliveries(&self, filter: DeliveryFilter, page: Page) -> Answer<'_, Listing<Delivery>>;
    /// One delivery.
    fn delivery(&self, id: DeliveryId) -> Answer<'_, Option<Delivery>>;
    /// How many deliveries wait for an endpoint, one behind another too; counted up to `n`.
    fn waiting(&self, endpoint: EndpointId, n: usize) -> Answer<'_, usize>;
    /// The delivery that goes before this one at an endpoint that takes the events of an entity in order; `None` if
    /// this is the next, or does not wait.
    fn ahead_of(&self, id: DeliveryId) -> Answer<'_, Option<DeliveryId>>;
    /// The attempts of a delivery, first to last.
    fn attempts(&self, id: DeliveryId) -> Answer<'_, Vec<Attempt>>;
    /// Refused requests, newest first; only those of `source` if it is given.
    fn list_refused(
        &self,
        source: Option<String>,
        page: Page,
    ) -> Answer<'_, Listing<(RefusedId, RefusedHead)>>;
    /// One refused request.
    fn refused(&self, id: RefusedId) -> Answer<'_, Option<RefusedRequest>>;
    /// Counters and sizes.
    fn stats(&self) -> Answer<'_, Stats>;
}

/// What the store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Well,
    /// Intake is refused until space is freed.
    Full,
    /// What writes has work and makes no progress: a disk that hangs. The process ends if that goes on.
    Stuck,
    /// It has failed; the process should end.
    Failed(String),
}

/// Housekeeping.
pub trait Upkeep {
    /// How it is.
    fn health(&self) -> Health;
    /// Whether the process that had the store open before closed it.
    fn was_clean(&self) -> bool;
    /// Commits what is queued, marks the store as cleanly closed and stops it. Later verbs answer `Closed`.
    fn close(&self) -> Answer<'_, ()>;
}

/// The port: everything a gateway keeps.
pub trait Store: Intake + Dispatching + Delivering + Replaying + Reading + Upkeep + Send + Sync {}

/// A store that is shared by the parts of a gateway.
pub type Shared = Arc<dyn Store>;
