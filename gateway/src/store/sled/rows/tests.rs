//! What rows are as bytes.

use super::*;
use crate::model::attempt::{Failure, Outcome};
use crate::model::delivery::DeliveryState;
use crate::model::dispatch::{Compared, Note, Said, Shadowed};
use crate::model::endpoint::{By, Gate, Turned};
use crate::model::id::DeliveryId;
use crate::model::refused::{Presented, RefusedHead};
use crate::model::source::Place;
use crate::model::webhook::WebhookHead;
use crate::store::GateRow;
use billhook_event::{PluginRef, Verified};

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(row: &T) {
    assert_eq!(&decode::<T>("row", &encode(row)).unwrap(), row);
}

fn head(received_at: Time) -> WebhookHead {
    WebhookHead {
        source: "s".into(),
        provider: "p".into(),
        received_at,
        taken_at: Some(received_at),
        path: String::new(),
        query: "a=1".into(),
        headers: vec![("x".into(), vec![0, 255])],
        event_name: None,
        delivery_id: Some("1".into()),
        verified: Verified::Signature,
        sha256: [7; 32],
        body_len: 9,
        remote: Some("::1".parse().unwrap()),
    }
}

fn refused(at: Time, presented: Vec<Presented>) -> RefusedHead {
    RefusedHead {
        at,
        source: "s".into(),
        cause: "c".into(),
        remote: "127.0.0.1".parse().unwrap(),
        path: "/".into(),
        query: String::new(),
        headers: vec![("x".into(), vec![0, 255])],
        presented,
        sha256: [7; 32],
        body_len: 300,
        whole: true,
    }
}

#[test]
fn rows_round_trip_even_at_the_epoch() {
    round_trip(&head(Time::ZERO));
    round_trip(&refused(Time::ZERO, Vec::new()));
    round_trip(&Run::default());
    let id = EventId([1; 16]);
    let entity = Entity { version: 3, last: [("a".to_owned(), (Time::ZERO, id))].into() };
    let newest = NewestRow { at: Time::ZERO, event: id };
    round_trip(&EntityRow { entity, newest: vec![([1; 4], [2; 4], newest)] });
    let wait = Duration::from_secs(30);
    let gate = Gate::Trial { since: Time::ZERO, at: Time::ZERO, wait };
    let turned = Turned { by: By::Operator, why: None, at: Time::ZERO };
    round_trip(&GateRow { gate, version: 2, turned: Some(turned) });
    round_trip(&GateRow { gate: Gate::Disabled, version: 2, turned: None });
    round_trip(&Attempt {
        n: 1,
        at: Time::ZERO,
        took: Duration::from_millis(3),
        outcome: Outcome::Failed(Failure::Connect("refused".into())),
        trial: true,
        webhook_id: "evt_1".into(),
        retry_after: Some(wait),
        answer: vec![1, 2],
    });
}

#[test]
fn the_bytes_of_a_row_stay_as_they_are() {
    let at = Time::from_millis(1_786_363_200_042);
    let first = WebhookId::new(Time::from_secs(5), 0);
    let (event, endpoint) = (EventId([1; 16]), EndpointId([2; 16]));
    let delivery = |state| Delivery {
        id: DeliveryId([3; 16]),
        event,
        endpoint,
        resend: 0,
        created: at,
        attempts: 1,
        step: 1,
        state,
        stale: Some(event),
    };
    let row = |state| DeliveryRow { lane: 1, delivery: delivery(state), first: None, job: None, about: None };
    let attempt = |outcome| Attempt {
        n: 1,
        at,
        took: Duration::from_millis(3),
        outcome,
        trial: true,
        webhook_id: "e".into(),
        retry_after: Some(Duration::from_secs(30)),
        answer: vec![1, 0xff],
    };
    let place = PlaceRow { entity: [4; 16], n: 9 };
    let whole = DeliveryRow {
        first: Some(attempt(Outcome::Delivered { status: 204 })),
        job: Some(JobId([5; 16])),
        about: Some(AboutRow { topic: [6; 16], occurred_at: at, place: Some(place) }),
        ..row(DeliveryState::Delivered { at })
    };
    let gate = |gate| GateRow { gate, version: 2, turned: None };
    let turned = Some(Turned { by: By::Operator, why: Some("w".into()), at });
    let trial = Gate::Trial { since: at, at, wait: Duration::from_secs(30) };
    let state = |state| StateRow { run: 2, state, newest: None, resend: false };
    let due = WebhookState::Undispatched { failures: 1, due: at, last: Some("no".into()) };
    let plugin = PluginRef { name: "p".into(), version: "1".into(), digest: "d".into() };
    let note = Note { plugin: plugin.clone(), event: Some(0), said: Said::Drop("no".into()), took_us: 7 };
    let shadow = Some(Shadowed { plugin, said: Compared::Same });
    let run = Run { now: at, notes: vec![note], shadow, known: Default::default() };
    let known = [("s".to_owned(), [("k".to_owned(), (at, event))].into())].into();
    let events = FirstRunRow { events: 1, at, run: run.clone() };
    let event_row = EventRow {
        webhook: first,
        kind: "k".into(),
        source: "s".into(),
        occurred_at: at,
        entity: Some("e".into()),
        dropped: Some(("f".into(), "w".into())),
        endpoints: vec![endpoint],
        revision: 1,
        run: Some(events),
    };
    let kv = KvRow {
        plugin: "p".into(),
        bucket: "b".into(),
        key: "k".into(),
        version: 300,
        until: Some(at),
        value: Bytes::from_static(b"v"),
    };
    let entity = EntityRow {
        entity: Entity { version: 3, last: [("k".to_owned(), (at, event))].into() },
        newest: vec![([1; 4], [2; 4], NewestRow { at, event })],
    };
    let presented = Presented { place: Place::Header("x".into()), salt: [1; 16], hash: [2; 32] };
    let live = Live { secret: Secret::new("w"), made: Some(at), until: None };
    let rotation = Rotation { salt: [1; 16], configured: [2; 32], secrets: vec![live] };
    let totals = Totals {
        webhooks: 1,
        duplicates: 2,
        undispatched: 3,
        webhooks_dead: 4,
        dead: 300,
        ..Totals::default()
    };
    let rows = [
        (
            "head",
            encode(&head(at)),
            "0101730170aa84addcfe3301aa84addcfe330003613d310101780200ff000101310007070707070707070707070707070707070707\
             0707070707070707070707070709010100000000000000000000000000000001",
        ),
        ("due", encode(&state(due)), "01020001aa84addcfe3301026e6f0000"),
        (
            "dispatched",
            encode(&state(WebhookState::Dispatched { events: 1, at })),
            "01020101aa84addcfe330000",
        ),
        ("dead", encode(&state(WebhookState::Dead { why: "no".into(), at })), "010202026e6faa84addcfe330000"),
        (
            "ledger",
            encode(&LedgerRow::new(first, Time::from_millis(2_597_004_001), &[8; 32])),
            "010000000013880000000000000000000027a0880808",
        ),
        ("seen", encode(&SeenRow { duplicates: 1, conflicts: 2 }), "010102"),
        ("run", encode(&run), "01aa84addcfe3301017001310164010002026e6f07010170013101640000"),
        (
            "known",
            encode(&Run { known, ..Run::default() }),
            "0100000001017301016baa84addcfe3301010101010101010101010101010101",
        ),
        (
            "event",
            encode(&event_row),
            "0100000000138800000000000000000000016b0173aa84addcfe3301016501016601770102020202020202020202\
             020202020202010101aa84addcfe33aa84addcfe3301017001310164010002026e6f07010170013101640000",
        ),
        ("kv", encode(&kv), "0101700162016bac0201aa84addcfe330176"),
        ("usage", encode(&KvUsageRow { keys: 1, bytes: 300 }), "0101ac02"),
        (
            "waiting",
            encode(&row(DeliveryState::Waiting { due: at })),
            "01010303030303030303030303030303030301010101010101010101010101010101020202020202020202020202\
             0202020200aa84addcfe33010100aa84addcfe330101010101010101010101010101010101000000",
        ),
        (
            "skipped",
            encode(&row(DeliveryState::Skipped { at, why: "w".into() })),
            "01010303030303030303030303030303030301010101010101010101010101010101020202020202020202020202\
             0202020200aa84addcfe33010102aa84addcfe3301770101010101010101010101010101010101000000",
        ),
        (
            "dead delivery",
            encode(&row(DeliveryState::Dead { at, why: "w".into() })),
            "01010303030303030303030303030303030301010101010101010101010101010101020202020202020202020202\
             0202020200aa84addcfe33010103aa84addcfe3301770101010101010101010101010101010101000000",
        ),
        (
            "delivered",
            encode(&whole),
            "01010303030303030303030303030303030301010101010101010101010101010101020202020202020202020202\
             0202020200aa84addcfe33010101aa84addcfe3301010101010101010101010101010101010101aa84addcfe3300\
             c08db70100cc01010165011e000201ff010505050505050505050505050505050501060606060606060606060606\
             06060606aa84addcfe33010404040404040404040404040404040409",
        ),
        (
            "attempt",
            encode(&attempt(Outcome::Failed(Failure::Connect("w".into())))),
            "0101aa84addcfe3300c08db70101020177010165011e000201ff",
        ),
        (
            "entity",
            encode(&entity),
            "010301016baa84addcfe3301010101010101010101010101010101010101010102020202aa84addcfe3301010101\
             010101010101010101010101",
        ),
        (
            "refused",
            encode(&refused(at, vec![presented])),
            "01aa84addcfe3301730163007f000001012f000101780200ff01086865616465723a780101010101010101010101\
             01010101010202020202020202020202020202020202020202020202020202020202020202070707070707070707\
             0707070707070707070707070707070707070707070707ac0201",
        ),
        ("open", encode(&gate(Gate::Open)), "01000200"),
        (
            "trial",
            encode(&GateRow { gate: trial, version: 2, turned }),
            "0101aa84addcfe33aa84addcfe331e00020101010177aa84addcfe33",
        ),
        ("paused", encode(&gate(Gate::Paused)), "01020200"),
        ("disabled", encode(&gate(Gate::Disabled)), "01030200"),
        (
            "rotation",
            encode(&RotationDoc::of(&rotation, 2)),
            "01020101010101010101010101010101010102020202020202020202020202020202020202020202020202020202\
             0202020201017701aa84addcfe3300",
        ),
        ("totals", encode(&totals), "0101020304000000ac02"),
        ("cut", encode(&Cut { bytes: 5000, generation: 1 }), "01882701"),
    ];
    for (name, row, bytes) in rows {
        assert_eq!(hex::encode(row), bytes, "{name}");
    }
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
        let bytes: Vec<u8> = std::iter::repeat_with(|| rand::random_range(1..=u8::MAX)).take(len).collect();
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
