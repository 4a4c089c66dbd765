//! An outgoing request in a component: the gateway's own, by handle.

use crate::bindings::imports as wit;
use crate::{Event, Outgoing};
use std::cell::OnceCell;

/// The gateway's outgoing request.
#[derive(Debug)]
pub(crate) struct OutgoingHost<'a> {
    handle: &'a wit::deliveries::Outgoing,
    about: OnceCell<Event<'static>>,
}

impl<'a> From<&'a wit::deliveries::Outgoing> for Outgoing<'a> {
    fn from(handle: &'a wit::deliveries::Outgoing) -> Outgoing<'a> {
        Outgoing::over(OutgoingHost { handle, about: OnceCell::new() })
    }
}

impl OutgoingHost<'_> {
    pub(crate) fn delivery_id(&self) -> String {
        self.handle.delivery_id()
    }

    pub(crate) fn endpoint(&self) -> String {
        self.handle.endpoint()
    }

    pub(crate) fn about(&self) -> &Event<'static> {
        self.about.get_or_init(|| Event::from(self.handle.about()))
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.handle.body()
    }

    pub(crate) fn content_type(&self) -> String {
        self.handle.content_type()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.handle.header(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.handle.headers()
    }

    pub(crate) fn set_body(&mut self, body: &[u8], content_type: &str) {
        self.handle.set_body(body, content_type);
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        self.handle.set_header(name, value)
    }

    pub(crate) fn remove_header(&mut self, name: &str) {
        self.handle.remove_header(name);
    }

    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), String> {
        self.handle.set_path(path)
    }
}
