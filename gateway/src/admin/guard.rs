//! Who gets in, how many at a time, and for how long; and that whoever is refused hears of it.

use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::plugins::COMPONENT_BYTES_MAX;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST};
use http::uri::Authority;
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, SizeHint};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// The most requests that are worked on at once; the next is refused with 503.
pub(crate) const REQUESTS_MAX: usize = 64;
/// The longest that a request is worked on.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest that a body is read for which nobody waits.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers once what was left of the body is read and thrown away, within bounds: a request may be refused before its
/// body is read, and who writes all of a long body before reading anything would see a broken connection instead.
pub(crate) async fn heard_out(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(body)));
    let answer = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    let mut rest = Limited::new(body, COMPONENT_BYTES_MAX);
    // Whoever is still sending then sees a reset.
    let all = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
    answer
}

/// A body of which the lender reads what is left once the borrower is done. The lock is for the compiler: they read
/// one after the other.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// What is asked at the door.
#[derive(Clone)]
pub(crate) struct Door(Arc<Asked>);

struct Asked {
    /// Of the token, so that comparing takes as long for a token of any length; `None`: nobody gets in.
    token_sha256: Option<[u8; 32]>,
    listens_on: IpAddr,
}

impl Door {
    pub(crate) fn new(admin: &Admin) -> Door {
        let token = admin.token.reveal();
        let token_sha256 = (!token.is_empty()).then(|| Sha256::digest(token.as_bytes()).into());
        Door(Arc::new(Asked { token_sha256, listens_on: admin.listens_on }))
    }
}

/// Lets a request pass that is for us and has the token.
pub(crate) async fn admitted(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !is_for_us(door.0.listens_on, request.uri(), request.headers()) {
        return Err(ApiError::Host);
    }
    if !has_token(door.0.token_sha256.as_ref(), request.headers()) {
        return Err(ApiError::Token);
    }
    Ok(next.run(request).await)
}

/// Whether the request names us: against DNS rebinding, where a page's own name is pointed at our address. A page
/// cannot choose its `Host`, so a name that only we would use proves that the page is not in between. The port says
/// nothing (tunnels change it) and is not looked at.
fn is_for_us(listens_on: IpAddr, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(host) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    [Some(&host), uri.authority()]
        .into_iter()
        .flatten()
        .all(|authority| is_our_name(listens_on, authority.host()))
}

fn is_our_name(listens_on: IpAddr, host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match host.parse::<IpAddr>() {
        // An address cannot be rebound: the browser went where it says.
        Ok(ip) => ip.is_loopback() || ip == listens_on || listens_on.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn has_token(expected: Option<&[u8; 32]>, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(expected), Some(value), None) = (expected, values.next(), values.next()) else {
        return false;
    };
    // RFC 9110, 11.1: the name of the scheme is case-insensitive.
    let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let given: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
    scheme.eq_ignore_ascii_case("bearer") && bool::from(given.ct_eq(expected))
}

/// How much may be under way.
#[derive(Clone)]
pub(crate) struct Load {
    under_way: Arc<Semaphore>,
    most: usize,
    timeout: Duration,
}

impl Load {
    pub(crate) fn new() -> Load {
        Load::of(REQUESTS_MAX, REQUEST_TIMEOUT)
    }

    /// At most so many requests, each of them for at most so long.
    pub(crate) fn of(most: usize, timeout: Duration) -> Load {
        Load { under_way: Arc::new(Semaphore::new(most)), most, timeout }
    }
}

/// Works on a request unless too many are under way, and gives up after a while.
pub(crate) async fn bounded(
    State(load): State<Load>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Ok(_permit) = load.under_way.try_acquire() else {
        return Err(ApiError::Busy(load.most));
    };
    tokio::time::timeout(load.timeout, next.run(request)).await.map_err(|_| ApiError::Slow(load.timeout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_names_that_are_ours_are_let_in() {
        let at = |listen: &str| listen.parse().unwrap();
        let cases = [
            ("127.0.0.1", "127.0.0.1:8401", true),
            ("127.0.0.1", "localhost:9000", true),
            ("127.0.0.1", "LOCALHOST", true),
            ("127.0.0.1", "[::1]:8401", true),
            ("127.0.0.1", "10.1.2.3:8401", false),
            ("127.0.0.1", "rebound.example", false),
            ("127.0.0.1", "localhost.rebound.example", false),
            ("127.0.0.1", "127.0.0.1.rebound.example", false),
            ("127.0.0.1", "", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0", "10.1.2.3:8401", true),
            ("0.0.0.0", "rebound.example:8401", false),
        ];
        for (listen, host, expected) in cases {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            assert_eq!(
                is_for_us(at(listen), &Uri::from_static("/healthz"), &headers),
                expected,
                "{listen} {host}"
            );
        }
        assert!(!is_for_us(at("127.0.0.1"), &Uri::from_static("/"), &HeaderMap::new()));
        let mut two = HeaderMap::new();
        two.append(HOST, HeaderValue::from_static("localhost"));
        assert!(!is_for_us(at("127.0.0.1"), &Uri::from_static("http://rebound.example/"), &two));
        two.append(HOST, HeaderValue::from_static("rebound.example"));
        assert!(!is_for_us(at("127.0.0.1"), &Uri::from_static("/"), &two));
    }

    #[test]
    fn only_the_whole_token_is_let_in() {
        let sha256: [u8; 32] = Sha256::digest(b"correct horse").into();
        let cases = [
            ("Bearer correct horse", true),
            ("bearer correct horse", true),
            ("Bearer correct hors", false),
            ("Bearer correct horses", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic correct horse", false),
            ("correct horse", false),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(has_token(Some(&sha256), &headers), expected, "{value}");
            assert!(!has_token(None, &headers));
        }
        assert!(!has_token(Some(&sha256), &HeaderMap::new()));
    }
}
