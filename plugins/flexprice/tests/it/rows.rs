//! Every event name in both envelopes, and the names that cover several facts.

use crate::objects::{
    cloud, credit_note, invoice, normalize, object, one, payment, seed, subscription, time, wallet, with,
};
use billhook_plugin::{check, testing};
use flexprice::catalogue::CATALOGUE;
use flexprice::{Flexprice, MANIFEST};
use serde_json::{Value, json};

/// Event name, key of its object, canonical type; as `webhook_type`.
const SEED: &[(&str, &str, &str)] = &[
    ("billable_metric.created", "billable_metric", "meter.created"),
    ("billable_metric.updated", "billable_metric", "meter.updated"),
    ("billable_metric.archived", "billable_metric", "meter.archived"),
    ("customer.created", "customer", "customer.created"),
    ("customer.updated", "customer", "customer.updated"),
    ("customer.payment_provider_created", "customer", "integration.synced"),
    ("customer.payment_provider_error", "customer", "integration.error"),
    ("customer.checkout_url_generated", "customer", "checkout.created"),
    ("subscription.started", "subscription", "subscription.activated"),
    ("subscription.terminated", "subscription", "subscription.canceled"),
    ("subscription.trial_ended", "subscription", "subscription.trial_ended"),
    ("subscription.usage_threshold_reached", "subscription", "usage.threshold_reached"),
    ("invoice.drafted", "invoice", "invoice.created"),
    ("invoice.created", "invoice", "invoice.finalized"),
    ("invoice.one_off_created", "invoice", "invoice.finalized"),
    ("invoice.generated", "invoice", "invoice.document_ready"),
    ("invoice.payment_status_updated", "invoice", "invoice.updated"),
    ("invoice.payment_failure", "invoice", "payment.failed"),
    ("invoice.payment_overdue", "invoice", "invoice.overdue"),
    ("invoice.voided", "invoice", "invoice.voided"),
    ("wallet.created", "wallet", "wallet.created"),
    ("wallet.updated", "wallet", "wallet.updated"),
    ("wallet.terminated", "wallet", "wallet.terminated"),
    ("wallet.depleted_ongoing_balance", "wallet", "wallet.depleted"),
    ("wallet_transaction.updated", "transaction", "wallet.transaction_updated"),
    ("wallet_transaction.payment_failure", "transaction", "wallet.transaction_failed"),
    ("credit_note.created", "credit_note", "credit_note.created"),
    ("credit_note.generated", "credit_note", "credit_note.document_ready"),
    ("credit_note.refund_failure", "credit_note", "refund.failed"),
    ("fee.created", "fee", "fee.created"),
    ("events.errors", "event", "usage.event_rejected"),
];

/// Event name, key of its object, canonical type; as `event_type`.
const CLOUD: &[(&str, &str, &str)] = &[
    ("subscription.created", "subscription", "subscription.created"),
    ("subscription.draft.created", "subscription", "subscription.created"),
    ("subscription.activated", "subscription", "subscription.activated"),
    ("subscription.updated", "subscription", "subscription.updated"),
    ("subscription.paused", "subscription", "subscription.paused"),
    ("subscription.resumed", "subscription", "subscription.resumed"),
    ("subscription.cancelled", "subscription", "subscription.canceled"),
    ("subscription.canceled", "subscription", "subscription.canceled"),
    ("subscription.plan_changed", "subscription", "subscription.plan_changed"),
    ("subscription.phase.created", "phase", "subscription.updated"),
    ("subscription.phase.updated", "phase", "subscription.updated"),
    ("subscription.phase.deleted", "phase", "subscription.updated"),
    ("subscription.renewal.due", "subscription", "subscription.renewal_upcoming"),
    ("subscription.trial_ending", "subscription", "subscription.trial_will_end"),
    ("subscription.spend.threshold_reached", "subscription", "usage.threshold_reached"),
    ("subscription.spend.threshold_recovered", "subscription", "usage.threshold_recovered"),
    ("subscription.line_item_spend.threshold_reached", "subscription", "usage.threshold_reached"),
    ("subscription.line_item_spend.threshold_recovered", "subscription", "usage.threshold_recovered"),
    ("subscription.group_spend.threshold_reached", "subscription", "usage.threshold_reached"),
    ("subscription.group_spend.threshold_recovered", "subscription", "usage.threshold_recovered"),
    ("customer.usage.alert", "customer", "usage.threshold_reached"),
    ("feature.usage.alert", "feature", "usage.threshold_reached"),
    ("invoice.create.drafted", "invoice", "invoice.created"),
    ("invoice.update", "invoice", "invoice.updated"),
    ("invoice.update.finalized", "invoice", "invoice.finalized"),
    ("invoice.update.payment", "invoice", "invoice.updated"),
    ("invoice.update.voided", "invoice", "invoice.voided"),
    ("invoice.payment.overdue", "invoice", "invoice.overdue"),
    ("invoice.communication.triggered", "invoice", "notification.sent"),
    ("payment.created", "payment", "payment.created"),
    ("payment.pending", "payment", "payment.pending"),
    ("payment.updated", "payment", "payment.updated"),
    ("payment.success", "payment", "payment.succeeded"),
    ("payment.failed", "payment", "payment.failed"),
    ("customer.created", "customer", "customer.created"),
    ("customer.updated", "customer", "customer.updated"),
    ("customer.deleted", "customer", "customer.deleted"),
    ("credit_note.created", "credit_note", "credit_note.created"),
    ("credit_note.updated", "credit_note", "credit_note.updated"),
    ("wallet.created", "wallet", "wallet.created"),
    ("wallet.updated", "wallet", "wallet.updated"),
    ("wallet.terminated", "wallet", "wallet.terminated"),
    ("wallet.transaction.created", "transaction", "wallet.transaction_created"),
    ("wallet.transaction.updated", "transaction", "wallet.transaction_updated"),
    ("wallet.credit_balance.dropped", "wallet", "wallet.balance_low"),
    ("wallet.credit_balance.recovered", "wallet", "wallet.balance_recovered"),
    ("wallet.ongoing_balance.dropped", "wallet", "wallet.balance_low"),
    ("wallet.ongoing_balance.recovered", "wallet", "wallet.balance_recovered"),
    ("wallet.ongoing_balance.updated", "wallet", "wallet.updated"),
    ("wallet.alert", "wallet", "wallet.balance_low"),
    ("feature.wallet_balance.alert", "feature", "wallet.balance_low"),
    ("feature.created", "feature", "product.created"),
    ("feature.updated", "feature", "product.updated"),
    ("feature.deleted", "feature", "product.archived"),
    ("entitlement.created", "entitlement", "entitlement.created"),
    ("entitlement.updated", "entitlement", "entitlement.updated"),
    ("entitlement.deleted", "entitlement", "entitlement.removed"),
    ("entitlement.grant.exhausted", "entitlement_grant", "entitlement.exhausted"),
    ("checkout.session.initiated", "checkout_session", "checkout.created"),
    ("checkout.session.completed", "checkout_session", "checkout.completed"),
    ("checkout.session.failed", "checkout_session", "checkout.failed"),
    ("checkout.session.expired", "checkout_session", "checkout.expired"),
    ("event.rejected", "event", "usage.event_rejected"),
];

/// The block that a canonical type must fill.
fn block(kind: &str) -> &str {
    match kind.split('.').next().unwrap() {
        "payment" if kind == "payment.failed" => "payment",
        family => family,
    }
}

#[test]
fn every_name_has_its_type_in_both_envelopes() {
    for (name, key, kind) in SEED.iter().chain(CLOUD) {
        for body in [seed(name, key, &object(key)), cloud(name, key, &object(key))] {
            let draft = one(&body);
            assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (*kind, *name), "{body}");
            let draft = serde_json::to_value(&draft).unwrap();
            assert!(draft[block(kind)].is_object(), "{name} fills no `{}`: {draft}", block(kind));
        }
    }
}

#[test]
fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
    testing::examples::<Flexprice>(MANIFEST);
}

#[test]
fn the_tables_the_catalogue_and_the_manifest_name_the_same() {
    let mut rows: Vec<_> = SEED.iter().chain(CLOUD).map(|(name, _, kind)| (*name, *kind)).collect();
    let mut catalogue = CATALOGUE.to_vec();
    rows.sort_unstable();
    rows.dedup();
    catalogue.sort_unstable();
    assert_eq!(rows, catalogue);

    check::catalogue(MANIFEST, CATALOGUE);
}

#[test]
fn a_name_that_covers_several_facts_is_told_apart_by_the_object() {
    let scheduled = json!({ "cancel_at_period_end": true, "cancel_at": "2026-04-01T00:00:00Z" });
    let dated =
        json!({ "cancel_at": "2026-03-20T00:00:00Z", "metadata": { "cancellation_type": "scheduled_date" } });
    let gone = json!({ "subscription_status": "cancelled", "cancel_at_period_end": true });
    let paid = |status: &str| json!({ "payment_status": status });
    let note = |status: &str| json!({ "credit_note_status": status });
    let cases: Vec<(&str, &str, Value, &str)> = vec![
        (
            "subscription.updated",
            "subscription",
            with(subscription(), scheduled),
            "subscription.cancel_scheduled",
        ),
        (
            "subscription.updated",
            "subscription",
            with(subscription(), dated),
            "subscription.cancel_scheduled",
        ),
        ("subscription.updated", "subscription", with(subscription(), gone), "subscription.updated"),
        ("invoice.update.payment", "invoice", with(invoice(), paid("SUCCEEDED")), "invoice.paid"),
        ("invoice.update.payment", "invoice", with(invoice(), paid("OVERPAID")), "invoice.paid"),
        ("invoice.update.payment", "invoice", with(invoice(), paid("FAILED")), "payment.failed"),
        ("invoice.update.payment", "invoice", with(invoice(), paid("PROCESSING")), "invoice.updated"),
        ("invoice.payment_status_updated", "invoice", with(invoice(), paid("succeeded")), "invoice.paid"),
        ("invoice.payment_status_updated", "invoice", with(invoice(), paid("FAILED")), "payment.failed"),
        ("payment.updated", "payment", with(payment(), paid("SUCCEEDED")), "payment.succeeded"),
        ("payment.updated", "payment", with(payment(), paid("OVERPAID")), "payment.succeeded"),
        ("payment.updated", "payment", with(payment(), paid("FAILED")), "payment.failed"),
        ("payment.updated", "payment", with(payment(), paid("REFUNDED")), "refund.succeeded"),
        ("payment.updated", "payment", with(payment(), paid("PARTIALLY_REFUNDED")), "refund.succeeded"),
        ("payment.updated", "payment", with(payment(), paid("VOIDED")), "payment.canceled"),
        ("payment.updated", "payment", with(payment(), paid("PROCESSING")), "payment.updated"),
        ("payment.updated", "payment", with(payment(), paid("LOST")), "payment.updated"),
        ("credit_note.updated", "credit_note", with(credit_note(), note("VOIDED")), "credit_note.voided"),
        ("credit_note.updated", "credit_note", with(credit_note(), note("FINALIZED")), "credit_note.updated"),
        ("credit_note.updated", "credit_note", with(credit_note(), note("DRAFT")), "credit_note.updated"),
    ];
    for (name, key, object, kind) in cases {
        for body in [seed(name, key, &object), cloud(name, key, &object)] {
            assert_eq!(one(&body).kind, kind, "{body}");
        }
    }
}

#[test]
fn an_alert_with_the_status_ok_is_a_recovery() {
    let cases = [
        ("wallet.alert", "wallet", "wallet.balance_low", "wallet.balance_recovered"),
        ("feature.wallet_balance.alert", "feature", "wallet.balance_low", "wallet.balance_recovered"),
        ("customer.usage.alert", "customer", "usage.threshold_reached", "usage.threshold_recovered"),
        ("feature.usage.alert", "feature", "usage.threshold_reached", "usage.threshold_recovered"),
    ];
    for (name, key, alarm, calm) in cases {
        for (status, kind) in [("info", alarm), ("warning", alarm), ("in_alarm", alarm), ("ok", calm)] {
            let body = with(cloud(name, key, &object(key)), json!({ "alert_status": status }));
            assert_eq!(one(&body).kind, kind, "{name} {status}");
            let ids_only = json!({ "event_type": name, "alert_status": status, "feature_id": "feat_1" });
            assert_eq!(one(&ids_only).kind, kind, "{name} {status}, with ids only");
        }
    }
}

#[test]
fn a_subscription_that_begins_with_a_trial_tells_both() {
    for (name, status, expected) in [
        ("subscription.created", "trialing", &["subscription.created", "subscription.trial_started"][..]),
        ("subscription.created", "TRIALING", &["subscription.created", "subscription.trial_started"]),
        ("subscription.created", "active", &["subscription.created"]),
        ("subscription.draft.created", "draft", &["subscription.created"]),
        ("subscription.updated", "trialing", &["subscription.updated"]),
    ] {
        let times = json!({ "created_at": "2026-03-01T08:00:00Z", "trial_start": "2026-03-01T00:00:00Z" });
        let object = with(with(subscription(), times), json!({ "subscription_status": status }));
        for body in [cloud(name, "subscription", &object), seed(name, "subscription", &object)] {
            let drafts = normalize(body.to_string()).unwrap();
            let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
            assert_eq!(kinds, expected, "{name} {status}");
            let Some(trial) = drafts.get(1) else { continue };
            assert_eq!(trial.semantic_key.as_deref(), Some("subscription.trial_started:subs_5"));
            assert_eq!(trial.occurred_at, drafts[0].occurred_at, "{body}");
            assert!(trial.occurred_at.is_some(), "{body}");
        }
    }
}

#[test]
fn a_credit_note_that_gives_money_back_is_a_refund_too() {
    let note = with(credit_note(), json!({ "credit_note_type": "REFUND", "reason": "DUPLICATE" }));
    let drafts = normalize(cloud("credit_note.created", "credit_note", &note).to_string()).unwrap();
    let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
    assert_eq!(kinds, ["credit_note.created", "refund.created"]);
    let refund = drafts[1].refund.as_ref().unwrap();
    assert_eq!(refund.amount.as_ref().unwrap().amount_minor, 1000);
    assert_eq!((refund.status.as_deref(), refund.reason.as_deref()), (Some("succeeded"), Some("duplicate")));
    assert_eq!(drafts[0].refund, None);
    assert_eq!((&drafts[0].warnings, &drafts[1].warnings), (&vec![], &vec![]));
    assert_eq!(drafts[0].credit_note.as_ref().unwrap().kind.as_deref(), Some("refund"));
}

#[test]
fn a_credit_note_that_is_finalized_later_has_given_the_money_back_then() {
    let note = |members: Value| {
        let note = with(credit_note(), with(json!({ "credit_note_type": "REFUND" }), members));
        normalize(cloud("credit_note.updated", "credit_note", &note).to_string()).unwrap()
    };
    let drafts = note(json!({}));
    let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
    assert_eq!(kinds, ["credit_note.updated", "refund.succeeded"]);
    let refund = drafts[1].refund.as_ref().unwrap();
    assert_eq!((refund.id.as_deref(), refund.status.as_deref()), (Some("cn_2"), Some("succeeded")));
    assert_eq!(drafts[1].occurred_at, time("2026-03-02T00:00:00Z"));
    let keys = [&drafts[0], &drafts[1]].map(|draft| draft.semantic_key.as_deref());
    assert_eq!(keys, [None, Some("refund.succeeded:cn_2")]);

    assert_eq!(note(json!({ "credit_note_status": "DRAFT" })).len(), 1);
    let voided = note(json!({ "credit_note_status": "VOIDED", "voided_at": "2026-03-04T00:00:00Z" }));
    assert_eq!((voided.len(), voided[0].kind.as_str()), (1, "credit_note.voided"));
    assert_eq!(voided[0].occurred_at, time("2026-03-04T00:00:00Z"));
    assert_eq!(voided[0].semantic_key.as_deref(), Some("credit_note.voided:cn_2"));
}

#[test]
fn unknown_names_are_kept_as_unmapped() {
    let draft = one(&cloud("subscription.teleported", "subscription", &subscription()));
    assert_eq!(
        (draft.kind.as_str(), draft.provider_event_type.as_str()),
        ("provider.unmapped", "subscription.teleported")
    );
    assert_eq!(draft.subscription.unwrap().id.as_deref(), Some("subs_5"));
    assert_eq!(one(&json!({ "event_type": "coffee.ready" })).kind, "provider.unmapped");
    assert_eq!(one(&json!({ "hello": "world" })).kind, "provider.unmapped");
}

#[test]
fn bodies_without_a_name_are_told_by_key_and_state() {
    let fresh = json!({ "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z" });
    let cases = [
        ("subscription", subscription(), "subscription.updated"),
        ("subscription", with(subscription(), fresh.clone()), "subscription.created"),
        (
            "subscription",
            with(subscription(), json!({ "subscription_status": "cancelled" })),
            "subscription.canceled",
        ),
        (
            "subscription",
            with(subscription(), json!({ "subscription_status": "paused" })),
            "subscription.paused",
        ),
        (
            "subscription",
            with(subscription(), json!({ "cancel_at_period_end": true })),
            "subscription.cancel_scheduled",
        ),
        ("invoice", with(invoice(), json!({ "invoice_status": "DRAFT" })), "invoice.created"),
        ("invoice", invoice(), "invoice.finalized"),
        ("invoice", with(invoice(), json!({ "payment_status": "SUCCEEDED" })), "invoice.paid"),
        ("invoice", with(invoice(), json!({ "payment_status": "FAILED" })), "payment.failed"),
        ("invoice", with(invoice(), json!({ "invoice_status": "VOIDED" })), "invoice.voided"),
        ("payment", with(payment(), json!({ "payment_status": "INITIATED" })), "payment.created"),
        ("payment", payment(), "payment.pending"),
        ("payment", with(payment(), json!({ "payment_status": "SUCCEEDED" })), "payment.succeeded"),
        ("payment", with(payment(), json!({ "payment_status": "FAILED" })), "payment.failed"),
        ("payment", with(payment(), json!({ "payment_status": "REFUNDED" })), "refund.succeeded"),
        ("payment", with(payment(), json!({ "payment_status": "VOIDED" })), "payment.canceled"),
        ("credit_note", credit_note(), "credit_note.created"),
        ("credit_note", with(credit_note(), json!({ "credit_note_status": "VOIDED" })), "credit_note.voided"),
        ("customer", object("customer"), "customer.updated"),
        ("customer", with(object("customer"), fresh.clone()), "customer.created"),
        ("customer", with(object("customer"), json!({ "status": "archived" })), "customer.deleted"),
        ("wallet", wallet(), "wallet.updated"),
        ("wallet", with(wallet(), fresh.clone()), "wallet.created"),
        ("wallet", with(wallet(), json!({ "wallet_status": "closed" })), "wallet.terminated"),
        ("updated_transaction", object("transaction"), "wallet.transaction_updated"),
        ("transaction", with(object("transaction"), fresh), "wallet.transaction_created"),
        ("entitlement_grant", object("entitlement_grant"), "entitlement.exhausted"),
        ("feature", object("feature"), "product.updated"),
        ("fee", object("fee"), "provider.unmapped"),
    ];
    for (key, object, kind) in cases {
        let draft = one(&json!({ key: object }));
        assert_eq!(draft.kind, kind, "{key} {object}");
        assert!(
            draft.warnings.iter().any(|warning| warning.contains("names no event")),
            "{:?}",
            draft.warnings
        );
    }
}
