//! An outgoing request in memory.

use super::values;
use crate::Event;
use billhook_event::{header, path};
use std::marker::PhantomData;

/// An outgoing request that owns its parts.
#[derive(Debug)]
pub(crate) struct OutgoingHost<'a> {
    endpoint: String,
    about: Event<'static>,
    body: Vec<u8>,
    content_type: String,
    headers: Vec<(String, Vec<u8>)>,
    pub(crate) path: Option<String>,
    handle: PhantomData<&'a ()>,
}

impl OutgoingHost<'static> {
    pub(crate) fn sample(endpoint: &str, about: Event<'static>) -> Self {
        OutgoingHost {
            endpoint: endpoint.to_owned(),
            body: standard(&about),
            about,
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            path: None,
            handle: PhantomData,
        }
    }
}

/// The body of the gateway's own making.
fn standard(event: &Event<'_>) -> Vec<u8> {
    let kind = serde_json::Value::from(event.event_type());
    let timestamp = event.happened_at();
    let head = format!("{{\"type\":{kind},\"timestamp\":\"{timestamp}\",\"data\":");
    [head.as_bytes(), &event.json(), b"}"].concat()
}

impl OutgoingHost<'_> {
    pub(crate) fn delivery_id(&self) -> String {
        "dlv_00000000000000000000000000".to_owned()
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(crate) fn about(&self) -> &Event<'static> {
        &self.about
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    pub(crate) fn content_type(&self) -> String {
        self.content_type.clone()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        values(&self.headers, name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    pub(crate) fn set_body(&mut self, body: &[u8], content_type: &str) {
        self.body = body.to_vec();
        self.content_type = content_type.to_owned();
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        header::set(&mut self.headers, name, value.to_vec())
    }

    pub(crate) fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), String> {
        path::check(path)?;
        self.path = Some(path.to_owned());
        Ok(())
    }
}
