//! The queue as it should be: what every move does to it and what the store should answer. Plain maps, no store.

use billhook_event::Time;
use gateway::model::delivery::{Delivery, DeliveryState};
use gateway::model::endpoint::Gate;
use gateway::model::id::{DeliveryId, EndpointId, EventId, JobId, WebhookId};
use gateway::model::job::{Job, JobState, What};
use gateway::model::webhook::{Accepted, WebhookState};
use gateway::store::{AfterAttempt, AfterFailure, Committed, Moved, Redrive, Resent};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a dedupe key counts.
pub(super) const KEY_TTL: Duration = Duration::from_secs(30);
/// Every move takes this long, so that what it makes has a time of its own.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// What is done to the queue.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// The clock is set: forward, or back.
    Clock(Time),
    /// A webhook arrives, perhaps with a key.
    Accept {
        body: u8,
        key: Option<u8>,
    },
    /// The same webhook is handed over once more.
    AcceptAgain(WebhookId),
    LeaseWebhooks(usize),
    /// A run is committed; `stale`: it read another version of its entity.
    Dispatch {
        id: WebhookId,
        events: Vec<Said>,
        stale: bool,
    },
    /// A run is committed by somebody who had the webhook before.
    DispatchLate {
        id: WebhookId,
        run: u32,
        failures: u32,
    },
    Fail {
        id: WebhookId,
        after: AfterFailure,
    },
    ReleaseWebhook(WebhookId),
    SetGate {
        endpoint: EndpointId,
        gate: Gate,
        expected: u64,
    },
    /// As the deliver pass does it: the gate is read first.
    Lease {
        endpoint: EndpointId,
        n: usize,
    },
    /// Attempts end, all at once.
    Finish(Vec<(DeliveryId, AfterAttempt)>),
    /// An attempt ends whose delivery has moved meanwhile.
    FinishLate(Delivery),
    Release(DeliveryId),
    Resend(DeliveryId),
    Redrive {
        select: Redrive,
        n: usize,
    },
    AddJob(Job),
    StepJob {
        id: JobId,
        n: usize,
    },
    CancelJob(JobId),
    End(End),
}

/// How a process ends before the next one opens the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In order.
    Closed,
    /// What was queued is committed, and nobody said good-bye.
    Dropped,
    /// What the disk holds after the last sync is all there is.
    Crashed,
}

/// What a run says of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) urgent: bool,
    pub(super) text: u8,
    /// To whom it is owed; nobody: a filter dropped it.
    pub(super) endpoints: Vec<EndpointId>,
}

impl Said {
    pub(super) fn kind(&self) -> &'static str {
        if self.urgent { "payment.failed" } else { "invoice.paid" }
    }

    pub(super) fn json(&self) -> String {
        format!(r#"{{"type":"{}","text":{}}}"#, self.kind(), self.text)
    }
}

/// What the store should answer to the last move.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Nothing,
    Accepted(Accepted),
    /// Webhook, run, failures.
    Webhooks(BTreeSet<(WebhookId, u32, u32)>),
    Deliveries(BTreeSet<DeliveryId>),
    Committed(Vec<Committed>),
    Version(Option<u64>),
    Resent(Resent),
    Moved(Moved),
    Job(Option<Box<Job>>),
    WasClean(bool),
}

/// A webhook.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) body: u8,
    pub(super) key: Option<u8>,
    pub(super) received_at: Time,
    pub(super) state: WebhookState,
    pub(super) run: u32,
    /// Whether the next run sends again what stays as it is.
    resend: bool,
    pub(super) duplicates: u32,
    pub(super) conflicts: u32,
    pub(super) is_leased: bool,
}

/// An event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) said: Said,
    pub(super) revision: u32,
    /// Everybody it was ever owed to.
    endpoints: Vec<EndpointId>,
}

/// A delivery and what its row does not tell.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) delivery: Delivery,
    urgent: bool,
    job: Option<JobId>,
    pub(super) is_leased: bool,
    /// It ended because a reprocess no longer told it.
    is_withdrawn: bool,
}

impl Owed {
    pub(super) fn due(&self) -> Option<Time> {
        match self.delivery.state {
            DeliveryState::Waiting { due } => Some(due),
            _ => None,
        }
    }

    fn is_dead(&self) -> bool {
        matches!(self.delivery.state, DeliveryState::Dead { .. })
    }
}

#[derive(Clone, Copy, Debug)]
struct Key {
    first: WebhookId,
    until: Time,
    body: u8,
}

/// The queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) now: Time,
    /// The latest time that was ever shown: a key that had expired by then may be forgotten.
    latest: Time,
    accepted: u128,
    pub(super) webhooks: BTreeMap<WebhookId, Webhook>,
    keys: BTreeMap<u8, Key>,
    pub(super) events: BTreeMap<EventId, Event>,
    pub(super) deliveries: BTreeMap<DeliveryId, Owed>,
    pub(super) gates: BTreeMap<EndpointId, (Gate, u64)>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// The version of the one entity.
    pub(super) entity: u64,
    /// Deliveries as they were when they were leased.
    pub(super) leases: Vec<Delivery>,
    /// Runs that were begun: webhook, run, failures.
    pub(super) runs: Vec<(WebhookId, u32, u32)>,
    /// What was in the pipeline when the last process died.
    pub(super) suspects: Vec<WebhookId>,
    pub(super) told: Told,
    /// Whether the last move was answered when it was durable, and with it everything before.
    pub(super) is_durable: bool,
}

impl Queue {
    pub(super) fn new(now: Time) -> Queue {
        Queue {
            now,
            latest: now,
            accepted: 0,
            webhooks: BTreeMap::new(),
            keys: BTreeMap::new(),
            events: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            gates: BTreeMap::new(),
            jobs: BTreeMap::new(),
            entity: 0,
            leases: Vec::new(),
            runs: Vec::new(),
            suspects: Vec::new(),
            told: Told::Nothing,
            is_durable: true,
        }
    }

    /// What the webhook is called that arrived last, stored or not.
    pub(super) fn last_id(&self) -> WebhookId {
        WebhookId::new(self.now, self.accepted)
    }

    pub(super) fn gate(&self, endpoint: EndpointId) -> (Gate, u64) {
        self.gates.get(&endpoint).cloned().unwrap_or((Gate::Open, 0))
    }

    /// Whether a gate lets anything pass.
    pub(super) fn passes(gate: &Gate, now: Time) -> bool {
        match gate {
            Gate::Open => true,
            Gate::Trial { at, .. } => *at <= now,
            Gate::Paused | Gate::Disabled => false,
        }
    }

    /// The deliveries of an endpoint that nobody has and that are due at `now`, in the order in which they are leased.
    pub(super) fn line(&self, endpoint: EndpointId, now: Time) -> Vec<(bool, Time, DeliveryId)> {
        let of =
            self.deliveries.values().filter(|owed| owed.delivery.endpoint == endpoint && !owed.is_leased);
        let due = of.filter_map(|owed| Some((!owed.urgent, owed.due()?, owed.delivery.id)));
        let mut line: Vec<_> = due.filter(|(_, due, _)| *due <= now).collect();
        line.sort_unstable();
        line
    }

    /// The same of the webhooks.
    pub(super) fn webhook_line(&self, now: Time) -> Vec<(bool, Time, WebhookId)> {
        let due = self.webhooks.iter().filter_map(|(id, webhook)| match webhook.state {
            WebhookState::Undispatched { due, .. } if !webhook.is_leased && due <= now => {
                Some((false, due, *id))
            }
            _ => None,
        });
        let mut line: Vec<_> = due.collect();
        line.sort_unstable();
        line
    }

    /// How many may be leased of a line so that no two of the same place are torn apart: who of them comes first is
    /// nobody's promise.
    pub(super) fn cuts<T>(line: &[(bool, Time, T)]) -> Vec<usize> {
        let place = |at: usize| (line[at].0, line[at].1);
        (1..=line.len()).filter(|at| *at == line.len() || place(*at) != place(at - 1)).collect()
    }

    /// The last delivery of the same event to the same endpoint.
    pub(super) fn newest(&self, id: DeliveryId) -> DeliveryId {
        let mut newest = id;
        while let Some(later) = self.later(newest) {
            newest = later;
        }
        newest
    }

    fn later(&self, id: DeliveryId) -> Option<DeliveryId> {
        let Delivery { event, endpoint, resend, .. } = self.deliveries[&id].delivery;
        let later = DeliveryId::derive(event, endpoint, resend + 1);
        self.deliveries.contains_key(&later).then_some(later)
    }

    /// The dead letters, in their order.
    pub(super) fn dead(&self, of: Option<EndpointId>) -> Vec<DeliveryId> {
        let dead = self.deliveries.values().filter(|owed| owed.is_dead());
        let of = dead.filter(|owed| of.is_none_or(|endpoint| owed.delivery.endpoint == endpoint));
        of.map(|owed| owed.delivery.id).filter(|id| self.later(*id).is_none()).collect()
    }

    pub(super) fn dead_webhooks(&self) -> Vec<WebhookId> {
        let dead = self.webhooks.iter().filter(|(_, w)| matches!(w.state, WebhookState::Dead { .. }));
        dead.map(|(id, _)| *id).collect()
    }

    /// Whether an arrival with this key has one answer: a key that had expired and, by a clock set back, has not
    /// expired now may be known or forgotten.
    pub(super) fn is_clear(&self, key: Option<u8>) -> bool {
        let known = key.and_then(|key| self.keys.get(&key));
        known.is_none_or(|known| known.until > self.latest.plus(TICK) || known.until <= self.now.plus(TICK))
    }

    pub(super) fn is_late(&self, lease: &Delivery) -> bool {
        let Some(owed) = self.deliveries.get(&lease.id) else { return false };
        owed.due().is_none() || owed.delivery.attempts > lease.attempts
    }

    pub(super) fn is_run_late(&self, id: WebhookId, run: u32) -> bool {
        let Some(webhook) = self.webhooks.get(&id) else { return false };
        webhook.run > run || !matches!(webhook.state, WebhookState::Undispatched { .. })
    }

    /// Makes a move.
    pub(super) fn make(mut self, made: &Move) -> Queue {
        self.now = match made {
            Move::Clock(now) => *now,
            _ => self.now.plus(TICK),
        };
        self.latest = self.latest.max(self.now);
        self.is_durable = matches!(
            made,
            Move::Accept { .. }
                | Move::AcceptAgain(_)
                | Move::Resend(_)
                | Move::Redrive { .. }
                | Move::AddJob(_)
                | Move::CancelJob(_)
                | Move::End(_)
        );
        self.told = match made {
            Move::Clock(_) => Told::Nothing,
            Move::Accept { body, key } => Told::Accepted(self.accept(*body, *key)),
            Move::AcceptAgain(_) => Told::Accepted(Accepted::New),
            Move::LeaseWebhooks(n) => Told::Webhooks(self.lease_webhooks(*n)),
            Move::Dispatch { id, events, stale } => {
                Told::Committed(vec![if *stale { Committed::Conflict } else { self.dispatch(*id, events) }])
            }
            Move::DispatchLate { .. } => Told::Committed(vec![Committed::LeaseLost]),
            Move::FinishLate(lease) => Told::Committed(vec![self.finish_late(lease)]),
            Move::Fail { id, after } => Told::Committed(vec![self.fail(*id, after)]),
            Move::ReleaseWebhook(id) => {
                self.webhooks.get_mut(id).unwrap().is_leased = false;
                Told::Nothing
            }
            Move::SetGate { endpoint, gate, expected } => {
                let (_, version) = self.gate(*endpoint);
                let next = (version == *expected).then_some(version + 1);
                if let Some(next) = next {
                    self.gates.insert(*endpoint, (gate.clone(), next));
                }
                Told::Version(next)
            }
            Move::Lease { endpoint, n } => Told::Deliveries(self.lease(*endpoint, *n)),
            Move::Finish(ends) => {
                ends.iter().for_each(|(id, after)| self.finish(*id, after));
                Told::Committed(vec![Committed::Done; ends.len()])
            }
            Move::Release(id) => {
                self.deliveries.get_mut(id).unwrap().is_leased = false;
                Told::Nothing
            }
            Move::Resend(id) => {
                let newest = self.newest(*id);
                Told::Resent(match self.deliveries[&newest].due() {
                    Some(_) => Resent::Waits(newest),
                    None => Resent::New(self.again(newest, None)),
                })
            }
            Move::Redrive { select, n } => Told::Moved(self.redrive(select, *n)),
            Move::AddJob(job) => {
                let known = self.jobs.values().find(|known| job.key.is_some() && known.key == job.key);
                let known = known.unwrap_or(job).clone();
                self.jobs.insert(known.id, known.clone());
                Told::Job(Some(Box::new(known)))
            }
            Move::StepJob { id, n } => Told::Job(self.step(*id, *n).map(Box::new)),
            Move::CancelJob(id) => {
                let now = self.now;
                let job = self.jobs.get_mut(id).unwrap();
                if job.is_running() {
                    job.state = JobState::Canceled { at: now };
                }
                Told::Job(Some(Box::new(job.clone())))
            }
            Move::End(end) => {
                let leased = self.end();
                self.suspects = if *end == End::Closed { Vec::new() } else { leased };
                for id in self.suspects.clone() {
                    self.suspect(id);
                }
                Told::WasClean(*end == End::Closed)
            }
        };
        self
    }

    /// The process is gone and holds nothing. Answers what was in the pipeline.
    pub(super) fn end(&mut self) -> Vec<WebhookId> {
        self.deliveries.values_mut().for_each(|owed| owed.is_leased = false);
        self.runs.clear();
        self.leases.clear();
        let leased = self.webhooks.iter_mut().filter(|(_, webhook)| webhook.is_leased);
        leased.map(|(id, webhook)| (webhook.is_leased = false, *id).1).collect()
    }

    fn suspect(&mut self, id: WebhookId) {
        if let WebhookState::Undispatched { failures, .. } = &mut self.webhooks.get_mut(&id).unwrap().state {
            *failures += 1;
        }
    }

    fn accept(&mut self, body: u8, key: Option<u8>) -> Accepted {
        self.accepted += 1;
        let (id, now) = (self.last_id(), self.now);
        if let Some(known) = key.and_then(|key| self.keys.get(&key)).filter(|known| now < known.until) {
            let same_body = known.body == body;
            let first = self.webhooks.get_mut(&known.first).unwrap();
            first.duplicates += 1;
            first.conflicts += u32::from(!same_body);
            return Accepted::Duplicate { first: known.first, same_body };
        }
        if let Some(key) = key {
            self.keys.insert(key, Key { first: id, until: now.plus(KEY_TTL), body });
        }
        let state = WebhookState::Undispatched { failures: 0, due: now, last: None };
        let webhook = Webhook {
            body,
            key,
            received_at: now,
            state,
            run: 0,
            resend: false,
            duplicates: 0,
            conflicts: 0,
            is_leased: false,
        };
        self.webhooks.insert(id, webhook);
        Accepted::New
    }

    fn lease_webhooks(&mut self, n: usize) -> BTreeSet<(WebhookId, u32, u32)> {
        let mut leased = BTreeSet::new();
        for (.., id) in self.webhook_line(self.now).into_iter().take(n) {
            let webhook = self.webhooks.get_mut(&id).unwrap();
            webhook.is_leased = true;
            let WebhookState::Undispatched { failures, .. } = webhook.state else { unreachable!() };
            leased.insert((id, webhook.run, failures));
        }
        self.runs.extend(&leased);
        leased
    }

    fn fail(&mut self, id: WebhookId, after: &AfterFailure) -> Committed {
        let now = self.now;
        let webhook = self.webhooks.get_mut(&id).unwrap();
        let WebhookState::Undispatched { failures, .. } = webhook.state else { return Committed::LeaseLost };
        let (last, why) = (Some("trap".to_owned()), "trap".to_owned());
        webhook.is_leased = false;
        webhook.state = match after {
            AfterFailure::RetryAt(due) => {
                WebhookState::Undispatched { failures: failures + 1, due: *due, last }
            }
            AfterFailure::Defer(due) => WebhookState::Undispatched { failures, due: *due, last },
            AfterFailure::Dead => WebhookState::Dead { why, at: now },
        };
        Committed::Done
    }

    fn dispatch(&mut self, id: WebhookId, events: &[Said]) -> Committed {
        let now = self.now;
        let webhook = self.webhooks.get_mut(&id).unwrap();
        let resend = std::mem::take(&mut webhook.resend);
        webhook.is_leased = false;
        webhook.state = WebhookState::Dispatched { events: events.len() as u32, at: now };
        for (index, said) in (0..).zip(events) {
            self.tell(EventId::derive(id, index), said, resend);
        }
        for index in events.len() as u32.. {
            let event = EventId::derive(id, index);
            let Some(Event { endpoints, .. }) = self.events.get(&event).cloned() else { break };
            endpoints.iter().for_each(|endpoint| self.withdraw(event, *endpoint));
        }
        self.entity += u64::from(!events.is_empty());
        Committed::Done
    }

    /// An event as a run tells it: for the first time, as before, or as something else.
    fn tell(&mut self, id: EventId, said: &Said, resend: bool) {
        let Some(before) = self.events.get(&id).cloned() else {
            let endpoints = said.endpoints.clone();
            self.events.insert(id, Event { said: said.clone(), revision: 1, endpoints });
            said.endpoints.iter().for_each(|endpoint| self.owe(id, *endpoint, said.urgent));
            return;
        };
        let changed = before.said.json() != said.json();
        let sent = self.deliveries.values().any(|owed| {
            owed.delivery.event == id
                && (owed.delivery.attempts > 0 || owed.is_leased && owed.due().is_some())
        });
        for endpoint in &before.endpoints {
            let gets_it = said.endpoints.contains(endpoint);
            if changed && sent || !gets_it && (changed || said.endpoints.is_empty()) {
                self.withdraw(id, *endpoint);
            }
        }
        for endpoint in &said.endpoints {
            let first = DeliveryId::derive(id, *endpoint, 0);
            if !self.deliveries.contains_key(&first) {
                self.owe(id, *endpoint, said.urgent);
                continue;
            }
            let newest = self.newest(first);
            let owed = self.deliveries.get_mut(&newest).unwrap();
            if owed.due().is_none() && (changed || resend || owed.is_withdrawn) {
                owed.urgent = said.urgent;
                self.again(newest, None);
            }
        }
        let event = self.events.get_mut(&id).unwrap();
        event.said = said.clone();
        event.revision += u32::from(changed && sent);
        event.endpoints.extend(said.endpoints.iter().filter(|e| !before.endpoints.contains(e)));
    }

    /// What waits there and is no longer told ends.
    fn withdraw(&mut self, event: EventId, endpoint: EndpointId) {
        let first = DeliveryId::derive(event, endpoint, 0);
        if !self.deliveries.contains_key(&first) {
            return;
        }
        let (newest, now) = (self.newest(first), self.now);
        let owed = self.deliveries.get_mut(&newest).unwrap();
        if owed.due().is_some() {
            owed.delivery.state = DeliveryState::Skipped { at: now, why: String::new() };
            (owed.is_leased, owed.is_withdrawn) = (false, true);
        }
    }

    fn owe(&mut self, event: EventId, endpoint: EndpointId, urgent: bool) {
        let (id, now) = (DeliveryId::derive(event, endpoint, 0), self.now);
        let state = DeliveryState::Waiting { due: now };
        let delivery = Delivery {
            id,
            event,
            endpoint,
            resend: 0,
            created: now,
            attempts: 0,
            step: 0,
            state,
            stale: None,
        };
        let owed = Owed { delivery, urgent, job: None, is_leased: false, is_withdrawn: false };
        self.deliveries.insert(id, owed);
    }

    /// The next delivery after one that has ended.
    fn again(&mut self, newest: DeliveryId, job: Option<JobId>) -> DeliveryId {
        let now = self.now;
        let Owed { delivery: before, urgent, .. } = self.deliveries[&newest].clone();
        let id = DeliveryId::derive(before.event, before.endpoint, before.resend + 1);
        let state = DeliveryState::Waiting { due: now };
        let delivery =
            Delivery { id, resend: before.resend + 1, created: now, attempts: 0, step: 0, state, ..before };
        let owed = Owed { delivery, urgent, job, is_leased: false, is_withdrawn: false };
        self.deliveries.insert(id, owed);
        id
    }

    fn lease(&mut self, endpoint: EndpointId, n: usize) -> BTreeSet<DeliveryId> {
        if !Queue::passes(&self.gate(endpoint).0, self.now) {
            return BTreeSet::new();
        }
        let line = self.line(endpoint, self.now);
        let leased: BTreeSet<_> = line.iter().take(n).map(|(.., id)| *id).collect();
        for id in &leased {
            let owed = self.deliveries.get_mut(id).unwrap();
            owed.is_leased = true;
            self.leases.push(owed.delivery.clone());
        }
        leased
    }

    fn finish(&mut self, id: DeliveryId, after: &AfterAttempt) {
        let now = self.now;
        let owed = self.deliveries.get_mut(&id).unwrap();
        let due = owed.due().unwrap();
        owed.is_leased = false;
        owed.delivery.attempts += 1;
        owed.delivery.step += u32::from(!matches!(after, AfterAttempt::Held | AfterAttempt::PutOff(_)));
        owed.delivery.state = match after.clone() {
            AfterAttempt::Delivered => DeliveryState::Delivered { at: now },
            AfterAttempt::RetryAt(due) | AfterAttempt::PutOff(due) => DeliveryState::Waiting { due },
            AfterAttempt::Held => DeliveryState::Waiting { due },
            AfterAttempt::Dead(why) => DeliveryState::Dead { at: now, why },
            AfterAttempt::Skipped(why) => DeliveryState::Skipped { at: now, why },
        };
    }

    /// What was taken of a delivery that a reprocess ended meanwhile was taken; anybody else is too late.
    fn finish_late(&mut self, lease: &Delivery) -> Committed {
        let now = self.now;
        let owed = self.deliveries.get_mut(&lease.id).unwrap();
        if !owed.is_withdrawn || owed.delivery.attempts != lease.attempts {
            return Committed::LeaseLost;
        }
        owed.is_withdrawn = false;
        owed.delivery.attempts += 1;
        owed.delivery.step += 1;
        owed.delivery.state = DeliveryState::Delivered { at: now };
        Committed::Done
    }

    fn redrive(&mut self, select: &Redrive, n: usize) -> Moved {
        let (deliveries, webhooks) = match select {
            Redrive::Delivery(id) => {
                (self.dead(None).into_iter().filter(|dead| dead == id).collect(), vec![])
            }
            Redrive::Webhook(id) => {
                (vec![], self.dead_webhooks().into_iter().filter(|dead| dead == id).collect())
            }
            Redrive::Deliveries(of) => (self.dead(Some(*of)), vec![]),
            Redrive::Webhooks => (vec![], self.dead_webhooks()),
        };
        let found = deliveries.len() + webhooks.len();
        let count = found.min(n);
        let ids = deliveries.iter().map(|id| id.0).chain(webhooks.iter().map(|id| id.0));
        let last = ids.take(n).last().filter(|_| found > n);
        let next = last.map(|id| [&self.now.millis().to_be_bytes()[..], &id].concat());
        for id in deliveries.into_iter().take(n) {
            self.again(id, None);
        }
        webhooks.into_iter().take(n).for_each(|id| self.rerun(id, None));
        Moved { count, next }
    }

    fn rerun(&mut self, id: WebhookId, resend: Option<bool>) {
        let due = self.now;
        let webhook = self.webhooks.get_mut(&id).unwrap();
        webhook.run += 1;
        webhook.resend = resend.unwrap_or(webhook.resend);
        webhook.state = WebhookState::Undispatched { failures: 0, due, last: None };
    }

    fn step(&mut self, id: JobId, n: usize) -> Option<Job> {
        let mut job = self.jobs[&id].clone();
        if !job.is_running() {
            return Some(job);
        }
        let things: Vec<[u8; 16]> = match job.what {
            What::Redrive => self.dead(job.select.endpoint).iter().map(|id| id.0).collect(),
            What::Resend => self.deliveries.keys().map(|id| id.0).collect(),
            What::Reprocess { .. } => self.webhooks.keys().map(|id| id.0).collect(),
        };
        let (until, cursor) = (job.until(), job.cursor);
        let ahead = things.into_iter().filter(|id| cursor.is_none_or(|cursor| *id > cursor));
        let mut ahead = ahead.filter(|id| WebhookId(*id).time() <= until).peekable();
        let mut found = Vec::new();
        while found.len() < n
            && let Some(id) = ahead.next()
        {
            (job.cursor, job.looked) = (Some(id), job.looked + 1);
            if self.selects(&job, id) {
                found.push(id);
            }
        }
        if ahead.peek().is_none() {
            job.state = JobState::Done { at: self.now };
        }
        job.moved += found.len() as u64;
        for id in found {
            match job.what {
                What::Redrive | What::Resend => {
                    self.again(DeliveryId(id), Some(job.id));
                }
                What::Reprocess { resend } => self.rerun(WebhookId(id), Some(resend)),
            }
        }
        self.jobs.insert(job.id, job.clone());
        Some(job)
    }

    fn selects(&self, job: &Job, id: [u8; 16]) -> bool {
        let of = |endpoint| job.select.endpoint.is_none_or(|wanted| wanted == endpoint);
        if let What::Reprocess { .. } = job.what {
            let id = WebhookId(id);
            let is_through = !matches!(self.webhooks[&id].state, WebhookState::Undispatched { .. });
            let mut events = (0..).map_while(|index| self.events.get(&EventId::derive(id, index)));
            return is_through
                && (job.select.endpoint.is_none()
                    || events.any(|event| event.endpoints.iter().any(|endpoint| of(*endpoint))));
        }
        let owed = &self.deliveries[&DeliveryId(id)];
        owed.due().is_none()
            && !owed.is_withdrawn
            && !self.events[&owed.delivery.event].said.endpoints.is_empty()
            && owed.job != Some(job.id)
            && of(owed.delivery.endpoint)
            && self.later(DeliveryId(id)).is_none()
    }
}
