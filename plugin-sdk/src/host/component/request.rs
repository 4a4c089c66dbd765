//! A request in a component: the gateway's own, by handle.

use crate::Request;
use crate::bindings::imports as wit;
use billhook_event::Time;

/// The gateway's request.
#[derive(Debug)]
pub(crate) struct RequestHost<'a>(&'a wit::ingress::Request);

impl<'a> From<&'a wit::ingress::Request> for Request<'a> {
    fn from(handle: &'a wit::ingress::Request) -> Request<'a> {
        Request::over(RequestHost(handle))
    }
}

impl RequestHost<'_> {
    pub(crate) fn source(&self) -> String {
        self.0.source()
    }

    pub(crate) fn provider(&self) -> String {
        self.0.provider()
    }

    pub(crate) fn method(&self) -> String {
        self.0.method()
    }

    pub(crate) fn path(&self) -> String {
        self.0.path()
    }

    pub(crate) fn query(&self) -> String {
        self.0.query()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.0.body()
    }

    pub(crate) fn received_at(&self) -> Time {
        Time::from_millis(self.0.received_at())
    }

    pub(crate) fn remote_address(&self) -> Option<String> {
        self.0.remote_address()
    }
}
