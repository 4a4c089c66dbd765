//! Endpoints and their gates.

use crate::api::text;
use crate::model::Time;
use crate::model::id::EndpointId;
use serde::{Deserialize, Serialize};

/// The answer of `GET /api/v1/endpoints`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Every configured endpoint, in the order of the configuration.
    pub items: Vec<Endpoint>,
}

/// A configured way out, and how it is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `ep_...`.
    #[serde(with = "text")]
    pub id: EndpointId,
    /// Its name.
    pub name: String,
    /// Where it is, with query values and passwords as `***`.
    pub url: String,
    /// The public keys (`whpk_...`) of the private ones that it signs with, newest first; for receivers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public_keys: Vec<String>,
    /// Deliveries that wait, counted up to a bound.
    pub waiting: u64,
    /// Whether more wait than were counted.
    pub waiting_more: bool,
    /// Whether deliveries pass.
    #[serde(flatten)]
    pub gate: Gate,
}

/// Whether deliveries pass to an endpoint; its name is the field `gate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
pub enum Gate {
    /// They pass.
    Open,
    /// One at a time is tried.
    Trial {
        /// When the next one may be.
        at: Time,
        /// How long the next wait is.
        wait_ms: u64,
    },
    /// Closed by hand.
    Paused,
    /// Closed because the endpoint answered 410 or failed for too long.
    Disabled {
        /// Why.
        why: String,
    },
}
