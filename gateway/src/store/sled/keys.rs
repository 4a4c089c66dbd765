//! Every key: a prefix byte, then fields of fixed length, big endian, so that the order of keys is the order of time. In the
//! tree some have one more, see [`places`](super::places). Names of any length are hashed; the row behind the key holds
//! the name itself.

use crate::model::id::{DeliveryId, EndpointId, EventId, JobId, RefusedId, WebhookId};
use crate::model::kv::{Bucket, KvKey};
use crate::store::StoreError;
use billhook_event::Time;
use sha2::{Digest, Sha256};

/// The prefixes, one for each kind of row. Those marked *reserved* are not written yet.
#[cfg_attr(not(test), expect(dead_code, reason = "reserved prefixes are named so that nobody takes them"))]
pub(super) mod prefix {
    /// Name: schema version, clean mark, marks of staged pieces.
    pub(crate) const META: u8 = b'm';
    /// Webhook, part: head with a short body, state with the newest run, duplicates.
    pub(crate) const WEBHOOK: u8 = b'w';
    /// Webhook, n: a piece of a body that is too long for its head's row.
    pub(crate) const BODY: u8 = b'b';
    /// Due, webhook: waits for the pipeline.
    pub(crate) const UNDISPATCHED: u8 = b'u';
    /// Hash of source and key: the ledger of what was seen. In the tree its lot stands before the hash.
    pub(crate) const LEDGER: u8 = b'k';
    /// *Reserved*: expiry, hash: the ledger in the order of expiry.
    pub(crate) const EXPIRY: u8 = b'x';
    /// Event.
    pub(crate) const EVENT: u8 = b'e';
    /// Hash of type, event: events of one type.
    pub(crate) const KIND: u8 = b'y';
    /// *Reserved*: entity, event: events of one entity.
    pub(crate) const ENTITY_EVENT: u8 = b'n';
    /// Hash of source and entity: what is remembered of it, and what endpoints have taken of it. In the tree its
    /// lot stands before the hash.
    pub(crate) const ENTITY: u8 = b'o';
    /// *Reserved*: hash of subject, event: the events about one person.
    pub(crate) const SUBJECT: u8 = b's';
    /// Delivery, with its first attempt.
    pub(crate) const DELIVERY: u8 = b'd';
    /// Endpoint, lane, due, delivery: waits to be sent.
    pub(crate) const DUE: u8 = b'i';
    /// *Reserved*: next due, endpoint: endpoints in the order of their work.
    pub(crate) const NEXT_DUE: u8 = b'z';
    /// Delivery, n: an attempt.
    pub(crate) const ATTEMPT: u8 = b't';
    /// State, endpoint, delivery; or state, webhook: the dead letters.
    pub(crate) const LETTER: u8 = b'l';
    /// Hash of bucket, hash of key: what plugins keep; hash of bucket: how full it is; hash of bucket, expiry, hash of
    /// key: what is to be forgotten.
    pub(crate) const KV: u8 = b'j';
    /// Kind, id: documents: gates, rotations, jobs, which jobs go on, and jobs by what their askers called them.
    pub(crate) const DOC: u8 = b'g';
    /// *Reserved*: sequence: changes in the order of commits.
    pub(crate) const FEED: u8 = b'f';
    /// Counters: one row.
    pub(crate) const COUNTERS: u8 = b'c';
    /// Endpoint, hash of source and entity, n: the line of an entity at an endpoint that takes its events in order.
    pub(crate) const LINE: u8 = b'q';
    /// A refused request; its id, n: a piece of its body; hash of source, its id: those of one source.
    pub(crate) const REFUSED: u8 = b'r';
    /// Key, generation, n: pieces of a value that is too long for one row.
    pub(crate) const PIECE: u8 = b'p';

    /// All of them.
    pub(crate) const ALL: [u8; 23] = [
        META,
        WEBHOOK,
        BODY,
        UNDISPATCHED,
        LEDGER,
        EXPIRY,
        EVENT,
        KIND,
        ENTITY_EVENT,
        ENTITY,
        SUBJECT,
        DELIVERY,
        DUE,
        NEXT_DUE,
        ATTEMPT,
        LETTER,
        KV,
        DOC,
        FEED,
        COUNTERS,
        LINE,
        REFUSED,
        PIECE,
    ];
}

/// The parts of a webhook that are rows of their own, because they change at other times than its head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The head: written once.
    Head = 0,
    /// Where it stands. Absent until the first change: then it is undispatched and due since it was received.
    State = 1,
    /// How often it came again.
    Seen = 2,
}

const DEAD: u8 = 1;
const DEAD_WEBHOOK: u8 = 2;
const GATE: u8 = 1;
const JOB: u8 = 2;
const RUNNING_JOB: u8 = 3;
const JOB_KEY: u8 = 4;
const ROTATION: u8 = 5;
const KV_ENTRY: u8 = 1;
const KV_USAGE: u8 = 2;
const KV_EXPIRY: u8 = 3;
const REFUSED_HEAD: u8 = 1;
const REFUSED_BODY: u8 = 2;
const REFUSED_BY: u8 = 3;
const STAGED: &[u8] = b"staged/";

/// The schema's version.
pub(super) const SCHEMA: &[u8] = b"mschema";
/// Present while the store is cleanly closed.
pub(super) const CLEAN: &[u8] = b"mclean";
/// The newest generation of the journal of which the tree has every row.
pub(super) const SETTLED: &[u8] = b"msettled";
/// The counters.
pub(super) const TOTALS: &[u8] = b"ctotals";

fn key(prefix: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + fields.iter().map(|field| field.len()).sum::<usize>());
    key.push(prefix);
    fields.iter().for_each(|field| key.extend_from_slice(field));
    key
}

/// The mark of pieces that are written ahead of what makes them visible: `pieces` is what their keys begin with.
pub(super) fn staged(pieces: &[u8]) -> Vec<u8> {
    key(prefix::META, &[STAGED, pieces])
}

/// What the pieces' keys begin with, from a mark.
pub(super) fn pieces_of_staged(mark: &[u8]) -> &[u8] {
    mark.get(1 + STAGED.len()..).unwrap_or_default()
}

/// A part of a webhook.
pub(super) fn webhook(id: WebhookId, part: Part) -> Vec<u8> {
    key(prefix::WEBHOOK, &[id.bytes(), &[part as u8]])
}

/// What the keys of a body's pieces begin with.
pub(super) fn body(id: WebhookId) -> Vec<u8> {
    key(prefix::BODY, &[id.bytes()])
}

/// What the keys of the pieces of the long value at `of` begin with.
pub(super) fn pieces(of: &[u8], generation: u32) -> Vec<u8> {
    key(prefix::PIECE, &[of, &generation.to_be_bytes()])
}

/// The `n`-th piece of what begins with `pieces`.
pub(super) fn piece(pieces: &[u8], n: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(pieces.len() + 2);
    key.extend_from_slice(pieces);
    key.extend_from_slice(&n.to_be_bytes());
    key
}

/// A webhook that waits for the pipeline.
pub(super) fn undispatched(due: Time, id: WebhookId) -> Vec<u8> {
    key(prefix::UNDISPATCHED, &[&due.millis().to_be_bytes(), id.bytes()])
}

/// A key that was seen.
pub(super) fn ledger(hash: &[u8; 16]) -> Vec<u8> {
    key(prefix::LEDGER, &[hash])
}

/// An event.
pub(super) fn event(id: EventId) -> Vec<u8> {
    key(prefix::EVENT, &[id.bytes()])
}

/// What the keys of the events of one type begin with.
pub(super) fn kind(kind: &str) -> Vec<u8> {
    // With it the keys are as long as sled keeps beside their neighbours; whose type it is says the event.
    key(prefix::KIND, &[&Sha256::digest(kind.as_bytes())[..4]])
}

/// An event in the order of its type.
pub(super) fn kind_event(of: &str, id: EventId) -> Vec<u8> {
    let mut key = kind(of);
    key.extend_from_slice(id.bytes());
    key
}

/// What is remembered of an entity.
pub(super) fn entity(source: &str, entity: &str) -> Vec<u8> {
    entity_of(&entity_hash(source, entity))
}

/// What is remembered of the entity of a [`topic`], or with such a hash.
pub(super) fn entity_of(topic: &[u8; 16]) -> Vec<u8> {
    key(prefix::ENTITY, &[&topic[..12]])
}

/// An entity of a source.
pub(super) fn entity_hash(source: &str, entity: &str) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update((source.len() as u64).to_be_bytes())
        .chain_update(source.as_bytes())
        .chain_update(entity.as_bytes())
        .finalize();
    *hash.first_chunk().expect("a SHA-256 has 32 bytes")
}

/// An entity, the family of a canonical type, and the object of it where an entity may have many: of what one event can
/// be older than another. It begins as the entity does.
pub(super) fn topic(entity: &[u8; 16], kind: &str, object: Option<&str>) -> [u8; 16] {
    let family = kind.split('.').next().unwrap_or_default();
    let mut topic = *entity;
    let hash = Sha256::new().chain_update(family).chain_update([0]).chain_update(object.unwrap_or_default());
    topic[12..].copy_from_slice(&hash.finalize()[..4]);
    topic[15] = topic[15] & !OF_OBJECT | if object.is_some() { OF_OBJECT } else { 0 };
    topic
}

/// The bit in the last byte of a topic that tells whether it is of an object.
pub(super) const OF_OBJECT: u8 = 1;

/// What the keys of all lines of an endpoint begin with.
pub(super) fn lines(endpoint: EndpointId) -> Vec<u8> {
    key(prefix::LINE, &[endpoint.bytes()])
}

/// What the keys of the line of an entity begin with.
pub(super) fn line(endpoint: EndpointId, entity: &[u8; 16]) -> Vec<u8> {
    key(prefix::LINE, &[endpoint.bytes(), entity])
}

/// A place in the line of an entity.
pub(super) fn in_line(endpoint: EndpointId, entity: &[u8; 16], n: u64) -> Vec<u8> {
    key(prefix::LINE, &[endpoint.bytes(), entity, &n.to_be_bytes()])
}

/// Two buckets of one name are two where their plugins differ.
fn bucket_hash(bucket: &Bucket) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update((bucket.plugin.len() as u64).to_be_bytes())
        .chain_update(bucket.plugin.as_bytes())
        .chain_update(bucket.name.as_bytes())
        .finalize();
    hash[..16].try_into().expect("a SHA-256 has 32 bytes")
}

fn kv_hash(key: &KvKey) -> [u8; 16] {
    Sha256::digest(key.key.as_bytes())[..16].try_into().expect("a SHA-256 has 32 bytes")
}

/// What a plugin keeps under a key.
pub(super) fn kv(of: &KvKey) -> Vec<u8> {
    key(prefix::KV, &[&[KV_ENTRY], &bucket_hash(&of.bucket), &kv_hash(of)])
}

/// How full a bucket is.
pub(super) fn kv_usage(bucket: &Bucket) -> Vec<u8> {
    key(prefix::KV, &[&[KV_USAGE], &bucket_hash(bucket)])
}

/// What the keys of the entries of a bucket that are to be forgotten begin with.
pub(super) fn kv_expiring(bucket: &Bucket) -> Vec<u8> {
    key(prefix::KV, &[&[KV_EXPIRY], &bucket_hash(bucket)])
}

/// An entry that is to be forgotten.
pub(super) fn kv_expiry(of: &KvKey, until: Time) -> Vec<u8> {
    let mut key = kv_expiring(&of.bucket);
    key.extend_from_slice(&until.millis().to_be_bytes());
    key.extend_from_slice(&kv_hash(of));
    key
}

/// The entry that a key of [`kv_expiry`] is about.
pub(super) fn kv_expired(expiry: &[u8]) -> Option<Vec<u8>> {
    Some(key(prefix::KV, &[&[KV_ENTRY], expiry.get(2..18)?, expiry.get(26..42)?]))
}

/// A delivery.
pub(super) fn delivery(id: DeliveryId) -> Vec<u8> {
    key(prefix::DELIVERY, &[id.bytes()])
}

/// A delivery that waits to be sent.
pub(super) fn due(endpoint: EndpointId, lane: u8, due: Time, id: DeliveryId) -> Vec<u8> {
    key(prefix::DUE, &[endpoint.bytes(), &[lane], &due.millis().to_be_bytes(), id.bytes()])
}

/// What the keys of all lanes of an endpoint begin with.
pub(super) fn due_at(endpoint: EndpointId) -> Vec<u8> {
    key(prefix::DUE, &[endpoint.bytes()])
}

/// What the keys of one lane of an endpoint begin with.
pub(super) fn due_lane(endpoint: EndpointId, lane: u8) -> Vec<u8> {
    key(prefix::DUE, &[endpoint.bytes(), &[lane]])
}

/// The endpoint, lane and due time in a key of [`due`].
pub(super) fn due_fields(key: &[u8]) -> Option<(EndpointId, u8, Time)> {
    let endpoint = EndpointId(key.get(1..17)?.try_into().ok()?);
    let millis = u64::from_be_bytes(key.get(18..26)?.try_into().ok()?);
    Some((endpoint, *key.get(17)?, Time::from_millis(millis)))
}

/// What the keys of a delivery's attempts begin with.
pub(super) fn attempts(id: DeliveryId) -> Vec<u8> {
    key(prefix::ATTEMPT, &[id.bytes()])
}

/// An attempt.
pub(super) fn attempt(id: DeliveryId, n: u32) -> Vec<u8> {
    key(prefix::ATTEMPT, &[id.bytes(), &n.to_be_bytes()])
}

/// What the keys of the dead deliveries of an endpoint begin with; of all: the id of no endpoint, all zero.
pub(super) fn dead_of(endpoint: Option<EndpointId>) -> Vec<u8> {
    key(prefix::LETTER, &[&[DEAD], &endpoint.map_or([0; 16], |endpoint| endpoint.0)])
}

/// A dead delivery: once among its endpoint's, once among all.
pub(super) fn dead(endpoint: Option<EndpointId>, id: DeliveryId) -> Vec<u8> {
    let mut key = dead_of(endpoint);
    key.extend_from_slice(id.bytes());
    key
}

/// What the keys of the dead webhooks begin with.
pub(super) fn dead_webhooks() -> Vec<u8> {
    key(prefix::LETTER, &[&[DEAD_WEBHOOK]])
}

/// A dead webhook.
pub(super) fn dead_webhook(id: WebhookId) -> Vec<u8> {
    key(prefix::LETTER, &[&[DEAD_WEBHOOK], id.bytes()])
}

/// What the keys of all gates begin with.
pub(super) fn gates() -> Vec<u8> {
    key(prefix::DOC, &[&[GATE]])
}

/// The gate of an endpoint.
pub(super) fn gate(endpoint: EndpointId) -> Vec<u8> {
    key(prefix::DOC, &[&[GATE], endpoint.bytes()])
}

/// What the keys of all rotations begin with.
pub(super) fn rotations() -> Vec<u8> {
    key(prefix::DOC, &[&[ROTATION]])
}

/// The rotated secrets of an endpoint.
pub(super) fn rotation(endpoint: EndpointId) -> Vec<u8> {
    key(prefix::DOC, &[&[ROTATION], endpoint.bytes()])
}

/// What the keys of all jobs begin with.
pub(super) fn all_jobs() -> Vec<u8> {
    key(prefix::DOC, &[&[JOB]])
}

/// A job.
pub(super) fn job(id: JobId) -> Vec<u8> {
    key(prefix::DOC, &[&[JOB], id.bytes()])
}

/// What the keys of the jobs that go on begin with.
pub(super) fn running_jobs() -> Vec<u8> {
    key(prefix::DOC, &[&[RUNNING_JOB]])
}

/// A job that goes on.
pub(super) fn running_job(id: JobId) -> Vec<u8> {
    key(prefix::DOC, &[&[RUNNING_JOB], id.bytes()])
}

/// The job that its asker called so.
pub(super) fn job_key(hash: &[u8; 16]) -> Vec<u8> {
    key(prefix::DOC, &[&[JOB_KEY], hash])
}

/// The least id of a thing whose webhook arrived at `at` or later.
pub(super) fn least_id(at: Time) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
    id
}

/// What the keys of all refused requests begin with.
pub(super) fn all_refused() -> Vec<u8> {
    key(prefix::REFUSED, &[&[REFUSED_HEAD]])
}

/// A refused request.
pub(super) fn refused(id: RefusedId) -> Vec<u8> {
    key(prefix::REFUSED, &[&[REFUSED_HEAD], id.bytes()])
}

/// What the keys of the pieces of its body begin with.
pub(super) fn refused_body(id: RefusedId) -> Vec<u8> {
    key(prefix::REFUSED, &[&[REFUSED_BODY], id.bytes()])
}

/// What the keys of the refused requests of one source begin with.
pub(super) fn refused_by_source(source: &str) -> Vec<u8> {
    key(prefix::REFUSED, &[&[REFUSED_BY], &Sha256::digest(source.as_bytes())[..8]])
}

/// A refused request among those of its source.
pub(super) fn refused_by(source: &str, id: RefusedId) -> Vec<u8> {
    let mut key = refused_by_source(source);
    key.extend_from_slice(id.bytes());
    key
}

/// The id at the end of a key.
pub(super) fn last_id(key: &[u8]) -> Option<[u8; 16]> {
    key.last_chunk().copied()
}

/// When the webhook arrived that a key with an id after its prefix byte is about.
pub(super) fn arrived(key: &[u8]) -> Option<Time> {
    Some(WebhookId(key.get(1..17)?.try_into().ok()?).time())
}

/// The number at the end of a key.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk().copied().map(u64::from_be_bytes)
}

/// The time that follows the prefix byte.
pub(super) fn first_time(key: &[u8]) -> Option<Time> {
    Some(Time::from_millis(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?)))
}

/// What a key that lacks its last bytes is answered with.
pub(super) fn too_short() -> StoreError {
    StoreError::Damaged("a key is too short".into())
}

/// The least key that is greater than every key that begins with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn whk(millis: u64) -> WebhookId {
        WebhookId::new(Time::from_millis(millis), 7)
    }

    #[test]
    fn the_order_of_keys_is_the_order_of_time() {
        let endpoint = EndpointId::derive("app");
        let dlv = |millis| DeliveryId::derive(EventId::derive(whk(millis), 0), endpoint, 0);
        let at = Time::from_millis;
        let pairs = [
            ("w", webhook(whk(255), Part::Seen), webhook(whk(256), Part::Head)),
            ("u", undispatched(at(255), whk(9)), undispatched(at(256), whk(1))),
            ("e", event(EventId::derive(whk(255), 9)), event(EventId::derive(whk(256), 0))),
            (
                "y",
                kind_event("a", EventId::derive(whk(255), 9)),
                kind_event("a", EventId::derive(whk(256), 0)),
            ),
            ("d", delivery(dlv(255)), delivery(dlv(256))),
            ("i", due(endpoint, 0, at(255), dlv(9)), due(endpoint, 0, at(256), dlv(1))),
            ("i, lane first", due(endpoint, 0, at(256), dlv(1)), due(endpoint, 1, at(255), dlv(1))),
            ("t", attempt(dlv(1), 255), attempt(dlv(1), 256)),
            ("q", in_line(endpoint, &[1; 16], 255), in_line(endpoint, &[1; 16], 256)),
            ("l", dead(None, dlv(255)), dead(None, dlv(256))),
            ("r", refused(RefusedId::new(at(255), 9)), refused(RefusedId::new(at(256), 0))),
            (
                "r, of a source",
                refused_by("a", RefusedId::new(at(255), 9)),
                refused_by("a", RefusedId::new(at(256), 0)),
            ),
            ("b", piece(&body(whk(1)), 255), piece(&body(whk(1)), 256)),
        ];
        for (name, early, late) in pairs {
            assert!(early < late, "{name}: {early:?} {late:?}");
        }
    }

    #[test]
    fn the_fields_of_a_key_are_read_back() {
        let endpoint = EndpointId::derive("app");
        let dlv = DeliveryId::derive(EventId::derive(whk(5), 0), endpoint, 0);
        let key = due(endpoint, 1, Time::from_millis(77), dlv);
        assert_eq!(due_fields(&key), Some((endpoint, 1, Time::from_millis(77))));
        assert_eq!(last_id(&key), Some(dlv.0));
        assert_eq!(last_number(&in_line(endpoint, &[1; 16], 77)), Some(77));
        assert_eq!(first_time(&undispatched(Time::from_millis(42), whk(1))), Some(Time::from_millis(42)));
        assert_eq!(arrived(&event(EventId::derive(whk(55), 0))), Some(Time::from_millis(55)));
        assert_eq!(pieces_of_staged(&staged(b"bxyz")), b"bxyz");
    }

    #[test]
    fn the_end_of_a_prefix_carries() {
        assert_eq!(end_of(b"a"), b"b");
        assert_eq!(end_of(&[1, 255, 255]), [2]);
        assert!(end_of(&[1, 2]) > vec![1, 2, 255, 255, 255]);
    }

    #[test]
    fn no_prefix_is_used_twice() {
        assert_eq!(prefix::ALL.iter().collect::<HashSet<_>>().len(), prefix::ALL.len());
    }

    #[test]
    fn entities_of_two_sources_do_not_meet() {
        assert_ne!(entity("ab", "c"), entity("a", "bc"));
        let [ab, a] = [entity_hash("ab", "c"), entity_hash("a", "bc")];
        assert_ne!(topic(&ab, "invoice.paid", None), topic(&a, "invoice.paid", None));
    }

    #[test]
    fn a_topic_is_a_family_and_one_object_of_it() {
        let of = |kind, object| topic(&[7; 16], kind, object);
        assert_eq!(of("invoice.paid", Some("in_1")), of("invoice.voided", Some("in_1")));
        assert_ne!(of("invoice.paid", Some("in_1")), of("invoice.paid", Some("in_2")));
        assert_ne!(of("invoice.paid", Some("in_1")), of("invoice.paid", None));
        assert_ne!(of("invoice.paid", Some("in_1")), of("payment.failed", Some("in_1")));
        assert_ne!(of("invoice.paid", None), of("payment.failed", None));
        assert_eq!(of("invoice.paid", None)[..12], [7; 12]);
        let is_of_object = |topic: [u8; 16]| topic[15] & OF_OBJECT != 0;
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert!(is_of_object(of("invoice.paid", Some(name))) && !is_of_object(of(name, None)));
        }
    }
}
