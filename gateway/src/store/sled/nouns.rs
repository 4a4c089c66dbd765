//! The nouns as verbs read and write them: one place that knows which rows each is made of.

use super::keys::{self, Part};
use super::rows::{self, DeliveryRow, EntityRow, EventRow, Pieces, SeenRow, StateRow, Totals};
use super::view::View;
use crate::model::attempt::Attempt;
use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};
use crate::model::webhook::{WebhookHead, WebhookState};
use crate::store::{GateRow, StoreError, StoredEvent, StoredWebhook};
use bytes::Bytes;
use std::sync::Arc;

impl View<'_> {
    /// The head of a webhook, and its body if that is in the same row.
    fn head_and_rest(&self, id: WebhookId) -> Result<Option<(WebhookHead, Vec<u8>)>, StoreError> {
        let Some(value) = self.value(&keys::webhook(id, Part::Head))? else { return Ok(None) };
        let (head, rest) = rows::decode_and_rest("head", &value)?;
        Ok(Some((head, rest.to_vec())))
    }

    /// The head of a webhook.
    pub(super) fn head(&self, id: WebhookId) -> Result<Option<WebhookHead>, StoreError> {
        Ok(self.head_and_rest(id)?.map(|(head, _)| head))
    }

    /// The head and the body of a webhook; the body may have aged out.
    pub(super) fn head_and_body(
        &self,
        id: WebhookId,
    ) -> Result<Option<(WebhookHead, Option<Bytes>)>, StoreError> {
        let Some((head, rest)) = self.head_and_rest(id)? else { return Ok(None) };
        let body = match rest.len() as u64 == head.body_len {
            true => Some(rest),
            false => self.join(&keys::body(id), head.body_len)?,
        };
        Ok(Some((head, body.map(Bytes::from))))
    }

    /// Where a webhook stands.
    pub(super) fn state(&self, id: WebhookId) -> Result<Option<StateRow>, StoreError> {
        match self.written_state(id)? {
            Some(state) => Ok(Some(state)),
            None => Ok(self.head(id)?.map(|head| first_state(&head))),
        }
    }

    /// Where the webhook with this head stands.
    pub(super) fn state_of(&self, id: WebhookId, head: &WebhookHead) -> Result<StateRow, StoreError> {
        Ok(self.written_state(id)?.unwrap_or_else(|| first_state(head)))
    }

    /// Where a webhook stands if it has moved on since it arrived.
    fn written_state(&self, id: WebhookId) -> Result<Option<StateRow>, StoreError> {
        match self.read("state", &keys::webhook(id, Part::State))? {
            Some(state) => Ok(Some(state)),
            None => {
                let event = self.event_row(EventId::derive(id, 0))?;
                Ok(event.and_then(|event| event.run).map(StateRow::after_first))
            }
        }
    }

    /// A whole webhook.
    pub(super) fn stored_webhook(&self, id: WebhookId) -> Result<Option<StoredWebhook>, StoreError> {
        let Some(head) = self.head(id)? else { return Ok(None) };
        let StateRow { state, newest, .. } = self.state_of(id, &head)?;
        let seen: SeenRow = self.read("counter", &keys::webhook(id, Part::Seen))?.unwrap_or_default();
        let SeenRow { duplicates, conflicts } = seen;
        Ok(Some(StoredWebhook { id, head, state, run: newest, duplicates, conflicts }))
    }

    /// The body of a webhook.
    pub(super) fn body_of(&self, id: WebhookId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.head_and_body(id)?.and_then(|(_, body)| body))
    }

    /// An event without its JSON.
    pub(super) fn event_row(&self, id: EventId) -> Result<Option<EventRow>, StoreError> {
        self.read("event", &keys::event(id))
    }

    /// A whole event.
    pub(super) fn stored_event(&self, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        let Some(value) = self.value(&keys::event(id))? else { return Ok(None) };
        let (row, json) = rows::decode_and_rest::<EventRow>("event", &value)?;
        let EventRow { webhook, kind, source, occurred_at, dropped, revision, .. } = row;
        let json = Bytes::copy_from_slice(json);
        Ok(Some(StoredEvent { id, webhook, kind, source, occurred_at, dropped, revision, json }))
    }

    /// A delivery with its lane.
    pub(super) fn delivery_row(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        self.read("delivery", &keys::delivery(id))
    }

    /// The attempts of a delivery.
    pub(super) fn attempts_of(&self, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let prefix = keys::attempts(id);
        let first = self.delivery_row(id)?.and_then(|row| row.first);
        let mut attempts = Vec::from_iter(first);
        for entry in self.range(&prefix, &keys::end_of(&prefix)) {
            attempts.extend(self.read::<Attempt>("attempt", &entry?.0)?);
        }
        Ok(attempts)
    }

    /// What is remembered of an entity.
    pub(super) fn entity_row(&self, source: &str, entity: &str) -> Result<EntityRow, StoreError> {
        Ok(self.read("entity", &keys::entity(source, entity))?.unwrap_or_default())
    }

    /// The gate of an endpoint.
    pub(super) fn gate_row(&self, endpoint: EndpointId) -> Result<GateRow, StoreError> {
        Ok(self.read("gate", &keys::gate(endpoint))?.unwrap_or_default())
    }

    /// The counters.
    pub(super) fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.read("counter", keys::TOTALS)?.unwrap_or_default())
    }

    /// Changes the counters: one write a group, however many verbs do.
    pub(super) fn count(&mut self, change: impl FnOnce(&mut Totals)) -> Result<(), StoreError> {
        let mut totals = self.totals()?;
        change(&mut totals);
        self.put(keys::TOTALS, rows::encode(&totals));
        Ok(())
    }

    /// Moves a webhook from one state to the next, with its indexes. The counters are the caller's.
    pub(super) fn move_webhook(
        &mut self,
        id: WebhookId,
        from: &StateRow,
        to: &StateRow,
    ) -> Result<(), StoreError> {
        match &from.state {
            WebhookState::Undispatched { due, .. } => self.remove(keys::undispatched(*due, id)),
            WebhookState::Dead { .. } => self.remove(keys::dead_webhook(id)),
            WebhookState::Dispatched { .. } => {}
        }
        match &to.state {
            WebhookState::Undispatched { due, .. } => self.put_new(keys::undispatched(*due, id), &[]),
            WebhookState::Dead { .. } => self.put(keys::dead_webhook(id), &[]),
            WebhookState::Dispatched { .. } => {}
        }
        self.write(keys::webhook(id, Part::State), to)
    }
}

/// The state of a webhook that has not moved on since it arrived.
fn first_state(head: &WebhookHead) -> StateRow {
    let state = WebhookState::Undispatched { failures: 0, due: head.received_at, last: None };
    StateRow { run: 0, state, newest: None, resend: false }
}

/// The pieces that a verb shows, and whether they are written ahead of it.
#[derive(Clone)]
pub(super) struct Long {
    /// The pieces.
    pub(super) pieces: Arc<Vec<Pieces>>,
    /// Whether they are too many for one commit.
    pub(super) staged: bool,
}

impl Long {
    pub(super) fn new(pieces: Vec<Pieces>) -> Long {
        let bytes: usize = pieces.iter().map(|pieces| pieces.bytes.len()).sum();
        Long { pieces: Arc::new(pieces), staged: bytes > super::committer::STAGE_BYTES_MIN }
    }

    /// The verb commits: writes the pieces, or takes away the marks of those that are there already.
    pub(super) fn show(&self, view: &mut View<'_>) {
        if self.staged {
            self.pieces.iter().for_each(|pieces| view.remove(keys::staged(&pieces.prefix)));
        } else {
            view.put_pieces(self.pieces.iter());
        }
    }

    /// The verb does not commit: removes what was written ahead. Pieces without a mark belong to a commit.
    pub(super) fn discard(&self, view: &mut View<'_>) -> Result<(), StoreError> {
        for pieces in self.pieces.iter() {
            let mark = keys::staged(&pieces.prefix);
            if self.staged && view.has(&mark)? {
                view.remove_all(&pieces.prefix)?;
                view.remove(mark);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::committer::STAGE_BYTES_MIN;

    #[test]
    fn only_marked_pieces_are_discarded() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        let bytes = Bytes::from(vec![7; STAGE_BYTES_MIN + 1]);
        let [cut, live] =
            [b"bcut", b"bliv"].map(|prefix| Pieces { prefix: prefix.to_vec(), bytes: bytes.clone() });
        view.put_pieces([&cut, &live]);
        view.put(keys::staged(&cut.prefix), &[]);
        for long in [Long::new(vec![cut.clone()]), Long::new(vec![live.clone()])] {
            assert!(long.staged);
            long.discard(&mut view).unwrap();
        }
        assert!(view.first(&cut.prefix).unwrap().is_none());
        assert!(!view.has(&keys::staged(&cut.prefix)).unwrap());
        assert_eq!(view.join(&live.prefix, bytes.len() as u64).unwrap().unwrap(), bytes);
    }
}
