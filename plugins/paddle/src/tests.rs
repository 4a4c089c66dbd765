//! What the normalizer makes of bodies.

use crate::catalogue::CATALOGUE;
use crate::{MANIFEST, Paddle};
use billhook_plugin::check;
use billhook_plugin::testing::{self, Sample};
use billhook_plugin::{Draft, Failure, Money, Normalize, Time, Webhook};
use serde_json::{Value, json};

const NOW: &str = "2026-06-01T10:00:00.123456Z";
const PERIOD_END: &str = "2026-07-01T10:00:00Z";

fn normalize(body: impl ToString) -> Result<Vec<Draft>, Failure> {
    Paddle.normalize(&Webhook::new("billing", "paddle").with_body(body.to_string()))
}

fn event(name: &str, data: &Value) -> Value {
    json!({
        "event_id": "evt_1", "event_type": name, "occurred_at": NOW, "notification_id": "ntf_1", "data": data,
    })
}

fn read(name: &str, data: &Value) -> Draft {
    normalize(event(name, data)).unwrap().remove(0)
}

fn time(text: &str) -> Option<Time> {
    Some(Time::parse(text).unwrap())
}

/// `base` with the members of `more` laid over it.
fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("objects") };
    base.extend(more);
    base.into()
}

fn subscription() -> Value {
    let price = |id: &str, amount: &str, cycle: Value| {
        json!({
            "id": id, "name": "Team", "product_id": "pro_1", "billing_cycle": cycle,
            "unit_price": { "amount": amount, "currency_code": "EUR" },
        })
    };
    json!({
        "id": "sub_1", "status": "active", "customer_id": "ctm_1", "currency_code": "EUR",
        "started_at": "2026-03-01T10:00:00Z",
        "current_billing_period": { "starts_at": "2026-06-01T10:00:00Z", "ends_at": PERIOD_END },
        "items": [
            {
                "quantity": 3, "price": price("pri_1", "4000", json!({ "interval": "month", "frequency": 2 })),
                "trial_dates": { "starts_at": "2026-03-01T10:00:00Z", "ends_at": "2026-03-15T10:00:00Z" },
            },
            { "quantity": 1, "price": price("pri_2", "99900", json!(null)) },
        ],
        "custom_data": { "team": 7, "plan": null },
    })
}

fn transaction() -> Value {
    let card = json!({ "type": "card", "card": { "type": "visa", "last4": "4242" } });
    json!({
        "id": "txn_1", "status": "completed", "customer_id": "ctm_1", "subscription_id": "sub_1",
        "currency_code": "EUR", "origin": "subscription_recurring", "invoice_number": "7-1",
        "billed_at": NOW, "checkout": { "url": "https://pay.example.com/1" },
        "billing_period": { "starts_at": "2026-06-01T10:00:00Z", "ends_at": PERIOD_END },
        "details": { "totals": {
            "subtotal": "10000", "tax": "2000", "total": "12000", "grand_total": "11500", "balance": "500",
            "fee": "600", "currency_code": "EUR",
        } },
        "payments": [
            {
                "payment_attempt_id": "att_3", "amount": "11500", "status": "error", "error_code": "declined",
                "method_details": card,
            },
            {
                "payment_attempt_id": "att_2", "amount": "11000", "status": "captured",
                "captured_at": "2026-06-01T09:00:00Z", "method_details": card,
            },
        ],
    })
}

fn adjustment(action: &str, status: &str) -> Value {
    json!({
        "id": "adj_1", "action": action, "status": status, "reason": "asked for it", "transaction_id": "txn_1",
        "subscription_id": "sub_1", "customer_id": "ctm_1", "currency_code": "EUR",
        "totals": { "total": "1200", "currency_code": "EUR" },
    })
}

#[test]
fn every_name_has_its_type_and_fills_the_block_of_its_family() {
    for (name, kind) in CATALOGUE {
        let draft = read(name, &json!({ "id": "x", "customer_id": "ctm_1" }));
        assert_eq!((draft.kind.as_str(), draft.provider_event_type.as_str()), (*kind, *name));
        let family = kind.split('.').next().unwrap();
        let json = serde_json::to_value(&draft).unwrap();
        assert!(json[family].is_object(), "{name} fills no `{family}`: {json}");
        assert_eq!(draft.warnings, [""; 0], "{name}");
    }
    assert_eq!(read("report.created", &json!({ "id": "rep_1" })).kind, "provider.unmapped");
}

#[test]
fn the_envelope_is_kept() {
    let draft = read("subscription.resumed", &subscription());
    assert_eq!(draft.provider_event_id.as_deref(), Some("evt_1"));
    assert_eq!(draft.occurred_at, time("2026-06-01T10:00:00.123Z"));
    assert_eq!((draft.thin, draft.livemode), (false, None));
    assert_eq!(draft.metadata.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "7".to_owned())]);
    assert!(normalize(json!({ "event_type": "customer.created" })).unwrap()[0].thin);
}

#[test]
fn a_subscription_is_read_with_what_it_brings_in_a_month() {
    let draft = read("subscription.resumed", &subscription());
    let block = draft.subscription.unwrap();
    assert_eq!((block.id.as_deref(), block.status.as_deref()), (Some("sub_1"), Some("active")));
    assert_eq!((block.current_period_end, block.trial_end), (time(PERIOD_END), time("2026-03-15T10:00:00Z")));
    assert_eq!(block.tenure_days, Some(92));
    let mrr = block.mrr.unwrap();
    assert_eq!((mrr.amount_minor, mrr.currency.as_str()), (6000, "EUR"), "three at 40.00 each two months");
    let plan = block.plan.unwrap();
    assert_eq!((plan.id.as_deref(), plan.interval.as_deref()), (Some("pri_1"), Some("month")));
    assert_eq!((plan.interval_count, plan.unit_amount.unwrap().original.as_str()), (Some(2), "4000"));
    assert_eq!(draft.customer.unwrap().id.as_deref(), Some("ctm_1"));
}

#[test]
fn a_price_is_told_in_the_currency_of_the_subscription_or_not_at_all() {
    let other = |currency: &str, amount: &str| json!({ "country_codes": ["US"], "unit_price": { "amount": amount, "currency_code": currency } });
    let cases = [
        (json!("EUR"), json!([other("EUR", "1")]), Some((4000, "EUR", 6000))),
        (json!(null), json!([other("USD", "1")]), Some((4000, "EUR", 6000))),
        (json!("USD"), json!([other("GBP", "1"), other("USD", "5000")]), Some((5000, "USD", 7500))),
        (json!("USD"), json!([other("USD", "5000"), other("USD", "4500")]), None),
        (json!("USD"), json!([other("GBP", "5000")]), None),
        (json!("USD"), json!(["USD", {}, { "unit_price": { "amount": "1" } }]), None),
        (json!("USD"), json!(null), None),
    ];
    for (currency, overrides, expected) in cases {
        let mut object = with(subscription(), json!({ "currency_code": currency }));
        object["items"].as_array_mut().unwrap().truncate(1);
        object["items"][0]["price"]["unit_price_overrides"] = overrides.clone();
        let draft = read("subscription.resumed", &object);
        let block = draft.subscription.unwrap();
        let unit = block.plan.unwrap().unit_amount;
        let told = unit.as_ref().zip(block.mrr);
        let told = told.as_ref().map(|(unit, mrr)| {
            assert_eq!(unit.currency, mrr.currency);
            (unit.amount_minor, unit.currency.as_str(), mrr.amount_minor)
        });
        assert_eq!((told, unit.is_some()), (expected, expected.is_some()), "{currency} {overrides}");
        assert_eq!(block.mrr_source.is_some(), expected.is_some());
        assert_eq!(draft.warnings, [""; 0], "{currency} {overrides}");
    }
}

#[test]
fn a_scheduled_change_tells_whether_an_update_is_a_decision_to_cancel() {
    let change = |action: &str, at: &str| {
        let change = json!({ "action": action, "effective_at": at, "resume_at": "2026-09-01T00:00:00Z" });
        with(subscription(), json!({ "scheduled_change": change }))
    };
    for (at, at_period_end) in [(PERIOD_END, true), ("2026-06-20T00:00:00Z", false)] {
        let draft = read("subscription.updated", &change("cancel", at));
        assert_eq!((draft.kind.as_str(), draft.effective_at), ("subscription.cancel_scheduled", time(at)));
        let cancellation = serde_json::to_value(draft.cancellation.unwrap()).unwrap();
        assert_eq!(
            (&cancellation["kind"], &cancellation["phase"]),
            (&json!("voluntary"), &json!("requested"))
        );
        assert_eq!(cancellation["reason_code"], "unspecified");
        assert_eq!(cancellation["at_period_end"], at_period_end);
        let block = draft.subscription.unwrap();
        assert_eq!((block.cancel_at, block.cancel_at_period_end), (time(at), Some(at_period_end)));
        let key = format!("subscription.cancel_scheduled:sub_1:{}", &at[..10]);
        assert_eq!(draft.semantic_key, Some(key));
    }
    let draft = read("subscription.updated", &change("pause", PERIOD_END));
    assert_eq!((draft.kind.as_str(), draft.cancellation), ("subscription.updated", None));
    let block = draft.subscription.unwrap();
    assert_eq!((block.resumes_at, block.cancel_at_period_end), (time("2026-09-01T00:00:00Z"), Some(false)));
    let draft = read("subscription.updated", &change("resume", PERIOD_END));
    assert_eq!(draft.subscription.unwrap().cancel_at, None);
}

#[test]
fn an_end_does_not_tell_whether_somebody_wanted_it() {
    let over = json!({ "status": "canceled", "canceled_at": "2026-06-01T09:59:59.787929969Z" });
    let draft = read("subscription.canceled", &with(subscription(), over));
    let cancellation = serde_json::to_value(draft.cancellation.unwrap()).unwrap();
    assert_eq!((&cancellation["kind"], &cancellation["phase"]), (&json!("unknown"), &json!("effective")));
    assert_eq!(cancellation["effective_at"], "2026-06-01T09:59:59.787Z");
    assert_eq!(draft.subscription.unwrap().status.as_deref(), Some("canceled"));
}

#[test]
fn each_activation_has_a_key_of_its_own() {
    let mut keys = Vec::new();
    for at in ["2026-01-01T10:00:00Z", "2026-05-01T10:00:00Z"] {
        let mut body = event("subscription.activated", &subscription());
        body["occurred_at"] = json!(at);
        keys.extend(normalize(&body).unwrap().remove(0).semantic_key);
    }
    assert_eq!(keys, ["subscription.activated:sub_1:2026-01-01", "subscription.activated:sub_1:2026-05-01"]);
    let draft = read("subscription.trialing", &subscription());
    assert_eq!(draft.semantic_key.as_deref(), Some("subscription.trial_started:sub_1"), "there is one");
}

#[test]
fn a_transaction_of_nothing_has_no_payment() {
    let charged = |more: Value| {
        let mut data = with(transaction(), json!({ "status": "paid" }));
        data["details"]["totals"] = with(data["details"]["totals"].take(), more);
        data
    };
    let free = || charged(json!({ "total": "0", "grand_total": "0", "balance": "0" }));
    let unpaid = |data: Value| with(data, json!({ "payments": [] }));
    let cases = [
        (unpaid(free()), "invoice.updated", None),
        (free(), "payment.succeeded", Some("payment.succeeded:txn_1")),
        (unpaid(charged(json!({}))), "payment.succeeded", Some("payment.succeeded:txn_1")),
    ];
    for (data, kind, key) in cases {
        let draft = read("transaction.paid", &data);
        assert_eq!((draft.kind.as_str(), draft.semantic_key.as_deref()), (kind, key), "{data}");
        assert_eq!(draft.payment.is_some(), key.is_some(), "{data}");
        assert_eq!(draft.invoice.unwrap().status.as_deref(), Some("paid"), "{data}");
        let draft = read("transaction.completed", &data);
        assert_eq!((draft.kind.as_str(), draft.payment.is_some()), ("invoice.paid", key.is_some()), "{data}");
        // A card that nothing is charged to may fail all the same.
        assert!(read("transaction.payment_failed", &data).payment.is_some(), "{data}");
    }
}

#[test]
fn a_transaction_is_an_invoice_and_its_attempts_are_payments() {
    let draft = read("transaction.completed", &transaction());
    let invoice = draft.invoice.unwrap();
    let minor = |money: Option<Money>| money.unwrap().amount_minor;
    assert_eq!((invoice.id.as_deref(), invoice.status.as_deref()), (Some("txn_1"), Some("paid")));
    assert_eq!((minor(invoice.total), minor(invoice.subtotal), minor(invoice.tax)), (12_000, 10_000, 2000));
    let left = (minor(invoice.amount_due), minor(invoice.amount_paid), minor(invoice.amount_remaining));
    assert_eq!(left, (11_500, 11_000, 500));
    assert_eq!(invoice.billing_reason.as_deref(), Some("subscription_cycle"));
    assert_eq!((invoice.period_end, invoice.paid_at), (time(PERIOD_END), time("2026-06-01T09:00:00Z")));
    let payment = draft.payment.unwrap();
    assert_eq!((payment.id.as_deref(), payment.status.as_deref()), (Some("att_2"), Some("succeeded")));
    assert_eq!((minor(payment.amount), minor(payment.fee), payment.attempt_count), (11_000, 600, Some(2)));
    assert_eq!(draft.subscription.unwrap().id.as_deref(), Some("sub_1"));

    let entity =
        json!({ "id": "inv_1", "transaction_id": "txn_1", "status": "issued", "due_at": PERIOD_END });
    let draft = read("invoice.paid", &entity);
    assert_eq!(draft.semantic_key.as_deref(), Some("invoice.paid:txn_1"), "told of the transaction too");
    assert_eq!(draft.invoice.unwrap().due_at, time(PERIOD_END));
    assert_eq!(draft.payment, None);
}

#[test]
fn causes_of_failures_become_canonical() {
    let cases = [
        ("declined", "card_declined", 0),
        ("transaction_not_permitted", "card_declined", 0),
        ("not_enough_balance", "insufficient_funds", 0),
        ("expired_card", "expired_card", 0),
        ("authentication_failed", "authentication_required", 0),
        ("invalid_amount", "invalid_payment_details", 0),
        ("redacted_payment_method", "payment_method_missing", 0),
        ("blocked_card", "blocked_card", 0),
        ("fraud", "fraud_suspected", 0),
        ("issuer_unavailable", "issuer_unavailable", 0),
        ("psp_error", "processor_error", 0),
        ("already_canceled", "canceled", 0),
        ("unknown", "other", 0),
        ("solar_flare", "other", 1),
    ];
    for (code, expected, warnings) in cases {
        let mut data = transaction();
        data["payments"][0]["error_code"] = json!(code);
        let draft = read("transaction.payment_failed", &data);
        let payment = draft.payment.unwrap();
        assert_eq!((payment.id.as_deref(), payment.status.as_deref()), (Some("att_3"), Some("failed")));
        assert_eq!((payment.attempt_count, payment.card_last4.as_deref()), (Some(2), Some("4242")));
        let failure = payment.failure.unwrap();
        assert_eq!((failure.code.as_deref(), failure.provider_code.as_deref()), (Some(expected), Some(code)));
        assert_eq!(draft.warnings.len(), warnings, "{code}");
        assert_eq!(draft.semantic_key.as_deref(), Some("payment.failed:att_3"));
    }
}

#[test]
fn a_failure_is_that_of_the_newest_attempt_that_failed() {
    let cases = [
        (&["error", "error"][..], Some("att_0")),
        (&["created", "error"], Some("att_1")),
        (&["dropped", "created", "error", "error"], Some("att_2")),
        (&["captured", "error"], Some("att_1")),
        (&["created"], None),
    ];
    for (statuses, expected) in cases {
        let attempt = |(n, status): (usize, &&str)| {
            let code = (*status == "error").then_some("not_enough_balance");
            json!({ "payment_attempt_id": format!("att_{n}"), "status": status, "error_code": code })
        };
        let payments: Vec<_> = statuses.iter().enumerate().map(attempt).collect();
        let draft = read("transaction.payment_failed", &with(transaction(), json!({ "payments": payments })));
        assert_eq!(draft.semantic_key, expected.map(|id| format!("payment.failed:{id}")), "{statuses:?}");
        let payment = draft.payment.unwrap();
        assert_eq!((payment.id.as_deref(), payment.status.as_deref()), (expected, Some("failed")));
        let cause = if expected.is_some() { "insufficient_funds" } else { "other" };
        assert_eq!(payment.failure.unwrap().code.as_deref(), Some(cause), "{statuses:?}");
    }
}

#[test]
fn an_adjustment_is_told_by_action_and_status() {
    let cases = [
        ("created", "refund", "pending_approval", "refund.created pending"),
        ("created", "refund", "approved", "refund.created succeeded, refund.succeeded succeeded"),
        ("updated", "refund", "approved", "refund.succeeded succeeded"),
        ("updated", "refund", "rejected", "refund.failed failed"),
        ("updated", "refund", "reversed", "refund.reversed reversed"),
        ("updated", "refund", "pending_approval", "refund.created pending"),
        ("created", "chargeback", "approved", "dispute.opened open"),
        ("created", "chargeback_warning", "approved", "dispute.opened open"),
        ("updated", "chargeback", "approved", "dispute.updated open"),
        ("updated", "chargeback", "reversed", "dispute.updated won"),
        ("created", "chargeback_reverse", "approved", "dispute.won won"),
        ("updated", "chargeback_warning", "reversed", "dispute.updated closed"),
        ("created", "chargeback_warning_reverse", "approved", "dispute.closed closed"),
        ("created", "credit", "approved", "credit_note.created 1200"),
        ("updated", "credit", "approved", "credit_note.updated 1200"),
        ("updated", "credit", "reversed", "credit_note.updated 1200"),
        ("created", "credit_reverse", "approved", "credit_note.voided 1200"),
    ];
    for (verb, action, status, expected) in cases {
        let drafts = normalize(event(&format!("adjustment.{verb}"), &adjustment(action, status))).unwrap();
        let told = drafts.into_iter().map(|draft| {
            assert_eq!(draft.invoice.unwrap().id.as_deref(), Some("txn_1"), "{verb} {action} {status}");
            let payments = [
                draft.refund.as_ref().map(|refund| &refund.payment_id),
                draft.dispute.as_ref().map(|dispute| &dispute.payment_id),
            ];
            assert!(payments.into_iter().flatten().all(Option::is_none), "{verb} {action} {status}");
            let of_refund = draft.refund.and_then(|refund| refund.status);
            let of_dispute = draft.dispute.and_then(|dispute| dispute.status);
            let of_note = draft.credit_note.and_then(|note| note.amount).map(|money| money.original);
            format!("{} {}", draft.kind, of_refund.or(of_dispute).or(of_note).unwrap())
        });
        assert_eq!(told.collect::<Vec<_>>().join(", "), expected, "{verb} {action} {status}");
    }
    let draft = read("adjustment.created", &adjustment("chargeback_warning", "approved"));
    assert_eq!(draft.dispute.unwrap().stage.as_deref(), Some("inquiry"));
    assert_eq!(draft.subscription.unwrap().id.as_deref(), Some("sub_1"));
}

#[test]
fn amounts_are_strings_of_minor_units() {
    let cases = [
        ("\"1200\"", "\"EUR\"", Some((1200, "EUR", 2)), 0),
        ("\"1200\"", "\"JPY\"", Some((1200, "JPY", 0)), 0),
        ("\"-1200\"", "\"USD\"", Some((-1200, "USD", 2)), 0),
        ("1200", "\"USD\"", Some((1200, "USD", 2)), 0),
        ("\"12.5\"", "\"USD\"", None, 1),
        ("\"99999999999999999999\"", "\"USD\"", None, 1),
        ("\"ten\"", "\"USD\"", None, 1),
        ("\"1200\"", "null", None, 1),
        ("null", "\"USD\"", None, 0),
    ];
    for (amount, currency, expected, warnings) in cases {
        let body = format!(
            r#"{{"event_type":"payout.paid","data":{{"id":"pay_1","amount":{amount},"currency_code":{currency}}}}}"#
        );
        let draft = normalize(&body).unwrap().remove(0);
        let money = draft.payout.unwrap().amount;
        let told = money.as_ref().map(|money| (money.amount_minor, money.currency.as_str(), money.exponent));
        assert_eq!(told, expected, "{body}");
        assert_eq!(draft.warnings.len(), warnings, "{body}: {:?}", draft.warnings);
    }
}

#[test]
fn a_product_that_is_put_away_is_archived() {
    let data = |status: &str| json!({ "id": "pri_1", "status": status, "product_id": "pro_1", "description": "Team" });
    assert_eq!(read("product.updated", &data("active")).kind, "product.updated");
    let draft = read("price.updated", &data("archived"));
    assert_eq!(draft.kind, "product.archived");
    let product = draft.product.unwrap();
    assert_eq!((product.kind.as_deref(), product.scope.as_deref()), (Some("price"), Some("pro_1")));
}

#[test]
fn only_what_is_no_notification_is_invalid() {
    for (body, why) in [
        ("{}", "the body has no `event_type`: it is no notification of Paddle's"),
        ("hello-world", "the body is not JSON"),
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
    testing::examples::<Paddle>(MANIFEST);
}

#[test]
fn the_manifest_lists_the_catalogue() {
    check::catalogue(MANIFEST, CATALOGUE);
}

#[test]
fn any_body_gives_drafts_or_is_invalid() {
    let change = json!({ "action": "cancel", "effective_at": PERIOD_END, "resume_at": PERIOD_END });
    let ending = with(subscription(), json!({ "scheduled_change": change, "canceled_at": NOW }));
    let mut samples: Vec<_> = CATALOGUE.iter().map(|(name, _)| event(name, &json!({ "id": "x" }))).collect();
    samples.extend([
        event("subscription.updated", &ending),
        event("subscription.canceled", &ending),
        event("transaction.completed", &transaction()),
        event("transaction.payment_failed", &transaction()),
        event("adjustment.created", &adjustment("refund", "approved")),
        event("adjustment.updated", &adjustment("chargeback", "reversed")),
    ]);
    let samples: Vec<_> = samples.into_iter().map(Sample::new).collect();
    testing::any_body_gives_drafts_or_is_invalid(&Paddle, &samples);
}

#[test]
fn published_bodies_are_read() {
    for (file, text) in testing::published("paddle") {
        let body: Value = serde_json::from_str(&text).unwrap();
        let (name, drafts) = match file.strip_suffix(".data") {
            Some(name) => (name, normalize(event(name, &body)).unwrap()),
            None => (body["event_type"].as_str().unwrap(), normalize(&text).unwrap()),
        };
        let expected = match name {
            // It is still waiting to be approved.
            "adjustment.updated" => "refund.created",
            name => CATALOGUE.iter().find(|(known, _)| *known == name).unwrap().1,
        };
        assert_eq!(drafts[0].kind, expected, "{file}");
        assert_eq!(drafts[0].warnings, [""; 0], "{file}");
        let has_mrr = drafts[0].subscription.as_ref().is_some_and(|block| block.mrr.is_some());
        assert_eq!(has_mrr, name.starts_with("subscription."), "{file}");
    }
}
