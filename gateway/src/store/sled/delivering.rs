//! The way out: what is due at an endpoint, attempts with what follows from them, and gates.

use super::dispatching::LANES;
use super::keys;
use super::ready::{Ready, Row};
use super::rows::{self, AttemptRow, DeliveryRow, GateDoc, Value};
use super::view::View;
use crate::model::delivery::DeliveryState;
use crate::model::endpoint::{Gate, Turned};
use crate::model::id::{DeliveryId, EndpointId};
use crate::store::{AfterAttempt, Committed, DeliveryLease, Due, Finish, GateRow, StoreError};
use billhook_event::Time;

/// One lane of an endpoint.
pub(super) type Line = (EndpointId, u8);
/// One line for each lane of an endpoint: the attempts recorded before tell one lease from the next.
pub(super) type Deliveries = Ready<Line, DeliveryId, u32, DeliveryLease>;

/// About what a lease takes in memory beside its event.
const LEASE_BYTES: usize = 512;
/// A first attempt with a longer answer is a row of its own: the row of the delivery is written again and again.
const ANSWER_WITH_DELIVERY_MAX: usize = 256;

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
                |id, due| Ok(take(view, id, due)?.map(|lease| (lease.delivery.attempts, size(&lease), lease))),
                |id, error| tracing::error!(delivery = %id, %error, "a delivery cannot be leased"),
            )?;
            leased.extend(deliveries.take(line, now, n - leased.len()));
        }
    }
    Ok(leased)
}

/// Reads what was leased: it may have moved on between the look at the index and the lease.
fn take(view: &View<'_>, id: DeliveryId, due: Time) -> Result<Option<DeliveryLease>, StoreError> {
    let Some(DeliveryRow { delivery, .. }) = view.delivery_row(id)? else { return Ok(None) };
    if delivery.state != (DeliveryState::Waiting { due }) {
        return Ok(None);
    }
    let Some(event) = view.stored_event(delivery.event)? else {
        return Err(StoreError::Damaged(format!("the event {} of delivery {id} is missing", delivery.event)));
    };
    Ok(Some(DeliveryLease { delivery, kind: event.kind, event: event.json, revision: event.revision }))
}

fn size(lease: &DeliveryLease) -> usize {
    LEASE_BYTES + lease.event.len()
}

/// The lease of a delivery that was just made, ready to be handed out.
pub(super) fn fresh(lease: DeliveryLease) -> Row<DeliveryId, DeliveryLease> {
    Row { key: lease.delivery.id, due: lease.delivery.created, bytes: size(&lease), what: lease }
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
        let inline = attempt.n == 1 && attempt.answer.len() <= ANSWER_WITH_DELIVERY_MAX;
        let row = (!inline).then(|| {
            let key = keys::attempt(finish.delivery.id, attempt.n);
            Value::new(key, rows::encode(&AttemptRow(attempt.clone())), 0)
        });
        Outcome { finish, row }
    }
}

/// Records an attempt and the next state. Answers when the delivery is due again.
pub(super) fn finish(
    view: &mut View<'_>,
    outcome: Outcome,
    now: Time,
) -> Result<(Committed, Option<Time>), StoreError> {
    let Outcome { finish: Finish { delivery, attempt, after }, row: attempt_row } = outcome;
    let id = delivery.id;
    let lost = Ok((Committed::LeaseLost, None));
    let Some(mut row) = view.delivery_row(id)? else { return lost };
    let DeliveryState::Waiting { due } = row.delivery.state else { return lost };
    if row.delivery.attempts != delivery.attempts {
        return lost;
    }
    let before = due_key(&row);
    row.delivery.attempts += 1;
    let uses_step = match &after {
        AfterAttempt::RetryAt(_) => true,
        AfterAttempt::Held => false,
        AfterAttempt::Delivered | AfterAttempt::Dead(_) | AfterAttempt::Skipped(_) => !attempt.trial,
    };
    row.delivery.step += u32::from(uses_step);
    row.delivery.state = match after {
        AfterAttempt::Delivered => DeliveryState::Delivered { at: now },
        AfterAttempt::RetryAt(due) => DeliveryState::Waiting { due },
        AfterAttempt::Held => DeliveryState::Waiting { due },
        AfterAttempt::Dead(why) => DeliveryState::Dead { at: now, why },
        AfterAttempt::Skipped(why) => DeliveryState::Skipped { at: now, why },
    };
    let after = due_key(&row);
    if before != after {
        before.into_iter().for_each(|key| view.remove(key));
        after.into_iter().for_each(|key| view.put(key, &[]));
    }
    let mut again = None;
    match row.delivery.state {
        DeliveryState::Waiting { due } => again = Some(due),
        DeliveryState::Delivered { .. } => view.count(|totals| {
            totals.waiting -= 1;
            totals.delivered += 1;
        })?,
        DeliveryState::Skipped { .. } => view.count(|totals| totals.waiting -= 1)?,
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
        None => row.first = Some(AttemptRow(attempt)),
    }
    view.write_short(keys::delivery(id), &row);
    Ok((Committed::Done, again))
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
    view.write(keys::gate(endpoint), &GateDoc(row))?;
    Ok(Some(version + 1))
}
