//! Dead letters, and how to redrive them.

use crate::api::delivery::Delivery;
use crate::api::text;
use crate::api::webhook::Webhook;
use crate::model::id::{DeliveryId, WebhookId};
use serde::{Deserialize, Serialize};

/// What `GET /api/v1/dead-letters` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterQuery {
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What `POST /api/v1/dead-letters/redrive` takes beside its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedriveQuery {
    /// The `next` of the answer before, with the same body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A dead letter; which one is the field `kind`. Lists give webhooks first, then deliveries, each newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeadLetter {
    /// A webhook that the pipeline gave up.
    Webhook(Box<Webhook>),
    /// A delivery whose every attempt failed.
    Delivery(Box<Delivery>),
}

/// What `POST /api/v1/dead-letters/redrive` takes: exactly one of `{"delivery": "dlv_..."}`,
/// `{"webhook": "whk_..."}`, `{"endpoint": "name"}`, `{"all": true}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redrive {
    /// One dead delivery.
    #[serde(with = "text")]
    Delivery(DeliveryId),
    /// One dead webhook.
    #[serde(with = "text")]
    Webhook(WebhookId),
    /// Every dead delivery of an endpoint: its name, or its `ep_...` if it is no longer configured.
    Endpoint(String),
    /// Every dead letter; `false` is refused.
    All(bool),
}

/// What a redrive did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// Deliveries made anew.
    pub deliveries: u64,
    /// Webhooks put before the pipeline again.
    pub webhooks: u64,
    /// What to send as `after` to go on, with the same body; absent: everything was come by. Whoever goes on so comes to
    /// an end, although what is redriven may die again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn a_redrive_names_exactly_one_thing() {
        let id = WebhookId::new(Time::from_secs(1_786_363_200), 7);
        let cases = [
            (format!(r#"{{"webhook":"{id}"}}"#), Some(Redrive::Webhook(id))),
            (r#"{"endpoint":"app"}"#.to_owned(), Some(Redrive::Endpoint("app".to_owned()))),
            (r#"{"all":true}"#.to_owned(), Some(Redrive::All(true))),
            (format!(r#"{{"delivery":"{id}"}}"#), None),
            (r#"{"all":true,"endpoint":"app"}"#.to_owned(), None),
            (r#"{"everything":true}"#.to_owned(), None),
            ("{}".to_owned(), None),
        ];
        for (json, expected) in cases {
            let read = serde_json::from_str::<Redrive>(&json);
            assert_eq!(read.as_ref().ok(), expected.as_ref(), "{json}: {read:?}");
            if let Some(redrive) = expected {
                assert_eq!(serde_json::to_string(&redrive).unwrap(), json);
            }
        }
    }
}
