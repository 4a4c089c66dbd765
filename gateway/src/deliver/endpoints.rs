//! The configured endpoints with what every attempt needs, prepared once.

use crate::deliver::signer::Signer;
use crate::model::endpoint::Endpoint;
use crate::model::id::EndpointId;
use crate::model::signature::BadSecret;
use std::collections::HashMap;

/// The endpoints of the configuration, in its order.
pub struct Endpoints {
    targets: Vec<Target>,
    places: HashMap<EndpointId, usize>,
}

/// An endpoint and what signs for it.
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) signer: Signer,
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
            all.targets.push(Target { endpoint, signer });
        }
        Ok(all)
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
