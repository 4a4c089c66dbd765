//! Takes one request: finds its source, reads, authenticates, redacts, stores, answers.

use crate::ingest::answer::{Outcome, Refused};
use crate::ingest::arrival::Arrival;
use crate::ingest::authenticate::allowed;
use crate::ingest::body::Unread;
use crate::ingest::prove::{Asked, Judged};
use crate::ingest::route::{Route, route};
use crate::ingest::{Ingest, Inlet, body, dedupe, redact, refusals, sender};
use crate::model::id::WebhookId;
use crate::model::refused::{BODY_BYTES_MAX, ELSEWHERE, NO_SOURCE};
use crate::model::source::{Auth, Proof};
use crate::model::webhook::{Accepted, NewWebhook, WebhookHead};
use billhook_event::Time;
use bytes::Bytes;
use http::header::EXPECT;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// A source, found, and the rest of the path.
pub(super) struct Found {
    pub(super) inlet: Arc<Inlet>,
    pub(super) key: Option<String>,
    pub(super) tail: String,
}

impl Ingest {
    /// Answers one request. The body of one that was refused unread goes to `leave`, to be read to its end after the
    /// answer is on its way.
    pub(super) async fn take(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        leave: &mpsc::Sender<Incoming>,
    ) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let (parts, mut body) = request.into_parts();
        let remote = sender::of(&parts.headers, peer, &self.options.trusted_proxies);
        let found = self.find(parts.uri.path());
        let (source, always_ok) = match &found {
            Ok(found) => (Some(found.inlet.source.name.clone()), found.inlet.always_ok),
            Err(Missing { always_ok, .. }) => (None, *always_ok),
        };
        // A sender that asks before it sends has not sent, and is answered instead of being asked to.
        let asks_first = parts.headers.contains_key(EXPECT);
        let outcome = match found {
            Err(missing) => self.turn_away(missing, &parts, &mut body, remote).await,
            // A provider may ask its challenge by GET: that is the verifier's to answer.
            Ok(found)
                if parts.method != Method::POST
                    && !(found.inlet.verifier.is_some() && parts.method == Method::GET) =>
            {
                Err(Refused::Method)
            }
            Ok(found) => self.receive(found, parts, &mut body, remote).await,
        };
        if !body.is_end_stream() && !asks_first {
            // Full only if one is there already, which ends the connection anyway.
            let _ = leave.try_send(body);
        }
        let outcome = outcome.unwrap_or_else(Outcome::Refused);
        let response = outcome.answer(always_ok);
        let status = response.status().as_u16();
        let source = source.as_deref().unwrap_or("-");
        let elapsed = start.elapsed();
        match &outcome {
            Outcome::Stored(id) => {
                debug!(source, %remote, status, %id, duplicate = false, ?elapsed, "webhook stored")
            }
            Outcome::Duplicate(id) => {
                debug!(source, %remote, status, %id, duplicate = true, ?elapsed, "webhook known")
            }
            Outcome::Challenge(_) => {
                info!(source, %remote, status, ?elapsed, "challenge answered by a plugin")
            }
            Outcome::Refused(cause @ (Refused::Store(_) | Refused::Unproven(_))) => {
                warn!(source, %remote, status, %cause, ?elapsed, "webhook not stored")
            }
            Outcome::Refused(cause) => info!(source, %remote, status, %cause, ?elapsed, "webhook refused"),
        }
        response
    }

    /// The source that `path` leads to.
    pub(super) fn find(&self, path: &str) -> Result<Found, Missing> {
        let missing = |why| Missing { why, under: NO_SOURCE, always_ok: false };
        match route(path) {
            Route::Source { name, tail } => {
                let inlet = self.inlets.by_name.get(&name).cloned();
                let inlet = inlet.ok_or(missing(Refused::NoSource))?;
                let (key, tail) = match (&inlet.source.auth, tail.split_once('/')) {
                    (Auth::PathKey, Some((key, rest))) => (Some(key.to_owned()), rest.to_owned()),
                    (Auth::PathKey, None) => (Some(tail), String::new()),
                    _ => (None, tail),
                };
                Ok(Found { inlet, key, tail })
            }
            Route::Key(key) => {
                let inlet = self.inlets.by_key.get(&key).cloned();
                let always_ok = self.inlets.wrong_keys_ok;
                let inlet = inlet.ok_or(Missing { always_ok, ..missing(Refused::NoSource) })?;
                Ok(Found { inlet, key: Some(key), tail: String::new() })
            }
            Route::Nowhere => Err(Missing { under: ELSEWHERE, ..missing(Refused::NoSource) }),
            Route::Unreadable(why) => Err(missing(Refused::Path(why))),
        }
    }

    /// Refuses what no source was found for, and keeps what was posted, for an operator may look for it. Is the sender
    /// told yes all the same, it will not send again: then the body is read, to be kept.
    async fn turn_away(
        &self,
        missing: Missing,
        parts: &http::request::Parts,
        body: &mut Incoming,
        remote: IpAddr,
    ) -> Result<Outcome, Refused> {
        if matches!(missing.why, Refused::NoSource) && parts.method == Method::POST {
            let whole = match missing.always_ok {
                true => match body::read(body, self.options.max_body, &self.options, &self.in_flight).await {
                    Ok(whole) => Some(whole),
                    Err(Unread::TooLarge { .. }) => None,
                    Err(unread) => return Err(unread.into()),
                },
                false => None,
            };
            let body = whole.as_ref().map(|whole| &whole.bytes);
            let (path, cause) = (parts.uri.path(), missing.why.to_string());
            let now = self.clock.now();
            let asked = (missing.under, path);
            self.refusals.add(refusals::without_source(asked, &parts.headers, body, remote, now, cause));
        }
        Err(missing.why)
    }

    /// Reads, authenticates and stores.
    async fn receive(
        &self,
        found: Found,
        parts: http::request::Parts,
        body: &mut Incoming,
        remote: IpAddr,
    ) -> Result<Outcome, Refused> {
        // Of who may not send at all, no more than is kept of what is refused.
        let most = match allowed(&found.inlet.source, remote) {
            Ok(()) => self.options.max_body,
            Err(_) => self.options.max_body.min(BODY_BYTES_MAX),
        };
        let whole = body::read(body, most, &self.options, &self.in_flight).await;
        let now = self.clock.now();
        let Found { inlet, key, tail } = found;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let bytes = whole.as_ref().map_or_else(|_| Bytes::new(), |whole| whole.bytes.clone());
        let arrival = Arrival::new(key, tail, query, parts.headers, bytes);
        let refuse = |read: bool, cause: &dyn std::fmt::Display| {
            let (path, cause) = (parts.uri.path(), cause.to_string());
            self.refusals.add(refusals::refused(&inlet, path, &arrival, read, remote, now, cause));
        };
        let whole = match whole {
            Ok(whole) => Some(whole),
            // It is refused for its address below.
            Err(Unread::TooLarge { max }) if max < self.options.max_body => None,
            Err(unread) => {
                if let Unread::TooLarge { .. } = unread {
                    refuse(false, &unread);
                }
                return Err(unread.into());
            }
        };
        let asked = Asked { method: &parts.method, path: parts.uri.path(), remote, at: now };
        let proof = match self.prove(&inlet, &arrival, &asked).await {
            Ok(Judged::Challenge(reply)) => return Ok(Outcome::Challenge(reply)),
            // Only challenges come so.
            _ if parts.method != Method::POST => return Err(Refused::Method),
            Ok(Judged::Authentic(proof)) => proof,
            Err(cause) => {
                refuse(whole.is_some(), &cause);
                return Err(cause);
            }
        };
        // Only what is authentic counts: strangers must not use up what the sender may send.
        if let Some(bucket) = self.inlets.buckets.get(&inlet.source.name) {
            bucket.take(now).map_err(|wait| Refused::OverRate { wait })?;
        }
        let sha256 = Sha256::digest(&arrival.body).into();
        let id = self.next_id(now);
        let webhook = webhook(&inlet, arrival, &proof, sha256, remote, (id, now));
        let accepted = self.store.accept(webhook, now).await;
        drop(whole);
        match accepted {
            Ok(Accepted::New) => {
                self.wake.wake();
                Ok(Outcome::Stored(id))
            }
            Ok(Accepted::Duplicate { first, same_body }) => {
                let source = &inlet.source.name;
                if !same_body && dedupe::may_differ(&inlet) {
                    info!(source, %first, %remote, "a known id came with another body");
                } else if !same_body {
                    warn!(source, %first, %remote, "a known id came with another body");
                }
                Ok(Outcome::Duplicate(first))
            }
            Err(error) => {
                if let crate::store::StoreError::Closed(_) | crate::store::StoreError::Damaged(_) = error {
                    error!(%error, "the store takes no webhooks");
                }
                Err(error.into())
            }
        }
    }
}

/// No source.
pub(super) struct Missing {
    pub(super) why: Refused,
    /// What it is kept under in place of a source.
    under: &'static str,
    /// Whether the stranger is told yes all the same.
    always_ok: bool,
}

/// What is stored of an arrival, whose body had the hash `sha256` when it came, under its id from now on.
pub(super) fn webhook(
    inlet: &Inlet,
    arrival: Arrival,
    proof: &Proof,
    sha256: [u8; 32],
    remote: IpAddr,
    (id, now): (WebhookId, Time),
) -> NewWebhook {
    let event_name = arrival.first(&inlet.event_name);
    let delivery_id = proof.delivery_id.clone().or_else(|| arrival.first(&inlet.delivery_id));
    let key = dedupe::key(inlet, &arrival, proof, &sha256, event_name.as_deref(), now);
    let body = redact::body(inlet, &arrival);
    let head = WebhookHead {
        source: inlet.source.name.clone(),
        provider: inlet.source.provider.clone(),
        received_at: now,
        taken_at: None,
        path: arrival.tail,
        query: redact::query(inlet, &arrival.query),
        headers: redact::headers(inlet, &arrival.headers),
        event_name,
        delivery_id,
        verified: proof.verified,
        sha256,
        body_len: body.len() as u64,
        remote: Some(remote),
    };
    NewWebhook { id, head, body, key }
}
