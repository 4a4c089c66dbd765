//! Deliveries and their attempts.

use crate::api::endpoint::Gate;
use crate::api::{Content, text};
use crate::model::Time;
use crate::model::id::{AttemptId, DeliveryId, EndpointId, EventId};
use serde::{Deserialize, Serialize};

/// What `GET /api/v1/deliveries` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryQuery {
    /// `waiting`, `delivered`, `skipped` or `dead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// An endpoint's name, or its `ep_...` if it is no longer configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// One event owed to one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// `dlv_...`.
    #[serde(with = "text")]
    pub id: DeliveryId,
    /// The event.
    #[serde(with = "text")]
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointRef,
    /// 0 for the first delivery, one more for each resend or redrive.
    pub resend: u32,
    /// When it was made.
    pub created: Time,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// Attempts that used up the schedule: all but trials.
    pub step: u32,
    /// Where it stands.
    #[serde(flatten)]
    pub state: DeliveryState,
    /// It came late: the endpoint had taken this event, of the same entity, family and object, and later, before.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub stale: Option<EventId>,
}

/// The endpoint of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRef {
    /// `ep_...`.
    #[serde(with = "text")]
    pub id: EndpointId,
    /// Its name; absent if it is no longer configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, with query values and passwords as `***`; absent if it is no longer configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl EndpointRef {
    /// What people call it: its name, else its id.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string())
    }
}

/// Where a delivery stands; its name is the field `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    /// Owed.
    Waiting {
        /// When the next attempt is due.
        due: Time,
    },
    /// The endpoint took it.
    Delivered {
        /// When.
        at: Time,
    },
    /// It was not worth sending.
    Skipped {
        /// When.
        at: Time,
        /// Why.
        why: String,
    },
    /// Every attempt failed; a redrive makes a new delivery of it.
    Dead {
        /// When.
        at: Time,
        /// Why.
        why: String,
    },
}

/// A delivery with its attempts. The answer of `GET /api/v1/deliveries/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryStory {
    /// The delivery.
    pub delivery: Delivery,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// What holds it back besides its time: the gate of its endpoint. Absent when it passes, or nothing is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Gate>,
    /// The delivery of the same entity that has to end first, at an endpoint with `ordering = "entity"`. Absent when it
    /// waits for no other.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    pub behind: Option<DeliveryId>,
}

/// What a resend did. The answer of `POST /api/v1/deliveries/{id}/resend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resent {
    /// The delivery that is sent: of the same event to the same endpoint, under the same `webhook-id`.
    #[serde(with = "text")]
    pub delivery: DeliveryId,
    /// Whether it was made now; else it waited already.
    pub new: bool,
}

/// One HTTP try of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// `att_...`.
    #[serde(with = "text")]
    pub id: AttemptId,
    /// 1 for the first of its delivery.
    pub n: u32,
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took_us: u64,
    /// Whether it was a trial of a closed gate, which does not use up the schedule.
    pub trial: bool,
    /// The `webhook-id` that was sent.
    pub webhook_id: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The wait that the endpoint asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The beginning of the answer's body; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Content>,
}

/// How an attempt ended; its name is the field `outcome`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The endpoint took it.
    Delivered {
        /// The HTTP status.
        status: u16,
    },
    /// It did not.
    Failed {
        /// What kind of failure.
        failure: FailureKind,
        /// The HTTP status, if there was an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// For people.
        why: String,
    },
    /// Nothing was sent: it was not worth sending.
    Skipped {
        /// Why.
        why: String,
    },
}

/// What kind of failure an attempt ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A status that is no success.
    Status,
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// The name did not resolve.
    Resolve,
    /// The address policy forbids where it points.
    Forbidden,
    /// The connection broke or spoke nonsense.
    Broken,
    /// What is to be sent cannot be read back from the store.
    Unreadable,
    /// A plugin of the endpoint gave no answer.
    Plugin,
    /// The system gave the gateway no descriptor to connect with.
    Exhausted,
}
