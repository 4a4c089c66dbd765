//! The gateway's imports, as a component calls them.

use super::Level;
use crate::bindings::imports as wit;
use crate::json::Scalar;
use crate::{Failure, Webhook};
use billhook_event::Time;
use std::ops::Deref;

pub(super) fn now() -> Time {
    Time::from_millis(wit::clock::now())
}

pub(super) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let level = match level {
        Level::Trace => wit::log::Level::Trace,
        Level::Debug => wit::log::Level::Debug,
        Level::Info => wit::log::Level::Info,
        Level::Warn => wit::log::Level::Warn,
        Level::Error => wit::log::Level::Error,
    };
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    wit::log::log(level, message, &fields);
}

/// A handle of the caller's, for the length of a call, or one of our own.
#[derive(Debug)]
enum Handle<'a, T> {
    Borrowed(&'a T),
    Owned(T),
}

impl<T> Deref for Handle<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Handle::Borrowed(handle) => handle,
            Handle::Owned(handle) => handle,
        }
    }
}

/// The gateway's webhook.
#[derive(Debug)]
pub(crate) struct WebhookHost<'a>(Handle<'a, wit::webhooks::Webhook>);

impl<'a> From<&'a wit::webhooks::Webhook> for Webhook<'a> {
    fn from(handle: &'a wit::webhooks::Webhook) -> Webhook<'a> {
        Webhook::over(WebhookHost(Handle::Borrowed(handle)))
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

/// The gateway's event.
#[derive(Debug)]
pub(crate) struct EventHost<'a>(Handle<'a, wit::events::Event>);

impl<'a> From<&'a wit::events::Event> for crate::Event<'a> {
    fn from(handle: &'a wit::events::Event) -> crate::Event<'a> {
        crate::Event::over(EventHost(Handle::Borrowed(handle)))
    }
}

impl EventHost<'_> {
    pub(crate) fn id(&self) -> String {
        self.0.id()
    }

    pub(crate) fn event_type(&self) -> String {
        self.0.event_type()
    }

    pub(crate) fn provider(&self) -> String {
        self.0.provider()
    }

    pub(crate) fn source(&self) -> String {
        self.0.source()
    }

    pub(crate) fn received_at(&self) -> Time {
        Time::from_millis(self.0.received_at())
    }

    pub(crate) fn occurred_at(&self) -> Option<Time> {
        self.0.occurred_at().map(Time::from_millis)
    }

    pub(crate) fn replayed(&self) -> bool {
        self.0.replayed()
    }

    pub(crate) fn typed(&self) -> Result<billhook_event::Event, Failure> {
        serde_json::from_slice(&self.json())
            .map_err(|error| Failure::Other(format!("the gateway's event is not as expected: {error}")))
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        self.0.json()
    }

    pub(crate) fn get(&self, pointer: &str) -> Option<Scalar> {
        self.0.get(pointer).map(Scalar::from)
    }

    pub(crate) fn get_json(&self, pointer: &str) -> Option<String> {
        String::from_utf8(self.0.get_json(pointer)?).ok()
    }

    pub(crate) fn raw(&self) -> Option<Webhook<'static>> {
        self.0.raw().map(|handle| Webhook::over(WebhookHost(Handle::Owned(handle))))
    }

    pub(crate) fn last_seen(&self, kind: &str) -> Option<Time> {
        self.0.last_seen(kind).map(Time::from_millis)
    }
}

impl From<wit::types::Scalar> for Scalar {
    fn from(scalar: wit::types::Scalar) -> Scalar {
        match scalar {
            wit::types::Scalar::Null => Scalar::Null,
            wit::types::Scalar::Boolean(value) => Scalar::Bool(value),
            wit::types::Scalar::Number(text) => Scalar::Number(text),
            wit::types::Scalar::Text(text) => Scalar::Text(text),
        }
    }
}
