//! Webhooks in: the head, the dedupe key and the place in the pipeline's line are one commit.

use super::keys::{self, Part};
use super::nouns::Long;
use super::rows::{self, LedgerRow, Pieces, ROW_BYTES_MAX, SeenRow, Value};
use super::view::View;
use crate::model::id::WebhookId;
use crate::model::webhook::{Accepted, DedupeKey, NewWebhook};
use crate::store::StoreError;
use billhook_event::Time;

/// A webhook as it will be written.
#[derive(Clone)]
pub(super) struct Arrival {
    id: WebhookId,
    received_at: Time,
    head: Value,
    key: Option<DedupeKey>,
    sha256: [u8; 32],
    /// The body, and the head if it is longer than a row.
    pub(super) long: Long,
}

impl Arrival {
    /// Encodes a webhook: what can be done outside the committer. Head and body are one row if they fit into it.
    pub(super) fn new(webhook: &NewWebhook) -> Arrival {
        let NewWebhook { id, head, body, key } = webhook;
        let mut row = rows::encode(head);
        let apart = row.len() + body.len() > ROW_BYTES_MAX;
        let body = apart.then(|| Pieces { prefix: keys::body(*id), bytes: body.clone() }).or_else(|| {
            row.extend_from_slice(body);
            None
        });
        let mut head = Value::new(keys::webhook(*id, Part::Head), row, 0);
        let long = Long::new(body.into_iter().chain(head.pieces.take()).collect());
        Arrival {
            id: *id,
            received_at: webhook.head.received_at,
            head,
            key: *key,
            sha256: webhook.head.sha256,
            long,
        }
    }

    /// What is known of it already, if anything.
    fn known(&self, view: &View<'_>, now: Time) -> Result<Option<Accepted>, StoreError> {
        if view.has(&self.head.key)? {
            return Ok(Some(Accepted::New));
        }
        let Some(key) = self.key else { return Ok(None) };
        let row = view.read::<LedgerRow>("ledger", &keys::ledger(&key.hash))?.filter(|row| now < row.until());
        Ok(row.map(|row| Accepted::Duplicate { first: row.first, same_body: row.has_body(&self.sha256) }))
    }

    /// Whether its pieces would be written in vain.
    pub(super) fn is_known(&self, view: &View<'_>, now: Time) -> Result<bool, StoreError> {
        Ok(self.known(view, now)?.is_some())
    }
}

/// Stores an arrival unless it is known, and says whether it did. A repeat of the same webhook id answers `New` again.
pub(super) fn accept(
    view: &mut View<'_>,
    arrival: &Arrival,
    now: Time,
) -> Result<(Accepted, bool), StoreError> {
    if let Some(known) = arrival.known(view, now)? {
        arrival.long.discard(view)?;
        if let Accepted::Duplicate { first, same_body } = known {
            count_duplicate(view, first, same_body)?;
        }
        return Ok((known, false));
    }
    arrival.long.show(view);
    view.put(arrival.head.key.as_slice(), arrival.head.row.as_slice());
    view.put_new(keys::undispatched(arrival.received_at, arrival.id), &[]);
    if let Some(key) = arrival.key {
        remember(view, arrival, key);
    }
    view.count(|totals| {
        totals.webhooks += 1;
        totals.undispatched += 1;
    })?;
    Ok((Accepted::New, true))
}

fn count_duplicate(view: &mut View<'_>, first: WebhookId, same_body: bool) -> Result<(), StoreError> {
    let key = keys::webhook(first, Part::Seen);
    let mut seen: SeenRow = view.read("counter", &key)?.unwrap_or_default();
    seen.duplicates = seen.duplicates.saturating_add(1);
    seen.conflicts = seen.conflicts.saturating_add(u32::from(!same_body));
    view.write(key, &seen)?;
    view.count(|totals| totals.duplicates += 1)
}

fn remember(view: &mut View<'_>, arrival: &Arrival, key: DedupeKey) {
    let row = LedgerRow::new(arrival.id, key.until, &arrival.sha256);
    view.put(keys::ledger(&key.hash), rows::encode(&row));
}
