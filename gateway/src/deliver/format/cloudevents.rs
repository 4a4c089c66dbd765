//! [CloudEvents 1.0.2](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) in structured mode: one
//! JSON object with the event as its `data`.

use crate::deliver::format::{Owed, Unsent, json};
use crate::model::Time;
use http::HeaderValue;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/cloudevents+json");

#[derive(Serialize)]
struct Body<'a> {
    specversion: &'static str,
    id: &'a str,
    /// With `id`, it is unique.
    source: String,
    r#type: &'a str,
    time: Time,
    /// The subscription, else the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    /// Of the extension "partitioning": what has to stay in order has the same.
    partitionkey: &'a str,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// The whole body.
pub(super) fn body(owed: &Owed<'_>) -> Result<Vec<u8>, Unsent> {
    let read = owed.read()?;
    Ok(json(&Body {
        specversion: "1.0",
        id: owed.webhook_id,
        source: format!("urn:billhook:source:{}", read.event.source),
        r#type: &read.event.kind,
        time: owed.occurred_at,
        subject: read.event.entity(),
        partitionkey: &read.event.ordering_key,
        datacontenttype: "application/json",
        data: read.whole,
    }))
}

#[cfg(test)]
mod tests {
    use super::body;
    use crate::deliver::format::tests::{event, written};

    #[test]
    fn the_event_is_the_data_byte_for_byte() {
        let event = event("invoice.paid", r#""subscription":{"id":"sub_1" }"#);
        let head = r#"{"specversion":"1.0","id":"evt_1-r2","source":"urn:billhook:source:shop","type":"invoice.paid","time":"2026-08-10T12:00:00.000Z","subject":"sub_1","partitionkey":"acme:shop:sub_1","datacontenttype":"application/json","data":"#;
        assert_eq!(written(&event, body).unwrap(), format!("{head}{event}}}"));
        let nobody = written(&event.replace("subscription", "unknown"), body).unwrap();
        assert!(!nobody.contains("subject"), "{nobody}");
    }
}
