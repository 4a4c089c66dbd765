//! Events.

use crate::api::delivery::DeliveryStory;
use crate::api::text;
use crate::model::Time;
use crate::model::id::{EventId, WebhookId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What `GET /api/v1/events` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only of this canonical type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only of this source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `evt_...`: also the `webhook-id` of its deliveries.
    #[serde(with = "text")]
    pub id: EventId,
    /// The webhook it came from.
    #[serde(with = "text")]
    pub webhook: WebhookId,
    /// Its canonical type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The source.
    pub source: String,
    /// When it happened, else was received.
    pub occurred_at: Time,
    /// What its deliveries are sent under, where that is not `id` alone: a reprocess changed what was sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<String>,
    /// The filter that dropped it: it was kept and not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
}

/// Why an event was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The plugin that dropped it.
    pub plugin: String,
    /// Its reason.
    pub why: String,
}

/// An event with all that became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventStory {
    /// Its row in lists.
    pub summary: Event,
    /// The whole event (`billhook.event/1`), with the numbers as they were written.
    pub event: Box<RawValue>,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<DeliveryStory>,
}

impl EventStory {
    /// The event as a type, for those who read its fields. Fails where it is of a version that this one does not know.
    pub fn document(&self) -> serde_json::Result<billhook_event::Event> {
        serde_json::from_str(self.event.get())
    }
}
