//! A request about to leave, as a transform sees it.

use crate::host::OutgoingHost;
use crate::{Event, Failure};
use std::cell::OnceCell;

/// A request about to be signed and sent.
///
/// Body, content type, headers and the end of the path may be changed, and are read as they were changed. Scheme, host,
/// port and signature are not the plugin's. In a component it is a handle to the gateway's own copy; natively it is
/// built from a sample: see [`Outgoing::new`].
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub(crate) host: OutgoingHost<'a>,
    body: OnceCell<Vec<u8>>,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn over(host: OutgoingHost<'a>) -> Outgoing<'a> {
        Outgoing { host, body: OnceCell::new() }
    }

    /// `dlv_...`: the same at each attempt.
    pub fn delivery_id(&self) -> String {
        self.host.delivery_id()
    }

    /// The configured endpoint it goes to.
    pub fn endpoint(&self) -> String {
        self.host.endpoint()
    }

    /// The event it tells of.
    pub fn about(&self) -> &Event<'static> {
        self.host.about()
    }

    /// The body, copied once. Before it is changed it is `{"type", "timestamp", "data"}`, the last being the event.
    pub fn body(&self) -> &[u8] {
        self.body.get_or_init(|| self.host.body())
    }

    /// The content type; before it is changed `application/json`.
    pub fn content_type(&self) -> String {
        self.host.content_type()
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.host.header(name).into_iter().next().and_then(|value| String::from_utf8(value).ok())
    }

    /// Every value of a header.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.host.header(name)
    }

    /// Every header, names in lower case. Those that the gateway adds as it sends are not among them.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.host.headers()
    }

    /// Replaces body and content type.
    pub fn set_body(&mut self, body: impl Into<Vec<u8>>, content_type: &str) {
        let body = body.into();
        self.host.set_body(&body, content_type);
        self.body = OnceCell::from(body);
    }

    /// Sets a header to one value, in place of those it has. [`Failure::Invalid`] says why it cannot be: it is no
    /// header, or it is one that the gateway writes.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.host.set_header(name, value.as_ref()).map_err(Failure::Invalid)
    }

    /// Removes a header, if it is there and not one that the gateway writes.
    pub fn remove_header(&mut self, name: &str) {
        self.host.remove_header(name);
    }

    /// Sets path and query below the endpoint's own URL, such as `/rooms/billing?quiet=1`. [`Failure::Invalid`] says
    /// why they cannot be: they would lead elsewhere, or are not written as in a URL.
    pub fn set_path(&mut self, path: &str) -> Result<(), Failure> {
        self.host.set_path(path).map_err(Failure::Invalid)
    }
}

#[cfg(not(target_family = "wasm"))]
impl Outgoing<'static> {
    /// A sample for native tests: the standard request to `endpoint` about an event.
    ///
    /// It refuses the headers and paths that the gateway refuses at every endpoint; one whose signature has a header of
    /// its own keeps that too.
    pub fn new(endpoint: &str, about: Event<'static>) -> Outgoing<'static> {
        Outgoing::over(OutgoingHost::sample(endpoint, about))
    }

    /// What [`Outgoing::set_path`] set.
    pub fn path(&self) -> Option<&str> {
        self.host.path.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::Outgoing;
    use crate::{Event, Failure};

    fn sample() -> Outgoing<'static> {
        let event = Event::from_json(
            r#"{"type":"invoice.paid","received_at":"2026-08-10T12:00:01Z","occurred_at":"2026-08-10T12:00:00Z"}"#,
        );
        Outgoing::new("crm", event.unwrap())
    }

    #[test]
    fn a_sample_begins_as_the_standard_request() {
        let outgoing = sample();
        assert_eq!(outgoing.endpoint(), "crm");
        assert!(outgoing.delivery_id().starts_with("dlv_"));
        assert_eq!(outgoing.about().event_type(), "invoice.paid");
        assert_eq!(outgoing.content_type(), "application/json");
        let body = std::str::from_utf8(outgoing.body()).unwrap();
        let head = r#"{"type":"invoice.paid","timestamp":"2026-08-10T12:00:00.000Z","data":{"id":"evt_"#;
        assert!(body.starts_with(head), "{body}");
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    }

    #[test]
    fn what_was_changed_is_what_is_read() {
        let mut outgoing = sample();
        assert!(!outgoing.body().is_empty());
        outgoing.set_body("paid", "text/plain");
        outgoing.set_header("X-Room", "a").unwrap();
        outgoing.set_header("x-room", "b").unwrap();
        outgoing.set_header("x-gone", "c").unwrap();
        outgoing.remove_header("X-Gone");
        outgoing.set_path("/rooms/1?quiet=1").unwrap();
        assert_eq!((outgoing.body(), outgoing.content_type().as_str()), (&b"paid"[..], "text/plain"));
        assert_eq!(outgoing.header("X-Room").as_deref(), Some("b"));
        assert_eq!(outgoing.headers(), [("x-room".to_owned(), b"b".to_vec())]);
        assert_eq!(outgoing.path(), Some("/rooms/1?quiet=1"));
    }

    #[test]
    fn a_sample_refuses_what_the_gateway_refuses() {
        for name in ["x room", "Content-Type", "Host", "proxy-connection", "Webhook-Id", "billhook-stale"] {
            let mut outgoing = sample();
            assert!(matches!(outgoing.set_header(name, "a"), Err(Failure::Invalid(_))), "{name}");
            assert_eq!(outgoing.headers(), []);
        }
        let long = format!("/{}", "a".repeat(4096));
        for path in ["//elsewhere.example/", "/a/../b", &long] {
            let mut outgoing = sample();
            assert!(matches!(outgoing.set_path(path), Err(Failure::Invalid(_))), "{path}");
            assert_eq!(outgoing.path(), None);
        }
    }
}
