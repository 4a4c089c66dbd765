//! The line of an entity at an endpoint that takes events in order: only the first of it is in the index of what is
//! due, so nobody is handed another, and whatever ends the first one shows the next.
//!
//! A line is rows in the tree, written in the commits that make and end deliveries: there is nothing to bring back
//! after a crash, and a look at what is due reads no line. Its first delivery goes by its own lane and due time; one
//! behind it waits, whatever its lane.

use super::delivering::Line;
use super::keys;
use super::rows::{DeliveryRow, PlaceRow};
use super::view::View;
use crate::model::delivery::DeliveryState;
use crate::model::id::{DeliveryId, EndpointId};
use crate::store::StoreError;
use billhook_event::Time;

/// Puts a delivery at the end of a line. Answers its place, and whether it is the first.
pub(super) fn enter(
    view: &mut View<'_>,
    endpoint: EndpointId,
    entity: [u8; 16],
    id: DeliveryId,
) -> Result<(PlaceRow, bool), StoreError> {
    let line = keys::line(endpoint, &entity);
    let last = view.range_back(&line, &keys::end_of(&line)).next().transpose()?;
    let n = match &last {
        Some((key, _)) => keys::last_number(key).ok_or_else(keys::too_short)? + 1,
        None => 0,
    };
    view.put(keys::in_line(endpoint, &entity, n), id.bytes().as_slice());
    Ok((PlaceRow { entity, n }, last.is_none()))
}

/// Whether a delivery waits for no other.
pub(super) fn is_first(view: &View<'_>, row: &DeliveryRow) -> Result<bool, StoreError> {
    let Some(PlaceRow { entity, n }) = row.about.and_then(|about| about.place) else { return Ok(true) };
    let endpoint = row.delivery.endpoint;
    let first = view.first(&keys::line(endpoint, &entity))?;
    Ok(first.is_some_and(|(key, _)| key == keys::in_line(endpoint, &entity, n)))
}

/// The first of the line in which a delivery waits; `None` if it waits for no other.
pub(super) fn ahead_of(view: &View<'_>, id: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
    let Some(DeliveryRow { about, delivery, .. }) = view.delivery_row(id)? else { return Ok(None) };
    let DeliveryState::Waiting { .. } = delivery.state else { return Ok(None) };
    let Some(PlaceRow { entity, .. }) = about.and_then(|about| about.place) else { return Ok(None) };
    let Some((_, first)) = view.first(&keys::line(delivery.endpoint, &entity))? else { return Ok(None) };
    let first = DeliveryId(keys::last_id(&first).ok_or_else(keys::too_short)?);
    Ok((first != id).then_some(first))
}

/// How many deliveries wait for an endpoint, up to `n`: those that are due some time, and those that stand in a line
/// behind one that is.
pub(super) fn waiting(view: &View<'_>, endpoint: EndpointId, n: usize) -> Result<usize, StoreError> {
    let (due, lines) = (keys::due_at(endpoint), keys::lines(endpoint));
    let mut count = 0;
    for entry in view.range(&due, &keys::end_of(&due)).take(n) {
        entry?;
        count += 1;
    }
    // The first of each line was counted: at most so many are looked at for nothing.
    let mut line = None;
    for entry in view.range(&lines, &keys::end_of(&lines)) {
        if count >= n {
            break;
        }
        let (key, _) = entry?;
        let entity = key.get(lines.len()..lines.len() + 16).map(<[u8]>::to_vec);
        let is_first = line != entity;
        line = entity;
        count += usize::from(!is_first);
    }
    Ok(count)
}

/// Takes a delivery that has ended out of its line, if it is in one. If it was the first, the next one is due:
/// answers where and when.
pub(super) fn leave(view: &mut View<'_>, ended: &DeliveryRow) -> Result<Option<(Line, Time)>, StoreError> {
    let Some(PlaceRow { entity, n }) = ended.about.and_then(|about| about.place) else { return Ok(None) };
    let endpoint = ended.delivery.endpoint;
    let line = keys::line(endpoint, &entity);
    let was_first = is_first(view, ended)?;
    view.remove(keys::in_line(endpoint, &entity, n));
    while was_first && let Some((key, id)) = view.first(&line)? {
        let id = DeliveryId(keys::last_id(&id).ok_or_else(keys::too_short)?);
        if let Some(DeliveryRow { lane, delivery, .. }) = view.delivery_row(id)?
            && let DeliveryState::Waiting { due } = delivery.state
        {
            view.put_new(keys::due(endpoint, lane, due, id), &[]);
            return Ok(Some(((endpoint, lane), due)));
        }
        // Nobody waits here: a row that is damaged must not hold up those behind it.
        view.remove(key);
    }
    Ok(None)
}
