//! Bodies that nobody should send.

use crate::objects::{cloud, normalize, object, one, seed};
use billhook_plugin::testing::{self, Sample};
use billhook_plugin::{Document, Failure, Normalize, Webhook};
use flexprice::Flexprice;
use proptest::prop_assert_eq;
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

/// Objects of every key in each of the three shapes that a body may have.
fn samples() -> Vec<Sample> {
    let names = [
        ("subscription.cancelled", "subscription"),
        ("subscription.updated", "subscription"),
        ("invoice.update.payment", "invoice"),
        ("payment.updated", "payment"),
        ("credit_note.created", "credit_note"),
        ("wallet.alert", "wallet"),
        ("wallet.transaction.updated", "transaction"),
        ("entitlement.grant.exhausted", "entitlement_grant"),
        ("feature.usage.alert", "feature"),
        ("checkout.session.completed", "checkout_session"),
        ("events.errors", "event"),
        ("fee.created", "fee"),
        ("no.such.name", "customer"),
    ];
    let bodies = names.iter().flat_map(|(name, key)| {
        [cloud(name, key, &object(key)), seed(name, key, &object(key)), json!({ *key: object(key) })]
    });
    let alerts = [
        json!({ "subscription": object("subscription"), "group_id": "group_1", "alert_status": "ok", "current_spend": "1" }),
        json!({ "entitlement_grant_id": "eg_1", "entitlement_id": "ent_1", "subscription_id": "subs_5" }),
    ];
    bodies.chain(alerts).map(Sample::new).collect()
}

#[test]
fn any_body_gives_drafts_or_is_invalid() {
    testing::any_body_gives_drafts_or_is_invalid(&Flexprice, &samples());
}

#[test]
fn whatever_a_json_object_holds_it_gives_a_draft() {
    testing::run(&testing::body(&samples()), |body| {
        let is_object = Document::parse(&body).is_ok_and(|document| document.fields().is_ok());
        let drafts = normalize(&body).map_or(0, |drafts| drafts.len());
        prop_assert_eq!(drafts > 0, is_object, "{}", String::from_utf8_lossy(&body));
        Ok(())
    });
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

#[test]
fn an_object_that_is_not_where_it_should_be_is_missed_with_a_warning() {
    for data in [json!({ "id": "cust_7" }), json!({}), json!({ "object": 7 })] {
        let draft =
            one(&json!({ "webhook_type": "customer.created", "object_type": "customer", "data": data }));
        assert_eq!((draft.kind.as_str(), draft.customer.is_none()), ("customer.created", true), "{data}");
        assert!(draft.warnings[0].starts_with("`data` has no `object`"), "{data}: {:?}", draft.warnings);
    }
}
