//! An outgoing request in memory.

use super::values;
use crate::Event;
use std::marker::PhantomData;

/// Headers that the gateway writes, beside those that begin with `webhook-`.
const OF_THE_GATEWAY: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

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
        let name = name.to_ascii_lowercase();
        check_header(&name, value)?;
        self.remove_header(&name);
        self.headers.push((name, value.to_vec()));
        Ok(())
    }

    pub(crate) fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), String> {
        check_path(path)?;
        self.path = Some(path.to_owned());
        Ok(())
    }
}

/// `name` is in lower case.
fn check_header(name: &str, value: &[u8]) -> Result<(), String> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(in_name) {
        return Err(format!("`{name}` is not the name of a header"));
    }
    if name == "content-type" {
        return Err("`content-type` is set with the body".to_owned());
    }
    if name.starts_with("webhook-") || OF_THE_GATEWAY.contains(&name) {
        return Err(format!("`{name}` is the gateway's"));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(format!("the value of `{name}` has a control character"));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(format!("`{path}` does not begin with one `/`"));
    }
    if let Some(wrong) = path.chars().find(|c| !c.is_ascii_graphic() || "#\\".contains(*c)) {
        return Err(format!("`{path}` has {wrong:?}: write it as in a URL, without a fragment"));
    }
    // A URL's reader takes `%2e` for a dot too, and some receivers undo `%2f` and `%5c`.
    let (segments, _query) = path.split_once('?').unwrap_or((path, ""));
    let dots = segments.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    if dots.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("`{path}` has a segment of dots, which leads elsewhere"));
    }
    Ok(())
}
