//! The test event: what an operator sends to one endpoint to see whether it arrives.
//!
//! It is stored and delivered as any other, so that its story can be told: a webhook that the gateway wrote to itself,
//! and one event of it.

use crate::model::dispatch::{Dispatch, NewEvent, Run};
use crate::model::id::{EndpointId, EventId, WebhookId};
use crate::model::webhook::{NewWebhook, WebhookHead};
use billhook_event::event::Stamp;
use billhook_event::{Draft, Event, Raw, Time, Verified};
use bytes::Bytes;

/// The canonical type of test events.
pub const KIND: &str = "provider.test";
/// Their own name.
pub const NAME: &str = "billhook.test";
/// What stands where others have a source and its provider; no source can be called so.
pub const SOURCE: &str = "billhook.test";

/// A test event for one endpoint. `random` makes it one of its kind.
pub fn ping(endpoint: EndpointId, now: Time, random: u128) -> (NewWebhook, Dispatch) {
    let id = WebhookId::new(now, random);
    let body = Bytes::from_static(b"{\"test\":true}");
    let head =
        WebhookHead { event_name: Some(NAME.to_owned()), ..WebhookHead::of(SOURCE, SOURCE, now, &body) };
    let event_id = EventId::derive(id, 0);
    let stamp = Stamp {
        id: event_id.to_string(),
        source: SOURCE.to_owned(),
        provider: SOURCE.to_owned(),
        provider_delivery_id: None,
        received_at: now,
        ordering_key: format!("{SOURCE}:{event_id}"),
        verified: Verified::None,
        replayed: false,
        raw: Raw {
            webhook: id.to_string(),
            sha256: hex::encode(head.sha256),
            content_type: None,
            bytes: head.body_len,
        },
        plugins: Vec::new(),
    };
    let draft = Draft {
        kind: KIND.to_owned(),
        provider_event_type: NAME.to_owned(),
        occurred_at: Some(now),
        livemode: Some(false),
        ..Draft::default()
    };
    let json = serde_json::to_vec(&Event::new(stamp, draft)).expect("an event has string keys only");
    let event = NewEvent {
        id: event_id,
        kind: KIND.to_owned(),
        json: json.into(),
        entity: None,
        object: None,
        occurred_at: now,
        dropped: None,
        endpoints: vec![endpoint],
    };
    let run = Run { now, ..Run::default() };
    (NewWebhook { id, head, body, key: None }, Dispatch { run, events: vec![event], ..Dispatch::default() })
}
