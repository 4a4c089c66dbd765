//! Webhooks in: the head, the dedupe key and the place in the pipeline's line are one commit.

use super::keys::{self, Part};
use super::nouns::Long;
use super::rows::{self, HeadRow, LedgerRow, Pieces, SeenRow, Value};
use super::view::View;
use crate::model::id::WebhookId;
use crate::model::webhook::{Accepted, DedupeKey, NewWebhook};
use crate::store::StoreError;
use billhook_event::Time;

/// Expired keys are removed by every sixteenth arrival with a key, at most so many at once: ingest sweeps its own
/// ledger, and never falls behind what it adds.
const EXPIRED_AT_ONCE: usize = 64;

/// A webhook as it will be written.
#[derive(Clone)]
pub(super) struct Arrival {
    id: WebhookId,
    received_at: Time,
    head: Value,
    key: Option<DedupeKey>,
    body: [u8; 16],
    /// The body, and the head if it is longer than a row.
    pub(super) long: Long,
}

impl Arrival {
    /// Encodes a webhook: what can be done outside the committer.
    pub(super) fn new(webhook: NewWebhook) -> Arrival {
        let NewWebhook { id, mut head, body, key } = webhook;
        // What is stored is the truth about its length.
        head.body_len = body.len() as u64;
        let received_at = head.received_at;
        let sha256 = head.sha256.first_chunk().copied().expect("a SHA-256 has 32 bytes");
        let mut head = Value::new(keys::webhook(id, Part::Head), rows::encode(&HeadRow(head)), 0);
        let body = Pieces { prefix: keys::body(id), bytes: body };
        let long = Long::new([body].into_iter().chain(head.pieces.take()).collect());
        Arrival { id, received_at, head, key, body: sha256, long }
    }

    /// What is known of it already, if anything.
    fn known(&self, view: &View<'_>, now: Time) -> Result<Option<Accepted>, StoreError> {
        if view.has(&self.head.key)? {
            return Ok(Some(Accepted::New));
        }
        let Some(key) = self.key else { return Ok(None) };
        let row = view.read::<LedgerRow>("ledger", &keys::ledger(&key.hash))?.filter(|row| now < row.until);
        Ok(row.map(|row| Accepted::Duplicate { first: row.first, same_body: row.body == self.body }))
    }

    /// Whether its pieces would be written in vain.
    pub(super) fn is_known(&self, view: &View<'_>, now: Time) -> Result<bool, StoreError> {
        Ok(self.known(view, now)?.is_some())
    }
}

/// Stores an arrival unless it is known. A repeat of the same webhook id answers `New` again.
pub(super) fn accept(view: &mut View<'_>, arrival: &Arrival, now: Time) -> Result<Accepted, StoreError> {
    if let Some(known) = arrival.known(view, now)? {
        arrival.long.discard(view)?;
        if let Accepted::Duplicate { first, same_body } = known {
            count_duplicate(view, first, same_body)?;
        }
        return Ok(known);
    }
    arrival.long.show(view);
    view.put(arrival.head.key.as_slice(), arrival.head.row.as_slice());
    view.put(keys::undispatched(arrival.received_at, arrival.id), &[]);
    if let Some(key) = arrival.key {
        remember(view, arrival, key, now)?;
    }
    view.count(|totals| {
        totals.webhooks += 1;
        totals.undispatched += 1;
    })?;
    Ok(Accepted::New)
}

fn count_duplicate(view: &mut View<'_>, first: WebhookId, same_body: bool) -> Result<(), StoreError> {
    let key = keys::webhook(first, Part::Seen);
    let mut seen: SeenRow = view.read("counter", &key)?.unwrap_or_default();
    seen.duplicates = seen.duplicates.saturating_add(1);
    seen.conflicts = seen.conflicts.saturating_add(u32::from(!same_body));
    view.write(key, &seen)?;
    view.count(|totals| totals.duplicates += 1)
}

fn remember(view: &mut View<'_>, arrival: &Arrival, key: DedupeKey, now: Time) -> Result<(), StoreError> {
    let ledger = keys::ledger(&key.hash);
    if let Some(old) = view.read::<LedgerRow>("ledger", &ledger)? {
        view.remove(keys::expiry(old.until, &key.hash));
    }
    if key.hash[15].is_multiple_of(16) {
        forget_expired(view, now)?;
    }
    view.put(ledger, rows::encode(&LedgerRow { first: arrival.id, until: key.until, body: arrival.body }));
    view.put(keys::expiry(key.until, &key.hash), &[]);
    Ok(())
}

fn forget_expired(view: &mut View<'_>, now: Time) -> Result<(), StoreError> {
    let expired = view.range(&[keys::prefix::EXPIRY], &keys::expiry(now, &[0; 16])).take(EXPIRED_AT_ONCE);
    for (key, _) in expired.collect::<Result<Vec<_>, _>>()? {
        if let Some(hash) = keys::last_id(&key) {
            view.remove(keys::ledger(&hash));
        }
        view.remove(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_keys_leave_the_ledger_and_live_ones_stay() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        for n in 0..10_u8 {
            let row =
                LedgerRow { first: WebhookId([n; 16]), until: Time::from_secs(n.into()), body: [0; 16] };
            view.put(keys::ledger(&[n; 16]), rows::encode(&row));
            view.put(keys::expiry(row.until, &[n; 16]), &[]);
        }
        forget_expired(&mut view, Time::from_secs(4)).unwrap();
        let left: Vec<bool> = (0..10).map(|n| view.has(&keys::ledger(&[n; 16])).unwrap()).collect();
        assert_eq!(left, [false, false, false, false, true, true, true, true, true, true]);
        assert_eq!(view.range(&[keys::prefix::EXPIRY], &keys::end_of(&[keys::prefix::EXPIRY])).count(), 6);
    }
}
