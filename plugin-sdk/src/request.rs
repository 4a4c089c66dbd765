//! A request that came in, as a verifier sees it.

use crate::host::RequestHost;
use crate::json::{self, Fields, Json};
use crate::{Document, Failure, Time};
use serde::Deserialize;
use std::cell::OnceCell;

/// A request that nobody has vouched for: anybody may have sent it, with anything in it.
///
/// In a component it is a handle to the gateway's own copy, so that only what is asked for is copied. Natively it
/// is built from a sample: see [`Request::new`].
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) host: RequestHost<'a>,
    body: OnceCell<Vec<u8>>,
    document: OnceCell<Result<Document, Failure>>,
}

impl<'a> Request<'a> {
    pub(crate) fn over(host: RequestHost<'a>) -> Request<'a> {
        Request { host, body: OnceCell::new(), document: OnceCell::new() }
    }

    /// The configured source it was sent to.
    pub fn source(&self) -> String {
        self.host.source()
    }

    /// The provider that the source is of.
    pub fn provider(&self) -> String {
        self.host.provider()
    }

    /// The method, such as `POST`.
    pub fn method(&self) -> String {
        self.host.method()
    }

    /// What follows `/in/{source}` in the path, as sent; empty if nothing does.
    pub fn path(&self) -> String {
        self.host.path()
    }

    /// The query as sent, without its `?`; empty if there is none.
    pub fn query(&self) -> String {
        self.host.query()
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

    /// The body as it arrived, copied once. Signatures are made over these bytes, never over JSON written anew.
    pub fn body(&self) -> &[u8] {
        self.body.get_or_init(|| self.host.body())
    }

    /// The body as JSON in place, read once.
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

    /// When it came. What is too old should be told by this and not by [`crate::now`]: a refused request may be
    /// judged again long after.
    pub fn received_at(&self) -> Time {
        self.host.received_at()
    }

    /// The address it came from, if the gateway knows it.
    pub fn remote_address(&self) -> Option<String> {
        self.host.remote_address()
    }
}

#[cfg(not(target_family = "wasm"))]
impl Request<'static> {
    /// A sample for native tests: POSTed to `source` of `provider`, with an empty body.
    pub fn new(source: &str, provider: &str) -> Request<'static> {
        Request::over(RequestHost::sample(source, provider))
    }

    /// Sets the method.
    #[must_use]
    pub fn with_method(mut self, method: &str) -> Self {
        self.host.method = method.to_owned();
        self
    }

    /// Sets what follows `/in/{source}`.
    #[must_use]
    pub fn with_path(mut self, path: &str) -> Self {
        self.host.path = path.to_owned();
        self
    }

    /// Sets the query, as it is sent.
    #[must_use]
    pub fn with_query(mut self, query: &str) -> Self {
        self.host.query = query.to_owned();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.host.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.host.body = body.as_ref().to_vec();
        self.body = OnceCell::new();
        self
    }

    /// Sets when it came.
    #[must_use]
    pub fn with_received_at(mut self, at: Time) -> Self {
        self.host.received_at = at;
        self
    }

    /// Sets the address it came from.
    #[must_use]
    pub fn with_remote_address(mut self, address: &str) -> Self {
        self.host.remote_address = Some(address.to_owned());
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
    use super::Request;
    use crate::Time;

    #[test]
    fn a_sample_answers_as_the_gateway_would() {
        let request = Request::new("shop", "acme")
            .with_method("PUT")
            .with_path("/eu")
            .with_query("a=1&b=%20")
            .with_header("X-Tag", "first")
            .with_header("x-tag", [0xff])
            .with_body(r#"{"challenge":"c"}"#)
            .with_received_at(Time::from_secs(7))
            .with_remote_address("192.0.2.1");
        assert_eq!((request.source(), request.provider()), ("shop".into(), "acme".into()));
        assert_eq!((request.method(), request.path()), ("PUT".into(), "/eu".into()));
        assert_eq!(request.query(), "a=1&b=%20");
        assert_eq!(request.header("X-TAG").as_deref(), Some("first"));
        assert_eq!(request.header_values("x-tag"), [b"first".to_vec(), vec![0xff]]);
        assert_eq!(request.headers().len(), 2);
        assert_eq!(request.fields().unwrap().text("challenge").as_deref(), Some("c"));
        assert_eq!(request.received_at(), Time::from_secs(7));
        assert_eq!(request.remote_address().as_deref(), Some("192.0.2.1"));
        assert_eq!(request.with_body("changed").body(), b"changed");
    }
}
