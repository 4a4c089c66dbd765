//! A delivery: one event owed to one endpoint.

use crate::model::id::{DeliveryId, EndpointId, EventId};
use billhook_event::Time;
use serde::{Deserialize, Serialize};

/// One event owed to one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Derived from event, endpoint and resend number.
    pub id: DeliveryId,
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// 0 for the first delivery, one more for each resend or redrive.
    pub resend: u32,
    /// When it was made.
    pub created: Time,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// Attempts that used up the schedule: all but trials.
    pub step: u32,
    /// Where it stands.
    pub state: DeliveryState,
    /// The endpoint had taken this event, of the same entity, family and object, and later, before the last attempt was made.
    pub stale: Option<EventId>,
}

/// Where a delivery stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Owed. The deliver pass moves it on when it is due and the gate is open; after a crash it is found again,
    /// and an attempt that was under way is made again under the same `webhook-id`.
    Waiting {
        /// When the next attempt is due.
        due: Time,
    },
    /// The endpoint took it. Final.
    Delivered {
        /// When.
        at: Time,
    },
    /// It was not worth sending. Final.
    Skipped {
        /// When.
        at: Time,
        /// Why.
        why: String,
    },
    /// Every attempt failed. Only a redrive makes a new delivery of it.
    Dead {
        /// When.
        at: Time,
        /// Why.
        why: String,
    },
}

impl DeliveryState {
    /// The name that APIs and filters use.
    pub fn name(&self) -> &'static str {
        match self {
            DeliveryState::Waiting { .. } => "waiting",
            DeliveryState::Delivered { .. } => "delivered",
            DeliveryState::Skipped { .. } => "skipped",
            DeliveryState::Dead { .. } => "dead",
        }
    }
}
