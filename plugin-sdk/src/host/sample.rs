//! Samples in memory, for native tests.

use super::Level;
use crate::json::{Json, Scalar};
use crate::{Failure, Webhook};
use billhook_event::Time;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::marker::PhantomData;

thread_local! {
    static NOW: Cell<Time> = const { Cell::new(Time::ZERO) };
}

pub(crate) fn set_now(now: Time) {
    NOW.set(now);
}

pub(super) fn now() -> Time {
    NOW.get()
}

pub(super) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    eprintln!("{level:?} {message} {fields:?}");
}

/// A webhook that owns its parts.
#[derive(Debug)]
pub(crate) struct WebhookHost<'a> {
    source: String,
    provider: String,
    pub(crate) event_name: Option<String>,
    pub(crate) delivery_id: Option<String>,
    pub(crate) received_at: Time,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    handle: PhantomData<&'a ()>,
}

impl WebhookHost<'static> {
    pub(crate) fn sample(source: &str, provider: &str) -> Self {
        WebhookHost {
            source: source.to_owned(),
            provider: provider.to_owned(),
            event_name: None,
            delivery_id: None,
            received_at: Time::ZERO,
            headers: Vec::new(),
            query: Vec::new(),
            body: Vec::new(),
            handle: PhantomData,
        }
    }
}

impl WebhookHost<'_> {
    pub(crate) fn id(&self) -> String {
        "whk_00000000000000000000000000".to_owned()
    }

    pub(crate) fn source(&self) -> String {
        self.source.clone()
    }

    pub(crate) fn provider(&self) -> String {
        self.provider.clone()
    }

    pub(crate) fn event_name(&self) -> Option<String> {
        self.event_name.clone()
    }

    pub(crate) fn delivery_id(&self) -> Option<String> {
        self.delivery_id.clone()
    }

    pub(crate) fn received_at(&self) -> Time {
        self.received_at
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        let same = |(key, _): &&(String, Vec<u8>)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    pub(crate) fn query_values(&self, name: &str) -> Vec<String> {
        self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    pub(crate) fn body_length(&self) -> u64 {
        self.body.len() as u64
    }

    pub(crate) fn get(&self, pointer: &str) -> Option<Scalar> {
        Json::parse(&self.body).ok()?.pointer(pointer)?.scalar()
    }

    pub(crate) fn get_json(&self, pointer: &str) -> Option<String> {
        Some(Json::parse(&self.body).ok()?.pointer(pointer)?.raw().to_owned())
    }

    pub(crate) fn count(&self, pointer: &str) -> Option<u32> {
        Json::parse(&self.body).ok()?.pointer(pointer)?.count()
    }
}

/// An event that owns its parts.
#[derive(Debug)]
pub(crate) struct EventHost<'a> {
    event: billhook_event::Event,
    pub(crate) seen: BTreeMap<String, Time>,
    handle: PhantomData<&'a ()>,
}

impl EventHost<'static> {
    pub(crate) fn sample(event: billhook_event::Event) -> Self {
        EventHost { event, seen: BTreeMap::new(), handle: PhantomData }
    }

    pub(crate) fn sample_from_json(json: &str) -> Result<Self, Failure> {
        let mut event = serde_json::json!({
            "id": "evt_00000000000000000000000000",
            "schema_version": billhook_event::event::SCHEMA_VERSION,
            "type": "provider.unmapped",
            "source": "sample",
            "provider": "sample",
            "provider_event_type": "sample",
            "received_at": Time::from_secs(1_786_363_200),
            "ordering_key": "sample:sample:sample",
            "verified": "signature",
            "raw": { "webhook": "whk_00000000000000000000000000", "sha256": "00", "bytes": 2 },
        });
        let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)?;
        event.as_object_mut().ok_or_else(|| Failure::other("the sample is an object"))?.extend(given);
        Ok(EventHost::sample(serde_json::from_value(event)?))
    }
}

impl EventHost<'_> {
    pub(crate) fn id(&self) -> String {
        self.event.id.clone()
    }

    pub(crate) fn event_type(&self) -> String {
        self.event.kind.clone()
    }

    pub(crate) fn provider(&self) -> String {
        self.event.provider.clone()
    }

    pub(crate) fn source(&self) -> String {
        self.event.source.clone()
    }

    pub(crate) fn received_at(&self) -> Time {
        self.event.received_at
    }

    pub(crate) fn occurred_at(&self) -> Option<Time> {
        self.event.occurred_at
    }

    pub(crate) fn replayed(&self) -> bool {
        self.event.replayed
    }

    pub(crate) fn typed(&self) -> Result<billhook_event::Event, Failure> {
        Ok(self.event.clone())
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.event).unwrap_or_default()
    }

    pub(crate) fn get(&self, pointer: &str) -> Option<Scalar> {
        Json::parse(&self.json()).ok()?.pointer(pointer)?.scalar()
    }

    pub(crate) fn get_json(&self, pointer: &str) -> Option<String> {
        Some(Json::parse(&self.json()).ok()?.pointer(pointer)?.raw().to_owned())
    }

    pub(crate) fn raw(&self) -> Option<Webhook<'static>> {
        None
    }

    pub(crate) fn last_seen(&self, kind: &str) -> Option<Time> {
        self.seen.get(kind).copied()
    }
}
