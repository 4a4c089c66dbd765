//! What stands in the blocks: money, times, cancellations, people.

use crate::objects::{
    cloud, credit_note, customer, invoice, one, payment, seed, subscription, time, wallet, with,
};
use billhook_plugin::model::{CancellationKind, Initiator, Phase};
use billhook_plugin::{Draft, Normalize, Time, Webhook};
use flexprice::Flexprice;
use serde_json::{Value, json};

/// After everything that the bodies tell of.
const SIGNED_AT: Time = Time::from_secs(1_800_000_000);

/// The draft of a body that was signed.
fn signed(body: &Value) -> Draft {
    let webhook = Webhook::new("billing", "flexprice")
        .with_header("webhook-timestamp", "1800000000")
        .with_body(body.to_string());
    Flexprice.normalize(&webhook).unwrap().remove(0)
}

fn canceled(members: Value) -> Value {
    let ended = json!({
        "subscription_status": "cancelled", "cancelled_at": "2026-03-10T12:00:00Z",
        "cancel_at": "2026-03-10T12:00:00Z", "end_date": "2026-03-10T12:00:00Z",
    });
    with(with(subscription(), ended), members)
}

fn immediate(reason: &str) -> Value {
    canceled(json!({ "metadata": {
        "cancellation_type": "immediate", "cancellation_reason": reason, "effective_date": "2026-03-10T12:00:00Z",
    } }))
}

#[test]
fn an_immediate_cancellation_is_in_effect_and_voluntary() {
    for body in [
        cloud("subscription.cancelled", "subscription", &immediate("We built our own")),
        seed("subscription.terminated", "subscription", &immediate("We built our own")),
    ] {
        let draft = one(&body);
        let cancellation = draft.cancellation.unwrap();
        assert_eq!(cancellation.kind, CancellationKind::Voluntary);
        assert_eq!((cancellation.initiator, cancellation.phase), (Initiator::Unknown, Phase::Effective));
        assert_eq!(cancellation.requested_at, time("2026-03-10T12:00:00Z"));
        assert_eq!(cancellation.effective_at, time("2026-03-10T12:00:00Z"));
        assert_eq!(cancellation.at_period_end, Some(false));
        assert_eq!(cancellation.provider_reason.as_deref(), Some("We built our own"));
        assert_eq!(cancellation.comment.as_deref(), Some("We built our own"));
        assert_eq!(
            cancellation.provider_reason_field.as_deref(),
            Some("subscription.metadata.cancellation_reason")
        );
        assert_eq!(cancellation.reason_code, None);
        assert_eq!(draft.occurred_at, time("2026-03-10T12:00:00Z"));
        assert_eq!(draft.effective_at, None);
        let subscription = draft.subscription.unwrap();
        assert_eq!(subscription.status.as_deref(), Some("canceled"));
        assert_eq!(subscription.provider_status.as_deref(), Some("cancelled"));
        assert_eq!(subscription.ended_at, time("2026-03-10T12:00:00Z"));
        assert_eq!(subscription.tenure_days, Some(68));
        assert_eq!(draft.metadata["cancellation_type"], "immediate");
    }
}

#[test]
fn a_cancellation_at_the_end_of_the_period_is_requested_now_and_takes_effect_then() {
    let object = with(
        subscription(),
        json!({
            "cancel_at_period_end": true, "cancel_at": "2026-04-01T00:00:00Z", "cancelled_at": "2026-03-10T12:00:00Z",
            "metadata": { "cancellation_type": "end_of_period", "cancellation_reason": "too_expensive" },
        }),
    );
    let draft = one(&cloud("subscription.updated", "subscription", &object));
    assert_eq!(draft.kind, "subscription.cancel_scheduled");
    assert_eq!(draft.occurred_at, time("2026-03-10T12:00:00Z"));
    assert_eq!(draft.effective_at, time("2026-04-01T00:00:00Z"));
    let cancellation = draft.cancellation.unwrap();
    assert_eq!(cancellation.phase, Phase::Requested);
    assert_eq!(cancellation.at_period_end, Some(true));
    assert_eq!(cancellation.reason_code.as_deref(), Some("too_expensive"));
    assert_eq!(cancellation.reason_group.as_deref(), Some("price"));
    assert_eq!(cancellation.comment, None);
    assert_eq!(draft.semantic_key.as_deref(), Some("subscription.cancel_scheduled:subs_5:2026-04-01"));

    // When it takes effect, `cancelled_at` is still the time of scheduling.
    let ended = with(object, json!({ "subscription_status": "cancelled" }));
    let draft = one(&cloud("subscription.cancelled", "subscription", &ended));
    assert_eq!(draft.occurred_at, time("2026-04-01T00:00:00Z"));
    assert_eq!(draft.cancellation.unwrap().requested_at, time("2026-03-10T12:00:00Z"));
}

#[test]
fn the_update_beside_a_cancellation_has_its_time() {
    let at_period_end = canceled(json!({
        "cancel_at_period_end": true, "cancel_at": "2026-04-01T00:00:00Z",
        "metadata": { "cancellation_type": "end_of_period" },
    }));
    // What Flexprice sends since August 2026 has no metadata, and `cancelled_at` is moved to when it took effect.
    let bare = canceled(json!({ "cancelled_at": "2026-04-01T00:00:00Z", "cancel_at_period_end": true }));
    for (object, expected) in [
        (immediate("x"), "2026-03-10T12:00:00Z"),
        (at_period_end, "2026-04-01T00:00:00Z"),
        (bare, "2026-04-01T00:00:00Z"),
    ] {
        for name in ["subscription.updated", "subscription.cancelled"] {
            let draft = signed(&cloud(name, "subscription", &object));
            assert_eq!(draft.occurred_at, time(expected), "{name} {object}");
        }
    }
    let running = signed(&cloud("subscription.updated", "subscription", &subscription()));
    assert_eq!(running.occurred_at, Some(SIGNED_AT));
}

#[test]
fn a_failed_payment_behind_a_cancellation_makes_it_involuntary() {
    for (reason, kind, initiator) in [
        ("payment_failed", CancellationKind::Involuntary, Initiator::System),
        ("Non-payment", CancellationKind::Involuntary, Initiator::System),
        ("merchant_initiated", CancellationKind::Voluntary, Initiator::Merchant),
        ("unused", CancellationKind::Voluntary, Initiator::Unknown),
    ] {
        let cancellation =
            one(&cloud("subscription.cancelled", "subscription", &immediate(reason))).cancellation.unwrap();
        assert_eq!((cancellation.kind, cancellation.initiator), (kind, initiator), "{reason}");
        assert_eq!(cancellation.provider_reason.as_deref(), Some(reason));
    }
    let silent =
        one(&cloud("subscription.cancelled", "subscription", &canceled(json!({})))).cancellation.unwrap();
    assert_eq!(silent.reason_code.as_deref(), Some("unspecified"));
    assert_eq!((silent.provider_reason, silent.provider_reason_field), (None, None));
}

#[test]
fn the_catch_all_beside_a_specific_event_has_its_key() {
    let ended = immediate("x");
    let paused =
        with(subscription(), json!({ "subscription_status": "paused", "active_pause_id": "pause_4" }));
    for (object, specific) in [(ended, "subscription.cancelled"), (paused, "subscription.paused")] {
        let beside = one(&cloud("subscription.updated", "subscription", &object));
        let specific = one(&cloud(specific, "subscription", &object));
        assert_eq!(beside.kind, "subscription.updated");
        assert!(beside.semantic_key.is_some());
        assert_eq!(beside.semantic_key, specific.semantic_key);
        assert!(beside.cancellation.is_none());
    }
    let plain = one(&cloud("subscription.updated", "subscription", &subscription()));
    assert_eq!(plain.semantic_key, None);
    let paid = with(payment(), json!({ "payment_status": "SUCCEEDED" }));
    let keys =
        ["payment.success", "payment.updated"].map(|name| one(&cloud(name, "payment", &paid)).semantic_key);
    assert_eq!(keys[0].as_deref(), Some("payment.succeeded:pay_9"));
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn statuses_and_intervals_are_canonical_and_the_odd_ones_are_noted() {
    for (status, expected) in [
        ("active", "active"),
        ("paused", "paused"),
        ("cancelled", "canceled"),
        ("incomplete", "incomplete"),
        ("trialing", "trialing"),
        ("draft", "incomplete"),
        ("hibernating", "unknown"),
    ] {
        let object = with(subscription(), json!({ "subscription_status": status }));
        let draft = one(&cloud("subscription.updated", "subscription", &object));
        let block = draft.subscription.unwrap();
        assert_eq!(block.status.as_deref(), Some(expected));
        assert_eq!(block.provider_status.as_deref(), Some(status));
        assert_eq!(!draft.warnings.is_empty(), expected == "unknown", "{:?}", draft.warnings);
    }
    let draft = one(&cloud("subscription.created", "subscription", &subscription()));
    let plan = draft.subscription.unwrap().plan.unwrap();
    assert_eq!((plan.id.as_deref(), plan.name.as_deref()), (Some("plan_team"), Some("team-monthly")));
    assert_eq!((plan.interval.as_deref(), plan.interval_count), (Some("month"), Some(1)));
    let odd = with(subscription(), json!({ "billing_period": "FORTNIGHTLY", "plan_id": null }));
    let draft = one(&cloud("subscription.created", "subscription", &odd));
    assert_eq!(draft.warnings, ["billing_period `FORTNIGHTLY` is not a known value"]);
    let plan = draft.subscription.unwrap().plan.unwrap();
    assert_eq!((plan.id.as_deref(), plan.interval), (Some("team-monthly"), None));
}

#[test]
fn amounts_are_exact_whether_text_or_number() {
    let cases = [
        (r#""49.99""#, "usd", Some((4999, "49.99"))),
        ("49.90", "USD", Some((4990, "49.90"))),
        ("1e2", "usd", Some((10_000, "1e2"))),
        ("-2.50", "usd", Some((-250, "-2.50"))),
        (r#""1000""#, "jpy", Some((1000, "1000"))),
        (r#""1.2345""#, "kwd", Some((1234, "1.2345"))),
        ("0.1000000000000000055511151231257827", "usd", Some((10, "0.1000000000000000055511151231257827"))),
        (r#""92233720368547758.07""#, "usd", Some((i64::MAX, "92233720368547758.07"))),
        (r#""92233720368547758.08""#, "usd", None),
        (r#""free""#, "usd", None),
        ("true", "usd", None),
        ("null", "usd", None),
    ];
    for (amount, currency, expected) in cases {
        let body = format!(
            r#"{{"event_type":"payment.success","payment":{{"amount":{amount},"currency":"{currency}"}}}}"#
        );
        let draft = crate::objects::normalize(&body).unwrap().remove(0);
        let money = draft.payment.unwrap().amount;
        let got = money.as_ref().map(|money| (money.amount_minor, money.original.as_str()));
        assert_eq!(got, expected, "{amount} {currency}");
    }
}

#[test]
fn an_amount_finer_than_its_currency_or_without_one_is_noted() {
    let fine = one(&cloud("payment.success", "payment", &with(payment(), json!({ "amount": "0.00123" }))));
    assert_eq!(fine.warnings, ["amount `0.00123` is finer than EUR"]);
    assert_eq!(fine.payment.unwrap().amount.unwrap().original, "0.00123");
    let bare = one(&json!({ "event_type": "payment.success", "payment": { "amount": "5" } }));
    assert_eq!(bare.warnings, ["amount `5` has no currency"]);
    assert_eq!(bare.payment.unwrap().amount, None);
}

#[test]
fn times_are_taken_where_the_meaning_is_right() {
    let at = "2026-03-05T10:20:30.987654Z";
    let cases = [
        ("subscription.started", "subscription", "start_date", Some(at)),
        ("subscription.activated", "subscription", "activated_at", Some(at)),
        ("subscription.activated", "subscription", "start_date", None),
        ("subscription.created", "subscription", "start_date", None),
        ("subscription.created", "subscription", "created_at", Some(at)),
        ("subscription.updated", "subscription", "updated_at", Some(at)),
        ("subscription.updated", "subscription", "current_period_end", None),
        ("subscription.trial_ended", "subscription", "trial_end", Some(at)),
        ("subscription.trial_ending", "subscription", "trial_end", None),
        ("subscription.spend.threshold_reached", "subscription", "updated_at", None),
        ("invoice.update.finalized", "invoice", "finalized_at", Some(at)),
        ("invoice.update.voided", "invoice", "finalized_at", None),
        ("invoice.update.voided", "invoice", "voided_at", Some(at)),
        ("invoice.payment.overdue", "invoice", "due_date", None),
        ("payment.success", "payment", "succeeded_at", Some(at)),
        ("payment.success", "payment", "created_at", None),
        ("payment.failed", "payment", "failed_at", Some(at)),
        ("customer.created", "customer", "created_at", Some(at)),
        ("customer.deleted", "customer", "updated_at", Some(at)),
        ("credit_note.created", "credit_note", "finalized_at", Some(at)),
        ("credit_note.updated", "credit_note", "finalized_at", None),
    ];
    for (name, key, field, expected) in cases {
        let draft = one(&cloud(name, key, &json!({ "id": "x", field: at })));
        assert_eq!(draft.occurred_at, expected.and_then(time), "{name} {field}");
    }
    let alert =
        json!({ "event_type": "entitlement.grant.exhausted", "triggered_at": at, "entitlement_grant": {} });
    assert_eq!(one(&alert).occurred_at.unwrap().to_string(), "2026-03-05T10:20:30.987Z");
}

#[test]
fn gos_zero_time_is_no_time() {
    let object = with(subscription(), json!({ "trial_end": "0001-01-01T00:00:00Z", "start_date": "soon" }));
    let block = one(&cloud("subscription.created", "subscription", &object)).subscription.unwrap();
    assert_eq!((block.trial_end, block.started_at), (None, None));
}

#[test]
fn without_a_time_in_the_body_that_of_the_signature_is_taken() {
    let body = cloud("customer.updated", "customer", &customer()).to_string();
    for header in ["webhook-timestamp", "svix-timestamp"] {
        let webhook = Webhook::new("billing", "flexprice").with_header(header, "1767225600").with_body(&body);
        let draft = Flexprice.normalize(&webhook).unwrap().remove(0);
        assert_eq!(draft.occurred_at, Some(Time::from_secs(1_767_225_600)));
    }
    let unsigned = Webhook::new("billing", "flexprice").with_body(&body);
    assert_eq!(Flexprice.normalize(&unsigned).unwrap()[0].occurred_at, None);
}

#[test]
fn the_customer_is_found_wherever_it_stands() {
    let draft = one(&cloud("subscription.created", "subscription", &subscription()));
    let block = draft.customer.unwrap();
    assert_eq!((block.id.as_deref(), block.external_id.as_deref()), (Some("cust_7"), Some("shop-7")));
    assert_eq!((block.email.as_deref(), block.country.as_deref()), (Some("ap@hafen.example"), Some("DE")));
    assert_eq!(draft.provider_account_id.as_deref(), Some("env_live"));

    let by_id = one(&cloud("invoice.update", "invoice", &invoice()));
    assert_eq!(by_id.customer.unwrap().id.as_deref(), Some("cust_7"));
    assert_eq!(by_id.subscription.unwrap().id.as_deref(), Some("subs_5"));

    let paid = with(payment(), json!({ "destination_type": "CUSTOMER", "destination_id": "cust_8" }));
    assert_eq!(
        one(&cloud("payment.created", "payment", &paid)).customer.unwrap().id.as_deref(),
        Some("cust_8")
    );

    let alert =
        json!({ "event_type": "feature.wallet_balance.alert", "feature": { "id": "f" }, "wallet": wallet() });
    assert_eq!(one(&alert).customer.unwrap().id.as_deref(), Some("cust_7"));

    assert_eq!(one(&json!({ "event_type": "feature.created", "feature": {} })).customer, None);
}

#[test]
fn metadata_becomes_text() {
    let draft = one(&seed("customer.created", "customer", &customer()));
    let metadata: Vec<_> = draft.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(metadata, [("seats", "4"), ("tier", "gold")]);
}

#[test]
fn an_invoice_bears_its_amounts_and_state() {
    let draft = one(&cloud("invoice.update.finalized", "invoice", &invoice()));
    let block = draft.invoice.unwrap();
    assert_eq!(
        (block.status.as_deref(), block.billing_reason.as_deref()),
        (Some("open"), Some("subscription_cycle"))
    );
    let minor = |money: Option<billhook_plugin::Money>| money.map(|money| money.amount_minor);
    assert_eq!(
        [block.total, block.subtotal, block.amount_due, block.amount_paid, block.amount_remaining].map(minor),
        [Some(12_000), Some(10_084), Some(12_000), Some(2050), Some(9950)]
    );
    assert_eq!(block.number.as_deref(), Some("INV-3"));
    assert_eq!(block.due_at, time("2026-03-15T00:00:00Z"));

    let state = |name: &str, members: Value| {
        one(&cloud(name, "invoice", &with(invoice(), members))).invoice.unwrap().status.unwrap()
    };
    assert_eq!(state("invoice.create.drafted", json!({ "invoice_status": "DRAFT" })), "draft");
    assert_eq!(state("invoice.drafted", json!({ "invoice_status": null })), "draft");
    assert_eq!(state("invoice.update", json!({ "payment_status": "SUCCEEDED" })), "paid");
    for (status, left, expected) in [
        ("REFUNDED", json!("0"), "paid"),
        ("PARTIALLY_REFUNDED", json!("0.00"), "paid"),
        ("REFUNDED", json!(null), "paid"),
        ("PARTIALLY_REFUNDED", json!("99.50"), "open"),
        ("FAILED", json!("0"), "open"),
    ] {
        let members = json!({ "payment_status": status, "amount_remaining": left });
        assert_eq!(state("invoice.update.payment", members), expected, "{status} {left}");
    }
    assert_eq!(state("invoice.update", json!({ "invoice_status": "VOIDED" })), "void");
    assert_eq!(state("invoice.payment.overdue", json!({})), "overdue");
    let one_off = one(&seed("invoice.one_off_created", "invoice", &invoice())).invoice.unwrap();
    assert_eq!(one_off.billing_reason.as_deref(), Some("one_off"));
}

#[test]
fn a_failed_payment_says_why_and_for_what() {
    let failed = with(
        payment(),
        json!({
            "payment_status": "FAILED", "error_message": "Your card has too little on it.", "failed_at": "2026-03-01T00:11:00Z",
        }),
    );
    let draft = one(&cloud("payment.failed", "payment", &failed));
    let block = draft.payment.unwrap();
    assert_eq!((block.status.as_deref(), block.method.as_deref()), (Some("failed"), Some("card")));
    let failure = block.failure.unwrap();
    assert_eq!(failure.message.as_deref(), Some("Your card has too little on it."));
    assert_eq!(failure.code.as_deref(), Some("other"));
    assert_eq!(draft.invoice.unwrap().id.as_deref(), Some("inv_3"));
    assert_eq!(draft.occurred_at, time("2026-03-01T00:11:00Z"));

    let by_invoice = one(&seed("invoice.payment_failure", "invoice", &invoice()));
    assert_eq!(by_invoice.payment.unwrap().amount.unwrap().amount_minor, 9950);
    assert_eq!(by_invoice.invoice.unwrap().status.as_deref(), Some("open"));
}

#[test]
fn a_refunded_payment_and_a_failed_refund_bear_a_refund() {
    let whole =
        with(payment(), json!({ "payment_status": "REFUNDED", "refunded_at": "2026-03-09T00:00:00Z" }));
    let draft = one(&cloud("payment.updated", "payment", &whole));
    let refund = draft.refund.unwrap();
    assert_eq!((refund.payment_id.as_deref(), refund.amount.unwrap().amount_minor), (Some("pay_9"), 9950));
    assert_eq!(draft.occurred_at, time("2026-03-09T00:00:00Z"));
    let part = with(payment(), json!({ "payment_status": "PARTIALLY_REFUNDED", "refunded_amount": "40.00" }));
    assert_eq!(one(&cloud("payment.updated", "payment", &part)).refund.unwrap().amount, None);
    let failed = one(&seed("credit_note.refund_failure", "credit_note", &credit_note())).refund.unwrap();
    assert_eq!(failed.status.as_deref(), Some("failed"));
}

#[test]
fn wallets_usage_and_the_other_objects_are_filled() {
    let low = one(&with(cloud("wallet.alert", "wallet", &wallet()), json!({ "alert_status": "in_alarm" })));
    let block = low.wallet.unwrap();
    assert_eq!(block.amount.unwrap().amount_minor, -250);
    assert_eq!((block.quantity.as_deref(), block.message.as_deref()), (Some("-250"), Some("in_alarm")));

    let spend = one(&json!({
        "event_type": "subscription.line_item_spend.threshold_reached", "alert_status": "warning",
        "subscription": subscription(), "usage": { "current_usage_amount": "81.20", "current_usage": "812" },
    }));
    let block = spend.usage.unwrap();
    assert_eq!((block.scope.as_deref(), block.status.as_deref()), (Some("line_item"), Some("warning")));
    assert_eq!((block.amount.unwrap().amount_minor, block.quantity.as_deref()), (8120, Some("812")));

    let rejected = one(&json!({
        "event_type": "event.rejected", "reason": "unknown meter", "event": { "id": "ev_1", "event_name": "call" },
    }));
    let block = rejected.usage.unwrap();
    assert_eq!((block.name.as_deref(), block.message.as_deref()), (Some("call"), Some("unknown meter")));

    let linked = with(customer(), json!({ "checkout_url": "https://pay.example/c/1" }));
    let checkout = one(&seed("customer.checkout_url_generated", "customer", &linked));
    let block = checkout.checkout.unwrap();
    assert_eq!((block.url.as_deref(), block.id), (Some("https://pay.example/c/1"), None));
    assert_eq!(checkout.semantic_key, None);

    let error = with(
        customer(),
        json!({ "payment_provider": "stripe", "provider_error": { "message": "no such key" } }),
    );
    let block = one(&seed("customer.payment_provider_error", "customer", &error)).integration.unwrap();
    assert_eq!((block.name.as_deref(), block.status.as_deref()), (Some("stripe"), Some("error")));
    assert_eq!(block.message.as_deref(), Some("no such key"));
}

#[test]
fn an_alert_without_a_name_is_read_as_the_named_one() {
    let subscription = with(subscription(), json!({ "cancel_at_period_end": true }));
    let cases = [
        (json!({}), "subscription.spend.threshold_reached", "subscription"),
        (
            json!({ "subscription_line_item_id": "subs_line_1" }),
            "subscription.line_item_spend.threshold_reached",
            "line_item",
        ),
        (
            json!({ "subscription_line_item": { "id": "subs_line_1" } }),
            "subscription.line_item_spend.threshold_reached",
            "line_item",
        ),
        (json!({ "group_id": "group_1" }), "subscription.group_spend.threshold_reached", "group"),
        (json!({ "group": { "id": "group_1" } }), "subscription.group_spend.threshold_reached", "group"),
    ];
    for (of, reached, scope) in cases {
        let recovered = reached.replace("reached", "recovered");
        for (field, status, name, kind) in [
            ("alert_status", "in_alarm", reached, "usage.threshold_reached"),
            ("alert_status", "ok", &recovered, "usage.threshold_recovered"),
            ("alert_state", "ok", &recovered, "usage.threshold_recovered"),
        ] {
            let alert = json!({
                "subscription": subscription, "alert_type": "subscription_spend", field: status,
                "current_spend": "1040.50", "triggered_at": "2026-06-01T10:00:00Z",
            });
            let alert = with(alert, of.clone());
            let draft = one(&alert);
            assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (kind, name), "{alert}");
            let named = one(&with(alert, json!({ "event_type": name })));
            assert_eq!(serde_json::to_value(&draft).unwrap(), serde_json::to_value(named).unwrap());
            assert_eq!((draft.occurred_at, draft.effective_at), (time("2026-06-01T10:00:00Z"), None));
            assert_eq!((&draft.cancellation, &draft.semantic_key), (&None, &None));
            let block = draft.usage.unwrap();
            assert_eq!((block.scope.as_deref(), block.status.as_deref()), (Some(scope), Some(status)));
            assert_eq!(block.amount.unwrap().amount_minor, 104_050);
        }
    }
}

#[test]
fn an_exhausted_grant_is_told_by_ids_alone() {
    let alert = json!({
        "entitlement_grant_id": "eg_1", "alert_type": "entitlement_grant_exhausted", "alert_status": "in_alarm",
        "usage_ratio": "1.15", "triggered_at": "2026-06-01T10:00:00Z",
    });
    let ids = json!({ "subscription_id": "subs_5", "customer_id": "cust_7", "entitlement_id": "ent_1" });
    for (of, entitlement) in [(ids, Some("ent_1")), (json!({ "subscription": subscription() }), None)] {
        let draft = one(&with(alert.clone(), of));
        assert_eq!(
            (draft.kind.as_str(), draft.provider_event_type.as_str()),
            ("entitlement.exhausted", "entitlement.grant.exhausted")
        );
        assert_eq!((draft.occurred_at, &draft.warnings), (time("2026-06-01T10:00:00Z"), &vec![]));
        assert_eq!(draft.subscription.unwrap().id.as_deref(), Some("subs_5"));
        assert_eq!(draft.customer.unwrap().id.as_deref(), Some("cust_7"));
        let block = draft.entitlement.unwrap();
        assert_eq!((block.id.as_deref(), block.status.as_deref()), (entitlement, Some("exhausted")));
        assert_eq!(block.message.as_deref(), Some("in_alarm"));
    }
}

#[test]
fn an_alert_about_the_ongoing_balance_tells_that_balance() {
    let alert =
        json!({ "alert": { "state": "in_alarm", "current_balance": "-4.20", "credit_balance": "-420" } });
    for (name, amount, quantity) in [
        ("wallet.ongoing_balance.dropped", -420, "-420"),
        ("wallet.ongoing_balance.recovered", -420, "-420"),
        ("wallet.credit_balance.dropped", -250, "-250"),
    ] {
        let block = one(&with(cloud(name, "wallet", &wallet()), alert.clone())).wallet.unwrap();
        assert_eq!(block.amount.unwrap().amount_minor, amount, "{name}");
        assert_eq!((block.quantity.as_deref(), block.message.as_deref()), (Some(quantity), Some("in_alarm")));
    }
    let older = with(wallet(), json!({ "ongoing_balance": "-9.00" }));
    let block = one(&seed("wallet.depleted_ongoing_balance", "wallet", &older)).wallet.unwrap();
    assert_eq!(block.amount.unwrap().amount_minor, -900);
}

#[test]
fn a_wallet_alert_of_ids_alone_keeps_them() {
    let alert = json!({
        "event_type": "feature.wallet_balance.alert", "alert_type": "feature_wallet_balance",
        "alert_status": "in_alarm", "feature_id": "feat_1", "wallet_id": "wallet_1", "customer_id": "cust_7",
        "current_balance": "-2.50", "credit_balance": "-250",
    });
    let draft = one(&alert);
    // There is no currency to read it in.
    assert_eq!(draft.warnings, ["current_balance `-2.50` has no currency"]);
    let (wallet, product) = (draft.wallet.unwrap(), draft.product.unwrap());
    assert_eq!((wallet.id.as_deref(), wallet.quantity.as_deref()), (Some("wallet_1"), Some("-250")));
    assert_eq!((wallet.scope.as_deref(), wallet.message.as_deref()), (Some("feature"), Some("in_alarm")));
    assert_eq!((product.id.as_deref(), product.kind.as_deref()), (Some("feat_1"), Some("feature")));
    assert_eq!(draft.customer.unwrap().id.as_deref(), Some("cust_7"));
}

#[test]
fn a_checkout_tells_where_and_what_is_paid() {
    let session = json!({
        "id": "cs_1", "customer_id": "cust_7", "checkout_status": "pending", "checkout_invoice_id": "inv_3",
        "checkout_payment_id": "pay_9", "expires_at": "2026-06-01T10:30:00Z",
        "payment_action": { "type": "checkout_url", "url": "https://pay.example/1" },
    });
    let draft = one(&cloud("checkout.session.initiated", "checkout_session", &session));
    assert_eq!(draft.checkout.unwrap().url.as_deref(), Some("https://pay.example/1"));
    assert_eq!(draft.invoice.unwrap().id.as_deref(), Some("inv_3"));
    assert_eq!(draft.payment.unwrap().id.as_deref(), Some("pay_9"));
    let draft = one(&cloud("checkout.session.expired", "checkout_session", &json!({ "id": "cs_1" })));
    assert_eq!((draft.invoice, draft.payment), (None, None));
}

#[test]
fn a_transaction_of_a_wallet_is_told_apart() {
    let transaction = json!({
        "id": "wtxn_1", "wallet_id": "wallet_1", "type": "credit", "transaction_status": "completed",
        "reference_type": "EXTERNAL", "reference_id": "order-7", "metadata": { "team": "a" },
    });
    for (name, key, semantic_key) in [
        ("wallet.transaction.created", "transaction", "wallet.transaction_created:wtxn_1"),
        ("wallet.transaction.updated", "updated_transaction", "wallet.transaction_updated:wtxn_1:completed"),
        ("wallet_transaction.updated", "transaction", "wallet.transaction_updated:wtxn_1:completed"),
        ("wallet_transaction.payment_failure", "transaction", "wallet.transaction_failed:wtxn_1"),
    ] {
        let draft = one(&cloud(name, key, &transaction));
        assert_eq!(draft.semantic_key.as_deref(), Some(semantic_key), "{name}");
        let metadata: Vec<_> = draft.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            metadata,
            [("reference_id", "order-7"), ("team", "a"), ("transaction_id", "wtxn_1")],
            "{name}"
        );
    }
}

#[test]
fn an_id_of_another_kind_is_noted() {
    let object = with(subscription(), json!({ "id": "cust_7" }));
    let draft = one(&cloud("subscription.created", "subscription", &object));
    assert_eq!(draft.warnings, ["subscription.id `cust_7` looks like the id of a customer"]);
}
