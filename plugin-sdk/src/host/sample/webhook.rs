//! A webhook in memory.

use super::values;
use crate::Document;
use crate::json::Scalar;
use billhook_event::Time;
use std::marker::PhantomData;

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
        values(&self.headers, name)
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
        Document::parse(&self.body).ok()?.json().pointer(pointer)?.scalar()
    }

    pub(crate) fn get_json(&self, pointer: &str) -> Option<String> {
        Some(Document::parse(&self.body).ok()?.json().pointer(pointer)?.raw().to_owned())
    }

    pub(crate) fn count(&self, pointer: &str) -> Option<u32> {
        Document::parse(&self.body).ok()?.json().pointer(pointer)?.count()
    }
}
