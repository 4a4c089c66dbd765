//! What a transform is given, what it may change, and what it may not.
//!
//! Scheme, host and port are the endpoint's; the gateway's own headers and the signature are the gateway's. A path is
//! always below the endpoint's own, and its query is added to the endpoint's own, which may hold a secret.

use crate::model::webhook::Header;
use crate::plugins::EventInput;
use billhook_event::{header, path};
use bytes::Bytes;
use std::sync::Arc;
use url::Url;

/// What a transform sees: a request that is about to be signed and sent.
#[derive(Clone, Debug)]
pub struct OutgoingInput {
    /// The delivery.
    pub delivery: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The event.
    pub about: Arc<EventInput>,
    /// The request so far.
    pub request: Outgoing,
    /// Headers that are not the plugin's beside those that never are, in lower case: that of the endpoint's signature.
    pub reserved: Vec<String>,
}

/// The parts of a request that a transform may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its body.
    pub body: Bytes,
    /// The body's content type.
    pub content_type: String,
    /// Other headers, names in lower case; none that the endpoint's configuration sets.
    pub headers: Vec<Header>,
    /// Path and query below the endpoint's own URL; `None`: the URL as it stands.
    pub path: Option<String>,
}

/// What a transform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Send this.
    Send(Outgoing),
    /// Send nothing, and why.
    Drop(String),
}

impl OutgoingInput {
    pub(super) fn set_header(&mut self, name: &str, value: Vec<u8>) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        if self.reserved.contains(&name) {
            return Err(format!("`{name}` is the gateway's"));
        }
        header::set(&mut self.request.headers, &name, value)
    }

    pub(super) fn remove_header(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if !header::is_reserved(&name) && !self.reserved.contains(&name) {
            self.request.headers.retain(|(known, _)| *known != name);
        }
    }

    pub(super) fn set_path(&mut self, path: String) -> Result<(), String> {
        path::check(&path)?;
        self.request.path = Some(path);
        Ok(())
    }
}

impl Outgoing {
    /// Where it goes: `own`, or a place below it. `None` where the path leads elsewhere, which
    /// [`OutgoingInput::set_path`] did not let pass.
    pub fn url(&self, own: &Url) -> Option<Url> {
        let Some(path) = &self.path else { return Some(own.clone()) };
        let (path, query) =
            path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
        let base = own.path().trim_end_matches('/');
        let mut url = own.clone();
        url.set_path(&format!("{base}{path}"));
        let query: Vec<&str> =
            own.query().into_iter().chain(query).filter(|query| !query.is_empty()).collect();
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        // The URL as it was put together has the last word.
        let is_below = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        (is_below && url.origin() == own.origin()).then_some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(path: &str) -> Outgoing {
        Outgoing {
            body: Bytes::new(),
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            path: Some(path.to_owned()),
        }
    }

    #[test]
    fn a_path_is_below_the_endpoints_own_and_its_query_after_the_endpoints_own() {
        let cases = [
            ("https://a.example/hooks", "/rooms/1", "https://a.example/hooks/rooms/1"),
            ("https://a.example/hooks/", "/rooms/1?x=2", "https://a.example/hooks/rooms/1?x=2"),
            ("https://a.example:8443/?token=s", "/r?x=2", "https://a.example:8443/r?token=s&x=2"),
            ("https://a.example/h?token=s", "/", "https://a.example/h/?token=s"),
            ("https://u:p@a.example/h", "/@b.example", "https://u:p@a.example/h/@b.example"),
            ("https://a.example/h", "/a//b", "https://a.example/h/a//b"),
        ];
        for (own, path, expected) in cases {
            let own: Url = own.parse().unwrap();
            assert_eq!(path::check(path), Ok(()), "{path}");
            assert_eq!(outgoing(path).url(&own).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused_as_the_url_it_makes_too() {
        let own: Url = "https://a.example/hooks/deep".parse().unwrap();
        for path in ["/../../b", "/%2e%2E/%2e%2e/b"] {
            assert!(path::check(path).is_err(), "{path}");
            assert_eq!(outgoing(path).url(&own), None, "{path}");
        }
    }
}
