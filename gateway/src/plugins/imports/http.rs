//! Requests to hosts that were granted: through the gateway's own client and its address policy, without redirects.

use super::{LimitReached, State};
use crate::model::attempt::Failure;
use crate::outbound::{Fetch, Fetched};
use crate::plugins::bindings::host::billhook::plugin::http;
use crate::plugins::text::one_line;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use billhook_event::header;
use bytes::Bytes;
use std::time::Duration;
use url::Url;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};

/// Requests that one call may send.
const REQUESTS_MAX: u32 = 10;
/// The longest body of a request.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// The longest body of a response.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// The most headers of a request, and the bytes of their names and values.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The bytes of all requests that a call has open: they are the host's memory, not the plugin's.
const OPEN_BYTES_MAX: usize = 1 << 20;
/// The longest URL as it is sent: the client takes 64 KiB.
const URL_BYTES_MAX: usize = 8 << 10;
/// How long a request may take unless the plugin says so; the call's own time ends it sooner.
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// The most of a failure that is told.
const WHY_BYTES_MAX: usize = 500;

/// A request that is being put together. What is wrong with it is told when it is sent.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct HttpRequest {
    method: String,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    wrong: Option<http::HttpError>,
}

/// A response, read whole.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct HttpResponse(Fetched);

impl http::Host for State {}

impl http::HostRequest for State {
    fn new(&mut self, method: String, url: String) -> Result<Resource<HttpRequest>> {
        self.count_call()?;
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let request = HttpRequest { method, url, headers, body, timeout: TIMEOUT, wrong: None };
        self.weigh(0, request.bytes())?;
        Ok(self.opened.push(request)?)
    }

    fn set_header(&mut self, request: Resource<HttpRequest>, name: String, value: Vec<u8>) -> Result<()> {
        self.count_call()?;
        let request = self.opened.get_mut(&request)?;
        let before = request.bytes();
        if let Err(wrong) = request.set_header(&name, &value) {
            request.wrong.get_or_insert(wrong);
        }
        let after = request.bytes();
        self.weigh(before, after)
    }

    fn set_body(&mut self, request: Resource<HttpRequest>, body: Vec<u8>) -> Result<()> {
        self.count_call()?;
        let request = self.opened.get_mut(&request)?;
        let before = request.bytes();
        if body.len() > REQUEST_BYTES_MAX {
            request.wrong.get_or_insert(http::HttpError::TooLarge(REQUEST_BYTES_MAX as u64));
            request.body = Bytes::new();
        } else {
            request.body = body.into();
        }
        let after = request.bytes();
        self.weigh(before, after)
    }

    fn set_timeout_ms(&mut self, request: Resource<HttpRequest>, timeout: u32) -> Result<()> {
        self.count_call()?;
        let timeout = Duration::from_millis(timeout.into()).min(TIMEOUT_MAX);
        self.opened.get_mut(&request)?.timeout = timeout;
        Ok(())
    }

    async fn send(
        &mut self,
        request: Resource<HttpRequest>,
    ) -> Result<Result<Resource<HttpResponse>, http::HttpError>> {
        self.count_call()?;
        self.http_calls += 1;
        let prepared = self.opened.get(&request)?.prepare();
        let fetch = match prepared {
            Ok(fetch) => fetch,
            Err(wrong) => return Ok(Err(wrong)),
        };
        if !self.plugin.grants.reaches(&fetch.url) {
            let host = fetch.url.host_str().unwrap_or("no host");
            return Ok(Err(http::HttpError::Denied(format!("`http:{host}` is not granted"))));
        }
        if self.http_calls > REQUESTS_MAX {
            let why = format!("more than {REQUESTS_MAX} requests in one call");
            return Ok(Err(http::HttpError::Denied(why)));
        }
        let Some(outbound) = self.plugin.host.options.outbound.clone() else {
            return Ok(Err(http::HttpError::Denied("there is no network here".to_owned())));
        };
        Ok(match outbound.fetch(fetch).await {
            Ok(fetched) if fetched.is_cut => Err(http::HttpError::TooLarge(RESPONSE_BYTES_MAX as u64)),
            Ok(fetched) => Ok(self.opened.push(HttpResponse(fetched))?),
            Err(Failure::Timeout) => Err(http::HttpError::TimedOut),
            Err(Failure::Forbidden(why)) => Err(http::HttpError::Denied(one_line(&why, WHY_BYTES_MAX))),
            Err(failure) => Err(http::HttpError::Failed(one_line(&failure.to_string(), WHY_BYTES_MAX))),
        })
    }

    fn drop(&mut self, request: Resource<HttpRequest>) -> Result<()> {
        let bytes = self.opened.delete(request)?.bytes();
        self.weigh(bytes, 0)
    }
}

impl State {
    /// Notes that a request which is open has `after` bytes instead of `before`.
    fn weigh(&mut self, before: usize, after: usize) -> Result<()> {
        self.http_bytes = self.http_bytes.saturating_sub(before).saturating_add(after);
        if self.http_bytes > OPEN_BYTES_MAX {
            let bound = format!("{OPEN_BYTES_MAX} bytes of requests that are open at one time");
            return Err(Error::new(LimitReached(bound)));
        }
        Ok(())
    }
}

impl HttpRequest {
    fn bytes(&self) -> usize {
        self.method.len() + self.url.len() + self.header_bytes() + self.body.len()
    }

    fn header_bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
    }

    fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), http::HttpError> {
        let other = |why: String| http::HttpError::Other(one_line(&why, WHY_BYTES_MAX));
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| other(format!("`{name}` is not the name of a header")))?;
        if header::is_of_the_connection(name.as_str()) {
            return Err(http::HttpError::Denied(format!("`{name}` is the gateway's")));
        }
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| other(format!("the value of `{name}` has a control character")))?;
        let replaced = self.headers.get(&name).map(|old| name.as_str().len() + old.len());
        let bytes = self.header_bytes() - replaced.unwrap_or(0) + name.as_str().len() + value.len();
        let count = self.headers.len() + usize::from(replaced.is_none());
        if count > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err(http::HttpError::TooLarge(HEADER_BYTES_MAX as u64));
        }
        self.headers.insert(name, value);
        Ok(())
    }

    fn prepare(&self) -> Result<Fetch, http::HttpError> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let other = |why: &str| http::HttpError::Other(why.to_owned());
        let method = Method::from_bytes(self.method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| other("the method is none"))?;
        let url = Url::parse(&self.url).map_err(|_| other("the URL is none"))?;
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(http::HttpError::TooLarge(URL_BYTES_MAX as u64));
        }
        Ok(Fetch {
            method,
            url,
            headers: self.headers.clone(),
            body: self.body.clone(),
            timeout: self.timeout,
            answer_max: RESPONSE_BYTES_MAX,
        })
    }
}

impl http::HostResponse for State {
    fn status(&mut self, response: Resource<HttpResponse>) -> Result<u16> {
        self.count_call()?;
        Ok(self.opened.get(&response)?.0.status)
    }

    fn header(&mut self, response: Resource<HttpResponse>, name: String) -> Result<Vec<Vec<u8>>> {
        self.count_call()?;
        let headers = &self.opened.get(&response)?.0.headers;
        Ok(headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect())
    }

    fn headers(&mut self, response: Resource<HttpResponse>) -> Result<Vec<(String, Vec<u8>)>> {
        self.count_call()?;
        let headers = self.opened.get(&response)?.0.headers.iter();
        Ok(headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn body(&mut self, response: Resource<HttpResponse>) -> Result<Vec<u8>> {
        self.count_call()?;
        Ok(self.opened.get(&response)?.0.body.clone())
    }

    fn drop(&mut self, response: Resource<HttpResponse>) -> Result<()> {
        self.opened.delete(response)?;
        Ok(())
    }
}
