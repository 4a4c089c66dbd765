//! The embedded store: sled 0.34.7, one tree, and a journal before it.
//!
//! A verb that writes goes to the committer, which runs verbs one after another and commits groups of them (see
//! [`committer`]). A group is visible at once (see [`recent`]); a record of the journal makes it durable (see
//! [`syncer`], [`journal`]); its rows come into the tree later, in the order of their keys and without those that are
//! gone by then (see [`settler`]). Verbs that only read look themselves and see what is committed, whether it is durable
//! yet or not; each row they read is whole, two rows may be of two moments. A story is one snapshot: the committer reads
//! it, between two commits.
//!
//! What is durable survives the loss of power on Linux: sled's own flush does not ask the disk for that, so the journal
//! and the tree are synced through descriptors of our own. Leases are in memory.
//!
//! # Layout, in the order an event meets it
//!
//! - `open`: the directory, the schema, what the journal has and the tree has not, the clean mark
//! - `intake`, `refusing`, `dispatching`, `keeping`, `rerunning`, `hurrying`, `delivering`, `order`, `resending`,
//!   `replaying`, `reading`: the verbs, pure over a view
//! - `committer`, `syncer`, `settler` with `sweep`, `watchdog`: the threads that run them, make durable what they write,
//!   bring it into the tree, and watch the others
//! - `ready`, `by_endpoint`, `newest`: who works on what, what is open and what signs, what was taken last
//! - `nouns`, `view`, `recent`, `places`, `journal`, `bundle`, `rows`, `pack`, `keys`: from nouns down to bytes

mod bundle;
mod by_endpoint;
mod committer;
mod delivering;
mod dispatching;
mod hurrying;
mod intake;
mod journal;
mod keeping;
mod keys;
mod newest;
mod nouns;
mod open;
mod order;
mod pack;
mod places;
mod reading;
mod ready;
mod recent;
mod refusing;
mod replaying;
mod rerunning;
mod resending;
mod rows;
mod settler;
mod sweep;
mod syncer;
mod view;
mod watchdog;

use crate::model::attempt::Attempt;
use crate::model::delivery::Delivery;
use crate::model::dispatch::{Dispatch, Entity};
use crate::model::endpoint::{Gate, Turned};
use crate::model::id::{DeliveryId, EndpointId, EventId, JobId, RefusedId, WebhookId};
use crate::model::job::Job;
use crate::model::kv::{Bucket, KvEntry, KvKey, KvUsage};
use crate::model::refused::{RefusedHead, RefusedRequest};
use crate::model::rotation::Rotation;
use crate::model::stats::Stats;
use crate::model::webhook::{Accepted, NewWebhook};
use crate::store::{
    AfterFailure, Answer, Committed, Counted, Delivering, DeliveryFilter, DeliveryLease, Dispatching, Due,
    EventFilter, Finish, GateRow, Health, Intake, Listing, Moved, Page, Reading, Redrive, Replaying, Resent,
    RotationRow, Selection, Store, StoreError, StoredEvent, StoredWebhook, Story, Upkeep, WebhookLease,
};
use billhook_event::Time;
use by_endpoint::ByEndpoint;
use bytes::Bytes;
use committer::{Committer, Stage, When};
use delivering::{Deliveries, Finished, Outcome};
use dispatching::{Owed, Plan, Webhooks};
use intake::Arrival;
use journal::Journal;
use newest::Newest;
use ready::Ready;
use recent::Recent;
use rerunning::Seized;
use resending::Again;
use rows::RotationDoc;
use std::path::PathBuf;
use std::sync::Arc;
use view::View;
use watchdog::{Vitals, Watchdog};

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The directory of sled's files and the journal; it is made if it is missing. Nothing else may be in it.
    pub path: PathBuf,
    /// Below so many free bytes webhooks are refused; deliveries go on. Default: [`Options::MIN_FREE`].
    pub min_free: u64,
}

impl Options {
    /// 512 MiB.
    pub const MIN_FREE: u64 = 512 << 20;

    /// The defaults, in `path`.
    pub fn at(path: impl Into<PathBuf>) -> Options {
        Options { path: path.into(), min_free: Options::MIN_FREE }
    }
}

/// Bytes of sled's cache; the process uses a multiple of it.
const CACHE_BYTES: u64 = 16 << 20;
/// Most verbs that wait for the committer, four full groups; more are refused as busy.
const QUEUE_MAX: usize = 4096;

/// The embedded store. Dropping it commits what is queued and leaves no clean mark; [`Upkeep::close`] it before.
pub struct SledStore {
    // In the order in which they are dropped: who writes, who watches, then the files.
    committer: Committer,
    _watchdog: Watchdog,
    vitals: Arc<Vitals>,
    webhooks: Arc<Webhooks>,
    deliveries: Arc<Deliveries>,
    gates: Arc<ByEndpoint<GateRow>>,
    newest: Arc<Newest>,
    rotations: Arc<ByEndpoint<RotationRow>>,
    recent: Arc<Recent>,
    path: PathBuf,
    clean: bool,
    db: sled::Db,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore")
            .field("vitals", &self.vitals)
            .field("clean", &self.clean)
            .finish_non_exhaustive()
    }
}

impl SledStore {
    /// Opens the store, or makes one. Blocks while sled reads its files: milliseconds, or seconds for gigabytes.
    ///
    /// Fails with [`StoreError::Open`] when another process has it open or its files are damaged, with
    /// [`StoreError::Newer`] when a newer version wrote it, and with [`StoreError::Damaged`] when it is not ours.
    pub fn open(options: Options) -> Result<SledStore, StoreError> {
        let opened = open::open(&options)?;
        let failed = |error: std::io::Error| StoreError::Open {
            path: options.path.display().to_string(),
            why: format!("cannot start a thread: {error}"),
        };
        let (db, recent) = (opened.disk.db.clone(), opened.disk.recent.clone());
        let view = View::with(&db, &recent);
        let waits = dispatching::undispatched(&view).next().transpose()?.map(|(_, due)| ((), due));
        let (webhooks, deliveries) = (Ready::new(waits), Ready::new(delivering::lines(&view)?));
        let gates = ByEndpoint::read(&view, "gate", &keys::gates(), |row: GateRow| row)?;
        let rotations = ByEndpoint::read(&view, "rotation", &keys::rotations(), RotationDoc::row)?;
        let vitals = Arc::new(Vitals::new(options.path.clone(), options.min_free));
        let committer = Committer::start(
            opened.disk,
            opened.journal,
            opened.settler,
            QUEUE_MAX,
            vitals.clone(),
            Default::default(),
        );
        Ok(SledStore {
            committer: committer.map_err(failed)?,
            _watchdog: Watchdog::start(vitals.clone()).map_err(failed)?,
            vitals,
            webhooks: Arc::new(webhooks),
            deliveries: Arc::new(deliveries),
            gates: Arc::new(gates),
            newest: Arc::new(Newest::default()),
            rotations: Arc::new(rotations),
            recent,
            path: options.path,
            clean: opened.clean,
            db,
        })
    }

    /// What is committed, unless the store is closed.
    fn view(&self) -> Result<View<'_>, StoreError> {
        if self.vitals.is_closed() {
            Err(committer::closed())
        } else {
            Ok(View::with(&self.db, &self.recent))
        }
    }

    /// Commits a verb of the committer's.
    async fn commit<T: Send + 'static>(
        &self,
        when: When,
        stage: Option<Stage>,
        verb: impl FnOnce(&mut View<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.vitals.is_closed() {
            return Err(committer::closed());
        }
        self.committer.commit(when, stage, verb, then).await
    }

    /// Reads many rows where no task of the runtime is held up.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.view()?;
        let (db, recent) = (self.db.clone(), self.recent.clone());
        let read = tokio::task::spawn_blocking(move || read(&View::with(&db, &recent))).await;
        read.unwrap_or_else(|error| Err(StoreError::Closed(format!("a read was given up: {error}"))))
    }
}

impl Intake for SledStore {
    fn accept(&self, webhook: NewWebhook, now: Time) -> Answer<'_, Accepted> {
        Box::pin(async move {
            self.vitals.room()?;
            let mut webhook = webhook;
            // What is stored is the truth about its length.
            webhook.head.body_len = webhook.body.len() as u64;
            let arrival = Arrival::new(&webhook);
            let stage = arrival.long.staged.then(|| {
                let (pieces, arrival) = (arrival.long.pieces.clone(), arrival.clone());
                Stage { pieces, needless: Box::new(move |view| arrival.is_known(view, now)) }
            });
            let webhooks = self.webhooks.clone();
            let NewWebhook { id, head, body, .. } = webhook;
            let lease = WebhookLease { id, head: Arc::new(head), body: Some(body), failures: 0, run: 0 };
            let then = move |(_, is_new): &(Accepted, bool)| {
                if *is_new {
                    webhooks.committed((), dispatching::mark(&lease), dispatching::fresh(lease));
                }
            };
            let verb = move |view: &mut View<'_>| intake::accept(view, &arrival, now);
            Ok(self.commit(When::Durable, stage, verb, then).await?.0)
        })
    }

    fn refuse(&self, requests: Vec<RefusedRequest>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.vitals.room()?;
            for part in refusing::parts(requests) {
                self.commit(When::Applied, None, move |view| refusing::refuse(view, &part), |()| ()).await?;
            }
            Ok(())
        })
    }

    fn forget_refused(&self, id: RefusedId) -> Answer<'_, bool> {
        Box::pin(self.commit(When::Applied, None, move |view| refusing::forget(view, id), |_| ()))
    }
}

impl Dispatching for SledStore {
    fn lease_webhooks(&self, now: Time, n: usize) -> Answer<'_, Vec<WebhookLease>> {
        Box::pin(async move { dispatching::lease(&self.view()?, &self.webhooks, now, n) })
    }

    fn next_webhook_due(&self) -> Answer<'_, Option<Time>> {
        Box::pin(async move { Ok(self.webhooks.lines().first().map(|(_, due)| *due)) })
    }

    fn body(&self, id: WebhookId) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move { self.view()?.body_of(id) })
    }

    fn entity(&self, source: &str, entity: &str) -> Answer<'_, Entity> {
        // Asked for by every run: a read of the tree may wait for the disk, which would hold up a worker. So would a look at
        // what was committed lately, while a group is taken in: answering from there took a tenth more processor time.
        let (source, entity) = (source.to_owned(), entity.to_owned());
        let verb = move |view: &mut View<'_>| Ok(view.entity_row(&source, &entity)?.entity);
        Box::pin(self.commit(When::Read, None, verb, |_| ()))
    }

    fn kv(&self, key: &KvKey, now: Time) -> Answer<'_, Option<KvEntry>> {
        // As an entity, and so that a run sees what the run before it has committed.
        let key = key.clone();
        Box::pin(self.commit(When::Read, None, move |view| keeping::read(view, &key, now), |_| ()))
    }

    fn kv_usage(&self, bucket: &Bucket, now: Time) -> Answer<'_, KvUsage> {
        let bucket = bucket.clone();
        Box::pin(self.commit(When::Applied, None, move |view| keeping::usage(view, &bucket, now), |_| ()))
    }

    fn dispatched(&self, lease: &WebhookLease, dispatch: Dispatch, now: Time) -> Answer<'_, Committed> {
        let (id, mark) = (lease.id, dispatching::mark(lease));
        let mut seized = Seized::none(&self.deliveries);
        let plan = self.view().and_then(|view| Plan::new(&view, lease, dispatch, now, &mut seized));
        let (webhooks, deliveries) = (self.webhooks.clone(), self.deliveries.clone());
        let newest = self.newest.clone();
        Box::pin(async move {
            let plan = plan?;
            let stage = plan.long.staged.then(|| {
                let (pieces, plan) = (plan.long.pieces.clone(), plan.clone());
                Stage { pieces, needless: Box::new(move |view| plan.is_needless(view)) }
            });
            let verb = move |view: &mut View<'_>| dispatching::dispatched(view, &plan, &newest, now);
            let then = move |(committed, owed): &(Committed, Owed)| {
                free(&webhooks, id, &mark, *committed, None);
                // What was seized is read again from here on.
                drop(seized);
                for (lane, row) in &owed.made {
                    let line = (row.lease.delivery.endpoint, *lane);
                    deliveries.committed(line, 0, delivering::fresh(row.clone()));
                }
                owed.released.iter().for_each(|(line, due)| deliveries.unread(*line, *due));
            };
            Ok(self.commit(When::Applied, stage, verb, then).await?.0)
        })
    }

    fn dispatch_failed(
        &self,
        lease: &WebhookLease,
        why: String,
        after: AfterFailure,
        now: Time,
    ) -> Answer<'_, Committed> {
        let (lease, webhooks) = (lease.clone(), self.webhooks.clone());
        let (id, mark) = (lease.id, dispatching::mark(&lease));
        Box::pin(async move {
            let verb = move |view: &mut View<'_>| dispatching::failed(view, &lease, why, after, now);
            let then = move |(committed, again): &(Committed, Option<Time>)| {
                free(&webhooks, id, &mark, *committed, *again);
            };
            Ok(self.commit(When::Applied, None, verb, then).await?.0)
        })
    }

    fn place(&self, webhook: NewWebhook, dispatch: Dispatch, now: Time) -> Answer<'_, Committed> {
        let arrival = Arrival::new(&webhook);
        let NewWebhook { id, head, .. } = webhook;
        let lease = WebhookLease { id, head: Arc::new(head), body: None, failures: 0, run: 0 };
        let mut seized = Seized::none(&self.deliveries);
        let plan = self.view().and_then(|view| Plan::new(&view, &lease, dispatch, now, &mut seized));
        let (deliveries, newest) = (self.deliveries.clone(), self.newest.clone());
        Box::pin(async move {
            self.vitals.room()?;
            let plan = plan?;
            let verb = move |view: &mut View<'_>| dispatching::place(view, &arrival, &plan, &newest, now);
            let then = move |(_, owed): &(Committed, Owed)| {
                for (lane, row) in &owed.made {
                    deliveries.unread((row.lease.delivery.endpoint, *lane), now);
                }
            };
            Ok(self.commit(When::Durable, None, verb, then).await?.0)
        })
    }

    fn release_webhook(&self, id: WebhookId) {
        self.webhooks.free(&id);
    }

    fn hurry_webhooks(&self, sources: Vec<String>, page: Page, now: Time) -> Answer<'_, Option<Vec<u8>>> {
        let webhooks = self.webhooks.clone();
        let verb = move |view: &mut View<'_>| hurrying::hurry(view, &sources, &page, now);
        let then = move |(moved, _): &(bool, Option<Vec<u8>>)| {
            if *moved {
                webhooks.unread((), now);
            }
        };
        Box::pin(async move { Ok(self.commit(When::Applied, None, verb, then).await?.1) })
    }

    fn suspect(&self, mut ids: Vec<WebhookId>) -> Answer<'_, usize> {
        ids.sort_unstable();
        ids.dedup();
        Box::pin(self.commit(When::Durable, None, move |view| dispatching::suspect(view, &ids), |_| ()))
    }
}

/// Gives a lease back once what it was for is visible. After a conflict the holder goes on with it.
fn free<L: Copy + Ord, K: Copy + Eq + std::hash::Hash, M: PartialEq, T>(
    ready: &Ready<L, K, M, T>,
    key: K,
    mark: &M,
    committed: Committed,
    again: Option<Time>,
) {
    match committed {
        Committed::Done | Committed::LeaseLost => ready.free_if(&key, mark, again),
        Committed::Conflict => {}
    }
}

impl Delivering for SledStore {
    fn due(&self, n: usize) -> Answer<'_, Vec<Due>> {
        Box::pin(async move { self.view().map(|_| delivering::due(&self.deliveries, n)) })
    }

    fn lease(&self, endpoint: EndpointId, now: Time, n: usize) -> Answer<'_, Vec<DeliveryLease>> {
        Box::pin(
            async move { delivering::lease(&self.view()?, &self.deliveries, &self.newest, endpoint, now, n) },
        )
    }

    fn release(&self, id: DeliveryId) {
        self.deliveries.free(&id);
    }

    fn finish(&self, finish: Finish, now: Time) -> Answer<'_, Committed> {
        let (deliveries, newest) = (self.deliveries.clone(), self.newest.clone());
        let (id, mark) = (finish.delivery.id, finish.delivery.attempts);
        let endpoint = finish.delivery.endpoint;
        Box::pin(async move {
            let outcome = Outcome::new(finish);
            let verb = move |view: &mut View<'_>| delivering::finish(view, outcome, now);
            let then = move |finished: &Finished| {
                // Before anybody may be handed what it is compared with.
                finished.newest.iter().for_each(|(topic, row)| newest.note(endpoint, *topic, *row));
                free(&deliveries, id, &mark, finished.committed, finished.again);
                finished.released.iter().for_each(|(line, due)| deliveries.unread(*line, *due));
            };
            Ok(self.commit(When::Applied, None, verb, then).await?.committed)
        })
    }

    fn gate(&self, endpoint: EndpointId) -> Answer<'_, GateRow> {
        Box::pin(async move { self.view().map(|_| self.gates.get(endpoint)) })
    }

    fn set_gate(
        &self,
        endpoint: EndpointId,
        gate: Gate,
        turned: Turned,
        expected: u64,
    ) -> Answer<'_, Option<u64>> {
        let gates = self.gates.clone();
        let (row, by) = (gate.clone(), turned.clone());
        let verb = move |view: &mut View<'_>| delivering::set_gate(view, endpoint, gate, turned, expected);
        let then = move |version: &Option<u64>| {
            if let Some(version) = *version {
                gates.set(endpoint, GateRow { gate: row, turned: Some(by), version });
            }
        };
        Box::pin(self.commit(When::Applied, None, verb, then))
    }

    fn rotation(&self, endpoint: EndpointId) -> Answer<'_, RotationRow> {
        Box::pin(async move { self.view().map(|_| self.rotations.get(endpoint)) })
    }

    fn rotate(&self, endpoint: EndpointId, rotation: Rotation, expected: u64) -> Answer<'_, Option<u64>> {
        let rotations = self.rotations.clone();
        let verb = move |view: &mut View<'_>| delivering::rotate(view, endpoint, rotation, expected);
        let then = move |row: &Option<RotationRow>| {
            row.iter().for_each(|row| rotations.set(endpoint, row.clone()));
        };
        Box::pin(async move {
            let row = self.commit(When::Durable, None, verb, then).await?;
            Ok(row.map(|row| row.version))
        })
    }

    fn resend(&self, id: DeliveryId, now: Time) -> Answer<'_, Resent> {
        let deliveries = self.deliveries.clone();
        let verb = move |view: &mut View<'_>| resending::resend(view, id, now);
        let then = move |(_, line): &(Resent, Option<delivering::Line>)| {
            line.iter().for_each(|line| deliveries.unread(*line, now));
        };
        Box::pin(async move { Ok(self.commit(When::Durable, None, verb, then).await?.0) })
    }

    fn redrive(&self, select: Redrive, now: Time, page: Page) -> Answer<'_, Moved> {
        let (webhooks, deliveries) = (self.webhooks.clone(), self.deliveries.clone());
        let verb = move |view: &mut View<'_>| resending::redrive(view, &select, now, &page);
        let then = move |(_, moved): &(Moved, Vec<Again>)| go_on(&webhooks, &deliveries, moved, now);
        Box::pin(async move { Ok(self.commit(When::Durable, None, verb, then).await?.0) })
    }
}

impl Replaying for SledStore {
    fn add_job(&self, job: Job) -> Answer<'_, Option<Job>> {
        Box::pin(self.commit(When::Durable, None, move |view| replaying::add(view, job), |_| ()))
    }

    fn step_job(&self, id: JobId, now: Time, n: usize) -> Answer<'_, Option<Job>> {
        let (webhooks, deliveries) = (self.webhooks.clone(), self.deliveries.clone());
        Box::pin(async move {
            let Some(job) = self.job(id).await?.filter(Job::is_running) else { return self.job(id).await };
            let scan = self.read(move |view| replaying::scan(view, &job, n)).await?;
            let verb = move |view: &mut View<'_>| replaying::step(view, id, &scan, now);
            let then =
                move |(_, moved): &(Option<Job>, Vec<Again>)| go_on(&webhooks, &deliveries, moved, now);
            // Durable, so that nothing is sent of a step that may have to be taken again.
            Ok(self.commit(When::Durable, None, verb, then).await?.0)
        })
    }

    fn cancel_job(&self, id: JobId, now: Time) -> Answer<'_, Option<Job>> {
        Box::pin(self.commit(When::Durable, None, move |view| replaying::cancel(view, id, now), |_| ()))
    }

    fn count_job(&self, job: Job, cap: u64) -> Answer<'_, Counted> {
        Box::pin(self.read(move |view| replaying::count(view, &job, cap)))
    }

    fn select_webhooks(&self, job: Job, n: usize) -> Answer<'_, Selection> {
        Box::pin(self.read(move |view| replaying::select(view, &job, n)))
    }

    fn running_jobs(&self, n: usize) -> Answer<'_, Vec<Job>> {
        Box::pin(async move { replaying::running(&self.view()?, n) })
    }

    fn job(&self, id: JobId) -> Answer<'_, Option<Job>> {
        Box::pin(async move { replaying::read(&self.view()?, id) })
    }

    fn list_jobs(&self, page: Page) -> Answer<'_, Listing<Job>> {
        Box::pin(self.read(move |view| reading::jobs(view, &page)))
    }
}

/// What was moved is in its line again.
fn go_on(webhooks: &Webhooks, deliveries: &Deliveries, moved: &[Again], now: Time) {
    for again in moved {
        match *again {
            Again::Delivery(line) => deliveries.unread(line, now),
            Again::Webhook => webhooks.unread((), now),
        }
    }
}

impl Reading for SledStore {
    fn webhook(&self, id: WebhookId) -> Answer<'_, Option<StoredWebhook>> {
        Box::pin(async move { self.view()?.stored_webhook(id) })
    }

    fn story(&self, id: WebhookId) -> Answer<'_, Option<Story>> {
        Box::pin(self.commit(When::Read, None, move |view| reading::story(view, id), |_| ()))
    }

    fn webhook_of(&self, id: EventId) -> Answer<'_, Option<WebhookId>> {
        Box::pin(async move { reading::webhook_of(&self.view()?, id) })
    }

    fn list_webhooks(&self, dead: bool, page: Page) -> Answer<'_, Listing<StoredWebhook>> {
        Box::pin(self.read(move |view| reading::webhooks(view, dead, &page)))
    }

    fn list_events(&self, filter: EventFilter, page: Page) -> Answer<'_, Listing<StoredEvent>> {
        Box::pin(self.read(move |view| reading::events(view, &filter, &page)))
    }

    fn list_deliveries(&self, filter: DeliveryFilter, page: Page) -> Answer<'_, Listing<Delivery>> {
        Box::pin(self.read(move |view| reading::deliveries(view, &filter, &page)))
    }

    fn delivery(&self, id: DeliveryId) -> Answer<'_, Option<Delivery>> {
        Box::pin(async move { Ok(self.view()?.delivery_row(id)?.map(|row| row.delivery)) })
    }

    fn waiting(&self, endpoint: EndpointId, n: usize) -> Answer<'_, usize> {
        Box::pin(self.read(move |view| order::waiting(view, endpoint, n)))
    }

    fn ahead_of(&self, id: DeliveryId) -> Answer<'_, Option<DeliveryId>> {
        Box::pin(async move { order::ahead_of(&self.view()?, id) })
    }

    fn attempts(&self, id: DeliveryId) -> Answer<'_, Vec<Attempt>> {
        Box::pin(async move { self.view()?.attempts_of(id) })
    }

    fn list_refused(
        &self,
        source: Option<String>,
        page: Page,
    ) -> Answer<'_, Listing<(RefusedId, RefusedHead)>> {
        Box::pin(self.read(move |view| reading::refused(view, source.as_deref(), &page)))
    }

    fn refused(&self, id: RefusedId) -> Answer<'_, Option<RefusedRequest>> {
        Box::pin(async move { refusing::whole(&self.view()?, id) })
    }

    fn stats(&self) -> Answer<'_, Stats> {
        Box::pin(async move {
            let (db, path) = (self.db.clone(), self.path.clone());
            self.read(move |view| {
                let size = db
                    .size_on_disk()
                    .map_err(|error| StoreError::Damaged(format!("cannot measure: {error}")))?;
                Ok(view.totals()?.stats(size + Journal::bytes_on_disk(&path)))
            })
            .await
        })
    }
}

impl Upkeep for SledStore {
    fn health(&self) -> Health {
        self.vitals.health()
    }

    fn was_clean(&self) -> bool {
        self.clean
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let close = self.committer.close();
            self.vitals.close();
            close.await
        })
    }
}

impl Store for SledStore {}
