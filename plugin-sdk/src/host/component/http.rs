//! Requests of a component: the gateway sends them.

use crate::bindings::imports::http as wit;
use crate::http::{HttpError, HttpRequest, HttpResponse, Sent};

/// The network, as far as it is granted.
pub(crate) struct HttpHost;

impl HttpHost {
    pub(crate) fn send(request: &HttpRequest) -> Sent {
        let sending = wit::Request::new(&request.method, &request.url);
        for (name, value) in &request.headers {
            sending.set_header(name, value);
        }
        if !request.body.is_empty() {
            sending.set_body(&request.body);
        }
        if let Some(timeout) = request.timeout {
            sending.set_timeout_ms(timeout.as_millis().try_into().unwrap_or(u32::MAX));
        }
        let response = sending.send().map_err(|error| match error {
            wit::HttpError::Denied(why) => HttpError::Denied(why),
            wit::HttpError::TimedOut => HttpError::TimedOut,
            wit::HttpError::TooLarge(most) => HttpError::TooLarge(most),
            wit::HttpError::Failed(why) => HttpError::Failed(why),
            wit::HttpError::Other(why) => HttpError::Other(why),
        })?;
        Ok(HttpResponse { status: response.status(), headers: response.headers(), body: response.body() })
    }
}
