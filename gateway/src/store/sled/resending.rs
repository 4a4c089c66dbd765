//! Once more: one delivery again, dead letters redriven.
//!
//! Of the deliveries of one event to one endpoint only the newest counts: it alone may wait or be a dead letter, and
//! the next one follows it.

use super::delivering::Line;
use super::keys;
use super::order;
use super::reading;
use super::rows::{DeliveryRow, StateRow};
use super::view::View;
use crate::model::delivery::{Delivery, DeliveryState};
use crate::model::id::{DeliveryId, JobId, WebhookId};
use crate::model::webhook::WebhookState;
use crate::store::{Moved, Page, Redrive, Resent, StoreError};
use billhook_event::Time;

/// Of the time at the head of where a page begins.
const TIME_BYTES: usize = 8;

/// What goes through a line again.
pub(super) enum Again {
    Delivery(Line),
    Webhook,
}

/// Sends the event of a delivery to its endpoint again. Answers the line that has the new delivery.
pub(super) fn resend(
    view: &mut View<'_>,
    id: DeliveryId,
    now: Time,
) -> Result<(Resent, Option<Line>), StoreError> {
    let Some(row) = view.delivery_row(id)? else { return Ok((Resent::Unknown, None)) };
    let newest = newest(view, row)?;
    if let DeliveryState::Waiting { .. } = newest.delivery.state {
        return Ok((Resent::Waits(newest.delivery.id), None));
    }
    let (id, line) = again(view, newest, None, now)?;
    Ok((Resent::New(id), Some(line)))
}

/// The last delivery of the same event to the same endpoint.
pub(super) fn newest(view: &View<'_>, mut row: DeliveryRow) -> Result<DeliveryRow, StoreError> {
    while let Some(later) = view.delivery_row(next_id(&row.delivery))? {
        row = later;
    }
    Ok(row)
}

/// The id of the delivery that follows.
pub(super) fn next_id(delivery: &Delivery) -> DeliveryId {
    DeliveryId::derive(delivery.event, delivery.endpoint, delivery.resend + 1)
}

/// Makes the delivery that follows `newest`, which has ended: from the start of the schedule, and where its endpoint
/// took it in order, at the end of the line.
pub(super) fn again(
    view: &mut View<'_>,
    newest: DeliveryRow,
    job: Option<JobId>,
    now: Time,
) -> Result<(DeliveryId, Line), StoreError> {
    let DeliveryRow { lane, delivery: before, mut about, .. } = newest;
    if let DeliveryState::Dead { .. } = before.state {
        [None, Some(before.endpoint)].into_iter().for_each(|of| view.remove(keys::dead(of, before.id)));
        view.count(|totals| totals.dead -= 1)?;
    }
    let (id, endpoint, state) = (next_id(&before), before.endpoint, DeliveryState::Waiting { due: now });
    let resend = before.resend + 1;
    let delivery = Delivery { id, resend, created: now, attempts: 0, step: 0, state, stale: None, ..before };
    let mut is_first = true;
    if let Some(place) = about.as_mut().and_then(|about| about.place.as_mut()) {
        (*place, is_first) = order::enter(view, endpoint, place.entity, id)?;
    }
    if is_first {
        view.put_new(keys::due(endpoint, lane, now, id), &[]);
    }
    view.write(keys::delivery(id), &DeliveryRow { lane, delivery, first: None, job, about })?;
    view.count(|totals| totals.waiting += 1)?;
    Ok((id, (endpoint, lane)))
}

/// Moves a page of dead letters on, oldest first. What is redriven leaves the dead letters, so a repeat finds nothing,
/// unless it died again; the pages after one never come by what that one made.
pub(super) fn redrive(
    view: &mut View<'_>,
    select: &Redrive,
    now: Time,
    page: &Page,
) -> Result<(Moved, Vec<Again>), StoreError> {
    let (dead, next) = match select {
        Redrive::Delivery(id) => (existing(view, keys::dead(None, *id))?, None),
        Redrive::Webhook(id) => (existing(view, keys::dead_webhook(*id))?, None),
        Redrive::Deliveries(endpoint) => some(view, &keys::dead_of(Some(*endpoint)), page, now)?,
        Redrive::Webhooks => some(view, &keys::dead_webhooks(), page, now)?,
    };
    // A delivery made later may be of a redriven one, and among those of the same millisecond it may stand anywhere.
    let before = begun(page).unwrap_or(Time::MAX);
    let mut redriven = Vec::new();
    for key in dead {
        let id = keys::last_id(&key).ok_or_else(keys::too_short)?;
        redriven.extend(match select {
            Redrive::Delivery(_) | Redrive::Deliveries(_) => {
                let row = passable(select, view.delivery_row(DeliveryId(id)), &id)?;
                let Some(dead) = row.filter(|row| row.delivery.created < before) else { continue };
                Some(Again::Delivery(again(view, dead, None, now)?.1))
            }
            Redrive::Webhook(_) | Redrive::Webhooks => {
                let Some(row) = passable(select, view.state(WebhookId(id)), &id)? else { continue };
                redrive_webhook(view, WebhookId(id), row, now)?
            }
        });
    }
    Ok((Moved { count: redriven.len(), next }, redriven))
}

/// What was read of a dead letter: of many, one that cannot be read is passed over.
fn passable<T>(
    select: &Redrive,
    read: Result<Option<T>, StoreError>,
    id: &[u8; 16],
) -> Result<Option<T>, StoreError> {
    match select {
        Redrive::Delivery(_) | Redrive::Webhook(_) => read,
        Redrive::Deliveries(_) | Redrive::Webhooks => Ok(reading::unless_damaged(read, id)?.flatten()),
    }
}

fn existing(view: &View<'_>, key: Vec<u8>) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(if view.has(&key)? { vec![key] } else { Vec::new() })
}

/// The keys of a page of dead letters, and where the next page begins: when the first was read, and the id of the last
/// letter.
type Letters = (Vec<Vec<u8>>, Option<Vec<u8>>);

fn some(view: &View<'_>, prefix: &[u8], page: &Page, now: Time) -> Result<Letters, StoreError> {
    let last = page.after.get(TIME_BYTES..).unwrap_or_default();
    // The least key after that of the last letter.
    let begin = if last.is_empty() { prefix.to_vec() } else { [prefix, last, &[0]].concat() };
    let found = view.range(&begin, &keys::end_of(prefix)).take(page.n.saturating_add(1));
    let mut found = found.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>, StoreError>>()?;
    if found.len() <= page.n {
        return Ok((found, None));
    }
    found.truncate(page.n);
    let last = found.last().map_or(last, |key| &key[prefix.len()..]);
    let begun = begun(page).unwrap_or(now).millis().to_be_bytes();
    let next = [&begun[..], last].concat();
    Ok((found, Some(next)))
}

/// When the first of the pages was read; `None`: this is the first.
fn begun(page: &Page) -> Option<Time> {
    page.after.first_chunk::<TIME_BYTES>().map(|millis| Time::from_millis(u64::from_be_bytes(*millis)))
}

/// Back to the pipeline, as the next run.
fn redrive_webhook(
    view: &mut View<'_>,
    id: WebhookId,
    from: StateRow,
    now: Time,
) -> Result<Option<Again>, StoreError> {
    let WebhookState::Dead { .. } = from.state else { return Ok(None) };
    let resend = from.resend;
    rerun(view, id, from, resend, now)?;
    Ok(Some(Again::Webhook))
}

/// Puts a webhook that is through, or was given up, before the pipeline again. `resend`: what stays as it is is sent
/// again too.
pub(super) fn rerun(
    view: &mut View<'_>,
    id: WebhookId,
    from: StateRow,
    resend: bool,
    now: Time,
) -> Result<(), StoreError> {
    let state = WebhookState::Undispatched { failures: 0, due: now, last: None };
    let to = StateRow { resend, ..from.moved(from.run + 1, state) };
    view.move_webhook(id, &from, &to)?;
    let was_dead = matches!(from.state, WebhookState::Dead { .. });
    view.count(|totals| {
        totals.webhooks_dead -= u64::from(was_dead);
        totals.undispatched += 1;
    })
}
