//! The configured endpoints with what every attempt needs, prepared once.

use crate::deliver::signer::Signer;
use crate::deliver::transform::Step;
use crate::model::Time;
use crate::model::endpoint::Endpoint;
use crate::model::id::EndpointId;
use crate::model::rotation;
use crate::model::signature::BadSecret;
use crate::store::{RotationRow, Store, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// The endpoints of the configuration, in its order.
pub struct Endpoints {
    targets: Vec<Target>,
    places: HashMap<EndpointId, usize>,
}

/// An endpoint, what changes its requests and what signs them.
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// Of what is configured.
    signer: Arc<Signer>,
    /// Of what was rotated, by the version that it was made of. Attempts share it, each for a look.
    rotated: Mutex<Option<(u64, Arc<Signer>)>>,
    /// Its filters and transforms, in order.
    pub(super) steps: Vec<Step>,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsigned {
    /// The store does not tell the secrets.
    #[error("the store does not tell the secrets: {0}")]
    Store(#[from] StoreError),
    /// A secret cannot be used.
    #[error("a rotated secret cannot be used: {0}")]
    Secret(#[from] BadSecret),
}

impl Target {
    /// Which builds of its plugins serve now.
    pub(super) fn builds(&self) -> Vec<[u8; 32]> {
        self.steps.iter().map(|step| step.plugin.now().digest()).collect()
    }

    /// What signs at `now`: of the configuration, or of the store once the secrets were rotated.
    pub(super) async fn signer(&self, store: &dyn Store, now: Time) -> Result<Arc<Signer>, Unsigned> {
        let RotationRow { rotation, version } = store.rotation(self.endpoint.id).await?;
        let Some(rotation) = rotation.filter(|_| self.endpoint.rotates()) else {
            return Ok(Arc::clone(&self.signer));
        };
        // No holder panics: each only looks or replaces the value.
        let mut rotated = self.rotated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, signer)) = rotated.as_ref().filter(|(of, _)| *of == version) {
            return Ok(Arc::clone(signer));
        }
        if !rotation.is_of(&self.endpoint.secrets) {
            tracing::warn!(
                endpoint = self.endpoint.name,
                "the secrets of the configuration have changed since the last rotation: they count"
            );
        }
        let live = rotation::live(Some(&rotation), &self.endpoint.secrets, now);
        let signer = Arc::new(Signer::rotated(&live)?);
        *rotated = Some((version, Arc::clone(&signer)));
        Ok(signer)
    }
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("endpoint `{name}` has a secret that cannot be used")]
pub struct BadEndpoint {
    /// The endpoint.
    pub name: String,
    /// What is wrong with the secret.
    #[source]
    pub why: BadSecret,
}

impl Endpoints {
    /// Decodes the secrets. Of two endpoints with the same id the first is used.
    pub fn new(endpoints: Vec<Endpoint>) -> Result<Endpoints, BadEndpoint> {
        let mut all = Endpoints { targets: Vec::with_capacity(endpoints.len()), places: HashMap::new() };
        for endpoint in endpoints {
            let signer =
                Signer::new(&endpoint).map_err(|why| BadEndpoint { name: endpoint.name.clone(), why })?;
            all.places.entry(endpoint.id).or_insert(all.targets.len());
            let (signer, rotated) = (Arc::new(signer), Mutex::default());
            all.targets.push(Target { endpoint, signer, rotated, steps: Vec::new() });
        }
        Ok(all)
    }

    /// The same with the plugins of endpoints, by endpoint's name.
    #[must_use]
    pub fn with_steps(mut self, mut steps: BTreeMap<String, Vec<Step>>) -> Endpoints {
        for target in &mut self.targets {
            target.steps = steps.remove(&target.endpoint.name).unwrap_or_default();
        }
        self
    }

    /// The endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.targets.iter().map(|target| &target.endpoint)
    }

    /// The endpoint with this id, if it is configured.
    pub fn get(&self, id: EndpointId) -> Option<&Endpoint> {
        self.place(id).map(|place| &self.targets[place].endpoint)
    }

    pub(super) fn place(&self, id: EndpointId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    pub(super) fn target(&self, place: usize) -> &Target {
        &self.targets[place]
    }
}
