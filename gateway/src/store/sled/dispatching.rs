//! The pipeline's verbs: a run's events, deliveries and memory are one commit, or none of it.

use super::delivering::{Leasable, Line, undelivered};
use super::intake::{self, Arrival};
use super::keeping;
use super::keys::{self, Part};
use super::newest::{Known, Newest};
use super::nouns::Long;
use super::order;
use super::ready::{Ready, Row};
use super::rerunning::{self, Before, Seized};
use super::rows::{self, AboutRow, EntityRow, EventRow, FirstRunRow, StateRow, Value};
use super::view::View;
use crate::model::delivery::Delivery;
use crate::model::dispatch::{Dispatch, EntityRead};
use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};
use crate::model::kv::KvRun;
use crate::model::webhook::WebhookState;
use crate::store::{AfterFailure, Committed, DeliveryLease, StoreError, WebhookLease};
use billhook_event::Time;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The line of webhooks that wait for the pipeline: the run and its failures tell one lease from the next.
pub(super) type Webhooks = Ready<(), WebhookId, (u32, u32), WebhookLease>;

/// About what a lease takes in memory beside its body.
const LEASE_BYTES: usize = 1 << 10;

/// The lane of urgent events: one where money or a customer is being lost.
const URGENT: u8 = 0;
/// The lane of all others.
const ORDINARY: u8 = 1;
/// Every lane, in the order in which they are leased.
pub(super) const LANES: [u8; 2] = [URGENT, ORDINARY];

/// The lane of a canonical type. Within an endpoint the urgent lane goes first, so that a backlog of usage and
/// invoices does not make a cancellation late.
pub(super) fn lane(kind: &str) -> u8 {
    let urgent = matches!(kind, "payment.failed" | "subscription.past_due" | "dispute.opened")
        || kind.starts_with("subscription.cancel");
    if urgent { URGENT } else { ORDINARY }
}

/// Leases up to `n` webhooks that are due.
pub(super) fn lease(
    view: &View<'_>,
    webhooks: &Webhooks,
    now: Time,
    n: usize,
) -> Result<Vec<WebhookLease>, StoreError> {
    let mut leased = webhooks.take((), now, n);
    while leased.len() < n && webhooks.begin_read((), now) {
        webhooks.read(
            (),
            now,
            undispatched(view),
            |id, due| Ok(take(view, id, due)?.map(|lease| (mark(&lease), size(&lease), lease))),
            |id, error| tracing::error!(webhook = %id, %error, "a webhook cannot be leased"),
        )?;
        leased.extend(webhooks.take((), now, n - leased.len()));
    }
    Ok(leased)
}

/// The webhooks that wait, the first to be due first.
pub(super) fn undispatched(view: &View<'_>) -> impl Iterator<Item = Result<(WebhookId, Time), StoreError>> {
    let prefix = [keys::prefix::UNDISPATCHED];
    view.range(&prefix, &keys::end_of(&prefix)).map(|entry| {
        let (key, _) = entry?;
        let fields = keys::last_id(&key).map(WebhookId).zip(keys::first_time(&key));
        fields.ok_or_else(keys::too_short)
    })
}

/// Reads what was leased: it may have moved on between the look at the index and the lease.
fn take(view: &View<'_>, id: WebhookId, due: Time) -> Result<Option<WebhookLease>, StoreError> {
    let Some((head, body)) = view.head_and_body(id)? else { return Ok(None) };
    let StateRow { run, state, .. } = view.state_of(id, &head)?;
    match state {
        WebhookState::Undispatched { failures, due: since, .. } if since == due => {
            Ok(Some(WebhookLease { id, head: Arc::new(head), body, failures, run }))
        }
        WebhookState::Undispatched { .. } | WebhookState::Dispatched { .. } | WebhookState::Dead { .. } => {
            Ok(None)
        }
    }
}

/// Which lease it is.
pub(super) fn mark(lease: &WebhookLease) -> (u32, u32) {
    (lease.run, lease.failures)
}

fn size(lease: &WebhookLease) -> usize {
    LEASE_BYTES + lease.body.as_ref().map_or(0, Bytes::len)
}

/// The lease of a webhook that was just stored, ready to be handed out.
pub(super) fn fresh(lease: WebhookLease) -> Row<WebhookId, WebhookLease> {
    Row { key: lease.id, due: lease.head.received_at, bytes: size(&lease), what: lease }
}

/// A run as it will be written.
#[derive(Clone)]
pub(super) struct Plan {
    id: WebhookId,
    run: u32,
    /// Since when a webhook without a state row is due.
    received_at: Time,
    source: String,
    events: Vec<PlannedEvent>,
    /// Events of an earlier run that this one does not give, with those they were owed to.
    gone: Vec<(EventId, Vec<EndpointId>)>,
    /// `None`: the first event says it.
    state: Option<Value>,
    reads: Vec<EntityRead>,
    ordered: Vec<EndpointId>,
    kv: KvRun,
    /// When it was planned: what of its entries is over then is not there.
    at: Time,
    /// What is longer than a row.
    pub(super) long: Long,
}

/// What a run starts from.
struct Standing<'p> {
    /// Since when the webhook is due.
    due: Time,
    /// Whether its state was never written.
    is_first: bool,
    /// The rows of the entities that the run read.
    entities: BTreeMap<&'p str, EntityRow>,
}

#[derive(Clone)]
pub(super) struct PlannedEvent {
    pub(super) id: EventId,
    value: Value,
    pub(super) kind: String,
    json: Bytes,
    occurred_at: Time,
    entity: Option<String>,
    pub(super) about: Option<AboutRow>,
    pub(super) endpoints: Vec<EndpointId>,
    pub(super) dropped: bool,
    before: Before,
}

impl Plan {
    /// Encodes a run: what can be done outside the committer. Only the holder of the lease writes these events, so
    /// what an earlier run left of them can be read here.
    pub(super) fn new(
        view: &View<'_>,
        lease: &WebhookLease,
        dispatch: Dispatch,
        now: Time,
        seized: &mut Seized,
    ) -> Result<Plan, StoreError> {
        // Pieces of another run may be in use until this one commits: each run has a generation of its own.
        let generation = lease.run + 1;
        let source = lease.head.source.clone();
        let mut pieces = Vec::new();
        let mut events = Vec::with_capacity(dispatch.events.len());
        let rerun = if lease.run > 0 { view.state(lease.id)? } else { None };
        let gone = match &rerun {
            Some(_) => rerunning::no_longer_told(view, lease.id, dispatch.events.len(), seized)?,
            None => Vec::new(),
        };
        let count = dispatch.events.len().try_into().unwrap_or(u32::MAX);
        let run = dispatch.run;
        let (state, mut first_run) = if lease.run == 0 && count > 0 {
            (None, Some(FirstRunRow { events: count, at: now, run }))
        } else {
            let state = WebhookState::Dispatched { events: count, at: now };
            let state = StateRow { run: lease.run, state, newest: Some(run), resend: false };
            let key = keys::webhook(lease.id, Part::State);
            (Some(Value::new(key, rows::encode(&state), generation)), None)
        };
        for mut event in dispatch.events {
            let before = match &rerun {
                Some(state) => Before::of(view, &mut event, state.resend, seized)?,
                None => Before::first(),
            };
            let mut known = before.endpoints.clone();
            known.extend(event.endpoints.iter().filter(|id| !before.endpoints.contains(id)));
            let dropped = event.dropped.is_some();
            let row = EventRow {
                webhook: lease.id,
                kind: event.kind.clone(),
                source: source.clone(),
                occurred_at: event.occurred_at,
                entity: event.entity.clone(),
                dropped: event.dropped,
                endpoints: known,
                revision: before.revision,
                run: first_run.take(),
            };
            let bytes = rows::encode_before(&row, &event.json);
            let value = Value::new(keys::event(event.id), bytes, generation);
            pieces.extend(value.pieces.clone());
            let entity = event.entity.as_deref().map(|entity| keys::entity_hash(&source, entity));
            let about = entity.map(|entity| AboutRow {
                topic: keys::topic(&entity, &event.kind, event.object.as_deref()),
                occurred_at: event.occurred_at,
                place: None,
            });
            events.push(PlannedEvent {
                id: event.id,
                value,
                kind: event.kind,
                json: event.json,
                occurred_at: event.occurred_at,
                entity: event.entity,
                about,
                endpoints: event.endpoints,
                dropped,
                before,
            });
        }
        let (id, run, reads, ordered, kv) =
            (lease.id, lease.run, dispatch.entities, dispatch.ordered, dispatch.kv);
        pieces.extend(state.iter().flat_map(|state| state.pieces.clone()));
        let received_at = lease.head.received_at;
        let long = Long::new(pieces);
        Ok(Plan { id, run, received_at, source, events, gone, state, reads, ordered, kv, at: now, long })
    }

    /// Whether it may be committed, and what it starts from.
    fn standing(&self, view: &View<'_>) -> Result<Result<Standing<'_>, Committed>, StoreError> {
        let row = view.read::<StateRow>("state", &keys::webhook(self.id, Part::State))?;
        let is_first = row.is_none();
        let due = match row {
            Some(StateRow { run, state: WebhookState::Undispatched { due, .. }, .. }) if run == self.run => {
                due
            }
            None if self.run == 0 => self.received_at,
            _ => return Ok(Err(Committed::LeaseLost)),
        };
        if !view.has(&keys::undispatched(due, self.id))? {
            return Ok(Err(Committed::LeaseLost));
        }
        let mut entities = BTreeMap::new();
        for read in &self.reads {
            let row = view.entity_row(&self.source, &read.entity)?;
            if row.entity.version != read.version {
                return Ok(Err(Committed::Conflict));
            }
            entities.insert(read.entity.as_str(), row);
        }
        if !keeping::is_as_expected(view, &self.kv, self.at)? {
            return Ok(Err(Committed::Conflict));
        }
        Ok(Ok(Standing { due, is_first, entities }))
    }

    /// Whether its pieces would be written in vain.
    pub(super) fn is_needless(&self, view: &View<'_>) -> Result<bool, StoreError> {
        Ok(self.standing(view)?.is_err())
    }
}

/// What a run brought into the lines of endpoints.
#[derive(Default)]
pub(super) struct Owed {
    /// The deliveries it made that wait for no other, with their lanes.
    pub(super) made: Vec<(u8, Leasable)>,
    /// Where and when others are due that waited for what the run ended.
    pub(super) released: Vec<(Line, Time)>,
}

/// Commits a run.
pub(super) fn dispatched(
    view: &mut View<'_>,
    plan: &Plan,
    newest: &Newest,
    now: Time,
) -> Result<(Committed, Owed), StoreError> {
    let Standing { due, is_first, entities } = match plan.standing(view)? {
        Ok(standing) => standing,
        Err(refused) => {
            plan.long.discard(view)?;
            return Ok((refused, Owed::default()));
        }
    };
    let (mut events, mut waiting, mut owed) = (0, 0, Owed::default());
    for event in &plan.events {
        let is_new = is_first || !view.has(&event.value.key)?;
        events += u64::from(is_new);
        // Of an entity that had no event of the family nobody can have taken one.
        let row = event.entity.as_deref().and_then(|entity| entities.get(entity));
        let is_only =
            row.is_some_and(|row| !row.entity.last.keys().any(|kind| family(kind) == family(&event.kind)));
        let writing = Writing { plan, newest: (!is_only).then_some(newest), nothing: newest.nothing(), now };
        waiting += write_event(view, event, is_new, &writing, &mut owed)?;
    }
    for (event, endpoints) in &plan.gone {
        rerunning::end_gone(view, *event, endpoints, now, &mut owed.released)?;
    }
    write_entities(view, plan, entities)?;
    keeping::write(view, &plan.kv)?;
    view.remove(keys::undispatched(due, plan.id));
    match &plan.state {
        Some(state) if is_first => view.put_new_value(state),
        Some(state) => view.put_value(state)?,
        None if is_first => {}
        None => view.remove_value(keys::webhook(plan.id, Part::State))?,
    }
    plan.long.show(view);
    view.count(|totals| {
        totals.undispatched -= 1;
        totals.events += events;
        totals.waiting += waiting;
    })?;
    Ok((Committed::Done, owed))
}

fn family(kind: &str) -> &str {
    kind.split('.').next().unwrap_or_default()
}

/// Commits a webhook together with its first run.
pub(super) fn place(
    view: &mut View<'_>,
    arrival: &Arrival,
    plan: &Plan,
    newest: &Newest,
    now: Time,
) -> Result<(Committed, Owed), StoreError> {
    match intake::accept(view, arrival, now)? {
        (_, true) => dispatched(view, plan, newest, now),
        (_, false) => Ok((Committed::LeaseLost, Owed::default())),
    }
}

/// What the events of a run are written with.
struct Writing<'w> {
    plan: &'w Plan,
    /// What endpoints have taken; `None`: nothing that this event could be older than.
    newest: Option<&'w Newest>,
    nothing: Known,
    now: Time,
}

/// Writes an event, its indexes and its deliveries; adds those that are new to `owed`, and answers how many are the
/// first to their endpoints.
fn write_event(
    view: &mut View<'_>,
    event: &PlannedEvent,
    is_new: bool,
    writing: &Writing<'_>,
    owed: &mut Owed,
) -> Result<u64, StoreError> {
    let now = writing.now;
    match is_new {
        true => view.put_new_value(&event.value),
        false => view.put_value(&event.value)?,
    }
    view.put(keys::kind_event(&event.kind, event.id), &[]);
    if !is_new {
        rerunning::end_replaced(view, &event.before, event, now, &mut owed.released)?;
    }
    let lane = lane(&event.kind);
    let revision = event.before.revision;
    let mut first = 0;
    let leasable = |view: &View<'_>, delivery: Delivery| {
        let known = match writing.newest {
            Some(newest) => newest.known(view, delivery.endpoint, event.about.as_ref())?,
            None => writing.nothing,
        };
        let (kind, occurred_at, json) = (event.kind.clone(), event.occurred_at, event.json.clone());
        let lease = DeliveryLease { delivery, kind, occurred_at, event: json, revision };
        Ok::<_, StoreError>(Leasable { lease, about: event.about, known })
    };
    for endpoint in &event.endpoints {
        let id = DeliveryId::derive(event.id, *endpoint, 0);
        if !is_new && let Some(row) = view.delivery_row(id)? {
            if let Some(row) = rerunning::owe_again(view, &event.before, event, row, now)? {
                owed.made.push((row.lane, leasable(view, row.delivery)?));
            }
            continue;
        }
        let (mut about, mut is_first) = (event.about, true);
        if let Some((about, entity)) = about.as_mut().zip(event.entity.as_deref())
            && writing.plan.ordered.contains(endpoint)
        {
            let entity = keys::entity_hash(&writing.plan.source, entity);
            let place;
            (place, is_first) = order::enter(view, *endpoint, entity, id)?;
            about.place = Some(place);
        }
        let row = undelivered(event.id, *endpoint, lane, about, now);
        view.put_new(keys::delivery(id), rows::encode(&row));
        if is_first {
            view.put_new(keys::due(*endpoint, lane, now, id), &[]);
            owed.made.push((lane, leasable(view, row.delivery)?));
        }
        first += 1;
    }
    Ok(first)
}

/// Writes the row of each entity once: the last event of each type, by when it happened.
fn write_entities(
    view: &mut View<'_>,
    plan: &Plan,
    mut read: BTreeMap<&str, EntityRow>,
) -> Result<(), StoreError> {
    let mut by_entity: BTreeMap<&str, Vec<&PlannedEvent>> = BTreeMap::new();
    for event in &plan.events {
        if let Some(entity) = &event.entity {
            by_entity.entry(entity).or_default().push(event);
        }
    }
    for (entity, events) in by_entity {
        let mut row = match read.remove(entity) {
            Some(row) => row,
            None => view.entity_row(&plan.source, entity)?,
        };
        let is_new = row == EntityRow::default();
        row.entity.version += 1;
        if plan.run > 0 {
            // Type or time may have been wrong.
            row.entity.last.retain(|_, (_, id)| events.iter().all(|event| event.id != *id));
        }
        for event in events {
            row.entity.note(&event.kind, event.occurred_at, event.id);
        }
        let value = Value::new(keys::entity(&plan.source, entity), rows::encode(&row), 0);
        match is_new {
            true => view.put_new_value(&value),
            false => view.put_value(&value)?,
        }
        view.put_pieces(value.pieces.as_ref());
    }
    Ok(())
}

/// Commits a failed run. Answers when the webhook is due again.
pub(super) fn failed(
    view: &mut View<'_>,
    lease: &WebhookLease,
    why: String,
    after: AfterFailure,
    now: Time,
) -> Result<(Committed, Option<Time>), StoreError> {
    let lost = Ok((Committed::LeaseLost, None));
    let Some(from) = view.state(lease.id)?.filter(|row| row.run == lease.run) else { return lost };
    let WebhookState::Undispatched { failures, .. } = from.state else { return lost };
    if failures != lease.failures {
        return lost;
    }
    let again = match after {
        AfterFailure::RetryAt(due) | AfterFailure::Defer(due) => Some(due),
        AfterFailure::Dead => None,
    };
    let state = match after {
        AfterFailure::RetryAt(due) => {
            WebhookState::Undispatched { failures: failures + 1, due, last: Some(why) }
        }
        AfterFailure::Defer(due) => WebhookState::Undispatched { failures, due, last: Some(why) },
        AfterFailure::Dead => {
            view.count(|totals| {
                totals.undispatched -= 1;
                totals.webhooks_dead += 1;
            })?;
            WebhookState::Dead { why, at: now }
        }
    };
    view.move_webhook(lease.id, &from, &from.moved(lease.run, state))?;
    Ok((Committed::Done, again))
}

/// Counts one failure to each that is still undispatched.
pub(super) fn suspect(view: &mut View<'_>, ids: &[WebhookId]) -> Result<usize, StoreError> {
    let mut counted = 0;
    for id in ids {
        let Some(from) = view.state(*id)? else { continue };
        let WebhookState::Undispatched { failures, due, last } = from.state.clone() else { continue };
        let state = WebhookState::Undispatched { failures: failures.saturating_add(1), due, last };
        view.move_webhook(*id, &from, &from.moved(from.run, state))?;
        counted += 1;
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dispatch::NewEvent;
    use crate::model::webhook::{NewWebhook, WebhookHead};
    use crate::store::sled::delivering::Deliveries;
    use bytes::Bytes;

    #[test]
    fn what_cannot_wait_has_a_lane_of_its_own() {
        let cases = [
            ("payment.failed", URGENT),
            ("subscription.canceled", URGENT),
            ("subscription.cancel_scheduled", URGENT),
            ("subscription.past_due", URGENT),
            ("dispute.opened", URGENT),
            ("dispute.closed", ORDINARY),
            ("payment.succeeded", ORDINARY),
            ("provider.unmapped", ORDINARY),
        ];
        for (kind, expected) in cases {
            assert_eq!(lane(kind), expected, "{kind}");
        }
    }

    #[test]
    fn a_rerun_replaces_what_was_not_sent_and_its_pieces() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        let [app, crm] = ["app", "crm"].map(EndpointId::derive);
        let id = WebhookId::new(Time::from_secs(1), 1);
        let head = WebhookHead::of("acme", "acme", Time::from_secs(1), b"{}");
        let body = Bytes::from_static(b"{}");
        let arrival = Arrival::new(&NewWebhook { id, head: head.clone(), body, key: None });
        intake::accept(&mut view, &arrival, Time::from_secs(1)).unwrap();

        let event = EventId::derive(id, 0);
        let mut run = |run: u32, json: Bytes, endpoints: &[EndpointId]| {
            let undispatched =
                WebhookState::Undispatched { failures: 0, due: Time::from_secs(1), last: None };
            let from = view.state(id).unwrap().unwrap();
            view.move_webhook(id, &from, &from.moved(run, undispatched)).unwrap();
            view.count(|totals| totals.undispatched = 1).unwrap();
            let fresh = NewEvent {
                id: event,
                kind: "invoice.paid".into(),
                json: json.clone(),
                entity: None,
                object: None,
                occurred_at: Time::from_secs(1),
                dropped: None,
                endpoints: endpoints.to_vec(),
            };
            let lease = WebhookLease { id, head: Arc::new(head.clone()), body: None, failures: 0, run };
            let now = Time::from_secs(u64::from(run) + 10);
            let dispatch = Dispatch { events: vec![fresh], ..Dispatch::default() };
            let deliveries = Arc::new(Deliveries::new([]));
            let plan = Plan::new(&view, &lease, dispatch, now, &mut Seized::none(&deliveries)).unwrap();
            assert_eq!(dispatched(&mut view, &plan, &Newest::default(), now).unwrap().0, Committed::Done);
            assert_eq!(view.stored_event(event).unwrap().unwrap().json, json);
            let created = |endpoint| {
                let id = DeliveryId::derive(event, endpoint, 0);
                view.delivery_row(id).unwrap().map(|row| row.delivery.created.secs())
            };
            let created = [app, crm].map(created);
            (view.totals().unwrap(), created, view.event_row(event).unwrap().unwrap().endpoints)
        };
        let (_, created, _) = run(0, vec![b'a'; 9000].into(), &[app]);
        assert_eq!(created, [Some(10), None]);
        let (_, created, _) = run(1, vec![b'b'; 5000].into(), &[app, crm]);
        assert_eq!(created, [Some(10), Some(11)]);
        let (totals, created, endpoints) = run(2, Bytes::from_static(b"{}"), &[crm]);
        assert_eq!((totals.events, created), (1, [Some(10), Some(11)]));
        assert_eq!(totals.waiting, 1, "the app gets it no more");
        assert_eq!(endpoints, [app, crm], "those of earlier runs are still found");
        assert!(view.first(&[keys::prefix::PIECE]).unwrap().is_none(), "no piece of an earlier run is left");
    }
}
