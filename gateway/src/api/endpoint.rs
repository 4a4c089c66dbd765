//! Endpoints and their gates.

use crate::api::text;
use crate::model::Time;
use crate::model::id::{DeliveryId, EndpointId, EventId};
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
    /// The last change of the gate; absent: it was always open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned: Option<Turned>,
    /// A notice: it will be disabled then unless a delivery gets through. Told once half of the time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Time>,
}

/// How a gate came to be as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// Who did it.
    pub by: By,
    /// Why; a person need not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When.
    pub at: Time,
}

/// Who turned a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The gateway, by what the endpoint answered.
    Gateway,
    /// A person.
    Operator,
}

/// What `POST /api/v1/endpoints/{name}/pause`, `/resume` and `/enable` take; the body may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Why, for those who look later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A test event on its way. The answer of `POST /api/v1/endpoints/{name}/test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The event: its story tells what came of it.
    #[serde(with = "text")]
    pub event: EventId,
    /// Its delivery.
    #[serde(with = "text")]
    pub delivery: DeliveryId,
}

/// Whether deliveries pass to an endpoint; its name is the field `gate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
pub enum Gate {
    /// They pass.
    Open,
    /// One at a time is tried.
    Trial {
        /// Since when there was nothing but failure.
        since: Time,
        /// When the next one may be.
        at: Time,
        /// How long the next wait is.
        wait_ms: u64,
    },
    /// Closed by hand.
    Paused,
    /// Closed because the endpoint answered 410 or failed for too long.
    Disabled,
}
