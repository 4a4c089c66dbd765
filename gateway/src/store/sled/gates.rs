//! The gates in memory: a pass asks for them at every look, and a read of the tree may wait for the disk.

use super::keys;
use super::rows;
use super::view::View;
use crate::model::endpoint::Gate;
use crate::model::id::EndpointId;
use crate::store::{GateRow, StoreError};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// The gates that were ever changed, as they are applied.
#[derive(Debug, Default)]
pub(super) struct Gates(RwLock<HashMap<EndpointId, GateRow>>);

impl Gates {
    /// As they are stored.
    pub(super) fn read(view: &View<'_>) -> Result<Gates, StoreError> {
        let prefix = keys::gates();
        let mut gates = HashMap::new();
        for entry in view.range(&prefix, &keys::end_of(&prefix)) {
            let (key, row) = entry?;
            let id = keys::last_id(&key).map(EndpointId).ok_or_else(keys::too_short)?;
            gates.insert(id, rows::decode("gate", &row)?);
        }
        Ok(Gates(RwLock::new(gates)))
    }

    /// The gate of an endpoint; one that was never changed is open.
    pub(super) fn get(&self, endpoint: EndpointId) -> GateRow {
        // Each change is one call on the map, so a panic elsewhere leaves it whole.
        let gates = self.0.read().unwrap_or_else(PoisonError::into_inner);
        gates.get(&endpoint).cloned().unwrap_or(GateRow { gate: Gate::Open, version: 0, turned: None })
    }

    /// Takes note of a change that is applied.
    pub(super) fn set(&self, endpoint: EndpointId, row: GateRow) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(endpoint, row);
    }
}
