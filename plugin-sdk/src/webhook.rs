//! A stored webhook, as a normalizer sees it.

use crate::host::WebhookHost;
use crate::json::{self, Fields, Json, Scalar};
use crate::{Decimal, Document, Failure, Time};
use billhook_event::money;
use serde::Deserialize;
use std::cell::OnceCell;

/// A webhook: authentic, secrets removed from headers and query.
///
/// In a component it is a handle to the gateway's own copy, so that only what is asked for is copied. Natively it
/// is built from a sample: see [`Webhook::new`].
#[derive(Debug)]
pub struct Webhook<'a> {
    pub(crate) host: WebhookHost<'a>,
    body: OnceCell<Vec<u8>>,
    document: OnceCell<Result<Document, Failure>>,
    event_name: OnceCell<Option<String>>,
}

impl<'a> Webhook<'a> {
    pub(crate) fn over(host: WebhookHost<'a>) -> Webhook<'a> {
        Webhook { host, body: OnceCell::new(), document: OnceCell::new(), event_name: OnceCell::new() }
    }

    /// `whk_...`.
    pub fn id(&self) -> String {
        self.host.id()
    }

    /// The configured source it came through.
    pub fn source(&self) -> String {
        self.host.source()
    }

    /// The provider that the source is of.
    pub fn provider(&self) -> String {
        self.host.provider()
    }

    /// The provider's event name where the source's rule found it outside the body.
    pub fn event_name(&self) -> Option<&str> {
        self.event_name.get_or_init(|| self.host.event_name()).as_deref()
    }

    /// The provider's id of the request, such as its `webhook-id`.
    pub fn delivery_id(&self) -> Option<String> {
        self.host.delivery_id()
    }

    /// When the gateway accepted it.
    pub fn received_at(&self) -> Time {
        self.host.received_at()
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.host.header(name).into_iter().next().and_then(|value| String::from_utf8(value).ok())
    }

    /// Every value of a header.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.host.header(name)
    }

    /// Every header, names in lower case.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.host.headers()
    }

    /// Every value of a query parameter.
    pub fn query_values(&self, name: &str) -> Vec<String> {
        self.host.query_values(name)
    }

    /// The body, copied once.
    pub fn body(&self) -> &[u8] {
        self.body.get_or_init(|| self.host.body())
    }

    /// The body's length without copying it.
    pub fn body_length(&self) -> u64 {
        self.host.body_length()
    }

    /// The body as JSON in place, read once. The fastest way to more than a handful of fields.
    pub fn json(&self) -> Result<Json<'_>, Failure> {
        Ok(self.document()?.json())
    }

    /// The members of the object that the body is; [`Failure::Invalid`] if it is none.
    pub fn fields(&self) -> Result<Fields<'_>, Failure> {
        self.document()?.fields()
    }

    fn document(&self) -> Result<&Document, Failure> {
        self.document.get_or_init(|| Document::parse(self.body())).as_ref().map_err(Failure::clone)
    }

    /// The body as `T`; [`Failure::Invalid`] says what does not fit.
    pub fn parse<'b, T: Deserialize<'b>>(&'b self) -> Result<T, Failure> {
        json::parse(self.body())
    }

    /// The scalar at a JSON pointer (RFC 6901), looked up by the gateway.
    pub fn get(&self, pointer: &str) -> Option<Scalar> {
        self.host.get(pointer)
    }

    /// The JSON text at a pointer.
    pub fn get_json(&self, pointer: &str) -> Option<String> {
        self.host.get_json(pointer)
    }

    /// Elements of the array or members of the object at a pointer.
    pub fn count(&self, pointer: &str) -> Option<u32> {
        self.host.count(pointer)
    }

    /// The string, or the text of the number, at a pointer.
    pub fn text(&self, pointer: &str) -> Option<String> {
        self.get(pointer)?.into_text()
    }

    /// The decimal number at a pointer, written as a number or as a string, exactly.
    pub fn decimal(&self, pointer: &str) -> Option<Decimal> {
        money::decimal(&self.text(pointer)?)
    }

    /// The time at a pointer, as [`Time::parse`] reads it.
    pub fn time(&self, pointer: &str) -> Option<Time> {
        Time::parse(&self.text(pointer)?)
    }
}

#[cfg(not(target_family = "wasm"))]
impl Webhook<'static> {
    /// A sample for native tests: POSTed to `source` of `provider`, with an empty body.
    pub fn new(source: &str, provider: &str) -> Webhook<'static> {
        Webhook::over(WebhookHost::sample(source, provider))
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.host.body = body.as_ref().to_vec();
        self.body = OnceCell::new();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.host.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.host.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the event name that the source's rule found outside the body.
    #[must_use]
    pub fn with_event_name(mut self, name: &str) -> Self {
        self.host.event_name = Some(name.to_owned());
        self.event_name = OnceCell::new();
        self
    }

    /// Sets the provider's id of the request.
    #[must_use]
    pub fn with_delivery_id(mut self, id: &str) -> Self {
        self.host.delivery_id = Some(id.to_owned());
        self
    }

    /// Sets when the gateway accepted it.
    #[must_use]
    pub fn with_received_at(mut self, at: Time) -> Self {
        self.host.received_at = at;
        self
    }

    /// Sets what [`crate::now`] answers on this thread from here on.
    #[must_use]
    pub fn now(self, now: Time) -> Self {
        crate::host::set_now(now);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Webhook;
    use crate::{Failure, Time};

    #[test]
    fn a_sample_answers_as_the_gateway_would() {
        let webhook = Webhook::new("shop", "acme")
            .with_event_name("paid")
            .with_header("X-Event", "paid")
            .with_query("a", "1")
            .with_body(r#"{"amount":10.10,"at":"2026-08-10T12:00:00Z","lines":[1,2]}"#);
        assert_eq!((webhook.source(), webhook.provider()), ("shop".into(), "acme".into()));
        assert_eq!(webhook.event_name(), Some("paid"));
        assert_eq!(webhook.header("x-event").as_deref(), Some("paid"));
        assert_eq!(webhook.query_values("a"), ["1"]);
        assert_eq!(webhook.decimal("/amount").unwrap().to_string(), "10.10");
        assert_eq!(webhook.time("/at"), Time::parse("2026-08-10T12:00:00Z"));
        assert_eq!(webhook.count("/lines"), Some(2));
        assert_eq!(webhook.get_json("/lines").as_deref(), Some("[1,2]"));
        assert_eq!(webhook.get("/lines"), None);
        assert_eq!(webhook.body_length(), webhook.body().len() as u64);
        let changed = webhook.with_body("[]").with_event_name("failed");
        assert_eq!((changed.body(), changed.event_name()), (&b"[]"[..], Some("failed")));
    }

    #[test]
    fn parse_tells_bad_json_from_a_bad_shape() {
        let invalid = |body: &str| match Webhook::new("s", "p").with_body(body).parse::<Vec<u8>>() {
            Err(Failure::Invalid(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(invalid("{").starts_with("the body is not JSON: "));
        assert!(invalid("{}").starts_with("the body is not as expected: "));
    }
}
