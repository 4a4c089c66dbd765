//! What it makes of an update against what was before.

use super::{one, v1, v2};
use billhook_plugin::Time;
use serde_json::json;

#[test]
fn another_plan_than_before_is_a_change_of_plan() {
    let cases = [
        (json!({ "id": "s", "planId": "b" }), Some(json!({ "planId": "a" })), "subscription.plan_changed"),
        (
            json!({ "id": "s", "productId": "b" }),
            Some(json!({ "productId": "a" })),
            "subscription.plan_changed",
        ),
        (
            json!({ "id": "s", "planId": "a", "amount": 2 }),
            Some(json!({ "planId": "a", "amount": 1 })),
            "subscription.updated",
        ),
        (json!({ "id": "s" }), Some(json!({ "planId": "a" })), "subscription.updated"),
        (json!({ "id": "s", "planId": "b" }), None, "subscription.updated"),
    ];
    for (payload, previous, expected) in cases {
        assert_eq!(one(&v2("subscription.updated", &payload, previous)).kind, expected, "{payload}");
    }
    assert_eq!(
        one(&v1("subscription:update", &json!({ "id": "s", "planId": "b" }))).kind,
        "subscription.updated"
    );
}

#[test]
fn an_update_that_ends_a_subscription_is_a_cancellation() {
    let status = |status: &str| json!({ "status": status });
    let at_period_end = |flag: bool| json!({ "cancelAtPeriodEnd": flag });
    let cases = [
        (status("canceled"), status("active"), "canceled"),
        (status("CANCELLED"), status("past_due"), "canceled"),
        (status("expired"), status("Trial"), "expired"),
        (status("canceled"), status("canceled"), "updated"),
        (status("expired"), status("canceled"), "updated"),
        (status("canceled"), status("vaporised"), "updated"),
        (status("canceled"), json!({}), "updated"),
        (status("paused"), status("active"), "updated"),
        (at_period_end(true), at_period_end(false), "cancel_scheduled"),
        (at_period_end(false), at_period_end(true), "cancel_unscheduled"),
        (at_period_end(true), at_period_end(true), "updated"),
        (at_period_end(true), json!({}), "updated"),
        (
            json!({ "planId": "b", "status": "canceled" }),
            json!({ "planId": "a", "status": "active" }),
            "canceled",
        ),
        (
            json!({ "cancelAtPeriodEnd": true, "status": "canceled" }),
            json!({ "cancelAtPeriodEnd": false, "status": "active" }),
            "canceled",
        ),
    ];
    for (mut payload, previous, expected) in cases {
        payload["id"] = json!("s");
        payload["updatedAt"] = json!("2026-05-06");
        let draft = one(&v2("subscription.updated", &payload, Some(previous.clone())));
        assert_eq!(draft.kind, format!("subscription.{expected}"), "{previous} {payload}");
        assert_eq!(draft.occurred_at, Time::parse("2026-05-06"), "{payload}");
        let key = format!("subscription.{expected}:s:2026-05-06T00:00:00.000Z");
        assert_eq!(draft.semantic_key, Some(key), "{payload}");
        let before = one(&v1("subscription:update", &payload));
        assert_eq!(before.kind, "subscription.updated", "the first format does not say what was before");
        assert!(before.cancellation.is_none());
    }
}

#[test]
fn an_update_that_revives_an_ended_subscription_activates_it() {
    let cases = [
        ("canceled", "ACTIVE", "activated"),
        ("EXPIRED", "active", "activated"),
        ("cancelled", "trial", "activated"),
        ("expired", "past_due", "activated"),
        ("canceled", "unpaid", "activated"),
        ("canceled", "paused", "activated"),
        ("canceled", "pending", "updated"),
        ("canceled", "scheduled", "updated"),
        ("canceled", "vaporised", "updated"),
        ("canceled", "expired", "updated"),
        ("paused", "active", "updated"),
        ("vaporised", "active", "updated"),
    ];
    for (before, now, expected) in cases {
        // What was taken back or changed with it is not told instead.
        let before = json!({ "status": before, "cancelAtPeriodEnd": expected == "activated", "planId": "a" });
        let plan = if expected == "activated" { "b" } else { "a" };
        let payload = json!({ "id": "s", "status": now, "cancelAtPeriodEnd": false, "planId": plan });
        let draft = one(&v2("subscription.updated", &payload, Some(before.clone())));
        assert_eq!(draft.kind, format!("subscription.{expected}"), "{before} {payload}");
        assert!(draft.cancellation.is_none(), "{before} {payload}");
    }
}

#[test]
fn a_cancellation_says_how_far_it_is_and_when_it_takes_effect() {
    let cancellation = |phase: &str, kind: &str, day: &str, at_period_end: bool| {
        let mut block = json!({
            "kind": kind, "initiator": "unknown", "phase": phase, "effective_at": format!("{day}T00:00:00.000Z"),
            "reason_code": "unspecified", "reason_group": "other",
        });
        if at_period_end {
            block["at_period_end"] = json!(true);
        }
        block
    };
    let cases = [
        ("subscription.canceled", cancellation("effective", "unknown", "2026-05-20", false)),
        ("subscription.expired", cancellation("effective", "unknown", "2026-05-20", false)),
        ("subscription.cancel_scheduled", cancellation("requested", "voluntary", "2026-06-01", true)),
        ("subscription.cancel_unscheduled", json!(null)),
        ("subscription.updated", json!(null)),
    ];
    for (name, expected) in cases {
        let payload = json!({
            "id": "s", "status": "canceled", "cancelAtPeriodEnd": true,
            "currentPeriodEnd": "2026-06-01", "endDate": "2026-05-20",
        });
        let draft = one(&v2(name, &payload, None));
        assert_eq!(json!(draft.cancellation), expected, "{name}");
        let effective_at = if name.ends_with("scheduled") && !expected.is_null() { "2026-06-01" } else { "" };
        assert_eq!(draft.effective_at, Time::parse(effective_at), "{name}");
        assert_eq!(draft.subscription.unwrap().cancel_at_period_end, Some(true));
    }
    let unsaid = one(&v2(
        "subscription.cancel_scheduled",
        &json!({ "id": "s", "currentPeriodEnd": "2026-06-01" }),
        None,
    ));
    let unsaid = unsaid.cancellation.unwrap();
    assert_eq!((unsaid.at_period_end, unsaid.effective_at), (None, None));
}
