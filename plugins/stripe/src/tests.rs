//! What the normalizer makes of bodies.

use crate::catalogue::CATALOGUE;
use crate::{MANIFEST, Stripe};
use billhook_plugin::check;
use billhook_plugin::model::{CancellationKind, Phase};
use billhook_plugin::testing::{self, Sample};
use billhook_plugin::{Draft, Failure, Money, Normalize, Webhook};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const NOW: u64 = 1_780_000_000;
const MONTH: u64 = 30 * 86_400;

fn normalize(body: impl ToString) -> Result<Vec<Draft>, Failure> {
    Stripe.normalize(&Webhook::new("billing", "stripe").with_body(body.to_string()))
}

fn event(name: &str, object: &Value) -> Value {
    json!({
        "id": "evt_1", "object": "event", "api_version": "2025-04-30.basil", "created": NOW, "livemode": false,
        "type": name, "data": { "object": object }, "pending_webhooks": 1, "request": { "id": "req_1" },
    })
}

fn updated(object: &Value, previous: &Value) -> Value {
    let mut body = event("customer.subscription.updated", object);
    body["data"]["previous_attributes"] = previous.clone();
    body
}

fn read(body: &Value) -> Draft {
    normalize(body).unwrap().remove(0)
}

fn kinds(body: &Value) -> Vec<String> {
    normalize(body).unwrap().into_iter().map(|draft| draft.kind).collect()
}

/// `base` with the members of `more` laid over it.
fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("objects") };
    base.extend(more);
    base.into()
}

fn item(price: &str, amount: i64, start: u64) -> Value {
    json!({
        "id": "si_1", "quantity": 2, "current_period_start": start, "current_period_end": start + MONTH,
        "price": {
            "id": price, "currency": "usd", "unit_amount": amount, "nickname": "Team", "product": "prod_1",
            "recurring": { "interval": "year", "interval_count": 1 },
        },
    })
}

fn subscription() -> Value {
    json!({
        "id": "sub_1", "object": "subscription", "customer": "cus_1", "currency": "usd", "status": "active",
        "start_date": NOW - 90 * 86_400, "created": NOW - 90 * 86_400, "cancel_at_period_end": false,
        "items": { "object": "list", "data": [item("price_1", 6000, NOW)] }, "metadata": { "team": "7" },
    })
}

fn invoice() -> Value {
    json!({
        "id": "in_1", "object": "invoice", "number": "A-1", "status": "open", "currency": "usd",
        "billing_reason": "subscription_cycle", "customer": "cus_1", "customer_email": "ada@example.com",
        "customer_address": { "country": "gb" }, "total": 1200, "subtotal": 1000, "amount_due": 1200,
        "amount_paid": 0, "amount_remaining": 1200, "attempt_count": 2, "next_payment_attempt": NOW + 86_400,
        "parent": { "subscription_details": { "subscription": "sub_1" } },
        "lines": { "data": [{ "type": "subscription", "period": { "start": NOW, "end": NOW + MONTH } }] },
        "total_taxes": [{ "amount": 150 }, { "amount": 50 }],
        "status_transitions": { "finalized_at": NOW - 60 }, "hosted_invoice_url": "https://pay.example.com/1",
    })
}

fn charge() -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 1200, "currency": "usd", "customer": "cus_1",
        "payment_intent": "pi_1", "invoice": "in_1", "billing_details": { "email": "ada@example.com" },
        "payment_method_details": { "type": "card", "card": { "brand": "visa", "last4": "4242" } },
    })
}

#[test]
fn every_name_has_its_type_and_fills_the_block_of_its_family() {
    for (name, kind) in CATALOGUE {
        let draft = read(&event(name, &json!({ "id": "x", "amount": 1, "currency": "usd" })));
        assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (*kind, *name));
        let family = kind.split('.').next().unwrap();
        let json = serde_json::to_value(&draft).unwrap();
        assert!(json[family].is_object(), "{name} fills no `{family}`: {json}");
        assert_eq!(draft.warnings, [""; 0], "{name}");
    }
    let draft = read(&event("treasury.credit_reversal.posted", &json!({ "id": "x", "customer": "cus_1" })));
    assert_eq!(draft.kind, "provider.unmapped");
    assert_eq!(draft.customer.unwrap().id.as_deref(), Some("cus_1"));
}

#[test]
fn the_envelope_is_kept() {
    let mut body = event("customer.subscription.paused", &subscription());
    body["account"] = json!("acct_1");
    let draft = read(&body);
    assert_eq!(draft.provider_event_id.as_deref(), Some("evt_1"));
    assert_eq!(draft.provider_account_id.as_deref(), Some("acct_1"));
    assert_eq!(draft.provider_api_version.as_deref(), Some("2025-04-30.basil"));
    assert_eq!((draft.livemode, draft.thin), (Some(false), false));
    assert_eq!(draft.occurred_at.unwrap().secs(), NOW);
    assert_eq!(draft.metadata["team"], "7");
    let thin = json!({ "id": "evt_2", "object": "v2.core.event", "type": "v2.core.account.updated" });
    assert!(read(&thin).thin);
}

#[test]
fn a_subscription_is_read_in_the_shapes_of_old_and_new_versions() {
    let old = json!({
        "id": "sub_1", "customer": "cus_1", "status": "active", "start": NOW - 90 * 86_400, "quantity": 2,
        "current_period_start": NOW, "current_period_end": NOW + MONTH,
        "plan": {
            "id": "price_1", "amount": 6000, "currency": "usd", "interval": "year", "interval_count": 1,
            "nickname": "Team", "product": "prod_1",
        },
    });
    for object in [subscription(), old] {
        let block = read(&event("customer.subscription.resumed", &object)).subscription.unwrap();
        assert_eq!((block.id.as_deref(), block.status.as_deref()), (Some("sub_1"), Some("active")));
        assert_eq!(block.current_period_end.unwrap().secs(), NOW + MONTH, "{object}");
        assert_eq!(block.tenure_days, Some(90));
        let mrr = block.mrr.unwrap();
        assert_eq!((mrr.amount_minor, mrr.currency.as_str()), (1000, "USD"), "two seats at 60.00 a year");
        assert_eq!(block.mrr_source.as_deref(), Some("computed"));
        let plan = block.plan.unwrap();
        assert_eq!((plan.id.as_deref(), plan.name.as_deref()), (Some("price_1"), Some("Team")));
        assert_eq!((plan.product_id.as_deref(), plan.quantity), (Some("prod_1"), Some(2)));
        assert_eq!(plan.unit_amount.unwrap().original, "6000");
    }
}

#[test]
fn usage_brings_no_revenue_and_a_package_is_billed_whole() {
    let priced = |quantity: Value, price: Value, recurring: Value| {
        let mut item = with(item("price_1", 1200, NOW), json!({ "quantity": quantity }));
        item["price"] = with(item["price"].take(), price);
        item["price"]["recurring"] = with(json!({ "interval": "month" }), recurring);
        item
    };
    let seats = || priced(json!(2), json!({}), json!({ "usage_type": "licensed" }));
    let calls = || priced(json!(null), json!({ "id": "calls" }), json!({ "usage_type": "metered" }));
    let tens = |units: u64, round: &str| {
        let package = json!({ "transform_quantity": { "divide_by": 10, "round": round } });
        priced(json!(units), package, json!({ "usage_type": "licensed" }))
    };
    let old = |quantity: u64, more: Value| {
        let plan = json!({ "id": "price_1", "amount": 1200, "currency": "usd", "interval": "month" });
        json!({ "quantity": quantity, "plan": with(plan, more) })
    };
    let cases = [
        (json!([calls(), seats()]), Some(2400), "price_1", Some(2)),
        (json!([calls()]), None, "calls", None),
        (json!([tens(25, "up")]), Some(3600), "price_1", Some(3)),
        (json!([tens(25, "down")]), Some(2400), "price_1", Some(2)),
        (json!([tens(20, "up"), seats()]), Some(4800), "price_1", Some(2)),
        (json!([old(1, json!({ "usage_type": "metered" }))]), None, "price_1", Some(1)),
        (
            json!([old(11, json!({ "transform_usage": { "divide_by": 10, "round": "up" } }))]),
            Some(2400),
            "price_1",
            Some(2),
        ),
        (
            json!([old(11, json!({ "transform_usage": { "divide_by": 0, "round": "up" } }))]),
            Some(13_200),
            "price_1",
            Some(11),
        ),
    ];
    for (items, expected, id, quantity) in cases {
        let object = with(subscription(), json!({ "items": { "data": items } }));
        let block = read(&event("customer.subscription.resumed", &object)).subscription.unwrap();
        assert_eq!(block.mrr.map(|money| money.amount_minor), expected, "{items}");
        assert_eq!(block.mrr_source.is_some(), expected.is_some(), "{items}");
        let plan = block.plan.unwrap();
        assert_eq!((plan.id.as_deref(), plan.quantity), (Some(id), quantity), "{items}");
    }
}

#[test]
fn an_update_is_named_by_what_it_changed() {
    let ending = || with(subscription(), json!({ "cancel_at_period_end": true, "canceled_at": NOW }));
    let dated = || with(subscription(), json!({ "cancel_at": NOW + 86_400 }));
    let at_end = || json!({ "cancel_at_period_end": true, "cancel_at": null });
    let status = |status: &str| with(subscription(), json!({ "status": status }));
    let items = |price: &str, start: u64| json!({ "items": { "data": [item(price, 6000, start)] } });
    let told = || with(ending(), json!({ "cancellation_details": { "feedback": "unused" } }));
    let chosen = || with(ending(), json!({ "cancellation_details": { "feedback_option": "fo_1" } }));
    let cases: Vec<(Value, Value, &[&str])> = vec![
        (subscription(), json!({ "metadata": { "team": "6" } }), &["subscription.updated"]),
        (
            ending(),
            json!({ "cancel_at_period_end": false, "canceled_at": null }),
            &["subscription.cancel_scheduled"],
        ),
        (dated(), json!({ "cancel_at": null }), &["subscription.cancel_scheduled"]),
        (dated(), json!({ "cancel_at": NOW + 5 }), &["subscription.cancel_scheduled"]),
        (dated(), json!({ "cancel_at": NOW + 86_405 }), &["subscription.updated"]),
        (dated(), at_end(), &["subscription.cancel_scheduled"]),
        (with(dated(), json!({ "cancel_at": NOW + MONTH })), at_end(), &["subscription.updated"]),
        (ending(), items("price_1", NOW - 5 * 86_400), &["subscription.cancel_scheduled"]),
        (ending(), items("price_1", NOW), &["subscription.updated"]),
        (dated(), items("price_1", NOW - MONTH), &["subscription.renewed"]),
        (subscription(), json!({ "cancel_at_period_end": true }), &["subscription.cancel_unscheduled"]),
        (subscription(), json!({ "cancel_at": NOW + 5 }), &["subscription.cancel_unscheduled"]),
        (ending(), json!({ "metadata": {} }), &["subscription.updated"]),
        (told(), json!({ "cancellation_details": { "feedback": null } }), &["subscription.cancel_scheduled"]),
        (told(), json!({ "cancellation_details": { "feedback": "unused" } }), &["subscription.updated"]),
        (
            chosen(),
            json!({ "cancellation_details": { "feedback_option": null } }),
            &["subscription.cancel_scheduled"],
        ),
        (
            chosen(),
            json!({ "cancellation_details": { "feedback_option": "fo_1" } }),
            &["subscription.updated"],
        ),
        (
            subscription(),
            json!({ "status": "trialing" }),
            &["subscription.trial_ended", "subscription.activated"],
        ),
        (status("paused"), json!({ "status": "trialing" }), &["subscription.trial_ended"]),
        (subscription(), json!({ "status": "incomplete" }), &["subscription.activated"]),
        (subscription(), json!({ "status": "past_due" }), &["subscription.updated"]),
        (status("past_due"), json!({ "status": "active" }), &["subscription.past_due"]),
        (
            status("past_due"),
            json!({ "status": "trialing" }),
            &["subscription.trial_ended", "subscription.past_due"],
        ),
        (status("incomplete_expired"), json!({ "status": "incomplete" }), &["subscription.expired"]),
        (status("unpaid"), json!({ "status": "past_due" }), &["subscription.updated"]),
        (subscription(), items("price_1", NOW - MONTH), &["subscription.renewed"]),
        (
            subscription(),
            with(json!({ "status": "trialing" }), items("price_1", NOW - MONTH)),
            &["subscription.trial_ended", "subscription.activated"],
        ),
        (
            subscription(),
            with(json!({ "status": "paused" }), items("price_1", NOW - 3 * MONTH)),
            &["subscription.updated"],
        ),
        (
            subscription(),
            json!({ "items": { "data": [with(item("price_0", 6000, NOW - MONTH), json!({ "id": "si_0" }))] } }),
            &["subscription.renewed", "subscription.plan_changed"],
        ),
        (subscription(), items("price_0", NOW), &["subscription.plan_changed"]),
        (subscription(), items("price_0", NOW - 86_400), &["subscription.plan_changed"]),
        (subscription(), json!({ "plan": { "id": "price_1" } }), &["subscription.updated"]),
        (
            subscription(),
            items("price_0", NOW - MONTH),
            &["subscription.renewed", "subscription.plan_changed"],
        ),
        (
            subscription(),
            json!({ "current_period_start": NOW - MONTH, "current_period_end": NOW }),
            &["subscription.renewed"],
        ),
    ];
    for (object, previous, expected) in cases {
        let body = updated(&object, &previous);
        assert_eq!(kinds(&body), *expected, "{previous}");
        assert_eq!(read(&body).previous.unwrap().get(), previous.to_string());
    }
}

#[test]
fn a_renewal_of_one_item_of_several_is_one_in_any_order() {
    let yearly = |start: u64| {
        let own = json!({ "id": "si_2", "current_period_end": start + 365 * 86_400 });
        with(item("price_2", 60_000, start), own)
    };
    let (monthly, before) = (item("price_1", 6000, NOW), NOW - MONTH);
    let cases = [
        // That of the month, that of the year, and both at once.
        (
            monthly.clone(),
            yearly(NOW - 60 * 86_400),
            item("price_1", 6000, before),
            yearly(NOW - 60 * 86_400),
        ),
        (
            item("price_1", 6000, NOW - 86_400),
            yearly(NOW),
            item("price_1", 6000, NOW - 86_400),
            yearly(NOW - 365 * 86_400),
        ),
        (monthly.clone(), yearly(NOW), item("price_1", 6000, before), yearly(NOW - 365 * 86_400)),
    ];
    for (month, year, month_before, year_before) in cases {
        let lists = [
            (json!([month, year]), json!([month_before, year_before])),
            (json!([year, month]), json!([year_before, month_before])),
        ];
        for (items, before) in lists {
            let object = with(subscription(), json!({ "items": { "data": items } }));
            let body = updated(&object, &json!({ "items": { "data": before } }));
            assert_eq!(kinds(&body), ["subscription.renewed"], "{body}");
            let draft = read(&body);
            let key = format!("subscription.renewed:sub_1:{}", draft.occurred_at.unwrap().date());
            assert_eq!(draft.semantic_key, Some(key), "{body}");
            let block = draft.subscription.unwrap();
            let told = [block.current_period_start, block.current_period_end].map(|at| at.unwrap().secs());
            assert_eq!(json!(told), json!([month["current_period_start"], month["current_period_end"]]));
        }
    }
    let more = with(subscription(), json!({ "items": { "data": [monthly, yearly(NOW - 5)] } }));
    let body = updated(&more, &json!({ "items": { "data": [monthly] } }));
    assert_eq!(kinds(&body), ["subscription.plan_changed"], "an item that is new");
}

#[test]
fn what_may_begin_and_end_again_has_a_key_for_each_day() {
    let cases = [
        ("trialing", "active", &["subscription.trial_ended", "subscription.activated"][..]),
        ("incomplete", "active", &["subscription.activated"]),
        ("incomplete", "trialing", &["subscription.trial_started"]),
    ];
    for (before, after, expected) in cases {
        for (at, day) in [(NOW, "2026-05-28"), (NOW + 2 * MONTH, "2026-07-27")] {
            let object = with(subscription(), json!({ "status": after }));
            let body = with(updated(&object, &json!({ "status": before })), json!({ "created": at }));
            let keys: Vec<_> =
                normalize(body).unwrap().into_iter().filter_map(|draft| draft.semantic_key).collect();
            let expected: Vec<_> = expected.iter().map(|kind| format!("{kind}:sub_1:{day}")).collect();
            assert_eq!(keys, expected, "{before} {after}");
        }
    }
    let created = read(&event("customer.subscription.created", &subscription()));
    assert_eq!(created.semantic_key.as_deref(), Some("subscription.created:sub_1"));
}

#[test]
fn a_payment_method_that_is_detached_tells_whose_it_was() {
    let details = json!({ "email": "ada@example.com" });
    for (name, customer, expected) in [
        ("payment_method.detached", json!(null), Some("cus_1")),
        ("payment_method.attached", json!("cus_2"), Some("cus_2")),
    ] {
        let object =
            json!({ "id": "pm_1", "type": "card", "customer": customer, "billing_details": details });
        let mut body = event(name, &object);
        body["data"]["previous_attributes"] = json!({ "customer": "cus_1" });
        let told = read(&body).customer.unwrap();
        assert_eq!(
            (told.id.as_deref(), told.email.as_deref()),
            (expected, Some("ada@example.com")),
            "{name}"
        );
    }
}

#[test]
fn a_pending_update_is_told_by_the_update_itself() {
    let mut body = updated(&subscription(), &json!({ "items": { "data": [item("price_0", 6000, NOW)] } }));
    assert_eq!(kinds(&body), ["subscription.plan_changed"]);
    body["type"] = json!("customer.subscription.pending_update_applied");
    assert_eq!(kinds(&body), ["subscription.updated"]);
}

#[test]
fn a_new_subscription_tells_how_it_begins() {
    for (status, second) in [
        ("trialing", Some("subscription.trial_started")),
        ("active", Some("subscription.activated")),
        ("incomplete", None),
    ] {
        let object = with(subscription(), json!({ "status": status }));
        let expected: Vec<_> = [Some("subscription.created"), second].into_iter().flatten().collect();
        assert_eq!(kinds(&event("customer.subscription.created", &object)), expected);
    }
}

#[test]
fn reasons_of_a_cancellation_become_canonical() {
    let cases = [
        (json!(null), "unknown unknown unspecified other", None),
        (
            json!({ "reason": "cancellation_requested" }),
            "voluntary unknown unspecified other",
            Some("reason"),
        ),
        (
            json!({ "reason": "cancellation_requested", "feedback": "too_expensive", "comment": "Too dear" }),
            "voluntary customer too_expensive price",
            Some("feedback"),
        ),
        (
            json!({ "feedback": "switched_service" }),
            "voluntary customer switched_service competitor",
            Some("feedback"),
        ),
        (
            json!({ "feedback": "missing_features" }),
            "voluntary customer missing_features product",
            Some("feedback"),
        ),
        (json!({ "feedback": "bored" }), "voluntary customer other other", Some("feedback")),
        (
            json!({ "reason": "cancellation_requested", "feedback_option": "fo_1" }),
            "voluntary customer other other",
            Some("feedback_option"),
        ),
        (
            json!({ "feedback": "too_expensive", "feedback_option": "fo_1" }),
            "voluntary customer too_expensive price",
            Some("feedback"),
        ),
        (
            json!({ "feedback": "other", "feedback_option": "fo_1", "comment": "Too dear" }),
            "voluntary customer other other",
            Some("feedback_option"),
        ),
        (json!({ "feedback": "other" }), "voluntary customer other other", Some("feedback")),
        (
            json!({ "reason": "payment_failed", "feedback_option": "fo_1" }),
            "involuntary system payment_failed involuntary",
            Some("reason"),
        ),
        (
            json!({ "reason": "payment_failed" }),
            "involuntary system payment_failed involuntary",
            Some("reason"),
        ),
        (
            json!({ "reason": "payment_failed", "feedback": "unused" }),
            "involuntary system payment_failed involuntary",
            Some("reason"),
        ),
        (json!({ "reason": "payment_disputed" }), "involuntary bank dispute involuntary", Some("reason")),
        (
            json!({ "reason": "canceled_by_retention_policy" }),
            "voluntary merchant retention_policy merchant",
            Some("reason"),
        ),
    ];
    for (details, expected, field) in cases {
        let over = json!({
            "status": "canceled", "canceled_at": NOW - 10, "ended_at": NOW, "cancellation_details": details,
        });
        let draft = read(&event("customer.subscription.deleted", &with(subscription(), over)));
        let cancellation = serde_json::to_value(draft.cancellation.unwrap()).unwrap();
        let told = ["kind", "initiator", "reason_code", "reason_group"]
            .map(|field| cancellation[field].as_str().unwrap());
        assert_eq!(told.join(" "), expected, "{details}");
        let field_of = field.map(|field| format!("cancellation_details.{field}"));
        assert_eq!(cancellation["provider_reason_field"].as_str(), field_of.as_deref(), "{details}");
        let of_provider = field.map_or(&Value::Null, |field| &details[field]);
        assert_eq!(&cancellation["provider_reason"], of_provider, "{details}");
        assert_eq!(cancellation["comment"], details["comment"]);
        assert_eq!(cancellation["phase"], "effective");
        let unknown = details["feedback"] == "bored";
        assert_eq!(draft.warnings.len(), usize::from(unknown), "{:?}", draft.warnings);
    }
}

#[test]
fn a_decision_says_when_access_ends() {
    let over = json!({ "cancel_at_period_end": true, "canceled_at": NOW });
    let body = updated(&with(subscription(), over), &json!({ "cancel_at_period_end": false }));
    let draft = read(&body);
    assert_eq!(draft.effective_at.unwrap().secs(), NOW + MONTH);
    let cancellation = draft.cancellation.unwrap();
    assert_eq!(cancellation.effective_at, draft.effective_at);
    assert_eq!((cancellation.at_period_end, cancellation.requested_at.unwrap().secs()), (Some(true), NOW));
    assert_eq!(draft.semantic_key.as_deref(), Some("subscription.cancel_scheduled:sub_1:2026-06-27"));
    let moved = with(subscription(), json!({ "cancel_at": NOW + 86_400, "canceled_at": NOW }));
    let draft = read(&updated(&moved, &json!({ "cancel_at_period_end": true, "cancel_at": NOW + MONTH })));
    assert_eq!(draft.effective_at.unwrap().secs(), NOW + 86_400);
    assert!(draft.semantic_key.unwrap().starts_with("subscription.cancel_scheduled:sub_1:2026-05-29:"));
}

#[test]
fn an_end_that_is_moved_back_has_another_key_than_the_first_plan() {
    let (first, second) = (NOW + MONTH, NOW + 86_400);
    let told = [
        (NOW, json!(null), first),
        (NOW + 60, json!(first), second),
        (NOW + 120, json!(second), first),
        (NOW + 180, json!(first), second),
    ];
    let key = |created: u64, before: &Value, end: u64| {
        let object = with(subscription(), json!({ "cancel_at": end, "canceled_at": NOW }));
        let body = with(updated(&object, &json!({ "cancel_at": before })), json!({ "created": created }));
        assert_eq!(kinds(&body), ["subscription.cancel_scheduled"]);
        read(&body).semantic_key.unwrap()
    };
    let keys: Vec<_> = told.iter().map(|(created, before, end)| key(*created, before, *end)).collect();
    assert_eq!(keys[0], "subscription.cancel_scheduled:sub_1:2026-06-27");
    assert_eq!(keys[2], "subscription.cancel_scheduled:sub_1:2026-06-27:2026-05-28T20:28:40.000Z");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), told.len(), "{keys:?}");
    let reason = json!({ "cancel_at": first, "cancellation_details": { "feedback": "unused" } });
    let body =
        updated(&with(subscription(), reason), &json!({ "cancellation_details": { "feedback": null } }));
    assert_eq!(read(&body).semantic_key.as_ref(), Some(&keys[0]), "a reason is of the same decision");
}

#[test]
fn a_reason_that_comes_after_the_end_is_an_update_with_the_reason_in_it() {
    let of_portal = json!({ "cancel_at_period_end": true, "cancel_at": NOW });
    let cases = [
        (json!({ "status": "canceled" }), json!({})),
        (json!({ "status": "canceled", "ended_at": NOW }), of_portal.clone()),
        (json!({ "ended_at": NOW }), of_portal.clone()),
        (json!({ "status": "incomplete_expired" }), of_portal),
    ];
    for (state, plan) in cases {
        let details =
            json!({ "cancellation_details": { "feedback": "too_expensive", "comment": "Too dear" } });
        let object = with(with(subscription(), with(state.clone(), plan.clone())), details);
        for taken_back in [json!({}), json!({ "cancel_at": NOW - 5 })] {
            let previous = json!({ "cancellation_details": { "feedback": null, "comment": null } });
            let body = updated(&object, &with(previous, taken_back));
            assert_eq!(kinds(&body), ["subscription.updated"], "{state} {plan}");
            let draft = read(&body);
            let cancellation = draft.cancellation.unwrap();
            assert_eq!(cancellation.phase, Phase::Effective, "{state} {plan}");
            assert_eq!(cancellation.reason_code.as_deref(), Some("too_expensive"), "{state} {plan}");
            assert_eq!((draft.effective_at, draft.semantic_key), (None, None), "{state} {plan}");
        }
    }
    assert_eq!(read(&updated(&subscription(), &json!({ "metadata": {} }))).cancellation, None);
}

#[test]
fn an_end_that_is_told_as_a_date_may_be_that_of_a_period() {
    let end = NOW + MONTH;
    let yearly = with(item("price_2", 6000, NOW), json!({ "id": "si_2", "current_period_end": end + MONTH }));
    let items = json!({ "items": { "data": [item("price_1", 6000, NOW), yearly] } });
    let old = json!({ "items": null, "current_period_end": end });
    let cases = [
        (items.clone(), json!({ "cancel_at_period_end": false, "cancel_at": end + MONTH }), Some(true)),
        (items.clone(), json!({ "cancel_at_period_end": false, "cancel_at": end }), Some(true)),
        (items.clone(), json!({ "cancel_at_period_end": false, "cancel_at": end + 5 }), Some(false)),
        (items.clone(), json!({ "cancel_at_period_end": true, "cancel_at": null }), Some(true)),
        (items.clone(), json!({ "cancel_at_period_end": false, "cancel_at": null }), Some(false)),
        (items, json!({ "cancel_at_period_end": null, "cancel_at": null }), None),
        (old.clone(), json!({ "cancel_at_period_end": false, "cancel_at": end }), Some(true)),
        (old, json!({ "cancel_at_period_end": false, "cancel_at": end - 5 }), Some(false)),
    ];
    for (periods, plan, expected) in cases {
        let object = with(with(subscription(), periods), plan.clone());
        let draft = read(&event("customer.subscription.deleted", &object));
        assert_eq!(draft.subscription.unwrap().cancel_at_period_end, expected, "{plan}");
        assert_eq!(draft.cancellation.unwrap().at_period_end, expected, "{plan}");
    }
}

#[test]
fn a_thin_event_tells_its_type_and_the_id_of_its_object() {
    let thin = |name: &str| {
        json!({
            "id": "evt_1", "object": "v2.core.event", "type": format!("v1.{name}"), "livemode": true,
            "created": "2026-11-01T10:00:00.000Z", "context": "acct_1", "reason": null,
            "related_object": { "id": "x", "type": "card", "url": "/v1/things/x" },
        })
    };
    for (name, kind) in CATALOGUE {
        // Which of two it is only the object tells.
        let expected = match *name {
            "charge.succeeded" | "charge.refunded" | "charge.refund.updated" | "refund.updated" => {
                "provider.unmapped"
            }
            "invoice.payment_succeeded" => "invoice.paid",
            _ => kind,
        };
        let draft = read(&thin(name));
        assert_eq!((draft.kind.as_str(), draft.thin), (expected, true), "{name}");
        assert_eq!(draft.provider_event_type, format!("v1.{name}"));
        assert_eq!(draft.provider_account_id.as_deref(), Some("acct_1"), "{name}");
        assert_eq!(draft.warnings, [""; 0], "{name}");
        let json = serde_json::to_value(&draft).unwrap();
        let blocks: Vec<_> = json.as_object().unwrap().values().filter(|value| value.is_object()).collect();
        let is_named = !["invoice_payment", "entitlements.active_entitlement_summary"]
            .contains(&name.rsplit_once('.').unwrap().0);
        assert_eq!(blocks.contains(&&json!({ "id": "x" })), is_named, "{name}: {json}");
        let others = blocks.iter().filter(|block| ***block != json!({ "id": "x" })).count();
        assert_eq!(others, usize::from(expected == "subscription.canceled"), "{name}: {json}");
    }
    let ended = read(&thin("customer.subscription.deleted"));
    assert_eq!(ended.semantic_key.as_deref(), Some("subscription.canceled:x"));
    assert_eq!(ended.occurred_at.unwrap().to_string(), "2026-11-01T10:00:00.000Z");
    assert_eq!(ended.subscription.unwrap().id.as_deref(), Some("x"));
    let cancellation = ended.cancellation.unwrap();
    assert_eq!((cancellation.kind, cancellation.phase), (CancellationKind::Unknown, Phase::Effective));
    let attempt = read(&thin("invoice.payment_failed"));
    assert_eq!((attempt.invoice.unwrap().id.as_deref(), attempt.semantic_key), (Some("x"), None));
}

#[test]
fn the_revenue_of_some_of_the_items_is_not_told_as_that_of_all() {
    let cases =
        [(25, false, Some(25_000)), (100, false, Some(100_000)), (101, false, None), (10, true, None)];
    for (count, has_more, expected) in cases {
        let items: Vec<_> = (0..count).map(|_| item("price_1", 6000, NOW)).collect();
        let list = json!({ "items": { "object": "list", "data": items, "has_more": has_more } });
        let draft = read(&event("customer.subscription.resumed", &with(subscription(), list)));
        let block = draft.subscription.unwrap();
        assert_eq!(block.mrr.map(|money| money.amount_minor), expected, "{count} {has_more}");
        assert_eq!(block.mrr_source.is_some(), expected.is_some(), "{count} {has_more}");
        assert_eq!(draft.warnings.len(), usize::from(expected.is_none()), "{:?}", draft.warnings);
    }
}

#[test]
fn what_is_hidden_has_all_secrets_and_nothing_that_is_read() {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let pointers = manifest["provider"][0]["secret_pointers"].as_array().unwrap();
    let link = "https://hooks.stripe.com/a/src_1?client_secret=src_1_secret_2";
    let source = json!({
        "id": "src_1", "object": "source", "client_secret": "src_1_secret_2", "redirect": { "url": link },
    });
    let intent =
        |id: &str| json!({ "id": id, "client_secret": "pi_1_secret_2", "amount": 1200, "currency": "usd" });
    let action = |kind: &str, more: Value| json!({ "next_action": { "type": kind, kind: more } });
    let error = json!({
        "code": "card_declined", "decline_code": "expired_card", "charge": "ch_1", "message": "No.",
        "source": source, "payment_method": { "type": "card", "card": { "brand": "visa", "last4": "4242" } },
    });
    let cases = [
        ("payment_intent.created", intent("pi_1")),
        (
            "payment_intent.requires_action",
            with(intent("pi_1"), action("redirect_to_url", json!({ "url": link }))),
        ),
        (
            "payment_intent.requires_action",
            with(intent("pi_1"), action("alipay_handle_redirect", json!({ "url": link }))),
        ),
        ("payment_intent.payment_failed", with(intent("pi_1"), json!({ "last_payment_error": error }))),
        (
            "setup_intent.setup_failed",
            with(intent("seti_1"), json!({ "last_setup_error": { "setup_intent": intent("seti_1") } })),
        ),
        ("charge.succeeded", with(charge(), json!({ "source": source }))),
        ("charge.succeeded", with(charge(), json!({ "source": "src_1", "next_action": null }))),
        ("source.chargeable", source.clone()),
        (
            "invoice.payment_action_required",
            with(
                invoice(),
                json!({ "confirmation_secret": { "client_secret": "pi_1_secret_2", "type": "payment_intent" } }),
            ),
        ),
        ("invoice.paid", with(invoice(), json!({ "payment_intent": "pi_1" }))),
    ];
    for (name, object) in cases {
        let body = event(name, &object);
        let mut stored = body.clone();
        for pointer in pointers {
            if let Some(secret) = stored.pointer_mut(pointer.as_str().unwrap()) {
                *secret = json!("***");
            }
        }
        assert!(!stored.to_string().contains("_secret_2"), "{name}: {stored}");
        let drafts = |body: &Value| serde_json::to_value(normalize(body).unwrap()).unwrap();
        assert_eq!(drafts(&stored), drafts(&body), "{name}");
    }
}

#[test]
fn a_payment_of_an_invoice_is_named_by_its_intent_its_charge_or_its_record() {
    let cases = [
        (json!({ "type": "payment_intent", "payment_intent": "pi_1" }), Some("pi_1"), None),
        (json!({ "type": "payment_intent", "payment_intent": { "id": "pi_1" } }), Some("pi_1"), None),
        (json!({ "type": "charge", "charge": "ch_1" }), Some("ch_1"), None),
        (json!({ "type": "payment_record", "payment_record": "pr_1" }), Some("pr_1"), Some("out_of_band")),
        (json!({ "payment_record": { "id": "pr_1" } }), Some("pr_1"), Some("out_of_band")),
        (json!({ "type": "payment_record" }), None, None),
    ];
    for (paid, id, method) in cases {
        let object = json!({
            "id": "inpay_1", "amount_paid": 1200, "currency": "usd", "invoice": "in_1", "payment": paid,
        });
        let draft = read(&event("invoice_payment.paid", &object));
        let payment = draft.payment.unwrap();
        assert_eq!((payment.id.as_deref(), payment.method.as_deref()), (id, method), "{paid}");
        assert_eq!(payment.amount.unwrap().amount_minor, 1200, "{paid}");
        let key = format!("payment.succeeded:{}", id.unwrap_or("inpay_1"));
        assert_eq!((draft.kind.as_str(), draft.semantic_key), ("payment.succeeded", Some(key)), "{paid}");
        assert_eq!(draft.warnings, [""; 0], "{paid}");
    }
}

#[test]
fn a_payment_that_a_checkout_waited_for_has_the_key_of_its_intent_or_invoice() {
    let session = json!({
        "id": "cs_1", "object": "checkout.session", "amount_total": 1200, "currency": "usd", "mode": "payment",
        "customer": "cus_1", "payment_status": "paid", "status": "complete",
    });
    let cases = [
        (json!({ "payment_intent": "pi_1", "invoice": null }), Some("pi_1"), "payment.succeeded:pi_1"),
        (json!({ "payment_intent": "pi_1", "invoice": "in_1" }), Some("pi_1"), "payment.succeeded:pi_1"),
        (
            json!({ "payment_intent": null, "invoice": "in_1", "subscription": "sub_1" }),
            None,
            "payment.succeeded:in_1",
        ),
        (json!({}), None, "payment.succeeded:cs_1"),
    ];
    for (paid, id, key) in cases {
        let object = with(session.clone(), paid.clone());
        let draft = read(&event("checkout.session.async_payment_succeeded", &object));
        assert_eq!((draft.kind.as_str(), draft.semantic_key.as_deref()), ("payment.succeeded", Some(key)));
        let payment = draft.payment.unwrap();
        assert_eq!((payment.id.as_deref(), payment.status.as_deref()), (id, Some("succeeded")), "{paid}");
        assert_eq!(payment.amount.unwrap().amount_minor, 1200, "{paid}");
        assert_eq!(draft.checkout.unwrap().id.as_deref(), Some("cs_1"), "{paid}");
        assert_eq!(draft.customer.unwrap().id.as_deref(), Some("cus_1"), "{paid}");
        let named = draft.invoice.and_then(|invoice| invoice.id);
        assert_eq!(named.as_deref(), paid["invoice"].as_str(), "{paid}");
    }
    let completed = read(&event("checkout.session.completed", &session));
    assert_eq!(completed.payment, None);
}

#[test]
fn a_failed_invoice_tells_the_attempt_and_the_next_one() {
    let draft = read(&event("invoice.payment_failed", &invoice()));
    let payment = draft.payment.unwrap();
    assert_eq!((payment.status.as_deref(), payment.attempt_count), (Some("failed"), Some(2)));
    assert_eq!(payment.next_attempt_at.unwrap().secs(), NOW + 86_400);
    assert_eq!(payment.amount.unwrap().amount_minor, 1200);
    let invoice = draft.invoice.unwrap();
    assert_eq!((invoice.id.as_deref(), invoice.tax.unwrap().amount_minor), (Some("in_1"), 200));
    assert_eq!(draft.subscription.unwrap().id.as_deref(), Some("sub_1"));
    let customer = draft.customer.unwrap();
    assert_eq!(
        (customer.email.as_deref(), customer.country.as_deref()),
        (Some("ada@example.com"), Some("GB"))
    );
    assert_eq!(draft.semantic_key.as_deref(), Some("payment.failed:in_1:2"));
}

#[test]
fn the_period_of_an_invoice_is_that_which_its_lines_bill() {
    let line =
        |start: u64, kind: Value| with(json!({ "period": { "start": start, "end": start + MONTH } }), kind);
    let old = |kind: &str, proration: bool| json!({ "type": kind, "proration": proration });
    let new =
        |kind: &str, proration: bool| json!({ "parent": { "type": kind, kind: { "proration": proration } } });
    let cases = [
        (json!([line(NOW, old("subscription", false))]), NOW),
        (json!([line(NOW, new("subscription_item_details", false))]), NOW),
        (json!([line(5, old("invoiceitem", true)), line(NOW, old("subscription", false))]), NOW),
        (
            json!([
                line(5, new("invoice_item_details", false)),
                line(6, new("subscription_item_details", true)),
                line(NOW, new("subscription_item_details", false)),
            ]),
            NOW,
        ),
        (json!([line(NOW, old("invoiceitem", true))]), NOW),
        (json!([line(NOW, new("invoice_item_details", true))]), NOW),
        (json!([line(5, old("invoiceitem", false))]), NOW - MONTH),
        (json!([]), NOW - MONTH),
        (json!(["subscription", { "type": "subscription" }]), NOW - MONTH),
    ];
    for (lines, start) in cases {
        let own = json!({ "period_start": NOW - MONTH, "period_end": NOW, "lines": { "data": lines } });
        let invoice = read(&event("invoice.finalized", &with(invoice(), own))).invoice.unwrap();
        let told = (invoice.period_start.unwrap().secs(), invoice.period_end.unwrap().secs());
        assert_eq!(told, (start, start + MONTH), "{lines}");
    }
}

#[test]
fn causes_of_failures_become_canonical() {
    let cases = [
        ("card_declined", Some("generic_decline"), "card_declined"),
        ("card_declined", Some("do_not_honor"), "card_declined"),
        ("card_declined", Some("insufficient_funds"), "insufficient_funds"),
        ("card_declined", Some("stolen_card"), "blocked_card"),
        ("card_declined", Some("fraudulent"), "fraud_suspected"),
        ("card_declined", Some("issuer_not_available"), "issuer_unavailable"),
        ("card_declined", None, "card_declined"),
        ("expired_card", None, "expired_card"),
        ("processing_error", None, "processor_error"),
        ("authentication_required", Some("authentication_not_handled"), "authentication_required"),
        ("incorrect_cvc", Some("incorrect_cvc"), "invalid_payment_details"),
        ("setup_went_wrong", None, "other"),
    ];
    for (code, reason, expected) in cases {
        let of_charge =
            json!({ "failure_code": code, "outcome": { "reason": reason }, "failure_message": "No." });
        let error = json!({
            "code": code, "decline_code": reason, "message": "No.", "charge": "ch_1",
            "payment_method": { "type": "card", "card": { "brand": "visa", "last4": "4242" } },
        });
        let intent = json!({ "id": "pi_1", "amount": 1200, "currency": "usd", "last_payment_error": error });
        for body in [
            event("charge.failed", &with(charge(), of_charge)),
            event("payment_intent.payment_failed", &intent),
        ] {
            let draft = read(&body);
            let payment = draft.payment.unwrap();
            let failure = payment.failure.unwrap();
            assert_eq!(failure.code.as_deref(), Some(expected), "{body}");
            assert_eq!(
                (failure.provider_code.as_deref(), failure.provider_reason.as_deref()),
                (Some(code), reason)
            );
            assert_eq!(failure.message.as_deref(), Some("No."));
            assert_eq!((payment.id.as_deref(), payment.card_last4.as_deref()), (Some("pi_1"), Some("4242")));
            assert_eq!(draft.semantic_key.as_deref(), Some("payment.failed:ch_1"), "one attempt, told twice");
        }
    }
}

#[test]
fn one_payment_has_one_key_in_all_the_events_that_tell_it() {
    let old =
        json!({ "status": "paid", "amount_paid": 1200, "payment_intent": "pi_1", "subscription": "sub_1" });
    let new = json!({
        "status": "paid", "amount_paid": 1200,
        "payments": { "data": [{ "payment": { "payment_intent": "pi_1" } }] },
    });
    let join = json!({ "id": "inpay_1", "invoice": "in_1", "payment": { "payment_intent": "pi_1" } });
    for body in [
        event("invoice.payment_succeeded", &with(invoice(), old.clone())),
        event("invoice.payment_succeeded", &with(invoice(), new)),
        event("invoice.paid", &with(invoice(), old)),
        event("charge.succeeded", &charge()),
        event("payment_intent.succeeded", &json!({ "id": "pi_1" })),
        event("invoice_payment.paid", &join),
    ] {
        assert_eq!(read(&body).semantic_key.as_deref(), Some("payment.succeeded:pi_1"), "{body}");
    }
    let unnamed = with(invoice(), json!({ "status": "paid", "amount_paid": 1200 }));
    for name in ["invoice.paid", "invoice.payment_succeeded"] {
        let draft = read(&event(name, &unnamed));
        assert_eq!(draft.semantic_key.as_deref(), Some("payment.succeeded:in_1"), "{name}");
    }
}

#[test]
fn a_failed_attempt_of_an_intent_has_the_key_of_its_own_charge() {
    let cases = [
        (json!({ "last_payment_error": { "charge": "ch_2" }, "latest_charge": "ch_1" }), Some("ch_2")),
        (
            json!({ "last_payment_error": { "code": "authentication_required" }, "latest_charge": "ch_1" }),
            None,
        ),
        (json!({ "last_payment_error": null, "latest_charge": "ch_1" }), Some("ch_1")),
        (json!({ "latest_charge": { "id": "ch_1" } }), Some("ch_1")),
        (json!({}), None),
    ];
    for (more, charge) in cases {
        let intent = with(json!({ "id": "pi_1", "amount": 1200, "currency": "usd" }), more.clone());
        let key = read(&event("payment_intent.payment_failed", &intent)).semantic_key;
        assert_eq!(key, charge.map(|charge| format!("payment.failed:{charge}")), "{more}");
    }
}

#[test]
fn an_invoice_that_no_money_paid_has_the_key_of_no_payment() {
    let outside = json!({ "status": "paid", "amount_paid": 1200, "paid_out_of_band": true });
    let tried = json!({
        "status": "paid", "amount_paid": 1200, "paid_out_of_band": true, "payment_intent": "pi_1",
    });
    let free = json!({ "status": "paid", "amount_paid": 0 });
    for (more, method) in [(outside, Some("out_of_band")), (tried, Some("out_of_band")), (free, None)] {
        for name in ["invoice.paid", "invoice.payment_succeeded"] {
            let draft = read(&event(name, &with(invoice(), more.clone())));
            assert_eq!(draft.kind, "invoice.paid", "{name} {more}");
            assert_eq!(draft.payment.is_some(), method.is_some(), "{name} {more}");
            assert_eq!(draft.payment.and_then(|payment| payment.method).as_deref(), method, "{name} {more}");
            assert_eq!(draft.semantic_key.as_deref(), Some("invoice.paid:in_1"), "{name} {more}");
        }
    }
}

#[test]
fn money_that_is_put_aside_is_no_payment_until_it_is_taken() {
    let held = json!({ "captured": false, "amount_captured": 0 });
    let freed = json!({ "captured": false, "amount_captured": 0, "refunded": true, "amount_refunded": 1200 });
    let listed =
        with(freed.clone(), json!({ "refunds": { "data": [{ "id": "re_1", "status": "succeeded" }] } }));
    let taken = json!({ "captured": true, "amount_captured": 900 });
    let free = Some("payment.canceled:pi_1");
    let cases = [
        ("charge.succeeded", held.clone(), "payment.pending", "pending", 1200, None),
        ("charge.failed", held, "payment.failed", "failed", 1200, Some("payment.failed:ch_1")),
        (
            "charge.captured",
            taken.clone(),
            "payment.succeeded",
            "succeeded",
            900,
            Some("payment.succeeded:pi_1"),
        ),
        ("charge.succeeded", taken, "payment.succeeded", "succeeded", 900, Some("payment.succeeded:pi_1")),
        ("charge.refunded", freed.clone(), "payment.canceled", "canceled", 1200, free),
        ("charge.refunded", listed, "payment.canceled", "canceled", 1200, free),
        ("charge.expired", freed, "payment.canceled", "canceled", 1200, free),
        ("payment_intent.canceled", json!({ "id": "pi_1" }), "payment.canceled", "canceled", 1200, free),
    ];
    for (name, more, kind, status, amount, key) in cases {
        let draft = read(&event(name, &with(charge(), more.clone())));
        assert_eq!((draft.kind.as_str(), draft.semantic_key.as_deref()), (kind, key), "{name} {more}");
        let payment = draft.payment.unwrap();
        assert_eq!(payment.status.as_deref(), Some(status), "{name} {more}");
        assert_eq!(payment.amount.unwrap().amount_minor, amount, "{name} {more}");
        assert_eq!(draft.refund, None, "{name} {more}");
    }
}

#[test]
fn refunds_and_disputes_are_told_by_their_state() {
    let refund = |status: &str| json!({ "id": "re_1", "amount": 500, "currency": "usd", "charge": "ch_1", "status": status });
    let listed = |status: &str| with(charge(), json!({ "refunds": { "data": [refund(status)] } }));
    let dispute = |status: &str| json!({ "id": "dp_1", "amount": 500, "currency": "usd", "status": status });
    let cases = [
        ("refund.created", refund("pending"), "refund.created", Some("pending")),
        ("refund.created", refund("succeeded"), "refund.succeeded", Some("succeeded")),
        ("refund.updated", refund("succeeded"), "refund.succeeded", Some("succeeded")),
        ("refund.updated", refund("requires_action"), "refund.created", Some("pending")),
        ("refund.updated", refund("failed"), "refund.failed", Some("failed")),
        ("refund.updated", refund("canceled"), "refund.failed", Some("failed")),
        ("refund.failed", refund("succeeded"), "refund.failed", Some("failed")),
        ("charge.refund.updated", refund("failed"), "refund.failed", Some("failed")),
        ("charge.refunded", listed("succeeded"), "refund.succeeded", Some("succeeded")),
        ("charge.refunded", charge(), "refund.created", Some("pending")),
        ("charge.dispute.created", dispute("needs_response"), "dispute.opened", Some("open")),
        ("charge.dispute.funds_withdrawn", dispute("under_review"), "dispute.updated", Some("under_review")),
        ("charge.dispute.closed", dispute("won"), "dispute.won", Some("won")),
        ("charge.dispute.closed", dispute("lost"), "dispute.lost", Some("lost")),
        ("charge.dispute.closed", dispute("warning_closed"), "dispute.closed", Some("closed")),
    ];
    for (name, object, kind, status) in cases {
        let draft = read(&event(name, &object));
        assert_eq!(draft.kind, kind, "{name} {object}");
        let told = draft.refund.map(|refund| refund.status).or(draft.dispute.map(|dispute| dispute.status));
        assert_eq!(told.unwrap().as_deref(), status, "{name} {object}");
    }
    let part = with(charge(), json!({ "amount_refunded": 700 }));
    let mut body = event("charge.refunded", &part);
    body["data"]["previous_attributes"] = json!({ "amount_refunded": 200 });
    let draft = read(&body);
    assert_eq!(draft.refund.unwrap().amount.unwrap().amount_minor, 500, "what came since");
    assert_eq!(draft.payment.unwrap().status.as_deref(), Some("partially_refunded"));
}

#[test]
fn amounts_are_whole_and_in_the_units_of_stripe() {
    let cases = [
        ("1200", "\"usd\"", Some((1200, "USD", 2)), 0),
        ("1200", "\"jpy\"", Some((1200, "JPY", 0)), 0),
        ("5120", "\"kwd\"", Some((5120, "KWD", 3)), 0),
        // Krónur and shillings: still two decimals, always 00. Ariary: none.
        ("500", "\"isk\"", Some((500, "ISK", 2)), 0),
        ("500", "\"ugx\"", Some((500, "UGX", 2)), 0),
        ("500", "\"mga\"", Some((500, "MGA", 0)), 0),
        ("500", "\"huf\"", Some((500, "HUF", 2)), 0),
        ("-500", "\"eur\"", Some((-500, "EUR", 2)), 0),
        ("12.5", "\"usd\"", None, 1),
        ("1e30", "\"usd\"", None, 1),
        ("1200", "null", None, 1),
        ("1200", "\"dollars\"", None, 1),
        ("null", "\"usd\"", None, 0),
    ];
    for (amount, currency, expected, warnings) in cases {
        let body = format!(
            r#"{{"type":"payout.paid","data":{{"object":{{"id":"po_1","amount":{amount},"currency":{currency}}}}}}}"#
        );
        let draft = normalize(&body).unwrap().remove(0);
        let money = draft.payout.unwrap().amount;
        let told =
            money.as_ref().map(|money: &Money| (money.amount_minor, money.currency.as_str(), money.exponent));
        assert_eq!(told, expected, "{body}");
        assert_eq!(draft.warnings.len(), warnings, "{body}: {:?}", draft.warnings);
    }
}

#[test]
fn a_price_below_a_cent_gives_no_revenue_and_no_warning() {
    let mut object = subscription();
    object["items"]["data"][0]["price"]["unit_amount"] = json!(null);
    object["items"]["data"][0]["price"]["unit_amount_decimal"] = json!("0.25");
    let draft = read(&event("customer.subscription.resumed", &object));
    let block = draft.subscription.unwrap();
    assert_eq!((block.mrr, block.mrr_source, block.plan.unwrap().unit_amount), (None, None, None));
    assert_eq!(draft.warnings, [""; 0]);
}

#[test]
fn only_what_is_no_event_is_invalid() {
    for (body, why) in [
        ("{}", "the body has no `type`: it is no event of Stripe's"),
        ("[]", "the body is an array, not a JSON object"),
        ("paid", "the body is not JSON"),
    ] {
        match normalize(body) {
            Err(Failure::Invalid(told)) => assert!(told.contains(why), "{body}: {told}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    let webhook = Webhook::new("billing", "stripe").with_event_name("invoice.paid").with_body("{}");
    assert_eq!(Stripe.normalize(&webhook).unwrap()[0].kind, "invoice.paid");
}

#[test]
fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
    testing::examples::<Stripe>(MANIFEST);
}

#[test]
fn the_manifest_lists_the_catalogue() {
    check::catalogue(MANIFEST, CATALOGUE);
}

#[test]
fn any_body_gives_drafts_or_is_invalid() {
    let ending =
        with(subscription(), json!({ "cancel_at": NOW, "cancellation_details": { "feedback": "unused" } }));
    let refunded = with(charge(), json!({ "refunds": { "data": [{ "id": "re_1", "status": "pending" }] } }));
    let before = json!({ "status": "trialing", "cancel_at": null, "items": { "data": [item("p", 1, 1)] } });
    let of_charge = json!({ "failure_code": "card_declined", "outcome": { "reason": "lost_card" } });
    let mut samples: Vec<_> = CATALOGUE.iter().map(|(name, _)| event(name, &json!({ "id": "x" }))).collect();
    samples.extend([
        updated(&ending, &before),
        event("customer.subscription.deleted", &ending),
        event("invoice.payment_failed", &invoice()),
        event("charge.refunded", &refunded),
        event("charge.refunded", &with(charge(), json!({ "captured": false, "amount_captured": 0 }))),
        event("charge.failed", &with(charge(), of_charge)),
    ]);
    let samples: Vec<_> = samples.into_iter().map(Sample::new).collect();
    testing::any_body_gives_drafts_or_is_invalid(&Stripe, &samples);
}

#[test]
fn published_bodies_are_read() {
    for (file, text) in testing::published("stripe") {
        let is_excerpt = file.ends_with(".excerpt");
        let body: Value = serde_json::from_str(&text).unwrap();
        let drafts = match is_excerpt {
            true => normalize(event("customer.subscription.deleted", &body)).unwrap(),
            false => normalize(&text).unwrap(),
        };
        let wire = body["type"].as_str().unwrap_or("customer.subscription.deleted");
        let expected = match (wire, body["data"]["object"]["status"].as_str()) {
            ("refund.created" | "charge.refunded" | "charge.refund.updated", Some("succeeded")) => {
                "refund.succeeded"
            }
            (name, _) => CATALOGUE.iter().find(|(known, _)| *known == name).unwrap().1,
        };
        assert_eq!(drafts[0].kind, expected, "{file}");
        assert_eq!(drafts[0].warnings, [""; 0], "{file}");
        assert!(drafts[0].customer.is_some() || !wire.starts_with("customer"), "{file}");
        if is_excerpt {
            let cancellation = drafts[0].cancellation.as_ref().unwrap();
            assert_eq!(cancellation.reason_code.as_deref(), Some("too_expensive"));
        }
    }
}
