//! Reading for people: lists from the newest to the oldest, and the whole story of a webhook.

use super::view::View;
use super::{keys, refusing, replaying};
use crate::model::attempt::Attempt;
use crate::model::delivery::Delivery;
use crate::model::id::{DeliveryId, EventId, JobId, RefusedId, WebhookId};
use crate::model::job::Job;
use crate::model::refused::RefusedHead;
use crate::store::{
    DeliveryFilter, EventFilter, EventStory, Listing, Page, StoreError, StoredEvent, StoredWebhook, Story,
};

/// A page of `n` rows reads at most so many times `n` of an index.
const READS_A_ROW: usize = 64;

/// Reads a page of an index from its end: `prefix` and then an id. `row` answers `None` for what the filter drops.
fn page<T>(
    view: &View<'_>,
    prefix: &[u8],
    page: &Page,
    mut row: impl FnMut([u8; 16]) -> Result<Option<T>, StoreError>,
) -> Result<Listing<T>, StoreError> {
    let end = if page.after.is_empty() { keys::end_of(prefix) } else { [prefix, &page.after].concat() };
    let mut listing = Listing { rows: Vec::new(), next: None };
    let (mut reads, mut last) = (0, None);
    for entry in view.range_back(prefix, &end) {
        let (key, _) = entry?;
        if listing.rows.len() >= page.n || reads >= page.n.saturating_mul(READS_A_ROW) {
            listing.next = last;
            return Ok(listing);
        }
        reads += 1;
        let Some(id) = key.get(prefix.len()..prefix.len() + 16) else { continue };
        last = Some(id.to_vec());
        let id = id.try_into().expect("a slice of 16 bytes");
        listing.rows.extend(unless_damaged(row(id), &id)?.flatten());
    }
    Ok(listing)
}

/// What was read of the thing with this id. `None`: it cannot be read, which is told to the log and hides no other.
pub(super) fn unless_damaged<T>(read: Result<T, StoreError>, id: &[u8; 16]) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error @ StoreError::Damaged(_)) => {
            tracing::error!(id = hex::encode(id), %error, "passed over");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Webhooks, newest first.
pub(super) fn webhooks(
    view: &View<'_>,
    dead: bool,
    asked: &Page,
) -> Result<Listing<StoredWebhook>, StoreError> {
    if dead {
        return page(view, &keys::dead_webhooks(), asked, |id| view.stored_webhook(WebhookId(id)));
    }
    // A webhook has up to four rows, side by side: it is listed at the first one met, its last.
    let mut listed = None;
    page(view, &[keys::prefix::WEBHOOK], asked, |id| {
        let again = listed.replace(id) == Some(id);
        if again { Ok(None) } else { view.stored_webhook(WebhookId(id)) }
    })
}

/// Events, newest first.
pub(super) fn events(
    view: &View<'_>,
    filter: &EventFilter,
    asked: &Page,
) -> Result<Listing<StoredEvent>, StoreError> {
    let prefix = filter.kind.as_ref().map_or(vec![keys::prefix::EVENT], |kind| keys::kind(kind));
    page(view, &prefix, asked, |id| {
        let event = view.stored_event(EventId(id))?;
        Ok(event.filter(|event| {
            // A rerun may have given the event another type since it was indexed.
            filter.kind.as_ref().is_none_or(|kind| *kind == event.kind)
                && filter.source.as_ref().is_none_or(|source| *source == event.source)
        }))
    })
}

/// Deliveries, newest first.
pub(super) fn deliveries(
    view: &View<'_>,
    filter: &DeliveryFilter,
    asked: &Page,
) -> Result<Listing<Delivery>, StoreError> {
    let dead = filter.state.as_deref() == Some("dead");
    let prefix = if dead { keys::dead_of(filter.endpoint) } else { vec![keys::prefix::DELIVERY] };
    page(view, &prefix, asked, |id| {
        let delivery = view.delivery_row(DeliveryId(id))?.map(|row| row.delivery);
        Ok(delivery.filter(|delivery| {
            filter.state.as_deref().is_none_or(|state| state == delivery.state.name())
                && filter.endpoint.is_none_or(|endpoint| endpoint == delivery.endpoint)
        }))
    })
}

/// Refused requests, newest first.
pub(super) fn refused(
    view: &View<'_>,
    source: Option<&str>,
    asked: &Page,
) -> Result<Listing<(RefusedId, RefusedHead)>, StoreError> {
    let prefix = source.map_or_else(keys::all_refused, keys::refused_by_source);
    page(view, &prefix, asked, |id| {
        let id = RefusedId(id);
        Ok(refusing::head(view, id)?.map(|head| (id, head)))
    })
}

/// Jobs, newest first.
pub(super) fn jobs(view: &View<'_>, asked: &Page) -> Result<Listing<Job>, StoreError> {
    page(view, &keys::all_jobs(), asked, |id| replaying::read(view, JobId(id)))
}

/// Everything about one webhook.
pub(super) fn story(view: &View<'_>, id: WebhookId) -> Result<Option<Story>, StoreError> {
    let Some(webhook) = view.stored_webhook(id)? else { return Ok(None) };
    let body = view.body_of(id)?;
    let mut events = Vec::new();
    // Ids follow from places, and places have no gaps.
    for index in 0.. {
        let id = EventId::derive(id, index);
        let Some(event) = view.stored_event(id)? else { break };
        events.push(EventStory { event, deliveries: deliveries_of(view, id)? });
    }
    Ok(Some(Story { webhook, body, events }))
}

/// The deliveries of an event with their attempts, oldest first.
fn deliveries_of(view: &View<'_>, id: EventId) -> Result<Vec<(Delivery, Vec<Attempt>)>, StoreError> {
    let mut deliveries = Vec::new();
    for endpoint in view.event_row(id)?.map(|row| row.endpoints).unwrap_or_default() {
        for resend in 0.. {
            let Some(row) = view.delivery_row(DeliveryId::derive(id, endpoint, resend))? else { break };
            let attempts = view.attempts_of(row.delivery.id)?;
            deliveries.push((row.delivery, attempts));
        }
    }
    deliveries.sort_by_key(|(delivery, _)| (delivery.created, delivery.resend, delivery.id));
    Ok(deliveries)
}

/// The webhook that an event came from.
pub(super) fn webhook_of(view: &View<'_>, id: EventId) -> Result<Option<WebhookId>, StoreError> {
    Ok(view.event_row(id)?.map(|row| row.webhook))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::{JobState, Select, What};
    use crate::model::webhook::{NewWebhook, WebhookHead, WebhookState};
    use crate::store::Redrive;
    use crate::store::sled::intake::{Arrival, accept};
    use crate::store::sled::keys::Part;
    use crate::store::sled::resending;
    use billhook_event::Time;
    use bytes::Bytes;

    #[test]
    fn what_cannot_be_read_hides_no_other() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        let at = Time::from_secs(1);
        let ids = [1, 2, 3].map(|n| WebhookId::new(at, n));
        for id in ids {
            let head = WebhookHead::of("acme", "acme", at, b"{}");
            let new = NewWebhook { id, head, body: Bytes::from_static(b"{}"), key: None };
            accept(&mut view, &Arrival::new(&new), at).unwrap();
            let from = view.state(id).unwrap().unwrap();
            let dead = from.moved(0, WebhookState::Dead { why: "no".into(), at });
            view.move_webhook(id, &from, &dead).unwrap();
            view.count(|totals| totals.webhooks_dead += 1).unwrap();
        }
        view.put(keys::webhook(ids[1], Part::Head), &[0xfd, 9]);
        for dead in [false, true] {
            let listing = webhooks(&view, dead, &Page { after: Vec::new(), n: 9 }).unwrap();
            let listed: Vec<_> = listing.rows.iter().map(|webhook| webhook.id).collect();
            assert_eq!(listed, [ids[2], ids[0]], "dead: {dead}");
        }
        let job = Job {
            id: JobId::new(at, 1),
            what: What::Reprocess { resend: false },
            select: Select::default(),
            configured: None,
            rate: "100/s".parse().unwrap(),
            created: at,
            key: None,
            state: JobState::Running,
            cursor: None,
            looked: 0,
            moved: 0,
        };
        let counted = replaying::count(&view, &job, 9).unwrap();
        assert_eq!((counted.count, counted.more), (2, false));
        view.put(keys::webhook(ids[1], Part::State), &[0xfd, 9]);
        let page = Page { after: Vec::new(), n: 9 };
        let redriven = resending::redrive(&mut view, &Redrive::Webhooks, at, &page).unwrap().0;
        assert_eq!((redriven.count, redriven.next), (2, None));
        assert!(resending::redrive(&mut view, &Redrive::Webhook(ids[1]), at, &page).is_err());
    }
}
