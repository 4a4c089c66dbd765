//! The way out: what is due at an endpoint, attempts with what follows from them, gates, and dead letters redriven.

use super::dispatching::LANES;
use super::keys;
use super::leases::Leases;
use super::rows::{self, AttemptRow, DeliveryRow, GateDoc, StateRow};
use super::view::View;
use crate::model::delivery::{Delivery, DeliveryState};
use crate::model::endpoint::Gate;
use crate::model::id::{DeliveryId, EndpointId, WebhookId};
use crate::model::webhook::WebhookState;
use crate::store::{
    AfterAttempt, Committed, DeliveryLease, Due, Finish, GateRow, Moved, Redrive, StoreError,
};
use billhook_event::Time;

/// Leases of deliveries: the attempts recorded before tell one from the next.
pub(super) type DeliveryLeases = Leases<DeliveryId, u32>;

/// One row for each endpoint with waiting deliveries that nobody has leased. Seeks from endpoint to endpoint, two
/// looks each, and passes over leased rows only: what waits behind the first of a lane is never read.
pub(super) fn due(view: &View<'_>, leases: &DeliveryLeases, n: usize) -> Result<Vec<Due>, StoreError> {
    let mut found = Vec::new();
    let mut from = vec![keys::prefix::DUE];
    let end = keys::end_of(&from);
    while found.len() < n {
        let Some((key, _)) = view.range(&from, &end).next().transpose()? else { break };
        let (endpoint, ..) = keys::due_fields(&key).ok_or_else(bad_key)?;
        let mut oldest: Option<Time> = None;
        for lane in LANES {
            let first = first_free(view, leases, &keys::due_lane(endpoint, lane))?;
            oldest = [oldest, first].into_iter().flatten().min();
        }
        found.extend(oldest.map(|oldest| Due { endpoint, oldest }));
        from = keys::end_of(&key[..17]);
    }
    Ok(found)
}

/// When the first row of a lane that nobody has leased is due.
fn first_free(view: &View<'_>, leases: &DeliveryLeases, lane: &[u8]) -> Result<Option<Time>, StoreError> {
    for entry in view.range(lane, &keys::end_of(lane)) {
        let (key, _) = entry?;
        if keys::last_id(&key).is_some_and(|id| !leases.is_held(&DeliveryId(id))) {
            return keys::due_fields(&key).map(|(.., due)| Some(due)).ok_or_else(bad_key);
        }
    }
    Ok(None)
}

/// Leases up to `n` deliveries of an endpoint that are due.
pub(super) fn lease(
    view: &View<'_>,
    leases: &DeliveryLeases,
    endpoint: EndpointId,
    now: Time,
    n: usize,
) -> Result<Vec<DeliveryLease>, StoreError> {
    let mut leased = Vec::new();
    for lane in LANES {
        let end = keys::end_of(&keys::due(endpoint, lane, now, DeliveryId([255; 16])));
        for entry in view.range(&keys::due_lane(endpoint, lane), &end) {
            if leased.len() >= n {
                return Ok(leased);
            }
            let (key, _) = entry?;
            let Some(id) = keys::last_id(&key).map(DeliveryId) else { continue };
            if !leases.take(id) {
                continue;
            }
            match take(view, id, &key) {
                Ok(Some(lease)) => {
                    leases.mark(id, lease.delivery.attempts);
                    leased.push(lease);
                }
                Ok(None) => leases.free(&id),
                Err(error) => {
                    // One row that cannot be read holds up nobody else: it stays leased until a restart.
                    tracing::error!(delivery = %id, %error, "a delivery cannot be leased");
                }
            }
        }
    }
    Ok(leased)
}

/// Reads what was leased: it may have moved on between the look at the index and the lease.
fn take(view: &View<'_>, id: DeliveryId, key: &[u8]) -> Result<Option<DeliveryLease>, StoreError> {
    let Some(row) = view.delivery_row(id)? else { return Ok(None) };
    if due_key(&row).is_none_or(|due| key != due) {
        return Ok(None);
    }
    let delivery = row.delivery;
    let Some(event) = view.stored_event(delivery.event)? else {
        return Err(StoreError::Damaged(format!("the event {} of delivery {id} is missing", delivery.event)));
    };
    Ok(Some(DeliveryLease { delivery, kind: event.kind, event: event.json }))
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
#[derive(Clone)]
pub(super) struct Outcome {
    finish: Finish,
    attempt: rows::Value,
}

impl Outcome {
    /// Encodes an attempt: what can be done outside the committer.
    pub(super) fn new(finish: Finish) -> Outcome {
        let key = keys::attempt(finish.delivery.id, finish.attempt.n);
        let attempt = rows::Value::new(key, rows::encode(&AttemptRow(finish.attempt.clone())), 0);
        Outcome { finish, attempt }
    }
}

/// Records an attempt and the next state.
pub(super) fn finish(view: &mut View<'_>, outcome: &Outcome, now: Time) -> Result<Committed, StoreError> {
    let Outcome { finish, attempt } = outcome;
    let id = finish.delivery.id;
    let Some(mut row) = view.delivery_row(id)? else { return Ok(Committed::LeaseLost) };
    let DeliveryState::Waiting { due } = row.delivery.state else { return Ok(Committed::LeaseLost) };
    if row.delivery.attempts != finish.delivery.attempts {
        return Ok(Committed::LeaseLost);
    }
    let before = due_key(&row);
    row.delivery.attempts += 1;
    let uses_step = match &finish.after {
        AfterAttempt::RetryAt(_) => true,
        AfterAttempt::Held => false,
        AfterAttempt::Delivered | AfterAttempt::Dead(_) => !finish.attempt.trial,
    };
    row.delivery.step += u32::from(uses_step);
    row.delivery.state = match &finish.after {
        AfterAttempt::Delivered => DeliveryState::Delivered { at: now },
        AfterAttempt::RetryAt(due) => DeliveryState::Waiting { due: *due },
        AfterAttempt::Held => DeliveryState::Waiting { due },
        AfterAttempt::Dead(why) => DeliveryState::Dead { at: now, why: why.clone() },
    };
    let after = due_key(&row);
    if before != after {
        before.into_iter().for_each(|key| view.remove(key));
        after.into_iter().for_each(|key| view.put(key, &[]));
    }
    match row.delivery.state {
        DeliveryState::Waiting { .. } => {}
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
    view.write(keys::delivery(id), &row)?;
    view.put_value(attempt)?;
    view.put_pieces(attempt.pieces.as_ref());
    Ok(Committed::Done)
}

/// Sets a gate if its version is still the expected one.
pub(super) fn set_gate(
    view: &mut View<'_>,
    endpoint: EndpointId,
    gate: Gate,
    expected: u64,
) -> Result<Option<u64>, StoreError> {
    let version = view.gate_row(endpoint)?.version;
    if version != expected {
        return Ok(None);
    }
    let row = GateRow { gate, version: version + 1 };
    view.write(keys::gate(endpoint), &GateDoc(row))?;
    Ok(Some(version + 1))
}

/// Moves up to `n` dead letters on. What is redriven leaves the dead letters, so a repeat finds nothing.
pub(super) fn redrive(
    view: &mut View<'_>,
    select: &Redrive,
    now: Time,
    n: usize,
) -> Result<Moved, StoreError> {
    let (dead, more) = match select {
        Redrive::Delivery(id) => (existing(view, keys::dead(None, *id))?, false),
        Redrive::Webhook(id) => (existing(view, keys::dead_webhook(*id))?, false),
        Redrive::Deliveries(endpoint) => some(view, &keys::dead_of(*endpoint), n)?,
        Redrive::Webhooks => some(view, &keys::dead_webhooks(), n)?,
    };
    let mut count = 0;
    for key in dead {
        let id = keys::last_id(&key).ok_or_else(bad_key)?;
        count += usize::from(match select {
            Redrive::Delivery(_) | Redrive::Deliveries(_) => redrive_delivery(view, DeliveryId(id), now)?,
            Redrive::Webhook(_) | Redrive::Webhooks => redrive_webhook(view, WebhookId(id), now)?,
        });
    }
    Ok(Moved { count, more })
}

fn existing(view: &View<'_>, key: Vec<u8>) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(if view.has(&key)? { vec![key] } else { Vec::new() })
}

fn some(view: &View<'_>, prefix: &[u8], n: usize) -> Result<(Vec<Vec<u8>>, bool), StoreError> {
    let found = view.range(prefix, &keys::end_of(prefix)).take(n.saturating_add(1));
    let mut found = found.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>, StoreError>>()?;
    let more = found.len() > n;
    found.truncate(n);
    Ok((found, more))
}

/// The next delivery of the same event to the same endpoint, from the start of the schedule.
fn redrive_delivery(view: &mut View<'_>, id: DeliveryId, now: Time) -> Result<bool, StoreError> {
    let Some(DeliveryRow { lane, delivery: dead }) = view.delivery_row(id)? else { return Ok(false) };
    [None, Some(dead.endpoint)].into_iter().for_each(|of| view.remove(keys::dead(of, id)));
    let mut resend = dead.resend + 1;
    while view.has(&keys::delivery(DeliveryId::derive(dead.event, dead.endpoint, resend)))? {
        resend += 1;
    }
    let id = DeliveryId::derive(dead.event, dead.endpoint, resend);
    let state = DeliveryState::Waiting { due: now };
    let delivery = Delivery { id, resend, created: now, attempts: 0, step: 0, state, ..dead };
    view.put(keys::due(delivery.endpoint, lane, now, id), &[]);
    view.write(keys::delivery(id), &DeliveryRow { lane, delivery })?;
    view.count(|totals| {
        totals.dead -= 1;
        totals.waiting += 1;
    })?;
    Ok(true)
}

/// Back to the pipeline, as the next run.
fn redrive_webhook(view: &mut View<'_>, id: WebhookId, now: Time) -> Result<bool, StoreError> {
    let Some(from) = view.state(id)? else { return Ok(false) };
    let WebhookState::Dead { .. } = from.state else { return Ok(false) };
    let state = WebhookState::Undispatched { failures: 0, due: now, last: None };
    view.move_webhook(id, &from, &StateRow { run: from.run + 1, state })?;
    view.count(|totals| {
        totals.webhooks_dead -= 1;
        totals.undispatched += 1;
    })?;
    Ok(true)
}

fn bad_key() -> StoreError {
    StoreError::Damaged("a key is too short".into())
}
