//! Bodies that nobody should send.

use crate::objects::{cloud, normalize, object, seed};
use billhook_plugin::{Failure, Normalize, Webhook};
use flexprice::Flexprice;
use serde_json::{Value, json};

#[test]
fn only_a_body_that_is_no_json_object_is_invalid() {
    for (body, why) in [
        ("", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
        ("event_type=x", "the body is not JSON: expected value at line 1 column 1"),
        (r#"{"event_type":"#, "the body is not JSON: EOF while parsing a value at line 1 column 14"),
        ("[]", "the body is an array, not a JSON object"),
        ("null", "the body is null, not a JSON object"),
        ("\"x\"", "the body is a string, not a JSON object"),
    ] {
        assert_eq!(normalize(body).unwrap_err(), Failure::invalid(why), "{body}");
    }
    assert!(matches!(normalize(b"{\"a\":\"\xff\"}"), Err(Failure::Invalid(_))));
}

/// Values of every shape, in the place of any other.
fn odd_values() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("é\u{0}\u{10ffff}".repeat(200)),
        json!("99999999999999999999999999999999999999"),
        json!("9999-12-31T23:59:59.999Z"),
        json!("-1"),
        json!([]),
        json!({}),
        json!({ "id": {}, "currency": "€€€", "metadata": [1] }),
        deep,
    ]
}

/// Calls `found` for the body with each of its values replaced in turn.
fn with_each_replaced(body: &Value, odd: &Value, found: &mut dyn FnMut(&Value)) {
    let mut pointers = vec![String::new()];
    let mut at = 0;
    while let Some(pointer) = pointers.get(at).cloned() {
        if let Some(members) = body.pointer(&pointer).and_then(Value::as_object) {
            pointers.extend(members.keys().map(|key| format!("{pointer}/{key}")));
        }
        at += 1;
    }
    for pointer in &pointers[1..] {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap() = odd.clone();
        found(&body);
    }
}

#[test]
fn an_odd_value_anywhere_gives_a_draft_all_the_same() {
    let names = [
        ("subscription.cancelled", "subscription"),
        ("subscription.updated", "subscription"),
        ("invoice.update.payment", "invoice"),
        ("payment.updated", "payment"),
        ("credit_note.created", "credit_note"),
        ("wallet.alert", "wallet"),
        ("wallet.transaction.updated", "transaction"),
        ("entitlement.grant.exhausted", "entitlement_grant"),
        ("no.such.name", "customer"),
    ];
    let mut bodies = 0;
    for (name, key) in names {
        for body in
            [cloud(name, key, &object(key)), seed(name, key, &object(key)), json!({ key: object(key) })]
        {
            for odd in odd_values() {
                with_each_replaced(&body, &odd, &mut |body| {
                    bodies += 1;
                    let drafts = normalize(body.to_string()).unwrap();
                    assert!(!drafts.is_empty(), "{body}");
                    for draft in drafts {
                        assert!(billhook_plugin::model::kind::is_known(&draft.kind));
                        let json = serde_json::to_string(&draft).unwrap();
                        let _: billhook_plugin::Draft = serde_json::from_str(&json).unwrap();
                    }
                });
            }
        }
    }
    assert!(bodies > 1000, "{bodies}");
}

#[test]
fn a_body_cut_or_bent_at_any_byte_never_panics() {
    let body = cloud("subscription.cancelled", "subscription", &object("subscription")).to_string();
    for at in 0..body.len() {
        assert!(matches!(normalize(&body.as_bytes()[..at]), Err(Failure::Invalid(_))));
        for byte in [b'"', b'{', b'}', b'0', b'\\', 0xff] {
            let mut bent = body.clone().into_bytes();
            bent[at] = byte;
            assert!(matches!(normalize(bent), Ok(_) | Err(Failure::Invalid(_))));
        }
    }
}

#[test]
fn large_metadata_and_many_warnings_are_bounded() {
    let metadata: Value = (0..500)
        .map(|n| (format!("key{n}"), json!("v".repeat(5000))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let draft = &normalize(
        json!({ "event_type": "customer.created", "customer": { "metadata": metadata } }).to_string(),
    )
    .unwrap()[0];
    assert_eq!(draft.metadata.len(), 50);
    assert!(draft.metadata.values().all(|value| value.len() == 1000));
}

#[test]
fn a_name_outside_of_the_body_is_used_where_the_body_has_none() {
    let webhook = Webhook::new("billing", "flexprice")
        .with_event_name("invoice.voided")
        .with_body(r#"{"invoice":{"id":"inv_1"}}"#);
    assert_eq!(Flexprice.normalize(&webhook).unwrap()[0].kind, "invoice.voided");
}
