//! What is posted: one function for each format, from an event as it is stored to the bytes of the body.
//!
//! The bytes are the same in every attempt: a format takes nothing but the event, the endpoint's URL and, for `raw`,
//! the webhook, all of which stay as they are. An event that a format contains whole is spliced in as the store has it.

mod abowire;
mod cloudevents;
mod flexprice;
mod raw;
mod standard;
mod windback;
mod wingback;
mod wingspan;

use crate::model::Time;
use crate::model::endpoint::Endpoint;
use crate::model::profile::Format;
use crate::store::{DeliveryLease, Store};
use billhook_event::Event;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A body, and the headers that say what it is.
pub(super) struct Content {
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
}

/// Why there is nothing to post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It would be worth nothing to the endpoint.
    Skip(String),
    /// It cannot be read back.
    Unreadable(String),
}

/// Writes what `endpoint` is owed.
pub(super) async fn write(
    endpoint: &Endpoint,
    lease: &DeliveryLease,
    webhook_id: &str,
    store: &dyn Store,
) -> Result<Content, Unsent> {
    let DeliveryLease { kind, occurred_at, event, revision, .. } = lease;
    let owed =
        Owed { webhook_id, revision: *revision, kind, occurred_at: *occurred_at, json: event, endpoint };
    let json = |body: Result<Vec<u8>, Unsent>| Ok(Content::new(body?, JSON));
    match endpoint.manner.format {
        Format::Standard => json(Ok(standard::body(&owed))),
        Format::CloudEvents => Ok(Content::new(cloudevents::body(&owed)?, cloudevents::CONTENT_TYPE)),
        Format::Raw => raw::content(&endpoint.manner, lease.delivery.event, store).await,
        Format::Flexprice => json(flexprice::body(&owed)),
        Format::Abowire => json(abowire::body(&owed, lease.delivery.event)),
        Format::Wingspan => json(wingspan::body(&owed)),
        Format::Wingback => json(wingback::body(&owed)),
        Format::Windback => json(windback::body(&owed)),
    }
}

impl Content {
    fn new(body: impl Into<Bytes>, content_type: HeaderValue) -> Content {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Content { body: body.into(), headers }
    }
}

/// What a format is made of.
struct Owed<'a> {
    /// As the header says it.
    webhook_id: &'a str,
    /// The event's revision, from 1.
    revision: u32,
    /// The canonical type.
    kind: &'a str,
    /// When it happened, else when it was received.
    occurred_at: Time,
    /// The event as it is stored.
    json: &'a [u8],
    /// To whom.
    endpoint: &'a Endpoint,
}

/// An event, read: for formats that need to know what is in it.
struct Read<'a> {
    event: Event,
    /// The bytes of the whole.
    whole: &'a RawValue,
    /// The bytes of its members.
    members: HashMap<String, &'a RawValue>,
}

impl<'a> Owed<'a> {
    fn read(&self) -> Result<Read<'a>, Unsent> {
        let unreadable =
            |why: serde_json::Error| Unsent::Unreadable(format!("the event cannot be read: {why}"));
        Ok(Read {
            event: serde_json::from_slice(self.json).map_err(unreadable)?,
            whole: serde_json::from_slice(self.json).map_err(unreadable)?,
            members: serde_json::from_slice(self.json).map_err(unreadable)?,
        })
    }
}

impl<'a> Read<'a> {
    /// What the type says the event is about, such as `invoice`, and what happened to it, such as `paid`.
    fn kind(&self) -> (&str, &str) {
        self.event.kind.split_once('.').unwrap_or((&self.event.kind, ""))
    }

    /// The name that `provider` has for the event: its own if it comes from there and `is_name`, else that of `names`
    /// for the canonical type.
    fn name_of(
        &self,
        provider: &str,
        is_name: impl Fn(&str) -> bool,
        names: &[(&str, &'static str)],
    ) -> Option<&str> {
        let own = &self.event.provider_event_type;
        if self.event.provider == provider && is_name(own) {
            return Some(own);
        }
        names.iter().find(|(kind, _)| *kind == self.event.kind).map(|(_, name)| *name)
    }

    /// The first of `members` that the event has, else what its type says it is about, its subscription or its
    /// customer; the whole event if it is about none of these.
    fn object(&self, members: &[&str]) -> &'a RawValue {
        let family = match self.kind().0 {
            "customer" if self.members.contains_key("risk") => "risk",
            family => family,
        };
        let wanted = members.iter().copied().chain([family, "subscription", "customer"]);
        wanted
            .filter_map(|name| self.members.get(name))
            .find(|object| object.get().starts_with('{'))
            .unwrap_or(&self.whole)
    }
}

/// A body as JSON.
fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("a body has string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EndpointId;
    use crate::model::profile::Manner;
    use crate::model::retry::Schedule;
    use std::time::Duration;

    /// An event of another provider with a member that JSON writes in its own way: it must stay as it is.
    pub(super) const EVENT: &str = r#"{"id":"evt_1","schema_version":1,"type":"KIND","source":"shop","provider":"acme","provider_event_type":"acme.thing","received_at":"2026-08-10T12:00:01.000Z","ordering_key":"acme:shop:sub_1","verified":"none","thin":false,"replayed":false,"occurred_at":"2026-08-10T12:00:00.000Z", "raw":{"webhook":"whk_1","sha256":"00","bytes":2},"retention":null,"plugins":[],MEMBERS}"#;

    pub(super) fn event(kind: &str, members: &str) -> String {
        EVENT.replace("KIND", kind).replace("MEMBERS", members)
    }

    pub(super) fn endpoint() -> Endpoint {
        Endpoint {
            id: EndpointId::derive("app"),
            name: "app".to_owned(),
            url: "https://u:hunter2@app.example.com/hooks?token=hunter2".parse().unwrap(),
            secrets: Vec::new(),
            events: Vec::new(),
            sources: Vec::new(),
            plugins: Vec::new(),
            schedule: Schedule::default(),
            timeout: Duration::from_secs(15),
            concurrency: 8,
            disable_after: crate::model::endpoint::DISABLE_AFTER,
            manner: Manner::default(),
            terms: crate::model::endpoint::Terms::default(),
        }
    }

    /// What `body` makes of an event, as text.
    pub(super) fn written<E>(
        event: &str,
        body: impl Fn(&Owed<'_>) -> Result<Vec<u8>, E>,
    ) -> Result<String, E> {
        let endpoint = endpoint();
        let owed = Owed {
            webhook_id: "evt_1-r2",
            revision: 2,
            kind: "invoice.paid",
            occurred_at: Time::from_secs(1_786_363_200),
            json: event.as_bytes(),
            endpoint: &endpoint,
        };
        body(&owed).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_object_is_what_the_event_is_about() {
        let members = r#""customer":{"id":"cus_1"},"subscription":{"id":"sub_1"},"invoice":{"id":"inv_1" }"#;
        let cases = [
            ("invoice.paid", &[][..], members, r#"{"id":"inv_1" }"#),
            ("payment.failed", &["invoice"], members, r#"{"id":"inv_1" }"#),
            ("payment.failed", &[], members, r#"{"id":"sub_1"}"#),
            ("payment.failed", &["payment"], r#""customer":{"id":"cus_1"}"#, r#"{"id":"cus_1"}"#),
            (
                "customer.risk_changed",
                &[],
                r#""customer":{"id":"cus_1"},"risk":{"kind":"high"}"#,
                r#"{"kind":"high"}"#,
            ),
        ];
        for (kind, wanted, members, object) in cases {
            let event = event(kind, members);
            written(&event, |owed| {
                assert_eq!(owed.read()?.object(wanted).get(), object, "{kind} {wanted:?}");
                Ok::<_, Unsent>(Vec::new())
            })
            .unwrap();
        }
        let event = event("provider.unmapped", r#""livemode":true"#);
        let whole =
            written(&event, |owed| Ok::<_, Unsent>(owed.read()?.object(&[]).get().as_bytes().to_vec()));
        assert_eq!(whole.unwrap(), event);
    }

    #[test]
    fn a_damaged_event_is_unreadable_and_not_skipped() {
        for body in [flexprice::body, wingspan::body, wingback::body, windback::body, cloudevents::body] {
            assert!(matches!(written("{\"id\":", body), Err(Unsent::Unreadable(_))));
        }
    }
}
