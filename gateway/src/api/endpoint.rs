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
    /// What signs its deliveries, newest first; nothing where they are signed otherwise than by Standard Webhooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing: Vec<Signing>,
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

/// A secret that signs; never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// `v1` or `v1a`.
    pub version: String,
    /// The beginning of the SHA-256 of its text, in hex: to tell one from another.
    pub sha256: String,
    /// When a rotation made it; absent: the configuration gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Time>,
    /// It signs up to then; absent: until it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What `POST /api/v1/endpoints/{name}/rotate` takes; the body may be empty.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// How long the secrets before sign too: 24 hours unless it is said, at most 7 days, 0 not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_ms: Option<u64>,
    /// The new secret, `whsec_...` or `whsk_...`; absent: the gateway makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Whether the gateway makes a private key, `whsk_...`, rather than a shared secret.
    #[serde(default)]
    pub v1a: bool,
}

/// What a rotation did: the only answer that ever holds a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rotated {
    /// The new shared secret, if the gateway made it: told once, for the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The public key of the new private one, for the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The endpoint since.
    pub endpoint: Endpoint,
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
