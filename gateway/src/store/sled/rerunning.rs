//! What a later run of a webhook makes of an event that an earlier one left.
//!
//! What the event says stays under its id, byte for byte, once something of it was sent. So a run that says the same
//! keeps the document, and one that says something else makes the next revision of it, under a `webhook-id` of its
//! own; only what was never sent is replaced in place.

use super::delivering::{Deliveries, Line};
use super::dispatching::lane;
use super::keys;
use super::order;
use super::resending::{again, newest};
use super::rows::{DeliveryRow, EventRow};
use super::view::View;
use crate::model::attempt::Outcome;
use crate::model::delivery::DeliveryState;
use crate::model::dispatch::{NewEvent, says_the_same};
use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};
use crate::store::StoreError;
use billhook_event::Time;
use bytes::Bytes;
use std::sync::Arc;

/// What there was before, and what becomes of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// Every endpoint it was ever owed to.
    pub(super) endpoints: Vec<EndpointId>,
    /// The revision that the event is from now on.
    pub(super) revision: u32,
    /// Whether it says something else now.
    changed: bool,
    /// Whether something else was sent, perhaps.
    sent: bool,
    /// Whether what stays as it is is sent again too.
    resend: bool,
}

/// Waiting deliveries that nobody may send until it is known what they say; dropping it gives them back.
pub(super) struct Seized {
    deliveries: Arc<Deliveries>,
    ids: Vec<DeliveryId>,
}

impl Seized {
    pub(super) fn none(deliveries: &Arc<Deliveries>) -> Seized {
        Seized { deliveries: Arc::clone(deliveries), ids: Vec::new() }
    }

    /// Whether nobody else has it from now on.
    fn take(&mut self, row: &DeliveryRow, due: Time) -> bool {
        let taken = self.deliveries.seize((row.delivery.endpoint, row.lane), row.delivery.id, due);
        self.ids.extend(taken.then_some(row.delivery.id));
        taken
    }
}

impl Drop for Seized {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.deliveries.free(id));
    }
}

impl Before {
    /// Compares a rerun's event with what is stored of it. If it says the same, the stored document takes the place of
    /// the new one.
    pub(super) fn of(
        view: &View<'_>,
        event: &mut NewEvent,
        resend: bool,
        seized: &mut Seized,
    ) -> Result<Before, StoreError> {
        let Some(EventRow { endpoints, revision, .. }) = view.event_row(event.id)? else {
            return Ok(Before::first());
        };
        let stored = view.stored_event(event.id)?.map(|stored| stored.json).unwrap_or_default();
        let mut before = Before { endpoints, revision, resend, ..Before::first() };
        before.changed = !says_the_same(&stored, &event.json);
        // What may end must not be handed out meanwhile, whatever is said.
        if before.changed || event.dropped.is_some() {
            let sent = was_sent(view, event.id, &before.endpoints, seized)?;
            before.sent = before.changed && sent;
            before.revision += u32::from(before.sent);
        }
        if !before.changed {
            event.json = Bytes::clone(&stored);
        }
        Ok(before)
    }

    /// There was nothing.
    pub(super) fn first() -> Before {
        Before { revision: 1, ..Before::default() }
    }

    /// Whether an endpoint whose newest delivery has ended is owed the event again.
    fn sends_again(&self) -> bool {
        self.changed || self.resend
    }
}

/// The events that an earlier run told and one with only the first `told` does not, with those they were owed to.
pub(super) fn no_longer_told(
    view: &View<'_>,
    webhook: WebhookId,
    told: usize,
    seized: &mut Seized,
) -> Result<Vec<(EventId, Vec<EndpointId>)>, StoreError> {
    let mut gone = Vec::new();
    // Ids follow from places, and places have no gaps.
    for index in u32::try_from(told).unwrap_or(u32::MAX).. {
        let id = EventId::derive(webhook, index);
        let Some(EventRow { endpoints, .. }) = view.event_row(id)? else { break };
        // Nobody begins to send it from now on; who has begun cannot be stopped.
        was_sent(view, id, &endpoints, seized)?;
        gone.push((id, endpoints));
    }
    Ok(gone)
}

/// Whether anybody may have got something of the event: an attempt was recorded, or is under way. What nobody has is
/// seized.
fn was_sent(
    view: &View<'_>,
    event: EventId,
    endpoints: &[EndpointId],
    seized: &mut Seized,
) -> Result<bool, StoreError> {
    let mut sent = false;
    for endpoint in endpoints {
        for resend in 0.. {
            let id = DeliveryId::derive(event, *endpoint, resend);
            let Some(row) = view.delivery_row(id)? else { break };
            sent |= row.delivery.attempts > 0;
            if let DeliveryState::Waiting { due } = row.delivery.state {
                // Whoever had it may have recorded an attempt since it was read.
                sent |= !seized.take(&row, due)
                    || view.delivery_row(id)?.is_none_or(|now| now.delivery != row.delivery);
            }
        }
    }
    Ok(sent)
}

/// Ends what waits and is no longer to be sent: an older revision, or to an endpoint that gets it no more. What waited
/// for that alone is due from now on: adds where and when to `released`.
pub(super) fn end_replaced(
    view: &mut View<'_>,
    before: &Before,
    event: &super::dispatching::PlannedEvent,
    now: Time,
    released: &mut Vec<(Line, Time)>,
) -> Result<(), StoreError> {
    for endpoint in &before.endpoints {
        let gets_it = event.endpoints.contains(endpoint);
        let replaced = before.changed && before.sent;
        if !replaced && (gets_it || !(before.changed || event.dropped)) {
            continue;
        }
        let why = match gets_it {
            true => format!("revision {} of the event takes its place", before.revision),
            false => "a reprocess no longer sends the event here".to_owned(),
        };
        released.extend(end_waiting(view, event.id, *endpoint, why, now)?);
    }
    Ok(())
}

/// Ends what waits of an event that is not told any more; adds to `released` as [`end_replaced`] does.
pub(super) fn end_gone(
    view: &mut View<'_>,
    event: EventId,
    endpoints: &[EndpointId],
    now: Time,
    released: &mut Vec<(Line, Time)>,
) -> Result<(), StoreError> {
    for endpoint in endpoints {
        let why = "a reprocess no longer gives the event".to_owned();
        released.extend(end_waiting(view, event, *endpoint, why, now)?);
    }
    Ok(())
}

fn end_waiting(
    view: &mut View<'_>,
    event: EventId,
    endpoint: EndpointId,
    why: String,
    now: Time,
) -> Result<Option<(Line, Time)>, StoreError> {
    let Some(row) = view.delivery_row(DeliveryId::derive(event, endpoint, 0))? else { return Ok(None) };
    let mut row = newest(view, row)?;
    let DeliveryState::Waiting { due } = row.delivery.state else { return Ok(None) };
    view.remove(keys::due(endpoint, row.lane, due, row.delivery.id));
    row.delivery.state = DeliveryState::Skipped { at: now, why };
    view.write(keys::delivery(row.delivery.id), &row)?;
    view.count(|totals| totals.waiting -= 1)?;
    order::leave(view, &row)
}

/// Whether a reprocess ended it, and not an attempt that found it worth nothing: told again, it is owed again.
pub(super) fn was_withdrawn(view: &View<'_>, row: &DeliveryRow) -> Result<bool, StoreError> {
    let DeliveryState::Skipped { .. } = row.delivery.state else { return Ok(false) };
    let attempts = view.attempts_of(row.delivery.id)?;
    Ok(!attempts.last().is_some_and(|last| matches!(last.outcome, Outcome::Skipped(_))))
}

/// What an endpoint is owed that was owed the event before: the delivery that follows, if one does and waits for no
/// other.
pub(super) fn owe_again(
    view: &mut View<'_>,
    before: &Before,
    event: &super::dispatching::PlannedEvent,
    first: DeliveryRow,
    now: Time,
) -> Result<Option<DeliveryRow>, StoreError> {
    let mut newest = newest(view, first)?;
    let waits = matches!(newest.delivery.state, DeliveryState::Waiting { .. });
    if waits || !(before.sends_again() || was_withdrawn(view, &newest)?) {
        return Ok(None);
    }
    newest.lane = lane(&event.kind);
    if let Some((about, new)) = newest.about.as_mut().zip(event.about) {
        (about.topic, about.occurred_at) = (new.topic, new.occurred_at);
    }
    let (id, (endpoint, lane)) = again(view, newest, None, now)?;
    match view.has(&keys::due(endpoint, lane, now, id))? {
        true => view.delivery_row(id),
        false => Ok(None),
    }
}
