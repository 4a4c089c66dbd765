//! Requests to hosts that a plugin is granted (`http:HOST`), by the gateway's own client: no redirects, no private
//! addresses unless the operator allows them, at most 10 requests a call, 256 KiB there and 1 MiB back.
//!
//! A run may be repeated, and its requests with it: ask only for what is safe twice.

use crate::host::HttpHost;
use std::fmt;
use std::time::Duration;

/// A request that is being put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// Its method.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long it may take; 5 s unless it says so.
    pub timeout: Option<Duration>,
}

/// A response, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What came of a request.
pub type Sent = Result<HttpResponse, HttpError>;

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// It was not let out, and why.
    Denied(String),
    /// Nobody answered in time.
    TimedOut,
    /// Request or response is longer than this many bytes.
    TooLarge(u64),
    /// There was no connection, or it broke.
    Failed(String),
    /// The request is none.
    Other(String),
}

impl HttpRequest {
    /// A request without headers and body.
    pub fn new(method: &str, url: &str) -> HttpRequest {
        let (method, url) = (method.to_owned(), url.to_owned());
        HttpRequest { method, url, headers: Vec::new(), body: Vec::new(), timeout: None }
    }

    /// A `GET`.
    pub fn get(url: &str) -> HttpRequest {
        HttpRequest::new("GET", url)
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> HttpRequest {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> HttpRequest {
        self.body = body.into();
        self
    }

    /// With a time that it may take. The call's own time ends it sooner.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> HttpRequest {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the response, whatever its status.
    pub fn send(&self) -> Sent {
        HttpHost::send(self)
    }
}

impl HttpResponse {
    /// The first value of a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Denied(why) => write!(f, "denied: {why}"),
            HttpError::TimedOut => f.write_str("nobody answered in time"),
            HttpError::TooLarge(most) => write!(f, "longer than {most} bytes"),
            HttpError::Failed(why) => write!(f, "failed: {why}"),
            HttpError::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HttpError {}

/// Answers the requests of this thread's plugins, for native tests; without it they are denied.
#[cfg(not(target_family = "wasm"))]
pub fn answer_with(answer: impl Fn(&HttpRequest) -> Sent + 'static) {
    HttpHost::answer_with(Box::new(answer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_answers_in_place_of_the_network() {
        let request = HttpRequest::get("https://a.example/").with_header("x-a", "1").with_body("b");
        assert!(matches!(request.send(), Err(HttpError::Denied(_))));
        answer_with(|request| {
            let headers = vec![("x-method".to_owned(), request.method.clone().into_bytes())];
            Ok(HttpResponse { status: 200, headers, body: request.body.clone() })
        });
        let response = request.send().unwrap();
        assert_eq!(
            (response.status, response.header("X-Method"), &response.body[..]),
            (200, Some("GET"), &b"b"[..])
        );
    }
}
