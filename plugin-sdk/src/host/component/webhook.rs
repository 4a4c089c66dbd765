//! A webhook in a component: the gateway's own, by handle.

use super::Handle;
use crate::Webhook;
use crate::bindings::imports as wit;
use crate::json::Scalar;
use billhook_event::Time;

/// The gateway's webhook.
#[derive(Debug)]
pub(crate) struct WebhookHost<'a>(Handle<'a, wit::webhooks::Webhook>);

impl<'a> From<&'a wit::webhooks::Webhook> for Webhook<'a> {
    fn from(handle: &'a wit::webhooks::Webhook) -> Webhook<'a> {
        Webhook::over(WebhookHost(Handle::Borrowed(handle)))
    }
}

impl From<wit::webhooks::Webhook> for Webhook<'static> {
    fn from(handle: wit::webhooks::Webhook) -> Webhook<'static> {
        Webhook::over(WebhookHost(Handle::Owned(handle)))
    }
}

impl WebhookHost<'_> {
    pub(crate) fn id(&self) -> String {
        self.0.id()
    }

    pub(crate) fn source(&self) -> String {
        self.0.source()
    }

    pub(crate) fn provider(&self) -> String {
        self.0.provider()
    }

    pub(crate) fn event_name(&self) -> Option<String> {
        self.0.event_name()
    }

    pub(crate) fn delivery_id(&self) -> Option<String> {
        self.0.delivery_id()
    }

    pub(crate) fn received_at(&self) -> Time {
        Time::from_millis(self.0.received_at())
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    pub(crate) fn query_values(&self, name: &str) -> Vec<String> {
        self.0.query_values(name)
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.0.body()
    }

    pub(crate) fn body_length(&self) -> u64 {
        self.0.body_length()
    }

    pub(crate) fn get(&self, pointer: &str) -> Option<Scalar> {
        self.0.get(pointer).map(Scalar::from)
    }

    pub(crate) fn get_json(&self, pointer: &str) -> Option<String> {
        String::from_utf8(self.0.get_json(pointer)?).ok()
    }

    pub(crate) fn count(&self, pointer: &str) -> Option<u32> {
        self.0.count(pointer)
    }
}
