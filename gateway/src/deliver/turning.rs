//! Turns the gate of an endpoint after an attempt, and tells those who should act.

use crate::deliver::lane::Turn;
use crate::model::Time;
use crate::model::endpoint::{By, Endpoint, Gate, Turned};
use crate::store::{Store, StoreError};

/// How often a gate is read again because somebody else changed it meanwhile.
const TRIES: u32 = 5;

/// Turns the gate as it is in the store by now: an operator may have been faster.
pub(super) async fn turn(
    store: &dyn Store,
    endpoint: &Endpoint,
    turn: &Turn,
    now: Time,
) -> Result<(), StoreError> {
    let Endpoint { id, disable_after, .. } = endpoint;
    for _ in 0..TRIES {
        let row = store.gate(*id).await?;
        let gate = turn.apply(&row.gate, now, *disable_after);
        if gate == row.gate {
            break;
        }
        let why = turn.why(&gate, *disable_after);
        let turned = Turned { by: By::Gateway, why: Some(why.clone()), at: now };
        if store.set_gate(*id, gate.clone(), turned, row.version).await?.is_some() {
            tell(endpoint, &row.gate, &gate, &why, now);
            break;
        }
    }
    Ok(())
}

/// One line for each step down or up, and one notice before the end.
fn tell(endpoint: &Endpoint, before: &Gate, after: &Gate, why: &str, now: Time) {
    let Endpoint { name, disable_after, .. } = endpoint;
    match (before, after) {
        (Gate::Trial { at, wait, .. }, Gate::Trial { .. }) => {
            let told = before.notice(at.minus(*wait), *disable_after);
            if let (None, Some(end)) = (told, after.notice(now, *disable_after)) {
                tracing::warn!(
                    endpoint = name,
                    why,
                    disabled_at = %end,
                    "the endpoint gives nothing but failures and will be disabled"
                );
            }
        }
        (_, Gate::Trial { .. }) => tracing::warn!(endpoint = name, why, "the endpoint is on trial"),
        (_, Gate::Disabled) => tracing::error!(
            endpoint = name,
            why,
            "the endpoint is disabled: what it is owed waits until `billhook endpoint enable`"
        ),
        (_, Gate::Open | Gate::Paused) => {
            tracing::info!(endpoint = name, why, "the endpoint takes deliveries")
        }
    }
}
