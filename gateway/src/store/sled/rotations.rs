//! The rotated secrets in memory: every attempt asks for them, and a read of the tree may wait for the disk.

use super::keys;
use super::rows::RotationDoc;
use super::view::View;
use crate::model::id::EndpointId;
use crate::model::rotation::Rotation;
use crate::store::{RotationRow, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The endpoints whose secrets were ever rotated, as they are applied.
#[derive(Debug, Default)]
pub(super) struct Rotations(RwLock<HashMap<EndpointId, RotationRow>>);

impl Rotations {
    /// As they are stored.
    pub(super) fn read(view: &View<'_>) -> Result<Rotations, StoreError> {
        let prefix = keys::rotations();
        let mut rotations = HashMap::new();
        for entry in view.range(&prefix, &keys::end_of(&prefix)) {
            let (key, _) = entry?;
            let id = keys::last_id(&key).map(EndpointId).ok_or_else(keys::too_short)?;
            if let Some(doc) = view.read::<RotationDoc>("rotation", &key)? {
                rotations.insert(id, doc.row());
            }
        }
        Ok(Rotations(RwLock::new(rotations)))
    }

    /// That of an endpoint.
    pub(super) fn get(&self, endpoint: EndpointId) -> RotationRow {
        // Each change is one call on the map, so a panic elsewhere leaves it whole.
        let rotations = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rotations.get(&endpoint).cloned().unwrap_or(RotationRow { rotation: None, version: 0 })
    }

    /// Takes note of one that is applied.
    pub(super) fn set(&self, endpoint: EndpointId, row: RotationRow) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(endpoint, row);
    }
}

/// Stores a rotation if its version is still the expected one. Answers the row.
pub(super) fn rotate(
    view: &mut View<'_>,
    endpoint: EndpointId,
    rotation: Rotation,
    expected: u64,
) -> Result<Option<RotationRow>, StoreError> {
    let key = keys::rotation(endpoint);
    let version = view.read::<RotationDoc>("rotation", &key)?.map_or(0, |doc| doc.row().version);
    if version != expected {
        return Ok(None);
    }
    let version = version + 1;
    view.write(key, &RotationDoc::of(&rotation, version))?;
    Ok(Some(RotationRow { rotation: Some(Arc::new(rotation)), version }))
}
