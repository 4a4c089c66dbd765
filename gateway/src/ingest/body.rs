//! Reads a body within its bounds: length, time, and the memory that all bodies share.

use crate::ingest::Options;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The most that is read and thrown away of a body that was refused, so that its sender, who may read nothing
/// before everything is written, gets to see the answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// The most room that is made for a body before its bytes are there, whatever length the headers claim.
const FORWARD_BYTES_MAX: usize = 64 << 10;

/// A body, and the room in memory that it takes.
#[derive(Debug)]
pub(super) struct Whole {
    /// The body, byte for byte.
    pub(super) bytes: Bytes,
    /// Gives the room back when it is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// It is too long; known before anything of it was read if its length was declared.
    #[error("the body is longer than {max} bytes")]
    TooLarge { max: usize },
    /// It took too long.
    #[error("the body did not arrive within {within:?}")]
    TooSlow { within: Duration },
    /// Bodies in flight take all the memory that they may.
    #[error("bodies in flight take all of `in_flight_bytes_max` ({0} bytes)")]
    NoRoom(usize),
    /// It ended early or is not HTTP.
    #[error("the body cannot be read: {0}")]
    Broken(#[source] hyper::Error),
}

/// Reads `body`, if it is no longer than `most`. On an error the rest is still in it. Memory is counted as it is filled,
/// so that declaring much and sending little takes nothing from others.
pub(super) async fn read(
    body: &mut Incoming,
    most: usize,
    options: &Options,
    memory: &Arc<Semaphore>,
) -> Result<Whole, Unread> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // What is too long for anybody is told as that.
    let max = if declared > options.max_body { options.max_body } else { most };
    if declared > max {
        return Err(Unread::TooLarge { max });
    }
    let deadline = Instant::now() + options.body_timeout;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    loop {
        let too_slow = |_| Unread::TooSlow { within: options.body_timeout };
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await.map_err(too_slow)? {
            None => break,
            Some(frame) => frame.map_err(Unread::Broken)?,
        };
        // Trailers are dropped: no signature covers them.
        let Ok(data) = frame.into_data() else { continue };
        if data.is_empty() {
            continue;
        }
        if first.len() + rest.len() + data.len() > max {
            return Err(Unread::TooLarge { max });
        }
        let permits = u32::try_from(data.len()).map_err(|_| Unread::TooLarge { max })?;
        let more = memory.clone().try_acquire_many_owned(permits);
        let more = more.map_err(|_| Unread::NoRoom(options.in_flight_bytes_max))?;
        match &mut room {
            None => room = Some(more),
            Some(room) => room.merge(more),
        }
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(
                declared.clamp(first.len() + data.len(), FORWARD_BYTES_MAX.max(first.len() + data.len())),
            );
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    let bytes = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Whole { bytes, _room: room })
}

/// Reads what is left of a refused body and throws it away, within bounds.
pub(super) async fn discard(mut body: Incoming) {
    let all = async {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // Bounded; whoever is still sending then sees a reset.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
}
