//! What was refused: kept in memory, a ring for each source, and written out once a second, so that no stranger's
//! request costs a commit. What came in the last second may be lost.

use crate::ingest::arrival::Arrival;
use crate::ingest::{Ingest, Inlet, authenticate, redact};
use crate::model::id::RefusedId;
use crate::model::refused::{BODY_BYTES_MAX, KEPT_MAX, Presented, RefusedHead, RefusedRequest};
use crate::model::source::{Auth, Place};
use crate::model::webhook::Header;
use crate::worker::{Stop, Wake, Woken};
use billhook_event::Time;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// How long the first of the refused waits to be written, and with it those that come meanwhile.
const WRITE_AFTER: Duration = Duration::from_secs(1);

/// The most bytes in memory for each source: what strangers can have written in a second. Bodies make room for heads.
const RING_BYTES_MAX: usize = 1 << 20;

/// The refused requests that are not written yet.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Shared by all connections; held for a push or a swap.
    rings: Mutex<Rings>,
    wake: Wake,
    woken: Woken,
}

#[derive(Debug, Default)]
struct Rings {
    by_source: BTreeMap<String, Ring>,
    /// When they are to be written; `None`: there are none.
    due: Option<Time>,
}

#[derive(Debug, Default)]
struct Ring {
    requests: VecDeque<RefusedRequest>,
    bytes: usize,
}

impl Ring {
    /// Adds one. Where it has no room the oldest lose their bodies, and go only where that is not enough.
    fn push(&mut self, request: RefusedRequest) {
        self.bytes += size(&request);
        self.requests.push_back(request);
        if self.requests.len() > KEPT_MAX {
            self.forget_oldest();
        }
        while self.bytes > RING_BYTES_MAX && self.requests.len() > 1 {
            match self.requests.iter_mut().find(|request| !request.body.is_empty()) {
                Some(oldest) => self.bytes -= take_body(oldest),
                None => self.forget_oldest(),
            }
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.requests.pop_front();
        self.bytes -= oldest.as_ref().map_or(0, size);
    }
}

/// Takes the body away, and says how long it was.
fn take_body(request: &mut RefusedRequest) -> usize {
    let RefusedHead { sha256, body_len, whole, .. } = &mut request.head;
    (*sha256, *body_len, *whole) = ([0; 32], 0, false);
    std::mem::take(&mut request.body).len()
}

fn size(request: &RefusedRequest) -> usize {
    let head = &request.head;
    let headers: usize = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let presented = head.presented.len() * size_of::<Presented>();
    request.body.len() + headers + presented + head.path.len() + head.query.len() + head.cause.len()
}

impl Refusals {
    pub(super) fn new() -> Refusals {
        let (wake, woken) = Wake::new();
        Refusals { rings: Mutex::default(), wake, woken }
    }

    pub(super) fn add(&self, request: RefusedRequest) {
        let mut rings = self.rings();
        let first = rings.due.is_none();
        rings.due.get_or_insert(request.head.at.plus(WRITE_AFTER));
        rings.by_source.entry(request.head.source.clone()).or_default().push(request);
        drop(rings);
        if first {
            self.wake.wake();
        }
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        // Whoever panicked there left rings that are whole: a ring too long is mended by the next push.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingest {
    /// Writes out what was refused, a second after the first of it came, until `stop` is told; then writes what is
    /// left. To be stopped after [`Ingest::serve`] has returned.
    ///
    /// # Errors
    /// None: what the store does not take is dropped, with a warning.
    pub async fn keep_refused(&self, stop: Stop) -> Result<(), Infallible> {
        let mut woken = self.refusals.woken.clone();
        loop {
            let heard = woken.heard();
            let due = self.refusals.rings().due;
            if due.is_some_and(|due| due <= self.clock.now()) {
                self.write_refused().await;
                continue;
            }
            woken.rest(heard);
            let is_due = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.stopped() => break,
                () = woken.woken() => {}
                () = is_due => {}
            }
        }
        self.write_refused().await;
        Ok(())
    }

    /// What wakes the writer of what was refused.
    pub fn refused_wake(&self) -> Wake {
        self.refusals.wake.clone()
    }

    /// Returns once nothing that was refused is due to be written.
    pub async fn refused_settled(&self) {
        self.refusals.wake.settled().await;
    }

    async fn write_refused(&self) {
        let rings = std::mem::take(&mut *self.refusals.rings());
        let requests: Vec<_> = rings.by_source.into_values().flat_map(|ring| ring.requests).collect();
        if requests.is_empty() {
            return;
        }
        let count = requests.len();
        if let Err(error) = self.store.refuse(requests).await {
            warn!(count, %error, "refused requests are not kept");
        }
    }
}

/// What is kept of a request that `inlet` refused. `read`: its body was read.
pub(super) fn refused(
    inlet: &Inlet,
    path: &str,
    arrival: &Arrival,
    read: bool,
    remote: IpAddr,
    now: Time,
    cause: String,
) -> RefusedRequest {
    let body = match &inlet.source.auth {
        // The signature is over every byte.
        Auth::StandardWebhooks { .. } | Auth::Hmac(_) | Auth::Plugin { .. } => arrival.body.clone(),
        _ if inlet.secret_pointers.is_empty() => arrival.body.clone(),
        _ if arrival.body.len() <= BODY_BYTES_MAX => redact::body(inlet, arrival),
        // What is cut is not JSON, and nobody could tell where its secrets are.
        _ => Bytes::new(),
    };
    let whole = read && arrival.body.len() <= BODY_BYTES_MAX && body.len() <= BODY_BYTES_MAX;
    let (headers, query, mut presented) = redact::refused(inlet, arrival);
    if let Ok(credentials) = authenticate::credentials(arrival) {
        // As basic authentication looks at them.
        let place = Place::Header(AUTHORIZATION.as_str().to_owned());
        presented.push(Presented::new(place, &credentials, rand::random()));
    }
    let head = RefusedHead {
        at: now,
        source: inlet.source.name.clone(),
        cause,
        remote,
        path: path.to_owned(),
        query,
        headers,
        presented,
        sha256: if whole { Sha256::digest(&arrival.body).into() } else { [0; 32] },
        body_len: 0,
        whole,
    };
    kept(head, &body)
}

/// What is kept of a request that no source was found for: nobody can say where its secrets are, so its query and
/// most headers are not. `body`, if it was read.
pub(super) fn without_source(
    (under, path): (&str, &str),
    headers: &HeaderMap,
    body: Option<&Bytes>,
    remote: IpAddr,
    now: Time,
    cause: String,
) -> RefusedRequest {
    let harmless = [CONTENT_TYPE, USER_AGENT].into_iter();
    let headers = harmless.filter_map(|name| {
        let value = headers.get(&name)?;
        Some((name.as_str().to_owned(), value.as_bytes().to_vec()))
    });
    let whole = body.is_some_and(|body| body.len() <= BODY_BYTES_MAX);
    let head = RefusedHead {
        at: now,
        source: under.to_owned(),
        cause,
        remote,
        path: path.to_owned(),
        query: String::new(),
        headers: headers.collect::<Vec<Header>>(),
        presented: Vec::new(),
        sha256: body.filter(|_| whole).map_or([0; 32], |body| Sha256::digest(body).into()),
        body_len: 0,
        whole,
    };
    kept(head, body.unwrap_or(&Bytes::new()))
}

/// Copies what is kept of the body: a slice would keep all of it in memory.
fn kept(mut head: RefusedHead, body: &Bytes) -> RefusedRequest {
    let body = Bytes::copy_from_slice(&body[..body.len().min(BODY_BYTES_MAX)]);
    head.body_len = body.len() as u64;
    RefusedRequest { id: RefusedId::new(head.at, rand::random()), head, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::arrival::tests::arrival;
    use crate::ingest::tests::inlet;
    use crate::model::secret::Secret;

    const NOW: Time = Time::from_secs(1_700_000_000);
    const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn a_ring_holds_the_newest_and_as_many_of_their_bodies_as_it_has_room_for() {
        let request = |n: usize, body: usize, header: usize| {
            let body = vec![b'a'; body].into();
            let agent = "a".repeat(header).parse().unwrap();
            let headers = HeaderMap::from_iter([(USER_AGENT, agent)]);
            without_source(("-", &format!("/{n}")), &headers, Some(&body), REMOTE, NOW, String::new())
        };
        for (body, header, held, whole) in [
            (10, 10, KEPT_MAX, KEPT_MAX),
            (BODY_BYTES_MAX - 100, 10, KEPT_MAX, RING_BYTES_MAX / BODY_BYTES_MAX - 1),
            (BODY_BYTES_MAX, 30_000, RING_BYTES_MAX / 30_100, 0),
        ] {
            let mut ring = Ring::default();
            (0..1000).for_each(|n| ring.push(request(n, body, header)));
            assert_eq!(ring.requests.len(), held, "{body} {header}");
            assert_eq!(ring.requests[0].head.path, format!("/{}", 1000 - held));
            assert_eq!(ring.bytes, ring.requests.iter().map(size).sum::<usize>());
            assert!(ring.bytes <= RING_BYTES_MAX);
            for (at, request) in ring.requests.iter().enumerate() {
                let head = &request.head;
                let kept = (head.whole, head.body_len, head.sha256 != [0; 32], request.body.len());
                let expected =
                    if at >= held - whole { (true, body as u64, true, body) } else { (false, 0, false, 0) };
                assert_eq!(kept, expected, "{body} {header}: {at}");
            }
        }
    }

    #[test]
    fn a_secret_is_left_out_wherever_it_stands() {
        let auth = |place| match place {
            "header" => Auth::Header { name: "x-typo".to_owned(), secrets: vec![Secret::new("to ken+")] },
            _ => Auth::Query { name: "typo".to_owned(), secrets: vec![Secret::new("to ken+")] },
        };
        for place in ["header", "query"] {
            let mut came = arrival(&[("x-real", "Bearer to ken+"), ("x-other", "to ken")], "");
            came.query = "real=to+ken%2B&a=%41".to_owned();
            let kept = refused(&inlet("a", auth(place)), "/in/a", &came, true, REMOTE, NOW, "why".to_owned());
            assert_eq!(kept.head.headers, [("x-other".to_owned(), b"to ken".to_vec())]);
            assert_eq!(kept.head.query, "a=%41");
            let hidden: Vec<_> =
                kept.head.presented.iter().map(|presented| String::from(presented.place.clone())).collect();
            assert_eq!(hidden, ["header:x-real", "query:real"]);
        }
    }

    #[test]
    fn a_static_secret_is_kept_as_a_hash_and_a_signature_as_it_is() {
        let header = Auth::Header { name: "x-secret".to_owned(), secrets: vec![Secret::new("right")] };
        let came = [("x-secret", "hush"), ("webhook-signature", "v1,abc"), ("authorization", "hush")];
        let request = |inlet: &Inlet, body: &str| {
            refused(inlet, "/in/a", &arrival(&came, body), true, REMOTE, NOW, "why".to_owned())
        };
        let with_header = Inlet { secret_pointers: vec!["/key".to_owned()], ..inlet("a", header) };
        let kept = request(&with_header, r#"{"key":"hush"}"#);
        let places = ["authorization", "x-secret"].map(|name| Place::Header(name.to_owned()));
        let mut presented = kept.head.presented.clone();
        presented.sort_by_key(|presented| String::from(presented.place.clone()));
        assert_eq!(presented.iter().map(|presented| &presented.place).collect::<Vec<_>>(), places.each_ref());
        for presented in presented {
            assert!(bool::from(presented.fits("hush")) && !bool::from(presented.fits("right")));
        }
        assert_eq!(kept.head.headers, [("webhook-signature".to_owned(), b"v1,abc".to_vec())]);
        assert_eq!((kept.body.as_ref(), kept.head.whole), (br#"{"key":"***"}"#.as_slice(), true));
        assert!(!format!("{kept:?}").contains("hush"));
        let long = format!(r#"{{"a":"{}","key":"hush"}}"#, "x".repeat(BODY_BYTES_MAX));
        let kept = request(&with_header, &long);
        assert_eq!((kept.body.len(), kept.head.whole), (0, false));

        let secrets = vec![Secret::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
        let tolerance = Duration::from_secs(300);
        let signed = Auth::StandardWebhooks { secrets, public_keys: Vec::new(), tolerance };
        let signed = Inlet { secret_pointers: vec!["/key".to_owned()], ..inlet("a", signed) };
        let kept = request(&signed, r#"{"key":1}"#);
        assert_eq!(kept.body.as_ref(), br#"{"key":1}"#);
        let kept = request(&signed, &long);
        assert_eq!((kept.body.len(), kept.head.body_len, kept.head.whole), (BODY_BYTES_MAX, 65_536, false));
    }
}
