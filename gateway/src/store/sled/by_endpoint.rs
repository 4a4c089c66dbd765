//! Gates and rotated secrets in memory: every look at an endpoint asks for the one and every attempt for the other, and a
//! read of the tree may wait for the disk.

use super::keys;
use super::view::View;
use crate::model::id::EndpointId;
use crate::store::StoreError;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// What was ever changed of endpoints, as it is applied.
#[derive(Debug)]
pub(super) struct ByEndpoint<R>(RwLock<HashMap<EndpointId, R>>);

impl<R: Clone + Default> ByEndpoint<R> {
    /// As they are stored at keys that begin with `prefix`, each as `row` makes it of what is there.
    pub(super) fn read<D: DeserializeOwned>(
        view: &View<'_>,
        what: &str,
        prefix: &[u8],
        row: impl Fn(D) -> R,
    ) -> Result<ByEndpoint<R>, StoreError> {
        let mut rows = HashMap::new();
        for entry in view.range(prefix, &keys::end_of(prefix)) {
            let (key, _) = entry?;
            let id = keys::last_id(&key).map(EndpointId).ok_or_else(keys::too_short)?;
            if let Some(stored) = view.read(what, &key)? {
                rows.insert(id, row(stored));
            }
        }
        Ok(ByEndpoint(RwLock::new(rows)))
    }

    /// That of an endpoint.
    pub(super) fn get(&self, endpoint: EndpointId) -> R {
        // Each change is one call on the map, so a panic elsewhere leaves it whole.
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.get(&endpoint).cloned().unwrap_or_default()
    }

    /// Takes note of a change that is applied.
    pub(super) fn set(&self, endpoint: EndpointId, row: R) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(endpoint, row);
    }
}
