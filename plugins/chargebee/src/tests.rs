//! What the normalizer makes of bodies.

use crate::catalogue::CATALOGUE;
use crate::{Chargebee, MANIFEST};
use billhook_plugin::check;
use billhook_plugin::model::kind;
use billhook_plugin::testing::{self, Sample};
use billhook_plugin::{Draft, Failure, Money, Normalize, Webhook};
use serde_json::{Value, json};

const NOW: u64 = 1_780_000_000;
const TERM_END: u64 = NOW + 20 * 86_400;

fn normalize(body: impl ToString) -> Result<Vec<Draft>, Failure> {
    Chargebee.normalize(&Webhook::new("billing", "chargebee").with_body(body.to_string()))
}

fn event(name: &str, content: &Value) -> Value {
    json!({
        "id": "ev_1", "occurred_at": NOW, "source": "portal", "user": "ada@example.com", "object": "event",
        "api_version": "v2", "content": content, "event_type": name, "webhook_status": "not_configured",
    })
}

fn read(name: &str, content: &Value) -> Draft {
    normalize(event(name, content)).unwrap().remove(0)
}

/// `base` with the members of `more` laid over it.
fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("objects") };
    base.extend(more);
    base.into()
}

fn subscription() -> Value {
    json!({
        "id": "s1", "customer_id": "c1", "status": "active", "currency_code": "EUR", "mrr": 2500,
        "plan_id": "team", "plan_quantity": 2, "plan_unit_price": 12_000, "plan_amount": 24_000,
        "billing_period": 1, "billing_period_unit": "year", "current_term_start": NOW,
        "current_term_end": TERM_END, "created_at": NOW - 50 * 86_400, "started_at": NOW - 40 * 86_400,
        "addons": [{ "id": "usage", "quantity": 3, "unit_price": 2000 }], "meta_data": { "team": 7 },
    })
}

fn customer() -> Value {
    json!({
        "id": "c1", "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "company": "Engines",
        "billing_address": { "country": "GB" }, "primary_payment_source_id": "pm_1",
        "payment_method": { "type": "card", "reference_id": "tok_1" },
    })
}

fn invoice() -> Value {
    json!({
        "id": "7", "customer_id": "c1", "subscription_id": "s1", "status": "payment_due", "currency_code": "EUR",
        "recurring": true, "first_invoice": false, "date": NOW, "due_date": NOW, "total": 1200, "sub_total": 1000,
        "tax": 200, "amount_paid": 0, "amount_due": 1200, "next_retry_at": NOW + 86_400,
        "line_items": [{ "date_from": NOW, "date_to": TERM_END }],
        "linked_payments": [{ "txn_id": "t0" }],
        "dunning_attempts": [{ "attempt": 0, "transaction_id": "t0" }, { "attempt": 1, "transaction_id": "t1" }],
    })
}

fn transaction() -> Value {
    json!({
        "id": "t1", "customer_id": "c1", "subscription_id": "s1", "type": "payment", "status": "failure",
        "amount": 1200, "currency_code": "EUR", "payment_method": "card", "masked_card_number": "************4810",
        "error_code": "3001", "error_text": "Insufficient funds",
    })
}

#[test]
fn every_name_has_its_type_and_fills_the_block_of_its_family() {
    let card = json!({ "payment_source_id": "pm_1", "last4": "4242" });
    let content = json!({
        "subscription": { "id": "s1" }, "customer": { "id": "c1" }, "invoice": { "id": "7" },
        "transaction": { "id": "t1" }, "credit_note": { "id": "n1" }, "card": card,
    });
    for (name, kind) in CATALOGUE {
        let draft = read(name, &content);
        assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (*kind, *name));
        let family = kind.split('.').next().unwrap();
        let json = serde_json::to_value(&draft).unwrap();
        assert!(json[family].is_object(), "{name} fills no `{family}`: {json}");
        assert_eq!(draft.warnings, [""; 0], "{name}");
        assert_eq!(read(name, &json!({})).kind, *kind, "without its objects");
    }
    let draft = read("transaction_created", &json!({ "transaction": transaction() }));
    assert_eq!(draft.kind, "provider.unmapped");
    assert_eq!(draft.customer.unwrap().id.as_deref(), Some("c1"));
}

#[test]
fn the_envelope_is_kept() {
    let draft =
        read("subscription_resumed", &json!({ "subscription": subscription(), "customer": customer() }));
    assert_eq!(draft.provider_event_id.as_deref(), Some("ev_1"));
    assert_eq!(draft.provider_api_version.as_deref(), Some("v2"));
    assert_eq!((draft.occurred_at.unwrap().secs(), draft.thin), (NOW, false));
    assert_eq!(draft.actor.unwrap().id, "ada@example.com");
    assert_eq!(draft.metadata["team"], "7");
    let customer = draft.customer.unwrap();
    assert_eq!((customer.id.as_deref(), customer.name.as_deref()), (Some("c1"), Some("Ada Lovelace")));
    assert_eq!(
        (customer.email.as_deref(), customer.country.as_deref()),
        (Some("ada@example.com"), Some("GB"))
    );
    assert!(normalize(json!({ "event_type": "subscription_paused" })).unwrap()[0].thin);
}

#[test]
fn a_new_subscription_tells_how_it_begins() {
    let cases: [(&str, &str, &[&str]); 9] = [
        ("subscription_created", "in_trial", &["subscription.created", "subscription.trial_started"]),
        ("subscription_created", "active", &["subscription.created", "subscription.activated"]),
        ("subscription_created", "future", &["subscription.created", "subscription.scheduled"]),
        ("subscription_created", "paused", &["subscription.created"]),
        ("subscription_started", "in_trial", &["subscription.trial_started"]),
        ("subscription_started", "active", &["subscription.activated"]),
        ("subscription_reactivated", "in_trial", &["subscription.trial_started"]),
        ("subscription_reactivated", "active", &["subscription.activated"]),
        ("subscription_activated", "active", &["subscription.activated"]),
    ];
    for (name, status, expected) in cases {
        let object = with(subscription(), json!({ "status": status, "start_date": TERM_END }));
        let drafts = normalize(event(name, &json!({ "subscription": object }))).unwrap();
        let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
        assert_eq!(kinds, expected, "{name} {status}");
        let ahead = drafts.last().unwrap().effective_at.map(|at| at.secs());
        assert_eq!(ahead, (status == "future").then_some(TERM_END));
    }
}

#[test]
fn a_trial_ends_with_the_activation_that_follows_it() {
    let ended = "subscription.trial_ended:s1:2026-05-28";
    let active = "subscription.activated:s1:2026-05-28";
    for (name, trial_end, expected) in [
        ("subscription_activated", json!(NOW), &[ended, active][..]),
        ("subscription_activated_with_backdating", json!(NOW), &[ended, active]),
        ("subscription_activated", json!(null), &[active]),
        ("subscription_started", json!(NOW), &[active]),
        ("subscription_reactivated", json!(NOW), &[active]),
    ] {
        let object = with(subscription(), json!({ "trial_start": NOW - 86_400, "trial_end": trial_end }));
        let drafts = normalize(event(name, &json!({ "subscription": object }))).unwrap();
        let keys: Vec<_> = drafts.into_iter().filter_map(|draft| draft.semantic_key).collect();
        assert_eq!(keys, expected, "{name} {trial_end}");
    }
}

#[test]
fn each_trial_has_a_key_of_its_own() {
    for (name, start, expected) in [
        ("subscription_created", NOW, "subscription.trial_started:s1:2026-05-28"),
        ("subscription_started", NOW, "subscription.trial_started:s1:2026-05-28"),
        ("subscription_reactivated", TERM_END, "subscription.trial_started:s1:2026-06-17"),
    ] {
        let object = with(subscription(), json!({ "status": "in_trial", "trial_start": start }));
        let drafts = normalize(event(name, &json!({ "subscription": object }))).unwrap();
        assert_eq!(drafts.last().unwrap().semantic_key.as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn a_pause_that_lies_ahead_is_none_yet() {
    for (name, status, paused) in
        [("subscription_pause_scheduled", "active", false), ("subscription_paused", "paused", true)]
    {
        let object = with(subscription(), json!({ "status": status, "pause_date": TERM_END }));
        let block = read(name, &json!({ "subscription": object })).subscription.unwrap();
        assert_eq!(block.paused_at.map(|at| at.secs()), paused.then_some(TERM_END), "{name}");
    }
}

#[test]
fn a_subscription_of_either_catalogue_is_read() {
    let items = json!({
        "plan_id": null, "plan_amount": null, "addons": null,
        "subscription_items": [
            { "item_price_id": "setup", "item_type": "charge", "unit_price": 99_900, "amount": 99_900 },
            { "item_price_id": "team", "item_type": "plan", "unit_price": 12_000, "quantity": 2, "amount": 24_000 },
            { "item_price_id": "usage", "item_type": "addon", "unit_price": 2000, "quantity": 3 },
        ],
    });
    for object in [subscription(), with(subscription(), items)] {
        let content = |object: &Value| json!({ "subscription": object });
        let block = read("subscription_renewed", &content(&object)).subscription.unwrap();
        assert_eq!((block.id.as_deref(), block.status.as_deref()), (Some("s1"), Some("active")));
        assert_eq!((block.current_period_end.unwrap().secs(), block.tenure_days), (TERM_END, Some(40)));
        let told = block.mrr.unwrap();
        assert_eq!((told.amount_minor, block.mrr_source.as_deref()), (2500, Some("provider")));
        let plan = block.plan.unwrap();
        assert_eq!((plan.id.as_deref(), plan.quantity), (Some("team"), Some(2)));
        assert_eq!(
            (plan.interval.as_deref(), plan.unit_amount.unwrap().amount_minor),
            (Some("year"), 12_000)
        );

        let over = json!({ "status": "cancelled", "cancelled_at": NOW, "mrr": 0 });
        let block = read("subscription_cancelled", &content(&with(object, over))).subscription.unwrap();
        let reckoned = block.mrr.unwrap();
        assert_eq!((reckoned.amount_minor, block.mrr_source.as_deref()), (2500, Some("computed")), "not 0");
        assert_eq!(block.ended_at.unwrap().secs(), NOW);
    }
    let free = with(subscription(), json!({ "mrr": 0 }));
    let block = read("subscription_renewed", &json!({ "subscription": free })).subscription.unwrap();
    assert_eq!((block.mrr.unwrap().amount_minor, block.mrr_source.as_deref()), (0, Some("provider")));
}

#[test]
fn what_is_metered_is_not_in_the_revenue_that_is_reckoned() {
    let over = with(subscription(), json!({ "status": "cancelled", "cancelled_at": NOW, "mrr": 0 }));
    let metered =
        json!([{ "id": "calls", "unit_price": 5 }, { "id": "seats", "unit_price": 600, "quantity": 2 }]);
    let items = |kind: &str, more: Value| with(json!({ "item_type": kind, "unit_price": 1200 }), more);
    let cases = [
        (json!({ "addons": metered }), Some(2100)),
        (json!({ "addons": [{ "id": "calls", "unit_price": 5 }] }), Some(2000)),
        (
            json!({ "addons": null, "subscription_items": [
                items("plan", json!({ "quantity": 3 })), items("addon", json!({ "metered_quantity": "7" })),
            ] }),
            Some(300),
        ),
        (json!({ "addons": null, "subscription_items": [items("plan", json!({}))] }), None),
    ];
    for (more, expected) in cases {
        let object = with(over.clone(), more.clone());
        let block = read("subscription_cancelled", &json!({ "subscription": object })).subscription.unwrap();
        assert_eq!(block.mrr.map(|money| money.amount_minor), expected, "{more}");
        assert_eq!(block.mrr_source.as_deref(), expected.map(|_| "computed"), "{more}");
    }
}

#[test]
fn a_decision_says_when_access_ends_and_when_it_was_made() {
    let over =
        json!({ "status": "non_renewing", "cancelled_at": TERM_END, "cancel_schedule_created_at": NOW - 5 });
    let draft =
        read("subscription_cancellation_scheduled", &json!({ "subscription": with(subscription(), over) }));
    assert_eq!(draft.effective_at.unwrap().secs(), TERM_END);
    let cancellation = draft.cancellation.unwrap();
    assert_eq!(cancellation.requested_at.unwrap().secs(), NOW - 5);
    assert_eq!((cancellation.effective_at, cancellation.at_period_end), (draft.effective_at, Some(true)));
    let block = draft.subscription.unwrap();
    assert_eq!(
        (block.status.as_deref(), block.provider_status.as_deref()),
        (Some("active"), Some("non_renewing"))
    );
    assert_eq!((block.cancel_at, block.ended_at), (draft.effective_at, None));
    assert_eq!(draft.semantic_key.as_deref(), Some("subscription.cancel_scheduled:s1:2026-06-17"));
}

#[test]
fn what_is_deleted_while_it_runs_ends_with_it() {
    let chosen = json!({ "cancelled_at": TERM_END, "cancel_reason_code": "Unused" });
    for (status, more, expected) in [
        ("active", json!({}), Some("merchant merchant_initiated")),
        ("in_trial", json!({}), Some("merchant merchant_initiated")),
        ("non_renewing", chosen, Some("unknown unused")),
        ("cancelled", json!({ "cancelled_at": NOW - 9 }), None),
        ("transferred", json!({}), None),
    ] {
        let object = with(with(subscription(), json!({ "status": status, "deleted": true })), more);
        let mut body = event("subscription_deleted", &json!({ "subscription": object }));
        body["source"] = json!("admin_console");
        let draft = normalize(body).unwrap().remove(0);
        let block = draft.subscription.unwrap();
        assert_eq!(block.provider_status.as_deref(), Some(status));
        let Some(expected) = expected else {
            assert_eq!((draft.kind.as_str(), draft.cancellation), ("subscription.updated", None));
            continue;
        };
        assert_eq!(draft.kind, "subscription.canceled", "{status}");
        assert_eq!((block.status.as_deref(), block.cancel_at), (Some("canceled"), None), "{status}");
        assert_eq!(draft.semantic_key.as_deref(), Some("subscription.canceled:s1:2026-05-28"), "{status}");
        assert_eq!(block.ended_at, draft.occurred_at, "{status}");
        let cancellation = draft.cancellation.unwrap();
        assert_eq!((cancellation.effective_at, cancellation.at_period_end), (draft.occurred_at, None));
        let cancellation = serde_json::to_value(cancellation).unwrap();
        let told = ["initiator", "reason_code"].map(|field| cancellation[field].as_str().unwrap());
        assert_eq!(told.join(" "), expected, "{status}");
    }
}

#[test]
fn reasons_of_the_site_and_of_chargebee_become_canonical() {
    let cases = [
        (json!({}), "portal", "voluntary customer unspecified -"),
        (json!({}), "admin_console", "voluntary unknown unspecified -"),
        (
            json!({ "cancel_reason_code": "Too Expensive" }),
            "api",
            "voluntary unknown too_expensive cancel_reason_code",
        ),
        (
            json!({ "cancel_reason_code": "switched-service" }),
            "api",
            "voluntary unknown switched_service cancel_reason_code",
        ),
        (
            json!({ "cancel_reason_code": "They went broke" }),
            "portal",
            "voluntary customer - cancel_reason_code",
        ),
        (
            json!({ "cancel_reason": "not_paid" }),
            "scheduled_job",
            "involuntary system payment_failed cancel_reason",
        ),
        (
            json!({ "cancel_reason": "no_card", "cancel_reason_code": "No Card" }),
            "scheduled_job",
            "involuntary system payment_method_missing cancel_reason",
        ),
        (json!({ "cancel_reason": "fraud_review_failed" }), "api", "involuntary system fraud cancel_reason"),
        (
            json!({ "cancel_reason": "non_compliant_customer" }),
            "api",
            "involuntary system compliance cancel_reason",
        ),
        (
            json!({ "cancel_reason": "tax_calculation_failed" }),
            "api",
            "involuntary system configuration cancel_reason",
        ),
        (json!({ "cancel_reason": "comet" }), "api", "involuntary system - cancel_reason"),
    ];
    for (reasons, source, expected) in cases {
        let object =
            with(with(subscription(), json!({ "status": "cancelled", "cancelled_at": NOW })), reasons);
        let mut body = event("subscription_cancelled", &json!({ "subscription": object }));
        body["source"] = json!(source);
        let draft = normalize(body).unwrap().remove(0);
        let cancellation = serde_json::to_value(draft.cancellation.unwrap()).unwrap();
        let told = ["kind", "initiator", "reason_code", "provider_reason_field"]
            .map(|field| cancellation[field].as_str().unwrap_or("-").trim_start_matches("subscription."));
        assert_eq!(told.join(" "), expected);
        assert_eq!(
            draft.warnings.len(),
            usize::from(object["cancel_reason"] == "comet"),
            "{:?}",
            draft.warnings
        );
    }
}

#[test]
fn a_failed_payment_tells_the_attempt_and_the_next_one() {
    let content = json!({ "transaction": transaction(), "invoice": invoice(), "customer": customer() });
    let draft = read("payment_failed", &content);
    let payment = draft.payment.unwrap();
    assert_eq!((payment.id.as_deref(), payment.status.as_deref()), (Some("t1"), Some("failed")));
    assert_eq!((payment.attempt_count, payment.next_attempt_at.unwrap().secs()), (Some(2), NOW + 86_400));
    assert_eq!((payment.card_last4.as_deref(), payment.amount.unwrap().amount_minor), (Some("4810"), 1200));
    let failure = payment.failure.unwrap();
    assert_eq!(
        (failure.code.as_deref(), failure.provider_code.as_deref()),
        (Some("insufficient_funds"), Some("3001"))
    );
    let invoice = draft.invoice.unwrap();
    assert_eq!((invoice.status.as_deref(), invoice.billing_reason.as_deref()), (Some("open"), None));
    assert_eq!(invoice.period_end.unwrap().secs(), TERM_END);
    assert_eq!(draft.subscription.unwrap().id.as_deref(), Some("s1"));
}

#[test]
fn words_of_gateways_become_canonical() {
    let cases = [
        ("Insufficient funds", "insufficient_funds"),
        ("(51) Your card has insufficient funds.", "insufficient_funds"),
        ("Your card has expired.", "expired_card"),
        ("Suspected fraud", "fraud_suspected"),
        ("Pick up card (stolen)", "blocked_card"),
        ("Processor Declined - Possible Lost Card", "blocked_card"),
        ("The card was reported as lost or stolen", "blocked_card"),
        ("The connection to the bank was lost", "other"),
        ("Processor Declined", "card_declined"),
        ("Do not honor (response of the processor)", "card_declined"),
        ("Declined: invalid account", "invalid_payment_details"),
        ("Gateway Rejected: cvv", "invalid_payment_details"),
        ("Gateway Rejected", "processor_error"),
        ("Invalid response of the gateway", "processor_error"),
        ("3D Secure authentication failed", "authentication_required"),
        ("Issuer or switch inoperative", "issuer_unavailable"),
        ("An error occurred while processing: processing error", "processor_error"),
        ("Invalid card number", "invalid_payment_details"),
        ("Do not honor", "card_declined"),
        ("Transaction DECLINED", "card_declined"),
        ("Computer says no", "other"),
        ("", "other"),
    ];
    for (text, expected) in cases {
        let object = with(transaction(), json!({ "error_text": text }));
        let draft = read("payment_failed", &json!({ "transaction": object }));
        assert_eq!(draft.payment.unwrap().failure.unwrap().code.as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn a_refund_is_told_with_its_reason() {
    let back = with(transaction(), json!({ "type": "refund", "status": "success", "refunded_txn_id": "t0" }));
    let note = json!({
        "id": "CN-1", "type": "refundable", "reason_code": "service_unsatisfactory", "total": 1200,
        "currency_code": "EUR", "reference_invoice_id": "7",
    });
    for (name, status) in [("payment_refunded", "succeeded"), ("refund_initiated", "pending")] {
        let draft = read(name, &json!({ "transaction": back, "credit_note": note }));
        let refund = draft.refund.unwrap();
        assert_eq!((refund.status.as_deref(), refund.payment_id.as_deref()), (Some(status), Some("t0")));
        assert_eq!(refund.reason.as_deref(), Some("service_disruption"));
        assert_eq!(refund.amount.unwrap().amount_minor, 1200);
        let note = draft.credit_note.unwrap();
        assert_eq!((note.kind.as_deref(), note.invoice_id.as_deref()), (Some("refund"), Some("7")));
        assert_eq!(draft.payment, None);
    }
}

#[test]
fn a_credit_note_that_is_voided_says_so_in_its_status() {
    for (status, kind, key) in [
        (json!("voided"), "credit_note.voided", Some("credit_note.voided:CN-1")),
        (json!("refunded"), "credit_note.updated", None),
        (json!(null), "credit_note.updated", None),
    ] {
        let note = json!({ "id": "CN-1", "status": status });
        let draft = read("credit_note_updated", &json!({ "credit_note": note }));
        assert_eq!((draft.kind.as_str(), draft.semantic_key.as_deref()), (kind, key));
    }
    // Of a new one it is told that it is new.
    let voided = json!({ "credit_note": { "id": "CN-1", "status": "voided" } });
    assert_eq!(read("credit_note_created", &voided).kind, "credit_note.created");
}

#[test]
fn an_invoice_that_is_paid_voided_or_given_up_says_so_in_its_status() {
    for (status, kind, key) in [
        ("voided", "invoice.voided", Some("invoice.voided:7")),
        ("not_paid", "invoice.uncollectible", Some("invoice.uncollectible:7")),
        ("payment_due", "invoice.updated", None),
        ("paid", "invoice.paid", Some("invoice.paid:7")),
    ] {
        let content = json!({ "invoice": with(invoice(), json!({ "status": status })) });
        for name in ["invoice_updated", "pending_invoice_updated"] {
            let draft = read(name, &content);
            assert_eq!((draft.kind.as_str(), draft.semantic_key.as_deref()), (kind, key), "{name} {status}");
        }
        // A payment that fails is told as one, whatever it makes of its invoice.
        assert_eq!(read("payment_failed", &content).kind, "payment.failed");
    }
}

#[test]
fn the_event_that_makes_an_invoice_tells_what_for() {
    for (name, recurring, first, expected) in [
        ("subscription_renewed", Some(true), Some(false), Some("subscription_cycle")),
        ("subscription_changed", Some(true), Some(false), Some("subscription_update")),
        ("subscription_reactivated", Some(true), Some(false), None),
        ("invoice_generated", Some(true), Some(false), None),
        ("payment_succeeded", Some(true), None, None),
        ("subscription_created", Some(true), Some(true), Some("subscription_create")),
        ("payment_failed", Some(true), Some(true), Some("subscription_create")),
        ("subscription_changed", Some(false), Some(false), Some("one_off")),
        ("subscription_renewed", None, None, None),
    ] {
        let over = json!({ "recurring": recurring, "first_invoice": first });
        let content = json!({ "subscription": subscription(), "invoice": with(invoice(), over) });
        let reason = read(name, &content).invoice.unwrap().billing_reason;
        assert_eq!(reason.as_deref(), expected, "{name} {recurring:?} {first:?}");
    }
}

#[test]
fn the_period_of_an_invoice_is_that_of_its_plan() {
    let line = |kind: &str, from: u64, to: u64| {
        let kind = if kind.is_empty() { json!(null) } else { json!(kind) };
        json!({ "entity_type": kind, "date_from": from, "date_to": to })
    };
    let setup = || line("plan_setup", NOW, NOW);
    for (lines, expected) in [
        (json!([setup(), line("plan", NOW, TERM_END)]), Some((NOW, TERM_END))),
        (json!([line("adhoc", NOW, NOW + 9), line("plan_item_price", NOW, TERM_END)]), Some((NOW, TERM_END))),
        (
            json!([line("charge_item_price", NOW - 9, NOW), line("addon_item_price", NOW, TERM_END)]),
            Some((NOW, TERM_END)),
        ),
        (json!([line("", NOW, TERM_END)]), Some((NOW, TERM_END))),
        (json!(["x", setup(), line("addon", NOW, NOW)]), None),
        (json!([{ "entity_type": "plan", "date_from": NOW }]), None),
        (json!(null), None),
    ] {
        let content = json!({ "invoice": with(invoice(), json!({ "line_items": lines })) });
        let block = read("invoice_generated", &content).invoice.unwrap();
        let told = block.period_start.zip(block.period_end).map(|(from, to)| (from.secs(), to.secs()));
        assert_eq!((told, block.period_end.is_some()), (expected, expected.is_some()), "{content}");
    }
}

#[test]
fn what_was_to_be_paid_stays_when_it_is_paid() {
    for (left, paid, expected) in [
        (json!(1200), json!(0), (Some(1200), Some(1200))),
        (json!(700), json!(500), (Some(1200), Some(700))),
        (json!(0), json!(1200), (Some(1200), Some(0))),
        (json!(0), json!(null), (Some(0), Some(0))),
        (json!(null), json!(1200), (None, None)),
        (json!(i64::MAX), json!(1), (None, Some(i64::MAX))),
    ] {
        let over = json!({ "amount_due": left, "amount_paid": paid });
        let content = json!({ "invoice": with(invoice(), over) });
        let block = read("invoice_updated", &content).invoice.unwrap();
        let minor = |money: Option<Money>| money.map(|money| money.amount_minor);
        assert_eq!((minor(block.amount_due), minor(block.amount_remaining)), expected, "{content}");
    }
}

#[test]
fn an_invoice_that_is_paid_as_it_is_made_tells_both() {
    let credits = json!({ "amount_paid": 0, "amount_due": 0, "credits_applied": 1200 });
    for (more, expected) in [
        (json!({ "status": "paid" }), &["invoice.finalized:7", "invoice.paid:7"][..]),
        (with(credits, json!({ "status": "paid" })), &["invoice.finalized:7", "invoice.paid:7"]),
        (json!({ "status": "posted" }), &["invoice.finalized:7"]),
    ] {
        let content = json!({ "invoice": with(invoice(), more) });
        for name in ["invoice_generated", "invoice_generated_with_backdating"] {
            let drafts = normalize(event(name, &content)).unwrap();
            let told = drafts.into_iter().map(|draft| {
                assert_eq!((draft.invoice.is_some(), draft.payment), (true, None), "{name} {content}");
                assert_eq!(draft.kind, draft.semantic_key.as_deref().unwrap().split(':').next().unwrap());
                draft.semantic_key.unwrap()
            });
            assert_eq!(told.collect::<Vec<_>>(), expected, "{name} {content}");
        }
    }
}

#[test]
fn a_chargeback_that_is_recorded_is_no_refund() {
    let back = json!({
        "type": "refund", "status": "success", "payment_method": "chargeback", "refunded_txn_id": "t0",
    });
    let note = json!({ "id": "CN-1", "type": "refundable", "reason_code": "chargeback" });
    let content = json!({ "transaction": with(transaction(), back), "credit_note": note });
    let draft = read("payment_refunded", &content);
    assert_eq!((draft.kind.as_str(), draft.refund), ("dispute.opened", None));
    assert_eq!(draft.semantic_key.as_deref(), Some("dispute.opened:t1"));
    let dispute = draft.dispute.unwrap();
    assert_eq!((dispute.id.as_deref(), dispute.payment_id.as_deref()), (Some("t1"), Some("t0")));
    assert_eq!((dispute.stage.as_deref(), dispute.status.as_deref()), (Some("chargeback"), Some("open")));
    assert_eq!((dispute.amount.unwrap().amount_minor, dispute.initiator.as_deref()), (1200, Some("payer")));
    assert_eq!(dispute.provider_reason.as_deref(), Some("chargeback"));
    assert_eq!(draft.credit_note.unwrap().id.as_deref(), Some("CN-1"));
}

#[test]
fn payment_methods_are_read_from_where_they_stand() {
    let card = json!({ "last4": "4242", "expiry_month": 9, "expiry_year": 2029, "brand": "visa" });
    let source = json!({ "id": "pm_1", "customer_id": "c1", "type": "card", "card": card });
    let old = json!({
        "payment_source_id": "pm_1", "last4": "4242", "expiry_month": 9, "expiry_year": 2029, "card_type": "visa",
    });
    for content in [json!({ "payment_source": source }), json!({ "card": old, "customer": customer() })] {
        let method = read("payment_source_expiring", &content).payment_method.unwrap();
        assert_eq!((method.id.as_deref(), method.kind.as_deref()), (Some("pm_1"), Some("card")), "{content}");
        assert_eq!((method.brand.as_deref(), method.last4.as_deref()), (Some("visa"), Some("4242")));
        assert_eq!((method.expires_month, method.expires_year), (Some(9), Some(2029)));
    }
    let method = read("card_expired", &json!({ "customer": customer() })).payment_method.unwrap();
    assert_eq!((method.id.as_deref(), method.kind.as_deref()), (Some("pm_1"), Some("card")));
}

#[test]
fn amounts_are_in_the_units_of_chargebee() {
    let cases = [
        ("1200", "\"USD\"", Some((1200, "USD", 2)), 0),
        ("1200", "\"JPY\"", Some((1200, "JPY", 0)), 0),
        // Hundredths, whatever ISO 4217 says.
        ("1200", "\"KWD\"", Some((1200, "KWD", 2)), 0),
        ("1200", "\"BHD\"", Some((1200, "BHD", 2)), 0),
        ("-1200", "\"EUR\"", Some((-1200, "EUR", 2)), 0),
        ("12.5", "\"EUR\"", None, 1),
        ("1e30", "\"EUR\"", None, 1),
        ("1200", "null", None, 1),
        ("null", "\"EUR\"", None, 0),
    ];
    for (amount, currency, expected, warnings) in cases {
        let body = format!(
            r#"{{"event_type":"payment_succeeded","content":{{"transaction":{{"id":"t","amount":{amount},"currency_code":{currency}}}}}}}"#
        );
        let draft = normalize(&body).unwrap().remove(0);
        let money = draft.payment.unwrap().amount;
        let told =
            money.as_ref().map(|money: &Money| (money.amount_minor, money.currency.as_str(), money.exponent));
        assert_eq!(told, expected, "{body}");
        assert_eq!(draft.warnings.len(), warnings, "{body}: {:?}", draft.warnings);
    }
}

#[test]
fn what_a_subscription_costs_is_in_the_units_of_chargebee_too() {
    let dinars = json!({ "currency_code": "KWD" });
    let over = json!({ "status": "cancelled", "cancelled_at": NOW, "mrr": 0 });
    let items =
        json!({ "subscription_items": [{ "item_type": "plan", "unit_price": 12_000, "quantity": 2 }] });
    let told = with(subscription(), dinars);
    for object in [told.clone(), with(told.clone(), over.clone()), with(with(told, over), items)] {
        let block = read("subscription_renewed", &json!({ "subscription": object })).subscription.unwrap();
        assert_eq!(block.mrr.unwrap().exponent, 2, "{object}");
        assert_eq!(block.plan.unwrap().unit_amount.unwrap().exponent, 2, "{object}");
    }
}

#[test]
fn only_what_is_no_event_is_invalid() {
    for (body, why) in [
        ("{}", "the body has no `event_type`: it is no event of Chargebee's"),
        ("paid", "the body is not JSON"),
        ("[]", "the body is an array, not a JSON object"),
    ] {
        match normalize(body) {
            Err(Failure::Invalid(told)) => assert!(told.contains(why), "{body}: {told}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn every_event_of_the_manifest_has_an_example_that_is_read_as_it_says() {
    testing::examples::<Chargebee>(MANIFEST);
}

#[test]
fn the_manifest_lists_the_catalogue() {
    check::catalogue(MANIFEST, CATALOGUE);
}

#[test]
fn any_body_gives_drafts_or_is_invalid() {
    let over =
        json!({ "status": "cancelled", "mrr": 0, "cancelled_at": NOW, "cancel_reason_code": "Too dear" });
    let content = json!({
        "subscription": with(subscription(), over), "customer": customer(), "invoice": invoice(),
        "transaction": transaction(), "credit_note": { "id": "n", "total": 1, "currency_code": "EUR" },
        "payment_source": { "id": "p", "type": "card", "card": { "last4": "4242", "expiry_year": 2029 } },
    });
    let samples: Vec<_> =
        ["subscription_cancelled", "subscription_cancellation_scheduled", "subscription_created"]
            .into_iter()
            .chain([
                "payment_failed",
                "payment_refunded",
                "payment_source_added",
                "invoice_generated",
                "coffee_ready",
            ])
            .map(|name| Sample::new(event(name, &content)))
            .collect();
    testing::any_body_gives_drafts_or_is_invalid(&Chargebee, &samples);
}

#[test]
fn published_bodies_are_read() {
    for (name, text) in testing::published("chargebee") {
        let draft = normalize(&text).unwrap().remove(0);
        let expected = match name.as_str() {
            // Into a trial, and out of it.
            "subscription_started" => "subscription.trial_started",
            "subscription_activated" => "subscription.trial_ended",
            name => kind::of(CATALOGUE, name),
        };
        assert_eq!(draft.kind, expected, "{name}");
        assert_eq!(draft.warnings, [""; 0], "{name}");
        assert!(draft.customer.unwrap().id.is_some(), "{name}");
        let has_mrr = draft.subscription.is_some_and(|block| block.mrr.is_some());
        assert!(has_mrr || name != "subscription_cancelled", "{name}");
    }
}
