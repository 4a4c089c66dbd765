//! Rows as bytes: a version byte, then postcard, in which times are milliseconds. A value that is longer than a row may
//! be is cut into pieces, and its row says only how many bytes there are and where. Longer ones are packed before.
//!
//! Enums are numbered by the order of their variants, and fields have no names: a change of either is a new version.

use super::keys;
use super::pack::pack;
use crate::model::attempt::Attempt;
use crate::model::delivery::Delivery;
use crate::model::dispatch::{Entity, Run};
use crate::model::id::{EndpointId, EventId, JobId, WebhookId};
use crate::model::rotation::{Live, Rotation};
use crate::model::secret::Secret;
use crate::model::stats::Stats;
use crate::model::webhook::{DedupeKey, WebhookState};
use crate::store::{RotationRow, StoreError};
use billhook_event::Time;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// No value is longer. A leaf of sled holds up to 16 items, and one of more than 128 KiB becomes a file that is never
/// synced.
pub(super) const ROW_BYTES_MAX: usize = 4096;

/// The room that is made for a row at first: few are longer.
const ROOM: usize = 1000;

/// The first byte of a row of this version.
const VERSION: u8 = 1;
/// The first byte of a row whose value is in pieces.
const CUT: u8 = 0xfe;

/// What is behind a webhook's state row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StateRow {
    /// 0 for the first run, one more for each reprocess or redrive.
    pub(super) run: u32,
    /// Where it stands.
    pub(super) state: WebhookState,
    /// The newest run that was committed.
    pub(super) newest: Option<Run>,
    /// Whether the next run sends again what stays as it is.
    pub(super) resend: bool,
}

impl StateRow {
    /// After the first run of a webhook that has never moved on.
    pub(super) fn after_first(FirstRunRow { events, at, run }: FirstRunRow) -> StateRow {
        StateRow { run: 0, state: WebhookState::Dispatched { events, at }, newest: Some(run), resend: false }
    }

    /// The row after a move: what the newest run said stays.
    pub(super) fn moved(&self, run: u32, state: WebhookState) -> StateRow {
        StateRow { run, state, newest: self.newest.clone(), resend: self.resend }
    }
}

/// What the ledger keeps of a key, in 22 bytes: there is one for nearly every webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LedgerRow {
    /// The webhook that came first.
    pub(super) first: WebhookId,
    /// For how many seconds from its arrival another is a duplicate, big endian.
    window: [u8; 3],
    /// The beginning of the SHA-256 of its body.
    body: [u8; 2],
}

impl LedgerRow {
    /// The most seconds that a row can tell.
    const WINDOW_MAX: u64 = (1 << 24) - 1;

    /// The row of `first`, whose body has this SHA-256: another is a duplicate until then, to the second.
    pub(super) fn new(first: WebhookId, until: Time, body: &[u8; 32]) -> LedgerRow {
        const { assert!(DedupeKey::WINDOW_MAX.as_secs() <= LedgerRow::WINDOW_MAX) };
        let millis = until.millis().saturating_sub(first.time().millis());
        let [.., a, b, c] = millis.div_ceil(1000).min(LedgerRow::WINDOW_MAX).to_be_bytes();
        LedgerRow { first, window: [a, b, c], body: [body[0], body[1]] }
    }

    /// Until when another is a duplicate.
    pub(super) fn until(&self) -> Time {
        let [a, b, c] = self.window;
        self.first.time().plus(Duration::from_secs(u32::from_be_bytes([0, a, b, c]).into()))
    }

    /// Whether the first one's body seems to be the one of this SHA-256: of 65,536 other ones one seems so too.
    pub(super) fn has_body(&self, sha256: &[u8; 32]) -> bool {
        sha256.starts_with(&self.body)
    }
}

/// How often a webhook came again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenRow {
    pub(super) duplicates: u32,
    pub(super) conflicts: u32,
}

/// An event without its JSON, which follows in the same value as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EventRow {
    pub(super) webhook: WebhookId,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) occurred_at: Time,
    pub(super) entity: Option<String>,
    pub(super) dropped: Option<(String, String)>,
    /// Every endpoint it was ever owed to: with the resend number they give the ids of its deliveries.
    pub(super) endpoints: Vec<EndpointId>,
    pub(super) revision: u32,
    /// In the first event of a webhook's first run: that run, and the webhook has no state row until it moves on.
    pub(super) run: Option<FirstRunRow>,
}

/// A webhook's first run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FirstRunRow {
    pub(super) events: u32,
    pub(super) at: Time,
    pub(super) run: Run,
}

/// What a plugin keeps under a key. Names are here because keys have their hashes only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KvRow {
    pub(super) plugin: String,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version: u64,
    /// `None`: for ever.
    pub(super) until: Option<Time>,
    pub(super) value: Bytes,
}

/// How full a bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KvUsageRow {
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

/// A delivery, its lane, and its first attempt: most have no other. An attempt with a long answer is a row of its
/// own, as all later ones are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DeliveryRow {
    pub(super) lane: u8,
    pub(super) delivery: Delivery,
    pub(super) first: Option<Attempt>,
    /// The job that made it.
    pub(super) job: Option<JobId>,
    /// What it is about; `None`: no entity.
    pub(super) about: Option<AboutRow>,
}

/// What a delivery is about, in hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AboutRow {
    /// The source, the entity, the family of the type, and the object of it.
    pub(super) topic: [u8; 16],
    /// When its event happened.
    pub(super) occurred_at: Time,
    /// Where it waits, or waited, in the line of its entity; `None`: it waits for nobody.
    pub(super) place: Option<PlaceRow>,
}

/// A place in the line of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlaceRow {
    pub(super) entity: [u8; 16],
    pub(super) n: u64,
}

/// What is remembered of an entity, and what endpoints have taken last of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EntityRow {
    pub(super) entity: Entity,
    /// By what a topic has beside the entity, and the beginning of the endpoint's id.
    pub(super) newest: Vec<([u8; 4], [u8; 4], NewestRow)>,
}

/// What an endpoint has taken last of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NewestRow {
    /// When it happened.
    pub(super) at: Time,
    pub(super) event: EventId,
}

/// The secrets of an endpoint that was rotated. Without a debug form.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RotationDoc {
    version: u64,
    salt: [u8; 16],
    configured: [u8; 32],
    /// Each with when it was made and until when it signs.
    secrets: Vec<(String, Option<Time>, Option<Time>)>,
}

impl RotationDoc {
    pub(super) fn of(rotation: &Rotation, version: u64) -> RotationDoc {
        let Rotation { salt, configured, secrets } = rotation;
        let fields = |live: &Live| (live.secret.reveal().to_owned(), live.made, live.until);
        let secrets = secrets.iter().map(fields).collect();
        RotationDoc { version, salt: *salt, configured: *configured, secrets }
    }

    pub(super) fn row(self) -> RotationRow {
        let RotationDoc { version, salt, configured, secrets } = self;
        let live = |(secret, made, until): (String, _, _)| Live { secret: Secret::new(secret), made, until };
        let secrets = secrets.into_iter().map(live).collect();
        RotationRow { rotation: Some(Arc::new(Rotation { salt, configured, secrets })), version }
    }
}

/// The counters, in one row so that they are one write a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) webhooks: u64,
    pub(super) duplicates: u64,
    pub(super) undispatched: u64,
    pub(super) webhooks_dead: u64,
    pub(super) events: u64,
    pub(super) waiting: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
}

impl Totals {
    /// As they are shown, beside the size on disk.
    pub(super) fn stats(&self, disk_bytes: u64) -> Stats {
        Stats {
            webhooks: self.webhooks,
            duplicates: self.duplicates,
            undispatched: self.undispatched,
            webhooks_dead: self.webhooks_dead,
            events: self.events,
            waiting: self.waiting,
            delivered: self.delivered,
            dead: self.dead,
            disk_bytes,
        }
    }
}

/// The bytes of a row.
pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    encode_before(row, &[])
}

/// The bytes of a row, and what follows it in the same value.
pub(super) fn encode_before<T: Serialize>(row: &T, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROOM + rest.len());
    bytes.push(VERSION);
    let mut bytes = postcard::to_extend(row, bytes)
        .expect("rows are made of strings, numbers and sequences of known length");
    bytes.extend_from_slice(rest);
    bytes
}

/// A row from its bytes.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    decode_and_rest(what, bytes).map(|(row, _)| row)
}

/// A row from the beginning of its bytes, and what follows it.
pub(super) fn decode_and_rest<'a, T: DeserializeOwned>(
    what: &str,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), StoreError> {
    match bytes {
        [VERSION, rest @ ..] => postcard::take_from_bytes(rest)
            .map_err(|error| StoreError::Damaged(format!("a {what} cannot be read: {error}"))),
        [version, ..] => Err(StoreError::Damaged(format!("a {what} has the unknown version {version}"))),
        [] => Err(StoreError::Damaged(format!("a {what} is empty"))),
    }
}

/// Bytes to be cut into pieces of [`ROW_BYTES_MAX`]. No bytes are one empty piece.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    /// What the pieces' keys begin with.
    pub(super) prefix: Vec<u8>,
    /// The bytes.
    pub(super) bytes: Bytes,
}

impl Pieces {
    /// How many there are.
    pub(super) fn count(&self) -> u16 {
        let count = self.bytes.len().div_ceil(ROW_BYTES_MAX).max(1);
        count.try_into().expect("bodies and what runs give are bounded far below 256 MiB")
    }

    /// The key and the bytes of the `n`-th, from 0.
    pub(super) fn piece(&self, n: u16) -> (Vec<u8>, &[u8]) {
        let from = (usize::from(n) * ROW_BYTES_MAX).min(self.bytes.len());
        let to = (from + ROW_BYTES_MAX).min(self.bytes.len());
        (keys::piece(&self.prefix, n), &self.bytes[from..to])
    }
}

/// A value ready to be written, packed if it is long: the row, and its pieces if it is too long for one.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) key: Vec<u8>,
    pub(super) row: Vec<u8>,
    pub(super) pieces: Option<Pieces>,
}

impl Value {
    /// The value `bytes` at `key`. The pieces of two generations lie side by side.
    pub(super) fn new(key: Vec<u8>, bytes: Vec<u8>, generation: u32) -> Value {
        let bytes = pack(bytes);
        if bytes.len() <= ROW_BYTES_MAX {
            return Value { key, row: bytes, pieces: None };
        }
        let cut = Cut { bytes: bytes.len() as u64, generation };
        let mut row = vec![CUT];
        row.extend_from_slice(&encode(&cut));
        let pieces = Pieces { prefix: keys::pieces(&key, generation), bytes: bytes.into() };
        Value { key, row, pieces: Some(pieces) }
    }
}

/// What the row of a value in pieces says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) bytes: u64,
    pub(super) generation: u32,
}

impl Cut {
    /// From a row; `None` if its value is not in pieces.
    pub(super) fn read(row: &[u8]) -> Result<Option<Cut>, StoreError> {
        match row {
            [CUT, rest @ ..] => decode("row of a value in pieces", rest).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
