//! How much a gateway has, and where it stands.

use serde::{Deserialize, Serialize};

/// Counters and sizes. The answer of `GET /api/v1/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Webhooks accepted.
    pub webhooks: u64,
    /// Duplicates answered.
    pub duplicates: u64,
    /// Webhooks that wait for the pipeline.
    pub undispatched: u64,
    /// Webhooks in the dead letter.
    pub webhooks_dead: u64,
    /// Events made.
    pub events: u64,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries made.
    pub delivered: u64,
    /// Deliveries in the dead letter.
    pub dead: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
}
