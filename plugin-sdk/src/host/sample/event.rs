//! An event in memory.

use crate::Document;
use crate::json::Scalar;
use crate::{Failure, Webhook};
use billhook_event::Time;
use std::collections::BTreeMap;
use std::marker::PhantomData;

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
        Document::parse(&self.json()).ok()?.json().pointer(pointer)?.scalar()
    }

    pub(crate) fn get_json(&self, pointer: &str) -> Option<String> {
        Some(Document::parse(&self.json()).ok()?.json().pointer(pointer)?.raw().to_owned())
    }

    pub(crate) fn raw(&self) -> Option<Webhook<'static>> {
        None
    }

    pub(crate) fn last_seen(&self, kind: &str) -> Option<Time> {
        self.seen.get(kind).copied()
    }
}
