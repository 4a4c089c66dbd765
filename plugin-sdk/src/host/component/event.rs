//! An event in a component: the gateway's own, by handle.

use super::Handle;
use crate::bindings::imports as wit;
use crate::event::unexpected;
use crate::json::Scalar;
use crate::{Event, Failure, Webhook};
use billhook_event::Time;

/// The gateway's event.
#[derive(Debug)]
pub(crate) struct EventHost<'a>(Handle<'a, wit::events::Event>);

impl<'a> From<&'a wit::events::Event> for Event<'a> {
    fn from(handle: &'a wit::events::Event) -> Event<'a> {
        Event::over(EventHost(Handle::Borrowed(handle)))
    }
}

impl From<wit::events::Event> for Event<'static> {
    fn from(handle: wit::events::Event) -> Event<'static> {
        Event::over(EventHost(Handle::Owned(handle)))
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
        serde_json::from_slice(&self.json()).map_err(unexpected)
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
        self.0.raw().map(Webhook::from)
    }

    pub(crate) fn last_seen(&self, kind: &str) -> Option<Time> {
        self.0.last_seen(kind).map(Time::from_millis)
    }
}
