//! Rows as bytes: a version byte, then postcard; times are milliseconds. A value that is longer than a row may be is
//! cut into pieces, and its row says only how many bytes there are and where. Longer ones are packed before.
//!
//! Enums are numbered by the order of their variants, and fields have no names: a change of either is a new version.

use super::keys;
use super::pack::pack;
use crate::model::attempt::{Attempt, Outcome};
use crate::model::delivery::{Delivery, DeliveryState};
use crate::model::dispatch::{Entity, Note, Remembered, Run, Shadowed};
use crate::model::endpoint::{By, Gate, Turned};
use crate::model::id::{DeliveryId, EndpointId, EventId, JobId, WebhookId};
use crate::model::refused::{Presented, RefusedHead};
use crate::model::rotation::{Live, Rotation};
use crate::model::secret::Secret;
use crate::model::source::Place;
use crate::model::webhook::{DedupeKey, Header, WebhookHead, WebhookState};
use crate::store::{GateRow, RotationRow, Stats, StoreError};
use billhook_event::{Time, Verified};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    #[serde(with = "WebhookStateDef")]
    pub(super) state: WebhookState,
    /// The newest run that was committed.
    pub(super) newest: Option<RunRow>,
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

/// What the ledger keeps of a key. Its row has 22 bytes: so many sled keeps within a leaf, and longer ones are each an
/// allocation whenever their leaf is read, which is at random.
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
    #[serde(with = "millis")]
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
    #[serde(with = "millis")]
    pub(super) at: Time,
    pub(super) run: RunRow,
}

/// What a plugin keeps under a key. Names are here because keys have their hashes only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KvRow {
    pub(super) plugin: String,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version: u64,
    /// Milliseconds; `None`: for ever.
    pub(super) until: Option<u64>,
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
    #[serde(with = "DeliveryDef")]
    pub(super) delivery: Delivery,
    pub(super) first: Option<AttemptRow>,
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
    #[serde(with = "millis")]
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
    #[serde(with = "EntityDef")]
    pub(super) entity: Entity,
    /// By what a topic has beside the entity, and the beginning of the endpoint's id.
    pub(super) newest: Vec<([u8; 4], [u8; 4], NewestRow)>,
}

/// What an endpoint has taken last of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NewestRow {
    /// When it happened.
    #[serde(with = "millis")]
    pub(super) at: Time,
    pub(super) event: EventId,
}

/// A row that is a noun of the model and nothing else.
macro_rules! plain {
    ($($row:ident($noun:ty) as $def:literal;)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct $row(#[serde(with = $def)] pub(super) $noun);
    )*};
}

plain! {
    HeadRow(WebhookHead) as "HeadDef";
    RunRow(Run) as "RunDef";
    AttemptRow(Attempt) as "AttemptDef";
    RefusedRow(RefusedHead) as "RefusedDef";
    GateDoc(GateRow) as "GateRowDef";
}

/// A [`HeadRow`] to be written.
#[derive(Serialize)]
pub(super) struct HeadRef<'a>(#[serde(with = "HeadDef")] pub(super) &'a WebhookHead);

/// The secrets of an endpoint that was rotated. Without a debug form.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RotationDoc {
    version: u64,
    salt: [u8; 16],
    configured: [u8; 32],
    /// Each with when it was made and until when it signs, in milliseconds.
    secrets: Vec<(String, Option<u64>, Option<u64>)>,
}

impl RotationDoc {
    pub(super) fn of(rotation: &Rotation, version: u64) -> RotationDoc {
        let Rotation { salt, configured, secrets } = rotation;
        let millis = |time: Option<Time>| time.map(Time::millis);
        let fields = |live: &Live| (live.secret.reveal().to_owned(), millis(live.made), millis(live.until));
        let secrets = secrets.iter().map(fields).collect();
        RotationDoc { version, salt: *salt, configured: *configured, secrets }
    }

    pub(super) fn row(self) -> RotationRow {
        let time = |millis: Option<u64>| millis.map(Time::from_millis);
        let live = |(secret, made, until): (String, _, _)| Live {
            secret: Secret::new(secret),
            made: time(made),
            until: time(until),
        };
        let RotationDoc { version, salt, configured, secrets } = self;
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
        self.bytes.len().div_ceil(ROW_BYTES_MAX).max(1).try_into().unwrap_or(u16::MAX)
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

/// Times as milliseconds.
mod millis {
    use super::{Deserialize, Time};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        u64::deserialize(deserializer).map(Time::from_millis)
    }
}

/// The last events of an entity, with times as milliseconds.
mod last {
    use super::{BTreeMap, Deserialize, EventId, Serialize, Time};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        last: &BTreeMap<String, (Time, EventId)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let last: BTreeMap<&str, (u64, EventId)> =
            last.iter().map(|(kind, (at, id))| (kind.as_str(), (at.millis(), *id))).collect();
        last.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, (Time, EventId)>, D::Error> {
        let last = BTreeMap::<String, (u64, EventId)>::deserialize(deserializer)?;
        Ok(last.into_iter().map(|(kind, (at, id))| (kind, (Time::from_millis(at), id))).collect())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "WebhookHead")]
struct HeadDef {
    source: String,
    provider: String,
    #[serde(with = "millis")]
    received_at: Time,
    path: String,
    query: String,
    headers: Vec<Header>,
    event_name: Option<String>,
    delivery_id: Option<String>,
    verified: Verified,
    sha256: [u8; 32],
    body_len: u64,
    remote: Option<std::net::IpAddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RefusedHead")]
struct RefusedDef {
    #[serde(with = "millis")]
    at: Time,
    source: String,
    cause: String,
    remote: std::net::IpAddr,
    path: String,
    query: String,
    headers: Vec<Header>,
    #[serde(with = "presented")]
    presented: Option<Presented>,
    sha256: [u8; 32],
    body_len: u64,
    whole: bool,
}

/// What was presented, as its fields.
mod presented {
    use super::{Deserialize, Place, Presented, Serialize};
    use serde::{Deserializer, Serializer};

    type Fields = (Place, [u8; 16], [u8; 32]);

    pub(super) fn serialize<S: Serializer>(
        presented: &Option<Presented>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let fields = presented.clone().map(|Presented { place, salt, hash }| (place, salt, hash));
        fields.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Presented>, D::Error> {
        let fields = Option::<Fields>::deserialize(deserializer)?;
        Ok(fields.map(|(place, salt, hash)| Presented { place, salt, hash }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "WebhookState")]
enum WebhookStateDef {
    Undispatched {
        failures: u32,
        #[serde(with = "millis")]
        due: Time,
        last: Option<String>,
    },
    Dispatched {
        events: u32,
        #[serde(with = "millis")]
        at: Time,
    },
    Dead {
        why: String,
        #[serde(with = "millis")]
        at: Time,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Run")]
struct RunDef {
    #[serde(with = "millis")]
    now: Time,
    notes: Vec<Note>,
    shadow: Option<Shadowed>,
    known: BTreeMap<String, Remembered>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Delivery")]
struct DeliveryDef {
    id: DeliveryId,
    event: EventId,
    endpoint: EndpointId,
    resend: u32,
    #[serde(with = "millis")]
    created: Time,
    attempts: u32,
    step: u32,
    #[serde(with = "DeliveryStateDef")]
    state: DeliveryState,
    stale: Option<EventId>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DeliveryState")]
enum DeliveryStateDef {
    Waiting {
        #[serde(with = "millis")]
        due: Time,
    },
    Delivered {
        #[serde(with = "millis")]
        at: Time,
    },
    Skipped {
        #[serde(with = "millis")]
        at: Time,
        why: String,
    },
    Dead {
        #[serde(with = "millis")]
        at: Time,
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Attempt")]
struct AttemptDef {
    n: u32,
    #[serde(with = "millis")]
    at: Time,
    took: Duration,
    outcome: Outcome,
    trial: bool,
    webhook_id: String,
    retry_after: Option<Duration>,
    answer: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Entity")]
struct EntityDef {
    version: u64,
    #[serde(with = "last")]
    last: BTreeMap<String, (Time, EventId)>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GateRow")]
struct GateRowDef {
    #[serde(with = "GateDef")]
    gate: Gate,
    version: u64,
    #[serde(with = "turned")]
    turned: Option<Turned>,
}

/// How a gate was turned, as its fields.
mod turned {
    use super::{By, Deserialize, Serialize, Time, Turned};
    use serde::{Deserializer, Serializer};

    type Fields = (By, Option<String>, u64);

    pub(super) fn serialize<S: Serializer>(
        turned: &Option<Turned>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let fields = turned.clone().map(|Turned { by, why, at }| (by, why, at.millis()));
        fields.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Turned>, D::Error> {
        let fields = Option::<Fields>::deserialize(deserializer)?;
        Ok(fields.map(|(by, why, at)| Turned { by, why, at: Time::from_millis(at) }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Gate")]
enum GateDef {
    Open,
    Trial {
        #[serde(with = "millis")]
        since: Time,
        #[serde(with = "millis")]
        at: Time,
        wait: Duration,
    },
    Paused,
    Disabled,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attempt::Failure;

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(row: &T) {
        assert_eq!(&decode::<T>("row", &encode(row)).unwrap(), row);
    }

    #[test]
    fn rows_round_trip_even_at_the_epoch() {
        let head = WebhookHead {
            source: "s".into(),
            provider: "p".into(),
            received_at: Time::ZERO,
            path: String::new(),
            query: "a=1".into(),
            headers: vec![("x".into(), vec![0, 255])],
            event_name: None,
            delivery_id: Some("1".into()),
            verified: Verified::Signature,
            sha256: [7; 32],
            body_len: 9,
            remote: Some("::1".parse().unwrap()),
        };
        round_trip(&HeadRow(head));
        round_trip(&RunRow(Run::default()));
        let id = EventId([1; 16]);
        let entity = Entity { version: 3, last: [("a".to_owned(), (Time::ZERO, id))].into() };
        let newest = NewestRow { at: Time::ZERO, event: id };
        round_trip(&EntityRow { entity, newest: vec![([1; 4], [2; 4], newest)] });
        let wait = Duration::from_secs(30);
        let gate = Gate::Trial { since: Time::ZERO, at: Time::ZERO, wait };
        let turned = Turned { by: By::Operator, why: None, at: Time::ZERO };
        round_trip(&GateDoc(GateRow { gate, version: 2, turned: Some(turned) }));
        round_trip(&GateDoc(GateRow { gate: Gate::Disabled, version: 2, turned: None }));
        round_trip(&AttemptRow(Attempt {
            n: 1,
            at: Time::ZERO,
            took: Duration::from_millis(3),
            outcome: Outcome::Failed(Failure::Connect("refused".into())),
            trial: true,
            webhook_id: "evt_1".into(),
            retry_after: Some(wait),
            answer: vec![1, 2],
        }));
    }

    #[test]
    fn the_bytes_of_a_row_stay_as_they_are() {
        let dead = WebhookState::Dead { why: "no".into(), at: Time::from_millis(300) };
        let row = StateRow { run: 2, state: dead, newest: None, resend: false };
        assert_eq!(encode(&row), [1, 2, 2, 2, b'n', b'o', 0xac, 2, 0, 0]);
        let first = WebhookId::new(Time::from_secs(5), 0);
        let row = encode(&LedgerRow::new(first, Time::from_millis(2_597_004_001), &[8; 32]));
        assert_eq!(row, [&[1][..], first.bytes(), &[0x27, 0xa0, 0x88], &[8; 2]].concat());
    }

    #[test]
    fn a_key_is_kept_for_its_window_rounded_up_to_a_second_and_half_a_year_at_most() {
        let first = WebhookId::new(Time::from_millis(5_500), 1);
        for (until, kept) in
            [(5_500, 5_500), (5_501, 6_500), (65_500, 65_500), (0, 5_500), (u64::MAX, 16_777_220_500)]
        {
            let row = LedgerRow::new(first, Time::from_millis(until), &[7; 32]);
            assert_eq!(row.until(), Time::from_millis(kept), "{until}");
            let other = std::array::from_fn(|n| if n == 1 { 6 } else { 7 });
            assert!(row.has_body(&[7; 32]) && !row.has_body(&other));
        }
    }

    #[test]
    fn an_unknown_version_is_damage() {
        for bytes in [&[][..], &[2, 0], &[1, 200]] {
            assert!(matches!(decode::<StateRow>("state", bytes), Err(StoreError::Damaged(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_value_is_cut_beyond_a_row() {
        for (len, pieces) in [(0, None), (4096, None), (4097, Some(2)), (8192, Some(2)), (8193, Some(3))] {
            let bytes: Vec<u8> =
                std::iter::repeat_with(|| rand::random_range(1..=u8::MAX)).take(len).collect();
            let value = Value::new(b"wkey".to_vec(), bytes.clone(), 0);
            assert!(value.row.len() <= ROW_BYTES_MAX);
            assert_eq!(value.pieces.as_ref().map(Pieces::count), pieces, "{len}");
            let cut = Cut { bytes: len as u64, generation: 0 };
            assert_eq!(Cut::read(&value.row).unwrap(), pieces.map(|_| cut), "{len}");
            if let Some(pieces) = value.pieces {
                let back: Vec<u8> = (0..pieces.count()).flat_map(|n| pieces.piece(n).1.to_vec()).collect();
                assert_eq!(back, bytes);
            }
        }
    }
}
