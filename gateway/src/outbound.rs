//! The only way out: one HTTP client with the address policy inside.
//!
//! No redirects, no proxies, no cookies, HTTP/1.1 only. IP literals are checked before the request, names by the
//! resolver whose vetted answers are the addresses connected to, so that a name cannot change between check and use.
//! Every wait has a bound: the lookup, the connection, and the whole of it.
//!
//! A connection is opened by `connect`, which asks `resolve`; it is used by the task that sends (`connection`) and is
//! kept in `pool` between requests. A receiver may close one that was kept in the very moment in which it is used: a
//! post is then sent once more on a new one. Nothing else is tried again here.

pub mod address;
mod connect;
mod connection;
mod pool;
mod resolve;

use crate::model::Time;
use crate::model::attempt::{ANSWER_BYTES_MAX, Failure, Outcome};
use crate::outbound::address::Policy;
use crate::outbound::connect::{Connect, Origin};
use crate::outbound::connection::{Sending, Unanswered};
use crate::outbound::pool::Pool;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// The longest that lookup, TCP and TLS together may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a lookup may take; shorter, so that a dead name server is told from a dead receiver.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an idle connection is kept at most: less than receivers in wide use keep theirs (Node 5 s), which say so in
/// `Keep-Alive` or not at all. Where they say less, it is kept for so much less than that.
const IDLE_MAX: Duration = Duration::from_secs(4);
const IDLE_MARGIN: Duration = Duration::from_secs(1);
/// The longest text about a failure, in characters.
const WHY_CHARS_MAX: usize = 200;
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("Billhook/", env!("CARGO_PKG_VERSION")));
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct SetupError(#[from] rustls::Error);

/// The client. Cloning it is cheap and shares its connections.
#[derive(Clone)]
pub struct Outbound {
    connect: Arc<Connect>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

/// A request to send.
#[derive(Clone)]
pub struct Post<'a> {
    /// Where to.
    pub url: Url,
    /// Makes its headers, the same each time it is sent; `host`, `content-length` and `user-agent` are added.
    pub headers: &'a (dyn Fn() -> HeaderMap + Sync),
    /// Its body.
    pub body: Bytes,
    /// The longest it may take, from the lookup to the last byte read.
    pub timeout: Duration,
    /// When it is sent: a `Retry-After` that names a date is counted from here.
    pub now: Time,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// How it ended.
    pub outcome: Outcome,
    /// The wait that the receiver asked for.
    pub retry_after: Option<Duration>,
    /// The beginning of the answer's body, at most [`ANSWER_BYTES_MAX`] bytes.
    pub answer: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

/// A request of any method whose answer is read whole.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Its method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Its headers; `host`, `content-length` and `user-agent` are added.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The longest it may take, from the lookup to the last byte read.
    pub timeout: Duration,
    /// The most bytes of the answer's body that are read.
    pub answer_max: usize,
}

/// What was fetched. Redirects are answers as any other.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Whether there is more of it than was asked for.
    pub is_cut: bool,
}

impl Outbound {
    /// Sets the client up. It trusts the machine's root certificates; on a machine without any, `https` URLs fail
    /// when they are used, and `http` works.
    pub fn new(policy: Policy) -> Result<Outbound, SetupError> {
        let pool = Arc::<Pool>::default();
        Ok(Outbound { connect: Arc::new(Connect::new(policy)?), pool })
    }

    /// Posts: once, and once more on a new connection if one that was kept ends without an answer. Never fails: what
    /// went wrong is in the outcome. The status alone decides; a body that cannot be read after it changes nothing.
    /// Dropping the future gives the request up.
    pub async fn send(&self, post: Post<'_>) -> Sent {
        let started = Instant::now();
        let now = post.now;
        match self.post(&post, started + post.timeout).await {
            Ok((head, answer, _)) => {
                let status = head.status;
                let retry_after = head.headers.get(header::RETRY_AFTER);
                let outcome = match status.is_success() {
                    true => Outcome::Delivered { status: status.as_u16() },
                    false => Outcome::Failed(Failure::Status(status.as_u16())),
                };
                let retry_after = retry_after.and_then(|value| retry_after_of(value.as_bytes(), now));
                Sent { outcome, retry_after, answer, took: started.elapsed() }
            }
            Err(failure) => Sent {
                outcome: Outcome::Failed(failure),
                retry_after: None,
                answer: Vec::new(),
                took: started.elapsed(),
            },
        }
    }

    async fn post(&self, post: &Post<'_>, deadline: Instant) -> Result<Exchanged, Failure> {
        let origin = self.origin(&post.url)?;
        let again = || request(Method::POST, &post.url, (post.headers)(), post.body.clone());
        self.exchange(origin, again(), Some(&again), ANSWER_BYTES_MAX, deadline).await
    }

    /// Sends once and reads the answer. Dropping the future gives the request up.
    ///
    /// # Errors
    /// Why there is no whole answer. Its status is not judged.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Fetched, Failure> {
        let Fetch { method, url, headers, body, timeout, answer_max } = fetch;
        let deadline = Instant::now() + timeout;
        let (origin, request) = (self.origin(&url)?, request(method, &url, headers, body));
        // One byte more than is wanted tells whether there is more.
        let exchanged = self.exchange(origin, request, None, answer_max + 1, deadline).await?;
        let (head, mut body, is_whole) = exchanged;
        let is_cut = body.len() > answer_max;
        body.truncate(answer_max);
        if !is_cut && !is_whole {
            let late = Instant::now() >= deadline;
            let broken = || Failure::Broken("the answer ended early".to_owned());
            return Err(if late { Failure::Timeout } else { broken() });
        }
        Ok(Fetched { status: head.status.as_u16(), headers: head.headers, body, is_cut })
    }

    /// Where a URL leads, if the policy lets it pass.
    fn origin(&self, url: &Url) -> Result<Origin, Failure> {
        let origin = Origin::of(url).map_err(Failure::Forbidden)?;
        self.connect.check(&origin)?;
        Ok(origin)
    }

    /// Sends a request and reads the answer. `again` makes the request once more, where it may be sent once more.
    async fn exchange(
        &self,
        origin: Origin,
        mut request: Sending,
        again: Option<&(dyn Fn() -> Sending + Sync)>,
        answer_max: usize,
        deadline: Instant,
    ) -> Result<Exchanged, Failure> {
        let mut kept = self.pool.take(&origin, Instant::now());
        let (mut connection, response) = loop {
            let (mut connection, is_kept) = match kept.take() {
                Some(connection) => (connection, true),
                None => {
                    // Apart: most attempts find a connection, and TLS is large.
                    let opens = Box::pin(self.connect.connect(&origin));
                    let opened = tokio::time::timeout_at(deadline, opens).await;
                    (opened.map_err(|_| Failure::Timeout)??, false)
                }
            };
            if is_kept && !connection.is_usable().await {
                kept = self.pool.take(&origin, Instant::now());
                continue;
            }
            let sent = tokio::time::timeout_at(deadline, connection.send(request)).await;
            match sent.map_err(|_| Failure::Timeout)? {
                Ok(response) => break (connection, response),
                // The receiver closed it while it was idle, and has seen nothing of this request.
                Err(Unanswered::Unsent(unsent)) if is_kept => request = *unsent,
                Err(Unanswered::Unsent(_)) => {
                    return Err(Failure::Broken("the connection was closed before the request".to_owned()));
                }
                // Most likely the same. If it has seen the request after all, it gets it twice.
                Err(Unanswered::Ended(failure)) => match again.filter(|_| is_kept) {
                    Some(again) => request = again(),
                    None => return Err(failure),
                },
                Err(Unanswered::Broken(failure)) => return Err(failure),
            }
        };
        let (head, body) = response.into_parts();
        let (answer, is_whole) = connection.read(body, answer_max, deadline).await;
        if is_whole && connection.is_usable().await {
            self.pool.put(origin, connection, idle_of(&head.headers), Instant::now());
        }
        Ok((head, answer, is_whole))
    }
}

/// The head of a response, the beginning of its body, and whether that is all of it.
type Exchanged = (http::response::Parts, Vec<u8>, bool);

/// How long a connection may be idle after an answer with these headers: a little less than the receiver keeps it,
/// where it says so.
fn idle_of(headers: &HeaderMap) -> Duration {
    let said = headers.get(KEEP_ALIVE).and_then(|value| value.to_str().ok());
    let mut parameters = said.unwrap_or_default().split(',').filter_map(|one| one.split_once('='));
    let timeout = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    let secs = timeout.and_then(|(_, secs)| secs.trim().parse().ok());
    secs.map_or(IDLE_MAX, |secs| IDLE_MAX.min(Duration::from_secs(secs).saturating_sub(IDLE_MARGIN)))
}

/// The request as HTTP/1.1 sends it. A name and password in the URL are `Basic` (RFC 7617), unless the headers say
/// otherwise.
fn request(method: Method, url: &Url, headers: HeaderMap, body: Bytes) -> Sending {
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = Request::builder().method(method).uri(target).body(Full::new(body));
    let mut request = request.expect("a parsed URL has a valid path");
    *request.headers_mut() = headers;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(&host).expect("a parsed host is visible ASCII"));
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(ANYTHING);
    if !url.username().is_empty() || url.password().is_some() {
        let of = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let pair = [&of(url.username())[..], b":", &of(url.password().unwrap_or_default())].concat();
        let value = format!("Basic {}", STANDARD.encode(pair));
        let mut value = HeaderValue::from_str(&value).expect("base64 is visible ASCII");
        value.set_sensitive(true);
        headers.entry(header::AUTHORIZATION).or_insert(value);
    }
    request
}

/// The innermost cause of an error, shortened. The outer ones may have the URL in them.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |&cause| cause.source()).last().unwrap_or(error);
    last.to_string().chars().take(WHY_CHARS_MAX).collect()
}

/// Reads a `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3). A date in the past is no wait.
fn retry_after_of(value: &[u8], now: Time) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Time::from_secs(date.as_secs()).since(now))
}

#[cfg(test)]
mod tests;
