//! A request in memory.

use super::values;
use billhook_event::Time;
use std::marker::PhantomData;

/// A request that owns its parts.
#[derive(Debug)]
pub(crate) struct RequestHost<'a> {
    source: String,
    provider: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) received_at: Time,
    pub(crate) remote_address: Option<String>,
    handle: PhantomData<&'a ()>,
}

impl RequestHost<'static> {
    pub(crate) fn sample(source: &str, provider: &str) -> Self {
        RequestHost {
            source: source.to_owned(),
            provider: provider.to_owned(),
            method: "POST".to_owned(),
            path: String::new(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            received_at: Time::ZERO,
            remote_address: None,
            handle: PhantomData,
        }
    }
}

impl RequestHost<'_> {
    pub(crate) fn source(&self) -> String {
        self.source.clone()
    }

    pub(crate) fn provider(&self) -> String {
        self.provider.clone()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    pub(crate) fn query(&self) -> String {
        self.query.clone()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        values(&self.headers, name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    pub(crate) fn received_at(&self) -> Time {
        self.received_at
    }

    pub(crate) fn remote_address(&self) -> Option<String> {
        self.remote_address.clone()
    }
}
