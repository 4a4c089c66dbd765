//! Webhooks that wait for something that has come: they are due now.

use super::keys;
use super::view::View;
use crate::model::id::WebhookId;
use crate::model::webhook::WebhookState;
use crate::store::{Page, StoreError};
use billhook_event::Time;
use std::time::Duration;

/// Looks at up to `page.n` webhooks that are due later and makes those of `sources` due now. Answers whether it moved
/// one, and where the next look goes on.
pub(super) fn hurry(
    view: &mut View<'_>,
    sources: &[String],
    page: &Page,
    now: Time,
) -> Result<(bool, Option<Vec<u8>>), StoreError> {
    let from = match page.after.is_empty() {
        true => keys::undispatched(now.plus(Duration::from_millis(1)), WebhookId([0; 16])),
        false => [&page.after[..], &[0]].concat(),
    };
    let waiting = view.range(&from, &keys::end_of(&[keys::prefix::UNDISPATCHED])).take(page.n);
    let waiting = waiting.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>, StoreError>>()?;
    let mut moved = false;
    for key in &waiting {
        let id = WebhookId(keys::last_id(key).ok_or_else(keys::too_short)?);
        let Some(head) = view.head(id)?.filter(|head| sources.contains(&head.source)) else { continue };
        let from = view.state_of(id, &head)?;
        if let WebhookState::Undispatched { failures, last, .. } = from.state.clone() {
            let state = WebhookState::Undispatched { failures, due: now, last };
            view.move_webhook(id, &from, &from.moved(from.run, state))?;
            moved = true;
        }
    }
    let next = (waiting.len() >= page.n).then(|| waiting.last().cloned()).flatten();
    Ok((moved, next))
}
