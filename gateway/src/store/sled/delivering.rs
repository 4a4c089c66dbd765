//! The way out: what is due at an endpoint, attempts with what follows from them, gates, and rotated secrets.

use super::dispatching::LANES;
use super::keys;
use super::newest::{self, Known, Newest};
use super::order;
use super::ready::{Ready, Row};
use super::rows::{self, AboutRow, DeliveryRow, NewestRow, RotationDoc, Value};
use super::view::View;
use crate::model::delivery::{Delivery, DeliveryState};
use crate::model::endpoint::{Gate, Turned};
use crate::model::id::{DeliveryId, EndpointId, EventId};
use crate::model::rotation::Rotation;
use crate::store::{
    AfterAttempt, Committed, DeliveryLease, Due, Finish, GateRow, RotationRow, StoreError, StoredEvent,
};
use billhook_event::Time;
use std::sync::Arc;

/// One lane of an endpoint.
pub(super) type Line = (EndpointId, u8);
/// One line for each lane of an endpoint: the attempts recorded before tell one lease from the next.
pub(super) type Deliveries = Ready<Line, DeliveryId, u32, Leasable>;

/// About what a lease takes in memory beside its event.
const LEASE_BYTES: usize = 512;
/// A first attempt with more to tell, its answer included, is a row of its own: the row of the delivery is written again
/// and again.
const TEXT_WITH_DELIVERY_MAX: usize = 256;

/// A delivery that may be leased, and what is known of the others about the same.
#[derive(Clone)]
pub(super) struct Leasable {
    pub(super) lease: DeliveryLease,
    pub(super) about: Option<AboutRow>,
    pub(super) known: Known,
}

impl Leasable {
    /// As it is handed out now.
    fn handed(mut self, view: &View<'_>, newest: &Newest) -> DeliveryLease {
        let delivery = &mut self.lease.delivery;
        if let Some(about) = &self.about {
            let later = newest.later(view, delivery.endpoint, delivery.event, about, self.known);
            delivery.stale = later.unwrap_or_else(|error| {
                // Worth less than the delivery.
                tracing::error!(delivery = %delivery.id, %error, "cannot tell whether a delivery is stale");
                None
            });
        }
        self.lease
    }
}

/// Every line with waiting deliveries and when its first is due: two looks for each, however many wait.
pub(super) fn lines(view: &View<'_>) -> Result<Vec<(Line, Time)>, StoreError> {
    let mut found = Vec::new();
    let mut from = vec![keys::prefix::DUE];
    let end = keys::end_of(&from);
    while let Some((key, _)) = view.range(&from, &end).next().transpose()? {
        let (endpoint, lane, due) = keys::due_fields(&key).ok_or_else(keys::too_short)?;
        found.push(((endpoint, lane), due));
        from = keys::end_of(&keys::due_lane(endpoint, lane));
    }
    Ok(found)
}

/// One row for each endpoint with work that nobody has leased.
pub(super) fn due(deliveries: &Deliveries, n: usize) -> Vec<Due> {
    let mut found: Vec<Due> = Vec::new();
    for ((endpoint, _), oldest) in deliveries.lines() {
        // The lanes of an endpoint are side by side.
        match found.last_mut().filter(|last| last.endpoint == endpoint) {
            Some(last) => last.oldest = last.oldest.min(oldest),
            None => found.push(Due { endpoint, oldest }),
        }
    }
    found.truncate(n);
    found
}

/// Leases up to `n` deliveries of an endpoint that are due.
pub(super) fn lease(
    view: &View<'_>,
    deliveries: &Deliveries,
    newest: &Newest,
    endpoint: EndpointId,
    now: Time,
    n: usize,
) -> Result<Vec<DeliveryLease>, StoreError> {
    let mut leased = Vec::new();
    for lane in LANES {
        let line = (endpoint, lane);
        leased.extend(deliveries.take(line, now, n - leased.len()));
        while leased.len() < n && deliveries.begin_read(line, now) {
            let prefix = keys::due_lane(endpoint, lane);
            let index = view.range(&prefix, &keys::end_of(&prefix)).map(|entry| {
                let (key, _) = entry?;
                let due = keys::due_fields(&key).map(|(.., due)| due);
                keys::last_id(&key).map(DeliveryId).zip(due).ok_or_else(keys::too_short)
            });
            deliveries.read(
                line,
                now,
                index,
                |id, due| {
                    let row = take(view, newest, id, due)?;
                    Ok(row.map(|row| (row.lease.delivery.attempts, size(&row.lease), row)))
                },
                |id, error| tracing::error!(delivery = %id, %error, "a delivery cannot be leased"),
            )?;
            leased.extend(deliveries.take(line, now, n - leased.len()));
        }
    }
    Ok(leased.into_iter().map(|row: Leasable| row.handed(view, newest)).collect())
}

/// Reads what was leased: it may have moved on between the look at the index and the lease.
fn take(view: &View<'_>, newest: &Newest, id: DeliveryId, due: Time) -> Result<Option<Leasable>, StoreError> {
    let Some(DeliveryRow { delivery, about, .. }) = view.delivery_row(id)? else { return Ok(None) };
    if delivery.state != (DeliveryState::Waiting { due }) {
        return Ok(None);
    }
    let Some(event) = view.stored_event(delivery.event)? else {
        return Err(StoreError::Damaged(format!("the event {} of delivery {id} is missing", delivery.event)));
    };
    let known = newest.known(view, delivery.endpoint, about.as_ref())?;
    let StoredEvent { kind, occurred_at, json: event, revision, .. } = event;
    let lease = DeliveryLease { delivery, kind, occurred_at, event, revision };
    Ok(Some(Leasable { lease, about, known }))
}

fn size(lease: &DeliveryLease) -> usize {
    LEASE_BYTES + lease.event.len()
}

/// The lease of a delivery that was just made, ready to be handed out.
pub(super) fn fresh(row: Leasable) -> Row<DeliveryId, Leasable> {
    let delivery = &row.lease.delivery;
    Row { key: delivery.id, due: delivery.created, bytes: size(&row.lease), what: row }
}

/// The first delivery of an event to an endpoint, before its first attempt.
pub(super) fn undelivered(
    event: EventId,
    endpoint: EndpointId,
    lane: u8,
    about: Option<AboutRow>,
    created: Time,
) -> DeliveryRow {
    let (id, state) = (DeliveryId::derive(event, endpoint, 0), DeliveryState::Waiting { due: created });
    let delivery =
        Delivery { id, event, endpoint, resend: 0, created, attempts: 0, step: 0, state, stale: None };
    DeliveryRow { lane, delivery, first: None, job: None, about }
}

/// The key in the index of what is due, if it waits.
fn due_key(row: &DeliveryRow) -> Option<Vec<u8>> {
    match row.delivery.state {
        DeliveryState::Waiting { due } => {
            Some(keys::due(row.delivery.endpoint, row.lane, due, row.delivery.id))
        }
        DeliveryState::Delivered { .. } | DeliveryState::Skipped { .. } | DeliveryState::Dead { .. } => None,
    }
}

/// An attempt as it will be written.
pub(super) struct Outcome {
    finish: Finish,
    /// Its row, unless it is written with the delivery.
    row: Option<Value>,
}

impl Outcome {
    /// Encodes an attempt: what can be done outside the committer.
    pub(super) fn new(finish: Finish) -> Outcome {
        let attempt = &finish.attempt;
        let inline = attempt.n == 1 && attempt.text_bytes() <= TEXT_WITH_DELIVERY_MAX;
        let row = (!inline).then(|| {
            let key = keys::attempt(finish.delivery.id, attempt.n);
            Value::new(key, rows::encode(attempt), 0)
        });
        Outcome { finish, row }
    }
}

/// What a recorded attempt changed.
pub(super) struct Finished {
    pub(super) committed: Committed,
    /// When the delivery is due again.
    pub(super) again: Option<Time>,
    /// Where and when one is due that waited for it alone.
    pub(super) released: Option<(Line, Time)>,
    /// What was taken last of its topic from now on.
    pub(super) newest: Option<([u8; 16], NewestRow)>,
}

/// Records an attempt and the next state. Of a delivery that a reprocess ended meanwhile the attempt is recorded too, and
/// that it was taken.
pub(super) fn finish(view: &mut View<'_>, outcome: Outcome, now: Time) -> Result<Finished, StoreError> {
    let Outcome { finish: Finish { delivery, attempt, after }, row: attempt_row } = outcome;
    let id = delivery.id;
    let lost = Ok(Finished { committed: Committed::LeaseLost, again: None, released: None, newest: None });
    let Some(mut row) = view.delivery_row(id)? else { return lost };
    let (waits, since) = match row.delivery.state {
        DeliveryState::Waiting { due } => (true, due),
        DeliveryState::Skipped { at, .. } => (false, at),
        DeliveryState::Delivered { .. } | DeliveryState::Dead { .. } => return lost,
    };
    if row.delivery.attempts != delivery.attempts {
        return lost;
    }
    let before = due_key(&row);
    row.delivery.attempts += 1;
    row.delivery.stale = delivery.stale;
    let uses_step = match &after {
        AfterAttempt::RetryAt(_) => true,
        AfterAttempt::Held | AfterAttempt::PutOff(_) => false,
        AfterAttempt::Delivered | AfterAttempt::Dead(_) | AfterAttempt::Skipped(_) => !attempt.trial,
    };
    row.delivery.step += u32::from(uses_step);
    row.delivery.state = match after {
        AfterAttempt::Delivered => DeliveryState::Delivered { at: now },
        _ if !waits => row.delivery.state,
        AfterAttempt::RetryAt(due) | AfterAttempt::PutOff(due) => DeliveryState::Waiting { due },
        AfterAttempt::Held => DeliveryState::Waiting { due: since },
        AfterAttempt::Dead(why) => DeliveryState::Dead { at: now, why },
        AfterAttempt::Skipped(why) => DeliveryState::Skipped { at: now, why },
    };
    let after = due_key(&row);
    if before != after {
        before.into_iter().for_each(|key| view.remove(key));
        after.into_iter().for_each(|key| view.put_new(key, &[]));
    }
    let mut finished = Finished { committed: Committed::Done, again: None, released: None, newest: None };
    let ended = u64::from(waits);
    match row.delivery.state {
        DeliveryState::Waiting { due } => finished.again = Some(due),
        DeliveryState::Delivered { .. } => {
            if let Some(about) = &row.about {
                let newest = newest::taken(view, row.delivery.endpoint, about, row.delivery.event)?;
                finished.newest = newest.map(|newest| (about.topic, newest));
            }
            view.count(|totals| {
                totals.waiting -= ended;
                totals.delivered += 1;
            })?;
        }
        DeliveryState::Skipped { .. } => view.count(|totals| totals.waiting -= ended)?,
        DeliveryState::Dead { .. } => {
            [None, Some(row.delivery.endpoint)].into_iter().for_each(|of| view.put(keys::dead(of, id), &[]));
            view.count(|totals| {
                totals.waiting -= 1;
                totals.dead += 1;
            })?;
        }
    }
    match attempt_row {
        Some(value) => {
            view.put_value(&value)?;
            view.put_pieces(value.pieces.as_ref());
        }
        None => row.first = Some(attempt),
    }
    match row.delivery.state {
        // What it says of why may be longer than a row. It is the last: none that it replaces is.
        DeliveryState::Dead { .. } | DeliveryState::Skipped { .. } => view.write(keys::delivery(id), &row)?,
        DeliveryState::Waiting { .. } | DeliveryState::Delivered { .. } => {
            view.write_short(keys::delivery(id), &row);
        }
    }
    if waits && finished.again.is_none() {
        finished.released = order::leave(view, &row)?;
    }
    Ok(finished)
}

/// Sets a gate if its version is still the expected one.
pub(super) fn set_gate(
    view: &mut View<'_>,
    endpoint: EndpointId,
    gate: Gate,
    turned: Turned,
    expected: u64,
) -> Result<Option<u64>, StoreError> {
    let version = view.gate_row(endpoint)?.version;
    if version != expected {
        return Ok(None);
    }
    let row = GateRow { gate, version: version + 1, turned: Some(turned) };
    view.write(keys::gate(endpoint), &row)?;
    Ok(Some(version + 1))
}

/// Stores a rotation if its version is still the expected one. Answers the row.
pub(super) fn rotate(
    view: &mut View<'_>,
    endpoint: EndpointId,
    rotation: Rotation,
    expected: u64,
) -> Result<Option<RotationRow>, StoreError> {
    let key = keys::rotation(endpoint);
    let version = view.read::<RotationDoc>("rotation", &key)?.map_or(0, |doc| doc.row().version);
    if version != expected {
        return Ok(None);
    }
    let version = version + 1;
    view.write(key, &RotationDoc::of(&rotation, version))?;
    Ok(Some(RotationRow { rotation: Some(Arc::new(rotation)), version }))
}
